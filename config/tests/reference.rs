//! The reference page and the JSON schema follow the declarations of the sections.

use std::path::Path;

use dcbridge_config::{json_schema, parse, reference_markdown};
use serde_json::Value;

/// Set this to write the page anew instead of comparing it.
const REGENERATE: &str = "DCBRIDGE_REGENERATE";

#[test]
fn the_committed_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = reference_markdown();
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the page is committed");
    assert!(committed == page, "docs/configuration.md is stale: run the tests with {REGENERATE}=1");
}

/// Walks all objects of the schema that describe keys.
fn each_key(schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    if let Some(properties) = schema["properties"].as_object() {
        for (key, value) in properties {
            visit(key, value);
            each_key(value, visit);
        }
    }
    for nested in [&schema["items"]].into_iter().chain(schema["anyOf"].as_array().into_iter().flatten()) {
        if !nested.is_null() {
            each_key(nested, visit);
        }
    }
}

#[test]
fn every_key_is_described_and_every_default_is_legal() {
    let mut keys = 0;
    each_key(&json_schema(), &mut |key, schema| {
        keys += 1;
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(description.len() > 3, "`{key}` is not described");
        if let Some(default) = schema.get("default") {
            assert!(!default.is_null(), "the default of `{key}` is not TOML");
            assert!(jsonschema::is_valid(schema, default), "the default of `{key}` is not accepted");
        }
    });
    assert!(keys > 60, "only {keys} keys found");
}

fn as_json(text: &str) -> Value {
    toml::from_str(text).expect("TOML")
}

#[test]
fn the_schema_accepts_what_the_parser_accepts() {
    let schema = json_schema();
    let validator = jsonschema::validator_for(&schema).expect("a legal schema");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut paths: Vec<_> = std::fs::read_dir(examples)
        .expect("docs/examples exists")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/full.toml"));
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable");
        if let Err(error) = validator.validate(&as_json(&text)) {
            panic!("{}: {error} at {}", path.display(), error.instance_path());
        }
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = json_schema();
    let port = "[[port]]\nname='a'\n";
    for extra in [
        "colour = 1",
        "mtu = 9203",
        "mtu = 'big'",
        "trust = ['vlan']",
        "line_rate = '10GB'",
        "offload = 'yes'",
        "vlan = { pvid = 4095 }",
        "[map]\npcp = { 8 = 0 }",
        "[[policy]]\nname='p'\nmatch='smbb'\npriority=1",
        "[[policy]]\nname='p'\nmatch='smb'",
    ] {
        let text = format!("{port}{extra}\n");
        assert!(parse(&text, "f").is_err(), "the parser accepts {extra}");
        assert!(!jsonschema::is_valid(&schema, &as_json(&text)), "the schema accepts {extra}");
    }
}

#[test]
fn the_full_file_of_the_tests_has_every_key() {
    let full = include_str!("full.toml");
    let exempt = ["mtu", "connect", "listen"];
    each_key(&json_schema(), &mut |key, _| {
        assert!(exempt.contains(&key) || full.contains(key), "tests/full.toml lacks `{key}`");
    });
}
