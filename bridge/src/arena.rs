//! The memory of frames: bounded, made at start, never grown.
//!
//! Frames live in slots of four sizes, so that a small frame does not hold a large slot. Each size has as many
//! slots as the shared buffer can be full of frames of that size, plus a few that are in flight between a port and
//! admission: the buffer's thresholds refuse a frame before memory does. Pages are touched only when used.
//!
//! A port reads into a *landing*: a small slot, and behind it a large one. Most frames end in the small one and are
//! not copied again; only what is longer is moved together.
//!
//! What must not enter: who owns a frame or how often it is queued (the scheduler knows), and what is in it.

use dcbridge_scheduler::FrameId;

use crate::port::VnetHeader;

/// Free bytes in front of each frame, for headers that a port puts there.
pub const ROOM: usize = 64;
/// Bytes of a cell, the unit of buffer accounting.
pub const CELL: usize = 256;
/// The longest frame or superframe that is received.
pub const MAX_FRAME: usize = 2048 + 65536;

/// Capacity of each slot size, without `ROOM`.
const CAPACITY: [usize; 4] = [256, 2048, 10_240, MAX_FRAME];
const SMALL: usize = 1;
const LARGE: usize = 3;
/// Slots of each size beyond what the buffer can hold.
const IN_FLIGHT: usize = 64;

/// What the arena knows of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    len: u32,
    held: bool,
    vnet: VnetHeader,
}

struct Size {
    bytes: Vec<u8>,
    stride: usize,
    free: Vec<u32>,
    /// First frame number of this size.
    base: u32,
}

