//! `dcbridge show lldp`: who is at the other end of each link.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::state::lldp::{Neighbor, PortLldp};
use crate::state::{Port, Snapshot};

/// The neighbours of all ports, or everything about those of one.
pub(super) fn lldp(now: &Snapshot, port: Option<&str>, canvas: Canvas) -> String {
    match port {
        None => neighbors(now, canvas),
        Some(name) => match now.ports.iter().find(|port| port.name == name) {
            None => no_port(now, name),
            Some(Port { lldp: Some(lldp), .. }) => one_port(name, lldp, canvas),
            Some(_) => format!("Port {name} does not speak LLDP.\n"),
        },
    }
}

/// A sentence for who named a port that is not there.
pub(super) fn no_port(now: &Snapshot, name: &str) -> String {
    let names: Vec<&str> = now.ports.iter().map(|port| port.name.as_str()).collect();
    format!("No port is named {name:?}; ports of this switch: {}.\n", names.join(", "))
}

fn neighbors(now: &Snapshot, canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::left("NEIGHBOUR").flexible(),
        Column::left("ITS PORT").flexible(),
        Column::left("MAC").rank(3),
        Column::left("DCBX"),
        Column::right("KNOWN FOR").rank(2),
        Column::right("EXPIRES IN"),
        Column::right("SENT").rank(1),
        Column::right("HEARD").rank(1),
        Column::right("DISCARDED").rank(1),
    ]);
    for port in &now.ports {
        let Some(lldp) = &port.lldp else { continue };
        let counters = &lldp.counters;
        let figures = |first: bool| {
            let shown = |n: u64| if first { Cell::quiet(units::count(n), n == 0) } else { Cell::default() };
            [shown(counters.frames_out), shown(counters.frames_in), shown(counters.frames_discarded)]
        };
        if lldp.neighbors.is_empty() {
            let nobody = if port.up { "none heard" } else { "link is down" };
            let empty: [Cell; 5] = Default::default();
            let cells = [Cell::from(port.name.as_str()), Cell::new(nobody, Tone::Dim)];
            table.row(cells.into_iter().chain(empty).chain(figures(true)));
        }
        for (n, neighbor) in lldp.neighbors.iter().enumerate() {
            let seconds = |s: u64| Cell::from(units::duration(Duration::from_secs(s)));
            let cells = [
                Cell::from(if n == 0 { port.name.as_str() } else { "" }),
                Cell::from(name(neighbor)),
                Cell::from(neighbor.port.as_str()),
                Cell::from(neighbor.mac.as_str()),
                Cell::quiet(if neighbor.speaks_dcbx { "yes" } else { "no" }, !neighbor.speaks_dcbx),
                seconds(neighbor.known_seconds),
                seconds(neighbor.expires_seconds),
            ];
            table.row(cells.into_iter().chain(figures(n == 0)));
        }
    }
    if table.is_empty() {
        return "No port speaks LLDP: `[lldp] enabled` or the ports' `lldp` turn it off.\n".to_owned();
    }
    table.render(canvas)
}

/// What a neighbour is called.
fn name(neighbor: &Neighbor) -> &str {
    if neighbor.system_name.is_empty() { &neighbor.chassis } else { &neighbor.system_name }
}

fn one_port(name: &str, lldp: &PortLldp, canvas: Canvas) -> String {
    let c = &lldp.counters;
    let mut out = format!(
        "{}  sends as {}: {} frames out, {} in, {} discarded ({} of them bad), {} TLVs dropped, {} unknown\n",
        canvas.paint(name, Tone::Strong),
        lldp.mac,
        c.frames_out,
        c.frames_in,
        c.frames_discarded,
        c.frames_in_errors,
        c.tlvs_discarded,
        c.tlvs_unrecognized
    );
    if lldp.neighbors.is_empty() {
        out.push_str("No neighbour is known.\n");
    }
    for neighbor in &lldp.neighbors {
        out.push('\n');
        for (what, value) in facts(neighbor).into_iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(out, "  {what:<20}{}", canvas.paint(&value, Tone::Plain));
        }
    }
    out
}

fn facts(n: &Neighbor) -> Vec<(&'static str, String)> {
    let number = |value: Option<u16>| value.map(|n| n.to_string()).unwrap_or_default();
    let seconds = |s: u64| units::duration(Duration::from_secs(s));
    vec![
        ("system name", n.system_name.clone()),
        ("chassis", n.chassis.clone()),
        ("port", n.port.clone()),
        ("port description", n.port_description.clone()),
        ("system description", n.system_description.clone()),
        ("capabilities", n.capabilities.join(", ")),
        ("management", n.management.join(", ")),
        ("port VLAN", number(n.pvid)),
        ("largest frame", number(n.max_frame_size)),
        ("MAC address", n.mac.clone()),
        ("speaks to", n.group.clone()),
        ("DCBX", if n.speaks_dcbx { "yes" } else { "no" }.to_owned()),
        ("known for", seconds(n.known_seconds)),
        ("expires in", seconds(n.expires_seconds)),
    ]
}
