//! Switches with their agents in virtual time: two that negotiate, one that is renegotiated under load, roles, floods.

mod live;

use std::sync::Arc;

use dcbridge_config::Config;
use dcbridge_scheduler::{PortId, Time};

use super::{Agents, Identity, Output};
use crate::sim::{NodeId, Sim};
use crate::state::Snapshot;
use crate::state::lldp::Dcbx;

/// How often agents are looked after.
const STEP: Time = Time::from_millis(10);

fn parse(text: &str) -> Config {
    match dcbridge_config::parse(text, "test.toml") {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", dcbridge_config::render(&errors, text, false)),
    }
}

fn lldp_time(now: Time) -> lldp_dcbx::Time {
    lldp_dcbx::Time::from_nanos(now.as_nanos())
}

/// A network of switches with agents.
#[derive(Default)]
struct Net {
    sim: Sim,
    agents: Vec<(NodeId, Agents)>,
}

impl Net {
    /// A switch with its links down; `number` is its identity.
    fn switch(&mut self, text: &str, number: u64) -> NodeId {
        let config = parse(text);
        let identity = Identity { number: number << 40, host: format!("host{number}") };
        let node = self.sim.add(config.clone(), number << 40);
        let agents = Agents::new(&Arc::new(config), identity, lldp_time(self.sim.now()));
        self.agents.push((node, agents));
        node
    }

    /// All links come up.
    fn up(&mut self) {
        for (node, agents) in &mut self.agents {
            for port in self.sim.ports(*node) {
                agents.link(port, true, lldp_time(self.sim.now()));
            }
        }
        self.carry();
    }

    fn run(&mut self, span: Time) {
        let end = self.sim.now() + span;
        while self.sim.now() < end {
            let next = (self.sim.now() + STEP).min(end);
            self.sim.run_until(next);
            for (node, agents) in &mut self.agents {
                let now = lldp_time(self.sim.now());
                while let Some(heard) = self.sim.with((*node, PortId(0)), |switch, _, _| switch.heard()) {
                    agents.frame(heard.port, &heard.bytes, now);
                }
                if agents.next_wake().is_some_and(|due| due <= now) {
                    agents.timeout(now);
                }
            }
            self.carry();
        }
    }

    /// Carries out what the agents want.
    fn carry(&mut self) {
        for (node, agents) in &mut self.agents {
            while let Some(output) = agents.poll() {
                match output {
                    Output::Send(port, frame) => self.sim.originate((*node, port), &frame),
                    Output::Neighbors(port, macs) => {
                        self.sim.with((*node, port), |switch, _, _| switch.set_neighbors(port, &macs));
                    }
                    Output::Operate(port, operation) => {
                        self.sim.with((*node, port), |switch, _, now| switch.operate(port, operation, now));
                    }
                }
            }
        }
    }

    fn link(&mut self, node: NodeId, port: PortId, up: bool) {
        self.sim.with((node, port), |switch, arena, now| switch.set_link(port, up, arena, now));
        let now = lldp_time(self.sim.now());
        self.agents[node.0].1.link(port, up, now);
        self.carry();
    }

    fn dcbx(&self, node: NodeId, port: u16) -> Dcbx {
        let state = self.agents[node.0].1.state(PortId(port), lldp_time(self.sim.now()));
        state.and_then(|state| state.dcbx).expect("a port with DCBX")
    }

    fn snapshot(&self, node: NodeId) -> Snapshot {
        self.sim.snapshot(node)
    }

    /// Shares in percent by class number, and the lossless priorities, as the switch has them.
    fn held(&self, node: NodeId, port: usize) -> (Vec<(u8, u8, f64)>, u8) {
        let port = self.snapshot(node).ports.swap_remove(port);
        let lossless = port.priorities.iter().enumerate().filter(|(_, p)| p.group.lossless);
        let classes = port.classes.iter().filter(|c| c.priorities != 0);
        (
            classes.map(|c| (c.tc, c.priorities, c.target_share.unwrap_or(0.0) * 100.0)).collect(),
            lossless.fold(0, |set, (p, _)| set | 1 << p),
        )
    }
}

