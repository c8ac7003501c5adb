//! Marks of frames that real hosts send, and the queues that they come through.

use std::time::{Duration, Instant};

use dcbridge::lab::hosts::Host;
use dcbridge::net::Links;
use dcbridge::sim::frames::Spec;
use dcbridge_tests::live::Network;
use dcbridge_tests::packet::PacketSocket;
use dcbridge_tests::privilege::root_for;

use crate::PROGRAM;

/// A packet socket of a host, on its interface.
fn packets(host: &Host) -> PacketSocket {
    let open = || {
        let index = Links::open()?.index(host.name())?;
        Ok(PacketSocket::open(index).expect("a packet socket"))
    };
    host.within(open).unwrap_or_else(|e| panic!("{e}"))
}

fn spec(network: &Network) -> (Spec, [u8; 12]) {
    let (from, to) = (network.hosts[0].address().mac, network.hosts[1].address().mac);
    let mut addresses = [0; 12];
    addresses[..6].copy_from_slice(&to);
    addresses[6..].copy_from_slice(&from);
    (Spec::default(), addresses)
}

/// Sends frames of each priority, made by `frame`, and asserts what arrives and what the switch counts. Those of priority
/// 0 are shown by the receiving kernel with a length of `shown`.
fn exact_counts(network: &Network, shown: usize, frame: impl Fn(Spec, u8) -> Spec) {
    let (sender, receiver) = (packets(&network.hosts[0]), packets(&network.hosts[1]));
    let (base, addresses) = spec(network);
    let before = network.program.state();
    let number = |priority: u8| 20 + 7 * u64::from(priority);
    for priority in 0..8 {
        let mut bytes = frame(Spec { len: 200 + usize::from(priority), ..base }, priority).udp(1).bytes;
        bytes[..12].copy_from_slice(&addresses);
        for _ in 0..number(priority) {
            sender.send(&bytes).expect("sent");
        }
    }
    let mut arrived = [0u64; 8];
    let expected: [u64; 8] = std::array::from_fn(|p| number(p as u8));
    let end = Instant::now() + Duration::from_secs(5);
    while arrived != expected && Instant::now() < end {
        let Ok(bytes) = receiver.receive(Duration::from_millis(500)) else { continue };
        if bytes[..12] != addresses {
            continue;
        }
        // A frame tells its priority by its length.
        if let Some(count) = bytes.len().checked_sub(shown).and_then(|priority| arrived.get_mut(priority)) {
            *count += 1;
        }
    }
    let after = network.program.state();
    let (old, new) = (&before.ports[1].priorities, &after.ports[1].priorities);
    let queues: [u64; 8] = std::array::from_fn(|p| new[p].tx.frames - old[p].tx.frames);
    assert_eq!(queues, expected, "by the switch's queues");
    assert_eq!(arrived, expected, "by the receiver");
}

fn network(trust: &str, sections: &str) -> Network {
    let keys = format!("trust = [\"{trust}\"]");
    Network::new(PROGRAM, "loop_detection = false", sections, &[("sender", &keys), ("receiver", &keys)])
}

#[test]
fn pcp_to_priority() {
    if !root_for("tagged frames on real interfaces") {
        return;
    }
    let network = network("pcp", "[map]\npcp = { 0 = 1, 1 = 0 }");
    for vid in [0, 1, 100] {
        // The kernel takes a tag off before it shows a frame.
        exact_counts(&network, 196, |spec, priority| {
            let pcp = if priority < 2 { 1 - priority } else { priority };
            Spec { tag: Some((vid, pcp)), dscp: 63 - priority, ..spec }
        });
    }
}

#[test]
fn dscp_to_priority() {
    if !root_for("DSCP on real interfaces") {
        return;
    }
    let network = network("dscp", "");
    for v6 in [false, true] {
        exact_counts(&network, 200, |spec, priority| Spec { dscp: priority << 3 | 5, v6, ..spec });
    }
}
