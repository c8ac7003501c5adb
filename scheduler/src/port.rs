//! One egress port: its queues, which of them are paused, and its line.

mod pauses;
mod removal;

use crate::Meta;
use crate::config::{PortConfig, QueueLimit};
use crate::ets::{Choice, Selection};
use crate::ids::{FrameId, PortId, Priority};
use crate::queue::{Entry, Fifo, Shape, Slab};
use crate::shaper::Shaper;
use crate::time::Time;
use pauses::Pauses;

/// What may be sent: a range of a frame's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The frame.
    pub id: FrameId,
    /// The queue it came from.
    pub priority: Priority,
    /// Class number of that queue.
    pub class: u8,
    /// First segment.
    pub from: u16,
    /// Behind the last segment.
    pub to: u16,
    /// Bytes without FCS.
    pub bytes: u32,
    /// Wire bytes.
    pub wire: u32,
    /// Whether this is the end of the frame.
    pub last: bool,
}

/// Units, frames and bytes (without FCS) that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Frames and superframes.
    pub units: u64,
    /// Frames as they leave.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Cells that they occupy.
    pub cells: u32,
    /// Most cells that were ever occupied.
    pub peak_cells: u32,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Since when, if it is.
    pub paused_since: Time,
    /// How long it was paused in all.
    pub paused_for: Time,
    /// How often a pause began.
    pub pauses: u64,
}

/// The queue of one priority: a cache line of its own, as most frames touch just one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Queue {
    fifo: Fifo,
    cells: u32,
    peak_cells: u32,
    frames: u64,
    bytes: u64,
    limit: QueueLimit,
    /// Of `cells`, those of other schedulers' buffers.
    borrowed: u32,
}

impl Queue {
    const EMPTY: Queue = Queue {
        fifo: Fifo::new(),
        cells: 0,
        peak_cells: 0,
        frames: 0,
        bytes: 0,
        limit: QueueLimit::Buffer,
        borrowed: 0,
    };
}

const _: () = assert!(size_of::<Queue>() == 64);

/// One egress port.
pub(crate) struct Port {
    id: PortId,
    queues: [Queue; 8],
    /// Wire bytes of the first segment of each queue that is not empty.
    heads: [u32; 8],
    /// Priorities with something queued.
    backlog: u8,
    paused: u8,
    pauses: [Pauses; 8],
    /// The first instant at which a pause may end.
    pause_ends: Time,
    /// Longest wait by priority, and the priorities that have one.
    lifetimes: [Time; 8],
    mortal: u8,
    selection: Selection,
    /// Who goes next as well, if it is a frame: until a queue begins or ends to be eligible, or settings change.
    steady: Option<Choice>,
    line: Option<Shaper>,
    /// How long the piece that went last occupies the line, if it was of several segments: a strict class need not wait for
    /// its end.
    piece: Time,
    /// Nothing could be sent though the line was free: it gets no credit for that time.
    starved: bool,
    late: Time,
}

impl Port {
    pub(crate) fn new(id: PortId, config: &PortConfig) -> Port {
        let mut port = Port {
            id,
            queues: [Queue::EMPTY; 8],
            heads: [0; 8],
            backlog: 0,
            paused: 0,
            pauses: [Pauses::NEVER; 8],
            pause_ends: Time::NEVER,
            lifetimes: [Time::NEVER; 8],
            mortal: 0,
            selection: Selection::new(config),
            steady: None,
            line: config.line_rate.map(|r| Shaper::new(r, config.burst)),
            piece: Time::ZERO,
            starved: true,
            late: Time::ZERO,
        };
        port.set_queues(config);
        port
    }

    fn set_queues(&mut self, config: &PortConfig) {
        for (queue, set) in self.queues.iter_mut().zip(&config.classes.queues) {
            queue.limit = set.limit;
        }
        self.lifetimes = config.classes.queues.map(|queue| queue.lifetime.unwrap_or(Time::NEVER));
        let is_mortal = |p: &usize| self.lifetimes[*p] != Time::NEVER;
        self.mortal = (0..8).filter(is_mortal).fold(0, |mask, p| mask | 1 << p);
    }

