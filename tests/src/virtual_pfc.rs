//! Lossless scenarios in virtual time: switches with two lossless priorities, hosts that send on a line of their own and
//! obey PFC as late as 802.3 lets them, and peers that pause.
//!
//! A host reads PFC frames by itself, and knows from a number in each frame what it missed and what came out of turn.
//! Nothing here asks the switch what it thinks it sent.
//!
//! What must not enter: what has to hold (the tests say that).

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use dcbridge::sim::{At, NodeId, Packet, Sim};
use dcbridge::state::{Port, Snapshot};
use dcbridge_scheduler::headroom::reaction_quanta;
use dcbridge_scheduler::{PortId, Rate, Time};

use crate::virtual_time::{Flow, MAX_FLOWS, Sizes, config, flow_of, on_wire};

/// Line rates that everything is tested at, in bits per second.
pub const RATES: [u64; 3] = [10_000_000_000, 100_000_000_000, 400_000_000_000];
/// The lossless priorities, of one class.
pub const LOSSLESS: [u8; 2] = [3, 4];
/// Bytes of the memory that a switch counts in.
pub const CELL: u64 = dcbridge_config::CELL_BYTES as u64;
/// A PFC frame's longest time.
pub const LONGEST: u16 = 0xFFFF;
/// There and back through 5 m of cable.
const ROUND_TRIP: Time = Time(2 * 5 * 100_000 / 198);
/// Where the number of a frame is: behind Ethernet, IPv4 and UDP.
const NUMBER: std::ops::Range<usize> = 42..50;
/// The checksum of UDP.
const UDP_CHECKSUM: std::ops::Range<usize> = 40..42;

/// How long so many quanta last at a line rate.
pub fn quanta(count: u16, bits_per_second: u64) -> Time {
    // 512 bit times each.
    Rate::from_bits_per_second(bits_per_second).time_of(64 * u64::from(count))
}

/// A PFC frame without a source address.
pub fn pfc(vector: u8, times: [u16; 8]) -> Packet {
    let mut bytes = vec![0x01, 0x80, 0xC2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x88, 0x08, 0x01, 0x01, 0, vector];
    bytes.extend(times.iter().flat_map(|time| time.to_be_bytes()));
    bytes.resize(60, 0);
    Packet::plain(bytes)
}

/// A PFC frame that gives all priorities of `vector` this time.
pub fn pfc_all(vector: u8, time: u16) -> Packet {
    pfc(vector, [time; 8])
}

/// A switch in the making.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Line rate of each port in bits per second. Host n is behind port n.
    pub lines: &'a [u64],
    /// More keys of the lossless class.
    pub class: &'a str,
    /// More keys for every port.
    pub ports: &'a str,
    /// More sections.
    pub more: &'a str,
}

impl Plan<'_> {
    /// Adds the switch to a network.
    pub fn build(&self, sim: &mut Sim) -> NodeId {
        let mut text = format!(
            "[bridge]\nloop_detection = false\nbuffer = \"32MB\"\n\
             [[traffic_class]]\nname = \"bulk\"\npriorities = \"rest\"\nbandwidth = 50\nqueue_limit = \"200KB\"\n\
             [[traffic_class]]\nname = \"storage\"\npriorities = {LOSSLESS:?}\nbandwidth = 50\nlossless = true\n{}\n\
             [defaults]\nmtu = 9000\ntrust = [\"dscp\"]\npeer_reaction = \"hardware\"\n{}\n",
            self.class, self.ports
        );
        for (n, rate) in self.lines.iter().enumerate() {
            let _ = write!(
                text,
                "[[port]]\nname = \"p{n}\"\nline_rate = {rate}\n\
                 [[fdb]]\nmac = \"02:00:00:00:00:{n:02x}\"\nvlan = 1\nport = \"p{n}\"\n"
            );
        }
        let _ = write!(text, "{}", self.more);
        sim.add(config(&text), 1)
    }
}

/// A PFC frame that a host got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When its last byte was there.
    pub at: Time,
    /// Its vector.
    pub vector: u8,
    /// Its times.
    pub times: [u16; 8],
}

/// What a host got of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Frames: each segment of a superframe.
    pub frames: u64,
    /// Their bytes on the wire.
    pub wire: u64,
    /// Numbers that were left out so far.
    pub missed: u64,
    /// When the first one was there.
    pub first: Time,
    /// When the last one was there.
    pub last: Time,
    /// The longest time between two.
    pub gap: Time,
    next: u64,
}

struct Sending {
    flow: Flow,
    packets: Vec<Rc<Packet>>,
    wires: Vec<u64>,
    next: usize,
    ready: Time,
}

/// What is known of a host.
#[derive(Default)]
pub struct State {
    /// PFC frames that came.
    pub heard: Vec<Heard>,
    /// What came of each flow.
    pub got: [Got; MAX_FLOWS],
    /// Frames that were sent of each flow (superframes count as their segments).
    pub sent: [u64; MAX_FLOWS],
    numbers: [u64; MAX_FLOWS],
    /// Pauses that will take effect: when, vector, until when.
    coming: VecDeque<(Time, u8, [Time; 8])>,
    paused_until: [Time; 8],
    sending: Vec<Sending>,
    turn: usize,
    on_the_line: Option<Rc<Packet>>,
}

