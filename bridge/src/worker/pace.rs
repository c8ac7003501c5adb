//! How much a port is sent in a turn, so that the schedule decides who goes when the processor is the bottleneck.
//!
//! A processor that sends all it has read has no queues, and then the order of arrival decides. So as long as there is
//! more to read than it can carry, reading outruns writing: a port is sent a part of what came for it, and queues form.
//! What is read in vain costs time, so that part is as large as the schedule allows: all of it while every priority that
//! competes has twice a standing queue, less the shorter the shortest is, and half from a standing queue on down. Half is
//! enough for a class whose part of what arrives is half of its share, and where reading costs no more than writing it
//! leaves two thirds of what the processor could carry of a single class. A standing queue has to outlast the turns of
//! the other classes in the ring: one that empties in its own turn loses what it did not use.
//!
//! Nothing is held back unless more waits at an input that feeds the port: an input that is drained has shown
//! everything that there is, and one that is metered waits for its line and not for the processor. And nothing is held
//! back where one priority is alone: then there is nothing to decide.
//!
//! An input that has fed nothing but one queue for a while is not read while that queue is long enough: what came would be
//! dropped. One that feeds several has to be read, since nobody knows what comes next; unless the device has a queue for
//! each priority, of which those are read whose own queue here is not long enough.
//!
//! What must not enter: who goes next (the scheduler decides), devices.

use dcbridge_scheduler::PortId;

use crate::switch::Arrived;

/// Bytes that may be sent beyond a turn's part, when a piece was larger than what was left of it, or left for the next.
const CARRY: i64 = 256 * 1024;
/// Bytes that are sent at least while all queues are long enough, whatever came.
const SATED: u64 = 64 * 1024;
/// For one to two times so many turns a priority competes that came: a turn of a few superframes shows not all.
const MEMORY: u8 = 16;

/// The pace of one port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// What came in this turn: bytes, and priorities for which there was no room.
    bytes: u64,
    full: u8,
    /// Something came in this turn by an input that has more.
    crowded: bool,
    /// Priorities that compete: those that came by such inputs, lately and before that.
    lately: u8,
    before: u8,
    turns: u8,
    /// Bytes that may be sent; negative: that were sent too early.
    credit: i64,
    /// Not everything may be sent.
    holding: bool,
}

/// What an input feeds: a queue, as (egress port, bit of the priority), if it is just one; with a queue for each priority, the
/// queues of one port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Feeds {
    queue: Option<(PortId, u8)>,
    /// Batches of which nothing was for another one.
    batches: u8,
}

impl Feeds {
    /// A batch was for one queue, or for several (`None`).
    pub(super) fn note(&mut self, queue: Option<(PortId, u8)>) {
        if queue.is_none() || queue != self.queue {
            *self = Feeds { queue, batches: 0 };
        }
        self.batches = self.batches.saturating_add(1);
    }

    /// The queue, if it has been the only one for a while.
    pub(super) fn only(&self) -> Option<(PortId, u8)> {
        self.queue.filter(|_| self.batches >= MEMORY)
    }
}

impl Pace {
    /// Something came, by an input that has more or by one that has shown everything.
    pub(super) fn feed(&mut self, arrived: Arrived, has_more: bool) {
        self.bytes += arrived.bytes;
        self.full |= arrived.full;
        if has_more {
            self.crowded = true;
            self.lately |= arrived.queued | arrived.full;
        }
    }

    /// Whether in the last turn not everything was to be sent.
    pub(super) fn is_holding(&self) -> bool {
        self.holding
    }

