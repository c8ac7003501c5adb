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
//! A scenario (`ets`, `lossless`) holds these together. `hosts`, `traffic`, `generator` and `measure` know nothing of scenarios and
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
mod lossless;
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
pub(crate) use report::{digits, json};

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
    match args.scenario() {
        Scenario::Ets(args) => {
            let chosen = mode::enter(args.mode)?;
            let mut viewer = Viewer::new(&args, terminal);
            let report =
                runtime()?.block_on(async { ets::run(&args, &chosen, &mut viewer, interrupted()).await })?;
            tell(report.map(|report| (report.passed, json(&report))), args.json)
        }
        Scenario::Lossless(args) => {
            let chosen = mode::enter(args.mode)?;
            let mut stage = Stage::new(terminal, args.json);
            let report = runtime()?
                .block_on(async { lossless::run(&args, &chosen, &mut stage, interrupted()).await })?;
            tell(report.map(|report| (report.passed, json(&report))), args.json)
        }
    }
}

/// Prints the result as JSON if that is wanted, and makes an exit code of it.
fn tell(report: Option<(bool, String)>, json: bool) -> Outcome {
    let Some((passed, text)) = report else {
        return Err(Failure("interrupted before anything was measured".to_owned()));
    };
    if json {
        print(&format!("{text}\n"))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Ctrl-C, or a request to end.
pub(crate) async fn interrupted() {
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

/// Where a run is shown: on the terminal, redrawn; in a pipe only its beginning and its end; with `--json` nowhere.
struct Stage {
    canvas: Canvas,
    live: bool,
    json: bool,
    screen: view::Screen,
}

impl Stage {
    fn new(terminal: &Terminal, json: bool) -> Stage {
        let live = terminal.interactive && !json;
        Stage { canvas: terminal.out, live, json, screen: view::Screen::default() }
    }

    /// Before the first sample.
    fn open(&self, text: &str, seconds: u64) {
        self.print(text);
        if !self.live && io::stderr().is_terminal() {
            eprintln!("measuring for {seconds} s ...");
        }
    }

    fn print(&self, text: &str) {
        if !self.json {
            // Output that can't be written is no reason to stop measuring: the exit code still says the result.
            let _ = print(text);
        }
    }

    fn redraw(&mut self, text: &str) {
        if self.live {
            // As in `print`.
            let _ = self.screen.draw(&mut io::stdout(), text);
        }
    }

    /// After the last sample.
    fn close(&mut self, text: &str) {
        if self.live { self.redraw(text) } else { self.print(text) }
    }
}

/// Shows a run of `ets`.
struct Viewer {
    stage: Stage,
    whole: Duration,
    rate_bps: u64,
}

impl Viewer {
    fn new(args: &EtsArgs, terminal: &Terminal) -> Viewer {
        Viewer {
            stage: Stage::new(terminal, args.json),
            whole: Duration::from_secs(args.seconds),
            rate_bps: args.rate.0,
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
        let [hosts, traffic] = about.map(|line| self.stage.canvas.paint(&line, Tone::Dim));
        self.stage.open(&format!("\n{picture}\n{hosts}\n{traffic}\n\n"), args.seconds);
    }

    fn sample(&mut self, plan: &[ClassPlan], series: &Series, warm_up: Duration) {
        let (true, Some((from, to))) = (self.stage.live, series.recent()) else { return };
        let table = view::table(plan, &rates(plan, self.rate_bps, from, to), to, self.stage.canvas);
        let progress = view::progress(to.at, warm_up, self.whole, self.stage.canvas);
        self.stage.redraw(&format!("{table}\n{progress}"));
    }

    fn end(&mut self, plan: &[ClassPlan], window: (&Sample, &Sample), end: &Sample, report: &Report) {
        // Drops from start to end, as in the report; the queues as they were under load.
        let mut shown = end.clone();
        for (class, loaded) in shown.classes.iter_mut().zip(&window.1.classes) {
            class.queued_bytes = loaded.queued_bytes;
        }
        let canvas = self.stage.canvas;
        let table = view::table(plan, &rates(plan, self.rate_bps, window.0, window.1), &shown, canvas);
        self.stage.close(&format!("{table}\n{}", view::verdict(report, canvas)));
    }
}
