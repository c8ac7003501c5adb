//! Flow control: which priorities are paused at which port, the reserves of lossless classes, and the PFC watchdog.
//!
//! What a pause costs in buffer is `buffer`'s affair; whether the sender can be paused by the priority that its frames
//! go on with is `downstream`'s.

use std::ops::Range;

use super::bridge::bridge_section;
use super::classes;
use super::ports;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Config, FlowControl, PeerReaction, Port, PortKind, PrioritySet, Watchdog};
use crate::schema::choice::PausedPriorities;
use crate::schema::quantity::MicrosOr;
use crate::schema::sections::{DefaultsSection, File, Flow, Hardware, PortSection};
use crate::schema::{Opt, Reader};
use crate::units::Microseconds;

/// What a peer behind a socket is taken to need, in microseconds: a program that reads it, and the host behind that.
const STREAM_REACTION_US: u32 = 500;
/// What another software peer is taken to need, in microseconds.
const REACTION_US: u32 = 100;
/// The watchdog's polling time in milliseconds, where the detection time allows it.
const POLL_MS: u32 = 200;
/// Frames that a lossless priority group has to itself, and by which it must have fallen before its senders go on.
const FRAMES: u64 = 2;

pub(super) fn reaction<const MIN: u64, const MAX: u64>(
    given: Option<&MicrosOr<Hardware, MIN, MAX>>,
    kind: &PortKind,
) -> PeerReaction {
    match given {
        Some(MicrosOr::Word(Hardware)) => PeerReaction::Hardware,
        Some(MicrosOr::Micros(us)) => PeerReaction::Software { us: *us as u32 },
        None if matches!(kind, PortKind::Stream { .. }) => PeerReaction::Software { us: STREAM_REACTION_US },
        // A queue that is not read brings nothing.
        None if matches!(kind, PortKind::Veth { .. }) => PeerReaction::Software { us: 0 },
        None => PeerReaction::Software { us: REACTION_US },
    }
}

/// Fills in what depends on classes and ports alike.
pub(super) fn complete(file: &File, config: &mut Config, cx: &mut Reader) {
    let lossless = config.lossless_priorities();
    let defaults = ports::defaults_section(file);
    for (port, raw) in config.ports.iter_mut().zip(ports::sections(file)) {
        let learns = port.dcbx.is_some_and(|dcbx| dcbx.may_learn());
        port.flow_control = flow_control(raw, &defaults, lossless, learns, cx);
    }
    limit_stall(file, config);
    let frames = config.ports.iter().map(|port| FRAMES * u64::from(port.max_frame())).max().unwrap_or(0);
    for raw in classes::sections(file) {
        let name = raw.name.value().map_or("", |name| name.0.as_str());
        let Some(class) = config.traffic_classes.iter_mut().find(|class| class.name == name) else {
            continue;
        };
        if class.lossless {
            class.reserved_bytes = raw.reserved.value().map_or(frames, |size| size.0);
            class.xon_offset_bytes = raw.xon_offset.value().map_or(frames, |size| size.0);
            continue;
        }
        (class.reserved_bytes, class.xon_offset_bytes) = (0, 0);
        for (key, span) in [("reserved", raw.reserved.span()), ("xon_offset", raw.xon_offset.span())] {
            let (Some(span), false) = (span, raw.lossless.bad) else { continue };
            cx.report(
                Diagnostic::warning(span, format!("`{key}` does nothing in a class that may lose frames"))
                    .label("has no effect")
                    .also(raw.lossless.span.clone(), "not lossless")
                    .help("remove it, or add `lossless = true`"),
            );
        }
    }
}

/// Lets the stall budget end where the pauses do, unless the file says how long it is: a process that stands still for
/// longer than its pauses last loses their effect, and nobody asked for that.
fn limit_stall(file: &File, config: &mut Config) {
    let longest = shortest_pause(config).map(|(_, ns)| (ns / 1000) as u32);
    let given = bridge_section(file).stall_budget;
    if let (Some(us), None, false) = (longest, given.span, given.bad) {
        config.bridge.stall_budget_us = config.bridge.stall_budget_us.min(us);
    }
}

/// The port at which the longest pause that can be sent is the shortest of all, and that in nanoseconds.
fn shortest_pause(config: &Config) -> Option<(&Port, u64)> {
    let lossless = config.lossless_priorities();
    let pausing = config.ports.iter().filter(|port| !port.pausing(lossless).is_empty());
    pausing.map(|port| (port, port.longest_pause_ns())).min_by_key(|(_, ns)| *ns)
}

