//! First-in first-out queues of frames: lists of chunks from one slab, so that no frame costs an allocation and an
//! empty queue costs nothing.
//!
//! What must not enter: who may be queued (admission) and who goes next (the port).

use alloc::vec::Vec;

use crate::ids::FrameId;
use crate::time::{Time, wire_bytes};

/// A frame or a superframe as the scheduler sees it: its segments' lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Segments, at least 1.
    pub segs: u16,
    /// Length of each segment but the last, in bytes without FCS, as it leaves.
    pub seg_len: u32,
    /// Length of the last segment.
    pub last_len: u32,
}

impl Shape {
    /// A plain frame.
    pub const fn frame(len: u32) -> Shape {
        Shape { segs: 1, seg_len: len, last_len: len }
    }

    /// The same with each segment longer by `bytes` (a tag that is pushed, or popped).
    #[must_use]
    pub const fn grown(self, bytes: i32) -> Shape {
        Shape {
            segs: self.segs,
            seg_len: self.seg_len.saturating_add_signed(bytes),
            last_len: self.last_len.saturating_add_signed(bytes),
        }
    }

    fn is_last(&self, to: u16) -> bool {
        to == self.segs
    }

    /// Bytes (without FCS) of the segments `from..to`.
    pub fn bytes(&self, from: u16, to: u16) -> u64 {
        self.sum(from, to, self.seg_len, self.last_len)
    }

    /// Wire bytes of the segments `from..to`.
    pub fn wire(&self, from: u16, to: u16) -> u64 {
        self.sum(from, to, wire_bytes(self.seg_len), wire_bytes(self.last_len))
    }

    /// Bytes (without FCS) and wire bytes of the segments `from..to`.
    #[inline]
    pub(crate) fn measure(&self, from: u16, to: u16) -> (u32, u32) {
        if self.segs == 1 {
            return (self.last_len, wire_bytes(self.last_len));
        }
        (self.bytes(from, to) as u32, self.wire(from, to) as u32)
    }

    fn sum(&self, from: u16, to: u16, each: u32, last: u32) -> u64 {
        let n = u64::from(to.saturating_sub(from));
        if n == 0 {
            0
        } else if self.is_last(to) {
            (n - 1) * u64::from(each) + u64::from(last)
        } else {
            n * u64::from(each)
        }
    }

    /// Wire bytes of the one segment at `at`.
    #[inline]
    pub(crate) fn wire_at(&self, at: u16) -> u32 {
        wire_bytes(if self.is_last(at + 1) { self.last_len } else { self.seg_len })
    }
}

/// One queued copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: FrameId,
    pub(crate) shape: Shape,
    pub(crate) cells: u16,
    /// When it was queued.
    pub(crate) since: Time,
}

/// With its link a chunk is 512 bytes long: eight cache lines, and no entry lies across two of them.
const CHUNK: usize = 15;
const NONE: u32 = u32::MAX;

#[derive(Clone)]
#[repr(align(64))]
struct Chunk {
    entries: [Entry; CHUNK],
    next: u32,
}

/// All queues' chunks.
pub(crate) struct Slab {
    chunks: Vec<Chunk>,
    free: u32,
    limit: u32,
}

impl Slab {
    /// Room for at least `entries` entries in `queues` queues.
    pub(crate) fn new(entries: usize, queues: usize) -> Slab {
        // A queue may waste the front of its first chunk and the back of its last.
        let limit = entries.div_ceil(CHUNK) + 2 * queues;
        Slab { chunks: Vec::with_capacity(limit), free: NONE, limit: limit as u32 }
    }

    fn take(&mut self) -> Option<u32> {
        if self.free != NONE {
            let index = self.free;
            self.free = self.chunks[index as usize].next;
            return Some(index);
        }
        let index = self.chunks.len() as u32;
        if index == self.limit {
            return None;
        }
        let empty = Entry { id: FrameId(NONE), shape: Shape::frame(0), cells: 0, since: Time::ZERO };
        self.chunks.push(Chunk { entries: [empty; CHUNK], next: NONE });
        Some(index)
    }

    fn give(&mut self, index: u32) {
        self.chunks[index as usize].next = self.free;
        self.free = index;
    }
}

/// A queue.
#[derive(Clone, Debug)]
pub(crate) struct Fifo {
    head: u32,
    tail: u32,
    head_at: u8,
    tail_at: u8,
    /// Segments of the head entry that are already sent.
    pub(crate) head_seg: u16,
    /// Units waiting.
    pub(crate) len: u32,
}

impl Fifo {
    pub(crate) const fn new() -> Fifo {
        Fifo { head: NONE, tail: NONE, head_at: 0, tail_at: 0, head_seg: 0, len: 0 }
    }

    /// Appends; `false` when the slab is full.
    #[inline]
    pub(crate) fn push(&mut self, slab: &mut Slab, entry: Entry) -> bool {
        if self.tail == NONE || self.tail_at as usize == CHUNK {
            let Some(chunk) = slab.take() else { return false };
            slab.chunks[chunk as usize].next = NONE;
            if self.tail == NONE {
                self.head = chunk;
                self.head_at = 0;
            } else {
                slab.chunks[self.tail as usize].next = chunk;
            }
            self.tail = chunk;
            self.tail_at = 0;
        }
        slab.chunks[self.tail as usize].entries[self.tail_at as usize] = entry;
        self.tail_at += 1;
        self.len += 1;
        true
    }

    /// The first entry; only of a queue that isn't empty.
    #[inline]
    pub(crate) fn front<'a>(&self, slab: &'a Slab) -> &'a Entry {
        &slab.chunks[self.head as usize].entries[self.head_at as usize]
    }

    /// Removes the first entry; only of a queue that isn't empty.
    #[inline]
    pub(crate) fn pop(&mut self, slab: &mut Slab) {
        self.head_at += 1;
        self.head_seg = 0;
        self.len -= 1;
        if self.len == 0 {
            slab.give(self.head);
            *self = Fifo::new();
        } else if self.head_at as usize == CHUNK {
            let next = slab.chunks[self.head as usize].next;
            slab.give(self.head);
            self.head = next;
            self.head_at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_chunk_borders_and_chunks_come_back() {
        let mut slab = Slab::new(100, 1);
        let mut q = Fifo::new();
        let (mut put, mut got) = (0u32, 0u32);
        for round in 0..1000u32 {
            for _ in 0..round % 40 {
                if q.len < 100 {
                    assert!(q.push(
                        &mut slab,
                        Entry { id: FrameId(put), shape: Shape::frame(60), cells: 1, since: Time::ZERO }
                    ));
                    put += 1;
                }
            }
            for _ in 0..(round * 7) % 37 {
                if q.len > 0 {
                    assert_eq!(q.front(&slab).id, FrameId(got));
                    q.pop(&mut slab);
                    got += 1;
                }
            }
        }
        assert!(got > 10_000);
        assert!(slab.chunks.len() as u32 <= slab.limit);
    }

    #[test]
    fn a_shape_adds_up() {
        let s = Shape { segs: 4, seg_len: 1514, last_len: 40 };
        assert_eq!(s.bytes(0, 4), 3 * 1514 + 40);
        assert_eq!(s.wire(0, 4), 3 * 1538 + 84);
        assert_eq!(s.wire(0, 2) + s.wire(2, 4), s.wire(0, 4));
        assert_eq!(s.wire_at(3), 84);
    }
}
