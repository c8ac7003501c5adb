//! The tables of `dcbridge show`: each turns a snapshot into text, and says why when there is nothing to show.

use std::time::Duration;

use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::control::sampler::Shares;
use crate::control::view::{self, Direction, DropRow, Fdb};
use crate::state::{ClassState, Port, Snapshot};

/// FCS, preamble and gap: what a frame costs on the wire beside its counted bytes (802.3 3.1.1, 4.4.2).
const WIRE_OVERHEAD_BYTES: u64 = 24;

/// A class that waits and still gets this much less than its share is worth a look.
const SHARE_TOLERANCE: f64 = 0.01;

/// Rates and shares between two moments, on the wire.
pub(super) struct Rates<'a> {
    earlier: &'a Snapshot,
    shares: Shares,
    seconds: f64,
}

impl<'a> Rates<'a> {
    pub(super) fn between(earlier: &'a Snapshot, now: &Snapshot) -> Rates<'a> {
        let nanos = now.uptime_ns.saturating_sub(earlier.uptime_ns);
        Rates {
            earlier,
            shares: Shares::between(earlier, now),
            seconds: Duration::from_nanos(nanos).as_secs_f64(),
        }
    }

    /// Bits per second in and out.
    pub(super) fn of_port(&self, port: &Port) -> (f64, f64) {
        let received = |p: &Port| p.rx.bytes + p.rx.frames * WIRE_OVERHEAD_BYTES;
        let sent = |p: &Port| p.classes.iter().map(|class| class.tx_wire_bytes).sum();
        let before = self.port(&port.name);
        (self.rate(before.map(received), received(port)), self.rate(before.map(sent), sent(port)))
    }

    /// Bits per second that a class sends.
    pub(super) fn of_class(&self, port: &str, class: &ClassState) -> f64 {
        let before = self.port(port).and_then(|port| port.classes.iter().find(|c| c.tc == class.tc));
        self.rate(before.map(|class| class.tx_wire_bytes), class.tx_wire_bytes)
    }

    /// Whether frames were dropped at the port in between.
    pub(super) fn drops_now(&self, port: &Port) -> bool {
        let dropped =
            |p: &Port| -> u64 { p.rx_drops.iter().chain(&p.tx_drops).map(|drop| drop.count.frames).sum() };
        self.port(&port.name).is_some_and(|before| dropped(port) > dropped(before))
    }

    /// Whether a class sends or waits.
    pub(super) fn is_at_work(&self, port: &Port, class: &ClassState) -> bool {
        self.of_class(&port.name, class) > 0.0 || members(port, class).any(|(_, p)| p.queued.frames > 0)
    }

    fn port(&self, name: &str) -> Option<&Port> {
        self.earlier.ports.iter().find(|port| port.name == name)
    }

    fn rate(&self, before: Option<u64>, now: u64) -> f64 {
        match before.and_then(|before| now.checked_sub(before)) {
            Some(bytes) if self.seconds > 0.0 => bytes as f64 * 8.0 / self.seconds,
            _ => 0.0,
        }
    }
}

fn members<'a>(
    port: &'a Port,
    class: &ClassState,
) -> impl Iterator<Item = (usize, &'a crate::state::PriorityState)> {
    let bitmap = class.priorities;
    port.priorities.iter().enumerate().take(8).filter(move |(priority, _)| bitmap & (1 << priority) != 0)
}

/// State of a port in a word, and why it is so.
pub(in crate::cli) fn port_state(port: &Port) -> (Cell, String) {
    match &port.held {
        Some(heard) => (Cell::new("held", Tone::Warn), heard.clone()),
        None if port.up => (Cell::new("up", Tone::Good), String::new()),
        None => (Cell::new("down", Tone::Bad), port.down_reason.clone()),
    }
}

/// Priorities of a bitmap: `0-2,4,6-7`.
pub(in crate::cli) fn priority_list(bitmap: u8) -> String {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for priority in (0..8).filter(|p| bitmap & (1 << p) != 0) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == priority => *last = priority,
            _ => runs.push((priority, priority)),
        }
    }
    let words = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

