//! Time, rates and wire bytes.
//!
//! One tick is 10 ps: the time of a byte is then a whole number at every standard Ethernet rate from 1 Mbit/s
//! to 800 Gbit/s. A `u64` of them lasts 5.8 years. No floating point: the simulator must be exact.

use core::ops::{Add, Sub};

/// An instant or a span, in ticks of 10 ps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The beginning.
    pub const ZERO: Time = Time(0);
    /// Later than everything.
    pub const NEVER: Time = Time(u64::MAX);

    /// A span of nanoseconds.
    pub const fn from_nanos(ns: u64) -> Time {
        Time(ns.saturating_mul(100))
    }

    /// A span of microseconds.
    pub const fn from_micros(us: u64) -> Time {
        Time(us.saturating_mul(100_000))
    }

    /// A span of milliseconds.
    pub const fn from_millis(ms: u64) -> Time {
        Time(ms.saturating_mul(100_000_000))
    }

    /// Whole nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0 / 100
    }

    /// This less `other`, not below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Time) -> Time {
        Time(self.0.saturating_sub(other.0))
    }
}

impl Add for Time {
    type Output = Time;
    fn add(self, other: Time) -> Time {
        Time(self.0.saturating_add(other.0))
    }
}

impl Sub for Time {
    type Output = Time;
    fn sub(self, other: Time) -> Time {
        self.saturating_sub(other)
    }
}

/// What a frame occupies on the wire beside its bytes: FCS 4, preamble and delimiter 8, gap 12.
pub const WIRE_OVERHEAD: u32 = 24;
/// The shortest frame on the wire, overhead included.
pub const WIRE_MIN: u32 = 84;

/// Wire bytes of a frame of `len` bytes (without FCS).
pub const fn wire_bytes(len: u32) -> u32 {
    let wire = len.saturating_add(WIRE_OVERHEAD);
    if wire < WIRE_MIN { WIRE_MIN } else { wire }
}

/// A transmission rate: how long a byte takes, in 1/65536 of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    ticks_per_byte_q16: u64,
}

impl Rate {
    /// A rate in bits per second; 0 is taken as 1 bit per second, the slowest there is.
    pub const fn from_bits_per_second(bps: u64) -> Rate {
        let bps = if bps == 0 { 1 } else { bps };
        // 8 bits x 10^11 ticks per second, in Q16 and rounded to the nearest.
        let q = ((800_000_000_000u128 << 16) + bps as u128 / 2) / bps as u128;
        Rate { ticks_per_byte_q16: if q == 0 { 1 } else { q as u64 } }
    }

    /// How long `bytes` take, rounded to the nearest tick.
    #[inline]
    pub const fn time_of(self, bytes: u64) -> Time {
        const HALF: u64 = 1 << 15;
        // Frames at the rates of lines stay within 64 bits.
        if let Some(q) = bytes.checked_mul(self.ticks_per_byte_q16)
            && let Some(q) = q.checked_add(HALF)
        {
            return Time(q >> 16);
        }
        let q = bytes as u128 * self.ticks_per_byte_q16 as u128 + (1 << 15);
        let t = q >> 16;
        Time(if t > u64::MAX as u128 { u64::MAX } else { t as u64 })
    }

    /// How many whole bytes pass in `span`.
    pub const fn bytes_in(self, span: Time) -> u64 {
        let b = ((span.0 as u128) << 16) / self.ticks_per_byte_q16 as u128;
        if b > u64::MAX as u128 { u64::MAX } else { b as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_rates_are_exact_per_byte() {
        for (bps, ticks) in [
            (10_000_000u64, 80_000u64),
            (100_000_000, 8_000),
            (1_000_000_000, 800),
            (2_500_000_000, 320),
            (10_000_000_000, 80),
            (25_000_000_000, 32),
            (40_000_000_000, 20),
            (100_000_000_000, 8),
            (400_000_000_000, 2),
            (800_000_000_000, 1),
        ] {
            for bytes in [1u64, 84, 1538, 1_000_003] {
                assert_eq!(Rate::from_bits_per_second(bps).time_of(bytes), Time(ticks * bytes));
            }
        }
    }

    #[test]
    fn odd_rates_stay_within_a_millionth() {
        let rate = Rate::from_bits_per_second(3_000_000_000);
        let second = rate.time_of(375_000_000);
        let error = second.0.abs_diff(100_000_000_000);
        assert!(error < 100_000, "a second of 3 Gbit/s is off by {error} ticks");
    }

    #[test]
    fn short_frames_are_padded_on_the_wire() {
        assert_eq!(wire_bytes(14), 84);
        assert_eq!(wire_bytes(60), 84);
        assert_eq!(wire_bytes(1514), 1538);
    }
}
