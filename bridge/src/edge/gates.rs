//! The thread that opens and closes the gates of one port.
//!
//! A change takes the kernel's lock of all network settings, which others may hold for milliseconds (somebody makes a
//! namespace). The data path must not wait for that: it writes down which gates it wants open and wakes this thread.
//! Wishes that change faster than they can be granted are skipped; the last one counts.
//!
//! What must not enter: when a gate is to close.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;

use super::clamp::Clamp;
use super::kick::{Cookie, Kick};
use super::netlink::Message;
use super::packet::PacketSocket;

/// How often the interface's drops are looked at while frames come: an idle interface drops nothing, and wakes nobody.
const LOOK: Duration = Duration::from_millis(300);
/// Enough for what the thread calls; many ports, little memory.
const STACK: usize = 128 * 1024;
const ALL: u8 = u8::MAX;

const RTM_GETSTATS: u16 = 94;
/// Length of `struct if_stats_msg`.
const STATS_HEADER: usize = 12;
const LINK_64: u16 = 1;
/// Where `tx_dropped` is in `struct rtnl_link_stats64`.
const TX_DROPPED: usize = 7 * 8;

#[derive(Debug, Default)]
struct Shared {
    wanted: AtomicU8,
    applied: AtomicU8,
    ended: AtomicBool,
    /// Frames came since the drops were looked at.
    stirred: AtomicBool,
    failed: AtomicBool,
    drops: AtomicU64,
    changes: AtomicU64,
    busy_ns: AtomicU64,
    slowest_ns: AtomicU64,
}

/// What gate changes have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Gates opened or closed.
    pub changes: u64,
    /// The thread's time for all of them, the kick included.
    pub total: Duration,
    /// The longest one.
    pub slowest: Duration,
}

/// The gates of a port, bit n: that of priority n.
#[derive(Debug)]
pub struct Gates {
    shared: Arc<Shared>,
    wanted: u8,
    thread: Option<JoinHandle<Clamp>>,
}

impl Gates {
    pub(super) fn start(clamp: Clamp, hand: Hand) -> io::Result<Gates> {
        let shared = Arc::new(Shared::default());
        shared.wanted.store(ALL, Ordering::Relaxed);
        shared.applied.store(ALL, Ordering::Relaxed);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("dcbridge-gates".to_owned())
            .stack_size(STACK)
            .spawn(move || run(&theirs, clamp, &hand))?;
        Ok(Gates { shared, wanted: ALL, thread: Some(thread) })
    }

