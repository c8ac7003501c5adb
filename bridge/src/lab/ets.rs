//! The scenario `ets`: starts hosts and switch, offers the traffic, samples until the time is over, judges.
//!
//! ```text
//!   warm-up      measured               drain
//!   |-----------|----------------------|-----|
//!   0         0.5 s            0.5 s + N     all frames have arrived or were dropped
//! ```
//! Shares are those of the measured time; the frames of the report are those from start to end, so that its books
//! balance.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge_config::{Config, Tsa};

use super::args::EtsArgs;
use super::fleet::{Counts, Fleet, SINK, Traffic};
use super::generator::{self, Counters};
use super::measure::{ClassSample, Sample, Series};
use super::mode::Chosen;
use super::plan::{ClassPlan, plan};
use super::report::{Report, Run, judge};
use super::topology::{self, DEFAULT, FlowSpec};
use crate::runtime::Handle;
use crate::state::{Port, Snapshot};

/// Sending hosts.
const SENDERS: usize = 3;
/// Time in which queues fill and shares settle.
const WARM_UP: Duration = Duration::from_millis(500);
/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long the end is waited for.
const DRAIN: Duration = Duration::from_secs(3);
/// When nothing has come for so long, everything has arrived.
const QUIET: Duration = Duration::from_millis(100);

/// Who watches a run.
pub trait Watch {
    /// Before the first frame.
    fn begin(&mut self, senders: &[String], bridge: &str, args: &EtsArgs, mode: &Chosen);

    /// After each sample.
    fn sample(&mut self, plan: &[ClassPlan], series: &Series, warm_up: Duration);

    /// At the end: the measured time.
    fn end(&mut self, plan: &[ClassPlan], window: (&Sample, &Sample), end: &Sample, report: &Report);
}

/// Runs the scenario; `interrupted` ends it early. `None`: interrupted before anything was measured.
///
/// # Errors
/// A sentence for a person.
pub async fn run(
    args: &EtsArgs,
    chosen: &Chosen,
    watch: &mut impl Watch,
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Report>, String> {
    let base = base(args.config.as_deref())?;
    let plan = plan(&base.traffic_classes, &base.maps, args.rate)?;
    let fleet = Fleet::new(chosen.mode, SENDERS).map_err(|e| e.to_string())?;
    let flows = topology::flows(&plan, SENDERS, fleet.sink_address().ip, args.frame_size);
    let config = topology::switch(&base, &plan, args.rate, &fleet.attachments(args.rate));
    watch.begin(&fleet.senders(), &config.bridge.name, args, chosen);

    let switch = fleet.start(config).await.map_err(|e| e.to_string())?;
    let result = match fleet.connect(&flows) {
        Ok(traffic) => {
            let bench = Bench { args, plan: &plan, flows: &flows, switch: &switch };
            bench.run(traffic, chosen, watch, interrupted).await
        }
        Err(error) => Err(error.to_string()),
    };
    // The result is known; a switch that ended before its time has been reported by it.
    let _ = switch.stop().await;
    result
}

/// Classes, policies and maps: the file's, or the lab's own.
fn base(file: Option<&Path>) -> Result<Config, String> {
    let (name, text) = match file {
        None => ("the lab's configuration".to_owned(), DEFAULT.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| format!("{name} can't be read: {e}"))?;
            (name, text)
        }
    };
    match dcbridge_config::parse(&text, &name) {
        Ok((config, _warnings)) => Ok(config),
        Err(findings) => {
            Err(format!("{name} is not valid\n\n{}", dcbridge_config::render(&findings, &text, false)))
        }
    }
}

/// What a run looks at.
struct Bench<'a> {
    args: &'a EtsArgs,
    plan: &'a [ClassPlan],
    flows: &'a [FlowSpec],
    switch: &'a Handle,
}

