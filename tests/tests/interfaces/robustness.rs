//! Books under load, interfaces that vanish, and the end.

use std::time::{Duration, Instant};

use dcbridge::lab::frames::FrameSize;
use dcbridge::net::Links;
use dcbridge::state::Snapshot;
use dcbridge_tests::live::{Network, Offer, Traffic};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::virtual_time::{assert_balanced, ets_classes};

use crate::PROGRAM;

const FULL: FrameSize = FrameSize::Fixed(1518);

fn offer(hosts: (usize, usize), priority: u8, mbit: f64, size: FrameSize) -> Offer {
    Offer { hosts, dscp: priority << 3, size, rate: mbit * 1e6 }
}

fn sections() -> String {
    format!("{}\n[defaults]\nmtu = 9000\ntrust = [\"dscp\"]\n", ets_classes(&[60, 30, 10]))
}

fn queued(state: &Snapshot) -> u64 {
    state.ports.iter().map(|p| p.queued.frames).sum()
}

/// Waits until nothing is queued any more.
#[track_caller]
fn drained(network: &Network) -> Snapshot {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let state = network.program.state();
        if queued(&state) == 0 {
            return state;
        }
        assert!(Instant::now() < end, "queues do not drain: {state:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn books_balance() {
    if !root_for("the books under load") {
        return;
    }
    for io in ["io_uring", "readiness"] {
        books_balance_by(io);
    }
}

fn books_balance_by(io: &str) {
    let slow = "line_rate = \"300Mbit\"";
    let sections = format!("[worker]\nio = \"{io}\"\n{}", sections());
    let network =
        Network::new(PROGRAM, "loop_detection = false", &sections, &[("a", ""), ("b", slow), ("c", slow)]);
    let offers = [
        offer((0, 1), 0, 300.0, FULL),
        offer((0, 1), 1, 200.0, FrameSize::Mixed),
        offer((0, 2), 2, 400.0, FULL),
        offer((2, 0), 0, 200.0, FrameSize::Fixed(9018)),
        offer((1, 0), 1, 20.0, FrameSize::Fixed(64)),
    ];
    let begin = network.program.state();
    assert_eq!(begin.worker.io, io);
    let dropped = [0, 1, 2].map(|host| network.dropped_by_interface(host));
    let mut traffic = Traffic::start(&network, &offers);
    let (mut most, mut lost) = (0, 0);
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(75));
        let state = network.program.state();
        assert_balanced(&state);
        most = most.max(queued(&state));
        lost = state.ports.iter().flat_map(|p| &p.tx_drops).map(|d| d.count.frames).sum();
    }
    assert!(most > 50 && lost > 1000, "that was no load: {most} queued, {lost} dropped");
    traffic.stop_sending();
    let state = drained(&network);
    assert_balanced(&state);
    std::thread::sleep(Duration::from_millis(200));
    // What the kernels of the hosts say: every frame that was sent came in, every one that went out arrived.
    let overflows = traffic.overflows();
    let (offered, received) = (traffic.offered(), traffic.received());
    for (port, books) in state.ports.iter().enumerate() {
        let sum = |flows: &[dcbridge::lab::measure::FlowStats], end: fn(&Offer) -> usize| -> u64 {
            offers.iter().zip(flows).filter(|(o, _)| end(o) == port).map(|(_, f)| f.frames).sum()
        };
        let (sent, arrived) = (sum(&offered, |o| o.hosts.0), sum(&received, |o| o.hosts.1));
        let (rx, tx) =
            (books.rx.frames - begin.ports[port].rx.frames, books.tx.frames - begin.ports[port].tx.frames);
        println!("{}: hosts sent {sent}, switch received {rx}", books.name);
        println!("{}: switch sent {tx}, hosts received {arrived}, overflows {overflows}", books.name);
        // On a busy machine a TAP's queue overflows before the switch has its turn: its interface says so.
        let lost = network.dropped_by_interface(port) - dropped[port];
        assert_eq!(sent, rx + lost, "the interface of {} dropped {lost}", books.name);
        if overflows == 0 {
            assert_eq!(tx, arrived, "what port {} sent has not arrived", books.name);
        }
    }
}

#[test]
fn hot_removal() {
    if !root_for("a TAP that vanishes under traffic") {
        return;
    }
    let slow = "line_rate = \"200Mbit\"";
    let network =
        Network::new(PROGRAM, "loop_detection = false", &sections(), &[("a", ""), ("b", slow), ("c", slow)]);
    let offers = [offer((0, 1), 0, 400.0, FULL), offer((0, 2), 0, 400.0, FULL)];
    let mut traffic = Traffic::start(&network, &offers);
    let (before, _) = traffic.measure(Duration::from_secs(1));
    assert!(before[0] > 1_000_000 && before[1] > 1_000_000, "{before:?}");
    let victim = &network.hosts[1];
    victim.within(|| Links::open()?.delete(victim.name())).unwrap_or_else(|e| panic!("{e}"));
    std::thread::sleep(Duration::from_secs(1));
    let (after, elapsed) = traffic.measure(Duration::from_secs(2));
    assert_eq!(after[0], 0);
    let rate = after[1] as f64 * 8.0 / elapsed.as_secs_f64() / 200e6;
    println!("the other port goes on at {:.2} % of its line", rate * 100.0);
    assert!(rate > 0.9, "the other port suffers: {rate}");
    let state = network.program.state();
    assert_balanced(&state);
    let up: Vec<bool> = state.ports.iter().map(|p| p.up).collect();
    assert_eq!(up, [true, false, true]);
    assert!(!state.ports[1].down_reason.is_empty());
    assert_eq!(state.ports[1].queued.frames, 0, "its queue was flushed");
    traffic.stop_sending();
    assert_balanced(&drained(&network));
    let ended = network.program.stop();
    assert!(ended.status.success(), "{}", ended.output);
}

#[test]
fn stop_flushes() {
    if !root_for("the end under load") {
        return;
    }
    // 10 Mbit/s: what is queued takes seconds, more than a switch that ends may take.
    let ports = [("a", ""), ("b", "line_rate = \"10Mbit\""), ("c", "line_rate = \"1Gbit\"")];
    let network = Network::new(PROGRAM, "loop_detection = false", &sections(), &ports);
    let offers = [offer((0, 1), 0, 50.0, FULL), offer((0, 2), 1, 100.0, FULL)];
    let sent = |state: &Snapshot| state.ports[1].tx.frames + state.ports[2].tx.frames;
    let announced = sent(&network.program.state());
    let mut traffic = Traffic::start(&network, &offers);
    std::thread::sleep(Duration::from_millis(1500));
    traffic.stop_sending();
    let state = network.program.state();
    assert!(state.ports[1].queued.frames > 100, "nothing waits: {:?}", state.ports[1].queued);
    assert_balanced(&state);
    let begin = Instant::now();
    let ended = network.program.stop();
    let took = begin.elapsed();
    println!("it ended in {took:?} and said:\n{}", ended.output);
    assert!(ended.status.success(), "{}", ended.output);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(ended.output.contains("flushed"), "what was not sent is counted: {}", ended.output);
    std::thread::sleep(Duration::from_millis(300));
    let received = traffic.received();
    let before = sent(&state) - announced;
    let arrived = received[0].frames + received[1].frames;
    assert!(arrived >= before, "what had been sent has arrived: {arrived} of {before}");
}