/// A host: one line, on which its flows take turns.
#[derive(Clone)]
pub struct Host {
    number: u16,
    at: At,
    rate: Rate,
    bits: u64,
    /// From a PFC frame's last byte until it takes effect, with the way there and back.
    late: Time,
    state: Rc<RefCell<State>>,
}

impl Host {
    /// Host n behind port n of a switch, on a line of so many bits per second. It stops as late as 802.3 allows.
    pub fn new(sim: &mut Sim, node: NodeId, number: u16, bits: u64) -> Host {
        Host::behind(sim, (node, PortId(number)), number, bits)
    }

    /// Host n behind another port.
    pub fn behind(sim: &mut Sim, at: At, number: u16, bits: u64) -> Host {
        let reaction = Rate::from_bits_per_second(bits).time_of(reaction_quanta(bits) * 64);
        let host = Host {
            number,
            at,
            rate: Rate::from_bits_per_second(bits),
            bits,
            late: ROUND_TRIP + reaction,
            state: Rc::default(),
        };
        let receiver = host.clone();
        sim.sink(host.at, Box::new(move |at, packet| receiver.receive(at, &packet)));
        host
    }

    /// Hosts 0 and up behind the ports of a switch whose lines all run at one rate.
    pub fn all(sim: &mut Sim, node: NodeId, count: u16, bits: u64) -> Vec<Host> {
        (0..count).map(|n| Host::new(sim, node, n, bits)).collect()
    }

    /// What is known of it.
    pub fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// What it got of a flow.
    pub fn got(&self, flow: u16) -> Got {
        self.state().got[usize::from(flow)]
    }

    /// How many frames it sent of a flow.
    pub fn sent(&self, flow: u16) -> u64 {
        self.state().sent[usize::from(flow)]
    }

    /// Instants of the XOFFs and of the XONs that it got for a priority.
    pub fn told(&self, priority: u8) -> (Vec<Time>, Vec<Time>) {
        let state = self.state();
        let about = state.heard.iter().filter(|h| h.vector & (1 << priority) != 0);
        let (off, on): (Vec<Heard>, Vec<Heard>) = about.partition(|h| h.times[usize::from(priority)] > 0);
        (off.iter().map(|h| h.at).collect(), on.iter().map(|h| h.at).collect())
    }

    fn receive(&self, at: Time, packet: &Packet) {
        let state = &mut *self.state.borrow_mut();
        let bytes = &packet.bytes;
        if bytes[12..14] == [0x88, 0x08] {
            let heard = self.read_pfc(at, bytes);
            state.heard.push(heard);
            let effect = at + self.late;
            let until = heard.times.map(|time| at + quanta(time, self.bits));
            return state.coming.push_back((effect, heard.vector, until));
        }
        let (Some(flow), tcp) = flow_of(bytes) else { return };
        let (frames, wire) = on_wire(bytes.len(), &packet.vnet, tcp);
        let got = &mut state.got[flow];
        if got.frames == 0 {
            got.first = at;
        } else {
            got.gap = got.gap.max(at - got.last);
        }
        got.frames += frames;
        got.wire += wire;
        got.last = at;
        if !tcp {
            let number = bytes[NUMBER].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
            assert!(number >= got.next, "flow {flow}: {number} after {}", got.next);
            got.missed += number - got.next;
            got.next = number + 1;
        }
    }

    fn read_pfc(&self, at: Time, bytes: &[u8]) -> Heard {
        assert_eq!(bytes[..6], [0x01, 0x80, 0xC2, 0, 0, 1], "destination of a MAC control frame");
        assert_eq!(bytes[6] & 1, 0, "its source is a host's address");
        assert_eq!(bytes[14..17], [1, 1, 0], "PFC, and a vector without a high octet");
        assert_eq!((bytes.len(), bytes[34..].iter().max()), (60, Some(&0)), "padded with zeros");
        let times = std::array::from_fn(|p| u16::from_be_bytes([bytes[18 + 2 * p], bytes[19 + 2 * p]]));
        let vector = bytes[17];
        assert!((0..8).all(|p| vector & (1 << p) != 0 || times[p] == 0), "port {:?}: {bytes:x?}", self.at);
        Heard { at, vector, times }
    }

    /// Lets it send a flow to another host. All flows of a host have to be named before time goes on.
    pub fn send(&self, sim: &mut Sim, to: u16, flow: Flow) {
        let packets = flow.packets_between(self.number, to);
        let tcp = matches!(flow.sizes, Sizes::Superframes(_));
        let wires = packets.iter().map(|p| on_wire(p.bytes.len(), &p.vnet, tcp).1).collect();
        let mut state = self.state.borrow_mut();
        state.sending.push(Sending { flow, packets, wires, next: 0, ready: flow.from });
        if state.sending.len() == 1 {
            let host = self.clone();
            sim.sender(self.at, sim.now(), Box::new(move |now| host.state.borrow_mut().ask(now, host.rate)));
        }
    }

