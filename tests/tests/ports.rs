//! What TAP ports carry, against the kernel.

use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use dcbridge::arena::Arena;
use dcbridge::bench::yardstick::vnet;
use dcbridge::port::tap::{TapOptions, TapPort};
use dcbridge::port::{MAX_HEAD, Port, TxDesc, TxOutcome, VnetHeader, ring};
use dcbridge_tests::forward::{Joined, whole};
use dcbridge_tests::host::{Host, ip, mac};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::taps::{PATIENCE, frame, open, open_as, options, packet_socket, receive};
use dcbridge_tests::traffic::tcp;

#[test]
fn frames_pass_a_tap_byte_for_byte() {
    if !root_for("frames through a TAP") {
        return;
    }
    for offload in [true, false] {
        let host = Host::new("byte for byte");
        let mut port = open_as(&TapOptions { offload, mtu: 9000, ..options(&host, "t0") });
        let socket = packet_socket(&host, "t0");
        let mut arena = Arena::new(1 << 20);
        for len in [14, 60, 64, 1514, 2048, 2049, 9014] {
            socket.send(&frame(len)).unwrap();
            let got = receive(&mut port, &mut arena);
            assert_eq!(arena.bytes(got.id), frame(len), "from the host, {len} bytes, offload {offload}");

            // With a head of its own, and without.
            let mut desc = whole(&arena, got.id);
            let mut outcomes = Vec::new();
            port.tx(&[desc.clone()], &mut arena, &mut outcomes);
            desc.head[..14].copy_from_slice(&frame(len)[..14]);
            desc.head[11] = 0x77;
            desc.head_len = 14;
            desc.off = 14;
            desc.len -= 14;
            port.tx(&[desc], &mut arena, &mut outcomes);
            assert_eq!(outcomes, [TxOutcome::Sent; 2]);
            let mut changed = frame(len);
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host");
            changed[11] = 0x77;
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host, with a head of its own");
            assert_eq!(arena.bytes(got.id), frame(len), "sending has changed nothing");
            arena.free(got.id);
        }
        assert_eq!(arena.in_use(), 0);
    }
}

#[test]
fn a_head_of_any_length_goes_before_any_part_of_a_frame() {
    if !root_for("heads of frames through a TAP") {
        return;
    }
    let host = Host::new("heads");
    let mut port = open(&host, "t0");
    let socket = packet_socket(&host, "t0");
    let mut arena = Arena::new(1 << 20);
    let body = frame(1400);
    let id = arena.insert(&body, VnetHeader::default()).unwrap();
    let head: Vec<u8> = frame(MAX_HEAD).iter().map(|b| b ^ 0x5a).collect();
    for head_len in [0, 14, 18, 52, 53, MAX_HEAD] {
        for off in [0, 1, 14, 100, 1380] {
            let mut desc = whole(&arena, id);
            desc.head.copy_from_slice(&head);
            desc.head_len = head_len as u8;
            desc.off = off as u32;
            desc.len -= off as u32;
            let mut outcomes = Vec::new();
            port.tx(&[desc], &mut arena, &mut outcomes);
            assert_eq!(outcomes, [TxOutcome::Sent]);
            let sent = [&head[..head_len], &body[off..]].concat();
            assert_eq!(socket.receive(PATIENCE).unwrap(), sent, "head of {head_len} before {off}");
            assert_eq!(arena.bytes(id), body, "sending has changed nothing");
        }
    }
}

#[test]
fn frames_handed_over_together_arrive_each_as_it_is_by_either_io() {
    if !root_for("frames handed to a TAP together") {
        return;
    }
    for (by_ring, offload) in [(false, true), (true, true), (true, false)] {
        // A ring belongs to its thread.
        let sending = std::thread::spawn(move || {
            if by_ring {
                ring::enable().unwrap();
            }
            hand_over_together(offload);
        });
        sending.join().unwrap();
    }
}

