//! How the scenario looks on the screen: picture, tables and verdict as text. Nothing is measured or judged here.

use std::time::Duration;

use super::fabric::Fabric;
use super::report::{Promise, Report, TOLERANCE};
use super::sample::{Pauses, Sample, rows};
use super::topology::{FAR, NEAR, fast};
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::lab::args::LosslessArgs;
use crate::lab::fleet::SINK;
use crate::lab::measure::rates;
use crate::lab::mode::Chosen;
use crate::lab::plan::ClassPlan;
use crate::lab::view::{bar, picture};

/// What is shown before the first sample.
pub(super) fn head(
    args: &LosslessArgs,
    fabric: &Fabric,
    chosen: &Chosen,
    promise: &Promise,
    canvas: Canvas,
) -> String {
    let trunk = units::configured_rate(Some(fast(args.rate).0));
    let bridges = format!("{} ── {trunk} ── {}", NEAR.0, FAR.0);
    let picture = picture(&fabric.senders(), &bridges, args.rate.0, SINK);
    let senders = match promise {
        Promise::Sockets => "lossless ones as fast as their sockets let them",
        Promise::Switches => "at a rate: nothing can pause these hosts",
    };
    let about = [
        format!(
            "hosts    {}: {}; the switches are joined by a {}",
            chosen.mode.name(),
            chosen.reason,
            fabric.cable()
        ),
        format!("traffic  each host sends every class to {SINK}, UDP in {}, {senders}", args.frame_size),
    ];
    let [hosts, traffic] = about.map(|line| canvas.paint(&line, Tone::Dim));
    format!("\n{picture}\n{hosts}\n{traffic}\n\n")
}

/// Classes and switches between two samples; what is counted from the start on is that of `now`.
pub(super) fn tables(
    plan: &[ClassPlan],
    rate_bps: u64,
    window: (&Sample, &Sample),
    now: &Sample,
    canvas: Canvas,
) -> String {
    format!("{}\n{}", classes(plan, rate_bps, window, now, canvas), switches(now, canvas))
}

fn classes(
    plan: &[ClassPlan],
    rate_bps: u64,
    (from, to): (&Sample, &Sample),
    now: &Sample,
    canvas: Canvas,
) -> String {
    let rates = rates(plan, rate_bps, &from.hosts, &to.hosts);
    let mut table = Table::new([
        Column::left("class").flexible(),
        Column::left(""),
        Column::right("sent"),
        Column::right("got"),
        Column::right("share"),
        Column::right("target"),
        Column::left("").rank(3),
        Column::right("frames sent").rank(1),
        Column::right("received").rank(2),
        Column::right("dropped"),
    ]);
    for ((plan, rate), class) in plan.iter().zip(&rates).zip(&now.hosts.classes) {
        let near = plan.target_share.is_none_or(|target| (rate.share - target).abs() <= TOLERANCE);
        let tone = if near { Tone::Good } else { Tone::Warn };
        let dropped = units::grouped(class.dropped_frames);
        table.row([
            Cell::new(plan.name.as_str(), Tone::Strong),
            Cell::from(if plan.lossless { "lossless" } else { "lossy" }),
            units::rate(rate.offered_bps).into(),
            units::rate(rate.received_bps).into(),
            Cell::new(units::share(Some(rate.share)), tone),
            units::share(plan.target_share).into(),
            Cell::new(bar(rate.share), tone),
            units::grouped(class.offered.frames).into(),
            units::grouped(class.received.frames).into(),
            match class.dropped_frames {
                0 => Cell::quiet(dropped, true),
                _ if plan.lossless => Cell::new(dropped, Tone::Bad),
                _ => dropped.into(),
            },
        ]);
    }
    table.render(canvas)
}

fn switches(now: &Sample, canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("switch"),
        Column::left("port"),
        Column::left("sender").rank(1),
        Column::right("XOFF"),
        Column::right("XON"),
        Column::right("was paused"),
        Column::right("headroom"),
        Column::right("peak"),
        Column::right("of").rank(2),
        Column::right("queue"),
    ]);
    for switch in &now.switches {
        for (port, pauses) in rows(switch) {
            table.row(switch_row(&switch.name, port, &pauses));
        }
    }
    table.render(canvas)
}

fn switch_row(switch: &str, port: String, pauses: &Pauses) -> [Cell; 10] {
    let sender =
        if pauses.gate_closed { Cell::new("waits", Tone::Warn) } else { Cell::new("sends", Tone::Dim) };
    let bytes = |n: u64| Cell::quiet(units::size(n), n == 0);
    [
        Cell::new(switch, Tone::Strong),
        port.into(),
        if pauses.headroom_bytes == 0 { Cell::default() } else { sender },
        Cell::quiet(units::grouped(pauses.xoff_sent), pauses.xoff_sent == 0),
        Cell::quiet(units::grouped(pauses.xon_sent), pauses.xon_sent == 0),
        Cell::quiet(units::duration(Duration::from_nanos(pauses.paused_ns)), pauses.paused_ns == 0),
        bytes(pauses.headroom_used_bytes),
        bytes(pauses.headroom_peak_bytes),
        bytes(pauses.headroom_bytes),
        bytes(pauses.queued_bytes),
    ]
}

/// What is shown at the end.
pub(super) fn end(
    plan: &[ClassPlan],
    rate_bps: u64,
    window: (&Sample, &Sample),
    end: &Sample,
    report: &Report,
    canvas: Canvas,
) -> String {
    let mut out = tables(plan, rate_bps, window, end, canvas);
    out.push_str(&format!(
        "\n{} of {} in use over {:.1} s{}\n\n",
        units::share(Some(report.utilisation)),
        units::configured_rate(Some(report.rate_bps)),
        report.seconds,
        if report.interrupted { " (interrupted)" } else { "" },
    ));
    let (word, rest) = report.verdict.split_once(':').unwrap_or((&report.verdict, ""));
    let tone = if report.passed { Tone::Good } else { Tone::Bad };
    out.extend([&canvas.paint(word, tone), ":", rest, "\n"]);
    for note in &report.notes {
        out.extend([&canvas.paint("note:", Tone::Warn), " ", note, "\n"]);
    }
    out
}
