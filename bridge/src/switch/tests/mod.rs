//! The switch in virtual time: what enters, where it leaves, and what the books say.

mod batches;
mod lossless;
mod walk;

use std::cell::RefCell;
use std::rc::Rc;

use dcbridge_scheduler::{PortId, Time};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::Finding;
use crate::sim::frames::{Spec, mac, mark};
use crate::sim::{NodeId, Packet, Sim};

type Received = Rc<RefCell<Vec<(Time, Packet)>>>;

/// One switch with a sink behind each port.
struct Rig {
    sim: Sim,
    node: NodeId,
    got: Vec<Received>,
}

/// How many workers the switches have: `all_of_this_with_several_workers` asks for more than one.
fn threads() -> u8 {
    std::env::var(THREADS).ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

const THREADS: &str = "DCBRIDGE_THREADS";

#[test]
fn all_of_this_with_several_workers() {
    if std::env::var_os(THREADS).is_some() {
        return;
    }
    for threads in ["2", "3", "4"] {
        let program = std::env::current_exe().expect("this program");
        let run = std::process::Command::new(program).arg("switch::tests").env(THREADS, threads).output();
        let run = run.expect("it starts again");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains(" passed"), "{threads} workers: {said}");
    }
}

fn rig(config: &str) -> Rig {
    let mut config = match dcbridge_config::parse(config, "test.toml") {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", dcbridge_config::render(&errors, config, false)),
    };
    config.worker.threads = threads();
    let ports = config.ports.len() as u16;
    let mut sim = Sim::new();
    let node = sim.add(config, 1);
    let got = (0..ports)
        .map(|p| {
            let received = Received::default();
            let store = Rc::clone(&received);
            sim.sink((node, PortId(p)), Box::new(move |at, packet| store.borrow_mut().push((at, packet))));
            received
        })
        .collect();
    Rig { sim, node, got }
}

impl Rig {
    fn send(&mut self, port: u16, packet: Packet) {
        self.sim.inject((self.node, PortId(port)), packet);
        let later = self.sim.now() + Time::from_micros(100);
        self.sim.run_until(later);
    }

    /// What came out of a port since the last call, probes left out.
    fn take(&mut self, port: u16) -> Vec<Packet> {
        let all = std::mem::take(&mut *self.got[usize::from(port)].borrow_mut());
        all.into_iter().map(|(_, p)| p).filter(|p| p.bytes[12..14] != [0x88, 0xB6]).collect()
    }

    fn drops(&self, port: u16) -> Vec<(String, u64)> {
        let snapshot = self.sim.snapshot(self.node);
        let port = &snapshot.ports[usize::from(port)];
        port.rx_drops.iter().chain(&port.tx_drops).map(|d| (d.reason.clone(), d.count.frames)).collect()
    }

    /// Asserts that the books balance, with what is queued.
    fn balance(&self) {
        balance(&self.sim, self.node);
    }
}

