//! A port whose other end is in this process: two bounded queues. For tests, and for hosts made of smoltcp.

mod smoltcp;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome, VnetHeader};
use crate::arena::{Arena, MAX_FRAME};

/// A frame in one of the queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryFrame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its offload header; all zero for a plain frame.
    pub vnet: VnetHeader,
}

/// What a memory port is to be.
#[derive(Clone, Copy, Debug)]
pub struct MemoryOptions {
    /// Frames that each direction holds.
    pub capacity: usize,
    /// Superframes and unfinished checksums may pass.
    pub offload: bool,
    /// L3 MTU in bytes, for hosts that ask.
    pub mtu: u16,
}

impl Default for MemoryOptions {
    fn default() -> MemoryOptions {
        MemoryOptions { capacity: 256, offload: false, mtu: 1500 }
    }
}

#[derive(Debug)]
struct Shared {
    options: MemoryOptions,
    to_port: Mutex<VecDeque<MemoryFrame>>,
    to_peer: Mutex<VecDeque<MemoryFrame>>,
    /// Readable: the port has something to do.
    wake_port: EventFd,
    /// Readable: the peer has something to take, or room.
    wake_peer: EventFd,
    up: AtomicBool,
    port_gone: AtomicBool,
    peer_gone: AtomicBool,
}

type Queue<'a> = MutexGuard<'a, VecDeque<MemoryFrame>>;

/// A thread that panicked while it held the queue left it whole: pushes and pops don't fail halfway.
fn lock(queue: &Mutex<VecDeque<MemoryFrame>>) -> Queue<'_> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(event: &EventFd) {
    // Fails only when the counter is at its end, and then it is readable.
    let _ = event.write(1);
}

fn clear(event: &EventFd) {
    // Fails when it was clear.
    let _ = event.read();
}

/// The end that the switch has.
#[derive(Debug)]
pub struct MemoryPort {
    shared: Arc<Shared>,
}

/// The end that a test or an in-process host has; it may be used from another thread.
#[derive(Debug)]
pub struct MemoryPeer {
    shared: Arc<Shared>,
}

/// Makes a port and its other end.
///
/// # Errors
/// When the process has no descriptor left.
pub fn pair(options: MemoryOptions) -> io::Result<(MemoryPort, MemoryPeer)> {
    let event = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
    let shared = Arc::new(Shared {
        options,
        to_port: Mutex::default(),
        to_peer: Mutex::default(),
        wake_port: event()?,
        wake_peer: event()?,
        up: AtomicBool::new(true),
        port_gone: AtomicBool::new(false),
        peer_gone: AtomicBool::new(false),
    });
    Ok((MemoryPort { shared: Arc::clone(&shared) }, MemoryPeer { shared }))
}

impl MemoryPeer {
    /// Sends a plain frame into the switch; false: the queue is full or the port is gone.
    pub fn send(&self, frame: &[u8]) -> bool {
        self.inject(MemoryFrame { bytes: frame.to_vec(), vnet: VnetHeader::default() })
    }

    /// Sends a frame with its offload header into the switch; false: the queue is full or the port is gone.
    pub fn inject(&self, frame: MemoryFrame) -> bool {
        let shared = &self.shared;
        let mut queue = lock(&shared.to_port);
        if queue.len() >= shared.options.capacity || shared.port_gone.load(Ordering::Acquire) {
            return false;
        }
        queue.push_back(frame);
        drop(queue);
        wake(&shared.wake_port);
        true
    }

    /// Frames that may be sent now.
    pub fn room(&self) -> usize {
        self.shared.options.capacity - lock(&self.shared.to_port).len()
    }

    /// Takes the next frame that the switch sent.
    pub fn take(&self) -> Option<MemoryFrame> {
        let shared = &self.shared;
        clear(&shared.wake_peer);
        let mut queue = lock(&shared.to_peer);
        let was_full = queue.len() >= shared.options.capacity;
        let frame = queue.pop_front();
        let more = !queue.is_empty();
        drop(queue);
        if more {
            wake(&shared.wake_peer);
        }
        if was_full {
            wake(&shared.wake_port);
        }
        frame
    }

    /// Waits until a frame can be taken, or there is room again, or `patience` is over; false: it was over.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, timeout).is_ok_and(|n| n > 0)
    }

    /// Sets the link up or down, as one pulls a cable.
    pub fn set_link(&self, up: bool) {
        self.shared.up.store(up, Ordering::Release);
        wake(&self.shared.wake_port);
    }
}

/// Readable when a frame can be taken or there is room again.
impl AsFd for MemoryPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake_peer.as_fd()
    }
}

impl Drop for MemoryPeer {
    fn drop(&mut self) {
        self.shared.peer_gone.store(true, Ordering::Release);
        wake(&self.shared.wake_port);
    }
}

impl Drop for MemoryPort {
    fn drop(&mut self) {
        self.shared.port_gone.store(true, Ordering::Release);
        wake(&self.shared.wake_peer);
    }
}

impl MemoryPort {
    fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire) && !self.shared.peer_gone.load(Ordering::Acquire)
    }
}

impl Port for MemoryPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let shared = &self.shared;
        let mut status = RxStatus::default();
        if serve & 1 == 0 {
            return status;
        }
        // Before looking: what comes after this wakes us again.
        clear(&shared.wake_port);
        let gone = shared.peer_gone.load(Ordering::Acquire);
        let mut queue = lock(&shared.to_port);
        let was_full = queue.len() >= shared.options.capacity;
        for _ in 0..budget {
            let Some(frame) = queue.front() else { break };
            if frame.bytes.len() > MAX_FRAME {
                status.lost += 1;
            } else if let Some(id) = arena.insert(&frame.bytes, frame.vnet) {
                out.push(RxFrame { id, queue: 0 });
            } else {
                break;
            }
            queue.pop_front();
        }
        status.more = !queue.is_empty();
        let room_again = was_full && queue.len() < shared.options.capacity;
        drop(queue);
        if room_again {
            wake(&shared.wake_peer);
        }
        if gone && !status.more {
            status.closed = Some(io::ErrorKind::ConnectionAborted.into());
        }
        status
    }

    fn tx_room(&self) -> usize {
        self.shared.options.capacity.saturating_sub(lock(&self.shared.to_peer).len())
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        let up = self.is_up();
        let mut queue = lock(&self.shared.to_peer);
        for frame in frames {
            if !up || queue.len() >= self.shared.options.capacity {
                outcomes.push(TxOutcome::Refused);
                continue;
            }
            let bytes = [frame.head(), frame.body(arena)].concat();
            queue.push_back(MemoryFrame { bytes, vnet: frame.vnet });
            outcomes.push(TxOutcome::Sent);
        }
        drop(queue);
        wake(&self.shared.wake_peer);
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        out.push(Interest { fd: self.shared.wake_port.as_fd().as_raw_fd(), read: true, write: false });
    }

    fn tick(&mut self) -> Link {
        if self.shared.peer_gone.load(Ordering::Acquire) {
            return Link::Down("the other end has ended".to_owned());
        }
        if self.is_up() { Link::Up } else { Link::Down("the other end has set the link down".to_owned()) }
    }

    fn offload(&self) -> bool {
        self.shared.options.offload
    }
}

#[cfg(test)]
mod tests;
