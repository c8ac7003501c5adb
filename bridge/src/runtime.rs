//! Starts a switch: opens its ports, gives them to a worker thread, answers the control side.
//!
//! ```text
//! Handle --commands--> worker threads (each owns its ports, its memory and all tables)
//!   ^                     |
//!   +----- supervisor <-- events (device gone, link, loop)
//!   +--- dcbx <--+        (links, LLDP frames)
//! ```
//! Opening a device may block and may need privilege, so it happens here, on a blocking thread. A port whose device
//! vanishes is opened again when its interface is there again, or when its namespace is another one (a container that
//! was restarted); an interface that somebody deleted on purpose is not made anew behind his back.

mod commands;
mod reopen;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge_config::{self as config, Config, Io, Port as PortConfig};
use dcbridge_scheduler::{PortId, Rate, Time};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Mutex, oneshot};
use tracing::{debug, info, warn};

use crate::dcbx::{Agency, Identity, Output};
use crate::edge;
use crate::port::{self, OpenContext, Opened, ring};
use crate::port::{Link, OpenError};
use crate::state::{FdbEntry, Snapshot};
use crate::switch::crew::Crew;
use crate::switch::fdb::Learned;
use crate::switch::watchdog::Storm;
use crate::switch::{Finding, Setting, Switch};
use crate::worker::{Clock, Command, Event, Parts, Peers, Worker};
use commands::{Commands, Line};
use reopen::{Home, Lost};

/// How often it is looked whether anybody still holds the switch, and for lost devices.
const LOOK: Duration = Duration::from_secs(1);

/// Why a switch did not start or does not answer.
#[derive(Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

fn ended() -> Error {
    Error("the switch has ended".to_owned())
}

/// How a configured port is opened.
pub type Opener = dyn Fn(&PortConfig, &OpenContext) -> Result<Opened, OpenError> + Send + Sync;

/// The same with all that it has to know of the switch.
type PortOpener = dyn Fn(&PortConfig) -> Result<Opened, OpenError> + Send + Sync;

/// The workers' threads.
type Threads = Vec<JoinHandle<()>>;

/// A running switch.
#[derive(Clone)]
pub struct Handle {
    config: Arc<Config>,
    commands: Commands,
    threads: Arc<Mutex<Threads>>,
    notes: Arc<Vec<(String, String)>>,
    agency: Agency,
}

impl Handle {
    /// Starts a switch. Ports that can't be opened are an error that names the port and what to do.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn start(config: Config) -> Result<Handle, Error> {
        let restored = tokio::task::spawn_blocking(|| edge::restore_all(&edge::default_directory()));
        for left in restored.await.unwrap_or_default() {
            warn!(left, "what an earlier switch has changed on a host could not be undone");
        }
        Handle::start_with(config, Arc::new(port::open)).await
    }

    /// The same with another way to open ports: hosts inside this process, tests.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn start_with(config: Config, opener: Arc<Opener>) -> Result<Handle, Error> {
        if config.worker.io == Io::IoUring {
            ring::probe()
                .map_err(|why| Error(format!("{why}; `io = \"auto\"` under `[worker]` does without it")))?;
        }
        let context = OpenContext::new(&config);
        let opener: Arc<PortOpener> = Arc::new(move |port: &PortConfig| opener(port, &context));
        let config = Arc::new(config);
        let identity = Identity::of(&config);
        let (commands, threads, heard) = start_workers(&config, &identity)?;
        let agency = Agency::start(&config, identity, carry_out(Arc::clone(&config), commands.clone()));
        let mut homes = vec![None; config.ports.len()];
        let notes = open_all(&config, &opener, &commands, &mut homes).await?;
        let handle = Handle {
            config: Arc::clone(&config),
            commands: commands.clone(),
            threads: Arc::new(Mutex::new(threads)),
            notes: Arc::new(notes),
            agency: agency.clone(),
        };
        // Its commands end with the worker, which ends its events: so this task ends too.
        let weak = Arc::downgrade(&handle.threads);
        let lost = Lost { opener, commands: commands.clone(), homes: Arc::new(Mutex::new(homes)) };
        tokio::spawn(supervise(config, lost, commands, heard, agency, weak));
        Ok(handle)
    }

    /// The configuration it runs.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What a person should know about how ports were opened: (port, sentence).
    pub fn notes(&self) -> &[(String, String)] {
        &self.notes
    }

    /// All counters of one moment, and what LLDP and DCBX know then.
    ///
    /// # Errors
    /// When the worker has ended.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut snapshot = self.commands.snapshot().await?;
        for (port, lldp) in snapshot.ports.iter_mut().zip(self.agency.state().await) {
            port.lldp = lldp;
        }
        Ok(snapshot)
    }

    /// The forwarding database, sorted by VLAN and address. That is done here: it takes longer than the data path may
    /// stand still.
    ///
    /// # Errors
    /// When the worker has ended.
    pub async fn fdb(&self) -> Result<Vec<FdbEntry>, Error> {
        let mut learned = self.commands.fdb().await?;
        learned.sort_unstable_by_key(|e| (e.vid, e.mac));
        let entry = |e: Learned| FdbEntry {
            mac: e.mac.map(|b| format!("{b:02x}")).join(":"),
            vlan: e.vid,
            port: self.config.ports[e.port.index()].name.clone(),
            is_static: e.is_static,
            age_seconds: e.age.as_nanos() / 1_000_000_000,
        };
        Ok(learned.into_iter().map(entry).collect())
    }

    /// Ends the worker: neighbours are told, what is queued is sent while that takes no longer than a moment, the rest is
    /// counted. Answers the last snapshot.
    ///
    /// # Errors
    /// When the worker has ended already.
    pub async fn stop(&self) -> Result<Snapshot, Error> {
        self.agency.goodbye().await;
        let last = self.commands.stop().await?;
        for thread in std::mem::take(&mut *self.threads.lock().await) {
            if let Ok(Err(_)) = tokio::task::spawn_blocking(move || thread.join()).await {
                return Err(Error("the worker ended by a panic: please report this".to_owned()));
            }
        }
        Ok(last)
    }
}

