//! What the program writes to: whether there is colour, how wide it is, and what happens when the reader is gone.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::Failure;
use super::table::{Canvas, Tone};

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Also into a pipe or a file
    Always,
    /// Nowhere
    Never,
}

/// Standard output and standard error.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// How standard output is drawn on.
    pub out: Canvas,
    /// How standard error is drawn on.
    pub err: Canvas,
    /// Whether a person looks at standard output, so that it may be redrawn.
    pub interactive: bool,
}

impl Terminal {
    /// Looks at where the output goes.
    pub fn detect(when: ColorWhen) -> Terminal {
        let environment = Environment {
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb: std::env::var_os("TERM").is_some_and(|term| term == "dumb"),
        };
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let interactive = io::stdout().is_terminal();
        Terminal {
            out: Canvas { color: environment.color(when, interactive), width },
            err: Canvas { color: environment.color(when, io::stderr().is_terminal()), width: None },
            interactive,
        }
    }

    /// Says on standard error what went wrong.
    pub fn complain(&self, text: &str) {
        let mark = self.err.paint("error", Tone::Bad);
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{mark}: {text}");
    }
}

struct Environment {
    no_color: bool,
    dumb: bool,
}

impl Environment {
    fn color(&self, when: ColorWhen, is_terminal: bool) -> bool {
        match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => is_terminal && !self.no_color && !self.dumb,
        }
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) wants no more, which is no failure.
///
/// # Errors
/// When the output can't be written, as on a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("can't write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Sends the log to standard error.
pub(super) fn log_to_stderr(filter: EnvFilter, terminal: &Terminal) {
    // Only a second call could fail, and there is none: tests don't log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal.err.color)
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_whose_user_wants_it() {
        let plain = Environment { no_color: false, dumb: false };
        assert!(plain.color(ColorWhen::Auto, true));
        assert!(!plain.color(ColorWhen::Auto, false), "no colour into a pipe");
        assert!(plain.color(ColorWhen::Always, false));
        assert!(!plain.color(ColorWhen::Never, true));
        let no_color = Environment { no_color: true, dumb: false };
        assert!(!no_color.color(ColorWhen::Auto, true));
        assert!(no_color.color(ColorWhen::Always, true), "an option goes before the environment");
        assert!(!Environment { no_color: false, dumb: true }.color(ColorWhen::Auto, true));
    }
}
