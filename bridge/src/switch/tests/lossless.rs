//! PFC, gates, headroom and watchdog, in virtual time.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::rc::Rc;

use dcbridge_scheduler::pfc::{Frame, Parsed, parse};
use dcbridge_scheduler::{PortId, Priority, Rate, Time};

use super::balance;
use crate::port::Guarantee;
use crate::sim::frames::{Spec, mark};
use crate::sim::{At, NodeId, Packet, Sim};
use crate::state::{PriorityState, Snapshot};
use crate::switch::{Attachment, device};

fn us(n: u64) -> Time {
    Time::from_micros(n)
}

fn ms(n: u64) -> Time {
    Time::from_millis(n)
}

/// A switch whose priority 3 is lossless; its ports run at the named rates.
fn config(ports: &[(&str, &str)], extra: &str) -> dcbridge_config::Config {
    let mut text = format!(
        r#"
        [bridge]
        buffer = "6MB"
        loop_detection = false
        [[traffic_class]]
        name = "default"
        priorities = "rest"
        tsa = "ets"
        bandwidth = 50
        [[traffic_class]]
        name = "storage"
        priorities = [3]
        tsa = "ets"
        bandwidth = 50
        lossless = true
        queue_limit = "200KB"
        {extra}
        "#
    );
    for (name, rate) in ports {
        let _ = write!(
            text,
            "[[port]]\nname = \"{name}\"\nline_rate = \"{rate}\"\ntrust = [\"pcp\"]\npeer_reaction = \"hardware\"\n"
        );
    }
    match dcbridge_config::parse(&text, "test.toml") {
        Ok((mut config, _)) => {
            config.worker.threads = super::threads();
            config
        }
        Err(errors) => panic!("{}", dcbridge_config::render(&errors, &text, false)),
    }
}

fn snapshot(sim: &Sim, node: NodeId) -> Snapshot {
    sim.snapshot(node)
}

fn state(sim: &Sim, at: At, priority: usize) -> PriorityState {
    snapshot(sim, at.0).ports[at.1.index()].priorities[priority].clone()
}

fn dropped(sim: &Sim, node: NodeId, priority: usize) -> u64 {
    snapshot(sim, node).ports.iter().map(|p| p.priorities[priority].dropped.frames).sum()
}

/// A PFC frame that came: when, its vector and times.
type Pfc = (Time, u8, [u16; 8]);

/// A host that obeys PFC at once (between two frames), as hardware does, and counts what it sends and gets.
#[derive(Clone)]
struct Host {
    paused_until: Rc<Cell<Time>>,
    sent: Rc<Cell<u64>>,
    got: Rc<RefCell<Vec<(Time, u64, u8)>>>,
    pfc: Rc<RefCell<Vec<Pfc>>>,
}

impl Host {
    /// Behind `at`; it understands PFC for priority 3 at `rate`.
    fn new(sim: &mut Sim, at: At, rate: u64) -> Host {
        let host =
            Host { paused_until: Rc::default(), sent: Rc::default(), got: Rc::default(), pfc: Rc::default() };
        let h = host.clone();
        let rate = Rate::from_bits_per_second(rate);
        sim.sink(
            at,
            Box::new(move |now, packet: Packet| {
                if packet.bytes[12..14] == [0x88, 0x08] {
                    let Parsed::Pfc { enabled, times, .. } = parse(&packet.bytes[14..]) else {
                        panic!("not PFC")
                    };
                    h.pfc.borrow_mut().push((now, enabled, times));
                    if enabled & 8 != 0 {
                        h.paused_until.set(now + rate.time_of(64 * u64::from(times[3])));
                    }
                } else if let Some(mark) = mark(&packet.bytes) {
                    let pcp = packet.bytes[14] >> 5;
                    h.got.borrow_mut().push((now, mark, pcp));
                }
            }),
        );
        host
    }

