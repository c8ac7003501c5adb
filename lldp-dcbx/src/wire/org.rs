//! The 802.1 and 802.3 TLVs that are not DCBX (802.1Q annex D.2, 802.3 clause 79, 802.1AX annex F).

use alloc::vec::Vec;

use super::tlv::emit_org;
use super::{Kind, OUI_8021, OUI_8023, be16, be32};
use crate::error::{Error, Malformed, Violation};

/// Name of a VLAN (802.1Q D.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VlanName {
    vid: u16,
    name: Vec<u8>,
}

impl VlanName {
    /// `None` unless `vid` is 1 to 4094 and the name has 1 to 32 octets.
    pub fn new(vid: u16, name: &[u8]) -> Option<Self> {
        let legal = (1..=4094).contains(&vid) && (1..=32).contains(&name.len());
        legal.then(|| Self { vid, name: name.to_vec() })
    }

    /// VLAN ID, 1 to 4094.
    pub fn vid(&self) -> u16 {
        self.vid
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Parses the information string.
    ///
    /// # Errors
    /// [`Malformed`] when lengths do not fit, [`Violation::VlanId`].
    pub fn parse(v: &[u8]) -> Result<Self, Error> {
        let kind = Kind::VlanName;
        if v.len() < 7 {
            return Err(Malformed::Length { kind, length: v.len() }.into());
        }
        let vid = be16(v, 4);
        let name = v[7..].get(..usize::from(v[6])).ok_or(Malformed::Inner(kind))?;
        if !(1..=32).contains(&name.len()) {
            return Err(Malformed::Inner(kind).into());
        }
        Self::new(vid, name).ok_or_else(|| Violation::VlanId(vid).into())
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 3, |o| {
            o.extend_from_slice(&self.vid.to_be_bytes());
            o.push(self.name.len() as u8);
            o.extend_from_slice(&self.name);
        });
    }
}

/// Whether the port is, or can be, part of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAggregation {
    /// Bit 0 capable, bit 1 aggregated now; the others are kept.
    pub status: u8,
    /// Number of the aggregated port, 0 when not aggregated.
    pub port: u32,
    /// The older form under the OUI of 802.3 instead of that of 802.1. Still received everywhere;
    /// deprecated for sending (802.1AX annex F), and analysers say so.
    pub in_8023_form: bool,
}

impl LinkAggregation {
    /// Parses the information string.
    ///
    /// # Errors
    /// [`Malformed::Length`] below nine octets.
    pub fn parse(v: &[u8]) -> Result<Self, Malformed> {
        if v.len() < 9 {
            return Err(Malformed::Length { kind: Kind::LinkAggregation, length: v.len() });
        }
        Ok(Self { status: v[4], port: be32(v, 5), in_8023_form: v[..3] == OUI_8023 })
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let (oui, subtype) = if self.in_8023_form { (OUI_8023, 3) } else { (OUI_8021, 7) };
        emit_org(out, oui, subtype, |o| {
            o.push(self.status);
            o.extend_from_slice(&self.port.to_be_bytes());
        });
    }
}
