//! Every metric of the switch in one table: name, meaning, and where in a snapshot its value stands.
//!
//! The exporter registers from this table and `docs/metrics.md` is written from it, so neither can know a metric that
//! the other doesn't. Names follow the Prometheus conventions: base units, `_total` for what only grows.

use super::sample::Value;
use crate::control::sampler::Shares;
use crate::state::{ClassState, Count, Port, PriorityState, Snapshot};

/// A metric.
pub struct Metric {
    /// Name as scraped.
    pub name: &'static str,
    /// One sentence for `HELP` and the reference.
    pub help: &'static str,
    /// Where its values come from.
    pub from: From,
}

/// What a metric is counted by, and how its value is read. `None` leaves the series out.
pub enum From {
    /// One series for the switch.
    Switch(fn(&Snapshot) -> Value),
    /// The version, as a label of a constant.
    Build,
    /// One series per port.
    Port(fn(&Port) -> Option<Value>),
    /// One series per port and priority.
    Priority(fn(&PriorityState) -> Value),
    /// Which class a priority belongs to, as labels of a constant.
    PriorityClass,
    /// One series per port and class; the measured share of the last window where there is one.
    Class(fn(&ClassState, Option<f64>) -> Option<Value>),
    /// One series per port, direction and reason.
    Drop(fn(&Count) -> u64),
}

impl From {
    /// Labels beside `bridge`, which every series has.
    pub fn labels(&self) -> &'static [&'static str] {
        match self {
            From::Switch(_) => &[],
            From::Build => &["version"],
            From::Port(_) => &["port"],
            From::Priority(_) => &["port", "priority"],
            From::PriorityClass => &["port", "priority", "class", "tc"],
            From::Class(_) => &["port", "class", "tc"],
            From::Drop(_) => &["port", "direction", "reason"],
        }
    }
}

impl Metric {
    /// Whether it only grows. The name says so, and the tests hold the table to it.
    pub fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }

    /// Calls `emit` with the label values and the value of every series in this moment.
    pub fn visit(&self, snapshot: &Snapshot, shares: &Shares, emit: &mut dyn FnMut(&[&str], Value)) {
        if let From::Switch(value) = &self.from {
            emit(&[], value(snapshot));
        } else if let From::Build = &self.from {
            emit(&[crate::VERSION], Value::Gauge(1.0));
        }
        for port in &snapshot.ports {
            self.visit_port(port, shares, emit);
        }
    }

    fn visit_port(&self, port: &Port, shares: &Shares, emit: &mut dyn FnMut(&[&str], Value)) {
        match &self.from {
            From::Switch(_) | From::Build => {}
            From::Port(value) => {
                if let Some(value) = value(port) {
                    emit(&[&port.name], value);
                }
            }
            From::Priority(value) => {
                for (priority, state) in port.priorities.iter().enumerate() {
                    emit(&[&port.name, &priority.to_string()], value(state));
                }
            }
            From::PriorityClass => {
                for class in &port.classes {
                    for priority in (0..8).filter(|p| class.priorities & (1 << p) != 0) {
                        let labels = [&port.name, &format!("{priority}"), &class.name, &class.tc.to_string()];
                        emit(&labels.map(String::as_str), Value::Gauge(1.0));
                    }
                }
            }
            From::Class(value) => {
                for class in &port.classes {
                    if let Some(value) = value(class, shares.of(&port.name, class.tc)) {
                        emit(&[&port.name, &class.name, &class.tc.to_string()], value);
                    }
                }
            }
            From::Drop(value) => {
                for (direction, drops) in [("receive", &port.rx_drops), ("transmit", &port.tx_drops)] {
                    for drop in drops {
                        emit(&[&port.name, direction, &drop.reason], Value::Count(value(&drop.count)));
                    }
                }
            }
        }
    }
}

const fn metric(name: &'static str, from: From, help: &'static str) -> Metric {
    Metric { name, help, from }
}

fn gauge(value: u64) -> Value {
    Value::Gauge(value as f64)
}

fn flag(value: bool) -> Value {
    Value::Gauge(f64::from(u8::from(value)))
}

