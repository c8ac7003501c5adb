//! Which queues may have frames, and how the others are found when they have some again.
//!
//! What must not enter: taking frames out, and how they are sent (the timer that ends here serves both).

use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};

use super::{QUEUES, VethPort};

/// How often an armed queue is looked at again, and when.
const RETRIES: u8 = 3;
const RETRY: Duration = Duration::from_millis(2);

impl VethPort {
    /// Polls a queue. Answers whether it has frames.
    pub(super) fn bell(&mut self, queue: usize) -> bool {
        self.counters.bells += 1;
        self.queues[queue].bell.ring();
        !self.queues[queue].xsk.is_empty()
    }

    /// Leaves a queue that was found empty until its next frame. True: there is one already.
    pub(super) fn arm(&mut self, queue: usize) -> bool {
        self.counters.dozes += 1;
        self.empty[queue] = 0;
        self.wake.arm(queue as u8);
        if self.bell(queue) {
            self.wake.disarm(queue as u8);
            return true;
        }
        self.hot &= !(1 << queue);
        self.retries[queue] = RETRIES;
        self.wake_in(RETRY);
        false
    }

    /// Lets `rx` be called after `delay`, or earlier.
    pub(super) fn wake_in(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        if self.timer_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        self.timer_at = Some(at);
        let delay = delay.max(Duration::from_nanos(1));
        // It only fails for times that are none.
        let _ = self.timer.set(Expiration::OneShot(TimeSpec::from(delay)), TimerSetTimeFlags::empty());
    }

    /// Finds out which queues have become hot.
    pub(super) fn look(&mut self, serve: u8) {
        // Queues that were not served may have anything.
        self.hot |= serve & !self.served;
        self.served = serve;
        let mut woken = 0;
        for queue in 0..QUEUES as u8 {
            let bit = 1 << queue;
            if self.hot & bit == 0 && !self.wake.is_armed(queue) {
                woken |= bit;
                self.counters.wakes += 1;
            }
        }
        if woken != 0 {
            self.hot |= woken;
            self.wake.hear();
        }
        if self.timer_at.is_some_and(|at| at <= Instant::now()) {
            self.timer_at = None;
            // It may be a little behind our clock; what it says then is heard the next time.
            let _ = self.timer.wait();
            self.retry();
        }
    }

    /// The timer has ended: looks at armed queues again, and sends what was left.
    fn retry(&mut self) {
        let mut again = false;
        for queue in 0..QUEUES {
            let bit = 1 << queue;
            if self.hot & bit != 0 || self.retries[queue] == 0 || self.served & bit == 0 {
                continue;
            }
            self.retries[queue] -= 1;
            again |= self.retries[queue] > 0;
            self.find(queue);
        }
        if again {
            self.wake_in(RETRY);
        }
        if self.unsent {
            self.send();
        }
    }

    /// Looks into a queue that is armed.
    pub(super) fn find(&mut self, queue: usize) {
        if self.bell(queue) {
            self.counters.found += 1;
            self.hot |= 1 << queue;
        }
    }
}
