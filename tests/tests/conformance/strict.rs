//! Strict classes, minimum and maximum rates, and who waits for whom.

use dcbridge_scheduler::{Rate, Time};
use dcbridge_tests::virtual_time::{Flow, Rig, Sizes, share_error};

const GBIT: u64 = 1_000_000_000;
const SECOND: Time = Time::from_millis(1000);

/// A strict class for priority 7 with these keys beside ETS classes 60 : 40 for priorities 0 and the rest.
fn classes(strict: &str) -> String {
    format!(
        "[[traffic_class]]\nname = \"a\"\npriorities = [0]\nbandwidth = 60\n\
         [[traffic_class]]\nname = \"b\"\npriorities = \"rest\"\nbandwidth = 40\n\
         [[traffic_class]]\nname = \"s\"\npriorities = [7]\ntsa = \"strict\"\n{strict}\n"
    )
}

fn with_bulk(line_gbit: u64, classes: &str, sizes: Sizes) -> Rig {
    let mut rig = Rig::new(&format!("{line_gbit}Gbit"), classes, "");
    for number in [0, 1] {
        rig.offer(Flow { sizes, ..Flow::new(number, line_gbit * GBIT * 9 / 10) });
    }
    rig
}

fn part_of_line(wire: u64, gbit: u64, span: Time) -> f64 {
    wire as f64 / Rate::from_bits_per_second(gbit * GBIT).bytes_in(span) as f64
}

const FULL: Sizes = Sizes::Frames(&[1518]);

#[test]
fn strict_over_ets() {
    let mut rig = with_bulk(10, &classes(""), FULL);
    rig.offer(Flow::new(7, 11 * GBIT));
    let got = rig.run_until(SECOND);
    let (strict, ets) = (part_of_line(got[7], 10, SECOND), part_of_line(got[0] + got[1], 10, SECOND));
    println!("strict {strict:.4}, ETS {ets:.4} of the line");
    assert!(strict > 0.95 && ets < 0.05, "{got:?}");

    // Below the line, by what it is offered or by its cap, it leaves the rest to the shares.
    for (keys, offered) in [("", 2 * GBIT), ("max_rate = \"2Gbit\"", 11 * GBIT)] {
        let mut rig = with_bulk(10, &classes(keys), FULL);
        rig.offer(Flow::new(7, offered));
        let got = rig.run_until(SECOND);
        let strict = part_of_line(got[7], 10, SECOND);
        let error = share_error(&got[..2], &[60, 40]);
        println!("{keys}: strict {strict:.4} of the line, error of the others {:.4} %", error * 100.0);
        assert!((strict - 0.2).abs() < 0.2 * 0.02 && error <= 0.001, "{keys}: {got:?}");
        assert!(part_of_line(got.iter().sum(), 10, SECOND) > 0.999, "{keys}: {got:?}");
    }
}

#[test]
fn rate_cap() {
    let classes = "[[traffic_class]]\nname = \"capped\"\npriorities = [0]\nbandwidth = 60\nmax_rate = \"1500Mbit\"\n\
                   [[traffic_class]]\nname = \"assured\"\npriorities = [1]\nbandwidth = 2\nmin_rate = \"2Gbit\"\n\
                   [[traffic_class]]\nname = \"rest\"\npriorities = \"rest\"\nbandwidth = 38\n";
    for sizes in [FULL, Sizes::Frames(&[64, 9018, 300]), Sizes::Superframes(1518)] {
        let mut rig = Rig::new("10Gbit", classes, "");
        for number in 0..3 {
            rig.offer(Flow { sizes, ..Flow::new(number, 9 * GBIT) });
        }
        let got = rig.run_until(SECOND);
        let [capped, assured, rest] = [0, 1, 2].map(|n| part_of_line(got[n], 10, SECOND));
        println!("{sizes:?}: capped {capped:.4}, assured {assured:.4}, rest {rest:.4} of the line");
        assert!((capped - 0.15).abs() <= 0.15 * 0.02, "{sizes:?}: {got:?}");
        assert!(assured >= 0.2 * 0.98, "{sizes:?}: {got:?}");
        assert!(capped + assured + rest > 0.999, "what the cap leaves is used: {got:?}");
    }
}

/// p99 of what strict frames wait in the queue, at 1 % load beside bulk of `sizes`. The way from one worker to another, which
/// takes up to 3 us for one frame in fifty, is none of it.
fn p99_wait(gbit: u64, sizes: Sizes) -> Time {
    let mut rig = with_bulk(gbit, &classes(""), sizes);
    rig.sim.cross_at_once(rig.node);
    // 202 bytes on the wire each; the period has no common measure with those of the bulk.
    rig.offer_timed(Flow {
        sizes: Sizes::Frames(&[182]),
        from: Time::from_nanos(1_234_567),
        ..Flow::new(7, gbit * GBIT / 101)
    });
    rig.run_until(SECOND);
    let own = Rate::from_bits_per_second(gbit * GBIT).time_of(202);
    let mut waits: Vec<Time> = rig.delays().into_iter().map(|d| d - own).collect();
    waits.sort_unstable();
    assert!(waits.len() > 5000, "{} frames arrived", waits.len());
    waits[waits.len() * 99 / 100]
}

#[test]
fn strict_latency() {
    // A frame of the longest size on the wire, with preamble and gap.
    let longest = 9018 + 20;
    for (gbit, sizes) in [
        (1, Sizes::Frames(&[9018])),
        (1, Sizes::Superframes(9018)),
        (1, Sizes::Superframes(1518)),
        (10, Sizes::Frames(&[9018])),
        (100, Sizes::Frames(&[9018])),
    ] {
        let p99 = p99_wait(gbit, sizes);
        let bound = Rate::from_bits_per_second(gbit * GBIT).time_of(2 * longest);
        println!("{gbit} Gbit/s, {sizes:?}: p99 {} ns, bound {} ns", p99.as_nanos(), bound.as_nanos());
        assert!(p99 < bound, "{gbit} Gbit/s, {sizes:?}: p99 {} ns", p99.as_nanos());
    }
    // Faster lines send superframes in larger pieces: behind one of them a strict frame waits 100 us at most.
    let p99 = p99_wait(10, Sizes::Superframes(1518));
    println!("10 Gbit/s, superframes: p99 {} ns", p99.as_nanos());
    assert!(p99 < Time::from_micros(100), "10 Gbit/s, superframes: p99 {} ns", p99.as_nanos());
}
