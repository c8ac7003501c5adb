//! Whether the senders of a lossless class can be paused.
//!
//! A sender is paused by the priority with which its frames arrive: the receive queue, or the mark on the wire. Where a
//! policy or a map makes another priority of it, the frames go on without loss, but their senders know nothing of the
//! priority that is full. Which priorities are paused at all is `flow`'s affair.

use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Config, FlowControl, Match, Policy, Port, PortKind, Trust};
use crate::schema::Reader;
use crate::schema::sections::File;

pub(super) fn check(file: &File, config: &Config, cx: &mut Reader) {
    // With errors before, ports and policies may be stand-ins.
    if cx.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return;
    }
    check_policies(file, config, cx);
    check_map(file, config, cx);
}

/// Whether the port stops senders by the queue of a priority. A stream is one queue for everything: it is read, or it
/// isn't, whatever its frames say.
fn by_queue(config: &Config, port: &Port) -> bool {
    let pausing = port.pausing(config.lossless_priorities());
    !matches!(port.kind, PortKind::Stream { .. }) && !pausing.is_empty()
}

/// Whether the port names to a peer which of its priorities to stop: the peer, another switch, knows them by their PCP.
fn by_frame(port: &Port) -> bool {
    matches!(port.kind, PortKind::Stream { .. } | PortKind::Packet { .. })
        && matches!(port.flow_control, FlowControl::Pfc { .. })
}

fn check_policies(file: &File, config: &Config, cx: &mut Reader) {
    let lossless = config.lossless_priorities();
    let sections = file.policy.value().map_or(&[][..], |tables| &tables.items);
    for raw in sections {
        let Some(name) = raw.name.value() else { continue };
        let Some(policy) = config.policies.iter().find(|policy| policy.name == name.0) else { continue };
        if !lossless.contains(policy.priority) {
            continue;
        }
        let Some(port) = config.ports.iter().find(|port| may_differ(config, policy, port)) else { continue };
        let place = raw.priority.span().unwrap_or_else(|| raw.place.clone());
        let (class, priority) = (class(config, policy.priority), policy.priority);
        let title = format!(
            "class \"{class}\" is lossless only downstream for the frames of policy \"{}\"",
            policy.name
        );
        cx.report(
            Diagnostic::warning(place, title)
                .label(format!("at port \"{}\" they may arrive with another priority", port.name))
                .help(format!(
                    "let the senders mark these frames (PCP {priority}, or a DSCP that maps to {priority}) and the \
                     ports trust the marks: a sender can be paused only by the priority that its frames arrive with"
                )),
        );
    }
}

/// Whether the policy takes frames at `port` that arrived with another priority than it gives.
fn may_differ(config: &Config, policy: &Policy, port: &Port) -> bool {
    let asked = |m: &&Match| m.in_ports.is_empty() || m.in_ports.contains(&port.name);
    by_queue(config, port)
        && policy.any_of.iter().filter(asked).any(|m| arrival(config, port, m) != Some(policy.priority))
}

/// The priority with which all frames of a match arrive, if there is one. A mark that is believed second says nothing:
/// the frame may have the first.
fn arrival(config: &Config, port: &Port, m: &Match) -> Option<u8> {
    match port.trust.first() {
        Some(Trust::Pcp) => m.pcp,
        Some(Trust::Dscp) => config.maps.dscp_to_priority.get(usize::from(m.dscp?)).copied(),
        None => Some(port.default_priority),
    }
}

/// A map from one PCP to another priority: the sender knows only the PCP.
fn check_map(file: &File, config: &Config, cx: &mut Reader) {
    let lossless = config.lossless_priorities();
    let trusting = |port: &&Port| port.trust.contains(&Trust::Pcp) && by_frame(port);
    let Some(port) = config.ports.iter().find(trusting) else { return };
    let Some(pairs) = file.map.value().and_then(|map| map.0.pcp.value()) else { return };
    for (pcp, priority, span) in &pairs.0 {
        let priority = priority.0 as u8;
        if *pcp == priority || !lossless.contains(priority) {
            continue;
        }
        let title = format!("frames with PCP {pcp} are paused as priority {priority}");
        cx.report(
            Diagnostic::warning(span.clone(), title)
                .label(format!("a switch at port \"{}\" knows them as priority {pcp}", port.name))
                .help(format!(
                    "class \"{}\" is lossless only downstream, or by stopping the whole port: use one PCP for it in \
                     the whole network",
                    class(config, priority)
                )),
        );
    }
}

fn class(config: &Config, priority: u8) -> &str {
    config.class_of(priority).map_or("", |class| class.name.as_str())
}
