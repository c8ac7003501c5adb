//! From the conditions of a policy to what the classifier compares, and which frames they cover.

use std::net::IpAddr;
use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::model::{IpPrefix, Match};
use crate::schema::network::masked;
use crate::schema::sections::MatchSection;
use crate::schema::value::{Int, List};
use crate::schema::{Opt, Reader};
use crate::words::{self, APPLICATIONS, IPV4, IPV6, TCP, UDP};

/// What an application (or a port) stands for, with the key that named it.
struct Base {
    key: &'static str,
    span: Range<usize>,
    matches: Vec<Match>,
}

/// The alternatives of a table of conditions; empty when it was refused.
pub(super) fn expand(raw: &MatchSection, span: &Range<usize>, cx: &mut Reader) -> Vec<Match> {
    let bases = bases(raw);
    if let [first, second, ..] = bases.as_slice() {
        cx.report(
            Diagnostic::error(
                second.span.clone(),
                format!("no frame is both `{}` and `{}`", first.key, second.key),
            )
            .label("and this")
            .also(Some(first.span.clone()), "this")
            .help("write a list for either: `match = [{ ... }, { ... }]`"),
        );
        return Vec::new();
    }
    let rest = conditions(raw);
    let Some(base) = bases.into_iter().next() else {
        if rest == Match::default() {
            cx.report(
                Diagnostic::error(span.clone(), "a match without a condition")
                    .label("this asks nothing")
                    .help("write `match = \"default\"` to match every frame"),
            );
            return Vec::new();
        }
        return possible(vec![rest], span, cx);
    };
    if let Some((key, other)) = doubled(raw, &base) {
        let help = if matches!(base.key, "tcp_port" | "udp_port") {
            "use `protocol` with `src_port` and `dst_port` instead"
        } else {
            "remove it, or name protocol and ports yourself"
        };
        cx.report(
            Diagnostic::error(other, format!("`{}` already says which `{key}`", base.key))
                .label("said twice")
                .also(Some(base.span), "said here")
                .help(help),
        );
        return Vec::new();
    }
    if base.key == "default" && rest != Match::default() {
        cx.report(
            Diagnostic::error(base.span, "`default` matches every frame")
                .label("it cannot be narrowed")
                .help("remove `default`: the other conditions are enough"),
        );
        return Vec::new();
    }
    let narrowed = base.matches.into_iter().map(|base| narrow(base, &rest)).collect();
    possible(narrowed, span, cx)
}

/// The applications and ports that a table names.
fn bases(raw: &MatchSection) -> Vec<Base> {
    let words = [
        ("smb", &raw.smb),
        ("iscsi", &raw.iscsi),
        ("nfs", &raw.nfs),
        ("live_migration", &raw.live_migration),
        ("fcoe", &raw.fcoe),
        ("fip", &raw.fip),
        ("rocev1", &raw.rocev1),
        ("rocev2", &raw.rocev2),
        ("default", &raw.default),
    ];
    let mut bases = Vec::new();
    for (key, asked) in words {
        let application = APPLICATIONS.iter().find(|application| application.word == key);
        if let (Some(span), Some(application)) = (asked.span(), application) {
            bases.push(Base { key, span, matches: (application.matches)() });
        }
    }
    if let Some((Int(service), span)) = raw.netdirect_port.given() {
        let matches = words::network_direct(*service as u16);
        bases.push(Base { key: "netdirect_port", span, matches });
    }
    for (key, ports, protocol) in [("tcp_port", &raw.tcp_port, TCP), ("udp_port", &raw.udp_port, UDP)] {
        if let Some((ports, span)) = ports.given() {
            let either_port = Some(ports.0);
            let matches = vec![Match { protocols: vec![protocol], either_port, ..Match::default() }];
            bases.push(Base { key, span, matches });
        }
    }
    bases
}

/// A condition that a base has already fixed.
fn doubled(raw: &MatchSection, base: &Base) -> Option<(&'static str, Range<usize>)> {
    if base.key == "default" {
        return None;
    }
    [
        ("protocol", raw.protocol.span()),
        ("ethertype", raw.ethertype.span()),
        ("src_port", raw.src_port.span()),
        ("dst_port", raw.dst_port.span()),
    ]
    .into_iter()
    .find_map(|(key, span)| Some((key, span?)))
}

/// The conditions other than applications.
fn conditions(raw: &MatchSection) -> Match {
    let byte = |value: &Opt<Int<0, 7>>| value.value().map(|value| value.0 as u8);
    let (src_port, dst_port) = (raw.src_port.value(), raw.dst_port.value());
    let mut protocols: Vec<u8> =
        raw.protocol.value().iter().flat_map(|list: &&List<_>| list.values()).map(|p| p.0).collect();
    if protocols.is_empty() && (src_port.is_some() || dst_port.is_some()) {
        protocols = vec![TCP, UDP];
    }
    protocols.sort_unstable();
    protocols.dedup();
    Match {
        in_ports: raw
            .in_port
            .value()
            .map_or_else(Vec::new, |list| list.values().map(|name| name.0.clone()).collect()),
        src_mac: raw.src_mac.value().map(|mac| mac.0),
        dst_mac: raw.dst_mac.value().map(|mac| mac.0),
        vlan: raw.vlan.value().map(|vlan| vlan.0 as u16),
        pcp: byte(&raw.pcp),
        ethertype: raw.ethertype.value().map(|ethertype| ethertype.0),
        dscp: raw.dscp.value().map(|dscp| dscp.0),
        protocols,
        src_ip: raw.src_ip.value().map(|prefix| prefix.0),
        dst_ip: raw.dst_ip.value().map(|prefix| prefix.0),
        src_port: src_port.map(|ports| ports.0),
        dst_port: dst_port.map(|ports| ports.0),
        either_port: None,
    }
}

