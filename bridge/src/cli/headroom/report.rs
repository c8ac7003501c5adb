//! The figures of `dcbridge headroom`, as data and as text.

use std::fmt::Write as _;
use std::time::Duration;

use dcbridge_config::{BufferPlan, CELL_BYTES, Config, Port, PortKind, group_headroom, port_headroom};
use serde::Serialize;

use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::edge::residual_bytes;
use crate::switch::device::{self, DevicePart};

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Name of the switch.
    bridge: String,
    /// Whether every headroom and the buffer suffice.
    pub(super) suffices: bool,
    /// Bytes of a cell, the unit of the buffer.
    cell_bytes: u32,
    /// Lossless priority groups, by port.
    groups: Vec<Group>,
    /// Lossless priorities of ports that pause nobody for them, so that they are not lossless there.
    unpaused: Vec<Unpaused>,
    /// How the buffer is divided.
    buffer: Buffer,
}

/// A lossless priority at a port that does not pause for it.
#[derive(Debug, Serialize)]
struct Unpaused {
    port: String,
    priority: u8,
}

/// A lossless priority at a port that pauses for it.
#[derive(Debug, Serialize)]
struct Group {
    port: String,
    priority: u8,
    class: String,
    /// `None`: unlimited.
    line_rate_bps: Option<u64>,
    parts: Parts,
    /// The sum of the parts.
    in_flight_bytes: u64,
    /// Cells that these bytes occupy at most.
    cells: u32,
    /// The same in bytes.
    needed_bytes: u64,
    /// As configured; `None`: as calculated.
    configured_bytes: Option<u64>,
    suffices: bool,
    /// What is added for a host on a TAP that can be paused; `None`: nothing.
    device: Option<Device>,
    reserved_bytes: u64,
    /// The longest pause that a frame can ask for.
    longest_pause_ns: u64,
}

/// What a host may still send when its gate closes late.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "keys of the JSON: each says its unit")]
struct Device {
    /// At most, with the shortest frames.
    wanted_bytes: u64,
    /// What is taken of the shared part for it.
    added_bytes: u64,
}

/// What may still arrive, on the wire.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "keys of the JSON: each says its unit")]
struct Parts {
    own_piece_bytes: u64,
    pfc_frame_bytes: u64,
    propagation_bytes: u64,
    interfaces_bytes: u64,
    reaction_bytes: u64,
    peer_piece_bytes: u64,
}

/// The pool: reserved + headroom + shared = size.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "keys of the JSON: each says its unit")]
struct Buffer {
    reserved_bytes: u64,
    headroom_bytes: u64,
    /// `None`: the buffer is too small.
    shared_bytes: Option<u64>,
    /// Of these, what becomes headroom when the TAPs are open.
    device_bytes: u64,
    size_bytes: u64,
}

impl Report {
    /// Looks at a configuration.
    pub(super) fn of(config: &Config) -> Report {
        let plan = BufferPlan::of(config);
        let lossless = config.lossless_priorities();
        let devices = device::planned(config, |port| {
            let tap = matches!(port.kind, PortKind::Tap { .. });
            tap.then(|| residual_bytes(port.line_rate.map(|rate| rate.0)))
        });
        let all = config.ports.iter().zip(devices);
        let all =
            all.flat_map(|(port, device)| lossless.iter().map(move |priority| (port, priority, device)));
        let (all, unpaused): (Vec<_>, Vec<_>) =
            all.partition(|(port, priority, _)| port.pausing(lossless).contains(*priority));
        let groups =
            all.into_iter().filter_map(|(port, priority, device)| group(config, port, priority, device));
        let groups: Vec<Group> = groups.collect();
        let device_bytes = groups.iter().filter_map(|g| g.device.as_ref()).map(|d| d.added_bytes).sum();
        let unpaused = unpaused
            .into_iter()
            .map(|(port, priority, _)| Unpaused { port: port.name.clone(), priority })
            .collect();
        // As `check` says it: with nothing left to share, no class can move.
        let room = groups.is_empty() || plan.shared_bytes.is_some_and(|shared| shared > 0);
        Report {
            bridge: config.bridge.name.clone(),
            suffices: room && groups.iter().all(|group| group.suffices),
            cell_bytes: CELL_BYTES,
            groups,
            unpaused,
            buffer: Buffer {
                reserved_bytes: plan.reserved_bytes,
                headroom_bytes: plan.headroom_bytes,
                shared_bytes: plan.shared_bytes,
                device_bytes,
                size_bytes: config.bridge.buffer_bytes,
            },
        }
    }

