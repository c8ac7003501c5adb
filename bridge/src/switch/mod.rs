//! The forwarding switch: a deterministic machine. Frames, link events and time come in; pieces to send, findings and
//! the next wake-up go out. The same code runs on real ports and in virtual time.
//!
//! ```text
//! rx:   parse -> control -> vlan -> classify -> learn, look up -> admit
//! poll: scheduler -> rewrite -> (device) -> settle
//! ```
//! One step a file. What must not enter: devices, clocks, threads, configuration files.

pub mod books;
mod checksum;
mod classify;
mod control;
pub mod fdb;
pub mod flow;
pub mod forward;
mod loops;
pub mod parse;
mod rewrite;
mod snapshot;
mod table;
mod vlan;
pub mod watchdog;

#[cfg(test)]
mod tests;

use dcbridge_scheduler::pfc::FRAME_LEN;
use dcbridge_scheduler::{
    FrameId, Grant, Meta, PortId, Priority, Refused, Scheduler, Shape, Time, wire_bytes,
};

use crate::arena::{self, Arena};
use crate::port::{TxDesc, TxOutcome};
use crate::state::Count;
use books::{PortBooks, Reason, unit};
use classify::{Classified, Classifier};
use control::Control;
use fdb::Fdb;
use flow::Flow;
use forward::{Destination, Forwarding, PortSet};
pub use loops::Finding;
use loops::{Heard, Loops};
use parse::{ETHERNET, Frame};
use rewrite::{Egress, Remembered};
pub use table::{Attachment, PortFacts, Setting};
use watchdog::{Action, Sight, Storm, Watchdog};

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
    flow: Flow,
    watchdog: Option<Watchdog>,
    storms: Vec<Storm>,
    gates: Vec<Gate>,
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

/// Where a frame goes, and as what.
struct Route {
    vid: u16,
    class: Classified,
    to: Destination,
}

impl Switch {
    /// A frame received by queue `queue` of a port. It is owned by the switch from here on.
    pub fn rx(&mut self, port: PortId, queue: u8, id: FrameId, arena: &mut Arena, now: Time) {
        let bytes = arena.bytes(id);
        let frame = match parse::parse(bytes, &arena.vnet(id)) {
            Ok(frame) => frame,
            Err(reason) => {
                let count = unit(1, bytes.len() as u64);
                self.received(port, count, u64::from(wire_bytes(bytes.len() as u32)));
                return self.drop_in(port, id, reason, count, arena);
            }
        };
        let count = unit(u32::from(frame.shape.segs), frame.shape.bytes(0, frame.shape.segs));
        self.received(port, count, frame.shape.wire(0, frame.shape.segs));
        if let Some(control) = control::inspect(&frame)
            && let Some(verdict) = self.control(port, control, &bytes[ETHERNET..], now)
        {
            match verdict {
                Ok(()) => {
                    self.books[port.index()].consumed.add(count);
                    arena.free(id);
                }
                Err(reason) => self.drop_in(port, id, reason, count, arena),
            }
            return;
        }
        match self.route(port, queue, &frame, now) {
            Ok(route) => self.admit(port, id, &frame, &route, count, arena, now),
            Err(reason) => self.drop_in(port, id, reason, count, arena),
        }
    }

    fn received(&mut self, port: PortId, count: Count, wire: u64) {
        let books = &mut self.books[port.index()];
        books.rx.add(count);
        books.rx_wire += wire;
    }

    /// A frame that is for the switch; `None`: it isn't after all. `Err`: nobody's.
    fn control(
        &mut self,
        port: PortId,
        control: Control,
        payload: &[u8],
        now: Time,
    ) -> Option<Result<(), Reason>> {
        match control {
            Control::Dropped(reason) => Some(Err(reason)),
            Control::Lldp => Some(Ok(())),
            Control::Pause => {
                self.flow_control(port, payload, now);
                Some(Ok(()))
            }
            Control::Probe => {
                match self.loops.heard(port, payload, now) {
                    Heard::Foreign => return None,
                    Heard::Known => {}
                    Heard::New(finding) => self.found(finding),
                }
                Some(Ok(()))
            }
        }
    }

