//! The port: LLDP agents for up to three group addresses, and DCBX on the nearest-bridge one. Only
//! wiring lives here: who hears of what, in which order, and when to wake up.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::dcbx::port::Dcbx;
use crate::dcbx::{Because, ConfigError, DcbxConfig, Diagnosis, Dialect, Operational};
use crate::lldp::{AdminStatus, Group, GroupAgent, LldpConfig, Neighbor, NeighborChange, Statistics, bump};
use crate::time::{Time, earliest};
use crate::types::Mac;
use crate::views::{NeighborView, PortViews};
use crate::wire::basic::{Capabilities, ManagementAddress, Text};
use crate::wire::org::{LinkAggregation, VlanName};
use crate::wire::{ChassisId, PortId, Tlv, pdu::split_frame};

/// Events that wait to be fetched; more are counted instead of kept.
const MAX_EVENTS: usize = 64;

/// What a port tells about itself and its system, DCBX apart. `None` and empty: not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalInfo {
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
    /// Port VLAN ID; 0: the port has none, and says so.
    pub pvid: Option<u16>,
    /// Names of VLANs.
    pub vlan_names: Vec<VlanName>,
    /// Largest frame in octets, FCS included.
    pub max_frame_size: Option<u16>,
    /// Link aggregation.
    pub link_aggregation: Option<LinkAggregation>,
}

impl LocalInfo {
    fn tlvs(&self) -> impl Iterator<Item = Tlv> {
        let text = [
            self.port_description.clone().map(Tlv::PortDescription),
            self.system_name.clone().map(Tlv::SystemName),
            self.system_description.clone().map(Tlv::SystemDescription),
            self.capabilities.map(Tlv::Capabilities),
        ];
        let org = [
            self.pvid.map(Tlv::Pvid),
            self.max_frame_size.map(Tlv::MaxFrameSize),
            self.link_aggregation.map(Tlv::LinkAggregation),
        ];
        let management = self.management.iter().cloned().map(Tlv::ManagementAddress);
        let names = self.vlan_names.iter().cloned().map(Tlv::VlanName);
        text.into_iter().flatten().chain(management).chain(org.into_iter().flatten()).chain(names)
    }
}

/// Everything an agent is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// Names the switch.
    pub chassis: ChassisId,
    /// Names the port.
    pub port: PortId,
    /// Timers and limits, the same for every group address.
    pub lldp: LldpConfig,
    /// Group addresses served besides nearest bridge, which always is.
    pub more_groups: Vec<Group>,
    /// What the port tells about itself.
    pub info: LocalInfo,
    /// DCBX; `None`: LLDP only.
    pub dcbx: Option<DcbxConfig>,
}

impl AgentConfig {
    /// Defaults: the chassis is a MAC address, the port an interface name (as much of it as fits), DCBX
    /// with nothing to offer.
    pub fn new(chassis: Mac, port: &str) -> Self {
        let short = Text::new(if port.is_empty() { "port" } else { port });
        Self {
            chassis: ChassisId::mac(chassis),
            port: PortId::new(5, short.octets()).unwrap_or(PortId::mac(chassis)),
            lldp: LldpConfig::default(),
            more_groups: Vec::new(),
            info: LocalInfo::default(),
            dcbx: Some(DcbxConfig::default()),
        }
    }
}

/// Something that the caller may want to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operational DCBX values changed: see [`Agent::operational`].
    OperationalChanged,
    /// The findings changed: see [`Agent::diagnoses`].
    DiagnosisChanged,
    /// The port speaks another dialect now.
    DialectChanged {
        /// Before.
        from: Dialect,
        /// Now.
        to: Dialect,
        /// Why: a sentence for the log.
        because: Because,
    },
    /// A change in a neighbour table.
    Neighbor {
        /// Of which agent.
        group: Group,
        /// The change.
        change: NeighborChange,
    },
}

/// LLDP and DCBX of one port. Whatever is handed in may make frames, events and another wake-up: fetch
/// all three afterwards.
#[derive(Debug)]
pub struct Agent {
    mac: Mac,
    groups: Vec<GroupAgent>,
    info: LocalInfo,
    dcbx: Option<Dcbx>,
    link_up: bool,
    seen_generation: u64,
    events: VecDeque<Event>,
    events_lost: u64,
    foreign: u64,
}

