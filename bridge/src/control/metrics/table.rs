//! Every metric of the switch in one table.
//!
//! The exporter registers from this table and `docs/metrics.md` is written from it, so neither can know a metric that
//! the other doesn't. Names follow the Prometheus conventions: base units, `_total` for what only grows.

use super::metric::{From, Metric, flag, gauge, metric};
use super::sample::Value;

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
        "Frames that the queue of this priority refused or discarded, or its priority group for want of headroom; dcbridge_dropped_frames_total has the reasons.",
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
        "dcbridge_priority_pauses_total",
        From::Priority(|p| Value::Count(p.pauses)),
        "How often a pause of the queue began.",
    ),
    metric(
        "dcbridge_pfc_receive_frames_total",
        From::Priority(|p| Value::Count(p.group.pfc_rx)),
        "PFC frames received with the bit of this priority, XON included, also where PFC is off.",
    ),
    metric(
        "dcbridge_pfc_transmit_xoff_total",
        From::Priority(|p| Value::Count(p.group.xoff_tx)),
        "XOFFs sent for this priority, refreshes included.",
    ),
    metric(
        "dcbridge_pfc_transmit_xon_total",
        From::Priority(|p| Value::Count(p.group.xon_tx)),
        "XONs sent for this priority.",
    ),
    metric(
        "dcbridge_pause_receive_frames_total",
        From::Port(|p| Some(Value::Count(p.flow.pause_rx))),
        "802.3 PAUSE frames received.",
    ),
    metric(
        "dcbridge_pause_transmit_frames_total",
        From::Port(|p| Some(Value::Count(p.flow.pause_tx))),
        "802.3 PAUSE frames sent.",
    ),
    metric(
        "dcbridge_flow_control_malformed_total",
        From::Port(|p| Some(Value::Count(p.flow.malformed))),
        "Flow-control frames received that were too short for their opcode.",
    ),
    metric(
        "dcbridge_flow_control_ignored_total",
        From::Port(|p| Some(Value::Count(p.flow.ignored))),
        "Flow-control frames received without effect: of the other kind, empty, or for priorities that are not paused.",
    ),
    metric(
        "dcbridge_host_edge_drops_total",
        From::Port(|p| Some(Value::Count(p.host_edge_drops))),
        "Frames that the host's side dropped before the switch could read them: headroom violations of a lossless port.",
    ),
    metric(
        "dcbridge_gate_closed",
        From::Group(|g| flag(g.gate_closed)),
        "Whether the sender of a lossless priority is paused.",
    ),
    metric(
        "dcbridge_group_bytes",
        From::Group(|g| gauge(g.occupied_bytes)),
        "Buffer that frames of a lossless priority group occupy.",
    ),
    metric(
        "dcbridge_headroom_used_bytes",
        From::Group(|g| gauge(g.headroom_used_bytes)),
        "Headroom that the group occupies.",
    ),
    metric(
        "dcbridge_headroom_peak_bytes",
        From::Group(|g| gauge(g.headroom_peak_bytes)),
        "Most headroom that the group ever occupied.",
    ),
    metric(
        "dcbridge_headroom_size_bytes",
        From::Group(|g| gauge(g.headroom_bytes)),
        "Headroom set apart for the group.",
    ),
    metric(
        "dcbridge_watchdog_storm",
        From::Group(|g| flag(g.storm)),
        "Whether the PFC watchdog sees a storm at this port and priority.",
    ),
    metric(
        "dcbridge_watchdog_detected_total",
        From::Group(|g| Value::Count(g.storms_detected)),
        "Storms that the PFC watchdog detected.",
    ),
    metric(
        "dcbridge_watchdog_restored_total",
        From::Group(|g| Value::Count(g.storms_restored)),
        "Storms that ended.",
    ),
    metric(
        "dcbridge_lldp_neighbors",
        From::Port(|p| Some(gauge(p.lldp.as_ref()?.neighbors.len() as u64))),
        "LLDP neighbours that the port knows; no series where it does not speak LLDP.",
    ),
    metric(
        "dcbridge_lldp_transmit_frames_total",
        From::Port(|p| Some(Value::Count(p.lldp.as_ref()?.counters.frames_out))),
        "LLDP frames sent.",
    ),
    metric(
        "dcbridge_lldp_receive_frames_total",
        From::Port(|p| Some(Value::Count(p.lldp.as_ref()?.counters.frames_in))),
        "LLDP frames that reached the agent; those dropped before it count as drops with the reason `lldp_limit`.",
    ),
    metric(
        "dcbridge_lldp_discarded_frames_total",
        From::Port(|p| Some(Value::Count(p.lldp.as_ref()?.counters.frames_discarded))),
        "LLDP frames that the agent discarded: malformed, or of a neighbour beyond the limit.",
    ),
    metric(
        "dcbridge_dcbx_state_info",
        From::Dcbx,
        "DCBX of a port, as labels of a constant: the dialect it speaks, and whether it is `agreed` with its peer, \
         `differing` or `alone`.",
    ),
    metric(
        "dcbridge_dcbx_pfc_enabled",
        From::DcbxPriority(|pfc, bit| flag(pfc.standing.active && pfc.enabled & bit != 0)),
        "Whether PFC is in operation for this priority by DCBX.",
    ),
    metric(
        "dcbridge_dcbx_bandwidth_ratio",
        From::DcbxClass(|ets, tc| {
            ets.bandwidth.get(tc).map(|percent| Value::Gauge(f64::from(*percent) / 100.0))
        }),
        "Share of what strict classes leave that holds for a class by DCBX, 0 to 1.",
    ),
    metric(
        "dcbridge_dcbx_renegotiations_total",
        From::Port(|p| Some(Value::Count(p.lldp.as_ref()?.dcbx.as_ref()?.renegotiations))),
        "How often what holds at the port by DCBX has changed.",
    ),
    metric(
        "dcbridge_dcbx_dialect_changes_total",
        From::Port(|p| Some(Value::Count(p.lldp.as_ref()?.dcbx.as_ref()?.dialect_changes))),
        "How often the dialect has changed.",
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
        From::Worker(|w| Value::Count(w.turns)),
        "Turns of the forwarding loop.",
    ),
    metric(
        "dcbridge_worker_wakeups_total",
        From::Worker(|w| Value::Count(w.wakeups)),
        "Times the forwarding loop woke up from sleep.",
    ),
    metric(
        "dcbridge_worker_cpu_seconds_total",
        From::Worker(|w| Value::Nanoseconds(w.cpu_ns)),
        "CPU time of the forwarding thread.",
    ),
    metric(
        "dcbridge_worker_late_seconds_total",
        From::Worker(|w| Value::Nanoseconds(w.late_ns)),
        "Line time lost because the forwarding loop came late while frames waited: a line rate was not reached.",
    ),
    metric(
        "dcbridge_worker_handed_units_total",
        From::Worker(|w| Value::Count(w.handed)),
        "Frames and superframes handed to another worker, to whose port they go.",
    ),
    metric(
        "dcbridge_worker_waited_total",
        From::Worker(|w| Value::Count(w.waited)),
        "What had to wait before it could be handed to another worker, which did not keep up; nothing is lost by that.",
    ),
];
