//! `[[port]]` with `[defaults]`.

use std::collections::HashMap;
use std::ops::Range;

use super::{at_most, flow, unique_names, vlans};
use crate::diagnostic::Diagnostic;
use crate::model::{Bridge, FlowControl, Metrics, Port, PortKind, StreamEndpoint, Trust};
use crate::schema::network::{Address, ETHERNET_HEADER, JumboPacket, Mtu};
use crate::schema::sections::{DefaultsSection, File, Kind, PortSection};
use crate::schema::value::{List, OneOf};
use crate::schema::{Opt, Reader, Section};

/// Most ports of one switch.
const PORTS_MAX: usize = 256;
/// The MTU of a Linux interface that nobody configured.
const MTU_DEFAULT: u16 = 1500;
/// A frame with its tag, the room in front of it and the kernel's own record share one page of 4096 bytes.
const VETH_MTU_MAX: u16 = 3500;

/// The ports of the file, as many as can be; empty when it has none that can be looked at.
pub(super) fn sections(file: &File) -> &[PortSection] {
    let all = all_sections(file);
    &all[..all.len().min(PORTS_MAX)]
}

fn all_sections(file: &File) -> &[PortSection] {
    file.port.value().map_or(&[], |tables| &tables.items)
}

pub(super) fn defaults_section(file: &File) -> DefaultsSection {
    file.defaults.value().map_or_else(DefaultsSection::defaults, |table| table.0.clone())
}

/// Where the line rate of a port comes from; its header, when it comes from nowhere.
pub(super) fn line_rate_span(file: &File, index: usize) -> Range<usize> {
    let port = &sections(file)[index];
    let default = || defaults_section(file).line_rate.span;
    port.line_rate.span().or_else(default).unwrap_or_else(|| port.place.clone())
}

pub(super) fn ports(file: &File, bridge: &Bridge, metrics: &Metrics, cx: &mut Reader) -> Vec<Port> {
    let raw = sections(file);
    let defaults = defaults_section(file);
    let default_mtu = mtu(&defaults.mtu, &defaults.jumbo_packet, cx).unwrap_or(MTU_DEFAULT);
    let help = "start a second switch and join the two by a stream port";
    at_most(all_sections(file).iter().map(|port| port.place.clone()), PORTS_MAX, "ports", help, cx);
    let names = raw.iter().filter_map(|port| port.name.given());
    unique_names(names.map(|(name, span)| (name.0.as_str(), span)), "ports", cx);
    if let (Some((tables, span)), []) = (file.port.given(), raw)
        && !tables.incomplete
    {
        let finding = Diagnostic::error(span, "the file has no `[[port]]`").label("this list is empty");
        cx.report(finding.help("add at least one `[[port]]`"));
    }
    if let ([only], true) = (raw, cx.findings.is_empty()) {
        cx.report(
            Diagnostic::warning(only.place.clone(), "a switch with one port forwards nothing")
                .label("the only port")
                .help("add another `[[port]]`"),
        );
    }
    let ports: Vec<_> = raw.iter().map(|raw| port(raw, &defaults, default_mtu, cx)).collect();
    check_addresses(raw, bridge, metrics, cx);
    ports
}

fn port(raw: &PortSection, defaults: &DefaultsSection, default_mtu: u16, cx: &mut Reader) -> Port {
    let trust = marks(raw.trust.value().unwrap_or(&defaults.trust.value), cx);
    let rewrite = marks(raw.rewrite.value().unwrap_or(&defaults.rewrite.value), cx);
    let vlan = raw.vlan.given().map_or_else(
        || (&defaults.vlan.value, defaults.vlan.span.clone()),
        |(vlan, span)| (vlan, Some(span)),
    );
    let kind = kind(raw, defaults, cx);
    let port = Port {
        name: raw.name.value().map_or_else(String::new, |name| name.0.clone()),
        line_rate: raw.line_rate.value().unwrap_or(&defaults.line_rate.value).0,
        mtu: mtu(&raw.mtu, &raw.jumbo_packet, cx).unwrap_or(default_mtu),
        trust,
        default_priority: raw.default_priority.value().unwrap_or(&defaults.default_priority.value).0 as u8,
        vlan: vlans::membership(vlan.0, vlan.1, cx),
        isolated: raw.isolated.value().copied().unwrap_or(defaults.isolated.value),
        fdb_limit: raw.fdb_limit.or(&defaults.fdb_limit).value().map(|limit| limit.0 as u32),
        rewrite_pcp: rewrite.contains(&Trust::Pcp),
        rewrite_dscp: rewrite.contains(&Trust::Dscp),
        // Which priorities are lossless is known when the classes are (see `flow::complete`).
        flow_control: FlowControl::Off,
        pfc_rate: raw.pfc_rate.or(&defaults.pfc_rate).value().map(|rate| rate.0),
        cable_metres: raw.cable_length.value().unwrap_or(&defaults.cable_length.value).0 as u32,
        peer_reaction: flow::reaction(raw.peer_reaction.or(&defaults.peer_reaction).value(), &kind),
        headroom_bytes: raw.headroom.or(&defaults.headroom).value().map(|size| size.0),
        // Whether the switch speaks LLDP is known to `dcbx::complete`.
        lldp: false,
        dcbx: None,
        kind,
    };
    check_veth_mtu(raw, defaults, &port, cx);
    port
}

