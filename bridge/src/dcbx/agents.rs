//! All agents of a switch, and what one port learned for the others: deterministic; no sockets, no clock, no threads.
//!
//! Frames, links and time come in; frames to send, neighbours and what the switch shall do come out by
//! [`Agents::poll`].

use std::collections::VecDeque;

use dcbridge_config::{Config, DcbxRole};
use dcbridge_scheduler::PortId;
use lldp_dcbx::lldp::{Group, NeighborChange, Removal};
use lldp_dcbx::roles::{Fabric, Report};
use lldp_dcbx::{Agent, Event, Time};
use tracing::{info, warn};

use super::local::{self, Identity};
use super::{settled, view};
use crate::state::lldp::PortLldp;
use crate::switch::operation::Operation;

/// Shortest Ethernet frame, without FCS.
const FRAME_MIN: usize = 60;

/// What the worker has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A frame to send, padded, without FCS.
    Send(PortId, Vec<u8>),
    /// The source addresses of the neighbours that a port knows.
    Neighbors(PortId, Vec<[u8; 6]>),
    /// What holds at a port from now on.
    Operate(PortId, Operation),
}

/// The agent of one port.
pub(super) struct Member {
    pub(super) id: PortId,
    pub(super) agent: Agent,
    /// What the worker was told last.
    operation: Operation,
    neighbors: Vec<[u8; 6]>,
    /// How often what holds at the port has changed.
    pub(super) renegotiations: u64,
    pub(super) dialect_changes: u64,
}

/// All agents.
pub struct Agents {
    config: std::sync::Arc<Config>,
    identity: Identity,
    /// Of the ports that speak LLDP, in the order of the configuration.
    members: Vec<Member>,
    fabric: Fabric,
    out: VecDeque<Output>,
}

impl Agents {
    /// Agents for the ports that speak LLDP, their links down.
    pub fn new(config: &std::sync::Arc<Config>, identity: Identity, now: Time) -> Agents {
        let mut agents = Agents {
            config: config.clone(),
            identity,
            members: Vec::new(),
            fabric: Fabric::new(),
            out: VecDeque::new(),
        };
        for (index, port) in config.ports.iter().enumerate().filter(|(_, port)| port.lldp) {
            let id = PortId(index as u16);
            let made = local::agent(config, &agents.identity, index);
            match Agent::new(made, agents.identity.port_mac(id), now) {
                Ok(agent) => agents.join(id, agent),
                // A checked configuration is legal.
                Err(error) => warn!(port = port.name, %error, "no LLDP on this port"),
            }
        }
        agents.settle(now);
        agents
    }

    fn join(&mut self, id: PortId, agent: Agent) {
        let port = &self.config.ports[id.index()];
        // A port with settings of its own has no part in what others learn.
        if let Some(dcbx) = port.dcbx.as_ref().filter(|dcbx| dcbx.role != DcbxRole::Manual) {
            let settings = local::dcbx_config(&self.config, port, dcbx);
            self.fabric.set_port(u32::from(id.0), &port.name, local::role(dcbx), settings);
        }
        self.members.push(Member {
            id,
            agent,
            operation: Operation::default(),
            neighbors: Vec::new(),
            renegotiations: 0,
            dialect_changes: 0,
        });
    }

