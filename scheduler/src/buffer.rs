//! The shared buffer: who occupies how many cells.
//!
//! A frame is charged to the buffer and to its priority group once, when its first copy is queued, and released when
//! its last copy has left; each queue is charged for every copy it holds (that account is the queue's own).

use alloc::vec;
use alloc::vec::Vec;

use crate::ids::FrameId;

#[derive(Clone, Copy, Default)]
struct Held {
    copies: u16,
    cells: u16,
    group: u16,
}

/// The shared buffer.
pub(crate) struct Buffer {
    size: u32,
    used: u32,
    peak: u32,
    frames: Vec<Held>,
    groups: Vec<u32>,
}

impl Buffer {
    pub(crate) fn new(size: u32, frames: usize, groups: usize) -> Buffer {
        Buffer { size, used: 0, peak: 0, frames: vec![Held::default(); frames], groups: vec![0; groups] }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    pub(crate) fn peak(&self) -> u32 {
        self.peak
    }

    pub(crate) fn free(&self) -> u32 {
        self.size - self.used
    }

    pub(crate) fn group(&self, group: u16) -> u32 {
        self.groups[group as usize]
    }

    /// Whether one more copy fits: a frame that is charged already always does.
    pub(crate) fn fits(&self, id: FrameId, cells: u16) -> bool {
        self.frames[id.index()].copies > 0 || u32::from(cells) <= self.free()
    }

    /// One more copy was queued.
    pub(crate) fn hold(&mut self, id: FrameId, cells: u16, group: u16) {
        let held = &mut self.frames[id.index()];
        if held.copies == 0 {
            *held = Held { copies: 0, cells, group };
            self.used += u32::from(cells);
            self.peak = self.peak.max(self.used);
            self.groups[group as usize] += u32::from(cells);
        }
        held.copies += 1;
    }

    /// One copy has left; `true` when it was the last and nobody needs the frame's bytes any more.
    pub(crate) fn release(&mut self, id: FrameId) -> bool {
        let held = &mut self.frames[id.index()];
        debug_assert!(held.copies > 0, "{id:?} released more often than held");
        held.copies = held.copies.saturating_sub(1);
        if held.copies > 0 {
            return false;
        }
        self.used -= u32::from(held.cells);
        self.groups[held.group as usize] -= u32::from(held.cells);
        true
    }
}
