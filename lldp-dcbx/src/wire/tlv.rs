//! One TLV: the view over its octets, the walk over many, and the repr that names every kind.

use alloc::vec::Vec;

use super::app::{AppTable, AppView, AppVlanTable, AppVlanView};
use super::basic::{Capabilities, ManagementAddress, Text};
use super::cee::{CeeMessage, CeeView};
use super::cin::{CinMessage, CinView};
use super::congestion::{CongestionNotification, CongestionView};
use super::ets::{EtsConfiguration, EtsTable, EtsView};
use super::org::{LinkAggregation, VlanName};
use super::pfc::{Pfc, PfcView};
use super::{Kind, MAX_TLV, OUI_8021, OUI_8023, OUI_LEGACY, be16};
use crate::error::{Error, Malformed};

/// One TLV on the wire: type and information string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvView<'a> {
    /// Type, 0 to 127.
    pub ty: u8,
    /// Information string, at most 511 octets.
    pub value: &'a [u8],
}

impl TlvView<'_> {
    /// Organisation and subtype of a TLV of type 127 that is long enough to have them.
    pub fn organisation(&self) -> Option<([u8; 3], u8)> {
        match (self.ty, self.value) {
            (127, [a, b, c, sub, ..]) => Some(([*a, *b, *c], *sub)),
            _ => None,
        }
    }

    /// What kind of TLV it is.
    pub fn kind(&self) -> Kind {
        match self.ty {
            0 => Kind::End,
            1 => Kind::ChassisId,
            2 => Kind::PortId,
            3 => Kind::Ttl,
            4 => Kind::PortDescription,
            5 => Kind::SystemName,
            6 => Kind::SystemDescription,
            7 => Kind::Capabilities,
            8 => Kind::ManagementAddress,
            127 => self.organisation().map_or(Kind::OtherOrganisation, org_kind),
            _ => Kind::Other,
        }
    }
}

fn org_kind((oui, subtype): ([u8; 3], u8)) -> Kind {
    match (oui, subtype) {
        (OUI_8021, 1) => Kind::Pvid,
        (OUI_8021, 3) => Kind::VlanName,
        (OUI_8021, 7) | (OUI_8023, 3) => Kind::LinkAggregation,
        (OUI_8021, 8) => Kind::CongestionNotification,
        (OUI_8021, 9) => Kind::EtsConfiguration,
        (OUI_8021, 0x0a) => Kind::EtsRecommendation,
        (OUI_8021, 0x0b) => Kind::Pfc,
        (OUI_8021, 0x0c) => Kind::AppPriority,
        (OUI_8021, 0x10) => Kind::AppVlan,
        (OUI_8023, 4) => Kind::MaxFrameSize,
        (OUI_LEGACY, 1) => Kind::Cin,
        (OUI_LEGACY, 2) => Kind::Cee,
        _ => Kind::OtherOrganisation,
    }
}

/// Walks over TLVs. Ends after an End TLV, at the end of the octets, or with one error.
#[derive(Clone, Debug)]
pub struct TlvIter<'a> {
    rest: &'a [u8],
}

impl<'a> TlvIter<'a> {
    /// Walks over `octets`.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = Result<TlvView<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // 802.1AB 8.2: seven bits of type, nine of length. A single stray octet can't be a header and
        // is treated as the padding that it is.
        if self.rest.len() < 2 {
            return None;
        }
        let header = be16(self.rest, 0);
        let (ty, length) = ((header >> 9) as u8, header & 0x1ff);
        let body = &self.rest[2..];
        if body.len() < length as usize {
            self.rest = &[];
            return Some(Err(Malformed::PastEnd { ty, length, left: body.len() }));
        }
        let (value, rest) = body.split_at(length as usize);
        self.rest = if ty == 0 { &[] } else { rest };
        Some(Ok(TlvView { ty, value }))
    }
}

/// Appends a TLV whose information string `fill` writes.
pub(crate) fn emit_tlv(out: &mut Vec<u8>, ty: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    fill(out);
    // Reprs can't be longer than a TLV; should one be, it is cut rather than corrupting what follows.
    out.truncate(start + 2 + MAX_TLV);
    let length = (out.len() - start - 2) as u16;
    out[start..start + 2].copy_from_slice(&(u16::from(ty) << 9 | length).to_be_bytes());
}

/// Appends an organisationally specific TLV whose octets behind the subtype `fill` writes.
pub(crate) fn emit_org(out: &mut Vec<u8>, oui: [u8; 3], subtype: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    emit_tlv(out, 127, |out| {
        out.extend_from_slice(&oui);
        out.push(subtype);
        fill(out);
    });
}

/// A TLV of a kind unknown here, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTlv {
    ty: u8,
    value: Vec<u8>,
}

impl RawTlv {
    /// `None` for the types with a fixed place in an LLDPDU (0 to 3), above 127, or over 511 octets.
    pub fn new(ty: u8, value: &[u8]) -> Option<Self> {
        let fits = (4..=127).contains(&ty) && value.len() <= MAX_TLV;
        fits.then(|| Self { ty, value: value.to_vec() })
    }

    /// Type, 4 to 127.
    pub fn ty(&self) -> u8 {
        self.ty
    }

