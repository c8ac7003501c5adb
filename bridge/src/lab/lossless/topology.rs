//! The two switches of the lab as configurations: pure, nothing is started here.

use dcbridge_config::{BitRate, Config, FlowControl, PeerReaction, Port, PortKind, QueueLimit};

use crate::edge::{gso_max, open_rate};
use crate::lab::topology::{self, Attachment};

/// The lab's classes. Of its ports, which every configuration needs, only this one is written down.
pub(super) const CONFIG: &str = r#"
[[traffic_class]]
name = "storage"
priorities = [3]
tsa = "ets"
bandwidth = 60
lossless = true

[[traffic_class]]
name = "default"
priorities = "rest"
tsa = "ets"
bandwidth = 40

[[port]]
name = "sink"
type = "tap"
mtu = 9000
"#;

/// The switches, the senders' first, and the port of each that leads to the other.
pub(super) const NEAR: (&str, &str) = ("sw1", "to-sw2");
/// As `NEAR`.
pub(super) const FAR: (&str, &str) = ("sw2", "to-sw1");
/// How much faster the trunk and the senders' links are than the slow link.
const FASTER: u64 = 5;
/// Milliseconds of the slow link that a queue of a lossy class holds, and that a lossless class lets wait before its
/// senders pause. More would only make the end of a run longer.
const QUEUE_MS: u64 = 20;
/// Two superframes.
const LEAST_QUEUE: u64 = 2 * 65_536;
/// How long a thread may have to wait for a core: this machine has two for hosts, switches and traffic. The other side
/// goes on sending for as long.
const REACTION_US: u32 = 20_000;
/// The same for the thread that closes a host's gate (`HostEdge::residual_bytes`).
const GATE_US: u64 = 5_000;
/// Buffer bytes that a wire byte takes at most: the shortest frame takes a cell of 256 bytes.
const CELLS_PER_WIRE: u64 = 256 / 84 + 1;

/// Rate of the trunk and of the senders' links.
pub(super) fn fast(slow: BitRate) -> BitRate {
    BitRate(slow.0.saturating_mul(FASTER))
}

/// How the switches are joined.
#[derive(Clone, Debug)]
pub(super) struct Trunk {
    /// The near switch's end.
    pub(super) near: PortKind,
    /// The far switch's end.
    pub(super) far: PortKind,
}

/// Both switches: senders - near - trunk - far - sink. The sink is the last of `hosts`.
pub(super) fn switches(base: &Config, slow: BitRate, hosts: &[Attachment], trunk: Trunk) -> [Config; 2] {
    let (sink, senders) = hosts.split_last().map_or((None, hosts), |(sink, senders)| (Some(sink), senders));
    let fast = Some(fast(slow));
    let host = |h: &Attachment, rate| port(base, topology::port(&h.name, h.kind.clone(), rate));
    let near = senders.iter().map(|h| host(h, fast));
    let far = sink.into_iter().map(|h| host(h, Some(slow)));
    let cable = |name, kind| port(base, topology::port(name, kind, fast));
    [
        switch(base, NEAR, slow, hosts, near.chain([cable(NEAR.1, trunk.near)]).collect()),
        switch(base, FAR, slow, hosts, [cable(FAR.1, trunk.far)].into_iter().chain(far).collect()),
    ]
}

/// Whoever is not at the switch itself is behind the trunk.
fn switch(
    base: &Config,
    (name, trunk): (&str, &str),
    slow: BitRate,
    hosts: &[Attachment],
    ports: Vec<Port>,
) -> Config {
    let mut config = base.clone();
    name.clone_into(&mut config.bridge.name);
    // Neither other frames than the lab's nor limits that the lab is not about.
    config.bridge.loop_detection = false;
    config.bridge.flood_rate = None;
    config.metrics.listen = None;
    let queue = (slow.0 / 8 * QUEUE_MS / 1000).max(LEAST_QUEUE);
    for class in &mut config.traffic_classes {
        class.queue_limit = QueueLimit::Static(queue);
    }
    config.static_entries = hosts
        .iter()
        .map(|h| topology::entry(h.address, if has(&ports, &h.name) { &h.name } else { trunk }))
        .collect();
    config.ports = ports;
    config.bridge.buffer_bytes = buffer(&config, queue);
    config
}

