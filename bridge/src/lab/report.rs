//! The result of a lab run: judged, and as JSON. Pure: it gets samples and says what they mean; drawing is `view`'s.

use std::io::{self, Write};
use std::time::Duration;

use dcbridge_config::Tsa;
use serde::Serialize;

use super::frames::FrameSize;
use super::measure::{ClassRates, ClassSample, Sample, rates};
use super::plan::ClassPlan;
use crate::cli::units;

/// The largest error of a share that passes, absolute.
pub const TOLERANCE: f64 = 0.01;
/// The part of the line (or of what rate caps leave of it) that must be in use, else the machine or the generator was
/// too slow for the result to mean much.
pub(super) const FULL_USE: f64 = 0.97;
/// Below this part the link was not what limited the classes, and shares prove nothing.
pub(super) const LEAST_USE: f64 = 0.75;
/// The part of its offer that a strict class must get.
const ALL: f64 = 0.99;
/// An ETS class must be offered at least this much of its target to be called over-offered.
const ENOUGH: f64 = 1.1;

/// One class in the result. The first six fields keep their order: they are what scripts read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// Name of the class.
    pub name: String,
    /// What it should get of all that ETS classes get, 0 to 1; `null` for strict classes.
    pub target_share: Option<f64>,
    /// What it got in the measured time: of all that ETS classes got, or, strict, of the line.
    pub share: f64,
    /// Frames that the sending hosts sent, from start to end.
    pub offered_frames: u64,
    /// Frames that the receiving host got, from start to end.
    pub received_frames: u64,
    /// Frames that the switch dropped at the slow link, from start to end.
    pub dropped_frames: u64,
    /// Frames that were neither received nor dropped by the switch: lost in the hosts' kernels.
    pub lost_in_hosts_frames: u64,
    /// Sends that the hosts had to put off because their side of the link was full.
    pub blocked_sends: u64,
    /// `strict` or `ets`.
    pub tsa: Tsa,
    /// The priority at which the lab sent.
    pub priority: u8,
    /// Offered in the measured time, bit/s on the wire.
    pub offered_bps: u64,
    /// Received in the measured time, bit/s on the wire.
    pub received_bps: u64,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Whether the switch did what it must.
    pub passed: bool,
    /// By class, in the order of service.
    pub classes: Vec<ClassReport>,
    /// The verdict in words.
    pub verdict: String,
    /// What may be wrong, and what is worth knowing.
    pub notes: Vec<String>,
    /// `netns`, `userns` or `inprocess`.
    pub mode: &'static str,
    /// Why this mode.
    pub mode_reason: String,
    /// The slow link.
    pub rate_bps: u64,
    /// Time that was measured.
    pub seconds: f64,
    /// Frame sizes.
    pub frame_size: FrameSize,
    /// Part of the line that was in use, 0 to 1.
    pub utilisation: f64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
}

/// What a run was like, beside its samples.
#[derive(Clone, Debug)]
pub struct Run {
    /// Classes and their targets.
    pub plan: Vec<ClassPlan>,
    /// The slow link.
    pub rate_bps: u64,
    /// Frame sizes.
    pub frame_size: FrameSize,
    /// `netns`, `userns` or `inprocess`.
    pub mode: &'static str,
    /// Why this mode.
    pub mode_reason: String,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// What the scenario itself has to say.
    pub notes: Vec<String>,
}

/// Judges a run by the first and the last sample of the measured time, and by the sample taken when all had arrived.
pub fn judge(run: Run, window: (&Sample, &Sample), end: &Sample) -> Report {
    let (from, to) = window;
    let rates = rates(&run.plan, run.rate_bps, from, to);
    let classes: Vec<ClassReport> = run
        .plan
        .iter()
        .zip(&rates)
        .zip(&end.classes)
        .map(|((plan, rate), total)| {
            let accounted = total.received.frames + total.dropped_frames + total.queued_frames;
            ClassReport {
                name: plan.name.clone(),
                target_share: plan.target_share.map(digits),
                share: digits(rate.share),
                offered_frames: total.offered.frames,
                received_frames: total.received.frames,
                dropped_frames: total.dropped_frames,
                lost_in_hosts_frames: total.offered.frames.saturating_sub(accounted),
                blocked_sends: total.offered.blocked,
                tsa: plan.tsa,
                priority: plan.priority,
                offered_bps: rate.offered_bps.round() as u64,
                received_bps: rate.received_bps.round() as u64,
            }
        })
        .collect();
    let received: f64 = rates.iter().map(|r| r.received_bps).sum();
    let faults = faults(&run.plan, &rates, &classes);
    let mut notes = run.notes;
    let late = Duration::from_nanos(to.switch_late_ns.saturating_sub(from.switch_late_ns));
    notes.extend(hints(&run.plan, &rates, late, end));
    Report {
        scenario: "ets",
        passed: faults.is_empty(),
        verdict: verdict(&run.plan, &rates, &faults),
        classes,
        notes,
        mode: run.mode,
        mode_reason: run.mode_reason,
        rate_bps: run.rate_bps,
        seconds: digits(to.at.saturating_sub(from.at).as_secs_f64()),
        frame_size: run.frame_size,
        utilisation: digits(received / run.rate_bps as f64),
        interrupted: run.interrupted,
    }
}

