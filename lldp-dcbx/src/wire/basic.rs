//! The optional TLVs of the basic set (802.1AB 8.5.5 to 8.5.9).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::tlv::emit_tlv;
use super::{Kind, be16, be32};
use crate::error::Malformed;

/// Up to 255 octets of text. Sent as UTF-8; what is received is kept octet for octet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    /// As much of `s` as fits, cut between characters.
    pub fn new(s: &str) -> Self {
        let end = (0..=255.min(s.len())).rev().find(|i| s.is_char_boundary(*i)).unwrap_or(0);
        Self(s.as_bytes()[..end].to_vec())
    }

    /// Parses the information string of a TLV.
    ///
    /// # Errors
    /// [`Malformed::Length`] over 255 octets.
    pub fn parse(kind: Kind, v: &[u8]) -> Result<Self, Malformed> {
        if v.len() > 255 {
            return Err(Malformed::Length { kind, length: v.len() });
        }
        Ok(Self(v.to_vec()))
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Text {
    /// Invalid UTF-8 and control characters are shown as the replacement character: neighbours must
    /// not reach a person's terminal with escape sequences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean: String = String::from_utf8_lossy(&self.0)
            .chars()
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            .collect();
        f.write_str(&clean)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// System capabilities: two bitmaps (bit 2 bridge, bit 4 router, bit 7 station only, ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Capabilities {
    supported: u16,
    enabled: u16,
}

impl Capabilities {
    /// Bit of a MAC bridge.
    pub const BRIDGE: u16 = 1 << 2;
    /// Bit of a router.
    pub const ROUTER: u16 = 1 << 4;
    /// Bit of a station.
    pub const STATION: u16 = 1 << 7;

    /// Capabilities; what is enabled but not supported is left out (802.1AB 8.5.8.3).
    pub fn new(supported: u16, enabled: u16) -> Self {
        Self { supported, enabled: enabled & supported }
    }

    /// What the system can be.
    pub fn supported(self) -> u16 {
        self.supported
    }

    /// What it is at the moment.
    pub fn enabled(self) -> u16 {
        self.enabled
    }

    /// Parses the information string; longer ones than today's four octets are accepted.
    ///
    /// # Errors
    /// [`Malformed::Length`] below four octets.
    pub fn parse(v: &[u8]) -> Result<Self, Malformed> {
        if v.len() < 4 {
            return Err(Malformed::Length { kind: Kind::Capabilities, length: v.len() });
        }
        Ok(Self::new(be16(v, 0), be16(v, 2)))
    }

    /// Appends the TLV.
    pub fn emit(self, out: &mut Vec<u8>) {
        emit_tlv(out, 7, |o| {
            o.extend_from_slice(&self.supported.to_be_bytes());
            o.extend_from_slice(&self.enabled.to_be_bytes());
        });
    }
}

/// Management address: where the system is administered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementAddress {
    family: u8,
    address: Vec<u8>,
    numbering: u8,
    interface: u32,
    oid: Vec<u8>,
}

impl ManagementAddress {
    /// An address of IANA address family `family` (1 IPv4, 2 IPv6, 6 MAC) on the interface with system
    /// number `if_index`. `None` unless the address has 1 to 31 octets.
    pub fn new(family: u8, address: &[u8], if_index: u32) -> Option<Self> {
        (1..=31).contains(&address.len()).then(|| Self {
            family,
            address: address.to_vec(),
            numbering: 2,
            interface: if_index,
            oid: Vec::new(),
        })
    }

    /// Address family number of IANA.
    pub fn family(&self) -> u8 {
        self.family
    }

    /// The address.
    pub fn address(&self) -> &[u8] {
        &self.address
    }

    /// Interface number, in the numbering that the sender chose.
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Parses the information string.
    ///
    /// # Errors
    /// [`Malformed`] when a length field points past the end or is out of range.
    pub fn parse(v: &[u8]) -> Result<Self, Malformed> {
        let kind = Kind::ManagementAddress;
        let wrong = Malformed::Length { kind, length: v.len() };
        let len = usize::from(*v.first().ok_or(wrong)?);
        if !(2..=32).contains(&len) {
            return Err(Malformed::Inner(kind));
        }
        let (address, rest) = v[1..].split_at_checked(len).ok_or(Malformed::Inner(kind))?;
        if rest.len() < 6 {
            return Err(wrong);
        }
        let oid_len = usize::from(rest[5]);
        let oid = rest[6..].get(..oid_len).filter(|o| o.len() <= 128).ok_or(Malformed::Inner(kind))?;
        Ok(Self {
            family: address[0],
            address: address[1..].to_vec(),
            numbering: rest[0],
            interface: be32(rest, 1),
            oid: oid.to_vec(),
        })
    }

    /// Appends the TLV.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_tlv(out, 8, |o| {
            o.extend_from_slice(&[self.address.len() as u8 + 1, self.family]);
            o.extend_from_slice(&self.address);
            o.push(self.numbering);
            o.extend_from_slice(&self.interface.to_be_bytes());
            o.push(self.oid.len() as u8);
            o.extend_from_slice(&self.oid);
        });
    }
}

impl fmt::Display for ManagementAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.family, self.address.as_slice()) {
            (1, four) if four.len() == 4 => {
                let four: [u8; 4] = core::array::from_fn(|i| four[i]);
                core::net::Ipv4Addr::from(four).fmt(f)
            }
            (2, six) if six.len() == 16 => {
                let six: [u8; 16] = core::array::from_fn(|i| six[i]);
                core::net::Ipv6Addr::from(six).fmt(f)
            }
            (_, other) => other.iter().try_for_each(|b| write!(f, "{b:02x}")),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ManagementAddress {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
