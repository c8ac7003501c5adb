//! What a metric is: a name, a sentence, and where in a snapshot its values stand.

use super::sample::Value;
use crate::control::sampler::Shares;
use crate::state::lldp::{Dcbx, Ets, Pfc};
use crate::state::{ClassState, Count, GroupState, Port, PriorityState, Snapshot, Worker};

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
    /// One series per worker, by its number.
    Worker(fn(&Worker) -> Value),
    /// The version, as a label of a constant.
    Build,
    /// One series per port.
    Port(fn(&Port) -> Option<Value>),
    /// One series per port and priority.
    Priority(fn(&PriorityState) -> Value),
    /// One series per port and lossless priority.
    Group(fn(&GroupState) -> Value),
    /// Which class a priority belongs to, as labels of a constant.
    PriorityClass,
    /// One series per port and class; the measured share of the last window where there is one.
    Class(fn(&ClassState, Option<f64>) -> Option<Value>),
    /// One series per port, direction and reason.
    Drop(fn(&Count) -> u64),
    /// How the DCBX of a port stands, as labels of a constant.
    Dcbx,
    /// One series per port with DCBX and priority, told as a bit.
    DcbxPriority(fn(&Pfc, u8) -> Value),
    /// One series per port with DCBX and class that has priorities.
    DcbxClass(fn(&Ets, usize) -> Option<Value>),
}

impl From {
    /// Labels beside `bridge`, which every series has.
    pub fn labels(&self) -> &'static [&'static str] {
        match self {
            From::Switch(_) => &[],
            From::Worker(_) => &["worker"],
            From::Build => &["version"],
            From::Port(_) => &["port"],
            From::Priority(_) | From::Group(_) | From::DcbxPriority(_) => &["port", "priority"],
            From::Dcbx => &["port", "mode", "dialect", "agreement"],
            From::DcbxClass(_) => &["port", "tc"],
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
        } else if let From::Worker(value) = &self.from {
            for (number, worker) in snapshot.each_worker().iter().enumerate() {
                emit(&[&number.to_string()], value(worker));
            }
        } else if let From::Build = &self.from {
            emit(&[crate::VERSION], Value::Gauge(1.0));
        }
        for port in &snapshot.ports {
            self.visit_port(port, shares, emit);
            if let Some(dcbx) = port.lldp.as_ref().and_then(|lldp| lldp.dcbx.as_ref()) {
                self.visit_dcbx(&port.name, dcbx, emit);
            }
        }
    }

    fn visit_dcbx(&self, port: &str, dcbx: &Dcbx, emit: &mut dyn FnMut(&[&str], Value)) {
        let held = &dcbx.operational;
        match (&self.from, &held.ets, &held.pfc) {
            (From::Dcbx, ..) => {
                emit(&[port, &dcbx.mode, &dcbx.dialect, &dcbx.agreement], Value::Gauge(1.0));
            }
            (From::DcbxPriority(value), _, Some(pfc)) => {
                for priority in 0..8 {
                    emit(&[port, &priority.to_string()], value(pfc, 1 << priority));
                }
            }
            (From::DcbxClass(value), Some(ets), _) => {
                for tc in (0..8u8).filter(|tc| ets.class_of.contains(&Some(*tc))) {
                    if let Some(value) = value(ets, usize::from(tc)) {
                        emit(&[port, &tc.to_string()], value);
                    }
                }
            }
            _ => {}
        }
    }

    fn visit_port(&self, port: &Port, shares: &Shares, emit: &mut dyn FnMut(&[&str], Value)) {
        match &self.from {
            From::Switch(_)
            | From::Worker(_)
            | From::Build
            | From::Dcbx
            | From::DcbxPriority(_)
            | From::DcbxClass(_) => {}
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
            From::Group(value) => {
                for (priority, state) in port.priorities.iter().enumerate().filter(|(_, s)| s.group.lossless)
                {
                    emit(&[&port.name, &priority.to_string()], value(&state.group));
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

pub(super) const fn metric(name: &'static str, from: From, help: &'static str) -> Metric {
    Metric { name, help, from }
}

pub(super) fn gauge(value: u64) -> Value {
    Value::Gauge(value as f64)
}

pub(super) fn flag(value: bool) -> Value {
    Value::Gauge(f64::from(u8::from(value)))
}
