//! Two workers, each with one of the ports that frames cross between: what the kernels at both ends counted, and in which
//! order it came.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use dcbridge::lab::frames::FrameSize;
use dcbridge_tests::live::{Network, Offer, Traffic};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::virtual_time::assert_balanced;

use crate::PROGRAM;

const PORT: u16 = 4711;
const FRAMES: u64 = 40_000;
/// At once, and then a rest: no queue holds more.
const BURST: u64 = 20;

/// Sends numbered datagrams from one host to another; answers the numbers in the order in which they arrived.
fn numbers(network: &Network, from: usize, to: usize) -> Vec<u64> {
    let (from, to) = (&network.hosts[from], &network.hosts[to]);
    let sink = to.within(|| Ok(UdpSocket::bind(("0.0.0.0", PORT)))).expect("namespace").expect("a sink");
    nix::sys::socket::setsockopt(&sink, nix::sys::socket::sockopt::RcvBufForce, &(64 << 20))
        .expect("a buffer");
    sink.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let sender = from.within(|| Ok(UdpSocket::bind("0.0.0.0:0"))).expect("namespace").expect("a socket");
    sender.connect(SocketAddrV4::new(to.address().ip, PORT)).expect("an address");
    std::thread::scope(|scope| {
        let collected = scope.spawn(|| {
            let (mut all, mut number) = (Vec::new(), [0; 8]);
            while all.len() < FRAMES as usize && sink.recv(&mut number).is_ok() {
                all.push(u64::from_be_bytes(number));
            }
            all
        });
        let begin = Instant::now();
        for n in 0..FRAMES {
            let mut payload = [0; 1000];
            payload[..8].copy_from_slice(&n.to_be_bytes());
            sender.send(&payload).expect("the host's own queue takes it");
            if n % BURST == 0 {
                // 20 000 frames a second: what a busy machine forwards too.
                let due = Duration::from_micros(50 * n);
                std::thread::sleep(due.saturating_sub(begin.elapsed()));
            }
        }
        collected.join().expect("the receiver")
    })
}

#[test]
fn two_workers_pass_each_other_every_frame_in_order() {
    if !root_for("two workers between two TAPs") {
        return;
    }
    let sections = "[worker]\nthreads = 2\n[defaults]\nline_rate = \"1Gbit\"\n";
    let network = Network::new(PROGRAM, "loop_detection = false", sections, &[("wka", ""), ("wkb", "")]);
    let before = [0, 1].map(|host| (network.dropped_by_interface(host), network.received_by_interface(host)));
    let (there, back) = std::thread::scope(|scope| {
        let there = scope.spawn(|| numbers(&network, 0, 1));
        let back = numbers(&network, 1, 0);
        (there.join().expect("a sender"), back)
    });
    std::thread::sleep(Duration::from_millis(300));
    for (host, numbers) in [(1, there), (0, back)] {
        // On a busy machine a TAP's queue overflows before the switch has its turn: the sender's interface says so.
        let lost = network.dropped_by_interface(1 - host) - before[1 - host].0;
        println!("host {host}: {} of {FRAMES} arrived, the interface lost {lost}", numbers.len());
        assert_eq!(numbers.len() as u64 + lost, FRAMES);
        assert!(numbers.is_sorted(), "in order");
        let counted = network.received_by_interface(host) - before[host].1;
        assert!(counted >= numbers.len() as u64, "the interface counted {counted}");
    }
    let state = network.program.state();
    assert_balanced(&state);
    assert_eq!(state.ports.iter().map(|p| p.queued.frames).sum::<u64>(), 0);
    assert_eq!(state.buffer.used_bytes, 0, "every token has come back");
    let handed: Vec<u64> = state.workers.iter().map(|w| w.handed).collect();
    assert!(handed.len() == 2 && handed.iter().all(|&n| n >= FRAMES * 9 / 10), "{handed:?}");
    assert!(state.workers.iter().all(|w| w.turns > 0 && w.cpu_ns > 0), "{:?}", state.workers);
    let ended = network.program.stop();
    assert!(ended.status.success(), "{}", ended.output);
}

/// Two hosts offer ten times what a third one's line takes. The workers take turns with the ports, so one sender shares its
/// worker with the line and the other one's frames cross from worker to worker: both have to be paused.
#[test]
fn two_workers_pause_the_hosts_of_a_lossless_class() {
    if !root_for("a lossless class across two workers") {
        return;
    }
    let sections = "[worker]\nthreads = 2\n[defaults]\nline_rate = \"1Gbit\"\ntrust = [\"dscp\"]\n\
                    [[traffic_class]]\nname = \"storage\"\npriorities = [3]\nlossless = true\nbandwidth = 50\n\
                    [[traffic_class]]\nname = \"rest\"\npriorities = \"rest\"\nbandwidth = 50\n";
    let ports = [("lwa", ""), ("lwb", ""), ("lwc", "line_rate = \"100Mbit\"")];
    let network = Network::new(PROGRAM, "buffer = \"32MB\"", sections, &ports);
    let offer = |from, dscp| Offer { hosts: (from, 2), dscp, size: FrameSize::Fixed(1518), rate: 500e6 };
    let mut traffic = Traffic::start(&network, &[offer(0, 24), offer(1, 24), offer(0, 0), offer(1, 0)]);
    std::thread::sleep(Duration::from_secs(3));
    traffic.stop_sending();
    let lossless = |traffic: &Traffic| {
        let (offered, received) = (traffic.offered(), traffic.received());
        [0, 1].map(|flow| (offered[flow].frames, received[flow].frames))
    };
    // What was accepted from sockets still has to come.
    let end = Instant::now() + Duration::from_secs(20);
    while lossless(&traffic).iter().any(|(sent, got)| sent != got) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let state = network.program.state();
    println!(
        "lossless sent, received: {:?}; lossy: {:?} of {:?}; handed over: {:?}",
        lossless(&traffic),
        &traffic.received()[2..],
        &traffic.offered()[2..],
        state.workers.iter().map(|w| w.handed).collect::<Vec<_>>()
    );
    assert_eq!(traffic.overflows(), 0);
    for (sent, received) in lossless(&traffic) {
        assert!(sent > 1000, "{sent}");
        assert_eq!(sent, received);
    }
    assert!(state.workers.iter().any(|w| w.handed > 100), "one host's superframes go from worker to worker");
    let lossy: u64 =
        (2..4).map(|flow| traffic.offered()[flow].frames - traffic.received()[flow].frames).sum();
    assert!(lossy > 0, "the line was too slow for what was offered");
}
