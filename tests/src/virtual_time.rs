//! Scenarios in virtual time: one switch, hosts that offer more than its slow line carries, and a host behind that line
//! that counts for itself.
//!
//! What the receiving host counts it takes from the frames: headers read by etherparse, segments and wire bytes worked
//! out from lengths. Nothing here asks the switch what it thinks it sent.
//!
//! What must not enter: what has to hold (the tests say that).

use std::cell::RefCell;
use std::rc::Rc;

use dcbridge::arena::Arena;
use dcbridge::port::{TxDesc, VnetHeader};
use dcbridge::sim::frames::Spec;
use dcbridge::sim::{NodeId, Packet, Sim};
use dcbridge::state::{Count, Port, Snapshot};
use dcbridge_scheduler::{PortId, Rate, Time};
use etherparse::{SlicedPacket, TransportSlice};

/// FCS, preamble, start delimiter and gap.
const BESIDE: u64 = 4 + 8 + 12;
/// The shortest frame on the wire with all that.
const SHORTEST: u64 = 84;
/// A host's flow `n` has the destination port `FLOWS + n`.
pub const FLOWS: u16 = 2000;
/// Most flows that are told apart.
pub const MAX_FLOWS: usize = 16;

/// How many workers the switches of scenarios have, where it is not the scenario's affair.
pub const THREADS: &str = "DCBRIDGE_THREADS";

/// How many workers the switches of scenarios have.
pub fn threads() -> u64 {
    std::env::var(THREADS).ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// A configuration from its text, with as many workers as [`THREADS`] says.
///
/// # Panics
/// When it has errors, which are shown.
pub fn config(text: &str) -> dcbridge_config::Config {
    match dcbridge_config::parse(text, "scenario.toml") {
        Ok((mut config, _)) => {
            if std::env::var_os(THREADS).is_some() {
                config.worker.threads = threads() as u8;
            }
            config
        }
        Err(errors) => panic!("{}", dcbridge_config::render(&errors, text, false)),
    }
}

/// What a host received of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Frames: each segment of a superframe.
    pub frames: u64,
    /// Their bytes on the wire.
    pub wire: u64,
    /// When the last one had arrived.
    pub last: Time,
}

/// What a host received.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By flow number.
    pub flows: [Got; MAX_FLOWS],
    /// Wire bytes of everything, flows or not.
    pub wire: u64,
    /// The flow whose packets' arrivals are noted.
    timed: Option<usize>,
    arrivals: Vec<Time>,
}

/// A tally that a host writes and a test reads.
pub type SharedTally = Rc<RefCell<Tally>>;

/// Frames and wire bytes of a frame or superframe of `len` bytes without FCS.
pub fn on_wire(len: usize, vnet: &VnetHeader, tcp: bool) -> (u64, u64) {
    let wire = |len: usize| (len as u64 + BESIDE).max(SHORTEST);
    if vnet.gso_type == 0 {
        return (1, wire(len));
    }
    let headers = usize::from(vnet.csum_start) + if tcp { 20 } else { 8 };
    let (payload, size) = (len - headers, usize::from(vnet.gso_size));
    let (full, rest) = (payload / size, payload % size);
    let last = if rest > 0 { wire(headers + rest) } else { 0 };
    (full as u64 + u64::from(rest > 0), full as u64 * wire(headers + size) + last)
}

/// The flow of a frame whose first bytes these are, and whether it is TCP.
pub(crate) fn flow_of(start: &[u8]) -> (Option<usize>, bool) {
    // Cut off at the end of the headers: the lengths in them are of the whole frame.
    let Ok(sliced) = etherparse::LaxSlicedPacket::from_ethernet(start) else { return (None, false) };
    let (port, tcp) = match sliced.transport {
        Some(TransportSlice::Udp(udp)) => (udp.destination_port(), false),
        Some(TransportSlice::Tcp(tcp)) => (tcp.destination_port(), true),
        _ => return (None, false),
    };
    let flow = usize::from(port.wrapping_sub(FLOWS));
    ((flow < MAX_FLOWS).then_some(flow), tcp)
}

