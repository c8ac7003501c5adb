//! Nothing lossless is lost over two switches and a slow link, as `dcbridge lab lossless` shows it, and for kernel TCP.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dcbridge::runtime::Handle;
use dcbridge::state::{Port, Snapshot};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::TcpFlow;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");

/// Runs that measure time must not measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lab(arguments: &str) -> Output {
    let output = Command::new(PROGRAM).args(["lab", "lossless"]).args(arguments.split_whitespace()).output();
    output.expect("the program starts")
}

/// The result of a run that passed: its lossless class, its lossy class, and all of it.
#[track_caller]
fn passed(output: &Output) -> (Value, Value, Value) {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.starts_with(r#"{"scenario": "lossless", "passed": true, "classes": [{"name": "#), "{out}");
    let result: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    let classes = result["classes"].as_array().expect("a list of classes");
    let class = |lossless| classes.iter().find(|c| c["lossless"] == lossless).expect("one of each").clone();
    (class(true), class(false), result)
}

fn number(of: &Value, what: &str) -> u64 {
    of[what].as_u64().unwrap_or_else(|| panic!("{what} in {of}"))
}

#[track_caller]
fn shares_hold(classes: [&Value; 2]) {
    for class in classes {
        let [share, target] = ["share", "target_share"].map(|key| class[key].as_f64().expect("a share"));
        assert!((share - target).abs() <= 0.02, "{class}");
    }
}

/// A port of a switch in the result.
fn port<'a>(result: &'a Value, switch: usize, name: &str) -> &'a Value {
    let ports = result["switches"][switch]["ports"].as_array().expect("ports");
    ports.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("{name} in {result}"))
}

#[test]
fn sockets_wait_and_every_lossless_frame_arrives() {
    if !root_for("two switches between network namespaces") {
        return;
    }
    let _alone = alone();
    let (lossless, lossy, result) = passed(&lab("--seconds 5 --json"));
    assert_eq!(result["promise"], "sockets");
    assert_eq!(result["trunk"], "veth");
    assert_eq!(number(&lossless, "sent_frames"), number(&lossless, "received_frames"), "{result}");
    assert_eq!(number(&lossless, "dropped_frames"), 0);
    assert!(number(&lossless, "blocked_sends") > 0, "its senders had to wait: {result}");
    let lost = number(&lossy, "sent_frames") - number(&lossy, "received_frames");
    assert!(lost > 0 && lost == number(&lossy, "dropped_frames"), "the switches lost what was lost: {lossy}");
    shares_hold([&lossless, &lossy]);
    let (near, far) = (port(&result, 0, "to-sw2"), port(&result, 1, "to-sw1"));
    assert!(number(far, "xoff_sent") > 0 && number(far, "xon_sent") > 0, "{far}");
    assert!(number(near, "pfc_received") >= number(far, "xoff_sent"), "{near} {far}");
    assert!(near["paused_seconds"].as_f64().is_some_and(|s| s > 0.0), "{near}");
    assert!(number(far, "headroom_peak_bytes") > 0, "the trunk is still full when the pause is decided");
    for host in ["h1", "h2", "h3", "h4"] {
        let host = port(&result, 0, host);
        assert_eq!(host["guarantee"], "bounded by headroom");
        assert!(number(host, "xoff_sent") > 0 && number(host, "host_edge_drops") == 0, "{host}");
    }
}

#[test]
fn where_hosts_can_not_be_paused_it_says_what_is_promised() {
    let _alone = alone();
    let (lossless, lossy, result) = passed(&lab("--mode inprocess --seconds 2 --rate 50Mbit --json"));
    assert_eq!(result["promise"], "switches");
    assert_eq!(result["trunk"], "socket");
    shares_hold([&lossless, &lossy]);
    let notes = result["notes"].as_array().expect("notes");
    assert!(
        notes.iter().any(|n| n.as_str().is_some_and(|n| n.contains("can't be paused here"))),
        "{notes:?}"
    );
}

#[test]
fn a_pipe_gets_both_tables_and_the_verdict() {
    let _alone = alone();
    let output = lab("--mode inprocess --seconds 1 --rate 50Mbit");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}");
    assert!(out.contains("sw1 ── 250 Mbit/s ── sw2 ── 50 Mbit/s ──> sink"), "{out}");
    for start in
        ["\nstorage  lossless ", "\ndefault  lossy ", "\nsw1     to-sw2 ", "\nsw2     to-sw1 ", "\nPASS: "]
    {
        assert_eq!(out.matches(start).count(), 1, "{start:?} in {out}");
    }
}

