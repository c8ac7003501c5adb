//! `dcbridge show`: asks a running switch through its control socket and prints what it says.
//!
//! The rooms beside this one turn snapshots into text and ask nobody.

mod dcbx;
mod flow;
mod lldp;
mod overview;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::terminal::{Terminal, print};
use super::{Failure, Outcome};
use crate::control::Client;
use crate::control::client::Error;
use crate::state::Snapshot;

pub(super) use tables::{drops as drop_table, port_state, priority_list};

/// Where switches have their sockets unless their configuration says otherwise.
const SOCKETS: &str = "/run/dcbridge";
/// The name a switch has unless its configuration says otherwise.
const DEFAULT_NAME: &str = "br0";
/// Between the two snapshots of which a rate is the difference.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// Between two pictures of `--watch`.
const REFRESH: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  dcbridge show                        the overview: ports, rates, shares, drops
  dcbridge show classes --watch        the traffic classes, every second, until Ctrl-C
  dcbridge show drops --name br1       of the switch named br1
  dcbridge show dcbx eth1              what port eth1 and its peer say, what holds, and why
  dcbridge show ports --json | jq '.[] | select(.up | not) | .name'

Exit codes: 0 shown, 1 no switch answers, 2 wrong usage.";

/// Show the state of a running switch
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to show; without it, an overview
    #[arg(value_enum)]
    what: Option<What>,
    /// Port to show, in full; for lldp and dcbx
    #[arg(value_name = "PORT")]
    port: Option<String>,
    /// Print the control API's JSON
    #[arg(long)]
    json: bool,
    /// Control socket of the switch
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Name of the switch, for the socket /run/dcbridge/NAME.sock; not needed while only one runs
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    name: Option<String>,
    /// Show it again every second until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Ports: state, line rate, MTU, counters
    Ports,
    /// Traffic classes at each port: rate, target and measured share, drops
    Classes,
    /// The forwarding database
    Fdb,
    /// What was dropped and why
    Drops,
    /// Queues: depth, peak, pauses
    Queues,
    /// Lossless classes: gates, headroom, PFC frames, watchdog
    Pfc,
    /// LLDP neighbours
    Lldp,
    /// DCBX: what each port and its peer say, what holds, and why
    Dcbx,
}

impl What {
    fn path(what: Option<What>) -> &'static str {
        match what {
            None | Some(What::Pfc) => "/v1/state",
            Some(What::Ports) => "/v1/ports",
            Some(What::Classes) => "/v1/classes",
            Some(What::Fdb) => "/v1/fdb",
            Some(What::Drops) => "/v1/drops",
            Some(What::Queues) => "/v1/queues",
            Some(What::Lldp) => "/v1/lldp",
            Some(What::Dcbx) => "/v1/dcbx",
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// When no switch answers.
pub fn run(args: &Args, terminal: &Terminal) -> Outcome {
    if args.port.is_some() && !matches!(args.what, Some(What::Lldp | What::Dcbx)) {
        return Err(Failure("only `show lldp` and `show dcbx` take a port".to_owned()));
    }
    super::runtime()?.block_on(async {
        let client = Client::new(&socket(args, Path::new(SOCKETS))?);
        if args.json {
            let body = client.get(What::path(args.what)).await?;
            print(&json(&body, args.port.as_deref())?)?;
        } else if args.watch {
            tokio::select! {
                failed = watch(args, &client, terminal) => failed?,
                _ = tokio::signal::ctrl_c() => print("\n")?,
            }
        } else {
            print(&Picture::new(args).once(&client, terminal).await?)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The API's answer, or the row of one port.
fn json(body: &[u8], port: Option<&str>) -> Result<String, Failure> {
    let Some(port) = port else { return Ok(String::from_utf8_lossy(body).into_owned()) };
    let rows: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
    let row = rows.into_iter().find(|row| row["port"] == port);
    let row = row.ok_or_else(|| Failure(format!("port {port:?} is not there, or has it turned off")))?;
    Ok(format!("{row:#}\n"))
}

async fn watch(args: &Args, client: &Client, terminal: &Terminal) -> Result<(), Failure> {
    let mut picture = Picture::new(args);
    let mut text = picture.once(client, terminal).await?;
    loop {
        if terminal.interactive {
            // Home, the picture, then whatever the last one left below it: no flicker.
            let picture = terminal.fit(&text).replace('\n', "\x1b[K\n");
            print(&format!("\x1b[H{picture}\x1b[J"))?;
        } else {
            print(&format!("{text}\n"))?;
        }
        tokio::time::sleep(REFRESH).await;
        text = picture.next(client, terminal).await?;
    }
}

/// What is shown, and the snapshot against which the next one's rates are measured.
struct Picture {
    what: Option<What>,
    port: Option<String>,
    earlier: Option<Snapshot>,
}

impl Picture {
    fn new(args: &Args) -> Picture {
        Picture { what: args.what, port: args.port.clone(), earlier: None }
    }

    fn has_rates(&self) -> bool {
        matches!(self.what, None | Some(What::Classes))
    }

    /// The first picture: takes the window in which rates are measured.
    async fn once(&mut self, client: &Client, terminal: &Terminal) -> Result<String, Error> {
        if self.has_rates() {
            self.earlier = Some(client.state().await?);
            tokio::time::sleep(RATE_WINDOW).await;
        }
        self.next(client, terminal).await
    }

    async fn next(&mut self, client: &Client, terminal: &Terminal) -> Result<String, Error> {
        let now = client.state().await?;
        let canvas = terminal.out;
        let text = match self.what {
            None => overview::overview(self.earlier.as_ref().unwrap_or(&now), &now, canvas),
            Some(What::Classes) => tables::classes(self.earlier.as_ref().unwrap_or(&now), &now, canvas),
            Some(What::Ports) => tables::ports(&now, canvas),
            Some(What::Queues) => tables::queues(&now, canvas),
            Some(What::Drops) => tables::drops_of(&now, canvas),
            Some(What::Pfc) => flow::flow(&now, canvas),
            Some(What::Lldp) => lldp::lldp(&now, self.port.as_deref(), canvas),
            Some(What::Dcbx) => dcbx::dcbx(&now, self.port.as_deref(), canvas),
            Some(What::Fdb) => tables::fdb(&client.fdb().await?, canvas),
        };
        self.earlier = Some(now);
        Ok(text)
    }
}

/// Where a switch has its socket unless its configuration says otherwise.
pub(super) fn default_socket(name: &str) -> PathBuf {
    socket_in(Path::new(SOCKETS), name)
}

fn socket_in(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.sock"))
}

/// The socket to ask at: the one named, or that of the only switch that runs.
fn socket(args: &Args, directory: &Path) -> Result<PathBuf, Failure> {
    if let Some(socket) = &args.socket {
        return Ok(socket.clone());
    }
    if let Some(name) = &args.name {
        return Ok(socket_in(directory, name));
    }
    match running(directory).as_slice() {
        [] => Ok(socket_in(directory, DEFAULT_NAME)),
        [only] => Ok(socket_in(directory, only)),
        several => Err(Failure(format!(
            "several switches run: {}; say which one with `--name {}`",
            several.join(", "),
            several[0]
        ))),
    }
}

/// Names of the switches whose sockets somebody listens at, sorted. One that we may not connect to counts as well.
fn running(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let sockets = files.filter(|path| path.extension().is_some_and(|extension| extension == "sock"));
    let alive = sockets.filter(|path| match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    });
    let mut names: Vec<String> =
        alive.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}