/// Starts the workers' threads.
fn start_workers(
    config: &Arc<Config>,
    identity: &Identity,
) -> Result<(Commands, Threads, UnboundedReceiver<Event>), Error> {
    let crew = Crew::of(config);
    let descriptor = |_| EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let wakes: Result<Vec<_>, _> = (0..crew.members()).map(descriptor).collect();
    let wakes = wakes.map_err(|e| Error(format!("no event descriptor: {e}")))?;
    let wakes: Vec<_> = wakes.into_iter().map(Arc::new).collect();
    let burst = Time::from_micros(u64::from(config.bridge.stall_budget_us));
    let seed = RandomState::new().hash_one(0);
    let setting = Setting { seed, identity: identity.number, burst };
    let (events, heard) = unbounded_channel();
    let began = Instant::now();
    let (mut lines, mut threads) = (Vec::new(), Vec::new());
    for (number, (arena, peers)) in crew.arenas().into_iter().zip(Peers::join(&wakes)).enumerate() {
        let (queue, commands) = mpsc::channel();
        let wake = Arc::clone(&wakes[number]);
        let line_rates = config.ports.iter().map(|p| p.line_rate.map(|r| Rate::from_bits_per_second(r.0)));
        let parts = Parts {
            switch: Switch::member(config, &arena, setting, &crew, number),
            arena,
            line_rates: line_rates.collect(),
            lossless: config.traffic_classes.iter().any(|c| c.lossless),
            burst,
            poll: config.worker.poll,
            wake: Arc::clone(&wake),
            commands,
            events: events.clone(),
            peers,
            clock: Clock::Real(began),
        };
        threads.push(start_worker(config, number, crew.members(), parts)?);
        lines.push(Line { queue, wake });
    }
    Ok((Commands::new(lines, crew), threads, heard))
}

fn start_worker(config: &Config, number: usize, of: usize, parts: Parts) -> Result<JoinHandle<()>, Error> {
    let config::Worker { io, scheduling, ref cpus, .. } = config.worker;
    let cpu = cpus.get(number).copied();
    let mut worker = Worker::new(parts).map_err(|e| Error(format!("no epoll descriptor: {e}")))?;
    let name = if of == 1 { "dcbridge-worker".to_owned() } else { format!("dcbridge-work{number}") };
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        for missing in worker.settle_in(io, scheduling, cpu) {
            warn!("{missing}");
        }
        worker.run();
    });
    thread.map_err(|e| Error(format!("no thread for the worker: {e}")))
}

