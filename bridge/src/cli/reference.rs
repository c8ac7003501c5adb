//! `dcbridge schema` and `dcbridge reference`: what a configuration may hold, for editors and for people.

use std::process::ExitCode;

use super::terminal::print;
use super::{Failure, Outcome};

const SCHEMA_EXAMPLES: &str = "\
Examples:
  dcbridge schema > dcbridge.schema.json

An editor with a TOML language server completes and checks keys with it: write
`#:schema ./dcbridge.schema.json` as the first line of the configuration.

Exit codes: 0 printed, 1 the output can't be written, 2 wrong usage.";

const REFERENCE_EXAMPLES: &str = "\
Examples:
  dcbridge reference | less
  dcbridge reference > configuration.md

Exit codes: 0 printed, 1 the output can't be written, 2 wrong usage.";

/// Print the JSON schema of the configuration, for editors
#[derive(Debug, clap::Args)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub struct SchemaArgs {}

/// Print the reference of the configuration, in Markdown
#[derive(Debug, clap::Args)]
#[command(after_help = REFERENCE_EXAMPLES)]
pub struct ReferenceArgs {}

/// Runs `dcbridge schema`.
///
/// # Errors
/// When the output can't be written.
pub fn schema(_: &SchemaArgs) -> Outcome {
    let text = serde_json::to_string_pretty(&dcbridge_config::json_schema());
    let text = text.map_err(|error| Failure(format!("can't write the schema as JSON: {error}")))?;
    print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `dcbridge reference`.
///
/// # Errors
/// When the output can't be written.
pub fn markdown(_: &ReferenceArgs) -> Outcome {
    print(&dcbridge_config::reference_markdown())?;
    Ok(ExitCode::SUCCESS)
}
