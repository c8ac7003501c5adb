//! How much headroom a lossless priority group needs: what may still arrive after its XOFF (802.1Q annex N, in the
//! terms of the vendors' guides).
//!
//! From the moment the pause is decided until the last byte comes in, these pass over the link:
//!
//! 1. the piece that we have begun to send ourselves, of whatever class: the PFC frame waits for its end,
//! 2. the PFC frame,
//! 3. the way there and back, and both ends' MAC and PHY,
//! 4. the peer's reaction: a number of quanta for hardware, a measured latency for software,
//! 5. the piece that the peer has begun.
//!
//! What a device of ours may still bring when its gate closes late is no part of it: the switch adds that.
//!
//! Frames occupy whole cells, so the sum is rounded up for the worst frame size: the shortest frame. Only the piece
//! that the peer has begun is one unit, and comes in as one.

use crate::time::{Rate, Time, WIRE_MIN, wire_bytes};

/// Wire bytes of a PFC frame.
pub const PFC_WIRE: u32 = 84;
/// Metres that a signal goes in a microsecond of fibre or copper.
const METRES_PER_MICROSECOND: u64 = 198;
/// Both ends' MAC and PHY, in bit times (a usual allowance for 10 Gbit/s and above).
const MAC_PHY_BITS: u64 = 2 * 8192;
/// Bit times of a pause quantum (802.3 annex 31B).
pub const QUANTUM_BITS: u64 = 512;

/// How the peer reacts to a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// A hardware MAC: as many quanta as 802.3 allows at the rate.
    Hardware,
    /// A software peer: this long.
    Software(Time),
}

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkModel {
    /// Bits per second.
    pub bits_per_second: u64,
    /// Longest frame in bytes without FCS, both ways.
    pub max_frame: u32,
    /// Wire bytes of the largest piece that we send at once (a superframe's share), at least a frame.
    pub own_piece: u32,
    /// Likewise the peer's.
    pub peer_piece: u32,
    /// Length in metres.
    pub metres: u32,
    /// The peer's reaction.
    pub reaction: Reaction,
    /// Bytes of a cell.
    pub cell: u32,
}

/// The parts of a headroom, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// The piece that we have begun.
    pub own_piece: u64,
    /// The PFC frame.
    pub pfc_frame: u64,
    /// There and back.
    pub propagation: u64,
    /// MAC and PHY of both ends.
    pub interfaces: u64,
    /// The peer's reaction.
    pub reaction: u64,
    /// The piece that the peer has begun.
    pub peer_piece: u64,
    /// Whole cells for all of it.
    pub cells: u32,
}

impl Headroom {
    /// Wire bytes in flight.
    pub const fn in_flight(&self) -> u64 {
        self.own_piece + self.pfc_frame + self.propagation + self.interfaces + self.reaction + self.peer_piece
    }
}

/// Quanta within which 802.3 lets a MAC stop (table 31B-2 and its successors).
pub const fn reaction_quanta(bits_per_second: u64) -> u64 {
    const GBIT: u64 = 1_000_000_000;
    match bits_per_second / GBIT {
        0 => 1,
        1..=9 => 2,
        10..=24 => 67,
        25..=39 => 80,
        40..=49 => 118,
        50..=99 => 147,
        100..=199 => 394,
        200..=399 => 453,
        _ => 905,
    }
}

/// The headroom of one priority group on a link.
pub fn headroom(link: &LinkModel) -> Headroom {
    let rate = Rate::from_bits_per_second(link.bits_per_second);
    let frame = wire_bytes(link.max_frame);
    let propagation = Time::from_nanos(2 * u64::from(link.metres) * 1000 / METRES_PER_MICROSECOND);
    let reaction = match link.reaction {
        Reaction::Hardware => reaction_quanta(link.bits_per_second) * QUANTUM_BITS / 8,
        Reaction::Software(time) => rate.bytes_in(time),
    };
    let mut parts = Headroom {
        own_piece: u64::from(link.own_piece.max(frame)),
        pfc_frame: u64::from(PFC_WIRE),
        propagation: rate.bytes_in(propagation),
        interfaces: MAC_PHY_BITS / 8,
        reaction,
        peer_piece: u64::from(link.peer_piece.max(frame)),
        cells: 0,
    };
    let any = worst_cells(parts.in_flight() - parts.peer_piece, link.max_frame, link.cell);
    let one = u32::try_from(parts.peer_piece.div_ceil(u64::from(link.cell))).unwrap_or(u32::MAX);
    parts.cells = any.saturating_add(one);
    parts
}

/// Cells that `wire` bytes occupy at most, whatever frames they are.
fn worst_cells(wire: u64, max_frame: u32, cell: u32) -> u32 {
    let shortest = wire.div_ceil(u64::from(WIRE_MIN));
    // One byte more than a cell costs two: the other bad length, where cells are small.
    let just_over = if max_frame > cell { wire.div_ceil(u64::from(wire_bytes(cell + 1))) * 2 } else { 0 };
    u32::try_from(shortest.max(just_over)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ten_gigabit_link_needs_what_can_be_added_up_by_hand() {
        let parts = headroom(&LinkModel {
            bits_per_second: 10_000_000_000,
            max_frame: 9018,
            own_piece: 0,
            peer_piece: 0,
            metres: 100,
            reaction: Reaction::Hardware,
            cell: 256,
        });
        assert_eq!(parts.own_piece, 9042);
        assert_eq!(parts.peer_piece, 9042);
        assert_eq!(parts.reaction, 67 * 64);
        assert_eq!(parts.propagation, 1262);
        assert_eq!(parts.interfaces, 2048);
        assert_eq!(parts.in_flight(), 9042 * 2 + 84 + 4288 + 1262 + 2048);
        // 16 724 bytes in frames of 84, each a cell of its own, and a frame of 9018 bytes.
        assert_eq!(parts.cells, 200 + 36);
    }

    #[test]
    fn a_slow_software_peer_costs_its_latency() {
        let link = |us| LinkModel {
            bits_per_second: 1_000_000_000,
            max_frame: 1522,
            own_piece: 0,
            peer_piece: 0,
            metres: 0,
            reaction: Reaction::Software(Time::from_micros(us)),
            cell: 256,
        };
        assert_eq!(headroom(&link(1000)).in_flight() - headroom(&link(0)).in_flight(), 125_000);
    }
}
