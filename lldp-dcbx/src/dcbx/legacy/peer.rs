//! The peer's CEE or CIN TLV in one form.

use alloc::vec;
use alloc::vec::Vec;

use super::convert;
use crate::dcbx::config::Capability;
use crate::error::{Error, Violation};
use crate::types::PrioritySet;
use crate::wire::cee::{CeeApp, CeeView, PriorityGroups, Received};
use crate::wire::cin::{BandwidthGroups, CinApp, CinView};
use crate::wire::ets::EtsTable;
use crate::wire::subtlv::{Control, FeatureHead};

/// What the peer says about one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case", bound(serialize = "T: serde::Serialize"))
)]
pub enum Heard<T> {
    /// Nothing.
    Absent,
    /// Twice, or malformed.
    Bad(Error),
    /// Its head, and its value or why that cannot be used.
    Said {
        /// The head.
        head: FeatureHead,
        /// The value.
        #[cfg_attr(feature = "serde", serde(serialize_with = "good_or_bad"))]
        value: Result<T, Error>,
    },
}

impl<T> Heard<T> {
    fn new<W>(received: Received<W>, with: impl FnOnce(W) -> Result<T, Error>) -> Self {
        match received {
            Ok(None) => Self::Absent,
            Err(e) => Self::Bad(e),
            Ok(Some((head, value))) => Self::Said { head, value: value.map_err(Error::from).and_then(with) },
        }
    }

    /// The value, if it can be used.
    pub fn value(&self) -> Option<&T> {
        if let Self::Said { value: Ok(v), .. } = self { Some(v) } else { None }
    }

    /// The head.
    pub fn head(&self) -> Option<FeatureHead> {
        if let Self::Said { head, .. } = self { Some(*head) } else { None }
    }

    /// What is wrong with it.
    pub fn error(&self) -> Option<Error> {
        match self {
            Self::Bad(e) | Self::Said { value: Err(e), .. } => Some(*e),
            _ => None,
        }
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Bad(Error::Violation(Violation::Duplicate(_))))
    }
}

/// In the words of [`crate::dcbx::peer::Slot`].
#[cfg(feature = "serde")]
fn good_or_bad<T: serde::Serialize, S: serde::Serializer>(
    value: &Result<T, Error>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Ok(v) => s.collect_map([("good", v)]),
        Err(e) => s.collect_map([("bad", e)]),
    }
}

/// Groups as the dialect puts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// CEE.
    Cee(PriorityGroups),
    /// CIN.
    Cin(BandwidthGroups),
}

/// The peer's groups: as they came, and as classes of this port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Offer {
    /// As they came.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub groups: Groups,
    /// As classes.
    pub table: EtsTable,
}

/// The peer's TLV.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LegacyPeer {
    /// The control sub-TLV.
    pub control: Control,
    /// Groups.
    pub ets: Heard<Offer>,
    /// PFC.
    pub pfc: Heard<PrioritySet>,
    /// Applications: one feature in CEE, one per application in CIN (by its subtype).
    pub app: Vec<Heard<Vec<CeeApp>>>,
}

impl LegacyPeer {
    /// From a CEE TLV.
    pub fn cee(v: &CeeView<'_>, capability: Capability) -> Self {
        let groups = |g| Ok(Offer { groups: Groups::Cee(g), table: convert::from_cee(g, capability)? });
        Self {
            control: v.control(),
            ets: Heard::new(v.pg(), groups),
            pfc: Heard::new(v.pfc(), |p| capability.pfc(p.enabled)),
            app: vec![Heard::new(v.app(), |a| Ok(a.entries().to_vec()))],
        }
    }

    /// From a CIN TLV.
    pub fn cin(v: &CinView<'_>, capability: Capability) -> Self {
        let groups = |g| Ok(Offer { groups: Groups::Cin(g), table: convert::from_cin(g, capability)? });
        let app = |app| Heard::new(v.app(app), |p| Ok(vec![convert::cin_app(app, p)]));
        Self {
            control: v.control(),
            ets: Heard::new(v.pg(), groups),
            pfc: Heard::new(v.pfc(), |p| capability.pfc(p.enabled)),
            app: CinApp::ALL.map(app).into_iter().collect(),
        }
    }
}
