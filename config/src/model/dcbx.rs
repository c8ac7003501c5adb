//! LLDP and DCBX in the checked configuration.

use std::net::IpAddr;

use serde::Serialize;

/// LLDP on all ports (802.1AB 9.2.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lldp {
    /// Whether the switch speaks it.
    pub enabled: bool,
    /// Seconds between two LLDPDUs when nothing changes (msgTxInterval): 1 to 3600.
    pub tx_interval_seconds: u16,
    /// Intervals for which neighbours keep what they heard (msgTxHold): 1 to 100.
    pub hold: u8,
    /// LLDPDUs that are sent one a second when a neighbour is new (txFastInit): 1 to 8.
    pub fast_start: u8,
    /// Neighbours that a port remembers: 2 to 256.
    pub neighbor_limit: u16,
    /// Group addresses beside the nearest bridge's, each once.
    pub more_groups: Vec<LldpGroup>,
    /// Addresses that neighbours are told for managing the switch, each once.
    pub management_addresses: Vec<IpAddr>,
}

/// A group address of LLDP that reaches beyond the nearest bridge (802.1AB table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LldpGroup {
    /// 01-80-C2-00-00-03.
    NearestNonTpmr,
    /// 01-80-C2-00-00-00.
    NearestCustomer,
}

/// DCBX of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dcbx {
    /// Dialect.
    pub mode: DcbxMode,
    /// Whether it takes over what its peer says; for the role `manual` only, others decide themselves.
    pub willing: bool,
    /// Its part in handing on what a port of the switch learned.
    pub role: DcbxRole,
    /// What several peers mean.
    pub multi_peer: MultiPeer,
}

impl Dcbx {
    /// Whether the port may ever take over what its peer, or another port's, says.
    pub fn may_learn(&self) -> bool {
        self.willing || self.role != DcbxRole::Manual
    }
}

/// Dialect of DCBX that a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DcbxMode {
    /// IEEE; CEE or CIN to a peer that sends nothing newer.
    Auto,
    /// IEEE only (802.1Q clause 38).
    Ieee,
    /// CEE 1.01 only.
    Cee,
    /// CIN (pre-CEE) only.
    Cin,
}

/// Role of a port in DCBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DcbxRole {
    /// Its own settings.
    Manual,
    /// Towards a switch that may configure this one.
    AutoUpstream,
    /// Towards hosts and switches that get what this one learned.
    AutoDownstream,
    /// The upstream port that goes first.
    ConfigurationSource,
}

/// What several DCBX neighbours on one port mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MultiPeer {
    /// None is used until one remains (802.1Q 38.2).
    Disable,
    /// The first is used.
    KeepFirst,
}
