//! What `/metrics` serves, as Prometheus' own checker sees it.

use std::io::Write;
use std::process::{Command, Stdio};

use dcbridge::control::metrics::{Exporter, METRICS};
use dcbridge::control::sampler::Shares;
use dcbridge::state::{ClassState, Count, Drop, Port, PriorityState, Snapshot};

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
            .map(|p| PriorityState { paused_ns: p * 1_500_000_001, ..Default::default() })
            .collect(),
        classes: vec![class("a \"quoted\" name", 0, 0x7f, Some(1.0)), class("first", 1, 0x80, None)],
        ..Port::default()
    }
}

fn snapshot(wire_bytes: u64) -> Snapshot {
    let ports = ["tap0", "back\\slash"].map(|name| port(name, wire_bytes));
    Snapshot { name: "br0".to_owned(), ports: ports.into(), ..Snapshot::default() }
}

#[test]
fn promtool_finds_no_fault() {
    let later = snapshot(2000);
    let text = Exporter::new("br0").render(&later, &Shares::between(&snapshot(1000), &later));
    for metric in METRICS {
        assert!(text.contains(&format!("\n{}{{", metric.name)), "{} is among what is checked", metric.name);
    }
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = started.expect("promtool runs; it is in Debian's package `prometheus`");
    promtool.stdin.take().expect("it was piped").write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "promtool: {said}\n{text}");
}