/// Five digits behind the point: more would be noise.
pub(crate) fn digits(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

fn error(plan: &ClassPlan, rate: &ClassRates) -> f64 {
    plan.target_share.map_or(0.0, |target| (rate.share - target).abs())
}

/// What is not as it must be, as parts of a sentence.
fn faults(plan: &[ClassPlan], rates: &[ClassRates], classes: &[ClassReport]) -> Vec<String> {
    if rates.iter().all(|r| r.received_bps == 0.0) {
        return vec!["nothing arrived at the receiving host".to_owned()];
    }
    let mut faults = Vec::new();
    for ((plan, rate), class) in plan.iter().zip(rates).zip(classes) {
        match plan.target_share {
            Some(target) if error(plan, rate) > TOLERANCE => faults.push(format!(
                "\"{}\" got {} of the ETS bandwidth instead of {}",
                plan.name,
                units::share(Some(rate.share)),
                units::share(Some(target))
            )),
            None if (class.received_frames as f64) < ALL * class.offered_frames as f64 => {
                faults.push(format!(
                    "strict class \"{}\" got only {} of what it asked",
                    plan.name,
                    units::share(Some(class.received_frames as f64 / class.offered_frames as f64))
                ));
            }
            _ => {}
        }
    }
    let (received, expected) = use_of_link(plan, rates);
    if received < LEAST_USE * expected {
        faults.push(format!(
            "the link was never full, so the shares prove nothing (it carried {} of {})",
            units::rate(received),
            units::rate(expected)
        ));
    }
    faults
}

/// What the link carried and what it should have, in bit/s: what capped classes can't use is nobody's fault.
fn use_of_link(plan: &[ClassPlan], rates: &[ClassRates]) -> (f64, f64) {
    (rates.iter().map(|r| r.received_bps).sum(), plan.iter().map(|p| p.target_bps).sum())
}

fn verdict(plan: &[ClassPlan], rates: &[ClassRates], faults: &[String]) -> String {
    if !faults.is_empty() {
        return format!("FAIL: {}.", faults.join("; "));
    }
    let mut parts = Vec::new();
    if plan.iter().any(|p| p.target_share.is_some()) {
        let worst = plan.iter().zip(rates).map(|(p, r)| error(p, r)).fold(0.0, f64::max);
        let points = (worst * 1000.0).ceil() / 10.0;
        parts.push(format!("every ETS class within {points:.1} percentage points of its share"));
    }
    let strict: Vec<String> =
        plan.iter().filter(|p| p.target_share.is_none()).map(|p| format!("\"{}\"", p.name)).collect();
    match strict.as_slice() {
        [] => {}
        [one] => parts.push(format!("strict class {one} got all of what it asked")),
        all => parts.push(format!("strict classes {} got all of what they asked", all.join(", "))),
    }
    format!("PASS: {}.", parts.join("; "))
}

/// What may lie behind a bad result, or make a good one doubtful.
fn hints(plan: &[ClassPlan], rates: &[ClassRates], late: Duration, end: &Sample) -> Vec<String> {
    let mut hints = Vec::new();
    let (received, expected) = use_of_link(plan, rates);
    let starved: Vec<&str> = plan
        .iter()
        .zip(rates)
        .filter(|(p, r)| p.target_share.is_some() && r.offered_bps < ENOUGH * p.target_bps)
        .map(|(p, _)| p.name.as_str())
        .collect();
    if !starved.is_empty() {
        hints.push(format!(
            "the generator could not over-offer {}: this machine is too slow for this rate; try a lower --rate or \
             larger frames",
            starved.join(", ")
        ));
    } else if received < FULL_USE * expected {
        let late = if late.is_zero() {
            String::new()
        } else {
            format!(" (the switch came late for {} in all)", units::duration(late))
        };
        hints.push(format!(
            "the link carried {} of the {} it should{late}: this machine is too slow for this rate, or busy with \
             something else; try a lower --rate or larger frames",
            units::rate(received),
            units::rate(expected)
        ));
    }
    // Over all classes: a frame that the switch took for another class's is dropped there.
    let sum = |of: fn(&ClassSample) -> u64| end.classes.iter().map(of).sum::<u64>();
    let accounted = sum(|c| c.received.frames) + sum(|c| c.dropped_frames) + sum(|c| c.queued_frames);
    let lost = sum(|c| c.offered.frames).saturating_sub(accounted);
    if end.receiver_overflows > 0 {
        hints.push(format!(
            "the receiving host fetched its packets too slowly and lost {} reads ({} frames): that is not the \
             switch's doing",
            units::grouped(end.receiver_overflows),
            units::grouped(lost)
        ));
    } else if lost > 0 {
        hints.push(format!(
            "{} frames were sent but never reached the switch: the sending hosts' device queues were full",
            units::grouped(lost)
        ));
    }
    hints
}

/// The report as one line of JSON, spaced as a person would.
pub fn json(report: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    // Strings, numbers and lists, written to memory: nothing in it can fail.
    report.serialize(&mut serializer).expect("a report is plain data");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// A space behind each comma and colon.
struct Spaced;

impl Spaced {
    fn comma<W: ?Sized + Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Spaced::comma(writer, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Spaced::comma(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::measure::tests::{class_plan, sample};

    fn run() -> Run {
        Run {
            plan: vec![
                class_plan("cluster", None, 1e5),
                class_plan("storage", Some(0.6), 5.4e5),
                class_plan("default", Some(0.4), 3.6e5),
            ],
            rate_bps: 1_000_000,
            frame_size: FrameSize::Fixed(1518),
            mode: "netns",
            mode_reason: "running as root".to_owned(),
            interrupted: false,
            notes: Vec::new(),
        }
    }

    /// One second in which the classes received these wire bytes; strict: was offered as much.
    fn report(received: [u64; 3]) -> Report {
        let from = sample(500, &[0, 0, 0]);
        let mut to = sample(1500, &received);
        to.classes[0].offered = to.classes[0].received;
        to.classes[0].dropped_frames = 0;
        judge(run(), (&from, &to), &to)
    }

    #[test]
    fn shares_within_one_percent_pass_in_words() {
        let report = report([12_500, 67_700, 44_800]);
        assert!(report.passed, "{report:?}");
        assert_eq!(
            report.verdict,
            "PASS: every ETS class within 0.2 percentage points of its share; strict class \"cluster\" got all of \
             what it asked."
        );
        assert!(report.notes.is_empty(), "{:?}", report.notes);
    }

    #[test]
    fn a_share_beyond_the_tolerance_fails_and_is_named() {
        let within = report([12_500, 68_500, 44_000]);
        assert!(within.passed, "0.9 points: {}", within.verdict);
        let beyond = report([12_500, 68_900, 43_600]);
        assert!(!beyond.passed);
        assert!(beyond.verdict.starts_with("FAIL: \"storage\" got 61.2 %"), "{}", beyond.verdict);
    }

    #[test]
    fn a_strict_class_that_was_held_back_fails() {
        let from = sample(500, &[0, 0, 0]);
        let to = sample(1500, &[12_500, 67_500, 45_000]);
        let report = judge(run(), (&from, &to), &to);
        assert!(!report.passed);
        assert!(report.verdict.contains("\"cluster\" got only 50.0 %"), "{}", report.verdict);
    }

    #[test]
    fn silence_is_no_success() {
        let report = report([0, 0, 0]);
        assert!(!report.passed);
        assert!(report.verdict.contains("nothing arrived"), "{}", report.verdict);
    }

    #[test]
    fn a_machine_that_is_too_slow_is_told_from_a_switch_that_is_wrong() {
        let slow = report([12_500, 60_000, 40_000]);
        assert!(slow.passed && slow.notes.iter().any(|n| n.contains("too slow")), "{:?}", slow.notes);
        let idle = report([12_500, 6_000, 4_000]);
        assert!(!idle.passed, "shares of a link that was never full prove nothing");
        assert!(idle.verdict.contains("never full"), "{}", idle.verdict);
        let from = sample(500, &[0, 0, 0]);
        let mut to = sample(1500, &[12_500, 67_500, 45_000]);
        to.receiver_overflows = 3;
        to.classes[1].dropped_frames -= 40;
        let report = judge(run(), (&from, &to), &to);
        assert_eq!(report.classes[1].lost_in_hosts_frames, 40);
        assert!(report.notes.iter().any(|n| n.contains("receiving host") && n.contains("40 frames")));
    }

    #[test]
    fn a_class_that_was_not_over_offered_is_said() {
        let from = sample(500, &[0, 0, 0]);
        let mut to = sample(1500, &[12_500, 67_500, 45_000]);
        to.classes[2].offered = to.classes[2].received;
        let report = judge(run(), (&from, &to), &to);
        assert!(report.notes.iter().any(|n| n.contains("over-offer default")), "{:?}", report.notes);
    }

    #[test]
    fn json_begins_as_promised() {
        let text = json(&report([12_500, 67_500, 45_000]));
        let start = r#"{"scenario": "ets", "passed": true, "classes": [{"name": "cluster", "target_share": null, "share": 0.1, "offered_frames": 125, "received_frames": 125, "dropped_frames": 0, "#;
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains(r#"{"name": "storage", "target_share": 0.6, "share": 0.6, "#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["mode"], "netns");
        assert_eq!(value["frame_size"], 1518);
        assert!((value["utilisation"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
}
