//! A veth pair as a port, read by `AF_XDP` with one queue per priority: not reading a queue stops its senders exactly.
//!
//! ```text
//! host's end (edge::VethHost)  | switch's end
//! sockets -> queue p -> ring p | --- bell p ---> socket p -> rx
//!            wake p (if armed) | ------------> descriptor that the worker waits for
//! ```
//! The kernel never polls the switch's end by itself (`napi`). It is polled when a *bell* is rung: queue by queue, and only
//! for queues that are served. What is not served fills the ring, then stops the host's queue, then blocks its sockets.
//!
//! A queue is *hot* while it may have frames: then each `rx` rings its bell. Found empty it is armed and left alone when
//! the worker is about to sleep, or when it is empty again and again; its next frame wakes the port. A frame that was past
//! the place where the host's side looks at the flag but not yet in the ring makes no wake: therefore an armed queue is
//! looked at again after 2 ms, three times, and then about once a second.
//!
//! What must not enter: what priority a frame has (`edge::steer`).

mod bell;
mod hot;
mod memory;
mod napi;
mod open;
mod socket;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;
use nix::sys::timerfd::TimerFd;

use self::bell::Bell;
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
/// The one by which frames are sent.
const SENDING: usize = 0;
/// Frames that are taken at once.
const TX_ROOM: usize = 64;
/// A queue that was found empty so often in turn is armed though the worker looks on: a bell costs 1.6 us.
const EMPTY_MAX: u8 = 64;
/// Queues that a `tick` looks at.
const LOOKED_AT: usize = 2;
/// When frames that the host had no room for are tried again.
const TX_RETRY: Duration = Duration::from_micros(500);

