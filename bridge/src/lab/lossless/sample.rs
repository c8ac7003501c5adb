//! One moment of the two switches and what it says of the pauses. Pure: whoever counts is elsewhere.

use std::time::Duration;

use crate::lab::ets::priorities;
use crate::lab::fleet::SINK;
use crate::lab::measure::{self, ClassSample, FlowStats, Timed};
use crate::lab::plan::ClassPlan;
use crate::state::{Port, Snapshot};

/// One moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// As the hosts see it; drops and queues are those of both switches.
    pub(super) hosts: measure::Sample,
    /// The near and the far switch.
    pub(super) switches: [Snapshot; 2],
}

impl Timed for Sample {
    fn at(&self) -> Duration {
        self.hosts.at
    }
}

impl Sample {
    /// From what was counted, in the order of the plan: (sent, received).
    pub(super) fn new(
        at: Duration,
        plan: &[ClassPlan],
        counted: &[(FlowStats, FlowStats)],
        receiver_overflows: u64,
        switches: [Snapshot; 2],
    ) -> Sample {
        let classes = plan.iter().zip(counted).map(|(plan, &(offered, received))| {
            let mut sample = ClassSample { offered, received, ..ClassSample::default() };
            for state in switches.iter().flat_map(|s| &s.ports).flat_map(|port| priorities(port, plan)) {
                sample.dropped_frames += state.dropped.frames;
                sample.queued_frames += state.queued.frames;
                sample.queued_bytes += state.queued.bytes;
            }
            sample
        });
        let hosts = measure::Sample {
            at,
            classes: classes.collect(),
            receiver_overflows,
            switch_late_ns: switches.iter().map(|s| s.worker.late_ns).sum(),
        };
        Sample { hosts, switches }
    }

    /// The near switch's ports to the sending hosts.
    pub(super) fn host_ports(&self) -> &[Port] {
        let ports = &self.switches[0].ports;
        ports.split_last().map_or(&[], |(_, hosts)| hosts)
    }

    /// The near switch's port to the far one.
    pub(super) fn trunk(&self) -> Option<&Port> {
        self.switches[0].ports.last()
    }

    /// Frames that all sending hosts' interfaces dropped by themselves.
    pub(super) fn host_edge_drops(&self) -> u64 {
        self.host_ports().iter().map(|p| p.host_edge_drops).sum()
    }
}

/// What lossless classes did at a port, or at several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    /// XOFFs sent there, refreshes included.
    pub(super) xoff_sent: u64,
    /// XONs sent there.
    pub(super) xon_sent: u64,
    /// PFC frames received there.
    pub(super) pfc_received: u64,
    /// How often the peer began a pause.
    pub(super) times_paused: u64,
    /// How long the peer paused it, in ns.
    pub(super) paused_ns: u64,
    /// Whether its sender may not send now.
    pub(super) gate_closed: bool,
    /// Whether the peer pauses it now.
    pub(super) paused: bool,
    /// Headroom in use.
    pub(super) headroom_used_bytes: u64,
    /// Most that was ever in use: of several ports the largest.
    pub(super) headroom_peak_bytes: u64,
    /// Headroom of one priority group.
    pub(super) headroom_bytes: u64,
    /// Waiting to leave there.
    pub(super) queued_bytes: u64,
}

impl Pauses {
    /// Of lossless classes at these ports.
    pub(super) fn of<'a>(ports: impl IntoIterator<Item = &'a Port>) -> Pauses {
        let mut sum = Pauses::default();
        for port in ports {
            for state in port.priorities.iter().filter(|s| s.group.lossless) {
                let group = &state.group;
                sum.xoff_sent += group.xoff_tx;
                sum.xon_sent += group.xon_tx;
                sum.pfc_received += group.pfc_rx;
                sum.times_paused += state.pauses;
                sum.paused_ns += state.paused_ns;
                sum.gate_closed |= group.gate_closed;
                sum.paused |= state.paused;
                sum.headroom_used_bytes += group.headroom_used_bytes;
                sum.headroom_peak_bytes = sum.headroom_peak_bytes.max(group.headroom_peak_bytes);
                sum.headroom_bytes = sum.headroom_bytes.max(group.headroom_bytes);
                sum.queued_bytes += state.queued.bytes;
            }
        }
        sum
    }
}

/// The rows in which a person looks at a switch: its hosts together, every other port by itself.
pub(super) fn rows(switch: &Snapshot) -> Vec<(String, Pauses)> {
    let is_sender = |port: &&Port| port.name.starts_with('h');
    let senders: Vec<&Port> = switch.ports.iter().filter(is_sender).collect();
    let mut rows = Vec::new();
    match senders.as_slice() {
        [] => {}
        [one] => rows.push((one.name.clone(), Pauses::of([*one]))),
        [first, .., last] => {
            rows.push((format!("{}-{}", first.name, last.name), Pauses::of(senders.clone())))
        }
    }
    let others = switch.ports.iter().filter(|p| !is_sender(p) && p.name != SINK);
    rows.extend(others.map(|port| (port.name.clone(), Pauses::of([port]))));
    rows.extend(switch.ports.iter().filter(|p| p.name == SINK).map(|p| (p.name.clone(), Pauses::of([p]))));
    rows
}