    /// Bytes that may be sent in this turn; `least_queued` answers how many wait in the shortest queue of some priorities,
    /// `standing` is how many should. `None`: whatever the device takes.
    pub(super) fn budget(&mut self, standing: u64, least_queued: impl FnOnce(u8) -> u64) -> Option<u64> {
        let (bytes, full) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.full));
        if !std::mem::take(&mut self.crowded) {
            *self = Pace::default();
            return None;
        }
        let competing = self.competing();
        self.holding = competing.count_ones() > 1;
        if !self.holding {
            self.credit = 0;
            return None;
        }
        // What there is no room for is not about to run dry.
        let beyond = least_queued(competing & !full).saturating_sub(standing);
        let part = if beyond < standing {
            bytes * (standing + beyond) / (2 * standing).max(1)
        } else {
            bytes.max(SATED)
        };
        self.credit = (self.credit + part as i64).min(CARRY);
        Some(u64::try_from(self.credit).unwrap_or(0))
    }

    /// Priorities that compete in this turn.
    fn competing(&mut self) -> u8 {
        let competing = self.lately | self.before;
        self.turns += 1;
        if self.turns == MEMORY {
            (self.turns, self.before, self.lately) = (0, self.lately, 0);
        }
        competing
    }

    /// So many bytes were sent.
    pub(super) fn spent(&mut self, bytes: u64) {
        self.credit = (self.credit - bytes as i64).max(-CARRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDING: u64 = 100_000;
    const ARRIVED: Arrived = Arrived { queued: 0b11, full: 0, bytes: 10_000, strayed: false };

    #[test]
    fn what_nobody_waits_behind_is_not_held_back() {
        let mut pace = Pace::default();
        pace.feed(ARRIVED, false);
        assert_eq!(pace.budget(STANDING, |_| 0), None);
    }

    #[test]
    fn the_shorter_a_queue_the_less_is_sent() {
        let cases = [(0, 5_000), (100_000, 5_000), (150_000, 7_500), (199_999, 9_999), (200_000, SATED)];
        for (queued, expected) in cases {
            let mut pace = Pace::default();
            pace.feed(ARRIVED, true);
            assert_eq!(pace.budget(STANDING, |_| queued), Some(expected), "{queued} bytes queued");
        }
    }

    #[test]
    fn who_competes_is_remembered_for_a_while_and_what_is_full_is_not_about_to_run_dry() {
        let mut pace = Pace::default();
        pace.feed(ARRIVED, true);
        let asked = |pace: &mut Pace, arrived| {
            let mut asked = 0;
            pace.feed(arrived, true);
            let budget = pace.budget(STANDING, |priorities| {
                asked = priorities;
                0
            });
            budget.map(|_| asked)
        };
        let other = Arrived { queued: 0b100, ..ARRIVED };
        assert_eq!(asked(&mut pace, other), Some(0b111));
        assert_eq!(asked(&mut pace, Arrived { full: 0b01, ..other }), Some(0b110));
        assert_eq!(asked(&mut pace, other), Some(0b111));
        for _ in 0..2 * MEMORY {
            asked(&mut pace, other);
        }
        assert_eq!(asked(&mut pace, other), None, "it is alone");
    }

    #[test]
    fn an_input_feeds_one_queue_when_it_has_fed_no_other_for_a_while() {
        let (one, other) = (Some((PortId(1), 1)), Some((PortId(2), 1)));
        let mut feeds = Feeds::default();
        for batch in 1..=2 * MEMORY {
            feeds.note(one);
            assert_eq!(feeds.only(), one.filter(|_| batch >= MEMORY), "after {batch} batches");
        }
        for second in [other, None] {
            let mut feeds = feeds;
            feeds.note(second);
            assert_eq!(feeds.only(), None);
            feeds.note(one);
            assert_eq!(feeds.only(), None);
        }
    }

    #[test]
    fn a_piece_that_was_too_large_is_paid_by_later_turns() {
        let mut pace = Pace::default();
        let mut turn = |has_more| {
            pace.feed(ARRIVED, has_more);
            pace.budget(STANDING, |_| 0).inspect(|&budget| pace.spent(if budget > 0 { 17_000 } else { 0 }))
        };
        let budgets = [true, true, true, true, false, true].map(&mut turn);
        assert_eq!(budgets, [Some(5_000), Some(0), Some(0), Some(3_000), None, Some(5_000)]);
    }
}
