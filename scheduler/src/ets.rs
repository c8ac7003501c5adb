//! Transmission selection of one port: which queue sends next, and how much.
//!
//! # The algorithm
//!
//! A port has eight queues, one for each priority, in up to eight traffic classes. A queue is *eligible* when it holds
//! something and its priority isn't paused; a class is eligible when one of its queues is and its maximum rate allows.
//! When the line is free (its shaper is ready), the next piece comes from
//!
//! 1. the strict class with the highest number that is eligible (802.1Q 8.6.8.1), else
//! 2. the class with the highest number that is eligible and below its minimum rate, else
//! 3. the ETS class at which deficit round robin stands (802.1Q 8.6.8.3 asks for shares of what strict classes leave,
//!    within 10 %; see `drr` for the ring itself).
//!
//! Within a class the eligible priorities share by bytes, in a ring of their own with equal quanta: 802.1Q leaves open
//! who goes first inside a class, and a paused priority must not block its neighbours.
//!
//! **Pieces.** A superframe is many frames in one entry. What is granted is a range of its segments: as many as fit
//! into the *cut*, 100 us at the line rate (and at the class's maximum rate) but at least one segment and at most what
//! a superframe can hold. The rest stays at the head of the queue. So nobody waits behind 64 KB at 100 Mbit/s, and at
//! 10 Gbit/s nobody pays for cutting: whoever may send a segment may send a whole piece, and owes what was more than
//! its deficit. (Cut where the deficit ends, each superframe of a single TCP connection went in two pieces: twice the
//! work for the host that receives, and a third less speed.)
//!
//! **Quanta.** A class of weight w gets w x U bytes a round, with one U for the port: shares are exact, without
//! rounding. U is such that the smallest quantum is an eighth of a cut, but at least the longest frame. As pieces may be
//! owed, such quanta chop none of them: a class that sent one is passed over until its quanta have paid it, at most
//! eight rounds, and the pieces of the classes mix as their weights say. (Quanta of at least a cut made rounds of ten
//! pieces for shares of 60, 30 and 10: six of the first class in a row, then three of the second. The others waited for
//! 375 KB at 5 Gbit/s, and a window of half a second was off by 0.025 points, now by 0.008.)
//!
//! **Emptying and pausing.** A class that empties loses its deficit and its turn. A class that is paused keeps at most
//! one quantum. A class that is held by its maximum rate gets its quantum all the same and spends it, whenever its rate
//! allows, between the pieces of others: it reaches the smaller of its rate and its share. Bytes served below a minimum rate are charged to the deficit as well:
//! a minimum is a floor under the share, not an addition to it.
//!
//! **Rates of classes** catch up with what they lost by waiting for a piece that is on the line, no more: that is their
//! burst where the caller's own is smaller.
//!
//! **Cost.** A choice looks at eligible queues only, as bits of a byte: idle classes and the number of queued frames
//! don't enter.

use crate::config::{ClassTable, PortConfig, Tsa};
use crate::drr::Drr;
use crate::shaper::Shaper;
use crate::time::{Time, WIRE_OVERHEAD};

/// A whole superframe: bytes of a piece where there is no line rate, and the most anywhere. 64 KB are 45 segments of 1448
/// bytes, each with headers, preamble and gap of its own on the wire: 69 210 bytes, 69 390 with a tag. A larger cut would
/// change nothing for a superframe, and make every lossless group set two of them apart as headroom (at 400 Gbit/s 100 us
/// are 5 MB).
pub const LARGEST_CUT: u32 = 69_400;
/// How long a piece occupies the line at most, unless a single segment does.
pub const CUT: Time = Time::from_micros(100);
/// Quanta of the class with the least weight that make up the largest piece, unless a frame is longer.
const QUANTA_PER_CUT: u32 = 8;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) priority: u8,
    pub(crate) class: u8,
    /// Whether the class had to choose among several priorities: only then their ring counts.
    contested: bool,
    /// Whether the next choice is the same, as long as `goes_on` says so and the same queues are eligible: no rate of a class
    /// has a say, and no other priority of the class.
    pub(crate) steady: bool,
}