/// Counts a piece that has arrived.
pub fn count(tally: &mut Tally, at: Time, desc: &TxDesc, arena: &Arena) {
    let (head, body) = (desc.head(), desc.body(arena));
    let mut start = [0; 128];
    let mut known = 0;
    for (byte, &value) in start.iter_mut().zip(head.iter().chain(body)) {
        *byte = value;
        known += 1;
    }
    let (flow, tcp) = flow_of(&start[..known]);
    let (frames, wire) = on_wire(head.len() + body.len(), &desc.vnet, tcp);
    tally.wire += wire;
    if let Some(flow) = flow {
        let got = &mut tally.flows[flow];
        got.frames += frames;
        got.wire += wire;
        got.last = at;
        if tally.timed == Some(flow) {
            tally.arrivals.push(at);
        }
    }
}

/// The packets of a flow, over and over.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// Frames of these lengths, with FCS.
    Frames(&'static [u16]),
    /// Superframes of some 60 KB, cut into frames of this length with FCS.
    Superframes(u16),
}

/// What a host offers.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Its number: what the receiver knows it by.
    pub number: u16,
    /// Priority, marked by DSCP.
    pub priority: u8,
    /// Packets.
    pub sizes: Sizes,
    /// Bits per second on the wire.
    pub rate: u64,
    /// First packet.
    pub from: Time,
    /// No packet at this instant or later.
    pub until: Time,
}

impl Flow {
    /// Flow `number` in priority `number`, without an end, of full-sized frames.
    pub const fn new(number: u16, rate: u64) -> Flow {
        Flow {
            number,
            priority: number as u8,
            sizes: Sizes::Frames(&[1518]),
            rate,
            from: Time::ZERO,
            until: Time::NEVER,
        }
    }

    fn packets(&self) -> Vec<Rc<Packet>> {
        self.packets_between(1, 2)
    }

    /// Its packets from one host to another, once each.
    pub(crate) fn packets_between(&self, from: u16, to: u16) -> Vec<Rc<Packet>> {
        let ports = (1000, FLOWS + self.number);
        let spec = Spec { from, to: Some(to), dscp: self.priority << 3, ports, ..Spec::default() };
        match self.sizes {
            Sizes::Frames(lens) => {
                lens.iter().map(|&len| Rc::new(Spec { len: usize::from(len) - 4, ..spec }.udp(0))).collect()
            }
            Sizes::Superframes(len) => {
                let spec = Spec { len: usize::from(len) - 4, ..spec };
                let segment = spec.len - 14 - 20 - 20;
                vec![Rc::new(spec.tcp_superframe(&vec![0; 60_000 / segment * segment]))]
            }
        }
    }
}

/// One switch: hosts send by its first port, the host behind its second one counts.
pub struct Rig {
    /// The network.
    pub sim: Sim,
    /// The switch.
    pub node: NodeId,
    /// What arrived behind the second port.
    pub got: SharedTally,
    offered: Rc<RefCell<[u64; MAX_FLOWS]>>,
    departures: Rc<RefCell<Vec<Time>>>,
}

/// Where hosts send.
pub const IN: PortId = PortId(0);
/// Behind it is the host that counts.
pub const OUT: PortId = PortId(1);

impl Rig {
    /// A switch with these traffic classes whose second port has this line rate (`10Gbit`). `bridge` is for more keys
    /// of that section.
    pub fn new(line_rate: &str, classes: &str, bridge: &str) -> Rig {
        let text = format!(
            "[bridge]\nloop_detection = false\nflood_rate = \"unlimited\"\n{bridge}\n{classes}\n\
             [defaults]\nmtu = 9000\ntrust = [\"dscp\"]\n\
             [[port]]\nname = \"in\"\n[[port]]\nname = \"out\"\nline_rate = \"{line_rate}\"\n\
             [[fdb]]\nmac = \"02:00:00:00:00:02\"\nvlan = 1\nport = \"out\"\n"
        );
        let mut sim = Sim::new();
        let node = sim.add(config(&text), 1);
        let got = SharedTally::default();
        let tally = Rc::clone(&got);
        sim.meter(
            (node, OUT),
            Box::new(move |at, desc, arena| count(&mut tally.borrow_mut(), at, desc, arena)),
        );
        Rig { sim, node, got, offered: Rc::default(), departures: Rc::default() }
    }

