//! LLDP (802.1AB clause 9): one agent per port and group address. What TLVs mean stays out of here.

mod agent;
mod neighbor;
mod receive;
pub mod tables;
mod transmit;

use core::time::Duration;

pub use agent::GroupAgent;
pub use neighbor::{Neighbor, NeighborChange, NeighborId, Removal};

use crate::error::ErrorCounts;
use crate::types::Mac;

/// Scope of an LLDP agent (802.1AB table 7-1). Frames to these addresses are never forwarded by the
/// bridges that they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Group {
    /// 01-80-C2-00-00-0E: the other end of the cable. DCBX is spoken here only.
    NearestBridge,
    /// 01-80-C2-00-00-03: passes two-port MAC relays.
    NearestNonTpmr,
    /// 01-80-C2-00-00-00: passes provider bridges.
    NearestCustomer,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NearestBridge, Self::NearestNonTpmr, Self::NearestCustomer];

    /// Destination address of its frames.
    pub const fn address(self) -> Mac {
        let last = match self {
            Self::NearestBridge => 0x0e,
            Self::NearestNonTpmr => 0x03,
            Self::NearestCustomer => 0x00,
        };
        Mac([0x01, 0x80, 0xc2, 0x00, 0x00, last])
    }

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NearestBridge => "nearest-bridge",
            Self::NearestNonTpmr => "nearest-non-tpmr",
            Self::NearestCustomer => "nearest-customer",
        }
    }

    /// The scope that an address stands for.
    pub fn of(address: Mac) -> Option<Self> {
        Self::ALL.into_iter().find(|g| g.address() == address)
    }
}

impl core::fmt::Display for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// What an agent may do (802.1AB 9.2.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum AdminStatus {
    /// Send and receive.
    #[default]
    RxTx,
    /// Receive only.
    RxOnly,
    /// Send only.
    TxOnly,
    /// Neither.
    Disabled,
}

impl AdminStatus {
    /// Whether the agent sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::RxTx | Self::TxOnly)
    }

    /// Whether it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::RxTx | Self::RxOnly)
    }
}

/// Timers and limits of an agent. Values outside their range are brought into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LldpConfig {
    /// What the agent may do.
    pub admin_status: AdminStatus,
    /// Seconds between two LLDPDUs when nothing changes: 1 to 3600, default 30. Also the shortest time
    /// between two changes of the DCBX dialect.
    pub msg_tx_interval: u16,
    /// Information holds for this many intervals: 1 to 100, default 4.
    pub msg_tx_hold: u8,
    /// Seconds between a shutdown LLDPDU and the next start: 1 to 10, default 2.
    pub reinit_delay: u8,
    /// Seconds between LLDPDUs in the fast start: 1 to 3600, default 1.
    pub msg_fast_tx: u16,
    /// LLDPDUs of a fast start: 1 to 8, default 4.
    pub tx_fast_init: u8,
    /// LLDPDUs that may be sent in a burst: 1 to 10, default 5; one more becomes possible each second.
    pub tx_credit_max: u8,
    /// Neighbours that are remembered: 1 to 256, default 8. One place is kept for a neighbour that
    /// speaks DCBX as long as none is known.
    pub neighbor_limit: u16,
}

impl Default for LldpConfig {
    fn default() -> Self {
        Self {
            admin_status: AdminStatus::RxTx,
            msg_tx_interval: 30,
            msg_tx_hold: 4,
            reinit_delay: 2,
            msg_fast_tx: 1,
            tx_fast_init: 4,
            tx_credit_max: 5,
            neighbor_limit: 8,
        }
    }
}

impl LldpConfig {
    /// The same with every value in its range.
    #[must_use]
    pub fn in_range(self) -> Self {
        Self {
            admin_status: self.admin_status,
            msg_tx_interval: self.msg_tx_interval.clamp(1, 3600),
            msg_tx_hold: self.msg_tx_hold.clamp(1, 100),
            reinit_delay: self.reinit_delay.clamp(1, 10),
            msg_fast_tx: self.msg_fast_tx.clamp(1, 3600),
            tx_fast_init: self.tx_fast_init.clamp(1, 8),
            tx_credit_max: self.tx_credit_max.clamp(1, 10),
            neighbor_limit: self.neighbor_limit.clamp(1, 256),
        }
    }

    /// The TTL that is sent: interval x hold + 1, at most 65535 (802.1AB 9.2.5.22).
    pub fn ttl(&self) -> u16 {
        let ttl = u32::from(self.msg_tx_interval) * u32::from(self.msg_tx_hold) + 1;
        u16::try_from(ttl).unwrap_or(u16::MAX)
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(self.msg_tx_interval.into())
    }
}

/// Counters of an agent (802.1AB 9.2.6), saturating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Statistics {
    /// LLDPDUs sent, shutdown ones included.
    pub frames_out: u64,
    /// LLDPDUs received.
    pub frames_in: u64,
    /// Received LLDPDUs discarded: bad ones, and those of neighbours beyond the limit.
    pub frames_discarded: u64,
    /// Received LLDPDUs that were bad as a whole.
    pub frames_in_errors: u64,
    /// Received TLVs dropped for an error, counted when an LLDPDU differs from its predecessor.
    pub tlvs_discarded: u64,
    /// Received TLVs of an unknown kind, kept, counted likewise.
    pub tlvs_unrecognized: u64,
    /// Neighbours whose information ran out.
    pub ageouts: u64,
    /// Neighbours added.
    pub inserts: u64,
    /// Neighbours removed, for whatever reason.
    pub deletes: u64,
    /// LLDPDUs of newcomers refused because of the limit.
    pub drops: u64,
    /// Optional TLVs left out of a sent LLDPDU because it was full.
    pub length_errors: u64,
    /// Changes that were not reported as events because nobody fetched them.
    pub events_lost: u64,
    /// Errors by family.
    pub errors: ErrorCounts,
}

pub(crate) fn bump(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
