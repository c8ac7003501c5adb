//! Names, addresses and numbers of networking as values of keys.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::value::{Int, PairKey, string};
use super::{Complaint, Node, Reader, Spell, Value};
use crate::diagnostic::Diagnostic;
use crate::model::IpPrefix;
use crate::words;

/// A name that the kernel accepts for an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceName(pub(crate) String);

/// What is wrong with an interface name: the kernel's rules (`dev_valid_name`), and those of
/// every tool that shows one. `%` would make the kernel number the name itself.
pub(crate) fn bad_interface_name(name: &str) -> Option<String> {
    let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '%' | '"' | '\\');
    if name.is_empty() {
        Some("this is empty".into())
    } else if let Some(c) = name.chars().find(|&c| bad(c)) {
        Some(match c {
            ' ' | '\t' => "it has a space".into(),
            c if c.is_control() => "it has a control character".into(),
            c => format!("`{c}` is not allowed"),
        })
    } else if name.len() > 15 {
        Some(format!("this has {} bytes, the kernel takes 15", name.len()))
    } else if matches!(name, "." | "..") {
        Some("the kernel refuses this name".into())
    } else {
        None
    }
}

impl Value for InterfaceName {
    fn accepts() -> String {
        "an interface name: 1 to 15 ASCII characters, no space and none of / : % \" \\".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let name = string(node, cx, &Self::accepts())?;
        match bad_interface_name(name) {
            None => Some(Self(name.to_owned())),
            Some(complaint) => {
                cx.refuse(node.span(), complaint, &Self::accepts());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r#"^[^\s/:%"\\]{1,15}$"# })
    }
}

impl Spell for InterfaceName {
    fn spell(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Declares a value that is read from a string by a function that answers with a complaint.
macro_rules! from_text {
    ($(#[doc = $doc:literal])* $name:ident($inner:ty), $accepts:literal, $parse:expr, $pattern:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl Value for $name {
            fn accepts() -> String {
                $accepts.into()
            }

            fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
                let text = string(node, cx, $accepts)?.trim();
                let parse: fn(&str) -> Result<$inner, Complaint> = $parse;
                parse(text)
                    .map_err(|complaint| cx.refuse(node.span(), complaint, $accepts))
                    .ok()
                    .map(Self)
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

from_text! {
    /// A MAC address.
    Mac([u8; 6]), "a MAC address such as \"02:00:00:00:00:01\"", parse_mac,
    "^\\s*[0-9A-Fa-f][0-9A-Fa-f:.-]*\\s*$"
}

/// Reads `02:00:00:00:00:01`, `02-00-00-00-00-01` and `0200.0000.0001`.
pub(crate) fn parse_mac(text: &str) -> Result<[u8; 6], Complaint> {
    let groups: Vec<&str> = text.split([':', '-', '.']).collect();
    let width = match groups.len() {
        6 => 2,
        3 => 4,
        1 => 12,
        _ => return Err("this is no MAC address".into()),
    };
    let hex = groups.concat();
    let too_short = groups.len() == 1 && hex.len() < 12;
    if too_short || groups.iter().any(|g| g.is_empty() || g.len() > width) || !hex.is_ascii() {
        return Err("this is no MAC address".into());
    }
    let mut mac = [0; 6];
    let digits = groups.iter().map(|g| format!("{g:0>width$}")).collect::<Vec<_>>().concat();
    for (octet, pair) in mac.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let value = std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        *octet = value.ok_or("this has a digit that is not hexadecimal")?;
    }
    Ok(mac)
}

/// `02:00:00:00:00:01`.
pub(crate) fn show_mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

from_text! {
    /// An IP address.
    HostAddress(IpAddr), "an IP address such as \"192.0.2.1\" or \"2001:db8::1\"",
    parse_address, "^\\s*[0-9A-Fa-f:.]+\\s*$"
}

impl Spell for HostAddress {
    fn spell(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

fn parse_address(text: &str) -> Result<IpAddr, Complaint> {
    text.trim().parse().map_err(|_| format!("`{text}` is no IP address").into())
}

from_text! {
    /// An IP prefix.
    Prefix(IpPrefix), "an IP address or prefix such as \"10.0.0.0/8\" or \"fd00::/8\"",
    parse_prefix, "^\\s*[0-9A-Fa-f:.]+(/[0-9]+)?\\s*$"
}

fn parse_prefix(text: &str) -> Result<IpPrefix, Complaint> {
    let (addr, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let addr: IpAddr = addr.trim().parse().map_err(|_| format!("`{addr}` is no IP address"))?;
    let bits: u8 = if addr.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => bits,
        Some(len) => match len.trim().parse() {
            Ok(len) if len <= bits => len,
            _ => return Err(format!("the prefix length goes from 0 to {bits}").into()),
        },
    };
    let network = masked(addr, len);
    if network != addr {
        return Err(Complaint::instead("it has host bits set", format!("{network}/{len}")));
    }
    Ok(IpPrefix { addr, len })
}

/// `addr` with the bits behind `len` cleared.
pub(crate) fn masked(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

from_text! {
    /// Where to listen for HTTP, or nowhere.
    ListenOrOff(Option<SocketAddr>),
    "an address and port such as \"127.0.0.1:9464\", or \"off\"",
    |text| match text {
        "off" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| "this is no IP address with a port".into()),
    },
    "^\\s*(off|.+:[0-9]+)\\s*$"
}

impl Spell for ListenOrOff {
    fn spell(&self) -> String {
        self.0.map_or_else(|| "\"off\"".into(), |addr| format!("\"{addr}\""))
    }
}

/// The address of a stream port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

from_text! {
    /// Where a stream port listens or connects.
    Endpoint(Address), "\"unix:/path/of/socket\" or \"tcp:127.0.0.1:9000\"",
    |text| match text.split_once(':') {
        Some(("unix", path)) => socket_path(path).map(Address::Unix),
        Some(("tcp", addr)) => addr
            .parse()
            .map(Address::Tcp)
            .map_err(|_| format!("`{addr}` is no IP address with a port").into()),
        _ if text.starts_with('/') => Err(Complaint::instead("the kind of socket is missing", format!("unix:{text}"))),
        _ if text.parse::<SocketAddr>().is_ok() => Err(Complaint::instead("the kind of socket is missing", format!("tcp:{text}"))),
        _ => Err("neither unix: nor tcp:".into()),
    },
    "^\\s*(unix:/.+|tcp:.+:[0-9]+)\\s*$"
}

from_text! {
    /// The path of a Unix socket.
    SocketPath(PathBuf), "the absolute path of a Unix socket, at most 107 bytes",
    socket_path, "^\\s*/.*$"
}

fn socket_path(text: &str) -> Result<PathBuf, Complaint> {
    if !text.starts_with('/') {
        return Err("the path must be absolute".into());
    }
    if text.ends_with('/') || text.contains('\0') {
        return Err("this is no path of a file".into());
    }
    if text.len() > 107 {
        return Err(format!("this has {} bytes, a socket's path at most 107", text.len()).into());
    }
    Ok(text.into())
}

from_text! {
    /// A network namespace.
    Netns(String), "the name of a network namespace, an absolute path, or \"pid:N\"",
    |text| match text.strip_prefix("pid:") {
        Some(pid) if pid.parse::<u32>().is_ok_and(|pid| pid > 0) => Ok(text.to_owned()),
        Some(_) => Err("the process id must be a number".into()),
        None if text.is_empty() || text.contains(char::is_control) => Err("no such name".into()),
        None if text.starts_with('/') || !(text.contains('/') || matches!(text, "." | "..")) => {
            Ok(text.to_owned())
        }
        None => Err("a name has no `/`, a path begins with it".into()),
    },
    "^\\s*(pid:[0-9]+|/.+|[^/]+)\\s*$"
}

/// Declares a number that can also be written as text.
macro_rules! number_or_text {
    ($(#[doc = $doc:literal])* $name:ident($inner:ty), $accepts:literal, $max:literal, $parse:expr) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl Value for $name {
            fn accepts() -> String {
                $accepts.into()
            }

            fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
                let text = match node.get_ref() {
                    DeValue::String(text) => text.trim().to_owned(),
                    DeValue::Integer(number) => {
                        let value = i64::from_str_radix(number.as_str(), number.radix());
                        value.map_or_else(|_| number.to_string(), |value| value.to_string())
                    }
                    _ => {
                        cx.wrong_type(node, $accepts);
                        return None;
                    }
                };
                let parse: fn(&str) -> Result<$inner, Complaint> = $parse;
                parse(&text)
                    .map_err(|complaint| cx.refuse(node.span(), complaint, $accepts))
                    .ok()
                    .map(Self)
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [
                    { "type": "integer", "minimum": 0, "maximum": $max },
                    { "type": "string" },
                ] })
            }
        }
    };
}

number_or_text! {
    /// VLAN IDs, inclusive.
    Vlans((u16, u16)), "a VLAN ID from 1 to 4094 or a range such as \"20-29\"", 4094,
    |text| match parse_range(text) {
        Some((first, last)) if first >= 1 && last <= 4094 => in_order(first, last),
        Some(_) => Err("VLAN IDs go from 1 to 4094".into()),
        None => Err("neither a number nor a range".into()),
    }
}

number_or_text! {
    /// TCP or UDP ports, inclusive.
    Ports((u16, u16)), "a port from 1 to 65535 or a range such as \"5000-5010\"", 65535,
    |text| match parse_range(text) {
        Some((first, last)) if first >= 1 => in_order(first, last),
        _ => Err("neither a port nor a range of ports".into()),
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn in_order(first: u16, last: u16) -> Result<(u16, u16), Complaint> {
    if first <= last {
        Ok((first, last))
    } else {
        Err(Complaint::instead("the range is the wrong way round", format!("{last}-{first}")))
    }
}

number_or_text! {
    /// A DSCP.
    Dscp(u8), "a DSCP from 0 to 63 or its name, such as \"ef\", \"af41\" or \"cs5\"", 63,
    |text| words::dscp(text).ok_or_else(|| match text.parse::<u32>() {
        Ok(_) => "DSCPs go from 0 to 63".into(),
        Err(_) => "this is no DSCP".into(),
    })
}

number_or_text! {
    /// An IP protocol.
    Protocol(u8), "an IP protocol number from 0 to 255 or a name, such as \"tcp\" or \"icmp\"", 255,
    |text| words::protocol(text).ok_or_else(|| "this is no protocol".into())
}

number_or_text! {
    /// An ethertype.
    EtherType(u16), "an ethertype from 0x0600 to 0xffff or a name, such as \"arp\"", 65535,
    |text| words::ethertype(text).ok_or_else(|| match text.parse::<u32>() {
        Ok(0..0x600) => "below 0x0600 it is a length".into(),
        _ => "this is no ethertype".into(),
    })
}

/// A frame size in `MIN..=MAX` bytes, or `"default"` (`None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeOrDefault<const MIN: i64, const MAX: i64>(pub(crate) Option<u16>);

/// Bytes of an Ethernet header, which Windows' `*JumboPacket` counts and an L3 MTU does not.
pub(crate) const ETHERNET_HEADER: i64 = 14;
pub(crate) const MTU_MIN: i64 = 576;
pub(crate) const MTU_MAX: i64 = 9202;
pub(crate) type Mtu = SizeOrDefault<MTU_MIN, MTU_MAX>;
pub(crate) type JumboPacket = SizeOrDefault<{ MTU_MIN + ETHERNET_HEADER }, { MTU_MAX + ETHERNET_HEADER }>;

impl<const MIN: i64, const MAX: i64> Value for SizeOrDefault<MIN, MAX> {
    fn accepts() -> String {
        format!("{MIN} to {MAX} bytes, or \"default\"")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let label = match node.get_ref() {
            DeValue::String(text) if text.trim() == "default" => return Some(Self(None)),
            DeValue::String(_) => "unknown word",
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(value) if (MIN..=MAX).contains(&value) => return Some(Self(Some(value as u16))),
                _ => "out of range",
            },
            _ => "this is no number",
        };
        let title = format!("`{}` is not accepted", cx.key);
        cx.report(Diagnostic::error(node.span(), title).label(label).help(format!(
            "accepted are `mtu` from {MTU_MIN} to {MTU_MAX} (payload of a frame, as Linux counts) \
             or `jumbo_packet` from {} to {} (with the Ethernet header, as Windows counts); \
             \"default\" resets it",
            MTU_MIN + ETHERNET_HEADER,
            MTU_MAX + ETHERNET_HEADER,
        )));
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "enum": ["default"] },
        ] })
    }
}

/// Keys of a map from PCP or priority.
#[derive(Clone, Debug)]
pub(crate) struct OctalKey;

impl PairKey for OctalKey {
    const PATTERN: &'static str = "^[0-7]$";

    fn accepts() -> &'static str {
        "numbers from 0 to 7"
    }

    fn parse(text: &str) -> Option<Vec<u8>> {
        text.parse().ok().filter(|&value| value < 8).map(|value| vec![value])
    }
}

/// Keys of a map from DSCP.
#[derive(Clone, Debug)]
pub(crate) struct DscpKey;

impl PairKey for DscpKey {
    const PATTERN: &'static str = "^[0-9A-Za-z-]+$";

    fn accepts() -> &'static str {
        "DSCPs (0 to 63, a name such as ef, or a range such as \"8-15\")"
    }

    fn parse(text: &str) -> Option<Vec<u8>> {
        if let Some(dscp) = words::dscp(text) {
            return Some(vec![dscp]);
        }
        match parse_range(text)? {
            (first, last) if first <= last && last < 64 => {
                Some((first..=last).map(|dscp| dscp as u8).collect())
            }
            _ => None,
        }
    }
}

/// A PCP, 0 to 7.
pub(crate) type Pcp = Int<0, 7>;