fn balance(sim: &Sim, node: NodeId) {
    let snapshot = sim.snapshot(node);
    let sum = |f: &dyn Fn(&crate::state::Port) -> (u64, u64)| {
        snapshot.ports.iter().map(f).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let pair = |c: crate::state::Count| (c.units, c.frames);
    let all =
        |d: &[crate::state::Drop]| d.iter().fold((0, 0), |a, d| (a.0 + d.count.units, a.1 + d.count.frames));
    let add = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
    let came = sum(&|p| add(add(pair(p.rx), pair(p.originated)), pair(p.copies)));
    let went = sum(&|p| {
        let dropped = add(all(&p.rx_drops), all(&p.tx_drops));
        add(add(add(pair(p.tx), dropped), pair(p.consumed)), pair(p.queued))
    });
    assert_eq!(came, went, "(units, frames) in and out: {snapshot:#?}");
}

const PLAIN: &str = r#"
    [[port]]
    name = "p0"
    [[port]]
    name = "p1"
    [[port]]
    name = "p2"
"#;

#[test]
fn unknown_destinations_are_flooded_and_known_ones_are_not() {
    let mut r = rig(PLAIN);
    r.send(0, Spec::default().udp(1));
    assert_eq!((r.take(0).len(), r.take(1).len(), r.take(2).len()), (0, 1, 1));
    r.send(1, Spec { from: 2, to: Some(1), ..Spec::default() }.udp(2));
    assert_eq!((r.take(0).len(), r.take(2).len()), (1, 0));
    r.send(0, Spec::default().udp(3));
    assert_eq!((r.take(1).len(), r.take(2).len()), (1, 0));
    // Host 2 moves.
    r.send(2, Spec { from: 2, to: Some(1), ..Spec::default() }.udp(4));
    r.send(0, Spec::default().udp(5));
    assert_eq!((r.take(1).len(), r.take(2).len()), (0, 1));
    r.balance();
    assert_eq!(r.sim.frames_held(r.node), 0);
}

#[test]
fn addresses_age_out() {
    let mut r = rig(&format!("[bridge]\nageing = 10\n{PLAIN}"));
    r.send(1, Spec { from: 2, to: Some(1), ..Spec::default() }.udp(1));
    r.take(2);
    r.sim.run_until(Time::from_millis(9_000));
    r.send(0, Spec::default().udp(2));
    assert!(r.take(2).is_empty());
    r.sim.run_until(Time::from_millis(25_000));
    r.send(0, Spec::default().udp(3));
    assert_eq!(r.take(2).len(), 1, "forgotten, so flooded");
}

#[test]
fn a_frame_to_its_own_port_goes_nowhere() {
    let mut r = rig(PLAIN);
    r.send(0, Spec { from: 2, to: Some(1), ..Spec::default() }.udp(1));
    r.take(1);
    r.take(2);
    r.send(0, Spec::default().udp(2));
    assert!(r.take(1).is_empty() && r.take(2).is_empty());
    assert_eq!(r.drops(0), [("same_port".to_owned(), 1)]);
}

#[test]
fn reserved_group_addresses_never_leave() {
    let mut r = rig(PLAIN);
    for last in 0..=0x0F {
        for ethertype in [0x8808u16, 0x88CC, 0x0800, 0x8902] {
            let mut frame = Spec::default().udp(1);
            frame.bytes[..6].copy_from_slice(&[0x01, 0x80, 0xC2, 0, 0, last]);
            frame.bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            r.send(0, frame);
        }
    }
    let mut unicast_pause = Spec::default().udp(1);
    unicast_pause.bytes[12..14].copy_from_slice(&0x8808u16.to_be_bytes());
    r.send(0, unicast_pause);
    assert!(r.take(1).is_empty() && r.take(2).is_empty());
    let mut neighbour = Spec::default().udp(1);
    neighbour.bytes[..6].copy_from_slice(&[0x01, 0x80, 0xC2, 0, 0, 0x10]);
    r.send(0, neighbour);
    assert_eq!(r.take(1).len(), 1, "-10 is an ordinary group");
    r.balance();
}

#[test]
fn vlans_keep_to_themselves() {
    let mut r = rig(r#"
        [[port]]
        name = "p0"
        vlan = { pvid = 10 }
        [[port]]
        name = "p1"
        vlan = { pvid = 10 }
        [[port]]
        name = "p2"
        vlan = { pvid = 20 }
        [[port]]
        name = "trunk"
        vlan = { tagged = ["10-20"], drop_untagged = true }
        "#);
    r.send(0, Spec::default().udp(1));
    assert_eq!((r.take(1).len(), r.take(2).len()), (1, 0));
    let tagged = r.take(3);
    assert_eq!(tagged.len(), 1);
    let sliced = SlicedPacket::from_ethernet(&tagged[0].bytes).unwrap();
    assert_eq!(sliced.vlan_ids()[0].value(), 10);
    assert_eq!(mark(&tagged[0].bytes), Some(1), "the payload is whole behind the tag");
    // From the trunk into the access port, without the tag.
    r.send(3, Spec { from: 5, tag: Some((20, 6)), ..Spec::default() }.udp(2));
    let untagged = r.take(2);
    assert_eq!(untagged.len(), 1);
    assert_eq!(untagged[0], Spec { from: 5, ..Spec::default() }.udp(2).cut_to(untagged[0].bytes.len()));
    // A priority tag is no VLAN, and does not leave an access port.
    r.send(0, Spec { tag: Some((0, 5)), ..Spec::default() }.udp(3));
    assert_eq!(SlicedPacket::from_ethernet(&r.take(1)[0].bytes).unwrap().vlan_ids().len(), 0);
    // Not a member, and no tag on the trunk.
    r.send(0, Spec { tag: Some((20, 0)), ..Spec::default() }.udp(4));
    r.send(3, Spec::default().udp(5));
    assert_eq!(r.drops(0), [("vlan_filter".to_owned(), 1)]);
    assert_eq!(r.drops(3), [("untagged".to_owned(), 1)]);
    r.balance();
}

impl Packet {
    fn cut_to(mut self, len: usize) -> Packet {
        // The builder made a frame of the full length without a tag; the other had 4 bytes less of payload.
        self.bytes.truncate(len);
        let ip_len = (len - 14) as u16;
        self.bytes[16..18].copy_from_slice(&ip_len.to_be_bytes());
        let udp_len = ip_len - 20;
        self.bytes[38..40].copy_from_slice(&udp_len.to_be_bytes());
        let header = etherparse::Ipv4Header::from_slice(&self.bytes[14..34]).unwrap().0;
        let sum = header.calc_header_checksum();
        self.bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        let udp = etherparse::UdpHeader::with_ipv4_checksum(1000, 2000, &header, &self.bytes[42..]).unwrap();
        self.bytes[40..42].copy_from_slice(&udp.checksum.to_be_bytes());
        self
    }
}

#[test]
fn isolated_ports_do_not_reach_each_other() {
    let mut r = rig(r#"
        [[port]]
        name = "p0"
        isolated = true
        [[port]]
        name = "p1"
        isolated = true
        [[port]]
        name = "up"
        "#);
    r.send(0, Spec::default().udp(1));
    assert_eq!((r.take(1).len(), r.take(2).len()), (0, 1));
    r.send(2, Spec { from: 3, to: None, ..Spec::default() }.udp(2));
    assert_eq!((r.take(0).len(), r.take(1).len()), (1, 1));
}

#[test]
fn mtus_bound_both_ways() {
    let mut r = rig(r#"
        [[port]]
        name = "jumbo"
        mtu = 9000
        [[port]]
        name = "small"
        mtu = 1500
        "#);
    r.send(0, Spec { len: 9014, ..Spec::default() }.udp(1));
    r.send(0, Spec { len: 9015, ..Spec::default() }.udp(2));
    r.send(1, Spec { from: 2, to: Some(1), len: 1515, ..Spec::default() }.udp(3));
    r.send(0, Spec { len: 1514, ..Spec::default() }.udp(4));
    assert_eq!(r.take(1).len(), 1);
    assert_eq!(r.drops(0), [("oversize".to_owned(), 1)]);
    assert_eq!(r.drops(1), [("oversize".to_owned(), 1), ("mtu_exceeded".to_owned(), 1)]);
    r.balance();
}

#[test]
fn priorities_come_from_policies_marks_and_defaults() {
    let mut r = rig(r#"
        [map]
        dscp = { 26 = 4 }
        [[policy]]
        name = "storage"
        match = { iscsi = true }
        priority = 3
        [[policy]]
        name = "one host wins"
        match = { src_ip = "10.0.0.9/32" }
        precedence = 200
        priority = 6
        [[port]]
        name = "p0"
        trust = ["pcp", "dscp"]
        default_priority = 2
        [[port]]
        name = "p1"
        "#);
    let cases: [(Spec, usize); 8] = [
        (Spec::default(), 0),
        (Spec { dscp: 26, ..Spec::default() }, 4),
        (Spec { dscp: 46, ..Spec::default() }, 5),
        (Spec { dscp: 46, v6: true, ..Spec::default() }, 5),
        (Spec { dscp: 46, tag: Some((0, 1)), ..Spec::default() }, 1),
        (Spec { ports: (5555, 3260), tag: Some((7, 1)), ..Spec::default() }, 3),
        (Spec { ports: (3260, 5555), v6: true, ..Spec::default() }, 3),
        (Spec { from: 9, ports: (5555, 3260), ..Spec::default() }, 6),
    ];
    let mut expected = [0u64; 8];
    for (spec, priority) in cases {
        // Policies of iSCSI ask for TCP.
        let packet = if spec.ports == (1000, 2000) { spec.udp(1) } else { spec.tcp_superframe(&[0; 100]) };
        r.send(0, packet);
        expected[priority] += 1;
    }
    let mut arp = Spec::default().udp(1);
    arp.bytes[12..14].copy_from_slice(&0x0806u16.to_be_bytes());
    r.send(0, arp);
    expected[2] += 1;
    let snapshot = r.sim.snapshot(r.node);
    let rx: Vec<u64> = snapshot.ports[0].priorities.iter().map(|p| p.rx.frames).collect();
    let tx: Vec<u64> = snapshot.ports[1].priorities.iter().map(|p| p.tx.frames).collect();
    assert_eq!(rx, expected);
    // A probe of the switch's own leaves with priority 7.
    assert_eq!(tx[..7], expected[..7]);
}

#[test]
fn marks_are_rewritten_where_asked() {
    let mut r = rig(r#"
        [map]
        rewrite_pcp = { 5 = 1 }
        rewrite_dscp = { 5 = 10 }
        [[port]]
        name = "in"
        trust = ["dscp"]
        vlan = { pvid = 10, tagged = [20] }
        [[port]]
        name = "out"
        rewrite = ["pcp", "dscp"]
        vlan = { tagged = [10, 20] }
        "#);
    for spec in [
        Spec { dscp: 46, ..Spec::default() },
        Spec { dscp: 46, v6: true, ..Spec::default() },
        Spec { dscp: 46, tag: Some((20, 7)), ..Spec::default() },
    ] {
        r.send(0, spec.udp(77));
        let out = r.take(1).pop().expect("one frame");
        let sliced = SlicedPacket::from_ethernet(&out.bytes).unwrap();
        let etherparse::LinkExtSlice::Vlan(tag) = &sliced.link_exts[0] else { panic!("no tag") };
        assert_eq!(tag.priority_code_point().value(), 1);
        assert_eq!(mark(&out.bytes), Some(77));
        match sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                assert_eq!(ip.header().dcp().value(), 10);
                assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            }
            Some(NetSlice::Ipv6(ip)) => assert_eq!(ip.header().dscp().value(), 10),
            other => panic!("{other:?}"),
        }
    }
}

/// Checks one plain TCP or UDP frame: lengths, checksums finished; answers its payload.
fn whole_frame(bytes: &[u8]) -> (Vec<u8>, Option<etherparse::TcpHeader>) {
    let sliced = SlicedPacket::from_ethernet(bytes).expect("lengths agree");
    let net = sliced.net.clone().expect("an IP header");
    if let NetSlice::Ipv4(ip) = &net {
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
    }
    match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let sum = match &net {
                NetSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()),
                NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()),
                NetSlice::Arp(_) => panic!("not IP"),
            };
            assert_eq!(header.checksum, sum.unwrap());
            (tcp.payload().to_vec(), Some(header))
        }
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = match &net {
                NetSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()),
                NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()),
                NetSlice::Arp(_) => panic!("not IP"),
            };
            assert_eq!(header.checksum, sum.unwrap());
            assert_eq!(usize::from(header.length), udp.payload().len() + 8);
            (udp.payload().to_vec(), None)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn superframes_become_proper_frames_where_a_port_takes_none() {
    let payload: Vec<u8> = (0..40_001u32).map(|i| (i * 31 % 251) as u8).collect();
    for (v6, tag, tcp) in [
        (false, None, true),
        (true, None, true),
        (false, Some((5, 3)), true),
        (false, None, false),
        (true, None, false),
    ] {
        let mut r = rig(PLAIN);
        let node = r.node;
        r.sim.with((node, PortId(1)), |switch, _, _| {
            switch.attach(PortId(1), super::Attachment::plain(false))
        });
        let spec = Spec { tag, v6, ..Spec::default() };
        let packet = if tcp { spec.tcp_superframe(&payload) } else { spec.udp_superframe(&payload) };
        let segments = payload.len().div_ceil(usize::from(packet.vnet.gso_size));
        r.send(0, packet);
        r.sim.run_until(Time::from_millis(50));
        let frames = r.take(1);
        assert_eq!(frames.len(), segments);
        let mut joined = Vec::new();
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!(frame.vnet, crate::port::VnetHeader::default());
            assert!(frame.bytes.len() <= 1514);
            let (piece, header) = whole_frame(&frame.bytes);
            if let Some(header) = header {
                assert_eq!(header.sequence_number, 1_000_000 + joined.len() as u32);
                assert_eq!(header.psh, n + 1 == segments, "only the last segment is pushed");
            }
            joined.extend(piece);
        }
        assert!(joined == payload, "every byte once, in order");
        assert_eq!(r.take(2).len(), 1, "the other port got the superframe in one piece");
        r.balance();
    }
}