    /// Sends frames of one priority at `rate`, for `span` from now on; lossless ones wait while it is paused.
    fn send(&self, sim: &mut Sim, at: At, spec: Spec, rate: u64, span: Time) {
        let (rate, end) = (Rate::from_bits_per_second(rate), sim.now() + span);
        let host = self.clone();
        let pcp = spec.tag.map_or(0, |t| t.1);
        let step = rate.time_of(spec.len as u64 + 24);
        let start = sim.now();
        sim.source(
            at,
            start,
            Box::new(move |now| {
                if now >= end {
                    return None;
                }
                if pcp == 3 && host.paused_until.get() > now {
                    // Asks again when the pause may be over: an early XON is noticed a frame later.
                    return Some((nothing().into(), now + step));
                }
                host.sent.set(host.sent.get() + 1);
                Some((spec.udp(host.sent.get()).into(), now + step))
            }),
        );
    }
}

/// A frame that a switch uses up without a trace in any queue: the source sends nothing in this step.
fn nothing() -> Packet {
    let mut bytes = vec![0x01, 0x80, 0xC2, 0, 0, 0x0E, 2, 0, 0, 0, 0, 9, 0x88, 0xCC];
    bytes.resize(60, 0);
    Packet::plain(bytes)
}

fn storage(from: u16, to: u16) -> Spec {
    Spec { from, to: Some(to), tag: Some((0, 3)), ..Spec::default() }
}

fn bulk(from: u16, to: u16) -> Spec {
    Spec { from, to: Some(to), tag: Some((0, 1)), ..Spec::default() }
}

#[test]
fn many_to_one_loses_nothing_lossless_and_only_that() {
    for (fast, slow, rate) in
        [("10Gbit", "10Gbit", 10_000_000_000u64), ("100Gbit", "100Gbit", 100_000_000_000)]
    {
        let mut sim = Sim::new();
        let names = [("a", fast), ("b", fast), ("c", fast), ("d", fast), ("out", slow)];
        let node = sim.add(config(&names, ""), 1);
        let at = |n: u16| (node, PortId(n));
        let sink = Host::new(&mut sim, at(4), rate);
        // The sink makes itself known, so nothing is flooded.
        sim.inject(at(4), Spec { from: 9, to: Some(8), ..Spec::default() }.udp(0));
        sim.run_until(us(10));
        let hosts: Vec<Host> = (0..4).map(|n| Host::new(&mut sim, at(n), rate)).collect();
        let span = if rate > 50_000_000_000 { ms(2) } else { ms(20) };
        for (n, host) in hosts.iter().enumerate() {
            let spec = if n < 3 { storage(n as u16 + 1, 9) } else { bulk(n as u16 + 1, 9) };
            host.send(&mut sim, at(n as u16), Spec { len: 1514, ..spec }, rate, span);
        }
        let later = span + ms(50);
        sim.run_until(later);
        let sent: u64 = hosts[..3].iter().map(|h| h.sent.get()).sum();
        let got = sink.got.borrow().iter().filter(|g| g.2 == 3).count() as u64;
        assert_eq!(got, sent, "every lossless frame arrived");
        assert_eq!(dropped(&sim, node, 3), 0);
        assert!(dropped(&sim, node, 1) > 0, "the lossy class lost");
        for n in 0..3 {
            let group = state(&sim, at(n), 3).group;
            assert!(group.xoff_tx > 0 && group.xon_tx > 0, "{group:?}");
            assert!(group.headroom_peak_bytes > 0 && group.headroom_peak_bytes <= group.headroom_bytes);
            assert!(!group.gate_closed);
        }
        assert_eq!(state(&sim, at(3), 3).group.xoff_tx, 0, "who sends nothing lossless is asked nothing");
        balance(&sim, node);
        assert_eq!(sim.frames_held(node), 0);
    }
}

