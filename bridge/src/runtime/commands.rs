//! Where commands go: each to the worker that owns the port it is about, or to all.

use std::sync::Arc;
use std::sync::mpsc;

use dcbridge_scheduler::PortId;
use futures_util::future::try_join_all;
use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot;

use super::{Error, ended};
use crate::state::Snapshot;
use crate::switch::crew::Crew;
use crate::switch::fdb::Learned;
use crate::worker::Command;

/// The way to one worker.
#[derive(Clone)]
pub(super) struct Line {
    /// Its commands.
    pub(super) queue: mpsc::Sender<Command>,
    /// What wakes it.
    pub(super) wake: Arc<EventFd>,
}

impl Line {
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

/// The ways to all workers of a switch.
#[derive(Clone)]
pub(super) struct Commands {
    lines: Arc<[Line]>,
    crew: Crew,
}

impl Commands {
    pub(super) fn new(lines: Vec<Line>, crew: Crew) -> Commands {
        Commands { lines: lines.into(), crew }
    }

    /// Sends a command about a port to its owner.
    pub(super) fn send(&self, port: PortId, command: Command) -> Result<(), Error> {
        self.lines[self.crew.owner(port)].send(command)
    }

    /// Asks every worker; answers in their order.
    async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Result<Vec<T>, Error> {
        try_join_all(self.lines.iter().map(|line| line.ask(&command))).await
    }

    /// All counters.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.merge(self.ask(Command::Snapshot).await?))
    }

    /// The forwarding database, in no order.
    pub(super) async fn fdb(&self) -> Result<Vec<Learned>, Error> {
        Ok(self.ask(Command::Fdb).await?.concat())
    }

    /// Ends all workers, none before the last one has stopped receiving: so all that one hands to another is counted.
    pub(super) async fn stop(&self) -> Result<Snapshot, Error> {
        self.ask(Command::Farewell).await?;
        Ok(self.merge(self.ask(Command::Stop).await?))
    }

    fn merge(&self, parts: Vec<Snapshot>) -> Snapshot {
        Snapshot::merged(parts, |place| self.crew.owner(PortId(place as u16)))
    }
}
