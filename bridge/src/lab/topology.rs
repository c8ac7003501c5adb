//! The switch of a lab as a configuration, and the flows through it: pure, nothing is started here.

use std::net::{Ipv4Addr, SocketAddrV4};

use dcbridge_config::{
    BitRate, Config, FlowControl, Match, PeerReaction, Policy, Port, PortKind, PortVlan, StaticEntry, Trust,
};

use super::frames::{FrameSize, MTU};
use super::hosts::Address;
use super::plan::{ClassPlan, Mark};

/// The lab's configuration when no file is given: two classes that share, and one that goes first. Of its ports, which
/// every configuration needs, only this one is written down; the lab makes its own (`switch`).
pub const DEFAULT: &str = r#"
[[traffic_class]]
name = "cluster"
priorities = [5]
tsa = "strict"

[[traffic_class]]
name = "storage"
priorities = [3]
tsa = "ets"
bandwidth = 60

[[traffic_class]]
name = "default"
priorities = [0, 1, 2, 4, 6, 7]
tsa = "ets"
bandwidth = 40

[[port]]
name = "sink"
type = "tap"
"#;

/// How many milliseconds the link needs for what the buffer can hold: a generator that shares two cores with the
/// switch comes late now and then, and no queue may run dry meanwhile. More would only make the end of a run longer.
const BUFFER_MS: u64 = 100;
/// The smallest buffer in bytes: a few superframes of each class.
const LEAST_BUFFER: u64 = 2_000_000;
/// UDP port of the first flow. Nothing that policies usually match has ports up here.
const FIRST_UDP_PORT: u16 = 20_000;
/// UDP ports of one class.
const PORTS_PER_CLASS: u16 = 32;
/// The VLAN in which untagged frames travel.
const VLAN: u16 = 1;

/// One host as the configuration sees it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Name of host and port.
    pub name: String,
    /// Addresses of the host.
    pub address: Address,
    /// What the port is made of.
    pub kind: PortKind,
    /// Line rate of the link.
    pub line_rate: Option<BitRate>,
}

/// One flow: a host's traffic of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowSpec {
    /// Index of the sending host.
    pub host: usize,
    /// Index of the class in the plan.
    pub class: usize,
    /// Receiving host and port.
    pub to: SocketAddrV4,
    /// DSCP of its packets.
    pub dscp: u8,
    /// Bit/s on the wire.
    pub rate_bps: f64,
    /// Lengths of its frames.
    pub size: FrameSize,
    /// Order of mixed sizes.
    pub seed: u64,
    /// It sends as fast as its host lets it, and waits where that has no room.
    pub blocking: bool,
}

/// Each class from each of `senders` hosts to the sink, in equal parts.
pub fn flows(plan: &[ClassPlan], senders: usize, sink: Ipv4Addr, size: FrameSize) -> Vec<FlowSpec> {
    let flow = |class: usize, host: usize| FlowSpec {
        host,
        class,
        to: SocketAddrV4::new(sink, first_port(class) + host as u16),
        dscp: match plan[class].mark {
            Mark::Dscp(dscp) => dscp,
            Mark::Policy => 0,
        },
        rate_bps: plan[class].offer_bps / senders as f64,
        size,
        seed: (class * 97 + host + 1) as u64,
        blocking: false,
    };
    (0..plan.len())
        .flat_map(|class| (0..senders).map(move |host| (class, host)))
        .map(|(c, h)| flow(c, h))
        .collect()
}

fn first_port(class: usize) -> u16 {
    FIRST_UDP_PORT + PORTS_PER_CLASS * class as u16
}

/// The switch: classes, policies and maps of `base`, ports of the lab.
pub fn switch(base: &Config, plan: &[ClassPlan], link: BitRate, hosts: &[Attachment]) -> Config {
    let mut config = base.clone();
    config.bridge.buffer_bytes = (link.0 / 8 * BUFFER_MS / 1000).max(LEAST_BUFFER);
    // Neither other frames than the lab's nor limits that the lab is not about.
    config.bridge.loop_detection = false;
    config.bridge.flood_rate = None;
    config.metrics.listen = None;
    config.policies = policies(base, plan);
    config.ports = hosts.iter().map(|h| port(&h.name, h.kind.clone(), h.line_rate)).collect();
    config.static_entries = hosts.iter().map(|h| entry(h.address, &h.name)).collect();
    config
}

/// The file's policies, and in front of them those for classes that no DSCP reaches.
fn policies(base: &Config, plan: &[ClassPlan]) -> Vec<Policy> {
    let own = plan.iter().enumerate().filter(|(_, p)| p.mark == Mark::Policy).map(|(class, p)| Policy {
        name: format!("lab {}", p.name),
        precedence: u8::MAX,
        any_of: vec![Match {
            protocols: vec![17],
            dst_port: Some((first_port(class), first_port(class) + PORTS_PER_CLASS - 1)),
            ..Match::default()
        }],
        priority: p.priority,
    });
    let of_file = base.policies.iter().filter_map(|policy| {
        let mut policy = policy.clone();
        // A condition on a port of the file can't hold here.
        policy.any_of.retain(|m| m.in_ports.is_empty());
        (!policy.any_of.is_empty()).then_some(policy)
    });
    own.chain(of_file).collect()
}

