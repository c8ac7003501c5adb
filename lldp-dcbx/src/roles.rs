//! Roles of a switch's ports in DCBX, and the election of the port whose peer configures the switch.
//!
//! ```text
//! manual                local settings only; not willing, recommends them
//! auto-upstream         willing; may become the configuration source. While another port is, it has what
//!                       that one taught, and is not willing
//! auto-downstream       not willing; advertises and recommends what the source taught
//! configuration-source  an upstream port that is the source whenever its peer has something to teach
//! ```
//!
//! Sans-I/O like everything here: reports of the ports go in ([`Fabric::observe`]), the local DCBX side
//! for each port comes out ([`Fabric::poll`]). What was learned lives only in here; nothing of it is
//! ever part of the configuration.
//!
//! ```
//! use lldp_dcbx::roles::{Fabric, Report};
//! use lldp_dcbx::{Agent, Time};
//!
//! /// To be called after events and link changes of any port.
//! fn spread(fabric: &mut Fabric, agents: &mut [Agent], now: Time) {
//!     loop {
//!         for (port, agent) in agents.iter().enumerate() {
//!             fabric.observe(port as u32, Report::of(agent));
//!         }
//!         let Some((port, dcbx)) = fabric.poll() else { return };
//!         agents[port as usize].update_dcbx(dcbx, now).expect("made from a legal configuration");
//!     }
//! }
//! # spread(&mut Fabric::new(), &mut [], Time::ZERO);
//! ```
//!
//! Frames, timers and the scheduler stay out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::agent::Agent;
use crate::dcbx::diagnosis::Hold;
use crate::dcbx::legacy::peer::LegacyPeer;
use crate::dcbx::{
    AppRule, Capability, DcbxConfig, Diagnosis, Dialect, Feature, FeatureFlags, Operational, Origin, Source,
};
use crate::types::PrioritySet;
use crate::wire::app::{AppEntry, AppTable};
use crate::wire::cee::CeeApps;
use crate::wire::ets::EtsTable;
use crate::wire::pfc::Pfc;

/// Role of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Role {
    /// Local settings only.
    #[default]
    Manual,
    /// Towards a switch that may configure this one.
    AutoUpstream,
    /// Towards hosts and further switches that this one configures.
    AutoDownstream,
    /// The upstream port that is meant to configure the switch.
    ConfigurationSource,
}

impl Role {
    fn may_teach(self) -> bool {
        matches!(self, Self::AutoUpstream | Self::ConfigurationSource)
    }

    fn learns(self) -> bool {
        matches!(self, Self::AutoUpstream | Self::AutoDownstream)
    }
}

/// Number of a port, of the caller's choice.
pub type PortNumber = u32;

/// Values that a configuration source teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Taught {
    /// Classes and shares.
    pub ets: EtsTable,
    /// PFC.
    pub pfc: PrioritySet,
    /// Applications.
    pub app: AppTable,
}

/// What a port tells the fabric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its link is up.
    pub link_up: bool,
    /// What its peer taught it, once the exchange is done and the values are supportable.
    pub learned: Option<Taught>,
    /// PFC priorities on which its peer insists (it is not willing).
    pub peer_insists: Option<PrioritySet>,
}

impl Report {
    /// What an agent has to report.
    pub fn of(agent: &Agent) -> Self {
        let Some(views) = agent.views().filter(|v| v.link_up) else { return Self::default() };
        let operational = &views.operational;
        // What the peer's own bit says, whatever this port made of it.
        let insists = views.peer.as_ref().and_then(|p| match operational.dialect {
            Dialect::Ieee => p.ieee.pfc.good().filter(|v| !v.willing()).map(Pfc::enabled),
            Dialect::Cee => insists(p.cee.good()),
            Dialect::Cin => insists(p.cin.good()),
        });
        // Half of what a peer wants is no configuration to give to a whole switch.
        let unusable =
            |d: &Diagnosis| matches!(d, Diagnosis::Unusable { feature: Feature::Ets | Feature::Pfc, .. });
        let learned = if views.diagnosis.iter().any(unusable) { None } else { taught(operational) };
        Self { link_up: true, learned, peer_insists: insists }
    }
}

fn insists(peer: Option<&LegacyPeer>) -> Option<PrioritySet> {
    let pfc = &peer?.pfc;
    pfc.head().filter(|h| !h.willing && h.enable).and(pfc.value().copied())
}

/// The operational values, if any of them comes from the peer.
fn taught(o: &Operational) -> Option<Taught> {
    let from_peer = |e: &&AppRule| e.source == Source::Peer;
    let sources = [o.ets.source, o.pfc.source];
    if !sources.contains(&Source::Peer) && o.app.value.iter().all(|r| r.source != Source::Peer) {
        return None;
    }
    let entries: Vec<AppEntry> = o.app.value.iter().filter(from_peer).map(|r| r.entry).collect();
    let entries = entries.into_iter().take(CeeApps::MAX).collect();
    Some(Taught { ets: o.ets.value, pfc: o.pfc_enabled(), app: AppTable::new(entries)? })
}

/// How a port stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Standing {
    /// It goes by its own settings.
    Own,
    /// It is the configuration source.
    Source,
    /// It has what the source taught.
    Follows,
    /// It would, but its peer insists on something else: DCBX is off there.
    Incompatible(Hold),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own settings"),
            Self::Source => f.write_str("configuration source"),
            Self::Follows => f.write_str("follows the configuration source"),
            Self::Incompatible(h) => Diagnosis::Held(h.clone()).fmt(f),
        }
    }
}

