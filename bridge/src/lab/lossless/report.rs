//! The result of a run, judged, and as JSON. Pure: it gets samples and says what they mean.

use serde::Serialize;

use super::sample::{Pauses, Sample};
use super::topology::fast;
use crate::cli::units;
use crate::lab::args::LosslessArgs;
use crate::lab::ets::priorities;
use crate::lab::frames::FrameSize;
use crate::lab::measure::{ClassRates, rates};
use crate::lab::mode::Chosen;
use crate::lab::plan::ClassPlan;
use crate::lab::report::{FULL_USE, LEAST_USE, digits};
use crate::state::{Port, REACTION_BOUNDS_US, Snapshot};

/// The largest error of a share that passes, absolute: pauses of milliseconds make the shares coarser than in `ets`.
pub(super) const TOLERANCE: f64 = 0.02;

/// Where what is lossless begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    /// At the senders' sockets: the hosts can be paused.
    Sockets,
    /// Behind the near switch: what it has sent on arrives, and what it can't it drops.
    Switches,
}

impl Promise {
    /// What the near switch's devices can do.
    pub(super) fn of(near: &Snapshot) -> Promise {
        let hosts = near.ports.split_last().map_or(&[][..], |(_, hosts)| hosts);
        let pauses = |port: &Port| matches!(port.guarantee.as_str(), "exact" | "bounded by headroom");
        if hosts.iter().all(pauses) { Promise::Sockets } else { Promise::Switches }
    }
}

/// One class in the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// Name of the class.
    pub name: String,
    /// Whether it must lose nothing.
    pub lossless: bool,
    /// What it should get of all that ETS classes get, 0 to 1.
    pub target_share: Option<f64>,
    /// What it got in the measured time.
    pub share: f64,
    /// Sends that the hosts' kernels took, in frames, from start to end.
    pub sent_frames: u64,
    /// Frames that the receiving host's sockets got, from start to end.
    pub received_frames: u64,
    /// Frames that the switches dropped, from start to end.
    pub dropped_frames: u64,
    /// Frames that were sent and not received.
    pub lost_frames: u64,
    /// Sends that had to wait for more than a millisecond, or were refused for the moment.
    pub blocked_sends: u64,
    /// The priority at which the lab sent.
    pub priority: u8,
    /// Sent in the measured time, bit/s on the wire.
    pub sent_bps: u64,
    /// Received in the measured time, bit/s on the wire.
    pub received_bps: u64,
}

/// One port of a switch in the result: what its lossless classes did, from start to end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortReport {
    /// Name of the port.
    pub name: String,
    /// What a paused sender is held to.
    pub guarantee: String,
    /// XOFFs sent, refreshes included. A host behind a TAP is paused by its gate, whatever it makes of them.
    pub xoff_sent: u64,
    /// XONs sent.
    pub xon_sent: u64,
    /// PFC frames received.
    pub pfc_received: u64,
    /// How often the peer paused this port.
    pub times_paused: u64,
    /// How long, in seconds.
    pub paused_seconds: f64,
    /// Most headroom that was in use.
    pub headroom_peak_bytes: u64,
    /// Headroom of a priority group.
    pub headroom_bytes: u64,
    /// Frames that found the headroom full.
    pub headroom_full_frames: u64,
    /// Frames that the host's interface dropped by itself.
    pub host_edge_drops: u64,
}

/// One switch in the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SwitchReport {
    /// Name of the switch.
    pub name: String,
    /// Its ports.
    pub ports: Vec<PortReport>,
    /// Within so many microseconds (a power of two) 99 % of its pauses were on their way; `null`: it sent none.
    pub reaction_p99_us: Option<u64>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    scenario: &'static str,
    /// Whether the switches did what was promised.
    pub passed: bool,
    /// By class.
    pub classes: Vec<ClassReport>,
    /// The near and the far switch.
    pub switches: Vec<SwitchReport>,
    /// The verdict in words.
    pub verdict: String,
    /// What may be wrong, and what is worth knowing.
    pub notes: Vec<String>,
    /// Where what is lossless begins.
    pub promise: Promise,
    mode: &'static str,
    mode_reason: String,
    /// `veth` or `socket`.
    trunk: &'static str,
    trunk_bps: u64,
    /// The slow link.
    pub rate_bps: u64,
    /// Time that was measured.
    pub seconds: f64,
    frame_size: FrameSize,
    /// Part of the slow link that was in use, 0 to 1.
    pub utilisation: f64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
}

