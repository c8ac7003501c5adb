//! `dcbridge headroom`: how much buffer lossless classes need to pause without loss, and how that adds up.
//!
//! The figures are the configuration's (`plan`) and the scheduler's; here they are only laid out (`report`) and shown.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use dcbridge_config::Severity;

use super::terminal::{Terminal, print};
use super::{FAILED, Failure, Outcome, check};
use report::Report;

const EXAMPLES: &str = "\
Examples:
  dcbridge headroom br0.toml
  dcbridge headroom --json br0.toml | jq '.groups[] | {port, priority, needed_bytes}'
  generate-config | dcbridge headroom -

A configuration whose only error is a buffer that is too small is shown as well.

Exit codes: 0 the headroom and the buffer suffice, 1 they don't or the configuration has errors, 2 wrong usage.";

/// Show how much buffer lossless classes need to pause without loss, part by part
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration in TOML; `-` reads standard input
    file: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When the file can't be read, or has other errors than a buffer that is too small.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    let (text, name) = check::read_text(&args.file)?;
    let (config, findings) = dcbridge_config::parse_to_plan(&text, &name);
    let Some(config) = config else {
        let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        let errors: Vec<_> = errors.collect();
        eprint!("{}", dcbridge_config::render(&errors, &text, terminal.err.color));
        return Ok(ExitCode::from(FAILED));
    };
    let report = Report::of(&config);
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        print(&(json.map_err(|error| Failure(format!("can't write the figures as JSON: {error}")))? + "\n"))?;
    } else {
        print(&report.text(terminal.out))?;
    }
    Ok(if report.suffices { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