/// Takes to the worker what the agents want.
fn carry_out(config: Arc<Config>, commands: Commands) -> impl Fn(Output) {
    move |output| {
        let (port, command) = match output {
            Output::Send(port, frame) => (port, Command::Originate(port, frame)),
            Output::Neighbors(port, macs) => (port, Command::Neighbors(port, macs)),
            Output::Operate(port, operation) => {
                let (answer, answered) = oneshot::channel();
                let (name, asked) = (config.ports[port.index()].name.clone(), Instant::now());
                tokio::spawn(async move {
                    if answered.await.is_ok() {
                        debug!(port = name, after = ?asked.elapsed(), "the scheduler has what DCBX settled");
                    }
                });
                (port, Command::Operate(port, operation, answer))
            }
        };
        // A worker that has ended needs to know nothing more.
        let _ = commands.send(port, command);
    }
}

/// Opens all ports and hands them to the worker; answers what there is to say about them.
async fn open_all(
    config: &Arc<Config>,
    opener: &Arc<PortOpener>,
    commands: &Commands,
    homes: &mut [Option<Home>],
) -> Result<Vec<(String, String)>, Error> {
    let mut notes = Vec::new();
    for (index, port) in config.ports.iter().enumerate() {
        let (opened, home) =
            reopen::open(port, opener).await.map_err(|e| Error(format!("port {}: {e}", port.name)))?;
        homes[index] = home;
        notes.extend(opened.notes.into_iter().map(|note| (port.name.clone(), note)));
        let id = PortId(index as u16);
        commands.send(id, Command::Attach(id, opened.port))?;
    }
    Ok(notes)
}

/// Hears what the worker tells, until it ends or nobody holds the switch any more.
async fn supervise(
    config: Arc<Config>,
    lost: Lost,
    commands: Commands,
    mut heard: UnboundedReceiver<Event>,
    agency: Agency,
    alive: std::sync::Weak<Mutex<Threads>>,
) {
    let mut watch = tokio::time::interval(LOOK);
    loop {
        let event = tokio::select! {
            event = heard.recv() => event,
            _ = watch.tick() => {
                if alive.strong_count() > 0 {
                    continue;
                }
                // The last handle is gone without `stop`: nobody can ask any more.
                agency.goodbye().await;
                let _ = commands.stop().await;
                return;
            }
        };
        let Some(event) = event else { return };
        let port = |id: PortId| &config.ports[id.index()];
        match event {
            Event::Closed(id, reason) => {
                let port = port(id);
                warn!(port = port.name, reason, "the device is gone; the port is down until it is back");
                agency.link(id, false);
                tokio::spawn(lost.clone().reopen(id, port.clone()));
            }
            Event::Link(id, Link::Up) => {
                info!(port = port(id).name, "link up");
                agency.link(id, true);
            }
            Event::Link(id, Link::Down(reason)) => {
                info!(port = port(id).name, reason, "link down");
                agency.link(id, false);
            }
            Event::Lldp(frame) => agency.frame(frame),
            Event::ShortOfHeadroom { port: id, has, wants } => warn!(
                port = port(id).name,
                "headroom for {:.1} of the {:.1} MB that the host may send, in the shortest frames, when it is paused as late as \
                 can be: raise `buffer`, lower `line_rate`, or set the port's `headroom` if less is enough",
                has as f64 / 1e6,
                wants as f64 / 1e6
            ),
            Event::Loop(Finding::Held { held, from, by }) => warn!(
                port = port(held).name,
                "loop: what {} sent came back by {}; {} is held until the loop is gone",
                port(from).name,
                port(by).name,
                port(held).name
            ),
            Event::Storm(Storm { port: id, priority, began: true }) => warn!(
                port = port(id).name,
                priority = priority.get(),
                "PFC storm: the peer has paused this priority for the detection time while frames wait"
            ),
            Event::Storm(Storm { port: id, priority, began: false }) => {
                info!(port = port(id).name, priority = priority.get(), "the PFC storm is over");
            }
            Event::Loop(Finding::Released(id)) => {
                info!(port = port(id).name, "the loop is gone, the port passes frames again");
            }
        }
    }
}