/// A switch with these ports (name, kind, namespace, rate in Mbit/s): priority 3 is lossless and has 60 %.
fn switch(name: &str, ports: &[(&str, &str, String, u64)]) -> dcbridge_config::Config {
    let mut text = format!(
        r#"
        [bridge]
        name = "{name}"
        buffer = "128MB"
        loop_detection = false
        [metrics]
        listen = "off"
        [defaults]
        trust = ["dscp"]
        peer_reaction = "20ms"
        [[traffic_class]]
        name = "storage"
        priorities = [3]
        tsa = "ets"
        bandwidth = 60
        lossless = true
        queue_limit = "300KB"
        [[traffic_class]]
        name = "default"
        priorities = "rest"
        tsa = "ets"
        bandwidth = 40
        queue_limit = "150KB"
        "#
    );
    for (name, kind, netns, rate) in ports {
        let port =
            format!("name = \"{name}\"\ntype = \"{kind}\"\nnetns = \"{netns}\"\nline_rate = \"{rate}Mbit\"");
        writeln!(text, "[[port]]\n{port}").expect("memory");
    }
    match dcbridge_config::parse(&text, "test.toml") {
        Ok((config, _)) => config,
        Err(findings) => panic!("{}", dcbridge_config::render(&findings, &text, false)),
    }
}

fn port_of<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Port {
    snapshot.ports.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("{name}"))
}

async fn wait_for_links(switches: [&Handle; 2]) {
    let begin = Instant::now();
    for switch in switches {
        while !switch.snapshot().await.expect("it runs").ports.iter().all(|p| p.up) {
            assert!(begin.elapsed() < Duration::from_secs(5), "a port stays down");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Kernel TCP (cubic): two hosts, each with a lossless and a lossy stream, over a 1 Gbit/s trunk into 200 Mbit/s.
#[test]
fn tcp_sends_nothing_twice_in_the_lossless_class() {
    if !root_for("TCP over two switches") {
        return;
    }
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(tcp_over_two_switches());
}

async fn tcp_over_two_switches() {
    let [a, b, sink, trunk] = ["a", "b", "sink", "trunk"].map(Host::new);
    trunk.links(|l| {
        l.add_veth("to-sw2", "to-sw1")?;
        ["to-sw1", "to-sw2"].iter().try_for_each(|end| l.set_up(end))
    });
    let tap = |name: &'static str, host: &Host, rate| (name, "tap", host.netns_path(), rate);
    let end = |name| (name, "packet", trunk.netns_path(), 1000);
    let near = Handle::start(switch("sw1", &[tap("a0", &a, 1000), tap("b0", &b, 1000), end("to-sw2")]));
    let near = near.await.expect("sw1 starts");
    let far =
        Handle::start(switch("sw2", &[end("to-sw1"), tap("s0", &sink, 200)])).await.expect("sw2 starts");
    assert!(near.notes().is_empty() && far.notes().is_empty(), "{:?} {:?}", near.notes(), far.notes());
    wait_for_links([&near, &far]).await;

    // A thread of its own: hosts are configured where blocking is allowed.
    let senders = [a.clone(), b.clone()];
    let receiver = sink.clone();
    let again = tokio::task::spawn_blocking(move || {
        let [a, b] = &senders;
        for (host, interface, n, others) in
            [(a, "a0", 1, &[2][..]), (b, "b0", 3, &[2]), (&receiver, "s0", 2, &[1, 3])]
        {
            host.address(interface, n, others);
        }
        let flows = |priority| [a, b].map(|host| TcpFlow::with(host, &receiver, priority, "cubic"));
        let (lossless, lossy) = (flows(3), flows(0));
        std::thread::sleep(Duration::from_secs(4));
        [lossless, lossy].map(|flows| flows.map(|flow| (flow.count(), flow.end())))
    });
    let [lossless, lossy] = again.await.expect("the flows");
    let [near, far] = [near.stop().await.expect("sw1 ran"), far.stop().await.expect("sw2 ran")];

    for (bytes, again) in lossless {
        assert_eq!(
            again, 0,
            "a lossless stream of {bytes} bytes was sent again in part: {lossless:?}, lossy {lossy:?}"
        );
        assert!(bytes > 10_000_000, "{lossless:?}");
    }
    assert!(lossy.iter().any(|&(_, again)| again > 0), "the lossy ones met congestion: {lossy:?}");
    let dropped = |of: &Snapshot| of.ports.iter().map(|p| p.priorities[3].dropped.frames).sum::<u64>();
    assert_eq!((dropped(&near), dropped(&far)), (0, 0));
    assert!(port_of(&far, "to-sw1").priorities[3].group.xoff_tx > 0, "the far switch paused the near one");
    for host in ["a0", "b0"] {
        assert_eq!(port_of(&near, host).host_edge_drops, 0, "{host}");
    }
    let tx = |class: usize| port_of(&far, "s0").classes[class].tx_wire_bytes as f64;
    let share = tx(0) / (tx(0) + tx(1));
    assert!(
        (0.55..0.70).contains(&share),
        "storage got {share} of the link; lossy TCP does not always fill its part"
    );
}
