//! The list itself: the document is made from it, and the tests that it names exist.

use std::collections::BTreeSet;
use std::path::Path;

use dcbridge_tests::conformance::{Tested, document, lines};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_document_is_the_list() {
    let path = here().join("../docs/conformance.md");
    let text = document();
    if std::env::var_os("DCBRIDGE_REGENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/conformance.md is not what tests/src/conformance.rs says; write it anew with \
         DCBRIDGE_REGENERATE=1 cargo test -p dcbridge-tests --test conformance the_document_is_the_list"
    );
}

/// Names of the test functions in a file.
fn tests_in(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[test]" {
            let name =
                lines.by_ref().find_map(|l| l.strip_prefix("fn ")?.split('(').next().map(str::to_owned));
            found.extend(name);
        }
    }
    found
}

#[test]
fn every_line_that_passes_has_its_test() {
    let keys: BTreeSet<&str> = lines().map(|l| l.key).collect();
    assert_eq!(keys.len(), lines().count(), "a key is there twice");
    for line in lines() {
        for tested in line.tested {
            let tests = tests_in(&here().join(tested.path()));
            assert!(
                tests.contains(&line.function()),
                "{} is listed as tested in {}, which has only {tests:?}",
                line.key,
                tested.path()
            );
        }
    }
}

#[test]
fn every_test_of_the_list_is_in_the_list() {
    for entry in std::fs::read_dir(here().join("tests/conformance")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The table, and the list as a whole once more.
        if ["main.rs", "table.rs", "workers.rs"].contains(&name.as_str()) {
            continue;
        }
        for test in tests_in(&here().join("tests/conformance").join(&name)) {
            let listed = lines().any(|l| {
                l.function() == test && l.tested.iter().any(|t| matches!(t, Tested::Virtual(f) if *f == name))
            });
            assert!(listed, "{test} in {name} is not in the list, where people would look for it");
        }
    }
}
