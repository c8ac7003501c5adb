//! Virtual time: the very switch of the live program, between links and hosts that exist only here.
//!
//! Everything is an event at an instant; equal instants keep the order in which they were made. No clock is read and
//! nothing is random but what a scenario draws from its own seed, so a scenario gives the same result on every machine.
//!
//! A link carries bytes at the sending port's line rate and delivers a frame when its last byte has arrived. Ports
//! without a line rate deliver at once.
//!
//! A switch with several workers has as many members here, in the one thread that there is. What they hand each other
//! takes its time, which is drawn from the switch's seed: another seed, another interleaving, and the same one again.

mod crossing;
pub mod deadlock;
pub mod frames;
mod look;
pub mod processor;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;

use dcbridge_config::Config;
use dcbridge_scheduler::{Grant, PortId, Rate, Time};

use crate::arena::Arena;
use crate::port::{TxBatch, TxDesc, TxOutcome, VnetHeader};
use crate::switch::crew::Crew;
use crate::switch::forward::PortSet;
use crate::switch::{Attachment, Finding, Gate, Setting, Switch};
use crossing::Crossing;

/// A switch of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A port of a switch of the simulation.
pub type At = (NodeId, PortId);

/// A frame or superframe as hosts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its offload header.
    pub vnet: VnetHeader,
}

impl Packet {
    /// A plain frame.
    pub fn plain(bytes: Vec<u8>) -> Packet {
        Packet { bytes, vnet: VnetHeader::default() }
    }
}

/// What a host offers: asked at each instant that it named, answers a packet (shared, since many are alike) and when to
/// ask again.
pub type Source = Box<dyn FnMut(Time) -> Option<(Rc<Packet>, Time)>>;
/// A host that may have nothing to send when it is asked: answers what has arrived by now, if anything, and when to ask
/// again (`Time::NEVER`: not any more).
pub type Sender = Box<dyn FnMut(Time) -> (Option<Rc<Packet>>, Time)>;
/// What a host does with what it gets.
pub type Sink = Box<dyn FnMut(Time, Packet)>;
/// A host that only looks at what it gets: the piece, and the memory that its body is in. At 400 Gbit/s a copy of every
/// frame would be most of the work.
pub type Meter = Box<dyn FnMut(Time, &TxDesc, &Arena)>;

enum End {
    Nothing,
    Host(Sink),
    Meter(Meter),
    Link(At, Time),
}

/// One of the workers of a switch.
struct Member {
    switch: Switch,
    arena: Arena,
}

struct Node {
    members: Vec<Member>,
    crew: Crew,
    crossing: Crossing,
    rates: Vec<Option<Rate>>,
    ends: Vec<End>,
    /// The instant for which a port's next look is planned.
    planned: Vec<Time>,
    /// The instant for which the next tick is planned.
    tick: Time,
    /// Until when a port's line is taken.
    busy: Vec<Time>,
    findings: Vec<Finding>,
    gates: Vec<(Time, Gate)>,
}

enum Event {
    Arrive(At, Packet),
    Ask(At, usize),
    Serve(At),
    Settle(At, Grant),
    Tick(NodeId),
    /// What was handed over first on this way is there.
    Cross(NodeId, usize),
}

