//! The values that hold on a port, each with where it comes from.

use alloc::vec::Vec;

use super::dialect::Dialect;
use crate::types::{Priority, PrioritySet};
use crate::wire::app::{AppEntry, AppVlanTable, Selector};
use crate::wire::ets::EtsTable;

/// Where an operational value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Source {
    /// This port's configuration.
    Local,
    /// The peer on this port.
    Peer,
    /// The switch's configuration source, on another port.
    Propagated,
}

/// One negotiated value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Negotiated<T> {
    /// The value.
    pub value: T,
    /// Whether the feature is in operation (CEE and CIN can agree that it is not).
    pub active: bool,
    /// Where the value comes from.
    pub source: Source,
}

/// One application's priority with its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppRule {
    /// The entry.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub entry: AppEntry,
    /// Where it comes from.
    pub source: Source,
}

/// Congestion notification domain defence of one priority (802.1Q 32.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Defence {
    /// The peer is outside the domain: remap on input, strip CN-tags on output.
    Edge,
    /// The peer is inside, and not ready for CN-tags.
    Interior,
    /// The peer is inside and ready: CN-tags are kept.
    InteriorReady,
}

/// Everything that holds on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Operational {
    /// Dialect that the port speaks.
    pub dialect: Dialect,
    /// Classes and shares. They hold also while ETS is not `active`: then they are the local ones.
    pub ets: Negotiated<EtsTable>,
    /// PFC; see [`Operational::pfc_enabled`] for what to act on.
    pub pfc: Negotiated<PrioritySet>,
    /// Applications: an entry of the port's own wins over the peer's for the same application.
    pub app: Negotiated<Vec<AppRule>>,
    /// The peer's application VLANs (informational).
    pub app_vlan: Option<AppVlanTable>,
    /// Defence of each local congestion notification priority value.
    pub congestion: Vec<(Priority, Defence)>,
}

impl Operational {
    /// Priorities for which PFC is in operation.
    pub fn pfc_enabled(&self) -> PrioritySet {
        if self.pfc.active { self.pfc.value } else { PrioritySet::EMPTY }
    }

    /// Priority of an application; of several the highest.
    pub fn app_priority(&self, selector: Selector, protocol: u16) -> Option<Priority> {
        let of = |r: &&AppRule| r.entry.selector == selector && r.entry.protocol == protocol;
        self.app.value.iter().filter(of).map(|r| r.entry.priority).max()
    }
}
