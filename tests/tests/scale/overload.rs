//! The processor as the bottleneck, on real TAPs: the worker has half of a processor, the other half of which a thread that
//! does nothing keeps busy; senders have the other processor and offer more than the worker can carry. Counted by the
//! sockets of the receiving host.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge::lab::frames::FrameSize;
use dcbridge::lab::generator::{self, Counters, Running};
use dcbridge::lab::hosts::Host;
use dcbridge::lab::traffic::SendSpec;
use dcbridge_tests::deaf::Deaf;
use dcbridge_tests::live::{Network, one_of_three};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::virtual_time::share_error;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::PROGRAM;

pub(super) const SENDERS: usize = 4;
pub(super) const SINKS: u16 = 5000;
/// Bits per second that a sender offers: each alone is more than half a processor carries.
const EACH: f64 = 8e9;
pub(super) const WARM_UP: Duration = Duration::from_millis(1500);
const SPAN: Duration = Duration::from_secs(4);
const WEIGHTS: [u64; 3] = [60, 30, 10];
/// Packets that a socket which nobody reads holds, and does not count as dropped.
const HELD: u64 = 8;
pub(super) const CLASSES: &str = "[[traffic_class]]\nname = \"a\"\npriorities = [0]\nbandwidth = 60\n\
                       [[traffic_class]]\nname = \"b\"\npriorities = [1]\nbandwidth = 30\n\
                       [[traffic_class]]\nname = \"c\"\npriorities = \"rest\"\nbandwidth = 10\n";
const STRICT: &str = "[[traffic_class]]\nname = \"s\"\npriorities = [7]\ntsa = \"strict\"\n";

/// Processors that this test may use: one for the worker, one for everybody else.
fn processors() -> (usize, usize) {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("an affinity");
    let mut allowed = (0..CpuSet::count()).filter(|&n| allowed.is_set(n).unwrap_or(false));
    match (allowed.next(), allowed.next()) {
        (Some(worker), Some(senders)) => (worker, senders),
        _ => panic!("this test needs two processors: one for the worker, one for those who send"),
    }
}

/// Runs `work` on one processor only; threads that it starts stay there.
fn on<T>(processor: usize, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(Pid::from_raw(0)).expect("an affinity");
    let mut only = CpuSet::new();
    only.set(processor).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &only).expect("a processor of ours");
    let done = work();
    sched_setaffinity(Pid::from_raw(0), &before).expect("what it was");
    done
}

