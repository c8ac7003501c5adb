//! A TAP interface as a port: non-blocking reads and writes of one frame or superframe each.
//!
//! The interface belongs to its administrator: it may be renamed, moved to another namespace, set down or deleted under
//! us. All of that is seen through the descriptor alone, so no privilege is needed after opening.

mod holder;
mod lossless;
mod open;
mod receive;
mod send;
mod steering;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use dcbridge_config::PrioritySet;
use dcbridge_scheduler::Priority;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ring::RingFile;
use super::{Guarantee, Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome, sys};
use crate::arena::Arena;
use crate::edge::HostEdge;
use crate::edge::steer::Mark;
use crate::net::NetnsRef;
use lossless::Lossless;

pub use open::open;

/// Frames that are taken at once. A TAP write never waits, so any number is safe; a bound keeps a turn short.
const TX_ROOM: usize = 256;
/// Frames after which the guard of the rings is told at the latest which of them are not empty.
const TELL_AFTER: u8 = 16;
const DELETED: &str = "the interface was deleted";

/// What a TAP port is to be.
#[derive(Clone, Debug)]
pub struct TapOptions {
    /// Name of the interface, 1 to 15 ASCII characters.
    pub name: String,
    /// Namespace in which it is or will be.
    pub netns: NetnsRef,
    /// L3 MTU in bytes.
    pub mtu: u16,
    /// Superframes and unfinished checksums may pass.
    pub offload: bool,
    /// Receive queues, 1 to 8, when they are not `by_priority`. With one, order holds across all flows.
    pub queues: u8,
    /// Ring of the interface in frames; `None`: 4096 for one that is made here, unchanged for one that existed; with
    /// gates as long as the line rate needs.
    pub txqueuelen: Option<u32>,
    /// Eight queues, one per priority, each with a gate by which the host can be paused if some priority is lossless.
    /// Where that is not possible there is one queue, and a note if a gate was wanted.
    pub by_priority: Option<ByPriority>,
}

/// How the frames of a TAP's host are told apart by priority, and paused.
#[derive(Clone, Debug)]
pub struct ByPriority {
    /// Priorities that will be paused. If there is none, there are queues and no gates.
    pub lossless: PrioritySet,
    /// Marks by which the host's frames are told apart, first match first.
    pub trust: Vec<Mark>,
    /// PCP -> priority.
    pub pcp_map: [Priority; 8],
    /// DSCP -> priority.
    pub dscp_map: [Priority; 64],
    /// Priority of frames without a mark.
    pub default: Priority,
    /// Bits per second that the port takes; `None`: unlimited.
    pub line_rate: Option<u64>,
    /// Directory in which changes to an interface that existed are written down.
    pub journal: PathBuf,
}

/// An open TAP.
#[derive(Debug)]
pub struct TapPort {
    /// In the kernel's order: a steering program that answers n means the n-th.
    queues: Vec<RingFile>,
    offload: bool,
    notes: Vec<String>,
    /// Gates, if there is a queue per priority.
    lossless: Option<Lossless>,
    /// The kernel chooses the queue by our program.
    steered: bool,
    /// Queues that became ready, or were found to have something, and were not found empty since.
    found: u8,
    /// Frames until the guard is told again, and how many it was the last time: the longer there is always something, the
    /// longer, since to tell it costs a look at the clock.
    tell_in: u8,
    stride: u8,
    /// Frames that are expected in each queue: as many are read by one call.
    expected: [u8; 8],
    /// Queue with which the next `rx` begins: the one behind that which used up the budget, so that all busy ones have as
    /// many.
    next: usize,
    /// `rx` has said that the interface is gone.
    closed: bool,
}

impl TapPort {
    fn new(queues: Vec<File>, offload: bool, notes: Vec<String>) -> TapPort {
        TapPort {
            queues: queues.into_iter().map(RingFile::from).collect(),
            offload,
            notes,
            lossless: None,
            steered: false,
            found: 0,
            tell_in: 0,
            stride: 0,
            expected: [0; 8],
            next: 0,
            closed: false,
        }
    }

    /// What a person should know about how the port was opened.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The host's side, if it can be paused.
    pub fn edge(&self) -> Option<&HostEdge> {
        self.lossless.as_ref().map(Lossless::edge)
    }

    /// Kicks that have come back.
    pub fn kicks(&self) -> u64 {
        self.lossless.as_ref().map_or(0, Lossless::kicks)
    }

