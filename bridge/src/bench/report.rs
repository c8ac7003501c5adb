//! What a run came to, as tables for people and as JSON. Nothing is measured here.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use super::args::Plan;
use super::run::{Note, Result};
use super::scenario::{Better, Quantity, Scenario};
use super::stats::best;
use super::switches::{Io, Needs};
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::lab;

/// The switch that others are compared with in tables.
const OURS: &str = "dcbridge";

/// Where and how it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Version of the kernel.
    pub kernel: String,
    /// Processors that may be used.
    pub cpus: usize,
    /// What they are, where the kernel says it.
    pub cpu: Option<String>,
    /// Version of dcbridge.
    pub version: &'static str,
    /// Rounds of every figure.
    pub repeat: u32,
    /// Seconds of one measurement.
    pub seconds: f64,
}

impl Machine {
    /// This one.
    pub fn here(plan: &Plan) -> Machine {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
        Machine {
            kernel: kernel.trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: model.map(|(_, name)| name.trim().to_owned()),
            version: crate::VERSION,
            repeat: plan.repeat,
            seconds: plan.span.as_secs_f64(),
        }
    }
}

/// What is said of a peer that is not there.
pub fn not_installed(needs: Needs) -> String {
    format!("not installed: apt-get install {}", needs.package)
}

/// One figure of a switch in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    switch: &'static str,
    scenario: &'static str,
    quantity: &'static str,
    /// The median; `null` with a note that says why.
    value: Option<f64>,
    unit: &'static str,
    better: Option<&'static str>,
    /// How many times what each other switch has.
    ratio_to: BTreeMap<&'static str, f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// (max - min) / median.
    spread: Option<f64>,
    n: usize,
    note: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    rows: Vec<Row>,
}

/// All figures as one line of JSON.
pub fn json(machine: &Machine, results: &[Result]) -> String {
    let rows = blocks(results).flat_map(rows).collect();
    lab::json(&Report { machine, rows }) + "\n"
}

/// The results of one scenario after the other.
fn blocks(results: &[Result]) -> impl Iterator<Item = &[Result]> {
    results.chunk_by(|a, b| a.scenario.name == b.scenario.name)
}

/// Every quantity of a scenario, in turn for all switches.
fn rows(block: &[Result]) -> Vec<Row> {
    let quantities = block.first().map_or(0, |r| r.scenario.quantities.len());
    let mut rows = Vec::new();
    for n in 0..quantities {
        for result in block {
            let Some((quantity, summary)) = result.summaries().nth(n) else { continue };
            // A figure that there can't be (the kernel's own CPU time) is not a row.
            if summary.is_none() && (n > 0 || result.note.is_none()) {
                continue;
            }
            let name = result.switch.name;
            rows.push(Row {
                switch: name,
                scenario: result.scenario.name,
                quantity: quantity.name,
                value: summary.map(|s| lab::digits(s.median)),
                unit: quantity.unit,
                better: match quantity.better {
                    Better::Higher => Some("higher"),
                    Better::Lower => Some("lower"),
                    Better::Neither => None,
                },
                ratio_to: ratios(result, block, n),
                min: summary.map(|s| lab::digits(s.min)),
                max: summary.map(|s| lab::digits(s.max)),
                spread: summary.map(|s| lab::digits(s.spread())),
                n: summary.map_or(0, |s| s.n),
                note: result.note.as_ref().map(|note| words(note).to_owned()),
            });
        }
    }
    rows
}

fn ratios(result: &Result, block: &[Result], quantity: usize) -> BTreeMap<&'static str, f64> {
    let others = block.iter().filter(|other| other.switch.name != result.switch.name);
    let ratio = |other: &Result| Some((other.switch.name, lab::digits(result.ratio(other, quantity)?)));
    others.filter_map(ratio).collect()
}

fn words(note: &Note) -> &str {
    let (Note::Absent(text) | Note::Failed(text)) = note;
    text
}

/// All scenarios as tables, with what the machine is in front.
pub fn tables(machine: &Machine, results: &[Result], canvas: Canvas) -> String {
    let cpu = machine.cpu.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let head = format!(
        "dcbridge {} on Linux {}, {} processors{cpu}; medians of {} rounds of {} s in turns",
        machine.version, machine.kernel, machine.cpus, machine.repeat, machine.seconds
    );
    let mut out = canvas.paint(&head, Tone::Dim) + "\n";
    for block in blocks(results) {
        out += &table(block, canvas);
    }
    out
}

