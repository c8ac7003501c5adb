//! Random walks: traffic, pauses, link flaps, reattached devices and DCBX by seed. Whatever happens, a lossless class loses
//! nothing to congestion as long as its headroom is the calculated one, and the books balance.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use dcbridge_scheduler::pfc::{Frame, Parsed, parse};
use dcbridge_scheduler::{PortId, Rate, Time, Tsa};

use super::balance;
use crate::sim::frames::Spec;
use crate::sim::{At, NodeId, Packet, Sim};
use crate::switch::Attachment;
use crate::switch::operation::{Classes, Operation};

const LINE: u64 = 1_000_000_000;

/// A small generator: the walk is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

fn us(n: u64) -> Time {
    Time::from_micros(n)
}

fn config(names: &[&str], buffer: &str, limit: u64, headroom: Option<u64>) -> dcbridge_config::Config {
    let mut text = format!(
        r#"
        [bridge]
        buffer = "{buffer}"
        loop_detection = false
        flood_rate = "unlimited"
        [[traffic_class]]
        name = "default"
        priorities = "rest"
        [[traffic_class]]
        name = "storage"
        priorities = [3, 4]
        lossless = true
        queue_limit = {limit}
        "#
    );
    for name in names {
        let _ = write!(
            text,
            "[[port]]\nname = \"{name}\"\nline_rate = {LINE}\ntrust = [\"pcp\"]\npeer_reaction = \"20us\"\n"
        );
    }
    let mut config = match dcbridge_config::parse(&text, "walk.toml") {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", dcbridge_config::render(&errors, &text, false)),
    };
    config.worker.threads = super::threads();
    for port in &mut config.ports {
        port.headroom_bytes = headroom;
    }
    config
}

/// Lossless priorities paused until, as a host sees them.
type Paused = Rc<[Cell<Time>; 8]>;

/// A host that obeys PFC some microseconds late and sends a random mix; one that only listens pauses the switch at times.
fn host(sim: &mut Sim, at: At, number: u16, seed: u64, end: Time) {
    let paused: Paused = Rc::default();
    let heard = Rc::clone(&paused);
    let mut late = Dice(seed | 1);
    sim.sink(
        at,
        Box::new(move |now, packet: Packet| {
            if packet.bytes[12..14] != [0x88, 0x08] {
                return;
            }
            if let Parsed::Pfc { enabled, times, .. } = parse(&packet.bytes[14..]) {
                for p in (0..8).filter(|p| enabled & (1 << p) != 0) {
                    // A pause takes effect late; so does its end.
                    let until = now
                        + us(late.roll(18))
                        + Rate::from_bits_per_second(LINE).time_of(64 * u64::from(times[p]));
                    heard[p].set(until);
                }
            }
        }),
    );
    let mut dice = Dice(seed.wrapping_mul(31) | 1);
    let listens = dice.roll(3) == 0;
    // What the host has begun to send under a pause that it had not obeyed yet.
    let mut reacts_at = [Time::ZERO; 8];
    let start = sim.now();
    sim.source(
        at,
        start,
        Box::new(move |now| {
            if now >= end {
                return None;
            }
            if listens {
                let mut times = [0; 8];
                times[3 + dice.roll(2) as usize] = (dice.roll(3) * dice.roll(400)) as u16;
                let frame = Frame::Pfc { enabled: 0x18, times }.emit([0; 6]).to_vec();
                return Some((Packet::plain(frame).into(), now + us(20 + dice.roll(300))));
            }
            let pcp = [0, 3, 3, 4, 1, 3][dice.roll(6) as usize];
            let lossless = pcp == 3 || pcp == 4;
            let until = paused[usize::from(pcp)].get();
            if lossless && until > now && reacts_at[usize::from(pcp)] <= now {
                reacts_at[usize::from(pcp)] = until;
                return Some((quiet().into(), now + us(1)));
            }
            if lossless && reacts_at[usize::from(pcp)] > now && until > now {
                return Some((quiet().into(), now + us(1)));
            }
            let len = [60, 300, 1514, 1514][dice.roll(4) as usize];
            let to = if dice.roll(20) == 0 { None } else { Some(dice.roll(8) as u16 + 1) };
            let spec = Spec { from: number, to, tag: Some((0, pcp)), len, ..Spec::default() };
            let wire = Rate::from_bits_per_second(LINE).time_of((len as u64 + 24).max(84));
            let pause = if dice.roll(200) == 0 { us(dice.roll(500)) } else { Time::ZERO };
            Some((spec.udp(1).into(), now + wire + pause))
        }),
    );
}