/// Two classes; `extra` follows in the first port's section.
fn text(weights: (u8, u8), priorities: &str, extra: &str) -> String {
    format!(
        "[bridge]\nloop_detection = false\n[[traffic_class]]\nname = 'storage'\ntc = 1\npriorities = {priorities}\n\
         lossless = true\nbandwidth = {}\n[[traffic_class]]\nname = 'default'\ntc = 0\npriorities = 'rest'\n\
         bandwidth = {}\n[defaults]\nline_rate = '1Gbit'\n[[port]]\nname = 'p0'\n{extra}\n[[port]]\nname = 'p1'\n[[port]]\nname = 'p2'\n",
        weights.1, weights.0
    )
}

fn joined(a: &str, b: &str) -> (Net, NodeId, NodeId) {
    let mut net = Net::default();
    let (a, b) = (net.switch(a, 1), net.switch(b, 2));
    net.sim.link((a, PortId(0)), (b, PortId(0)), Time::from_micros(1));
    net.up();
    (net, a, b)
}

const WILLING: &str = "dcbx = { willing = true }";

#[test]
fn a_willing_switch_takes_over_what_the_other_recommends_and_gives_it_back() {
    let (mut net, a, b) = joined(&text((40, 60), "[3]", WILLING), &text((70, 30), "[4, 5]", ""));
    let own = net.held(a, 0);
    assert_eq!(own, (vec![(0, 0b1111_0111, 40.0), (1, 0b1000, 60.0)], 0b1000));
    net.run(Time::from_millis(3_000));
    let theirs = (vec![(0, 0b1100_1111, 70.0), (1, 0b0011_0000, 30.0)], 0b0011_0000);
    assert_eq!(net.held(a, 0), theirs);
    assert_eq!(net.held(b, 0), theirs, "the other keeps its own");
    assert_eq!(net.held(a, 1), own, "other ports too");
    let (at_a, at_b) = (net.dcbx(a, 0), net.dcbx(b, 0));
    assert_eq!((at_a.agreement.as_str(), at_b.agreement.as_str()), ("agreed", "agreed"));
    assert_eq!(at_a.operational.pfc.expect("said").standing.source, "peer");
    assert_eq!(at_a.peer.expect("there").name, "br0.host2");

    // It falls silent: its time to live runs out, 30 s times 4.
    net.sim.sink((b, PortId(0)), Box::new(|_, _| {}));
    net.run(Time::from_millis(115_000));
    assert_eq!(net.held(a, 0), theirs, "still known");
    net.run(Time::from_millis(8_000));
    assert_eq!(net.held(a, 0), own);
}

#[test]
fn goodbye_and_a_lost_link_bring_the_configuration_back_at_once_and_flaps_leave_no_trace() {
    let (mut net, a, b) = joined(&text((40, 60), "[3]", WILLING), &text((70, 30), "[4]", ""));
    let own = net.held(a, 0);
    for flap in 0..30 {
        net.run(Time::from_millis(4_000));
        assert_ne!(net.held(a, 0), own, "flap {flap}");
        net.link(a, PortId(0), false);
        assert_eq!(net.held(a, 0), own, "flap {flap}");
        net.link(b, PortId(0), false);
        net.run(Time::from_millis(500));
        net.link(a, PortId(0), true);
        net.link(b, PortId(0), true);
    }
    net.run(Time::from_millis(4_000));
    assert_ne!(net.held(a, 0), own);
    let now = lldp_time(net.sim.now());
    net.agents[b.0].1.shutdown(now);
    net.carry();
    net.run(STEP);
    net.run(STEP);
    assert_eq!(net.held(a, 0), own, "the last frame has a time to live of 0");
    assert_eq!(net.dcbx(a, 0).renegotiations, 62, "there and back, 31 times");
}

