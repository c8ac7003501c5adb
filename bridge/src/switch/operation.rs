//! What DCBX has settled at a port: it takes the place of the configured classes, pauses and application priorities as
//! long as it holds. Nothing of it is kept anywhere else, so when it goes, the configuration is back.
//!
//! Applied between two batches: queues belong to priorities, so no frame moves when a priority changes its class. Pauses
//! that end with PFC are released first, to the peer by XON and here by resuming the queue.
//!
//! What must not enter: how it was settled.

use dcbridge_config as config;
use dcbridge_scheduler::{ClassTable, GroupConfig, PortId, Priority, QueueLimit, Time, Tsa};

use super::Switch;
use super::classify::Application;
use super::device;
use super::flow::Kind;
use super::table::{self, cells_of};
use crate::arena::CELL;
use crate::port::Guarantee;

/// Classes of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Class number of each priority, 0 to 7.
    pub class_of: [u8; 8],
    /// Transmission selection of each class.
    pub tsa: [Tsa; 8],
}

/// What holds at a port beside or instead of its configuration. The default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Classes; `None`: as configured. Rates of classes stay the configured ones.
    pub classes: Option<Classes>,
    /// Priorities that are paused and obeyed by PFC, as a bitmap; `None`: as configured. Without effect where the port
    /// is configured for PAUSE or for no flow control.
    pub pfc: Option<u8>,
    /// Priorities of applications, below every policy.
    pub applications: Vec<Application>,
}

impl Switch {
    /// Replaces what holds at a port, at once and as a whole. No frame is lost or overtakes another of its priority.
    pub fn operate(&mut self, port: PortId, operation: Operation, now: Time) {
        let obeyed = self.flow.receives(port);
        self.classifier.learn(port, operation.applications.clone());
        self.operations[port.index()] = operation;
        let kind = self.flow_kind(port);
        // While the old kind holds: groups that are lossless no longer open, and their senders are told.
        self.configure_groups(port);
        self.flow.set_kind(port, kind);
        let released = obeyed & !self.flow.receives(port);
        for priority in Priority::all().filter(|p| released & (1 << p.get()) != 0) {
            self.scheduler.resume(port, priority, now);
        }
        self.configure_port(port);
    }

    /// What holds at a port.
    pub fn operation(&self, port: PortId) -> &Operation {
        &self.operations[port.index()]
    }

    /// Classes and rates to the scheduler.
    pub(super) fn configure_port(&mut self, port: PortId) {
        let config = &self.config.ports[port.index()];
        let offload = self.facts[port.index()].offload;
        let classes = self.class_table(port);
        let config = table::port_config(config, classes, self.burst, offload);
        self.scheduler.configure(port, &config);
    }

    /// Priority groups to the scheduler: those that pause have headroom and limits, others are like any queue.
    pub(super) fn configure_groups(&mut self, port: PortId) {
        let pausing = self.pausing(port);
        self.lossless[port.index()] = pausing;
        for priority in Priority::all() {
            let limits = (pausing & (1 << priority.get()) != 0).then(|| self.group_limits(port, priority));
            self.scheduler.configure_group(port, priority, limits);
        }
        self.take_gates();
    }

    /// Classes as they hold at a port. Queue limits and lifetimes belong to priorities, rates to class numbers: both are
    /// the configured ones.
    pub(super) fn class_table(&self, port: PortId) -> ClassTable {
        let mut table = table::class_table(&self.config.traffic_classes);
        if let Some(classes) = &self.operations[port.index()].classes {
            table.class_of = classes.class_of;
            for (class, tsa) in table.classes.iter_mut().zip(classes.tsa) {
                class.tsa = tsa;
            }
        }
        table
    }

    /// Priorities whose groups at a port pause their senders.
    fn pausing(&self, port: PortId) -> u8 {
        let config = &self.config.ports[port.index()];
        match (self.operations[port.index()].pfc, config.flow_control) {
            (Some(pfc), config::FlowControl::Pfc { .. }) => pfc,
            _ => config.pausing(self.config.lossless_priorities()).0,
        }
    }

    fn flow_kind(&self, port: PortId) -> Kind {
        match (self.operations[port.index()].pfc, table::flow_kind(&self.config.ports[port.index()])) {
            (Some(pfc), Kind::Pfc { .. }) => Kind::Pfc { receive: pfc, transmit: pfc },
            (_, configured) => configured,
        }
    }

    /// Limits of a lossless priority group. One of a class that is not lossless by configuration has what a lossless
    /// one has by default.
    fn group_limits(&self, port: PortId, priority: Priority) -> GroupConfig {
        let config = &self.config.ports[port.index()];
        let class = self.config.class_of(priority.get());
        let two_frames = 2 * u64::from(config.max_frame());
        let configured = class.filter(|class| class.lossless);
        GroupConfig {
            reserved: cells_of(configured.map_or(two_frames, |class| class.reserved_bytes)),
            limit: class.map_or(QueueLimit::Dynamic(0), |class| table::queue_limit(class.queue_limit)),
            headroom: cells_of(config::lossless_headroom(config)).saturating_add(self.device_headroom(port)),
            xon_offset: cells_of(configured.map_or(two_frames, |class| class.xon_offset_bytes)),
        }
    }

    /// Cells of headroom for what may still come from a port's device when its gate closes late, for each lossless group.
    fn device_headroom(&self, port: PortId) -> u32 {
        device::part(self.device_room, self.pausing(port).count_ones(), self.device_holds(port))
    }

    /// Cells that may still come, of the shortest frames.
    fn device_holds(&self, port: PortId) -> u32 {
        match self.facts[port.index()].guarantee {
            // What a person configured is meant to be all of it.
            Guarantee::BoundedByHeadroom { residual_bytes }
                if self.config.ports[port.index()].headroom_bytes.is_none() =>
            {
                device::holds(residual_bytes)
            }
            _ => 0,
        }
    }

    /// Bytes of headroom that a lossless port has for what its device holds, and that it would take in the worst case (its
    /// gate closes as late as it may, and all frames are the shortest), if that is more.
    pub fn headroom_lack(&self, port: PortId) -> Option<(u64, u64)> {
        let (has, wants) = (self.device_headroom(port), self.device_holds(port));
        let bytes = |cells: u32| u64::from(cells) * CELL as u64;
        (self.pausing(port) != 0 && has < wants).then(|| (bytes(has), bytes(wants)))
    }
}
