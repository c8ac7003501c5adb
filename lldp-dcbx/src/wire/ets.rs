//! ETS Configuration and ETS Recommendation (802.1Q D.2.8, D.2.9).

use alloc::vec::Vec;
use core::fmt;

use super::tlv::emit_org;
use super::{Kind, OUI_8021, nibbles, octets8, pack_nibbles};
use crate::error::{Malformed, Violation};
use crate::types::Priority;

/// Nibble of a priority that is in no class.
pub const UNASSIGNED: u8 = 15;

/// Transmission selection algorithm (802.1Q table 8-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tsa {
    /// 0: strict priority.
    #[default]
    Strict,
    /// 1: credit-based shaper.
    CreditBased,
    /// 2: enhanced transmission selection.
    Ets,
    /// 255: the vendor's own.
    Vendor,
    /// Any other code point.
    Other(u8),
}

impl Tsa {
    /// From the wire.
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Strict,
            1 => Self::CreditBased,
            2 => Self::Ets,
            255 => Self::Vendor,
            n => Self::Other(n),
        }
    }

    /// To the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Strict => 0,
            Self::CreditBased => 1,
            Self::Ets => 2,
            Self::Vendor => 255,
            Self::Other(n) => n,
        }
    }
}

impl fmt::Display for Tsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict => f.write_str("strict"),
            Self::CreditBased => f.write_str("credit-based"),
            Self::Ets => f.write_str("ets"),
            Self::Vendor => f.write_str("vendor"),
            Self::Other(n) => n.fmt(f),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Tsa {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Either ETS TLV on the wire; offsets count from the first OUI octet.
#[derive(Clone, Copy, Debug)]
pub struct EtsView<'a>(&'a [u8]);

impl<'a> EtsView<'a> {
    /// Length of the information string.
    pub const LEN: usize = 25;

    /// Wraps the information string of an ETS TLV.
    ///
    /// # Errors
    /// [`Malformed::Length`] unless it has 25 octets.
    pub fn new_checked(kind: Kind, v: &'a [u8]) -> Result<Self, Malformed> {
        if v.len() == Self::LEN { Ok(Self(v)) } else { Err(Malformed::Length { kind, length: v.len() }) }
    }

    /// Willing bit (Configuration only).
    pub fn willing(&self) -> bool {
        self.0[4] & 0x80 != 0
    }

    /// Whether the sender has the credit-based shaper (Configuration only).
    pub fn cbs(&self) -> bool {
        self.0[4] & 0x40 != 0
    }

    /// Number of classes, 1 to 8 (0 on the wire stands for 8; Configuration only).
    pub fn max_classes(&self) -> u8 {
        match self.0[4] & 7 {
            0 => 8,
            n => n,
        }
    }

    /// Class nibble of each priority.
    pub fn class_of(&self) -> [u8; 8] {
        nibbles(self.0, 5)
    }

    /// Percentage of each class.
    pub fn bandwidth(&self) -> [u8; 8] {
        octets8(self.0, 9)
    }

    /// Algorithm of each class.
    pub fn tsa(&self) -> [Tsa; 8] {
        octets8(self.0, 17).map(Tsa::from_code)
    }
}

/// A legal ETS assignment: every priority in a class that exists (or in none), the shares of all
/// classes sum to 100, or are all zero when no class is shared by ETS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct EtsTable {
    class_of: [u8; 8],
    bandwidth: [u8; 8],
    tsa: [Tsa; 8],
}

impl EtsTable {
    /// Checks the three tables: class by priority (0 to 7, or [`UNASSIGNED`]), percent and algorithm by class.
    ///
    /// # Errors
    /// [`Violation::ClassRange`], [`Violation::Shares`].
    pub fn new(class_of: [u8; 8], bandwidth: [u8; 8], tsa: [Tsa; 8]) -> Result<Self, Violation> {
        if let Some(p) = class_of.iter().position(|c| *c > 7 && *c != UNASSIGNED) {
            return Err(Violation::ClassRange { priority: p as u8, class: class_of[p] });
        }
        let sum: u16 = bandwidth.iter().map(|b| u16::from(*b)).sum();
        let shares_needed = tsa.contains(&Tsa::Ets);
        if sum != 100 && (sum != 0 || shares_needed) {
            return Err(Violation::Shares { sum });
        }
        Ok(Self { class_of, bandwidth, tsa })
    }

    /// All priorities in one strict class: a port without ETS.
    pub const fn single_class() -> Self {
        Self { class_of: [0; 8], bandwidth: [0; 8], tsa: [Tsa::Strict; 8] }
    }

    /// Checks what a view says.
    ///
    /// # Errors
    /// As [`EtsTable::new`].
    pub fn parse(v: &EtsView<'_>) -> Result<Self, Violation> {
        Self::new(v.class_of(), v.bandwidth(), v.tsa())
    }

    /// Class of a priority; `None`: in none.
    pub fn class(&self, p: Priority) -> Option<u8> {
        let class = self.class_of[usize::from(p.value())];
        (class != UNASSIGNED).then_some(class)
    }

    /// Class nibble of each priority.
    pub fn classes(&self) -> [u8; 8] {
        self.class_of
    }

    /// Percent of each class.
    pub fn bandwidth(&self) -> [u8; 8] {
        self.bandwidth
    }

    /// Algorithm of each class.
    pub fn tsa(&self) -> [Tsa; 8] {
        self.tsa
    }

    /// Classes that a priority is in, as a bitmap by class number.
    pub fn used_classes(&self) -> u8 {
        self.class_of.iter().filter(|c| **c < 8).fold(0, |m, c| m | 1 << c)
    }

    fn emit_tables(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&pack_nibbles(self.class_of));
        out.extend_from_slice(&self.bandwidth);
        out.extend_from_slice(&self.tsa.map(Tsa::code));
    }

    /// Appends an ETS Recommendation TLV.
    pub fn emit_recommendation(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 0x0a, |o| {
            o.push(0);
            self.emit_tables(o);
        });
    }
}

/// ETS Configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct EtsConfiguration {
    willing: bool,
    cbs: bool,
    max_classes: u8,
    table: EtsTable,
}

impl EtsConfiguration {
    /// `max_classes` is brought into 1 to 8.
    pub fn new(willing: bool, cbs: bool, max_classes: u8, table: EtsTable) -> Self {
        Self { willing, cbs, max_classes: max_classes.clamp(1, 8), table }
    }

    /// Checks what a view says.
    ///
    /// # Errors
    /// As [`EtsTable::new`].
    pub fn parse(v: &EtsView<'_>) -> Result<Self, Violation> {
        Ok(Self::new(v.willing(), v.cbs(), v.max_classes(), EtsTable::parse(v)?))
    }

    /// Willing bit.
    pub fn willing(&self) -> bool {
        self.willing
    }

    /// Credit-based shaper bit.
    pub fn cbs(&self) -> bool {
        self.cbs
    }

    /// Number of classes, 1 to 8.
    pub fn max_classes(&self) -> u8 {
        self.max_classes
    }

    /// The assignment.
    pub fn table(&self) -> EtsTable {
        self.table
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 9, |o| {
            o.push(u8::from(self.willing) << 7 | u8::from(self.cbs) << 6 | self.max_classes & 7);
            self.table.emit_tables(o);
        });
    }
}
