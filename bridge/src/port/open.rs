//! Opens what the configuration asks for.

use std::path::PathBuf;

use dcbridge_config::{Config, PortKind, PrioritySet};
use dcbridge_scheduler::Priority;

use super::packet::PacketOptions;
use super::tap::{self, ByPriority, TapOptions};
use super::veth::VethOptions;
use super::{OpenError, Port, packet, stream, veth};
use crate::edge;
use crate::edge::steer::{Mark, SteerSpec};
use crate::net::NetnsRef;

/// What a port has to know of the whole switch.
#[derive(Clone, Debug)]
pub struct OpenContext {
    /// Priorities of the lossless classes: hosts should be paused by them.
    pub lossless: PrioritySet,
    /// How many traffic classes there are.
    pub classes: usize,
    /// PCP -> priority.
    pub pcp_map: [Priority; 8],
    /// DSCP -> priority.
    pub dscp_map: [Priority; 64],
    /// Directory in which changes to interfaces that existed are written down.
    pub journal: PathBuf,
}

impl OpenContext {
    /// From the configuration.
    pub fn new(config: &Config) -> OpenContext {
        OpenContext {
            lossless: config.lossless_priorities(),
            classes: config.traffic_classes.len(),
            pcp_map: config.maps.pcp_to_priority.map(Priority::new),
            dscp_map: config.maps.dscp_to_priority.map(Priority::new),
            journal: edge::default_directory(),
        }
    }

    /// Which queue of a veth pair a frame goes to. What no trusted mark says, the sending program may (`SO_PRIORITY`).
    fn steering(&self, port: &dcbridge_config::Port) -> SteerSpec {
        let never_paused = Priority::all().rev().find(|p| !self.lossless.contains(p.get()));
        SteerSpec {
            trust: port.trust.iter().map(|&trust| trust.into()).chain([Mark::Socket]).collect(),
            pcp_map: self.pcp_map,
            dscp_map: self.dscp_map,
            default: Priority::new(port.default_priority),
            control: never_paused.unwrap_or(Priority::new(7)),
            kick: None,
        }
    }

    /// Queues by priority, so that hosts can be paused, and where nothing but the processor limits a port of several classes:
    /// in one ring, what is not read in time would be lost by the order in which it came, and not by shares.
    fn by_priority(&self, port: &dcbridge_config::Port) -> Option<ByPriority> {
        let shares = self.classes > 1 && port.line_rate.is_none();
        (shares || !self.lossless.is_empty()).then(|| ByPriority {
            lossless: self.lossless,
            trust: port.trust.iter().map(|&trust| trust.into()).collect(),
            pcp_map: self.pcp_map,
            dscp_map: self.dscp_map,
            default: Priority::new(port.default_priority),
            line_rate: port.line_rate.map(|rate| rate.0),
            journal: self.journal.clone(),
        })
    }
}

/// An open port.
pub struct Opened {
    /// For the worker.
    pub port: Box<dyn Port>,
    /// What a person should know: where less was possible than is usual.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// Opens a port. Blocks; to be called on the control side.
///
/// # Errors
/// A sentence that says what is missing or in the way, and what to do. It names the interface or the address, not the
/// port.
pub fn open(port: &dcbridge_config::Port, context: &OpenContext) -> Result<Opened, OpenError> {
    match &port.kind {
        PortKind::Tap { netns, offload } => {
            let tap = tap::open(&TapOptions {
                name: port.name.clone(),
                netns: NetnsRef::parse(netns.as_deref())?,
                mtu: port.mtu,
                offload: *offload,
                queues: 1,
                txqueuelen: None,
                by_priority: context.by_priority(port),
            })?;
            let notes = tap.notes().to_vec();
            Ok(Opened { port: Box::new(tap), notes })
        }
        PortKind::Packet { netns } => {
            let packet = packet::open(&PacketOptions {
                name: port.name.clone(),
                netns: NetnsRef::parse(netns.as_deref())?,
                mtu: port.mtu,
            })?;
            let notes = packet.notes().to_vec();
            Ok(Opened { port: Box::new(packet), notes })
        }
        PortKind::Veth { netns, peer } => {
            let veth = veth::open(&VethOptions {
                name: port.name.clone(),
                netns: NetnsRef::parse(netns.as_deref())?,
                peer: peer.clone(),
                mtu: port.mtu,
                steering: context.steering(port),
            })?;
            let notes = veth.notes().to_vec();
            Ok(Opened { port: Box::new(veth), notes })
        }
        PortKind::Stream { endpoint } => {
            Ok(Opened { port: Box::new(stream::open(endpoint)?), notes: Vec::new() })
        }
    }
}
