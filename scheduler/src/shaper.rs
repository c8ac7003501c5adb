//! Pacing by the generic cell rate algorithm: one formula, live and simulated.
//!
//! A shaper holds the theoretical arrival time `tat` of the next byte. Something may be sent when `tat <= now`; sending
//! moves `tat` on by the time its bytes take. A process that wakes late finds `tat` in the past and may catch up, but by
//! no more than `burst`: what is older is lost, and told, since it means that a rate was not reached. In virtual time
//! nobody is late and `burst` is zero.

use crate::time::{Rate, Time};

/// One shaper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shaper {
    rate: Rate,
    burst: Time,
    tat: Time,
}

impl Shaper {
    pub(crate) const fn new(rate: Rate, burst: Time) -> Shaper {
        Shaper { rate, burst, tat: Time::ZERO }
    }

    /// The same shaper at another rate: what was sent before still counts.
    pub(crate) fn retuned(rate: Rate, burst: Time, before: Option<Shaper>) -> Shaper {
        Shaper { rate, burst, tat: before.map_or(Time::ZERO, |s| s.tat) }
    }

    pub(crate) fn ready(&self, now: Time) -> bool {
        self.tat <= now
    }

    /// When it will be ready.
    pub(crate) fn ready_at(&self) -> Time {
        self.tat
    }

    /// How long `bytes` take.
    pub(crate) fn time_of(&self, bytes: u32) -> Time {
        self.rate.time_of(u64::from(bytes))
    }

    /// Nothing was waiting until now: no credit for the past.
    pub(crate) fn forgo(&mut self, now: Time) {
        self.tat = self.tat.max(now);
    }

    /// Sends `bytes`; answers the credit that was lost by coming late.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: u32, now: Time) -> Time {
        let oldest = now.saturating_sub(self.burst);
        let mut lost = Time::ZERO;
        if self.tat < oldest {
            lost = oldest - self.tat;
            self.tat = oldest;
        }
        self.tat = self.tat + self.rate.time_of(u64::from(bytes));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_by_less_than_the_burst_loses_nothing() {
        let mut s = Shaper::new(Rate::from_bits_per_second(8_000_000_000), Time::from_micros(10));
        assert_eq!(s.charge(1000, Time::from_micros(9)), Time::ZERO);
        assert_eq!(s.ready_at(), Time::from_micros(1));
        assert_eq!(s.charge(1000, Time::from_micros(13)), Time::from_micros(2));
        assert_eq!(s.ready_at(), Time::from_micros(4));
    }

    #[test]
    fn idle_time_is_no_credit() {
        let mut s = Shaper::new(Rate::from_bits_per_second(8_000_000_000), Time::from_millis(5));
        s.forgo(Time::from_micros(100));
        s.charge(1000, Time::from_micros(100));
        assert!(!s.ready(Time::from_micros(100)));
    }
}