#[test]
fn two_bridges_pass_a_burst_through_a_small_buffer_whole() {
    let mut sim = Sim::new();
    let a = sim.add(config(&[("host", "1Gbit"), ("trunk", "1Gbit")], ""), 1);
    let b = sim.add(config(&[("trunk", "1Gbit"), ("sink", "200Mbit")], ""), 2);
    sim.link((a, PortId(1)), (b, PortId(0)), us(5));
    let sink = Host::new(&mut sim, (b, PortId(1)), 200_000_000);
    let host = Host::new(&mut sim, (a, PortId(0)), 1_000_000_000);
    // 10 MB at 1 Gbit/s.
    host.send(&mut sim, (a, PortId(0)), storage(1, 9), 1_000_000_000, ms(82));
    sim.run_until(ms(1_000));
    let (sent, got) = (host.sent.get(), sink.got.borrow().len() as u64);
    assert!(sent > 1000);
    assert_eq!(got, sent);
    let order: Vec<u64> = sink.got.borrow().iter().map(|g| g.1).collect();
    assert!(order.is_sorted(), "in order");
    assert_eq!(dropped(&sim, a, 3) + dropped(&sim, b, 3), 0);
    assert!(state(&sim, (b, PortId(0)), 3).group.xoff_tx > 0, "the second bridge paused the first");
    assert!(state(&sim, (a, PortId(1)), 3).pauses > 0);
    assert!(state(&sim, (a, PortId(0)), 3).group.xoff_tx > 0, "and the first its host");
    balance(&sim, a);
    balance(&sim, b);
}

/// Sends a PFC frame to a port, from a peer without manners: no padding, no source address.
fn pfc(sim: &mut Sim, at: At, enabled: u8, times: [u16; 8]) {
    let mut frame = Frame::Pfc { enabled, times }.emit([0; 6]).to_vec();
    frame.truncate(34);
    sim.inject(at, Packet::plain(frame));
}

#[test]
fn a_paused_priority_waits_whole_while_others_pass() {
    let mut sim = Sim::new();
    let node = sim.add(config(&[("in", "1Gbit"), ("out", "1Gbit")], ""), 1);
    let (input, output) = ((node, PortId(0)), (node, PortId(1)));
    let sink = Host::new(&mut sim, output, 1_000_000_000);
    let host = Host::new(&mut sim, input, 1_000_000_000);
    sim.inject(output, Spec { from: 9, to: Some(8), ..Spec::default() }.udp(0));
    sim.run_until(us(10));
    // Refreshed at the standard rate for 5 s: 16.7 ms is half of the longest pause at 1 Gbit/s.
    let until = Rc::new(Cell::new(0u32));
    let refreshes = Rc::clone(&until);
    let now = sim.now();
    sim.source(
        output,
        now,
        Box::new(move |now| {
            refreshes.set(refreshes.get() + 1);
            let mut times = [0; 8];
            times[3] = 0xFFFF;
            (refreshes.get() <= 300).then(|| {
                (
                    Packet::plain(Frame::Pfc { enabled: 8, times }.emit([0; 6]).to_vec()).into(),
                    now + us(16_700),
                )
            })
        }),
    );
    sim.run_until(us(20));
    host.send(&mut sim, input, storage(1, 9), 100_000_000, ms(5_000));
    let other = Host { sent: Rc::default(), ..host.clone() };
    other.send(&mut sim, input, bulk(2, 9), 300_000_000, ms(5_000));
    sim.run_until(ms(5_000));
    assert_eq!(sink.got.borrow().iter().filter(|g| g.2 == 3).count(), 0, "nothing of the paused priority");
    let bulk_got = sink.got.borrow().iter().filter(|g| g.2 == 1).count() as u64;
    assert!(bulk_got + 20 >= other.sent.get(), "{bulk_got} of {}", other.sent.get());
    let held = state(&sim, output, 3);
    assert!(held.paused && held.queued.frames > 0);
    sim.run_until(ms(7_000));
    assert_eq!(sink.got.borrow().iter().filter(|g| g.2 == 3).count() as u64, host.sent.get());
    assert_eq!(dropped(&sim, node, 3), 0);
    let paused = state(&sim, output, 3).paused_ns;
    assert!((5_000_000_000..5_050_000_000).contains(&paused), "{paused}");
    balance(&sim, node);
}

