//! Forwarding: addresses, VLANs, groups, bounds, order, and the books.

use std::collections::BTreeMap;

use dcbridge::sim::Packet;
use dcbridge::sim::frames::{Spec, mac, mark};
use dcbridge::switch::Finding;
use dcbridge_scheduler::{PortId, Time};
use dcbridge_tests::virtual_time::{assert_balanced, on_wire, sliced, threads};

use super::lan::Lan;

/// Ports named `p0`, `p1` ..., each with these keys, behind `bridge` keys and sections.
fn lan(bridge: &str, ports: &[&str]) -> Lan {
    let ports = ports.iter().enumerate().map(|(n, keys)| format!("[[port]]\nname = \"p{n}\"\n{keys}\n"));
    Lan::new(&format!("[bridge]\nloop_detection = false\n{bridge}\n{}", ports.collect::<String>()))
}

fn from_to(from: u16, to: u16) -> Packet {
    Spec { from, to: Some(to), ..Spec::default() }.udp(1)
}

fn addressed_to(address: [u8; 6], ethertype: u16) -> Packet {
    let mut packet = Spec::default().udp(1);
    packet.bytes[..6].copy_from_slice(&address);
    packet.bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
    packet
}

#[test]
fn learning() {
    let mut lan = lan("", &[""; 4]);
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 1, 1]);
    lan.send(2, from_to(2, 1));
    assert_eq!(lan.counts(), [1, 0, 0, 0]);
    lan.send(3, from_to(3, 2));
    assert_eq!(lan.counts(), [0, 0, 1, 0]);
    lan.send(2, from_to(4, 2));
    assert_eq!(lan.counts(), [0; 4], "behind the port it came by");
    assert_eq!(lan.drops(2), [("same_port".to_owned(), 1)]);
}

#[test]
fn ageing() {
    let mut lan = lan("ageing = 16", &[""; 3]);
    let seconds = |n: u64| Time::from_millis(1000 * n);
    lan.send(1, from_to(2, 9));
    lan.sim.run_until(seconds(15));
    lan.counts();
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 0]);
    // Seen again, it stays for another ageing time; being asked for is not being seen.
    lan.send(1, from_to(2, 1));
    lan.sim.run_until(seconds(30));
    lan.counts();
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 0]);
    lan.sim.run_until(seconds(33));
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 1], "forgotten, so flooded");
}

#[test]
fn flooding() {
    let mut lan = lan("", &[""; 5]);
    let broadcast = Spec { to: None, ..Spec::default() }.udp(1);
    let group = addressed_to([0x01, 0x00, 0x5E, 1, 2, 3], 0x0800);
    for packet in [broadcast, group, from_to(1, 77)] {
        for port in 0..5 {
            lan.send(port, packet.clone());
            let expected: Vec<usize> = (0..5).map(|p| usize::from(p != port)).collect();
            assert_eq!(lan.counts(), expected);
        }
    }
    assert_balanced(&lan.snapshot());
    assert_eq!(lan.sim.frames_held(lan.node), 0);
}

#[test]
fn station_move() {
    let mut lan = lan("", &[""; 3]);
    for port in [1, 2, 1, 0, 2] {
        lan.send(port, from_to(2, 9));
        lan.counts();
        let asker = if port == 0 { 1 } else { 0 };
        lan.send(asker, from_to(1, 2));
        let expected: Vec<usize> = (0..3).map(|p| usize::from(p == port)).collect();
        assert_eq!(lan.counts(), expected, "at once, and only there");
    }
    assert!(lan.snapshot().fdb.moves >= 4);
}

/// VLAN and payload mark of a received packet.
fn vlan(packet: &Packet) -> (Option<u16>, Option<u64>) {
    (sliced(&packet.bytes).vlan_ids().first().map(|v| v.value()), mark(&packet.bytes))
}

