//! `dcbridge check`: is a configuration right, and if not, what and where.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dcbridge_config::{Config, Diagnostic, Severity};
use serde::Serialize;

use super::table::Tone;
use super::terminal::{Terminal, print};
use super::{FAILED, Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  dcbridge check br0.toml
  dcbridge check --json br0.toml | jq '.diagnostics[].title'
  generate-config | dcbridge check -

Exit codes: 0 no errors (there may be warnings), 1 errors, 2 wrong usage.";

/// Check a configuration and show every error where it stands
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration in TOML; `-` reads standard input
    file: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// A text of this length is too long for a configuration, which its check then says: no more is read of a device or a
/// pipe that never ends.
const READ_MAX: u64 = 4 << 20;

/// A configuration that was read, with what was found in it.
pub(super) struct Checked {
    text: String,
    /// The configuration; `None` when there are errors.
    pub(super) config: Option<Config>,
    findings: Vec<Diagnostic>,
}

impl Checked {
    /// The findings as a person reads them; empty when there are none.
    pub(super) fn rendered(&self, color: bool) -> String {
        if self.findings.is_empty() {
            return String::new();
        }
        dcbridge_config::render(&self.findings, &self.text, color)
    }
}

/// Reads and checks a file, for `check` and `run` alike.
pub(super) fn read(file: &Path) -> Result<Checked, Failure> {
    let (text, name) = read_text(file)?;
    let (config, findings) = match dcbridge_config::parse(&text, &name) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(findings) => (None, findings),
    };
    Ok(Checked { text, config, findings })
}

pub(super) fn read_text(file: &Path) -> Result<(String, String), Failure> {
    let stdin = file == Path::new("-");
    let name = if stdin { "<stdin>".to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let read = if stdin {
        std::io::stdin().lock().take(READ_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes))
    };
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure(format!("there is no file {name}; `dcbridge reference` shows what a configuration holds"))
        }
        _ => Failure(format!("can't read {name}: {error}")),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        Failure(format!("{name} is not UTF-8 text (line {line}); save it as UTF-8"))
    })?;
    Ok((text, name))
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    diagnostics: &'a [Diagnostic],
}

/// Runs the subcommand.
///
/// # Errors
/// When the file can't be read.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    let checked = read(&args.file)?;
    let ok = checked.config.is_some();
    if args.json {
        print(&json(&checked)?)?;
    } else {
        print(&checked.rendered(terminal.out.color))?;
        if let Some(config) = &checked.config {
            let verdict = terminal.out.paint("ok", Tone::Good);
            print(&format!("{verdict}: {}\n", contents(config)))?;
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn json(checked: &Checked) -> Result<String, Failure> {
    let count = |severity| checked.findings.iter().filter(|finding| finding.severity == severity).count();
    let report = Report {
        ok: checked.config.is_some(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        diagnostics: &checked.findings,
    };
    let text = serde_json::to_string_pretty(&report);
    text.map(|text| text + "\n")
        .map_err(|error| Failure(format!("can't write the findings as JSON: {error}")))
}

fn contents(config: &Config) -> String {
    let some = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    format!(
        "switch {} with {}, {} and {}",
        config.bridge.name,
        some(config.ports.len(), "port", "ports"),
        some(config.traffic_classes.len(), "traffic class", "traffic classes"),
        some(config.policies.len(), "policy", "policies"),
    )
}