fn has(ports: &[Port], name: &str) -> bool {
    ports.iter().any(|port| port.name == name)
}

/// A port that pauses, and is paused, by PFC.
fn port(base: &Config, port: Port) -> Port {
    let lossless = base.lossless_priorities();
    Port {
        flow_control: FlowControl::Pfc { receive: lossless, transmit: lossless },
        peer_reaction: PeerReaction::Software { us: REACTION_US },
        ..port
    }
}

/// What lossless groups have to themselves, what hosts may still send behind their gates, and full queues everywhere.
fn buffer(config: &Config, queue: u64) -> u64 {
    let own = dcbridge_config::BufferPlan::of(config).taken();
    let behind = |port: &Port| match port.kind {
        PortKind::Tap { .. } => {
            let rate = open_rate(port.line_rate.map(|rate| rate.0));
            (rate * GATE_US / 1_000_000 + u64::from(gso_max(port.mtu.into())) * 2) * CELLS_PER_WIRE
        }
        _ => 0,
    };
    let gates: u64 = config.ports.iter().map(behind).sum();
    // A full queue of each class and a paused group at each port, in cells that may be half empty.
    let queues = 4 * queue * (config.ports.len() * config.traffic_classes.len()) as u64;
    own + gates + queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::hosts::Address;
    use dcbridge_config::BufferPlan;

    fn both(slow: u64) -> [Config; 2] {
        let base = dcbridge_config::parse(CONFIG, "lab").expect("the lab's own configuration is right").0;
        let host = |(n, name): (u8, &str)| Attachment {
            name: name.to_owned(),
            address: Address::of(n),
            kind: PortKind::Tap { netns: None, offload: true },
            line_rate: None,
        };
        let hosts: Vec<Attachment> = [(1, "h1"), (2, "h2"), (3, "sink")].into_iter().map(host).collect();
        let end = |name: &str| PortKind::Packet { netns: Some(name.to_owned()) };
        switches(&base, BitRate(slow), &hosts, Trunk { near: end("a"), far: end("b") })
    }

    #[test]
    fn senders_are_at_the_near_switch_and_the_sink_behind_the_slow_link_of_the_far_one() {
        let [near, far] = both(200_000_000);
        let names = |c: &Config| c.ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&near), names(&far)),
            (vec!["h1".into(), "h2".into(), "to-sw2".into()], vec!["to-sw1".into(), "sink".into()])
        );
        let rates = |c: &Config| c.ports.iter().map(|p| p.line_rate.map_or(0, |r| r.0)).collect::<Vec<_>>();
        assert_eq!(rates(&near), [1_000_000_000; 3]);
        assert_eq!(rates(&far), [1_000_000_000, 200_000_000]);
        let behind = |c: &Config| c.static_entries.iter().map(|e| e.port.clone()).collect::<Vec<_>>();
        assert_eq!(behind(&near), ["h1", "h2", "to-sw2"]);
        assert_eq!(behind(&far), ["to-sw1", "to-sw1", "sink"]);
    }

    #[test]
    fn the_buffer_holds_headroom_and_full_queues_at_any_rate() {
        for slow in [1_000_000, 200_000_000, 2_000_000_000, 100_000_000_000] {
            for config in both(slow) {
                let shared = BufferPlan::of(&config).shared_bytes.expect("it suffices");
                let QueueLimit::Static(queue) = config.traffic_classes[0].queue_limit else {
                    panic!("a size")
                };
                assert!(queue >= LEAST_QUEUE && shared > 4 * queue, "{slow}: {shared} of {queue}");
            }
        }
    }
}