    /// Lets it send so many frames of 1514 bytes at once, one after the other at its line's rate, whatever PFC says.
    pub fn burst(&self, sim: &mut Sim, to: u16, flow: Flow, frames: u64) {
        let template = Rc::clone(&flow.packets_between(self.number, to)[0]);
        let step = self.rate.time_of(template.bytes.len() as u64 + 24);
        for _ in 0..frames {
            let packet = self.state.borrow_mut().numbered(&template, flow.number);
            sim.inject(self.at, (*packet).clone());
            let later = sim.now() + step;
            sim.run_until(later);
        }
    }

    /// Lets it send a PFC frame now.
    pub fn say(&self, sim: &mut Sim, vector: u8, time: u16) {
        sim.inject(self.at, pfc_all(vector, time));
    }

    /// Lets it pause priorities again and again.
    pub fn pause(&self, sim: &mut Sim, pausing: Pausing) {
        let packet = Rc::new(pfc_all(pausing.vector, pausing.time));
        sim.source(
            self.at,
            pausing.from,
            Box::new(move |now| (now < pausing.until).then(|| (Rc::clone(&packet), now + pausing.every))),
        );
    }
}

/// PFC frames, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Pausing {
    /// Which priorities.
    pub vector: u8,
    /// Quanta; 0: XON.
    pub time: u16,
    /// The first one.
    pub from: Time,
    /// None at this instant or later.
    pub until: Time,
    /// From one to the next.
    pub every: Time,
}

impl Pausing {
    /// The longest pauses, refreshed after half their time as common senders do.
    pub fn refreshed(vector: u8, bits: u64, from: Time, until: Time) -> Pausing {
        Pausing { vector, time: LONGEST, from, until, every: Time(quanta(LONGEST, bits).0 / 2) }
    }
}

impl State {
    /// What has arrived, and when to ask again: the host's line, which carries one packet at a time.
    fn ask(&mut self, now: Time, rate: Rate) -> (Option<Rc<Packet>>, Time) {
        let arrived = self.on_the_line.take();
        while self.coming.front().is_some_and(|c| c.0 <= now) {
            let Some((_, vector, until)) = self.coming.pop_front() else { break };
            for p in (0..8).filter(|p| vector & (1 << p) != 0) {
                self.paused_until[p] = until[p];
            }
        }
        let mut again = Time::NEVER;
        let count = self.sending.len();
        for n in 0..count {
            let index = (self.turn + n) % count;
            let Sending { flow, ready, .. } = &self.sending[index];
            if (*ready).max(now) >= flow.until {
                continue;
            }
            let paused = self.paused_until[usize::from(flow.priority)];
            if *ready <= now && paused <= now {
                let (packet, wire) = self.begin(index);
                self.turn = index + 1;
                self.on_the_line = Some(packet);
                return (arrived, now + rate.time_of(wire));
            }
            // An XON may end a pause at any time.
            let look = if *ready > now { *ready } else { paused.min(now + Time::from_micros(2)) };
            again = again.min(look.max(now + Time(1)));
        }
        (arrived, again)
    }

    /// Begins to send the next packet of a flow; answers its wire bytes too.
    fn begin(&mut self, index: usize) -> (Rc<Packet>, u64) {
        let Sending { flow, packets, wires, next, ready } = &mut self.sending[index];
        let (template, wire, number) = (Rc::clone(&packets[*next]), wires[*next], flow.number);
        *ready = *ready + Rate::from_bits_per_second(flow.rate).time_of(wire);
        *next = (*next + 1) % packets.len();
        (self.numbered(&template, number), wire)
    }

    /// A frame with its number; superframes have none.
    fn numbered(&mut self, template: &Rc<Packet>, flow: u16) -> Rc<Packet> {
        let flow = usize::from(flow);
        if template.vnet.gso_type != 0 {
            self.sent[flow] += on_wire(template.bytes.len(), &template.vnet, true).0;
            return Rc::clone(template);
        }
        let mut packet = Packet::clone(template);
        packet.bytes[UDP_CHECKSUM].fill(0);
        packet.bytes[NUMBER].copy_from_slice(&self.numbers[flow].to_be_bytes());
        self.numbers[flow] += 1;
        self.sent[flow] += 1;
        Rc::new(packet)
    }
}

/// The switch's own view.
pub fn snapshot(sim: &Sim, node: NodeId) -> Snapshot {
    sim.snapshot(node)
}

/// Frames that a switch says it dropped, by port and reason.
pub fn drops(sim: &Sim, node: NodeId) -> Vec<(String, String, u64)> {
    let of_port = |p: &Port| -> Vec<(String, String, u64)> {
        let all = p.rx_drops.iter().chain(&p.tx_drops);
        all.map(|d| (p.name.clone(), d.reason.clone(), d.count.frames)).collect()
    };
    snapshot(sim, node).ports.iter().flat_map(of_port).collect()
}
