//! One egress port: its queues, which of them are paused, and its line.

use crate::config::PortConfig;
use crate::ets::{Choice, Selection};
use crate::ids::{FrameId, PortId, Priority};
use crate::queue::{Entry, Fifo, Shape, Slab};
use crate::shaper::Shaper;
use crate::time::Time;

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

#[derive(Clone, Debug)]
struct Queue {
    fifo: Fifo,
    frames: u64,
    bytes: u64,
    cells: u32,
    peak_cells: u32,
    paused_at: Time,
    paused_until: Time,
    paused_for: Time,
    pauses: u64,
}

/// One egress port.
pub(crate) struct Port {
    id: PortId,
    queues: [Queue; 8],
    /// Wire bytes of the first segment of each queue that is not empty.
    heads: [u32; 8],
    /// Priorities with something queued.
    backlog: u8,
    paused: u8,
    /// The first instant at which a pause may end.
    pause_ends: Time,
    /// Longest wait by priority, and the priorities that have one.
    lifetimes: [Time; 8],
    mortal: u8,
    selection: Selection,
    line: Option<Shaper>,
    /// Nothing could be sent though the line was free: it gets no credit for that time.
    starved: bool,
    late: Time,
}

impl Port {
    pub(crate) fn new(id: PortId, config: &PortConfig) -> Port {
        let empty = Queue {
            fifo: Fifo::new(),
            frames: 0,
            bytes: 0,
            cells: 0,
            peak_cells: 0,
            paused_at: Time::ZERO,
            paused_until: Time::NEVER,
            paused_for: Time::ZERO,
            pauses: 0,
        };
        let mut port = Port {
            id,
            queues: core::array::from_fn(|_| empty.clone()),
            heads: [0; 8],
            backlog: 0,
            paused: 0,
            pause_ends: Time::NEVER,
            lifetimes: [Time::NEVER; 8],
            mortal: 0,
            selection: Selection::new(config),
            line: config.line_rate.map(|r| Shaper::new(r, config.burst)),
            starved: true,
            late: Time::ZERO,
        };
        port.set_lifetimes(config);
        port
    }

    fn set_lifetimes(&mut self, config: &PortConfig) {
        self.lifetimes = config.classes.queues.map(|queue| queue.lifetime.unwrap_or(Time::NEVER));
        let is_mortal = |p: &usize| self.lifetimes[*p] != Time::NEVER;
        self.mortal = (0..8).filter(is_mortal).fold(0, |mask, p| mask | 1 << p);
    }

    pub(crate) fn configure(&mut self, config: &PortConfig) {
        self.selection.configure(config);
        self.line = config.line_rate.map(|r| Shaper::retuned(r, config.burst, self.line));
        self.set_lifetimes(config);
    }

    pub(crate) fn id(&self) -> PortId {
        self.id
    }

    pub(crate) fn class_of(&self, priority: Priority) -> u8 {
        self.selection.class_of(priority.get())
    }

    pub(crate) fn cells(&self, priority: Priority) -> u32 {
        self.queues[priority.index()].cells
    }

    /// Whether more than one priority waits for its turn.
    pub(crate) fn is_contended(&self) -> bool {
        (self.backlog & !self.paused).count_ones() > 1
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog != 0
    }

    fn eligible(&self) -> u8 {
        self.backlog & !self.paused
    }

    /// Appends; `false` when the slab is full.
    #[inline]
    pub(crate) fn push(&mut self, slab: &mut Slab, priority: Priority, entry: Entry, now: Time) -> bool {
        let eligible = self.eligible();
        let queue = &mut self.queues[priority.index()];
        if !queue.fifo.push(slab, entry) {
            return false;
        }
        queue.frames += u64::from(entry.shape.segs);
        queue.bytes += entry.shape.bytes(0, entry.shape.segs);
        queue.cells += u32::from(entry.cells);
        queue.peak_cells = queue.peak_cells.max(queue.cells);
        let bit = 1 << priority.get();
        if self.backlog & bit == 0 {
            self.backlog |= bit;
            self.heads[priority.index()] = entry.shape.wire_at(0);
            self.selection.began(priority.get(), eligible, now);
        }
        true
    }

    /// The next piece, if the line is free and something may be sent.
    pub(crate) fn poll(&mut self, slab: &mut Slab, now: Time) -> Option<Grant> {
        if self.pause_ends <= now {
            self.end_pauses(now);
        }
        if self.line.is_some_and(|line| !line.ready(now)) {
            return None;
        }
        let eligible = self.eligible();
        if eligible == 0 {
            self.starved = true;
            return None;
        }
        let Some(choice) = self.selection.choose(eligible, now, &self.heads) else {
            self.starved = true;
            return None;
        };
        let grant = self.take(slab, choice);
        self.selection.charge(choice, grant.wire, now);
        if let Some(line) = &mut self.line {
            if self.starved {
                line.forgo(now);
            }
            self.late = self.late + line.charge(grant.wire, now);
        }
        self.starved = false;
        if self.backlog & (1 << choice.priority) == 0 {
            self.selection.emptied(choice.priority, self.eligible());
        }
        Some(grant)
    }

