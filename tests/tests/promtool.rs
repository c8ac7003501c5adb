//! What `/metrics` serves, as Prometheus' own checker sees it.

use std::io::Write;
use std::process::{Command, Stdio};

use dcbridge::control::metrics::{Exporter, METRICS};
use dcbridge::control::sampler::Shares;
use dcbridge::state::lldp::{Dcbx, Ets, Pfc, PortLldp, Values};
use dcbridge::state::{ClassState, Count, Drop, GroupState, Port, PriorityState, Snapshot, Worker};
use serde_json::{Value, json};

fn port(name: &str, wire_bytes: u64) -> Port {
    let count = Count { units: 3, frames: 7, bytes: 4242 };
    let drop = |reason: &str| Drop { reason: reason.to_owned(), meaning: "it had to go".to_owned(), count };
    let class = |name: &str, tc, priorities, target_share| ClassState {
        name: name.to_owned(),
        tc,
        priorities,
        target_share,
        tx_wire_bytes: wire_bytes,
        ..ClassState::default()
    };
    Port {
        name: name.to_owned(),
        line_rate_bps: Some(1_000_000_000),
        rx_drops: vec![drop("runt")],
        tx_drops: vec![drop("queue_full")],
        priorities: (0..8)
            .map(|p| PriorityState {
                paused_ns: p * 1_500_000_001,
                group: GroupState { lossless: p == 3, ..Default::default() },
                ..Default::default()
            })
            .collect(),
        classes: vec![class("a \"quoted\" name", 0, 0x7f, Some(1.0)), class("first", 1, 0x80, None)],
        lldp: Some(PortLldp { dcbx: Some(dcbx()), ..PortLldp::default() }),
        ..Port::default()
    }
}

fn dcbx() -> Dcbx {
    let ets = Ets { class_of: vec![Some(0); 8], bandwidth: vec![100; 1], ..Ets::default() };
    let operational = Values { ets: Some(ets), pfc: Some(Pfc::default()), applications: Vec::new() };
    Dcbx { mode: "auto".to_owned(), operational, ..Dcbx::default() }
}

fn snapshot(wire_bytes: u64) -> Snapshot {
    let ports = ["tap0", "back\\slash"].map(|name| port(name, wire_bytes));
    let worker =
        Worker { flow_reaction: vec![0, 3, 5, 0, 1], flow_reaction_sum_ns: 23_456, ..Worker::default() };
    Snapshot { name: "br0".to_owned(), ports: ports.into(), worker, ..Snapshot::default() }
}

#[test]
fn promtool_finds_no_fault() {
    let later = snapshot(2000);
    let text = Exporter::new("br0").render(&later, &Shares::between(&snapshot(1000), &later));
    for metric in METRICS {
        assert!(text.contains(&format!("\n{}{{", metric.name)), "{} is among what is checked", metric.name);
    }
    let (passed, said) = promtool(&["check", "metrics"], &text);
    assert!(passed && said.trim().is_empty(), "promtool: {said}\n{text}");
}

/// Runs promtool with `input` on its standard input; answers whether it passed, and what it said.
fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let started = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = started.expect("promtool runs; it is in Debian's package `prometheus`");
    promtool.stdin.take().expect("it was piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

fn document(file: &str) -> String {
    std::fs::read_to_string(format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR")))
        .expect("the document is there")
}

#[test]
fn the_expressions_of_dashboard_and_reference_are_promql() {
    let dashboard: Value = serde_json::from_str(&document("dashboards/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut expressions: Vec<String> = targets
        .map(|target| target["expr"].as_str().expect("a target has an expression").to_owned())
        .collect();
    let dashboards = expressions.len();
    let reference = document("metrics.md");
    let (_, useful) = reference.split_once("Useful expressions:").expect("the reference has expressions");
    let rows = useful.split("## ").next().unwrap_or_default().lines().skip(4);
    expressions.extend(rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned));
    assert!(
        dashboards >= 15 && expressions.len() >= dashboards + 5,
        "expressions are found: {expressions:?}"
    );

    // Grafana fills these in; rules of one group hold one expression each.
    let filled = |text: &str| {
        text.replace("$__rate_interval", "1m")
            .replace("$__range", "1h")
            .replace("$bridge", "br0")
            .replace("$port", ".*")
    };
    let rules: Vec<Value> = (0..)
        .zip(&expressions)
        .map(|(n, expression)| json!({"record": format!("checked:{n}"), "expr": filled(expression)}))
        .collect();
    let file = json!({"groups": [{"name": "documents", "rules": rules}]});
    let (passed, said) = promtool(&["check", "rules", "/dev/stdin"], &file.to_string());
    assert!(passed, "promtool: {said}");
}
