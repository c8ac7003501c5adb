//! What the API shows beside the plain snapshot: rows cut for one question each, shared by the server and its client.

use serde::{Deserialize, Serialize};

use super::sampler::Shares;
use crate::state::lldp::{Dcbx, PortLldp};
use crate::state::{ClassState, Count, Drop, FdbEntry, FdbSummary, PriorityState, Snapshot};

/// `/v1/version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `dcbridge`.
    pub program: String,
    /// Version of the program.
    pub version: String,
    /// Name of the switch.
    pub name: String,
    /// Process that runs it.
    pub pid: u32,
}

/// One row of `/v1/classes`: a traffic class at a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassRow {
    /// Port name.
    pub port: String,
    /// The class and its counters.
    #[serde(flatten)]
    pub class: ClassState,
    /// Share of the port's ETS classes in the last complete window of 1 s, 0 to 1; `None` without traffic and for
    /// strict classes.
    pub measured_share: Option<f64>,
    /// Frames that wait in the queues of its priorities.
    pub queued_frames: u64,
    /// Buffer that those queues occupy.
    pub queued_bytes: u64,
    /// Frames that those queues refused or discarded.
    pub dropped_frames: u64,
    /// Which of its priorities are paused by the peer, as a bitmap.
    pub paused: u8,
}

/// One row of `/v1/queues`: a priority at a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueRow {
    /// Port name.
    pub port: String,
    /// Priority, 0 to 7.
    pub priority: u8,
    /// Name of the class it belongs to.
    pub class: String,
    /// Number of that class.
    pub tc: u8,
    /// Its counters.
    #[serde(flatten)]
    pub state: PriorityState,
}

/// `/v1/fdb`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fdb {
    /// In figures.
    pub summary: FdbSummary,
    /// Every entry.
    pub entries: Vec<FdbEntry>,
}

/// Which way a frame passed a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It arrived there.
    Receive,
    /// It was to leave there.
    Transmit,
}

/// One row of `/v1/drops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    /// Port name.
    pub port: String,
    /// Which way the frames passed it.
    pub direction: Direction,
    /// Reason and amount.
    #[serde(flatten)]
    pub drop: Drop,
}

/// One row of `/v1/lldp`: a port that speaks LLDP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LldpRow {
    /// Port name.
    pub port: String,
    /// Its agent: counters and neighbours. DCBX has rows of its own.
    #[serde(flatten)]
    pub lldp: PortLldp,
}

/// One row of `/v1/dcbx`: a port that has DCBX.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DcbxRow {
    /// Port name.
    pub port: String,
    /// Its four views, and why they are what they are.
    #[serde(flatten)]
    pub dcbx: Dcbx,
}

/// The ports that speak LLDP.
pub fn lldp(snapshot: &Snapshot) -> Vec<LldpRow> {
    let row = |port: &crate::state::Port| {
        let lldp = PortLldp { dcbx: None, ..port.lldp.clone()? };
        Some(LldpRow { port: port.name.clone(), lldp })
    };
    snapshot.ports.iter().filter_map(row).collect()
}

/// The ports that have DCBX.
pub fn dcbx(snapshot: &Snapshot) -> Vec<DcbxRow> {
    let row = |port: &crate::state::Port| {
        Some(DcbxRow { port: port.name.clone(), dcbx: port.lldp.as_ref()?.dcbx.clone()? })
    };
    snapshot.ports.iter().filter_map(row).collect()
}

/// The classes of every port.
pub fn classes(snapshot: &Snapshot, shares: &Shares) -> Vec<ClassRow> {
    let mut rows = Vec::new();
    for port in &snapshot.ports {
        for class in &port.classes {
            let mut row = ClassRow {
                port: port.name.clone(),
                class: class.clone(),
                measured_share: shares.of(&port.name, class.tc),
                queued_frames: 0,
                queued_bytes: 0,
                dropped_frames: 0,
                paused: 0,
            };
            let members = port.priorities.iter().enumerate().take(8);
            for (priority, state) in members.filter(|(p, _)| class.priorities & (1 << p) != 0) {
                row.queued_frames += state.queued.frames;
                row.queued_bytes += state.occupied_bytes;
                row.dropped_frames += state.dropped.frames;
                row.paused |= u8::from(state.paused) << priority;
            }
            rows.push(row);
        }
    }
    rows
}

/// The queues of every port.
pub fn queues(snapshot: &Snapshot) -> Vec<QueueRow> {
    let mut rows = Vec::new();
    for port in &snapshot.ports {
        for (priority, state) in (0u8..8).zip(&port.priorities) {
            let class = port.classes.iter().find(|class| class.priorities & (1 << priority) != 0);
            rows.push(QueueRow {
                port: port.name.clone(),
                priority,
                class: class.map(|class| class.name.clone()).unwrap_or_default(),
                tc: class.map_or(0, |class| class.tc),
                state: state.clone(),
            });
        }
    }
    rows
}

/// Every drop counter that is not zero.
pub fn drops(snapshot: &Snapshot) -> Vec<DropRow> {
    let of_port = |direction, port: &str, drops: &[Drop]| -> Vec<DropRow> {
        let counted = drops.iter().filter(|drop| drop.count != Count::default());
        counted.map(|drop| DropRow { port: port.to_owned(), direction, drop: drop.clone() }).collect()
    };
    let ports = snapshot.ports.iter();
    ports
        .flat_map(|port| {
            let mut rows = of_port(Direction::Receive, &port.name, &port.rx_drops);
            rows.extend(of_port(Direction::Transmit, &port.name, &port.tx_drops));
            rows
        })
        .collect()
}
