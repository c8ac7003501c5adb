//! What the scenario runs on: hosts, two switches and the cable between them.
//!
//! The cable is a veth pair where there are namespaces - both ends in one of its own, each a packet port - and else a
//! Unix socket. Either way PFC frames go over it like all others.

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge_config::{BitRate, Config, PortKind, StreamEndpoint};

use super::topology::{self, FAR, NEAR, Trunk};
use crate::lab::args::Mode;
use crate::lab::fleet::{Fleet, Traffic};
use crate::lab::frames::MTU;
use crate::lab::topology::FlowSpec;
use crate::net::{Links, Netns, NetnsRef, Result, in_netns, sysctl};
use crate::runtime::Handle;
use crate::state::Snapshot;

/// How long both ends of the cable may take to find each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// The cable between the switches.
enum Cable {
    /// The namespace with both ends of a veth pair: it ends with this process.
    Veth(Arc<Netns>),
    /// The directory of a socket.
    Socket(PathBuf),
}

impl Cable {
    fn new(mode: Mode) -> std::result::Result<Cable, String> {
        if mode == Mode::Inprocess {
            let directory = std::env::temp_dir().join(format!("dcbridge-lab-{}", std::process::id()));
            return match std::fs::create_dir(&directory) {
                Ok(()) => Ok(Cable::Socket(directory)),
                Err(e) => Err(format!("{} can't be made: {e}", directory.display())),
            };
        }
        veth().map(Cable::Veth).map_err(|e| e.to_string())
    }

    fn name(&self) -> &'static str {
        match self {
            Cable::Veth(_) => "veth",
            Cable::Socket(_) => "socket",
        }
    }

    fn ends(&self) -> Trunk {
        match self {
            Cable::Veth(netns) => {
                let netns = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
                let end = || PortKind::Packet { netns: Some(netns.clone()) };
                Trunk { near: end(), far: end() }
            }
            Cable::Socket(directory) => {
                let path = directory.join("trunk.sock");
                let end = |endpoint| PortKind::Stream { endpoint };
                Trunk {
                    near: end(StreamEndpoint::ListenUnix(path.clone())),
                    far: end(StreamEndpoint::ConnectUnix(path)),
                }
            }
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if let Cable::Socket(directory) = self {
            // Left behind it does no harm: it is in the directory for such things.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

fn veth() -> Result<Arc<Netns>> {
    let netns = Arc::new(Netns::anonymous("trunk")?);
    let within = NetnsRef::Open(Arc::clone(&netns));
    in_netns(&within, || sysctl::disable_ipv6("default"))?;
    Links::within(&within, |links| {
        // A packet port is called like its interface.
        let ends = [NEAR.1, FAR.1];
        links.add_veth(ends[0], ends[1])?;
        for end in ends {
            links.set_mtu(end, u32::from(MTU))?;
            links.set_up(end)?;
        }
        Ok(())
    })?;
    Ok(netns)
}

/// Everything, running.
pub(super) struct Fabric {
    fleet: Fleet,
    cable: Cable,
    /// The near and the far switch.
    pub(super) switches: [Handle; 2],
}

impl Fabric {
    /// Hosts of `senders` and a sink, and the switches between them.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) async fn start(
        mode: Mode,
        senders: usize,
        base: &Config,
        slow: BitRate,
    ) -> std::result::Result<Fabric, String> {
        let fleet = Fleet::new(mode, senders).map_err(|e| e.to_string())?;
        let cable = Cable::new(mode)?;
        let [near, far] = topology::switches(base, slow, &fleet.attachments(slow), cable.ends());
        let near = fleet.start(near).await.map_err(|e| format!("sw1: {e}"))?;
        let far = match fleet.start(far).await {
            Ok(far) => far,
            Err(e) => {
                let _ = near.stop().await;
                return Err(format!("sw2: {e}"));
            }
        };
        let fabric = Fabric { fleet, cable, switches: [near, far] };
        if let Err(error) = fabric.joined().await {
            fabric.stop().await;
            return Err(error);
        }
        Ok(fabric)
    }

    /// Waits until all ports are up.
    async fn joined(&self) -> std::result::Result<(), String> {
        let begin = Instant::now();
        loop {
            let snapshots = self.snapshots().await?;
            let down =
                snapshots.iter().flat_map(|s| s.ports.iter().map(move |p| (s, p))).find(|(_, p)| !p.up);
            match down {
                None => return Ok(()),
                Some((switch, port)) if begin.elapsed() > PATIENCE => {
                    return Err(format!("{}: port {} is down: {}", switch.name, port.name, port.down_reason));
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// How the switches are joined: `veth` or `socket`.
    pub(super) fn cable(&self) -> &'static str {
        self.cable.name()
    }

    /// The receiving host.
    pub(super) fn sink(&self) -> std::net::Ipv4Addr {
        self.fleet.sink_address().ip
    }

    /// Names of the sending hosts.
    pub(super) fn senders(&self) -> Vec<String> {
        self.fleet.senders()
    }

    /// Opens all sockets.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) fn connect(&self, flows: &[FlowSpec]) -> std::result::Result<Traffic, String> {
        self.fleet.connect(flows).map_err(|e| e.to_string())
    }

    /// Both switches' counters, the near one's first.
    ///
    /// # Errors
    /// When a switch has ended.
    pub(super) async fn snapshots(&self) -> std::result::Result<[Snapshot; 2], String> {
        let [near, far] = &self.switches;
        let (near, far) = tokio::join!(near.snapshot(), far.snapshot());
        let [near, far] = [near, far].map(|s| s.map_err(|e| e.to_string()));
        Ok([near?, far?])
    }

    /// Ends the switches.
    pub(super) async fn stop(&self) {
        for switch in &self.switches {
            // One that ended before its time has been reported.
            let _ = switch.stop().await;
        }
    }
}