/// What a veth port is to be.
#[derive(Clone, Debug)]
pub struct VethOptions {
    /// Name of the switch's end.
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

/// A queue of the switch's end.
#[derive(Debug)]
struct Queue {
    xsk: Xsk,
    bell: Bell,
}

/// An open veth port.
#[derive(Debug)]
pub struct VethPort {
    /// By priority.
    queues: Vec<Queue>,
    wake: Wake,
    timer: TimerFd,
    timer_at: Option<Instant>,
    cookie: Cookie,
    index: u32,
    /// Any socket of the switch's end's namespace.
    socket: OwnedFd,
    /// Queues that may have frames.
    hot: u8,
    /// How often hot queues were found empty in turn.
    empty: [u8; QUEUES],
    /// How often armed queues are still looked at.
    retries: [u8; QUEUES],
    /// Queues that the last `rx` was to serve.
    served: u8,
    /// Queue with which the next `rx` begins: the one behind that which used up the budget, so that all busy ones have as
    /// many.
    next: usize,
    /// Frames that were put and not yet sent.
    unsent: bool,
    guarantee: Guarantee,
    notes: Vec<String>,
    /// Frames lost on the way to us, by queue.
    dropped: [u64; QUEUES],
    /// The queue that `tick` looked at last.
    looked_at: usize,
    /// Why nothing comes any more.
    closed: Option<String>,
    counters: VethCounters,
    /// What was set up, until the port is dropped.
    setup: Option<Setup>,
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
    fn new(queues: Vec<Queue>, socket: OwnedFd, wake: Wake, setup: Setup) -> io::Result<VethPort> {
        let (index, cookie, guarantee) = (setup.index(), setup.cookie(), setup.guarantee());
        Ok(VethPort {
            queues,
            wake,
            timer: open::timer()?,
            timer_at: None,
            cookie,
            index,
            socket,
            hot: u8::MAX,
            empty: [0; QUEUES],
            retries: [0; QUEUES],
            served: u8::MAX,
            next: 0,
            unsent: false,
            guarantee,
            notes: setup.notes().to_vec(),
            dropped: [0; QUEUES],
            looked_at: 0,
            closed: None,
            counters: VethCounters::default(),
            setup: Some(setup),
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

    /// Takes frames out of a queue that is served. False: the budget has ended, or memory.
    fn drain(&mut self, queue: usize, left: &mut usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> bool {
        loop {
            while let Some(frame) = self.queues[queue].xsk.peek() {
                if *left == 0 {
                    return false;
                }
                if !Kick::is_one(frame, self.cookie) {
                    let Some(id) = arena.insert(frame, VnetHeader::default()) else { return false };
                    out.push(RxFrame { id, queue: queue as u8 });
                    *left -= 1;
                }
                self.queues[queue].xsk.take();
                self.empty[queue] = 0;
            }
            if self.hot & (1 << queue) == 0 {
                return true;
            }
            if *left == 0 {
                return false;
            }
            if self.bell(queue) {
                continue;
            }
            self.empty[queue] += 1;
            if self.empty[queue] < EMPTY_MAX || !self.arm(queue) {
                return true;
            }
        }
    }

    /// Sends what was put; what the host has no room for is tried again.
    fn send(&mut self) {
        self.unsent = !self.queues[SENDING].xsk.send();
        self.queues[SENDING].xsk.reap();
        if self.unsent || self.queues[SENDING].xsk.tx_room() < TX_ROOM {
            self.unsent = true;
            self.wake_in(TX_RETRY);
        }
    }

    fn closed(&self) -> Option<io::Error> {
        self.closed.as_ref().map(|why| io::Error::new(io::ErrorKind::NotConnected, why.clone()))
    }
}

impl Drop for VethPort {
    fn drop(&mut self) {
        let (queues, setup) = (std::mem::take(&mut self.queues), self.setup.take());
        let Some(setup) = setup else { return };
        if !setup.is_ours() {
            // What belongs to others is put back before the process may end.
            drop(queues);
            drop(setup);
            return;
        }
        // Deleting takes the kernel a tenth of a second, which a worker does not have. If the process ends meanwhile, the
        // kernel does it. If there is no thread to be had, it is done here: the closure is dropped with what it holds.
        let delete = move || {
            drop(setup);
            drop(queues);
        };
        let _ = std::thread::Builder::new().name("dcbridge-veth".to_owned()).spawn(delete);
    }
}

impl Port for VethPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus { closed: self.closed(), ..RxStatus::default() };
        if status.closed.is_some() {
            return status;
        }
        self.look(serve);
        let mut left = budget;
        let first = self.next;
        for n in 0..QUEUES {
            let queue = (first + n) % QUEUES;
            if serve & (1 << queue) != 0 && !self.drain(queue, &mut left, arena, out) {
                self.next = (queue + 1) % QUEUES;
                status.more = true;
                return status;
            }
        }
        status.restless = self.hot & serve != 0;
        status
    }

    fn doze(&mut self) -> bool {
        let mut some = false;
        for queue in 0..QUEUES {
            if self.hot & self.served & 1 << queue != 0 {
                some |= self.arm(queue);
            }
        }
        some
    }

    fn tx_room(&self) -> usize {
        self.queues[SENDING].xsk.tx_room().min(TX_ROOM)
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        if self.closed.is_some() {
            outcomes.extend(frames.iter().map(|_| TxOutcome::Refused));
            return;
        }
        let xsk = &mut self.queues[SENDING].xsk;
        outcomes.extend(frames.iter().map(|frame| {
            let taken = xsk.put(frame.head(), frame.body(arena));
            if taken { TxOutcome::Sent } else { TxOutcome::Refused }
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
            // The kernel polls it anew when it is up again; bells would not know.
            State::Present { up: false, .. } => {
                self.closed = Some("the switch's end was set down".to_owned());
            }
            State::Present { .. } => {}
        }
        if self.closed.is_some() {
            return state.link();
        }
        // Some queues each time: with many ports this is all that they cost while nothing happens.
        for _ in 0..LOOKED_AT {
            self.looked_at = (self.looked_at + 1) % QUEUES;
            if (self.served & !self.hot) & (1 << self.looked_at) != 0 {
                self.find(self.looked_at);
            }
            self.dropped[self.looked_at] = self.queues[self.looked_at].xsk.dropped();
        }
        if self.served & self.hot != 0 {
            self.wake_in(Duration::ZERO);
        }
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
        self.dropped.iter().sum()
    }
}