    /// For people.
    pub(super) fn text(&self, canvas: Canvas) -> String {
        if self.groups.is_empty() {
            return "No class is lossless, so no headroom is needed: give one `lossless = true`.\n"
                .to_owned();
        }
        let mut out = canvas.paint("What may still arrive after a pause was decided", Tone::Strong);
        let _ = write!(out, " (bytes on the wire)\n\n{}\n", self.parts().render(canvas));
        out.push_str(&canvas.paint("What that takes of the buffer", Tone::Strong));
        let _ = write!(out, " (in cells of {CELL_BYTES} bytes, filled by frames of the worst size)\n\n");
        let _ = writeln!(out, "{}", self.verdicts().render(canvas));
        if self.buffer.device_bytes > 0 {
            out.push_str(&canvas.paint("What is added for hosts on TAPs", Tone::Strong));
            out.push_str(" (their gates may close late, and their frames be the shortest)\n\n");
            let _ = writeln!(out, "{}", self.devices().render(canvas));
        }
        for Unpaused { port, priority } in &self.unpaused {
            let note = canvas.paint("note", Tone::Warn);
            let _ =
                writeln!(out, "{note} port {port} pauses nobody for priority {priority}: it is lossy there");
        }
        out.push_str(if self.unpaused.is_empty() { "" } else { "\n" });
        out.push_str(&self.pool(canvas));
        out
    }

    fn parts(&self) -> Table {
        let mut table = Table::new([
            Column::left("PORT").flexible(),
            Column::right("PRIO"),
            Column::right("LINE RATE").rank(3),
            Column::right("OWN PIECE"),
            Column::right("PFC FRAME").rank(1),
            Column::right("CABLE").rank(1),
            Column::right("MAC+PHY").rank(1),
            Column::right("REACTION"),
            Column::right("PEER PIECE"),
            Column::right("SUM"),
        ]);
        for group in &self.groups {
            let parts = &group.parts;
            let bytes = |bytes: u64| Cell::quiet(units::size(bytes), bytes == 0);
            table.row([
                Cell::from(group.port.as_str()),
                Cell::from(group.priority.to_string()),
                Cell::from(units::configured_rate(group.line_rate_bps)),
                bytes(parts.own_piece_bytes),
                bytes(parts.pfc_frame_bytes),
                bytes(parts.propagation_bytes),
                bytes(parts.interfaces_bytes),
                bytes(parts.reaction_bytes),
                bytes(parts.peer_piece_bytes),
                bytes(group.in_flight_bytes),
            ]);
        }
        table
    }

    fn verdicts(&self) -> Table {
        let mut table = Table::new([
            Column::left("PORT").flexible(),
            Column::right("PRIO"),
            Column::left("CLASS").flexible().rank(2),
            Column::right("CELLS").rank(1),
            Column::right("NEEDED"),
            Column::right("CONFIGURED"),
            Column::left("VERDICT"),
            Column::right("RESERVED").rank(3),
            Column::right("LONGEST PAUSE").rank(4),
        ]);
        for group in &self.groups {
            table.row([
                Cell::from(group.port.as_str()),
                Cell::from(group.priority.to_string()),
                Cell::from(group.class.as_str()),
                Cell::from(units::grouped(u64::from(group.cells))),
                Cell::from(units::size(group.needed_bytes)),
                match group.configured_bytes {
                    Some(bytes) => Cell::from(units::size(bytes)),
                    None => Cell::new("calculated", Tone::Dim),
                },
                verdict(group),
                Cell::from(units::size(group.reserved_bytes)),
                Cell::from(units::duration(Duration::from_nanos(group.longest_pause_ns))),
            ]);
        }
        table
    }

    fn devices(&self) -> Table {
        let mut table = Table::new([
            Column::left("PORT").flexible(),
            Column::right("PRIO"),
            Column::right("AT MOST"),
            Column::right("ADDED"),
            Column::left("").rank(1),
        ]);
        for group in &self.groups {
            let Some(Device { wanted_bytes, added_bytes }) = group.device else { continue };
            table.row([
                Cell::from(group.port.as_str()),
                Cell::from(group.priority.to_string()),
                Cell::from(units::size(wanted_bytes)),
                Cell::from(units::size(added_bytes)),
                if added_bytes < wanted_bytes {
                    Cell::new("its part of half of what is shared", Tone::Dim)
                } else {
                    Cell::new("all of it", Tone::Good)
                },
            ]);
        }
        table
    }

    fn pool(&self, canvas: Canvas) -> String {
        let buffer = &self.buffer;
        let groups = match self.groups.len() {
            1 => "1 lossless priority group".to_owned(),
            n => format!("{n} lossless priority groups"),
        };
        let mut table = Table::new([Column::left("BUFFER"), Column::right(""), Column::left("")]);
        let row =
            |what: &str, bytes: u64, note: String| [Cell::from(what), units::size(bytes).into(), note.into()];
        table.row(row("  reserved", buffer.reserved_bytes, groups));
        table.row(row("+ headroom", buffer.headroom_bytes, "only after a pause".to_owned()));
        if let Some(shared) = buffer.shared_bytes {
            let share = units::share(Some(shared as f64 / buffer.size_bytes as f64));
            table.row(row("+ shared", shared, format!("{share} of the buffer, for everyone")));
            if buffer.device_bytes > 0 {
                let note = "headroom as soon as the TAPs are open and their hosts can be paused";
                table.row(row("    of which", buffer.device_bytes, note.to_owned()));
            }
        } else {
            let missing = buffer.reserved_bytes + buffer.headroom_bytes - buffer.size_bytes;
            let note = Cell::new("write a larger `buffer` under `[bridge]`", Tone::Bad);
            table.row([Cell::new("- missing", Tone::Bad), units::size(missing).into(), note]);
        }
        table.row(row("= buffer", buffer.size_bytes, String::new()));
        table.render(canvas)
    }
}

