//! DCBX CEE 1.01: one TLV, OUI 00-1B-21, subtype 2, with control, priority groups, PFC and applications.

use alloc::vec::Vec;

use super::subtlv::{CONTROL, Control, FeatureHead, RawSub, SubTlvs};
use super::tlv::emit_org;
use super::{Kind, OUI_LEGACY, be16, nibbles, octets8, pack_nibbles};
use crate::error::{Error, Malformed, Violation};
use crate::types::PrioritySet;

/// Sub-TLV type of priority groups.
pub const PG: u8 = 2;
/// Sub-TLV type of PFC.
pub const PFC: u8 = 3;
/// Sub-TLV type of applications.
pub const APP: u8 = 4;
/// Group number of strict priorities.
pub const STRICT_GROUP: u8 = 15;

/// A feature as it was received: absent, unusable, or its head and value. A value may break the rules
/// while its head can still be honoured.
pub type Received<T> = Result<Option<(FeatureHead, Result<T, Violation>)>, Error>;

/// A CEE TLV with its control sub-TLV; features are looked at one by one, so that a bad one does not
/// spoil the others.
#[derive(Clone, Copy, Debug)]
pub struct CeeView<'a>(SubTlvs<'a>);

impl<'a> CeeView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// As [`SubTlvs::new_checked`].
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        SubTlvs::new_checked(Kind::Cee, v).map(Self)
    }

    /// The control sub-TLV.
    pub fn control(&self) -> Control {
        self.0.control()
    }

    /// Priority groups.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn pg(&self) -> Received<PriorityGroups> {
        let found = self.0.feature(Kind::PriorityGroups, PG, 0, |l| l == 17)?;
        Ok(found.map(|(head, v)| (head, PriorityGroups::new(nibbles(v, 0), octets8(v, 4), v[12]))))
    }

    /// PFC.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn pfc(&self) -> Received<LegacyPfc> {
        let found = self.0.feature(Kind::Pfc, PFC, 0, |l| l == 6)?;
        Ok(found.map(|(head, v)| (head, Ok(LegacyPfc { enabled: PrioritySet(v[0]), max_priorities: v[1] }))))
    }

    /// Applications.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn app(&self) -> Received<CeeApps> {
        let found = self.0.feature(Kind::AppPriority, APP, 0, |l| (l - 4).is_multiple_of(6))?;
        Ok(found.map(|(head, v)| (head, Ok(CeeApps(v.chunks_exact(6).map(CeeApp::parse).collect())))))
    }
}

/// Priority groups: every priority in a group 0 to 7 or the strict one (15); shares sum to 100, or are
/// all zero when every priority is strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityGroups {
    group_of: [u8; 8],
    percent: [u8; 8],
    max_classes: u8,
}

impl PriorityGroups {
    /// Group by priority, percent by group, and how many classes the sender has.
    ///
    /// # Errors
    /// [`Violation::ClassRange`], [`Violation::Shares`].
    pub fn new(group_of: [u8; 8], percent: [u8; 8], max_classes: u8) -> Result<Self, Violation> {
        if let Some(p) = group_of.iter().position(|g| *g > 7 && *g != STRICT_GROUP) {
            return Err(Violation::ClassRange { priority: p as u8, class: group_of[p] });
        }
        let sum: u16 = percent.iter().map(|p| u16::from(*p)).sum();
        let all_strict = group_of.iter().all(|g| *g == STRICT_GROUP);
        if sum != 100 && !(sum == 0 && all_strict) {
            return Err(Violation::Shares { sum });
        }
        Ok(Self { group_of, percent, max_classes })
    }

    /// Group of each priority.
    pub fn groups(&self) -> [u8; 8] {
        self.group_of
    }

    /// Percent of each group.
    pub fn percent(&self) -> [u8; 8] {
        self.percent
    }

    /// How many classes the sender has.
    pub fn max_classes(&self) -> u8 {
        self.max_classes
    }
}