/// Classes of one port and their state.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    class_of: [u8; 8],
    /// Bitmap of priorities of each class.
    members: [u8; 8],
    /// Bitmap of classes for each set of priorities: by the lower and by the upper half of its bits.
    classes_of: [[u8; 16]; 2],
    strict: u8,
    /// Bitmap of the priorities of strict classes.
    strict_priorities: u8,
    /// Those of them that no maximum rate holds.
    uncapped: u8,
    with_min: u8,
    with_max: u8,
    min: [Option<Shaper>; 8],
    max: [Option<Shaper>; 8],
    cut: [u32; 8],
    ring: Drr,
    inner: [Drr; 8],
}

impl Selection {
    pub(crate) fn new(port: &PortConfig) -> Selection {
        let cut = cuts(port);
        let mut selection = Selection {
            class_of: [0; 8],
            members: [0; 8],
            classes_of: [[0; 16]; 2],
            strict: 0,
            strict_priorities: 0,
            uncapped: 0,
            with_min: 0,
            with_max: 0,
            min: [None; 8],
            max: [None; 8],
            cut,
            ring: Drr::new([0; 8], 0),
            inner: core::array::from_fn(|_| Drr::new([0; 8], 0)),
        };
        selection.configure(port);
        selection
    }

    /// Takes over new settings; what was sent before still counts in shapers and deficits.
    pub(crate) fn configure(&mut self, port: &PortConfig) {
        let table: &ClassTable = &port.classes;
        let burst = class_burst(port);
        self.cut = cuts(port);
        let piece = self.cut.into_iter().fold(longest(port), u32::max);
        self.ring.requantize(quanta(port, piece), piece);
        self.class_of = table.class_of.map(|c| c & 7);
        self.members = [0; 8];
        for (priority, &class) in self.class_of.iter().enumerate() {
            self.members[class as usize] |= 1 << priority;
        }
        for (half, classes_of) in self.classes_of.iter_mut().enumerate() {
            for (set, classes) in classes_of.iter_mut().enumerate() {
                let of = |bit: usize| self.class_of[4 * half + bit];
                *classes = (0..4).filter(|bit| set & 1 << bit != 0).fold(0, |all, bit| all | 1 << of(bit));
            }
        }
        self.strict = 0;
        self.strict_priorities = 0;
        self.uncapped = 0;
        self.with_min = 0;
        self.with_max = 0;
        for (class, config) in table.classes.iter().enumerate() {
            let bit = 1 << class;
            self.inner[class].requantize([quantum(port, piece); 8], piece);
            if config.tsa == Tsa::Strict {
                self.strict |= bit;
                self.strict_priorities |= self.members[class];
                self.uncapped |= if config.max_rate.is_none() { self.members[class] } else { 0 };
            }
            self.min[class] = config.min_rate.map(|r| Shaper::retuned(r, burst, self.min[class]));
            self.max[class] = config.max_rate.map(|r| Shaper::retuned(r, burst, self.max[class]));
            self.with_min |= if config.min_rate.is_some() { bit } else { 0 };
            self.with_max |= if config.max_rate.is_some() { bit } else { 0 };
        }
    }

    pub(crate) fn class_of(&self, priority: u8) -> u8 {
        self.class_of[usize::from(priority & 7)]
    }

    pub(crate) fn is_strict(&self, class: u8) -> bool {
        self.strict & 1 << (class & 7) != 0
    }

    pub(crate) fn strict_priorities(&self) -> u8 {
        self.strict_priorities
    }

    pub(crate) fn uncapped_strict_priorities(&self) -> u8 {
        self.uncapped
    }

    /// The classes of the priorities in `queues`.
    fn classes_with(&self, queues: u8) -> u8 {
        let [lower, upper] = &self.classes_of;
        lower[usize::from(queues & 15)] | upper[usize::from(queues >> 4)]
    }

    /// The classes of `classes` whose maximum rate allows something at `now`.
    fn unshaped(&self, classes: u8, now: Time) -> u8 {
        let mut shaped = classes & self.with_max;
        let mut allowed = classes;
        while shaped != 0 {
            let class = shaped.trailing_zeros() as usize;
            if self.max[class].is_some_and(|s| !s.ready(now)) {
                allowed &= !(1 << class);
            }
            shaped &= shaped - 1;
        }
        allowed
    }