#[test]
fn pfc_frames_are_counted_by_priority_and_pause_apart() {
    let mut sim = Sim::new();
    let node = sim.add(config(&[("in", "1Gbit"), ("out", "1Gbit")], ""), 1);
    let at = (node, PortId(1));
    for n in 0..10 {
        let mut times = [0; 8];
        times[3] = if n % 2 == 0 { 100 } else { 0 };
        pfc(&mut sim, at, 8, times);
    }
    pfc(&mut sim, at, 0, [0; 8]);
    pfc(&mut sim, at, 2, [0xFFFF; 8]);
    sim.inject(at, Packet::plain(Frame::Pause(0xFFFF).emit([0; 6]).to_vec()));
    let mut short = Frame::Pfc { enabled: 8, times: [9; 8] }.emit([0; 6]).to_vec();
    short.truncate(30);
    sim.inject(at, Packet::plain(short));
    sim.run_until(us(1));
    let port = &snapshot(&sim, node).ports[1];
    let pfc_rx: Vec<u64> = port.priorities.iter().map(|p| p.group.pfc_rx).collect();
    assert_eq!(pfc_rx, [0, 1, 0, 10, 0, 0, 0, 0]);
    assert_eq!((port.flow.pause_rx, port.flow.malformed), (1, 1));
    assert_eq!(port.flow.ignored, 3, "the empty one, the one for a lossy priority, and the PAUSE");
    assert!(!port.priorities[1].paused && !port.priorities[3].paused, "the last one was an XON");
    assert_eq!(port.consumed.frames, 14);
    assert_eq!(snapshot(&sim, node).ports[0].tx.frames, 0, "none of them was forwarded");
    balance(&sim, node);
}

#[test]
fn the_xoff_is_refreshed_and_the_xon_comes_once() {
    let mut sim = Sim::new();
    let node = sim.add(config(&[("in", "10Gbit"), ("out", "10Gbit")], ""), 1);
    let (input, output) = ((node, PortId(0)), (node, PortId(1)));
    let host = Host::new(&mut sim, input, 10_000_000_000);
    let _sink = Host::new(&mut sim, output, 10_000_000_000);
    sim.inject(output, Spec { from: 9, to: Some(8), ..Spec::default() }.udp(0));
    sim.run_until(us(10));
    let node_id = node;
    sim.with((node_id, PortId(1)), |switch, _, now| {
        switch.pause(PortId(1), Priority::new(3), now + ms(20), now)
    });
    host.send(&mut sim, input, storage(1, 9), 10_000_000_000, ms(5));
    sim.run_until(ms(40));
    let frames = host.pfc.borrow();
    let (xoffs, xons): (Vec<Pfc>, Vec<Pfc>) = frames.iter().partition(|f| f.2[3] != 0);
    // 20 ms at half of 3.36 ms.
    assert!((10..=14).contains(&xoffs.len()), "{} refreshes", xoffs.len());
    assert!(frames.iter().all(|f| f.1 == 8), "only that priority");
    let gaps = xoffs.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
    assert!(gaps <= us(1_680), "before the peer's timer runs out: {gaps:?}");
    assert!(!xons.is_empty());
    assert_eq!(sim.gates(node).iter().filter(|(_, g)| g.open).count(), xons.len(), "an XON for each opening");
    assert_eq!(dropped(&sim, node, 3), 0);
}

