//! A veth pair as a port, read by AF_XDP with one queue per priority: not reading a queue stops its senders exactly.
//!
//! ```text
//! host's end (edge::VethHost)  | switch's end
//! sockets -> queue p -> ring p | --- bell p ---> socket p -> rx
//!            wake p (if armed) | ------------> descriptor that the worker waits for
//! ```
//! The kernel never polls the switch's end by itself (`napi`). It is polled when a *bell* is rung: queue by queue, and only
//! for queues that are served. What is not served fills the ring, then stops the host's queue, then blocks its sockets.
//!
//! A queue is *hot* while it may have frames: then each `rx` rings its bell. Found empty it is armed and left alone; its
//! next frame wakes the port. A frame that was past the place where the host's side looks at the flag but not yet in
//! the ring makes no wake: therefore an armed queue is looked at again after 2 ms, three times, and then at each `tick`.
//!
//! What must not enter: what priority a frame has (`edge::steer`).

mod memory;
mod napi;
mod open;
mod socket;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerSetTimeFlags};

use self::open::Setup;
use self::socket::Xsk;
use super::interface::{self, State};
use super::{Guarantee, Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome, VnetHeader};
use crate::arena::Arena;
use crate::edge::steer::SteerSpec;
use crate::edge::{Cookie, Kick, Wake};
use crate::net::NetnsRef;

pub use open::{MTU_MAX, open};

/// Queues, one per priority.
const QUEUES: usize = 8;
/// Frames that are taken at once.
const TX_ROOM: usize = 64;
/// How often an armed queue is looked at again, and when.
const RETRIES: u8 = 3;
const RETRY: Duration = Duration::from_millis(2);
/// When frames that the host had no room for are tried again.
const TX_RETRY: Duration = Duration::from_micros(500);

/// What a veth port is to be.
#[derive(Clone, Debug)]
pub struct VethOptions {
    /// Name of the switch's end, in the calling thread's namespace.
    pub name: String,
    /// Namespace of the host's end.
    pub netns: NetnsRef,
    /// Name of the host's end.
    pub peer: String,
    /// L3 MTU in bytes, at most `MTU_MAX`.
    pub mtu: u16,
    /// Which queue the host's frames go to.
    pub steering: SteerSpec,
}

/// An open veth port.
#[derive(Debug)]
pub struct VethPort {
    xsks: Vec<Xsk>,
    wake: Wake,
    timer: TimerFd,
    timer_at: Option<Instant>,
    cookie: Cookie,
    index: u32,
    /// Any socket of the switch's end's namespace.
    socket: OwnedFd,
    /// Queues that may have frames.
    hot: u8,
    /// How often armed queues are still looked at.
    retries: [u8; QUEUES],
    /// Queues that the last `rx` was to serve.
    served: u8,
    /// Queue with which the next `rx` begins: another one each time, so that a busy one does not use up every budget.
    next: usize,
    /// Frames that were put and not yet sent.
    unsent: bool,
    was_down: bool,
    guarantee: Guarantee,
    notes: Vec<String>,
    /// Frames lost on the way to us, those of closed sockets first.
    dropped: (u64, u64),
    /// Why nothing comes any more.
    closed: Option<String>,
    counters: VethCounters,
    /// Last: what was set up is undone when no socket is left.
    setup: Setup,
}

/// What a veth port has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VethCounters {
    /// Times that a queue was polled.
    pub bells: u64,
    /// Times that a queue was found empty and armed.
    pub dozes: u64,
    /// Wakes by a frame towards an armed queue.
    pub wakes: u64,
    /// Frames found in an armed queue that had made no wake.
    pub found: u64,
}

impl VethPort {
    fn new(xsks: Vec<Xsk>, wake: Wake, setup: Setup) -> io::Result<VethPort> {
        let (index, cookie, guarantee) = (setup.index(), setup.cookie(), setup.guarantee());
        Ok(VethPort {
            xsks,
            wake,
            timer: open::timer()?,
            timer_at: None,
            cookie,
            index,
            socket: open::any_socket()?,
            hot: u8::MAX,
            retries: [0; QUEUES],
            served: u8::MAX,
            next: 0,
            unsent: false,
            was_down: false,
            guarantee,
            notes: setup.notes().to_vec(),
            dropped: (0, 0),
            closed: None,
            counters: VethCounters::default(),
            setup,
        })
    }

    /// What a person should know about how the port was opened.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What it has done.
    pub fn counters(&self) -> VethCounters {
        self.counters
    }

    fn bell(&mut self, queue: usize) -> bool {
        self.counters.bells += 1;
        self.xsks[queue].bell()
    }

    /// Leaves a queue that was found empty until its next frame. True: there is one already.
    fn doze(&mut self, queue: usize) -> bool {
        self.counters.dozes += 1;
        self.wake.arm(queue as u8);
        if self.bell(queue) {
            self.wake.disarm(queue as u8);
            return true;
        }
        self.hot &= !(1 << queue);
        self.retries[queue] = RETRIES;
        self.wake_in(RETRY);
        false
    }

    /// Lets `rx` be called after `delay`, or earlier.
    fn wake_in(&mut self, delay: Duration) {
        if self.timer_at.is_some() {
            return;
        }
        self.timer_at = Some(Instant::now() + delay);
        let delay = delay.max(Duration::from_nanos(1));
        // It only fails for times that are none.
        let _ = self.timer.set(Expiration::OneShot(TimeSpec::from(delay)), TimerSetTimeFlags::empty());
    }

