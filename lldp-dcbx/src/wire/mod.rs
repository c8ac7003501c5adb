//! Frame formats: LLDPDU (802.1AB clause 8) and the TLVs of 802.1, 802.3, DCBX IEEE, CEE and CIN.
//!
//! Two levels. A *view* (`EtsView`, `CeeView`, ...) wraps the octets of one TLV, is made by
//! `new_checked` and gives every field as it is on the wire. A *repr* (`EtsTable`, `Pfc`,
//! `AppTable`, ...) holds legal values only, is parsed from a view and emits bytes; what cannot be
//! said legally has no representation. Code points that are merely unknown survive a round trip.
//!
//! Panic contract: nothing here panics on any input. A view's accessors rely on the length that
//! `new_checked` proved. `emit` of any repr gives a TLV of at most 511 octets; constructors see to it.
//!
//! No state, no time, no policy: what a value *means* for a port is decided in `dcbx`.

pub mod app;
pub mod basic;
pub mod cee;
pub mod cin;
pub mod congestion;
pub mod ets;
pub mod ids;
pub mod org;
pub mod pdu;
pub mod pfc;
pub mod subtlv;
pub mod tlv;

use core::fmt;

pub use ids::{ChassisId, PortId};
pub use pdu::{Lldpdu, PduView, frame};
pub use tlv::{Tlv, TlvIter, TlvView};

/// Ethertype of LLDP.
pub const ETHERTYPE: u16 = 0x88cc;
/// OUI of 802.1.
pub const OUI_8021: [u8; 3] = [0x00, 0x80, 0xc2];
/// OUI of 802.3.
pub const OUI_8023: [u8; 3] = [0x00, 0x12, 0x0f];
/// OUI of the pre-standard DCBX dialects (CEE and CIN).
pub const OUI_LEGACY: [u8; 3] = [0x00, 0x1b, 0x21];
/// Largest LLDPDU: the payload of an untagged frame.
pub const MAX_LLDPDU: usize = 1500;
/// Largest TLV information string (nine-bit length).
pub const MAX_TLV: usize = 511;

/// Kind of a TLV, for messages and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// End of LLDPDU.
    End,
    /// Chassis ID.
    ChassisId,
    /// Port ID.
    PortId,
    /// Time to live.
    Ttl,
    /// Port description.
    PortDescription,
    /// System name.
    SystemName,
    /// System description.
    SystemDescription,
    /// System capabilities.
    Capabilities,
    /// Management address.
    ManagementAddress,
    /// 802.1 port VLAN ID.
    Pvid,
    /// 802.1 VLAN name.
    VlanName,
    /// Link aggregation (802.1AX, or its older 802.3 form).
    LinkAggregation,
    /// 802.3 maximum frame size.
    MaxFrameSize,
    /// Congestion Notification.
    CongestionNotification,
    /// ETS Configuration.
    EtsConfiguration,
    /// ETS Recommendation.
    EtsRecommendation,
    /// PFC Configuration, or the PFC feature of CEE and CIN.
    Pfc,
    /// Application Priority, or the application feature of CEE and CIN.
    AppPriority,
    /// Application VLAN.
    AppVlan,
    /// The one TLV of DCBX CEE 1.01.
    Cee,
    /// The one TLV of DCBX CIN.
    Cin,
    /// Priority groups of CEE and CIN.
    PriorityGroups,
    /// Logical link of CIN.
    LogicalLink,
    /// Any other organisationally specific TLV.
    OtherOrganisation,
    /// Any other type.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "End of LLDPDU",
            Self::ChassisId => "Chassis ID",
            Self::PortId => "Port ID",
            Self::Ttl => "Time To Live",
            Self::PortDescription => "Port Description",
            Self::SystemName => "System Name",
            Self::SystemDescription => "System Description",
            Self::Capabilities => "System Capabilities",
            Self::ManagementAddress => "Management Address",
            Self::Pvid => "Port VLAN ID",
            Self::VlanName => "VLAN Name",
            Self::LinkAggregation => "Link Aggregation",
            Self::MaxFrameSize => "Maximum Frame Size",
            Self::CongestionNotification => "Congestion Notification",
            Self::EtsConfiguration => "ETS Configuration",
            Self::EtsRecommendation => "ETS Recommendation",
            Self::Pfc => "PFC",
            Self::AppPriority => "Application Priority",
            Self::AppVlan => "Application VLAN",
            Self::Cee => "CEE",
            Self::Cin => "CIN",
            Self::PriorityGroups => "Priority Groups",
            Self::LogicalLink => "Logical Link",
            Self::OtherOrganisation => "organisationally specific",
            Self::Other => "unknown",
        })
    }
}

/// Big-endian u16 at `at`; the caller has proved the length.
pub(crate) fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

/// Big-endian u32 at `at`; the caller has proved the length.
pub(crate) fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// Eight nibbles from four octets, the first in the high half.
pub(crate) fn nibbles(b: &[u8], at: usize) -> [u8; 8] {
    core::array::from_fn(|i| b[at + i / 2] >> (if i % 2 == 0 { 4 } else { 0 }) & 0xf)
}

/// The reverse of [`nibbles`].
pub(crate) fn pack_nibbles(n: [u8; 8]) -> [u8; 4] {
    core::array::from_fn(|i| n[2 * i] << 4 | n[2 * i + 1] & 0xf)
}

/// Eight octets from `at`.
pub(crate) fn octets8(b: &[u8], at: usize) -> [u8; 8] {
    core::array::from_fn(|i| b[at + i])
}