#[test]
fn vlan_filtering() {
    let mut lan = lan(
        "",
        &[
            "vlan = { pvid = 10 }",
            "vlan = { pvid = 10, tagged = [20] }",
            "vlan = { pvid = 20 }",
            "vlan = { tagged = [\"10-20\"] }",
            "vlan = { pvid = 30, untagged = [10], tagged = [20] }",
        ],
    );
    let sent = |tag| Spec { tag, to: None, ..Spec::default() }.udp(7);
    let none = None;
    let bare = Some(None);
    let tagged = |vid| Some(Some(vid));
    // By which port, with which tag; at each port: nothing, without a tag, or with one.
    let cases: [(u16, Option<(u16, u8)>, [Option<Option<u16>>; 5]); 10] = [
        (0, None, [none, bare, none, tagged(10), bare]),
        (0, Some((0, 5)), [none, bare, none, tagged(10), bare]),
        (0, Some((10, 5)), [none, bare, none, tagged(10), bare]),
        (0, Some((20, 5)), [none; 5]),
        (1, Some((20, 0)), [none, none, bare, tagged(20), tagged(20)]),
        (2, None, [none, tagged(20), none, tagged(20), tagged(20)]),
        (3, Some((10, 0)), [bare, bare, none, none, bare]),
        (3, Some((15, 0)), [none; 5]),
        (3, Some((21, 0)), [none; 5]),
        (4, None, [none; 5]),
    ];
    for (port, tag, expected) in cases {
        lan.send(port, sent(tag));
        for (to, expected) in (0..5).zip(expected) {
            let got: Vec<_> = lan.take(to).iter().map(vlan).collect();
            let expected: Vec<_> = expected.iter().map(|&vid| (vid, Some(7))).collect();
            assert_eq!(got, expected, "tag {tag:?} from p{port} at p{to}");
        }
    }
    // The same address in two VLANs is two stations.
    lan.send(0, from_to(5, 9));
    lan.send(2, from_to(5, 9));
    lan.counts();
    lan.send(3, Spec { from: 6, to: Some(5), tag: Some((10, 0)), ..Spec::default() }.udp(1));
    assert_eq!(lan.counts(), [1, 0, 0, 0, 0]);
    lan.send(3, Spec { from: 6, to: Some(5), tag: Some((20, 0)), ..Spec::default() }.udp(1));
    assert_eq!(lan.counts(), [0, 0, 1, 0, 0]);
    assert_balanced(&lan.snapshot());
}

#[test]
fn drop_untagged() {
    let mut lan = lan(
        "",
        &["vlan = { pvid = 1, tagged = [20], drop_untagged = true }", "vlan = { pvid = 1, tagged = [20] }"],
    );
    let sent = |tag| Spec { tag, to: None, ..Spec::default() }.udp(1);
    for (tag, passes) in [(None, 0), (Some((0, 7)), 0), (Some((1, 0)), 1), (Some((20, 0)), 1)] {
        lan.send(0, sent(tag));
        assert_eq!(lan.take(1).len(), passes, "{tag:?}");
    }
    assert_eq!(lan.drops(0), [("untagged".to_owned(), 2)]);
}

#[test]
fn port_isolation() {
    let isolated = "isolated = true";
    let mut lan = lan("", &[isolated, isolated, "", ""]);
    let broadcast = |from| Spec { from, to: None, ..Spec::default() }.udp(1);
    lan.send(0, broadcast(1));
    assert_eq!(lan.counts(), [0, 0, 1, 1]);
    lan.send(2, broadcast(3));
    assert_eq!(lan.counts(), [1, 1, 0, 1]);
    lan.send(1, from_to(2, 1));
    assert_eq!(lan.counts(), [0; 4], "not even to an address that is known");
    lan.send(1, from_to(2, 3));
    assert_eq!(lan.counts(), [0, 0, 1, 0]);
}

