//! The scenario `lossless`: four hosts send a lossless and a lossy class over two switches into one slow link.
//!
//! ```text
//!   h1 ──┐
//!   .. ──┼── sw1 ── trunk ── sw2 ── slow link ──> sink
//!   h4 ──┘
//!        <── sockets wait <── PFC frames <── queue full
//! ```
//! Lossless senders send as fast as their sockets let them; the others at more than their part of the link. The far
//! switch pauses the near one by PFC frames, and that one its hosts. Warm-up, measured time and drain are as in `ets`.
//!
//! Where a host can't be paused its lossless senders keep to a rate as well, and what is promised, and judged, begins
//! behind the near switch.

mod fabric;
mod report;
mod sample;
mod topology;
mod view;

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stage;
use super::args::LosslessArgs;
use super::fleet::{Counts, Traffic};
use super::generator::{self, Counters, Flow, Running};
use super::measure::Series;
use super::mode::Chosen;
use super::plan::{ClassPlan, plan};
use super::topology::{FlowSpec, flows};
use fabric::Fabric;
use report::{Promise, Report, Run, judge};
use sample::Sample;

use crate::state::Snapshot;

/// Sending hosts; each sends every class.
const SENDERS: usize = 4;
/// Time in which queues fill, pauses begin and shares settle.
const WARM_UP: Duration = Duration::from_millis(500);
/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long the end is waited for.
const DRAIN: Duration = Duration::from_secs(5);
/// When nothing has come for so long, everything has arrived. Longer than a closed bucket's timer, should a kick get
/// lost.
const QUIET: Duration = Duration::from_millis(600);

/// Runs the scenario; `interrupted` ends it early. `None`: interrupted before anything was measured.
///
/// # Errors
/// A sentence for a person.
pub(super) async fn run(
    args: &LosslessArgs,
    chosen: &Chosen,
    stage: &mut Stage,
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Report>, String> {
    let base = match dcbridge_config::parse(topology::CONFIG, "the lab's configuration") {
        Ok((config, _)) => config,
        Err(findings) => return Err(dcbridge_config::render(&findings, topology::CONFIG, false)),
    };
    let plan = plan(&base.traffic_classes, &base.maps, args.rate)?;
    let fabric = Fabric::start(chosen.mode, SENDERS, &base, args.rate).await?;
    let result = Bench { args, plan: &plan, fabric: &fabric }.run(chosen, stage, interrupted).await;
    fabric.stop().await;
    result
}

/// What a run looks at.
struct Bench<'a> {
    args: &'a LosslessArgs,
    plan: &'a [ClassPlan],
    fabric: &'a Fabric,
}

