//! `dcbridge bench`: the switch beside its peers on this machine, in one run, with ratios.
//!
//! ```text
//!   args -> what is measured      switches   joins two hosts (pair) by dcbridge, a peer or a yardstick, as processes
//!                                 scenario   puts a load between them, reads counters: figures
//!   run  -> rounds, in turns      stats      medians, ratios         report    table and JSON
//! ```
//! Switches take turns within every scenario, so that what else the machine does meets all of them alike; one that spins
//! is held still meanwhile. Everything is in namespaces without a name and in processes that end with this one.
//!
//! What must not enter: anything that a running switch needs.

mod args;
mod ets;
mod load;
mod lossfree;
mod pair;
mod process;
mod progress;
mod report;
mod run;
mod scenario;
mod scratch;
mod stats;
mod switches;
mod sys;
pub mod yardstick;

use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use args::Args;

use args::{Plan, Tool};
use progress::Progress;
use scratch::Scratch;

use crate::cli::table::{Column, Table};
use crate::cli::terminal::{Terminal, print};
use crate::cli::{FAILED, Failure, Outcome, runtime};

/// The program that runs, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

fn failed(what: impl Into<String>, error: &std::io::Error) -> Failure {
    Failure(format!("{}: {error}", what.into()))
}

impl From<crate::net::Error> for Failure {
    fn from(error: crate::net::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// Runs `dcbridge bench` to its end. To be called by the main thread, with which all processes end.
///
/// # Errors
/// When nothing can be measured on this machine.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    if let Some(Tool::Yardstick(args)) = &args.tool {
        return yardstick::run(args);
    }
    let plan = args.plan();
    if args.list {
        print(&listing(&plan, terminal))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure("the bench makes network namespaces and interfaces: run it as root".to_owned()));
    }
    if args.install {
        install(&plan)?;
    }
    let stop = interrupted()?;
    let scratch = Scratch::new()?;
    let results = run::run(&plan, &scratch, &mut Progress::new(), &stop);
    let machine = report::Machine::here(&plan);
    let text = if args.json {
        report::json(&machine, &results)
    } else {
        report::tables(&machine, &results, terminal.out)
    };
    print(&text)?;
    if stop.load(Ordering::Relaxed) {
        return Err(Failure("interrupted: the figures are those measured until then".to_owned()));
    }
    let good = results.iter().all(run::Result::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Set by Ctrl-C or a request to end; what was measured until then is shown. A second one ends at once.
fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = runtime()?;
    let listen = move || {
        runtime.block_on(async {
            crate::lab::interrupted().await;
            told.store(true, Ordering::Relaxed);
            crate::lab::interrupted().await;
        });
        std::process::exit(i32::from(FAILED));
    };
    let spawned = std::thread::Builder::new().name("bench-signals".to_owned()).spawn(listen);
    spawned.map_err(|e| failed("no thread can be started", &e))?;
    Ok(stop)
}

/// Installs what chosen switches need, where it is missing.
fn install(plan: &Plan) -> Result<(), Failure> {
    let mut packages: Vec<&str> =
        plan.switches.iter().filter_map(|s| s.missing()).map(|needs| needs.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    // Its words are for people, and standard output may be for a program.
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--no-install-recommends"]).args(&packages).stdout(Stdio::null());
    match apt.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("apt-get has not installed {} ({status})", packages.join(", ")))),
        Err(e) => {
            let wanted = packages.join(", ");
            Err(failed(format!("apt-get can't be started; install {wanted} as this system does"), &e))
        }
    }
}

/// All that can be measured, and whether it is there.
fn listing(plan: &Plan, terminal: &Terminal) -> String {
    let mut scenarios = Table::new([Column::left("scenario"), Column::left("what is measured").flexible()]);
    for scenario in &plan.scenarios {
        scenarios.row([scenario.name.into(), scenario.title.into()]);
    }
    let columns = [Column::left("switch"), Column::left("what it is").flexible(), Column::left("")];
    let mut switches = Table::new(columns);
    for switch in &plan.switches {
        let missing = switch.missing().map(report::not_installed).unwrap_or_default();
        switches.row([switch.name.into(), switch.about.into(), missing.into()]);
    }
    format!("{}\n{}", scenarios.render(terminal.out), switches.render(terminal.out))
}
