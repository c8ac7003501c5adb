//! A frame's way in, as one straight line: parse, control, VLAN, classify, learn and look up, admit.

use dcbridge_scheduler::Time;
use dcbridge_scheduler::{FrameId, Meta, PortId, Priority, wire_bytes};

use super::Switch;
use super::books::{Reason, unit};
use super::classify::Classified;
use super::control::{self, Control};
use super::crew::Notice;
use super::forward::{Destination, PortSet};
use super::parse::{self, ETHERNET, Frame};
use super::rewrite::{self, Remembered};
use super::tally::{Offered, Tally, Way};
use crate::arena::{self, Arena};
use crate::port::RxFrame;
use crate::state::Count;

/// Where a frame goes, and as what.
struct Route {
    vid: u16,
    class: Classified,
    to: Destination,
}

impl Switch {
    /// A frame received by queue `queue` of a port. It is owned by the switch from here on.
    pub fn rx(&mut self, port: PortId, queue: u8, id: FrameId, arena: &mut Arena, now: Time) {
        self.rx_all(port, &[RxFrame { id, queue }], arena, now);
    }

    /// Frames received by a port, in their order. They are owned by the switch from here on.
    pub fn rx_all(&mut self, port: PortId, frames: &[RxFrame], arena: &mut Arena, now: Time) {
        let mut tally = Tally::default();
        for &RxFrame { id, queue } in frames {
            let queued = match parse::parse(arena.bytes(id), &arena.vnet(id)) {
                Ok(frame) => self.take(port, queue, id, &frame, &mut tally, now),
                Err(reason) => {
                    let len = arena.bytes(id).len() as u32;
                    let count = unit(1, len.into());
                    tally.rx.add(count);
                    tally.wire += u64::from(wire_bytes(len));
                    self.books[port.index()].dropped_in(reason, count);
                    false
                }
            };
            if !queued {
                arena.free(id);
            }
        }
        self.enter_batch(port, &mut tally);
        self.take_gates();
    }

    /// `false`: nobody needs the frame any more.
    #[allow(clippy::inline_always)] // What the frame is was just found out, and is still in registers.
    #[inline(always)]
    fn take(
        &mut self,
        port: PortId,
        queue: u8,
        id: FrameId,
        frame: &Frame,
        tally: &mut Tally,
        now: Time,
    ) -> bool {
        let count = unit(u32::from(frame.shape.segs), frame.shape.bytes(0, frame.shape.segs));
        tally.rx.add(count);
        tally.wire += frame.shape.wire(0, frame.shape.segs);
        if let Some(control) = control::inspect(frame)
            && let Some(verdict) = self.control(port, control, frame.bytes, now)
        {
            let books = &mut self.books[port.index()];
            match verdict {
                Ok(()) => books.consumed.add(count),
                Err(reason) => books.dropped_in(reason, count),
            }
            return false;
        }
        match self.route(port, queue, frame, now) {
            Ok(route) => self.admit(port, id, frame, &route, count, tally, now),
            Err(reason) => {
                self.books[port.index()].dropped_in(reason, count);
                false
            }
        }
    }

    /// A frame that is for the switch; `None`: it isn't after all. `Err`: nobody's.
    fn control(
        &mut self,
        port: PortId,
        control: Control,
        bytes: &[u8],
        now: Time,
    ) -> Option<Result<(), Reason>> {
        let payload = &bytes[ETHERNET..];
        match control {
            Control::Dropped(reason) => Some(Err(reason)),
            Control::Lldp(source) => Some(self.lldp.receive(port, source, bytes, now)),
            Control::Pause => {
                self.flow_control(port, payload, now);
                Some(Ok(()))
            }
            Control::Probe => {
                // Another switch's is forwarded like anything else.
                let from = self.loops.sender(payload)?;
                self.member.tell(Notice::Probe { from, by: port });
                self.probe_seen(from, port, now);
                Some(Ok(()))
            }
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
        if self.drops_in(port, class.arrival) {
            return Err(Reason::Watchdog);
        }
        if self.fdb.learn(vid, frame.src, port, now) {
            self.member.tell(Notice::Address { vid, mac: frame.src, port });
        }
        let to = self.forwarding.destination(&self.fdb, port, vid, frame.dst, now)?;
        let wire = frame.shape.wire(0, frame.shape.segs);
        if matches!(to, Destination::Flood(_)) && !self.forwarding.may_flood(port, wire, now) {
            return Err(Reason::FloodLimit);
        }
        Ok(Route { vid, class, to })
    }

    /// Queues a frame at all its egress ports; `false` when none took it.
    #[allow(clippy::too_many_arguments)] // What the steps before have found out.
    fn admit(
        &mut self,
        port: PortId,
        id: FrameId,
        frame: &Frame,
        route: &Route,
        count: Count,
        tally: &mut Tally,
        now: Time,
    ) -> bool {
        self.frames[id.index()] = Remembered::new(frame, route.vid);
        let Classified { arrival, priority } = route.class;
        let meta = Meta {
            id,
            ingress: port,
            arrival,
            priority,
            cells: arena::cells(frame.bytes.len()) as u16,
            shape: frame.shape,
        };
        match route.to {
            Destination::One(to) => {
                self.goes(port, Way { to: Some(to), arrival, priority }, count, tally);
                self.enqueue(&meta, frame, route.vid, to, count, &mut tally.offered, now)
            }
            Destination::Flood(set) => {
                self.goes(port, Way { to: None, arrival, priority }, count, tally);
                self.enqueue_all(&meta, frame, route.vid, set, count, now)
            }
        }
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
            let mut offered = Offered::default();
            queued |= self.enqueue(meta, frame, vid, to, count, &mut offered, now);
            self.offered(to, meta.arrival, meta.priority, offered);
        }
        queued
    }

    /// Offers a copy to one port, which is noted in `offered`; `false` when it was not taken.
    #[allow(clippy::inline_always, clippy::too_many_arguments)] // What it is told was just put together.
    #[inline(always)]
    fn enqueue(
        &mut self,
        meta: &Meta,
        frame: &Frame,
        vid: u16,
        to: PortId,
        count: Count,
        offered: &mut Offered,
        now: Time,
    ) -> bool {
        let action = self.forwarding.vlans(to).egress(vid, frame.tag);
        let refused = if frame.l3_len() > u32::from(self.facts[to.index()].mtu) {
            Some(Reason::MtuExceeded)
        } else if self.drops(to, meta.priority) {
            Some(Reason::Watchdog)
        } else {
            let copy = Meta { shape: meta.shape.grown(rewrite::growth(action, frame.tag)), ..*meta };
            let admitted = if self.member.owns(to) {
                self.scheduler.enqueue(to, &copy, now)
            } else {
                self.hand_over(to, &copy)
            };
            offered.bytes += count.bytes;
            offered.queued |= admitted.is_ok();
            offered.full |= admitted.is_err();
            admitted.err().map(Reason::from)
        };
        match refused {
            None => {}
            // What is too small is the group where it came in, wherever it was to leave.
            Some(reason @ Reason::HeadroomFull) => {
                self.books[meta.ingress.index()].dropped_by_group(reason, meta.arrival, count);
            }
            Some(reason) => self.books[to.index()].dropped_out(reason, meta.priority, count),
        }
        refused.is_none()
    }

    /// Frames that a device gave and that could not be kept.
    pub fn rx_lost(&mut self, port: PortId, frames: u32) {
        let count = Count { units: u64::from(frames), frames: u64::from(frames), bytes: 0 };
        let books = &mut self.books[port.index()];
        books.rx.add(count);
        books.dropped_in(Reason::NoMemory, count);
    }
}
