//! How far a run is, on standard error: a line that is redrawn on a terminal, a line for each scenario elsewhere.

use std::io::{self, IsTerminal, Write};

/// Shows progress.
#[derive(Debug)]
pub struct Progress {
    live: bool,
    shown: bool,
}

impl Progress {
    /// To standard error as it is.
    pub fn new() -> Progress {
        Progress { live: io::stderr().is_terminal(), shown: false }
    }

    /// A scenario begins.
    pub fn scenario(&mut self, number: usize, of: usize, name: &str) {
        if !self.live {
            say(&format!("{number} of {of}: {name}\n"));
        }
    }

    /// What is done at the moment.
    pub fn step(&mut self, text: &str) {
        if self.live {
            say(&format!("\r\x1b[2K{text}"));
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            say("\r\x1b[2K");
        }
    }
}

fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody may be there to read it.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
