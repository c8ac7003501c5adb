//! The one histogram: how fast senders are told to pause. The worker counts it by bucket, so it is written as it is.

use std::fmt::Write as _;

use super::sample::seconds;
use crate::state::{REACTION_BOUNDS_US, Snapshot};

/// Its name.
pub const NAME: &str = "dcbridge_flow_control_reaction_seconds";
/// What it tells.
pub const HELP: &str =
    "Time from the frame that made a pause (or its end) necessary to the flow-control frame at the device.";

/// The family in the exposition format; empty before the first flow-control frame.
pub(super) fn family(snapshot: &Snapshot, bridge: &str) -> String {
    let worker = &snapshot.worker;
    let mut out = String::new();
    let all: u64 = worker.flow_reaction.iter().sum();
    if all == 0 {
        return out;
    }
    let bridge = bridge.replace('\\', "\\\\").replace('"', "\\\"");
    let _ = writeln!(out, "# HELP {NAME} {HELP}\n# TYPE {NAME} histogram");
    let mut below = 0;
    for (bound, count) in REACTION_BOUNDS_US.iter().zip(&worker.flow_reaction) {
        below += count;
        let le = seconds(bound * 1000);
        let _ = writeln!(out, "{NAME}_bucket{{bridge=\"{bridge}\",le=\"{le}\"}} {below}");
    }
    let _ = writeln!(out, "{NAME}_bucket{{bridge=\"{bridge}\",le=\"+Inf\"}} {all}");
    let _ = writeln!(out, "{NAME}_sum{{bridge=\"{bridge}\"}} {}", seconds(worker.flow_reaction_sum_ns));
    let _ = writeln!(out, "{NAME}_count{{bridge=\"{bridge}\"}} {all}");
    out
}
