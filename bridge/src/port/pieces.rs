//! How a frame and its offload header lie for a write: most often in one piece.
//!
//! The offload header has to lie in front of the frame. The arena leaves room there, so a frame that leaves as it came
//! needs no copy; a head of its own is put together elsewhere.
//!
//! What must not enter: devices, and how they are written to.

use std::cell::RefCell;
use std::io::IoSlice;

use super::{MAX_HEAD, TxDesc, VNET_HEADER_LEN};
use crate::arena::{Arena, ROOM};

/// Frames that can be put together at once.
pub(super) const FRONTS: usize = 64;
/// Header and head, and the whole frame as long as it fits: to copy this little costs less than a second piece.
const FRONT: usize = 512;
const _: () = assert!(VNET_HEADER_LEN + MAX_HEAD <= FRONT);

/// Both pieces of a frame, one after the other. The second may be empty.
pub(super) type Pieces<'a> = [IoSlice<'a>; 2];
/// Where a frame can be put together.
pub(super) type Front = [u8; FRONT];

/// Nothing.
pub(super) fn no_pieces() -> Pieces<'static> {
    [IoSlice::new(&[]); 2]
}

thread_local! {
    static PLACES: RefCell<Box<[Front]>> = RefCell::new(vec![[0; FRONT]; FRONTS].into());
}

/// Lets `work` use `FRONTS` places of the calling thread, for one call.
pub(super) fn with_fronts<T>(work: impl FnOnce(&mut [Front]) -> T) -> T {
    PLACES.with_borrow_mut(|places| work(places))
}

/// A frame that leaves as it came gets its offload header into the room in front of it, if nobody else may be reading it.
pub(super) fn put_header(frame: &TxDesc, header: usize, arena: &mut Arena) {
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

/// Whether a frame and its offload header are short enough to be put together.
pub(super) fn fits_front(frame: &TxDesc, header: usize) -> bool {
    header + usize::from(frame.head_len) + frame.len as usize <= FRONT
}

/// Finds the bytes to be written, into `write`, which is empty; those that do not lie together are put together in `front`,
/// as far as it goes, and so are those that are `wanted` there. `false`: the frame is not as long as was said.
pub(super) fn pieces<'a>(
    frame: &TxDesc,
    header: usize,
    arena: &'a Arena,
    wanted: bool,
    front: &'a mut Front,
    write: &mut Pieces<'a>,
) -> bool {
    if is_whole(frame)
        && !wanted
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