    /// The class of `classes` that is below its minimum rate, the highest if there are several.
    fn below_minimum(&self, classes: u8, now: Time) -> Option<u8> {
        let mut guaranteed = classes & self.with_min;
        while guaranteed != 0 {
            let class = highest(guaranteed);
            if self.min[class as usize].is_some_and(|s| s.ready(now)) {
                return Some(class);
            }
            guaranteed &= !(1 << class);
        }
        None
    }

    /// The next queue of those in `eligible` (a bitmap of priorities), or `None` when maximum rates hold all of them.
    /// `heads` are the wire bytes of the first segment of each priority's queue.
    #[inline]
    pub(crate) fn choose(&mut self, eligible: u8, now: Time, heads: &[u32; 8]) -> Option<Choice> {
        let waiting = self.classes_with(eligible);
        let classes = if waiting & self.with_max == 0 { waiting } else { self.unshaped(waiting, now) };
        if classes == 0 {
            return None;
        }
        let strict = classes & self.strict;
        let (mut class, in_turn) = if strict != 0 {
            (highest(strict), false)
        } else if classes & self.with_min != 0
            && let Some(class) = self.below_minimum(classes, now)
        {
            (class, false)
        } else {
            (self.ring.current(), true)
        };
        let mut of = self.members_of(class) & eligible;
        if in_turn {
            // Most often it is still the turn of the same class, and one priority of it.
            let goes_on = classes == waiting
                && self.ring.goes_on()
                && of.is_power_of_two()
                && self.ring.allows(class, heads[lowest(of)]);
            if !goes_on {
                class = self.turn(eligible, classes, waiting & !classes, heads);
                of = self.members_of(class) & eligible;
            }
        }
        let contested = !of.is_power_of_two();
        let priority = if contested { self.within(class, of, heads) } else { lowest(of) as u8 };
        let steady = !contested && waiting & (self.with_min | self.with_max) == 0;
        Some(Choice { priority, class, contested, steady })
    }

    /// Whether a steady choice holds for one more frame of `wire` bytes, which is charged then.
    #[inline]
    pub(crate) fn goes_on(&mut self, choice: Choice, wire: u32) -> bool {
        self.is_strict(choice.class) || self.ring.spend(choice.class, wire)
    }

    fn members_of(&self, class: u8) -> u8 {
        self.members[usize::from(class & 7)]
    }

    /// The class whose turn it is in the ring. `held` are classes that wait for their maximum rate.
    #[inline(never)]
    fn turn(&mut self, eligible: u8, classes: u8, held: u8, heads: &[u32; 8]) -> u8 {
        let Selection { ring, inner, members, strict, .. } = self;
        // A strict class that is held has no part in the ring.
        ring.pick(classes, held & !*strict, |class| {
            let class = usize::from(class & 7);
            heads[first_within(&mut inner[class], members[class] & eligible, heads)]
        })
    }

    /// The priority of `of`, which are several of `class`, that goes next. Asked again it answers the same.
    #[inline(never)]
    fn within(&mut self, class: u8, of: u8, heads: &[u32; 8]) -> u8 {
        first_within(&mut self.inner[usize::from(class & 7)], of, heads) as u8
    }

    /// Wire bytes that may go at once of a class; the first segment goes in any case.
    pub(crate) fn cut(&self, class: u8) -> u32 {
        self.cut[usize::from(class & 7)]
    }

    /// A choice was carried out: `wire` bytes go.
    #[inline]
    pub(crate) fn charge(&mut self, choice: Choice, wire: u32, now: Time) {
        let class = usize::from(choice.class & 7);
        if self.strict & (1 << class) == 0 {
            self.ring.charge(choice.class, wire);
        }
        if choice.contested {
            self.inner[class].charge(choice.priority, wire);
        }
        if (self.with_min | self.with_max) & (1 << class) != 0 {
            for shaper in [&mut self.min[class], &mut self.max[class]].into_iter().flatten() {
                shaper.charge(wire, now);
            }
        }
    }

