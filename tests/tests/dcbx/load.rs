//! Renegotiation and floods while a gigabit passes.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dcbridge::lab::frames::FrameSize;
use dcbridge_tests::dcbx_peer::{DcbxPeer, lldp_socket, wants};
use dcbridge_tests::live::{Network, Offer, Traffic, one_of_three};
use dcbridge_tests::privilege::root_for;

use crate::{AGREED, PROGRAM, eventually, held, port};

const LINE: f64 = 1e9;

/// Two senders (one for each priority) and a receiver whose port is willing.
fn network() -> Network {
    let sections = "
[[traffic_class]]
name = \"default\"
tc = 0
priorities = \"rest\"
bandwidth = 50
[[traffic_class]]
name = \"storage\"
tc = 1
priorities = [3]
bandwidth = 50
[defaults]
trust = [\"dscp\"]
[lldp]
enabled = true
";
    let willing = "line_rate = \"1Gbit\"\ndcbx = { willing = true }";
    let ports = [("h1", ""), ("h2", ""), ("sink", willing)];
    Network::new(PROGRAM, "buffer = \"64MB\"", sections, &ports)
}

fn offers(part: f64) -> Vec<Offer> {
    let offer = |from, priority: u8| Offer {
        hosts: (from, 2),
        dscp: priority << 3,
        size: FrameSize::Fixed(1518),
        rate: LINE * part,
    };
    vec![offer(0, 0), offer(1, 3)]
}

/// Class of priority 3; the others are in class 0.
fn class_of(three: u8) -> [u8; 8] {
    let mut classes = [0; 8];
    classes[3] = three;
    classes
}

#[track_caller]
fn holds(network: &Network, classes: &[(u8, u8, u8)]) -> Duration {
    eventually(AGREED, "what the peer wants holds", || {
        let now = held(&port(&network.program, "sink")).0;
        (now != classes).then(|| format!("{now:?}"))
    })
}

/// Over-offered classes follow the peer within 2 s of its change.
#[test]
fn dcbx_renegotiation_shares() {
    if !root_for("renegotiation under load") {
        return;
    }
    let network = network();
    let peer = DcbxPeer::start(&network.hosts[2], wants(&[50, 50], class_of(1), 0));
    one_of_three("shares after a renegotiation under load", || {
        peer.change(wants(&[50, 50], class_of(1), 0));
        holds(&network, &[(0, 0xF7, 50), (1, 8, 50)]);
        let mut traffic = Traffic::start(&network, &offers(0.95));
        std::thread::sleep(Duration::from_secs(1));
        let (mut told, mut verdict) = (String::new(), Ok(()));
        for (three, shares) in [(1, [20u8, 80]), (1, [70, 30]), (2, [40, 60])] {
            let wanted: &[u8] = if three == 2 { &[shares[0], 0, shares[1]] } else { &shares };
            peer.change(wants(wanted, class_of(three), 0));
            std::thread::sleep(Duration::from_secs(2));
            let (wire, _) = traffic.measure(Duration::from_secs(1));
            let share = wire[0] as f64 / wire.iter().sum::<u64>() as f64 * 100.0;
            told.push_str(&format!("{share:.2} % for {} %; ", shares[0]));
            if (share - f64::from(shares[0])).abs() > 1.0 {
                verdict = Err("1 % is allowed".to_owned());
            }
        }
        (told, verdict)
    });
}

/// A gigabit that fits passes without a loss while what holds changes all the time.
#[test]
fn dcbx_renegotiation() {
    if !root_for("renegotiation under load") {
        return;
    }
    let network = network();
    let peer = DcbxPeer::start(&network.hosts[2], wants(&[50, 50], class_of(1), 0));
    holds(&network, &[(0, 0xF7, 50), (1, 8, 50)]);
    one_of_three("loss while what holds changes", || {
        let before =
            port(&network.program, "sink").lldp.and_then(|l| l.dcbx).expect("DCBX is on").renegotiations;
        let mut traffic = Traffic::start(&network, &offers(0.48));
        for n in 0..8u8 {
            let three = 1 + n % 2;
            let mut shares = [0, 0, 0];
            (shares[0], shares[usize::from(three)]) = (30 + 5 * n, 70 - 5 * n);
            // PFC for the priority comes and goes as well.
            peer.change(wants(&shares, class_of(three), (n / 2 % 2) << 3));
            std::thread::sleep(Duration::from_millis(1100));
        }
        traffic.stop_sending();
        std::thread::sleep(Duration::from_millis(500));
        let changes =
            port(&network.program, "sink").lldp.and_then(|l| l.dcbx).expect("DCBX is on").renegotiations;
        let drops: u64 =
            network.program.state().ports.iter().flat_map(|p| &p.tx_drops).map(|d| d.count.frames).sum();
        let overflows = traffic.overflows();
        let (sent, got) = (traffic.offered(), traffic.received());
        let sent: u64 = sent.iter().map(|flow| flow.frames).sum();
        let arrived: u64 = got.iter().map(|flow| flow.frames).sum();
        let told = format!(
            "{sent} frames sent, {arrived} arrived, {drops} dropped by the switch, {} changes",
            changes - before
        );
        let verdict = match (overflows, drops, sent - arrived, changes - before) {
            (0, 0, 0, 8..) => Ok(()),
            (0, ..) => Err("nothing may be lost, and all changes must hold".to_owned()),
            _ => Err("the receiving sockets overflowed: the machine is too busy to count".to_owned()),
        };
        (told, verdict)
    });
}

/// iperf3 in the namespace of a host; what is missing is named.
fn iperf3(network: &Network, host: usize, arguments: &str) -> Child {
    network
        .command_in(host, "iperf3")
        .args(arguments.split_whitespace())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter (package util-linux) and iperf3 (package iperf3) are installed")
}

/// What a server says of the one flow that it received: datagrams, lost ones, those out of order.
fn counted(server: Child) -> (u64, u64, u64) {
    let done = server.wait_with_output().expect("a server ends with its client");
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).expect("iperf3 writes JSON");
    let udp = &said["end"]["streams"][0]["udp"];
    let number = |key: &str| udp[key].as_u64().unwrap_or_else(|| panic!("iperf3 says no {key}: {said}"));
    (number("packets"), number("lost_packets"), number("out_of_order"))
}

