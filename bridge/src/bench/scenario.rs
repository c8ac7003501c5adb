//! The scenarios: what is done between the hosts of a switch, what is read before and after, and the figures that it makes.
//! Every measurement answers one figure for each quantity of its scenario.

use std::time::{Duration, Instant};

use dcbridge_config::BitRate;

use super::load::frames::Sender;
use super::load::pingpong::{self, Trips};
use super::load::tcp::Streams;
use super::pair::Count;
use super::process::Idle;
use super::switches::{Rig, Setup};
use super::{ets, failed, lossfree};
use crate::cli::Failure;
use crate::lab::frames::FCS;
use crate::switch::parse::ETHERNET;

/// Before anything is read: caches, congestion windows, clocks of processors.
const WARM_UP: Duration = Duration::from_millis(200);

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
    /// Neither: what a figure was measured at.
    Neither,
}

/// A figure of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its column.
    pub title: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
}

/// What the hosts do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// So many TCP streams.
    Tcp(usize),
    /// Frames of this length as fast as they go.
    Flood(u16),
    /// Frames of this length at the highest rate at which hardly any is lost.
    LossFree(u16),
    /// Questions and answers, alone or beside a TCP stream.
    Trips { beside: bool },
    /// Three classes over-offered into a slow line.
    Shares(BitRate),
    /// Questions and answers of a strict class, alone and then beside a TCP stream that fills a slow line.
    Strict,
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line and in JSON.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What the switches have to be.
    pub setup: Setup,
    /// Whether `--quick` measures it.
    pub quick: bool,
    /// Its figures; the first is the one it is about.
    pub quantities: &'static [Quantity],
    work: Work,
}

const fn quantity(name: &'static str, title: &'static str, unit: &'static str, better: Better) -> Quantity {
    Quantity { name, title, unit, better }
}

const RESIDENT: Quantity = quantity("resident", "RSS MB", "MB", Better::Lower);
const PER_GB: Quantity = quantity("cpu", "CPU s/GB", "s/GB", Better::Lower);
const ALL_PER_GB: Quantity = quantity("machine-cpu", "all CPU s/GB", "s/GB", Better::Lower);
const TCP: &[Quantity] =
    &[quantity("rate", "Gbit/s", "Gbit/s", Better::Higher), PER_GB, ALL_PER_GB, RESIDENT];
const FRAMES: &[Quantity] = &[
    quantity("rate", "k frames/s", "kframes/s", Better::Higher),
    quantity("offered", "offered", "kframes/s", Better::Neither),
    quantity("cpu", "CPU s/M", "s/Mframes", Better::Lower),
    quantity("machine-cpu", "all CPU s/M", "s/Mframes", Better::Lower),
    RESIDENT,
];
const LOSS_FREE: &[Quantity] = &[quantity("rate", "k frames/s", "kframes/s", Better::Higher)];
const TRIPS: &[Quantity] = &[
    quantity("p50", "p50 us", "us", Better::Lower),
    quantity("p99", "p99 us", "us", Better::Lower),
    quantity("lost", "lost %", "%", Better::Lower),
];
const STRICT: &[Quantity] = &[
    quantity("p99", "p99 us", "us", Better::Lower),
    quantity("p50", "p50 us", "us", Better::Lower),
    quantity("p99-alone", "alone p99 us", "us", Better::Lower),
    quantity("p50-alone", "alone p50 us", "us", Better::Lower),
    quantity("bulk", "bulk Mbit/s", "Mbit/s", Better::Higher),
    quantity("lost", "lost %", "%", Better::Lower),
];
const SHARES: &[Quantity] = &[
    quantity("error", "error points", "points", Better::Lower),
    quantity("total", "of the line %", "%", Better::Higher),
    PER_GB,
    ALL_PER_GB,
];

const PLAIN: Setup = Setup { mtu: 1500, line: None };
const JUMBO: Setup = Setup { mtu: 9000, line: None };

