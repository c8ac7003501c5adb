//! The task that gives the agents time, frames and links, and carries what they say to the worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge_config::Config;
use dcbridge_scheduler::PortId;
use lldp_dcbx::Time;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::agents::{Agents, Output};
use super::local::Identity;
use crate::state::lldp::PortLldp;

/// A received LLDP frame on its way from the worker. As long as it exists, it counts against what the worker may hand
/// over.
#[derive(Debug)]
pub struct Frame {
    /// Where it came in.
    pub port: PortId,
    /// All of it, without FCS.
    pub bytes: Box<[u8]>,
    /// One of a bounded number.
    pub held: Arc<()>,
}

enum Input {
    Frame(Frame),
    Link(PortId, bool),
    State(oneshot::Sender<Vec<Option<PortLldp>>>),
    Goodbye(oneshot::Sender<()>),
}

/// Where the rest of the program meets the agents.
#[derive(Clone)]
pub struct Agency(UnboundedSender<Input>);

impl Agency {
    /// Starts the task; `tell` carries out what comes of it, in order. It ends when nobody holds the agency any more.
    pub fn start(config: &Arc<Config>, identity: Identity, tell: impl Fn(Output) + Send + 'static) -> Agency {
        let (inputs, heard) = unbounded_channel();
        tokio::spawn(run(Arc::clone(config), identity, heard, tell));
        Agency(inputs)
    }

    /// An LLDP frame came.
    pub fn frame(&self, frame: Frame) {
        self.send(Input::Frame(frame));
    }

    /// The link of a port came up or went down.
    pub fn link(&self, port: PortId, up: bool) {
        self.send(Input::Link(port, up));
    }

    /// What there is to see, by port.
    pub async fn state(&self) -> Vec<Option<PortLldp>> {
        let (answer, answered) = oneshot::channel();
        self.send(Input::State(answer));
        answered.await.unwrap_or_default()
    }

    /// Sends the last frame of every agent. When it returns, the worker has been told.
    pub async fn goodbye(&self) {
        let (answer, answered) = oneshot::channel();
        self.send(Input::Goodbye(answer));
        let _ = answered.await;
    }

    fn send(&self, input: Input) {
        // Without the task there is nobody to tell.
        let _ = self.0.send(input);
    }
}

async fn run(
    config: Arc<Config>,
    identity: Identity,
    mut heard: UnboundedReceiver<Input>,
    tell: impl Fn(Output),
) {
    let began = Instant::now();
    let now = || Time::from_nanos(began.elapsed().as_nanos() as u64);
    let mut agents = Agents::new(&config, identity, now());
    loop {
        while let Some(output) = agents.poll() {
            tell(output);
        }
        let input = tokio::select! {
            input = heard.recv() => input,
            () = due(agents.next_wake(), now()) => {
                agents.timeout(now());
                continue;
            }
        };
        match input {
            None => return,
            Some(Input::Frame(frame)) => agents.frame(frame.port, &frame.bytes, now()),
            Some(Input::Link(port, up)) => agents.link(port, up, now()),
            Some(Input::State(answer)) => {
                let ports = 0..config.ports.len() as u16;
                let _ = answer.send(ports.map(|port| agents.state(PortId(port), now())).collect());
            }
            Some(Input::Goodbye(answer)) => {
                agents.shutdown(now());
                while let Some(output) = agents.poll() {
                    tell(output);
                }
                let _ = answer.send(());
            }
        }
    }
}

/// Waits until something is due.
async fn due(wake: Option<Time>, now: Time) {
    match wake {
        // Timers of the runtime have milliseconds; a little late is never early.
        Some(wake) => tokio::time::sleep(wake.saturating_since(now) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}