/// Keeps a processor busy, as somebody else's work would.
struct Spinning {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spinning {
    fn start(processor: usize) -> Spinning {
        let stop = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&stop);
        let work = move || {
            while !flag.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        Spinning { stop, thread: Some(on(processor, || std::thread::spawn(work))) }
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Senders, a sink, and a switch that has half a processor for them. Frames are not offered as superframes, so that each
/// costs the worker its read and its write.
fn network(classes: &str) -> Network {
    let (worker, _) = processors();
    let sections = format!(
        "{classes}[worker]\nscheduling = \"normal\"\ncpu = {worker}\n\
         [defaults]\ntrust = [\"dscp\"]\nline_rate = \"unlimited\"\noffload = false\n"
    );
    let ports = [("s1", ""), ("s2", ""), ("s3", ""), ("s4", ""), ("sink", "")];
    Network::new(PROGRAM, "loop_detection = false", &sections, &ports)
}

/// Who offers the flows.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// Each flow a host of its own.
    Each,
    /// The first host all of them: bursts of one flow behind those of another, by one interface.
    One,
}

impl From {
    fn host(self, flow: usize) -> usize {
        match self {
            From::Each => flow,
            From::One => 0,
        }
    }
}

/// Offers these flows, (priority, bits per second).
pub(super) fn offer(network: &Network, from: From, flows: &[(u8, f64)], size: u16) -> Running {
    let to = network.hosts[SENDERS].address().ip;
    let flow = |(n, &(priority, rate_bps)): (u16, &(u8, f64))| {
        let host: &Host = &network.hosts[from.host(usize::from(n))];
        let spec = SendSpec {
            to: SocketAddrV4::new(to, SINKS + n),
            dscp: priority << 3,
            size: FrameSize::Fixed(size),
            seed: 1,
        };
        let emit = Box::new(host.udp_sender(&spec).unwrap_or_else(|e| panic!("{e}")));
        generator::Flow { emit, rate_bps, counters: Arc::<Counters>::default() }
    };
    let flows = (0..).zip(flows).map(flow).collect();
    on(processors().1, || generator::send(flows)).expect("a thread")
}

/// Frames a second, by flow; at the interface that of its host.
struct Rates {
    /// What the receiving sockets have counted.
    arrived: Vec<u64>,
    /// What the interface has dropped since the worker did not read it.
    unread: Vec<u64>,
    /// Frames in all that the interface has handed to the worker, and how many of the flow have arrived.
    whole: Vec<(u64, u64)>,
}

fn measure(network: &Network, from: From, flows: &[(u8, f64)], size: u16) -> Rates {
    let sinks = Deaf::open(&network.hosts[SENDERS], SINKS, flows.len() as u16);
    let look = || {
        let by_interface =
            |count: fn(&Network, usize) -> u64| (0..flows.len()).map(move |n| count(network, from.host(n)));
        let sent = by_interface(Network::sent_by_interface).collect::<Vec<_>>();
        let unread = by_interface(Network::dropped_by_interface).collect::<Vec<_>>();
        (sinks.dropped(), sent, unread, Instant::now())
    };
    let begin = look();
    let spinning = Spinning::start(processors().0);
    let mut senders = offer(network, from, flows, size);
    std::thread::sleep(WARM_UP);
    let before = look();
    std::thread::sleep(SPAN);
    let after = look();
    senders.stop();
    drop(spinning);
    // What the queues still hold is not the next measurement's.
    std::thread::sleep(Duration::from_millis(300));
    let end = look();
    let span = (after.3 - before.3).as_secs_f64();
    let rates = |after: &[u64], before: &[u64]| {
        after.iter().zip(before).map(|(after, before)| ((after - before) as f64 / span) as u64).collect()
    };
    Rates {
        arrived: rates(&after.0, &before.0),
        unread: rates(&after.2, &before.2),
        whole: (0..flows.len()).map(|n| (end.1[n] - begin.1[n], end.0[n] - begin.0[n])).collect(),
    }
}

/// As much of each priority as its sender can offer.
fn much<const N: usize>(priorities: [u8; N]) -> [(u8, f64); N] {
    priorities.map(|priority| (priority, EACH))
}

#[test]
fn shares_hold_on_taps_when_the_processor_is_the_bottleneck() {
    if !root_for("shares with a processor that is too slow") {
        return;
    }
    let network = network(CLASSES);
    for size in [64, 512, 1518] {
        shares_hold(&network, From::Each, size);
    }
}

/// Also when all classes come by one interface: it has a ring for each priority.
#[test]
fn shares_hold_on_one_tap_when_the_processor_is_the_bottleneck() {
    if !root_for("shares of one host with a processor that is too slow") {
        return;
    }
    let network = network(CLASSES);
    for size in [64, 1518] {
        shares_hold(&network, From::One, size);
    }
}

fn shares_hold(network: &Network, from: From, size: u16) {
    one_of_three(&format!("{size} bytes"), || {
        let alone = measure(network, from, &much([0, 0, 0]), size).arrived.iter().sum::<u64>();
        let Rates { arrived, unread, .. } = measure(network, from, &much([0, 1, 2]), size);
        let (error, total) = (share_error(&arrived, &WEIGHTS), arrived.iter().sum::<u64>());
        let part = total as f64 / alone as f64;
        let figures = format!(
            "{arrived:?} frames/s, share error {:.2} %, {part:.3} of {alone} frames/s of one class alone, {unread:?} unread",
            error * 100.0
        );
        let verdict = if unread.iter().sum::<u64>() < total / 4 {
            Err("the senders were the bottleneck".to_owned())
        } else if error > 0.03 {
            Err("an error of 3 % is allowed".to_owned())
        } else if part < 0.7 {
            Err("0.7 of one class alone is needed".to_owned())
        } else {
            Ok(())
        };
        (figures, verdict)
    });
}

#[test]
fn a_strict_class_comes_first_on_taps_when_the_processor_is_the_bottleneck() {
    if !root_for("a strict class with a processor that is too slow") {
        return;
    }
    let network = network(&format!("{CLASSES}{STRICT}"));
    // Less than a fifth of what half a processor carries.
    let mut flows = much([0, 1, 2, 7]);
    flows[3].1 = 200e6;
    one_of_three("512 bytes", || {
        let Rates { arrived, unread, whole } = measure(&network, From::Each, &flows, 512);
        let (sent, received) = whole[3];
        let error = share_error(&arrived[..3], &WEIGHTS);
        let figures = format!(
            "{arrived:?} frames/s, share error {:.2} %, {received} of {sent} strict ones, {unread:?} unread",
            error * 100.0
        );
        let verdict = if sent < 5000 {
            Err("the strict sender did not get to send".to_owned())
        } else if received + HELD < sent || unread[3] > 0 {
            Err("all strict frames are to arrive".to_owned())
        } else if error > 0.03 {
            Err("an error of 3 % is allowed".to_owned())
        } else {
            Ok(())
        };
        (figures, verdict)
    });
}
