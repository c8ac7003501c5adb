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

    /// What of the segments from `from` on fits into `allowance` wire bytes, at least one: behind the last, bytes (without
    /// FCS), wire bytes.
    #[inline(never)]
    pub(crate) fn piece(&self, from: u16, allowance: u32) -> (u16, u32, u32) {
        let left = self.segs - from;
        let to = if left == 1 || self.wire(from, self.segs) <= u64::from(allowance) {
            self.segs
        } else {
            let fit = allowance / wire_bytes(self.seg_len);
            from + u16::try_from(fit).unwrap_or(u16::MAX).clamp(1, left - 1)
        };
        (to, self.bytes(from, to) as u32, self.wire(from, to) as u32)
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

/// Entries of a chunk: a power of two, so that an index tells where its chunk ends. 512 bytes, eight cache lines.
const CHUNK: u32 = 16;
const NONE: u32 = u32::MAX;
const _: () = assert!(CHUNK.is_power_of_two() && size_of::<Entry>() == 32);

/// All queues' chunks: entry `n` belongs to chunk `n / CHUNK`.
pub(crate) struct Slab {
    entries: Vec<Entry>,
    /// The chunk behind each chunk, in its queue or among the free ones.
    next: Vec<u32>,
    free: u32,
    limit: usize,
}

impl Slab {
    /// Room for at least `entries` entries in `queues` queues.
    pub(crate) fn new(entries: usize, queues: usize) -> Slab {
        // A queue may waste the front of its first chunk and the back of its last.
        let limit = entries.div_ceil(CHUNK as usize) + 2 * queues;
        Slab {
            entries: Vec::with_capacity(limit * CHUNK as usize),
            next: Vec::with_capacity(limit),
            free: NONE,
            limit,
        }
    }

    /// Whether no queue can be made longer than its last chunk.
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.free == NONE && self.next.len() == self.limit
    }

    fn take(&mut self) -> u32 {
        if self.free != NONE {
            let chunk = self.free;
            self.free = self.next[chunk as usize];
            return chunk;
        }
        let chunk = self.next.len();
        debug_assert!(chunk < self.limit, "the slab was said to have room");
        let empty = Entry { id: FrameId(NONE), shape: Shape::frame(0), cells: 0, since: Time::ZERO };
        self.next.push(NONE);
        self.entries.resize((chunk + 1) * CHUNK as usize, empty);
        chunk as u32
    }

    fn give(&mut self, chunk: u32) {
        self.next[chunk as usize] = self.free;
        self.free = chunk;
    }
}

/// A queue. When it is empty it keeps the chunk that it has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fifo {
    /// The first entry.
    head: u32,
    /// The last entry; at the end of a chunk (as `NONE` is) the next one needs another chunk.
    tail: u32,
    /// Units waiting.
    pub(crate) len: u32,
    /// Segments of the head entry that are already sent.
    pub(crate) head_seg: u16,
}

impl Fifo {
    pub(crate) const fn new() -> Fifo {
        Fifo { head: NONE, tail: NONE, len: 0, head_seg: 0 }
    }

    /// Appends; only while the slab is not exhausted.
    #[inline]
    pub(crate) fn push(&mut self, slab: &mut Slab, entry: Entry) {
        let mut at = self.tail.wrapping_add(1);
        if at.is_multiple_of(CHUNK) {
            at = self.extend(slab);
        }
        slab.entries[at as usize] = entry;
        self.tail = at;
        self.len += 1;
    }

    /// Links one more chunk to the end; answers its first entry.
    #[inline(never)]
    fn extend(&mut self, slab: &mut Slab) -> u32 {
        let chunk = slab.take();
        if self.tail == NONE {
            self.head = chunk * CHUNK;
        } else {
            slab.next[(self.tail / CHUNK) as usize] = chunk;
        }
        chunk * CHUNK
    }

    /// The first entry; only of a queue that isn't empty.
    #[inline]
    pub(crate) fn front<'a>(&self, slab: &'a Slab) -> &'a Entry {
        &slab.entries[self.head as usize]
    }

    /// Removes the first entry; only of a queue that isn't empty.
    #[inline]
    pub(crate) fn pop(&mut self, slab: &mut Slab) {
        self.head += 1;
        self.head_seg = 0;
        self.len -= 1;
        if self.head.is_multiple_of(CHUNK) {
            self.shorten(slab);
        }
    }

    /// Gives back the first chunk, of which nothing is left.
    #[inline(never)]
    fn shorten(&mut self, slab: &mut Slab) {
        let spent = (self.head - 1) / CHUNK;
        if self.len == 0 {
            (self.head, self.tail) = (NONE, NONE);
        } else {
            self.head = slab.next[spent as usize] * CHUNK;
        }
        slab.give(spent);
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
                    assert!(!slab.is_exhausted());
                    let shape = Shape::frame(60);
                    q.push(&mut slab, Entry { id: FrameId(put), shape, cells: 1, since: Time::ZERO });
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
        assert!(slab.next.len() <= slab.limit);
        while q.len > 0 {
            q.pop(&mut slab);
        }
        let held = u32::from(q.tail != NONE);
        let mut free = 0;
        while slab.free != NONE {
            slab.take();
            free += 1;
        }
        assert_eq!(free + held, slab.next.len() as u32, "an empty queue holds one chunk at most");
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