fn marks(list: &List<OneOf<Trust>>, cx: &mut Reader) -> Vec<Trust> {
    once(list.0.iter().map(|(mark, span)| (mark.0, span)), "mark", cx)
}

/// A list in which each may be once.
pub(super) fn once<'a, T: PartialEq>(
    list: impl Iterator<Item = (T, &'a Range<usize>)>,
    what: &str,
    cx: &mut Reader,
) -> Vec<T> {
    let mut values = Vec::new();
    for (value, span) in list {
        if values.contains(&value) {
            let article = if what.starts_with('a') { "an" } else { "a" };
            let finding = Diagnostic::warning(span.clone(), format!("{article} {what} is named twice"));
            cx.report(finding.label("has no effect").help("remove it"));
        } else {
            values.push(value);
        }
    }
    values
}

/// The MTU that a section sets; `None` when it sets none. `"default"` resets to 1500.
fn mtu(mtu: &Opt<Mtu>, jumbo: &Opt<JumboPacket>, cx: &mut Reader) -> Option<u16> {
    if let (Some(mtu), Some(jumbo)) = (mtu.span(), jumbo.span()) {
        cx.report(
            Diagnostic::error(jumbo, "`mtu` and `jumbo_packet` are two spellings of one setting")
                .label("Windows' spelling, 14 bytes more")
                .also(Some(mtu), "Linux' spelling")
                .help("keep one of the two"),
        );
    }
    if let Some((jumbo, _)) = jumbo.given() {
        return Some(jumbo.0.map_or(MTU_DEFAULT, |size| size - ETHERNET_HEADER as u16));
    }
    let (mtu, span) = mtu.given()?;
    if let Some(size @ (1514 | 4088 | 9014)) = mtu.0 {
        let l3 = size - ETHERNET_HEADER as u16;
        cx.report(
            Diagnostic::warning(span, format!("{size} looks like Windows' way to count"))
                .label("`mtu` does not count the Ethernet header")
                .help(format!("write `mtu = {l3}` or `jumbo_packet = {size}`")),
        );
    }
    Some(mtu.0.unwrap_or(MTU_DEFAULT))
}

fn kind(raw: &PortSection, defaults: &DefaultsSection, cx: &mut Reader) -> PortKind {
    let kind = raw.r#type.value.0;
    if !raw.r#type.bad {
        check_keys(kind, raw, cx);
    }
    let netns = || raw.netns.or(&defaults.netns).value().map(|netns| netns.0.clone());
    match kind {
        Kind::Tap => PortKind::Tap {
            netns: netns(),
            offload: raw.offload.value().copied().unwrap_or(defaults.offload.value),
        },
        Kind::Veth => PortKind::Veth { netns: netns(), peer: peer(raw, defaults, cx) },
        Kind::Packet => PortKind::Packet { netns: netns() },
        Kind::Stream => PortKind::Stream { endpoint: endpoint(raw, cx) },
    }
}

