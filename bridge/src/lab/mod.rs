//! `dcbridge lab`: hosts, a switch and traffic in one command, measured and judged.
//!
//! ```text
//!   args -> mode        where the hosts can live on this machine
//!        -> plan        what each class is offered, what it must get
//!        -> topology    the switch's configuration, the flows
//!        -> fleet       the hosts (hosts + traffic: namespaces and kernel sockets; inprocess: a stack of our own)
//!        -> generator   paces senders, runs receivers
//!        -> measure     samples -> rates and shares
//!        -> report      verdict, JSON       view: what people see
//! ```
//! A scenario (`ets`) holds these together. `hosts`, `traffic`, `generator` and `measure` know nothing of scenarios and
//! serve tests as well.
//!
//! What must not enter: anything that the switch itself needs to run.

pub mod args;
mod ets;
mod fleet;
pub mod frames;
pub mod generator;
pub mod hosts;
pub mod inprocess;
pub mod measure;
mod mode;
pub mod plan;
mod report;
mod topology;
pub mod traffic;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

pub use args::Args;

use args::{EtsArgs, Scenario};
use ets::Watch;
use measure::{Sample, Series, rates};
use mode::Chosen;
use plan::ClassPlan;
use report::Report;

use crate::cli::table::{Canvas, Tone};
use crate::cli::terminal::{Terminal, print};
use crate::cli::{FAILED, Failure, Outcome, runtime};

/// Runs `dcbridge lab` to its end. To be called before the process has a second thread (see `mode::enter`).
///
/// # Errors
/// When the lab can't run on this machine, or was interrupted before it had measured anything.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    let Scenario::Ets(args) = args.scenario();
    let chosen = mode::enter(args.mode)?;
    let mut viewer = Viewer::new(&args, terminal);
    let report = runtime()?.block_on(async { ets::run(&args, &chosen, &mut viewer, interrupted()).await })?;
    let Some(report) = report else {
        return Err(Failure("interrupted before anything was measured".to_owned()));
    };
    if args.json {
        print(&format!("{}\n", report::json(&report)))?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Ctrl-C, or a request to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        // Without handlers the signals simply end the process, and the kernel cleans up.
        Err(_) => std::future::pending().await,
    }
}

/// Shows a run on the terminal; in a pipe only its beginning and its end; with `--json` nothing.
struct Viewer {
    canvas: Canvas,
    live: bool,
    json: bool,
    whole: Duration,
    rate_bps: u64,
    screen: view::Screen,
}

impl Viewer {
    fn new(args: &EtsArgs, terminal: &Terminal) -> Viewer {
        Viewer {
            canvas: terminal.out,
            live: terminal.interactive && !args.json,
            json: args.json,
            whole: Duration::from_secs(args.seconds),
            rate_bps: args.rate.0,
            screen: view::Screen::default(),
        }
    }

    fn print(&self, text: &str) {
        if !self.json {
            // Output that can't be written is no reason to stop measuring: the exit code still says the result.
            let _ = print(text);
        }
    }
}

impl Watch for Viewer {
    fn begin(&mut self, senders: &[String], bridge: &str, args: &EtsArgs, mode: &Chosen) {
        let picture = view::picture(senders, bridge, args.rate.0, fleet::SINK);
        let about = [
            format!("hosts    {}: {}", mode.mode.name(), mode.reason),
            format!("traffic  each host offers every class to {}, UDP in {}", fleet::SINK, args.frame_size),
        ];
        let [hosts, traffic] = about.map(|line| self.canvas.paint(&line, Tone::Dim));
        self.print(&format!("\n{picture}\n{hosts}\n{traffic}\n\n"));
        if !self.live && io::stderr().is_terminal() {
            eprintln!("measuring for {} s ...", args.seconds);
        }
    }

    fn sample(&mut self, plan: &[ClassPlan], series: &Series, warm_up: Duration) {
        let (true, Some((from, to))) = (self.live, series.recent()) else { return };
        let table = view::table(plan, &rates(plan, self.rate_bps, from, to), to, self.canvas);
        let progress = view::progress(to.at, warm_up, self.whole, self.canvas);
        // As in `print`.
        let _ = self.screen.draw(&mut io::stdout(), &format!("{table}\n{progress}"));
    }

    fn end(&mut self, plan: &[ClassPlan], window: (&Sample, &Sample), end: &Sample, report: &Report) {
        // Drops from start to end, as in the report; the queues as they were under load.
        let mut shown = end.clone();
        for (class, loaded) in shown.classes.iter_mut().zip(&window.1.classes) {
            class.queued_bytes = loaded.queued_bytes;
        }
        let table = view::table(plan, &rates(plan, self.rate_bps, window.0, window.1), &shown, self.canvas);
        let text = format!("{table}\n{}", view::verdict(report, self.canvas));
        if self.live {
            // As in `print`.
            let _ = self.screen.draw(&mut io::stdout().lock(), &text);
        } else {
            self.print(&text);
        }
    }
}