fn flow_control(
    raw: &PortSection,
    defaults: &DefaultsSection,
    lossless: PrioritySet,
    learns: bool,
    cx: &mut Reader,
) -> FlowControl {
    let flow = raw.flow_control.or(&defaults.flow_control);
    // A port that may learn priorities to pause for must be able to.
    let otherwise = if lossless.is_empty() && !learns { Flow::Off } else { Flow::Pfc };
    match flow.value().map_or(otherwise, |flow| flow.0) {
        Flow::Pfc => {
            let of = |own: &Opt<PausedPriorities>, default: &PausedPriorities| match own
                .value()
                .unwrap_or(default)
            {
                PausedPriorities::All => PrioritySet::ALL,
                PausedPriorities::Lossless => lossless,
                PausedPriorities::These(list) => list.values().map(|priority| priority.0 as u8).collect(),
            };
            FlowControl::Pfc {
                receive: of(&raw.pfc_receive, &defaults.pfc_receive.value),
                transmit: of(&raw.pfc_transmit, &defaults.pfc_transmit.value),
            }
        }
        other => {
            for (key, span) in
                [("pfc_receive", raw.pfc_receive.span()), ("pfc_transmit", raw.pfc_transmit.span())]
            {
                let (Some(span), false) = (span, flow.is_bad()) else { continue };
                cx.report(
                    Diagnostic::warning(span, format!("`{key}` does nothing without PFC"))
                        .label("has no effect")
                        .also(flow.span(), "not PFC")
                        .help(format!(
                            "remove it, or write `flow_control = \"pfc\"` for port \"{}\"",
                            name(raw)
                        )),
                );
            }
            if other == Flow::Pause { FlowControl::Pause } else { FlowControl::Off }
        }
    }
}

fn name(raw: &PortSection) -> &str {
    raw.name.value().map_or("", |name| name.0.as_str())
}

pub(super) fn watchdog(file: &File, cx: &mut Reader) -> Option<Watchdog> {
    let raw = &file.pfc_watchdog.value()?.0;
    let detection_ms = raw.detection.value.0;
    let mut poll_ms = POLL_MS.min(detection_ms);
    if let Some((poll, span)) = raw.poll.given() {
        poll_ms = poll.0;
        if poll_ms > detection_ms && !raw.detection.bad {
            cx.report(
                Diagnostic::error(span, "the watchdog looks less often than it should detect")
                    .label(format!("every {poll_ms} ms"))
                    .also(raw.detection.span.clone(), format!("within {detection_ms} ms"))
                    .help(format!("write `poll = \"{detection_ms}ms\"` or less, or raise `detection`")),
            );
        }
    }
    Some(Watchdog {
        detection_ms,
        restoration_ms: raw.restoration.value.0,
        poll_ms,
        action: raw.action.value.0,
    })
}

/// Rules between flow control and classes.
pub(super) fn check(file: &File, config: &Config, cx: &mut Reader) {
    // With errors before, ports and classes may be stand-ins.
    if cx.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return;
    }
    let defaults = ports::defaults_section(file);
    for (port, raw) in config.ports.iter().zip(ports::sections(file)) {
        let flow = raw.flow_control.or(&defaults.flow_control).span();
        match port.flow_control {
            FlowControl::Pfc { receive, transmit } => {
                let place = |own: &Opt<PausedPriorities>, default: &Option<Range<usize>>| {
                    own.span().or_else(|| default.clone()).or_else(|| flow.clone())
                };
                let transmitting = place(&raw.pfc_transmit, &defaults.pfc_transmit.span);
                check_transmit(file, config, transmit, transmitting, cx);
                let receiving = raw.pfc_receive.value().unwrap_or(&defaults.pfc_receive.value);
                if matches!(receiving, PausedPriorities::These(_)) {
                    let place = place(&raw.pfc_receive, &defaults.pfc_receive.span);
                    check_receive(config, receive, place, cx);
                }
            }
            other => check_other(file, config, other == FlowControl::Pause, flow, cx),
        }
    }
    check_stall(file, config, cx);
    check_watchdog(file, config, cx);
}

