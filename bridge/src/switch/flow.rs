//! Flow control on the wire, both ways: PFC (802.1Q clause 36) or PAUSE (802.3 annex 31B), per port.
//!
//! Outwards: a gate that closes becomes an XOFF, refreshed at half its time for as long as the gate is closed, and an
//! XON when it opens. Changes that come together share a frame. Inwards: frames become pauses of egress queues, in
//! quanta at the port's `pfc_rate`.
//!
//! What must not enter: thresholds (the scheduler closes gates), devices' own ways to push back (ports know them).

use dcbridge_scheduler::pfc::{FRAME_LEN, Frame, Parsed, parse, quanta};
use dcbridge_scheduler::{PortId, Priority, Rate, Time};

use super::forward::PortSet;

/// The time that an XOFF asks for: the longest there is.
const XOFF: u16 = 0xFFFF;
/// Rate that quanta are counted at where nothing says better.
const DEFAULT_RATE: Rate = Rate::from_bits_per_second(10_000_000_000);

/// How a port controls flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither way.
    Off,
    /// The whole port, by PAUSE.
    Pause,
    /// By priority; bitmaps of those that are obeyed and those that are asked for.
    Pfc {
        /// Priorities whose pauses are obeyed.
        receive: u8,
        /// Priorities that the peer is asked to pause.
        transmit: u8,
    },
}

/// Flow control settings of a port.
#[derive(Clone, Copy, Debug)]
pub struct FlowConfig {
    /// Which way.
    pub kind: Kind,
    /// What quanta are counted at.
    pub rate: Rate,
}

impl Default for FlowConfig {
    fn default() -> Self {
        FlowConfig { kind: Kind::Off, rate: DEFAULT_RATE }
    }
}

/// Counters of a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowCounters {
    /// PFC frames received that had the priority's bit, XON included.
    pub pfc_rx: [u64; 8],
    /// XOFFs sent, refreshes included.
    pub xoff_tx: [u64; 8],
    /// XONs sent.
    pub xon_tx: [u64; 8],
    /// PAUSE frames received.
    pub pause_rx: u64,
    /// PAUSE frames sent.
    pub pause_tx: u64,
    /// Frames too short for their opcode.
    pub malformed: u64,
    /// Well-formed frames without effect: of the other kind, for priorities that are not obeyed, empty, unknown.
    pub ignored: u64,
    /// PFC frames with bits in the vector's high octet.
    pub odd_vector: u64,
}

/// What a received frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Priorities it concerns.
    pub priorities: u8,
    /// How long each is to pause; zero: go on.
    pub times: [Time; 8],
}

/// Source address of what the switch itself sends at a port: locally administered, the same at every start as long as
/// the identity is.
pub fn source_address(identity: u64, port: u16) -> [u8; 6] {
    let [a, b, c, ..] = identity.to_be_bytes();
    let [hi, lo] = port.to_be_bytes();
    [0x02, a, b, c, hi, lo]
}

struct PortFlow {
    config: FlowConfig,
    source: [u8; 6],
    closed: u8,
    /// Priorities whose state the peer has not been told yet.
    pending: u8,
    refresh_at: Time,
    counters: FlowCounters,
}

/// Flow control of all ports.
pub struct Flow {
    ports: Vec<PortFlow>,
    /// Ports with a closed gate that has to be refreshed.
    refreshing: PortSet,
    /// Ports with something to send.
    pub(super) urgent: Vec<PortId>,
}

impl Flow {
    /// Of ports with these settings; `identity` makes their source addresses.
    pub fn new(configs: Vec<FlowConfig>, identity: u64) -> Flow {
        let ports = configs
            .into_iter()
            .enumerate()
            .map(|(n, config)| PortFlow {
                config,
                source: source_address(identity, n as u16),
                closed: 0,
                pending: 0,
                refresh_at: Time::NEVER,
                counters: FlowCounters::default(),
            })
            .collect();
        Flow { ports, refreshing: PortSet::EMPTY, urgent: Vec::new() }
    }

    /// Counters of a port.
    pub fn counters(&self, port: PortId) -> &FlowCounters {
        &self.ports[port.index()].counters
    }

    /// How a port controls flow.
    pub fn config(&self, port: PortId) -> &FlowConfig {
        &self.ports[port.index()].config
    }

    /// Priorities whose pauses `port` obeys.
    pub fn receives(&self, port: PortId) -> u8 {
        match self.ports[port.index()].config.kind {
            Kind::Off => 0,
            Kind::Pause => 0xFF,
            Kind::Pfc { receive, .. } => receive,
        }
    }

