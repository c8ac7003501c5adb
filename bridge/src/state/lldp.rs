//! What the switch shows of LLDP and DCBX: plain data, made by the room `dcbx`.

use serde::{Deserialize, Serialize};

/// LLDP of a port, and DCBX if it has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortLldp {
    /// Source address of what the port sends.
    pub mac: String,
    /// Counters.
    pub counters: LldpCounters,
    /// Neighbours, oldest first.
    pub neighbors: Vec<Neighbor>,
    /// DCBX; `None`: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcbx: Option<Dcbx>,
}

/// Counters of an LLDP agent (802.1AB 9.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LldpCounters {
    /// LLDPDUs sent.
    pub frames_out: u64,
    /// LLDPDUs received.
    pub frames_in: u64,
    /// Of these, discarded: bad ones, and those of neighbours beyond the limit.
    pub frames_discarded: u64,
    /// Of these, bad as a whole.
    pub frames_in_errors: u64,
    /// TLVs dropped for an error.
    pub tlvs_discarded: u64,
    /// TLVs of an unknown kind.
    pub tlvs_unrecognized: u64,
    /// Neighbours whose time to live ran out.
    pub ageouts: u64,
}

/// A neighbour. What it does not say is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Group address to which it speaks: `nearest-bridge`, `nearest-non-tpmr`, `nearest-customer`.
    pub group: String,
    /// Source address of its frames.
    pub mac: String,
    /// Chassis ID.
    pub chassis: String,
    /// Port ID.
    pub port: String,
    /// System name.
    pub system_name: String,
    /// System description.
    pub system_description: String,
    /// Port description.
    pub port_description: String,
    /// Enabled capabilities: `bridge`, `router`, `station`.
    pub capabilities: Vec<String>,
    /// Management addresses.
    pub management: Vec<String>,
    /// Port VLAN ID.
    pub pvid: Option<u16>,
    /// Largest frame in octets, FCS included.
    pub max_frame_size: Option<u16>,
    /// Whether it sends DCBX.
    pub speaks_dcbx: bool,
    /// Seconds since it was first heard.
    pub known_seconds: u64,
    /// Seconds until it is forgotten unless it is heard again.
    pub expires_seconds: u64,
}

/// DCBX of a port, in four views: what the port can do, what it wants, what its peer says, and what holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dcbx {
    /// Configured mode: `auto`, `ieee`, `cee`, `cin`.
    pub mode: String,
    /// Dialect that it speaks: `IEEE`, `CEE`, `CIN`.
    pub dialect: String,
    /// Role, as configured.
    pub role: String,
    /// What comes of the role, e.g. `configuration source`; empty for the role `manual`.
    pub standing: String,
    /// `agreed`: both ends go together; `alone`: there is no peer; `differing`: see `diagnosis`.
    pub agreement: String,
    /// What the port can do.
    pub capability: Capability,
    /// What it wants.
    pub local: Values,
    /// What its peer says; `None`: no peer, or none that counts.
    pub peer: Option<Peer>,
    /// What holds.
    pub operational: Values,
    /// Why, in one sentence each.
    pub diagnosis: Vec<String>,
    /// How often what holds has changed.
    pub renegotiations: u64,
    /// How often the dialect has changed.
    pub dialect_changes: u64,
}

/// What a port can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Traffic classes.
    pub max_classes: u8,
    /// Priorities that can have PFC at once.
    pub pfc_priorities: u8,
}

/// Who the peer is and what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// System name, or chassis and port.
    pub name: String,
    /// Source address of its frames.
    pub mac: String,
    /// Newest dialect that it sends.
    pub dialect: String,
    /// Its values: its ETS Recommendation where it sends one.
    pub values: Values,
}

/// Values of one view; `None`: nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Classes and shares.
    pub ets: Option<Ets>,
    /// PFC.
    pub pfc: Option<Pfc>,
    /// Applications.
    pub applications: Vec<Application>,
}

/// Classes and shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ets {
    /// Class of each priority; `None`: in no class.
    pub class_of: Vec<Option<u8>>,
    /// Percent of each class.
    pub bandwidth: Vec<u8>,
    /// Algorithm of each class: `strict`, `ets`, others as numbers say.
    pub tsa: Vec<String>,
    /// How they stand.
    pub standing: Standing,
}

/// Priorities with PFC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pfc {
    /// As a bitmap.
    pub enabled: u8,
    /// How they stand.
    pub standing: Standing,
}

/// How a value stands in its view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Takes the other end's; `None` where it is not said.
    pub willing: Option<bool>,
    /// In operation; of a peer: not switched off.
    pub active: bool,
    /// Where an operational value comes from: `local`, `peer`, `propagated`; else empty.
    pub source: String,
}

/// Priority of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// `ethertype`, `tcp`, `udp`, `port` or `dscp`.
    pub selector: String,
    /// Ethertype, port or DSCP; ethertype 0: everything else.
    pub protocol: u16,
    /// Its priority.
    pub priority: u8,
    /// Where an operational entry comes from; else empty.
    pub source: String,
}
