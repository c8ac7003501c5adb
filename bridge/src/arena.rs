//! The memory of frames: bounded, made at start, never grown.
//!
//! Frames live in slots of four sizes, so that a small frame does not hold a large slot. Each size has as many
//! slots as the shared buffer can be full of frames of that size, plus a few that are in flight between a port and
//! admission: the buffer's thresholds refuse a frame before memory does. Pages are touched only when used.
//!
//! A port reads into a *landing*, which is a free slot of the largest size. What is longer than the next smaller size
//! stays there; anything else is copied to a slot of its own and the same landing, still in the cache, takes the next
//! frame. Measured with TAPs: this copy of a frame costs 5 ns, reading into two places instead (`readv`) 70 ns.
//!
//! Where several workers share a switch, each has an arena of its own, and may *lend* a frame to another: that one adopts
//! it under a number of its own arena, reads it there, and gives it back (`memory` tells why that is sound).
//!
//! What must not enter: who owns a frame or how often it is queued (the scheduler knows), and what is in it.

mod memory;

use std::sync::Arc;

use dcbridge_scheduler::FrameId;

use crate::port::VnetHeader;
pub use memory::Lease;
use memory::{Foreign, Memory};

/// Free bytes in front of each frame, for headers that a port puts there.
pub const ROOM: usize = 64;
/// Bytes of a cell, the unit of buffer accounting.
pub const CELL: usize = dcbridge_config::CELL_BYTES as usize;
/// The longest frame or superframe that is received.
pub const MAX_FRAME: usize = 2048 + 65536;

/// Capacity of each slot size, without `ROOM`.
const CAPACITY: [usize; 4] = [256, 2048, 10_240, MAX_FRAME];
const LARGE: usize = 3;
/// Slots of each size beyond what the buffer can hold.
const IN_FLIGHT: usize = 64;
/// Landings that can be filled at once.
pub const LANDINGS: usize = 32;
const _: () = assert!(LANDINGS <= IN_FLIGHT);

/// What the arena knows of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    len: u32,
    /// Which of the four sizes it has.
    size: u8,
    held: bool,
    /// Leases of it.
    lent: u16,
    vnet: VnetHeader,
}

/// All frames' bytes.
pub struct Arena {
    memory: Arc<Memory>,
    /// By size.
    free: [Vec<u32>; 4],
    slots: Vec<Slot>,
    /// Numbered behind the own ones.
    foreign: Foreign,
}

/// Cells that a frame of `len` bytes occupies.
pub const fn cells(len: usize) -> u32 {
    let n = len.div_ceil(CELL);
    if n == 0 { 1 } else { n as u32 }
}

impl Arena {
    /// An arena for a shared buffer of `buffer_bytes`.
    pub fn new(buffer_bytes: u64) -> Arena {
        let pool_cells = (buffer_bytes as usize).div_ceil(CELL);
        let counts: [u32; 4] = std::array::from_fn(|i| {
            let shortest = if i == 0 { 1 } else { CAPACITY[i - 1] + 1 };
            (pool_cells / cells(shortest) as usize + IN_FLIGHT) as u32
        });
        Arena {
            memory: Arc::new(Memory::new(counts)),
            // Last in, first out, lowest first: few pages are touched when little is queued.
            free: counts.map(|count| (0..count).rev().collect()),
            slots: (0..)
                .zip(counts)
                .flat_map(|(size, count)| (0..count).map(move |_| Slot { size, ..Slot::default() }))
                .collect(),
            foreign: Foreign::default(),
        }
    }

    /// Lets arenas adopt each other's frames. An arena is known to the others by its place.
    pub fn introduce(arenas: &mut [Arena]) {
        let memories: Vec<_> = arenas.iter().map(|arena| Arc::clone(&arena.memory)).collect();
        for arena in arenas {
            arena.foreign = Foreign::new(memories.clone());
        }
    }

    /// How many frames there can be: every `FrameId` of the arena's own is below this, and those of adopted frames are not.
    pub fn frame_count(&self) -> usize {
        self.slots.len()
    }

    /// Frames of the arena's own that are held now, lent ones too.
    pub fn in_use(&self) -> usize {
        self.slots.len() - self.free.iter().map(Vec::len).sum::<usize>()
    }

    /// The number of a frame among those that were adopted, if it is one of them.
    #[inline]
    fn adopted(&self, id: FrameId) -> Option<u32> {
        id.0.checked_sub(self.slots.len() as u32)
    }

