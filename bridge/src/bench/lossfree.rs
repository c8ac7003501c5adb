//! The highest rate at which hardly a frame is lost, found by halving.

use std::time::{Duration, Instant};

use super::failed;
use super::load::frames::Sender;
use super::pair::{Count, Counters};
use super::scenario::arrived_whole;
use super::switches::Rig;
use crate::cli::Failure;

/// One lost of so many is too much.
const TOO_MUCH: f64 = 0.001;
/// Halvings: the last step is a hundredth of the first.
const STEPS: u32 = 7;
/// A switch whose queues are empty has nothing more to give.
const QUIET: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(2);

/// Frames of `bytes` a second. Each attempt takes a part of `span`.
///
/// # Errors
/// When frames can't be sent, or none arrives.
pub fn search(rig: &Rig, bytes: u16, span: Duration) -> Result<f64, Failure> {
    let mut counters = rig.pair.counters(1)?;
    let span = (span / 3).max(Duration::from_millis(100));
    // What it lets through when there is far too much is near what it can do; the search may go above.
    let flood = attempt(rig, bytes, None, span, &mut counters)?;
    arrived_whole(flood.received, flood.bytes, bytes)?;
    let most = flood.received as f64 / flood.seconds * 1.25;
    halve(most, |rate| {
        let ran = attempt(rig, bytes, Some(rate), span, &mut counters)?;
        Ok((ran.lost() < TOO_MUCH).then_some(ran.tried as f64 / ran.seconds))
    })
}

/// The best of `STEPS` attempts between 0 and `most`; `good` answers the rate that was really reached.
fn halve(most: f64, mut good: impl FnMut(f64) -> Result<Option<f64>, Failure>) -> Result<f64, Failure> {
    let (mut low, mut high, mut best) = (0.0, most, 0.0);
    for _ in 0..STEPS {
        let rate = f64::midpoint(low, high);
        match good(rate)? {
            Some(reached) => (low, best) = (rate, f64::max(best, reached)),
            None => high = rate,
        }
    }
    Ok(best)
}

struct Attempt {
    tried: u64,
    received: u64,
    bytes: u64,
    seconds: f64,
}

impl Attempt {
    fn lost(&self) -> f64 {
        1.0 - self.received as f64 / self.tried.max(1) as f64
    }
}

fn attempt(
    rig: &Rig,
    bytes: u16,
    rate: Option<f64>,
    span: Duration,
    counters: &mut Counters,
) -> Result<Attempt, Failure> {
    let mut received = || {
        let read: std::io::Result<Count> = counters.read();
        read.map_err(|e| failed("counters can't be read", &e))
    };
    let before = received()?;
    let begin = Instant::now();
    let sender = Sender::start(&rig.pair, bytes, rate)?;
    std::thread::sleep(span);
    let tried = sender.stop();
    let seconds = begin.elapsed().as_secs_f64();
    let end = Instant::now() + PATIENCE;
    let (mut now, mut last) = (received()?, before);
    while now != last && Instant::now() < end {
        std::thread::sleep(QUIET);
        (last, now) = (now, received()?);
    }
    let (received, bytes) = (now.received - before.received, now.bytes - before.bytes);
    Ok(Attempt { tried, received, bytes, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_finds_a_limit_and_never_claims_more() {
        for limit in [0.0, 3.0, 40.0, 77.7, 100.0] {
            let found = halve(100.0, |rate| Ok((rate <= limit).then_some(rate))).unwrap();
            assert!(found <= limit && found >= limit - 100.0 / 100.0, "{found} of {limit}");
        }
    }

    #[test]
    fn a_sender_that_is_too_slow_counts_with_what_it_reached() {
        let found = halve(100.0, |rate| Ok(Some(rate.min(30.0)))).unwrap();
        assert!((found - 30.0).abs() < 1e-9);
    }
}