#[test]
fn a_slow_line_cuts_superframes_into_smaller_ones_that_add_up() {
    let payload: Vec<u8> = (0..60_000u32).map(|i| (i * 37 % 253) as u8).collect();
    let mut r = rig(r#"
        [[port]]
        name = "in"
        [[port]]
        name = "slow"
        line_rate = "1Gbit"
        vlan = { tagged = [1] }
        "#);
    let mut packet = Spec::default().tcp_superframe(&payload);
    // A kernel says how much lies in one piece of its memory: for a short superframe that is all of it.
    packet.vnet.hdr_len = packet.bytes.len() as u16;
    r.send(0, packet);
    r.sim.run_until(Time::from_millis(50));
    let pieces = r.take(1);
    assert!(pieces.len() > 3 && pieces.len() < 41, "{} pieces", pieces.len());
    let mut joined = 0u32;
    for piece in &pieces {
        let sliced = SlicedPacket::from_ethernet(&piece.bytes).expect("lengths agree");
        assert_eq!(sliced.vlan_ids()[0].value(), 1);
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
        assert_eq!(tcp.sequence_number(), 1_000_000 + joined);
        assert_eq!(tcp.payload(), &payload[joined as usize..joined as usize + tcp.payload().len()]);
        assert_eq!(usize::from(piece.vnet.csum_start), 14 + 4 + 20, "moved by the tag");
        assert_eq!(
            usize::from(piece.vnet.hdr_len),
            14 + 4 + 20 + 20,
            "a device refuses more than the frame has"
        );
        // The unfinished checksum covers the pseudo header of this piece.
        let mut finished = piece.clone();
        let l4 = usize::from(piece.vnet.csum_start);
        let sum = !super::checksum::fold(super::checksum::sum(0, &piece.bytes[l4..]));
        finished.bytes[l4 + 16..l4 + 18].copy_from_slice(&sum.to_be_bytes());
        whole_frame(&finished.bytes);
        joined += tcp.payload().len() as u32;
    }
    assert_eq!(joined as usize, payload.len());
    r.balance();
}

#[test]
fn offload_headers_that_lie_are_refused() {
    let good = Spec::default().tcp_superframe(&vec![1; 20_000]);
    let mut bad: Vec<Packet> = Vec::new();
    let mut with = |change: &dyn Fn(&mut Packet)| {
        let mut packet = good.clone();
        change(&mut packet);
        bad.push(packet);
    };
    with(&|p| p.vnet.gso_size = 0);
    with(&|p| p.vnet.gso_size = 1);
    with(&|p| p.vnet.gso_type = 4);
    with(&|p| p.vnet.gso_type = 9);
    with(&|p| p.vnet.flags = 0);
    with(&|p| p.vnet.csum_start = 65_000);
    with(&|p| p.vnet.csum_offset = 6);
    with(&|p| p.bytes[46] = 0x40);
    with(&|p| p.bytes.truncate(50));
    let mut r = rig(PLAIN);
    let count = bad.len() as u64;
    for packet in bad {
        r.send(0, packet);
    }
    assert_eq!(r.drops(0), [("bad_offload".to_owned(), count)]);
    r.balance();
}

#[test]
fn a_loop_is_found_held_and_released() {
    let mut r = rig(PLAIN);
    let (a, b) = ((r.node, PortId(1)), (r.node, PortId(2)));
    r.sim.link(a, b, Time::from_micros(5));
    // The link "comes up" again: probes go out at once.
    for port in [1, 2] {
        let node = r.node;
        r.sim.with((node, PortId(port)), |s, arena, now| {
            s.set_link(PortId(port), false, arena, now);
            s.set_link(PortId(port), true, arena, now);
        });
    }
    r.sim.run_until(Time::from_millis(3_000));
    assert!(matches!(r.sim.findings(r.node)[0], Finding::Held { held: PortId(2), .. }));
    r.send(0, Spec { to: None, ..Spec::default() }.udp(1));
    let before = r.sim.switch((r.node, PortId(0))).books(PortId(0)).tx.frames;
    r.sim.run_until(Time::from_millis(20_000));
    let after = r.sim.switch((r.node, PortId(0))).books(PortId(0)).tx.frames;
    assert!(after - before < 30, "only probes, no storm: {}", after - before);
    let snapshot = r.sim.snapshot(r.node);
    assert!(snapshot.ports[2].held.as_ref().is_some_and(|h| h.contains("p1") && h.contains("p2")));
    // The cable is pulled.
    r.sim.sink(a, Box::new(|_, _| {}));
    r.sim.sink(b, Box::new(|_, _| {}));
    r.sim.run_until(Time::from_millis(45_000));
    assert_eq!(r.sim.findings(r.node).last(), Some(&Finding::Released(PortId(2))));
    r.balance();
}

#[test]
fn a_link_that_goes_down_loses_its_queue_and_nothing_else() {
    let mut r = rig(r#"
        [[port]]
        name = "in"
        [[port]]
        name = "slow"
        line_rate = "10Mbit"
        [[port]]
        name = "other"
        "#);
    for n in 0..100 {
        r.send(0, Spec::default().udp(n));
    }
    let node = r.node;
    assert!(r.sim.frames_held(node) > 50);
    r.balance();
    r.sim.with((node, PortId(1)), |s, arena, now| s.set_link(PortId(1), false, arena, now));
    // Another worker's frames take a moment to come back.
    let soon = r.sim.now() + Time::from_micros(10);
    r.sim.run_until(soon);
    // One frame is on the line.
    assert!(r.sim.frames_held(node) <= 1);
    r.balance();
    r.send(2, Spec { from: 7, to: Some(1), ..Spec::default() }.udp(1));
    assert_eq!(r.take(0).len(), 1);
    assert!(r.drops(1).iter().any(|(reason, n)| reason == "flushed" && *n > 50));
}

#[test]
fn frames_from_nobody_are_refused() {
    let mut r = rig(PLAIN);
    for source in [[0; 6], [0xFF; 6], [0x01, 0, 0x5E, 0, 0, 1]] {
        let mut frame = Spec::default().udp(1);
        frame.bytes[6..12].copy_from_slice(&source);
        r.send(0, frame);
    }
    r.send(0, Packet::plain(vec![2; 13]));
    assert_eq!(r.drops(0), [("runt".to_owned(), 1), ("bad_source".to_owned(), 3)]);
    assert!(r.take(1).is_empty());
    assert_eq!(r.sim.fdb(r.node), []);
    let _ = mac(1);
    r.balance();
}
