//! Chassis ID and Port ID (802.1AB 8.5.2, 8.5.3).

use alloc::vec::Vec;
use core::fmt;

use super::Kind;
use super::tlv::emit_tlv;
use crate::error::Malformed;
use crate::types::Mac;

/// Subtype of an ID whose value is a MAC address or a name, by TLV.
struct Subtypes {
    mac: u8,
    network: u8,
}

const CHASSIS: Subtypes = Subtypes { mac: 4, network: 5 };
const PORT: Subtypes = Subtypes { mac: 3, network: 4 };

macro_rules! id {
    ($name:ident, $kind:expr, $ty:literal, $subtypes:expr, $interface_name:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            subtype: u8,
            value: Vec<u8>,
        }

        impl $name {
            /// Any subtype; reserved ones are kept as they are. `None` unless 1 to 255 octets.
            pub fn new(subtype: u8, value: &[u8]) -> Option<Self> {
                (1..=255).contains(&value.len()).then(|| Self { subtype, value: value.to_vec() })
            }

            /// A MAC address.
            pub fn mac(mac: Mac) -> Self {
                Self { subtype: $subtypes.mac, value: mac.0.to_vec() }
            }

            /// An interface name. `None` unless 1 to 255 octets.
            pub fn interface_name(name: &str) -> Option<Self> {
                Self::new($interface_name, name.as_bytes())
            }

            /// A locally assigned string. `None` unless 1 to 255 octets.
            pub fn local(name: &str) -> Option<Self> {
                Self::new(7, name.as_bytes())
            }

            /// Subtype code.
            pub fn subtype(&self) -> u8 {
                self.subtype
            }

            /// The octets behind the subtype.
            pub fn value(&self) -> &[u8] {
                &self.value
            }

            /// Parses the information string.
            ///
            /// # Errors
            /// [`Malformed::Length`] unless it has 2 to 256 octets.
            pub fn parse(v: &[u8]) -> Result<Self, Malformed> {
                let wrong = Malformed::Length { kind: $kind, length: v.len() };
                let (subtype, value) = v.split_first().ok_or(wrong)?;
                Self::new(*subtype, value).ok_or(wrong)
            }

            /// Appends the TLV.
            pub fn emit(&self, out: &mut Vec<u8>) {
                emit_tlv(out, $ty, |o| {
                    o.push(self.subtype);
                    o.extend_from_slice(&self.value);
                });
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(f, &$subtypes, self.subtype, &self.value)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    };
}

id!(ChassisId, Kind::ChassisId, 1, CHASSIS, 6, "Names the station that sends.");
id!(PortId, Kind::PortId, 2, PORT, 5, "Names the port from which it is sent.");

/// MACs and addresses in their usual form, printable text as it is, anything else in hex.
fn show(f: &mut fmt::Formatter<'_>, subtypes: &Subtypes, subtype: u8, v: &[u8]) -> fmt::Result {
    if subtype == subtypes.mac
        && let Ok(mac) = <[u8; 6]>::try_from(v)
    {
        return write!(f, "{}", Mac(mac));
    }
    if subtype == subtypes.network {
        if let [1, a, b, c, d] = v {
            return write!(f, "{}", core::net::Ipv4Addr::new(*a, *b, *c, *d));
        }
        if let Some(Ok(six)) = v.strip_prefix(&[2]).map(<[u8; 16]>::try_from) {
            return write!(f, "{}", core::net::Ipv6Addr::from(six));
        }
    }
    match core::str::from_utf8(v) {
        Ok(s) if !s.chars().any(char::is_control) => f.write_str(s),
        _ => v.iter().try_for_each(|b| write!(f, "{b:02x}")),
    }
}