    /// Finds out which queues have become hot.
    fn look(&mut self, serve: u8) {
        // Queues that were not served may have anything.
        self.hot |= serve & !self.served;
        self.served = serve;
        let mut woken = 0;
        for queue in 0..QUEUES as u8 {
            let bit = 1 << queue;
            if self.hot & bit == 0 && !self.wake.is_armed(queue) {
                woken |= bit;
                self.counters.wakes += 1;
            }
        }
        if woken != 0 {
            self.hot |= woken;
            self.wake.hear();
        }
        if self.timer_at.is_some_and(|at| at <= Instant::now()) {
            self.timer_at = None;
            self.retry();
        }
    }

    /// The timer has ended: looks at armed queues again, and sends what was left.
    fn retry(&mut self) {
        let mut again = false;
        for queue in 0..QUEUES {
            let bit = 1 << queue;
            if self.hot & bit != 0 || self.retries[queue] == 0 || self.served & bit == 0 {
                continue;
            }
            self.retries[queue] -= 1;
            again |= self.retries[queue] > 0;
            self.find(queue);
        }
        if again {
            self.wake_in(RETRY);
        }
        if self.unsent {
            self.send();
        }
    }

    /// Looks into a queue that is armed.
    fn find(&mut self, queue: usize) {
        if self.bell(queue) {
            self.counters.found += 1;
            self.hot |= 1 << queue;
        }
    }

    /// Takes frames out of a queue that is served. False: the budget has ended, or memory.
    fn drain(&mut self, queue: usize, left: &mut usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> bool {
        loop {
            while let Some(frame) = self.xsks[queue].peek() {
                if *left == 0 {
                    return false;
                }
                if !Kick::is_one(frame, self.cookie) {
                    let Some(id) = arena.insert(frame, VnetHeader::default()) else { return false };
                    out.push(RxFrame { id, queue: queue as u8 });
                    *left -= 1;
                }
                self.xsks[queue].take();
            }
            if self.hot & (1 << queue) == 0 {
                return true;
            }
            if *left == 0 {
                return false;
            }
            if !self.bell(queue) && !self.doze(queue) {
                return true;
            }
        }
    }

    /// Sends what was put; what the host has no room for is tried again.
    fn send(&mut self) {
        self.unsent = !self.xsks[0].send();
        self.xsks[0].reap();
        if self.unsent || self.xsks[0].tx_room() < TX_ROOM {
            self.unsent = true;
            self.wake_in(TX_RETRY);
        }
    }

    /// The switch's end was set down and up again: the kernel polls it anew, which the sockets must learn.
    fn revive(&mut self) {
        self.dropped.0 += self.dropped.1;
        self.xsks.clear();
        match self.setup.sockets() {
            Ok(xsks) => {
                self.xsks = xsks;
                self.hot = u8::MAX;
                self.unsent = false;
            }
            Err(error) => self.closed = Some(error.to_string()),
        }
    }

    fn closed(&self) -> Option<io::Error> {
        self.closed.as_ref().map(|why| io::Error::new(io::ErrorKind::NotConnected, why.clone()))
    }
}

impl Port for VethPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus { closed: self.closed(), ..RxStatus::default() };
        if status.closed.is_some() || self.was_down {
            return status;
        }
        self.look(serve);
        let mut left = budget;
        let first = self.next;
        self.next = (first + 1) % QUEUES;
        for n in 0..QUEUES {
            let queue = (first + n) % QUEUES;
            if serve & (1 << queue) != 0 && !self.drain(queue, &mut left, arena, out) {
                status.more = true;
                return status;
            }
        }
        status
    }

    fn tx_room(&self) -> usize {
        self.xsks.first().map_or(0, |xsk| xsk.tx_room().min(TX_ROOM))
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        let Some(xsk) = self.xsks.first_mut().filter(|_| self.closed.is_none() && !self.was_down) else {
            outcomes.extend(frames.iter().map(|_| TxOutcome::Refused));
            return;
        };
        outcomes.extend(frames.iter().map(|frame| {
            if xsk.put(frame.head(), frame.body(arena)) { TxOutcome::Sent } else { TxOutcome::Refused }
        }));
        self.send();
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        if self.closed.is_none() {
            for fd in [self.wake.as_raw_fd(), self.timer.as_fd().as_raw_fd()] {
                out.push(Interest { fd, read: true, write: false });
            }
        }
    }

    fn tick(&mut self) -> Link {
        let state = interface::state(self.socket.as_fd(), self.index);
        match state {
            State::Gone => self.closed = Some(interface::GONE.to_owned()),
            State::Present { up: false, .. } => self.was_down = true,
            State::Present { up: true, .. } if self.was_down => {
                self.was_down = false;
                self.revive();
            }
            State::Present { .. } => {}
        }
        if self.closed.is_some() || self.was_down {
            return state.link();
        }
        for queue in 0..QUEUES {
            if (self.served & !self.hot) & (1 << queue) != 0 {
                self.find(queue);
            }
        }
        if self.served & self.hot != 0 {
            self.wake_in(Duration::ZERO);
        }
        self.dropped.1 = self.xsks.iter().map(Xsk::dropped).sum();
        state.link()
    }

    fn offload(&self) -> bool {
        false
    }

    fn rx_queues(&self) -> u8 {
        QUEUES as u8
    }

    fn set_gate(&mut self, priority: Priority, open: bool) {
        let bit = 1 << priority.get();
        if open {
            // What came while it was closed made no wake.
            self.hot |= bit;
            self.wake_in(Duration::ZERO);
        } else {
            self.served &= !bit;
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    fn host_edge_drops(&self) -> u64 {
        self.dropped.0 + self.dropped.1
    }
}
