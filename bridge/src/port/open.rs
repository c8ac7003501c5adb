//! Opens what the configuration asks for.

use dcbridge_config::PortKind;

use super::packet::PacketOptions;
use super::tap::{self, TapOptions};
use super::{OpenError, Port, packet, stream};
use crate::net::NetnsRef;

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
pub fn open(port: &dcbridge_config::Port) -> Result<Opened, OpenError> {
    match &port.kind {
        PortKind::Tap { netns, offload } => {
            let tap = tap::open(&TapOptions {
                name: port.name.clone(),
                netns: NetnsRef::parse(netns.as_deref())?,
                mtu: port.mtu,
                offload: *offload,
                queues: 1,
                txqueuelen: None,
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
        PortKind::Veth { .. } => Err(OpenError::new("veth ports are not there yet: use a TAP")),
        PortKind::Stream { endpoint } => {
            Ok(Opened { port: Box::new(stream::open(endpoint)?), notes: Vec::new() })
        }
    }
}