    /// Whether a frame is another arena's.
    #[inline]
    pub fn is_adopted(&self, id: FrameId) -> bool {
        id.index() >= self.slots.len()
    }

    /// A frame's bytes.
    #[inline]
    pub fn bytes(&self, id: FrameId) -> &[u8] {
        let Some(slot) = self.slots.get(id.index()) else { return self.adopted_bytes(id) };
        // SAFETY: only this arena writes to its slots, by methods that take `&mut self`.
        unsafe { self.memory.read(self.memory.place(slot.size, id), ROOM, slot.len as usize) }
    }

    #[inline(never)]
    fn adopted_bytes(&self, id: FrameId) -> &[u8] {
        self.adopted(id).map_or(&[], |number| self.foreign.bytes(number))
    }

    /// A frame's bytes with the room in front of them (`ROOM` bytes); `None` while somebody else may read them.
    #[inline]
    pub fn bytes_with_room(&self, id: FrameId) -> Option<&[u8]> {
        let slot = self.slots.get(id.index()).filter(|slot| slot.lent == 0)?;
        // SAFETY: only this arena writes to its slots, by methods that take `&mut self`.
        Some(unsafe { self.memory.read(self.memory.place(slot.size, id), 0, ROOM + slot.len as usize) })
    }

    /// The same, to be written to.
    #[inline]
    pub fn bytes_with_room_mut(&mut self, id: FrameId) -> Option<&mut [u8]> {
        let slot = self.slots.get(id.index()).filter(|slot| slot.lent == 0)?;
        // SAFETY: the slot is not lent, and this arena is borrowed as long as the reference lives.
        Some(unsafe { self.memory.write(self.memory.place(slot.size, id), 0, ROOM + slot.len as usize) })
    }

    /// A frame's offload header, as received.
    #[inline]
    pub fn vnet(&self, id: FrameId) -> VnetHeader {
        match self.slots.get(id.index()) {
            Some(slot) => slot.vnet,
            None => self.adopted(id).map(|number| self.foreign.vnet(number)).unwrap_or_default(),
        }
    }

    /// Lets `read` fill a landing. It gets `ROOM` bytes for a header of the device's and behind them room for the frame,
    /// and answers the frame's length and its offload header.
    ///
    /// # Errors
    /// What `read` says; `OutOfMemory` when no slot is free, of which `read` has only heard when a frame was read and is
    /// lost.
    pub fn land<F>(&mut self, read: F) -> std::io::Result<FrameId>
    where
        F: FnOnce(&mut [u8]) -> std::io::Result<(usize, VnetHeader)>,
    {
        let none = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let landing = self.free[LARGE].pop().ok_or_else(none)?;
        // SAFETY: a slot that was just free is not lent, and this arena is borrowed as long as the reference lives.
        match read(unsafe { self.memory.write((LARGE, landing), 0, ROOM + MAX_FRAME) }) {
            Ok((len, vnet)) => self.keep(landing, len, vnet).ok_or_else(none),
            Err(error) => {
                self.free[LARGE].push(landing);
                Err(error)
            }
        }
    }

    /// Lets `read` fill several landings, up to `most` and `LANDINGS`. It gets each from its byte `from` on (of those that
    /// `land` gives); `found` is then asked of each, in no order, what is in it: the frame's length and its offload header, or
    /// `None`. `kept` has then the frames in their places; `None` also where no slot was free for one, which is lost.
    /// Answers what `read` did.
    pub fn land_many<T>(
        &mut self,
        most: usize,
        from: usize,
        kept: &mut [Option<FrameId>],
        read: impl FnOnce(&mut [&mut [u8]]) -> T,
        found: impl Fn(&T, usize, &mut [u8]) -> Option<(usize, VnetHeader)>,
    ) -> T {
        let free = &mut self.free[LARGE];
        let count = most.min(LANDINGS).min(kept.len()).min(free.len());
        let mut landings = [0; LANDINGS];
        for (to, landing) in landings.iter_mut().zip(free.drain(free.len() - count..).rev()) {
            *to = landing;
        }
        let memory = &self.memory;
        let mut places: [&mut [u8]; LANDINGS] = std::array::from_fn(|_| &mut [][..]);
        for (place, &landing) in places.iter_mut().zip(&landings[..count]) {
            // SAFETY: slots that were just free are not lent, each is another one, and this arena is borrowed as long as
            // the references live.
            *place = unsafe { memory.write((LARGE, landing), from, ROOM + MAX_FRAME - from) };
        }
        let done = read(&mut places[..count]);
        // The last one first, so that the landing that was used first is the next again.
        for n in (0..count).rev() {
            // SAFETY: the slot is this arena's and not lent, and what `read` got of it is gone.
            let place = unsafe { self.memory.write((LARGE, landings[n]), from, ROOM + MAX_FRAME - from) };
            match found(&done, n, place) {
                Some((len, vnet)) => kept[n] = self.keep(landings[n], len, vnet),
                None => self.free[LARGE].push(landings[n]),
            }
        }
        done
    }

