//! The checked configuration: what the rest of dcbridge reads.
//!
//! Every value here is legal: parsing and validation happened before (see `check`). Nothing in
//! this room knows TOML, and nothing here has an "unset" state that a reader would have to
//! interpret; defaults were applied.

mod dcbx;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

pub use dcbx::{Dcbx, DcbxMode, DcbxRole, Lldp, LldpGroup, MultiPeer};

/// A bit rate in bits per second. `None` in an `Option<BitRate>` means "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BitRate(pub u64);

/// A set of 802.1p priorities; bit `n` stands for priority `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrioritySet(pub u8);

/// The whole configuration of one switch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// `[bridge]`
    pub bridge: Bridge,
    /// `[worker]`
    pub worker: Worker,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[[traffic_class]]`, sorted by `tc`; together they hold all eight priorities exactly once.
    pub traffic_classes: Vec<TrafficClass>,
    /// `[[policy]]`, highest precedence first; equal precedence keeps the order of the file.
    pub policies: Vec<Policy>,
    /// `[map]`
    pub maps: Maps,
    /// `[[port]]`, in the order of the file.
    pub ports: Vec<Port>,
    /// `[[fdb]]`: static forwarding entries.
    pub static_entries: Vec<StaticEntry>,
    /// `[pfc_watchdog]`; `None`: off.
    pub watchdog: Option<Watchdog>,
    /// `[lldp]`
    pub lldp: Lldp,
}

/// Settings of the switch as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bridge {
    /// Name shown in the state and in metrics; also part of the default socket path.
    pub name: String,
    /// Shared packet buffer in bytes.
    pub buffer_bytes: u64,
    /// Seconds after which a learned address that was not seen again is forgotten (802.1Q 8.8.3).
    pub ageing_seconds: u32,
    /// Most addresses that are learned in the whole switch.
    pub fdb_limit: u32,
    /// Flooded traffic (unknown unicast, broadcast, multicast) accepted from each port; `None`: no limit.
    pub flood_rate: Option<BitRate>,
    /// Whether a port on which the switch hears its own probe is held.
    pub loop_detection: bool,
    /// How long the process may stand still and still catch up with its line rates, in microseconds.
    pub stall_budget_us: u32,
    /// The control socket (HTTP with JSON).
    pub control_socket: PathBuf,
}

/// How the data path's threads run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Worker {
    /// How many there are.
    pub threads: u8,
    /// How it reads and writes frames.
    pub io: Io,
    /// What it does when there is nothing to do.
    pub poll: Poll,
    /// Who it lets go first.
    pub scheduling: Scheduling,
    /// The processors that they stay on, thread by thread; those beyond the list run on any.
    pub cpus: Vec<u16>,
}

/// How the data path's thread reads and writes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// `IoUring` where the kernel gives it, else `Readiness`.
    Auto,
    /// Many frames by one system call.
    IoUring,
    /// A system call for each frame.
    Readiness,
}

/// What the data path does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Poll {
    /// It sleeps.
    Sleep,
    /// It looks on for a moment before it sleeps.
    Adaptive,
    /// It never sleeps.
    Busy,
}

/// Scheduling class of the data path's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduling {
    /// `Realtime` where a class is lossless, else `Normal`.
    Auto,
    /// As any other thread.
    Normal,
    /// SCHED_FIFO.
    Realtime,
}

/// The read-only HTTP listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Address of `/metrics`; `None`: off.
    pub listen: Option<SocketAddr>,
}

/// Transmission selection algorithm of a class (802.1Q 8.6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tsa {
    /// Served before every ETS class; among strict classes the higher number first.
    Strict,
    /// Shares what strict classes leave, by bandwidth.
    Ets,
}

/// How much of the shared buffer one queue of a class may hold at an egress port.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueLimit {
    /// At most this many bytes.
    Static(u64),
    /// At most alpha times the free part of the buffer, alpha = 2^`dynamic_th` (SONiC: -7 to 3).
    Dynamic(i8),
}

/// One traffic class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficClass {
    /// Name in tables and metrics.
    pub name: String,
    /// Class number, 0 to 7.
    pub tc: u8,
    /// Priorities that belong to the class.
    pub priorities: PrioritySet,
    /// Transmission selection.
    pub tsa: Tsa,
    /// Share of an ETS class in percent, 1 to 100; 0 for strict ones. All ETS classes sum to 100.
    pub bandwidth: u8,
    /// Rate that is served before the shares.
    pub min_rate: Option<BitRate>,
    /// Rate that is never exceeded.
    pub max_rate: Option<BitRate>,
    /// Whether the class must lose nothing to congestion.
    pub lossless: bool,
    /// Limit of each of its queues. Of a lossless class it is the XOFF point of each priority group
    /// instead: what the group takes of the shared part before its senders are paused.
    pub queue_limit: QueueLimit,
    /// Bytes that each priority group of a lossless class has before it takes of the shared part; 0 for a
    /// lossy class.
    pub reserved_bytes: u64,
    /// Hysteresis of a lossless class: senders go on when usage is this many bytes below the XOFF point;
    /// 0 for a lossy class.
    pub xon_offset_bytes: u64,
    /// Longest time that a frame may wait, in microseconds; `None`: as long as it takes.
    pub lifetime_us: Option<u32>,
}

/// One policy: frames that match get a priority.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// Name in tables and metrics.
    pub name: String,
    /// 0 to 255; the highest matching policy wins.
    pub precedence: u8,
    /// Any of these must match (a word such as `smb` expands to several).
    pub any_of: Vec<Match>,
    /// The priority it gives.
    pub priority: u8,
}

/// Conditions that must all hold. A `None` or empty field asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Match {
    /// Ports (by name) on which the frame arrived; empty: any.
    pub in_ports: Vec<String>,
    /// Source and destination MAC address.
    pub src_mac: Option<[u8; 6]>,
    /// Destination MAC address.
    pub dst_mac: Option<[u8; 6]>,
    /// VLAN of the frame after ingress classification.
    pub vlan: Option<u16>,
    /// PCP of the received tag.
    pub pcp: Option<u8>,
    /// Ethertype behind all tags.
    pub ethertype: Option<u16>,
    /// DSCP, IPv4 or IPv6.
    pub dscp: Option<u8>,
    /// IP protocol numbers, any of them; empty: any.
    pub protocols: Vec<u8>,
    /// Source prefix.
    pub src_ip: Option<IpPrefix>,
    /// Destination prefix.
    pub dst_ip: Option<IpPrefix>,
    /// Source port, inclusive range.
    pub src_port: Option<(u16, u16)>,
    /// Destination port, inclusive range.
    pub dst_port: Option<(u16, u16)>,
    /// Source *or* destination port, inclusive range (how an application's traffic is named).
    pub either_port: Option<(u16, u16)>,
}

/// An IP prefix; the bits behind `len` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IpPrefix {
    /// Network address.
    pub addr: IpAddr,
    /// Prefix length.
    pub len: u8,
}

/// Priority maps of the switch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Maps {
    /// PCP of a received tag -> priority.
    pub pcp_to_priority: [u8; 8],
    /// DSCP -> priority.
    #[serde(serialize_with = "serialize_slice")]
    pub dscp_to_priority: [u8; 64],
    /// Priority -> PCP, used by ports with `rewrite = ["pcp"]` and for every tag that is added.
    pub priority_to_pcp: [u8; 8],
    /// Priority -> DSCP, used by ports with `rewrite = ["dscp"]`; `None`: the DSCP stays.
    pub priority_to_dscp: [Option<u8>; 8],
}

fn serialize_slice<S: serde::Serializer>(v: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(v)
}

/// What a port believes of a frame's own priority marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The PCP of a tag (also of a priority tag, VID 0).
    Pcp,
    /// The DSCP of an IP header.
    Dscp,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// Name of the port: of the interface for `tap` and `packet`, of the switch's end for `veth`; at most 15 bytes.
    pub name: String,
    /// What the port is made of.
    pub kind: PortKind,
    /// Line rate in both directions; `None`: unlimited.
    pub line_rate: Option<BitRate>,
    /// L3 MTU in bytes (Windows' `jumbo_packet` is this plus 14).
    pub mtu: u16,
    /// Marks that are believed, first match first; empty: none.
    pub trust: Vec<Trust>,
    /// Priority of frames that neither a policy nor a trusted mark decides.
    pub default_priority: u8,
    /// VLAN membership.
    pub vlan: PortVlan,
    /// Isolated ports do not reach each other.
    pub isolated: bool,
    /// Most addresses learned on this port; `None`: only the switch's limit.
    pub fdb_limit: Option<u32>,
    /// Write the priority into the PCP of an outgoing tag.
    pub rewrite_pcp: bool,
    /// Write the priority into the DSCP of outgoing IP packets.
    pub rewrite_dscp: bool,
    /// Which pauses the port sends and obeys.
    pub flow_control: FlowControl,
    /// Rate at which pause quanta are counted; `None`: the line rate, which the port then has (see
    /// [`Port::pause_rate`]).
    pub pfc_rate: Option<BitRate>,
    /// Length of the cable in metres; what is in flight on it is part of the headroom.
    pub cable_metres: u32,
    /// How fast the peer stops after it was paused.
    pub peer_reaction: PeerReaction,
    /// Headroom of each lossless priority in bytes; `None`: as calculated (see [`crate::port_headroom`]).
    pub headroom_bytes: Option<u64>,
    /// Whether the port speaks LLDP; false also where the switch does not.
    pub lldp: bool,
    /// DCBX; `None`: off, as it is without LLDP.
    pub dcbx: Option<Dcbx>,
}

/// Which pauses a port sends and obeys (802.1Q 36, 802.3 annex 31B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum FlowControl {
    /// None.
    Off,
    /// 802.3x PAUSE of the whole port.
    Pause,
    /// Priority-based flow control.
    Pfc {
        /// Priorities whose pauses are obeyed.
        receive: PrioritySet,
        /// Priorities for which pauses are sent.
        transmit: PrioritySet,
    },
}

/// How fast a peer stops after it was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum PeerReaction {
    /// As a hardware MAC: within the quanta that 802.3 allows at the rate.
    Hardware,
    /// A program.
    Software {
        /// Microseconds after which it has stopped.
        us: u32,
    },
}

/// The PFC watchdog: what ends a pause that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Watchdog {
    /// A priority that was paused for this long while frames wait is in a storm: 100 to 5000 ms.
    pub detection_ms: u32,
    /// A storm is over when no pause came for this long: 100 to 60000 ms.
    pub restoration_ms: u32,
    /// How often it looks: at most 1000 ms and at most `detection_ms`.
    pub poll_ms: u32,
    /// What is done in a storm.
    pub action: WatchdogAction,
}

/// What the watchdog does in a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchdogAction {
    /// The queue is flushed and its frames are dropped; no pauses are sent for it.
    Drop,
    /// Received pauses of the priority are ignored.
    Forward,
    /// Only told.
    Alert,
}

/// VLAN settings of a port (802.1Q 6.9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortVlan {
    /// VLAN of untagged and priority-tagged frames; `None`: such frames are dropped.
    pub pvid: Option<u16>,
    /// VLANs sent without a tag (always holds `pvid`).
    pub untagged: Vec<u16>,
    /// VLANs sent with a tag, inclusive ranges.
    pub tagged: Vec<(u16, u16)>,
    /// Frames without a VLAN tag (VID 0 counts as none) are dropped.
    pub drop_untagged: bool,
    /// The port carries every VLAN as it comes: a tagged frame keeps its tag (a port without any
    /// `vlan` setting: the switch then bridges tags transparently).
    pub transparent: bool,
}

/// What a port is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum PortKind {
    /// A TAP interface, created if it does not exist.
    Tap {
        /// Network namespace in which the interface lives: a name, a path, or `pid:N`; `None`: ours.
        netns: Option<String>,
        /// Superframes (TSO, USO and checksum offload); off when the host must see plain frames.
        offload: bool,
    },
    /// A veth pair, created if it does not exist: one end is the switch's, the other the host's.
    Veth {
        /// Network namespace of the host's end; `None`: ours. The switch's end is in ours.
        netns: Option<String>,
        /// Name of the host's end.
        peer: String,
    },
    /// An Ethernet interface that exists, by a packet socket.
    Packet {
        /// Network namespace in which the interface lives; `None`: ours.
        netns: Option<String>,
    },
    /// QEMU's `-netdev stream` protocol: each frame behind its length.
    Stream {
        /// Where to.
        endpoint: StreamEndpoint,
    },
}

/// An end of a stream port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamEndpoint {
    /// Listen on a Unix socket; one peer at a time.
    ListenUnix(PathBuf),
    /// Connect to a Unix socket, again whenever it is lost.
    ConnectUnix(PathBuf),
    /// Listen on a TCP address.
    ListenTcp(SocketAddr),
    /// Connect to a TCP address.
    ConnectTcp(SocketAddr),
}

/// A static forwarding entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaticEntry {
    /// The address.
    pub mac: [u8; 6],
    /// Its VLAN.
    pub vlan: u16,
    /// Name of the port it is behind.
    pub port: String,
}
