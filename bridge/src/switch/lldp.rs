//! LLDP frames between the wire and the agents: what came, on its way out of the switch, and what the switch says, ahead
//! of all data.
//!
//! Anyone on a link can send LLDP frames, so they are policed before anything is copied: each neighbour that an agent
//! knows has a bucket of its own, and all strangers of a port share a small one. A flood of invented neighbours then
//! costs the control side a handful of frames a second, and the real neighbour is heard all the same.
//!
//! What must not enter: what the frames say.

use std::collections::VecDeque;

use dcbridge_scheduler::{PortId, Time, wire_bytes};

use super::Switch;
use super::books::{Reason, unit};
use crate::port::TxOutcome;

/// The longest LLDP frame that is handed on, in bytes: one Ethernet frame of the standard MTU with a tag.
pub const FRAME_MAX: usize = 1518;
/// Neighbours of a port that have a bucket of their own.
pub const NEIGHBORS_MAX: usize = 16;
/// Frames that wait to be fetched.
const HEARD_MAX: usize = 64;
/// An agent sends at most one frame a second, and five at once (802.1AB 9.2.5.17).
const NEIGHBOR: Limit = Limit { interval: Time::from_millis(200), burst: 8 };
/// All newcomers of a port together.
const STRANGERS: Limit = Limit { interval: Time::from_millis(200), burst: 8 };

/// A received LLDP frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Where it came in.
    pub port: PortId,
    /// All of it, without FCS; at most [`FRAME_MAX`] bytes.
    pub bytes: Box<[u8]>,
}

/// So many at once, then one each interval.
#[derive(Clone, Copy)]
struct Limit {
    interval: Time,
    burst: u64,
}

/// A token bucket, as the time at which it will be full again.
#[derive(Clone, Copy, Default)]
struct Bucket(Time);

impl Bucket {
    fn take(&mut self, limit: Limit, now: Time) -> bool {
        let full = self.0.max(now);
        let after = full + limit.interval;
        let fits = after - now <= Time(limit.interval.0 * limit.burst);
        if fits {
            self.0 = after;
        }
        fits
    }
}

#[derive(Default)]
struct PortPolice {
    /// An agent listens.
    on: bool,
    neighbors: Vec<([u8; 6], Bucket)>,
    strangers: Bucket,
}

/// The police of all ports, and what it let pass.
pub(super) struct Lldp {
    ports: Vec<PortPolice>,
    heard: VecDeque<Heard>,
}

impl Lldp {
    pub(super) fn new(on: impl Iterator<Item = bool>) -> Lldp {
        let ports = on.map(|on| PortPolice { on, ..PortPolice::default() }).collect();
        Lldp { ports, heard: VecDeque::with_capacity(HEARD_MAX) }
    }

    /// A frame came.
    pub(super) fn receive(
        &mut self,
        port: PortId,
        source: [u8; 6],
        bytes: &[u8],
        now: Time,
    ) -> Result<(), Reason> {
        let police = &mut self.ports[port.index()];
        if !police.on {
            return Ok(());
        }
        let known = police.neighbors.iter_mut().find(|(mac, _)| *mac == source);
        let passes = match known {
            Some((_, bucket)) => bucket.take(NEIGHBOR, now),
            None => police.strangers.take(STRANGERS, now),
        };
        if !passes || bytes.len() > FRAME_MAX || self.heard.len() == HEARD_MAX {
            return Err(Reason::LldpLimit);
        }
        self.heard.push_back(Heard { port, bytes: bytes.into() });
        Ok(())
    }
}

impl Switch {
    /// The next LLDP frame that was received.
    pub fn heard(&mut self) -> Option<Heard> {
        self.lldp.heard.pop_front()
    }

    /// Tells which source addresses the neighbours of a port have; those beyond [`NEIGHBORS_MAX`] stay strangers.
    pub fn set_neighbors(&mut self, port: PortId, macs: &[[u8; 6]]) {
        let police = &mut self.lldp.ports[port.index()];
        let bucket = |mac| police.neighbors.iter().find(|(m, _)| m == mac).map_or(Bucket::default(), |n| n.1);
        police.neighbors = macs.iter().take(NEIGHBORS_MAX).map(|mac| (*mac, bucket(mac))).collect();
    }

    /// A frame of `len` bytes that goes ahead of all data, is never paused, and belongs to no class: it takes line time.
    /// To be answered by [`Switch::urgent_sent`].
    pub fn urgent_frame(&mut self, port: PortId, len: usize, now: Time) {
        self.scheduler.charge_line(port, wire_bytes(len as u32), now);
    }

    /// What became of such a frame.
    pub fn urgent_sent(&mut self, port: PortId, len: usize, outcome: TxOutcome) {
        let count = unit(1, len as u64);
        let books = &mut self.books[port.index()];
        books.originated.add(count);
        match outcome {
            TxOutcome::Sent => books.tx.add(count),
            TxOutcome::Refused => books.tx_drops[Reason::DeviceRefused as usize].add(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PortId = PortId(0);
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn stranger(n: u32) -> [u8; 6] {
        let mut mac = [2, 9, 0, 0, 0, 0];
        mac[2..].copy_from_slice(&n.to_be_bytes());
        mac
    }

    fn on() -> Lldp {
        Lldp::new([true].into_iter())
    }

    #[test]
    fn a_flood_of_strangers_leaves_the_neighbour_its_place_and_stays_small() {
        let mut lldp = on();
        lldp.ports[0].neighbors = vec![(PEER, Bucket::default())];
        let (mut passed, mut kept, mut waiting) = (0, 0, 0);
        for n in 0..1_000_000u32 {
            // 100 000 a second, for 10 s; the neighbour speaks once a second.
            let now = Time::from_micros(10 * u64::from(n));
            passed += u32::from(lldp.receive(P, stranger(n), &[0; 60], now).is_ok());
            if n % 100_000 == 0 {
                kept += u32::from(lldp.receive(P, PEER, &[0; 60], now).is_ok());
            }
            waiting = waiting.max(lldp.heard.len());
            if n % 50_000 == 0 {
                lldp.heard.clear();
            }
        }
        assert_eq!(kept, 10, "the neighbour is always heard");
        assert!((50..=60).contains(&passed), "{passed} of a million strangers");
        assert!(waiting <= HEARD_MAX);
    }

    #[test]
    fn what_is_too_long_or_finds_no_room_is_dropped_and_what_nobody_listens_to_is_consumed() {
        let mut lldp = on();
        assert_eq!(lldp.receive(P, PEER, &[0; FRAME_MAX + 1], Time::ZERO), Err(Reason::LldpLimit));
        assert_eq!(lldp.receive(P, PEER, &[0; FRAME_MAX], Time::ZERO), Ok(()));
        let mut off = Lldp::new([false].into_iter());
        for _ in 0..1000 {
            assert_eq!(off.receive(P, PEER, &[0; 60], Time::ZERO), Ok(()));
        }
        assert!(off.heard.is_empty());
        let mut crowd = Lldp::new((0..100).map(|_| true));
        let passed = (0..100).filter(|n| crowd.receive(PortId(*n), PEER, &[0; 60], Time::ZERO).is_ok());
        assert_eq!(passed.count(), HEARD_MAX);
    }
}