/// All of them. Those of the same setup stand together, so that switches are not started anew in between.
pub fn all() -> Vec<Scenario> {
    let plain = |name, title, quick, quantities, work| Scenario {
        name,
        title,
        setup: PLAIN,
        quick,
        quantities,
        work,
    };
    let lined = |line| Setup { line: Some(BitRate(line)), ..PLAIN };
    let shares = |name, title, line| Scenario {
        setup: lined(line),
        ..plain(name, title, false, SHARES, Work::Shares(BitRate(line)))
    };
    vec![
        plain("tcp-1", "TCP, one stream", true, TCP, Work::Tcp(1)),
        plain("tcp-4", "TCP, four streams", false, TCP, Work::Tcp(4)),
        plain("frames-64", "64-byte frames, as many as it takes", true, FRAMES, Work::Flood(64)),
        plain("frames-512", "512-byte frames, as many as it takes", false, FRAMES, Work::Flood(512)),
        plain("frames-1500", "1500-byte frames, as many as it takes", false, FRAMES, Work::Flood(1500)),
        plain(
            "loss-free-64",
            "64-byte frames with less than 0.1 % loss",
            false,
            LOSS_FREE,
            Work::LossFree(64),
        ),
        plain("rtt-idle", "Round trips of 64-byte frames, alone", true, TRIPS, Work::Trips { beside: false }),
        plain(
            "rtt-load",
            "Round trips of 64-byte frames beside a TCP stream",
            false,
            TRIPS,
            Work::Trips { beside: true },
        ),
        Scenario {
            setup: JUMBO,
            ..plain("frames-9000", "9000-byte frames, as many as it takes", false, FRAMES, Work::Flood(9000))
        },
        shares("ets-htb-100M", "Shares of 60/30/10 % of 100 Mbit/s", 100_000_000),
        shares("ets-htb-1G", "Shares of 60/30/10 % of 1 Gbit/s", 1_000_000_000),
        Scenario {
            setup: lined(1_000_000_000),
            ..plain(
                "rtt-strict-1G",
                "Round trips of a strict class beside a TCP stream that fills 1 Gbit/s",
                false,
                STRICT,
                Work::Strict,
            )
        },
        shares("ets-htb-5G", "Shares of 60/30/10 % of 5 Gbit/s", 5_000_000_000),
    ]
}

impl Scenario {
    /// Whether it or its group has that name: `tcp` is `tcp-1` and `tcp-4`.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Measures a switch once.
    ///
    /// # Errors
    /// When the load can't be made, or nothing arrives.
    pub fn measure(&self, rig: &Rig, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
        match self.work {
            Work::Tcp(streams) => tcp(rig, streams, span),
            Work::Flood(bytes) => flood(rig, bytes, span),
            Work::LossFree(bytes) => lossfree::search(rig, bytes, span).map(|rate| vec![Some(rate / 1e3)]),
            Work::Trips { beside } => trips(rig, beside, span),
            Work::Shares(line) => ets::measure(rig, line, span),
            Work::Strict => strict(rig, span),
        }
    }
}

/// What happened in a time.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// What was read at its beginning.
    pub(super) before: T,
    /// What was read at its end.
    pub(super) after: T,
    seconds: f64,
    cpu: Option<Duration>,
    machine: Option<Duration>,
}

impl<T> Window<T> {
    /// Warms up, then reads before and after `span`.
    pub(super) fn watch(
        rig: &Rig,
        span: Duration,
        mut read: impl FnMut() -> Result<T, Failure>,
    ) -> Result<Window<T>, Failure> {
        std::thread::sleep(WARM_UP);
        let (cpu, idle, begin, before) = (rig.cpu(), Idle::now(), Instant::now(), read()?);
        std::thread::sleep(span);
        let (after, elapsed) = (read()?, begin.elapsed());
        let cpu = rig.cpu().zip(cpu).map(|(now, then)| now.saturating_sub(then));
        let machine = Idle::now().zip(idle).map(|(now, then)| now.spent_since(&then, elapsed));
        Ok(Window { before, after, seconds: elapsed.as_secs_f64(), cpu, machine })
    }

    /// So many a second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    /// Processor seconds of the switch and of the machine for each of `amount`.
    pub(super) fn cost(&self, amount: f64) -> [Option<f64>; 2] {
        [self.cpu, self.machine].map(|time| Some(time?.as_secs_f64() / amount))
    }
}

fn megabytes(rig: &Rig) -> Option<f64> {
    rig.resident().map(|bytes| bytes as f64 / 1e6)
}

fn tcp(rig: &Rig, streams: usize, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
    let streams = Streams::start(&rig.pair, streams)?;
    let window = Window::watch(rig, span, || Ok(streams.received()))?;
    let bytes = window.after - window.before;
    arrived(bytes)?;
    let [cpu, machine] = window.cost(bytes as f64 / 1e9);
    Ok(vec![Some(window.rate(bytes) * 8.0 / 1e9), cpu, machine, megabytes(rig)])
}

