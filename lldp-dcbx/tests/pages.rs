//! `docs/lldp-state-machines.md` is what the tables say, and the crate keeps what its first line promises.
//! `UPDATE_DOCS=1 cargo test -p lldp-dcbx --test pages` writes the page anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use lldp_dcbx::dcbx::dialect::DIALECT;
use lldp_dcbx::dcbx::legacy::rules;
use lldp_dcbx::lldp::tables::{RECEIVE, TIMER, TRANSMIT};

fn page() -> String {
    let mut out = String::from(
        "# State machines of LLDP and DCBX\n\n\
         Drawn from the tables that the program runs (`lldp-dcbx/src/lldp/tables.rs`, `dcbx/dialect.rs`,\n\
         `dcbx/legacy/rules.rs`); a test fails when this page is stale. To write it anew:\n\
         `UPDATE_DOCS=1 cargo test -p lldp-dcbx --test pages`.\n",
    );
    let mut section = |clause: &str, name: &str, diagram: &str| {
        out += "\n## ";
        for part in [name, "\n\n", clause, "\n\n", diagram] {
            out += part;
        }
    };
    section("802.1AB 9.2.8, one for each group address.", TRANSMIT.name, &TRANSMIT.mermaid());
    section("802.1AB 9.2.9, one for each group address.", TIMER.name, &TIMER.mermaid());
    section("802.1AB 9.2.10, one for each group address.", RECEIVE.name, &RECEIVE.mermaid());
    section("One for each port. Other modes stay in their dialect.", DIALECT.name, &DIALECT.mermaid());
    section(
        "What a feature comes to; the first case that applies. CEE never compares priority groups, CIN wants them\n\
         equal; PFC bitmaps must be equal, application lists must say the same.",
        "A feature in CEE and CIN",
        &rules::markdown(),
    );
    out
}

#[test]
fn the_page_of_state_machines_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lldp-state-machines.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, page()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, page(), "write it anew: UPDATE_DOCS=1 cargo test -p lldp-dcbx --test pages");
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { sources(&path, out) } else { out.push(path) }
    }
}

/// The crate is `no_std`, so the compiler refuses `std` unless somebody lets it in again; this fails then.
#[test]
fn nothing_reaches_for_std_a_clock_or_unsafe() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20, "the sources are here");
    let root = fs::read_to_string(src.join("lib.rs")).unwrap();
    assert!(root.contains("#![no_std]") && root.contains("#![forbid(unsafe_code)]"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["std::", "extern crate std", "unsafe {", "Instant::now", "SystemTime"] {
            let found = text.lines().position(|l| !l.trim_start().starts_with("//") && l.contains(word));
            assert!(found.is_none(), "{word} in {} line {}", file.display(), found.unwrap_or(0) + 1);
        }
        assert!(text.lines().count() <= 600, "{} is too long for one room", file.display());
    }
}
