//! What the program writes to: whether there is colour, how wide it is, and what happens when the reader is gone.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    /// Lines of the terminal; `None`: no limit (a pipe or a file).
    pub height: Option<usize>,
}

impl Terminal {
    /// Looks at where the output goes.
    pub fn detect(when: ColorWhen) -> Terminal {
        let environment = Environment {
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb: std::env::var_os("TERM").is_some_and(|term| term == "dumb"),
        };
        let size = terminal_size::terminal_size_of(io::stdout());
        let width = size.map(|(width, _)| usize::from(width.0));
        let interactive = io::stdout().is_terminal();
        Terminal {
            out: Canvas { color: environment.color(when, interactive), width },
            err: Canvas { color: environment.color(when, io::stderr().is_terminal()), width: None },
            interactive,
            height: size.map(|(_, height)| usize::from(height.0)),
        }
    }

    /// A picture cut to the terminal's height, so that it can be redrawn in place; its last line says what is missing.
    pub fn fit(&self, picture: &str) -> String {
        let lines: Vec<&str> = picture.lines().collect();
        // The cursor rests on a line of its own.
        let room = self.height.map_or(usize::MAX, |height| height.saturating_sub(1).max(1));
        if lines.len() <= room {
            return picture.to_owned();
        }
        let (shown, hidden) = lines.split_at(room - 1);
        let more =
            self.out.paint(&format!("… {} more lines; a taller window shows them", hidden.len()), Tone::Dim);
        shown.iter().chain([&more.as_str()]).fold(String::new(), |picture, line| picture + line + "\n")
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

/// Reads what `--log` was given: a level, or filters such as `warn,dcbridge::control=debug`.
///
/// The filter's own parser takes a misspelt level for the name of a module, and then nothing is logged; so each part
/// must end in a level.
pub(super) fn log_filter(text: &str) -> Result<EnvFilter, String> {
    for part in text.split(',') {
        let level = part.rsplit('=').next().unwrap_or_default();
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!("`{level}` is no level; write off, error, warn, info, debug or trace"));
        }
    }
    text.parse().map_err(|error| format!("{error}"))
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
    fn a_picture_never_scrolls() {
        let mut terminal =
            Terminal { out: Canvas::PLAIN, err: Canvas::PLAIN, interactive: true, height: Some(4) };
        assert_eq!(terminal.fit("1\n2\n3\n"), "1\n2\n3\n");
        assert_eq!(terminal.fit("1\n2\n3\n4\n"), "1\n2\n… 2 more lines; a taller window shows them\n");
        terminal.height = None;
        assert_eq!(terminal.fit(&"x\n".repeat(500)), "x\n".repeat(500));
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "off", "warn,dcbridge::control=debug", "dcbridge=trace"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["inof", "", "=x=", "dcbridge=", "warn,", "dcbridge::control"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

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