#[test]
fn further_group_addresses_have_agents_of_their_own_and_management_addresses_are_told() {
    let lldp =
        "[lldp]\nmore_groups = ['nearest-customer']\nmanagement_address = ['192.0.2.1', '2001:db8::1']\n";
    let of = |lldp: &str| lldp.to_owned() + &text((40, 60), "[3]", "");
    let (mut net, a, b) = joined(&of(lldp), &of(lldp));
    let deaf = net.switch(&of(""), 3);
    net.sim.link((a, PortId(1)), (deaf, PortId(0)), Time::from_micros(1));
    net.up();
    net.run(Time::from_millis(3_000));
    let heard = |node: NodeId, port| {
        let state = net.agents[node.0].1.state(PortId(port), lldp_time(net.sim.now())).expect("LLDP is on");
        let one =
            |n: crate::state::lldp::Neighbor| (n.group, n.system_name, n.management.join(" "), n.speaks_dcbx);
        state.neighbors.into_iter().map(one).collect::<Vec<_>>()
    };
    let from = |name: &str, group: &str| {
        (group.to_owned(), name.to_owned(), "192.0.2.1 2001:db8::1".to_owned(), group == "nearest-bridge")
    };
    for (node, peer) in [(a, "br0.host2"), (b, "br0.host1")] {
        assert_eq!(heard(node, 0), [from(peer, "nearest-bridge"), from(peer, "nearest-customer")]);
    }
    assert_eq!(heard(deaf, 0), [from("br0.host1", "nearest-bridge")], "nobody listens to the other address");
}

#[test]
fn what_an_upstream_port_learns_is_handed_on_and_manual_ports_keep_their_own() {
    let roles =
        "dcbx = { role = 'auto-upstream' }\n[[port]]\nname = 'down'\ndcbx = { role = 'auto-downstream' }";
    let mut net = Net::default();
    let middle = net.switch(&text((40, 60), "[3]", roles), 1);
    let upstream = net.switch(&text((70, 30), "[4]", ""), 2);
    let below = net.switch(&text((50, 50), "[3]", WILLING), 3);
    net.sim.link((middle, PortId(0)), (upstream, PortId(0)), Time::from_micros(1));
    net.sim.link((middle, PortId(1)), (below, PortId(0)), Time::from_micros(1));
    net.up();
    net.run(Time::from_millis(5_000));
    let taught = (vec![(0, 0b1110_1111, 70.0), (1, 0b0001_0000, 30.0)], 0b0001_0000);
    for (node, port) in [(middle, 0), (middle, 1), (below, 0)] {
        assert_eq!(net.held(node, port), taught);
    }
    assert_eq!(net.held(middle, 2).1, 0b1000, "a manual port");
    assert_eq!(net.dcbx(middle, 0).standing, "configuration source");
    assert_eq!(net.dcbx(middle, 1).operational.ets.expect("said").standing.source, "propagated");
}

/// The LLDP frame of a neighbour that nobody has heard before: chassis, port and time to live.
fn stranger(n: u32) -> Vec<u8> {
    let mut mac = [2, 9, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&n.to_be_bytes());
    let parts: [&[u8]; 6] = [
        &[1, 0x80, 0xC2, 0, 0, 0x0E],
        &mac,
        &[0x88, 0xCC, 2, 7, 4],
        &mac,
        &[4, 2, 7, b'p', 6, 2, 0, 120],
        &[0; 30],
    ];
    parts.concat()
}

#[test]
fn a_flood_of_strangers_costs_little_and_the_peer_stays() {
    let (mut net, a, b) = joined(&text((40, 60), "[3]", WILLING), &text((70, 30), "[4]", ""));
    net.run(Time::from_millis(3_000));
    let held = net.held(a, 0);
    let frames = net.agents[a.0].1.state(PortId(0), lldp_time(net.sim.now())).expect("an agent").counters;
    let mut n = 0u32;
    net.sim.source(
        (a, PortId(0)),
        net.sim.now(),
        Box::new(move |now| {
            n += 1;
            let packet = std::rc::Rc::new(crate::sim::Packet::plain(stranger(n)));
            (n < 1_000_000).then(|| (packet, now + Time::from_micros(10)))
        }),
    );
    // 10 s of 100 000 a second, and the rest of the time that the peer's frames need.
    net.run(Time::from_millis(150_000));
    assert_eq!(net.held(a, 0), held);
    assert_eq!(net.dcbx(a, 0).agreement, "agreed");
    assert_eq!(net.dcbx(b, 0).agreement, "agreed");
    let after = net.agents[a.0].1.state(PortId(0), lldp_time(net.sim.now())).expect("an agent");
    assert!(after.counters.frames_in - frames.frames_in < 100, "{:?}", after.counters);
    assert!(after.neighbors.len() <= 8);
    let dropped = &net.snapshot(a).ports[0].rx_drops;
    assert!(dropped.iter().any(|d| d.reason == "lldp_limit" && d.count.frames > 999_000), "{dropped:?}");
}