impl Agent {
    /// An agent for the port with this MAC address, whose link is down.
    ///
    /// # Errors
    /// When the DCBX configuration is not legal, or more than the port can do.
    pub fn new(config: AgentConfig, mac: Mac, now: Time) -> Result<Self, ConfigError> {
        if let Some(dcbx) = &config.dcbx {
            dcbx.check()?;
        }
        let ids = (config.chassis, config.port);
        let more = Group::ALL.into_iter().skip(1).filter(|g| config.more_groups.contains(g));
        let groups = core::iter::once(Group::NearestBridge).chain(more);
        let mut agent = Self {
            mac,
            groups: groups.map(|g| GroupAgent::new(g, config.lldp, mac, ids.clone(), now)).collect(),
            info: config.info,
            dcbx: config.dcbx.map(|d| Dcbx::new(d, mac)),
            link_up: false,
            seen_generation: 0,
            events: VecDeque::new(),
            events_lost: 0,
            foreign: 0,
        };
        agent.settle(true, now);
        // How it begins is no news.
        agent.events.clear();
        Ok(agent)
    }

    /// Takes a received Ethernet frame (without FCS). Frames that are not LLDP, or for a group address
    /// that is not served, are counted and ignored.
    pub fn handle_frame(&mut self, frame: &[u8], now: Time) {
        let agent = split_frame(frame).ok().and_then(|(destination, source, octets)| {
            let agent = self.groups.iter_mut().find(|a| a.group().address() == destination)?;
            Some((agent, source, octets))
        });
        match agent {
            Some((agent, source, octets)) => {
                agent.handle_lldpdu(source, octets, now);
                self.settle(false, now);
            }
            None => bump(&mut self.foreign),
        }
    }

    /// The link went up or down.
    pub fn handle_link(&mut self, up: bool, now: Time) {
        if up == self.link_up {
            return;
        }
        self.link_up = up;
        self.groups.iter_mut().for_each(|a| a.handle_link(up, now));
        self.settle(true, now);
    }

    /// Replaces what the port tells about itself.
    pub fn update_local(&mut self, info: LocalInfo, now: Time) {
        self.info = info;
        self.settle(true, now);
    }

    /// Replaces the local side of DCBX, or starts it.
    ///
    /// # Errors
    /// When it is not legal or more than the port can do; then nothing changes.
    pub fn update_dcbx(&mut self, config: DcbxConfig, now: Time) -> Result<(), ConfigError> {
        config.check()?;
        match &mut self.dcbx {
            Some(dcbx) => dcbx.config = config,
            none => *none = Some(Dcbx::new(config, self.mac)),
        }
        self.settle(true, now);
        Ok(())
    }

    /// Stops DCBX: LLDP goes on without its TLVs.
    pub fn remove_dcbx(&mut self, now: Time) {
        self.dcbx = None;
        self.settle(true, now);
    }

    /// Replaces timers and limits.
    pub fn update_lldp(&mut self, config: LldpConfig, now: Time) {
        self.groups.iter_mut().for_each(|a| a.set_config(config, now));
        self.settle(true, now);
    }

    /// Says goodbye: every agent sends a shutdown LLDPDU (TTL 0) and stops.
    pub fn shutdown(&mut self, now: Time) {
        let config = LldpConfig { admin_status: AdminStatus::Disabled, ..self.groups[0].config() };
        self.update_lldp(config, now);
    }

