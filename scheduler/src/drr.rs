//! Deficit round robin over up to eight members.
//!
//! Each member has a *quantum* (bytes it may send a round) and a *deficit* (bytes it may still send in this visit).
//! The ring is walked member by member. Coming to an active member, its quantum is added to its deficit, once a visit;
//! it sends while the first segment at its head fits, then keeps the rest for the next round, and the walk goes on.
//!
//! - A member that empties loses its deficit and its turn: credit is not saved up while there is nothing to send, and
//!   a member that empties and fills again does not get a second quantum in the same round.
//! - A member that is paused with something left keeps at most one quantum.
//! - A member that is *held* by its maximum rate is not passed over: it gets its quantum at its turn, at most one is
//!   saved, and it spends that between the others' pieces whenever its rate allows. Else it would send one piece a round,
//!   far less than its rate, since it is held again after each.
//! - A deficit may be negative: a piece goes as a whole where its first segment may go, and bytes that were sent out of
//!   turn (a guaranteed minimum) count against the share. A member in debt is passed over until its quanta have paid it.
//!   The debt is bounded by a piece or one quantum, whichever is more, else a minimum above the share would have to be paid
//!   back for ever. So quanta may be much smaller than pieces: rounds are short, and members take turns by pieces.
//!
//! No rounding takes place here: quanta are integers that stand to each other exactly as the weights do.

/// The ring.
#[derive(Clone, Debug)]
pub(crate) struct Drr {
    deficit: [i64; 8],
    quantum: [u32; 8],
    /// Largest piece: what a member may owe, unless its quantum is more.
    piece: u32,
    current: u8,
    /// Whether `current` has got its quantum in this visit.
    visited: bool,
    /// Members that were held and may have credit left from their turn.
    credited: u8,
}

impl Drr {
    pub(crate) const fn new(quantum: [u32; 8], piece: u32) -> Drr {
        Drr { deficit: [0; 8], quantum, piece, current: 0, visited: false, credited: 0 }
    }

    /// New quanta: what members have saved or owe is cut to them.
    pub(crate) fn requantize(&mut self, quantum: [u32; 8], piece: u32) {
        self.quantum = quantum;
        self.piece = piece;
        for (deficit, quantum) in self.deficit.iter_mut().zip(quantum) {
            *deficit = (*deficit).clamp(-i64::from(quantum.max(piece)), i64::from(quantum));
        }
    }

    /// The member of `active` (a bitmap, not 0) that may send now. `held` are those that only their
    /// maximum rate keeps from being active. `head` tells what the first piece of a member costs. Calling it again
    /// without `charge` answers the same.
    #[inline]
    pub(crate) fn pick(&mut self, active: u8, held: u8, mut head: impl FnMut(u8) -> u32) -> u8 {
        debug_assert!(active != 0 && active & held == 0);
        let mut released = active & self.credited;
        while released != 0 {
            let member = released.trailing_zeros() as u8;
            if self.allows(member, head(member)) {
                return member;
            }
            // Spent: it waits for its next turn.
            self.credited &= !(1 << member);
            released &= released - 1;
        }
        loop {
            let member = self.current;
            let bit = 1 << member;
            if (active | held) & bit != 0 && !self.visited {
                let quantum = i64::from(self.quantum[member as usize].max(1));
                let deficit = &mut self.deficit[member as usize];
                *deficit += quantum;
                if held & bit != 0 {
                    *deficit = (*deficit).min(quantum);
                }
                self.visited = true;
            }
            if held & bit != 0 {
                self.credited |= bit;
            } else if active & bit != 0 && self.allows(member, head(member)) {
                return member;
            }
            self.advance(active | held);
        }
    }

    /// The member at which the walk stands.
    pub(crate) fn current(&self) -> u8 {
        self.current
    }

