//! Paced sending and counted receiving, whatever the hosts are made of: one thread for all senders, one for all
//! receivers, so that two cores suffice.
//!
//! What a frame looks like and how it reaches the switch is the business of whoever implements `Emit` and `Collect`
//! (`traffic`: kernel sockets, `inprocess`: a stack of our own).

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::measure::FlowStats;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(1);
/// A flow that came late by more than this does not catch up: after a stall of the machine a burst would say nothing.
const CATCH_UP: Duration = Duration::from_millis(50);
/// A send that took longer was held back by the host's kernel.
const HELD_BACK: Duration = Duration::from_millis(1);
/// What is due is sent in bursts of this duration, where frames can be sent in bursts.
const BURST: Duration = Duration::from_millis(2);

/// Counters of one side of a flow: one thread writes, others read.
#[derive(Debug, Default)]
pub struct Counters {
    frames: AtomicU64,
    wire_bytes: AtomicU64,
    blocked: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Counters {
    /// Counts frames and their bytes on the wire.
    pub fn count(&self, frames: u64, wire_bytes: u64) {
        // The order lets a reader see bytes without their frames for a moment, never torn values.
        self.wire_bytes.fetch_add(wire_bytes, Ordering::Relaxed);
        self.frames.fetch_add(frames, Ordering::Relaxed);
    }

    fn fail(&self, error: &io::Error) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// What was counted so far.
    pub fn stats(&self) -> FlowStats {
        FlowStats {
            frames: self.frames.load(Ordering::Relaxed),
            wire_bytes: self.wire_bytes.load(Ordering::Relaxed),
            blocked: self.blocked.load(Ordering::Relaxed),
        }
    }

    /// Why the flow ended before its time, if it did.
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What one call sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Their bytes on the wire.
    pub wire_bytes: u64,
}

/// Sends the frames of one flow.
pub trait Emit: Send {
    /// Bytes on the wire that `emit` can send at least (one frame).
    fn least(&self) -> u64;

    /// Bytes on the wire that one call of `emit` can send at most.
    fn most(&self) -> u64;

    /// Sends as much as `budget` bytes on the wire allow, at least one frame, in one piece where possible. `None`:
    /// refused for the moment.
    ///
    /// # Errors
    /// When this flow can't send any more.
    fn emit(&mut self, budget: u64) -> io::Result<Option<Sent>>;
}

/// Receives frames of several flows and counts them.
pub trait Collect: Send {
    /// Takes what is there, without waiting; answers whether there was anything.
    ///
    /// # Errors
    /// When nothing can be received any more.
    fn collect(&mut self) -> io::Result<bool>;

    /// Waits until something is there, at most `limit`.
    fn wait(&mut self, limit: Duration);
}

/// A flow with its rate.
pub struct Flow {
    /// Who sends.
    pub emit: Box<dyn Emit>,
    /// Bits per second on the wire.
    pub rate_bps: f64,
    /// Where it is counted.
    pub counters: Arc<Counters>,
}

/// Bytes that may be sent now.
#[derive(Debug)]
struct Pacer {
    bytes_per_second: f64,
    credit: f64,
}

impl Pacer {
    fn new(rate_bps: f64) -> Pacer {
        Pacer { bytes_per_second: rate_bps / 8.0, credit: 0.0 }
    }

    /// `elapsed` has passed; credit is kept for one burst of `most` in any case, else a slow flow could never send one.
    fn advance(&mut self, elapsed: Duration, most: u64) {
        let limit = (self.bytes_per_second * CATCH_UP.as_secs_f64()).max(2.0 * most as f64);
        self.credit = (self.credit + self.bytes_per_second * elapsed.as_secs_f64()).min(limit);
    }

    /// Bytes to send in one piece now; `None`: not yet.
    fn due(&self, least: u64, most: u64) -> Option<u64> {
        let burst = (self.bytes_per_second * BURST.as_secs_f64()).clamp(least as f64, most.max(least) as f64);
        (self.credit >= burst).then_some(self.credit as u64)
    }

    fn spend(&mut self, bytes: u64) {
        self.credit -= bytes as f64;
    }
}

/// A thread that runs until it is told to stop, or dropped.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&flag))?;
        Ok(Running { stop, thread: Some(thread) })
    }

    /// Stops it and waits until it has ended (a few milliseconds).
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only ends by panic when one of its flows did: that panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends all flows at their rates.
///
/// # Errors
/// When no thread can be started.
pub fn send(mut flows: Vec<Flow>) -> io::Result<Running> {
    Running::start("lab-send", move |stop| {
        let mut pacers: Vec<Pacer> = flows.iter().map(|f| Pacer::new(f.rate_bps)).collect();
        let mut last = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            for (flow, pacer) in flows.iter().zip(&mut pacers) {
                pacer.advance(now - last, flow.emit.most());
            }
            last = now;
            send_what_is_due(&mut flows, &mut pacers, stop);
            std::thread::sleep(TICK.saturating_sub(now.elapsed()));
        }
    })
}

/// Sends each flow on a thread of its own, as fast as its host takes it and without regard to its rate. `emit` may block,
/// if not for long: that is how a flow is stopped.
///
/// # Errors
/// When no thread can be started.
pub fn send_blocking(flows: Vec<Flow>) -> io::Result<Vec<Running>> {
    flows.into_iter().map(|flow| Running::start("lab-block", move |stop| send_freely(flow, stop))).collect()
}

