//! The forwarding switch: a deterministic machine. Frames, link events and time come in; pieces to send, findings and
//! the next wake-up go out. The same code runs on real ports and in virtual time.
//!
//! ```text
//! rx:   parse -> control -> vlan -> classify -> learn, look up -> admit
//! poll: scheduler -> rewrite -> (device) -> settle
//! ```
//! One step a file. What must not enter: devices, clocks, threads, configuration files.

mod arrivals;
pub mod books;
mod checksum;
pub mod classify;
mod control;
pub mod crew;
pub mod device;
mod egress;
pub mod fdb;
pub mod flow;
pub mod forward;
mod ingress;
pub mod lldp;
mod loops;
mod lossless;
pub mod operation;
pub mod parse;
mod policies;
mod rewrite;
mod snapshot;
mod table;
mod tally;
mod vlan;
pub mod watchdog;

#[cfg(test)]
mod tests;

use dcbridge_scheduler::{Meta, PortId, Priority, Scheduler, Shape, Time};

use crate::arena::{self, Arena};
use arrivals::Arrivals;
pub use arrivals::Arrived;
use books::{PortBooks, unit};
use classify::Classifier;
use crew::{Member, Notice};
use fdb::Fdb;
use flow::Flow;
use forward::{Forwarding, PortSet};
use lldp::Lldp;
pub use loops::Finding;
use loops::Loops;
use operation::Operation;
use rewrite::{Egress, Remembered};
pub use table::{Attachment, PortFacts, Setting};
use watchdog::{Storm, Watchdog};

/// Priority of frames that the switch makes itself.
const OWN_PRIORITY: Priority = Priority::new(7);

/// A switch.
pub struct Switch {
    config: std::sync::Arc<dcbridge_config::Config>,
    scheduler: Scheduler,
    classifier: Classifier,
    forwarding: Forwarding,
    fdb: Fdb,
    loops: Loops,
    egress: Vec<Egress>,
    facts: Vec<PortFacts>,
    books: Vec<PortBooks>,
    /// By frame number.
    frames: Vec<Remembered>,
    findings: Vec<Finding>,
    /// Ports at which something may wait: all that have a backlog, and some that had.
    waiting: PortSet,
    arrivals: Arrivals,
    flow: Flow,
    lldp: Lldp,
    /// By port: what holds beside its configuration.
    operations: Vec<Operation>,
    /// Cells that each port may have for what its device holds.
    device_room: u32,
    watchdog: Option<Watchdog>,
    storms: Vec<Storm>,
    gates: Vec<Gate>,
    /// By port: arrival priorities whose senders are paused by it.
    lossless: Vec<u8>,
    /// A frame of them came, or somebody asked for a pause.
    lossless_came: bool,
    member: Member,
    burst: Time,
}

/// A gate that closed or opened: whether the sender behind `port` may send `priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The ingress port.
    pub port: PortId,
    /// The arrival priority.
    pub priority: Priority,
    /// Open, else closed.
    pub open: bool,
}

impl Switch {
    /// The link of a port came up, or went down: what was queued there is dropped then, and counted.
    pub fn set_link(&mut self, port: PortId, up: bool, arena: &mut Arena, now: Time) {
        if self.forwarding.is_up(port) == up {
            return;
        }
        self.link_changed(port, up);
        self.loops.begin(port, up, now);
        self.flow.set_up(port, up);
        if !up {
            for priority in Priority::all() {
                self.scheduler.resume(port, priority, now);
            }
            self.flush(port, arena);
        }
        self.member.tell(Notice::Link(port, up));
    }

    /// What every member makes of a link that came up or went down.
    pub(super) fn link_changed(&mut self, port: PortId, up: bool) {
        self.forwarding.set_up(port, up);
        self.forwarding.set_held(port, false);
        if !up {
            self.loops.forget(port);
            self.fdb.flush_port(port);
        }
    }

    /// Whether the link of a port is up.
    pub fn is_up(&self, port: PortId) -> bool {
        self.forwarding.is_up(port)
    }

    /// Everything that is due: probes, ageing, holds.
    pub fn tick(&mut self, arena: &mut Arena, now: Time) {
        self.fdb.age(now);
        for port in self.loops.expired(now) {
            self.found(Finding::Released(port));
        }
        for port in self.loops.due(now) {
            self.originate(port, &self.loops.probe(port), arena, now);
        }
        let refreshes: Vec<PortId> = self.flow.due(now).collect();
        self.flow.urgent.extend(refreshes);
        for port in self.waiting.iter() {
            self.drop_stale(port, arena, now);
        }
        self.watch(arena, now);
    }

