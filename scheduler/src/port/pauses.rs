//! Pauses of a port's priorities: when one begins, ends by itself or is ended, and how long they were in all.
//!
//! What must not enter: frames of flow control (`pfc`), and why somebody is paused.

use super::Port;
use crate::ids::Priority;
use crate::time::Time;

/// The pauses of one priority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    pub(super) since: Time,
    pub(super) until: Time,
    pub(super) ended: Time,
    pub(super) count: u64,
}

impl Pauses {
    pub(super) const NEVER: Pauses =
        Pauses { since: Time::ZERO, until: Time::NEVER, ended: Time::ZERO, count: 0 };
}

impl Port {
    /// Pauses a priority until an instant; a running pause is replaced.
    pub(crate) fn pause(&mut self, priority: Priority, until: Time, now: Time) {
        if self.pause_ends <= now {
            self.end_pauses(now);
        }
        let bit = 1 << priority.get();
        let pauses = &mut self.pauses[priority.index()];
        pauses.until = until;
        if self.paused & bit == 0 {
            pauses.since = now;
            pauses.count += 1;
            self.paused |= bit;
            self.steady = None;
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
    #[cold]
    pub(super) fn end_pauses(&mut self, now: Time) {
        for priority in Priority::all() {
            let until = self.pauses[priority.index()].until;
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
        self.steady = None;
        let pauses = &mut self.pauses[priority.index()];
        pauses.ended = pauses.ended + (end - pauses.since);
        pauses.until = Time::NEVER;
        self.selection.began(priority.get(), before, now);
    }

    fn first_pause_end(&self) -> Time {
        let mut first = Time::NEVER;
        let mut paused = self.paused;
        while paused != 0 {
            first = first.min(self.pauses[paused.trailing_zeros() as usize].until);
            paused &= paused - 1;
        }
        first
    }
}
