//! What a TAP port with a queue per priority has more than one without: gates, and a guard of its rings.
//!
//! A gate is closed because the switch wants it, or because its ring is not found empty for so long that it could overflow
//! (the port's line rate is used up, or the worker has other things to do): a full ring would drop. For a priority that is
//! lossless that time is reckoned with the shortest frames. For others with such as come: the worker never finds the ring of
//! a fast TCP empty, and it holds a few hundred superframes at most; should short ones be behind them, some may be dropped.
//!
//! A gate that may open again waits until its ring is empty. Each opening lets a bucketful through at once; a switch that
//! takes less than that between two pauses would otherwise fill the ring, pause by pause.

use std::time::{Duration, Instant};

use dcbridge_config::PrioritySet;
use dcbridge_scheduler::Priority;

use crate::edge::{Cookie, HostEdge, Kick, Patience};
use crate::port::Guarantee;

/// Gates of a port.
#[derive(Debug)]
pub(super) struct Lossless {
    edge: HostEdge,
    cookie: Cookie,
    /// Gates that the switch wants open.
    wanted: u8,
    /// Queues that were closed and not seen empty since they were wanted open again.
    draining: u8,
    guard: Guard,
    kicks: u64,
}

impl Lossless {
    /// Of an edge, for a port at which these priorities are lossless.
    pub(super) fn new(edge: HostEdge, cookie: Cookie, lossless: PrioritySet) -> Lossless {
        let guard = Guard::new(edge.patience(), lossless.0);
        Lossless { edge, cookie, wanted: u8::MAX, draining: 0, guard, kicks: 0 }
    }

    /// A frame was read from a queue. Whether it is a kick, which nobody else is to see.
    pub(super) fn takes(&mut self, queue: usize, frame: &[u8]) -> bool {
        let kick = Kick::is_one(frame, self.cookie);
        self.kicks += u64::from(kick);
        self.guard.came(queue, frame.len());
        kick
    }

    pub(super) fn set_gate(&mut self, priority: Priority, open: bool) {
        let bit = 1 << priority.get();
        if open {
            self.wanted |= bit;
            self.guard.forget(bit);
        } else {
            self.wanted &= !bit;
            self.draining |= bit;
            // DCBX has made it lossless.
            self.guard.lossless |= bit;
        }
        self.apply();
    }

    /// Frames were read; `left`: queues that are not known to be empty.
    pub(super) fn read(&mut self, left: u8) {
        self.edge.gates_state().stir();
        self.draining &= left | !self.wanted;
        self.guard.look(left, Instant::now);
        self.apply();
    }

    fn apply(&mut self) {
        self.edge.gates().set(self.wanted & !self.draining & !self.guard.full);
    }

    pub(super) fn guarantee(&self) -> Guarantee {
        if self.edge.gates_state().failed() {
            return Guarantee::None;
        }
        Guarantee::BoundedByHeadroom { residual_bytes: self.edge.residual_bytes() }
    }

    pub(super) fn edge(&self) -> &HostEdge {
        &self.edge
    }

    pub(super) fn kicks(&self) -> u64 {
        self.kicks
    }
}

/// Which rings could be half full.
#[derive(Debug)]
struct Guard {
    patience: Patience,
    /// With the shortest frames.
    least: Duration,
    lossless: u8,
    /// Queues that were not empty when they were last looked at, and what is known since.
    left: u8,
    since: [Option<Since>; 8],
    full: u8,
}

/// A queue since it was last found empty.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Instant,
    frames: u64,
    bytes: u64,
}

impl Guard {
    fn new(patience: Patience, lossless: u8) -> Guard {
        let least = patience.with_frames_of(0);
        Guard { patience, least, lossless, left: 0, since: [None; 8], full: 0 }
    }

    fn came(&mut self, queue: usize, bytes: usize) {
        if let Some(since) = self.since.get_mut(queue).and_then(Option::as_mut) {
            since.frames += 1;
            since.bytes += bytes as u64;
        }
    }

    fn look(&mut self, left: u8, now: impl FnOnce() -> Instant) {
        self.full &= left;
        let before = std::mem::replace(&mut self.left, left);
        if before | left == 0 {
            return;
        }
        let now = now();
        for (queue, since) in self.since.iter_mut().enumerate() {
            let bit = 1 << queue;
            if left & bit == 0 {
                *since = None;
                continue;
            }
            let since = since.get_or_insert(Since { at: now, frames: 0, bytes: 0 });
            let waited = now.saturating_duration_since(since.at);
            if waited <= self.least {
                continue;
            }
            let shortest = self.lossless & bit != 0 || since.frames == 0;
            let usual = if shortest { 0 } else { since.bytes / since.frames };
            if waited > self.patience.with_frames_of(usual) {
                self.full |= bit;
            }
        }
    }

    /// As if these queues had just been found empty.
    fn forget(&mut self, queues: u8) {
        self.full &= !queues;
        for (queue, since) in self.since.iter_mut().enumerate() {
            if queues & 1 << queue != 0 {
                *since = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two milliseconds in the shortest frames.
    const PATIENCE: Patience = Patience::new(4000, 40_000_000_000 / 8);

    fn guard(lossless: u8) -> (Guard, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        (Guard::new(PATIENCE, lossless), move |millis| begin + Duration::from_millis(millis))
    }

    #[test]
    fn a_ring_that_is_not_emptied_in_time_is_full_until_it_is() {
        let (mut guard, at) = guard(u8::MAX);
        let mut look = |left, millis| {
            guard.look(left, || at(millis));
            guard.full
        };
        assert_eq!(look(0b11, 0), 0);
        assert_eq!(look(0b11, 2), 0);
        assert_eq!(look(0b10, 3), 0b10, "queue 0 was emptied, queue 1 not");
        assert_eq!(look(0b11, 4), 0b10, "a new beginning for queue 0");
        assert_eq!(look(0b01, 5), 0);
        assert_eq!(look(0b01, 7), 0b01);
        assert_eq!(look(0, 8), 0);
        assert_eq!(look(0b01, 9), 0);
    }

    #[test]
    fn superframes_of_a_lossy_priority_take_longer_to_fill_a_ring() {
        for (lossless, bytes, full) in [(0b10, 60_000, 0b10), (0b10, 60, 0b11), (0b11, 60_000, 0b11)] {
            let (mut guard, at) = guard(lossless);
            guard.look(0b11, || at(0));
            for queue in [0, 1] {
                guard.came(queue, bytes);
            }
            guard.look(0b11, || at(20));
            assert_eq!(guard.full, full, "lossless: {lossless:b}, frames of {bytes}");
            guard.look(0b11, || at(60));
            assert_eq!(guard.full, 0b11, "in the end any ring could be full");
        }
    }
}