    pub(super) fn found(&mut self, finding: Finding) {
        let port = match finding {
            Finding::Held { held, .. } => {
                self.forwarding.set_held(held, true);
                self.fdb.flush_port(held);
                held
            }
            Finding::Released(port) => {
                self.forwarding.set_held(port, false);
                port
            }
        };
        // All members find it, and one tells.
        if self.member.owns(port) {
            self.findings.push(finding);
        }
    }

    /// A probe that left by a port of the switch came back by another, whoever owns them.
    pub(super) fn probe_seen(&mut self, from: PortId, by: PortId, now: Time) {
        if let Some(finding) = self.loops.seen(from, by, now) {
            self.found(finding);
        }
    }

    /// Queues a frame of the switch's own.
    pub(super) fn originate(&mut self, port: PortId, bytes: &[u8], arena: &mut Arena, now: Time) {
        let Some(id) = arena.insert(bytes, crate::port::VnetHeader::default()) else { return };
        let shape = Shape::frame(bytes.len() as u32);
        self.frames[id.index()] = Remembered::EMPTY;
        let meta = Meta {
            id,
            ingress: port,
            arrival: OWN_PRIORITY,
            priority: OWN_PRIORITY,
            cells: arena::cells(bytes.len()) as u16,
            shape,
        };
        if self.scheduler.enqueue(port, &meta, now).is_ok() {
            self.waiting.insert(port);
            self.books[port.index()].originated.add(unit(1, bytes.len() as u64));
        } else {
            arena.free(id);
        }
    }

    /// Whether anything waits at `port`.
    pub fn has_backlog(&self, port: PortId) -> bool {
        self.scheduler.has_backlog(port)
    }

    /// Ports at which something may wait: at no other one does.
    pub fn waiting(&self) -> PortSet {
        self.waiting
    }

    /// Lets `waiting` leave out the ports that have no backlog any more.
    pub fn forget_empty(&mut self) {
        for port in self.waiting.iter() {
            self.waiting.set(port, self.scheduler.has_backlog(port));
        }
    }

    /// What came for each port since the last call.
    pub fn arrivals(&mut self) -> impl Iterator<Item = (PortId, Arrived)> + '_ {
        self.arrivals.take()
    }

    /// Bytes that wait in the shortest queue of some priorities at `port` that are not paused.
    pub fn least_queued(&self, port: PortId, priorities: u8, now: Time) -> u64 {
        let asked = Priority::all().filter(|p| priorities & (1 << p.get()) != 0);
        let waiting = asked.map(|p| self.scheduler.backlog(port, p, now)).filter(|queue| !queue.paused);
        waiting.map(|queue| queue.bytes).min().unwrap_or(u64::MAX)
    }

    /// When `poll` may have something for `port`.
    pub fn next_tx(&self, port: PortId) -> Option<Time> {
        self.scheduler.next_wake(port)
    }

    /// Whether a strict class waits for nothing but the line of `port`.
    pub fn waits_strictly(&self, port: PortId) -> bool {
        self.scheduler.waits_strictly(port)
    }

    /// When `tick` has something to do.
    pub fn next_tick(&self) -> Option<Time> {
        let watchdog = self.watchdog.as_ref().map(Watchdog::next_wake);
        [self.loops.next_wake(), self.flow.next_wake(), watchdog].into_iter().flatten().min()
    }

    /// What loop detection found since the last call.
    pub fn findings(&mut self) -> std::vec::Drain<'_, Finding> {
        self.findings.drain(..)
    }

    /// Books of a port.
    pub fn books(&self, port: PortId) -> &PortBooks {
        &self.books[port.index()]
    }

    /// How many ports there are.
    pub fn ports(&self) -> impl Iterator<Item = PortId> + use<> {
        (0..self.books.len() as u16).map(PortId)
    }

    /// Whether since the last call something came for which somebody may have to be paused at once.
    pub fn lossless_came(&mut self) -> bool {
        std::mem::take(&mut self.lossless_came)
    }

    /// The scheduler, to look at.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The forwarding database, to look at.
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }
}
