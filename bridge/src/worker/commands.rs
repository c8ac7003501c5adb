//! What the control side asks of a worker, and what the worker tells it.
//!
//! What must not enter: anything that waits for an answer.

use std::sync::mpsc::TryRecvError;

use dcbridge_scheduler::PortId;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::Worker;
use crate::dcbx;
use crate::port::{Link, Port};
use crate::state::Snapshot;
use crate::switch::Finding;
use crate::switch::fdb::Learned;
use crate::switch::operation::Operation;
use crate::switch::watchdog::Storm;

/// What the control side asks of the worker.
pub enum Command {
    /// A device for a port, new or again.
    Attach(PortId, Box<dyn Port>),
    /// All counters.
    Snapshot(oneshot::Sender<Snapshot>),
    /// The forwarding database, in no order.
    Fdb(oneshot::Sender<Vec<Learned>>),
    /// A frame of the switch's own, to leave by a port ahead of all data.
    Originate(PortId, Vec<u8>),
    /// Source addresses of the LLDP neighbours of a port.
    Neighbors(PortId, Vec<[u8; 6]>),
    /// What DCBX has settled at a port, to hold from the next batch on; answers when it does.
    Operate(PortId, Operation, oneshot::Sender<()>),
    /// Nothing is received any more; answers when what was queued is sent or dropped.
    Farewell(oneshot::Sender<()>),
    /// The end, after a farewell; answers the last snapshot.
    Stop(oneshot::Sender<Snapshot>),
}

/// What the worker tells the control side.
#[derive(Debug)]
pub enum Event {
    /// A port's device is gone: it may be opened again.
    Closed(PortId, String),
    /// A link changed.
    Link(PortId, Link),
    /// A port got less headroom than its device needs in the worst case: bytes of both.
    ShortOfHeadroom {
        /// The port.
        port: PortId,
        /// What it got.
        has: u64,
        /// What it would need.
        wants: u64,
    },
    /// Loop detection.
    Loop(Finding),
    /// The PFC watchdog.
    Storm(Storm),
    /// An LLDP frame.
    Lldp(dcbx::Frame),
}

impl Worker {
    /// Does what the control side asks. `false`: end.
    pub(super) fn obey(&mut self) -> bool {
        // Reading resets the counter; commands that come later write again.
        let _ = self.wake.read();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Attach(id, port)) => self.attach(id, port),
                Ok(Command::Snapshot(answer)) => {
                    let _ = answer.send(self.snapshot());
                }
                Ok(Command::Fdb(answer)) => {
                    let _ = answer.send(self.switch.learned(self.now()));
                }
                Ok(Command::Originate(id, frame)) => self.originate(id, frame),
                Ok(Command::Neighbors(id, macs)) => self.switch.set_neighbors(id, &macs),
                Ok(Command::Operate(id, operation, answer)) => {
                    self.operate(id, operation);
                    let _ = answer.send(());
                }
                Ok(Command::Farewell(answer)) => {
                    self.farewell();
                    let _ = answer.send(());
                }
                Ok(Command::Stop(answer)) => {
                    self.leave();
                    let _ = answer.send(self.snapshot());
                    return false;
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// All counters.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.switch.snapshot(self.now());
        for (port, slot) in snapshot.ports.iter_mut().zip(&self.slots) {
            port.down_reason.clone_from(&slot.down_reason);
            port.host_edge_drops = slot.host_edge_drops;
        }
        snapshot.worker = crate::state::Worker {
            io: self.io.to_owned(),
            scheduling: self.haste.name().to_owned(),
            turns: self.turns,
            wakeups: self.wakeups,
            late_ns: self.switch.late().as_nanos(),
            cpu_ns: clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
                .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64),
            flow_reaction: self.reaction.buckets.to_vec(),
            flow_reaction_sum_ns: self.reaction.sum_ns,
            handed: self.peers.handed,
            waited: self.peers.waited,
        };
        snapshot
    }
}
