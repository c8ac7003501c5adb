//! What a lossless class promises: senders that stop as late as they may lose nothing.

use dcbridge::sim::{NodeId, Sim};
use dcbridge_scheduler::{PortId, Rate, Time};
use dcbridge_tests::virtual_pfc::{CELL, Host, Pausing, Plan, RATES, drops, snapshot};
use dcbridge_tests::virtual_time::{Flow, Sizes, assert_balanced};

const CLASS: &str = "queue_limit = \"200KB\"";
/// Frames with FCS of many lengths, none of which fills its memory well.
const MIXED: &[u16] = &[64, 9018, 261, 1518, 590, 4000, 64, 1518, 256, 8000];

fn ms(n: u64) -> Time {
    Time::from_millis(n)
}

#[test]
fn pause_lossless() {
    let [begin, end] = [ms(1), ms(5_001)];
    for bits in RATES {
        let mut sim = Sim::new();
        let (class, ports) = ("reserved = \"12KB\"\nqueue_limit = \"200KB\"", "headroom = \"150KB\"");
        let node = Plan { lines: &[bits; 2], class, ports, more: "" }.build(&mut sim);
        let hosts = Host::all(&mut sim, node, 2, bits);
        let [sender, receiver] = &hosts[..] else { panic!("two hosts") };
        receiver.pause(&mut sim, Pausing::refreshed(1 << 3, bits, begin, end));
        sim.run_until(begin);
        let load = |number, rate| Flow { until: end, ..Flow::new(number, rate) };
        sender.send(&mut sim, 1, load(3, bits / 10));
        // Of the same class, and of another.
        let jumbo = Sizes::Frames(&[9018]);
        sender.send(&mut sim, 1, Flow { sizes: jumbo, ..load(4, 2_000_000_000) });
        sender.send(&mut sim, 1, Flow { sizes: jumbo, ..load(0, 2_000_000_000) });
        sim.run_until(end);

        assert_eq!(receiver.got(3).frames, 0, "nothing of the paused priority");
        // What the sender got rid of fits between the threshold and the end of the headroom.
        let held = sender.sent(3) * 1514u64.next_multiple_of(CELL);
        println!("{} Gbit/s: {held} bytes held", bits / 1_000_000_000);
        assert!((12_000 + 200_000..=12_000 + 200_000 + 150_000).contains(&held), "{held} bytes held");
        for number in [4, 0] {
            let (got, sent) = (receiver.got(number), sender.sent(number));
            assert!(sent > 100_000 && got.missed == 0 && got.frames + 2 >= sent, "{got:?} of {sent}");
        }
        sim.run_until(end + ms(100));
        for number in [3, 4, 0] {
            assert_eq!(receiver.got(number).frames, sender.sent(number), "everything arrives");
            assert_eq!(receiver.got(number).missed, 0);
        }
        assert_eq!(drops(&sim, node), []);
        assert_balanced(&snapshot(&sim, node));
    }
}

/// How long a host needs for so many packets of these sizes.
fn span(bits: u64, sizes: Sizes) -> Time {
    let bytes = match sizes {
        Sizes::Frames(lens) => {
            20_000 * lens.iter().map(|&l| u64::from(l) + 20).sum::<u64>() / lens.len() as u64
        }
        Sizes::Superframes(_) => 1_000 * 62_000,
    };
    Rate::from_bits_per_second(bits).time_of(bytes)
}

/// Eight hosts send to a ninth; the first `lossless` of them in lossless priorities.
fn eight_to_one(bits: u64, sizes: Sizes, lossless: u16, class: &str) {
    let mut sim = Sim::new();
    let node = Plan { lines: &[bits; 9], class, ports: "", more: "" }.build(&mut sim);
    let hosts = Host::all(&mut sim, node, 9, bits);
    let until = span(bits, sizes);
    for number in 0..8 {
        let priority = if number < lossless { 3 + (number % 2) as u8 } else { (number % 2) as u8 };
        let flow = Flow { priority, sizes, until, ..Flow::new(number, bits) };
        hosts[usize::from(number)].send(&mut sim, 8, flow);
    }
    let drained = ms(200);
    sim.run_until(until + drained);
    for (number, host) in (0..8).zip(&hosts) {
        let (got, sent) = (hosts[8].got(number), host.sent(number));
        let heard = host.state().heard.len();
        if number < lossless {
            assert_eq!((got.frames, got.missed), (sent, 0), "host {number}");
            assert!(heard > 0, "host {number} was told to wait");
            let group = &snapshot(&sim, node).ports[usize::from(number)].priorities
                [3 + usize::from(number % 2)]
            .group;
            assert!(group.headroom_peak_bytes > 0 && !group.gate_closed, "{group:?}");
        } else {
            assert!(got.frames < sent, "host {number} is lossy and lost nothing: {got:?} of {sent}");
            assert_eq!(heard, 0, "host {number} sends nothing lossless");
        }
    }
    let congested = |d: &(String, String, u64)| d.0 == "p8" && (d.1 == "queue_full" || d.1 == "buffer_full");
    let dropped = drops(&sim, node);
    assert!(dropped.iter().all(congested) && dropped.is_empty() == (lossless == 8), "{dropped:?}");
    assert_balanced(&snapshot(&sim, node));
    assert_eq!(sim.frames_held(node), 0);
}

