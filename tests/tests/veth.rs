//! Veth ports against the kernel: frames as they are, and senders that block exactly while they are not served.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::port::veth::VethPort;
use dcbridge::port::{Guarantee, Link, Port, RxFrame, TxOutcome, VnetHeader};
use dcbridge_tests::forward::{wait, whole};
use dcbridge_tests::host::{Host, ip, mac};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::Sender;
use dcbridge_tests::taps::{PATIENCE, frame, packet_socket};
use dcbridge_tests::veths::{Running, open, options, try_open};

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
        if out.is_empty() {
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
        let mut port =
            open(&switch, &dcbridge::port::veth::VethOptions { mtu, ..options(&host, "v0", "eth0") });
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

#[test]
fn a_sender_blocks_while_it_is_not_served_and_the_other_goes_on() {
    if !root_for("pauses of a veth") {
        return;
    }
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    let port = open(&switch, &options(&host, "v0", "eth0"));
    host.address("eth0", 1, &[2]);
    let running = Running::new(port, None);
    let (three, four) = (Sender::new(&host, 2, 3, 1400, 1), Sender::new(&host, 2, 4, 1400, 1));
    sleep(300);
    let rate = |over: Duration| {
        let (before, begin) = (running.control.seen[4].frames.load(Relaxed), Instant::now());
        std::thread::sleep(over);
        (running.control.seen[4].frames.load(Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    };
    let (cpu, begin) = (running.cpu(), Instant::now());
    let free = rate(Duration::from_millis(500));
    println!(
        "both: priority 4 at {free:.0} frames/s; loop uses {:?} of {:?}",
        running.cpu() - cpu,
        begin.elapsed()
    );
    running.gate(3, false);
    sleep(50);
    let sent = three.count();
    let paused = rate(Duration::from_millis(500));
    assert_eq!(three.count(), sent, "the sender is blocked");
    println!("paused: priority 4 at {paused:.0} frames/s");
    assert!(paused >= 0.95 * free, "{paused} < {free}");
    running.gate(3, true);
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
