//! Veth ports against the kernel: frames as they are, and senders that block exactly while they are not served.

mod interfaces;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::lab::frames::FrameSize;
use dcbridge::port::veth::{VethOptions, VethPort};
use dcbridge::port::{Guarantee, Link, Port, RxFrame, TxOutcome};
use dcbridge_tests::forward::{wait, whole};
use dcbridge_tests::host::Host;
use dcbridge_tests::live::{Network, Offer, Traffic};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::Sender;
use dcbridge_tests::taps::{PATIENCE, frame, packet_socket};
use dcbridge_tests::traffic::tcp_watched;
use dcbridge_tests::veths::{Running, open, options};

/// Windows of real time in which rates are compared: the machine may be busy with something else in one.
const ATTEMPTS: u32 = 5;

fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[track_caller]
fn receive(port: &mut VethPort, arena: &mut Arena) -> RxFrame {
    let mut out = Vec::new();
    let end = Instant::now() + PATIENCE;
    while out.is_empty() {
        let status = port.rx(0xff, 1, arena, &mut out);
        assert!(status.closed.is_none(), "{:?}", status.closed);
        assert!(Instant::now() < end, "no frame came");
        if out.is_empty() && !port.doze() {
            wait(&[port]);
        }
    }
    out[0]
}

/// A frame with a VLAN tag, PCP 5, VID 42.
fn tagged(len: usize) -> Vec<u8> {
    let mut frame = frame(len);
    frame.splice(12..12, [0x81, 0, 0xa0, 42]);
    frame
}

#[test]
fn frames_pass_a_veth_byte_for_byte() {
    if !root_for("frames through a veth") {
        return;
    }
    for mtu in [1500, 3500] {
        let (host, switch) = (Host::new("host"), Host::new("switch"));
        let mut port = open(&switch, &VethOptions { mtu, ..options(&host, "v0", "eth0") });
        assert_eq!((port.tick(), port.guarantee()), (Link::Up, Guarantee::Exact), "{:?}", port.notes());
        let socket = packet_socket(&host, "eth0");
        let mut arena = Arena::new(1 << 20);
        for len in [14, 60, 64, 1514, usize::from(mtu) + 14] {
            for (sent, queue) in [(frame(len), 0), (tagged(len), 5)] {
                socket.send(&sent).unwrap();
                let got = receive(&mut port, &mut arena);
                assert_eq!(arena.bytes(got.id), sent, "from the host, {len} bytes");
                assert_eq!(got.queue, queue, "{len} bytes");
                let mut outcomes = Vec::new();
                let mut desc = whole(&arena, got.id);
                desc.head[..14].copy_from_slice(&sent[..14]);
                (desc.head_len, desc.off, desc.len) = (14, 14, desc.len - 14);
                port.tx(&[whole(&arena, got.id), desc], &mut arena, &mut outcomes);
                assert_eq!(outcomes, [TxOutcome::Sent; 2]);
                arena.free(got.id);
            }
        }
        assert_eq!((arena.in_use(), port.host_edge_drops()), (0, 0));
    }
}

/// A host, the namespace of the switch's end, and a veth port between them that is read.
fn running() -> (Host, Host, Running) {
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    let port = open(&switch, &options(&host, "v0", "eth0"));
    host.address("eth0", 1, &[2]);
    (host, switch, Running::new(port, None))
}

