//! Two schedulers that share a switch: ports 0 and 1 are the first one's, port 2 is the second one's.

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;

const FAR: PortId = PortId(2);
const P: Priority = Priority::new(3);
const CELLS: u32 = 400;

/// Frames of the first scheduler on their way to the second one, and what is queued there.
struct Pair {
    near: Scheduler,
    far: Scheduler,
    crossing: VecDeque<(Meta, Loan)>,
    queued: VecDeque<FrameId>,
    free: Vec<FrameId>,
    now: Time,
}

impl Pair {
    fn new(limit: QueueLimit) -> Pair {
        let mut classes = table(&[100]);
        classes.queues = [QueueConfig { limit, lifetime: None }; 8];
        let ports = [port(GBIT, classes); 3];
        let frames = 1000;
        let make = |share| Scheduler::with_share(&ports, share, CELLS, frames);
        let free = (0..frames as u32).map(FrameId).collect();
        let (crossing, queued) = (VecDeque::new(), VecDeque::new());
        Pair { near: make(CELLS / 2), far: make(CELLS / 2), crossing, queued, free, now: Time::ZERO }
    }

    fn meta(&self, cells: u16) -> Meta {
        let id = self.free[self.free.len() - 1];
        Meta { id, ingress: PortId(0), arrival: P, priority: P, cells, shape: Shape::frame(1000) }
    }

    fn lend(&mut self, cells: u16) -> Result<(), Refused> {
        let meta = self.meta(cells);
        let loan = self.near.lend(FAR, &meta)?;
        self.free.pop();
        self.crossing.push_back((meta, loan));
        Ok(())
    }

    fn cross(&mut self) -> Option<Refused> {
        let (meta, loan) = self.crossing.pop_front()?;
        match self.far.borrow(FAR, &meta, loan, self.now) {
            Ok(()) => self.queued.push_back(meta.id),
            Err(refused) => {
                self.return_token(meta.id);
                return Some(refused);
            }
        }
        None
    }

    fn send(&mut self) {
        self.now = self.now.max(self.far.next_wake(FAR).unwrap_or(self.now));
        if let Some(grant) = self.far.poll(FAR, self.now) {
            assert_eq!(Some(grant.id), self.queued.pop_front(), "first in, first out");
            let cells = self.near.buffer.cells(grant.id);
            self.far.give_back(FAR, grant.priority, cells);
            self.return_token(grant.id);
        }
    }

    fn return_token(&mut self, id: FrameId) {
        if self.near.repaid(FAR, P, id) {
            self.free.push(id);
        }
    }

    fn settle(&mut self) {
        while !self.crossing.is_empty() {
            self.cross();
        }
        while !self.queued.is_empty() {
            self.send();
        }
    }
}

fn dice(seed: &mut u64, sides: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % sides
}

#[test]
fn whatever_crosses_is_charged_once_kept_in_order_and_forgotten_in_the_end() {
    for seed in 1..200 {
        let mut pair = Pair::new(QueueLimit::Dynamic(0));
        let mut seed = seed;
        for _ in 0..2000 {
            match dice(&mut seed, 5) {
                0 | 1 => {
                    let cells = 1 + dice(&mut seed, 9) as u16;
                    let _ = pair.lend(cells);
                }
                2 | 3 => assert_eq!(pair.cross(), None, "it was admitted where it came in"),
                _ => pair.send(),
            }
            let held = pair.near.occupancy().used;
            assert_eq!(pair.near.group(PortId(0), P).cells(), held);
            assert_eq!(pair.near.backlog(FAR, P, pair.now).cells, held, "its part of the queue");
            assert!(held <= CELLS / 4 + 9, "alpha is 1: half of the share is left free, but for a frame");
            assert_eq!(pair.far.occupancy().used, 0, "not the borrower's memory");
        }
        pair.settle();
        assert_eq!(pair.near.occupancy().used, 0);
        assert_eq!(pair.near.lendable, CELLS);
        assert_eq!(pair.far.backlog(FAR, P, pair.now).cells, 0);
        assert_eq!(pair.free.len(), 1000);
    }
}

#[test]
fn a_fixed_limit_binds_the_whole_queue_and_what_is_lossless_not_at_all() {
    let mut pair = Pair::new(QueueLimit::Static(10));
    // The borrower's own frames are in the queue already.
    let own =
        Meta { id: FrameId(0), ingress: FAR, arrival: P, priority: P, cells: 6, shape: Shape::frame(1000) };
    pair.far.enqueue(FAR, &own, pair.now).unwrap();
    pair.lend(4).unwrap();
    assert_eq!(pair.cross(), None);
    pair.lend(1).unwrap();
    assert_eq!(pair.cross(), Some(Refused::QueueFull));
    // What has left the queue is not in it, though nobody has said so yet.
    while pair.far.has_backlog(FAR) {
        pair.now = pair.far.next_wake(FAR).unwrap().max(pair.now);
        let _ = pair.far.poll(FAR, pair.now);
    }
    for _ in 0..2 {
        pair.lend(5).unwrap();
        assert_eq!(pair.cross(), None);
    }
    let lossless = GroupConfig { reserved: 20, limit: QueueLimit::Static(20), headroom: 20, xon_offset: 2 };
    pair.near.configure_group(PortId(0), P, Some(lossless));
    pair.lend(5).unwrap();
    assert_eq!(pair.cross(), None);
}

#[test]
fn a_lossless_sender_is_paused_by_what_waits_elsewhere_and_goes_on_when_tokens_come_back() {
    let mut pair = Pair::new(QueueLimit::Buffer);
    let config = GroupConfig { reserved: 10, limit: QueueLimit::Static(10), headroom: 20, xon_offset: 2 };
    pair.near.configure_group(PortId(0), P, Some(config));
    let mut sent = 0;
    while pair.near.gate_event().is_none() {
        pair.lend(1).unwrap();
        sent += 1;
    }
    assert_eq!(sent, 21, "the first cell of headroom, though nothing has crossed yet");
    pair.settle();
    assert_eq!(pair.near.gate_event(), Some((PortId(0), P, true)));
}

#[test]
fn borrowed_cells_take_nothing_from_the_share_of_the_borrower() {
    let mut pair = Pair::new(QueueLimit::Dynamic(0));
    while pair.lend(1).is_ok() {}
    pair.settle_crossing();
    let mut own = 0;
    while pair.far.enqueue(FAR, &Meta { id: FrameId(own), ingress: FAR, ..pair.meta(1) }, pair.now).is_ok() {
        own += 1;
    }
    assert_eq!(own, CELLS / 4, "as much as without the other's frames");
}

impl Pair {
    fn settle_crossing(&mut self) {
        while !self.crossing.is_empty() {
            assert_eq!(self.cross(), None);
        }
    }
}