/// All frames' bytes.
pub struct Arena {
    sizes: [Size; 4],
    slots: Vec<Slot>,
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
        let mut base = 0u32;
        let sizes = std::array::from_fn(|i| {
            let shortest = if i == 0 { 1 } else { CAPACITY[i - 1] + 1 };
            let count = pool_cells / cells(shortest) as usize + IN_FLIGHT;
            let stride = ROOM + CAPACITY[i];
            let size = Size {
                bytes: vec![0; count * stride],
                stride,
                // Last in, first out, lowest first: few pages are touched when little is queued.
                free: (0..count as u32).rev().collect(),
                base,
            };
            base += count as u32;
            size
        });
        Arena { sizes, slots: vec![Slot::default(); base as usize] }
    }

    /// How many frames there can be: every `FrameId` is below this.
    pub fn frame_count(&self) -> usize {
        self.slots.len()
    }

    /// Frames that are held now.
    pub fn in_use(&self) -> usize {
        self.slots.len() - self.sizes.iter().map(|s| s.free.len()).sum::<usize>()
    }

    fn locate(&self, id: FrameId) -> (usize, usize) {
        let n = id.0;
        let size = (0..4).rev().find(|&s| n >= self.sizes[s].base).unwrap_or(0);
        (size, (n - self.sizes[size].base) as usize * self.sizes[size].stride)
    }

    /// A frame's bytes.
    pub fn bytes(&self, id: FrameId) -> &[u8] {
        let (size, at) = self.locate(id);
        &self.sizes[size].bytes[at + ROOM..at + ROOM + self.slots[id.index()].len as usize]
    }

    /// A frame's bytes with the room in front of them (`ROOM` bytes), to be written to.
    pub fn bytes_with_room_mut(&mut self, id: FrameId) -> &mut [u8] {
        let (size, at) = self.locate(id);
        let len = self.slots[id.index()].len as usize;
        &mut self.sizes[size].bytes[at..at + ROOM + len]
    }

    /// A frame's offload header, as received.
    pub fn vnet(&self, id: FrameId) -> VnetHeader {
        self.slots[id.index()].vnet
    }

    /// Lets `read` fill a landing: its arguments follow each other as one buffer, it answers how many bytes it wrote
    /// and the offload header that came with them.
    ///
    /// # Errors
    /// What `read` says; and `OutOfMemory` when no slot is free.
    pub fn land<F>(&mut self, read: F) -> std::io::Result<FrameId>
    where
        F: FnOnce(&mut [u8], &mut [u8]) -> std::io::Result<(usize, VnetHeader)>,
    {
        let none = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let small = *self.sizes[SMALL].free.last().ok_or_else(none)?;
        let large = *self.sizes[LARGE].free.last().ok_or_else(none)?;
        let [_, small_size, _, large_size] = &mut self.sizes;
        let small_at = small as usize * small_size.stride + ROOM;
        let large_at = large as usize * large_size.stride + ROOM;
        let head = CAPACITY[SMALL];
        let (len, vnet) = read(
            &mut small_size.bytes[small_at..small_at + head],
            &mut large_size.bytes[large_at + head..large_at + CAPACITY[LARGE]],
        )?;
        let size = CAPACITY.iter().position(|&c| len <= c).unwrap_or(LARGE);
        let index = self.sizes[size].free.pop().ok_or_else(none)?;
        let id = FrameId(self.sizes[size].base + index);
        self.slots[id.index()] = Slot { len: len.min(MAX_FRAME) as u32, held: true, vnet };
        self.gather(size, index, len, small_at, large_at);
        Ok(id)
    }

    /// Moves what lies in the landing into its slot, where it isn't there yet.
    fn gather(&mut self, size: usize, index: u32, len: usize, small_at: usize, large_at: usize) {
        if size == SMALL {
            return;
        }
        let head = CAPACITY[SMALL];
        let at = index as usize * self.sizes[size].stride + ROOM;
        let (left, right) = self.sizes.split_at_mut(2);
        match size {
            0 => {
                let (tiny, small) = left.split_at_mut(1);
                tiny[0].bytes[at..at + len].copy_from_slice(&small[0].bytes[small_at..small_at + len]);
            }
            LARGE => {
                right[1].bytes[at..at + head].copy_from_slice(&left[1].bytes[small_at..small_at + head]);
            }
            _ => {
                let (medium, large) = right.split_at_mut(1);
                medium[0].bytes[at..at + head].copy_from_slice(&left[1].bytes[small_at..small_at + head]);
                medium[0].bytes[at + head..at + len]
                    .copy_from_slice(&large[0].bytes[large_at + head..large_at + len]);
            }
        }
    }

    /// Puts a copy of `frame` into the arena: frames of the switch's own and of tests. `None`: too long or full.
    pub fn insert(&mut self, frame: &[u8], vnet: VnetHeader) -> Option<FrameId> {
        let size = CAPACITY.iter().position(|&c| frame.len() <= c)?;
        let index = self.sizes[size].free.pop()?;
        let id = FrameId(self.sizes[size].base + index);
        let at = index as usize * self.sizes[size].stride + ROOM;
        self.sizes[size].bytes[at..at + frame.len()].copy_from_slice(frame);
        self.slots[id.index()] = Slot { len: frame.len() as u32, held: true, vnet };
        Some(id)
    }

    /// Gives a frame's slot back.
    pub fn free(&mut self, id: FrameId) {
        let (size, at) = self.locate(id);
        let index = (at / self.sizes[size].stride) as u32;
        debug_assert!(self.slots[id.index()].held, "frame {id:?} freed twice");
        self.slots[id.index()].held = false;
        self.sizes[size].free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn a_frame_of_any_length_comes_out_as_it_went_in() {
        let mut arena = Arena::new(1 << 20);
        for len in [1, 60, 256, 257, 1514, 2048, 2049, 9014, 10_240, 10_241, 65_549, MAX_FRAME] {
            let data = pattern(len);
            let id = arena
                .land(|a, b| {
                    let n = a.len().min(len);
                    a[..n].copy_from_slice(&data[..n]);
                    b[..len - n].copy_from_slice(&data[n..]);
                    Ok((len, VnetHeader::default()))
                })
                .unwrap();
            assert_eq!(arena.bytes(id), data);
            let copy = arena.insert(&data, VnetHeader::default()).unwrap();
            assert_eq!(arena.bytes(copy), data);
            arena.free(id);
            arena.free(copy);
        }
        assert_eq!(arena.in_use(), 0);
    }

    #[test]
    fn memory_lasts_as_long_as_the_buffer_for_every_frame_size() {
        let buffer = 1 << 20;
        for len in [1, 64, 256, 257, 1514, 2049, 9014, 65_549] {
            let mut arena = Arena::new(buffer);
            let data = pattern(len);
            let fit = buffer as usize / CELL / cells(len) as usize;
            for _ in 0..fit {
                assert!(arena.insert(&data, VnetHeader::default()).is_some(), "{len} bytes");
            }
        }
    }

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut arena = Arena::new(1 << 16);
        let error = arena.land(|_, _| Err(std::io::ErrorKind::WouldBlock.into())).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(arena.in_use(), 0);
    }
}