/// More than a ring takes at once: whole frames, with heads of their own, and one that is not as long as it says.
fn hand_over_together(offload: bool) {
    let host = Host::new("together");
    let mut port = open_as(&TapOptions { offload, ..options(&host, "t0") });
    let socket = packet_socket(&host, "t0");
    let mut arena = Arena::new(1 << 20);
    let head: Vec<u8> = frame(MAX_HEAD).iter().map(|b| b ^ 0x5a).collect();
    let (mut descs, mut expected, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..ring::DEPTH + 16 {
        let mut body = frame(60 + n * 7);
        body[20] = n as u8;
        let id = arena.insert(&body, VnetHeader::default()).unwrap();
        let mut desc = whole(&arena, id);
        if n % 3 > 0 {
            let (len, off) = (14 + n % (MAX_HEAD - 13), n % 15);
            desc = TxDesc { head_len: len as u8, off: off as u32, len: desc.len - off as u32, ..desc };
            desc.head.copy_from_slice(&head);
            expected.push([&head[..len], &body[off..]].concat());
        } else {
            expected.push(body.clone());
        }
        bodies.push((id, body));
        descs.push(desc);
    }
    descs[5].off = 60_000;
    expected.remove(5);
    let mut outcomes = Vec::new();
    port.tx(&descs, &mut arena, &mut outcomes);
    let refused = |n| if n == 5 { TxOutcome::Refused } else { TxOutcome::Sent };
    assert_eq!(outcomes, (0..descs.len()).map(refused).collect::<Vec<_>>());
    for (n, sent) in expected.iter().enumerate() {
        assert_eq!(&socket.receive(PATIENCE).unwrap(), sent, "frame {n}, offload {offload}");
    }
    assert!(bodies.iter().all(|(id, body)| arena.bytes(*id) == body), "sending has changed nothing");
    host.links(|l| l.set_down("t0"));
    outcomes.clear();
    port.tx(&descs, &mut arena, &mut outcomes);
    assert!(outcomes.iter().all(|&o| o == TxOutcome::Refused), "an interface that is down takes none");
}

/// Two hosts, each with a TAP and the other as its neighbour.
fn two_hosts(offload: bool) -> [(Host, TapPort); 2] {
    [(1, "a"), (2, "b")].map(|(n, label)| {
        let host = Host::new(label);
        let port = open_as(&TapOptions { offload, ..options(&host, "t0") });
        host.address("t0", n, &[3 - n]);
        (host, port)
    })
}

#[test]
fn kernel_tcp_crosses_two_ports_as_superframes() {
    if !root_for("TCP through two TAPs") {
        return;
    }
    let mut rates = Vec::new();
    for (offload, megabytes) in [(false, 60), (true, 600)] {
        let [(host_a, port_a), (host_b, port_b)] = two_hosts(offload);
        let joined = Joined::new(Box::new(port_a), Box::new(port_b));
        let rate = tcp((&host_a, 1), (&host_b, 2), megabytes << 20);
        let frames = joined.crossed.frames.load(Ordering::Relaxed);
        let superframes = joined.crossed.superframes.load(Ordering::Relaxed);
        println!("offload {offload}: {rate:.2} Gbit/s, {frames} frames, of these {superframes} superframes");
        assert_eq!(superframes > 0, offload);
        rates.push(rate);
    }
    let [(host_a, port_a), (host_b, port_b)] = two_hosts(true);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (a, b) = (port_a.into_queues(), port_b.into_queues());
        let stop = &stop;
        scope.spawn(move || vnet::run(a[0].as_fd(), b[0].as_fd(), stop).unwrap());
        let rate = tcp((&host_a, 1), (&host_b, 2), 600 << 20);
        stop.store(true, Ordering::Relaxed);
        println!("plain copy loop: {rate:.2} Gbit/s");
    });
    assert!(rates[1] > rates[0], "offload makes TCP faster: {rates:?} Gbit/s");
}

#[test]
fn queues_are_read_only_when_they_are_served() {
    if !root_for("a TAP with eight queues") {
        return;
    }
    let host = Host::new("queues");
    let mut port = open_as(&TapOptions { queues: 8, ..options(&host, "t0") });
    host.address("t0", 1, &[2]);
    let flows = 64;
    send_flows(&host, flows);
    let mut arena = Arena::new(1 << 20);
    let mut by_queue = Vec::new();
    for queue in 0..8u8 {
        let mut out = Vec::new();
        assert!(!port.rx(1 << queue, 1000, &mut arena, &mut out).more);
        assert!(out.iter().all(|f| f.queue == queue && arena.bytes(f.id)[..6] == mac(2)));
        by_queue.push(out.len());
    }
    assert_eq!(by_queue.iter().sum::<usize>(), flows);
    assert!(by_queue.iter().filter(|&&n| n > 0).count() > 1, "the kernel spreads flows over the queues");
    send_flows(&host, flows);
    let mut out = Vec::new();
    while port.rx(0xff, 1, &mut arena, &mut out).more {}
    assert_eq!(out.len(), flows, "a budget of one frame reaches all queues in the end");
    let by_queue: Vec<usize> = by_queue.iter().map(|n| 2 * n).collect();
    assert_eq!(by_queue, sent_by_queue(&host, "t0"), "our queue n is the kernel's queue n");
}

/// The same flows each time.
fn send_flows(host: &Host, flows: usize) {
    host.run(|| {
        for flow in 0..flows as u16 {
            let socket = std::net::UdpSocket::bind((ip(1), 20_000 + flow)).expect("socket");
            socket.send_to(b"hello", (ip(2), 9)).expect("send");
        }
        Ok(())
    });
}

/// What the kernel's queues of an interface have sent, from the statistics of their qdiscs.
fn sent_by_queue(host: &Host, interface: &str) -> Vec<usize> {
    let tc = ["-s", "qdisc", "show", "dev", interface];
    let output =
        host.run(|| Ok(Command::new("tc").args(tc).output())).expect("this test needs `tc` (iproute2)");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut sent: Vec<(usize, usize)> = text
        .split("qdisc ")
        .filter_map(|qdisc| {
            let number = |after: &str, at: usize| qdisc.split_once(after)?.1.split(' ').nth(at)?.parse().ok();
            Some((number("parent :", 0)?, number("Sent ", 2)?))
        })
        .collect();
    sent.sort_unstable();
    sent.into_iter().map(|(_, packets)| packets).collect()
}

#[test]
fn a_budget_ends_a_read_and_says_so() {
    if !root_for("the budget of a read") {
        return;
    }
    let host = Host::new("budget");
    let mut port = open(&host, "t0");
    let socket = packet_socket(&host, "t0");
    (0..10).for_each(|_| socket.send(&frame(60)).unwrap());
    let mut arena = Arena::new(1 << 20);
    let mut out = Vec::new();
    assert!(!port.rx(0, 100, &mut arena, &mut out).more);
    assert!(out.is_empty(), "nothing is read that is not served");
    assert!(port.rx(1, 4, &mut arena, &mut out).more);
    assert_eq!(out.len(), 4);
    assert!(!port.rx(1, 100, &mut arena, &mut out).more);
    assert_eq!(out.len(), 10);
}
