//! How frames are written to a TAP: several by one system call where the thread has a ring, else one by one.

use std::os::fd::{AsFd, BorrowedFd};

use crate::arena::Arena;
use crate::port::pieces::{FRONTS, Front, fits_front, no_pieces, pieces, put_header, with_fronts};
use crate::port::ring::{self, DEPTH, FrameRing, RingFile};
use crate::port::{TxDesc, TxOutcome, VNET_HEADER_LEN, sys};

const _: () = assert!(DEPTH <= FRONTS);

/// Frames from which on the ring is worth it, as long as they are short: with a superframe, copying is all that counts.
const WORTH_A_RING: usize = 2;
const SHORT: u32 = 16_384;
/// Sends `frames` in order and says of each what became of it.
pub(super) fn send(
    file: &RingFile,
    offload: bool,
    frames: &[TxDesc],
    arena: &mut Arena,
    outcomes: &mut Vec<TxOutcome>,
) {
    let header = if offload { VNET_HEADER_LEN } else { 0 };
    with_fronts(|fronts| {
        for few in frames.chunks(DEPTH) {
            let by_ring = few.len() >= WORTH_A_RING
                && few.iter().all(|frame| frame.len <= SHORT)
                && ring::with(|ring| at_once(ring, file, header, few, arena, fronts, outcomes)).is_some();
            if !by_ring {
                outcomes
                    .extend(few.iter().map(|frame| one(file.as_fd(), header, frame, arena, &mut fronts[0])));
            }
        }
    });
}

/// All of them by one call.
fn at_once(
    ring: &mut FrameRing,
    file: &RingFile,
    header: usize,
    frames: &[TxDesc],
    arena: &mut Arena,
    fronts: &mut [Front],
    outcomes: &mut Vec<TxOutcome>,
) {
    let mut writes = [no_pieces(); DEPTH];
    let mut results = [0; DEPTH];
    let wanted = |frame: &TxDesc| ring.knows_fronts() && fits_front(frame, header);
    for frame in frames.iter().filter(|frame| !wanted(frame)) {
        put_header(frame, header, arena);
    }
    for ((frame, front), write) in frames.iter().zip(fronts).zip(&mut writes) {
        // A write of nothing is refused, as the frame has to be that is not as long as was said.
        pieces(frame, header, arena, wanted(frame), front, write);
    }
    let results = &mut results[..frames.len()];
    ring.write_each(file, &writes[..frames.len()], results);
    outcomes.extend(results.iter().map(|&result| outcome(result > 0)));
}

fn one(fd: BorrowedFd<'_>, header: usize, frame: &TxDesc, arena: &mut Arena, front: &mut Front) -> TxOutcome {
    put_header(frame, header, arena);
    let mut write = no_pieces();
    if !pieces(frame, header, arena, false, front, &mut write) {
        return TxOutcome::Refused;
    }
    let written = if write[1].is_empty() { sys::write(fd, &write[0]) } else { sys::writev(fd, &write) };
    outcome(written.is_ok())
}

/// EIO: set down. EBADFD: deleted, which `rx` and `tick` find out. EINVAL: a header that does not fit.
fn outcome(sent: bool) -> TxOutcome {
    if sent { TxOutcome::Sent } else { TxOutcome::Refused }
}
