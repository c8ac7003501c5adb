//! `dcbridge show dcbx`: what each port and its peer say, what holds, where it comes from, and why.

use std::fmt::Write as _;

use super::lldp::no_port;
use super::priority_list;
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::state::Snapshot;
use crate::state::lldp::{Application, Dcbx, Ets, Standing, Values};

/// All ports in a line each, or the four views of one.
pub(super) fn dcbx(now: &Snapshot, port: Option<&str>, canvas: Canvas) -> String {
    let of = |port: &crate::state::Port| port.lldp.as_ref().and_then(|lldp| lldp.dcbx.clone());
    match port {
        None => {
            let rows: Vec<(&str, Dcbx)> =
                now.ports.iter().filter_map(|port| Some((port.name.as_str(), of(port)?))).collect();
            overview(&rows, canvas)
        }
        Some(name) => match now.ports.iter().find(|port| port.name == name).map(of) {
            None => no_port(now, name),
            Some(None) => format!("Port {name} has no DCBX: `dcbx` or LLDP is off there.\n"),
            Some(Some(dcbx)) => four_views(name, &dcbx, canvas),
        },
    }
}

fn overview(rows: &[(&str, Dcbx)], canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::left("MODE").rank(2),
        Column::left("SPEAKS"),
        Column::left("ROLE").rank(3),
        Column::left("WILLING"),
        Column::left("PEER").flexible(),
        Column::left("STATE"),
        Column::left("CLASSES FROM").rank(1),
        Column::left("PFC"),
        Column::left("PFC FROM").rank(1),
        Column::left("").flexible(),
    ]);
    for (port, dcbx) in rows {
        let held = &dcbx.operational;
        let from = |standing: Option<&Standing>| match standing {
            Some(standing) if standing.active => {
                Cell::quiet(standing.source.as_str(), standing.source == "local")
            }
            _ => Cell::new("off", Tone::Warn),
        };
        let pfc = held.pfc.as_ref().map_or(String::new(), |pfc| priorities(pfc.enabled));
        table.row([
            Cell::from(*port),
            Cell::from(dcbx.mode.as_str()),
            Cell::from(dcbx.dialect.as_str()),
            Cell::from(dcbx.role.as_str()),
            Cell::from(willing(&dcbx.local)),
            Cell::from(dcbx.peer.as_ref().map_or("", |peer| peer.name.as_str())),
            Cell::new(dcbx.agreement.as_str(), tone(dcbx)),
            from(held.ets.as_ref().map(|ets| &ets.standing)),
            Cell::from(pfc),
            from(held.pfc.as_ref().map(|pfc| &pfc.standing)),
            Cell::from(dcbx.diagnosis.first().map_or("", String::as_str)),
        ]);
    }
    if table.is_empty() {
        return "No port has DCBX: the ports' `dcbx` or LLDP turn it off.\n".to_owned();
    }
    table.render(canvas)
}

fn tone(dcbx: &Dcbx) -> Tone {
    match dcbx.agreement.as_str() {
        "agreed" => Tone::Good,
        "differing" => Tone::Warn,
        _ => Tone::Dim,
    }
}

fn yes_no(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
}

/// Whether a side takes over what the other says; ETS and PFC may differ.
fn willing(values: &Values) -> String {
    let ets = values.ets.as_ref().and_then(|ets| ets.standing.willing);
    let pfc = values.pfc.as_ref().and_then(|pfc| pfc.standing.willing);
    match (ets, pfc) {
        (ets, pfc) if ets == pfc => yes_no(ets).to_owned(),
        (ets, None) => yes_no(ets).to_owned(),
        (None, pfc) => yes_no(pfc).to_owned(),
        (ets, pfc) => format!("ETS {}, PFC {}", yes_no(ets), yes_no(pfc)),
    }
}

fn priorities(set: u8) -> String {
    if set == 0 { "none".to_owned() } else { priority_list(set) }
}

