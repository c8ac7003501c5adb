//! Renegotiation while a port is under full load, against an agent that changes its mind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dcbridge_scheduler::{PortId, Time};
use lldp_dcbx::dcbx::DcbxConfig;
use lldp_dcbx::wire::ets::{EtsTable, Tsa};
use lldp_dcbx::{Agent, AgentConfig, Mac, PrioritySet};

use super::{Net, STEP, WILLING, lldp_time, text};
use crate::sim::frames::{Spec, mark};
use crate::sim::{NodeId, Packet};

/// What came to the host: LLDP frames, and marks of data by PCP.
#[derive(Default)]
struct Inbox {
    lldp: Vec<Vec<u8>>,
    marks: BTreeMap<u8, Vec<u64>>,
    bytes: BTreeMap<u8, u64>,
}

/// A port under load with a peer of its own mind behind it.
struct Rig {
    net: Net,
    node: NodeId,
    peer: Agent,
    inbox: Rc<RefCell<Inbox>>,
    sent: Rc<RefCell<BTreeMap<u8, u64>>>,
}

/// Weights by class, and which class priorities 1 and 3 are in.
fn wants(shares: [u8; 3], one: u8, three: u8, pfc: u8) -> DcbxConfig {
    let mut bandwidth = [0; 8];
    bandwidth[..3].copy_from_slice(&shares);
    let mut class_of = [0; 8];
    (class_of[1], class_of[3]) = (one, three);
    let tsa = std::array::from_fn(|class| if class < 3 { Tsa::Ets } else { Tsa::Strict });
    let ets = EtsTable::new(class_of, bandwidth, tsa).expect("legal");
    DcbxConfig { ets, ets_recommendation: Some(ets), pfc: PrioritySet(pfc), ..DcbxConfig::default() }
}

impl Rig {
    fn new() -> Rig {
        let mut net = Net::default();
        // Deep queues, so that none of what is offered in excess is lost before the sources stop.
        let text = text((50, 50), "[3]", WILLING).replace("[bridge]\n", "[bridge]\nbuffer = '64MB'\n");
        let node = net.switch(&text, 1);
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        let now = lldp_time(net.sim.now());
        let config =
            AgentConfig { dcbx: Some(wants([50, 50, 0], 0, 1, 0b1000)), ..AgentConfig::new(mac, "nic") };
        let mut peer = Agent::new(config, mac, now).expect("legal");
        peer.handle_link(true, now);
        net.up();
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let store = Rc::clone(&inbox);
        net.sim.sink(
            (node, PortId(0)),
            Box::new(move |_, packet: Packet| {
                let mut inbox = store.borrow_mut();
                if packet.bytes[12..14] == [0x88, 0xCC] {
                    inbox.lldp.push(packet.bytes);
                } else if let Some(mark) = mark(&packet.bytes) {
                    let pcp = packet.bytes[14] >> 5;
                    inbox.marks.entry(pcp).or_default().push(mark);
                    *inbox.bytes.entry(pcp).or_default() += packet.bytes.len() as u64 + 24;
                }
            }),
        );
        Rig { net, node, peer, inbox, sent: Rc::default() }
    }

    /// Offers three fifths of the line by each of the priorities 0, 1 and 3, for `span`.
    fn load(&mut self, span: Time) {
        let end = self.net.sim.now() + span;
        for (n, pcp) in [0u8, 1, 3].into_iter().enumerate() {
            let sent = Rc::clone(&self.sent);
            let spec =
                Spec { from: 10 + n as u16, to: Some(2), tag: Some((0, pcp)), len: 1000, ..Spec::default() };
            let port = PortId(1 + (n % 2) as u16);
            self.net.sim.source(
                (self.node, port),
                self.net.sim.now(),
                Box::new(move |now| {
                    let mut sent = sent.borrow_mut();
                    let mark = sent.entry(pcp).or_default();
                    *mark += 1;
                    let again = now + Time::from_nanos(8 * 1024 * 5 / 3);
                    (now < end).then(|| (Rc::new(spec.udp(*mark)), again))
                }),
            );
        }
    }

    fn run(&mut self, span: Time) {
        let end = self.net.sim.now() + span;
        while self.net.sim.now() < end {
            self.net.run(STEP);
            let now = lldp_time(self.net.sim.now());
            for frame in std::mem::take(&mut self.inbox.borrow_mut().lldp) {
                self.peer.handle_frame(&frame, now);
            }
            while let Some(mut frame) = self.peer.poll_transmit(now) {
                frame.resize(frame.len().max(60), 0);
                self.net.sim.inject((self.node, PortId(0)), Packet::plain(frame));
            }
        }
    }

    /// Shares of the priorities 0, 1 and 3 in percent, over `span`.
    fn shares(&mut self, span: Time) -> [f64; 3] {
        self.inbox.borrow_mut().bytes.clear();
        self.run(span);
        let inbox = self.inbox.borrow();
        let total: u64 = inbox.bytes.values().sum();
        [0, 1, 3].map(|p| *inbox.bytes.get(&p).unwrap_or(&0) as f64 / total as f64 * 100.0)
    }

    fn change(&mut self, config: DcbxConfig) {
        self.peer.update_dcbx(config, lldp_time(self.net.sim.now())).expect("legal");
        self.run(Time::from_millis(30));
    }
}

fn near(shares: [f64; 3], wanted: [f64; 3]) {
    let off = shares.iter().zip(wanted).any(|(share, wanted)| (share - wanted).abs() > 1.0);
    assert!(!off, "{shares:?}, {wanted:?} was agreed");
}

#[test]
fn renegotiation_under_load_loses_and_reorders_nothing_and_shares_follow_at_once() {
    let mut rig = Rig::new();
    // The host behind the port is known, so nothing is flooded.
    rig.net.sim.inject((rig.node, PortId(0)), Spec { from: 2, to: Some(10), ..Spec::default() }.udp(0));
    rig.run(Time::from_millis(2_000));
    rig.load(Time::from_millis(320));
    rig.run(Time::from_millis(20));
    near(rig.shares(Time::from_millis(50)), [25.0, 25.0, 50.0]);
    // Other weights; then priority 1 moves to a class of its own; then priority 3 joins it and is no longer lossless.
    rig.change(wants([70, 30, 0], 0, 1, 0b1000));
    near(rig.shares(Time::from_millis(50)), [35.0, 35.0, 30.0]);
    rig.change(wants([20, 30, 50], 2, 1, 0b1010));
    near(rig.shares(Time::from_millis(50)), [20.0, 50.0, 30.0]);
    rig.change(wants([50, 0, 50], 2, 2, 0));
    near(rig.shares(Time::from_millis(50)), [50.0, 25.0, 25.0]);
    rig.run(Time::from_millis(1_000));

    let snapshot = rig.net.snapshot(rig.node);
    let drops: Vec<_> = snapshot.ports.iter().flat_map(|p| p.rx_drops.iter().chain(&p.tx_drops)).collect();
    assert!(drops.is_empty(), "{drops:?}");
    let (inbox, sent) = (rig.inbox.borrow(), rig.sent.borrow());
    for (pcp, marks) in &inbox.marks {
        // The one that stopped a source was counted and not sent.
        let all: Vec<u64> = (1..sent[pcp]).collect();
        assert_eq!(*marks, all, "priority {pcp}: every frame once and in order");
    }
    assert_eq!(inbox.marks.len(), 3);
    drop((inbox, sent));
    assert_eq!(rig.net.dcbx(rig.node, 0).renegotiations, 3);
    assert_eq!(rig.net.sim.frames_held(rig.node), 0);
}
