//! What a frame and a switch cost as ports, VLANs, addresses and policies grow.
//!
//! ```text
//! cargo bench -p dcbridge-tests --bench scale              figures as JSON
//! cargo bench -p dcbridge-tests --bench scale -- --draw    also the plots of docs/performance.md, into docs/img/
//! ```
//! A figure is the least of several rounds: what else the machine does only ever adds.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dcbridge::switch::fdb::Fdb;
use dcbridge_scheduler::{PortId, Time};
use dcbridge_tests::plot::{Chart, Series};
use dcbridge_tests::turns::Turns;
use dcbridge_tests::wide::{Extent, WideLoad};
use serde_json::{Value, json};

const ROUNDS: usize = 7;
const FRAMES: u32 = 100_000;
const SPAN: Duration = Duration::from_millis(300);
const PORTS: [u16; 6] = [2, 4, 8, 16, 32, 64];
const VLANS: [u16; 5] = [1, 10, 100, 1000, 4093];
const ADDRESSES: [u32; 5] = [10, 100, 1000, 10_000, 100_000];
const POLICIES: [u16; 5] = [0, 1, 10, 100, 1000];
const BUFFERS: [u32; 4] = [4, 12, 32, 64];

/// Nanoseconds that a frame takes from reception to settlement in a switch of this extent.
fn frame_ns(extent: Extent) -> f64 {
    let mut load = WideLoad::new(extent, "12MB");
    let mut round = || {
        let begin = Instant::now();
        (0..FRAMES).for_each(|_| load.step());
        begin.elapsed().as_nanos() as f64 / f64::from(FRAMES)
    };
    round();
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

/// Nanoseconds of the worker's processor time for a frame, turns and waiting for descriptors included.
fn turn_ns(ports: u16, busy: u16) -> f64 {
    let turns = Turns::start(ports, busy);
    let round = || {
        let before = turns.snapshot();
        std::thread::sleep(SPAN);
        let after = turns.snapshot();
        let sent = |s: &dcbridge::state::Snapshot| s.ports.iter().map(|p| p.tx.frames).sum::<u64>();
        (after.worker.cpu_ns - before.worker.cpu_ns) as f64 / (sent(&after) - sent(&before)) as f64
    };
    round();
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

/// Addresses learned in a second, and the longest that a tick has taken while all of them aged, in microseconds.
fn learning(addresses: u32) -> (f64, f64) {
    let mut best = (0.0f64, f64::MAX);
    for _ in 0..ROUNDS {
        let mut fdb = Fdb::new(100_000, vec![u32::MAX; 64], 0, Time::from_millis(300_000), 1);
        let begin = Instant::now();
        for n in 0..addresses {
            let [a, b, c, d] = n.to_be_bytes();
            fdb.learn(1, [2, 0, a, b, c, d], PortId((n % 64) as u16), Time::ZERO);
        }
        let rate = f64::from(addresses) / begin.elapsed().as_secs_f64();
        let mut longest = Duration::ZERO;
        let mut now = Time::from_millis(400_000);
        while !fdb.is_empty() {
            now = now + Time::from_millis(250);
            let begin = Instant::now();
            fdb.age(now);
            longest = longest.max(begin.elapsed());
        }
        best = (best.0.max(rate), best.1.min(longest.as_nanos() as f64 / 1000.0));
    }
    best
}

/// Resident memory of this process in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024.0 / 1e6
}

/// Runs this program anew to see what a switch adds to its memory: when it is made, when its addresses are learned, and
/// when its buffer has been full once. In MB.
fn memory(extent: Extent, buffer_mb: u32) -> [f64; 3] {
    let program = std::env::current_exe().expect("this program");
    let extent = [u32::from(extent.ports), extent.addresses, buffer_mb].map(|n| n.to_string());
    let done = Command::new(program).arg("--memory").args(extent).output().expect("this program starts");
    let text = String::from_utf8(done.stdout).expect("text");
    let figures: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    figures.try_into().expect("three figures")
}

/// The other side of `memory`.
fn tell_memory(arguments: &[String]) {
    let [ports, addresses, buffer] = arguments else { panic!("ports, addresses and megabytes") };
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let before = resident();
    let buffer = format!("{buffer}MB");
    let extent = Extent { ports: number(ports) as u16, addresses: number(ports), ..Extent::SMALL };
    let made = WideLoad::new(extent, &buffer);
    let at_start = resident() - before;
    drop(made);
    let before = resident();
    let mut load = WideLoad::new(Extent { addresses: number(addresses), ..extent }, &buffer);
    let learned = resident() - before;
    load.fill();
    println!("{at_start} {learned} {}", resident() - before);
}

fn sweep<T: Copy + std::fmt::Debug>(what: &str, steps: &[T], measure: impl Fn(T) -> f64) -> Vec<f64> {
    let values: Vec<f64> = steps.iter().map(|&step| measure(step)).collect();
    eprintln!("{what} {steps:?}: {values:.1?}");
    values
}

fn measured() -> Value {
    let small = Extent::SMALL;
    let ports = |ports| Extent { ports, addresses: 16 * u32::from(ports), ..small };
    let wide = Extent { ports: 2, ..small };
    let learned = ADDRESSES.map(learning);
    let memory = BUFFERS.map(|mb| memory(Extent { ports: 64, addresses: 64_000, ..small }, mb));
    json!({
        "ports": {
            "steps": PORTS,
            "frame_ns": sweep("ports: ns a frame", &PORTS, |n| frame_ns(ports(n))),
            "two_busy_ns": sweep("ports, two busy: ns of the worker a frame", &PORTS, |n| turn_ns(n, 2)),
            "all_busy_ns": sweep("ports, all busy: ns of the worker a frame", &PORTS, |n| turn_ns(n, n)),
        },
        "vlans": {
            "steps": VLANS,
            "frame_ns": sweep("VLANs: ns a frame", &VLANS, |vlans| {
                frame_ns(Extent { vlans, addresses: 4 * u32::from(vlans), ..small })
            }),
        },
        "addresses": {
            "steps": ADDRESSES,
            "frame_ns": sweep("addresses: ns a frame", &ADDRESSES, |addresses| {
                frame_ns(Extent { addresses, ..wide })
            }),
            "learned_per_second": learned.map(|(rate, _)| rate),
            "longest_tick_us": learned.map(|(_, tick)| tick),
        },
        "policies": {
            "steps": POLICIES,
            "frame_ns": sweep("policies: ns a frame", &POLICIES, |policies| {
                frame_ns(Extent { policies, vlans: 100, addresses: 400, ..small })
            }),
        },
        "memory": {
            "steps": BUFFERS,
            "at_start_mb": memory.map(|m| m[0]),
            "learned_mb": memory.map(|m| m[1]),
            "filled_mb": memory.map(|m| m[2]),
        },
    })
}

/// A chart of one section of the figures.
fn chart(figures: &Value, section: &str, title: &str, x: &str, y: &str, series: &[(&str, &str)]) -> Chart {
    let section = &figures[section];
    let array = |key: &str| section[key].as_array().cloned().unwrap_or_default();
    Chart {
        title: title.to_owned(),
        x: x.to_owned(),
        y: y.to_owned(),
        steps: array("steps").iter().map(Value::to_string).collect(),
        series: series
            .iter()
            .map(|(key, name)| Series {
                name: (*name).to_owned(),
                values: array(key).iter().filter_map(Value::as_f64).collect(),
            })
            .collect(),
    }
}

fn draw(figures: &Value) {
    let frame: &[_] = &[("frame_ns", "the switch alone")];
    let ports: &[_] = &[
        frame[0],
        ("two_busy_ns", "the worker, two ports busy"),
        ("all_busy_ns", "the worker, all ports busy"),
    ];
    let ns = "ns a frame";
    let charts = [
        ("ports", chart(figures, "ports", "A frame, by the number of ports", "ports", ns, ports)),
        (
            "vlans",
            chart(figures, "vlans", "A frame, by the number of VLANs", "VLANs on every port", ns, frame),
        ),
        (
            "addresses",
            chart(
                figures,
                "addresses",
                "A frame, by the number of addresses",
                "learned addresses",
                ns,
                frame,
            ),
        ),
        ("policies", chart(figures, "policies", "A frame, by the number of policies", "policies", ns, frame)),
        (
            "ticks",
            chart(
                figures,
                "addresses",
                "The longest pause while all addresses age",
                "learned addresses",
                "microseconds",
                &[("longest_tick_us", "longest tick")],
            ),
        ),
        (
            "memory",
            chart(
                figures,
                "memory",
                "Memory of a switch with 64 ports, by its buffer",
                "buffer in MB",
                "resident MB",
                &[
                    ("at_start_mb", "at start"),
                    ("learned_mb", "64 000 addresses"),
                    ("filled_mb", "buffer once full"),
                ],
            ),
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img");
    for (name, chart) in charts {
        let file = folder.join(format!("scale-{name}.svg"));
        std::fs::write(&file, chart.svg()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        eprintln!("drawn: docs/img/scale-{name}.svg");
    }
}

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "--memory") {
        return tell_memory(&arguments[1..]);
    }
    let figures = measured();
    println!("{figures:#}");
    if arguments.iter().any(|a| a == "--draw") {
        draw(&figures);
    }
}
