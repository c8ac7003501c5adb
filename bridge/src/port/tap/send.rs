//! How frames are written to a TAP: several by one system call where the thread has a ring, else one by one.
//!
//! The offload header has to lie in front of the frame. The arena leaves room there, so a frame that leaves as it came
//! needs no copy; a head of its own is put together elsewhere.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use crate::arena::{Arena, ROOM};
use crate::port::ring::{self, DEPTH, FrameRing, Pieces};
use crate::port::{MAX_HEAD, TxDesc, TxOutcome, VNET_HEADER_LEN, sys};

/// Frames from which on the ring is worth it, as long as they are short: with a superframe, copying is all that counts.
const WORTH_A_RING: usize = 2;
const SHORT: u32 = 16_384;
/// Header and head, and the whole frame as long as it fits: to copy this little costs less than a second piece.
const FRONT: usize = 512;
const _: () = assert!(VNET_HEADER_LEN + MAX_HEAD <= FRONT);

type Front = [u8; FRONT];

thread_local! {
    /// Fronts of one call.
    static FRONTS: RefCell<Box<[Front]>> = RefCell::new(vec![[0; FRONT]; DEPTH].into());
}

/// Sends `frames` in order and says of each what became of it.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    offload: bool,
    frames: &[TxDesc],
    arena: &mut Arena,
    outcomes: &mut Vec<TxOutcome>,
) {
    let header = if offload { VNET_HEADER_LEN } else { 0 };
    FRONTS.with_borrow_mut(|fronts| {
        for few in frames.chunks(DEPTH) {
            for frame in few {
                put_header(frame, header, arena);
            }
            let by_ring = few.len() >= WORTH_A_RING
                && few.iter().all(|frame| frame.len <= SHORT)
                && ring::with(|ring| at_once(ring, fd, header, few, arena, fronts, outcomes)).is_some();
            if !by_ring {
                outcomes.extend(few.iter().map(|frame| one(fd, header, frame, arena, &mut fronts[0])));
            }
        }
    });
}

/// All of them by one call.
fn at_once(
    ring: &mut FrameRing,
    fd: BorrowedFd<'_>,
    header: usize,
    frames: &[TxDesc],
    arena: &Arena,
    fronts: &mut [Front],
    outcomes: &mut Vec<TxOutcome>,
) {
    let mut writes = [[IoSlice::new(&[]); 2]; DEPTH];
    let mut results = [0; DEPTH];
    for ((frame, front), write) in frames.iter().zip(fronts).zip(&mut writes) {
        // A write of nothing is refused, as the frame has to be that is not as long as was said.
        pieces(frame, header, arena, front, write);
    }
    let results = &mut results[..frames.len()];
    ring.write_each(fd, &writes[..frames.len()], results);
    outcomes.extend(results.iter().map(|&result| outcome(result > 0)));
}

fn one(fd: BorrowedFd<'_>, header: usize, frame: &TxDesc, arena: &Arena, front: &mut Front) -> TxOutcome {
    let mut write = [IoSlice::new(&[]); 2];
    if !pieces(frame, header, arena, front, &mut write) {
        return TxOutcome::Refused;
    }
    let written = if write[1].is_empty() { sys::write(fd, &write[0]) } else { sys::writev(fd, &write) };
    outcome(written.is_ok())
}

/// EIO: set down. EBADFD: deleted, which `rx` and `tick` find out. EINVAL: a header that does not fit.
fn outcome(sent: bool) -> TxOutcome {
    if sent { TxOutcome::Sent } else { TxOutcome::Refused }
}

/// A frame that leaves as it came gets its offload header into the room in front of it, if nobody else may be reading it.
fn put_header(frame: &TxDesc, header: usize, arena: &mut Arena) {
    if header > 0
        && is_whole(frame)
        && let Some(bytes) = arena.bytes_with_room_mut(frame.body)
    {
        bytes[ROOM - header..ROOM].copy_from_slice(&frame.vnet.to_bytes());
    }
}

fn is_whole(frame: &TxDesc) -> bool {
    frame.head_len == 0 && frame.off == 0
}

/// Finds the bytes to be written, into `write`, which is empty; those that do not lie together are put together in `front`,
/// as far as it goes. `false`: the frame is not as long as was said.
fn pieces<'a>(
    frame: &TxDesc,
    header: usize,
    arena: &'a Arena,
    front: &'a mut Front,
    write: &mut Pieces<'a>,
) -> bool {
    if is_whole(frame)
        && let Some(bytes) = arena.bytes_with_room(frame.body)
    {
        let Some(bytes) = bytes.get(ROOM - header..ROOM + frame.len as usize) else { return false };
        write[0] = IoSlice::new(bytes);
        return true;
    }
    let from = frame.off as usize;
    let Some(body) = arena.bytes(frame.body).get(from..from + frame.len as usize) else { return false };
    let head = frame.head();
    let len = header + head.len();
    front[..header].copy_from_slice(&frame.vnet.to_bytes()[..header]);
    front[header..len].copy_from_slice(head);
    if len + body.len() > FRONT {
        *write = [IoSlice::new(&front[..len]), IoSlice::new(body)];
        return true;
    }
    front[len..len + body.len()].copy_from_slice(body);
    write[0] = IoSlice::new(&front[..len + body.len()]);
    true
}
