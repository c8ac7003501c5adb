//! The bytes behind an arena: written by its owner only, and read by others that hold a lease.
//!
//! What must not enter: which slots are free, what is in a frame.
//!
//! # Why this is sound
//! A slot is in one of two states. *Alone*: its arena has no lease of it outstanding, and only the arena, through `&self`
//! or `&mut self`, makes references to its bytes. *Lent*: at least one [`Lease`] of it exists; the arena makes shared
//! references only (it refuses `&mut`, and does not give the slot to another frame), and whoever has adopted the lease
//! makes shared references that live no longer than the lease. A lease can't be copied, is made by the arena only, and
//! ends by being given back to it. It goes from thread to thread by value: whatever carries it orders the arena's writes
//! before the reader's reads, and these before the arena's next write, as it does for every value in safe code. A lease
//! that is lost leaves its slot lent for ever, which costs memory and nothing else.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dcbridge_scheduler::FrameId;

use super::{CAPACITY, LARGE, ROOM};
use crate::port::VnetHeader;

const LINE: usize = 64;
const PAGE: usize = 4096;
/// What the kernel is given it lays at the begin of a page. It copies tens of kilobytes up to a quarter faster where both
/// begin at a cache line, and some processors copy sixteen times slower from the last bytes of a page to the begin of
/// another. So a line begins where a frame does, and in the largest slots, which are for superframes, where the payload of
/// TCP over IPv4 with timestamps does; and all their headers are far from the end of a page.
const LARGE_PAYLOAD: usize = ROOM + 14 + 20 + 32;
/// Where in its page that payload begins, at least.
const PAYLOAD_AT: usize = 2 * LINE;
/// The largest slots begin in so many places of a page, as their headers would else fight for the same places of the cache.
const PLACES: usize = 16;
const LARGE_STRIDE: usize = (ROOM + CAPACITY[LARGE]).next_multiple_of(PAGE);
const _: () =
    assert!(PLACES.is_power_of_two() && ROOM + CAPACITY[LARGE] + (PLACES - 1) * LINE <= LARGE_STRIDE);

/// Numbers memories, so that a lease is never taken for one of another arena.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The right to read one frame of another arena.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    memory: u64,
    pub(super) id: FrameId,
    pub(super) len: u32,
    pub(super) vnet: VnetHeader,
}

impl Lease {
    /// Bytes of the frame.
    pub fn frame_len(&self) -> usize {
        self.len as usize
    }
}

/// Slots of one size.
struct Region {
    bytes: NonNull<[u8]>,
    /// Bytes in front of the first slot.
    lead: usize,
    stride: usize,
    /// Bytes of a slot.
    room: usize,
    /// The bits of a slot's number by which it begins so many lines later than the stride says.
    places: usize,
    /// First frame number.
    base: u32,
}

/// All slots' bytes.
pub(super) struct Memory {
    number: u64,
    regions: [Region; 4],
}

// SAFETY: the bytes are owned by the memory and touched only by the rules above, which order all accesses.
unsafe impl Send for Memory {}
// SAFETY: as above; through a shared reference, bytes are only reached by `unsafe` functions or with a lease.
unsafe impl Sync for Memory {}

impl Memory {
    /// Slots of the four sizes, so many of each.
    pub(super) fn new(counts: [u32; 4]) -> Memory {
        let mut base = 0;
        let regions = std::array::from_fn(|size| {
            let room = ROOM + CAPACITY[size];
            // What is at the begin of a line, where it is to be, and in how large a unit that counts.
            let (stride, places, what, at, unit) = if size == LARGE {
                (LARGE_STRIDE, PLACES - 1, LARGE_PAYLOAD, PAYLOAD_AT, PAGE)
            } else {
                (room.next_multiple_of(LINE), 0, ROOM, 0, LINE)
            };
            let bytes = vec![0u8; counts[size] as usize * stride + unit].into_boxed_slice();
            let lead = at.wrapping_sub(bytes.as_ptr().addr() + what) % unit;
            let region = Region { bytes: NonNull::from(Box::leak(bytes)), lead, stride, room, places, base };
            base += counts[size];
            region
        });
        Memory { number: NEXT.fetch_add(1, Ordering::Relaxed), regions }
    }

    /// Size of a frame's slot, which is known, and its number among those of that size.
    #[inline]
    pub(super) fn place(&self, size: u8, id: FrameId) -> (usize, u32) {
        let size = usize::from(size & 3);
        (size, id.0 - self.regions[size].base)
    }

    /// The same where the size is not known.
    #[inline]
    fn locate(&self, id: FrameId) -> (usize, u32) {
        let size = (0..4).rev().find(|&s| id.0 >= self.regions[s].base).unwrap_or(0);
        (size, id.0 - self.regions[size].base)
    }

