//! Samples of a running lab and what they say: rates and shares between two of them. Pure arithmetic: whoever counts
//! is elsewhere (sending hosts, the receiving host, the switch), whoever judges as well (`report`).

use std::collections::VecDeque;
use std::time::Duration;

use super::plan::ClassPlan;

/// What one side of a flow, or of several, has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Frames: each segment of a superframe counts.
    pub frames: u64,
    /// Their bytes on the wire (with FCS, preamble and gap).
    pub wire_bytes: u64,
    /// A sender's attempts that the kernel refused for the moment, or let wait; 0 for receivers.
    pub blocked: u64,
}

impl FlowStats {
    /// Adds another flow's.
    pub fn add(&mut self, other: FlowStats) {
        self.frames += other.frames;
        self.wire_bytes += other.wire_bytes;
        self.blocked += other.blocked;
    }

    fn bps_since(&self, before: FlowStats, time: Duration) -> f64 {
        if time.is_zero() {
            return 0.0;
        }
        (self.wire_bytes - before.wire_bytes) as f64 * 8.0 / time.as_secs_f64()
    }
}

/// One class at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSample {
    /// By the sending hosts.
    pub offered: FlowStats,
    /// By the receiving host.
    pub received: FlowStats,
    /// By the switch, at the slow link.
    pub dropped_frames: u64,
    /// Waiting for the slow link now.
    pub queued_frames: u64,
    /// Their bytes.
    pub queued_bytes: u64,
}

/// All classes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// In the order of the plan.
    pub classes: Vec<ClassSample>,
    /// Reads that the receiving host's sockets refused because nobody fetched them in time.
    pub receiver_overflows: u64,
    /// Time in which the switch could not hold the line rate because it came late, in ns.
    pub switch_late_ns: u64,
}

/// One class between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassRates {
    /// Offered, in bit/s on the wire.
    pub offered_bps: f64,
    /// Received, in bit/s on the wire.
    pub received_bps: f64,
    /// Of an ETS class: its part of what all ETS classes received. Of a strict class: its part of the line.
    /// 0 when nothing was received.
    pub share: f64,
}

/// All classes between two samples.
pub fn rates(plan: &[ClassPlan], line_bps: u64, from: &Sample, to: &Sample) -> Vec<ClassRates> {
    let time = to.at.saturating_sub(from.at);
    let pairs = || from.classes.iter().zip(&to.classes);
    let received: Vec<f64> = pairs().map(|(a, b)| b.received.bps_since(a.received, time)).collect();
    let is_ets = |p: &ClassPlan| p.target_share.is_some();
    let ets: f64 = plan.iter().zip(&received).filter(|(p, _)| is_ets(p)).map(|(_, bps)| bps).sum();
    plan.iter()
        .zip(pairs())
        .zip(&received)
        .map(|((p, (a, b)), &received_bps)| {
            let whole = if is_ets(p) { ets } else { line_bps as f64 };
            ClassRates {
                offered_bps: b.offered.bps_since(a.offered, time),
                received_bps,
                share: if whole > 0.0 { received_bps / whole } else { 0.0 },
            }
        })
        .collect()
}

/// A sample that knows when it was taken.
pub trait Timed: Clone {
    /// Since the start.
    fn at(&self) -> Duration;
}

impl Timed for Sample {
    fn at(&self) -> Duration {
        self.at
    }
}

/// Samples in the order they were taken: the window that is judged, and the last second for people who watch.
#[derive(Clone, Debug)]
pub struct Series<S = Sample> {
    warm_up: Duration,
    window: Option<(S, S)>,
    recent: VecDeque<S>,
}

/// How far back the live view looks.
const RECENT: Duration = Duration::from_secs(1);

impl<S: Timed> Series<S> {
    /// Nothing sampled yet; the window begins with the first sample that is `warm_up` or later.
    pub const fn new(warm_up: Duration) -> Series<S> {
        Series { warm_up, window: None, recent: VecDeque::new() }
    }

