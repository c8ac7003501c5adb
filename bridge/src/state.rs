//! What the switch shows of itself: plain data, taken by the worker on request between two batches, so that all of it
//! belongs to one moment and the books balance in it.
//!
//! The control API serves it as JSON, `dcbridge show` prints it, `/metrics` renders it. Nothing here computes.

pub mod lldp;
mod merge;

use serde::{Deserialize, Serialize};

/// Units (what a device read or wrote at once: a frame or a superframe), frames (on the wire: the segments of a
/// superframe count each) and their bytes (without FCS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Device reads or writes.
    pub units: u64,
    /// Frames on the wire.
    pub frames: u64,
    /// Bytes of those frames, without FCS, preamble and gap.
    pub bytes: u64,
}

impl Count {
    /// Takes another away, which was added before.
    pub fn subtract(&mut self, other: Count) {
        self.units -= other.units;
        self.frames -= other.frames;
        self.bytes -= other.bytes;
    }

    /// Adds another.
    pub fn add(&mut self, other: Count) {
        self.units += other.units;
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// A counted drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// Stable name, in `snake_case`, as in metrics.
    pub reason: String,
    /// One sentence for a person.
    pub meaning: String,
    /// How much.
    #[serde(flatten)]
    pub count: Count,
}

/// One moment of the switch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Name of the switch.
    pub name: String,
    /// Nanoseconds since the worker began.
    pub uptime_ns: u64,
    /// The shared buffer.
    pub buffer: Buffer,
    /// Ports, in the order of the configuration.
    pub ports: Vec<Port>,
    /// The forwarding database, in figures.
    pub fdb: FdbSummary,
    /// How the worker fares; where there are several, all of them together.
    pub worker: Worker,
    /// Each of several workers; empty where there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Worker>,
}

/// The shared buffer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Buffer {
    /// Size in bytes (whole cells).
    pub size_bytes: u64,
    /// Occupied now.
    pub used_bytes: u64,
    /// Most that was ever occupied.
    pub peak_bytes: u64,
}

/// The forwarding database, in figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FdbSummary {
    /// Entries now.
    pub entries: u64,
    /// Limit of learned entries.
    pub limit: u64,
    /// Addresses that moved to another port.
    pub moves: u64,
    /// Addresses that were not learned because a limit was reached.
    pub refused: u64,
}

/// How the worker fares.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    /// How frames are read and written: `readiness` or `io_uring`.
    pub io: String,
    /// Scheduling class of its thread now: `normal` or `realtime`.
    #[serde(default)]
    pub scheduling: String,
    /// Turns of the loop.
    pub turns: u64,
    /// Wake-ups out of sleep.
    pub wakeups: u64,
    /// Times a line rate could not be held because the worker came late (credit lost while frames waited), in ns.
    pub late_ns: u64,
    /// CPU time of the worker thread in ns.
    pub cpu_ns: u64,
    /// Flow-control frames by how long they took from the frame that made them necessary: bucket n holds those of at
    /// most `REACTION_BOUNDS_US[n]`, the last all others.
    pub flow_reaction: Vec<u64>,
    /// Sum of these times.
    pub flow_reaction_sum_ns: u64,
    /// Copies that were handed to other workers, whose ports they leave by.
    #[serde(default)]
    pub handed: u64,
    /// Of them and of what else workers tell each other, what had to wait: the other one did not keep up.
    #[serde(default)]
    pub waited: u64,
}

/// Upper bounds of the buckets of `Worker::flow_reaction` but the last, in microseconds.
pub const REACTION_BOUNDS_US: [u64; 15] =
    [1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000, 5000, 20_000];
/// Buckets of `Worker::flow_reaction`.
pub const REACTION_BUCKETS: usize = REACTION_BOUNDS_US.len() + 1;

