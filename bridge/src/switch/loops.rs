//! Loop detection: as long as there is no spanning tree, the switch listens for itself.
//!
//! Each port sends a small probe, soon after its link comes up and every few seconds. A probe that comes back by
//! whatever port means that two ports (or one, behind something that reflects) are joined elsewhere: the higher-numbered
//! of the two is held - nothing is taken from it or sent to it but probes - until none is heard for a while. How long
//! that is differs from switch to switch, so that two switches that held one link each don't let go together.

use dcbridge_scheduler::{PortId, Time};

use super::control::{PROBE, PROBE_ADDRESS};
use super::parse::ETHERNET;

const INTERVAL: Time = Time::from_millis(2_000);
const HOLD: Time = Time::from_millis(10_000);
const MAGIC: &[u8; 4] = b"DCBP";
/// Bytes of a probe: the shortest Ethernet frame.
pub const PROBE_LEN: usize = 60;

/// What loop detection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `held` was closed: what `from` sent came back by `by`.
    Held {
        /// The port that is held.
        held: PortId,
        /// Where the probe left.
        from: PortId,
        /// Where it came back.
        by: PortId,
    },
    /// The loop is gone, the port passes frames again.
    Released(PortId),
}

#[derive(Clone, Copy)]
struct Hold {
    until: Time,
    from: PortId,
    by: PortId,
}

/// The state of loop detection.
pub struct Loops {
    enabled: bool,
    id: u64,
    hold: Time,
    next: Vec<Option<Time>>,
    held: Vec<Option<Hold>>,
    /// The first of all these instants.
    wake: Option<Time>,
}

impl Loops {
    /// Of a switch with so many ports, known by a random `id`.
    pub fn new(ports: usize, enabled: bool, id: u64) -> Loops {
        let hold = HOLD + Time::from_millis(id % 5_000);
        Loops { enabled, id, hold, next: vec![None; ports], held: vec![None; ports], wake: None }
    }

    /// The link of a port that one probes came up, or went down.
    pub fn begin(&mut self, port: PortId, up: bool, now: Time) {
        self.next[port.index()] = (up && self.enabled).then_some(now);
        if !up {
            self.forget(port);
        }
        self.plan();
    }

    /// A port is not held any more, whatever was heard.
    pub fn forget(&mut self, port: PortId) {
        self.held[port.index()] = None;
        self.plan();
    }

    /// Ports whose probe is due.
    pub fn due(&mut self, now: Time) -> Vec<PortId> {
        let mut due = Vec::new();
        for (i, next) in self.next.iter_mut().enumerate() {
            if next.is_some_and(|n| n <= now) {
                *next = Some(now + INTERVAL);
                due.push(PortId(i as u16));
            }
        }
        self.plan();
        due
    }

    /// Holds that ended.
    pub fn expired(&mut self, now: Time) -> Vec<PortId> {
        let mut ended = Vec::new();
        for (i, held) in self.held.iter_mut().enumerate() {
            if held.is_some_and(|h| h.until <= now) {
                *held = None;
                ended.push(PortId(i as u16));
            }
        }
        self.plan();
        ended
    }

    /// When something will be due.
    pub fn next_wake(&self) -> Option<Time> {
        self.wake
    }

    /// Notes when something will be due: that is asked in every turn, and changes every few seconds.
    fn plan(&mut self) {
        let probes = self.next.iter().flatten().copied();
        self.wake = probes.chain(self.held.iter().flatten().map(|h| h.until)).min();
    }

    /// The probe of a port.
    pub fn probe(&self, port: PortId) -> [u8; PROBE_LEN] {
        let mut frame = [0; PROBE_LEN];
        frame[..6].copy_from_slice(&PROBE_ADDRESS);
        frame[6] = 0x02;
        frame[7..12].copy_from_slice(&self.id.to_be_bytes()[3..]);
        frame[12..ETHERNET].copy_from_slice(&PROBE.to_be_bytes());
        frame[ETHERNET..18].copy_from_slice(MAGIC);
        frame[18..26].copy_from_slice(&self.id.to_be_bytes());
        frame[26..28].copy_from_slice(&port.0.to_be_bytes());
        frame
    }

    /// The port that sent a probe, if it is one of ours; `payload` is what follows the ethertype.
    pub fn sender(&self, payload: &[u8]) -> Option<PortId> {
        let (magic, rest) = payload.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
        (magic == MAGIC && u64::from_be_bytes(*id) == self.id && usize::from(port) < self.held.len())
            .then_some(PortId(port))
    }

    /// A probe that left by `from` came back by a port. Answers what was not known before.
    pub fn seen(&mut self, from: PortId, by: PortId, now: Time) -> Option<Finding> {
        if !self.enabled {
            return None;
        }
        let held = from.max(by);
        let hold = &mut self.held[held.index()];
        let is_new = hold.is_none();
        *hold = Some(Hold { until: now + self.hold, from, by });
        self.plan();
        is_new.then_some(Finding::Held { held, from, by })
    }

    /// The loop for which a port is held: where a probe left and where it came back.
    pub fn held(&self, port: PortId) -> Option<(PortId, PortId)> {
        self.held[port.index()].map(|h| (h.from, h.by))
    }
}
