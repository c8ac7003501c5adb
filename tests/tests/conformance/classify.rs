//! Priorities of frames, and marks on frames that leave.

use dcbridge::sim::frames::{Spec, mac};
use dcbridge::sim::{NodeId, Packet, Sim};
use dcbridge_scheduler::{PortId, Time};
use dcbridge_tests::virtual_time::{assert_balanced, config, sliced};
use etherparse::{LinkExtSlice, NetSlice};

use super::lan::Lan;

/// Frames by the queue that they left from, of the port `out` (number 1).
fn queues(lan: &Lan) -> [u64; 8] {
    let snapshot = lan.snapshot();
    assert_balanced(&snapshot);
    let out = &snapshot.ports[1];
    std::array::from_fn(|p| out.priorities[p].tx.frames)
}

/// A switch with these settings of its ports `in` and `out`, and more sections. The host behind `out` is known.
fn lan(settings: &str, sections: &str) -> Lan {
    Lan::new(&format!(
        "[bridge]\nloop_detection = false\n{sections}\n[[port]]\nname = \"in\"\n{settings}\n\
         [[port]]\nname = \"out\"\n{settings}\n[[fdb]]\nmac = \"02:00:00:00:00:02\"\nvlan = 1\nport = \"out\"\n"
    ))
}

/// Sends each packet and asserts which queue it left from.
#[track_caller]
fn leaves_from(lan: &mut Lan, cases: impl IntoIterator<Item = (Packet, u8)>) {
    for (number, (packet, priority)) in cases.into_iter().enumerate() {
        let mut expected = queues(lan);
        expected[usize::from(priority)] += 1;
        lan.send(0, packet);
        assert_eq!(lan.take(1).len(), 1, "case {number} did not arrive");
        assert_eq!(queues(lan), expected, "case {number} should leave with priority {priority}");
    }
}

const PRIORITY_TAGGED: u16 = 0;

#[test]
fn pcp_to_priority() {
    let tagged = |vid, pcp| Spec { tag: Some((vid, pcp)), dscp: 20, ..Spec::default() }.udp(1);
    let mut plain = lan("trust = [\"pcp\"]", "");
    leaves_from(&mut plain, (0..8).flat_map(|pcp| [PRIORITY_TAGGED, 1].map(|vid| (tagged(vid, pcp), pcp))));
    let mut mapped = lan("trust = [\"pcp\"]", "[map]\npcp = { 0 = 1, 1 = 0, 5 = 3 }");
    leaves_from(&mut mapped, [(0, 1), (1, 0), (2, 2), (5, 3), (7, 7)].map(|(pcp, p)| (tagged(1, pcp), p)));
}

#[test]
fn dscp_to_priority() {
    let marked = |dscp, v6| Spec { dscp, v6, ..Spec::default() }.udp(1);
    let mut plain = lan("trust = [\"dscp\"]", "");
    leaves_from(&mut plain, (0..64).flat_map(|dscp| [false, true].map(|v6| (marked(dscp, v6), dscp >> 3))));
    let mut mapped = lan("trust = [\"dscp\"]", "[map]\ndscp = { 26 = 3, ef = 6, \"8-15\" = 7 }");
    leaves_from(
        &mut mapped,
        [(26, 3), (46, 6), (8, 7), (15, 7), (16, 2), (0, 0)].map(|(dscp, p)| (marked(dscp, false), p)),
    );
}

#[test]
fn trust_order() {
    let both = Spec { dscp: 48, tag: Some((1, 2)), ..Spec::default() }.udp(1);
    let dscp_only = Spec { dscp: 48, ..Spec::default() }.udp(1);
    let mut arp = both.clone();
    arp.bytes[16..18].copy_from_slice(&0x0806u16.to_be_bytes());
    for (trust, of_both, of_dscp, of_arp) in [
        ("[\"pcp\", \"dscp\"]", 2, 6, 2),
        ("[\"dscp\", \"pcp\"]", 6, 6, 2),
        ("[\"pcp\"]", 2, 0, 2),
        ("[\"dscp\"]", 6, 6, 0),
        ("[]", 0, 0, 0),
    ] {
        let mut lan = lan(&format!("trust = {trust}"), "");
        let cases = [(both.clone(), of_both), (dscp_only.clone(), of_dscp), (arp.clone(), of_arp)];
        leaves_from(&mut lan, cases);
    }
}

#[test]
fn default_priority() {
    let mut lan = lan("trust = [\"pcp\", \"dscp\"]\ndefault_priority = 4", "");
    let mut arp = Spec::default().udp(1);
    arp.bytes[12..14].copy_from_slice(&0x0806u16.to_be_bytes());
    let best_effort = Spec::default().udp(1);
    leaves_from(&mut lan, [(arp, 4), (best_effort, 0)]);
}

