//! Congestion Notification (802.1Q D.2.7).

use alloc::vec::Vec;

use super::tlv::emit_org;
use super::{Kind, OUI_8021};
use crate::error::Malformed;
use crate::types::PrioritySet;

/// Congestion Notification on the wire.
#[derive(Clone, Copy, Debug)]
pub struct CongestionView<'a>(&'a [u8]);

impl<'a> CongestionView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// [`Malformed::Length`] unless it has six octets.
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        let kind = Kind::CongestionNotification;
        if v.len() == 6 { Ok(Self(v)) } else { Err(Malformed::Length { kind, length: v.len() }) }
    }

    /// Priorities that are congestion notification priority values.
    pub fn cnpv(&self) -> PrioritySet {
        PrioritySet(self.0[4])
    }

    /// Priorities for which the sender is ready to receive CN-tagged frames.
    pub fn ready(&self) -> PrioritySet {
        PrioritySet(self.0[5])
    }
}

/// Congestion Notification; only a CNPV can be ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CongestionNotification {
    cnpv: PrioritySet,
    ready: PrioritySet,
}

impl CongestionNotification {
    /// Ready bits outside `cnpv` are left out.
    pub fn new(cnpv: PrioritySet, ready: PrioritySet) -> Self {
        Self { cnpv, ready: PrioritySet(ready.0 & cnpv.0) }
    }

    /// Congestion notification priority values.
    pub fn cnpv(self) -> PrioritySet {
        self.cnpv
    }

    /// Those of them for which CN-tagged frames may be sent to us.
    pub fn ready(self) -> PrioritySet {
        self.ready
    }

    /// Appends the TLV.
    pub fn emit(self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 8, |o| o.extend_from_slice(&[self.cnpv.0, self.ready.0]));
    }
}

impl From<CongestionView<'_>> for CongestionNotification {
    fn from(v: CongestionView<'_>) -> Self {
        Self::new(v.cnpv(), v.ready())
    }
}
