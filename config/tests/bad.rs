//! Files that are wrong, and what people are told about them: one snapshot for each file.
//!
//! To accept changed texts: `cargo insta review`, or `INSTA_UPDATE=always cargo test`.

use dcbridge_config::{Severity, parse, render};
use proptest::prelude::*;

#[test]
fn what_is_said_about_bad_files() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    insta::glob!("bad/*.toml", |path| {
        let text = std::fs::read_to_string(path).expect("readable");
        let name = path.file_name().expect("a file").to_string_lossy();
        let findings = match parse(&text, &name) {
            Ok((_, warnings)) => warnings,
            Err(findings) => {
                assert!(findings.iter().any(|f| f.severity == Severity::Error), "refused without error");
                findings
            }
        };
        assert!(!findings.is_empty(), "{name} is not bad");
        for finding in &findings {
            assert!(finding.help.is_some() || finding.title.starts_with("this is not TOML"));
            let span = finding.place.as_ref().map(|place| place.span.clone());
            assert!(span.is_none_or(|span| text.get(span).is_some()), "a span outside of the text");
        }
        insta::assert_snapshot!("bad", render(&findings, &text, false));
    });
}

#[test]
fn findings_are_data_too() {
    let text = "[[port]]\nname = \"tap0\"\n[[port]]\nname = \"tap0\"\n";
    let findings = parse(text, "f.toml").expect_err("two ports of one name");
    let json = serde_json::to_value(&findings).expect("plain data");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["file"], "f.toml");
    assert_eq!((&json[0]["place"]["line"], &json[0]["place"]["column"]), (&4.into(), &8.into()));
    assert_eq!(json[0]["secondary"]["line"], 2);
    let place = findings[0].place.as_ref().expect("it has a place");
    assert_eq!(&text[place.span.clone()], "\"tap0\"");
}

#[test]
fn colour_changes_nothing_but_colour() {
    let text = include_str!("bad/names.toml");
    let findings = parse(text, "names.toml").expect_err("bad names");
    let (plain, styled) = (render(&findings, text, false), render(&findings, text, true));
    assert!(styled.contains('\u{1b}') && !plain.contains('\u{1b}'));
}

#[test]
fn large_and_deep_files_are_answered_in_time() {
    let started = std::time::Instant::now();
    let ports = "[[port]]\nname = \"tap0\"\n[[port]]\nname = \"tap1\"\n";
    let list = format!("{ports}[[policy]]\nname='p'\npriority=1\nmatch=[{}]\n", "'smb',".repeat(100_000));
    for text in [
        "#".repeat(2 << 20),
        "[".repeat(500_000),
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        "a.".repeat(300_000),
        "colour = x\n[[port]]\nname = 5\n".repeat(20_000),
        "[[port]]\nname = \"tap0\"\n".repeat(30_000),
        "[[policy]]\nname='p'\nmatch='smb'\npriority=1\n".repeat(20_000) + ports,
        list,
    ] {
        let findings = parse(&text, "large.toml").expect_err("none of these is legal");
        assert!(render(&findings, &text, false).lines().last().is_some_and(|l| l.contains("error")));
    }
    // Minutes, if anything were quadratic; the bound leaves room for slow machines.
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
}

const FULL: &str = include_str!("full.toml");

/// Parses, and renders what comes out: neither may panic.
fn survives(text: &str) {
    let findings = match parse(text, "any.toml") {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    render(&findings, text, true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_toml_like_text_is_answered(text in "([\\[\\]{}=,.'\"\n #-]|port|bridge|name|vlan|[a-z0-9é]{1,3}){0,60}") {
        survives(&text);
    }

    /// A legal file from which a piece is cut out, and into which another one is put.
    #[test]
    fn a_mutated_file_is_answered(
        cut in 0..FULL.len(), length in 0_usize..60, paste in 0..FULL.len(), from in 0..FULL.len(),
        piece in 0_usize..60,
    ) {
        let bytes = FULL.as_bytes();
        let mut mutated = bytes.to_vec();
        mutated.drain(cut..(cut + length).min(bytes.len()));
        let paste = paste.min(mutated.len());
        let inserted = bytes[from..(from + piece).min(bytes.len())].iter().copied();
        mutated.splice(paste..paste, inserted);
        survives(&String::from_utf8_lossy(&mutated));
    }

    /// Every value of a legal file, replaced by a value of another kind.
    #[test]
    fn a_value_of_another_kind_is_answered(line in 0..FULL.lines().count(), value in 0_usize..12) {
        let values = ["1", "-1", "99999999999999999999", "1.5", "nan", "true", "\"\"", "\"🦀\"", "[]",
            "{}", "[[1]]", "1979-05-27"];
        let replaced: Vec<_> = FULL.lines().enumerate().map(|(n, text)| match text.split_once(" = ") {
            Some((key, _)) if n == line => format!("{key} = {}", values[value]),
            _ => text.to_owned(),
        }).collect();
        survives(&replaced.join("\n"));
    }
}
