//! `[[fdb]]`: static forwarding entries.

use std::collections::HashMap;
use std::ops::Range;

use super::{ports, vlans};
use crate::diagnostic::Diagnostic;
use crate::model::{Port, StaticEntry};
use crate::schema::network::show_mac;
use crate::schema::sections::{FdbSection, File};
use crate::schema::{Reader, nearest};

/// The group bit of the first octet.
const GROUP: u8 = 0x01;

pub(super) fn entries(file: &File, ports: &[Port], cx: &mut Reader) -> Vec<StaticEntry> {
    let raw: &[FdbSection] = file.fdb.value().map_or(&[], |tables| &tables.items);
    let mut seen: HashMap<([u8; 6], u16), Range<usize>> = HashMap::new();
    let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
    let mut entries = Vec::with_capacity(raw.len());
    for entry in raw {
        let (Some((mac, mac_span)), Some((port, port_span))) = (entry.mac.given(), entry.port.given()) else {
            continue;
        };
        check_mac(mac.0, mac_span.clone(), cx);
        let port_vlan = ports.iter().find(|p| p.name == port.0).map(|p| &p.vlan);
        unknown_port(&port.0, port_span.clone(), file, &names, cx);
        let pvid = port_vlan.and_then(|vlan| vlan.pvid).unwrap_or(vlans::DEFAULT_PVID);
        let vlan = entry.vlan.value().map_or(pvid, |vlan| vlan.0 as u16);
        if port_vlan.is_some_and(|carried| !vlans::carries(carried, vlan)) {
            let place = entry.vlan.span().unwrap_or_else(|| entry.place.clone());
            let title = format!("port \"{}\" does not carry VLAN {vlan}", port.0);
            cx.report(
                Diagnostic::error(place, title)
                    .label("the entry would never be used")
                    .also(Some(port_span), "this port")
                    .help("add the VLAN to the port, or write the `vlan` that is meant"),
            );
        }
        if let Some(first) = seen.insert((mac.0, vlan), mac_span.clone()) {
            let title = format!("two entries for {} in VLAN {vlan}", show_mac(mac.0));
            cx.report(
                Diagnostic::error(mac_span, title)
                    .label("again here")
                    .also(Some(first), "first here")
                    .help("remove one of the two"),
            );
        }
        entries.push(StaticEntry { mac: mac.0, vlan, port: port.0.clone() });
    }
    entries
}

fn check_mac(mac: [u8; 6], span: Range<usize>, cx: &mut Reader) {
    let label = if mac == [0; 6] {
        "this is the zero address"
    } else if mac[0] & GROUP != 0 {
        "this is a group address"
    } else {
        return;
    };
    cx.report(
        Diagnostic::error(span, "a static entry needs the address of a station")
            .label(label)
            .help("unicast addresses have an even first octet, such as 02:00:00:00:00:01"),
    );
}

/// Reports the name of a port that is not in the file.
pub(super) fn unknown_port(name: &str, span: Range<usize>, file: &File, known: &[&str], cx: &mut Reader) {
    // A port whose name could not be read may be the one that is meant.
    let unsure = file.port.value().is_none_or(|tables| {
        tables.incomplete || ports::sections(file).iter().any(|port| port.name.is_bad())
    });
    if unsure || known.contains(&name) {
        return;
    }
    let label = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "no such port".to_owned(),
    };
    let known = &known[..known.len().min(20)];
    let finding = Diagnostic::error(span, format!("there is no port \"{name}\"")).label(label);
    cx.report(finding.help(format!("ports are: {}", known.join(", "))));
}