/// What an application stands for, with further conditions. `doubled` made sure that they do not
/// ask for the same things.
fn narrow(base: Match, rest: &Match) -> Match {
    Match {
        protocols: base.protocols,
        ethertype: base.ethertype,
        src_port: base.src_port,
        dst_port: base.dst_port,
        either_port: base.either_port,
        ..rest.clone()
    }
}

/// Leaves out alternatives that no frame can fulfil; with none left, says why.
fn possible(alternatives: Vec<Match>, span: &Range<usize>, cx: &mut Reader) -> Vec<Match> {
    let mut why = None;
    let possible: Vec<_> = alternatives
        .into_iter()
        .filter(|alternative| match contradiction(alternative) {
            Some(reason) => {
                why = Some(reason);
                false
            }
            None => true,
        })
        .collect();
    if let (true, Some((label, help))) = (possible.is_empty(), why) {
        let title = "no frame can match this";
        cx.report(Diagnostic::error(span.clone(), title).label(label).help(help));
    }
    possible
}

/// Why no frame fulfils all conditions, and what to do about it.
fn contradiction(m: &Match) -> Option<(String, &'static str)> {
    let asks_ip = m.dscp.is_some() || !m.protocols.is_empty() || m.src_ip.is_some() || m.dst_ip.is_some();
    if let Some(ethertype) = m.ethertype
        && asks_ip
        && ![IPV4, IPV6].contains(&ethertype)
    {
        return Some((
            format!("frames of ethertype {ethertype:#06x} have no IP header"),
            "remove the conditions on IP addresses, protocol, ports and DSCP",
        ));
    }
    let families = [
        m.src_ip.map(|prefix| prefix.addr.is_ipv4()),
        m.dst_ip.map(|prefix| prefix.addr.is_ipv4()),
        m.ethertype.and_then(|ethertype| match ethertype {
            IPV4 => Some(true),
            IPV6 => Some(false),
            _ => None,
        }),
    ];
    if families.contains(&Some(true)) && families.contains(&Some(false)) {
        let label = "it asks for IPv4 and IPv6 at once".to_owned();
        return Some((label, "write two alternatives: `match = [{ ... }, { ... }]`"));
    }
    let asks_ports = m.src_port.is_some() || m.dst_port.is_some() || m.either_port.is_some();
    let without = m.protocols.iter().find(|protocol| !words::WITH_PORTS.contains(protocol));
    if let (true, Some(protocol)) = (asks_ports, without) {
        let label = format!("IP protocol {protocol} has no ports");
        return Some((label, "remove the ports, or write `protocol = \"tcp\"` or \"udp\""));
    }
    if m.src_mac.is_some_and(|mac| mac[0] & 1 != 0) {
        let label = "a group address is never a source".to_owned();
        return Some((label, "use `dst_mac` for group addresses"));
    }
    None
}

/// Whether every frame that `narrow` matches is matched by `wide` too.
pub(super) fn covers(wide: &Match, narrow: &Match) -> bool {
    fn same<T: PartialEq + Copy>(wide: Option<T>, narrow: Option<T>) -> bool {
        wide.is_none() || wide == narrow
    }
    let ports = |wide: Option<(u16, u16)>, narrow: Option<(u16, u16)>| match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => wide.0 <= narrow.0 && narrow.1 <= wide.1,
        (Some(_), None) => false,
    };
    let either = wide.either_port;
    let subset = |wide: &[u8], narrow: &[u8]| {
        wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|n| wide.contains(n))
    };
    let in_ports = wide.in_ports.is_empty()
        || !narrow.in_ports.is_empty() && narrow.in_ports.iter().all(|name| wide.in_ports.contains(name));
    in_ports
        && same(wide.src_mac, narrow.src_mac)
        && same(wide.dst_mac, narrow.dst_mac)
        && same(wide.vlan, narrow.vlan)
        && same(wide.pcp, narrow.pcp)
        && same(wide.ethertype, narrow.ethertype)
        && same(wide.dscp, narrow.dscp)
        && subset(&wide.protocols, &narrow.protocols)
        && contains(wide.src_ip, narrow.src_ip)
        && contains(wide.dst_ip, narrow.dst_ip)
        && ports(wide.src_port, narrow.src_port)
        && ports(wide.dst_port, narrow.dst_port)
        && [narrow.either_port, narrow.src_port, narrow.dst_port].iter().any(|n| ports(either, *n))
}

fn contains(wide: Option<IpPrefix>, narrow: Option<IpPrefix>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            let family = |addr: IpAddr| addr.is_ipv4();
            family(wide.addr) == family(narrow.addr)
                && wide.len <= narrow.len
                && masked(narrow.addr, wide.len) == wide.addr
        }
    }
}

#[cfg(test)]
mod tests;