impl Bench<'_> {
    async fn run(
        &self,
        chosen: &Chosen,
        stage: &mut Stage,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Option<Report>, String> {
        let promise = Promise::of(&self.fabric.snapshots().await?[0]);
        stage.open(&view::head(self.args, self.fabric, chosen, &promise, stage.canvas), self.args.seconds);
        let mut specs = flows(self.plan, SENDERS, self.fabric.sink(), self.args.frame_size);
        for spec in &mut specs {
            spec.blocking = self.plan[spec.class].lossless && promise == Promise::Sockets;
        }
        let Traffic { flows, collect, mut counts } = self.fabric.connect(&specs)?;

        let receiver = Arc::<Counters>::default();
        let mut receiving = generator::receive(collect, Arc::clone(&receiver)).map_err(thread)?;
        let mut sending = start(flows, &specs).map_err(thread)?;
        let begin = Instant::now();
        let mut series = Series::new(WARM_UP);
        let early = self.measure(begin, &specs, &mut counts, &mut series, stage, interrupted).await?;
        sending.iter_mut().for_each(Running::stop);
        let end = self.drain(begin, &specs, &mut counts).await?;
        receiving.stop();

        let Some(window) = series.window().filter(|(from, to)| to.hosts.at > from.hosts.at) else {
            return Ok(None);
        };
        let mut notes = self.notes(&specs, &counts);
        notes.extend(refusals(&end.switches));
        notes.extend(receiver.error().map(|e| format!("the receiving host stopped receiving: {e}")));
        let run = Run {
            args: self.args,
            plan: self.plan,
            chosen,
            promise,
            cable: self.fabric.cable(),
            early,
            notes,
        };
        let report = judge(run, window, &end);
        stage.close(&view::end(self.plan, self.args.rate.0, window, &end, &report, stage.canvas));
        Ok(Some(report))
    }

    /// What the switches said when they opened their ports, and senders that gave up.
    fn notes(&self, specs: &[FlowSpec], counts: &Counts) -> Vec<String> {
        // What holds for several ports in the same way is said of the first.
        let mut said = HashSet::new();
        let opening = self.fabric.switches.iter().flat_map(|switch| {
            let name = &switch.config().bridge.name;
            switch.notes().iter().map(move |(port, note)| (name, port, note))
        });
        let opening = opening.filter(|(_, port, note)| said.insert(note.replace(port.as_str(), "")));
        let opening = opening.map(|(name, port, note)| format!("{name}, port {port}: {note}"));
        let failed = specs.iter().zip(&counts.sent).filter_map(|(flow, counters)| {
            let class = &self.plan[flow.class].name;
            Some(format!("host h{} stopped sending \"{class}\": {}", flow.host + 1, counters.error()?))
        });
        opening.chain(failed).collect()
    }

    /// Samples until the time is over; answers whether it was interrupted.
    async fn measure(
        &self,
        begin: Instant,
        specs: &[FlowSpec],
        counts: &mut Counts,
        series: &mut Series<Sample>,
        stage: &mut Stage,
        interrupted: impl Future<Output = ()>,
    ) -> Result<bool, String> {
        let mut interrupted = pin!(interrupted);
        let whole = Duration::from_secs(self.args.seconds);
        let mut tick = tokio::time::interval(SAMPLE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = &mut interrupted => return Ok(true),
            }
            let sample = self.sample(begin, specs, counts).await?;
            let at = sample.hosts.at;
            series.push(sample);
            if let (true, Some((from, to))) = (stage.live, series.recent()) {
                let tables = view::tables(self.plan, self.args.rate.0, (from, to), to, stage.canvas);
                let progress = super::view::progress(at, WARM_UP, whole, stage.canvas);
                stage.redraw(&format!("{tables}\n{progress}"));
            }
            if at >= WARM_UP + whole {
                return Ok(false);
            }
        }
    }

    /// Waits until what was sent has arrived or was dropped, and takes the last sample.
    async fn drain(&self, begin: Instant, specs: &[FlowSpec], counts: &mut Counts) -> Result<Sample, String> {
        let draining = Instant::now();
        let mut last = self.sample(begin, specs, counts).await?;
        let mut quiet_since = Instant::now();
        loop {
            tokio::time::sleep(QUIET / 12).await;
            let next = self.sample(begin, specs, counts).await?;
            let moved = next.hosts.classes != last.hosts.classes;
            let queued = next.hosts.classes.iter().any(|c| c.queued_frames > 0);
            last = next;
            if moved || queued {
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() >= QUIET || draining.elapsed() >= DRAIN {
                return Ok(last);
            }
        }
    }

    async fn sample(
        &self,
        begin: Instant,
        specs: &[FlowSpec],
        counts: &mut Counts,
    ) -> Result<Sample, String> {
        let at = begin.elapsed();
        let counted = counts.by_class(specs, self.plan.len());
        let overflows = counts.overflows()?;
        Ok(Sample::new(at, self.plan, &counted, overflows, self.fabric.snapshots().await?))
    }
}

/// Frames that switches dropped where they came in: these belong to no class yet.
fn refusals(switches: &[Snapshot]) -> Vec<String> {
    let ports = switches.iter().flat_map(|switch| switch.ports.iter().map(move |port| (&switch.name, port)));
    let drops = ports.flat_map(|(switch, port)| port.rx_drops.iter().map(move |drop| (switch, port, drop)));
    drops
        .map(|(switch, port, drop)| {
            let (name, frames) = (&port.name, drop.count.frames);
            format!(
                "{switch}, port {name}: {frames} frames were dropped on arrival ({}: {})",
                drop.reason, drop.meaning
            )
        })
        .collect()
}

fn thread(error: std::io::Error) -> String {
    format!("no thread can be started: {error}")
}

/// Starts all senders: those that may wait on threads of their own, the others paced by one.
fn start(flows: Vec<Flow>, specs: &[FlowSpec]) -> std::io::Result<Vec<Running>> {
    let (mut waiting, mut paced) = (Vec::new(), Vec::new());
    for (flow, spec) in flows.into_iter().zip(specs) {
        if spec.blocking { waiting.push(flow) } else { paced.push(flow) }
    }
    let mut running = generator::send_blocking(waiting)?;
    running.push(generator::send(paced)?);
    Ok(running)
}
