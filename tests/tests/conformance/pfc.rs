//! Priority-based flow control: when the switch asks for pauses, and what it makes of those that it is asked for.

use dcbridge::sim::{NodeId, Packet, Sim};
use dcbridge_scheduler::{Rate, Time};
use dcbridge_tests::virtual_pfc::{
    CELL, Got, Host, LONGEST, Pausing, Plan, RATES, drops, pfc_all, quanta, snapshot,
};
use dcbridge_tests::virtual_time::{Flow, MAX_FLOWS, assert_balanced, threads};

/// What a frame of 1514 bytes occupies.
const OCCUPIED: u64 = 1514u64.next_multiple_of(CELL);
const WIRE: u64 = 1538;
const RESERVED: u64 = 12_000;
const LIMIT: u64 = 200_000;
const HEADROOM: u64 = 150_000;
const XON_OFFSET: u64 = 60_000;
const CLASS: &str = "reserved = \"12KB\"\nqueue_limit = \"200KB\"\nxon_offset = \"60KB\"";
const PORTS: &str = "headroom = \"150KB\"";
/// By how many frames a threshold may be missed.
const MARGIN: u64 = 2;

fn us(n: u64) -> Time {
    Time::from_micros(n)
}

fn ms(n: u64) -> Time {
    Time::from_millis(n)
}

fn later(sim: &mut Sim, span: Time) {
    let end = sim.now() + span;
    sim.run_until(end);
}

/// A switch whose ports all run at one rate, and the hosts behind them.
fn star(ports: usize, bits: u64, class: &str) -> (Sim, NodeId, Vec<Host>) {
    let mut sim = Sim::new();
    let node = Plan { lines: &vec![bits; ports], class, ports: PORTS, more: "" }.build(&mut sim);
    let hosts = Host::all(&mut sim, node, ports as u16, bits);
    (sim, node, hosts)
}

/// Fills the priority group of host 0 to each side of its thresholds while host 2 takes nothing; `threshold` is where
/// its headroom begins.
fn fill(bits: u64, class: &str, threshold: u64) {
    let (mut sim, node, hosts) = star(3, bits, class);
    let [fast, other, slow] = &hosts[..] else { panic!("three hosts") };
    let filled = Rate::from_bits_per_second(bits).time_of(WIRE * (threshold + HEADROOM) / OCCUPIED) + ms(10);
    slow.pause(&mut sim, Pausing::refreshed(0b1_1000, bits, Time::ZERO, filled));
    later(&mut sim, us(1));
    let flow = |number, priority| Flow { priority, ..Flow::new(number, bits) };
    let (trigger, dropping) = (threshold / OCCUPIED + 1, (threshold + HEADROOM) / OCCUPIED + 1);

    fast.burst(&mut sim, 2, flow(3, 3), trigger - 1 - MARGIN);
    later(&mut sim, us(100));
    assert!(fast.state().heard.is_empty(), "no PFC {MARGIN} frames below the threshold");
    fast.burst(&mut sim, 2, flow(3, 3), 2 * MARGIN + 2);
    later(&mut sim, us(1));
    assert!(!fast.told(3).0.is_empty(), "PFC {MARGIN} frames above the threshold");
    assert!(fast.state().heard.iter().all(|h| h.vector == 1 << 3), "for that priority only");
    assert!(other.state().heard.is_empty(), "and only to who filled it");

    fast.burst(&mut sim, 2, flow(3, 3), dropping - 1 - MARGIN - fast.sent(3));
    assert_eq!(drops(&sim, node), [], "nothing is dropped as long as there is headroom");
    fast.burst(&mut sim, 2, flow(3, 3), 20);
    for (host, number, priority) in [(fast, 4, 4), (fast, 0, 0), (other, 5, 3)] {
        host.burst(&mut sim, 2, flow(number, priority), 50);
    }
    assert!(sim.now() < filled);
    sim.run_until(filled + ms(20));

    let passed = slow.got(3).frames;
    println!(
        "{} Gbit/s: trigger {trigger}, first drop expected at {dropping}, at {}",
        bits / 1_000_000_000,
        passed + 1
    );
    assert!((dropping - 1).abs_diff(passed) <= MARGIN, "{passed} passed, {dropping} is one too many");
    assert_eq!(slow.got(3).missed, 0, "what was too much is the last");
    for number in [4, 0, 5] {
        assert_eq!(slow.got(number).frames, 50, "flow {number} belongs to another group");
    }
    assert_eq!(
        drops(&sim, node),
        [("p0".to_owned(), "headroom_full".to_owned(), fast.sent(3) - passed)],
        "dropped where it came in, and nothing else"
    );
    assert_balanced(&snapshot(&sim, node));
}

#[test]
fn xoff_point() {
    for bits in RATES {
        fill(bits, CLASS, RESERVED + LIMIT);
        // As much as is free: half of what no group has for its own (three ports with two lossless priorities).
        // Of several workers, the sender's has as much of it as it has of the ports.
        let shared = (32_000_000 - 6 * (RESERVED + HEADROOM)) / 3 * 3u64.div_ceil(threads().min(3));
        fill(bits, "reserved = \"12KB\"\ndynamic_th = 0", RESERVED + shared / 2);
    }
}