#[derive(Debug)]
struct Member {
    name: String,
    role: Role,
    settings: DcbxConfig,
    report: Report,
    /// What the agent was given last.
    given: Option<DcbxConfig>,
}

/// All ports of a switch.
#[derive(Debug, Default)]
pub struct Fabric {
    ports: BTreeMap<PortNumber, Member>,
    source: Option<PortNumber>,
    dirty: BTreeSet<PortNumber>,
}

impl Fabric {
    /// A switch without ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a port, or replaces its name, role and settings. In `settings`, role-dependent fields
    /// (willing, recommendation, origin, hold) are set by the role; mode, capability, switches and the
    /// values themselves are the port's own.
    pub fn set_port(&mut self, port: PortNumber, name: &str, role: Role, settings: DcbxConfig) {
        let known = self.ports.remove(&port);
        let (report, given) = known.map(|m| (m.report, m.given)).unwrap_or_default();
        self.ports.insert(port, Member { name: name.into(), role, settings, report, given });
        self.elect();
    }

    /// Removes a port.
    pub fn remove_port(&mut self, port: PortNumber) {
        self.ports.remove(&port);
        self.dirty.remove(&port);
        self.elect();
    }

    /// Takes a port's report. Call it after every [`crate::Event::OperationalChanged`] and
    /// [`crate::Event::DiagnosisChanged`] of the port's agent, and after link changes.
    pub fn observe(&mut self, port: PortNumber, report: Report) {
        let Some(member) = self.ports.get_mut(&port) else { return };
        if member.report != report {
            member.report = report;
            self.elect();
        }
    }

    /// The next port that needs another local side of DCBX: hand it to [`Agent::update_dcbx`].
    pub fn poll(&mut self) -> Option<(PortNumber, DcbxConfig)> {
        while let Some(port) = self.dirty.pop_first() {
            let Some(next) = self.local_side(port) else { continue };
            let Some(member) = self.ports.get_mut(&port) else { continue };
            if member.given.as_ref() != Some(&next) {
                member.given = Some(next.clone());
                return Some((port, next));
            }
        }
        None
    }

    /// The configuration source.
    pub fn source(&self) -> Option<PortNumber> {
        self.source
    }

    /// What it teaches.
    pub fn taught(&self) -> Option<&Taught> {
        self.ports.get(&self.source?)?.report.learned.as_ref()
    }

    /// Role of a port and how it stands.
    pub fn standing(&self, port: PortNumber) -> Option<(Role, Standing)> {
        let member = self.ports.get(&port)?;
        if self.source == Some(port) {
            return Some((member.role, Standing::Source));
        }
        let standing = match self.lesson(member) {
            None => Standing::Own,
            Some((name, taught)) => match hold(member, name, taught) {
                Some(hold) => Standing::Incompatible(hold),
                None => Standing::Follows,
            },
        };
        Some((member.role, standing))
    }

    /// Chooses the source: it stays while it has something to teach; a port that is configured to be
    /// the source goes before elected ones; else the lowest number.
    fn elect(&mut self) {
        let able = |m: &Member| m.role.may_teach() && m.report.link_up && m.report.learned.is_some();
        // The smallest wins: pinned before elected, the present one before others, then by number.
        let rank = |(p, m): (&PortNumber, &Member)| {
            (m.role != Role::ConfigurationSource, self.source != Some(*p), *p)
        };
        self.source = self.ports.iter().filter(|(_, m)| able(m)).map(rank).min().map(|(_, _, p)| p);
        self.dirty.extend(self.ports.keys().copied());
    }

    /// Who teaches this port what.
    fn lesson<'a>(&'a self, member: &Member) -> Option<(&'a str, &'a Taught)> {
        let source = self.ports.get(&self.source?)?;
        let taught = source.report.learned.as_ref()?;
        (member.role.learns() && supportable(taught, member.settings.capability))
            .then_some((source.name.as_str(), taught))
    }

    /// The local side of DCBX that the port's role makes of its settings.
    fn local_side(&self, port: PortNumber) -> Option<DcbxConfig> {
        let member = self.ports.get(&port)?;
        let mut config = member.settings.clone();
        (config.origin, config.hold) = (Origin::Configured, None);
        let is_source = self.source == Some(port);
        let lesson = if is_source { None } else { self.lesson(member) };
        if let Some((name, taught)) = lesson {
            (config.ets, config.pfc, config.app) = (taught.ets, taught.pfc, taught.app.clone());
            config.origin = Origin::Propagated(name.into());
            config.hold = hold(member, name, taught);
        }
        // A port that may teach listens, unless another one does already.
        let willing = member.role.may_teach() && lesson.is_none();
        for flags in [&mut config.ets_flags, &mut config.pfc_flags, &mut config.app_flags] {
            *flags = FeatureFlags { willing, ..*flags };
        }
        config.ets_recommendation = match member.role {
            Role::Manual => config.ets_recommendation.or(Some(config.ets)),
            Role::AutoDownstream => Some(config.ets),
            Role::AutoUpstream | Role::ConfigurationSource => None,
        };
        Some(config)
    }
}

fn supportable(taught: &Taught, capability: Capability) -> bool {
    capability.ets(taught.ets).is_ok() && capability.pfc(taught.pfc).is_ok()
}

/// ETS is asymmetric: each direction may have its own shares. PFC has to be the same at both ends, so a
/// peer that insists on other priorities is incompatible.
fn hold(member: &Member, source: &str, taught: &Taught) -> Option<Hold> {
    let peer = member.report.peer_insists.filter(|p| *p != taught.pfc)?;
    Some(Hold { source: source.into(), taught: taught.pfc, peer })
}
