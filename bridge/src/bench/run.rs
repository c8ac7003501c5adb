//! The rounds: every scenario with all its switches in turns, and what became of each.

use std::sync::atomic::{AtomicBool, Ordering};

use super::args::Plan;
use super::progress::Progress;
use super::report::not_installed;
use super::scenario::{Quantity, Scenario};
use super::scratch::Scratch;
use super::stats::{self, Summary};
use super::switches::{Rig, Setup, Switch};
use crate::cli::Failure;

/// Why a switch has no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It can't take part, which is no fault.
    Absent(String),
    /// It should have.
    Failed(String),
}

impl From<Failure> for Note {
    fn from(Failure(text): Failure) -> Note {
        Note::Failed(text)
    }
}

impl From<crate::net::Error> for Note {
    fn from(error: crate::net::Error) -> Note {
        Note::Failed(error.to_string())
    }
}

/// A switch in a scenario.
#[derive(Clone, Debug)]
pub struct Result {
    /// The scenario.
    pub scenario: Scenario,
    /// The switch.
    pub switch: &'static Switch,
    /// A figure for each quantity in each round; of a round that failed, none.
    pub rounds: Vec<Vec<Option<f64>>>,
    /// Why there are none, or not all.
    pub note: Option<Note>,
}

impl Result {
    /// Whether nothing failed.
    pub const fn is_good(&self) -> bool {
        !matches!(self.note, Some(Note::Failed(_)))
    }

    /// The scenario's quantities with what the rounds came to.
    pub fn summaries(&self) -> impl Iterator<Item = (&Quantity, Option<Summary>)> {
        let figures = |n: usize| self.rounds.iter().filter_map(move |round| round.get(n).copied().flatten());
        self.scenario.quantities.iter().enumerate().map(move |(n, q)| (q, Summary::of(figures(n))))
    }

    /// The median of the quantity of that number.
    pub fn median(&self, quantity: usize) -> Option<f64> {
        self.summaries().nth(quantity)?.1.map(|s| s.median)
    }

    /// How many times that of `other` the quantity of that number is, in the rounds that both have it. A machine that is
    /// faster in some rounds than in others moves both.
    pub fn ratio(&self, other: &Result, quantity: usize) -> Option<f64> {
        let figure = |round: &Vec<Option<f64>>| round.get(quantity).copied().flatten();
        let rounds = self.rounds.iter().zip(&other.rounds);
        stats::ratio(rounds.filter_map(|(ours, theirs)| Some((figure(ours)?, figure(theirs)?))))
    }
}

/// Switches that were started, with the setup for which.
struct Started {
    setup: Setup,
    rigs: Vec<(&'static Switch, std::result::Result<Rig, Note>)>,
}

/// Measures everything that is planned, or what there is time for until `stop`.
pub fn run(plan: &Plan, scratch: &Scratch, progress: &mut Progress, stop: &AtomicBool) -> Vec<Result> {
    let mut results = Vec::new();
    let mut started: Option<Started> = None;
    let all = plan.scenarios.len();
    for (n, scenario) in plan.scenarios.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        progress.scenario(n + 1, all, scenario.name);
        if started.as_ref().is_none_or(|s| s.setup != scenario.setup) {
            // The old ones first: they have the same names.
            drop(started.take());
            started = Some(start(plan, scenario.setup, scratch, progress, stop));
        }
        let Some(started) = &mut started else { continue };
        let label = format!("[{} of {all}] {}", n + 1, scenario.name);
        results.extend(measure(
            plan,
            scenario,
            started,
            &mut |text| progress.step(&format!("{label}: {text}")),
            stop,
        ));
    }
    results
}

fn start(
    plan: &Plan,
    setup: Setup,
    scratch: &Scratch,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Started {
    let mut rigs = Vec::new();
    for &switch in plan.switches.iter().filter(|s| s.fits(&setup)) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        progress.step(&format!("starting {}", switch.name));
        let rig = if let Some(needs) = switch.missing() {
            Err(Note::Absent(not_installed(needs)))
        } else if setup.mtu > switch.max_mtu {
            Err(Note::Absent(format!("takes no frames of that length (MTU {} at most)", switch.max_mtu)))
        } else {
            switch.start(&setup, scratch)
        };
        if let Ok(rig) = &rig {
            rig.hold(true);
        }
        rigs.push((switch, rig));
    }
    Started { setup, rigs }
}

fn measure(
    plan: &Plan,
    scenario: &Scenario,
    started: &mut Started,
    tell: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Vec<Result> {
    let result = |(switch, rig): &(&'static Switch, std::result::Result<Rig, Note>)| Result {
        scenario: scenario.clone(),
        switch,
        rounds: Vec::new(),
        note: rig.as_ref().err().cloned(),
    };
    let mut results: Vec<Result> = started.rigs.iter().map(result).collect();
    for round in 1..=plan.repeat {
        let mut turns: Vec<_> = started.rigs.iter_mut().zip(&mut results).collect();
        if round % 2 == 0 {
            // There and back, so that a machine that becomes slower is not always slower for the same.
            turns.reverse();
        }
        for ((switch, rig), result) in turns {
            let (Ok(rig), false) = (rig, stop.load(Ordering::Relaxed)) else { continue };
            tell(&format!("round {round} of {}, {}", plan.repeat, switch.name));
            rig.hold(false);
            let figures = rig.check().and_then(|()| scenario.measure(rig, plan.span));
            rig.hold(true);
            match figures {
                Ok(figures) => result.rounds.push(figures),
                Err(Failure(text)) => {
                    result.rounds.push(Vec::new());
                    result.note = Some(Note::Failed(text));
                }
            }
        }
    }
    results
}