fn four_views(port: &str, dcbx: &Dcbx, canvas: Canvas) -> String {
    let peer = match &dcbx.peer {
        Some(peer) => format!("peer {} ({}), which sends {}", peer.name, peer.mac, peer.dialect),
        None => "no peer".to_owned(),
    };
    let mut out = format!(
        "{}  {}: mode {}, speaks {}, role {}; {peer}\n",
        canvas.paint(port, Tone::Strong),
        canvas.paint(&dcbx.agreement, tone(dcbx)),
        dcbx.mode,
        dcbx.dialect,
        dcbx.role,
    );
    let capability = dcbx.capability;
    let _ = writeln!(
        out,
        "can do {} traffic classes, PFC for {} priorities; changes of what holds: {}, of the dialect: {}\n",
        capability.max_classes, capability.pfc_priorities, dcbx.renegotiations, dcbx.dialect_changes
    );
    out.push_str(&table(dcbx).render(canvas));
    if !dcbx.standing.is_empty() {
        let _ = writeln!(out, "\nRole: {}.", dcbx.standing);
    }
    for sentence in &dcbx.diagnosis {
        let _ = write!(out, "\n{}", canvas.paint(&format!("- {sentence}"), Tone::Plain));
    }
    out.push_str(if dcbx.diagnosis.is_empty() { "\nBoth ends agree.\n" } else { "\n" });
    out
}

/// Local, peer and operational side by side.
fn table(dcbx: &Dcbx) -> Table {
    let nothing = Values::default();
    let said = dcbx.peer.as_ref().map_or(&nothing, |peer| &peer.values);
    let views = [&dcbx.local, said, &dcbx.operational];
    let mut table = Table::new([
        Column::left(""),
        Column::left("LOCAL"),
        Column::left("PEER"),
        Column::left("OPERATIONAL"),
        Column::left("FROM"),
    ]);
    let mut row = |what: String, cells: [String; 3], from: &str| {
        let [local, peer, held] = cells.map(Cell::from);
        table.row([Cell::from(what), local, peer, held, Cell::quiet(from, from == "local")]);
    };
    row("willing".to_owned(), [willing(&dcbx.local), willing(said), String::new()], "");
    for tc in 0..8usize {
        let cells = views.map(|v| v.ets.as_ref().map_or(String::new(), |ets| class(ets, tc)));
        if cells.iter().any(|cell| !cell.is_empty()) {
            let standing = dcbx.operational.ets.as_ref().map(|ets| &ets.standing);
            row(format!("class {tc}"), cells, from(standing));
        }
    }
    let pfc = views.map(|v| v.pfc.as_ref().map_or(String::new(), |pfc| priorities(pfc.enabled)));
    row("PFC".to_owned(), pfc, from(dcbx.operational.pfc.as_ref().map(|pfc| &pfc.standing)));
    for (selector, protocol) in applications(&views) {
        let found = views.map(|values| find(values, &selector, protocol));
        let cells = found.map(|app| app.map_or(String::new(), |app| app.priority.to_string()));
        let source = found[2].map_or("", |app| app.source.as_str());
        row(application(&selector, protocol), cells, source);
    }
    table
}

/// Where an operational value comes from.
fn from(standing: Option<&Standing>) -> &str {
    standing.map_or("", |s| if s.active { s.source.as_str() } else { "off" })
}

/// `60 %  3`: share and priorities; empty for a class without either.
fn class(ets: &Ets, tc: usize) -> String {
    let members = (0..8).filter(|p| ets.class_of.get(*p).copied().flatten().map(usize::from) == Some(tc));
    let members = members.fold(0u8, |set, p| set | 1 << p);
    let (share, tsa) =
        (ets.bandwidth.get(tc).copied().unwrap_or(0), ets.tsa.get(tc).map_or("", String::as_str));
    if members == 0 && share == 0 {
        return String::new();
    }
    let how = if tsa == "ets" { format!("{share} %") } else { tsa.to_owned() };
    format!("{how:<7} {}", priorities(members))
}

/// Every application that some view names.
fn applications(views: &[&Values; 3]) -> Vec<(String, u16)> {
    let named = views.iter().flat_map(|v| &v.applications).map(|app| (app.selector.clone(), app.protocol));
    let mut all: Vec<_> = named.collect();
    all.sort();
    all.dedup();
    all
}

fn find<'a>(values: &'a Values, selector: &str, protocol: u16) -> Option<&'a Application> {
    let named = values.applications.iter().filter(|app| app.selector == selector && app.protocol == protocol);
    named.max_by_key(|app| app.priority)
}

fn application(selector: &str, protocol: u16) -> String {
    match (selector, protocol) {
        ("ethertype", 0) => "everything else".to_owned(),
        ("ethertype", protocol) => format!("ethertype {protocol:#06x}"),
        (selector, protocol) => format!("{selector} {protocol}"),
    }
}
