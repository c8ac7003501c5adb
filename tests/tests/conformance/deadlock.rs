//! Deadlocks of lossless fabrics: what the report says of a described fabric is what the switches do.

use dcbridge::sim::deadlock::{Fabric, Hop, Path, PortName, deadlock};
use dcbridge::sim::{NodeId, Sim};
use dcbridge_scheduler::{PortId, Rate, Time};
use dcbridge_tests::virtual_pfc::{Host, Plan, RATES, drops, snapshot};
use dcbridge_tests::virtual_time::Flow;

const SWITCHES: [&str; 3] = ["a", "b", "c"];
/// Number of the host of the first switch.
const HOSTS: u16 = 16;
/// Ports of each switch: its host, and both directions of the ring.
const PORTS: [&str; 3] = ["p0", "p1", "p2"];

/// Three switches in a ring; the host of each of the first `flows` sends to the next switch but one, always clockwise.
struct Ring {
    sim: Sim,
    nodes: Vec<NodeId>,
    hosts: Vec<Host>,
    flows: u16,
    bits: u64,
}

impl Ring {
    fn new(bits: u64, flows: u16, class: &str) -> Ring {
        let mut sim = Sim::new();
        let class = format!("queue_limit = \"100KB\"\n{class}");
        let nodes: Vec<NodeId> = (0..3)
            .map(|switch| {
                let entries = (0..3).map(|host| {
                    let (mac, port) = (HOSTS + host, if host == switch { "p0" } else { "p1" });
                    format!("[[fdb]]\nmac = \"02:00:00:00:00:{mac:02x}\"\nvlan = 1\nport = \"{port}\"\n")
                });
                let more: String = entries.collect();
                Plan { lines: &[bits; 3], class: &class, ports: "", more: &more }.build(&mut sim)
            })
            .collect();
        for n in 0..3 {
            sim.link((nodes[n], PortId(1)), (nodes[(n + 1) % 3], PortId(2)), Time::from_nanos(25));
        }
        let hosts: Vec<Host> = (HOSTS..)
            .zip(&nodes)
            .map(|(number, &node)| Host::behind(&mut sim, (node, PortId(0)), number, bits))
            .collect();
        for n in 0..flows {
            let flow = Flow { priority: 3, ..Flow::new(n, bits) };
            hosts[usize::from(n)].send(&mut sim, HOSTS + (n + 2) % 3, flow);
        }
        Ring { sim, nodes, hosts, flows, bits }
    }

    /// What a person would write down of it.
    fn described(&self) -> Fabric<'static> {
        let at = |switch: usize, port: usize| PortName { switch: SWITCHES[switch % 3], port: PORTS[port] };
        let hop = |switch: usize, enters: usize, leaves: usize| Hop {
            switch: SWITCHES[switch % 3],
            enters: PORTS[enters],
            leaves: PORTS[leaves],
        };
        let path = |n| Path { priority: 3, hops: vec![hop(n, 0, 1), hop(n + 1, 2, 1), hop(n + 2, 2, 0)] };
        Fabric {
            links: (0..3).map(|n| (at(n, 1), at(n + 1, 2))).collect(),
            lossless: 1 << 3,
            paths: (0..usize::from(self.flows)).map(path).collect(),
        }
    }

    /// Frames that arrived so far, by flow.
    fn arrived(&self) -> Vec<u64> {
        let receiver = |n: u16| &self.hosts[usize::from((n + 2) % 3)];
        (0..self.flows).map(|n| receiver(n).got(n).frames).collect()
    }

    /// The time that so many full frames take on a line.
    fn frames(&self, count: u64) -> Time {
        Rate::from_bits_per_second(self.bits).time_of(count * 1538)
    }
}

#[test]
fn deadlock_report() {
    for bits in RATES {
        let mut ring = Ring::new(bits, 3, "");
        let circle = deadlock(&ring.described()).expect("paths along the links").expect("a circle");
        ring.sim.run_until(ring.frames(20_000));
        let before = ring.arrived();
        ring.sim.run_until(ring.frames(40_000));
        println!("{} Gbit/s: {circle}; {before:?} arrived before", bits / 1_000_000_000);
        assert_eq!(ring.arrived(), before, "nothing moves any more");
        let mut full = Vec::new();
        for (&node, switch) in ring.nodes.iter().zip(SWITCHES) {
            let ports = snapshot(&ring.sim, node).ports;
            let closed = (1..3).filter(|&port| ports[port].priorities[3].group.gate_closed);
            full.extend(closed.map(|port| PortName { switch, port: PORTS[port] }));
            assert_eq!(drops(&ring.sim, node), [], "and nothing is lost");
        }
        assert_eq!(circle.ports, full, "those that wait for each other are those that were named");

        let mut open = Ring::new(bits, 2, "");
        assert_eq!(deadlock(&open.described()), Ok(None));
        open.sim.run_until(open.frames(20_000));
        let before = open.arrived();
        open.sim.run_until(open.frames(40_000));
        let moved = before.iter().zip(open.arrived()).all(|(&before, after)| after > before + 5_000);
        assert!(moved, "{before:?}, then {:?}", open.arrived());
    }
}

#[test]
fn deadlock_lifetime() {
    for bits in RATES {
        let mut ring = Ring::new(bits, 3, "lifetime = \"1ms\"");
        ring.sim.run_until(Time::from_millis(5));
        let mut before = ring.arrived();
        for n in 2..6 {
            ring.sim.run_until(Time::from_millis(5 * n));
            let after = ring.arrived();
            assert!(
                before.iter().zip(&after).all(|(before, after)| after > before),
                "{before:?}, then {after:?}"
            );
            before = after;
        }
        let dropped: Vec<_> = ring.nodes.iter().flat_map(|&node| drops(&ring.sim, node)).collect();
        assert!(!dropped.is_empty() && dropped.iter().all(|d| d.1 == "lifetime"), "{dropped:?}");
    }
}
