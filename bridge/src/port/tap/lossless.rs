//! What a TAP port with a queue per priority has more than one without: gates, and a guard of its rings.
//!
//! A gate is closed because the switch wants it, or because its ring is not emptied for so long that it could overflow
//! (the port's line rate is used up, or the worker has other things to do): a full ring would drop.
//!
//! A gate that may open again waits until its ring is empty. Each opening lets a bucketful through at once; a switch that
//! takes less than that between two pauses would otherwise fill the ring, pause by pause.

use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;

use crate::edge::{Cookie, HostEdge, Kick};
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
    pub(super) fn new(edge: HostEdge, cookie: Cookie) -> Lossless {
        let guard = Guard::new(edge.patience());
        Lossless { edge, cookie, wanted: u8::MAX, draining: 0, guard, kicks: 0 }
    }

    /// Whether a received frame is a kick, which nobody else is to see.
    pub(super) fn takes(&mut self, frame: &[u8]) -> bool {
        let kick = Kick::is_one(frame, self.cookie);
        self.kicks += u64::from(kick);
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
    patience: Duration,
    /// Queues that were not empty when they were last looked at, and since when.
    left: u8,
    since: [Option<Instant>; 8],
    full: u8,
}

impl Guard {
    fn new(patience: Duration) -> Guard {
        Guard { patience, left: 0, since: [None; 8], full: 0 }
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
            } else if now.saturating_duration_since(*since.get_or_insert(now)) > self.patience {
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

    #[test]
    fn a_ring_that_is_not_emptied_in_time_is_full_until_it_is() {
        let begin = Instant::now();
        let mut guard = Guard::new(Duration::from_millis(2));
        let mut look = |left, millis| {
            guard.look(left, || begin + Duration::from_millis(millis));
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
}