/// The ports and their counters.
pub(super) fn ports(now: &Snapshot, canvas: Canvas) -> String {
    if now.ports.is_empty() {
        return "This switch has no ports: give it some with [[port]] in its configuration.\n".to_owned();
    }
    let mut table = Table::new([
        Column::left("PORT"),
        Column::left("TYPE").rank(5),
        Column::left("STATE"),
        Column::right("LINE RATE").rank(4),
        Column::right("MTU").rank(6),
        Column::left("OFFLOAD").rank(7),
        Column::right("RECEIVED"),
        Column::right("BYTES").rank(3),
        Column::right("SENT"),
        Column::right("BYTES").rank(3),
        Column::right("DROPPED"),
        Column::left("").flexible(),
    ]);
    for port in &now.ports {
        let (state, note) = port_state(port);
        let dropped: u64 = port.rx_drops.iter().chain(&port.tx_drops).map(|drop| drop.count.frames).sum();
        table.row([
            Cell::from(port.name.as_str()),
            Cell::from(port.kind.as_str()),
            state,
            Cell::from(units::configured_rate(port.line_rate_bps)),
            Cell::from(port.mtu.to_string()),
            Cell::from(if port.offload { "yes" } else { "no" }),
            Cell::quiet(units::count(port.rx.frames), port.rx.frames == 0),
            Cell::quiet(units::size(port.rx.bytes), port.rx.bytes == 0),
            Cell::quiet(units::count(port.tx.frames), port.tx.frames == 0),
            Cell::quiet(units::size(port.tx.bytes), port.tx.bytes == 0),
            Cell::quiet(units::count(dropped), dropped == 0),
            Cell::new(note, Tone::Dim),
        ]);
    }
    table.render(canvas)
}

/// All classes of all ports.
pub(super) fn classes(earlier: &Snapshot, now: &Snapshot, canvas: Canvas) -> String {
    let table = class_table(now, &Rates::between(earlier, now), |_, _| true);
    if table.is_empty() {
        return "There are no classes to show, as this switch has no ports.\n".to_owned();
    }
    table.render(canvas)
}

/// The classes that are `wanted`.
pub(super) fn class_table(
    now: &Snapshot,
    rates: &Rates,
    wanted: impl Fn(&Port, &ClassState) -> bool,
) -> Table {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::right("TC").rank(3),
        Column::left("CLASS").flexible(),
        Column::left("PRIORITIES").rank(4),
        Column::left("TSA").rank(2),
        Column::right("RATE"),
        Column::right("TARGET"),
        Column::right("MEASURED"),
        Column::right("QUEUED").rank(1),
        Column::right("DROPPED").rank(0),
        Column::left(""),
    ]);
    for port in &now.ports {
        for class in port.classes.iter().filter(|class| wanted(port, class)) {
            let rate = rates.of_class(&port.name, class);
            let measured = rates.shares.of(&port.name, class.tc);
            let mut queued = 0;
            let mut dropped = 0;
            let mut paused = 0;
            for (priority, state) in members(port, class) {
                queued += state.occupied_bytes;
                dropped += state.dropped.frames;
                paused |= u8::from(state.paused) << priority;
            }
            let starved = queued > 0
                && paused == 0
                && measured.zip(class.target_share).is_some_and(|(got, due)| got < due - SHARE_TOLERANCE);
            let note = if paused == 0 { String::new() } else { format!("paused: {}", priority_list(paused)) };
            table.row([
                Cell::from(port.name.as_str()),
                Cell::from(class.tc.to_string()),
                Cell::from(class.name.as_str()),
                Cell::from(priority_list(class.priorities)),
                Cell::from(class.tsa.as_str()),
                Cell::quiet(units::rate(rate), rate == 0.0),
                Cell::from(units::share(class.target_share)),
                Cell::new(units::share(measured), if starved { Tone::Warn } else { Tone::Plain }),
                Cell::quiet(units::size(queued), queued == 0),
                Cell::quiet(units::count(dropped), dropped == 0),
                Cell::new(note, Tone::Warn),
            ]);
        }
    }
    table
}