struct Entry(Time, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// A network in virtual time.
#[derive(Default)]
pub struct Sim {
    now: Time,
    nodes: Vec<Node>,
    senders: Vec<Sender>,
    events: BinaryHeap<Reverse<Entry>>,
    made: u64,
    /// Reused.
    descs: TxBatch,
}

impl Node {
    /// The member that owns a port.
    fn owner(&mut self, port: PortId) -> &mut Member {
        let number = self.crew.owner(port);
        &mut self.members[number]
    }
}

impl Sim {
    /// An empty network at time zero.
    pub fn new() -> Sim {
        Sim::default()
    }

    /// The present.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds a switch whose ports all take superframes; `seed` keys its hash, names it in loop probes, and draws how long
    /// it takes from one of its workers to another.
    pub fn add(&mut self, config: Config, seed: u64) -> NodeId {
        let config = Arc::new(config);
        let crew = Crew::of(&config);
        let setting = Setting { seed, identity: seed, burst: Time::ZERO };
        let arenas = crew.arenas().into_iter().enumerate();
        let members = arenas.map(|(number, arena)| Member {
            switch: Switch::member(&config, &arena, setting, &crew, number),
            arena,
        });
        let mut node = Node {
            members: members.collect(),
            crossing: Crossing::new(crew.members(), seed),
            crew,
            rates: config
                .ports
                .iter()
                .map(|p| p.line_rate.map(|r| Rate::from_bits_per_second(r.0)))
                .collect(),
            ends: config.ports.iter().map(|_| End::Nothing).collect(),
            planned: vec![Time::NEVER; config.ports.len()],
            busy: vec![Time::ZERO; config.ports.len()],
            tick: self.now,
            gates: Vec::new(),
            findings: Vec::new(),
        };
        for n in 0..config.ports.len() {
            let (port, now) = (PortId(n as u16), self.now);
            let Member { switch, arena } = node.owner(port);
            switch.attach(port, Attachment::plain(true));
            switch.set_link(port, true, arena, now);
        }
        node.settle(self.now);
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.at(self.now, Event::Tick(id));
        id
    }

    /// Joins two ports by a link of this one-way delay.
    pub fn link(&mut self, a: At, b: At, delay: Time) {
        self.nodes[a.0.0].ends[a.1.index()] = End::Link(b, delay);
        self.nodes[b.0.0].ends[b.1.index()] = End::Link(a, delay);
    }

    /// Puts a host's receiving side behind a port.
    pub fn sink(&mut self, at: At, sink: Sink) {
        self.nodes[at.0.0].ends[at.1.index()] = End::Host(sink);
    }

    /// Puts a host behind a port that only looks at what it receives.
    pub fn meter(&mut self, at: At, meter: Meter) {
        self.nodes[at.0.0].ends[at.1.index()] = End::Meter(meter);
    }

    /// Lets a host behind a port send, from `start` on.
    pub fn source(&mut self, at: At, start: Time, mut source: Source) {
        let ask = move |now| match source(now) {
            Some((packet, again)) => (Some(packet), again),
            None => (None, Time::NEVER),
        };
        self.sender(at, start, Box::new(ask));
    }

    /// Lets a host behind a port send when it may, from `start` on.
    pub fn sender(&mut self, at: At, start: Time, sender: Sender) {
        self.senders.push(sender);
        self.at(start, Event::Ask(at, self.senders.len() - 1));
    }

    /// Lets one packet arrive at a port, now.
    pub fn inject(&mut self, at: At, packet: Packet) {
        self.at(self.now, Event::Arrive(at, packet));
    }

    /// Changes a port from outside: pauses, links, configuration.
    pub fn with<T>(&mut self, at: At, change: impl FnOnce(&mut Switch, &mut Arena, Time) -> T) -> T {
        let now = self.now;
        let member = self.nodes[at.0.0].owner(at.1);
        let result = change(&mut member.switch, &mut member.arena, now);
        self.after(at.0);
        result
    }

    fn at(&mut self, time: Time, event: Event) {
        self.made += 1;
        self.events.push(Reverse(Entry(time.max(self.now), self.made, event)));
    }

    /// Lets time pass.
    pub fn run_until(&mut self, end: Time) {
        while self.events.peek().is_some_and(|Reverse(entry)| entry.0 <= end) {
            let Some(Reverse(Entry(time, _, event))) = self.events.pop() else { break };
            self.now = time;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(at, packet) => self.arrive(at, &packet),
            Event::Ask(at, sender) => {
                let (packet, again) = (self.senders[sender])(self.now);
                if let Some(packet) = packet {
                    self.arrive(at, &packet);
                }
                if again != Time::NEVER {
                    self.at(again, Event::Ask(at, sender));
                }
            }
            Event::Serve(at) => self.serve(at),
            Event::Settle(at, grant) => {
                let Member { switch, arena } = self.nodes[at.0.0].owner(at.1);
                switch.settle(at.1, &grant, TxOutcome::Sent, arena);
                self.after(at.0);
            }
            Event::Tick(id) => self.tick(id),
            Event::Cross(id, way) => {
                self.nodes[id.0].arrive(way, self.now);
                self.after(id);
            }
        }
    }

    fn tick(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        if node.tick != self.now {
            // An earlier one was planned after this.
            return;
        }
        for Member { switch, arena } in &mut node.members {
            switch.tick(arena, self.now);
        }
        node.tick = Time::NEVER;
        self.after(id);
    }

    /// Plans the next tick, if nothing earlier is planned.
    fn plan_tick(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        let latest = self.now + Time::from_millis(1_000);
        let due = node.members.iter().filter_map(|member| member.switch.next_tick());
        let due = due.min().map_or(latest, |t| t.min(latest)).max(self.now + Time(1));
        if due < node.tick {
            node.tick = due;
            self.at(due, Event::Tick(id));
        }
    }

    fn arrive(&mut self, at: At, packet: &Packet) {
        let now = self.now;
        let Member { switch, arena } = self.nodes[at.0.0].owner(at.1);
        match arena.insert(&packet.bytes, packet.vnet) {
            Some(id) => switch.rx(at.1, 0, id, arena, now),
            None => switch.rx_lost(at.1, 1),
        }
        self.after(at.0);
    }

    /// A switch was touched: some of its ports may have something to send.
    fn after(&mut self, id: NodeId) {
        let now = self.now;
        for number in 0..self.nodes[id.0].members.len() {
            let node = &mut self.nodes[id.0];
            let Member { switch, .. } = &mut node.members[number];
            node.findings.extend(switch.findings());
            node.gates.extend(switch.gates().map(|gate| (now, gate)));
            while let Some(port) = self.nodes[id.0].members[number].switch.urgent() {
                self.flow((id, port));
            }
        }
        for (delay, way) in self.nodes[id.0].hand_over() {
            self.at(now + delay, Event::Cross(id, way));
        }
        self.plan_tick(id);
        let waiting = self.nodes[id.0].members.iter_mut().flat_map(|Member { switch, .. }| {
            switch.forget_empty();
            switch.waiting().iter()
        });
        for port in waiting.collect::<PortSet>().iter() {
            self.plan((id, port));
        }
    }

    /// Sends a flow-control frame, as soon as what is on the line has ended.
    fn flow(&mut self, at: At) {
        let (node_id, port) = at;
        let now = self.now;
        let Member { switch, .. } = self.nodes[node_id.0].owner(port);
        let Some(frame) = switch.flow_frame(port, now) else { return };
        self.send_urgent(at, &frame);
    }

    /// Sends a frame of a switch's own, ahead of all data.
    pub fn originate(&mut self, at: At, frame: &[u8]) {
        let now = self.now;
        self.nodes[at.0.0].owner(at.1).switch.urgent_frame(at.1, frame.len(), now);
        self.send_urgent(at, frame);
        self.after(at.0);
    }

    /// A frame that goes through no queue, as soon as what is on the line has ended.
    fn send_urgent(&mut self, at: At, frame: &[u8]) {
        let (node_id, port) = at;
        let node = &mut self.nodes[node_id.0];
        node.owner(port).switch.urgent_sent(port, frame.len(), TxOutcome::Sent);
        let wire = u64::from(dcbridge_scheduler::wire_bytes(frame.len() as u32));
        let duration = node.rates[port.index()].map_or(Time::ZERO, |r| r.time_of(wire));
        let sent = node.busy[port.index()].max(self.now) + duration;
        node.busy[port.index()] = sent;
        self.deliver(at, sent, Packet::plain(frame.to_vec()));
    }

    fn deliver(&mut self, at: At, sent: Time, packet: Packet) {
        match &mut self.nodes[at.0.0].ends[at.1.index()] {
            // A meter measures data; flow-control frames are not its affair.
            End::Nothing | End::Meter(_) => {}
            End::Host(sink) => sink(sent, packet),
            &mut End::Link(peer, delay) => self.at(sent + delay, Event::Arrive(peer, packet)),
        }
    }

    /// Plans the next look at a port, unless an earlier one is planned.
    fn plan(&mut self, at: At) {
        let node = &mut self.nodes[at.0.0];
        if let Some(wake) = node.owner(at.1).switch.next_tx(at.1) {
            let wake = wake.max(self.now).max(node.busy[at.1.index()]);
            let planned = &mut node.planned[at.1.index()];
            if wake < *planned || *planned < self.now {
                *planned = wake;
                self.at(wake, Event::Serve(at));
            }
        }
    }

    fn serve(&mut self, at: At) {
        let (node_id, port) = at;
        let node = &mut self.nodes[node_id.0];
        if node.planned[port.index()] != self.now {
            // An earlier one was planned after this.
            return;
        }
        node.planned[port.index()] = Time::NEVER;
        if node.busy[port.index()] > self.now {
            // A flow-control frame is still on the line.
            return self.plan(at);
        }
        loop {
            let node = &mut self.nodes[node_id.0];
            self.descs.clear();
            let member = &mut node.members[node.crew.owner(port)];
            let Some(grant) = member.switch.poll(port, &mut member.arena, self.now, &mut self.descs) else {
                break;
            };
            let Some(desc) = self.descs.first() else { break };
            let duration = node.rates[port.index()].map_or(Time::ZERO, |r| r.time_of(u64::from(grant.wire)));
            let sent = self.now + duration;
            node.busy[port.index()] = sent;
            if let End::Meter(meter) = &mut node.ends[port.index()] {
                meter(sent, desc, &member.arena);
            } else {
                let packet = packet(&member.arena, desc);
                self.deliver(at, sent, packet);
            }
            self.at(sent, Event::Settle(at, grant));
        }
        self.plan(at);
    }
}

/// What a piece looks like to whoever receives it.
fn packet(arena: &Arena, desc: &TxDesc) -> Packet {
    let mut bytes = desc.head[..usize::from(desc.head_len)].to_vec();
    let (from, to) = (desc.off as usize, (desc.off + desc.len) as usize);
    bytes.extend_from_slice(&arena.bytes(desc.body)[from..to]);
    Packet { bytes, vnet: desc.vnet }
}