fn check_transmit(
    file: &File,
    config: &Config,
    transmit: PrioritySet,
    place: Option<Range<usize>>,
    cx: &mut Reader,
) {
    let Some(place) = place else { return };
    let lossless = config.lossless_priorities();
    let lossy = PrioritySet(transmit.0 & !lossless.0);
    if lossless.is_empty() {
        let finding =
            Diagnostic::warning(place, "PFC without a lossless class").label("nobody is ever paused");
        cx.report(finding.help("add `lossless = true` to a `[[traffic_class]]`"));
        return;
    }
    if !lossy.is_empty() {
        cx.report(
            Diagnostic::warning(place.clone(), format!("pauses are never sent for {}", named(lossy)))
                .label("not lossless")
                .help("only lossless classes pause: write `pfc_transmit = \"lossless\"`, or make the class lossless"),
        );
    }
    let unpaused = PrioritySet(lossless.0 & !transmit.0);
    if !unpaused.is_empty() {
        cx.report(
            Diagnostic::warning(
                place,
                format!("{} can be lost where nobody is paused for it", named(unpaused)),
            )
            .label("lossless, but not here")
            .also(lossless_span(file), "lossless")
            .help("write `pfc_transmit = \"lossless\"`"),
        );
    }
}

fn check_receive(config: &Config, receive: PrioritySet, place: Option<Range<usize>>, cx: &mut Reader) {
    let lossy = PrioritySet(receive.0 & !config.lossless_priorities().0);
    if let (Some(place), false) = (place, lossy.is_empty()) {
        cx.report(
            Diagnostic::warning(place, format!("{} may be paused, and is not lossless", named(lossy)))
                .label("a peer that pauses it makes it overflow")
                .help(
                    "make its class lossless, leave it out, or write `pfc_receive = \"all\"` when the peer \
                     may stop anything",
                ),
        );
    }
}

/// A port without PFC while there are lossless classes.
fn check_other(file: &File, config: &Config, pause: bool, place: Option<Range<usize>>, cx: &mut Reader) {
    let lossless = config.lossless_priorities();
    let (Some(place), false) = (place, lossless.is_empty()) else { return };
    let finding = if !pause {
        Diagnostic::warning(
            place,
            "a lossless class loses frames that come in where there is no flow control",
        )
        .label("nobody is paused")
        .help("write \"pfc\", or \"pause\" for a peer that knows only that")
    } else if lossless != PrioritySet::ALL {
        let title = "`flow_control = \"pause\"` stops the classes that are not lossless as well";
        Diagnostic::warning(place, title)
            .label("802.3x knows no priorities")
            .help("write \"pfc\" where the peer understands it")
    } else {
        return;
    };
    cx.report(finding.also(lossless_span(file), "lossless"));
}

/// A process that stands still for longer than a pause lasts can't renew it.
fn check_stall(file: &File, config: &Config, cx: &mut Reader) {
    let budget = u64::from(config.bridge.stall_budget_us);
    let Some((port, ns)) = shortest_pause(config).filter(|(_, ns)| budget * 1000 > *ns) else { return };
    let Some(place) = bridge_section(file).stall_budget.span else { return };
    let (budget, longest) = (Microseconds(budget), Microseconds(ns / 1000));
    cx.report(
        Diagnostic::warning(place, format!("a stall of {budget} outlasts the pauses of port \"{}\"", port.name))
            .label(format!("the longest pause is {longest} at {}", port.pause_rate()))
            .also(lossless_span(file), "not lossless through such a stall")
            .help(format!(
                "write `stall_budget = \"{longest}\"` or less; where both ends can be set, a lower `pfc_rate` makes \
                 pauses longer"
            )),
    );
}

fn check_watchdog(file: &File, config: &Config, cx: &mut Reader) {
    let obeys =
        |port: &Port| matches!(port.flow_control, FlowControl::Pfc { receive, .. } if !receive.is_empty());
    if let (Some(span), false) = (file.pfc_watchdog.span(), config.ports.iter().any(obeys)) {
        let title = "the PFC watchdog has nothing to watch";
        let finding = Diagnostic::warning(span, title).label("no port obeys pauses of a priority");
        cx.report(finding.help("remove it, or make a class lossless"));
    }
}

/// Where the file says that a class is lossless.
fn lossless_span(file: &File) -> Option<Range<usize>> {
    classes::sections(file).iter().find(|class| class.lossless.value)?.lossless.span.clone()
}

/// `priority 3` or `priorities 3, 4`.
fn named(set: PrioritySet) -> String {
    format!("{} {set}", if set.len() == 1 { "priority" } else { "priorities" })
}