    /// An LLDP frame came, whole and without FCS.
    pub fn frame(&mut self, port: PortId, bytes: &[u8], now: Time) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == port) {
            member.agent.handle_frame(bytes, now);
            self.settle(now);
        }
    }

    /// The link of a port came up or went down.
    pub fn link(&mut self, port: PortId, up: bool, now: Time) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == port) {
            member.agent.handle_link(up, now);
            self.settle(now);
        }
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Time) {
        for member in &mut self.members {
            if member.agent.poll_timeout().is_some_and(|due| due <= now) {
                member.agent.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    /// Says goodbye on all ports (TTL 0); after that nothing more is sent.
    pub fn shutdown(&mut self, now: Time) {
        for member in &mut self.members {
            member.agent.shutdown(now);
        }
        self.settle(now);
    }

    /// When [`Agents::timeout`] has to be called next.
    pub fn next_wake(&self) -> Option<Time> {
        self.members.iter().filter_map(|member| member.agent.poll_timeout()).min()
    }

    /// What the worker has to be told next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// What a person sees of a port; `None`: it does not speak LLDP.
    pub fn state(&self, port: PortId, now: Time) -> Option<PortLldp> {
        let member = self.members.iter().find(|member| member.id == port)?;
        let standing = self.fabric.standing(u32::from(port.0)).map(|(_, standing)| standing);
        let config = &self.config.ports[port.index()];
        Some(view::port(member, self.identity.port_mac(port), config, standing.as_ref(), now))
    }

    /// Brings everything in line after an input: what one port learned goes to the others, then everything that changed
    /// goes out.
    fn settle(&mut self, now: Time) {
        self.spread(now);
        for at in 0..self.members.len() {
            self.report(at, now);
        }
    }

    /// Hands on what the configuration source learned (see `lldp_dcbx::roles`).
    fn spread(&mut self, now: Time) {
        loop {
            for member in &self.members {
                self.fabric.observe(u32::from(member.id.0), Report::of(&member.agent));
            }
            let Some((port, dcbx)) = self.fabric.poll() else { return };
            let member = self.members.iter_mut().find(|member| u32::from(member.id.0) == port);
            if let Some(member) = member
                && let Err(error) = member.agent.update_dcbx(dcbx, now)
            {
                let port = &self.config.ports[member.id.index()].name;
                warn!(port, %error, "what another port learned can't be advertised here");
            }
        }
    }

    /// Frames, neighbours and operational values of a port that changed.
    fn report(&mut self, at: usize, now: Time) {
        let member = &mut self.members[at];
        let name = self.config.ports[member.id.index()].name.as_str();
        let mut events = Vec::new();
        while let Some(event) = member.agent.poll_event() {
            events.push(event);
        }
        for event in events {
            member.tell(name, &event, now);
        }
        let everyone = Group::ALL.into_iter().flat_map(|group| member.agent.neighbors(group));
        let mut neighbors: Vec<[u8; 6]> = everyone.map(|n| n.mac().0).collect();
        // One station may speak to several groups.
        neighbors.sort_unstable();
        neighbors.dedup();
        if neighbors != member.neighbors {
            member.neighbors.clone_from(&neighbors);
            self.out.push_back(Output::Neighbors(member.id, neighbors));
        }
        while let Some(mut frame) = member.agent.poll_transmit(now) {
            frame.resize(frame.len().max(FRAME_MIN), 0);
            self.out.push_back(Output::Send(member.id, frame));
        }
        let Some(views) = member.agent.views() else { return };
        let operation = settled::operation(&self.config, &self.config.ports[member.id.index()], &views);
        if operation != member.operation {
            info!(port = name, "{}", view::sentence(&views, &operation));
            member.renegotiations += 1;
            member.operation = operation.clone();
            self.out.push_back(Output::Operate(member.id, operation));
        }
    }
}

impl Member {
    /// Log lines for what happened.
    fn tell(&mut self, port: &str, event: &Event, now: Time) {
        match event {
            Event::Neighbor { change: NeighborChange::Added(id), .. } => {
                let views = self.agent.neighbor_views(now);
                let who = views.iter().find(|view| view.id == *id).map(view::who).unwrap_or_default();
                info!(port, "LLDP neighbour {who}");
            }
            Event::Neighbor { change: NeighborChange::Removed(_, why), .. } => {
                let why = match why {
                    Removal::Expired => "its time to live ran out",
                    Removal::Shutdown => "it said goodbye",
                    Removal::LinkDown => "the link went down",
                    Removal::Disabled => "LLDP ends",
                };
                info!(port, "an LLDP neighbour is gone: {why}");
            }
            Event::Neighbor { change: NeighborChange::TooMany(true), .. } => {
                warn!(port, "more LLDP neighbours than `neighbor_limit`: further ones are ignored");
            }
            Event::DialectChanged { from, to, because } => {
                self.dialect_changes += 1;
                info!(port, "DCBX speaks {to} instead of {from}: {because}");
            }
            Event::DiagnosisChanged => {
                for finding in self.agent.diagnoses().iter().filter(|finding| !finding.is_note()) {
                    tracing::debug!(port, "DCBX: {finding}");
                }
            }
            Event::OperationalChanged | Event::Neighbor { .. } => {}
        }
    }
}
