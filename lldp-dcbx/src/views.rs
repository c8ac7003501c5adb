//! The four views of a port's DCBX, as a person or a program may look at them: what the port can do,
//! what it wants, what its peer says, and what holds; with the source of each value and the findings.
//! Copies, so that they can be kept and compared; serialised with the feature `serde`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::dcbx::legacy::peer::LegacyPeer;
use crate::dcbx::peer::{IeeePeer, Slot};
use crate::dcbx::port::{Dcbx, describe};
use crate::dcbx::{Capability, DcbxConfig, Diagnosis, Dialect, Operational};
use crate::types::Mac;
use crate::wire::basic::Text;
use crate::wire::{ChassisId, PortId};

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
