//! Shares at 10, 100 and 400 Gbit/s over one second.

use dcbridge_scheduler::{Rate, Time};
use dcbridge_tests::virtual_time::{Flow, Rig, Sizes, assert_balanced, ets_classes, share_error};

const GBIT: u64 = 1_000_000_000;
const TOLERANCE: f64 = 0.001;
const WEIGHTS: [&[u8]; 4] = [&[60, 30, 10], &[33, 33, 34], &[1, 99], &[30, 20, 15, 10, 10, 5, 5, 5]];
/// Frames with FCS, and about what people mix.
const MIXED: &[u16] = &[64, 9018, 128, 1518, 590, 4000, 64, 1518, 256, 8000];

/// All classes offer somewhat more than their share for a second; what arrived must have been shared by weight.
fn shares(gbit: u64, weights: &[u8], sizes: Sizes) {
    let mut rig = Rig::new(&format!("{gbit}Gbit"), &ets_classes(weights), "buffer = \"32MB\"");
    let line = gbit * GBIT;
    for (number, &weight) in (0..).zip(weights) {
        let share = line / 100 * u64::from(weight);
        rig.offer(Flow { sizes, ..Flow::new(number, share + share / 8 + line / 100) });
    }
    let second = Time::from_millis(1000);
    let got = rig.run_until(second);
    let got = &got[..weights.len()];
    let expected: Vec<u64> = weights.iter().map(|&w| u64::from(w)).collect();
    let error = share_error(got, &expected);
    let all = got.iter().sum::<u64>() as f64 / Rate::from_bits_per_second(line).bytes_in(second) as f64;
    println!(
        "{gbit} Gbit/s, {weights:?}, {sizes:?}: error {:.4} %, line use {:.2} %",
        error * 100.0,
        all * 100.0
    );
    assert!(error <= TOLERANCE, "{gbit} Gbit/s, {weights:?}, {sizes:?}: {got:?}");
    assert!((0.999..=1.0001).contains(&all), "{gbit} Gbit/s, {weights:?}, {sizes:?}: line use {all}");
    let snapshot = rig.snapshot();
    assert_balanced(&snapshot);
    for class in 0..weights.len() {
        let dropped = snapshot.ports[1].priorities[class].dropped.frames;
        assert!(dropped > 0, "class {class} was not over-offered");
    }
}

#[test]
fn ets_shares_10g() {
    for weights in WEIGHTS {
        for sizes in [Sizes::Superframes(1518), Sizes::Frames(&[1518]), Sizes::Frames(MIXED)] {
            shares(10, weights, sizes);
        }
    }
}

#[test]
fn ets_shares_100g() {
    for weights in WEIGHTS {
        for sizes in [Sizes::Superframes(1518), Sizes::Frames(MIXED)] {
            shares(100, weights, sizes);
        }
    }
}

#[test]
fn ets_shares_400g() {
    for weights in WEIGHTS {
        shares(400, weights, Sizes::Superframes(9018));
    }
    shares(400, WEIGHTS[0], Sizes::Frames(MIXED));
}
