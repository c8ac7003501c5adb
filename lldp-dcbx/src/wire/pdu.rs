//! The LLDPDU (802.1AB 8.2) and the frame around it.

use alloc::vec::Vec;

use super::{ChassisId, ETHERTYPE, Kind, MAX_LLDPDU, PortId, Tlv, TlvIter, TlvView, be16, tlv::emit_tlv};
use crate::error::{Error, Malformed};
use crate::types::Mac;

/// An LLDPDU whose framing and mandatory TLVs are right (802.1AB 9.2.7.7.1). Making one allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct PduView<'a> {
    chassis: &'a [u8],
    port: &'a [u8],
    ttl: u16,
    octets: &'a [u8],
    optional_at: usize,
}

impl<'a> PduView<'a> {
    /// Checks `octets`, the payload of an LLDP frame; padding behind the End TLV is ignored, and a
    /// missing End TLV is accepted (802.1AB-2016).
    ///
    /// # Errors
    /// Why the whole LLDPDU has to be discarded.
    pub fn new_checked(octets: &'a [u8]) -> Result<Self, Malformed> {
        if octets.len() > MAX_LLDPDU {
            return Err(Malformed::TooLong { octets: octets.len() });
        }
        let mut tlvs = TlvIter::new(octets);
        let mut mandatory = |ty: u8| match tlvs.next() {
            Some(Ok(t)) if t.ty == ty => Ok(t.value),
            Some(Err(e)) => Err(e),
            _ => Err(Malformed::Order),
        };
        let (chassis, port, ttl) = (mandatory(1)?, mandatory(2)?, mandatory(3)?);
        for (kind, id) in [(Kind::ChassisId, chassis), (Kind::PortId, port)] {
            if !(2..=256).contains(&id.len()) {
                return Err(Malformed::Length { kind, length: id.len() });
            }
        }
        if ttl.len() < 2 {
            return Err(Malformed::Length { kind: Kind::Ttl, length: ttl.len() });
        }
        let optional_at = 6 + chassis.len() + port.len() + ttl.len();
        let mut end = optional_at;
        for tlv in tlvs {
            let TlvView { ty, value } = tlv?;
            if (1..=3).contains(&ty) {
                return Err(Malformed::DuplicateMandatory { ty });
            }
            if ty != 0 {
                end += 2 + value.len();
            }
        }
        Ok(Self { chassis, port, ttl: be16(ttl, 0), octets: &octets[..end], optional_at })
    }

    /// Information strings of Chassis ID and Port ID: together they name the neighbour.
    pub fn msap(&self) -> (&'a [u8], &'a [u8]) {
        (self.chassis, self.port)
    }

    /// Seconds for which the information holds; 0: the sender is going away.
    pub fn ttl(&self) -> u16 {
        self.ttl
    }

    /// The octets up to (not including) the End TLV.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The optional TLVs.
    pub fn optional(&self) -> impl Iterator<Item = TlvView<'a>> + use<'a> {
        TlvIter::new(&self.octets[self.optional_at..]).filter_map(Result::ok)
    }
}

/// A whole LLDPDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lldpdu {
    /// Station.
    pub chassis: ChassisId,
    /// Its port.
    pub port: PortId,
    /// Seconds for which this holds.
    pub ttl: u16,
    /// Optional TLVs, in order.
    pub tlvs: Vec<Tlv>,
}

impl Lldpdu {
    /// Parses what a view holds. Bad optional TLVs are left out and reported.
    ///
    /// # Errors
    /// When an ID cannot be parsed (which [`PduView::new_checked`] has excluded).
    pub fn parse(view: &PduView<'_>) -> Result<(Self, Vec<(Kind, Error)>), Malformed> {
        let mut faults = Vec::new();
        let mut tlvs = Vec::new();
        for tlv in view.optional() {
            match Tlv::parse(tlv) {
                Ok(t) => tlvs.push(t),
                Err(e) => faults.push((tlv.kind(), e)),
            }
        }
        let (chassis, port) = (ChassisId::parse(view.chassis)?, PortId::parse(view.port)?);
        Ok((Self { chassis, port, ttl: view.ttl, tlvs }, faults))
    }

    /// The LLDPDU as octets, and how many optional TLVs did not fit into 1500 of them. A TLV that does
    /// not fit is left out whole; what comes behind it may still fit.
    pub fn emit(&self) -> (Vec<u8>, usize) {
        const END: usize = 2;
        let mut out = Vec::with_capacity(256);
        self.chassis.emit(&mut out);
        self.port.emit(&mut out);
        emit_tlv(&mut out, 3, |o| o.extend_from_slice(&self.ttl.to_be_bytes()));
        let mut left_out = 0;
        for tlv in &self.tlvs {
            let before = out.len();
            tlv.emit(&mut out);
            if out.len() > MAX_LLDPDU - END {
                out.truncate(before);
                left_out += 1;
            }
        }
        out.extend_from_slice(&[0, 0]);
        (out, left_out)
    }
}

/// Puts an LLDPDU into an Ethernet frame (without FCS; the device pads).
pub fn frame(destination: Mac, source: Mac, lldpdu: &[u8]) -> Vec<u8> {
    let mut f = Vec::with_capacity(14 + lldpdu.len());
    f.extend_from_slice(&destination.0);
    f.extend_from_slice(&source.0);
    f.extend_from_slice(&ETHERTYPE.to_be_bytes());
    f.extend_from_slice(lldpdu);
    f
}

/// Splits an LLDP frame into destination, source and LLDPDU.
///
/// # Errors
/// [`Malformed::NotLldp`].
pub fn split_frame(frame: &[u8]) -> Result<(Mac, Mac, &[u8]), Malformed> {
    let (header, lldpdu) = frame.split_at_checked(14).ok_or(Malformed::NotLldp)?;
    if be16(header, 12) != ETHERTYPE {
        return Err(Malformed::NotLldp);
    }
    let mac = |at: usize| Mac(core::array::from_fn(|i| header[at + i]));
    Ok((mac(0), mac(6), lldpdu))
}
