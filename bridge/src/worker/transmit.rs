//! The second half of a turn: gates and flow-control frames first, then what the scheduler grants.

use std::time::Duration;

use dcbridge_scheduler::{PortId, Time};

use super::{Event, FAREWELL, TX_BATCH, TX_TURN_BYTES, Worker};
use crate::port::TxOutcome;

impl Worker {
    /// Carries out gates that changed: at the device, and by flow-control frames, which go before everything else.
    pub(super) fn push_back(&mut self, since: Time) {
        for gate in self.switch.gates() {
            let slot = &mut self.slots[gate.port.index()];
            if slot.queues {
                let bit = 1 << gate.priority.get();
                slot.serve = if gate.open { slot.serve | bit } else { slot.serve & !bit };
            }
            if let Some(port) = &mut slot.port {
                port.set_gate(gate.priority, gate.open);
            }
            if gate.open {
                // What was left in a queue that was not served made its edge before.
                self.readable.insert(gate.port);
            }
        }
        while let Some(id) = self.switch.urgent() {
            self.send_flow(id, since);
        }
    }

    /// Sends a flow-control frame, or remembers that it has to be.
    pub(super) fn send_flow(&mut self, id: PortId, since: Time) {
        let now = self.now();
        let Some(port) = &self.slots[id.index()].port else { return };
        if port.tx_room() == 0 {
            self.delayed.push(id);
            return;
        }
        let Some(frame) = self.switch.flow_frame(id, now) else { return };
        let outcome = self.send_urgent(id, &frame);
        self.switch.urgent_sent(id, frame.len(), outcome);
        self.reaction.record((self.now() - since).as_nanos());
    }

    /// Sends what may go now. `true`: some port could go on at once.
    pub(super) fn transmit(&mut self) -> bool {
        let mut busy = false;
        for id in std::mem::take(&mut self.delayed) {
            self.send_flow(id, self.now());
        }
        for id in self.own.iter() {
            self.send_own(id);
        }
        for id in self.switch.waiting().iter() {
            let paced = self.paced(id);
            let budget = paced.unwrap_or(TX_TURN_BYTES).min(TX_TURN_BYTES);
            let mut bytes = 0;
            while bytes < budget && self.switch.has_backlog(id) {
                let (sent, more) = self.transmit_port(id, budget - bytes);
                bytes += sent;
                busy |= more && bytes >= budget;
                if !more {
                    break;
                }
            }
            if paced.is_some() {
                self.slots[id.index()].pace.spent(bytes);
            }
        }
        self.switch.forget_empty();
        for finding in self.switch.findings() {
            // Nobody listens any more: the switch is ending.
            let _ = self.events.send(Event::Loop(finding));
        }
        for storm in self.switch.storms() {
            let _ = self.events.send(Event::Storm(storm));
        }
        self.hand_over();
        self.push_back(self.now());
        busy
    }

    /// Bytes that a port may be sent in this turn for the sake of the schedule; `None`: any.
    fn paced(&mut self, id: PortId) -> Option<u64> {
        let mut pace = std::mem::take(&mut self.slots[id.index()].pace);
        let budget =
            pace.budget(self.standing, |priorities| self.switch.least_queued(id, priorities, self.now()));
        self.slots[id.index()].pace = pace;
        budget
    }

    /// Hands a batch of some `most` bytes to one port. Answers its bytes, and whether the port could go on at once.
    pub(super) fn transmit_port(&mut self, id: PortId, most: u64) -> (u64, bool) {
        let now = self.now();
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return (0, false) };
        let mut room = port.tx_room().min(TX_BATCH);
        if room == 0 {
            self.watch(id);
            return (0, false);
        }
        self.descs.clear();
        self.grants.clear();
        let mut bytes = 0;
        while room > 0 && bytes < most {
            let Some(grant) = self.switch.poll(id, &mut self.arena, now, &mut self.descs) else { break };
            bytes += u64::from(grant.bytes);
            self.grants.push(grant);
            room -= 1;
        }
        if self.grants.is_empty() {
            return (0, false);
        }
        self.outcomes.clear();
        port.tx(&self.descs, &mut self.arena, &mut self.outcomes);
        let outcomes = self.outcomes.iter().copied().chain(std::iter::repeat(TxOutcome::Refused));
        self.switch.settle_all(id, self.grants.iter().zip(outcomes), &mut self.arena);
        (bytes, self.switch.next_tx(id).is_some_and(|wake| wake <= now))
    }

    /// Receives nothing more, sends what is queued while that takes no longer than a moment, and drops the rest, counted.
    pub(super) fn farewell(&mut self) {
        self.leaving = true;
        let end = self.now() + FAREWELL;
        while self.now() < end && self.switch.ports().any(|p| self.switch.has_backlog(p)) {
            self.take_in();
            if !self.transmit() {
                std::thread::sleep(Duration::from_micros(200));
            }
            self.hand_out();
        }
        self.flush_all();
    }

    /// The last that a worker does, when no worker receives any more: what others have handed over meanwhile is dropped
    /// like the rest.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        while self.take_in() {}
        self.flush_all();
    }

    fn flush_all(&mut self) {
        for id in self.switch.ports() {
            self.switch.flush(id, &mut self.arena);
        }
        self.hand_out();
    }
}
