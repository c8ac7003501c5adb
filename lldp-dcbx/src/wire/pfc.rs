//! PFC Configuration (802.1Q D.2.10).

use alloc::vec::Vec;

use super::tlv::emit_org;
use super::{Kind, OUI_8021};
use crate::error::{Malformed, Violation};
use crate::types::PrioritySet;

/// PFC Configuration on the wire.
#[derive(Clone, Copy, Debug)]
pub struct PfcView<'a>(&'a [u8]);

impl<'a> PfcView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// [`Malformed::Length`] unless it has six octets.
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        if v.len() == 6 { Ok(Self(v)) } else { Err(Malformed::Length { kind: Kind::Pfc, length: v.len() }) }
    }

    /// Willing bit.
    pub fn willing(&self) -> bool {
        self.0[4] & 0x80 != 0
    }

    /// `MACsec` bypass capability.
    pub fn mbc(&self) -> bool {
        self.0[4] & 0x40 != 0
    }

    /// How many priorities the sender can do at once; 0: no limit.
    pub fn capability(&self) -> u8 {
        self.0[4] & 0x0f
    }

    /// Enabled priorities.
    pub fn enabled(&self) -> PrioritySet {
        PrioritySet(self.0[5])
    }
}

/// PFC Configuration; never more priorities than its own capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Pfc {
    willing: bool,
    mbc: bool,
    capability: u8,
    enabled: PrioritySet,
}

impl Pfc {
    /// `capability` is how many priorities may be enabled at once, 0: no limit (four bits are kept).
    ///
    /// # Errors
    /// [`Violation::PfcOverCapability`].
    pub fn new(willing: bool, mbc: bool, capability: u8, enabled: PrioritySet) -> Result<Self, Violation> {
        let capability = capability & 0x0f;
        if capability != 0 && enabled.len() > capability {
            return Err(Violation::PfcOverCapability { enabled, capability });
        }
        Ok(Self { willing, mbc, capability, enabled })
    }

    /// Checks what a view says.
    ///
    /// # Errors
    /// As [`Pfc::new`].
    pub fn parse(v: &PfcView<'_>) -> Result<Self, Violation> {
        Self::new(v.willing(), v.mbc(), v.capability(), v.enabled())
    }

    /// Willing bit.
    pub fn willing(&self) -> bool {
        self.willing
    }

    /// `MACsec` bypass capability; sources disagree on its sense, so nothing acts on it.
    pub fn mbc(&self) -> bool {
        self.mbc
    }

    /// How many priorities at once; 0: no limit.
    pub fn capability(&self) -> u8 {
        self.capability
    }

    /// Enabled priorities.
    pub fn enabled(&self) -> PrioritySet {
        self.enabled
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 0x0b, |o| {
            o.push(u8::from(self.willing) << 7 | u8::from(self.mbc) << 6 | self.capability);
            o.push(self.enabled.0);
        });
    }
}