    pub(crate) fn configure(&mut self, config: &PortConfig) {
        self.selection.configure(config);
        self.steady = None;
        self.line = config.line_rate.map(|r| Shaper::retuned(r, config.burst, self.line));
        self.set_queues(config);
    }

    pub(crate) fn id(&self) -> PortId {
        self.id
    }

    pub(crate) fn class_of(&self, priority: Priority) -> u8 {
        self.selection.class_of(priority.get())
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog != 0
    }

    fn eligible(&self) -> u8 {
        self.backlog & !self.paused
    }

    /// Whether `cells` more would be too many for a queue while `free` cells of the buffer are free. What is free is
    /// divided among what was taken of it: a queue's borrowed cells are of other buffers.
    #[inline]
    pub(crate) fn is_full(&self, priority: Priority, cells: u16, free: u32) -> bool {
        let queue = &self.queues[priority.index()];
        let held = match queue.limit {
            QueueLimit::Dynamic(_) => queue.cells.saturating_sub(queue.borrowed),
            QueueLimit::Static(_) | QueueLimit::Buffer => queue.cells,
        };
        held.saturating_add(u32::from(cells)) > queue.limit.cells(free)
    }

    /// Whether the limit of a queue depends on what is free.
    pub(crate) fn is_dynamic(&self, priority: Priority) -> bool {
        matches!(self.queues[priority.index()].limit, QueueLimit::Dynamic(_))
    }

    /// Whether `cells` more would be too many for a queue of a fixed length.
    pub(crate) fn is_over(&self, priority: Priority, cells: u16) -> bool {
        let queue = &self.queues[priority.index()];
        let limit = if let QueueLimit::Static(limit) = queue.limit { limit } else { u32::MAX };
        queue.cells.saturating_add(u32::from(cells)) > limit
    }

    /// Cells of this buffer are for a queue of this port, which is served elsewhere.
    pub(crate) fn lend(&mut self, priority: Priority, cells: u16) {
        self.queues[priority.index()].cells += u32::from(cells);
    }

    /// They are free again.
    pub(crate) fn repaid(&mut self, priority: Priority, cells: u16) {
        self.queues[priority.index()].cells -= u32::from(cells);
    }

    /// Of the cells in a queue, so many more (or less) are of another buffer.
    pub(crate) fn set_borrowed(&mut self, priority: Priority, change: i32) {
        let borrowed = &mut self.queues[priority.index()].borrowed;
        *borrowed = borrowed.saturating_add_signed(change);
    }

    /// Appends to a queue; only while the slab is not exhausted.
    #[inline]
    pub(crate) fn push(&mut self, slab: &mut Slab, meta: &Meta, now: Time) {
        let Meta { id, cells, priority, shape, .. } = *meta;
        let index = priority.index();
        let queue = &mut self.queues[index];
        queue.fifo.push(slab, Entry { id, shape, cells, since: now });
        let Shape { segs, last_len, .. } = shape;
        queue.frames += u64::from(segs);
        queue.bytes += if segs == 1 { u64::from(last_len) } else { shape.bytes(0, segs) };
        queue.cells += u32::from(cells);
        queue.peak_cells = queue.peak_cells.max(queue.cells);
        let bit = 1 << index;
        if self.backlog & bit == 0 {
            self.selection.began(priority.get(), self.eligible(), now);
            self.backlog |= bit;
            self.steady = None;
            self.heads[index] = shape.wire_at(0);
        }
    }

    /// What may go though the line is busy. A piece of several segments was handed over as a whole, but on a line of that
    /// rate a strict class would come between its segments: so it goes at once, and what it takes, the line is busy longer.
    fn interleaving(&self, now: Time) -> u8 {
        let strict = self.eligible() & self.selection.strict_priorities();
        let line = self.line.map_or(Time::ZERO, |line| line.ready_at());
        if line <= now + self.piece { strict } else { 0 }
    }

