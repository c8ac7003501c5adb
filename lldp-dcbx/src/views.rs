//! The neighbours of a port, and the four views of its DCBX, as a person or a program may look at them: what the port can do,
//! what it wants, what its peer says, and what holds; with the source of each value and the findings.
//! Copies, so that they can be kept and compared; serialised with the feature `serde`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::dcbx::legacy::peer::LegacyPeer;
use crate::dcbx::peer::{IeeePeer, Slot};
use crate::dcbx::port::{Dcbx, describe};
use crate::dcbx::{Capability, DcbxConfig, Diagnosis, Dialect, Operational};
use crate::lldp::{Group, Neighbor, NeighborId};
use crate::time::Time;
use crate::types::Mac;
use crate::wire::basic::{Capabilities, ManagementAddress, Text};
use crate::wire::{ChassisId, PortId, Tlv};

/// What the peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PeerView {
    /// System name, or chassis and port.
    pub name: String,
    /// Source address of its LLDPDU.
    pub mac: Mac,
    /// Chassis.
    pub chassis: Option<ChassisId>,
    /// Port.
    pub port: Option<PortId>,
    /// System name.
    pub system_name: Option<Text>,
    /// Newest dialect that it sends.
    pub dialect: Option<Dialect>,
    /// Its IEEE TLVs.
    pub ieee: IeeePeer,
    /// Its CEE TLV.
    pub cee: Slot<LegacyPeer>,
    /// Its CIN TLV.
    pub cin: Slot<LegacyPeer>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortViews {
    /// Whether the link is up.
    pub link_up: bool,
    /// What the port can do.
    pub capability: Capability,
    /// What it wants.
    pub local: DcbxConfig,
    /// What its peer says; `None`: no peer, or none that counts.
    pub peer: Option<PeerView>,
    /// What holds, and where each value comes from.
    pub operational: Operational,
    /// Findings: each is one sentence.
    pub diagnosis: Vec<Diagnosis>,
}

impl PortViews {
    pub(crate) fn new(dcbx: &Dcbx, link_up: bool) -> Self {
        let peer = dcbx.peer.as_ref().map(|p| PeerView {
            name: describe(p),
            mac: p.mac,
            chassis: p.chassis.clone(),
            port: p.port.clone(),
            system_name: p.system_name.clone(),
            dialect: p.spoken.best(),
            ieee: p.ieee.clone(),
            cee: p.cee.clone(),
            cin: p.cin.clone(),
        });
        Self {
            link_up,
            capability: dcbx.config.capability,
            local: dcbx.config.clone(),
            peer,
            operational: dcbx.operational.clone(),
            diagnosis: dcbx.diagnoses.clone(),
        }
    }
}

/// One neighbour. What it does not say is `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NeighborView {
    /// Group address at which it was heard.
    pub group: Group,
    /// Its number at that agent.
    pub id: NeighborId,
    /// Source address of its LLDPDU.
    pub mac: Mac,
    /// Chassis.
    pub chassis: Option<ChassisId>,
    /// Port.
    pub port: Option<PortId>,
    /// Seconds since it was first heard.
    pub known_seconds: u64,
    /// Seconds until its information runs out.
    pub expires_seconds: u64,
    /// Whether it sends DCBX TLVs.
    pub speaks_dcbx: bool,
    /// Port description.
    pub port_description: Option<Text>,
    /// System name.
    pub system_name: Option<Text>,
    /// System description.
    pub system_description: Option<Text>,
    /// System capabilities.
    pub capabilities: Option<Capabilities>,
    /// Management addresses.
    pub management: Vec<ManagementAddress>,
    /// Port VLAN ID.
    pub pvid: Option<u16>,
    /// Largest frame in octets, FCS included.
    pub max_frame_size: Option<u16>,
    /// TLVs of unknown kinds.
    pub unknown_tlvs: usize,
}

impl NeighborView {
    pub(crate) fn new(group: Group, n: &Neighbor, now: Time) -> Self {
        let mut view = Self {
            group,
            id: n.id(),
            mac: n.mac(),
            chassis: None,
            port: None,
            known_seconds: now.saturating_since(n.since()).as_secs(),
            expires_seconds: n.expires().saturating_since(now).as_secs(),
            speaks_dcbx: n.speaks_dcbx(),
            port_description: None,
            system_name: None,
            system_description: None,
            capabilities: None,
            management: Vec::new(),
            pvid: None,
            max_frame_size: None,
            unknown_tlvs: 0,
        };
        let Some(pdu) = n.lldpdu() else { return view };
        (view.chassis, view.port) = (Some(pdu.chassis), Some(pdu.port));
        for tlv in pdu.tlvs {
            match tlv {
                Tlv::PortDescription(t) => view.port_description = Some(t),
                Tlv::SystemName(t) => view.system_name = Some(t),
                Tlv::SystemDescription(t) => view.system_description = Some(t),
                Tlv::Capabilities(c) => view.capabilities = Some(c),
                Tlv::ManagementAddress(m) => view.management.push(m),
                Tlv::Pvid(vid) => view.pvid = Some(vid),
                Tlv::MaxFrameSize(n) => view.max_frame_size = Some(n),
                Tlv::Unknown(_) => view.unknown_tlvs += 1,
                _ => {}
            }
        }
        view
    }
}