#[test]
fn policy_match() {
    let tcp =
        |spec: Spec, from: u16, to: u16| Spec { ports: (from, to), dscp: 8, ..spec }.tcp_superframe(&[0; 64]);
    let udp = |from: u16, to: u16| Spec { ports: (from, to), dscp: 8, ..Spec::default() }.udp(1);
    let plain = Spec { dscp: 8, ..Spec::default() };
    let ethertype = |value: u16| {
        let mut packet = plain.udp(1);
        packet.bytes[12..14].copy_from_slice(&value.to_be_bytes());
        packet
    };
    let protocol = |number: u8| {
        let mut packet = plain.udp(1);
        packet.bytes[23] = number;
        packet
    };
    let any = plain.udp(1);
    let from_mac = |n: u16| {
        let mut packet = any.clone();
        packet.bytes[6..12].copy_from_slice(&mac(n));
        packet
    };
    // Frames that do not match leave with 1 by their DSCP, or with the default where there is none.
    let unmatched = |packet: Packet| {
        let has_dscp = matches!(packet.bytes[12..14], [0x08, 0x00] | [0x86, 0xDD] | [0x81, 0x00]);
        (packet, u8::from(has_dscp))
    };
    let cases: Vec<(&str, Vec<Packet>, Vec<Packet>)> = vec![
        ("smb = true", vec![tcp(plain, 5000, 445), tcp(plain, 445, 5000)], vec![tcp(plain, 5000, 446)]),
        ("iscsi = true", vec![tcp(plain, 1, 3260)], vec![udp(1, 3261)]),
        ("nfs = true", vec![tcp(plain, 1, 2049)], vec![tcp(plain, 1, 2048)]),
        ("fcoe = true", vec![ethertype(0x8906)], vec![ethertype(0x8907)]),
        ("fip = true", vec![ethertype(0x8914)], vec![any.clone()]),
        ("rocev1 = true", vec![ethertype(0x8915)], vec![any.clone()]),
        ("rocev2 = true", vec![udp(50_000, 4791)], vec![tcp(plain, 50_000, 4791)]),
        ("tcp_port = 8080", vec![tcp(plain, 8080, 1), tcp(plain, 1, 8080)], vec![udp(1, 8080)]),
        ("udp_port = \"100-199\"", vec![udp(1, 100), udp(199, 1)], vec![udp(1, 200), tcp(plain, 1, 100)]),
        ("src_port = 7", vec![udp(7, 1), tcp(plain, 7, 1)], vec![udp(1, 7)]),
        ("dst_port = 7", vec![udp(1, 7)], vec![udp(7, 1)]),
        ("protocol = [\"icmp\", 89]", vec![protocol(1), protocol(89)], vec![any.clone()]),
        ("src_ip = \"10.0.0.0/31\"", vec![any.clone()], vec![Spec { from: 4, ..plain }.udp(1)]),
        ("dst_ip = \"10.0.0.2/32\"", vec![any.clone()], vec![Spec { v6: true, ..plain }.udp(1)]),
        ("src_ip = \"fd00::/120\"", vec![Spec { v6: true, ..plain }.udp(1)], vec![any.clone()]),
        ("dscp = 8", vec![any.clone()], vec![Spec { dscp: 9, ..plain }.udp(1)]),
        ("pcp = 6", vec![Spec { tag: Some((1, 6)), ..plain }.udp(1)], vec![any.clone()]),
        ("ethertype = 0x88F7", vec![ethertype(0x88F7)], vec![any.clone()]),
        ("src_mac = \"02:00:00:00:00:01\"", vec![any.clone()], vec![from_mac(3)]),
        ("dst_mac = \"02:00:00:00:00:02\"", vec![any.clone()], vec![]),
        ("in_port = [\"in\"]", vec![any.clone()], vec![]),
        ("in_port = [\"out\"]", vec![], vec![any.clone()]),
        ("vlan = 1", vec![any.clone()], vec![]),
        ("vlan = 2", vec![], vec![any.clone()]),
        ("dscp = 8, udp_port = 7", vec![udp(1, 7)], vec![any.clone(), tcp(plain, 1, 7)]),
    ];
    for (condition, matching, others) in cases {
        let policy = format!("[[policy]]\nname = \"p\"\nmatch = {{ {condition} }}\npriority = 5");
        let mut lan = lan("trust = [\"dscp\"]", &policy);
        let matching = matching.into_iter().map(|p| (p, 5));
        println!("{condition}");
        leaves_from(&mut lan, matching.chain(others.into_iter().map(unmatched)));
    }
    // Among several the highest precedence, among equals the first.
    let sections = "[[policy]]\nname = \"low\"\nmatch = { udp_port = 7 }\nprecedence = 10\npriority = 2\n\
                    [[policy]]\nname = \"high\"\nmatch = { dscp = 8 }\nprecedence = 20\npriority = 3\n\
                    [[policy]]\nname = \"equal\"\nmatch = { udp_port = 7 }\nprecedence = 20\npriority = 4\n\
                    [[policy]]\nname = \"everything\"\nmatch = \"default\"\npriority = 6";
    let mut lan = lan("trust = [\"dscp\"]", sections);
    let unmarked = Spec { ports: (1, 7), ..Spec::default() }.udp(1);
    leaves_from(&mut lan, [(udp(1, 7), 3), (unmarked, 4), (Spec::default().udp(1), 6)]);
}

