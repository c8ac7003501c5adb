//! What CEE and CIN share: sub-TLVs inside one organisationally specific TLV, the control sub-TLV and
//! the head of every feature.

use alloc::vec::Vec;

use super::tlv::{TlvIter, TlvView, emit_tlv};
use super::{Kind, be32};
use crate::error::{Error, Malformed, Violation};

/// Type of the control sub-TLV in both dialects.
pub const CONTROL: u8 = 1;
/// Length of the control sub-TLV.
const CONTROL_LEN: usize = 10;
/// Length of a feature's head.
pub const HEAD_LEN: usize = 4;

/// The control sub-TLV: versions and the sequence numbers of the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Control {
    /// Version in use.
    pub oper_version: u8,
    /// Highest version that the sender knows.
    pub max_version: u8,
    /// Number of the sender's present settings.
    pub seq: u32,
    /// Last number that the sender has seen from the other end.
    pub ack: u32,
}

impl Control {
    fn parse(v: &[u8]) -> Self {
        Self { oper_version: v[0], max_version: v[1], seq: be32(v, 2), ack: be32(v, 6) }
    }

    pub(crate) fn emit(self, out: &mut Vec<u8>) {
        emit_tlv(out, CONTROL, |o| {
            o.extend_from_slice(&[self.oper_version, self.max_version]);
            o.extend_from_slice(&self.seq.to_be_bytes());
            o.extend_from_slice(&self.ack.to_be_bytes());
        });
    }
}

/// The head of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FeatureHead {
    /// Version in use.
    pub oper_version: u8,
    /// Highest version that the sender knows.
    pub max_version: u8,
    /// The sender has the feature switched on.
    pub enable: bool,
    /// The sender takes the other end's settings.
    pub willing: bool,
    /// The sender could not agree.
    pub error: bool,
    /// Which one, where a feature comes several times; else 0.
    pub subtype: u8,
}

impl FeatureHead {
    pub(crate) fn parse(v: &[u8]) -> Self {
        Self {
            oper_version: v[0],
            max_version: v[1],
            enable: v[2] & 0x80 != 0,
            willing: v[2] & 0x40 != 0,
            error: v[2] & 0x20 != 0,
            subtype: v[3],
        }
    }

    /// Appends a feature sub-TLV whose octets behind the head `fill` writes.
    pub(crate) fn emit(self, out: &mut Vec<u8>, ty: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let bits = u8::from(self.enable) << 7 | u8::from(self.willing) << 6 | u8::from(self.error) << 5;
        emit_tlv(out, ty, |o| {
            o.extend_from_slice(&[self.oper_version, self.max_version, bits, self.subtype]);
            fill(o);
        });
    }
}

/// The sub-TLVs of a CEE or CIN TLV: all framed properly, with a control sub-TLV.
#[derive(Clone, Copy, Debug)]
pub struct SubTlvs<'a> {
    octets: &'a [u8],
    control: Control,
}

impl<'a> SubTlvs<'a> {
    /// Wraps the information string of the outer TLV.
    ///
    /// # Errors
    /// [`Malformed::PastEnd`], [`Malformed::NoControl`].
    pub fn new_checked(kind: Kind, v: &'a [u8]) -> Result<Self, Malformed> {
        let octets = v.get(4..).ok_or(Malformed::Length { kind, length: v.len() })?;
        let mut control = None;
        for sub in TlvIter::new(octets) {
            let sub = sub?;
            if sub.ty == CONTROL && sub.value.len() == CONTROL_LEN && control.is_none() {
                control = Some(Control::parse(sub.value));
            }
        }
        Ok(Self { octets, control: control.ok_or(Malformed::NoControl(kind))? })
    }

    /// The control sub-TLV.
    pub fn control(&self) -> Control {
        self.control
    }

    /// All sub-TLVs.
    pub fn iter(&self) -> impl Iterator<Item = TlvView<'a>> + use<'a> {
        TlvIter::new(self.octets).filter_map(Result::ok)
    }

    /// The only sub-TLV of type `ty` whose feature subtype is `subtype`, with a length that `fits`.
    ///
    /// # Errors
    /// [`Violation::Duplicate`], [`Malformed::Length`].
    pub fn feature(
        &self,
        kind: Kind,
        ty: u8,
        subtype: u8,
        fits: fn(usize) -> bool,
    ) -> Result<Option<(FeatureHead, &'a [u8])>, Error> {
        let mut found = None;
        for sub in self.iter().filter(|s| s.ty == ty) {
            if sub.value.len() < HEAD_LEN || !fits(sub.value.len()) {
                return Err(Malformed::Length { kind, length: sub.value.len() }.into());
            }
            let head = FeatureHead::parse(sub.value);
            if head.subtype == subtype && found.replace((head, &sub.value[HEAD_LEN..])).is_some() {
                return Err(Violation::Duplicate(kind).into());
            }
        }
        Ok(found)
    }
}

/// A sub-TLV of an unknown type (or an application with an unknown subtype), kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSub {
    ty: u8,
    value: Vec<u8>,
}

impl RawSub {
    pub(crate) fn new(sub: TlvView<'_>) -> Self {
        Self { ty: sub.ty, value: sub.value.to_vec() }
    }

    /// Type, 0 to 127.
    pub fn ty(&self) -> u8 {
        self.ty
    }

    /// Octets behind the header.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        emit_tlv(out, self.ty, |o| o.extend_from_slice(&self.value));
    }
}
