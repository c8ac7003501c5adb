//! How frames leave the queues of a port: granted, discarded, or because they have waited too long.
//!
//! What must not enter: whose turn it is, and what the line does meanwhile.

use super::{Grant, Port};
use crate::ets::Selection;
use crate::ids::Priority;
use crate::queue::{Entry, Slab};
use crate::time::Time;

impl Port {
    /// Removes from the head of a queue what `allowance` covers, which is asked for a superframe only.
    #[inline]
    pub(super) fn take(
        &mut self,
        slab: &mut Slab,
        priority: u8,
        class: u8,
        allowance: impl FnOnce(&Selection) -> u32,
    ) -> Grant {
        let index = usize::from(priority & 7);
        let Entry { id, shape, .. } = *self.queues[index].fifo.front(slab);
        if shape.segs == 1 {
            return self.take_frame(slab, index, class);
        }
        let from = self.queues[index].fifo.head_seg;
        let (to, bytes, wire) = shape.piece(from, allowance(&self.selection));
        let last = to == shape.segs;
        let queue = &mut self.queues[index];
        queue.frames -= u64::from(to - from);
        queue.bytes -= u64::from(bytes);
        if last {
            self.pop(slab, index);
        } else {
            queue.fifo.head_seg = to;
            self.heads[index] = shape.wire_at(to);
        }
        Grant { id, priority: Priority::new(priority), class, from, to, bytes, wire, last }
    }

    /// Removes the frame at the head of a queue.
    #[allow(clippy::inline_always)] // A grant that goes through memory costs a tenth of all that is done for a frame.
    #[inline(always)]
    pub(super) fn take_frame(&mut self, slab: &mut Slab, index: usize, class: u8) -> Grant {
        let queue = &mut self.queues[index];
        // Field by field: a read that is wider than the write before it has to wait for the cache.
        let entry = queue.fifo.front(slab);
        let (id, bytes, wire) = (entry.id, entry.shape.last_len, self.heads[index]);
        queue.frames -= 1;
        queue.bytes -= u64::from(bytes);
        self.pop(slab, index);
        Grant { id, priority: Priority::new(index as u8), class, from: 0, to: 1, bytes, wire, last: true }
    }

    /// Removes the head of a queue, which is granted.
    #[inline]
    fn pop(&mut self, slab: &mut Slab, index: usize) {
        let queue = &mut self.queues[index];
        queue.cells -= u32::from(queue.fifo.front(slab).cells);
        queue.fifo.pop(slab);
        if queue.fifo.len == 0 {
            self.backlog &= !(1 << index);
        } else {
            self.heads[index] = queue.fifo.front(slab).shape.wire_at(0);
        }
    }

    /// Removes the head of a queue as a whole: what was not sent of it.
    pub(crate) fn discard(&mut self, slab: &mut Slab, priority: Priority) -> Option<Grant> {
        if self.backlog & (1 << priority.get()) == 0 {
            return None;
        }
        let class = self.class_of(priority);
        let grant = self.take(slab, priority.get(), class, |_| u32::MAX);
        if self.backlog & (1 << priority.get()) == 0 {
            self.ended(priority.get());
        }
        Some(grant)
    }

    /// Removes the first frame that has waited too long.
    #[inline]
    pub(crate) fn stale(&mut self, slab: &mut Slab, now: Time) -> Option<Grant> {
        let mortal = self.backlog & self.mortal;
        if mortal == 0 { None } else { self.first_stale(mortal, slab, now) }
    }

    #[inline(never)]
    fn first_stale(&mut self, mut candidates: u8, slab: &mut Slab, now: Time) -> Option<Grant> {
        while candidates != 0 {
            let priority = candidates.trailing_zeros() as usize;
            let waited = now - self.queues[priority].fifo.front(slab).since;
            if waited > self.lifetimes[priority] {
                return self.discard(slab, Priority::new(priority as u8));
            }
            candidates &= candidates - 1;
        }
        None
    }
}
