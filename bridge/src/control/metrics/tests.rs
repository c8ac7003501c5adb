use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::control::fixture;
use crate::control::sampler::Shares;
use crate::state::Snapshot;

fn rendered(snapshot: &Snapshot) -> String {
    Exporter::new("br0").render(snapshot, &Shares::default())
}

fn docs(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

#[test]
fn the_exposition_of_a_switch() {
    let (earlier, later) = fixture::window();
    let text = Exporter::new("br0").render(&later, &Shares::between(&earlier, &later));
    insta::assert_snapshot!(text.replace(crate::VERSION, "VERSION"));
}

#[test]
fn every_metric_is_scraped_with_its_help_and_kind() {
    let (earlier, later) = fixture::window();
    let text = Exporter::new("br0").render(&later, &Shares::between(&earlier, &later));
    for metric in METRICS {
        let kind = if metric.is_counter() { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
    }
    let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert!(text.contains(&format!("# TYPE {} histogram\n", histogram::NAME)));
    assert_eq!(families, METRICS.len() + 1, "each metric is one family, and there is no other");
}

#[test]
fn counters_and_gauges_follow_their_names() {
    let (earlier, later) = fixture::window();
    let shares = Shares::between(&earlier, &later);
    for metric in METRICS {
        metric.visit(&later, &shares, &mut |labels, value| {
            assert_eq!(labels.len(), metric.from.labels().len(), "{}", metric.name);
            let counter = !matches!(value, Value::Gauge(_));
            assert_eq!(counter, metric.is_counter(), "{} is a {value:?}", metric.name);
            let in_nanoseconds = matches!(value, Value::Nanoseconds(_));
            assert_eq!(
                in_nanoseconds,
                metric.name.ends_with("_seconds_total"),
                "{} is a {value:?}",
                metric.name
            );
        });
    }
}

#[test]
fn series_of_what_is_gone_vanish_and_the_others_keep_their_values() {
    let (earlier, later) = fixture::window();
    let mut exporter = Exporter::new("br0");
    let before = exporter.render(&later, &Shares::between(&earlier, &later));
    assert!(before.contains("port=\"tap1\"") && before.contains("share_measured_ratio{"));

    let mut without = later.clone();
    without.ports.remove(1);
    let after = exporter.render(&without, &Shares::default());
    assert!(!after.contains("tap1"), "{after}");
    assert!(!after.contains("share_measured_ratio"), "a share without a window has no series");
    assert_eq!(after, rendered(&without));

    assert_eq!(exporter.render(&later, &Shares::between(&earlier, &later)), before, "the port came back");
}

#[test]
fn a_counter_follows_the_snapshot() {
    let mut snapshot = fixture::snapshot();
    let mut exporter = Exporter::new("br0");
    exporter.render(&snapshot, &Shares::default());
    snapshot.ports[0].rx.frames = 151;
    snapshot.ports[0].priorities[3].paused_ns = 2_250_000_001;
    let text = exporter.render(&snapshot, &Shares::default());
    let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    has("dcbridge_port_receive_frames_total{bridge=\"br0\",port=\"tap0\"} 151");
    has("dcbridge_priority_paused_seconds_total{bridge=\"br0\",port=\"tap0\",priority=\"3\"} 2.250000001");
}

#[test]
fn names_can_not_break_the_exposition() {
    let mut snapshot = fixture::snapshot();
    snapshot.ports[0].classes[0].name = "a\"} 1\n# TYPE x counter\n\nb\\ 9".to_owned();
    let text = rendered(&snapshot);
    assert_eq!(text.lines().count(), rendered(&fixture::snapshot()).lines().count(), "{text}");
    assert!(text.contains(r#"class="a\"} 1\n# TYPE x counter\n\nb\\ 9""#), "{text}");
}

/// Compares a page with what it is written from. `DCBRIDGE_REGENERATE=1 cargo test` writes it anew.
fn assert_page_is_fresh(file: &str, expected: &str) {
    if std::env::var_os("DCBRIDGE_REGENERATE").is_some() {
        std::fs::write(docs(file), expected).unwrap();
    }
    let page = std::fs::read_to_string(docs(file)).unwrap_or_default();
    assert!(
        page == expected,
        "docs/{file} is stale; write it anew with DCBRIDGE_REGENERATE=1 cargo test -p dcbridge"
    );
}

#[test]
fn the_reference_page_is_fresh() {
    assert_page_is_fresh("metrics.md", &reference_markdown());
}

#[test]
fn documents_name_only_metrics_that_exist() {
    for file in ["metrics.md", "dashboards/grafana.json"] {
        let text = std::fs::read_to_string(docs(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: BTreeSet<&str> = words.filter(|w| w.starts_with("dcbridge_")).collect();
        assert!(named.len() > 10, "{file} names metrics");
        for name in named {
            assert!(
                METRICS.iter().any(|m| m.name == name) || name.starts_with(histogram::NAME),
                "docs/{file} names {name}, which is not exported"
            );
        }
    }
}