/// Keys that only some kinds of ports have.
fn check_keys(kind: Kind, raw: &PortSection, cx: &mut Reader) {
    let keys: [(_, _, &[Kind]); 5] = [
        ("listen", raw.listen.span(), &[Kind::Stream]),
        ("connect", raw.connect.span(), &[Kind::Stream]),
        ("netns", raw.netns.span(), &[Kind::Tap, Kind::Veth, Kind::Packet]),
        ("offload", raw.offload.span(), &[Kind::Tap]),
        ("peer", raw.peer.span(), &[Kind::Veth]),
    ];
    for (key, span, kinds) in keys {
        let (Some(span), false) = (span, kinds.contains(&kind)) else { continue };
        let words: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let other = match kinds {
            [only @ (Kind::Stream | Kind::Veth)] => format!(", or write `type = \"{}\"`", only.name()),
            _ => String::new(),
        };
        cx.report(
            Diagnostic::error(span, format!("a {} port has no `{key}`", kind.name()))
                .label(format!("only for {} ports", words.join(", ")))
                .also(raw.r#type.span.clone(), format!("a {}", kind.name()))
                .help(format!("remove it{other}")),
        );
    }
}

/// Name of the host's end of a veth pair, and what such a port can't be.
fn peer(raw: &PortSection, defaults: &DefaultsSection, cx: &mut Reader) -> String {
    let name = raw.name.value().map_or_else(String::new, |name| name.0.clone());
    let peer = raw.peer.value().map_or_else(|| name.clone(), |peer| peer.0.clone());
    let elsewhere = raw.netns.is_bad() || raw.netns.or(&defaults.netns).value().is_some();
    if peer == name && !elsewhere && !raw.peer.is_bad() && !raw.name.is_bad() {
        let place = raw.peer.span().unwrap_or_else(|| raw.place.clone());
        cx.report(
            Diagnostic::error(place, "both ends of a veth pair in one namespace have one name")
                .label(format!("the port's end is {name} too"))
                .help(
                    "name the host's end (`peer = \"eth0\"`), or put it into a namespace (`netns = \"h1\"`)",
                ),
        );
    }
    peer
}

/// A veth pair that is read by `AF_XDP` takes no longer frames.
fn check_veth_mtu(raw: &PortSection, defaults: &DefaultsSection, port: &Port, cx: &mut Reader) {
    if !matches!(port.kind, PortKind::Veth { .. }) || port.mtu <= VETH_MTU_MAX {
        return;
    }
    let own = raw.mtu.span().or_else(|| raw.jumbo_packet.span());
    let place = own.or_else(|| defaults.mtu.span()).or_else(|| defaults.jumbo_packet.span());
    cx.report(
        Diagnostic::error(place.unwrap_or_else(|| raw.place.clone()), "an MTU that no veth port can have")
            .label(format!("the kernel's limit for AF_XDP is {VETH_MTU_MAX}"))
            .also(raw.r#type.span.clone(), "a veth")
            .help(format!("write `mtu = {VETH_MTU_MAX}` for this port, or make it a `tap`")),
    );
}

fn endpoint(raw: &PortSection, cx: &mut Reader) -> StreamEndpoint {
    match (raw.listen.given(), raw.connect.given()) {
        (Some((listen, first)), second) => {
            if let Some((_, second)) = second {
                cx.report(
                    Diagnostic::error(second, "a stream port has two ends to choose from")
                        .label("and connects")
                        .also(Some(first), "it listens")
                        .help("keep one of `listen` and `connect`"),
                );
            }
            match listen.0.clone() {
                Address::Unix(path) => StreamEndpoint::ListenUnix(path),
                Address::Tcp(addr) => StreamEndpoint::ListenTcp(addr),
            }
        }
        (None, Some((connect, _))) => match connect.0.clone() {
            Address::Unix(path) => StreamEndpoint::ConnectUnix(path),
            Address::Tcp(addr) => StreamEndpoint::ConnectTcp(addr),
        },
        (None, None) => {
            if !(raw.listen.is_bad() || raw.connect.is_bad()) {
                cx.report(
                    Diagnostic::error(raw.place.clone(), "a stream port without an address")
                        .label("neither `listen` nor `connect`")
                        .help("add `listen = \"unix:/path/of/socket\"` or `connect = ...`"),
                );
            }
            StreamEndpoint::ListenUnix(std::path::PathBuf::new())
        }
    }
}

/// Nobody can listen where someone else does.
fn check_addresses(raw: &[PortSection], bridge: &Bridge, metrics: &Metrics, cx: &mut Reader) {
    let mut seen: HashMap<Address, Option<Range<usize>>> = HashMap::new();
    seen.insert(Address::Unix(bridge.control_socket.clone()), None);
    if let Some(addr) = metrics.listen {
        seen.insert(Address::Tcp(addr), None);
    }
    for (address, span) in raw.iter().filter_map(|port| port.listen.given()) {
        // Port 0 is a different one each time.
        if matches!(address.0, Address::Tcp(addr) if addr.port() == 0) {
            continue;
        }
        if let Some(first) = seen.get(&address.0) {
            let label = match first {
                Some(_) => "again here",
                None => "the switch itself listens there",
            };
            cx.report(
                Diagnostic::error(span, "an address is used twice")
                    .label(label)
                    .also(first.clone(), "first here")
                    .help("give every port an address of its own"),
            );
        } else {
            seen.insert(address.0.clone(), Some(span));
        }
    }
}
