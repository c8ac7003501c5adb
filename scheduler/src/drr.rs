//! Deficit round robin over up to eight members.
//!
//! Each member has a *quantum* (bytes it may send a round) and a *deficit* (bytes it may still send in this visit).
//! The ring is walked member by member. Coming to an active member, its quantum is added to its deficit, once a visit;
//! it sends while what is at its head fits, then keeps the rest for the next round, and the walk goes on.
//!
//! - A member that empties loses its deficit and its turn: credit is not saved up while there is nothing to send, and
//!   a member that empties and fills again does not get a second quantum in the same round.
//! - A member that becomes inactive with something left (paused, or shaped) keeps at most one quantum.
//! - A deficit may be negative: bytes that were sent out of turn (a guaranteed minimum) count against the share. The
//!   debt is bounded by one quantum, else a minimum above the share would have to be paid back for ever.
//!
//! No rounding takes place here: quanta are integers that stand to each other exactly as the weights do.

/// The ring.
#[derive(Clone, Debug)]
pub(crate) struct Drr {
    deficit: [i64; 8],
    quantum: [u32; 8],
    current: u8,
    /// Whether `current` has got its quantum in this visit.
    visited: bool,
}

impl Drr {
    pub(crate) const fn new(quantum: [u32; 8]) -> Drr {
        Drr { deficit: [0; 8], quantum, current: 0, visited: false }
    }

    /// New quanta: what members have saved is cut to them.
    pub(crate) fn requantize(&mut self, quantum: [u32; 8]) {
        self.quantum = quantum;
        for (deficit, quantum) in self.deficit.iter_mut().zip(quantum) {
            *deficit = (*deficit).clamp(-i64::from(quantum), i64::from(quantum));
        }
    }

    /// The member of `active` (a bitmap, not 0) that may send now, and how many bytes. `head` tells what the first
    /// piece of a member costs. Calling it again without `charge` answers the same.
    pub(crate) fn pick(&mut self, active: u8, mut head: impl FnMut(u8) -> u32) -> (u8, u32) {
        debug_assert!(active != 0);
        loop {
            let member = self.current;
            if active & (1 << member) != 0 {
                let deficit = &mut self.deficit[member as usize];
                if !self.visited {
                    *deficit += i64::from(self.quantum[member as usize].max(1));
                    self.visited = true;
                }
                if *deficit >= i64::from(head(member)) {
                    return (member, u32::try_from(*deficit).unwrap_or(u32::MAX));
                }
            }
            self.advance(active);
        }
    }

    /// Goes on to the next member of `active` behind the current one (which may be the same again).
    fn advance(&mut self, active: u8) {
        let from = (u32::from(self.current) + 1) & 7;
        self.current = ((from + active.rotate_right(from).trailing_zeros()) & 7) as u8;
        self.visited = false;
    }

    /// `member` sent `bytes`.
    pub(crate) fn charge(&mut self, member: u8, bytes: u32) {
        let floor = -i64::from(self.quantum[member as usize]);
        let deficit = &mut self.deficit[member as usize];
        *deficit = (*deficit - i64::from(bytes)).max(floor);
    }

    /// `member` has nothing left.
    pub(crate) fn emptied(&mut self, member: u8) {
        let deficit = &mut self.deficit[member as usize];
        *deficit = (*deficit).min(0);
        self.leave(member);
    }

    /// `member` may not send for a while, though it has something.
    pub(crate) fn suspended(&mut self, member: u8) {
        let quantum = i64::from(self.quantum[member as usize]);
        let deficit = &mut self.deficit[member as usize];
        *deficit = (*deficit).min(quantum);
        self.leave(member);
    }

    /// Ends the visit of `member`.
    fn leave(&mut self, member: u8) {
        if self.current == member {
            self.current = (member + 1) & 7;
            self.visited = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_refills_in_its_turn_waits_for_the_next_round() {
        let mut drr = Drr::new([1500; 8]);
        let (first, allowance) = drr.pick(0b11, |_| 1500);
        assert_eq!((first, allowance), (0, 1500));
        drr.charge(0, 500);
        drr.emptied(0);
        assert_eq!(drr.pick(0b11, |_| 1500).0, 1, "the turn is over though 1000 bytes of quantum were left");
    }

    #[test]
    fn a_head_above_the_quantum_is_sent_after_some_rounds() {
        let mut drr = Drr::new([100; 8]);
        assert_eq!(drr.pick(0b1, |_| 950), (0, 1000));
    }

    #[test]
    fn a_suspended_member_keeps_one_quantum_at_most() {
        let mut drr = Drr::new([1000; 8]);
        drr.pick(0b1, |_| 3000);
        drr.suspended(0);
        assert_eq!(drr.deficit[0], 1000);
    }
}
