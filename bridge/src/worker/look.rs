//! Whether a worker that has nothing to do looks again or sleeps.
//!
//! To be woken takes as long as to carry a frame there and back. A worker that looks on for a moment saves that where a
//! conversation goes on, and burns a processor where none does. So it learns: as long as the next frame comes within
//! `LOOK_ON`, it looks on so long; each time it does not come, half as long, and soon not at all.
//!
//! It never looks on where that keeps others from what they have to do: behind bulk that keeps the machine busy, whose
//! receiver wants the processor now, on the only processor, or before all ordinary work (SCHED_FIFO).

use dcbridge_config::Poll;
use dcbridge_scheduler::Time;

/// How long it looks on at most: where waking up is slow, a conversation has pauses of more than 50 us for this very reason.
const LOOK_ON: Time = Time::from_micros(100);
/// Looking on for less than this is as good as sleeping at once.
const LEAST: Time = Time::from_micros(6);
/// Bytes in a time that are bulk: 3 Gbit/s.
const BULK: u64 = 192 * 1024;
const BULK_IN: Time = Time::from_micros(500);

/// What it does when there is nothing to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    poll: Poll,
    /// How long it looks on now.
    window: Time,
    /// Bytes that came since then.
    bytes: u64,
    since: Time,
    /// Whether it is bulk.
    bulk: bool,
}

impl Look {
    /// Of a thread that may run on so many processors.
    pub(super) fn new(poll: Poll, processors: usize) -> Look {
        let poll = if poll == Poll::Adaptive && processors < 2 { Poll::Sleep } else { poll };
        Look { poll, window: Time::ZERO, bytes: 0, since: Time::ZERO, bulk: false }
    }

    /// Frames have come when there was nothing to do, so long after those before.
    #[inline]
    pub(super) fn came(&mut self, interval: Time) {
        if interval < LOOK_ON {
            self.window = LOOK_ON;
        }
    }

    /// A turn has received so many bytes.
    #[inline]
    pub(super) fn at(&mut self, bytes: u64, now: Time) {
        self.bytes += bytes;
        let span = now - self.since;
        if span >= BULK_IN || self.bytes >= BULK {
            self.bulk = self.bytes >= BULK && span < BULK_IN + BULK_IN;
            (self.bytes, self.since) = (0, now);
        }
    }

    /// Whether it looks again, so long after the last frame; `hurries`: before all ordinary work.
    pub(super) fn goes_on(&mut self, since: Time, hurries: bool) -> bool {
        match self.poll {
            Poll::Sleep => false,
            Poll::Busy => true,
            Poll::Adaptive if self.bulk || hurries || self.window < LEAST => false,
            Poll::Adaptive if since < self.window => true,
            Poll::Adaptive => {
                self.window = Time(self.window.0 / 2);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Time = Time::from_micros(20);
    const LATE: Time = Time::from_micros(400);

    /// How often it looks on and how often it sleeps while frames come at these intervals.
    fn looks(look: &mut Look, intervals: &[Time]) -> (u32, u32) {
        let (mut looks, mut sleeps) = (0, 0);
        for &interval in intervals {
            let mut since = Time::ZERO;
            while since < interval {
                if look.goes_on(since, false) {
                    looks += 1;
                    since = since + Time::from_micros(1);
                } else {
                    sleeps += 1;
                    since = interval;
                }
            }
            look.came(interval);
        }
        (looks, sleeps)
    }

    #[test]
    fn a_conversation_is_looked_at_and_rare_frames_are_slept_for() {
        let mut look = Look::new(Poll::Adaptive, 2);
        assert_eq!(looks(&mut look, &[SOON; 10]), (9 * 20, 1), "it learns from the first");
        let (looked, slept) = looks(&mut look, &[LATE; 100]);
        assert_eq!(slept, 100);
        assert!(looked <= 100 + 50 + 25 + 13 + 7, "{looked} us");
        assert_eq!(looks(&mut look, &[SOON; 3]).1, 1, "and it learns again");
    }

    #[test]
    fn it_looks_on_neither_behind_bulk_nor_in_haste_nor_on_the_only_processor() {
        let mut look = Look::new(Poll::Adaptive, 2);
        look.came(SOON);
        assert!(look.goes_on(SOON, false));
        assert!(!look.goes_on(SOON, true));
        let mut lone = Look::new(Poll::Adaptive, 1);
        lone.came(SOON);
        assert!(!lone.goes_on(SOON, false));
        assert!(Look::new(Poll::Busy, 1).goes_on(LATE, true));
    }

    /// Whether it looks on beside superframes that come at these intervals.
    fn looks_beside_superframes(every: Time) -> bool {
        let mut look = Look::new(Poll::Adaptive, 2);
        let mut now = Time::from_millis(10);
        for _ in 0..100 {
            now = now + every;
            look.at(62_000, now);
        }
        look.came(SOON);
        look.goes_on(SOON, false)
    }

    #[test]
    fn bulk_is_what_keeps_the_machine_busy() {
        let gigabits = |rate: u64| Time::from_nanos(62_000 * 8 / rate);
        assert!(looks_beside_superframes(gigabits(1)));
        assert!(!looks_beside_superframes(gigabits(5)));
        assert!(!looks_beside_superframes(gigabits(25)));
    }
}