    /// Removes from the head of the chosen queue what its allowance covers.
    #[allow(clippy::inline_always)] // A grant that goes through memory costs a tenth of all that is done for a frame.
    #[inline(always)]
    fn take(&mut self, slab: &mut Slab, choice: Choice) -> Grant {
        let index = usize::from(choice.priority & 7);
        let queue = &mut self.queues[index];
        let Entry { id, shape, cells, .. } = *queue.fifo.front(slab);
        let from = queue.fifo.head_seg;
        let to = if shape.segs == 1 { 1 } else { end_of_piece(&shape, from, choice.allowance) };
        let last = to == shape.segs;
        let (bytes, wire) = shape.measure(from, to);
        queue.frames -= u64::from(to - from);
        queue.bytes -= u64::from(bytes);
        if last {
            queue.cells -= u32::from(cells);
            queue.fifo.pop(slab);
        } else {
            queue.fifo.head_seg = to;
        }
        if queue.fifo.len == 0 {
            self.backlog &= !(1 << index);
        } else {
            self.heads[index] = queue.fifo.front(slab).shape.wire_at(queue.fifo.head_seg);
        }
        Grant {
            id,
            priority: Priority::new(choice.priority),
            class: choice.class,
            from,
            to,
            bytes,
            wire,
            last,
        }
    }

    /// Removes the head of a queue as a whole: what was not sent of it.
    pub(crate) fn discard(&mut self, slab: &mut Slab, priority: Priority) -> Option<Grant> {
        if self.backlog & (1 << priority.get()) == 0 {
            return None;
        }
        let class = self.class_of(priority);
        let grant = self.take(slab, Choice::whole(priority.get(), class));
        if self.backlog & (1 << priority.get()) == 0 {
            self.selection.emptied(priority.get(), self.eligible());
        }
        Some(grant)
    }

    /// Removes the first frame that has waited too long.
    pub(crate) fn stale(&mut self, slab: &mut Slab, now: Time) -> Option<Grant> {
        let mut candidates = self.backlog & self.mortal;
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

    /// Pauses a priority until an instant; a running pause is replaced.
    pub(crate) fn pause(&mut self, priority: Priority, until: Time, now: Time) {
        if self.pause_ends <= now {
            self.end_pauses(now);
        }
        let bit = 1 << priority.get();
        let queue = &mut self.queues[priority.index()];
        queue.paused_until = until;
        if self.paused & bit == 0 {
            queue.paused_at = now;
            queue.pauses += 1;
            self.paused |= bit;
            self.selection.suspended(priority.get(), self.eligible());
        }
        self.pause_ends = self.first_pause_end();
    }

    /// Ends a pause.
    pub(crate) fn resume(&mut self, priority: Priority, now: Time) {
        self.end_pause(priority, now, now);
        self.pause_ends = self.first_pause_end();
    }

    /// Ends the pauses whose time is over.
    fn end_pauses(&mut self, now: Time) {
        for priority in Priority::all() {
            let until = self.queues[priority.index()].paused_until;
            if until <= now {
                self.end_pause(priority, until, now);
            }
        }
        self.pause_ends = self.first_pause_end();
    }

    fn end_pause(&mut self, priority: Priority, end: Time, now: Time) {
        let bit = 1 << priority.get();
        if self.paused & bit == 0 {
            return;
        }
        let before = self.eligible();
        self.paused &= !bit;
        let queue = &mut self.queues[priority.index()];
        queue.paused_for = queue.paused_for + (end - queue.paused_at);
        queue.paused_until = Time::NEVER;
        self.selection.began(priority.get(), before, now);
    }

    fn first_pause_end(&self) -> Time {
        let mut first = Time::NEVER;
        let mut paused = self.paused;
        while paused != 0 {
            first = first.min(self.queues[paused.trailing_zeros() as usize].paused_until);
            paused &= paused - 1;
        }
        first
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
        let eligible = self.eligible();
        let mut wake = if eligible == 0 { Time::NEVER } else { self.selection.ready_at(eligible) };
        if self.backlog & self.paused != 0 {
            wake = wake.min(self.pause_ends);
        }
        let line = self.line.map_or(Time::ZERO, |l| l.ready_at());
        (wake != Time::NEVER).then(|| wake.max(line))
    }

    pub(crate) fn late(&self) -> Time {
        self.late
    }

    pub(crate) fn backlog(&self, priority: Priority, now: Time) -> Backlog {
        let queue = &self.queues[priority.index()];
        // A pause may be over though nothing was sent since.
        let noted = self.paused & (1 << priority.get()) != 0;
        let paused = noted && queue.paused_until > now;
        let running = if noted { now.min(queue.paused_until) - queue.paused_at } else { Time::ZERO };
        Backlog {
            units: u64::from(queue.fifo.len),
            frames: queue.frames,
            bytes: queue.bytes,
            cells: queue.cells,
            peak_cells: queue.peak_cells,
            paused,
            paused_since: queue.paused_at,
            paused_for: queue.paused_for + running,
            pauses: queue.pauses,
        }
    }
}

/// Behind the last segment that fits into `allowance` wire bytes; at least one segment.
fn end_of_piece(shape: &Shape, from: u16, allowance: u32) -> u16 {
    let left = shape.segs - from;
    if left == 1 || shape.wire(from, shape.segs) <= u64::from(allowance) {
        return shape.segs;
    }
    let fit = allowance / crate::time::wire_bytes(shape.seg_len);
    from + u16::try_from(fit).unwrap_or(u16::MAX).clamp(1, left - 1)
}
