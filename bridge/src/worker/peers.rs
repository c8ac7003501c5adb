//! The ways to the other workers: for each of them a ring for messages and one for tokens, in both directions.
//!
//! A ring is short, so that it stays in the cache. What finds it full waits in front of it, in order, in memory that is
//! charged to its priority group like all that is queued: so nobody is held up and nothing is lost for a ring's sake, and
//! it is the groups' limits that pause senders when a worker stands still. Tokens are as many as the copies that were
//! lent.
//!
//! What must not enter: what a message means (`switch::crew`).

use std::collections::VecDeque;
use std::sync::Arc;

use nix::sys::eventfd::EventFd;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::bell::Bell;
use crate::switch::crew::{Message, Token};

/// Messages between two workers, of some 80 bytes.
const MESSAGES: usize = 1024;
/// Tokens between two workers, of some 40 bytes.
const TOKENS: usize = 2048;

/// How a worker is woken.
pub struct Door {
    bell: Bell,
    wake: Arc<EventFd>,
}

/// The sending end of a ring, and what waits in front of it.
struct Sender<T> {
    ring: Producer<T>,
    waiting: VecDeque<T>,
}

impl<T> Sender<T> {
    /// Puts something behind all that was put before. `false`: it has to wait for room.
    fn put(&mut self, item: T) -> bool {
        if self.waiting.is_empty() {
            match self.ring.push(item) {
                Ok(()) => return true,
                Err(PushError::Full(item)) => self.waiting.push_back(item),
            }
        } else {
            self.waiting.push_back(item);
        }
        false
    }

    /// Moves what waits into the ring. `true`: something was moved.
    fn advance(&mut self) -> bool {
        let before = self.waiting.len();
        while !self.waiting.is_empty() && !self.ring.is_full() {
            // Nobody else pushes, so there is room.
            if let Some(Err(PushError::Full(item))) =
                self.waiting.pop_front().map(|item| self.ring.push(item))
            {
                self.waiting.push_front(item);
            }
        }
        self.waiting.len() < before
    }
}

/// The way to one other worker and back.
struct Way {
    messages: Sender<Message>,
    tokens: Sender<Token>,
    from_messages: Consumer<Message>,
    from_tokens: Consumer<Token>,
    door: Arc<Door>,
    /// Handed over since the bell was last rung.
    posted: Posted,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Posted {
    Nothing,
    Tokens,
    Frames,
}

/// A worker's ways to all others.
pub struct Peers {
    /// By worker; `None`: oneself.
    ways: Vec<Option<Way>>,
    door: Arc<Door>,
    /// Copies handed to others.
    pub(super) handed: u64,
    /// Messages that found a ring full, and waited.
    pub(super) waited: u64,
}

impl Peers {
    /// Joins workers that are woken by these descriptors, each with each.
    pub fn join(wakes: &[Arc<EventFd>]) -> Vec<Peers> {
        let mut all: Vec<Peers> = wakes.iter().map(|wake| Peers::without(wake, wakes.len())).collect();
        let doors: Vec<_> = all.iter().map(|peers| Arc::clone(&peers.door)).collect();
        for a in 0..all.len() {
            for b in a + 1..all.len() {
                let [to_b, to_a] = [(); 2].map(|()| (RingBuffer::new(MESSAGES), RingBuffer::new(TOKENS)));
                let way =
                    |out: (Producer<_>, Producer<_>), back: (Consumer<_>, Consumer<_>), door: usize| Way {
                        messages: Sender { ring: out.0, waiting: VecDeque::new() },
                        tokens: Sender { ring: out.1, waiting: VecDeque::new() },
                        from_messages: back.0,
                        from_tokens: back.1,
                        door: Arc::clone(&doors[door]),
                        posted: Posted::Nothing,
                    };
                let ((out, heard), (tokens_out, tokens_heard)) = to_b;
                let ((answer, answered), (tokens_back, tokens_in)) = to_a;
                all[a].ways[b] = Some(way((out, tokens_out), (answered, tokens_in), b));
                all[b].ways[a] = Some(way((answer, tokens_back), (heard, tokens_heard), a));
            }
        }
        all
    }

    /// A worker that is alone.
    pub fn none(wake: &Arc<EventFd>) -> Peers {
        Peers::without(wake, 1)
    }

    /// One of so many workers, without a way to any yet.
    fn without(wake: &Arc<EventFd>, workers: usize) -> Peers {
        Peers {
            ways: (0..workers).map(|_| None).collect(),
            door: Arc::new(Door { bell: Bell::new(), wake: Arc::clone(wake) }),
            handed: 0,
            waited: 0,
        }
    }

    /// Whether there are others.
    pub(super) fn exist(&self) -> bool {
        self.ways.len() > 1
    }

    fn ways(&mut self) -> impl Iterator<Item = &mut Way> {
        self.ways.iter_mut().flatten()
    }