/// PFC of CEE; CIN has only the bitmap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyPfc {
    /// Enabled priorities.
    pub enabled: PrioritySet,
    /// How many priorities the sender can do; 0 where it does not say.
    pub max_priorities: u8,
}

/// One application of CEE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CeeApp {
    /// Two bits: 0 ethertype, 1 port, 2 and 3 reserved.
    pub selector: u8,
    /// Ethertype or port.
    pub protocol: u16,
    /// Organisation that defines the protocol; the low two bits of the first octet do not exist.
    pub oui: [u8; 3],
    /// Its priorities, as a bitmap.
    pub priorities: u8,
}

impl CeeApp {
    fn parse(e: &[u8]) -> Self {
        Self { selector: e[2] & 3, protocol: be16(e, 0), oui: [e[2] & 0xfc, e[3], e[4]], priorities: e[5] }
    }

    fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.protocol.to_be_bytes());
        out.push(self.oui[0] & 0xfc | self.selector & 3);
        out.extend_from_slice(&[self.oui[1], self.oui[2], self.priorities]);
    }
}

/// Applications of CEE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CeeApps(Vec<CeeApp>);

impl CeeApps {
    /// Most entries that are sent, so that the whole message always fits its TLV.
    pub const MAX: usize = 64;

    /// `None` over 64 entries.
    pub fn new(entries: Vec<CeeApp>) -> Option<Self> {
        (entries.len() <= Self::MAX).then_some(Self(entries))
    }

    /// The entries.
    pub fn entries(&self) -> &[CeeApp] {
        &self.0
    }
}

/// A whole CEE TLV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeeMessage {
    control: Control,
    pg: Option<(FeatureHead, PriorityGroups)>,
    pfc: Option<(FeatureHead, LegacyPfc)>,
    app: Option<(FeatureHead, CeeApps)>,
    unknown: Vec<RawSub>,
}

impl CeeMessage {
    /// A message of the known features; it fits one TLV by their bounds.
    pub fn new(
        control: Control,
        pg: Option<(FeatureHead, PriorityGroups)>,
        pfc: Option<(FeatureHead, LegacyPfc)>,
        app: Option<(FeatureHead, CeeApps)>,
    ) -> Self {
        Self { control, pg, pfc, app, unknown: Vec::new() }
    }

    /// Parses a whole message; the first bad feature fails it (see [`CeeView`] for one by one).
    ///
    /// # Errors
    /// What is wrong with the feature.
    pub fn parse(v: &CeeView<'_>) -> Result<Self, Error> {
        let unknown = v.0.iter().filter(|s| ![CONTROL, PG, PFC, APP].contains(&s.ty)).map(RawSub::new);
        Ok(Self {
            control: v.control(),
            pg: strict(v.pg()?)?,
            pfc: strict(v.pfc()?)?,
            app: strict(v.app()?)?,
            unknown: unknown.collect(),
        })
    }

    /// The control sub-TLV.
    pub fn control(&self) -> Control {
        self.control
    }

    /// Sub-TLVs of unknown types.
    pub fn unknown(&self) -> &[RawSub] {
        &self.unknown
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_LEGACY, 2, |o| {
            self.control.emit(o);
            if let Some((head, pg)) = &self.pg {
                head.emit(o, PG, |o| {
                    o.extend_from_slice(&pack_nibbles(pg.group_of));
                    o.extend_from_slice(&pg.percent);
                    o.push(pg.max_classes);
                });
            }
            if let Some((head, pfc)) = &self.pfc {
                head.emit(o, PFC, |o| o.extend_from_slice(&[pfc.enabled.0, pfc.max_priorities]));
            }
            if let Some((head, app)) = &self.app {
                head.emit(o, APP, |o| app.0.iter().for_each(|a| a.emit(o)));
            }
            self.unknown.iter().for_each(|u| u.emit(o));
        });
    }
}

pub(crate) fn strict<T>(
    f: Option<(FeatureHead, Result<T, Violation>)>,
) -> Result<Option<(FeatureHead, T)>, Violation> {
    f.map(|(head, value)| value.map(|v| (head, v))).transpose()
}
