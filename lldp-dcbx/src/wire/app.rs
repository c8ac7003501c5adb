//! Application Priority and Application VLAN (802.1Q D.2.11, D.2.14).

use alloc::vec::Vec;
use core::fmt;

use super::tlv::emit_org;
use super::{Kind, OUI_8021, be16};
use crate::error::{Error, Malformed, Unsupported, Violation};
use crate::types::Priority;

/// What an application's protocol number is (802.1Q table D-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// 1: ethertype; protocol 0 gives the default priority.
    Ethertype,
    /// 2: port of TCP or SCTP.
    Tcp,
    /// 3: port of UDP or DCCP.
    Udp,
    /// 4: port of any of TCP, SCTP, UDP and DCCP.
    AnyPort,
    /// 5: DSCP.
    Dscp,
    /// A reserved code point (0, 6, 7); never sent from a configuration, never applied.
    Reserved(u8),
}

impl Selector {
    /// From three bits.
    pub fn from_code(code: u8) -> Self {
        match code & 7 {
            1 => Self::Ethertype,
            2 => Self::Tcp,
            3 => Self::Udp,
            4 => Self::AnyPort,
            5 => Self::Dscp,
            n => Self::Reserved(n),
        }
    }

    /// To three bits.
    pub fn code(self) -> u8 {
        match self {
            Self::Ethertype => 1,
            Self::Tcp => 2,
            Self::Udp => 3,
            Self::AnyPort => 4,
            Self::Dscp => 5,
            Self::Reserved(n) => n & 7,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ethertype => f.write_str("ethertype"),
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::AnyPort => f.write_str("port"),
            Self::Dscp => f.write_str("dscp"),
            Self::Reserved(n) => write!(f, "reserved-{n}"),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// One application's priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppEntry {
    /// What `protocol` is.
    pub selector: Selector,
    /// Ethertype, port or DSCP.
    pub protocol: u16,
    /// The priority it gets.
    pub priority: Priority,
}

impl AppEntry {
    /// Refuses what may be received but not applied or sent.
    ///
    /// # Errors
    /// [`Unsupported::Selector`], [`Violation::Dscp`].
    pub fn check(&self) -> Result<(), Error> {
        match self.selector {
            Selector::Reserved(_) => Err(Unsupported::Selector(self.selector).into()),
            Selector::Dscp if self.protocol > 63 => Err(Violation::Dscp(self.protocol).into()),
            _ => Ok(()),
        }
    }
}

/// Application Priority on the wire: entries of three octets from offset 5.
#[derive(Clone, Copy, Debug)]
pub struct AppView<'a>(&'a [u8]);

impl<'a> AppView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// [`Malformed::Length`] unless it has 5 + 3n octets.
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        let fits = v.len() >= 5 && (v.len() - 5).is_multiple_of(3);
        if fits { Ok(Self(v)) } else { Err(Malformed::Length { kind: Kind::AppPriority, length: v.len() }) }
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = AppEntry> + use<'a> {
        self.0[5..].chunks_exact(3).map(|e| AppEntry {
            selector: Selector::from_code(e[0]),
            protocol: be16(e, 1),
            priority: Priority::from_low_bits(e[0] >> 5),
        })
    }
}

/// An application table that fits one TLV (168 entries).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppTable(Vec<AppEntry>);

impl AppTable {
    /// Most entries that one TLV can carry.
    pub const MAX: usize = 168;

    /// `None` over 168 entries.
    pub fn new(entries: Vec<AppEntry>) -> Option<Self> {
        (entries.len() <= Self::MAX).then_some(Self(entries))
    }

    /// What a view says; it fits by its nature.
    pub fn parse(v: &AppView<'_>) -> Self {
        Self(v.entries().collect())
    }

    /// The entries, in the order in which they were given.
    pub fn entries(&self) -> &[AppEntry] {
        &self.0
    }

    /// Priority of an application; of several the highest.
    pub fn priority(&self, selector: Selector, protocol: u16) -> Option<Priority> {
        self.0.iter().filter(|e| e.selector == selector && e.protocol == protocol).map(|e| e.priority).max()
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 0x0c, |o| {
            o.push(0);
            for e in &self.0 {
                o.push(e.priority.value() << 5 | e.selector.code());
                o.extend_from_slice(&e.protocol.to_be_bytes());
            }
        });
    }
}

/// One application's VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppVlanEntry {
    /// VLAN ID, 1 to 4094.
    pub vid: u16,
    /// What `protocol` is.
    pub selector: Selector,
    /// Ethertype, port or DSCP.
    pub protocol: u16,
}

/// Application VLAN on the wire: entries of four octets from offset 4.
#[derive(Clone, Copy, Debug)]
pub struct AppVlanView<'a>(&'a [u8]);

impl<'a> AppVlanView<'a> {
    /// Wraps the information string.
    ///
    /// # Errors
    /// [`Malformed::Length`] unless it has 4 + 4n octets.
    pub fn new_checked(v: &'a [u8]) -> Result<Self, Malformed> {
        let fits = v.len() >= 4 && v.len().is_multiple_of(4);
        if fits { Ok(Self(v)) } else { Err(Malformed::Length { kind: Kind::AppVlan, length: v.len() }) }
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = AppVlanEntry> + use<'a> {
        self.0[4..].chunks_exact(4).map(|e| AppVlanEntry {
            vid: be16(e, 0) >> 4,
            selector: Selector::from_code(e[1]),
            protocol: be16(e, 2),
        })
    }
}

/// Application VLANs that fit one TLV (126 entries), each with a VLAN ID that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppVlanTable(Vec<AppVlanEntry>);

impl AppVlanTable {
    /// Most entries that one TLV can carry.
    pub const MAX: usize = 126;

    /// `None` over 126 entries, or with a VLAN ID outside 1 to 4094.
    pub fn new(entries: Vec<AppVlanEntry>) -> Option<Self> {
        let legal = entries.len() <= Self::MAX && entries.iter().all(|e| (1..=4094).contains(&e.vid));
        legal.then_some(Self(entries))
    }

    /// Checks what a view says.
    ///
    /// # Errors
    /// [`Violation::VlanId`].
    pub fn parse(v: &AppVlanView<'_>) -> Result<Self, Violation> {
        match v.entries().find(|e| !(1..=4094).contains(&e.vid)) {
            Some(e) => Err(Violation::VlanId(e.vid)),
            None => Ok(Self(v.entries().collect())),
        }
    }

    /// The entries.
    pub fn entries(&self) -> &[AppVlanEntry] {
        &self.0
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_org(out, OUI_8021, 0x10, |o| {
            for e in &self.0 {
                o.extend_from_slice(&(e.vid << 4 | u16::from(e.selector.code())).to_be_bytes());
                o.extend_from_slice(&e.protocol.to_be_bytes());
            }
        });
    }
}
