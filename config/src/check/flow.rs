//! Flow control: which priorities are paused at which port, the reserves of lossless classes, and the PFC watchdog.
//!
//! What a pause costs in buffer is `buffer`'s affair; whether the sender can be paused by the priority that its frames
//! go on with is `downstream`'s.

use super::classes;
use super::ports;
use crate::diagnostic::Diagnostic;
use crate::model::{Config, FlowControl, PeerReaction, PortKind, PrioritySet, Watchdog};
use crate::schema::choice::PausedPriorities;
use crate::schema::quantity::MicrosOr;
use crate::schema::sections::{DefaultsSection, File, Flow, Hardware, PortSection};
use crate::schema::{Opt, Reader};

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
        None => PeerReaction::Software { us: REACTION_US },
    }
}

/// Fills in what depends on classes and ports alike.
pub(super) fn complete(file: &File, config: &mut Config, cx: &mut Reader) {
    let lossless = config.lossless_priorities();
    let defaults = ports::defaults_section(file);
    for (port, raw) in config.ports.iter_mut().zip(ports::sections(file)) {
        port.flow_control = flow_control(raw, &defaults, lossless, cx);
    }
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

fn flow_control(
    raw: &PortSection,
    defaults: &DefaultsSection,
    lossless: PrioritySet,
    cx: &mut Reader,
) -> FlowControl {
    let flow = raw.flow_control.or(&defaults.flow_control);
    let otherwise = if lossless.is_empty() { Flow::Off } else { Flow::Pfc };
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