#[test]
fn many_to_one() {
    for bits in RATES {
        for sizes in
            [Sizes::Frames(&[64]), Sizes::Frames(&[1518]), Sizes::Frames(MIXED), Sizes::Superframes(9018)]
        {
            eight_to_one(bits, sizes, 8, CLASS);
            eight_to_one(bits, sizes, 6, CLASS);
            // A limit that moves with what the others hold.
            eight_to_one(bits, sizes, 6, "dynamic_th = -7");
        }
    }
}

/// Two switches: host 0 at the first, host 1 at the second behind a fifth of the rate.
fn two_switches(bits: u64) -> (Sim, [NodeId; 2], [Host; 2]) {
    let mut sim = Sim::new();
    let (class, ports) = ("queue_limit = \"1MB\"", "headroom = \"100KB\"");
    let first = Plan { lines: &[bits; 2], class, ports, more: "" }.build(&mut sim);
    let second = Plan { lines: &[bits, bits / 5], class, ports, more: "" }.build(&mut sim);
    // 5 m of cable.
    sim.link((first, PortId(1)), (second, PortId(0)), Time::from_nanos(25));
    let hosts = [Host::new(&mut sim, first, 0, bits), Host::new(&mut sim, second, 1, bits / 5)];
    (sim, [first, second], hosts)
}

#[test]
fn two_bridges() {
    // At 1 Gbit/s the bottleneck is the 200 Mbit/s of the public test plans.
    for bits in [&[1_000_000_000], &RATES[..]].concat() {
        let (mut sim, nodes, [sender, receiver]) = two_switches(bits);
        let burst = Rate::from_bits_per_second(bits).time_of(10_000_000);
        // It goes on until it has got rid of all of it.
        let slowly = Time(burst.0 * 5);
        sender.send(&mut sim, 1, Flow { until: slowly, ..Flow::new(3, bits) });
        sim.run_until(slowly + slowly);
        let (got, sent) = (receiver.got(3), sender.sent(3));
        println!("{} Gbit/s: {sent} frames, {} bytes", bits / 1_000_000_000, got.wire);
        assert!(got.wire >= 9_900_000, "the burst is 10 MB: {got:?}");
        assert_eq!((got.frames, got.missed), (sent, 0));
        assert!(!sender.told(3).0.is_empty(), "the pause went all the way");
        for node in nodes {
            assert_eq!(drops(&sim, node), []);
            assert_eq!(sim.frames_held(node), 0);
        }
    }
}

/// What the switch holds of a host's shortest frames beyond the threshold, and whether any were lost: the host sends them
/// as fast as it can to one that takes nothing, while a third one's superframes are in the way of the switch's PFC frames.
fn beyond_the_threshold(bits: u64, ports: &str, from: Time) -> (u64, Vec<(String, String, u64)>) {
    let (reserved, limit) = (1024, 204_800);
    let mut sim = Sim::new();
    let class = format!("reserved = {reserved}\nqueue_limit = {limit}");
    let node = Plan { lines: &[bits; 3], class: &class, ports, more: "" }.build(&mut sim);
    let hosts = Host::all(&mut sim, node, 3, bits);
    let until = Rate::from_bits_per_second(bits).time_of(2_000_000);
    hosts[1].pause(&mut sim, Pausing::refreshed(1 << 3, bits, Time::ZERO, until + ms(1)));
    sim.run_until(Time(1));
    hosts[0].send(&mut sim, 1, Flow { sizes: Sizes::Frames(&[64]), from, until, ..Flow::new(3, bits) });
    hosts[2].send(&mut sim, 0, Flow { sizes: Sizes::Superframes(9018), until, ..Flow::new(0, bits) });
    sim.run_until(until);
    assert!(hosts[0].got(0).frames > 100, "PFC frames found the line taken");
    let held = (hosts[0].sent(3) * CELL).saturating_sub(reserved + limit);
    sim.run_until(until + ms(20));
    let lost: u64 = drops(&sim, node).iter().map(|d| d.2).sum();
    assert_eq!(hosts[1].got(3).frames + lost, hosts[0].sent(3), "what is lost is told");
    (held, drops(&sim, node))
}

#[test]
fn headroom_suffices() {
    for bits in RATES {
        let superframe = Rate::from_bits_per_second(bits).time_of(62_000);
        let mut most = 0;
        for part in 0..8 {
            let (held, lost) = beyond_the_threshold(bits, "", Time(superframe.0 / 8 * part));
            assert_eq!(lost, [], "the calculated headroom suffices");
            most = most.max(held);
        }
        println!("{} Gbit/s: {most} bytes of headroom used", bits / 1_000_000_000);
        assert!(most > 0);
        // The hosts do need it: with two thirds of that there is loss, and it is told where it happens.
        let ports = format!("headroom = {}", most * 2 / 3);
        let lost: Vec<_> = (0..8)
            .flat_map(|part| beyond_the_threshold(bits, &ports, Time(superframe.0 / 8 * part)).1)
            .collect();
        assert!(!lost.is_empty() && lost.iter().all(|d| d.0 == "p0" && d.1 == "headroom_full"), "{lost:?}");
    }
}