    /// Keeps the frame in a landing that was taken: there if it is long, else a copy, so that the landing is free again.
    /// `None`: there is no slot for it.
    fn keep(&mut self, landing: u32, len: usize, vnet: VnetHeader) -> Option<FrameId> {
        let len = len.min(MAX_FRAME);
        let Some(size) = CAPACITY[..LARGE].iter().position(|&c| len <= c) else {
            return Some(self.hold(LARGE, landing, len, vnet));
        };
        self.free[LARGE].push(landing);
        let index = self.free[size].pop()?;
        // SAFETY: two slots, both of them this arena's and neither lent; it is borrowed as long as the references live.
        let (landed, kept) = unsafe {
            (self.memory.read((LARGE, landing), ROOM, len), self.memory.write((size, index), ROOM, len))
        };
        kept.copy_from_slice(landed);
        Some(self.hold(size, index, len, vnet))
    }

    /// Puts a copy of `frame` into the arena: frames of the switch's own and of tests. `None`: too long or full.
    pub fn insert(&mut self, frame: &[u8], vnet: VnetHeader) -> Option<FrameId> {
        let size = CAPACITY.iter().position(|&c| frame.len() <= c)?;
        let index = self.free[size].pop()?;
        // SAFETY: a free slot is not lent, and this arena is borrowed as long as the reference lives.
        let kept = unsafe { self.memory.write((size, index), ROOM, frame.len()) };
        kept.copy_from_slice(frame);
        Some(self.hold(size, index, frame.len(), vnet))
    }

    fn hold(&mut self, size: usize, index: u32, len: usize, vnet: VnetHeader) -> FrameId {
        let id = self.memory.id(size, index);
        self.slots[id.index()] = Slot { len: len as u32, size: size as u8, held: true, lent: 0, vnet };
        id
    }

    /// Gives a frame's slot back. One that is lent is nobody's until it is returned, so it is not given to another frame.
    pub fn free(&mut self, id: FrameId) {
        let Some(slot) = self.slots.get_mut(id.index()) else { return };
        debug_assert!(slot.held && slot.lent == 0, "frame {id:?} freed twice, or lent: {slot:?}");
        if slot.held && slot.lent == 0 {
            slot.held = false;
            let (size, index) = self.memory.place(slot.size, id);
            self.free[size].push(index);
        }
    }

    /// Lends a frame of the arena's own, once more. `None`: it is not one that is held, or it is lent too often.
    pub fn lend(&mut self, id: FrameId) -> Option<Lease> {
        let slot = self.slots.get_mut(id.index()).filter(|slot| slot.held)?;
        slot.lent = slot.lent.checked_add(1)?;
        Some(self.memory.lease(id, slot.len, slot.vnet))
    }

    /// Ends a lease of a frame; answers the frame. A lease of another arena is of no use here.
    pub fn take_back(&mut self, lease: Lease) -> Option<FrameId> {
        if !self.memory.is_origin_of(&lease) {
            return None;
        }
        self.slots[lease.id.index()].lent -= 1;
        Some(lease.id)
    }

    /// Holds a frame that another arena has lent, under a number of this one's.
    ///
    /// # Errors
    /// The lease, if it is of an arena that this one was not introduced to.
    pub fn adopt(&mut self, lease: Lease) -> Result<FrameId, Lease> {
        Ok(FrameId(self.slots.len() as u32 + self.foreign.keep(lease)?))
    }

    /// Lets go of an adopted frame; answers whose it is, and the lease to be returned. `None`: it is not adopted.
    #[inline]
    pub fn give_back(&mut self, id: FrameId) -> Option<(usize, Lease)> {
        self.foreign.give_back(self.adopted(id)?)
    }
}

#[cfg(test)]
mod tests;
