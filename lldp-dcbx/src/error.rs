//! What can be wrong with something received, in three families that are counted apart: the bytes are
//! malformed, the peer broke the protocol, or we do not support what it asks for.
//!
//! Each value reads as the end of a sentence for a person; nothing here decides what to do about it.

use core::fmt;

use crate::types::PrioritySet;
use crate::wire::Kind;
use crate::wire::app::Selector;
use crate::wire::ets::Tsa;

/// Bytes that do not have the shape of what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not an LLDP frame, or shorter than its headers.
    NotLldp,
    /// More octets than an LLDPDU can have.
    TooLong {
        /// Octets found.
        octets: usize,
    },
    /// A TLV (or sub-TLV) announces more octets than are left.
    PastEnd {
        /// Type field.
        ty: u8,
        /// Announced length.
        length: u16,
        /// Octets left.
        left: usize,
    },
    /// Chassis ID, Port ID and TTL do not come first and in this order.
    Order,
    /// A mandatory TLV (type 1, 2 or 3) comes a second time.
    DuplicateMandatory {
        /// Type field.
        ty: u8,
    },
    /// A TLV whose length its kind cannot have.
    Length {
        /// Which TLV.
        kind: Kind,
        /// Its length in octets.
        length: usize,
    },
    /// A CEE or CIN TLV without its control sub-TLV.
    NoControl(Kind),
    /// An inner length field of a TLV points past its end.
    Inner(Kind),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLldp => f.write_str("not an LLDP frame"),
            Self::TooLong { octets } => write!(f, "LLDPDU of {octets} octets, at most 1500 are possible"),
            Self::PastEnd { ty, length, left } => {
                write!(f, "TLV of type {ty} claims {length} octets where {left} are left")
            }
            Self::Order => f.write_str("Chassis ID, Port ID and TTL do not come first"),
            Self::DuplicateMandatory { ty } => write!(f, "mandatory TLV of type {ty} twice"),
            Self::Length { kind, length } => write!(f, "{kind} TLV with {length} octets"),
            Self::NoControl(kind) => write!(f, "{kind} TLV without a control sub-TLV"),
            Self::Inner(kind) => write!(f, "{kind} TLV with an inner length past its end"),
        }
    }
}

/// Well-formed bytes that say something the protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The bandwidth shares of all classes or groups do not sum to 100.
    Shares {
        /// What they sum to.
        sum: u16,
    },
    /// A priority in a class (or group) number that does not exist.
    ClassRange {
        /// The priority.
        priority: u8,
        /// The number found.
        class: u8,
    },
    /// More priorities enabled for PFC than the sender says it can do.
    PfcOverCapability {
        /// Enabled priorities.
        enabled: PrioritySet,
        /// Announced capability.
        capability: u8,
    },
    /// A TLV that may come once comes again.
    Duplicate(Kind),
    /// A VLAN ID of 0 or 4095.
    VlanId(u16),
    /// A DSCP above 63.
    Dscp(u16),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shares { sum } => write!(f, "ETS shares sum to {sum}"),
            Self::ClassRange { priority, class } => {
                write!(f, "ETS puts priority {priority} into class {class}, which does not exist")
            }
            Self::PfcOverCapability { enabled, capability } => {
                write!(f, "PFC is enabled for {enabled} although its capability is {capability}")
            }
            Self::Duplicate(kind) => write!(f, "{kind} TLV comes twice"),
            Self::VlanId(vid) => write!(f, "VLAN ID {vid} does not exist"),
            Self::Dscp(dscp) => write!(f, "DSCP {dscp} does not exist"),
        }
    }
}

/// Legal, but more than this port can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A class number at or above the port's number of classes.
    Classes {
        /// Highest class number asked for.
        class: u8,
        /// Classes that the port has.
        have: u8,
    },
    /// A transmission selection algorithm that the port does not have.
    Algorithm {
        /// The class.
        class: u8,
        /// What is asked for.
        tsa: Tsa,
    },
    /// PFC for more priorities than the port can do.
    Pfc {
        /// Priorities asked for.
        enabled: PrioritySet,
        /// How many the port can do.
        have: u8,
    },
    /// An application selector that is reserved.
    Selector(Selector),
    /// Strict priority inside a CIN bandwidth group.
    GroupStrict {
        /// The priority.
        priority: u8,
    },
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes { class, have } => {
                write!(f, "ETS needs class {class}, this port has classes 0 to {}", have.saturating_sub(1))
            }
            Self::Algorithm { class, tsa } => {
                write!(f, "ETS wants algorithm {tsa} for class {class}, which this port does not have")
            }
            Self::Pfc { enabled, have } => {
                write!(f, "PFC is for priorities {enabled}, this port can do {have} of them")
            }
            Self::Selector(s) => write!(f, "application selector {} is reserved", s.code()),
            Self::GroupStrict { priority } => {
                write!(
                    f,
                    "priority {priority} is strict inside its bandwidth group, which this port does not have"
                )
            }
        }
    }
}

/// One of the three families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Malformed bytes.
    Malformed(Malformed),
    /// The peer violated the protocol.
    Violation(Violation),
    /// Unsupported here.
    Unsupported(Unsupported),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => e.fmt(f),
            Self::Violation(e) => e.fmt(f),
            Self::Unsupported(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<Malformed> for Error {
    fn from(e: Malformed) -> Self {
        Self::Malformed(e)
    }
}

impl From<Violation> for Error {
    fn from(e: Violation) -> Self {
        Self::Violation(e)
    }
}

impl From<Unsupported> for Error {
    fn from(e: Unsupported) -> Self {
        Self::Unsupported(e)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// How often each family was met. A received frame that differs from its predecessor is judged once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ErrorCounts {
    /// Malformed frames and TLVs.
    pub malformed: u64,
    /// Protocol violations.
    pub violation: u64,
    /// Requests that this port does not support.
    pub unsupported: u64,
}

impl ErrorCounts {
    /// Counts one error.
    pub fn count(&mut self, e: Error) {
        let counter = match e {
            Error::Malformed(_) => &mut self.malformed,
            Error::Violation(_) => &mut self.violation,
            Error::Unsupported(_) => &mut self.unsupported,
        };
        *counter = counter.saturating_add(1);
    }
}
