//! Frames of the switch's own: LLDP to and from the agents, and what of DCBX the worker carries out.
//!
//! What the switch says goes ahead of all data and is never paused. Where a device has no room, a few frames wait; a
//! device that takes none for long loses the newer ones, counted.

use std::sync::Arc;

use dcbridge_scheduler::PortId;

use super::{Event, Worker};
use crate::dcbx;
use crate::port::{MAX_HEAD, TxDesc, TxOutcome, VnetHeader};
use crate::switch::operation::Operation;

/// Frames that wait for a device.
const WAITING_MAX: usize = 8;
/// LLDP frames that the control side may have before it: with the longest frames, 200 KB.
const HANDED_OVER_MAX: usize = 128;

impl Worker {
    /// Sends a frame of the switch's own, as soon as the device has room.
    pub(super) fn originate(&mut self, id: PortId, frame: Vec<u8>) {
        let slot = &mut self.slots[id.index()];
        if slot.port.is_none() || slot.own.len() == WAITING_MAX {
            return self.switch.urgent_sent(id, frame.len(), TxOutcome::Refused);
        }
        slot.own.push_back(frame);
        self.send_own(id);
    }

    /// Sends what waits for room at a device.
    pub(super) fn send_own(&mut self, id: PortId) {
        self.own.insert(id);
        loop {
            let slot = &mut self.slots[id.index()];
            if slot.port.as_ref().is_some_and(|port| port.tx_room() == 0) {
                return self.watch(id);
            }
            let Some(frame) = slot.own.pop_front() else { break };
            self.switch.urgent_frame(id, frame.len(), self.now());
            let outcome = self.send_urgent(id, &frame);
            self.switch.urgent_sent(id, frame.len(), outcome);
        }
        self.own.remove(id);
    }

    /// Whether a port has a device that takes a frame now.
    pub(super) fn has_room(&self, id: PortId) -> bool {
        self.slots[id.index()].port.as_ref().is_some_and(|port| port.tx_room() > 0)
    }

    /// Hands a frame that went through no queue to a device.
    pub(super) fn send_urgent(&mut self, id: PortId, frame: &[u8]) -> TxOutcome {
        let Some(port) = &mut self.slots[id.index()].port else { return TxOutcome::Refused };
        let Some(body) = self.arena.insert(frame, VnetHeader::default()) else { return TxOutcome::Refused };
        let desc = TxDesc {
            head: [0; MAX_HEAD],
            head_len: 0,
            body,
            off: 0,
            len: frame.len() as u32,
            vnet: VnetHeader::default(),
        };
        self.outcomes.clear();
        port.tx(&[desc], &mut self.arena, &mut self.outcomes);
        self.arena.free(body);
        self.outcomes.first().copied().unwrap_or(TxOutcome::Refused)
    }

    /// Hands received LLDP frames to the control side, as long as it keeps up.
    pub(super) fn hand_over(&mut self) {
        while Arc::strong_count(&self.handed_over) <= HANDED_OVER_MAX
            && let Some(heard) = self.switch.heard()
        {
            let held = Arc::clone(&self.handed_over);
            let frame = dcbx::Frame { port: heard.port, bytes: heard.bytes, held };
            let _ = self.events.send(Event::Lldp(frame));
        }
    }

    /// Lets what DCBX has settled hold.
    pub(super) fn operate(&mut self, id: PortId, operation: Operation) {
        let now = self.now();
        // A lossless sender is paused between two of its frames.
        self.lossless |= operation.pfc.is_some_and(|pfc| pfc != 0);
        self.switch.operate(id, operation, now);
        self.push_back(now);
    }
}
