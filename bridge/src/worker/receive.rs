//! The first half of a turn: taking frames from ports.

use dcbridge_scheduler::{PortId, Time};

use super::{RX_BATCH, RX_CALL, RX_CALL_SHORT, RX_TURN_BYTES, SHORT, Worker};
use crate::switch::Arrived;

impl Worker {
    /// Takes frames from all ports that have some. `true`: some port has more.
    pub(super) fn receive(&mut self) -> bool {
        let mut busy = false;
        self.turn_rx_bytes = 0;
        for id in self.readable.iter() {
            if self.is_sated(id) {
                continue;
            }
            let enough = self.turn_rx_bytes + RX_TURN_BYTES;
            let mut left = RX_BATCH;
            while left > 0 {
                let call = if self.slots[id.index()].short { RX_CALL_SHORT } else { RX_CALL };
                if !self.receive_from(id, call) || self.turn_rx_bytes >= enough {
                    break;
                }
                left = left.saturating_sub(call);
            }
            let has_more = self.slots[id.index()].port.is_some() && self.may_receive(id, self.now());
            self.fed(id, has_more);
            busy |= has_more;
        }
        busy
    }

    /// Whether all that a port would bring is for a queue that is long enough while the processor is the bottleneck. That
    /// queue competes all the same.
    fn is_sated(&mut self, id: PortId) -> bool {
        let Some((to, priority)) = self.slots[id.index()].feeds.only() else { return false };
        let is_long = || self.switch.least_queued(to, priority, self.now()) >= 2 * self.standing;
        // What is lossless waits in no ring longer than it must.
        let sated = !self.lossless && self.slots[to.index()].pace.is_holding() && is_long();
        if sated {
            let arrived = Arrived { full: priority, ..Arrived::default() };
            self.slots[to.index()].pace.feed(arrived, true);
        }
        sated
    }

    /// Tells the ports for which something came by an input, which may have more.
    fn fed(&mut self, from: PortId, has_more: bool) {
        let (mut queues, mut last) = (0, None);
        for (to, arrived) in self.switch.arrivals() {
            self.slots[to.index()].pace.feed(arrived, has_more);
            let priorities = arrived.queued | arrived.full;
            queues += priorities.count_ones();
            last = Some((to, priorities));
        }
        if queues > 0 {
            self.slots[from.index()].feeds.note(last.filter(|_| queues == 1));
        }
    }

    /// Lets ports tell when something comes, before the worker sleeps. `true`: something has come already.
    pub(super) fn something_came(&mut self) -> bool {
        let mut some = false;
        for id in self.restless.iter() {
            let came = self.slots[id.index()].port.as_mut().is_some_and(|port| port.doze());
            self.restless.set(id, came);
            some |= came;
        }
        some
    }

    /// Whether a port may be read at `now`.
    pub(super) fn may_receive(&self, id: PortId, now: Time) -> bool {
        let slot = &self.slots[id.index()];
        let reads = !self.leaving && self.readable.contains(id) && slot.open_at <= now;
        reads && (!slot.stops || self.switch.may_read(id))
    }

    /// Takes a batch from a port. `false`: there is nothing more, or it may not be read on.
    pub(super) fn receive_from(&mut self, id: PortId, batch: usize) -> bool {
        let now = self.now();
        if !self.may_receive(id, now) {
            return false;
        }
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return false };
        // A lossless sender is paused between two of its frames, not between two batches.
        let step = if self.lossless { self.switch.calm(id).clamp(1, batch) } else { batch };
        let (before, wire_before) = (self.switch.books(id).rx, self.switch.books(id).rx_wire);
        let mut left = batch;
        let status = loop {
            self.received.clear();
            let status = port.rx(slot.serve, step, &mut self.arena, &mut self.received);
            for frame in &self.received {
                self.switch.rx(id, frame.queue, frame.id, &mut self.arena, now);
            }
            if status.lost > 0 {
                self.switch.rx_lost(id, status.lost);
            }
            left = left.saturating_sub(step);
            let enough = self.switch.books(id).rx.bytes - before.bytes >= RX_TURN_BYTES;
            let last = left == 0 || enough || !status.more || status.closed.is_some();
            if last || self.switch.gates_changed() || (slot.stops && !self.switch.may_read(id)) {
                break status;
            }
        };
        self.readable.set(id, status.more);
        self.restless.set(id, status.restless);
        if self.switch.books(id).rx_wire != wire_before {
            self.came = now;
        }
        let (bytes, units) =
            (self.switch.books(id).rx.bytes - before.bytes, self.switch.books(id).rx.units - before.units);
        if units > 0 {
            slot.short = bytes < SHORT * units;
        }
        self.turn_rx_bytes += bytes;
        if let Some(rate) = slot.line_rate {
            let wire = self.switch.books(id).rx_wire - wire_before;
            slot.open_at = slot.open_at.max(now.saturating_sub(self.burst)) + rate.time_of(wire);
        }
        let more = status.more;
        if let Some(error) = status.closed {
            self.close(id, error.to_string(), now);
        }
        self.push_back(now);
        more
    }
}