#[test]
fn xon_hysteresis() {
    for bits in RATES {
        let (mut sim, node, hosts) = star(2, bits, CLASS);
        let [fast, slow] = &hosts[..] else { panic!("two hosts") };
        let pause = |sim: &mut Sim| slow.say(sim, 1 << 3, LONGEST);
        let frame = Rate::from_bits_per_second(bits).time_of(WIRE);
        pause(&mut sim);
        let queued = (RESERVED + LIMIT) / OCCUPIED + 10;
        fast.burst(&mut sim, 1, Flow::new(3, bits), queued);
        assert!(slow.got(3).frames == 0 && !fast.told(3).0.is_empty());

        // Its peer lets out one frame after the other.
        let mut let_out = 0;
        while fast.told(3).1.is_empty() {
            assert_eq!(slow.got(3).frames, let_out);
            slow.say(&mut sim, 1 << 3, 0);
            later(&mut sim, Time::ZERO);
            pause(&mut sim);
            later(&mut sim, Time(2 * frame.0));
            let_out += 1;
            assert!(let_out <= queued, "no XON, though everything has left");
        }
        let goes_on_at = (RESERVED + LIMIT - XON_OFFSET) / OCCUPIED;
        println!("{} Gbit/s: XON with {} frames held", bits / 1_000_000_000, queued - let_out);
        assert!(goes_on_at.abs_diff(queued - let_out) <= MARGIN, "{let_out} of {queued} were let out");

        slow.say(&mut sim, 1 << 3, 0);
        later(&mut sim, ms(4_000));
        let (xoffs, xons) = fast.told(3);
        assert_eq!(xons.len(), 1, "{xons:?}");
        assert!(xoffs.iter().all(|&at| at < xons[0]), "no new XOFF in 4 s: {xoffs:?}");
        assert_eq!(slow.got(3).frames, queued);
        assert_eq!(drops(&sim, node), []);
    }
}

#[test]
fn pfc_counters() {
    for bits in RATES {
        let (mut sim, node, hosts) = star(2, bits, CLASS);
        let [fast, slow] = &hosts[..] else { panic!("two hosts") };
        let counted = |sim: &Sim, port: usize| -> Vec<u64> {
            snapshot(sim, node).ports[port].priorities.iter().map(|p| p.group.pfc_rx).collect()
        };
        let mut expected = vec![0; 8];
        for priority in 0..8 {
            for n in 0..10 {
                slow.say(&mut sim, 1 << priority, n % 2 * 100);
            }
            later(&mut sim, us(1));
            expected[priority] += 10;
            assert_eq!(counted(&sim, 1), expected, "ten, XON included, on that priority alone");
        }
        slow.say(&mut sim, 0b0101_0010, 0);
        for priority in [1, 4, 6] {
            expected[priority] += 1;
        }
        for _ in 0..7 {
            sim.inject((node, dcbridge_scheduler::PortId(1)), pause_8023x_frame(LONGEST));
        }
        later(&mut sim, us(1));
        assert_eq!(counted(&sim, 1), expected);
        assert_eq!(snapshot(&sim, node).ports[1].flow.pause_rx, 7, "PAUSE is counted apart");
        assert_eq!(counted(&sim, 0), [0; 8], "the other port got none");

        // The other way: what the switch says that it sent is what the host got.
        slow.say(&mut sim, 1 << 3, LONGEST);
        fast.burst(&mut sim, 1, Flow::new(3, bits), (RESERVED + LIMIT) / OCCUPIED + 10);
        later(&mut sim, ms(10));
        let (xoffs, xons) = fast.told(3);
        let group = &snapshot(&sim, node).ports[0].priorities[3].group;
        assert!(!xoffs.is_empty() && !xons.is_empty());
        assert_eq!((group.xoff_tx, group.xon_tx), (xoffs.len() as u64, xons.len() as u64));
    }
}

/// An 802.3x PAUSE frame.
fn pause_8023x_frame(time: u16) -> Packet {
    let mut bytes = vec![0x01, 0x80, 0xC2, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0x08, 0, 1];
    bytes.extend(time.to_be_bytes());
    bytes.resize(60, 0);
    Packet::plain(bytes)
}

/// What arrives, and when, of two lossy and two lossless flows that fill a line for a millisecond, one of them paused
/// for a tenth of it, while the receiver also sends `disturbance` every 10 us.
fn arrivals(bits: u64, disturbance: Option<Packet>) -> [Got; MAX_FLOWS] {
    let (mut sim, node, hosts) = star(2, bits, CLASS);
    let [fast, slow] = &hosts[..] else { panic!("two hosts") };
    for (number, priority) in [(0, 0), (1, 1), (3, 3), (4, 4)] {
        fast.send(&mut sim, 1, Flow { priority, until: ms(1), ..Flow::new(number, bits / 4) });
    }
    if let Some(packet) = disturbance {
        let packet = std::rc::Rc::new(packet);
        let send = move |now| (now < ms(1)).then(|| (packet.clone(), now + us(10)));
        sim.source((node, dcbridge_scheduler::PortId(1)), us(5), Box::new(send));
    }
    let tenth = (bits / 10_000 / 512).min(u64::from(LONGEST)) as u16;
    let pause = Pausing { vector: 1 << 3, time: tenth, from: us(300), until: us(301), every: ms(1) };
    slow.pause(&mut sim, pause);
    sim.run_until(ms(5));
    assert_eq!(drops(&sim, node), []);
    let got = slow.state().got;
    assert!(got[0].frames > 0 && got[3].gap > Time(quanta(tenth, bits).0 / 2), "the real pause is one");
    for number in [0, 1, 3, 4] {
        assert_eq!(got[usize::from(number)].frames, fast.sent(number));
    }
    got
}