#[test]
fn the_watchdog_finds_a_storm_drops_it_and_comes_back() {
    let dog =
        "[pfc_watchdog]\ndetection = \"200ms\"\nrestoration = \"300ms\"\npoll = \"100ms\"\naction = \"drop\"";
    let mut sim = Sim::new();
    let node = sim.add(config(&[("in", "1Gbit"), ("out", "1Gbit")], dog), 1);
    let (input, output) = ((node, PortId(0)), (node, PortId(1)));
    let host = Host::new(&mut sim, input, 1_000_000_000);
    let sink = Host::new(&mut sim, output, 1_000_000_000);
    sim.inject(output, Spec { from: 9, to: Some(8), ..Spec::default() }.udp(0));
    sim.run_until(us(10));
    host.send(&mut sim, input, storage(1, 9), 100_000_000, ms(2_000));
    let storm = |sim: &mut Sim, from: Time, span: Time, times: u16| {
        sim.source(
            output,
            from,
            Box::new(move |now| {
                let mut quanta = [0; 8];
                quanta[3] = times;
                (now < from + span).then(|| {
                    (
                        Packet::plain(Frame::Pfc { enabled: 8, times: quanta }.emit([0; 6]).to_vec()).into(),
                        now + ms(15),
                    )
                })
            }),
        );
    };
    // Half the detection time: nothing happens.
    storm(&mut sim, ms(10), ms(100), 0xFFFF);
    sim.run_until(ms(300));
    assert_eq!((state(&sim, output, 3).group.storms_detected, dropped(&sim, node, 3)), (0, 0));
    // A real one, until 900 ms; then frames that only carry XON.
    storm(&mut sim, ms(300), ms(600), 0xFFFF);
    storm(&mut sim, ms(900), ms(1_000), 0);
    sim.run_until(ms(499));
    assert_eq!(state(&sim, output, 3).group.storms_detected, 0, "not before the detection time");
    sim.run_until(ms(620));
    assert_eq!(state(&sim, output, 3).group.storms_detected, 1);
    let lost = dropped(&sim, node, 3);
    assert!(lost > 0, "what waited was dropped");
    let asked = host.pfc.borrow().len();
    sim.run_until(ms(880));
    let port = &snapshot(&sim, node).ports[0];
    let turned_away =
        port.rx_drops.iter().chain(&snapshot(&sim, node).ports[1].tx_drops).any(|d| d.reason == "watchdog");
    assert!(turned_away, "what comes is dropped");
    assert_eq!(host.pfc.borrow().len(), asked, "nobody is asked to pause for it");
    sim.run_until(ms(1_180));
    assert_eq!(state(&sim, output, 3).group.storms_restored, 0, "not before the restoration time");
    sim.run_until(ms(1_320));
    assert_eq!(state(&sim, output, 3).group.storms_restored, 1);
    let (sent, got, lost) = (host.sent.get(), sink.got.borrow().len() as u64, dropped(&sim, node, 3));
    sim.run_until(ms(2_100));
    assert_eq!(dropped(&sim, node, 3), lost, "nothing is lost after that");
    let behind = (host.sent.get() - sent) - (sink.got.borrow().len() as u64 - got);
    assert!(behind <= 2, "{behind} missing");
    balance(&sim, node);
}

#[test]
fn a_storm_can_be_ignored_or_only_told() {
    for (action, passes) in [("forward", true), ("alert", false)] {
        let dog = format!(
            "[pfc_watchdog]\ndetection = \"100ms\"\nrestoration = \"100ms\"\npoll = \"50ms\"\naction = \"{action}\""
        );
        let mut sim = Sim::new();
        let node = sim.add(config(&[("in", "1Gbit"), ("out", "1Gbit")], &dog), 1);
        let (input, output) = ((node, PortId(0)), (node, PortId(1)));
        let host = Host::new(&mut sim, input, 1_000_000_000);
        let sink = Host::new(&mut sim, output, 1_000_000_000);
        sim.source(
            output,
            ms(1),
            Box::new(move |now| {
                let times = [0xFFFF; 8];
                Some((
                    Packet::plain(Frame::Pfc { enabled: 8, times }.emit([0; 6]).to_vec()).into(),
                    now + ms(15),
                ))
            }),
        );
        sim.run_until(ms(2));
        host.send(&mut sim, input, storage(1, 9), 10_000_000, ms(1_000));
        sim.run_until(ms(1_100));
        assert_eq!(state(&sim, output, 3).group.storms_detected, 1);
        let got = sink.got.borrow().len() as u64;
        assert_eq!(got > 0, passes, "{action}: {got} of {}", host.sent.get());
        assert_eq!(dropped(&sim, node, 3), 0);
    }
}

