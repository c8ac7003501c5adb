//! `docs/configuration.md` and the JSON schema, made from the declarations in `schema::sections`.
//!
//! Only the words around the tables are written here; what a key means is said where it is
//! declared.

use std::fmt::Write;

use schemars::SchemaGenerator;

use crate::schema::sections::{self, File};
use crate::schema::{KeyDefault, KeySpec, Section};
use crate::words::{APPLICATIONS, NETWORK_DIRECT_EXPANDS_TO};
use crate::{parse, render};

/// The JSON schema (draft 2020-12) of the file, for editors that complete and check TOML.
pub fn json_schema() -> serde_json::Value {
    let mut schema = File::object_schema(&mut SchemaGenerator::default());
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "dcbridge configuration".into());
    schema.to_value()
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from config/src/schema/sections.rs; to renew it:
     DCBRIDGE_REGENERATE=1 cargo test -p dcbridge-config --test reference -->

dcbridge reads one TOML file. Only the ports have to be in it; everything else has a default. The
whole file is checked before anything is touched, and every mistake is shown at once, with its
place and what to write instead:

";

const UNITS: &str = "
## Values

- **Rates** are bits per second: `\"10Gbit\"`, `\"2.5Gbit\"`, `\"100Mbit\"`; `\"1Gbps\"` is the same as
  `\"1Gbit\"`. A plain number is bit/s. Rates in bytes (`\"1GB/s\"`) are refused.
- **Sizes** are bytes: `\"12MB\"` is decimal, `\"12MiB\"` binary. A plain number is bytes.
- **Durations** have a unit: `\"5ms\"`, `\"250us\"`, `\"5min\"`.
- **Lists** of one value can be written without brackets.
- **Priorities** are the eight of 802.1Q, 0 to 7. Which one a frame gets is decided by the first of:
  the matching [policy](#policy) of the highest precedence, the first mark of the frame that its
  port trusts, the port's default.

## Example

Storage without loss, a little for heartbeats, the rest for everyone. More examples are in
[examples](examples/).

```toml
";

const WORDS: &str = "
### Words of a match

`match = \"smb\"` and `match = { smb = true }` mean the same; the second can be narrowed by further
conditions, as in `{ smb = true, src_ip = \"10.0.0.0/8\" }`. A list matches when any of its elements
does: `match = [\"iscsi\", { tcp_port = 8080 }]`. Ports match as source or destination unless
said otherwise.

| word | matches |
|---|---|
";

/// A file with typical mistakes, shown at the top of the page.
const MISTAKES: &str = "\
[[traffic_class]]
name = \"storage\"
priorities = [3]
bandwidth = 50
losless = true

[[traffic_class]]
name = \"default\"
priorities = \"rest\"
bandwidth = 40

[[port]]
name = \"tap0\"
mtu = 16000
";

/// The reference page in Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("```text\n");
    let findings = parse(MISTAKES, "dcbridge.toml").map_or_else(|errors| errors, |(_, warnings)| warnings);
    page.push_str(&render(&findings, MISTAKES, false));
    page.push_str("```\n");
    page.push_str(UNITS);
    page.push_str(include_str!("../../docs/examples/converged.toml"));
    page.push_str("```\n");
    for (header, doc, keys) in sections::all() {
        section(&mut page, header, doc, &keys);
    }
    page
}

/// Anchors are made from headings, so these are single words.
fn heading(header: &str) -> String {
    let word = header.trim_matches(['[', ']']);
    match word {
        "match" => "## `match` of a policy".to_owned(),
        "vlan" => "## `vlan` of a port".to_owned(),
        "dcbx" => "## `dcbx` of a port".to_owned(),
        _ => format!("## {word}"),
    }
}

fn section(page: &mut String, header: &str, doc: &str, keys: &[KeySpec]) {
    let _ = write!(page, "\n{}\n\n", heading(header));
    if header.starts_with('[') {
        let _ = write!(page, "`{header}`");
        page.push_str(if header.starts_with("[[") { ", repeated as needed" } else { "" });
        page.push_str(". ");
    }
    let _ = write!(page, "{doc}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let default = match &key.default {
            KeyDefault::Required => "**required**".to_owned(),
            KeyDefault::Value(value) => format!("`{value}`"),
            KeyDefault::Words(words) => (*words).to_owned(),
        };
        let cells = [format!("`{}`", key.name), key.accepts.clone(), default, key.doc.to_owned()];
        let _ = writeln!(page, "| {} |", cells.map(|cell| escape(&cell)).join(" | "));
    }
    if header == "match" {
        page.push_str(WORDS);
        for application in APPLICATIONS {
            let _ = writeln!(page, "| `{}` | {} |", application.word, application.expands_to);
        }
        let _ = writeln!(page, "| `netdirect_port = N` | {NETWORK_DIRECT_EXPANDS_TO} |");
    }
}

/// Text inside of a table cell.
fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}