/// No flow is reordered while priorities change their classes; counted by iperf3.
#[test]
fn dcbx_renegotiation_order() {
    if !root_for("the order of frames under renegotiation") {
        return;
    }
    let network = network();
    let peer = DcbxPeer::start(&network.hosts[2], wants(&[50, 50], class_of(1), 0));
    holds(&network, &[(0, 0xF7, 50), (1, 8, 50)]);
    let sink = network.hosts[2].address().ip;
    let servers = [5201, 5202].map(|port| iperf3(&network, 2, &format!("-s -1 -J -p {port}")));
    std::thread::sleep(Duration::from_millis(500));
    let clients = [(0, 5201, 0), (1, 5202, 3 << 5)].map(|(host, port, tos)| {
        iperf3(&network, host, &format!("-u -c {sink} -p {port} -S {tos} -b 450M -l 1448 -t 8 -J"))
    });
    for n in 0..7u8 {
        std::thread::sleep(Duration::from_millis(1100));
        let three = 1 + n % 2;
        let mut shares = [0, 0, 0];
        (shares[0], shares[usize::from(three)]) = (30 + 5 * n, 70 - 5 * n);
        peer.change(wants(&shares, class_of(three), (n / 2 % 2) << 3));
    }
    for client in clients {
        let done = client.wait_with_output().expect("a client ends");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
    let changes =
        port(&network.program, "sink").lldp.and_then(|l| l.dcbx).expect("DCBX is on").renegotiations;
    assert!(changes >= 7, "{changes} changes");
    for (priority, server) in [0, 3].into_iter().zip(servers) {
        let (datagrams, lost, reordered) = counted(server);
        println!("priority {priority}: {datagrams} datagrams, {lost} lost, {reordered} out of order");
        // Sockets of a busy machine overflow; the test above is the one that counts losses.
        assert!(datagrams > 50_000, "{datagrams} datagrams in 8 s say little");
        assert_eq!(reordered, 0, "priority {priority}");
    }
}

/// 100 000 LLDP frames a second of neighbours that nobody knows: data keeps its rate, the peer its place.
#[test]
fn lldp_flood() {
    if !root_for("a flood of LLDP") {
        return;
    }
    let network = network();
    let _peer = DcbxPeer::start(&network.hosts[2], wants(&[30, 70], class_of(1), 0));
    holds(&network, &[(0, 0xF7, 30), (1, 8, 70)]);
    one_of_three("data beside a flood of LLDP", || {
        let mut traffic = Traffic::start(&network, &offers(0.95));
        std::thread::sleep(Duration::from_secs(1));
        let (alone, alone_for) = traffic.measure(Duration::from_secs(3));
        let flood = Flood::start(&network);
        std::thread::sleep(Duration::from_millis(500));
        let (beside, beside_for) = traffic.measure(Duration::from_secs(3));
        let rate = flood.stop();
        let per_second = |wire: &[u64], t: Duration| wire.iter().sum::<u64>() as f64 / t.as_secs_f64();
        let kept = per_second(&beside, beside_for) / per_second(&alone, alone_for) * 100.0;
        let sink = port(&network.program, "sink");
        let limited = sink.rx_drops.iter().find(|d| d.reason == "lldp_limit").map_or(0, |d| d.count.frames);
        let told = format!("{rate:.0} LLDP frames/s, {limited} of them dropped; data kept {kept:.1} %");
        let still = held(&sink).0 == [(0, 0xF7, 30), (1, 8, 70)];
        let few = sink.lldp.as_ref().is_some_and(|l| l.neighbors.len() <= 8);
        let verdict = if kept >= 95.0 && still && few && rate > 90_000.0 {
            Ok(())
        } else {
            Err(format!("95 % of 90 000 frames/s or more are asked; peer kept: {still}, table small: {few}"))
        };
        (told, verdict)
    });
}

/// An LLDP frame of `mac` with these TLVs behind chassis, port and a time to live of 2 minutes.
fn lldp_frame(mac: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 8] = [
        &[1, 0x80, 0xC2, 0, 0, 0x0E],
        mac,
        &[0x88, 0xCC, 2, 7, 4],
        mac,
        &[4, 2, 7, b'p', 6, 2, 0, 120],
        tlvs,
        &[0, 0],
        &[0; 28],
    ];
    parts.concat()
}