#[test]
fn priority_counts() {
    let mut lan = lan("trust = [\"dscp\"]", "");
    let numbers: [u64; 8] = std::array::from_fn(|p| 10 * (p as u64 + 1) + 3);
    let mut sent = 0;
    for round in 0..numbers[7] {
        for (priority, &number) in (0..8u8).zip(&numbers) {
            if round < number {
                lan.send(
                    0,
                    Spec { dscp: priority << 3, len: 100 + usize::from(priority), ..Spec::default() }
                        .udp(sent),
                );
                sent += 1;
            }
        }
    }
    let got = lan.take(1);
    for (priority, &number) in (0..8).zip(&numbers) {
        let len = 100 + priority;
        assert_eq!(
            got.iter().filter(|p| p.bytes.len() == len).count() as u64,
            number,
            "as the receiver counts"
        );
    }
    assert_eq!(queues(&lan), numbers, "as the switch counts what left");
    let snapshot = lan.snapshot();
    let arrived: [u64; 8] = std::array::from_fn(|p| snapshot.ports[0].priorities[p].rx.frames);
    assert_eq!(arrived, numbers, "as the switch counts what came");
    let bytes: u64 = got.iter().map(|p| p.bytes.len() as u64).sum();
    assert_eq!(snapshot.ports[1].tx.bytes, bytes);
}

/// PCP of the tag, DSCP and whether the IPv4 header's checksum is right.
fn marks(packet: &Packet) -> (Option<u8>, u8, bool) {
    let sliced = sliced(&packet.bytes);
    let pcp = sliced.link_exts.first().map(|ext| match ext {
        LinkExtSlice::Vlan(tag) => tag.priority_code_point().value(),
        other => panic!("{other:?}"),
    });
    match sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            (pcp, header.dscp.value(), header.header_checksum == header.calc_header_checksum())
        }
        Some(NetSlice::Ipv6(ip)) => (pcp, ip.header().dscp().value(), true),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rewrite_marks() {
    let text = "[bridge]\nloop_detection = false\n\
                [map]\nrewrite_pcp = { 5 = 1 }\nrewrite_dscp = { 5 = 10 }\n\
                [[port]]\nname = \"in\"\ntrust = [\"dscp\"]\n\
                [[port]]\nname = \"asked\"\nrewrite = [\"pcp\", \"dscp\"]\n[[port]]\nname = \"not\"\n";
    let mut sim = Sim::new();
    let node: NodeId = sim.add(config(text), 1);
    let mut lan = Lan::over(sim, node, 3);
    for v6 in [false, true] {
        for (tag, dscp) in [(None, 46), (Some((9, 6)), 46), (Some((9, 6)), 16), (None, 16)] {
            let original = Spec { dscp, tag, v6, to: None, ..Spec::default() }.udp(7);
            lan.send(0, original.clone());
            let (asked, not) = (lan.take(1).pop().unwrap(), lan.take(2).pop().unwrap());
            assert_eq!(not, original, "a port that was not asked changes nothing");
            let (pcp, new_dscp) = if dscp == 46 { (1, 10) } else { (2, 16) };
            assert_eq!(marks(&asked), (tag.map(|_| pcp), new_dscp, true), "{tag:?} {dscp} {v6}");
            let payload = |p: &Packet| dcbridge::sim::frames::mark(&p.bytes);
            assert_eq!(payload(&asked), Some(7));
        }
    }
    lan.sim.run_until(Time::from_millis(5));
    assert_eq!(lan.sim.switch((node, PortId(1))).books(PortId(1)).tx.frames, 8);
}
