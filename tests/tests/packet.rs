//! Packet ports: any interface, with its tags and its superframes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use dcbridge::arena::Arena;
use dcbridge::port::packet::{self, PacketOptions, PacketPort};
use dcbridge::port::{Guarantee, Link, Port, RxFrame, TxOutcome};
use dcbridge_tests::forward::{Joined, wait, whole};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::taps::{PATIENCE, frame, ip_command, packet_socket};
use dcbridge_tests::traffic::tcp_watched;

fn options(host: &Host, name: &str) -> PacketOptions {
    PacketOptions { name: name.to_owned(), netns: host.netns(), mtu: 1500 }
}

#[track_caller]
fn open(host: &Host, name: &str) -> PacketPort {
    packet::open(&options(host, name)).unwrap_or_else(|e| panic!("{e}"))
}

/// A switch with the near end of a pair whose far end is a host's.
fn pair(switch: &Host, host: &Host, near: &str, far: &str) {
    switch.links(|l| l.add_veth(near, far));
    let dcbridge::net::NetnsRef::Open(netns) = host.netns() else { panic!("it is open") };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&*netns));
    ip_command(switch, &format!("link set {far} netns /proc/{}/fd/{fd}", std::process::id()));
    switch.links(|l| l.set_up(near));
    host.links(|l| l.set_up(far));
}