/// A frame that leaves no trace in any queue.
fn quiet() -> Packet {
    let mut bytes = vec![0x01, 0x80, 0xC2, 0, 0, 0x0E, 2, 0, 0, 0, 0, 9, 0x88, 0xCC];
    bytes.resize(60, 0);
    Packet::plain(bytes)
}

/// Frames of lossless priorities dropped by `reason` at either switch.
fn lossless_drops(sim: &Sim, node: NodeId) -> Vec<(String, u64)> {
    let snapshot = sim.snapshot(node);
    let all = snapshot.ports.iter().flat_map(|p| &p.rx_drops);
    all.filter(|d| d.reason == "headroom_full").map(|d| (d.reason.clone(), d.count.frames)).collect()
}

/// One walk; answers the lossless frames that were lost to too little headroom, and how often gates changed.
fn walk(seed: u64, headroom: Option<u64>) -> (u64, usize) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut sim = Sim::new();
    let limit = 4_000 + dice.roll(60_000);
    let a = sim.add(config(&["h1", "h2", "h3", "trunk"], "2MB", limit, headroom), seed);
    let b = sim.add(config(&["trunk", "h4", "h5", "h6"], "2MB", limit, headroom), seed + 1);
    sim.link((a, PortId(3)), (b, PortId(0)), us(dice.roll(5)).saturating_sub(Time(1)));
    let end = us(1_500);
    for (number, at) in [(1, (a, 0)), (2, (a, 1)), (3, (a, 2)), (4, (b, 1)), (5, (b, 2)), (6, (b, 3))]
        .map(|(n, (s, p))| (n, (s, PortId(p))))
    {
        host(&mut sim, at, number, dice.roll(u64::MAX >> 1) ^ u64::from(number), end);
    }
    while sim.now() < end {
        let next = sim.now() + us(50 + dice.roll(200));
        sim.run_until(next);
        for node in [a, b] {
            balance(&sim, node);
        }
        let node = if dice.roll(2) == 0 { a } else { b };
        let port = PortId(dice.roll(4) as u16);
        match dice.roll(8) {
            // DCBX puts priorities into other classes, and learns an application; what is lossless stays so.
            2 | 3 => {
                let classes = Classes {
                    class_of: std::array::from_fn(|_| dice.roll(8) as u8),
                    tsa: std::array::from_fn(|_| match dice.roll(5) {
                        0 => Tsa::Strict,
                        weight => Tsa::Ets { weight: (weight * 25) as u8 },
                    }),
                };
                let pfc = (dice.roll(2) == 0).then_some(0b1_1000);
                let operation = Operation { classes: Some(classes), pfc, applications: Vec::new() };
                sim.with((node, port), |s, _, now| s.operate(port, operation, now));
            }
            4 => sim.with((node, port), |s, _, now| s.operate(port, Operation::default(), now)),
            // Hosts' links flap; what was on the way to them is lost by that, and counted so.
            0 if !((node == a && port.0 == 3) || (node == b && port.0 == 0)) => {
                sim.with((node, port), |s, arena, now| s.set_link(port, false, arena, now));
                sim.with((node, port), |s, arena, now| s.set_link(port, true, arena, now));
            }
            1 => {
                let offload = dice.roll(2) == 0;
                sim.with((node, port), |s, _, _| s.attach(port, Attachment::plain(offload)));
            }
            _ => {}
        }
    }
    sim.run_until(us(200_000));
    for node in [a, b] {
        balance(&sim, node);
        assert_eq!(sim.frames_held(node), 0, "seed {seed}: everything left or was dropped");
    }
    let drops: u64 = [a, b].iter().flat_map(|&n| lossless_drops(&sim, n)).map(|(_, frames)| frames).sum();
    let paused: usize = [a, b].iter().map(|&n| sim.gates(n).len()).sum();
    assert!(
        headroom.is_some() || drops == 0,
        "seed {seed}: {drops} lossless frames lost, {paused} gate changes"
    );
    (drops, paused)
}

/// How many walks: a few with every test run, thousands by `DCBRIDGE_WALKS`.
fn walks() -> u64 {
    std::env::var("DCBRIDGE_WALKS").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

#[test]
fn random_walks_lose_nothing_lossless() {
    let paused: usize = (1..=walks()).map(|seed| walk(seed, None).1).sum();
    assert!(paused as u64 > walks(), "senders were paused in most walks: {paused} gate changes");
}

#[test]
fn random_walks_with_too_little_headroom_tell_what_they_lose() {
    let lost: u64 = (1..=40).map(|seed| walk(seed, Some(300)).0).sum();
    assert!(lost > 0, "headroom of a frame is too little, and the drops say so");
}
