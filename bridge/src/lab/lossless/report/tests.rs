//! Runs that went well, badly, and that proved nothing.

use std::time::Duration;

use dcbridge_config::BitRate;

use super::*;
use crate::lab::args::Mode;
use crate::lab::measure::tests::{class_plan, sample};
use crate::state::{Count, Drop, PriorityState};

const RATE: u64 = 1_000_000;

fn frames(frames: u64) -> Count {
    Count { units: frames, frames, bytes: 100 * frames }
}

/// A port that guarantees this; its priority 0 is lossless.
fn port(name: &str, guarantee: &str) -> Port {
    let mut port = Port { name: name.to_owned(), guarantee: guarantee.to_owned(), ..Port::default() };
    port.priorities.resize_with(8, PriorityState::default);
    port.priorities[0].group.lossless = true;
    port
}

/// What the hosts counted, lossless and lossy: wire bytes received in the window's second, and frames lost in all.
struct Scene {
    received: [u64; 2],
    lost: [u64; 2],
    guarantee: &'static str,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene { received: [75_000, 50_000], lost: [0, 500], guarantee: "bounded by headroom" }
    }
}

impl Scene {
    fn end(&self) -> Sample {
        let mut hosts = sample(1500, &self.received);
        for (class, lost) in hosts.classes.iter_mut().zip(self.lost) {
            class.offered = class.received;
            class.offered.frames += lost;
            class.dropped_frames = lost;
        }
        let mut trunk = port("to-sw2", "frames only");
        trunk.priorities[0].tx = frames(hosts.classes[0].received.frames);
        let near = Snapshot { ports: vec![port("h1", self.guarantee), trunk], ..Snapshot::default() };
        let mut far = Snapshot {
            name: "sw2".to_owned(),
            ports: vec![port("to-sw1", "frames only"), port("sink", "none")],
            ..near.clone()
        };
        far.ports[0].priorities[0].group.xoff_tx = 7;
        Sample { hosts, switches: [near, far] }
    }

    fn judged(&self, change: impl FnOnce(&mut Sample)) -> Report {
        let mut end = self.end();
        change(&mut end);
        let from = Sample { hosts: sample(500, &[0, 0]), switches: end.switches.clone() };
        let mut plan = [class_plan("storage", Some(0.6), 6e5), class_plan("default", Some(0.4), 4e5)];
        plan[0].lossless = true;
        let args = LosslessArgs {
            seconds: 1,
            rate: BitRate(RATE),
            frame_size: FrameSize::Fixed(1518),
            mode: Mode::Auto,
            json: true,
        };
        let chosen = Chosen { mode: Mode::Netns, reason: "as asked".to_owned() };
        let promise = Promise::of(&end.switches[0]);
        let run = Run {
            args: &args,
            plan: &plan,
            chosen: &chosen,
            promise,
            cable: "veth",
            early: false,
            notes: vec![],
        };
        judge(run, (&from, &end), &end)
    }
}

#[test]
fn everything_lossless_arrived_and_something_lossy_did_not() {
    let report = Scene::default().judged(|_| {});
    assert!(report.passed, "{}", report.verdict);
    assert_eq!(
        report.verdict,
        "PASS: all 750 lossless frames that were sent arrived, 500 lossy ones were lost; every class within 0.0 \
         percentage points of its share."
    );
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(report.promise, Promise::Sockets);
    assert!((report.utilisation - 1.0).abs() < 1e-9);
}

#[test]
fn one_lossless_frame_less_is_a_failure() {
    let report = Scene { lost: [1, 500], ..Scene::default() }.judged(|_| {});
    assert!(!report.passed);
    assert!(
        report.verdict.starts_with("FAIL: lossless class \"storage\" lost 1 of 751 frames"),
        "{}",
        report.verdict
    );
}

#[test]
fn what_proves_nothing_is_no_success() {
    let kept = Scene { lost: [0, 0], ..Scene::default() }.judged(|_| {});
    assert!(!kept.passed && kept.verdict.contains("lost nothing either"), "{}", kept.verdict);
    let never = Scene::default().judged(|end| end.switches[1].ports[0].priorities[0].group.xoff_tx = 0);
    assert!(!never.passed && never.verdict.contains("never had to pause"), "{}", never.verdict);
    let idle = Scene { received: [6_000, 4_000], ..Scene::default() }.judged(|_| {});
    assert!(!idle.passed && idle.verdict.contains("never full"), "{}", idle.verdict);
    let silent = Scene { received: [0, 0], ..Scene::default() }.judged(|_| {});
    assert!(!silent.passed && silent.verdict.contains("nothing arrived"), "{}", silent.verdict);
}

#[test]
fn a_share_beyond_the_tolerance_fails_and_is_named() {
    assert!(Scene { received: [77_000, 48_000], ..Scene::default() }.judged(|_| {}).passed, "1.6 points");
    let report = Scene { received: [78_000, 47_000], ..Scene::default() }.judged(|_| {});
    assert!(!report.passed && report.verdict.contains("\"storage\" got 62.4 %"), "{}", report.verdict);
}

#[test]
fn where_hosts_can_not_be_paused_the_promise_begins_behind_the_first_switch() {
    let scene = Scene { lost: [40, 500], guarantee: "frames only", ..Scene::default() };
    let report = scene.judged(|_| {});
    assert_eq!(report.promise, Promise::Switches);
    assert!(report.passed, "{}", report.verdict);
    assert!(report.verdict.contains("the first switch sent on"), "{}", report.verdict);
    assert!(report.notes.iter().any(|n| n.contains("frames only")), "{:?}", report.notes);
    let behind = scene.judged(|end| end.switches[0].ports[1].priorities[0].tx.frames += 1);
    assert!(!behind.passed && behind.verdict.contains("lost 1 of"), "{}", behind.verdict);
}

#[test]
fn losses_of_hosts_and_full_headrooms_are_said() {
    let report = Scene { lost: [9, 500], ..Scene::default() }.judged(|end| {
        end.switches[0].ports[0].host_edge_drops = 4;
        end.hosts.receiver_overflows = 3;
        let reason = "headroom_full".to_owned();
        end.switches[1].ports[1].rx_drops = vec![Drop { reason, meaning: String::new(), count: frames(5) }];
    });
    assert!(!report.passed);
    for part in [
        "dropped 4 frames by themselves",
        "lost 3 reads",
        "sw2 dropped 5 frames at port sink (headroom_full)",
    ] {
        assert!(report.notes.iter().any(|n| n.contains(part)), "{part}: {:?}", report.notes);
    }
    assert_eq!(report.switches[1].ports[1].headroom_full_frames, 5);
}

#[test]
fn json_begins_as_promised() {
    let report = Scene::default().judged(|end| {
        end.hosts.at = Duration::from_millis(1500);
        end.switches[1].worker.flow_reaction = vec![0, 0, 0, 98, 1, 1];
    });
    let text = crate::lab::report::json(&report);
    let start = r#"{"scenario": "lossless", "passed": true, "classes": [{"name": "storage", "lossless": true, "target_share": 0.6, "share": 0.6, "sent_frames": 750, "received_frames": 750, "dropped_frames": 0, "#;
    assert!(text.starts_with(start), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["switches"][1]["ports"][0]["xoff_sent"], 7);
    assert_eq!(value["switches"][1]["reaction_p99_us"], 15);
    assert_eq!(value["switches"][0]["reaction_p99_us"], serde_json::Value::Null);
    assert_eq!(value["promise"], "sockets");
}
