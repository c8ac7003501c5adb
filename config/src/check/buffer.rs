//! Whether the shared buffer suffices, and whether every configured headroom does.

use std::collections::BTreeMap;

use super::bridge::bridge_section;
use super::classes::sections;
use super::ports;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Config, Port};
use crate::plan::{BufferPlan, CELL_BYTES, group_headroom, port_headroom};
use crate::schema::Reader;
use crate::schema::sections::File;
use crate::units::ByteSize;

/// Room for one superframe, below which bursts are cut.
const SUPERFRAME: u64 = 65_536;
/// So many different headrooms are spelled out.
const TERMS: usize = 3;

pub(super) fn check(file: &File, config: &Config, cx: &mut Reader) {
    // With errors before, ports and classes may be stand-ins.
    if cx.findings.iter().any(|f| f.severity == Severity::Error) {
        return;
    }
    check_headrooms(file, config, cx);
    let plan = BufferPlan::of(config);
    let buffer = config.bridge.buffer_bytes;
    let comfortable = plan.taken() + config.ports.len() as u64 * SUPERFRAME;
    if comfortable <= buffer {
        return;
    }
    let lossless = sections(file).iter().find(|class| class.lossless.value && plan.groups > 0);
    let section = bridge_section(file);
    let place = section.buffer.span.or_else(|| file.bridge.span());
    let place = place.or_else(|| lossless.and_then(|class| class.lossless.span.clone()));
    let place = place.or_else(|| file.port.value().map(|ports| ports.items[0].place.clone()));
    let place = place.unwrap_or_default();
    let ports = config.ports.len();
    let enough = rounded(comfortable);
    if let Some(class) = lossless
        && plan.taken() >= buffer
    {
        let title = format!("a buffer of {} is too small for a lossless class", ByteSize(buffer));
        let other = class.lossless.span.clone().filter(|span| *span != place);
        let sum = sum(config, &plan);
        let help = format!("{sum}: write `buffer = \"{enough}\"` or more, or {}", saving(config));
        cx.report(Diagnostic::error(place, title).label("too small").also(other, "lossless").help(help));
        return;
    }
    let needs = match lossless {
        Some(_) => format!("{} are not shared", sum(config, &plan)),
        None => format!("a burst of {} at each port fills it", ByteSize(SUPERFRAME)),
    };
    let title = format!("a buffer of {} is small for {ports} ports", ByteSize(buffer));
    let help = format!("{needs}: write `buffer = \"{enough}\"` or more");
    cx.report(Diagnostic::warning(place, title).label("bursts will be dropped").help(help));
}

/// The sum that the lossless groups take, spelled out: `reserved 4 x 3.1KB + headroom 4 x 660KB (tap0, tap1) = 2.7MB`.
fn sum(config: &Config, plan: &BufferPlan) -> String {
    let lossless = config.lossless_priorities();
    let mut headrooms: BTreeMap<u64, (usize, Vec<&str>)> = BTreeMap::new();
    for port in &config.ports {
        let groups = port.pausing(lossless).len();
        if groups > 0 {
            let (count, names) = headrooms.entry(group_headroom(config, port)).or_default();
            *count += groups;
            names.push(&port.name);
        }
    }
    let mut rest = (0, 0);
    let mut terms = Vec::new();
    for (bytes, (count, names)) in headrooms.iter().rev() {
        if terms.len() == TERMS {
            rest = (rest.0 + count, rest.1 + bytes * *count as u64);
            continue;
        }
        let names = match names.as_slice() {
            [first, .., last] if names.len() > 2 => format!("{first} to {last}"),
            names => names.join(", "),
        };
        terms.push(format!("{count} x {} ({names})", rounded(*bytes)));
    }
    if rest.0 > 0 {
        terms.push(format!("{} ({} others)", rounded(rest.1), rest.0));
    }
    format!(
        "reserved {} + headroom {} = {}",
        rounded(plan.reserved_bytes),
        terms.join(" + "),
        rounded(plan.taken())
    )
}

/// What would need less headroom: the largest part of the largest one.
fn saving(config: &Config) -> &'static str {
    let largest = config.ports.iter().max_by_key(|port| group_headroom(config, port));
    let parts =
        largest.filter(|port| port.headroom_bytes.is_none()).and_then(|port| port_headroom(config, port));
    match parts {
        None => "lower `headroom`",
        Some(parts) if parts.reaction >= parts.own_piece => {
            "lower `peer_reaction`, which is the largest part of the headroom, if the peers are faster than it says"
        }
        Some(_) => "lower `line_rate`, or make fewer priorities lossless",
    }
}

/// Warns of headrooms that are smaller than the calculated ones.
fn check_headrooms(file: &File, config: &Config, cx: &mut Reader) {
    let default = ports::defaults_section(file).headroom;
    for (port, raw) in config.ports.iter().zip(ports::sections(file)) {
        let (Some(configured), Some((_, span))) = (port.headroom_bytes, raw.headroom.or(&default).given())
        else {
            continue;
        };
        let Some(parts) = port_headroom(config, port) else { continue };
        let calculated = ByteSize(u64::from(parts.cells) * u64::from(CELL_BYTES));
        if configured < calculated.0 {
            cx.report(
                Diagnostic::warning(span, format!("the headroom of port \"{}\" is too small", port.name))
                    .label(format!("{} are configured, {calculated} calculated", ByteSize(configured)))
                    .help(headroom_help(port, calculated)),
            );
        }
    }
}

fn headroom_help(port: &Port, calculated: ByteSize) -> String {
    format!(
        "frames of lossless classes can be lost at \"{}\": write `headroom = \"{}\"`, remove the key, or say what \
         is different (`peer_reaction`, `cable_length`); `dcbridge headroom` shows the parts",
        port.name,
        rounded(calculated.0)
    )
}

/// A size that a person would write: two digits, not below `bytes`.
fn rounded(bytes: u64) -> ByteSize {
    let step = 10_u64.pow(bytes.checked_ilog10().unwrap_or(0).saturating_sub(1));
    ByteSize(bytes.next_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_sizes_suffice() {
        for bytes in [1, 99, 100, 101, 24_640, 155_000, 12_345_678] {
            let rounded = rounded(bytes);
            assert!(rounded.0 >= bytes && rounded.0 <= bytes + bytes / 10 + 1, "{bytes}: {rounded}");
        }
    }
}