    /// Hands a message to another worker.
    pub(super) fn send(&mut self, to: usize, message: Message) {
        let Some(way) = &mut self.ways[to] else { return };
        self.handed += u64::from(matches!(message, Message::Frame(_)));
        self.waited += u64::from(!way.messages.put(message));
        way.posted = Posted::Frames;
    }

    /// Gives a token back to another worker.
    pub(super) fn give_back(&mut self, to: usize, token: Token) {
        let Some(way) = &mut self.ways[to] else { return };
        way.tokens.put(token);
        way.posted = way.posted.max(Posted::Tokens);
    }

    /// Moves on what waited, and wakes those who sleep and got something.
    pub(super) fn ring(&mut self) {
        for way in self.ways() {
            if way.messages.advance() {
                way.posted = Posted::Frames;
            }
            if way.tokens.advance() {
                way.posted = way.posted.max(Posted::Tokens);
            }
            let posted = std::mem::replace(&mut way.posted, Posted::Nothing);
            if posted != Posted::Nothing && way.door.bell.ring(posted == Posted::Frames) {
                // The only failure of this write is a counter that is full: then the worker will wake anyway.
                let _ = way.door.wake.write(1);
            }
        }
    }

    /// The next message of any other worker, as long as `budget` lasts for each.
    pub(super) fn next_message(&mut self, budget: &mut [usize]) -> Option<Message> {
        let ways = self.ways.iter_mut().zip(budget);
        ways.filter(|(_, left)| **left > 0).find_map(|(way, left)| {
            let message = way.as_mut()?.from_messages.pop().ok()?;
            *left -= 1;
            Some(message)
        })
    }

    /// The next token that came back.
    pub(super) fn next_token(&mut self) -> Option<Token> {
        self.ways().find_map(|way| way.from_tokens.pop().ok())
    }

    /// Whether a message is there.
    pub(super) fn has_message(&self) -> bool {
        self.ways.iter().flatten().any(|way| !way.from_messages.is_empty())
    }

    fn has_token(&self) -> bool {
        self.ways.iter().flatten().any(|way| !way.from_tokens.is_empty())
    }

    /// Whether something waits for room in a ring.
    pub(super) fn waits(&self) -> bool {
        self.ways.iter().flatten().any(|w| !w.messages.waiting.is_empty() || !w.tokens.waiting.is_empty())
    }

    /// Says that the worker is about to sleep. `false`: it must not, something has come.
    pub(super) fn lie_down(&self, for_tokens_too: bool) -> bool {
        self.door.bell.lie_down(for_tokens_too);
        let come = self.has_message() || (for_tokens_too && self.has_token());
        if come {
            self.door.bell.get_up();
        }
        !come
    }

    /// The worker is awake.
    pub(super) fn get_up(&self) {
        self.door.bell.get_up();
    }
}

#[cfg(test)]
mod tests {
    use dcbridge_scheduler::PortId;
    use nix::sys::eventfd::EfdFlags;

    use super::*;
    use crate::switch::crew::Notice;

    fn number(n: u32) -> Message {
        Message::Notice(Notice::Address { vid: (n >> 16) as u16, mac: [0; 6], port: PortId(n as u16) })
    }

    fn pair() -> ([Peers; 2], Vec<Arc<EventFd>>) {
        let wake = |_| EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK).unwrap();
        let wakes: Vec<_> = (0..2).map(wake).map(Arc::new).collect();
        let [a, b] = <[Peers; 2]>::try_from(Peers::join(&wakes)).ok().unwrap();
        ([a, b], wakes)
    }

    fn drain(peers: &mut Peers, budget: usize) -> Vec<u32> {
        let mut budget = [budget; 2];
        let mut got = Vec::new();
        while let Some(Message::Notice(Notice::Address { vid, port, .. })) = peers.next_message(&mut budget) {
            got.push(u32::from(vid) << 16 | u32::from(port.0));
        }
        got
    }

    #[test]
    fn what_finds_the_ring_full_waits_in_order_and_is_counted() {
        let ([mut a, mut b], _) = pair();
        let all = 5 * MESSAGES as u32;
        for n in 0..all {
            a.send(1, number(n));
        }
        assert!(a.waits() && a.waited == u64::from(all) - MESSAGES as u64);
        let mut got = Vec::new();
        while (got.len() as u32) < all {
            let some = drain(&mut b, 100);
            assert!(!some.is_empty() && some.len() <= 100, "the budget binds");
            got.extend(some);
            a.ring();
        }
        assert!(got.is_sorted() && !a.waits() && !b.has_message());
    }

    #[test]
    fn one_who_sleeps_is_woken_once_and_one_who_looks_is_not() {
        let ([mut a, b], wakes) = pair();
        a.send(1, number(1));
        a.ring();
        assert!(wakes[1].read().is_err(), "it is awake");
        assert!(!b.lie_down(false), "something has come");
        let ([mut a, b], wakes) = pair();
        assert!(b.lie_down(false));
        for n in 0..10 {
            a.send(1, number(n));
            a.ring();
        }
        assert_eq!(wakes[1].read(), Ok(1));
    }
}