fn flood(rig: &Rig, bytes: u16, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
    let [mut a, mut b] = [rig.pair.counters(0)?, rig.pair.counters(1)?];
    let _sender = Sender::start(&rig.pair, bytes, None)?;
    let window = Window::watch(rig, span, || {
        let read: std::io::Result<(Count, Count)> = a.read().and_then(|a| Ok((a, b.read()?)));
        read.map_err(|e| failed("counters can't be read", &e))
    })?;
    let (before, after) = (window.before.1, window.after.1);
    let frames = after.received - before.received;
    let offered = window.after.0.offered - window.before.0.offered;
    arrived_whole(frames, after.bytes - before.bytes, bytes)?;
    let [cpu, machine] = window.cost(frames as f64 / 1e6);
    let rates = [frames, offered].map(|n| Some(window.rate(n) / 1e3));
    Ok(vec![rates[0], rates[1], cpu, machine, megabytes(rig)])
}

fn trips(rig: &Rig, beside: bool, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
    let _streams = if beside { Some(Streams::start(&rig.pair, 1)?) } else { None };
    std::thread::sleep(WARM_UP);
    let trips = pingpong::ask(&rig.pair, 0, span)?;
    arrived(trips.each.len() as u64)?;
    Ok(vec![microseconds(&trips, 50), microseconds(&trips, 99), Some(trips.lost_percent())])
}

fn strict(rig: &Rig, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
    let alone = pingpong::ask(&rig.pair, ets::STRICT_DSCP, span)?;
    arrived(alone.each.len() as u64)?;
    let streams = Streams::start(&rig.pair, 1)?;
    std::thread::sleep(ets::FILL);
    let (begin, before) = (Instant::now(), streams.received());
    let beside = pingpong::ask(&rig.pair, ets::STRICT_DSCP, span)?;
    let bulk = (streams.received() - before) as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e6;
    arrived(beside.each.len() as u64)?;
    let [beside_99, beside_50] = [99, 50].map(|percent| microseconds(&beside, percent));
    let [alone_99, alone_50] = [99, 50].map(|percent| microseconds(&alone, percent));
    Ok(vec![beside_99, beside_50, alone_99, alone_50, Some(bulk), Some(beside.lost_percent())])
}

fn microseconds(trips: &Trips, percent: usize) -> Option<f64> {
    trips.percentile(percent).map(|time| time.as_secs_f64() * 1e6)
}

/// A switch that lets nothing through has no figure.
pub(super) fn arrived(amount: u64) -> Result<(), Failure> {
    if amount == 0 { Err(Failure("nothing arrived".to_owned())) } else { Ok(()) }
}

/// Nor has one that shortens frames: `frames` that were sent with `length` bytes (FCS included) have arrived with `bytes`.
pub(super) fn arrived_whole(frames: u64, bytes: u64, length: u16) -> Result<(), Failure> {
    arrived(frames)?;
    // Without FCS, and perhaps without the Ethernet header; a few short packets of the hosts' own may be among them.
    let (mean, whole) = (bytes as f64 / frames as f64, f64::from(length) - (FCS + ETHERNET) as f64);
    if mean < 0.95 * whole {
        return Err(Failure(format!("it cuts frames: {mean:.0} bytes of {length} arrive")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_that_cuts_frames_has_no_figure() {
        assert!(arrived_whole(0, 0, 64).is_err());
        for header in [0, 14] {
            assert_eq!(arrived_whole(1000, 1000 * (8996 - header), 9000).map_err(|e| e.0), Ok(()));
            assert_eq!(arrived_whole(1000, 1000 * (60 - header), 64).map_err(|e| e.0), Ok(()));
        }
        let cut = arrived_whole(1000, 1000 * 1504, 9000).map_err(|e| e.0);
        assert_eq!(cut, Err("it cuts frames: 1504 bytes of 9000 arrive".to_owned()));
    }

    #[test]
    fn scenarios_of_a_setup_stand_together_and_names_are_unique() {
        let all = all();
        let mut setups: Vec<Setup> = Vec::new();
        for scenario in &all {
            if setups.last() != Some(&scenario.setup) {
                assert!(!setups.contains(&scenario.setup), "{} begins a setup anew", scenario.name);
                setups.push(scenario.setup);
            }
            assert_eq!(all.iter().filter(|s| s.name == scenario.name).count(), 1);
        }
    }

    #[test]
    fn a_group_is_called_by_its_first_words() {
        let called = |name| all().iter().filter(|s| s.is_called(name)).count();
        assert_eq!([called("tcp"), called("tcp-1"), called("frames"), called("ets-htb")], [2, 1, 4, 3]);
        assert_eq!([called("t"), called("tcp-")], [0, 0]);
    }
}
