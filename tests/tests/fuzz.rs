//! Bad frames: nothing that arrives makes the switch panic, lose memory or cook its books.

use dcbridge::port::VnetHeader;
use dcbridge::switch::parse::parse;
use dcbridge_tests::fuzz::{Random, frame, run};

/// Frames of a run. `tests/run` asks for ten million.
fn frames() -> u64 {
    match std::env::var("DCBRIDGE_FUZZ_FRAMES") {
        Ok(text) => text.parse().expect("DCBRIDGE_FUZZ_FRAMES is a number"),
        Err(_) => 100_000,
    }
}

/// Another seed for whoever wants to look elsewhere.
fn seed() -> u64 {
    std::env::var("DCBRIDGE_FUZZ_SEED")
        .map_or(1, |text| text.parse().expect("DCBRIDGE_FUZZ_SEED is a number"))
}

#[test]
fn bad_frames_do_no_harm() {
    // Several runs: each begins with empty tables, and two cores share the work.
    const RUNS: u64 = 4;
    let all: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> = [0, 1]
            .map(|lane| {
                scope.spawn(move || {
                    let seeds = (0..RUNS).filter(|n| n % 2 == lane).map(|n| seed() + n);
                    seeds.map(|seed| run(seed, frames() / RUNS)).collect::<Vec<_>>()
                })
            })
            .into_iter()
            .collect();
        lanes.into_iter().flat_map(|l| l.join().expect("a run has failed")).collect()
    });
    for seen in all {
        println!("{seen:?}");
        assert_eq!(seen.offered, frames() / RUNS);
        assert!(seen.superframes > seen.offered / 20, "superframes were among them");
        assert!(seen.pieces > seen.offered / 5, "frames passed");
        assert!(seen.rewritten > seen.pieces / 50, "frames were rewritten");
        assert!(seen.dropped > seen.offered / 10, "frames were refused");
        assert!(seen.queued > 100, "there was a backlog");
    }
}

#[test]
fn whatever_arrives_is_understood_or_refused() {
    let mut random = Random::new(seed());
    let mut bytes = Vec::new();
    let mut understood = 0;
    for _ in 0..frames() {
        let vnet = frame(&mut random, &mut bytes);
        let Ok(frame) = parse(&bytes, &vnet) else { continue };
        understood += 1;
        assert!(usize::from(frame.l3) <= bytes.len());
        assert!(frame.shape.segs > 0);
        let payload = bytes.len() - usize::from(frame.segment_headers);
        let headers = u64::from(frame.segment_headers) * u64::from(frame.shape.segs);
        assert_eq!(
            frame.shape.bytes(0, frame.shape.segs),
            payload as u64 + headers,
            "every byte is in a segment"
        );
        if let Some(ip) = frame.ip {
            assert!(usize::from(ip.l4) <= bytes.len() && ip.l4 > frame.l3);
        }
        assert!(parse(&bytes[..bytes.len().min(13)], &VnetHeader::default()).is_err());
    }
    assert!(understood > frames() / 3, "{understood} were frames");
}
