//! DCBX CIN (pre-CEE, Cisco-Intel-Nuova): one TLV, OUI 00-1B-21, subtype 1.

use alloc::vec::Vec;

use super::cee::{LegacyPfc, Received, strict};
use super::subtlv::{CONTROL, Control, FeatureHead, RawSub, SubTlvs};
use super::tlv::emit_org;
use super::{Kind, OUI_LEGACY, octets8};
use crate::error::{Error, Malformed, Violation};
use crate::types::PrioritySet;

/// Sub-TLV type of priority groups.
pub const PG: u8 = 2;
/// Sub-TLV type of PFC.
pub const PFC: u8 = 3;
/// Sub-TLV type of applications.
pub const APP: u8 = 5;
/// Sub-TLV type of logical links.
pub const LOGICAL_LINK: u8 = 6;

/// An application that CIN knows; the value is its feature subtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CinApp {
    /// Fibre Channel over Ethernet (ethertype 0x8906).
    Fcoe = 0,
    /// iSCSI (port 3260).
    Iscsi = 1,
    /// Initialisation of that protocol (ethertype 0x8914).
    Fip = 2,
}

impl CinApp {
    /// All of them, by subtype.
    pub const ALL: [Self; 3] = [Self::Fcoe, Self::Iscsi, Self::Fip];
}

/// A CIN TLV with its control sub-TLV; features are looked at one by one.
#[derive(Clone, Copy, Debug)]
pub struct CinView<'a>(SubTlvs<'a>);

impl<'a> CinView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// As [`SubTlvs::new_checked`].
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        SubTlvs::new_checked(Kind::Cin, v).map(Self)
    }

    /// The control sub-TLV.
    pub fn control(&self) -> Control {
        self.0.control()
    }

    /// Bandwidth groups.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn pg(&self) -> Received<BandwidthGroups> {
        let found = self.0.feature(Kind::PriorityGroups, PG, 0, |l| l == 28)?;
        Ok(found.map(|(head, v)| {
            let of = |i: usize| CinPriority {
                group: v[8 + 2 * i] >> 5,
                strict: v[8 + 2 * i] >> 3 & 3,
                percent: v[9 + 2 * i],
            };
            (head, BandwidthGroups::new(octets8(v, 0), core::array::from_fn(of)))
        }))
    }

    /// PFC.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn pfc(&self) -> Received<LegacyPfc> {
        let found = self.0.feature(Kind::Pfc, PFC, 0, |l| l == 5)?;
        Ok(found.map(|(head, v)| (head, Ok(LegacyPfc { enabled: PrioritySet(v[0]), max_priorities: 0 }))))
    }

    /// Priorities of one application.
    ///
    /// # Errors
    /// Duplicate or of a wrong length.
    pub fn app(&self, app: CinApp) -> Received<PrioritySet> {
        let found = self.0.feature(Kind::AppPriority, APP, app as u8, |l| l == 5)?;
        Ok(found.map(|(head, v)| (head, Ok(PrioritySet(v[0])))))
    }
}

/// How one priority is served inside the groups of CIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CinPriority {
    /// Bandwidth group, 0 to 7.
    pub group: u8,
    /// 0 shared, 1 strict inside the group, 2 strict on the link, 3 reserved.
    pub strict: u8,
    /// Percent of the group.
    pub percent: u8,
}

/// Bandwidth groups: shares of the groups sum to 100, or to 0 when every priority is strict on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandwidthGroups {
    percent: [u8; 8],
    priorities: [CinPriority; 8],
}

impl BandwidthGroups {
    /// Percent by group, and how each priority is served (fields are cut to their bits).
    ///
    /// # Errors
    /// [`Violation::Shares`].
    pub fn new(percent: [u8; 8], priorities: [CinPriority; 8]) -> Result<Self, Violation> {
        let sum: u16 = percent.iter().map(|p| u16::from(*p)).sum();
        if sum != 100 && !(sum == 0 && priorities.iter().all(|p| p.strict == 2)) {
            return Err(Violation::Shares { sum });
        }
        let priorities =
            priorities.map(|p| CinPriority { group: p.group & 7, strict: p.strict & 3, percent: p.percent });
        Ok(Self { percent, priorities })
    }

    /// Percent of each group.
    pub fn percent(&self) -> [u8; 8] {
        self.percent
    }

    /// How each priority is served.
    pub fn priorities(&self) -> [CinPriority; 8] {
        self.priorities
    }
}

/// A whole CIN TLV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CinMessage {
    control: Control,
    pg: Option<(FeatureHead, BandwidthGroups)>,
    pfc: Option<(FeatureHead, LegacyPfc)>,
    apps: [Option<(FeatureHead, PrioritySet)>; 3],
    unknown: Vec<RawSub>,
}

impl CinMessage {
    /// A message of the known features; `apps` by the order of [`CinApp::ALL`].
    pub fn new(
        control: Control,
        pg: Option<(FeatureHead, BandwidthGroups)>,
        pfc: Option<(FeatureHead, LegacyPfc)>,
        apps: [Option<(FeatureHead, PrioritySet)>; 3],
    ) -> Self {
        Self { control, pg, pfc, apps, unknown: Vec::new() }
    }

    /// Parses a whole message; the first bad feature fails it (see [`CinView`] for one by one).
    ///
    /// # Errors
    /// What is wrong with the feature.
    pub fn parse(v: &CinView<'_>) -> Result<Self, Error> {
        let known = |s: &super::TlvView<'_>| {
            [CONTROL, PG, PFC].contains(&s.ty) || s.ty == APP && s.value.get(3).is_none_or(|sub| *sub < 3)
        };
        let mut apps = [None; 3];
        for app in CinApp::ALL {
            apps[app as usize] = strict(v.app(app)?)?;
        }
        Ok(Self {
            control: v.control(),
            pg: strict(v.pg()?)?,
            pfc: strict(v.pfc()?)?,
            apps,
            unknown: v.0.iter().filter(|s| !known(s)).map(RawSub::new).collect(),
        })
    }

    /// The control sub-TLV.
    pub fn control(&self) -> Control {
        self.control
    }

    /// Sub-TLVs that have no meaning here: logical links, BCN and unknown ones.
    pub fn unknown(&self) -> &[RawSub] {
        &self.unknown
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_LEGACY, 1, |o| {
            self.control.emit(o);
            if let Some((head, pg)) = &self.pg {
                head.emit(o, PG, |o| {
                    o.extend_from_slice(&pg.percent);
                    for p in pg.priorities {
                        o.extend_from_slice(&[p.group << 5 | p.strict << 3, p.percent]);
                    }
                });
            }
            if let Some((head, pfc)) = &self.pfc {
                head.emit(o, PFC, |o| o.push(pfc.enabled.0));
            }
            for (head, priorities) in self.apps.iter().flatten() {
                head.emit(o, APP, |o| o.push(priorities.0));
            }
            self.unknown.iter().for_each(|u| u.emit(o));
        });
    }
}
