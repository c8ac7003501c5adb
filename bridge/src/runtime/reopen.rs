//! Opening ports, and opening them again when their device was lost.
//!
//! What must not enter: what a port is (`port::open`), what the switch makes of it (the worker).

use std::sync::Arc;

use dcbridge_config::{Port as PortConfig, PortKind};
use dcbridge_scheduler::PortId;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{Commands, Error, LOOK, PortOpener};
use crate::net::{Links, Netns, NetnsRef, in_netns};
use crate::port::Opened;
use crate::worker::Command;

/// The namespace in which a port was opened.
pub(super) type Home = (u64, u64);

/// What it takes to open lost ports again.
#[derive(Clone)]
pub(super) struct Lost {
    pub(super) opener: Arc<PortOpener>,
    pub(super) commands: Commands,
    /// By port; `None`: it has no namespace.
    pub(super) homes: Arc<Mutex<Vec<Option<Home>>>>,
}

/// Opens a port, and tells in which namespace.
pub(super) async fn open(
    port: &PortConfig,
    opener: &Arc<PortOpener>,
) -> Result<(Opened, Option<Home>), Error> {
    // Before: if the namespace is replaced meanwhile, the port is lost at once and this tells it.
    let home = namespace_of(port).await;
    let (port, opener) = (port.clone(), Arc::clone(opener));
    match tokio::task::spawn_blocking(move || opener(&port)).await {
        Ok(opened) => opened.map(|opened| (opened, home)).map_err(|e| Error(e.to_string())),
        Err(panicked) => Err(Error(panicked.to_string())),
    }
}

impl Lost {
    /// Opens a lost port again as soon as that makes sense.
    pub(super) async fn reopen(self, id: PortId, port: PortConfig) {
        let mut said = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            if self.commands.snapshot().await.is_err() {
                return;
            }
            let before = self.homes.lock().await[id.index()];
            if !interface_exists(&port).await && namespace_of(&port).await == before {
                continue;
            }
            match open(&port, &self.opener).await {
                Ok((opened, home)) => {
                    info!(port = port.name, "the device is back");
                    self.homes.lock().await[id.index()] = home;
                    let _ = self.commands.send(id, Command::Attach(id, opened.port));
                    return;
                }
                Err(error) if error.0 != said => {
                    warn!(port = port.name, %error, "the device can't be opened again yet");
                    said = error.0;
                }
                Err(_) => {}
            }
        }
    }
}

/// Which namespace a port lives in just now; `None`: none.
async fn namespace_of(port: &PortConfig) -> Option<(u64, u64)> {
    let netns = netns(port)?;
    let found = move || in_netns(&netns, || Ok::<_, crate::net::Error>(Netns::id_of_this_thread()));
    tokio::task::spawn_blocking(found).await.ok()?.ok()?
}

async fn interface_exists(port: &PortConfig) -> bool {
    let (Some(netns), Some(name)) = (netns(port), interface(port)) else { return true };
    let look = move || Links::within(&netns, move |links| links.index(&name));
    matches!(tokio::task::spawn_blocking(look).await, Ok(Ok(_)))
}

/// The namespace of a port that is an interface.
fn netns(port: &PortConfig) -> Option<NetnsRef> {
    match &port.kind {
        PortKind::Tap { netns, .. } | PortKind::Veth { netns, .. } | PortKind::Packet { netns } => {
            NetnsRef::parse(netns.as_deref()).ok()
        }
        PortKind::Stream { .. } => None,
    }
}

/// The interface in that namespace.
fn interface(port: &PortConfig) -> Option<String> {
    match &port.kind {
        PortKind::Tap { .. } | PortKind::Packet { .. } => Some(port.name.clone()),
        PortKind::Veth { peer, .. } => Some(peer.clone()),
        PortKind::Stream { .. } => None,
    }
}