    /// Lets a host offer a flow.
    pub fn offer(&mut self, flow: Flow) {
        let packets = flow.packets();
        let tcp = matches!(flow.sizes, Sizes::Superframes(_));
        let wires: Vec<u64> = packets.iter().map(|p| on_wire(p.bytes.len(), &p.vnet, tcp).1).collect();
        let rate = Rate::from_bits_per_second(flow.rate);
        let offered = Rc::clone(&self.offered);
        let timed = self.got.borrow().timed == Some(usize::from(flow.number));
        let departures = timed.then(|| Rc::clone(&self.departures));
        let (mut next, mut wire) = (0, 0u64);
        self.sim.source(
            (self.node, IN),
            flow.from,
            Box::new(move |now| {
                if now >= flow.until {
                    return None;
                }
                let packet = Rc::clone(&packets[next]);
                wire += wires[next];
                offered.borrow_mut()[usize::from(flow.number)] += wires[next];
                next = (next + 1) % packets.len();
                if let Some(departures) = &departures {
                    departures.borrow_mut().push(now);
                }
                Some((packet, flow.from + rate.time_of(wire)))
            }),
        );
    }

    /// Lets a host offer a flow of single frames of which none may be lost, and notes how long each is under way.
    pub fn offer_timed(&mut self, flow: Flow) {
        self.got.borrow_mut().timed = Some(usize::from(flow.number));
        self.offer(flow);
    }

    /// How long each frame of the timed flow that has arrived was under way, its last byte included.
    pub fn delays(&self) -> Vec<Time> {
        let (departures, got) = (self.departures.borrow(), self.got.borrow());
        got.arrivals.iter().zip(departures.iter()).map(|(&at, &sent)| at - sent).collect()
    }

    /// What arrived of a flow so far.
    pub fn got(&self, flow: u16) -> Got {
        self.got.borrow().flows[usize::from(flow)]
    }

    /// Wire bytes that were offered of a flow so far.
    pub fn offered(&self, flow: u16) -> u64 {
        self.offered.borrow()[usize::from(flow)]
    }

    /// Wire bytes that arrived between two calls, by flow.
    pub fn wire(&self) -> [u64; MAX_FLOWS] {
        self.got.borrow().flows.map(|f| f.wire)
    }

    /// Lets time pass until `end`, and answers what arrived meanwhile, in wire bytes by flow.
    pub fn run_until(&mut self, end: Time) -> [u64; MAX_FLOWS] {
        let before = self.wire();
        self.sim.run_until(end);
        let after = self.wire();
        std::array::from_fn(|i| after[i] - before[i])
    }

    /// The switch's own view.
    pub fn snapshot(&self) -> Snapshot {
        self.sim.snapshot(self.node)
    }
}

/// What came into a switch and what became of it, in (units, frames): equal when its books balance.
pub fn books(snapshot: &Snapshot) -> ((u64, u64), (u64, u64)) {
    let add = |a: (u64, u64), c: Count| (a.0 + c.units, a.1 + c.frames);
    let came = |p: &Port| [p.rx, p.originated, p.copies];
    let went = |p: &Port| [p.tx, p.consumed, p.queued];
    let dropped =
        |p: &Port| -> Vec<Count> { p.rx_drops.iter().chain(&p.tx_drops).map(|d| d.count).collect() };
    let ports = &snapshot.ports;
    let came = ports.iter().flat_map(came).fold((0, 0), add);
    let left = ports.iter().flat_map(went).chain(ports.iter().flat_map(dropped)).fold((0, 0), add);
    (came, left)
}

/// Asserts that the books of a switch balance, in units and in frames.
///
/// # Panics
/// When they don't.
#[track_caller]
pub fn assert_balanced(snapshot: &Snapshot) {
    let (came, left) = books(snapshot);
    assert_eq!(came, left, "(units, frames) that came and what became of them: {snapshot:#?}");
}

/// The largest difference of a share of `got` from `weights`' (relative numbers).
pub fn share_error(got: &[u64], weights: &[u64]) -> f64 {
    let (all, sum) = (got.iter().sum::<u64>() as f64, weights.iter().sum::<u64>() as f64);
    let errors = got.iter().zip(weights).map(|(&g, &w)| (g as f64 / all - w as f64 / sum).abs());
    errors.fold(0.0, f64::max)
}

/// TOML of ETS classes with these weights in percent: class `n` has priority `n`, the last one also those that remain.
pub fn ets_classes(weights: &[u8]) -> String {
    let classes = weights.iter().enumerate().map(|(n, weight)| {
        let priorities = if n + 1 == weights.len() { "\"rest\"".to_owned() } else { format!("[{n}]") };
        format!("[[traffic_class]]\nname = \"c{n}\"\npriorities = {priorities}\nbandwidth = {weight}\n")
    });
    classes.collect()
}

/// The headers of a received frame, by etherparse.
///
/// # Panics
/// When it is no frame.
#[track_caller]
pub fn sliced(bytes: &[u8]) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(bytes).expect("a whole frame")
}