    /// The number of a slot.
    pub(super) fn id(&self, size: usize, index: u32) -> FrameId {
        FrameId(self.regions[size].base + index)
    }

    /// `len` bytes of a slot from `from` on, checked to be inside it.
    #[inline]
    fn part(&self, (size, index): (usize, u32), from: usize, len: usize) -> NonNull<[u8]> {
        let Region { bytes, lead, stride, room, places, .. } = &self.regions[size];
        let index = index as usize;
        let at = lead + index * stride + (index & places) * LINE + from;
        assert!(from + len <= *room && at + len <= bytes.len(), "a slot ends where the next begins");
        // SAFETY: `at + len` is within the allocation, as was just checked.
        let start = unsafe { bytes.cast::<u8>().add(at) };
        NonNull::slice_from_raw_parts(start, len)
    }

    /// Bytes of a slot.
    ///
    /// # Safety
    /// Nobody writes to the slot as long as the reference lives.
    #[inline]
    pub(super) unsafe fn read(&self, slot: (usize, u32), from: usize, len: usize) -> &[u8] {
        // SAFETY: inside the allocation, initialized, and not written to meanwhile.
        unsafe { self.part(slot, from, len).as_ref() }
    }

    /// Bytes of a slot, to be written to.
    ///
    /// # Safety
    /// Nobody else has a reference to the slot as long as this one lives.
    #[inline]
    #[allow(clippy::mut_from_ref)] // Several owners of the memory, one of each slot.
    pub(super) unsafe fn write(&self, slot: (usize, u32), from: usize, len: usize) -> &mut [u8] {
        // SAFETY: inside the allocation, initialized, and nobody else's meanwhile.
        unsafe { self.part(slot, from, len).as_mut() }
    }

    /// A lease of a frame. The caller counts them.
    pub(super) fn lease(&self, id: FrameId, len: u32, vnet: VnetHeader) -> Lease {
        Lease { memory: self.number, id, len, vnet }
    }

    /// Whether a lease is of this memory.
    pub(super) fn is_origin_of(&self, lease: &Lease) -> bool {
        self.number == lease.memory
    }

    /// The bytes that a lease is of; empty for a lease of another memory.
    #[inline]
    pub(super) fn leased<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        if !self.is_origin_of(lease) {
            return &[];
        }
        // SAFETY: as long as the lease exists, its arena does not write to the slot.
        unsafe { self.read(self.locate(lease.id), ROOM, lease.len as usize) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for region in &self.regions {
            // SAFETY: it came from a leaked box, and nobody has a reference any more.
            drop(unsafe { Box::from_raw(region.bytes.as_ptr()) });
        }
    }
}

/// A frame of another arena that is held here.
struct Adopted {
    owner: usize,
    lease: Lease,
}

/// The frames of other arenas that an arena's owner holds, and where their bytes are.
#[derive(Default)]
pub(super) struct Foreign {
    peers: Vec<Arc<Memory>>,
    held: Vec<Option<Adopted>>,
    free: Vec<u32>,
}

impl Foreign {
    /// Of arenas with these memories, by number.
    pub(super) fn new(peers: Vec<Arc<Memory>>) -> Foreign {
        Foreign { peers, held: Vec::new(), free: Vec::new() }
    }

    /// Keeps a lease; answers its number.
    pub(super) fn keep(&mut self, lease: Lease) -> Result<u32, Lease> {
        let Some(owner) = self.peers.iter().position(|memory| memory.is_origin_of(&lease)) else {
            return Err(lease);
        };
        let adopted = Some(Adopted { owner, lease });
        Ok(if let Some(number) = self.free.pop() {
            self.held[number as usize] = adopted;
            number
        } else {
            self.held.push(adopted);
            self.held.len() as u32 - 1
        })
    }

    /// Lets go of a lease: it belongs to that arena.
    pub(super) fn give_back(&mut self, number: u32) -> Option<(usize, Lease)> {
        let Adopted { owner, lease } = self.held.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some((owner, lease))
    }

    /// Bytes of a frame.
    pub(super) fn bytes(&self, number: u32) -> &[u8] {
        self.get(number).map_or(&[], |adopted| self.peers[adopted.owner].leased(&adopted.lease))
    }

    /// The offload header of a frame.
    pub(super) fn vnet(&self, number: u32) -> VnetHeader {
        self.get(number).map(|adopted| adopted.lease.vnet).unwrap_or_default()
    }

    fn get(&self, number: u32) -> Option<&Adopted> {
        self.held.get(number as usize)?.as_ref()
    }
}
