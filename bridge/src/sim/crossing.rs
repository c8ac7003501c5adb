//! The ways between the members of a switch: each in order, each as slow as the dice say.

use std::collections::VecDeque;

use dcbridge_scheduler::Time;

use super::{Member, Node, NodeId, Sim};
use crate::switch::crew::{Message, Token};

/// Most often another worker is busy with a frame or two; sometimes it has to wake up first.
const SHORT: u64 = 200;
const LONG: u64 = 3_000;
/// One in so many takes long.
const RARELY: u64 = 50;

enum Letter {
    Message(Message),
    Token(Token),
}

/// What is between the members.
pub(super) struct Crossing {
    members: usize,
    /// By way: for each pair one for messages and one for tokens.
    ways: Vec<VecDeque<Letter>>,
    dice: u64,
    /// Nothing takes any time.
    at_once: bool,
}

impl Crossing {
    pub(super) fn new(members: usize, seed: u64) -> Crossing {
        let ways = (0..2 * members * members).map(|_| VecDeque::new()).collect();
        Crossing { members, ways, dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, at_once: false }
    }

    fn post(&mut self, from: usize, to: usize, letter: Letter) -> (Time, usize) {
        let tokens = usize::from(matches!(letter, Letter::Token(_)));
        let way = 2 * (from * self.members + to) + tokens;
        self.ways[way].push_back(letter);
        (self.delay(), way)
    }

    fn delay(&mut self) -> Time {
        if self.at_once {
            return Time::ZERO;
        }
        let mut roll = |sides: u64| {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 7;
            self.dice ^= self.dice << 17;
            (self.dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
        };
        let span = if roll(RARELY) == 0 { LONG } else { SHORT };
        Time::from_nanos(roll(span))
    }
}

impl Sim {
    /// From now on nothing takes any time between the workers of a switch: for scenarios that measure how long frames wait
    /// for each other.
    pub fn cross_at_once(&mut self, node: NodeId) {
        self.nodes[node.0].crossing.at_once = true;
    }
}

impl Node {
    /// Takes what the members have for each other; answers, for each letter, on which way the next one is due and when.
    pub(super) fn hand_over(&mut self) -> Vec<(Time, usize)> {
        let mut due = Vec::new();
        for (from, Member { switch, arena }) in self.members.iter_mut().enumerate() {
            while let Some((to, message)) = switch.next_message(arena) {
                due.push(self.crossing.post(from, to, Letter::Message(message)));
            }
            while let Some((to, token)) = switch.next_token() {
                due.push(self.crossing.post(from, to, Letter::Token(token)));
            }
        }
        due
    }

    /// The first letter of a way is there.
    pub(super) fn arrive(&mut self, way: usize, now: Time) {
        let Some(letter) = self.crossing.ways[way].pop_front() else { return };
        let Member { switch, arena } = &mut self.members[way / 2 % self.crossing.members];
        match letter {
            Letter::Message(message) => switch.take_message(message, arena, now),
            Letter::Token(token) => switch.take_token(token, arena),
        }
    }

    /// Lets everything arrive that is on its way, at once.
    pub(super) fn settle(&mut self, now: Time) {
        loop {
            let due = self.hand_over();
            if due.is_empty() {
                return;
            }
            for (_, way) in due {
                self.arrive(way, now);
            }
        }
    }
}
