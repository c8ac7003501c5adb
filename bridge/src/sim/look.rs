//! What there is to see of a switch in a running simulation.

use dcbridge_scheduler::{PortId, Time};

use super::{At, NodeId, Sim};
use crate::state::Snapshot;
use crate::switch::fdb::Learned;
use crate::switch::{Finding, Gate, Switch};

impl Sim {
    /// The switch of a port, to look at: what it knows of that port and its like.
    pub fn switch(&self, at: At) -> &Switch {
        let node = &self.nodes[at.0.0];
        &node.members[node.crew.owner(at.1)].switch
    }

    /// All that a switch has counted.
    pub fn snapshot(&self, node: NodeId) -> Snapshot {
        let node = &self.nodes[node.0];
        let parts = node.members.iter().map(|member| member.switch.snapshot(self.now));
        Snapshot::merged(parts.collect(), |place| node.crew.owner(PortId(place as u16)))
    }

    /// The forwarding database of a switch, in no order.
    pub fn fdb(&self, node: NodeId) -> Vec<Learned> {
        let members = self.nodes[node.0].members.iter();
        members.flat_map(|member| member.switch.learned(self.now)).collect()
    }

    /// The ports of a switch.
    pub fn ports(&self, node: NodeId) -> impl Iterator<Item = PortId> + use<> {
        (0..self.nodes[node.0].ends.len() as u16).map(PortId)
    }

    /// Frames that a switch holds in memory.
    pub fn frames_held(&self, node: NodeId) -> usize {
        self.nodes[node.0].members.iter().map(|member| member.arena.in_use()).sum()
    }

    /// What loop detection found at a switch so far.
    pub fn findings(&self, node: NodeId) -> &[Finding] {
        &self.nodes[node.0].findings
    }

    /// Gates that closed and opened at a switch so far.
    pub fn gates(&self, node: NodeId) -> &[(Time, Gate)] {
        &self.nodes[node.0].gates
    }
}
