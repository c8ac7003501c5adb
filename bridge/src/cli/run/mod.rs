//! `dcbridge run`: a switch from its configuration to its end.
//!
//! ```text
//!   file -> check -> control socket, metrics listener -> ports and worker -> serve ... signal -> stop -> summary
//! ```
//! The addresses are taken first: a second start of the same switch fails before it touches an interface.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use dcbridge_config::Config;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::terminal::{Terminal, print};
use super::{FAILED, Failure, Outcome, check};
use crate::control::server::{Limits, serve};
use crate::control::socket::{ControlSocket, bind_tcp};
use crate::control::{Service, router};
use crate::runtime::Handle;

const EXAMPLES: &str = "\
Examples:
  dcbridge run br0.toml
  dcbridge --log debug run br0.toml
  dcbridge run br0.toml &  then  dcbridge show

SIGINT (Ctrl-C) or SIGTERM ends the switch: what is queued is sent or counted, and a summary is printed. A second \
                        signal ends it at once.

Exit codes: 0 ended by a signal, 1 it did not start or ended by itself, 2 wrong usage.";

/// Run a switch until a signal ends it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration in TOML (`dcbridge check FILE` says whether it is right); `-` reads standard input
    file: PathBuf,
}

/// Runs the subcommand.
///
/// # Errors
/// When the switch can't be started, or ends by itself.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    let checked = check::read(&args.file)?;
    eprint_findings(&checked.rendered(terminal.err.color));
    let Some(config) = checked.config else {
        return Ok(ExitCode::from(FAILED));
    };
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(run_switch(config, terminal));
    // After a second signal nothing may be waited for.
    runtime.shutdown_background();
    outcome
}

fn eprint_findings(text: &str) {
    use std::io::Write as _;
    // With standard error gone there is nobody left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

async fn run_switch(config: Config, terminal: &Terminal) -> Outcome {
    // Before anything that must be undone: from here on no signal kills the process half-way.
    let mut signals = Signals::new()?;
    let (socket, listeners) = take_addresses(&config).await?;
    let handle = tokio::select! {
        handle = Handle::start(config.clone()) => handle?,
        name = signals.next() => return Err(Failure(format!("{name} before the switch had started"))),
    };
    let served = serve_until_signal(&handle, socket.path(), listeners, &mut signals, terminal).await;
    // Whatever ended it, what is queued gets its chance.
    let last = tokio::select! {
        last = handle.stop() => last,
        name = signals.next() => {
            return Err(Failure(format!("{name} again: ended at once, what was queued is not counted")));
        }
    };
    drop(socket);
    served?;
    print(&report::summary(&last?, terminal.out))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the switch is asked. Two switches can't have the same.
struct Listeners {
    unix: UnixListener,
    tcp: Option<TcpListener>,
}

async fn take_addresses(config: &Config) -> Result<(ControlSocket, Listeners), String> {
    let (socket, unix) = ControlSocket::bind(&config.bridge.control_socket).await?;
    let tcp = match config.metrics.listen {
        Some(address) => Some(bind_tcp(address).await?),
        None => None,
    };
    Ok((socket, Listeners { unix, tcp }))
}

/// Answers until a signal comes. An error is why the switch ended without one.
async fn serve_until_signal(
    handle: &Handle,
    socket: &Path,
    listeners: Listeners,
    signals: &mut Signals,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let Listeners { unix, tcp } = listeners;
    let metrics = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    let service = Service::new(handle.clone());
    let api = router(Arc::clone(&service));
    // Ended with this function.
    let mut servers = JoinSet::new();
    servers.spawn(serve(unix, api.clone(), Limits::default()));
    if let Some(tcp) = tcp {
        servers.spawn(serve(tcp, api, Limits::default()));
    }
    let first = service.snapshot().await?;
    let banner = report::Banner { config: handle.config(), notes: handle.notes(), socket, metrics };
    print(&banner.text(&first, terminal.out))?;
    tokio::select! {
        name = signals.next() => {
            tracing::info!("{name}: ending; a second signal ends at once");
            Ok(())
        }
        error = service.measure_shares() => Err(Failure(format!("the switch ended by itself: {error}"))),
    }
}

/// The signals that end a switch.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure(format!("can't wait for signals: {error}")));
        Ok(Signals { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Waits for the next one and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