    /// The queue of `priority` is empty now; `eligible` are the queues that can still send.
    #[inline]
    pub(crate) fn emptied(&mut self, priority: u8, eligible: u8) {
        let class = self.class_of[usize::from(priority & 7)];
        self.inner[class as usize].emptied(priority);
        if self.members[class as usize] & eligible == 0 {
            self.ring.emptied(class);
        }
    }

    /// `priority` was paused; `eligible` are the queues that can still send.
    pub(crate) fn suspended(&mut self, priority: u8, eligible: u8) {
        let class = self.class_of[usize::from(priority & 7)];
        self.inner[class as usize].suspended(priority);
        if self.members[class as usize] & eligible == 0 {
            self.ring.suspended(class);
        }
    }

    /// A queue of `priority` begins to hold something: caps give no credit for the time before.
    #[inline]
    pub(crate) fn began(&mut self, priority: u8, eligible_before: u8, now: Time) {
        let class = usize::from(self.class_of[usize::from(priority & 7)] & 7);
        if (self.with_min | self.with_max) & (1 << class) != 0 && self.members[class] & eligible_before == 0 {
            for shaper in [&mut self.min[class], &mut self.max[class]].into_iter().flatten() {
                shaper.forgo(now);
            }
        }
    }

    /// When the first of the classes of `eligible` may send, as far as their maximum rates say.
    pub(crate) fn ready_at(&self, eligible: u8) -> Time {
        let mut classes = self.classes_with(eligible);
        let mut earliest = Time::NEVER;
        while classes != 0 {
            let class = classes.trailing_zeros() as usize;
            earliest = earliest.min(self.max[class].map_or(Time::ZERO, |s| s.ready_at()));
            classes &= classes - 1;
        }
        earliest
    }
}

fn highest(classes: u8) -> u8 {
    7 - classes.leading_zeros() as u8
}

fn lowest(priorities: u8) -> usize {
    u32::from(priorities).trailing_zeros() as usize & 7
}

/// The priority of `eligible` that goes next within its class. A lone one needs no ring.
#[inline]
fn first_within(ring: &mut Drr, eligible: u8, heads: &[u32; 8]) -> usize {
    if eligible.is_power_of_two() {
        return lowest(eligible);
    }
    usize::from(ring.pick(eligible, 0, |priority| heads[usize::from(priority & 7)]) & 7)
}

/// Wire bytes of the longest frame.
fn longest(port: &PortConfig) -> u32 {
    port.max_frame.saturating_add(WIRE_OVERHEAD)
}

/// How late a class may be served and still keep its rate: it waits for the piece that is on the line, however punctual
/// the caller is.
fn class_burst(port: &PortConfig) -> Time {
    let frame = port.line_rate.map_or(Time::ZERO, |r| r.time_of(u64::from(longest(port))));
    let piece = if port.superframes { CUT } else { Time::ZERO };
    port.burst.max(frame.max(piece) + frame)
}

/// Wire bytes of the largest piece of each class.
fn cuts(port: &PortConfig) -> [u32; 8] {
    if !port.superframes {
        // At least one segment goes in any case: so it will be just one.
        return [0; 8];
    }
    let line = port.line_rate.map_or(LARGEST_CUT, |r| clamp_u32(r.bytes_in(CUT)).min(LARGEST_CUT));
    core::array::from_fn(|class| {
        let capped = port.classes.classes[class].max_rate.map_or(u32::MAX, |r| clamp_u32(r.bytes_in(CUT)));
        line.min(capped)
    })
}

/// Bytes a round of whoever gets the least of them.
fn quantum(port: &PortConfig, piece: u32) -> u32 {
    (piece / QUANTA_PER_CUT).max(longest(port))
}

/// Bytes a round of each class: its weight times one number for all.
fn quanta(port: &PortConfig, piece: u32) -> [u32; 8] {
    let weights: [u64; 8] = core::array::from_fn(|class| match port.classes.classes[class].tsa {
        Tsa::Ets { weight } if port.classes.class_of.contains(&(class as u8)) => u64::from(weight.max(1)),
        _ => 0,
    });
    let Some(least) = weights.iter().copied().filter(|&w| w > 0).min() else { return [0; 8] };
    let unit = u64::from(quantum(port, piece)).div_ceil(least);
    weights.map(|w| clamp_u32(w * unit))
}

fn clamp_u32(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