    /// Handles whatever is due at `now`; early or repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        self.groups.iter_mut().for_each(|a| a.handle_timeout(now));
        let due = |d: &Dcbx| d.deadline(&self.groups[0]).is_some_and(|t| t <= now);
        let due = self.dcbx.as_ref().is_some_and(due);
        self.settle(due, now);
    }

    /// When [`Agent::handle_timeout`] has to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let dcbx = self.dcbx.as_ref().and_then(|d| d.deadline(&self.groups[0]));
        self.groups.iter().map(GroupAgent::poll_timeout).fold(dcbx, earliest)
    }

    /// The next frame to send, without FCS and padding. Also lets timers run, so that a caller who only
    /// polls stays in time.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Vec<u8>> {
        if self.poll_timeout().is_some_and(|t| t <= now) {
            self.handle_timeout(now);
        }
        self.groups.iter_mut().find_map(GroupAgent::poll_transmit)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Operational DCBX values.
    pub fn operational(&self) -> Option<&Operational> {
        self.dcbx.as_ref().map(|d| &d.operational)
    }

    /// Findings about DCBX; empty when both ends plainly agree.
    pub fn diagnoses(&self) -> &[Diagnosis] {
        self.dcbx.as_ref().map_or(&[], |d| &d.diagnoses)
    }

    /// Capability, local, peer and operational values with their sources and the findings.
    pub fn views(&self) -> Option<PortViews> {
        self.dcbx.as_ref().map(|d| PortViews::new(d, self.link_up))
    }

    /// Whether the link is up.
    pub fn link_up(&self) -> bool {
        self.link_up
    }

    /// The agents by group address, nearest bridge first: neighbours and limits.
    pub fn groups(&self) -> &[GroupAgent] {
        &self.groups
    }

    /// Neighbours of one group address.
    pub fn neighbors(&self, group: Group) -> impl Iterator<Item = &Neighbor> {
        self.groups.iter().filter(move |a| a.group() == group).flat_map(GroupAgent::neighbors)
    }

    /// Every neighbour of every group address, for people and programs.
    pub fn neighbor_views(&self, now: Time) -> Vec<NeighborView> {
        let of = |a: &GroupAgent| {
            let group = a.group();
            a.neighbors().map(|n| NeighborView::new(group, n, now)).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of).collect()
    }

    /// Counters of one group address; DCBX requests that the port does not support count in those of
    /// nearest bridge.
    pub fn statistics(&self, group: Group) -> Option<Statistics> {
        let mut stats = self.groups.iter().find(|a| a.group() == group)?.statistics();
        if let Some(dcbx) = self.dcbx.as_ref().filter(|_| group == Group::NearestBridge) {
            stats.errors.unsupported = stats.errors.unsupported.saturating_add(dcbx.unsupported.unsupported);
            stats.events_lost = stats.events_lost.saturating_add(self.events_lost);
        }
        Some(stats)
    }

    /// Frames handed in that are not LLDP, or for a group address that is not served.
    pub fn ignored_frames(&self) -> u64 {
        self.foreign
    }

    /// Brings everything in line after an input: neighbours to DCBX, its TLVs to the agent, then one
    /// decision per agent whether to send.
    fn settle(&mut self, dcbx_too: bool, now: Time) {
        let generation = self.groups[0].generation();
        if dcbx_too || generation != self.seen_generation {
            self.seen_generation = generation;
            self.update_tlvs(now);
        }
        let mut changes = Vec::new();
        for agent in &mut self.groups {
            agent.transmit(now);
            while let Some(change) = agent.poll_change() {
                changes.push(Event::Neighbor { group: agent.group(), change });
            }
        }
        for change in changes {
            self.event(change);
        }
    }

    fn update_tlvs(&mut self, now: Time) {
        let mut tlvs = Vec::new();
        if let Some(dcbx) = &mut self.dcbx {
            let changed = dcbx.update(&self.groups[0], self.link_up, now);
            // DCBX first: whatever does not fit into the LLDPDU, it is not this.
            tlvs.extend(dcbx.tlvs.iter().cloned());
            let news = [
                changed.dialect.map(|(from, to, because)| Event::DialectChanged { from, to, because }),
                changed.operational.then_some(Event::OperationalChanged),
                changed.diagnoses.then_some(Event::DiagnosisChanged),
            ];
            for event in news.into_iter().flatten() {
                self.event(event);
            }
        }
        for agent in self.groups.iter_mut().rev() {
            let own =
                if agent.group() == Group::NearestBridge { core::mem::take(&mut tlvs) } else { Vec::new() };
            agent.set_tlvs(own.into_iter().chain(self.info.tlvs()).collect());
        }
    }

    /// Queues an event. "Changed" events say no more when queued twice, so they are never lost.
    fn event(&mut self, event: Event) {
        let level = matches!(event, Event::OperationalChanged | Event::DiagnosisChanged);
        if level && self.events.contains(&event) {
            return;
        }
        if level || self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            bump(&mut self.events_lost);
        }
    }
}