    /// A PFC or PAUSE frame came.
    fn flow_control(&mut self, port: PortId, body: &[u8], now: Time) {
        let Some(asked) = self.flow.receive(port, body) else { return };
        for priority in Priority::all().filter(|p| asked.priorities & (1 << p.get()) != 0) {
            let time = asked.times[priority.index()];
            if time == Time::ZERO {
                self.scheduler.resume(port, priority, now);
                continue;
            }
            let mut obeyed = true;
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.xoff(port, priority, now);
                obeyed = !watchdog.watched(port, priority).storm || watchdog.action() == Action::Alert;
            }
            if obeyed {
                self.scheduler.pause(port, priority, now + time, now);
            }
        }
    }

    /// Whether the watchdog drops what belongs to a priority at a port.
    fn drops(&self, port: PortId, priority: Priority) -> bool {
        self.watchdog.as_ref().is_some_and(|w| w.action() == Action::Drop && w.watched(port, priority).storm)
    }

    /// Gates that changed: to the peer by flow control, and to whoever owns the ports.
    fn take_gates(&mut self) {
        while let Some((port, priority, open)) = self.scheduler.gate_event() {
            if open || !self.drops(port, priority) {
                self.flow.gate(port, priority, open);
            }
            self.gates.push(Gate { port, priority, open });
        }
    }

    /// Where a frame goes.
    fn route(&mut self, port: PortId, queue: u8, frame: &Frame, now: Time) -> Result<Route, Reason> {
        if frame.src[0] & 1 != 0 || frame.src == [0; 6] {
            return Err(Reason::BadSource);
        }
        if self.forwarding.is_held(port) {
            return Err(Reason::LoopHeld);
        }
        let vid = self.forwarding.vlans(port).classify(frame.tag)?;
        if frame.l3_len() > u32::from(self.facts[port.index()].mtu) {
            return Err(Reason::Oversize);
        }
        let queue = (self.facts[port.index()].rx_queues > 1).then(|| Priority::new(queue));
        let class = self.classifier.classify(port, queue, frame, vid);
        if self.drops(port, class.arrival) {
            return Err(Reason::Watchdog);
        }
        self.fdb.learn(vid, frame.src, port, now);
        let to = self.forwarding.destination(&self.fdb, port, vid, frame.dst, now)?;
        let wire = frame.shape.wire(0, frame.shape.segs);
        if matches!(to, Destination::Flood(_)) && !self.forwarding.may_flood(port, wire, now) {
            return Err(Reason::FloodLimit);
        }
        Ok(Route { vid, class, to })
    }

    /// Queues a frame at all its egress ports.
    #[allow(clippy::too_many_arguments)]
    fn admit(
        &mut self,
        port: PortId,
        id: FrameId,
        frame: &Frame,
        route: &Route,
        count: Count,
        arena: &mut Arena,
        now: Time,
    ) {
        self.frames[id.index()] = Remembered::new(frame, route.vid);
        self.books[port.index()].priorities[route.class.priority.index()].rx.add(count);
        let meta = Meta {
            id,
            ingress: port,
            arrival: route.class.arrival,
            priority: route.class.priority,
            cells: arena::cells(arena.bytes(id).len()) as u16,
            shape: frame.shape,
        };
        let set = match route.to {
            Destination::One(to) => [to].into_iter().collect(),
            Destination::Flood(set) => set,
        };
        if !self.enqueue_all(&meta, frame, route.vid, set, count, now) {
            arena.free(id);
        }
        self.take_gates();
    }

    /// Offers a copy to each port of `set`; `false` when none was taken.
    fn enqueue_all(
        &mut self,
        meta: &Meta,
        frame: &Frame,
        vid: u16,
        set: PortSet,
        count: Count,
        now: Time,
    ) -> bool {
        let mut queued = false;
        for (n, to) in set.iter().enumerate() {
            if n > 0 {
                self.books[meta.ingress.index()].copies.add(count);
            }
            let action = self.forwarding.vlans(to).egress(vid, frame.tag);
            let grown = meta.shape.grown(rewrite::growth(action, frame.tag));
            let refused = if frame.l3_len() > u32::from(self.facts[to.index()].mtu) {
                Some(Reason::MtuExceeded)
            } else if self.drops(to, meta.priority) {
                Some(Reason::Watchdog)
            } else {
                let copy = Meta { shape: grown, ..*meta };
                self.scheduler.enqueue(to, &copy, now).err().map(|refused| match refused {
                    Refused::QueueFull => Reason::QueueFull,
                    Refused::BufferFull => Reason::BufferFull,
                    Refused::HeadroomFull => Reason::HeadroomFull,
                })
            };
            match refused {
                None => queued = true,
                Some(reason) => self.books[to.index()].dropped_out(reason, meta.priority, count),
            }
        }
        queued
    }

    fn drop_in(&mut self, port: PortId, id: FrameId, reason: Reason, count: Count, arena: &mut Arena) {
        self.books[port.index()].dropped_in(reason, count);
        arena.free(id);
    }

    /// Frames that a device gave and that could not be kept.
    pub fn rx_lost(&mut self, port: PortId, frames: u32) {
        let count = Count { units: u64::from(frames), frames: u64::from(frames), bytes: 0 };
        let books = &mut self.books[port.index()];
        books.rx.add(count);
        books.dropped_in(Reason::NoMemory, count);
    }

    /// The next piece for `port`, if something may go now. It is pushed to `out`, and has to be answered by `settle`.
    pub fn poll(
        &mut self,
        port: PortId,
        arena: &mut Arena,
        now: Time,
        out: &mut Vec<TxDesc>,
    ) -> Option<Grant> {
        self.drop_stale(port, arena, now);
        loop {
            let grant = self.scheduler.poll(port, now)?;
            let frame = &self.frames[grant.id.index()];
            let action = self.forwarding.vlans(port).egress(frame.vid, frame.tag);
            let egress = &self.egress[port.index()];
            match rewrite::rewrite(arena.bytes(grant.id), arena.vnet(grant.id), frame, &grant, egress, action)
            {
                Ok(desc) => {
                    self.books[port.index()].in_flight.add(piece(&grant));
                    out.push(desc);
                    return Some(grant);
                }
                Err(reason) => self.lose(port, &grant, reason, arena),
            }
        }
    }

    /// What became of a piece.
    pub fn settle(&mut self, port: PortId, grant: &Grant, outcome: TxOutcome, arena: &mut Arena) {
        let count = piece(grant);
        let books = &mut self.books[port.index()];
        books.in_flight.subtract(count);
        if outcome == TxOutcome::Refused {
            return self.lose(port, grant, Reason::DeviceRefused, arena);
        }
        books.tx.add(count);
        books.priorities[grant.priority.index()].tx.add(count);
        books.class_tx[usize::from(grant.class)].add(count);
        books.class_wire[usize::from(grant.class)] += u64::from(grant.wire);
        self.release(grant, arena);
    }

    fn lose(&mut self, port: PortId, grant: &Grant, reason: Reason, arena: &mut Arena) {
        self.books[port.index()].dropped_out(reason, grant.priority, piece(grant));
        self.release(grant, arena);
    }

    fn release(&mut self, grant: &Grant, arena: &mut Arena) {
        if grant.last && self.scheduler.sent(grant.id) {
            arena.free(grant.id);
            self.take_gates();
        }
    }

    /// Drops what has waited longer than its class allows.
    fn drop_stale(&mut self, port: PortId, arena: &mut Arena, now: Time) {
        while let Some(grant) = self.scheduler.stale(port, now) {
            self.lose(port, &grant, Reason::Lifetime, arena);
        }
    }

    /// The link of a port came up, or went down: what was queued there is dropped then, and counted.
    pub fn set_link(&mut self, port: PortId, up: bool, arena: &mut Arena, now: Time) {
        if self.forwarding.is_up(port) == up {
            return;
        }
        self.forwarding.set_up(port, up);
        self.forwarding.set_held(port, false);
        self.loops.set_up(port, up, now);
        self.flow.set_up(port, up);
        if !up {
            for priority in Priority::all() {
                self.scheduler.resume(port, priority, now);
            }
            self.fdb.flush_port(port);
            self.flush(port, arena);
        }
    }

    /// Whether the link of a port is up.
    pub fn is_up(&self, port: PortId) -> bool {
        self.forwarding.is_up(port)
    }

    /// Drops what is queued at a port.
    pub fn flush(&mut self, port: PortId, arena: &mut Arena) {
        for priority in Priority::all() {
            while let Some(grant) = self.scheduler.discard(port, priority) {
                self.lose(port, &grant, Reason::Flushed, arena);
            }
        }
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
        for port in self.ports() {
            self.drop_stale(port, arena, now);
        }
        self.watch(arena, now);
    }

    /// Lets the watchdog look, and does what it decides.
    fn watch(&mut self, arena: &mut Arena, now: Time) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let scheduler = &self.scheduler;
        let storms = watchdog.look(now, |port, priority| {
            let backlog = scheduler.backlog(port, priority, now);
            Sight { paused_since: backlog.paused.then_some(backlog.paused_since), waiting: backlog.units > 0 }
        });
        let action = watchdog.action();
        for storm in storms {
            if storm.began && action != Action::Alert {
                self.scheduler.resume(storm.port, storm.priority, now);
            }
            if storm.began && action == Action::Drop {
                while let Some(grant) = self.scheduler.discard(storm.port, storm.priority) {
                    self.lose(storm.port, &grant, Reason::Watchdog, arena);
                }
                // Nobody is asked to pause for what will be dropped.
                self.flow.gate(storm.port, storm.priority, true);
            }
            self.storms.push(storm);
        }
    }

    /// Ports that have a flow-control frame to send, more urgent than anything else.
    pub fn urgent(&mut self) -> Option<PortId> {
        self.flow.urgent.pop()
    }

    /// The flow-control frame that `port` should send now. It goes before all data, and waits for nothing.
    pub fn flow_frame(&mut self, port: PortId, now: Time) -> Option<[u8; FRAME_LEN]> {
        let frame = self.flow.frame(port, now)?;
        self.scheduler.charge_line(port, wire_bytes(FRAME_LEN as u32), now);
        Some(frame)
    }

    /// What became of a flow-control frame.
    pub fn flow_sent(&mut self, port: PortId, outcome: TxOutcome) {
        let count = unit(1, FRAME_LEN as u64);
        let books = &mut self.books[port.index()];
        books.originated.add(count);
        match outcome {
            TxOutcome::Sent => books.tx.add(count),
            TxOutcome::Refused => books.tx_drops[Reason::DeviceRefused as usize].add(count),
        }
    }

    /// Whether a port that stops its sender by not being read may be read: as long as no closed priority group has
    /// used up half of its headroom. Until then flow-control frames had their chance.
    pub fn may_read(&self, port: PortId) -> bool {
        Priority::all().all(|priority| {
            let held = self.scheduler.group(port, priority);
            !held.closed
                || self.scheduler.group_config(port, priority).is_none_or(|c| held.headroom * 2 < c.headroom)
        })
    }

    /// Gates that changed since the last call, in order.
    pub fn gates(&mut self) -> std::vec::Drain<'_, Gate> {
        self.gates.drain(..)
    }

    /// Storms that began or ended since the last call.
    pub fn storms(&mut self) -> std::vec::Drain<'_, Storm> {
        self.storms.drain(..)
    }

    fn found(&mut self, finding: Finding) {
        match finding {
            Finding::Held { held, .. } => {
                self.forwarding.set_held(held, true);
                self.fdb.flush_port(held);
            }
            Finding::Released(port) => self.forwarding.set_held(port, false),
        }
        self.findings.push(finding);
    }

    /// Queues a frame of the switch's own.
    fn originate(&mut self, port: PortId, bytes: &[u8], arena: &mut Arena, now: Time) {
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
            self.books[port.index()].originated.add(unit(1, bytes.len() as u64));
        } else {
            arena.free(id);
        }
    }

    /// Pauses a priority at an egress port, as a peer would.
    #[cfg(test)]
    fn pause_for_test(&mut self, port: PortId, priority: Priority, until: Time, now: Time) {
        self.scheduler.pause(port, priority, until, now);
    }

    /// Whether anything waits at `port`.
    pub fn has_backlog(&self, port: PortId) -> bool {
        self.scheduler.has_backlog(port)
    }

    /// When `poll` may have something for `port`.
    pub fn next_tx(&self, port: PortId) -> Option<Time> {
        self.scheduler.next_wake(port)
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

    /// The scheduler, to look at.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The forwarding database, to look at.
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }
}

/// A piece in the books: a unit is counted with its end.
fn piece(grant: &Grant) -> Count {
    Count {
        units: u64::from(grant.last),
        frames: u64::from(grant.to - grant.from),
        bytes: u64::from(grant.bytes),
    }
}