    /// Replaces how `port` controls flow. Peers that are paused for a priority that is none of its any more are told to go
    /// on, those of a new one whose gate is closed to stop.
    pub fn set_kind(&mut self, port: PortId, kind: Kind) {
        let flow = &mut self.ports[port.index()];
        let before = flow.transmits();
        flow.config.kind = kind;
        let told = flow.closed & (before ^ flow.transmits());
        if told != 0 {
            flow.pending |= told;
            self.urgent.push(port);
        }
    }

    /// A gate closed or opened.
    pub fn gate(&mut self, port: PortId, priority: Priority, open: bool) {
        let flow = &mut self.ports[port.index()];
        let bit = 1 << priority.get();
        let told = match flow.config.kind {
            Kind::Off => 0,
            Kind::Pause => 0xFF,
            Kind::Pfc { transmit, .. } => transmit,
        };
        let before = flow.closed;
        flow.closed = if open { before & !bit } else { before | bit };
        // What it knows already the peer is not told again.
        if told & bit != 0 && flow.closed != before {
            flow.pending |= bit;
            self.urgent.push(port);
        }
    }

    /// The frame that `port` should send now, if any.
    pub fn frame(&mut self, port: PortId, now: Time) -> Option<[u8; FRAME_LEN]> {
        let flow = &mut self.ports[port.index()];
        if flow.refresh_at <= now {
            flow.pending |= flow.closed & flow.transmits();
        }
        let pending = std::mem::take(&mut flow.pending);
        if pending == 0 {
            return None;
        }
        let closed = flow.closed & flow.transmits();
        let half = Time(quanta(XOFF, flow.config.rate).0 / 2);
        flow.refresh_at = if closed == 0 { Time::NEVER } else { now + half };
        self.refreshing.set(port, closed != 0);
        let frame = if flow.config.kind == Kind::Pause {
            flow.counters.pause_tx += 1;
            Frame::Pause(if closed == 0 { 0 } else { XOFF })
        } else {
            // Refreshing one refreshes all: then there is one timer.
            let enabled = pending | closed;
            let times = std::array::from_fn(|p| if closed & (1 << p) == 0 { 0 } else { XOFF });
            for p in (0..8).filter(|p| enabled & (1 << p) != 0) {
                let counters = &mut flow.counters;
                let counter = if times[p] == 0 { &mut counters.xon_tx } else { &mut counters.xoff_tx };
                counter[p] += 1;
            }
            Frame::Pfc { enabled, times }
        };
        Some(frame.emit(flow.source))
    }

    /// When the next refresh is due.
    pub fn next_wake(&self) -> Option<Time> {
        self.refreshing.iter().map(|port| self.ports[port.index()].refresh_at).min()
    }

    /// Ports whose refresh is due.
    pub fn due(&self, now: Time) -> impl Iterator<Item = PortId> + '_ {
        self.refreshing.iter().filter(move |port| self.ports[port.index()].refresh_at <= now)
    }

    /// The link of a port came up or went down: a new peer knows nothing.
    pub fn set_up(&mut self, port: PortId, up: bool) {
        let flow = &mut self.ports[port.index()];
        flow.refresh_at = Time::NEVER;
        self.refreshing.remove(port);
        flow.pending = if up { flow.closed & flow.transmits() } else { 0 };
        if flow.pending != 0 {
            self.urgent.push(port);
        }
    }

    /// Takes a received MAC control frame (what follows its ethertype); `None`: it changes nothing.
    pub fn receive(&mut self, port: PortId, body: &[u8]) -> Option<Asked> {
        let flow = &mut self.ports[port.index()];
        let counters = &mut flow.counters;
        let rate = flow.config.rate;
        let asked = match (parse(body), flow.config.kind) {
            (Parsed::Pfc { enabled, times, odd_vector }, kind) => {
                counters.odd_vector += u64::from(odd_vector);
                for p in (0..8).filter(|p| enabled & (1 << p) != 0) {
                    counters.pfc_rx[p] += 1;
                }
                let obeyed = if let Kind::Pfc { receive, .. } = kind { receive } else { 0 };
                Asked { priorities: enabled & obeyed, times: times.map(|t| quanta(t, rate)) }
            }
            (Parsed::Pause(time), kind) => {
                counters.pause_rx += 1;
                let priorities = if kind == Kind::Pause { 0xFF } else { 0 };
                Asked { priorities, times: [quanta(time, rate); 8] }
            }
            (Parsed::Malformed, _) => {
                counters.malformed += 1;
                return None;
            }
            (Parsed::Unknown(_), _) => Asked { priorities: 0, times: [Time::ZERO; 8] },
        };
        counters.ignored += u64::from(asked.priorities == 0);
        (asked.priorities != 0).then_some(asked)
    }
}

impl PortFlow {
    fn transmits(&self) -> u8 {
        match self.config.kind {
            Kind::Off => 0,
            Kind::Pause => 0xFF,
            Kind::Pfc { transmit, .. } => transmit,
        }
    }
}
