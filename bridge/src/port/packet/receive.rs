//! How frames are read from a packet socket: several by one call, each with the tag that the kernel has taken out put back.

use std::io;

use dcbridge_scheduler::FrameId;

use super::PacketPort;
use super::socket::Received;
use crate::arena::{Arena, LANDINGS, ROOM};
use crate::port::{NEEDS_CSUM, Port, RxFrame, RxStatus, VNET_HEADER_LEN, VnetHeader};

/// The two MAC addresses, in front of the tag.
const ADDRESSES: usize = 12;
const TAG: usize = 4;
/// What is read to the first of two places: the tag belongs behind it.
const FIRST: usize = VNET_HEADER_LEN + ADDRESSES;
const _: () =
    assert!(ROOM >= VNET_HEADER_LEN, "the offload header is read into the room in front of a frame");
const _: () = assert!(LANDINGS <= super::socket::MANY);

/// What one call brought.
struct Many {
    asked: usize,
    came: io::Result<usize>,
    received: [Received; LANDINGS],
    kept: [Option<FrameId>; LANDINGS],
}

impl PacketPort {
    /// Reads until the socket is empty, or something else ends it, which `status` tells.
    pub(super) fn drain(
        &mut self,
        mut budget: usize,
        arena: &mut Arena,
        out: &mut Vec<RxFrame>,
        status: &mut RxStatus,
    ) {
        let (before, mut most) = (budget, self.expected);
        while budget > 0 {
            let Many { asked, came, kept, received } = self.read(most.min(budget), arena);
            let came = match came {
                // A landing that can't be had leaves the frame in the socket.
                _ if asked == 0 => break,
                Ok(came) => came,
                // The kernel consumes a frame whose offloads it can't describe, and says this.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    status.lost += 1;
                    budget -= 1;
                    continue;
                }
                Err(error) => {
                    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                        // Down or away, which a look at the interface tells apart.
                        self.tick();
                        status.closed = self.closed();
                    }
                    self.expected = (before - budget).clamp(1, LANDINGS);
                    return;
                }
            };
            for (kept, got) in kept.iter().zip(received).take(came) {
                match kept {
                    Some(id) => out.push(RxFrame { id: *id, queue: 0 }),
                    None => status.lost += 1,
                }
                self.tagged = got.tag.is_some();
            }
            budget = budget.saturating_sub(came);
            // Fewer than asked for: that was all, or there was an error in between, which the next call tells.
            most = if came < asked { 1 } else { 2 * came };
        }
        self.expected = (2 * (before - budget)).clamp(1, LANDINGS);
        status.more = true;
    }

    /// Reads up to `most` frames.
    fn read(&self, most: usize, arena: &mut Arena) -> Many {
        let mut kept = [None; LANDINGS];
        let gap = if self.tagged { TAG } else { 0 };
        let read = |landings: &mut [&mut [u8]]| {
            let asked = landings.len();
            let mut received = [Received::default(); LANDINGS];
            let mut places: [[&mut [u8]; 2]; LANDINGS] = std::array::from_fn(|_| [&mut [][..], &mut [][..]]);
            for (place, landing) in places.iter_mut().zip(landings.iter_mut()) {
                *place = if gap == 0 {
                    [&mut **landing, &mut []]
                } else {
                    let (first, rest) = landing.split_at_mut(FIRST);
                    [first, &mut rest[gap..]]
                };
            }
            (asked, self.socket.receive(&mut places[..asked], &mut received), received)
        };
        let found = |(_, came, received): &(usize, io::Result<usize>, [Received; LANDINGS]),
                     n: usize,
                     place: &mut [u8]| {
            let came = came.as_ref().is_ok_and(|&came| n < came);
            if came { arrange(place, received[n], gap) } else { None }
        };
        let (asked, came, received) = arena.land_many(most, ROOM - VNET_HEADER_LEN, &mut kept, read, found);
        Many { asked, came, received, kept }
    }
}

/// Puts a frame together that was read into two places with a `gap` for a tag between them: length and offload header.
/// `None`: it is none, or the kernel has cut it.
fn arrange(place: &mut [u8], got: Received, gap: usize) -> Option<(usize, VnetHeader)> {
    let (first, rest) = place.split_at_mut(FIRST);
    let mut vnet = VnetHeader::from_bytes(first.first_chunk()?);
    let len = got.len.checked_sub(VNET_HEADER_LEN).filter(|&len| len > ADDRESSES && !got.cut)?;
    let behind = len - ADDRESSES;
    let Some((protocol, tci)) = got.tag else {
        if gap > 0 {
            rest.copy_within(gap..gap + behind, 0);
        }
        return Some((len, vnet));
    };
    if behind + TAG > rest.len() {
        return None;
    }
    if gap == 0 {
        rest.copy_within(..behind, TAG);
    }
    rest[..2].copy_from_slice(&protocol.to_be_bytes());
    rest[2..TAG].copy_from_slice(&tci.to_be_bytes());
    shift(&mut vnet);
    Some((len + TAG, vnet))
}

/// Moves what an offload header points to by the length of a tag.
fn shift(vnet: &mut VnetHeader) {
    if vnet.gso_type != 0 {
        vnet.hdr_len = vnet.hdr_len.saturating_add(TAG as u16);
    }
    if vnet.flags & NEEDS_CSUM != 0 {
        vnet.csum_start = vnet.csum_start.saturating_add(TAG as u16);
    }
}