/// All metrics, in the order of the reference.
pub static METRICS: &[Metric] = &[
    metric("dcbridge_build_info", From::Build, "Version of the running program; the value is always 1."),
    metric(
        "dcbridge_uptime_seconds",
        From::Switch(|s| Value::Gauge(s.uptime_ns as f64 / 1e9)),
        "Time since the switch began to forward.",
    ),
    metric(
        "dcbridge_port_up",
        From::Port(|p| Some(flag(p.up))),
        "Whether frames pass the port: 1 yes, 0 no (`dcbridge show ports` says why).",
    ),
    metric(
        "dcbridge_port_held",
        From::Port(|p| Some(flag(p.held.is_some()))),
        "Whether loop detection holds the port.",
    ),
    metric(
        "dcbridge_port_line_rate_bytes_per_second",
        From::Port(|p| p.line_rate_bps.map(|bps| Value::Gauge(bps as f64 / 8.0))),
        "Configured line rate in wire bytes; no series where it is unlimited.",
    ),
    metric(
        "dcbridge_port_receive_frames_total",
        From::Port(|p| Some(Value::Count(p.rx.frames))),
        "Frames received; the segments of a superframe count each.",
    ),
    metric(
        "dcbridge_port_receive_bytes_total",
        From::Port(|p| Some(Value::Count(p.rx.bytes))),
        "Bytes of the frames received, without FCS, preamble and gap.",
    ),
    metric(
        "dcbridge_port_receive_units_total",
        From::Port(|p| Some(Value::Count(p.rx.units))),
        "Device reads that brought a frame or a superframe.",
    ),
    metric(
        "dcbridge_port_transmit_frames_total",
        From::Port(|p| Some(Value::Count(p.tx.frames))),
        "Frames sent; the segments of a superframe count each.",
    ),
    metric(
        "dcbridge_port_transmit_bytes_total",
        From::Port(|p| Some(Value::Count(p.tx.bytes))),
        "Bytes of the frames sent, without FCS, preamble and gap.",
    ),
    metric(
        "dcbridge_port_transmit_units_total",
        From::Port(|p| Some(Value::Count(p.tx.units))),
        "Device writes of a frame or a superframe.",
    ),
    metric(
        "dcbridge_port_consumed_frames_total",
        From::Port(|p| Some(Value::Count(p.consumed.frames))),
        "Received frames that the switch itself used up (LLDP, PFC, probes).",
    ),
    metric(
        "dcbridge_port_originated_frames_total",
        From::Port(|p| Some(Value::Count(p.originated.frames))),
        "Frames that the switch itself made for this port.",
    ),
    metric(
        "dcbridge_port_copied_frames_total",
        From::Port(|p| Some(Value::Count(p.copies.frames))),
        "Extra copies made of frames that arrived here: a flood to n ports makes n - 1.",
    ),
    metric(
        "dcbridge_port_queue_frames",
        From::Port(|p| Some(gauge(p.queued.frames))),
        "Frames that wait to leave by this port.",
    ),
    metric(
        "dcbridge_priority_receive_frames_total",
        From::Priority(|p| Value::Count(p.rx.frames)),
        "Frames received and given this priority.",
    ),
    metric(
        "dcbridge_priority_receive_bytes_total",
        From::Priority(|p| Value::Count(p.rx.bytes)),
        "Bytes of the frames received and given this priority.",
    ),
    metric(
        "dcbridge_priority_transmit_frames_total",
        From::Priority(|p| Value::Count(p.tx.frames)),
        "Frames sent from the queue of this priority.",
    ),
    metric(
        "dcbridge_priority_transmit_bytes_total",
        From::Priority(|p| Value::Count(p.tx.bytes)),
        "Bytes of the frames sent from the queue of this priority.",
    ),
    metric(
        "dcbridge_priority_dropped_frames_total",
        From::Priority(|p| Value::Count(p.dropped.frames)),
        "Frames that the queue of this priority refused or discarded; dcbridge_dropped_frames_total has the reasons.",
    ),
    metric(
        "dcbridge_priority_paused",
        From::Priority(|p| flag(p.paused)),
        "Whether the peer has paused this priority now.",
    ),
    metric(
        "dcbridge_priority_paused_seconds_total",
        From::Priority(|p| Value::Nanoseconds(p.paused_ns)),
        "How long the peer has paused this priority in all.",
    ),
    metric(
        "dcbridge_priority_class_info",
        From::PriorityClass,
        "The traffic class to which a priority belongs; the value is always 1. Join on it to sum priorities by class.",
    ),
    metric(
        "dcbridge_queue_frames",
        From::Priority(|p| gauge(p.queued.frames)),
        "Frames that wait in the queue of this priority.",
    ),
    metric(
        "dcbridge_queue_bytes",
        From::Priority(|p| gauge(p.occupied_bytes)),
        "Buffer that the queue occupies, in whole cells: what its limit is compared with.",
    ),
    metric(
        "dcbridge_queue_peak_bytes",
        From::Priority(|p| gauge(p.peak_bytes)),
        "Most buffer that the queue ever occupied.",
    ),
    metric(
        "dcbridge_class_transmit_frames_total",
        From::Class(|c, _| Some(Value::Count(c.tx.frames))),
        "Frames sent by the traffic class.",
    ),
    metric(
        "dcbridge_class_transmit_bytes_total",
        From::Class(|c, _| Some(Value::Count(c.tx.bytes))),
        "Bytes of the frames sent by the traffic class, without FCS, preamble and gap.",
    ),
    metric(
        "dcbridge_class_transmit_wire_bytes_total",
        From::Class(|c, _| Some(Value::Count(c.tx_wire_bytes))),
        "Bytes of the frames sent by the traffic class, with FCS, preamble and gap: what rates and shares are measured in.",
    ),
    metric(
        "dcbridge_class_share_configured_ratio",
        From::Class(|c, _| c.target_share.map(Value::Gauge)),
        "Configured share of what strict classes leave, 0 to 1; no series for strict classes.",
    ),
    metric(
        "dcbridge_class_share_measured_ratio",
        From::Class(|_, share| share.map(Value::Gauge)),
        "Share of the port's ETS classes in the last complete window of 1 s, by wire bytes, 0 to 1; no series for strict \
         classes and while the port's ETS classes send nothing.",
    ),
    metric(
        "dcbridge_dropped_frames_total",
        From::Drop(|c| c.frames),
        "Frames dropped, by the direction in which they passed the port, and the reason.",
    ),
    metric("dcbridge_dropped_bytes_total", From::Drop(|c| c.bytes), "Bytes of the frames dropped."),
    metric(
        "dcbridge_dropped_units_total",
        From::Drop(|c| c.units),
        "Frames or superframes dropped, as the device read them.",
    ),
    metric(
        "dcbridge_buffer_size_bytes",
        From::Switch(|s| gauge(s.buffer.size_bytes)),
        "Size of the shared buffer.",
    ),
    metric(
        "dcbridge_buffer_used_bytes",
        From::Switch(|s| gauge(s.buffer.used_bytes)),
        "Occupied part of the shared buffer.",
    ),
    metric(
        "dcbridge_buffer_peak_bytes",
        From::Switch(|s| gauge(s.buffer.peak_bytes)),
        "Most of the shared buffer that was ever occupied.",
    ),
    metric(
        "dcbridge_fdb_entries",
        From::Switch(|s| gauge(s.fdb.entries)),
        "Addresses in the forwarding database.",
    ),
    metric("dcbridge_fdb_limit", From::Switch(|s| gauge(s.fdb.limit)), "Most addresses that are learned."),
    metric(
        "dcbridge_fdb_moves_total",
        From::Switch(|s| Value::Count(s.fdb.moves)),
        "Addresses that moved to another port.",
    ),
    metric(
        "dcbridge_fdb_refused_total",
        From::Switch(|s| Value::Count(s.fdb.refused)),
        "Addresses that were not learned because a limit was reached.",
    ),
    metric(
        "dcbridge_worker_turns_total",
        From::Switch(|s| Value::Count(s.worker.turns)),
        "Turns of the forwarding loop.",
    ),
    metric(
        "dcbridge_worker_wakeups_total",
        From::Switch(|s| Value::Count(s.worker.wakeups)),
        "Times the forwarding loop woke up from sleep.",
    ),
    metric(
        "dcbridge_worker_cpu_seconds_total",
        From::Switch(|s| Value::Nanoseconds(s.worker.cpu_ns)),
        "CPU time of the forwarding thread.",
    ),
    metric(
        "dcbridge_worker_late_seconds_total",
        From::Switch(|s| Value::Nanoseconds(s.worker.late_ns)),
        "Line time lost because the forwarding loop came late while frames waited: a line rate was not reached.",
    ),
];