/// A forwarding entry: this host is behind that port.
pub fn entry(host: Address, port: &str) -> StaticEntry {
    StaticEntry { mac: host.mac, vlan: VLAN, port: port.to_owned() }
}

/// A port of the lab, without flow control.
pub fn port(name: &str, kind: PortKind, line_rate: Option<BitRate>) -> Port {
    Port {
        name: name.to_owned(),
        kind,
        line_rate,
        mtu: MTU,
        trust: vec![Trust::Dscp],
        default_priority: 0,
        vlan: PortVlan {
            pvid: Some(VLAN),
            untagged: vec![VLAN],
            tagged: Vec::new(),
            drop_untagged: false,
            transparent: true,
        },
        isolated: false,
        fdb_limit: None,
        rewrite_pcp: false,
        rewrite_dscp: false,
        // Shares are measured with queues that overflow; a sender that is paused would hide them.
        flow_control: FlowControl::Off,
        pfc_rate: None,
        cable_metres: 0,
        peer_reaction: PeerReaction::Hardware,
        headroom_bytes: None,
        // Nobody in a lab listens, and every frame counts in it.
        lldp: false,
        dcbx: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::plan::plan;

    const LINK: BitRate = BitRate(1_000_000_000);

    fn base(extra: &str) -> Config {
        dcbridge_config::parse(&format!("{DEFAULT}{extra}"), "lab")
            .expect("the lab's own configuration is right")
            .0
    }

    fn hosts() -> Vec<Attachment> {
        let host = |(n, name): (u8, &str)| Attachment {
            name: name.to_owned(),
            address: Address::of(n),
            kind: PortKind::Tap { netns: None, offload: true },
            line_rate: (name == "sink").then_some(LINK),
        };
        [(1, "h1"), (2, "h2"), (3, "sink")].into_iter().map(host).collect()
    }

    #[test]
    fn every_class_comes_from_every_host_on_a_port_of_its_own() {
        let base = base("");
        let plan = plan(&base.traffic_classes, &base.maps, LINK).unwrap();
        let flows = flows(&plan, 3, Ipv4Addr::new(10, 0, 0, 9), FrameSize::Mixed);
        assert_eq!(flows.len(), 9);
        let mut ports: Vec<u16> = flows.iter().map(|f| f.to.port()).collect();
        ports.dedup();
        assert_eq!(ports.len(), 9);
        for (class, plan) in plan.iter().enumerate() {
            let offered: f64 = flows.iter().filter(|f| f.class == class).map(|f| f.rate_bps).sum();
            assert!((offered - plan.offer_bps).abs() < 1.0);
        }
    }

    #[test]
    fn the_switch_keeps_the_files_classes_and_has_the_labs_ports() {
        let base = base("");
        let plan = plan(&base.traffic_classes, &base.maps, LINK).unwrap();
        let config = switch(&base, &plan, LINK, &hosts());
        assert_eq!(config.traffic_classes, base.traffic_classes);
        assert_eq!(config.port("sink").and_then(|p| p.line_rate), Some(LINK));
        assert_eq!(config.port("h1").and_then(|p| p.line_rate), None);
        assert_eq!(config.static_entries.len(), 3);
        assert!(config.metrics.listen.is_none() && !config.bridge.loop_detection);
        assert!(config.bridge.buffer_bytes >= 12_500_000);
    }

    #[test]
    fn policies_on_ports_of_the_file_are_left_out_and_unreachable_classes_get_one() {
        let all_zero = "[[policy]]\nname = \"by port\"\nmatch = { in_port = \"tap0\" }\npriority = 3\n\
                        [[port]]\nname = \"tap0\"\ntype = \"tap\"\n";
        let mut base = base(all_zero);
        assert_eq!(base.policies.len(), 1);
        base.maps.dscp_to_priority = [0; 64];
        let plan = plan(&base.traffic_classes, &base.maps, LINK).unwrap();
        let config = switch(&base, &plan, LINK, &hosts());
        let names: Vec<&str> = config.policies.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["lab cluster", "lab storage"]);
        let flows = flows(&plan, 2, Ipv4Addr::LOCALHOST, FrameSize::Fixed(64));
        for flow in flows.iter().filter(|f| plan[f.class].mark == Mark::Policy) {
            let name = format!("lab {}", plan[flow.class].name);
            let policy = config.policies.iter().find(|p| p.name == name).unwrap();
            let (low, high) = policy.any_of[0].dst_port.unwrap();
            assert!((low..=high).contains(&flow.to.port()));
        }
    }
}