#[test]
fn too_little_headroom_is_told_apart() {
    let mut sim = Sim::new();
    let mut small = config(&[("in", "10Gbit"), ("out", "1Gbit")], "");
    small.ports[0].headroom_bytes = Some(2_000);
    let node = sim.add(small, 1);
    let (input, output) = ((node, PortId(0)), (node, PortId(1)));
    // A sender that does not understand PFC.
    let deaf = Host::new(&mut sim, input, 10_000_000_000);
    sim.sink(input, Box::new(|_, _| {}));
    let _sink = Host::new(&mut sim, output, 1_000_000_000);
    deaf.send(&mut sim, input, storage(1, 9), 10_000_000_000, ms(10));
    sim.run_until(ms(200));
    let drops = &snapshot(&sim, node).ports[0].rx_drops;
    assert_eq!(drops.len(), 1);
    assert_eq!(drops[0].reason, "headroom_full");
    assert_eq!(state(&sim, input, 3).dropped.frames, drops[0].count.frames, "and at the group that it was");
    balance(&sim, node);
}

#[test]
fn what_a_device_holds_leaves_room_for_others() {
    let mut sim = Sim::new();
    let node = sim.add(config(&[("a", "10Gbit"), ("b", "10Gbit"), ("c", "10Gbit")], ""), 1);
    let at = |n: u16| (node, PortId(n));
    let attach = |sim: &mut Sim, residual_bytes: u32| {
        for n in 0..3 {
            let guarantee = Guarantee::BoundedByHeadroom { residual_bytes };
            let device = Attachment { guarantee, ..Attachment::plain(true) };
            sim.with(at(n), |switch, _, _| switch.attach(at(n).1, device));
        }
    };
    // In the shortest frames, the host of each port may send more than the whole buffer until it is paused.
    attach(&mut sim, 6_250_000);
    let sink = Host::new(&mut sim, at(1), 10_000_000_000);
    for from in [storage(1, 2), bulk(1, 2)] {
        Host::new(&mut sim, at(0), 10_000_000_000).send(&mut sim, at(0), from, 1_000_000_000, ms(1));
    }
    sim.run_until(ms(5));
    for priority in [1, 3] {
        assert!(sink.got.borrow().iter().any(|got| got.2 == priority), "priority {priority} passes");
        assert_eq!(dropped(&sim, node, usize::from(priority)), 0);
    }
    assert!(snapshot(&sim, node).ports.iter().all(|port| port.guarantee == "short of headroom"));
    // As much as there is room for is given.
    attach(&mut sim, 100_000);
    let enough = state(&sim, at(0), 3).group.headroom_bytes;
    assert!(enough > 100_000 / 84 * 256, "{enough}");
    assert!(snapshot(&sim, node).ports.iter().all(|port| port.guarantee == "bounded by headroom"));
    // What is planned by the configuration is what they get.
    let config = config(&[("a", "10Gbit"), ("b", "10Gbit"), ("c", "10Gbit")], "");
    for residual_bytes in [100_000, 6_250_000] {
        attach(&mut sim, residual_bytes);
        let planned = device::planned(&config, |port| (port.name != "c").then_some(residual_bytes));
        let [Some(part), Some(_), None] = planned[..] else { panic!("{planned:?}") };
        let has =
            state(&sim, at(0), 3).group.headroom_bytes - dcbridge_config::lossless_headroom(&config.ports[0]);
        assert_eq!((part.bytes, part.bytes < part.wanted_bytes), (has, residual_bytes > 100_000));
    }
}