#[test]
fn static_entries() {
    let mut lan = Lan::new(
        "[bridge]\nloop_detection = false\nageing = 10\n[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n\
         [[port]]\nname = \"c\"\n[[fdb]]\nmac = \"02:00:00:00:00:02\"\nvlan = 1\nport = \"b\"\n",
    );
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 0], "before it was ever seen");
    lan.send(2, from_to(2, 9));
    lan.counts();
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 0], "seen elsewhere, it stays where it is");
    lan.sim.run_until(Time::from_millis(100_000));
    lan.send(0, from_to(1, 2));
    assert_eq!(lan.counts(), [0, 1, 0]);
}

#[test]
fn learning_limit() {
    let mut lan = lan("fdb_limit = 10", &["fdb_limit = 4", "", ""]);
    for n in 100..110 {
        lan.send(0, from_to(n, 1));
    }
    assert_eq!(lan.snapshot().fdb.entries, 4, "the port's own limit");
    for n in 200..220 {
        lan.send(1, from_to(n, 1));
    }
    assert_eq!(lan.snapshot().fdb.entries, 10, "the switch's limit");
    assert_eq!(lan.counts(), [20, 10, 30], "frames of addresses that were not learned still pass");
    lan.send(2, from_to(3, 103));
    assert_eq!(lan.counts(), [1, 0, 0], "learned");
    lan.send(2, from_to(3, 104));
    assert_eq!(lan.counts(), [1, 1, 0], "not learned, so flooded");
    assert_eq!(lan.snapshot().fdb.refused, 6 + 14 + 2);
}

#[test]
fn mtu_bounds() {
    for mtu in [576u16, 1500, 9000, 9202] {
        let mut lan = lan("", &[&format!("mtu = {mtu}"), &format!("mtu = {mtu}"), "mtu = 9202"]);
        let longest = usize::from(mtu) + 14;
        for (tag, len, passes) in [
            (None, longest, true),
            (None, longest + 1, false),
            (Some((1, 3)), longest + 4, true),
            (Some((1, 3)), longest + 5, false),
        ] {
            let spec = Spec { len, tag, to: None, ..Spec::default() };
            lan.send(0, spec.udp(1));
            assert_eq!(
                lan.counts(),
                [0, usize::from(passes), usize::from(passes)],
                "in: {mtu} {len} {tag:?}"
            );
            if mtu < 9202 {
                lan.send(2, Spec { from: 3, ..spec }.udp(1));
                let passes = usize::from(passes);
                assert_eq!(lan.counts(), [passes, passes, 0], "out: {mtu} {len} {tag:?}");
            }
        }
        // A superframe counts by its segments.
        lan.send(0, Spec { len: longest, to: None, ..Spec::default() }.tcp_superframe(&[0; 40_000]));
        lan.send(0, Spec { len: longest + 1, to: None, ..Spec::default() }.tcp_superframe(&[0; 40_000]));
        assert_eq!(lan.counts(), [0, 1, 1], "{mtu}");
        assert_balanced(&lan.snapshot());
    }
}

#[test]
fn reserved_addresses() {
    let mut lan = lan("", &[""; 2]);
    for last in 0..=0xFF {
        let mut expected = [0, 1];
        if last <= 0x0F {
            expected = [0, 0];
        }
        for ethertype in [0x0800, 0x88CC, 0x8809, 0x888E] {
            lan.send(0, addressed_to([0x01, 0x80, 0xC2, 0, 0, last], ethertype));
            assert_eq!(lan.counts(), expected, "-{last:02X}, ethertype {ethertype:#06X}");
        }
    }
    assert_balanced(&lan.snapshot());
}

#[test]
fn pfc_not_forwarded() {
    let mut lan = lan("", &[""; 3]);
    let pfc = |address, opcode: u16| {
        let mut packet = addressed_to(address, 0x8808);
        packet.bytes.truncate(60);
        packet.bytes[14..].fill(0);
        packet.bytes[14..16].copy_from_slice(&opcode.to_be_bytes());
        packet.bytes[16..20].copy_from_slice(&[0, 0xFF, 0xFF, 0xFF]);
        packet
    };
    let pause_group = [0x01, 0x80, 0xC2, 0, 0, 0x01];
    for packet in [pfc(pause_group, 0x0101), pfc(pause_group, 0x0001), pfc(mac(2), 0x0101), pfc([0xFF; 6], 1)]
    {
        lan.send(0, packet);
    }
    for last in [0x00, 0x03, 0x0E] {
        lan.send(0, addressed_to([0x01, 0x80, 0xC2, 0, 0, last], 0x88CC));
    }
    assert_eq!(lan.counts(), [0; 3]);
    assert_balanced(&lan.snapshot());
}