fn verdict(group: &Group) -> Cell {
    match group.configured_bytes {
        None => Cell::new("ok", Tone::Good),
        Some(_) if group.suffices => Cell::new("ok", Tone::Good),
        Some(configured) => {
            Cell::new(format!("{} too small", units::size(group.needed_bytes - configured)), Tone::Bad)
        }
    }
}

fn group(config: &Config, port: &Port, priority: u8, device: Option<DevicePart>) -> Option<Group> {
    let calculated = port_headroom(config, port)?;
    let class = config.class_of(priority)?;
    let needed_bytes = u64::from(calculated.cells) * u64::from(CELL_BYTES);
    Some(Group {
        port: port.name.clone(),
        priority,
        class: class.name.clone(),
        line_rate_bps: port.line_rate.map(|rate| rate.0),
        parts: Parts {
            own_piece_bytes: calculated.own_piece,
            pfc_frame_bytes: calculated.pfc_frame,
            propagation_bytes: calculated.propagation,
            interfaces_bytes: calculated.interfaces,
            reaction_bytes: calculated.reaction,
            peer_piece_bytes: calculated.peer_piece,
        },
        in_flight_bytes: calculated.in_flight(),
        cells: calculated.cells,
        needed_bytes,
        configured_bytes: port.headroom_bytes,
        suffices: group_headroom(config, port) >= needed_bytes,
        device: device.map(|d| Device { wanted_bytes: d.wanted_bytes, added_bytes: d.bytes }),
        reserved_bytes: class.reserved_bytes,
        longest_pause_ns: port.longest_pause_ns(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: &str = "
        [[traffic_class]]
        name = 'storage'
        priorities = [3, 4]
        lossless = true
        [[traffic_class]]
        name = 'default'
        priorities = 'rest'
    ";
    const PORTS: &str = "
        [[port]]
        name = 'h1'
        [[port]]
        name = 'nic'
        line_rate = '25Gbit'
        mtu = 9000
        cable_length = 100
        peer_reaction = 'hardware'
        headroom = '300KB'
        offload = false
        [[port]]
        name = 'vm1'
        type = 'stream'
        listen = 'unix:/run/vm1.sock'
        line_rate = '1Gbit'
        headroom = '100KB'
        [[port]]
        name = 'out'
        flow_control = 'off'
    ";

    fn report(text: &str) -> Report {
        let (config, findings) = dcbridge_config::parse_to_plan(text, "f");
        Report::of(&config.unwrap_or_else(|| panic!("{}", dcbridge_config::render(&findings, text, false))))
    }

    #[test]
    fn the_parts_and_the_pool() {
        let report = report(&format!("{CLASSES}{PORTS}"));
        assert!(!report.suffices, "vm1 has too little");
        insta::assert_snapshot!(report.text(Canvas::PLAIN));
    }

    #[test]
    fn a_narrow_terminal_keeps_sums_and_verdicts() {
        let text = report(&format!("{CLASSES}{PORTS}")).text(Canvas { color: false, width: Some(60) });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_buffer_that_is_too_small_says_by_how_much() {
        let report = report(&format!("[bridge]\nbuffer = '1MB'\n{CLASSES}{PORTS}"));
        assert_eq!(report.buffer.shared_bytes, None);
        insta::assert_snapshot!(report.pool(Canvas::PLAIN));
    }

    #[test]
    fn the_figures_add_up_as_data() {
        let json = serde_json::to_value(report(&format!("{CLASSES}{PORTS}"))).expect("plain data");
        let groups = json["groups"].as_array().expect("a list");
        assert_eq!(groups.len(), 6);
        for group in groups {
            let parts = group["parts"].as_object().expect("parts");
            let sum: u64 = parts.values().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(group["in_flight_bytes"], sum, "{group}");
        }
        let buffer = &json["buffer"];
        let of = |key: &str| buffer[key].as_u64().expect("bytes");
        assert_eq!(of("reserved_bytes") + of("headroom_bytes") + of("shared_bytes"), of("size_bytes"));
    }

    #[test]
    fn without_a_lossless_class_nothing_is_needed() {
        let report = report("[[port]]\nname = 'a'\n[[port]]\nname = 'b'\n");
        assert!(report.suffices);
        assert!(report.text(Canvas::PLAIN).starts_with("No class is lossless"));
    }
}
