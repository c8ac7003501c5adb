//! What was queued for each port since somebody asked last: by that the worker knows whom its inputs feed.
//!
//! What must not enter: what follows from it.

use dcbridge_scheduler::{PortId, Priority};

use super::forward::PortSet;
use super::tally::Offered;

/// What came for one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Priorities of frames that were queued.
    pub queued: u8,
    /// Priorities of frames for which there was no room.
    pub full: u8,
    /// Bytes of both.
    pub bytes: u64,
    /// Some go on with another priority than they had on arrival.
    pub strayed: bool,
}

/// What came for all ports.
pub(super) struct Arrivals {
    by_port: Vec<Arrived>,
    /// Ports for which something came.
    ports: PortSet,
}

impl Arrivals {
    pub(super) fn new(ports: usize) -> Arrivals {
        Arrivals { by_port: vec![Arrived::default(); ports], ports: PortSet::EMPTY }
    }

    /// Frames came. `strayed`: they go on with another priority than they had.
    pub(super) fn add(&mut self, to: PortId, priority: Priority, offered: Offered, strayed: bool) {
        self.ports.insert(to);
        let arrived = &mut self.by_port[to.index()];
        let bit = 1 << priority.get();
        arrived.queued |= if offered.queued { bit } else { 0 };
        arrived.full |= if offered.full { bit } else { 0 };
        arrived.bytes += offered.bytes;
        arrived.strayed |= strayed;
    }

    /// What came since the last call, by port.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (PortId, Arrived)> + '_ {
        let ports = std::mem::take(&mut self.ports);
        ports.iter().map(|port| (port, std::mem::take(&mut self.by_port[port.index()])))
    }
}