/// Three senders, two receivers that move about, four priorities, a line that is too slow for them.
#[test]
fn no_duplicate_no_reordering() {
    let mut lan = Lan::new(
        "[bridge]\nloop_detection = false\nbuffer = \"1MB\"\n[defaults]\ntrust = [\"dscp\"]\n\
         [[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n[[port]]\nname = \"c\"\n\
         [[port]]\nname = \"slow\"\nline_rate = \"1Gbit\"\n[[port]]\nname = \"other\"\nline_rate = \"2Gbit\"\n",
    );
    let (mut number, mut state) = (0u64, 88_172_645_463_325_252u64);
    for step in 0..20_000u64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (from, to, priority) =
            ((state % 3) as u16, 10 + (state >> 8) as u16 % 2, (state >> 16) as u8 % 4);
        let spec = Spec {
            from,
            to: Some(to),
            dscp: priority << 3,
            len: 60 + (state >> 24) as usize % 1454,
            ..Spec::default()
        };
        number += 1;
        lan.inject(from, spec.udp(number));
        if step % 1000 == 0 {
            // The receivers change places, or show themselves for the first time.
            for receiver in 0..2 {
                let port = 3 + (receiver + (step / 1000) as u16) % 2;
                lan.inject(port, from_to(10 + receiver, 99));
            }
        }
        let later = lan.sim.now() + Time::from_micros(1);
        lan.sim.run_until(later);
    }
    lan.sim.run_until(Time::from_millis(1000));
    let mut arrived = 0;
    for port in 3..5 {
        let mut last: BTreeMap<(Vec<u8>, Vec<u8>, u8), u64> = BTreeMap::new();
        for packet in lan.take(port) {
            let number = mark(&packet.bytes).unwrap();
            if number <= 1 && packet.bytes[5] == 99 {
                continue;
            }
            let flow = (packet.bytes[..6].to_vec(), packet.bytes[6..12].to_vec(), packet.bytes[15]);
            let before = last.insert(flow, number);
            assert!(before.is_none_or(|b| b < number), "{before:?} before {number} at port {port}");
            arrived += 1;
        }
        assert!(last.len() >= 12, "all flows came by here: {}", last.len());
    }
    let lost: u64 = [3, 4].iter().flat_map(|&p| lan.drops(p)).map(|(_, frames)| frames).sum();
    assert!(lost > 1000 && arrived > 5000, "overload: {lost} lost, {arrived} arrived");
    assert_balanced(&lan.snapshot());
    assert_eq!(lan.sim.frames_held(lan.node), 0);
}

#[test]
fn flood_limit() {
    let mut lan = lan("flood_rate = \"100Mbit\"", &[""; 2]);
    let broadcast = Spec { to: None, ..Spec::default() }.udp(1);
    // 1538 bytes every 20 us: 615 Mbit/s for two seconds; the first 100 ms of credit are not looked at.
    let mut settled = 0;
    for step in 0..100_000 {
        lan.inject(0, broadcast.clone());
        let later = lan.sim.now() + Time::from_micros(20);
        lan.sim.run_until(later);
        if step == 50_000 {
            settled = lan.counts()[1];
        }
    }
    let passed = lan.counts()[1] as f64 * 1538.0 * 8.0;
    assert!(settled > 0 && (passed / 100e6 - 1.0).abs() < 0.02, "{passed} bit/s");
    lan.send(0, Spec { from: 9, to: Some(9), ..Spec::default() }.udp(1));
    assert!(lan.drops(0).iter().any(|(reason, _)| reason == "flood_limit"));
    assert_balanced(&lan.snapshot());
}