impl Bench<'_> {
    async fn run(
        &self,
        traffic: Traffic,
        chosen: &Chosen,
        watch: &mut impl Watch,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Option<Report>, String> {
        let thread = |e: std::io::Error| format!("no thread can be started: {e}");
        let Traffic { flows, collect, mut counts } = traffic;
        let receiver = Arc::<Counters>::default();
        let mut receiving = generator::receive(collect, Arc::clone(&receiver)).map_err(thread)?;
        let mut sending = generator::send(flows).map_err(thread)?;

        let start = Instant::now();
        let mut series = Series::new(WARM_UP);
        let early = self.measure(start, &mut counts, &mut series, watch, interrupted).await?;
        sending.stop();
        let (end, snapshot) = self.drain(start, &mut counts).await?;
        receiving.stop();

        let Some(window) = series.window().filter(|(from, to)| to.at > from.at) else { return Ok(None) };
        let opening = self.switch.notes().iter().map(|(port, note)| format!("port {port}: {note}"));
        let mut notes: Vec<String> = opening.chain(self.flow_errors(&counts)).collect();
        notes.extend(receiver.error().map(|e| format!("the receiving host stopped receiving: {e}")));
        notes.extend(self.misclassified(&end, &snapshot));
        let run = Run {
            plan: self.plan.to_vec(),
            rate_bps: self.args.rate.0,
            frame_size: self.args.frame_size,
            mode: chosen.mode.name(),
            mode_reason: chosen.reason.clone(),
            interrupted: early,
            notes,
        };
        let report = judge(run, window, &end);
        watch.end(self.plan, window, &end, &report);
        Ok(Some(report))
    }

    /// Samples until the time is over; answers whether it was interrupted.
    async fn measure(
        &self,
        start: Instant,
        counts: &mut Counts,
        series: &mut Series,
        watch: &mut impl Watch,
        interrupted: impl Future<Output = ()>,
    ) -> Result<bool, String> {
        let mut interrupted = pin!(interrupted);
        let whole = WARM_UP + Duration::from_secs(self.args.seconds);
        let mut tick = tokio::time::interval(SAMPLE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = &mut interrupted => return Ok(true),
            }
            let (sample, _) = self.sample(start, counts).await?;
            let at = sample.at;
            series.push(sample);
            watch.sample(self.plan, series, WARM_UP);
            if at >= whole {
                return Ok(false);
            }
        }
    }

    /// Waits until what was sent has arrived or was dropped, and takes the last sample.
    async fn drain(&self, start: Instant, counts: &mut Counts) -> Result<(Sample, Snapshot), String> {
        let begin = Instant::now();
        let mut last = self.sample(start, counts).await?;
        let mut quiet_since = Instant::now();
        loop {
            tokio::time::sleep(QUIET / 4).await;
            let next = self.sample(start, counts).await?;
            let moved = next.0.classes != last.0.classes;
            let queued = next.0.classes.iter().any(|c| c.queued_frames > 0);
            last = next;
            if moved || queued {
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() >= QUIET || begin.elapsed() >= DRAIN {
                return Ok(last);
            }
        }
    }

    async fn sample(&self, start: Instant, counts: &mut Counts) -> Result<(Sample, Snapshot), String> {
        let at = start.elapsed();
        let counted = counts.by_class(self.flows, self.plan.len());
        let receiver_overflows = counts.overflows()?;
        let snapshot = self.switch.snapshot().await.map_err(|e| e.to_string())?;
        let link = snapshot.ports.iter().find(|p| p.name == SINK);
        let classes = self.plan.iter().zip(counted).map(|(plan, (offered, received))| {
            let mut sample = ClassSample { offered, received, ..ClassSample::default() };
            for state in link.iter().flat_map(|port| priorities(port, plan)) {
                sample.dropped_frames += state.dropped.frames;
                sample.queued_frames += state.queued.frames;
                sample.queued_bytes += state.queued.bytes;
            }
            sample
        });
        let switch_late_ns = snapshot.worker.late_ns;
        Ok((Sample { at, classes: classes.collect(), receiver_overflows, switch_late_ns }, snapshot))
    }

    fn flow_errors(&self, counts: &Counts) -> Vec<String> {
        let failed = self.flows.iter().zip(&counts.sent).filter_map(|(flow, counters)| {
            let class = &self.plan[flow.class].name;
            Some(format!("host h{} stopped sending \"{class}\": {}", flow.host + 1, counters.error()?))
        });
        failed.collect()
    }

    /// Classes whose frames the switch took for another class.
    fn misclassified(&self, end: &Sample, snapshot: &Snapshot) -> Vec<String> {
        let hosts = || snapshot.ports.iter().filter(|p| p.name != SINK);
        let wrong = self.plan.iter().zip(&end.classes).filter(|(plan, sample)| {
            let arrived: u64 = hosts().flat_map(|port| priorities(port, plan)).map(|s| s.rx.frames).sum();
            arrived * 2 < sample.offered.frames
        });
        wrong
            .map(|(plan, _)| {
                let kind = if plan.tsa == Tsa::Strict { "strict class" } else { "class" };
                format!(
                    "most frames meant for {kind} \"{}\" were given another priority by the switch: a policy \
                     matches them",
                    plan.name
                )
            })
            .collect()
    }
}

/// The priorities of a class at a port.
pub(super) fn priorities<'a>(
    port: &'a Port,
    plan: &'a ClassPlan,
) -> impl Iterator<Item = &'a crate::state::PriorityState> {
    let of_class = |n: usize| plan.priorities.contains(n as u8);
    port.priorities.iter().enumerate().filter(move |(n, _)| of_class(*n)).map(|(_, state)| state)
}