    /// The descriptors, one per queue, for a caller that moves frames by itself.
    pub fn into_queues(mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.queues).into_iter().map(|queue| File::from(queue).into()).collect()
    }

    /// Finds out which queues have something to read, if nothing is known of any in `serve`.
    fn look(&mut self, serve: u8) {
        if self.queues.len() == 1 {
            self.found = 1;
        } else if self.found & serve == 0 {
            self.find(self.waiting());
        }
    }

    /// Queues have something to read.
    fn find(&mut self, queues: u8) {
        if queues & !self.found != 0 {
            self.found |= queues;
            (self.tell_in, self.stride) = (0, 0);
        }
    }

    /// Queues that may have something to read.
    fn waiting(&self) -> u8 {
        // One call for all of them: an attempt to read from each empty one would cost more than the frames.
        let first = self.queues[0].as_fd();
        let mut fds: [PollFd<'_>; 8] = std::array::from_fn(|n| {
            PollFd::new(self.queues.get(n).map_or(first, |queue| queue.as_fd()), PollFlags::POLLIN)
        });
        let fds = &mut fds[..self.queues.len()];
        if poll(fds, PollTimeout::ZERO).is_err() {
            return u8::MAX;
        }
        let ready = |fd: &PollFd| fd.revents().is_none_or(|found| !found.is_empty());
        fds.iter().enumerate().fold(0, |set, (n, fd)| set | u8::from(ready(fd)) << n)
    }

    /// What a failed read means.
    fn gone(&self, error: io::Error) -> io::Error {
        match self.link() {
            Link::Down(why) if why == DELETED => io::Error::new(io::ErrorKind::NotConnected, why),
            _ => error,
        }
    }

    /// One poll: a TAP that is up can be written to, one that is set down can't, one that is gone reports an error.
    fn link(&self) -> Link {
        let queue = self.queues[0].as_fd();
        let mut fds = [PollFd::new(queue, PollFlags::POLLOUT)];
        let found = match poll(&mut fds, PollTimeout::ZERO) {
            Ok(_) => fds[0].revents().unwrap_or(PollFlags::empty()),
            Err(_) => PollFlags::empty(),
        };
        if found.contains(PollFlags::POLLERR) {
            return Link::Down(DELETED.to_owned());
        }
        if found.contains(PollFlags::POLLOUT) {
            return Link::Up;
        }
        Link::Down(match sys::interface(queue) {
            Ok((name, _)) => format!("the interface is set down (ip link set dev {name} up)"),
            Err(_) => DELETED.to_owned(),
        })
    }
}

impl Drop for TapPort {
    fn drop(&mut self) {
        if let (Some(queue), true) = (self.queues.first(), self.steered) {
            // An interface that outlives us would keep the program; one that is gone can't be told.
            let _ = sys::set_steering(queue.as_fd(), None);
        }
    }
}

impl Port for TapPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus::default();
        if self.closed {
            status.closed = Some(self.gone(io::ErrorKind::NotConnected.into()));
            return status;
        }
        let mut budget = budget;
        let count = self.queues.len();
        let first = self.next;
        self.look(serve);
        let mut news = self.found & serve == 0;
        for queue in (0..count).map(|n| (first + n) % count) {
            if self.found & serve & 1 << queue == 0 {
                continue;
            }
            if self.drain(queue, &mut budget, arena, out, &mut status) {
                self.found &= !(1 << queue);
                news = true;
            }
            if status.more || status.closed.is_some() {
                self.next = (queue + 1) % count;
                break;
            }
        }
        if let Some(lossless) = self.lossless.as_mut().filter(|_| news || self.tell_in == 0) {
            self.stride = if news { 1 } else { (2 * self.stride).clamp(1, TELL_AFTER) };
            self.tell_in = self.stride;
            lossless.read(self.found);
        }
        status
    }

    fn tx_room(&self) -> usize {
        TX_ROOM
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        send::send(&self.queues[0], self.offload, frames, arena, outcomes);
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        if !self.closed {
            out.extend(self.queues.iter().map(|q| Interest {
                fd: q.as_fd().as_raw_fd(),
                read: true,
                write: false,
            }));
        }
    }

    fn ready(&mut self, n: usize) {
        if n < self.queues.len() {
            self.find(1 << n);
        }
    }

    fn tick(&mut self) -> Link {
        self.link()
    }

    fn offload(&self) -> bool {
        self.offload
    }

    fn rx_queues(&self) -> u8 {
        self.queues.len() as u8
    }

    fn set_gate(&mut self, priority: Priority, open: bool) {
        if let Some(lossless) = &mut self.lossless {
            // It opens when its ring was found empty, so that has to be read.
            self.found |= u8::from(open) << priority.get();
            lossless.set_gate(priority, open);
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.lossless.as_ref().map_or(Guarantee::None, Lossless::guarantee)
    }

    fn host_edge_drops(&self) -> u64 {
        self.lossless.as_ref().map_or(0, |lossless| lossless.edge().gates_state().drops())
    }
}
