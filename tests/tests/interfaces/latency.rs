//! What a strict class waits beside bulk.

use std::time::Duration;

use dcbridge::lab::frames::FrameSize;
use dcbridge_tests::live::{Network, Offer, Traffic, one_of_three};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::probe::{Delays, probe};

use crate::PROGRAM;

const CLASSES: &str = "[[traffic_class]]\nname = \"a\"\npriorities = [0]\nbandwidth = 60\n\
                       [[traffic_class]]\nname = \"b\"\npriorities = \"rest\"\nbandwidth = 40\n\
                       [[traffic_class]]\nname = \"s\"\npriorities = [7]\ntsa = \"strict\"\n\
                       [defaults]\ntrust = [\"dscp\"]\n";

/// The strict class at 1 % of 1 Gbit/s: 1500 bytes on the wire every 1.2 ms would be few probes, so 250 every 200 us.
fn strict_probes(network: &Network) -> Delays {
    let (period, span) = (Duration::from_micros(200), Duration::from_secs(4));
    probe(&network.hosts[0], &network.hosts[1], 56, 230, period, span)
}

#[test]
fn strict_latency() {
    if !root_for("delays on real interfaces") {
        return;
    }
    let ports = [("probing", ""), ("receiver", "line_rate = \"1Gbit\""), ("bulk", "")];
    let network = Network::new(PROGRAM, "", CLASSES, &ports);
    let scheduling = network.program.scheduling();
    let bulk = |dscp| Offer { hosts: (2, 1), dscp, size: FrameSize::Fixed(1518), rate: 0.8e9 };
    one_of_three(&format!("strict at 1 % of 1 Gbit/s, worker {scheduling}"), || {
        let alone = strict_probes(&network);
        let mut traffic = Traffic::start(&network, &[bulk(0), bulk(8)]);
        std::thread::sleep(Duration::from_secs(1));
        let before = traffic.received();
        let beside = strict_probes(&network);
        let bulk: u64 =
            traffic.received().iter().zip(&before).map(|(a, b)| a.wire_bytes - b.wire_bytes).sum();
        traffic.stop_sending();
        let added = beside.per_mille(990).saturating_sub(alone.per_mille(990));
        let figures = format!(
            "p99 alone {:?}, beside {:.2} Gbit/s of bulk {:?} (median {:?} and {:?}), added {added:?}, \
             {} probes, {} lost",
            alone.per_mille(990),
            bulk as f64 * 8.0 / 4.5e9,
            beside.per_mille(990),
            alone.per_mille(500),
            beside.per_mille(500),
            beside.each.len(),
            beside.lost,
        );
        let verdict = if beside.lost > 0 || beside.each.len() < 5_000 {
            Err("all of many probes have to arrive".to_owned())
        } else if bulk < 400_000_000 {
            Err("the line was not saturated".to_owned())
        } else if added > Duration::from_millis(1) {
            Err("1 ms may be added".to_owned())
        } else {
            Ok(())
        };
        (figures, verdict)
    });
}
