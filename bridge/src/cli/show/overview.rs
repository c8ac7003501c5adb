//! The overview: a line per port, and the classes that are at work.

use std::fmt::Write as _;
use std::time::Duration;

use super::tables::{Rates, class_table, port_state};
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::state::Snapshot;

/// The switch between two moments.
pub(super) fn overview(earlier: &Snapshot, now: &Snapshot, canvas: Canvas) -> String {
    let mut out = headline(now, canvas);
    if now.ports.is_empty() {
        out.push_str("\nThis switch has no ports: give it some with [[port]] in its configuration.\n");
        return out;
    }
    let rates = Rates::between(earlier, now);
    let _ = write!(out, "\n{}", ports(now, &rates).render(canvas));
    if now.workers.len() > 1 {
        let _ = write!(out, "\n{}", workers(earlier, now).render(canvas));
    }
    let classes = class_table(now, &rates, |port, class| rates.is_at_work(port, class));
    if classes.is_empty() {
        let _ = write!(
            out,
            "\n{}\n",
            canvas.paint("No class sends or waits now; `dcbridge show classes` lists them all.", Tone::Dim)
        );
    } else {
        let _ = write!(out, "\n{}", classes.render(canvas));
    }
    out
}

fn headline(now: &Snapshot, canvas: Canvas) -> String {
    let buffer = &now.buffer;
    format!(
        "{}  up {}, buffer {} of {} (peak {}), {} of {} addresses\n",
        canvas.paint(&now.name, Tone::Strong),
        units::duration(Duration::from_nanos(now.uptime_ns)),
        units::size(buffer.used_bytes),
        units::size(buffer.size_bytes),
        units::size(buffer.peak_bytes),
        units::grouped(now.fdb.entries),
        units::grouped(now.fdb.limit),
    )
}

/// What each of several workers does.
fn workers(earlier: &Snapshot, now: &Snapshot) -> Table {
    let mut table = Table::new([
        Column::left("WORKER"),
        Column::left("SCHEDULING").rank(1),
        Column::right("PROCESSOR"),
        Column::right("HANDED OVER"),
        Column::right("WAITED").rank(2),
    ]);
    let span = now.uptime_ns.saturating_sub(earlier.uptime_ns);
    for (number, worker) in now.workers.iter().enumerate() {
        let before = earlier.workers.get(number).map_or(0, |w| w.cpu_ns);
        let busy = worker.cpu_ns.saturating_sub(before);
        table.row([
            Cell::from(number.to_string()),
            Cell::from(worker.scheduling.as_str()),
            Cell::from(units::share((span > 0).then(|| busy as f64 / span as f64))),
            Cell::quiet(units::count(worker.handed), worker.handed == 0),
            Cell::quiet(units::count(worker.waited), worker.waited == 0),
        ]);
    }
    table
}

fn ports(now: &Snapshot, rates: &Rates) -> Table {
    let mut table = Table::new([
        Column::left("PORT"),
        Column::left("STATE"),
        Column::right("LINE RATE").rank(2),
        Column::right("IN"),
        Column::right("OUT"),
        Column::right("QUEUED").rank(1),
        Column::right("DROPPED"),
        Column::left("").flexible(),
    ]);
    for port in &now.ports {
        let (state, note) = port_state(port);
        let (rate_in, rate_out) = rates.of_port(port);
        let occupied: u64 = port.priorities.iter().map(|p| p.occupied_bytes).sum();
        let dropped: u64 = port.rx_drops.iter().chain(&port.tx_drops).map(|drop| drop.count.frames).sum();
        let tone = if rates.drops_now(port) { Tone::Bad } else { Tone::Plain };
        table.row([
            Cell::from(port.name.as_str()),
            state,
            Cell::from(units::configured_rate(port.line_rate_bps)),
            Cell::quiet(units::rate(rate_in), rate_in == 0.0),
            Cell::quiet(units::rate(rate_out), rate_out == 0.0),
            Cell::quiet(units::size(occupied), occupied == 0),
            if dropped == 0 { Cell::quiet("0", true) } else { Cell::new(units::count(dropped), tone) },
            Cell::new(note, Tone::Dim),
        ]);
    }
    table
}
