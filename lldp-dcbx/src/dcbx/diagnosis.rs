//! Why both ends do not agree (or who gave way so that they do), each as one sentence for a person.

use alloc::string::String;
use core::fmt;

use super::config::Mode;
use super::dialect::Dialect;
use crate::error::Error;
use crate::types::PrioritySet;

/// A feature of DCBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Feature {
    /// Traffic classes and shares.
    Ets,
    /// Priority-based flow control.
    Pfc,
    /// Application priorities.
    App,
    /// Application VLANs.
    AppVlan,
    /// Congestion notification.
    Congestion,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ets => "ETS",
            Self::Pfc => "PFC",
            Self::App => "Application Priority",
            Self::AppVlan => "Application VLAN",
            Self::Congestion => "Congestion Notification",
        })
    }
}

/// Why a port's role keeps DCBX off on it: its peer insists on something else than the rest of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Hold {
    /// Port that is the configuration source.
    pub source: String,
    /// PFC priorities that it taught.
    pub taught: PrioritySet,
    /// PFC priorities of this port's peer.
    pub peer: PrioritySet,
}

/// One finding. `Display` is the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// The link is down.
    LinkDown,
    /// The LLDP agent may not receive.
    NotReceiving,
    /// The LLDP agent may not send.
    NotSending,
    /// Nobody was heard.
    NoNeighbor,
    /// Somebody was heard, without DCBX.
    NoDcbx {
        /// Who.
        neighbor: String,
    },
    /// A peer was there and is gone.
    PeerGone,
    /// The peer speaks what this port must not.
    DialectMismatch {
        /// What the peer sends.
        peer: Dialect,
        /// What the port is set to.
        port: Mode,
    },
    /// The port will follow the peer's change of dialect, later.
    DialectWait {
        /// What the peer sends.
        peer: Dialect,
        /// What the port speaks.
        port: Dialect,
        /// Least seconds between two changes.
        interval: u16,
    },
    /// Several peers, and none counts.
    ManyPeers {
        /// How many are known.
        known: usize,
    },
    /// Several peers, and the first one counts.
    FirstPeer {
        /// Who.
        peer: String,
        /// How many are ignored.
        ignored: usize,
    },
    /// This port does not send the feature, so that the peer cannot agree on it.
    NotAdvertised {
        /// Which.
        feature: Feature,
    },
    /// The peer does not send this feature.
    Missing {
        /// Which.
        feature: Feature,
    },
    /// The peer's TLV cannot be used.
    Unusable {
        /// Which feature.
        feature: Feature,
        /// Why.
        why: Error,
    },
    /// Both willing: one yields by its MAC address.
    BothWilling {
        /// Which feature.
        feature: Feature,
        /// It is the peer that yields.
        peer_yields: bool,
    },
    /// Both willing, and the addresses do not decide.
    EqualMacs {
        /// Which feature.
        feature: Feature,
    },
    /// Nobody is willing, and the settings differ.
    NobodyYields {
        /// Local PFC priorities.
        local: PrioritySet,
        /// The peer's.
        peer: PrioritySet,
    },
    /// Willing, and the peer recommends nothing.
    NoRecommendation,
    /// CEE and CIN: the peer signals that it could not agree.
    PeerError {
        /// Which feature.
        feature: Feature,
    },
    /// CEE and CIN: the feature is switched off at one end.
    Off {
        /// Which feature.
        feature: Feature,
        /// At the peer's end.
        at_peer: bool,
    },
    /// CEE and CIN: both equally willing, with settings that do not go together.
    Incompatible {
        /// Which feature.
        feature: Feature,
        /// Both willing (or both not).
        willing: bool,
    },
    /// CEE and CIN: the peer has not acknowledged the present settings.
    NotAcknowledged {
        /// Our sequence number.
        seq: u32,
        /// What it acknowledged.
        acked: u32,
    },
    /// This dialect cannot say some local applications.
    CannotSay {
        /// How many.
        entries: usize,
        /// The dialect.
        dialect: Dialect,
    },
    /// The port's role keeps DCBX off.
    Held(Hold),
}

impl Diagnosis {
    /// Whether both ends may well agree in spite of it: it only tells who gave way, or who is ignored.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::BothWilling { .. } | Self::FirstPeer { .. } | Self::CannotSay { .. })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkDown => f.write_str("link is down"),
            Self::NotReceiving => f.write_str("LLDP does not receive on this port, so no peer can be heard"),
            Self::NotSending => f.write_str("LLDP does not send on this port, so the peer cannot hear it"),
            Self::NoNeighbor => f.write_str("no LLDP neighbour heard"),
            Self::NoDcbx { neighbor } => write!(f, "neighbour {neighbor} sends LLDP without DCBX"),
            Self::PeerGone => f.write_str("the peer is gone; local values are used"),
            Self::DialectMismatch { peer, port } => {
                write!(f, "peer sends {peer} only; this port is {}: set mode = \"auto\"", name(*port))
            }
            Self::DialectWait { peer, port, interval } => write!(
                f,
                "peer sends {peer}; this port changed to {port} less than {interval} s ago and will follow"
            ),
            Self::ManyPeers { known } => write!(
                f,
                "{known} or more neighbours send DCBX; none is used until one remains (multi_peer = \"disable\")"
            ),
            Self::FirstPeer { peer, ignored } => write!(
                f,
                "{peer} was first and is the peer; {ignored} other DCBX neighbours are ignored (multi_peer = \"keep-first\")"
            ),
            Self::NotAdvertised { feature } => {
                write!(f, "this port does not send {feature}, so the peer cannot agree on it")
            }
            Self::Missing { feature } => write!(f, "peer sends no {feature} TLV; the local value is used"),
            Self::Unusable { why, .. } => write!(f, "peer's {why}"),
            Self::BothWilling { feature, peer_yields: true } => {
                write!(f, "{feature}: both willing; peer has the lower MAC, so it yields")
            }
            Self::BothWilling { feature, peer_yields: false } => {
                write!(f, "{feature}: both willing; this port has the lower MAC, so it yields")
            }
            Self::EqualMacs { feature } => {
                write!(f, "{feature}: both willing with the same MAC address; each keeps its own value")
            }
            Self::NobodyYields { local, peer } => {
                write!(f, "PFC differs and neither end is willing: {local} here, {peer} at the peer")
            }
            Self::NoRecommendation => {
                f.write_str("willing for ETS, but the peer recommends nothing; the local value is used")
            }
            Self::PeerError { feature } => write!(f, "peer signals an error for {feature}"),
            Self::Off { feature, at_peer: true } => write!(f, "{feature} is switched off at the peer"),
            Self::Off { feature, at_peer: false } => write!(f, "{feature} is switched off here"),
            Self::Incompatible { feature, willing } => {
                let who = if *willing { "both ends are" } else { "neither end is" };
                write!(
                    f,
                    "{feature} is off: {who} willing and the settings differ; make one end willing, or both equal"
                )
            }
            Self::NotAcknowledged { seq, acked } => {
                write!(f, "peer has not acknowledged the present settings (sent {seq}, acknowledged {acked})")
            }
            Self::CannotSay { entries, dialect } => {
                write!(f, "{entries} local applications cannot be expressed in {dialect} and are not sent")
            }
            Self::Held(Hold { source, taught, peer }) => write!(
                f,
                "DCBX is off on this port: its peer insists on PFC {peer}, the configuration source {source} taught {taught}"
            ),
        }
    }
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Ieee => "IEEE",
        Mode::Cee => "CEE",
        Mode::Cin => "CIN",
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Diagnosis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
