//! A trunk, as tcpdump and tshark see it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dcbridge::lab::hosts::Host;
use dcbridge::net::Links;
use dcbridge::sim::frames::Spec;
use dcbridge_tests::live::Network;
use dcbridge_tests::packet::PacketSocket;
use dcbridge_tests::privilege::root_for;

use crate::PROGRAM;

/// A capture that ends with its handle.
struct Capture(Child);

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Captures `number` frames that arrive at a host.
fn capture(host: &Host, number: usize, file: &std::path::Path) -> Capture {
    let file = file.to_str().expect("a path");
    let mut command = Command::new("tcpdump");
    command.args(["-i", host.name(), "-Q", "in", "-U", "--immediate-mode", "-Z", "root", "-w", file]);
    command.args(["-c", &number.to_string(), "udp or (vlan and udp)"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = host.within(|| Ok(command.spawn())).unwrap_or_else(|e| panic!("{e}"));
    let capture = Capture(child.expect("this test needs `tcpdump`"));
    let end = Instant::now() + Duration::from_secs(10);
    // It writes the file's header when it listens.
    while std::fs::metadata(file).map_or(0, |m| m.len()) < 24 {
        assert!(Instant::now() < end, "tcpdump does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    capture
}

/// VLAN, PCP and frame length of the captured frames, as tshark reads them.
fn read(file: &std::path::Path) -> Vec<(String, String, String)> {
    let fields = ["vlan.id", "vlan.priority", "frame.len"];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=,"]);
    fields.iter().for_each(|f| {
        command.args(["-e", f]);
    });
    let output = command.output().expect("this test needs `tshark`");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| {
            let mut fields = line.split(',').map(str::to_owned);
            let mut next = || fields.next().unwrap_or_default();
            (next(), next(), next())
        })
        .collect()
}

#[test]
fn vlan_filtering() {
    if !root_for("a VLAN trunk on real interfaces") {
        return;
    }
    let ports = [
        ("access10", "vlan = { pvid = 10 }"),
        ("access20", "vlan = { pvid = 20 }"),
        ("trunk", "vlan = { tagged = [10, 20] }"),
    ];
    let defaults = "[defaults]\ntrust = [\"pcp\", \"dscp\"]\n[map]\nrewrite_pcp = { 6 = 5 }\n";
    let network = Network::new(PROGRAM, "loop_detection = false", defaults, &ports);
    let sockets: Vec<PacketSocket> = network
        .hosts
        .iter()
        .map(|host| {
            let index = || Links::open()?.index(host.name());
            let open = || Ok(PacketSocket::open(index()?).expect("a packet socket"));
            host.within(open).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = |host: &Host| directory.path().join(format!("{}.pcap", host.name()));
    let mut captures: Vec<Capture> =
        network.hosts.iter().zip([2, 1, 3]).map(|(host, n)| capture(host, n, &file(host))).collect();
    let sent = |tag, dscp, len| Spec { tag, dscp, len, to: None, ..Spec::default() }.udp(1).bytes;
    // From the access ports to the trunk: tagged there, PCP by the map; a superfluous tag is accepted.
    sockets[0].send(&sent(None, 48, 100)).unwrap();
    sockets[1].send(&sent(None, 8, 101)).unwrap();
    sockets[0].send(&sent(Some((10, 3)), 0, 106)).unwrap();
    // From the trunk to one access port each, and nowhere: a VLAN that no port has.
    sockets[2].send(&sent(Some((10, 1)), 0, 203)).unwrap();
    sockets[2].send(&sent(Some((20, 1)), 0, 204)).unwrap();
    sockets[2].send(&sent(Some((10, 7)), 0, 205)).unwrap();
    sockets[2].send(&sent(Some((30, 7)), 0, 206)).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    for capture in &mut captures {
        while capture.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "frames are missing: {:?}", network.program.state().ports);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let mut seen: Vec<_> = network.hosts.iter().map(|host| read(&file(host))).collect();
    // They are of different classes: any order is right.
    seen.iter_mut().for_each(|frames| frames.sort());
    let frame = |vid: &str, pcp: &str, len: u32| (vid.to_owned(), pcp.to_owned(), len.to_string());
    assert_eq!(seen[2], [frame("10", "3", 106), frame("10", "5", 104), frame("20", "1", 105)], "the trunk");
    assert_eq!(seen[0], [frame("", "", 199), frame("", "", 201)], "VLAN 10");
    assert_eq!(seen[1], [frame("", "", 200)], "VLAN 20");
    let refused = &network.program.state().ports[2].rx_drops;
    assert!(refused.iter().any(|d| d.reason == "vlan_filter" && d.count.frames == 1), "{refused:?}");
}
