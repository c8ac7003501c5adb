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

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use args::{EtsArgs, LabArgs, Scenario};
use ets::Watch;
use measure::{Sample, Series, rates};
use mode::Chosen;
use plan::ClassPlan;
use report::Report;

use crate::cli::table::{Canvas, Tone};

/// The lab could not run, or was interrupted before it had measured anything (1 means: it ran and failed).
const COULD_NOT_RUN: u8 = 2;

/// Runs `dcbridge lab` to its end. To be called before the process has a second thread (see `mode::enter`).
pub fn run(args: LabArgs) -> ExitCode {
    let Scenario::Ets(args) = args.into_scenario();
    match run_ets(&args) {
        Ok(Some(report)) if report.passed => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::FAILURE,
        Ok(None) => {
            eprintln!("dcbridge lab: interrupted before anything was measured");
            ExitCode::from(COULD_NOT_RUN)
        }
        Err(message) => {
            eprintln!("dcbridge lab: {message}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn run_ets(args: &EtsArgs) -> Result<Option<Report>, String> {
    let chosen = mode::enter(args.mode)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("no runtime can be started: {e}"))?;
    let mut watch = Viewer::new(args);
    let report = runtime.block_on(async { ets::run(args, &chosen, &mut watch, interrupted()).await })?;
    if let (true, Some(report)) = (args.json, &report) {
        println!("{}", report::json(report));
    }
    Ok(report)
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

/// Shows a run on the terminal; in a pipe only the end of it; with `--json` nothing.
struct Viewer {
    canvas: Canvas,
    live: bool,
    json: bool,
    whole: Duration,
    rate_bps: u64,
    screen: view::Screen,
}

impl Viewer {
    fn new(args: &EtsArgs) -> Viewer {
        let terminal = io::stdout().is_terminal();
        Viewer {
            canvas: Canvas::PLAIN,
            live: terminal && !args.json,
            json: args.json,
            whole: Duration::from_secs(args.seconds),
            rate_bps: args.rate.0,
            screen: view::Screen::default(),
        }
    }

    /// A reader that went away (a closed pipe) is no reason to stop measuring: the exit code still says the result.
    fn print(&self, text: &str) {
        if !self.json {
            let _ = io::stdout().write_all(text.as_bytes());
        }
    }
}

impl Watch for Viewer {
    fn begin(&mut self, senders: &[String], bridge: &str, args: &EtsArgs, mode: &Chosen) {
        let picture = view::picture(senders, bridge, args.rate.0, fleet::SINK);
        let mode = format!("hosts: {} ({})", mode.mode.name(), mode.reason);
        let traffic = format!("each host offers every class, UDP in {}", args.frame_size);
        self.print(&format!(
            "\n{picture}\n{}\n{}\n\n",
            self.canvas.paint(&mode, Tone::Dim),
            self.canvas.paint(&traffic, Tone::Dim)
        ));
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
        let table = view::table(plan, &rates(plan, self.rate_bps, window.0, window.1), end, self.canvas);
        let text = format!("{table}\n{}", view::verdict(report, self.canvas));
        if self.live {
            let _ = self.screen.draw(&mut io::stdout(), &text);
        } else {
            self.print(&text);
        }
    }
}