/// One port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Port {
    /// Name.
    pub name: String,
    /// `tap` or `stream`.
    pub kind: String,
    /// Whether frames pass.
    pub up: bool,
    /// Why not, for a person; empty when up.
    pub down_reason: String,
    /// Set while loop detection holds the port: what was heard.
    pub held: Option<String>,
    /// Line rate in bit/s; `None`: unlimited.
    pub line_rate_bps: Option<u64>,
    /// L3 MTU.
    pub mtu: u16,
    /// Whether superframes pass.
    pub offload: bool,
    /// What is guaranteed when a lossless priority is paused: `exact`, `bounded by headroom`, `short of
    /// headroom`, `frames only` or `none`.
    pub guarantee: String,
    /// Frames that the host's side dropped before the switch could read them (a full ring).
    pub host_edge_drops: u64,
    /// Flow control: `off`, `pause` or `pfc`, and its frames.
    pub flow: FlowState,
    /// Received.
    pub rx: Count,
    /// Sent.
    pub tx: Count,
    /// Received frames that the switch itself used up (LLDP, PFC, probes).
    pub consumed: Count,
    /// Frames that the switch itself made for this port (probes, LLDP, flow control).
    pub originated: Count,
    /// Extra copies made of frames that arrived here (a flood to n ports makes n - 1).
    pub copies: Count,
    /// Frames that arrived here and were dropped before they had an egress port, or for want of headroom.
    pub rx_drops: Vec<Drop>,
    /// Frames (copies) that were to leave here and were dropped.
    pub tx_drops: Vec<Drop>,
    /// Waiting here now, or in the device's hands.
    pub queued: Count,
    /// Handed to the worker of the port by others, which counts as `queued` until it has taken them.
    #[serde(skip)]
    pub handed: Count,
    /// Taken by the worker of the port.
    #[serde(skip)]
    pub taken: Count,
    /// By priority, 0 to 7: arrivals by the priority the switch gave, departures, queues.
    pub priorities: Vec<PriorityState>,
    /// By traffic class, as they hold now.
    pub classes: Vec<ClassState>,
    /// LLDP and DCBX; `None`: the port does not speak LLDP. Of the moment in which it was asked for, not of the books'.
    pub lldp: Option<lldp::PortLldp>,
}

/// Flow-control frames of a port, beside those that are counted by priority.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FlowState {
    /// `off`, `pause` or `pfc`.
    pub kind: String,
    /// PAUSE frames received.
    pub pause_rx: u64,
    /// PAUSE frames sent.
    pub pause_tx: u64,
    /// Frames too short for their opcode.
    pub malformed: u64,
    /// Well-formed frames without effect.
    pub ignored: u64,
    /// PFC frames with bits in the vector's high octet.
    pub odd_vector: u64,
}

/// The priority group of a port and arrival priority.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupState {
    /// Whether the group is lossless.
    pub lossless: bool,
    /// Whether its sender may not send now.
    pub gate_closed: bool,
    /// Buffer that its frames occupy.
    pub occupied_bytes: u64,
    /// Of that, headroom.
    pub headroom_used_bytes: u64,
    /// Most headroom ever used.
    pub headroom_peak_bytes: u64,
    /// Its headroom.
    pub headroom_bytes: u64,
    /// PFC frames received with this priority's bit.
    pub pfc_rx: u64,
    /// XOFFs sent, refreshes included.
    pub xoff_tx: u64,
    /// XONs sent.
    pub xon_tx: u64,
    /// Whether the watchdog sees a storm at this egress priority.
    pub storm: bool,
    /// Storms detected.
    pub storms_detected: u64,
    /// Storms that ended.
    pub storms_restored: u64,
}

/// One priority at one port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PriorityState {
    /// Received and given this priority.
    pub rx: Count,
    /// Sent from this queue.
    pub tx: Count,
    /// Refused or discarded by this queue, or refused by the priority group of frames that come by this port.
    pub dropped: Count,
    /// Waiting in this queue.
    pub queued: Count,
    /// Buffer that the queue occupies, in bytes of whole cells.
    pub occupied_bytes: u64,
    /// Most it ever occupied.
    pub peak_bytes: u64,
    /// Whether the peer has paused it.
    pub paused: bool,
    /// How long it was paused in all.
    pub paused_ns: u64,
    /// How often a pause began.
    pub pauses: u64,
    /// The priority group of frames that arrive here with this priority, and flow control.
    pub group: GroupState,
}

/// One traffic class at one port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClassState {
    /// Name of the class.
    pub name: String,
    /// Class number.
    pub tc: u8,
    /// `strict` or `ets`.
    pub tsa: String,
    /// Bitmap of its priorities.
    pub priorities: u8,
    /// Share of what strict classes leave, 0 to 1, as configured or as DCBX has settled it; `None` for strict classes.
    pub target_share: Option<f64>,
    /// Sent.
    pub tx: Count,
    /// Sent, in wire bytes (with FCS, preamble and gap): what shares are measured in.
    pub tx_wire_bytes: u64,
}

/// One entry of the forwarding database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// `02:00:00:00:00:01`.
    pub mac: String,
    /// VLAN.
    pub vlan: u16,
    /// Port name.
    pub port: String,
    /// From the configuration: never ages, never moves.
    pub is_static: bool,
    /// Seconds since it was last seen (0 for static ones).
    pub age_seconds: u64,
}