/// The kernel calls a link up a little later than it is.
#[track_caller]
fn settle(port: &mut PacketPort, wanted: impl Fn(&Link) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !wanted(&port.tick()) {
        assert!(Instant::now() < end, "{:?}", port.tick());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A host, a switch and its port, whose link is up.
#[track_caller]
fn linked() -> (Host, Host, PacketPort) {
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    pair(&switch, &host, "near", "far");
    let mut port = open(&switch, "near");
    settle(&mut port, |link| *link == Link::Up);
    (host, switch, port)
}

#[track_caller]
fn receive(port: &mut PacketPort, arena: &mut Arena) -> RxFrame {
    let mut out = Vec::new();
    let end = Instant::now() + PATIENCE;
    while out.is_empty() {
        wait(&[port]);
        let status = port.rx(0xff, 1, arena, &mut out);
        assert!(status.closed.is_none() && Instant::now() < end, "{status:?}");
    }
    out[0]
}

#[test]
fn frames_and_tags_pass_byte_for_byte() {
    if !root_for("frames through a packet port") {
        return;
    }
    let (host, _switch, mut port) = linked();
    assert_eq!((port.guarantee(), port.offload(), port.notes()), (Guarantee::FramesOnly, true, &[][..]));
    let socket = packet_socket(&host, "far");
    let mut arena = Arena::new(1 << 20);
    // Tagged after untagged and the other way round, and with two tags.
    for (len, tags) in [(60, 0), (60, 1), (1514, 1), (1506, 2), (1514, 0), (64, 2)] {
        let mut sent = frame(len);
        for n in 0..tags {
            sent.splice(
                12..12,
                [if n > 0 { 0x88 } else { 0x81 }, if n > 0 { 0xa8 } else { 0 }, 0xa0, 40 + n],
            );
        }
        socket.send(&sent).unwrap();
        let got = receive(&mut port, &mut arena);
        assert_eq!(arena.bytes(got.id), sent, "from the host, {len} bytes, {tags} tags");
        let mut outcomes = Vec::new();
        port.tx(&[whole(&arena, got.id)], &mut arena, &mut outcomes);
        assert_eq!(outcomes, [TxOutcome::Sent]);
        arena.free(got.id);
        // Its own frames are not heard, and the host gets what was sent.
        assert!(port.rx(1, 8, &mut arena, &mut Vec::new()).closed.is_none());
    }
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn kernel_tcp_crosses_in_superframes() {
    if !root_for("TCP through packet ports") {
        return;
    }
    let (a, b, switch) = (Host::new("a"), Host::new("b"), Host::new("switch"));
    pair(&switch, &a, "near-a", "far");
    pair(&switch, &b, "near-b", "far");
    let ports = (open(&switch, "near-a"), open(&switch, "near-b"));
    a.address("far", 1, &[2]);
    b.address("far", 2, &[1]);
    let joined = Joined::new(Box::new(ports.0), Box::new(ports.1));
    let report = tcp_watched((&a, 1), (&b, 2), 400 << 20);
    let superframes = joined.crossed.superframes.load(Relaxed);
    println!("{report:?}, {superframes} superframes");
    assert!(superframes > 1000, "{superframes} superframes");
}

#[test]
fn the_link_is_seen_and_a_deleted_interface_closes_the_port() {
    if !root_for("the link of a packet port") {
        return;
    }
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    let missing = packet::open(&options(&switch, "near")).unwrap_err().to_string();
    assert!(missing.contains("near was not found"), "{missing}");
    pair(&switch, &host, "near", "far");
    let mut port = open(&switch, "near");
    let promiscuous = || {
        let show = std::process::Command::new("ip").args(["-d", "link", "show", "dev", "near"]).output();
        String::from_utf8(show.expect("this test needs `ip`").stdout).unwrap().contains("promiscuity 1")
    };
    assert!(switch.run(|| Ok(promiscuous())));
    settle(&mut port, |link| *link == Link::Up);
    host.links(|l| l.set_down("far"));
    settle(&mut port, |link| matches!(link, Link::Down(why) if why.contains("no carrier")));
    host.links(|l| l.set_up("far"));
    switch.links(|l| l.set_down("near"));
    settle(&mut port, |link| matches!(link, Link::Down(why) if why.contains("ip link set dev near up")));
    let mut arena = Arena::new(1 << 16);
    assert!(port.rx(1, 8, &mut arena, &mut Vec::new()).closed.is_none(), "down is not gone");
    switch.links(|l| l.set_up("near"));
    settle(&mut port, |link| *link == Link::Up);
    packet_socket(&host, "far").send(&frame(99)).unwrap();
    let got = receive(&mut port, &mut arena);
    assert_eq!(arena.bytes(got.id), frame(99), "it hears again");
    drop(port);
    assert!(!switch.run(|| Ok(promiscuous())), "that was for us only");
    let mut port = open(&switch, "near");
    switch.links(|l| l.delete("near"));
    wait(&[&port]);
    let closed = port.rx(1, 8, &mut arena, &mut Vec::new()).closed.expect("closed").to_string();
    assert!(closed.contains("deleted"), "{closed}");
    assert!(matches!(port.tick(), Link::Down(_)));
}

/// Frames that an interface has received, as the kernel counts them.
fn received(host: &Host, interface: &str) -> u64 {
    let show =
        || std::process::Command::new("ip").args(["-s", "-j", "link", "show", "dev", interface]).output();
    let out = host.run(|| Ok(show())).expect("this test needs `ip`").stdout;
    let links: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    links[0]["stats64"]["rx"]["packets"].as_u64().expect("a count")
}

#[test]
fn what_came_together_is_read_in_order_and_one_that_is_refused_stops_no_other() {
    if !root_for("many frames through a packet port") {
        return;
    }
    let (host, _switch, mut port) = linked();
    let socket = packet_socket(&host, "far");
    let mut arena = Arena::new(1 << 20);
    // More than are read at once, with and without a tag by threes: so a call begins with either and meets the other.
    let sent: Vec<Vec<u8>> = (0..100)
        .map(|n| {
            let mut sent = frame(60 + 13 * n);
            if n % 3 == 1 {
                sent.splice(12..12, [0x81, 0, 0x60, n as u8]);
            }
            sent
        })
        .collect();
    for frame in &sent {
        socket.send(frame).unwrap();
    }
    let (mut got, end) = (Vec::new(), Instant::now() + PATIENCE);
    while got.len() < sent.len() {
        wait(&[&port]);
        let status = port.rx(1, 64, &mut arena, &mut got);
        assert!(status.closed.is_none() && status.lost == 0 && Instant::now() < end, "{status:?}");
    }
    for (got, sent) in got.iter().zip(&sent) {
        assert_eq!(arena.bytes(got.id), sent, "after {} bytes", sent.len());
    }
    // Sent back with one among them that is longer than the interface takes.
    let long = arena.insert(&frame(3000), Default::default()).expect("room");
    let mut descs: Vec<_> = got.iter().map(|got| whole(&arena, got.id)).collect();
    descs.insert(40, whole(&arena, long));
    let before = received(&host, "far");
    let mut outcomes = Vec::new();
    for few in descs.chunks(port.tx_room()) {
        port.tx(few, &mut arena, &mut outcomes);
    }
    let refused: Vec<usize> = (0..outcomes.len()).filter(|&n| outcomes[n] == TxOutcome::Refused).collect();
    assert_eq!((outcomes.len(), refused), (descs.len(), vec![40]));
    let came = received(&host, "far") - before;
    assert!(came >= sent.len() as u64, "the host's interface has counted {came} of {}", sent.len());
}