/// What a run was like, beside its samples.
pub(super) struct Run<'a> {
    pub(super) args: &'a LosslessArgs,
    pub(super) plan: &'a [ClassPlan],
    pub(super) chosen: &'a Chosen,
    pub(super) promise: Promise,
    pub(super) cable: &'static str,
    pub(super) early: bool,
    /// What the scenario itself has to say.
    pub(super) notes: Vec<String>,
}

/// Judges a run by the first and the last sample of the measured time, and by the sample taken when all had arrived.
pub(super) fn judge(run: Run<'_>, (from, to): (&Sample, &Sample), end: &Sample) -> Report {
    let rate_bps = run.args.rate.0;
    let rates = rates(run.plan, rate_bps, &from.hosts, &to.hosts);
    let classes: Vec<ClassReport> = run
        .plan
        .iter()
        .zip(&rates)
        .zip(&end.hosts.classes)
        .map(|((plan, rate), total)| ClassReport {
            name: plan.name.clone(),
            lossless: plan.lossless,
            target_share: plan.target_share.map(digits),
            share: digits(rate.share),
            sent_frames: total.offered.frames,
            received_frames: total.received.frames,
            dropped_frames: total.dropped_frames,
            lost_frames: total.offered.frames.saturating_sub(total.received.frames),
            blocked_sends: total.offered.blocked,
            priority: plan.priority,
            sent_bps: rate.offered_bps.round() as u64,
            received_bps: rate.received_bps.round() as u64,
        })
        .collect();
    let received: f64 = rates.iter().map(|r| r.received_bps).sum();
    let faults = faults(&run, &rates, &classes, end);
    let hints = hints(&run, received, end);
    Report {
        scenario: "lossless",
        passed: faults.is_empty(),
        verdict: verdict(&run, &classes, &faults),
        classes,
        switches: end.switches.iter().map(switch_report).collect(),
        notes: run.notes.into_iter().chain(hints).collect(),
        promise: run.promise,
        mode: run.chosen.mode.name(),
        mode_reason: run.chosen.reason.clone(),
        trunk: run.cable,
        trunk_bps: fast(run.args.rate).0,
        rate_bps,
        seconds: digits(to.hosts.at.saturating_sub(from.hosts.at).as_secs_f64()),
        frame_size: run.args.frame_size,
        utilisation: digits(received / rate_bps as f64),
        interrupted: run.early,
    }
}

fn switch_report(switch: &Snapshot) -> SwitchReport {
    SwitchReport {
        name: switch.name.clone(),
        ports: switch.ports.iter().map(port_report).collect(),
        reaction_p99_us: p99(&switch.worker.flow_reaction),
    }
}

fn port_report(port: &Port) -> PortReport {
    let pauses = Pauses::of([port]);
    PortReport {
        name: port.name.clone(),
        guarantee: port.guarantee.clone(),
        xoff_sent: pauses.xoff_sent,
        xon_sent: pauses.xon_sent,
        pfc_received: pauses.pfc_received,
        times_paused: pauses.times_paused,
        paused_seconds: digits(pauses.paused_ns as f64 / 1e9),
        headroom_peak_bytes: pauses.headroom_peak_bytes,
        headroom_bytes: pauses.headroom_bytes,
        headroom_full_frames: headroom_full(port),
        host_edge_drops: port.host_edge_drops,
    }
}

/// Frames that came by this port and for which the headroom was too small.
fn headroom_full(port: &Port) -> u64 {
    port.rx_drops.iter().filter(|d| d.reason == "headroom_full").map(|d| d.count.frames).sum()
}

/// The bucket, a power of two of microseconds, below which 99 % of the values are.
fn p99(buckets: &[u64]) -> Option<u64> {
    let all: u64 = buckets.iter().sum();
    let mut below = 0;
    let bucket = buckets.iter().position(|n| {
        below += n;
        below * 100 >= all * 99
    })?;
    // Later than the last bound there is no better answer than that.
    (all > 0).then(|| REACTION_BOUNDS_US[bucket.min(REACTION_BOUNDS_US.len() - 1)])
}

/// Lossless frames that went missing where none may.
fn lost(run: &Run<'_>, class: &ClassReport, plan: &ClassPlan, end: &Sample) -> u64 {
    let promised = match run.promise {
        Promise::Sockets => class.sent_frames,
        Promise::Switches => {
            end.trunk().map_or(0, |trunk| priorities(trunk, plan).map(|state| state.tx.frames).sum())
        }
    };
    promised.saturating_sub(class.received_frames)
}

