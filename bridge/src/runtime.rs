//! Starts a switch: opens its ports, gives them to a worker thread, answers the control side.
//!
//! ```text
//! Handle --commands--> worker thread (owns switch, memory, ports)
//!   ^                     |
//!   +----- supervisor <-- events (device gone, link, loop)
//!   +--- dcbx <--+        (links, LLDP frames)
//! ```
//! Opening a device may block and may need privilege, so it happens here, on a blocking thread. A port whose device
//! vanishes is opened again when its interface is there again, or when its namespace is another one (a container that
//! was restarted); an interface that somebody deleted on purpose is not made anew behind his back.

mod reopen;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge_config::{Config, Io, Port as PortConfig};
use dcbridge_scheduler::{PortId, Rate, Time};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Mutex, oneshot};
use tracing::{debug, info, warn};

use crate::arena::Arena;
use crate::dcbx::{Agency, Identity, Output};
use crate::edge;
use crate::port::{self, OpenContext, Opened, ring};
use crate::port::{Link, OpenError};
use crate::state::{FdbEntry, Snapshot};
use crate::switch::watchdog::Storm;
use crate::switch::{Finding, Setting, Switch};
use crate::worker::{Command, Event, Parts, Worker};
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

/// A running switch.
#[derive(Clone)]
pub struct Handle {
    config: Arc<Config>,
    commands: Commands,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    notes: Arc<Vec<(String, String)>>,
    agency: Agency,
}

/// Where commands go.
#[derive(Clone)]
struct Commands {
    queue: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
}

impl Commands {
    fn send(&self, command: Command) -> Result<(), Error> {
        self.queue.send(command).map_err(|_| ended())?;
        // The only failure of this write is a counter that is full: then the worker will wake anyway.
        let _ = self.wake.write(1);
        Ok(())
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer))?;
        answered.await.map_err(|_| ended())
    }
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
        let (queue, commands) = mpsc::channel();
        let (events, heard) = unbounded_channel();
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|e| Error(format!("no event descriptor: {e}")))?;
        let wake = Arc::new(wake);
        let burst = Time::from_micros(u64::from(config.bridge.stall_budget_us));
        let arena = Arena::new(config.bridge.buffer_bytes);
        let identity = Identity::of(&config);
        let seed = RandomState::new().hash_one(0);
        let switch = Switch::new(&config, &arena, Setting { seed, identity: identity.number, burst });
        let line_rates = config.ports.iter().map(|p| p.line_rate.map(|r| Rate::from_bits_per_second(r.0)));
        let parts = Parts {
            switch,
            arena,
            line_rates: line_rates.collect(),
            lossless: config.traffic_classes.iter().any(|c| c.lossless),
            burst,
            poll: config.worker.poll,
            wake: Arc::clone(&wake),
            commands,
            events,
        };
        let mut worker = Worker::new(parts).map_err(|e| Error(format!("no epoll descriptor: {e}")))?;
        let settings = config.worker;
        let thread = std::thread::Builder::new()
            .name("dcbridge-worker".to_owned())
            .spawn(move || {
                for missing in worker.settle_in(settings) {
                    warn!("{missing}");
                }
                worker.run();
            })
            .map_err(|e| Error(format!("no thread for the worker: {e}")))?;
        let commands = Commands { queue, wake };
        let agency = Agency::start(&config, identity, carry_out(Arc::clone(&config), commands.clone()));
        let mut homes = vec![None; config.ports.len()];
        let notes = open_all(&config, &opener, &commands, &mut homes).await?;
        let handle = Handle {
            config: Arc::clone(&config),
            commands: commands.clone(),
            thread: Arc::new(Mutex::new(Some(thread))),
            notes: Arc::new(notes),
            agency: agency.clone(),
        };
        // Its commands end with the worker, which ends its events: so this task ends too.
        let weak = Arc::downgrade(&handle.thread);
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
        let mut snapshot = self.commands.ask(Command::Snapshot).await?;
        for (port, lldp) in snapshot.ports.iter_mut().zip(self.agency.state().await) {
            port.lldp = lldp;
        }
        Ok(snapshot)
    }

    /// The forwarding database.
    ///
    /// # Errors
    /// When the worker has ended.
    pub async fn fdb(&self) -> Result<Vec<FdbEntry>, Error> {
        self.commands.ask(Command::Fdb).await
    }

    /// Ends the worker: neighbours are told, what is queued is sent while that takes no longer than a moment, the rest is
    /// counted. Answers the last snapshot.
    ///
    /// # Errors
    /// When the worker has ended already.
    pub async fn stop(&self) -> Result<Snapshot, Error> {
        self.agency.goodbye().await;
        let last = self.commands.ask(Command::Stop).await?;
        if let Some(thread) = self.thread.lock().await.take()
            && let Ok(Err(_)) = tokio::task::spawn_blocking(move || thread.join()).await
        {
            return Err(Error("the worker ended by a panic: please report this".to_owned()));
        }
        Ok(last)
    }
}

/// Takes to the worker what the agents want.
fn carry_out(config: Arc<Config>, commands: Commands) -> impl Fn(Output) {
    move |output| {
        let command = match output {
            Output::Send(port, frame) => Command::Originate(port, frame),
            Output::Neighbors(port, macs) => Command::Neighbors(port, macs),
            Output::Operate(port, operation) => {
                let (answer, answered) = oneshot::channel();
                let (name, asked) = (config.ports[port.index()].name.clone(), Instant::now());
                tokio::spawn(async move {
                    if answered.await.is_ok() {
                        debug!(port = name, after = ?asked.elapsed(), "the scheduler has what DCBX settled");
                    }
                });
                Command::Operate(port, operation, answer)
            }
        };
        // A worker that has ended needs to know nothing more.
        let _ = commands.send(command);
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
        commands.send(Command::Attach(PortId(index as u16), opened.port))?;
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
    alive: std::sync::Weak<Mutex<Option<JoinHandle<()>>>>,
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
                let _ = commands.ask(Command::Stop).await;
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