    /// Information string.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// Any optional TLV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tlv {
    /// Port description.
    PortDescription(Text),
    /// System name.
    SystemName(Text),
    /// System description.
    SystemDescription(Text),
    /// System capabilities.
    Capabilities(Capabilities),
    /// Management address.
    ManagementAddress(ManagementAddress),
    /// Port VLAN ID; 0: the port has none.
    Pvid(u16),
    /// VLAN name.
    VlanName(VlanName),
    /// Link aggregation.
    LinkAggregation(LinkAggregation),
    /// Largest frame in octets, FCS included.
    MaxFrameSize(u16),
    /// Congestion Notification.
    CongestionNotification(CongestionNotification),
    /// ETS Configuration.
    EtsConfiguration(EtsConfiguration),
    /// ETS Recommendation.
    EtsRecommendation(EtsTable),
    /// PFC Configuration.
    Pfc(Pfc),
    /// Application Priority.
    AppPriority(AppTable),
    /// Application VLAN.
    AppVlan(AppVlanTable),
    /// DCBX CEE 1.01.
    Cee(CeeMessage),
    /// DCBX CIN.
    Cin(CinMessage),
    /// Anything else.
    Unknown(RawTlv),
}

impl Tlv {
    /// Parses an optional TLV.
    ///
    /// # Errors
    /// The mandatory kinds and End have no place here ([`Malformed::DuplicateMandatory`]); else what is
    /// wrong with the TLV.
    pub fn parse(tlv: TlvView<'_>) -> Result<Self, Error> {
        let v = tlv.value;
        Ok(match tlv.kind() {
            Kind::PortDescription => Self::PortDescription(Text::parse(Kind::PortDescription, v)?),
            Kind::SystemName => Self::SystemName(Text::parse(Kind::SystemName, v)?),
            Kind::SystemDescription => Self::SystemDescription(Text::parse(Kind::SystemDescription, v)?),
            Kind::Capabilities => Self::Capabilities(Capabilities::parse(v)?),
            Kind::ManagementAddress => Self::ManagementAddress(ManagementAddress::parse(v)?),
            Kind::Pvid if v.len() >= 6 => Self::Pvid(be16(v, 4)),
            Kind::MaxFrameSize if v.len() >= 6 => Self::MaxFrameSize(be16(v, 4)),
            kind @ (Kind::Pvid | Kind::MaxFrameSize) => {
                return Err(Malformed::Length { kind, length: v.len() }.into());
            }
            Kind::VlanName => Self::VlanName(VlanName::parse(v)?),
            Kind::LinkAggregation => Self::LinkAggregation(LinkAggregation::parse(v)?),
            Kind::CongestionNotification => {
                Self::CongestionNotification(CongestionView::new_checked(v)?.into())
            }
            Kind::EtsConfiguration => {
                Self::EtsConfiguration(EtsConfiguration::parse(&EtsView::new_checked(tlv.kind(), v)?)?)
            }
            Kind::EtsRecommendation => {
                Self::EtsRecommendation(EtsTable::parse(&EtsView::new_checked(tlv.kind(), v)?)?)
            }
            Kind::Pfc => Self::Pfc(Pfc::parse(&PfcView::new_checked(v)?)?),
            Kind::AppPriority => Self::AppPriority(AppTable::parse(&AppView::new_checked(v)?)),
            Kind::AppVlan => Self::AppVlan(AppVlanTable::parse(&AppVlanView::new_checked(v)?)?),
            Kind::Cee => Self::Cee(CeeMessage::parse(&CeeView::new_checked(v)?)?),
            Kind::Cin => Self::Cin(CinMessage::parse(&CinView::new_checked(v)?)?),
            _ => Self::Unknown(RawTlv::new(tlv.ty, v).ok_or(Malformed::DuplicateMandatory { ty: tlv.ty })?),
        })
    }

    /// Appends the TLV, header included.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::PortDescription(t) => emit_tlv(out, 4, |o| o.extend_from_slice(t.octets())),
            Self::SystemName(t) => emit_tlv(out, 5, |o| o.extend_from_slice(t.octets())),
            Self::SystemDescription(t) => emit_tlv(out, 6, |o| o.extend_from_slice(t.octets())),
            Self::Capabilities(c) => c.emit(out),
            Self::ManagementAddress(m) => m.emit(out),
            Self::Pvid(vid) => emit_org(out, OUI_8021, 1, |o| o.extend_from_slice(&vid.to_be_bytes())),
            Self::VlanName(v) => v.emit(out),
            Self::LinkAggregation(l) => l.emit(out),
            Self::MaxFrameSize(n) => emit_org(out, OUI_8023, 4, |o| o.extend_from_slice(&n.to_be_bytes())),
            Self::CongestionNotification(c) => c.emit(out),
            Self::EtsConfiguration(e) => e.emit(out),
            Self::EtsRecommendation(t) => t.emit_recommendation(out),
            Self::Pfc(p) => p.emit(out),
            Self::AppPriority(t) => t.emit(out),
            Self::AppVlan(t) => t.emit(out),
            Self::Cee(m) => m.emit(out),
            Self::Cin(m) => m.emit(out),
            Self::Unknown(r) => emit_tlv(out, r.ty, |o| o.extend_from_slice(&r.value)),
        }
    }

    /// The TLV as bytes, header included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.emit(&mut out);
        out
    }
}
