//! How the shared buffer is divided, and whether it suffices.

use serde::Serialize;

use super::bridge::bridge_section;
use super::classes::sections;
use crate::diagnostic::Diagnostic;
use crate::model::{BitRate, Config, Port, PortKind};
use crate::schema::Reader;
use crate::schema::sections::File;
use crate::units::ByteSize;

/// What the ports take of the shared buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferPlan {
    /// One frame of the largest size for each priority of each port, so that no queue is shut out.
    pub reserved_bytes: u64,
    /// What may still arrive after the senders of lossless classes were paused, for every port.
    pub headroom_bytes: u64,
    /// What is left for everyone; `None` when the buffer is too small.
    pub shared_bytes: Option<u64>,
}

/// Ethernet header, VLAN tag and FCS.
const FRAME_OVERHEAD: u64 = 14 + 4 + 4;
/// A PFC frame on the wire, with preamble and gap.
const PFC_FRAME: u64 = 84;
/// Largest superframe that a device accepts.
const SUPERFRAME: u64 = 65_536;
/// Longest time that one superframe may occupy the line, in microseconds.
const SUPERFRAME_US: u64 = 100;
/// What a software sender needs to stop, in microseconds.
const REACTION_US: u64 = 50;
/// What an unlimited port is taken for: faster than one core moves frames.
const UNLIMITED: BitRate = BitRate(25_000_000_000);
/// The buffer is counted in cells.
const CELL: u64 = 64;

impl BufferPlan {
    /// Divides the buffer of a configuration.
    pub fn of(config: &Config) -> Self {
        let lossless = config.lossless_priorities().len() as u64;
        let reserved_bytes: u64 = config.ports.iter().map(|port| 8 * cells(frame(port))).sum();
        let headroom_bytes: u64 = config.ports.iter().map(|port| lossless * headroom(port)).sum();
        let taken = reserved_bytes + headroom_bytes;
        let shared_bytes = config.bridge.buffer_bytes.checked_sub(taken);
        Self { reserved_bytes, headroom_bytes, shared_bytes }
    }
}

/// Headroom of one priority group, in bytes: a frame that the peer has begun, the largest unit
/// that we have begun and behind which the PFC frame waits, the PFC frame itself, and what arrives
/// until a software peer has stopped. Propagation inside a machine is nothing.
fn headroom(port: &Port) -> u64 {
    let rate = port.line_rate.unwrap_or(UNLIMITED);
    let unit = match port.kind {
        PortKind::Tap { offload: true, .. } | PortKind::Packet { .. } => {
            frame(port).max(SUPERFRAME.min(bytes_in(rate, SUPERFRAME_US)))
        }
        _ => frame(port),
    };
    cells(frame(port) + unit + PFC_FRAME + bytes_in(rate, REACTION_US))
}

/// The largest frame of a port.
fn frame(port: &Port) -> u64 {
    u64::from(port.mtu) + FRAME_OVERHEAD
}

fn bytes_in(rate: BitRate, microseconds: u64) -> u64 {
    // At most 8e11 bit/s for 1e2 us: far from overflow.
    (rate.0 * microseconds).div_ceil(8_000_000)
}

fn cells(bytes: u64) -> u64 {
    bytes.next_multiple_of(CELL)
}

/// A size that a person would write: two digits, not below `bytes`.
fn rounded(bytes: u64) -> ByteSize {
    let step = 10_u64.pow(bytes.checked_ilog10().unwrap_or(0).saturating_sub(1));
    ByteSize(bytes.next_multiple_of(step))
}

pub(super) fn check(file: &File, config: &Config, cx: &mut Reader) {
    // With errors before, ports and classes may be stand-ins.
    if cx.findings.iter().any(|f| f.severity == crate::diagnostic::Severity::Error) {
        return;
    }
    let plan = BufferPlan::of(config);
    let taken = plan.reserved_bytes + plan.headroom_bytes;
    // Room for a superframe of every port, below which bursts are cut.
    let comfortable = taken + config.ports.len() as u64 * SUPERFRAME;
    let buffer = config.bridge.buffer_bytes;
    let lossless = sections(file).iter().find(|class| class.lossless.value);
    let section = bridge_section(file);
    let place = section.buffer.span.or_else(|| file.bridge.span());
    let place = place.or_else(|| lossless.and_then(|class| class.lossless.span.clone()));
    let place = place.or_else(|| file.port.value().map(|ports| ports.items[0].place.clone()));
    let place = place.unwrap_or_default();
    let ports = config.ports.len();
    let needs = match lossless {
        Some(_) => format!(
            "{ports} ports reserve {} and need {} of headroom to pause without loss",
            rounded(plan.reserved_bytes),
            rounded(plan.headroom_bytes)
        ),
        None => format!("{ports} ports reserve {}", rounded(plan.reserved_bytes)),
    };
    let help = format!("{needs}: write `buffer = \"{}\"` or more", rounded(comfortable));
    if let Some(class) = lossless
        && taken >= buffer
    {
        let title = format!("a buffer of {} is too small for a lossless class", ByteSize(buffer));
        let other = class.lossless.span.clone().filter(|span| *span != place);
        cx.report(Diagnostic::error(place, title).label("too small").also(other, "lossless").help(help));
    } else if comfortable > buffer {
        let title = format!("a buffer of {} is small for {ports} ports", ByteSize(buffer));
        cx.report(Diagnostic::warning(place, title).label("bursts will be dropped").help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line_rate: &str, mtu: u16, offload: bool, buffer: &str) -> BufferPlan {
        let text = format!(
            "[bridge]\nbuffer = \"{buffer}\"\n[defaults]\nline_rate = \"{line_rate}\"\nmtu = {mtu}\n\
             offload = {offload}\n[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n\
             [[traffic_class]]\nname = \"s\"\npriorities = [3]\nlossless = true\n\
             [[traffic_class]]\nname = \"d\"\npriorities = \"rest\"\n"
        );
        BufferPlan::of(&crate::parse(&text, "f").expect("legal").0)
    }

    #[test]
    fn a_plan_adds_up_and_follows_rate_and_frame_size() {
        let base = plan("1Gbit", 1500, false, "12MB");
        let parts = base.reserved_bytes + base.headroom_bytes;
        assert_eq!(base.shared_bytes, Some(12_000_000 - parts));
        // 1522 bytes are 24 cells; two ports of eight priorities.
        assert_eq!(base.reserved_bytes, 2 * 8 * 24 * 64);
        // Two frames, a PFC frame and 50 us at 1 Gbit/s, in cells, at two ports.
        assert_eq!(base.headroom_bytes, 2 * (2 * 1522 + 84 + 6250_u64).next_multiple_of(64));
        assert!(plan("10Gbit", 1500, false, "12MB").headroom_bytes > base.headroom_bytes);
        assert!(plan("1Gbit", 9000, false, "12MB").reserved_bytes > base.reserved_bytes);
        assert!(plan("1Gbit", 1500, true, "12MB").headroom_bytes > base.headroom_bytes);
    }

    #[test]
    fn suggested_sizes_suffice() {
        for bytes in [1, 99, 100, 101, 24_640, 155_000, 12_345_678] {
            let rounded = rounded(bytes);
            assert!(rounded.0 >= bytes && rounded.0 <= bytes + bytes / 10 + 1, "{bytes}: {rounded}");
        }
    }
}
