//! Step 2: frames that are for the switch itself, and group addresses that no bridge forwards (802.1Q 8.6.3).

use super::books::Reason;
use super::parse::Frame;

/// The block of addresses that no bridge forwards: 01-80-C2-00-00-00 to -0F.
const RESERVED: [u8; 5] = [0x01, 0x80, 0xC2, 0x00, 0x00];
/// Last byte of the address of MAC control frames.
const PAUSE: u8 = 0x01;
/// Ethertype of MAC control frames (PAUSE, PFC).
pub const MAC_CONTROL: u16 = 0x8808;
/// Ethertype of LLDP.
pub const LLDP: u16 = 0x88CC;
/// Group address of loop probes: locally administered, so that every bridge forwards it.
pub const PROBE_ADDRESS: [u8; 6] = [0x03, 0x00, 0x00, 0xDC, 0xB0, 0x01];
/// Ethertype of loop probes (IEEE 802 local experimental 2).
pub const PROBE: u16 = 0x88B6;

/// A frame that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// PAUSE or PFC.
    Pause,
    /// LLDP, from this source address.
    Lldp([u8; 6]),
    /// A loop probe, perhaps our own.
    Probe,
    /// Nothing for us, and nothing to forward.
    Dropped(Reason),
}

/// Whether a frame stays here; `None`: it is ordinary.
pub fn inspect(frame: &Frame) -> Option<Control> {
    if frame.dst[..5] == RESERVED && frame.dst[5] <= 0x0F {
        return Some(match (frame.dst[5], frame.ethertype) {
            (PAUSE, MAC_CONTROL) => Control::Pause,
            (0x00 | 0x03 | 0x0E, LLDP) => Control::Lldp(frame.src),
            _ => Control::Dropped(Reason::ReservedAddress),
        });
    }
    if frame.ethertype == MAC_CONTROL {
        return Some(Control::Dropped(Reason::MacControl));
    }
    (frame.dst == PROBE_ADDRESS && frame.ethertype == PROBE).then_some(Control::Probe)
}