/// Queues that hold or ever held something.
pub(super) fn queues(now: &Snapshot, canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::right("PRIORITY"),
        Column::left("CLASS").flexible(),
        Column::right("FRAMES"),
        Column::right("BUFFER"),
        Column::right("PEAK"),
        Column::right("SENT").rank(1),
        Column::right("DROPPED"),
        Column::right("PAUSED FOR").rank(2),
        Column::left(""),
    ]);
    for row in view::queues(now).into_iter().filter(|row| row.state.peak_bytes > 0 || row.state.paused_ns > 0)
    {
        let state = &row.state;
        let paused = units::duration(Duration::from_nanos(state.paused_ns));
        table.row([
            Cell::from(row.port),
            Cell::from(row.priority.to_string()),
            Cell::from(row.class),
            Cell::quiet(units::count(state.queued.frames), state.queued.frames == 0),
            Cell::quiet(units::size(state.occupied_bytes), state.occupied_bytes == 0),
            Cell::from(units::size(state.peak_bytes)),
            Cell::from(units::count(state.tx.frames)),
            Cell::quiet(units::count(state.dropped.frames), state.dropped.frames == 0),
            Cell::quiet(if state.paused_ns == 0 { String::new() } else { paused }, false),
            Cell::new(if state.paused { "paused" } else { "" }, Tone::Warn),
        ]);
    }
    if table.is_empty() {
        return format!("No queue has held a frame {}.\n", since_start(now));
    }
    table.render(canvas)
}

/// What was dropped, or that nothing was.
pub(super) fn drops_of(now: &Snapshot, canvas: Canvas) -> String {
    let rows = view::drops(now);
    if rows.is_empty() {
        return format!("Nothing was dropped {}.\n", since_start(now));
    }
    drops(&rows).render(canvas)
}

/// Drops by port, direction and reason.
pub(in crate::cli) fn drops(rows: &[DropRow]) -> Table {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::left("ON"),
        Column::left("REASON"),
        Column::right("FRAMES"),
        Column::right("BYTES").rank(1),
        Column::left("MEANING").flexible(),
    ]);
    for row in rows {
        let direction = match row.direction {
            Direction::Receive => "receive",
            Direction::Transmit => "transmit",
        };
        table.row([
            Cell::from(row.port.as_str()),
            Cell::from(direction),
            Cell::from(row.drop.reason.as_str()),
            Cell::from(units::grouped(row.drop.count.frames)),
            Cell::from(units::size(row.drop.count.bytes)),
            Cell::new(row.drop.meaning.as_str(), Tone::Dim),
        ]);
    }
    table
}

/// The forwarding database.
pub(super) fn fdb(fdb: &Fdb, canvas: Canvas) -> String {
    if fdb.entries.is_empty() {
        return "No addresses are known: none was learned yet, or all have aged out; frames are flooded.\n"
            .to_owned();
    }
    let mut table = Table::new([
        Column::left("MAC"),
        Column::right("VLAN"),
        Column::left("PORT"),
        Column::right("LAST SEEN"),
    ]);
    for entry in &fdb.entries {
        let seen = if entry.is_static {
            "static".to_owned()
        } else {
            format!("{} ago", units::duration(Duration::from_secs(entry.age_seconds)))
        };
        table.row([
            Cell::from(entry.mac.as_str()),
            Cell::from(entry.vlan.to_string()),
            Cell::from(entry.port.as_str()),
            Cell::quiet(seen, entry.is_static),
        ]);
    }
    let summary = &fdb.summary;
    format!(
        "{}\n{} of {} addresses, {} moved, {} refused\n",
        table.render(canvas),
        units::grouped(summary.entries),
        units::grouped(summary.limit),
        units::grouped(summary.moves),
        units::grouped(summary.refused)
    )
}

fn since_start(now: &Snapshot) -> String {
    format!("since the switch began, {} ago", units::duration(Duration::from_nanos(now.uptime_ns)))
}
