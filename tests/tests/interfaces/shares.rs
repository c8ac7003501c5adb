//! Shares, line use and rates at 100 Mbit/s, 1 and 2.5 Gbit/s over five seconds.

use std::time::Duration;

use dcbridge::lab::frames::FrameSize;
use dcbridge_tests::live::{Network, Offer, Traffic, one_of_three};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::virtual_time::{ets_classes, share_error};

use crate::PROGRAM;

const WARM_UP: Duration = Duration::from_millis(1500);
const SPAN: Duration = Duration::from_secs(5);
const WEIGHTS: [&[u8]; 4] = [&[60, 30, 10], &[33, 33, 34], &[1, 99], &[30, 20, 15, 10, 10, 5, 5, 5]];
const FULL: FrameSize = FrameSize::Fixed(1518);

/// A sender and a receiver; the line to the receiver has this rate.
fn network(line_mbit: u32, classes: &str) -> Network {
    let sections = format!("{classes}\n[defaults]\nmtu = 9000\ntrust = [\"dscp\"]\n");
    let line = format!("line_rate = \"{line_mbit}Mbit\"");
    Network::new(PROGRAM, "buffer = \"16MB\"", &sections, &[("sender", ""), ("receiver", &line)])
}

/// A flow of priority `priority` at a part of a line's rate.
fn offer(line_mbit: u32, priority: u8, part: f64, size: FrameSize) -> Offer {
    Offer { hosts: (0, 1), dscp: priority << 3, size, rate: f64::from(line_mbit) * 1e6 * part }
}

/// What arrived, by flow, as parts of the line.
fn measure(network: &Network, line_mbit: u32, offers: &[Offer]) -> Result<Vec<f64>, String> {
    let mut traffic = Traffic::start(network, offers);
    std::thread::sleep(WARM_UP);
    let before = traffic.overflows();
    let (wire, elapsed) = traffic.measure(SPAN);
    if traffic.overflows() != before {
        return Err("the receiving sockets overflowed: the machine is too busy to count".to_owned());
    }
    let line = f64::from(line_mbit) * 1e6 / 8.0 * elapsed.as_secs_f64();
    Ok(wire.iter().map(|&bytes| bytes as f64 / line).collect())
}

