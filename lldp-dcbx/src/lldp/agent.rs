//! One agent: the machines, what is sent, and the frames between them.

use alloc::vec::Vec;

use super::neighbor::{Neighbor, NeighborChange};
use super::receive::{Receive, Received};
use super::transmit::{Send, Transmit};
use super::{Group, LldpConfig, Statistics, bump};
use crate::time::{Time, earliest};
use crate::types::Mac;
use crate::wire::{ChassisId, Lldpdu, PortId, Tlv, frame};

/// The LLDP agent of one port for one group address. After anything that was handed in,
/// [`GroupAgent::transmit`] decides once whether an LLDPDU goes out, so that several changes share one.
#[derive(Debug)]
pub struct GroupAgent {
    group: Group,
    mac: Mac,
    config: LldpConfig,
    chassis: ChassisId,
    port: PortId,
    tlvs: Vec<Tlv>,
    tx: Transmit,
    rx: Receive,
    out: Option<Send>,
    stats: Statistics,
}

impl GroupAgent {
    /// An agent whose link is down.
    pub fn new(group: Group, config: LldpConfig, mac: Mac, ids: (ChassisId, PortId), now: Time) -> Self {
        let config = config.in_range();
        Self {
            group,
            mac,
            config,
            chassis: ids.0,
            port: ids.1,
            tlvs: Vec::new(),
            tx: Transmit::new(config, now),
            rx: Receive::new(config, now),
            out: None,
            stats: Statistics::default(),
        }
    }

    /// The scope of this agent.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Takes an LLDPDU received from `source`.
    pub fn handle_lldpdu(&mut self, source: Mac, octets: &[u8], now: Time) {
        self.receive(Some(Received { source, octets }), now);
    }

    /// The link went up or down.
    pub fn handle_link(&mut self, up: bool, now: Time) {
        self.tx.set_port(up);
        self.rx.port_enabled = up;
        if !up {
            self.out = None;
        }
        self.receive(None, now);
    }

    /// Replaces the optional TLVs; a difference is sent as soon as there is credit.
    pub fn set_tlvs(&mut self, tlvs: Vec<Tlv>) {
        if tlvs != self.tlvs {
            self.tlvs = tlvs;
            self.tx.signal_local_change();
        }
    }

    /// Replaces timers and limits. Disabling transmission sends a shutdown LLDPDU.
    pub fn set_config(&mut self, config: LldpConfig, now: Time) {
        self.config = config.in_range();
        self.tx.set_config(self.config);
        self.rx.config = self.config;
        self.receive(None, now);
    }

    /// Handles what is due on the receive side.
    pub fn handle_timeout(&mut self, now: Time) {
        self.receive(None, now);
    }

    /// Lets the transmit machines run.
    pub fn transmit(&mut self, now: Time) {
        if let Some(what) = self.tx.run(now) {
            self.out = Some(what);
        }
    }

    /// When [`GroupAgent::handle_timeout`] has to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        earliest(self.tx.deadline(), self.rx.neighbors.deadline())
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let what = self.out.take()?;
        Some(self.build(what))
    }

    /// The next change in the neighbour table.
    pub fn poll_change(&mut self) -> Option<NeighborChange> {
        self.rx.changes.pop_front()
    }

    /// The neighbours, oldest first.
    pub fn neighbors(&self) -> impl Iterator<Item = &Neighbor> {
        self.rx.neighbors.iter()
    }

    /// Whether newcomers were refused lately for want of room.
    pub fn too_many_neighbors(&self) -> bool {
        self.rx.neighbors.too_many_until.is_some()
    }

    /// Whether one of the refused newcomers speaks DCBX.
    pub fn refused_dcbx_neighbor(&self) -> bool {
        self.rx.neighbors.dcbx_refused_until.is_some()
    }

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        self.stats
    }

    /// Timers and limits.
    pub fn config(&self) -> LldpConfig {
        self.config
    }

    /// A number that grows whenever a neighbour's information changed.
    pub(crate) fn generation(&self) -> u64 {
        self.rx.generation
    }

    fn receive(&mut self, frame: Option<Received<'_>>, now: Time) {
        self.rx.run(frame, &mut self.stats, now);
        if core::mem::take(&mut self.rx.new_neighbor) {
            self.tx.signal_new_neighbor();
        }
    }

    fn build(&mut self, what: Send) -> Vec<u8> {
        let (ttl, tlvs) = match what {
            Send::Info => (self.config.ttl(), self.tlvs.clone()),
            Send::Shutdown => (0, Vec::new()),
        };
        let pdu = Lldpdu { chassis: self.chassis.clone(), port: self.port.clone(), ttl, tlvs };
        let (octets, left_out) = pdu.emit();
        bump(&mut self.stats.frames_out);
        self.stats.length_errors = self.stats.length_errors.saturating_add(left_out as u64);
        frame(self.group.address(), self.mac, &octets)
    }
}
