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
use dcbridge::lab::traffic::SendSpec;
use dcbridge_tests::deaf::Deaf;
use dcbridge_tests::live::{Network, one_of_three};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::virtual_time::share_error;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::PROGRAM;

const SENDERS: usize = 3;
const SINKS: u16 = 5000;
const WARM_UP: Duration = Duration::from_millis(1500);
const SPAN: Duration = Duration::from_secs(4);
const WEIGHTS: [u64; 3] = [60, 30, 10];
const CLASSES: &str = "[[traffic_class]]\nname = \"a\"\npriorities = [0]\nbandwidth = 60\n\
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
    Network::new(
        PROGRAM,
        "loop_detection = false",
        &sections,
        &[("s1", ""), ("s2", ""), ("s3", ""), ("sink", "")],
    )
}

/// Every sender offers all of these flows, (priority, part of what a sender offers), as fast as they get along. `each`
/// is what a flow of part 1 offers in bits per second.
fn offer(network: &Network, flows: &[(u8, f64)], size: u16, each: f64) -> Running {
    let to = network.hosts[SENDERS].address().ip;
    let mut all = Vec::new();
    for host in &network.hosts[..SENDERS] {
        for (n, &(priority, part)) in flows.iter().enumerate() {
            let spec = SendSpec {
                to: SocketAddrV4::new(to, SINKS + n as u16),
                dscp: priority << 3,
                size: FrameSize::Fixed(size),
                seed: 1,
            };
            let emit = Box::new(host.udp_sender(&spec).unwrap_or_else(|e| panic!("{e}")));
            all.push(generator::Flow { emit, rate_bps: each * part, counters: Arc::<Counters>::default() });
        }
    }
    on(processors().1, || generator::send(all)).expect("a thread")
}

/// What arrived by flow in a second, and how many frames a second the worker has left unread.
fn measure(network: &Network, flows: &[(u8, f64)], size: u16, each: f64) -> (Vec<u64>, u64) {
    let sinks = Deaf::open(&network.hosts[SENDERS], SINKS, flows.len() as u16);
    let spinning = Spinning::start(processors().0);
    let mut senders = offer(network, flows, size, each);
    std::thread::sleep(WARM_UP);
    let unread = || (0..SENDERS).map(|host| network.dropped_by_interface(host)).sum::<u64>();
    let (before, left, begin) = (sinks.dropped(), unread(), Instant::now());
    std::thread::sleep(SPAN);
    let (after, unread, span) = (sinks.dropped(), unread() - left, begin.elapsed().as_secs_f64());
    senders.stop();
    drop(spinning);
    // What the queues still hold is not the next measurement's.
    std::thread::sleep(Duration::from_millis(300));
    let rate = |frames: u64| (frames as f64 / span) as u64;
    (after.iter().zip(before).map(|(after, before)| rate(after - before)).collect(), rate(unread))
}

/// What a flow of part 1 offers: with three of them at three senders several times what half a processor carries.
const EACH: f64 = 4e9;

#[test]
fn shares_hold_on_taps_when_the_processor_is_the_bottleneck() {
    if !root_for("shares with a processor that is too slow") {
        return;
    }
    let network = network(CLASSES);
    for size in [64, 512, 1518] {
        one_of_three(&format!("{size} bytes"), || {
            let (alone, _) = measure(&network, &[(0, 3.0)], size, EACH);
            let (got, unread) = measure(&network, &[(0, 1.0), (1, 1.0), (2, 1.0)], size, EACH);
            let (error, total) = (share_error(&got, &WEIGHTS), got.iter().sum::<u64>());
            let part = total as f64 / alone[0] as f64;
            let figures = format!(
                "{got:?} frames/s, share error {:.2} %, {part:.3} of {} frames/s of one class alone, {unread} unread",
                error * 100.0,
                alone[0]
            );
            let verdict = if unread < total / 4 {
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
}

#[test]
fn a_strict_class_comes_first_on_taps_when_the_processor_is_the_bottleneck() {
    if !root_for("a strict class with a processor that is too slow") {
        return;
    }
    let network = network(&format!("{CLASSES}{STRICT}"));
    one_of_three("512 bytes", || {
        let before = network.program.state();
        let (got, unread) = measure(&network, &[(0, 1.0), (1, 1.0), (2, 1.0), (7, 1.0)], 512, EACH);
        let after = network.program.state();
        let strict = |s: &dcbridge::state::Snapshot| {
            let of = |p: &dcbridge::state::Port| (p.priorities[7].rx.frames, p.priorities[7].dropped.frames);
            s.ports.iter().map(of).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        let (read, dropped) = (strict(&after).0 - strict(&before).0, strict(&after).1 - strict(&before).1);
        let error = share_error(&got[..3], &WEIGHTS);
        let figures = format!(
            "{got:?} frames/s, share error {:.2} %, {dropped} of {read} strict frames dropped, {unread} unread",
            error * 100.0
        );
        let verdict = if dropped * 100 > read {
            Err("1 % of the strict frames may be dropped".to_owned())
        } else if error > 0.03 {
            Err("an error of 3 % is allowed".to_owned())
        } else {
            Ok(())
        };
        (figures, verdict)
    });
}