#[test]
fn a_sender_blocks_while_it_is_not_served_and_the_other_goes_on() {
    if !root_for("pauses of a veth") {
        return;
    }
    let (host, _switch, running) = running();
    let rate = |over: Duration| {
        let (before, begin) = (running.control.seen[4].frames.load(Relaxed), Instant::now());
        std::thread::sleep(over);
        (running.control.seen[4].frames.load(Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    };
    let window = Duration::from_millis(500);
    // Rates of one sender swing by a tenth. A pause that slowed down the other would do so each time.
    let goes_on = (1..=ATTEMPTS).any(|attempt| {
        // What the other is compared with is itself alone: beside one that sends, too, its frames are cheaper, since the port
        // need not be woken so often.
        let four = Sender::new(&host, 2, 4, 1400, 1);
        sleep(300);
        let alone = rate(window);
        let three = Sender::new(&host, 2, 3, 1400, 1);
        sleep(300);
        let (cpu, begin) = (running.cpu(), Instant::now());
        let free = rate(window);
        let loop_uses = (running.cpu() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        running.gate(3, false);
        sleep(50);
        let sent = three.count();
        let paused = rate(window);
        assert_eq!(three.count(), sent, "the sender is blocked");
        println!(
            "attempt {attempt}: priority 4 at {alone:.0} frames/s alone, {free:.0} beside 3 (loop: {:.0} %), {paused:.0} while \
             that is paused",
            loop_uses * 100.0
        );
        running.gate(3, true);
        three.end();
        four.end();
        paused >= 0.95 * alone
    });
    assert!(goes_on, "priority 4 is slower while 3 is paused than alone");
}

#[test]
fn a_hundred_pauses_lose_nothing_and_let_nothing_through() {
    if !root_for("pauses of a veth") {
        return;
    }
    let (host, _switch, running) = running();
    let (three, four) = (Sender::new(&host, 2, 3, 1400, 1), Sender::new(&host, 2, 4, 1400, 1));
    sleep(300);
    for _ in 0..100 {
        sleep(4);
        running.gate(3, false);
        sleep(6);
        running.gate(3, true);
    }
    sleep(10);
    let sent = [three.end(), four.end()];
    sleep(300);
    for (queue, sent) in [(3, sent[0]), (4, sent[1])] {
        let seen = &running.control.seen[queue];
        let counts = (seen.datagrams.load(Relaxed), seen.missing.load(Relaxed), seen.after.load(Relaxed));
        assert_eq!(counts, (sent, 0, 0), "queue {queue}: datagrams, missing, after a pause");
    }
    let mut resumed = running.control.seen[3].resumed_ns.lock().unwrap().clone();
    resumed.sort_unstable();
    println!(
        "resumed after {} us (median), {} us (worst of {})",
        resumed[resumed.len() / 2] / 1000,
        resumed[resumed.len() - 1] / 1000,
        resumed.len()
    );
    let port = running.end();
    println!("{:?}", port.counters());
    assert_eq!(port.host_edge_drops(), 0);
}

/// The counters of a host's TCP that are not 0.
fn tcp_counters(host: &Host) -> HashMap<String, String> {
    let netstat = host.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap()));
    let mut lines =
        netstat.lines().filter(|line| line.starts_with("TcpExt:")).map(|line| line.split(' ').skip(1));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    names.zip(values).filter(|(_, n)| *n != "0").map(|(name, n)| (name.to_owned(), n.to_owned())).collect()
}

#[test]
fn kernel_tcp_retransmits_nothing_over_pauses() {
    if !root_for("TCP over pauses of a veth") {
        return;
    }
    let (a, b, switch) = (Host::new("a"), Host::new("b"), Host::new("switch"));
    let from = open(&switch, &options(&a, "va", "eth0"));
    let to = open(&switch, &options(&b, "vb", "eth0"));
    a.address("eth0", 1, &[2]);
    b.address("eth0", 2, &[1]);
    let running = Running::new(from, Some(Box::new(to)));
    // No program says a priority: all of it is in queue 0.
    let report = std::thread::scope(|scope| {
        let transfer = scope.spawn(|| tcp_watched((&a, 1), (&b, 2), 200 << 20));
        while !transfer.is_finished() {
            sleep(20);
            running.gate(0, false);
            sleep(20);
            running.gate(0, true);
        }
        transfer.join().unwrap()
    });
    let counts = tcp_counters(&a);
    println!("TCP over pauses: {report:?} {counts:?}");
    for lost in ["TCPLostRetransmit", "TCPFastRetrans", "TCPSlowStartRetrans", "TCPTimeouts"] {
        assert_eq!(counts.get(lost), None, "{counts:?}");
    }
    // A sender that hears nothing for long may send its last segment again, to see whether that was lost.
    let probes = counts.get("TCPLossProbes").map_or(0, |n| n.parse::<u32>().unwrap());
    assert!(report.retransmits <= probes, "{report:?} {counts:?}");
    let free = tcp_watched((&a, 1), (&b, 2), 200 << 20);
    println!("TCP without pauses: {free:?}");
    assert_eq!(free.retransmits, 0);
}

#[test]
fn the_sorting_follows_marks_and_programs() {
    if !root_for("queues of a veth") {
        return;
    }
    let (host, _switch, running) = running();
    for priority in 0..8 {
        let sender = Sender::new(&host, 2, priority, 100, 1);
        sleep(30);
        let sent = sender.end();
        sleep(100);
        let seen = running.control.seen[usize::from(priority)].datagrams.load(Relaxed);
        assert!(sent > 0 && seen == sent, "priority {priority}: {seen} of {sent}");
    }
}

#[test]
fn an_idle_port_costs_next_to_nothing_and_wakes_soon() {
    if !root_for("an idle veth") {
        return;
    }
    let (host, _switch, running) = running();
    sleep(300);
    let (cpu, waits) = (running.cpu(), running.control.waits.load(Relaxed));
    sleep(2000);
    let (cpu, waits) = (running.cpu() - cpu, running.control.waits.load(Relaxed) - waits);
    println!("idle: {cpu:?} of CPU time in 2 s, {waits} waits");
    // It is looked after ten times a second here, more often than the worker does.
    assert!(cpu < Duration::from_millis(20), "{cpu:?}");
    assert!(waits < 60, "it polls: {waits}");
    let socket = host.run(|| Ok(std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("socket")));
    let mut late = Vec::new();
    for number in 0..200u64 {
        let before = running.control.seen[0].datagrams.load(Relaxed);
        let begin = Instant::now();
        socket.send_to(&number.to_ne_bytes(), (dcbridge_tests::host::ip(2), 9)).unwrap();
        while running.control.seen[0].datagrams.load(Relaxed) == before {
            assert!(begin.elapsed() < PATIENCE, "datagram {number} did not come");
            std::thread::sleep(Duration::from_micros(10));
        }
        late.push(begin.elapsed());
        sleep(3);
    }
    late.sort_unstable();
    println!("wake: p50 {:?}, p99 {:?}, worst {:?}", late[100], late[198], late[199]);
    println!("{:?}", running.end().counters());
}

/// Two hosts offer ten times what a third one's line takes, through the whole switch.
#[test]
fn a_lossless_class_through_the_switch_loses_nothing() {
    if !root_for("a lossless class between veth ports") {
        return;
    }
    let classes = "[[traffic_class]]\nname = \"storage\"\npriorities = [3]\nlossless = true\nbandwidth = 50\n\
                   [[traffic_class]]\nname = \"rest\"\npriorities = \"rest\"\nbandwidth = 50\n";
    let veth = "type = \"veth\"";
    let slow = format!("{veth}\nline_rate = \"100Mbit\"");
    let ports = [("a", veth), ("b", veth), ("c", slow.as_str())];
    let network =
        Network::new(env!("CARGO_BIN_EXE_dcbridge-under-test"), "buffer = \"16MB\"", classes, &ports);
    let offer = |from, dscp| Offer { hosts: (from, 2), dscp, size: FrameSize::Fixed(1518), rate: 500e6 };
    let mut traffic = Traffic::start(&network, &[offer(0, 24), offer(1, 24), offer(0, 0), offer(1, 0)]);
    sleep(3000);
    traffic.stop_sending();
    // What was accepted from sockets still has to come.
    let end = Instant::now() + Duration::from_secs(20);
    let lossless = |traffic: &Traffic| {
        let (offered, received) = (traffic.offered(), traffic.received());
        [0, 1].map(|flow| (offered[flow].frames, received[flow].frames))
    };
    while lossless(&traffic).iter().any(|(sent, got)| sent != got) && Instant::now() < end {
        sleep(50);
    }
    let state = network.program.state();
    println!(
        "lossless sent, received: {:?}; lossy: {:?} of {:?}",
        lossless(&traffic),
        &traffic.received()[2..],
        &traffic.offered()[2..]
    );
    for port in &state.ports {
        println!(
            "{} ({}): {}, rx {:?} drops {:?} {:?}",
            port.name, port.kind, port.guarantee, port.rx, port.rx_drops, port.tx_drops
        );
        assert_eq!((port.kind.as_str(), port.guarantee.as_str()), ("veth", "exact"));
    }
    assert_eq!(traffic.overflows(), 0);
    for (sent, received) in lossless(&traffic) {
        assert!(sent > 1000, "{sent}");
        assert_eq!(sent, received);
    }
}
