//! The command line: what a person types and reads.
//!
//! Every subcommand is a room with `Args` (what can be typed) and `run` (what happens). Nothing of the data path enters
//! here; a running switch is asked through its control socket.

pub mod check;
pub mod headroom;
pub mod reference;
pub mod run;
pub mod show;
pub mod table;
pub mod terminal;
pub mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{bench, lab};
use terminal::{ColorWhen, Terminal};

/// A question was answered with no, or something failed.
pub const FAILED: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  dcbridge lab                     hosts, a switch and traffic: see it work, right now
  dcbridge check br0.toml          is this configuration right?
  dcbridge headroom br0.toml       how much buffer do its lossless classes need?
  dcbridge run br0.toml            run a switch until Ctrl-C
  dcbridge show                    ports, rates, shares and drops of the running switch
  dcbridge show classes --watch    the traffic classes, every second

Exit codes: 0 done, 1 the answer is no or something failed, 2 wrong usage.";

/// A lossless Ethernet switch in software: bridges TAP interfaces, shares links by traffic class (ETS), pauses by
/// priority (PFC).
#[derive(Debug, Parser)]
#[command(name = "dcbridge", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Colour in the output: `auto` (on a terminal, unless `NO_COLOR` is set), `always` or `never`
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorWhen::Auto, global = true)]
    #[arg(hide_possible_values = true)]
    color: ColorWhen,

    /// What is logged to standard error: error, warn, info, debug, trace, or filters such as
    /// `warn,dcbridge::control=debug`
    /// [default: info; of `lab` and `bench`: warn]
    #[arg(long, value_name = "LEVEL", global = true, value_parser = terminal::log_filter)]
    log: Option<tracing_subscriber::EnvFilter>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Headroom(headroom::Args),
    Show(show::Args),
    Lab(lab::Args),
    Bench(bench::Args),
    Schema(reference::SchemaArgs),
    Reference(reference::ReferenceArgs),
}

/// Why a subcommand failed: one or two sentences that say what to do next.
#[derive(Debug)]
pub struct Failure(pub String);

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(text)
    }
}

impl From<crate::control::client::Error> for Failure {
    fn from(error: crate::control::client::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<crate::runtime::Error> for Failure {
    fn from(error: crate::runtime::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// What a subcommand answers: an exit code, or a failure that is still to be printed.
pub type Outcome = Result<ExitCode, Failure>;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = Terminal::detect(cli.color);
    // These two draw: what is in order needs no line in between.
    let level = if matches!(cli.command, Command::Lab(_) | Command::Bench(_)) { "warn" } else { "info" };
    terminal::log_to_stderr(cli.log.unwrap_or_else(|| level.into()), &terminal);
    let outcome = match &cli.command {
        Command::Run(args) => run::run(args, &terminal),
        Command::Check(args) => check::run(args, &terminal),
        Command::Headroom(args) => headroom::run(args, &terminal),
        Command::Show(args) => show::run(args, &terminal),
        Command::Lab(args) => lab::run(args, &terminal),
        Command::Bench(args) => bench::run(args, &terminal),
        Command::Schema(args) => reference::schema(args),
        Command::Reference(args) => reference::markdown(args),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure(text)) => {
            terminal.complain(&text);
            ExitCode::from(FAILED)
        }
    }
}

/// A runtime for the control side: one thread, as it only waits.
///
/// # Errors
/// When the system gives no event queue.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure(format!("can't start: {error}; the limit of open files may be reached (`ulimit -n`)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_explains_itself() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says what it does");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("dcbridge {name}")), "{name} has an example");
        }
    }
}