#[test]
fn pause_lossy_ignored() {
    for bits in RATES {
        assert_eq!(arrivals(bits, Some(pfc_all(0b1110_0111, LONGEST))), arrivals(bits, None));
    }
}

#[test]
fn empty_vector() {
    for bits in RATES {
        assert_eq!(arrivals(bits, Some(pfc_all(0, LONGEST))), arrivals(bits, None));
        assert_eq!(arrivals(bits, Some(pfc_all(0, 0))), arrivals(bits, None));
    }
}

#[test]
fn pause_8023x() {
    for bits in RATES {
        assert_eq!(arrivals(bits, Some(pause_8023x_frame(LONGEST))), arrivals(bits, None));
        assert_eq!(arrivals(bits, Some(pause_8023x_frame(0))), arrivals(bits, None));
    }
}

/// The longest silence of a lossless flow at line rate whose receiver sends these frames at these instants.
fn silence(bits: u64, frames: Vec<(Time, Packet)>) -> Time {
    let (mut sim, node, hosts) = star(2, bits, CLASS);
    let [fast, slow] = &hosts[..] else { panic!("two hosts") };
    fast.send(&mut sim, 1, Flow { until: ms(10), ..Flow::new(3, bits) });
    for (at, packet) in frames {
        sim.run_until(at);
        sim.inject((node, dcbridge_scheduler::PortId(1)), packet);
    }
    sim.run_until(ms(20));
    assert_eq!((slow.got(3).frames, slow.got(3).missed), (fast.sent(3), 0));
    slow.got(3).gap
}

/// Asserts that a flow was silent for `pause`, beside the frame that had begun and the one that ends it.
#[track_caller]
fn assert_silent(bits: u64, silent: Time, pause: Time) {
    let frame = Rate::from_bits_per_second(bits).time_of(WIRE);
    println!(
        "{} Gbit/s: silent {} ns, paused {} ns",
        bits / 1_000_000_000,
        silent.as_nanos(),
        pause.as_nanos()
    );
    assert!(silent >= pause && silent <= pause + frame, "{silent:?} for a pause of {pause:?}");
}

#[test]
fn pause_time() {
    for bits in RATES {
        for time in [1_000, LONGEST] {
            let pause = vec![(us(100), pfc_all(1 << 3, time))];
            assert_silent(bits, silence(bits, pause), quanta(time, bits));
        }
        // A running pause is replaced by a shorter one, and by a longer one.
        let tenth = Time(quanta(LONGEST, bits).0 / 10);
        for time in [1_000, LONGEST] {
            let second = (us(100) + tenth, pfc_all(1 << 3, time));
            let frames = vec![(us(100), pfc_all(1 << 3, LONGEST / 2)), second];
            assert_silent(bits, silence(bits, frames), tenth + quanta(time, bits));
        }
        // Where nothing waits it is told for as long as it lasts, and not for longer.
        let (mut sim, node, hosts) = star(2, bits, CLASS);
        hosts[1].say(&mut sim, 1 << 3, LONGEST);
        let pause = quanta(LONGEST, bits);
        for (at, paused) in [(Time(pause.0 / 2), true), (Time(pause.0 * 3), false)] {
            sim.run_until(at);
            let seen = &snapshot(&sim, node).ports[1].priorities[3];
            assert_eq!((seen.paused, seen.paused_ns), (paused, at.min(pause).as_nanos()));
        }
    }
}

#[test]
fn zero_sa() {
    for bits in RATES {
        let time = 1000;
        let from = |source: [u8; 6]| {
            let mut packet = pfc_all(1 << 3, time);
            packet.bytes[6..12].copy_from_slice(&source);
            packet
        };
        let mut unpadded = from([0; 6]);
        unpadded.bytes.truncate(34);
        for packet in
            [from([0; 6]), from([2, 0, 0, 0, 0, 1]), from([0, 0x11, 0x22, 0x33, 0x44, 0x55]), unpadded]
        {
            assert_silent(bits, silence(bits, vec![(us(100), packet)]), quanta(time, bits));
        }
    }
}

#[test]
fn xon_early() {
    for bits in RATES {
        let tenth = Time(quanta(LONGEST, bits).0 / 10);
        let frames = vec![(us(100), pfc_all(1 << 3, LONGEST)), (us(100) + tenth, pfc_all(1 << 3, 0))];
        assert_silent(bits, silence(bits, frames), tenth);
    }
}