    /// Takes the next sample.
    pub fn push(&mut self, sample: S) {
        if sample.at() >= self.warm_up {
            match &mut self.window {
                Some((_, last)) => last.clone_from(&sample),
                None => self.window = Some((sample.clone(), sample.clone())),
            }
        }
        self.recent.push_back(sample);
        let latest = self.recent.back().map_or(Duration::ZERO, Timed::at);
        while self.recent.len() > 2 && self.recent[1].at() + RECENT <= latest {
            self.recent.pop_front();
        }
    }

    /// First and last sample of the window that is judged; `None` before the warm-up ended.
    pub fn window(&self) -> Option<(&S, &S)> {
        self.window.as_ref().map(|(first, last)| (first, last))
    }

    /// First and last sample of the last second or so.
    pub fn recent(&self) -> Option<(&S, &S)> {
        Some((self.recent.front()?, self.recent.back()?))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use dcbridge_config::{PrioritySet, Tsa};

    use super::*;
    use crate::lab::plan::Mark;

    pub(crate) fn class_plan(name: &str, share: Option<f64>, target_bps: f64) -> ClassPlan {
        ClassPlan {
            name: name.to_owned(),
            tc: 0,
            lossless: false,
            priorities: PrioritySet(1),
            tsa: if share.is_some() { Tsa::Ets } else { Tsa::Strict },
            priority: 0,
            mark: Mark::Dscp(0),
            offer_bps: target_bps * if share.is_some() { 1.6 } else { 1.0 },
            target_bps,
            target_share: share,
        }
    }

    /// A sample in which classes have received these wire bytes, and were offered twice as much.
    pub(crate) fn sample(at_ms: u64, received: &[u64]) -> Sample {
        let flow = |wire_bytes| FlowStats { frames: wire_bytes / 100, wire_bytes, blocked: 0 };
        let classes = received.iter().map(|&bytes| ClassSample {
            offered: flow(bytes * 2),
            received: flow(bytes),
            dropped_frames: bytes / 100,
            queued_frames: 0,
            queued_bytes: 0,
        });
        Sample {
            at: Duration::from_millis(at_ms),
            classes: classes.collect(),
            receiver_overflows: 0,
            switch_late_ns: 0,
        }
    }

    #[test]
    fn ets_shares_are_of_what_ets_classes_got_and_strict_ones_of_the_line() {
        let plan =
            [class_plan("s", None, 1e5), class_plan("a", Some(0.6), 6e5), class_plan("b", Some(0.4), 4e5)];
        let rates =
            rates(&plan, 1_000_000, &sample(500, &[0, 100, 100]), &sample(1500, &[12_500, 60_100, 40_100]));
        assert!((rates[0].share - 0.1).abs() < 1e-9);
        assert!((rates[1].share - 0.6).abs() < 1e-9 && (rates[2].share - 0.4).abs() < 1e-9);
        assert!((rates[1].received_bps - 480_000.0).abs() < 1e-6);
        assert!((rates[1].offered_bps - 960_000.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_received_is_no_share_and_no_division_by_zero() {
        let plan = [class_plan("a", Some(1.0), 1e6)];
        for to in [sample(0, &[0]), sample(1000, &[0])] {
            let rates = rates(&plan, 1_000_000, &sample(0, &[0]), &to);
            assert_eq!(rates[0], ClassRates::default());
        }
    }

    #[test]
    fn the_window_leaves_the_warm_up_out_and_the_live_view_the_distant_past() {
        let mut series = Series::new(Duration::from_millis(500));
        for at in (0..=5000).step_by(250) {
            series.push(sample(at, &[at]));
            if at < 500 {
                assert!(series.window().is_none());
            }
        }
        let (first, last) = series.window().unwrap();
        assert_eq!((first.at.as_millis(), last.at.as_millis()), (500, 5000));
        let (first, last) = series.recent().unwrap();
        assert_eq!((first.at.as_millis(), last.at.as_millis()), (4000, 5000));
    }
}