    /// Wants exactly these gates open. Does not wait.
    pub fn set(&mut self, open: u8) {
        if open == self.wanted {
            return;
        }
        self.wanted = open;
        self.shared.wanted.store(open, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Frames came: in a moment the interface's drops are looked at.
    pub fn stir(&self) {
        if self.shared.stirred.load(Ordering::Relaxed) {
            return;
        }
        self.shared.stirred.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Which gates are open.
    pub fn open(&self) -> u8 {
        self.shared.applied.load(Ordering::Acquire)
    }

    /// The kernel has refused a change: somebody has changed the interface's queueing, or it is gone.
    pub fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Frames that the host's side has dropped since the port was opened.
    pub fn drops(&self) -> u64 {
        self.shared.drops.load(Ordering::Relaxed)
    }

    /// What the changes so far have cost.
    pub fn cost(&self) -> Cost {
        Cost {
            changes: self.shared.changes.load(Ordering::Relaxed),
            total: Duration::from_nanos(self.shared.busy_ns.load(Ordering::Relaxed)),
            slowest: Duration::from_nanos(self.shared.slowest_ns.load(Ordering::Relaxed)),
        }
    }

    /// Ends the thread and answers the clamp; `None`: ended already.
    pub(super) fn end(&mut self) -> Option<Clamp> {
        let thread = self.thread.take()?;
        self.shared.ended.store(true, Ordering::Release);
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for Gates {
    fn drop(&mut self) {
        self.end();
    }
}

/// What wakes the queues of an interface, and the interface's number.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) socket: PacketSocket,
    pub(super) kicks: [Kick; 8],
    pub(super) index: u32,
}

impl Hand {
    pub(super) fn new(index: u32, cookie: Cookie) -> io::Result<Hand> {
        let kicks = std::array::from_fn(|p| Kick::new(cookie, Priority::new(p as u8)));
        Ok(Hand { socket: PacketSocket::open(index)?, kicks, index })
    }

    /// Opens or closes one gate; what waits behind one that opens goes on at once.
    pub(super) fn change(&self, clamp: &Clamp, priority: Priority, open: bool) -> io::Result<()> {
        clamp.set(priority, open)?;
        if open {
            // Without it the queue goes on when its own timer ends; on an interface that is down nothing waits.
            let _ = self.socket.send(&self.kicks[priority.index()]);
        }
        Ok(())
    }
}

/// Lets the calling thread run as soon as it is woken, before all ordinary work: what it does is short, and the host
/// sends until it is done. One step above a worker that may have asked for the same. Without the right to do so (`CAP_SYS_NICE`) it takes its turn.
fn hurry() {
    let priority = libc::sched_param { sched_priority: 2 };
    // SAFETY: the parameters outlive the call; it changes an attribute of the calling thread only.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
}

fn run(shared: &Shared, clamp: Clamp, hand: &Hand) -> Clamp {
    hurry();
    let before = tx_dropped(&clamp, hand.index).unwrap_or(0);
    let mut look_at = None;
    while !shared.ended.load(Ordering::Acquire) {
        apply(shared, &clamp, hand);
        if !shared.stirred.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        let now = Instant::now();
        let due = *look_at.get_or_insert(now + LOOK);
        if now < due {
            std::thread::park_timeout(due - now);
            continue;
        }
        look_at = None;
        // Before looking: what comes from now on is looked at once more.
        shared.stirred.store(false, Ordering::Release);
        if let Ok(drops) = tx_dropped(&clamp, hand.index) {
            shared.drops.store(drops.saturating_sub(before), Ordering::Relaxed);
        }
    }
    clamp
}

/// Changes gates until all are as wanted, those that are to close first.
fn apply(shared: &Shared, clamp: &Clamp, hand: &Hand) {
    loop {
        let (wanted, applied) =
            (shared.wanted.load(Ordering::Acquire), shared.applied.load(Ordering::Relaxed));
        let (close, open) = (applied & !wanted, wanted & !applied);
        let which = if close != 0 { close } else { open };
        if which == 0 {
            return;
        }
        let priority = Priority::new(which.trailing_zeros() as u8);
        let begin = Instant::now();
        if let Err(error) = hand.change(clamp, priority, close == 0)
            && !shared.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %error,
                interface = hand.index,
                "a gate of the host can't be changed any more: its queueing was changed or it is gone"
            );
        }
        let took = begin.elapsed().as_nanos() as u64;
        shared.applied.store(applied ^ 1 << priority.get(), Ordering::Release);
        shared.changes.fetch_add(1, Ordering::Relaxed);
        shared.busy_ns.fetch_add(took, Ordering::Relaxed);
        shared.slowest_ns.fetch_max(took, Ordering::Relaxed);
    }
}

/// Frames that the interface has dropped on their way to us.
fn tx_dropped(clamp: &Clamp, index: u32) -> io::Result<u64> {
    let mut fixed = vec![0; 4];
    fixed.extend(index.to_ne_bytes());
    fixed.extend((1u32 << (LINK_64 - 1)).to_ne_bytes());
    let mut dropped = None;
    clamp.netlink().ask(&Message::new(RTM_GETSTATS, 0, &fixed), |answer| {
        let counters = answer.parts(STATS_HEADER).and_then(|(_, mut a)| a.find(|&(kind, _)| kind == LINK_64));
        let at = counters.and_then(|(_, value)| value.get(TX_DROPPED..TX_DROPPED + 8));
        dropped = at.and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    })?;
    dropped.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