fn table(block: &[Result], canvas: Canvas) -> String {
    let Some(scenario) = block.first().map(|r| &r.scenario) else { return String::new() };
    let Some(main) = scenario.quantities.first() else { return String::new() };
    let yardstick = yardstick(block, main.better);
    let mut columns =
        vec![Column::left("switch"), Column::right(main.title), Column::right("from - to").rank(2)];
    columns.push(Column::right("of dcbridge"));
    if let Some(yardstick) = yardstick {
        columns.push(Column::right(&format!("of {}", yardstick.switch.name)).rank(1));
    }
    columns.extend(scenario.quantities[1..].iter().map(|q| Column::right(q.title).rank(3)));
    let mut table = Table::new(columns);
    for result in sorted(block, main) {
        table.row(cells(result, block, yardstick));
    }
    let heading = canvas.paint(scenario.title, Tone::Strong);
    let better = match main.better {
        Better::Higher => "more is better",
        _ => "less is better",
    };
    let about = canvas.paint(&format!("  {} ({better})", scenario.name), Tone::Dim);
    format!("\n{heading}{about}\n{}{}", table.render(canvas), notes(block, scenario, canvas))
}

/// The best plain loop.
fn yardstick(block: &[Result], better: Better) -> Option<&Result> {
    let plain = block.iter().filter(|r| r.switch.plain);
    let medians: Vec<_> = plain.filter_map(|r| Some((r, r.median(0)?))).collect();
    best(&medians, better).map(|(result, _)| result)
}

/// The best first, those without a figure last.
fn sorted<'a>(block: &'a [Result], main: &Quantity) -> Vec<&'a Result> {
    let mut all: Vec<&Result> = block.iter().collect();
    all.sort_by(|a, b| match (a.median(0), b.median(0)) {
        (Some(x), Some(y)) if main.better == Better::Lower => x.total_cmp(&y),
        (Some(x), Some(y)) => y.total_cmp(&x),
        (x, y) => y.is_some().cmp(&x.is_some()),
    });
    all
}

fn cells(result: &Result, block: &[Result], yardstick: Option<&Result>) -> Vec<Cell> {
    let summaries: Vec<_> = result.summaries().map(|(_, summary)| summary).collect();
    let main = summaries.first().copied().flatten();
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), units::figure);
    let ratio = |base: Option<&Result>| {
        base.and_then(|base| result.ratio(base, 0))
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    let ours = block.iter().find(|r| r.switch.name == OURS);
    let tone = if result.switch.name == OURS { Tone::Strong } else { Tone::Plain };
    let range = main.map(|s| format!("{} - {}", units::figure(s.min), units::figure(s.max)));
    let mut cells = vec![
        Cell::new(result.switch.name, tone),
        Cell::new(number(main.map(|s| s.median)), tone),
        Cell::new(range.unwrap_or_default(), Tone::Dim),
        ratio(ours).into(),
    ];
    if yardstick.is_some() {
        // A loop between TAPs says nothing about other interfaces.
        cells.push(ratio(yardstick.filter(|_| result.switch.io == Io::Tap)).into());
    }
    cells.extend(summaries.iter().skip(1).map(|s| Cell::from(number(s.map(|s| s.median)))));
    cells
}

/// What has to be known about the figures of a block.
fn notes(block: &[Result], scenario: &Scenario, canvas: Canvas) -> String {
    let mut out = String::new();
    for result in block {
        if let Some(note) = &result.note {
            let tone = if result.is_good() { Tone::Warn } else { Tone::Bad };
            out += &(canvas.paint(&format!("{}: {}", result.switch.name, words(note)), tone) + "\n");
        }
    }
    let has_cost = scenario.quantities.iter().any(|q| q.name == "cpu");
    let kernel = block.iter().any(|r| r.switch.in_kernel && r.median(0).is_some());
    if has_cost && kernel {
        let text = "Where the kernel is the switch, its senders pay: only `all CPU` can be compared.";
        out += &(canvas.paint(text, Tone::Dim) + "\n");
    }
    out
}

#[cfg(test)]
mod tests;