    /// Whether `pick` would stay at `current`, if it is active and what it has left is enough: it has got its quantum,
    /// and nobody has credit from before.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.visited && self.credited == 0
    }

    /// Whether what `member` may send is enough for a piece of `head` bytes.
    #[inline]
    pub(crate) fn allows(&self, member: u8, head: u32) -> bool {
        self.deficit[usize::from(member & 7)] >= i64::from(head)
    }

    /// Charges `bytes` to `member`, whose turn it is, if what it has left is enough.
    #[inline]
    pub(crate) fn spend(&mut self, member: u8, bytes: u32) -> bool {
        let deficit = &mut self.deficit[usize::from(member & 7)];
        let enough = *deficit >= i64::from(bytes);
        if enough {
            *deficit -= i64::from(bytes);
        }
        enough
    }

    /// Goes on to the next member of `members` behind the current one (which may be the same again).
    #[inline]
    fn advance(&mut self, members: u8) {
        let from = (u32::from(self.current) + 1) & 7;
        self.current = ((from + members.rotate_right(from).trailing_zeros()) & 7) as u8;
        self.visited = false;
    }

    /// `member` sent `bytes`.
    #[inline]
    pub(crate) fn charge(&mut self, member: u8, bytes: u32) {
        let member = usize::from(member & 7);
        let floor = -i64::from(self.quantum[member].max(self.piece));
        let deficit = &mut self.deficit[member];
        *deficit = (*deficit - i64::from(bytes)).max(floor);
    }

    /// `member` has nothing left.
    #[inline]
    pub(crate) fn emptied(&mut self, member: u8) {
        let deficit = &mut self.deficit[usize::from(member & 7)];
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
    #[inline]
    fn leave(&mut self, member: u8) {
        self.credited &= !(1 << member);
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
        let mut drr = Drr::new([1500; 8], 0);
        let first = drr.pick(0b11, 0, |_| 1500);
        assert_eq!((first, drr.deficit[0]), (0, 1500));
        drr.charge(0, 500);
        drr.emptied(0);
        assert_eq!(drr.pick(0b11, 0, |_| 1500), 1, "the turn is over though 1000 bytes of quantum were left");
    }

    #[test]
    fn a_head_above_the_quantum_is_sent_after_some_rounds() {
        let mut drr = Drr::new([100; 8], 0);
        assert_eq!((drr.pick(0b1, 0, |_| 950), drr.deficit[0]), (0, 1000));
    }

    #[test]
    fn a_piece_is_owed_and_paid_back_by_quanta() {
        let mut drr = Drr::new([1000; 8], 5000);
        assert_eq!(drr.pick(0b11, 0, |_| 100), 0);
        // 3500 more than it has: it is passed over until the fourth quantum has paid them.
        drr.charge(0, 4500);
        for _ in 0..4 {
            assert_eq!(drr.pick(0b11, 0, |_| 1000), 1);
            drr.charge(1, 1000);
        }
        assert_eq!((drr.pick(0b11, 0, |_| 500), drr.deficit[0]), (0, 500));
        drr.charge(0, 500);
        // A segment that is longer than what is left waits.
        assert_eq!((drr.pick(0b11, 0, |_| 1), drr.deficit), (1, [0, 1000, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn nobody_owes_more_than_a_piece_or_a_quantum() {
        let mut drr = Drr::new([1000; 8], 5000);
        drr.charge(0, 9000);
        assert_eq!(drr.deficit[0], -5000);
        let mut drr = Drr::new([1000; 8], 500);
        drr.charge(0, 9000);
        assert_eq!(drr.deficit[0], -1000);
        drr.requantize([100; 8], 200);
        assert_eq!(drr.deficit[0], -200);
    }

    #[test]
    fn a_suspended_member_keeps_one_quantum_at_most() {
        let mut drr = Drr::new([1000; 8], 0);
        drr.pick(0b1, 0, |_| 3000);
        drr.suspended(0);
        assert_eq!(drr.deficit[0], 1000);
    }

    #[test]
    fn a_held_member_spends_its_quantum_between_the_pieces_of_the_others() {
        let mut drr = Drr::new([3000; 8], 0);
        assert_eq!(drr.pick(0b11, 0, |_| 1000), 0);
        drr.charge(0, 1000);
        // Held after its first piece, it has 2000 left.
        assert_eq!(drr.pick(0b10, 0b01, |_| 1000), 1);
        drr.charge(1, 1000);
        for _ in 0..2 {
            assert_eq!(drr.pick(0b11, 0, |_| 1000), 0);
            drr.charge(0, 1000);
        }
        assert_eq!(
            (drr.pick(0b11, 0, |_| 1000), drr.deficit[1]),
            (1, 2000),
            "its turn was not ended, the other's credit is spent"
        );
    }
}
