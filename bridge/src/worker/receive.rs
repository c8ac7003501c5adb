//! The first half of a turn: taking frames from ports.

use dcbridge_scheduler::{PortId, Time};

use super::{
    RX_CALL, RX_CALL_METERED, RX_CALL_SHORT, RX_LEAST, RX_TURN, RX_TURN_BYTES, RX_TURN_BYTES_METERED, SHORT,
    Slot, Worker,
};
use crate::switch::Arrived;

impl Worker {
    /// Takes frames from all ports that have some. `true`: some port has more.
    pub(super) fn receive(&mut self) -> bool {
        let mut busy = false;
        self.turn_rx_bytes = 0;
        let batch = (RX_TURN / self.readable.iter().count().max(1)).max(RX_LEAST);
        for id in self.readable.iter() {
            let serve = self.serves(id);
            if serve == 0 && self.slots[id.index()].serve != 0 {
                continue;
            }
            let enough = self.turn_rx_bytes + self.slots[id.index()].turn_bytes();
            let mut left = batch;
            while left > 0 {
                let call = self.slots[id.index()].call().min(left);
                if !self.receive_from(id, serve, call) || self.turn_rx_bytes >= enough {
                    break;
                }
                left -= call;
            }
            let slot = &self.slots[id.index()];
            if slot.port.is_some() && serve != slot.serve {
                // Of what was passed over nobody would tell again.
                self.readable.insert(id);
            }
            let has_more = slot.port.is_some() && self.may_receive(id, self.now());
            self.fed(id, has_more);
            busy |= has_more;
        }
        busy
    }

    /// Which queues of a port are to be read: those whose gate is open, less those that bring only what is for a queue that
    /// is long enough while the processor is the bottleneck. That one competes all the same.
    fn serves(&mut self, id: PortId) -> u8 {
        let slot = &self.slots[id.index()];
        let (serve, queues) = (slot.serve, slot.queues);
        // What is lossless waits in no ring longer than it must.
        let Some((to, priorities)) = slot.feeds.only().filter(|_| !self.lossless) else { return serve };
        let egress = &self.slots[to.index()];
        // Where a line is the bottleneck, its queues are long however little is read, and TCP has to hear of it.
        if !egress.pace.is_holding() || (queues && egress.line_rate.is_some()) {
            return serve;
        }
        let now = self.now();
        let is_long = |priority: u8| self.switch.least_queued(to, priority, now) >= 2 * self.standing;
        let long = (0..8).map(|n| 1 << n).filter(|&p| priorities & p != 0 && is_long(p));
        let long = long.fold(0, |set, priority| set | priority);
        // Without a queue for each priority it is one of which nothing is read.
        let left = if queues || long == 0 { serve & !long } else { 0 };
        if left != serve {
            let arrived = Arrived { full: long, ..Arrived::default() };
            self.slots[to.index()].pace.feed(arrived, true);
        }
        left
    }

    /// Tells the ports for which something came by an input, which may have more.
    fn fed(&mut self, from: PortId, has_more: bool) {
        let (mut ports, mut queues, mut strayed, mut last) = (0, 0, false, None);
        for (to, arrived) in self.switch.arrivals() {
            self.slots[to.index()].pace.feed(arrived, has_more);
            let priorities = arrived.queued | arrived.full;
            (ports, queues, strayed) =
                (ports + 1, queues + priorities.count_ones(), strayed | arrived.strayed);
            last = Some((to, priorities));
        }
        let slot = &mut self.slots[from.index()];
        if slot.queues && ports > 0 {
            // Each queue feeds that of its own priority.
            slot.feeds.note(last.filter(|_| ports == 1 && !strayed).map(|(to, _)| (to, u8::MAX)));
        } else if ports > 0 {
            slot.feeds.note(last.filter(|_| queues == 1));
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

    /// Takes a batch from the queues `serve` of a port. `false`: there is nothing more, or it may not be read on.
    pub(super) fn receive_from(&mut self, id: PortId, serve: u8, batch: usize) -> bool {
        let now = self.now();
        if !self.may_receive(id, now) {
            return false;
        }
        let slot = &mut self.slots[id.index()];
        let turn_bytes = slot.turn_bytes();
        let Some(port) = &mut slot.port else { return false };
        let (before, wire_before) = (self.switch.books(id).rx, self.switch.books(id).rx_wire);
        let mut left = batch;
        let status = loop {
            // A lossless sender is paused between two of its frames, not between two batches.
            let step = if self.lossless { self.switch.calm(id).clamp(1, left) } else { left };
            self.received.clear();
            let status = port.rx(serve & slot.serve, step, &mut self.arena, &mut self.received);
            self.switch.rx_all(id, &self.received, &mut self.arena, now);
            if status.lost > 0 {
                self.switch.rx_lost(id, status.lost);
            }
            left = left.saturating_sub(step);
            let enough = self.switch.books(id).rx.bytes - before.bytes >= turn_bytes;
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

impl Slot {
    /// Bytes after which a turn has read enough from the port.
    fn turn_bytes(&self) -> u64 {
        if self.line_rate.is_some() { RX_TURN_BYTES_METERED } else { RX_TURN_BYTES }
    }

    /// Frames or superframes to ask for at once.
    fn call(&self) -> usize {
        match self.line_rate {
            _ if self.short => RX_CALL_SHORT,
            Some(_) => RX_CALL_METERED,
            None => RX_CALL,
        }
    }
}
