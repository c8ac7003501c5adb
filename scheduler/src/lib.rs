//! The scheduler: deterministic; no sockets, no clock, no threads; time arrives as `now`.
//!
//! It knows frames by number and shape, never by content. The switch offers copies to (port, priority) queues; the
//! scheduler admits or refuses them by the shared buffer's thresholds, and grants pieces to ports by strict priority,
//! ETS, minimum and maximum rates and the line rate.
//!
//! What must not enter: bytes of frames, addresses, configuration files, I/O.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod buffer;
pub mod config;
mod drr;
mod ets;
pub mod headroom;
pub mod ids;
mod lending;
pub mod pfc;
mod port;
mod queue;
mod shaper;
pub mod time;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use buffer::GroupUse;
pub use config::{ClassConfig, ClassTable, GroupConfig, PortConfig, QueueConfig, QueueLimit, Tsa};
pub use ets::{CUT, LARGEST_CUT};
pub use ids::{FrameId, PortId, Priority};
pub use lending::Loan;
pub use port::{Backlog, Grant};
pub use queue::Shape;
pub use time::{Rate, Time, wire_bytes};

use buffer::Buffer;
use port::Port;
use queue::Slab;

/// A copy of a frame on its way into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The frame.
    pub id: FrameId,
    /// Where it came in.
    pub ingress: PortId,
    /// Priority on arrival: with `ingress` its priority group.
    pub arrival: Priority,
    /// Priority it goes on with: the queue.
    pub priority: Priority,
    /// Cells of the buffer that the frame occupies.
    pub cells: u16,
    /// Its segments.
    pub shape: Shape,
}

/// Why a copy was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue is at its limit.
    QueueFull,
    /// The shared buffer is full.
    BufferFull,
    /// A lossless priority group has used up its headroom: it was too small, or the sender did not pause.
    HeadroomFull,
}

/// Occupancy of the shared buffer, in cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Size.
    pub size: u32,
    /// Now.
    pub used: u32,
    /// At most so far.
    pub peak: u32,
}

/// All egress queues of a switch, and its buffer.
pub struct Scheduler {
    ports: Vec<Port>,
    slab: Slab,
    buffer: Buffer,
    /// Copies that may still be lent to other schedulers.
    lendable: u32,
}

impl Scheduler {
    /// A scheduler with a buffer of `cells` for frames numbered below `frames`.
    pub fn new(ports: &[PortConfig], cells: u32, frames: usize) -> Scheduler {
        Scheduler::with_share(ports, cells, cells, frames)
    }

    /// One of several schedulers of a switch, with its `share` of the buffer of `cells`: it may have all that is in the
    /// buffer in its queues (see `borrowed`).
    pub fn with_share(ports: &[PortConfig], share: u32, cells: u32, frames: usize) -> Scheduler {
        let queues = ports.len() * Priority::COUNT;
        Scheduler {
            ports: ports.iter().enumerate().map(|(i, c)| Port::new(PortId(i as u16), c)).collect(),
            // A flood makes several entries of one frame: room for two for each cell.
            slab: Slab::new(2 * cells as usize, queues),
            buffer: Buffer::new(share, frames, queues),
            lendable: 2 * share,
        }
    }

    /// Replaces a port's settings. What is queued stays; new thresholds bind new frames only.
    pub fn configure(&mut self, port: PortId, config: &PortConfig) {
        self.ports[port.index()].configure(config);
    }

    /// Queues a copy at `port`.
    ///
    /// # Errors
    /// Why it was refused; nothing was charged then.
    #[inline]
    pub fn enqueue(&mut self, port: PortId, meta: &Meta, now: Time) -> Result<(), Refused> {
        self.check_limit(port, meta)?;
        if self.slab.is_exhausted() {
            return Err(Refused::BufferFull);
        }
        self.buffer.hold(meta.id, meta.cells, group(meta.ingress, meta.arrival))?;
        self.ports[port.index()].push(&mut self.slab, meta, now);
        Ok(())
    }

    /// Whether the limit of a queue at `port` lets a copy in.
    #[inline]
    fn check_limit(&self, port: PortId, meta: &Meta) -> Result<(), Refused> {
        let full = self.ports[port.index()].is_full(meta.priority, meta.cells, self.buffer.shared_free());
        if full && !self.is_limited_at_ingress(meta) {
            self.buffer.fits(meta.id, meta.cells, group(meta.ingress, meta.arrival))?;
            return Err(Refused::QueueFull);
        }
        Ok(())
    }

    /// What is lossless is limited where it comes in, by pausing its sender (802.1Q 36), and by no queue.
    fn is_limited_at_ingress(&self, meta: &Meta) -> bool {
        meta.arrival == meta.priority && self.group_config(meta.ingress, meta.arrival).is_some()
    }