#[test]
fn loop_held() {
    let mut lan = Lan::new("[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n[[port]]\nname = \"c\"\n");
    let (b, c) = ((lan.node, PortId(1)), (lan.node, PortId(2)));
    lan.sim.run_until(Time::from_millis(500));
    lan.sim.link(b, c, Time::from_micros(5));
    lan.sim.run_until(Time::from_millis(3_000));
    assert!(matches!(lan.sim.findings(lan.node)[0], Finding::Held { held: PortId(2), .. }));
    lan.counts();
    lan.send(0, Spec { to: None, ..Spec::default() }.udp(1));
    let later = lan.sim.now() + Time::from_millis(1000);
    lan.sim.run_until(later);
    assert!(lan.counts()[0] <= 1, "nothing comes back but a probe");
    // Somebody pulls the cable.
    lan.sim.sink(b, Box::new(|_, _| {}));
    lan.sim.sink(c, Box::new(|_, _| {}));
    lan.sim.run_until(Time::from_millis(30_000));
    assert_eq!(lan.sim.findings(lan.node).last(), Some(&Finding::Released(PortId(2))));
}

#[test]
fn books_balance() {
    // Each of several workers has a megabyte.
    let buffer = format!("[bridge]\nbuffer = \"{}MB\"\n", threads());
    let sections = "[defaults]\ntrust = [\"pcp\", \"dscp\"]\nmtu = 9000\n\
         [[traffic_class]]\nname = \"x\"\npriorities = [1, 2]\nbandwidth = 70\nmax_rate = \"300Mbit\"\n\
         [[traffic_class]]\nname = \"y\"\npriorities = \"rest\"\nbandwidth = 30\n\
         [[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\nline_rate = \"1Gbit\"\nvlan = { tagged = [1] }\n\
         [[port]]\nname = \"c\"\nline_rate = \"100Mbit\"\nmtu = 1500\n[[port]]\nname = \"d\"\n";
    let mut lan = Lan::new(&(buffer + sections));
    let superframe = Spec { to: None, ..Spec::default() }.tcp_superframe(&[0; 50_000]);
    for step in 0..3_000u16 {
        let from = step % 7;
        let to = (step % 3 > 0).then_some(step % 5);
        let tag = (step % 4 == 0).then_some((u16::from(step % 8 == 0), (step % 8) as u8));
        let spec = Spec {
            from,
            to,
            tag,
            dscp: (step % 64) as u8,
            len: 60 + usize::from(step) * 37 % 9000,
            ..Spec::default()
        };
        lan.inject(from % 4, spec.udp(1));
        if step % 10 == 0 {
            lan.inject(0, superframe.clone());
        }
        if step % 500 == 250 {
            let up = step % 1000 != 250;
            lan.sim.with((lan.node, PortId(2)), |s, arena, now| s.set_link(PortId(2), up, arena, now));
        }
        let later = lan.sim.now() + Time::from_micros(u64::from(step % 11));
        lan.sim.run_until(later);
        if step % 50 == 0 {
            assert_balanced(&lan.snapshot());
        }
    }
    let busy = lan.snapshot();
    assert!(busy.ports.iter().any(|p| p.queued.frames > 100), "checked under load, not at rest");
    let later = lan.sim.now() + Time::from_millis(2000);
    lan.sim.run_until(later);
    let rest = lan.snapshot();
    assert_balanced(&rest);
    assert!(rest.ports.iter().all(|p| p.queued.frames == 0));
    assert_eq!(lan.sim.frames_held(lan.node), 0);
    // The receivers' count is the books' count.
    for (port, books) in (0..).zip(&rest.ports) {
        let frames = |p: &Packet| on_wire(p.bytes.len(), &p.vnet, true).0;
        assert_eq!(lan.take(port).iter().map(frames).sum::<u64>(), books.tx.frames, "port {port}");
    }
}