    /// The next piece, if the line is free and something may be sent.
    #[inline]
    pub(crate) fn poll(&mut self, slab: &mut Slab, now: Time) -> Option<Grant> {
        if self.pause_ends <= now {
            self.end_pauses(now);
        }
        let free = self.line.is_none_or(|line| line.ready(now));
        if free
            && let Some(choice) = self.steady
            && let Some(grant) = self.go_on(choice, slab, now)
        {
            return Some(grant);
        }
        let eligible = if free { self.eligible() } else { self.interleaving(now) };
        let Some(choice) = self.selection.choose(eligible, now, &self.heads) else {
            self.starved |= free;
            return None;
        };
        let grant = self.take(slab, choice.priority, choice.class, |selection| selection.cut(choice.class));
        self.selection.charge(choice, grant.wire, now);
        self.occupy(&grant, free, now);
        if self.backlog & (1 << (choice.priority & 7)) == 0 {
            self.ended(choice.priority);
        } else {
            self.steady = choice.steady.then_some(choice);
        }
        Some(grant)
    }

    /// One frame more of whom it was the turn before, if nothing has changed: most frames go like that.
    #[inline]
    fn go_on(&mut self, choice: Choice, slab: &mut Slab, now: Time) -> Option<Grant> {
        let index = usize::from(choice.priority & 7);
        let is_frame = self.queues[index].fifo.front(slab).shape.segs == 1;
        if !is_frame || !self.selection.goes_on(choice, self.heads[index]) {
            return None;
        }
        let grant = self.take_frame(slab, index, choice.class);
        self.occupy(&grant, true, now);
        if self.queues[index].fifo.len == 0 {
            self.ended(choice.priority);
        }
        Some(grant)
    }

    /// A piece is on the line.
    #[inline]
    fn occupy(&mut self, grant: &Grant, free: bool, now: Time) {
        if let Some(line) = &mut self.line {
            if self.starved {
                line.forgo(now);
            }
            self.late = self.late + line.charge(grant.wire, now);
            if free {
                let divisible = grant.to - grant.from > 1 && !self.selection.is_strict(grant.class);
                self.piece = if divisible { line.time_of(grant.wire) } else { Time::ZERO };
            }
        }
        self.starved = false;
    }

    /// A queue has become empty.
    fn ended(&mut self, priority: u8) {
        self.steady = None;
        self.selection.emptied(priority, self.eligible());
    }

    /// Something outside the queues takes line time.
    pub(crate) fn charge_line(&mut self, wire: u32, now: Time) {
        if let Some(line) = &mut self.line {
            line.forgo(now);
            line.charge(wire, now);
        }
    }

    /// When `poll` may have something; `None`: not before a frame comes or somebody ends a pause.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        if self.backlog == 0 {
            return None;
        }
        let at = |queues: u8, line: Time| {
            if queues == 0 { Time::NEVER } else { self.selection.ready_at(queues).max(line) }
        };
        let (eligible, line) = (self.eligible(), self.line.map_or(Time::ZERO, |l| l.ready_at()));
        let strict = eligible & self.selection.strict_priorities();
        let mut wake = at(eligible, line).min(at(strict, line - self.piece));
        if self.backlog & self.paused != 0 {
            wake = wake.min(self.pause_ends.max(line));
        }
        (wake != Time::NEVER).then_some(wake)
    }

    /// Whether a strict class without a maximum rate has something to send.
    pub(crate) fn waits_strictly(&self) -> bool {
        self.eligible() & self.selection.uncapped_strict_priorities() != 0
    }

    pub(crate) fn late(&self) -> Time {
        self.late
    }

    pub(crate) fn backlog(&self, priority: Priority, now: Time) -> Backlog {
        let queue = &self.queues[priority.index()];
        let pauses = &self.pauses[priority.index()];
        // A pause may be over though nothing was sent since.
        let noted = self.paused & (1 << priority.get()) != 0;
        let paused = noted && pauses.until > now;
        let running = if noted { now.min(pauses.until) - pauses.since } else { Time::ZERO };
        Backlog {
            units: u64::from(queue.fifo.len),
            frames: queue.frames,
            bytes: queue.bytes,
            cells: queue.cells,
            peak_cells: queue.peak_cells,
            paused,
            paused_since: pauses.since,
            paused_for: pauses.ended + running,
            pauses: pauses.count,
        }
    }
}