fn send_freely(mut flow: Flow, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let sent = flow.emit.emit(u64::MAX);
        let held_back = begin.elapsed() > HELD_BACK;
        match sent {
            Ok(Some(sent)) => flow.counters.count(sent.frames, sent.wire_bytes),
            // A host that refuses at once would be asked in a tight loop.
            Ok(None) if !held_back => std::thread::sleep(TICK),
            Ok(None) => {}
            Err(error) => return flow.counters.fail(&error),
        }
        if held_back || matches!(sent, Ok(None)) {
            flow.counters.blocked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One piece of each flow in turn until none is due: no flow's burst holds up the others.
fn send_what_is_due(flows: &mut Vec<Flow>, pacers: &mut Vec<Pacer>, stop: &AtomicBool) {
    let mut waiting: u64 = 0;
    loop {
        let mut sent_any = false;
        for i in (0..flows.len()).rev() {
            let flow = &mut flows[i];
            let Some(budget) = pacers[i].due(flow.emit.least(), flow.emit.most()) else { continue };
            match flow.emit.emit(budget) {
                Ok(Some(sent)) => {
                    flow.counters.count(sent.frames, sent.wire_bytes);
                    pacers[i].spend(sent.wire_bytes);
                    sent_any = true;
                }
                Ok(None) => {
                    flow.counters.blocked.fetch_add(1, Ordering::Relaxed);
                    waiting += 1;
                }
                Err(error) => {
                    flow.counters.fail(&error);
                    flows.swap_remove(i);
                    pacers.swap_remove(i);
                }
            }
        }
        if !sent_any || waiting > 0 || stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Receives until stopped. `counters` gets the error if receiving fails.
///
/// # Errors
/// When no thread can be started.
pub fn receive(mut from: Box<dyn Collect>, counters: Arc<Counters>) -> io::Result<Running> {
    Running::start("lab-receive", move |stop| {
        while !stop.load(Ordering::Relaxed) {
            match from.collect() {
                // More will come soon: reading it in one go costs less than waking for each.
                Ok(true) => std::thread::sleep(TICK),
                Ok(false) => from.wait(Duration::from_millis(20)),
                Err(error) => return counters.fail(&error),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wire {
        frame: u64,
        most: u64,
        left: u64,
    }

    impl Emit for Wire {
        fn least(&self) -> u64 {
            self.frame
        }
        fn most(&self) -> u64 {
            self.most
        }
        fn emit(&mut self, budget: u64) -> io::Result<Option<Sent>> {
            if self.left == 0 {
                return Err(io::Error::other("cable cut"));
            }
            let frames = (budget.min(self.most) / self.frame).max(1).min(self.left);
            self.left -= frames;
            Ok(Some(Sent { frames, wire_bytes: frames * self.frame }))
        }
    }

    #[test]
    fn a_pacer_keeps_its_rate_and_catches_up_only_so_far() {
        let mut pacer = Pacer::new(80_000_000.0);
        let mut sent = 0;
        for _ in 0..1000 {
            pacer.advance(TICK, 10_000);
            while let Some(budget) = pacer.due(1000, 10_000) {
                let piece = budget.min(10_000) / 1000 * 1000;
                pacer.spend(piece);
                sent += piece;
            }
        }
        assert!((9_980_000..=10_000_000).contains(&sent), "{sent} of 10 MB in a second");
        pacer.advance(Duration::from_secs(10), 10_000);
        assert!(pacer.credit <= 500_000.0, "a stall of 10 s is not made good: {}", pacer.credit);
    }

    #[test]
    fn a_slow_flow_sends_single_frames_and_a_fast_one_superframes() {
        let mut slow = Pacer::new(1_000_000.0);
        slow.advance(Duration::from_millis(13), 60_000);
        assert_eq!(slow.due(1538, 60_000), Some(1625));
        let mut fast = Pacer::new(200_000_000.0);
        fast.advance(TICK, 60_000);
        assert_eq!(fast.due(1538, 60_000), None, "25 kB are not yet what 2 ms bring");
        fast.advance(TICK, 60_000);
        assert!(fast.due(1538, 60_000).is_some());
    }

    #[test]
    fn a_flow_that_fails_ends_with_its_reason_and_the_others_go_on() {
        let counters: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
        let flow = |i: usize, left| Flow {
            emit: Box::new(Wire { frame: 1000, most: 10_000, left }),
            rate_bps: 80_000_000.0,
            counters: Arc::clone(&counters[i]),
        };
        let mut running = send(vec![flow(0, 5), flow(1, u64::MAX)]).unwrap();
        let start = Instant::now();
        while counters[1].stats().frames < 300 && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(TICK);
        }
        running.stop();
        assert_eq!(counters[0].stats().frames, 5);
        assert_eq!(counters[0].error().as_deref(), Some("cable cut"));
        assert!(counters[1].stats().frames >= 300 && counters[1].error().is_none());
        let after = counters[1].stats();
        std::thread::sleep(5 * TICK);
        assert_eq!(counters[1].stats(), after, "stopped means stopped");
    }
}
