//! `dcbridge bench` as a test runs it.

use std::process::Command;

use serde_json::Value;

/// Runs the bench of a program and answers its JSON.
///
/// # Panics
/// When it fails; shows what it said.
pub fn bench(program: &str, words: &str) -> Value {
    let ran = Command::new(program).args(["bench", "--json"]).args(words.split_whitespace()).output();
    let output = ran.expect("the program starts");
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "bench {words}: {}\n{text}\n{said}", output.status);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The row of a switch's figure.
///
/// # Panics
/// When there is none.
pub fn row<'a>(report: &'a Value, switch: &str, scenario: &str, quantity: &str) -> &'a Value {
    let rows = report["rows"].as_array().expect("rows");
    let wanted = |r: &&Value| r["switch"] == switch && r["scenario"] == scenario && r["quantity"] == quantity;
    rows.iter().find(wanted).unwrap_or_else(|| panic!("{switch} {scenario} {quantity}: {report:#}"))
}