/// What is not as it must be, as parts of a sentence.
fn faults(run: &Run<'_>, rates: &[ClassRates], classes: &[ClassReport], end: &Sample) -> Vec<String> {
    if classes.iter().all(|c| c.received_frames == 0) {
        return vec!["nothing arrived at the receiving host".to_owned()];
    }
    let mut faults = Vec::new();
    for (plan, class) in run.plan.iter().zip(classes) {
        let lost = lost(run, class, plan, end);
        if plan.lossless && lost > 0 {
            faults.push(format!(
                "lossless class \"{}\" lost {} of {} frames",
                class.name,
                units::grouped(lost),
                units::grouped(class.sent_frames)
            ));
        }
        if let Some(target) = class.target_share
            && (class.share - target).abs() > TOLERANCE
        {
            faults.push(format!(
                "\"{}\" got {} of the link instead of {}",
                class.name,
                units::share(Some(class.share)),
                units::share(Some(target))
            ));
        }
    }
    if classes.iter().filter(|c| !c.lossless).all(|c| c.lost_frames == 0) {
        faults.push("the lossy class lost nothing either, so nothing was proved".to_owned());
    }
    let pauses = Pauses::of(&end.switches[1].ports);
    if pauses.xoff_sent == 0 {
        faults.push("the far switch never had to pause the near one, so nothing was proved".to_owned());
    }
    let received: f64 = rates.iter().map(|r| r.received_bps).sum();
    if received < LEAST_USE * run.args.rate.0 as f64 {
        faults.push(format!(
            "the slow link was never full, so nothing was proved (it carried {} of {})",
            units::rate(received),
            units::configured_rate(Some(run.args.rate.0))
        ));
    }
    faults
}

fn verdict(run: &Run<'_>, classes: &[ClassReport], faults: &[String]) -> String {
    if !faults.is_empty() {
        return format!("FAIL: {}.", faults.join("; "));
    }
    let of = |lossless| classes.iter().filter(move |c| c.lossless == lossless);
    let kept: u64 = of(true).map(|c| c.received_frames).sum();
    let lost: u64 = of(false).map(|c| c.lost_frames).sum();
    let worst = classes.iter().filter_map(|c| Some((c.share - c.target_share?).abs())).fold(0.0, f64::max);
    let points = (worst * 1000.0).ceil() / 10.0;
    let kept = match run.promise {
        Promise::Sockets => format!("all {} lossless frames that were sent arrived", units::grouped(kept)),
        Promise::Switches => {
            format!("all {} lossless frames that the first switch sent on arrived", units::grouped(kept))
        }
    };
    format!(
        "PASS: {kept}, {} lossy ones were lost; every class within {points:.1} percentage points of its share.",
        units::grouped(lost)
    )
}

/// What may lie behind a bad result, or make a good one doubtful.
fn hints(run: &Run<'_>, received: f64, end: &Sample) -> Vec<String> {
    let mut hints = Vec::new();
    if run.promise == Promise::Switches {
        let guarantee = end.host_ports().first().map_or("none", |port| port.guarantee.as_str());
        hints.push(format!(
            "the hosts can't be paused here (guarantee at their ports: {guarantee}), so lossless senders kept to a rate \
             and only what the first switch sent on was promised to arrive"
        ));
    }
    let (drops, overflows) = (end.host_edge_drops(), end.hosts.receiver_overflows);
    if drops > 0 {
        hints.push(format!(
            "the sending hosts' interfaces dropped {} frames by themselves: their rings were full",
            units::grouped(drops)
        ));
    }
    if overflows > 0 {
        hints.push(format!(
            "the receiving host fetched its packets too slowly and lost {} reads: that is not the switches' doing",
            units::grouped(overflows)
        ));
    }
    hints.extend(end.switches.iter().flat_map(unusual_drops));
    let line = run.args.rate.0 as f64;
    if received < FULL_USE * line {
        let late = std::time::Duration::from_nanos(end.hosts.switch_late_ns);
        hints.push(format!(
            "the slow link carried {} of {} (the switches came late for {} in all): this machine is too slow for this \
             rate, or busy with something else",
            units::rate(received),
            units::configured_rate(Some(run.args.rate.0)),
            units::duration(late)
        ));
    }
    hints
}

/// What a switch dropped for another reason than the one that the lab is about, a full queue of a lossy class.
fn unusual_drops(switch: &Snapshot) -> Vec<String> {
    let usual = |reason: &str| matches!(reason, "queue_full" | "buffer_full");
    let drops = |port: &Port| [port.rx_drops.clone(), port.tx_drops.clone()].concat();
    let all = switch.ports.iter().flat_map(|port| drops(port).into_iter().map(move |drop| (port, drop)));
    all.filter(|(_, drop)| drop.count.frames > 0 && !usual(&drop.reason))
        .map(|(port, drop)| {
            let frames = units::grouped(drop.count.frames);
            format!(
                "{} dropped {frames} frames at port {} ({}): {}",
                switch.name, port.name, drop.reason, drop.meaning
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