/// Malformed TLVs of every kind: counted, and the configuration is kept.
#[test]
fn dcbx_malformed() {
    if !root_for("malformed TLVs") {
        return;
    }
    let network = network();
    let own = held(&port(&network.program, "sink"));
    let socket = lldp_socket(&network.hosts[2]);
    let mac = [2, 7, 7, 7, 7, 7];
    let ets = |shares: [u8; 8]| {
        let head = [0xFE, 25, 0, 0x80, 0xC2, 0x0A, 0, 0, 1, 0, 0];
        [&head[..], &shares, &[2, 2, 0, 0, 0, 0, 0, 0]].concat()
    };
    let recommendation = ets([50, 50, 0, 0, 0, 0, 0, 0]);
    let cases: [(&str, Vec<u8>); 7] = [
        ("shares of 110 %", ets([60, 50, 0, 0, 0, 0, 0, 0])),
        (
            "ETS too short",
            vec![0xFE, 24, 0, 0x80, 0xC2, 0x0A, 0, 0, 1, 0, 0, 50, 50, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0],
        ),
        ("ETS twice", [recommendation.clone(), recommendation].concat()),
        ("PFC too long", vec![0xFE, 7, 0, 0x80, 0xC2, 0x0B, 8, 0, 0]),
        ("applications of two and a half bytes", vec![0xFE, 7, 0, 0x80, 0xC2, 0x0C, 0, 0x60, 0x89]),
        ("CEE cut off", vec![0xFE, 6, 0, 0x1B, 0x21, 2, 2, 10]),
        ("a TLV past the end of the frame", vec![0xFF, 0xFF, 0, 0x80, 0xC2, 0x0A]),
    ];
    for (what, tlvs) in cases {
        let before = port(&network.program, "sink").lldp.expect("LLDP is on").counters;
        socket.send(&lldp_frame(&mac, &tlvs)).expect("a frame is sent");
        eventually(AGREED, what, || {
            let now = port(&network.program, "sink").lldp.expect("LLDP is on").counters;
            (now.frames_in == before.frames_in).then(|| format!("{now:?}"))
        });
        let sink = port(&network.program, "sink");
        let lldp = sink.lldp.as_ref().expect("LLDP is on");
        let told = lldp.dcbx.as_ref().is_some_and(|dcbx| !dcbx.diagnosis.is_empty());
        let counted = lldp.counters.tlvs_discarded > before.tlvs_discarded
            || lldp.counters.frames_discarded > before.frames_discarded;
        println!("{what}: {:?}", lldp.dcbx.as_ref().map(|dcbx| &dcbx.diagnosis));
        assert!(counted && told, "{what}: {:?}", lldp.counters);
        assert_eq!(held(&sink), own, "{what}");
        // Strangers have eight frames, then five a second.
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// A sender of LLDP frames with a chassis of their own each.
struct Flood {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Flood {
    fn start(network: &Network) -> Flood {
        let socket = lldp_socket(&network.hosts[2]);
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let (began, mut sent) = (Instant::now(), 0u32);
            while !seen.load(Ordering::Relaxed) {
                // 100 a millisecond.
                while f64::from(sent) < began.elapsed().as_secs_f64() * 100_000.0 {
                    let mac = [&[2, 9][..], &sent.to_be_bytes()].concat();
                    // A full device is a slower flood.
                    let _ = socket.send(&lldp_frame(&mac, &[]));
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            f64::from(sent) / began.elapsed().as_secs_f64()
        });
        Flood { ends, thread }
    }

    /// Ends it; answers frames a second.
    fn stop(self) -> f64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("a thread")
    }
}
