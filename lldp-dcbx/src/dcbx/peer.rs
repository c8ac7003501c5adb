//! The peer's DCBX TLVs, feature by feature, as good or bad. Lenient: a bad one spoils no other.

use super::config::Capability;
use super::dialect::{Dialect, Spoken};
use super::legacy::peer::LegacyPeer;
use crate::error::{Error, Violation};
use crate::lldp::{Neighbor, NeighborId};
use crate::types::Mac;
use crate::wire::app::{AppTable, AppView, AppVlanTable, AppVlanView};
use crate::wire::basic::Text;
use crate::wire::cee::CeeView;
use crate::wire::cin::CinView;
use crate::wire::congestion::{CongestionNotification, CongestionView};
use crate::wire::ets::{EtsConfiguration, EtsTable, EtsView};
use crate::wire::pfc::{Pfc, PfcView};
use crate::wire::{ChassisId, Kind, PortId, TlvView};

/// What the peer said about one feature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Slot<T> {
    /// Nothing.
    #[default]
    Absent,
    /// A legal value.
    Good(T),
    /// Something that cannot be used, and why.
    Bad(Error),
}

impl<T> Slot<T> {
    /// The legal value.
    pub fn good(&self) -> Option<&T> {
        if let Self::Good(v) = self { Some(v) } else { None }
    }

    /// Why it cannot be used.
    pub fn bad(&self) -> Option<Error> {
        if let Self::Bad(e) = self { Some(*e) } else { None }
    }

    /// Takes a further TLV of this feature: a second one voids both.
    fn take(&mut self, kind: Kind, value: Result<T, Error>) {
        *self = match (&self, value) {
            (Self::Absent, Ok(v)) => Self::Good(v),
            (Self::Absent, Err(e)) => Self::Bad(e),
            _ => Self::Bad(Violation::Duplicate(kind).into()),
        };
    }
}

/// The IEEE TLVs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct IeeePeer {
    /// ETS Configuration: what the peer does in its own direction; never used here.
    pub ets: Slot<EtsConfiguration>,
    /// ETS Recommendation: what it wants us to do.
    pub recommendation: Slot<EtsTable>,
    /// PFC.
    pub pfc: Slot<Pfc>,
    /// Application Priority.
    pub app: Slot<AppTable>,
    /// Application VLAN.
    pub app_vlan: Slot<AppVlanTable>,
    /// Congestion Notification.
    pub congestion: Slot<CongestionNotification>,
}

/// The neighbour that is the DCBX peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which neighbour.
    pub id: NeighborId,
    /// Source address of its LLDPDU, which decides ties.
    pub mac: Mac,
    /// Its chassis.
    pub chassis: Option<ChassisId>,
    /// Its port.
    pub port: Option<PortId>,
    /// Its system name.
    pub system_name: Option<Text>,
    /// Dialects that it sends.
    pub spoken: Spoken,
    /// Its IEEE TLVs.
    pub ieee: IeeePeer,
    /// Its CEE TLV.
    pub cee: Slot<LegacyPeer>,
    /// Its CIN TLV.
    pub cin: Slot<LegacyPeer>,
}

impl Peer {
    /// Looks at what a neighbour sent.
    pub fn new(neighbor: &Neighbor, capability: Capability) -> Self {
        let mut peer = Self {
            id: neighbor.id(),
            mac: neighbor.mac(),
            chassis: None,
            port: None,
            system_name: None,
            spoken: Spoken::default(),
            ieee: IeeePeer::default(),
            cee: Slot::Absent,
            cin: Slot::Absent,
        };
        let Some(pdu) = neighbor.view() else { return peer };
        let (chassis, port) = pdu.msap();
        (peer.chassis, peer.port) = (ChassisId::parse(chassis).ok(), PortId::parse(port).ok());
        for tlv in pdu.optional() {
            peer.take(tlv, capability);
        }
        peer
    }

    /// The legacy TLV of this dialect.
    pub fn legacy(&self, dialect: Dialect) -> &Slot<LegacyPeer> {
        if dialect == Dialect::Cin { &self.cin } else { &self.cee }
    }

    fn take(&mut self, tlv: TlvView<'_>, capability: Capability) {
        let (kind, v) = (tlv.kind(), tlv.value);
        let ieee = &mut self.ieee;
        match kind {
            Kind::SystemName => self.system_name = Text::parse(kind, v).ok(),
            Kind::EtsConfiguration => ieee
                .ets
                .take(kind, checked(EtsView::new_checked(kind, v), |v| Ok(EtsConfiguration::parse(&v)?))),
            Kind::EtsRecommendation => ieee
                .recommendation
                .take(kind, checked(EtsView::new_checked(kind, v), |v| capability.ets(EtsTable::parse(&v)?))),
            Kind::Pfc => ieee.pfc.take(kind, checked(PfcView::new_checked(v), |v| Ok(Pfc::parse(&v)?))),
            Kind::AppPriority => {
                ieee.app.take(kind, checked(AppView::new_checked(v), |v| Ok(AppTable::parse(&v))));
            }
            Kind::AppVlan => {
                ieee.app_vlan
                    .take(kind, checked(AppVlanView::new_checked(v), |v| Ok(AppVlanTable::parse(&v)?)));
            }
            Kind::CongestionNotification => {
                ieee.congestion.take(kind, checked(CongestionView::new_checked(v), |v| Ok(v.into())));
            }
            Kind::Cee => {
                self.cee
                    .take(kind, checked(CeeView::new_checked(v), |v| Ok(LegacyPeer::cee(&v, capability))));
            }
            Kind::Cin => {
                self.cin
                    .take(kind, checked(CinView::new_checked(v), |v| Ok(LegacyPeer::cin(&v, capability))));
            }
            _ => {}
        }
        match kind {
            Kind::EtsConfiguration
            | Kind::EtsRecommendation
            | Kind::Pfc
            | Kind::AppPriority
            | Kind::AppVlan
            | Kind::CongestionNotification => self.spoken.ieee = true,
            Kind::Cee => self.spoken.cee = true,
            Kind::Cin => self.spoken.cin = true,
            _ => {}
        }
    }
}

fn checked<V, T>(
    view: Result<V, crate::error::Malformed>,
    parse: impl FnOnce(V) -> Result<T, Error>,
) -> Result<T, Error> {
    parse(view?)
}