fn holds(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// Over-offered classes share by weight, and the line is used.
fn shares(line_mbit: u32, weights: &[u8], size: FrameSize) {
    let network = network(line_mbit, &ets_classes(weights));
    let sum = f64::from(weights.iter().map(|&w| u32::from(w)).sum::<u32>());
    let offers: Vec<Offer> = (0..)
        .zip(weights)
        .map(|(priority, &w)| offer(line_mbit, priority, f64::from(w) / sum * 1.5 + 0.02, size))
        .collect();
    let expected: Vec<u64> = weights.iter().map(|&w| u64::from(w)).collect();
    one_of_three(&format!("{line_mbit} Mbit/s, {weights:?}, {size}"), || {
        let parts = match measure(&network, line_mbit, &offers) {
            Ok(parts) => parts,
            Err(wrong) => return (String::new(), Err(wrong)),
        };
        let scaled: Vec<u64> = parts.iter().map(|p| (p * 1e9) as u64).collect();
        let (error, used) = (share_error(&scaled, &expected), parts.iter().sum::<f64>());
        let figures = format!("share error {:.3} %, line use {:.2} %", error * 100.0, used * 100.0);
        let verdict = holds(error <= 0.01, "an error of 1 % is allowed")
            .and(holds((0.97..=1.01).contains(&used), "97 to 101 % of the line are allowed"));
        (figures, verdict)
    });
}

#[test]
fn ets_uniform() {
    if root_for("shares on real interfaces") {
        shares(1000, &[33, 33, 34], FULL);
    }
}

#[test]
fn ets_shares_100m() {
    if root_for("shares on real interfaces") {
        for weights in WEIGHTS {
            shares(100, weights, FrameSize::Mixed);
        }
    }
}

#[test]
fn ets_shares_1g() {
    if root_for("shares on real interfaces") {
        for weights in [WEIGHTS[0], WEIGHTS[2], WEIGHTS[3]] {
            shares(1000, weights, FULL);
        }
    }
}

#[test]
fn ets_shares_2500m() {
    if root_for("shares on real interfaces") {
        for weights in WEIGHTS {
            shares(2500, weights, FULL);
        }
    }
}

#[test]
fn line_use() {
    if !root_for("line use on real interfaces") {
        return;
    }
    for line_mbit in [100, 1000, 2500] {
        // The smallest class alone has the whole line.
        let network = network(line_mbit, &ets_classes(&[1, 99]));
        one_of_three(&format!("line use, {line_mbit} Mbit/s"), || {
            match measure(&network, line_mbit, &[offer(line_mbit, 0, 1.3, FULL)]) {
                Ok(parts) => {
                    let verdict = holds((0.97..=1.01).contains(&parts[0]), "97 to 101 % are allowed");
                    (format!("{:.2} %", parts[0] * 100.0), verdict)
                }
                Err(wrong) => (String::new(), Err(wrong)),
            }
        });
    }
}

/// ETS classes of 60 and 40 % for priorities 0 and 1 beside a strict one for 7.
fn with_strict(strict: &str) -> String {
    format!(
        "[[traffic_class]]\nname = \"a\"\npriorities = [0]\nbandwidth = 60\n\
         [[traffic_class]]\nname = \"b\"\npriorities = \"rest\"\nbandwidth = 40\n\
         [[traffic_class]]\nname = \"s\"\npriorities = [7]\ntsa = \"strict\"\n{strict}\n"
    )
}

#[test]
fn strict_over_ets() {
    if !root_for("strict classes on real interfaces") {
        return;
    }
    for (keys, offered, expected) in [("", 1.3, 1.0), ("", 0.2, 0.2), ("max_rate = \"200Mbit\"", 1.0, 0.2)] {
        let network = network(1000, &with_strict(keys));
        let offers = [offer(1000, 0, 0.8, FULL), offer(1000, 1, 0.8, FULL), offer(1000, 7, offered, FULL)];
        one_of_three(&format!("strict, offered {offered} of the line, {keys:?}"), || {
            let parts = match measure(&network, 1000, &offers) {
                Ok(parts) => parts,
                Err(wrong) => return (String::new(), Err(wrong)),
            };
            let ets = parts[0] + parts[1];
            let figures =
                format!("strict {:.4}, ETS {:.4} + {:.4} of the line", parts[2], parts[0], parts[1]);
            let verdict = if expected > 0.9 {
                holds(parts[2] > 0.95 && ets < 0.05, "strict > 95 %, ETS < 5 %")
            } else {
                holds((parts[2] / expected - 1.0).abs() <= 0.02, "2 % of its rate are allowed")
                    .and(holds((parts[0] / ets - 0.6).abs() <= 0.01, "the rest by weight, within 1 %"))
                    .and(holds(parts[2] + ets >= 0.97, "97 % of the line"))
            };
            (figures, verdict)
        });
    }
}

#[test]
fn rate_cap() {
    if !root_for("rate caps on real interfaces") {
        return;
    }
    let classes = "[[traffic_class]]\nname = \"capped\"\npriorities = [0]\nbandwidth = 60\nmax_rate = \"150Mbit\"\n\
                   [[traffic_class]]\nname = \"assured\"\npriorities = [1]\nbandwidth = 2\nmin_rate = \"200Mbit\"\n\
                   [[traffic_class]]\nname = \"rest\"\npriorities = \"rest\"\nbandwidth = 38\n";
    let network = network(1000, classes);
    let offers = [0, 1, 2].map(|priority| offer(1000, priority, 0.8, FULL));
    one_of_three("a cap of 0.15 and a minimum of 0.2 of the line", || {
        let parts = match measure(&network, 1000, &offers) {
            Ok(parts) => parts,
            Err(wrong) => return (String::new(), Err(wrong)),
        };
        let figures =
            format!("capped {:.4}, assured {:.4}, rest {:.4} of the line", parts[0], parts[1], parts[2]);
        let verdict = holds((parts[0] / 0.15 - 1.0).abs() <= 0.02, "2 % of the cap are allowed")
            .and(holds(parts[1] >= 0.2 * 0.98, "98 % of the minimum are needed"))
            .and(holds(parts.iter().sum::<f64>() >= 0.97, "97 % of the line"));
        (figures, verdict)
    });
}