    /// The next piece for `port`, if its line is free and something may go. Each grant whose `last` is set must be
    /// answered by `sent`.
    #[inline]
    pub fn poll(&mut self, port: PortId, now: Time) -> Option<Grant> {
        self.ports[port.index()].poll(&mut self.slab, now)
    }

    /// The last piece of a copy has left (or was lost): `true` when nobody needs the frame any more.
    #[must_use]
    #[inline]
    pub fn sent(&mut self, id: FrameId) -> bool {
        self.buffer.release(id)
    }

    /// Takes the first frame, or what is left of it, out of a queue without sending it. Like a grant, it must be
    /// answered by `sent`.
    pub fn discard(&mut self, port: PortId, priority: Priority) -> Option<Grant> {
        self.ports[port.index()].discard(&mut self.slab, priority)
    }

    /// Takes out the first frame of a queue of `port` that has waited longer than its class allows. Like a grant, it
    /// must be answered by `sent`.
    #[inline]
    pub fn stale(&mut self, port: PortId, now: Time) -> Option<Grant> {
        self.ports[port.index()].stale(&mut self.slab, now)
    }

    /// Pauses a priority at an egress port until an instant (`Time::NEVER`: until it is released). A pause that is
    /// running is replaced.
    pub fn pause(&mut self, port: PortId, priority: Priority, until: Time, now: Time) {
        self.ports[port.index()].pause(priority, until, now);
    }

    /// Ends a pause.
    pub fn resume(&mut self, port: PortId, priority: Priority, now: Time) {
        self.ports[port.index()].resume(priority, now);
    }

    /// A frame that does not go through any queue (flow control) takes line time.
    pub fn charge_line(&mut self, port: PortId, wire: u32, now: Time) {
        self.ports[port.index()].charge_line(wire, now);
    }

    /// Makes a priority group lossless, with these limits, or lossy.
    pub fn configure_group(&mut self, ingress: PortId, arrival: Priority, config: Option<GroupConfig>) {
        self.buffer.configure_group(group(ingress, arrival), config);
    }

    /// Whether `gate_event` has something.
    #[inline]
    pub fn has_gate_events(&self) -> bool {
        self.buffer.has_changed()
    }

    /// The next gate that changed: the priority group, and whether its sender may send now.
    #[inline]
    pub fn gate_event(&mut self) -> Option<(PortId, Priority, bool)> {
        let group = self.buffer.take_changed()?;
        let port = PortId(group / Priority::COUNT as u16);
        let priority = Priority::new((group % Priority::COUNT as u16) as u8);
        Some((port, priority, !self.buffer.group(group).closed))
    }

    /// Whether some gate is closed.
    pub fn holds_senders(&self) -> bool {
        self.buffer.has_closed()
    }

    /// Whether anything waits at `port`, paused or not.
    pub fn has_backlog(&self, port: PortId) -> bool {
        self.ports[port.index()].has_backlog()
    }

    /// When `poll` may have something for `port`; `None`: not before a frame comes or a pause ends.
    pub fn next_wake(&self, port: PortId) -> Option<Time> {
        self.ports[port.index()].next_wake()
    }

    /// Whether a strict class waits for nothing but the line.
    pub fn waits_strictly(&self, port: PortId) -> bool {
        self.ports[port.index()].waits_strictly()
    }

    /// What waits in a queue.
    pub fn backlog(&self, port: PortId, priority: Priority, now: Time) -> Backlog {
        self.ports[port.index()].backlog(priority, now)
    }

    /// Class number of a priority at a port.
    pub fn class_of(&self, port: PortId, priority: Priority) -> u8 {
        self.ports[port.index()].class_of(priority)
    }

    /// Line time that was lost by polling late while frames waited.
    pub fn late(&self, port: PortId) -> Time {
        self.ports[port.index()].late()
    }

    /// The shared buffer.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { size: self.buffer.size(), used: self.buffer.used(), peak: self.buffer.peak() }
    }

    /// What the frames hold that arrived at `ingress` with priority `arrival`.
    pub fn group(&self, ingress: PortId, arrival: Priority) -> &GroupUse {
        self.buffer.group(group(ingress, arrival))
    }

    /// The limits of a priority group, if it is lossless.
    pub fn group_config(&self, ingress: PortId, arrival: Priority) -> Option<&GroupConfig> {
        self.buffer.group_config(group(ingress, arrival))
    }

    /// Cells that may come by `ingress`, with any priority, before one of its senders has to be paused; 0 while one is.
    pub fn calm(&self, ingress: PortId) -> u32 {
        let first = ingress.0 * Priority::COUNT as u16;
        self.buffer.calm(first..first + Priority::COUNT as u16)
    }

    /// Ports, in order.
    pub fn ports(&self) -> impl Iterator<Item = PortId> + '_ {
        self.ports.iter().map(Port::id)
    }
}

fn group(ingress: PortId, arrival: Priority) -> u16 {
    ingress.0 * Priority::COUNT as u16 + u16::from(arrival.get())
}
