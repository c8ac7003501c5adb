//! `dcbridge show pfc`: who is paused, by whom, and how much headroom that took.

use std::time::Duration;

use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::state::{Port, PriorityState, Snapshot};

/// Lossless priority groups and flow control at each port.
pub(super) fn flow(now: &Snapshot, canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::right("PRIORITY"),
        Column::left("SENDER IS"),
        Column::left("GUARANTEE").rank(3),
        Column::right("GROUP").rank(4),
        Column::right("HEADROOM"),
        Column::right("PEAK").rank(1),
        Column::right("OF").rank(1),
        Column::right("XOFF SENT"),
        Column::right("XON SENT").rank(2),
        Column::right("PFC HEARD"),
        Column::left("WE ARE"),
        Column::right("PAUSED FOR"),
        Column::right("EDGE DROPS").rank(5),
        Column::left("").flexible(),
    ]);
    for port in &now.ports {
        for (priority, state) in port.priorities.iter().enumerate() {
            if state.group.lossless || state.group.pfc_rx > 0 {
                table.row(row(port, priority, state));
            }
        }
    }
    if table.is_empty() {
        return "No class is lossless: give one `lossless = true` in the configuration.\n".to_owned();
    }
    table.render(canvas)
}

fn row(port: &Port, priority: usize, state: &PriorityState) -> [Cell; 15] {
    let group = &state.group;
    let paused = |is: bool, otherwise: &'static str| {
        if is { Cell::new("paused", Tone::Warn) } else { Cell::new(otherwise, Tone::Good) }
    };
    let storm = if group.storm {
        Cell::new("PFC storm: the watchdog acts", Tone::Bad)
    } else if group.storms_detected > 0 {
        Cell::new(format!("{} storms so far", group.storms_detected), Tone::Dim)
    } else {
        Cell::from("")
    };
    [
        Cell::from(port.name.as_str()),
        Cell::from(priority.to_string()),
        if group.lossless { paused(group.gate_closed, "sending") } else { Cell::new("lossy", Tone::Dim) },
        Cell::from(port.guarantee.as_str()),
        Cell::quiet(units::size(group.occupied_bytes), group.occupied_bytes == 0),
        Cell::quiet(units::size(group.headroom_used_bytes), group.headroom_used_bytes == 0),
        Cell::quiet(units::size(group.headroom_peak_bytes), group.headroom_peak_bytes == 0),
        Cell::from(units::size(group.headroom_bytes)),
        Cell::quiet(units::count(group.xoff_tx), group.xoff_tx == 0),
        Cell::quiet(units::count(group.xon_tx), group.xon_tx == 0),
        Cell::quiet(units::count(group.pfc_rx), group.pfc_rx == 0),
        paused(state.paused, "sending"),
        Cell::quiet(units::duration(Duration::from_nanos(state.paused_ns)), state.paused_ns == 0),
        Cell::new(
            units::count(port.host_edge_drops),
            if port.host_edge_drops == 0 { Tone::Dim } else { Tone::Bad },
        ),
        storm,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::GroupState;

    #[test]
    fn paused_senders_and_headroom_are_told() {
        let mut port = Port { name: "tap0".to_owned(), guarantee: "exact".to_owned(), ..Port::default() };
        port.priorities = (0..8).map(|_| PriorityState::default()).collect();
        let empty = Snapshot { ports: vec![port.clone()], ..Snapshot::default() };
        assert!(flow(&empty, Canvas::PLAIN).starts_with("No class is lossless"));
        port.priorities[3].group = GroupState {
            lossless: true,
            gate_closed: true,
            headroom_used_bytes: 2048,
            headroom_bytes: 100_000,
            xoff_tx: 5,
            ..GroupState::default()
        };
        let text = flow(&Snapshot { ports: vec![port], ..Snapshot::default() }, Canvas::PLAIN);
        let line = text.lines().nth(1).expect("a row");
        for word in ["tap0", "3", "paused", "exact", "100"] {
            assert!(line.contains(word), "{word} in {line}");
        }
    }
}
