//! What an agent shows, as plain data and as sentences.

use dcbridge_config as config;
use lldp_dcbx::dcbx::legacy::peer::{Heard, LegacyPeer};
use lldp_dcbx::dcbx::{Diagnosis, Dialect, Negotiated, Source};
use lldp_dcbx::lldp::{Group, Statistics};
use lldp_dcbx::roles::Standing as RoleStanding;
use lldp_dcbx::views::{NeighborView, PeerView, PortViews};
use lldp_dcbx::wire::app::AppEntry;
use lldp_dcbx::wire::basic::Capabilities;
use lldp_dcbx::wire::ets::{EtsConfiguration, EtsTable, Tsa};
use lldp_dcbx::{Mac, PrioritySet, Time};

use super::agents::Member;
use crate::state::lldp::{
    Application, Capability, Dcbx, Ets, LldpCounters, Neighbor, Peer, Pfc, PortLldp, Standing, Values,
};
use crate::switch::operation::Operation;

/// All that there is to see of a port.
pub(super) fn port(
    member: &Member,
    mac: Mac,
    config: &config::Port,
    standing: Option<&RoleStanding>,
    now: Time,
) -> PortLldp {
    let groups = Group::ALL.into_iter().filter_map(|group| member.agent.statistics(group));
    let count = |counter: fn(&Statistics) -> u64| groups.clone().map(|stats| counter(&stats)).sum();
    let dcbx = member.agent.views().zip(config.dcbx.as_ref());
    PortLldp {
        mac: mac.to_string(),
        counters: LldpCounters {
            frames_out: count(|stats| stats.frames_out),
            frames_in: count(|stats| stats.frames_in),
            frames_discarded: count(|stats| stats.frames_discarded),
            frames_in_errors: count(|stats| stats.frames_in_errors),
            tlvs_discarded: count(|stats| stats.tlvs_discarded),
            tlvs_unrecognized: count(|stats| stats.tlvs_unrecognized),
            ageouts: count(|stats| stats.ageouts),
        },
        neighbors: member.agent.neighbor_views(now).iter().map(neighbor).collect(),
        dcbx: dcbx.map(|(views, dcbx)| Dcbx {
            standing: standing.map(ToString::to_string).unwrap_or_default(),
            renegotiations: member.renegotiations,
            dialect_changes: member.dialect_changes,
            ..four_views(&views, dcbx)
        }),
    }
}

/// A neighbour in a log line.
pub(super) fn who(view: &NeighborView) -> String {
    let name = view.system_name.as_ref().map(ToString::to_string);
    let chassis = view.chassis.as_ref().map(ToString::to_string);
    let port = view.port.as_ref().map_or(String::new(), |port| format!(" port {port}"));
    let dcbx = if view.speaks_dcbx { "" } else { ", without DCBX" };
    format!("{}{port} ({}{dcbx})", name.or(chassis).unwrap_or_default(), view.mac)
}

/// What holds now, in a log line.
pub(super) fn sentence(views: &PortViews, operation: &Operation) -> String {
    if *operation == Operation::default() {
        return "DCBX: the configuration holds".to_owned();
    }
    let held = &views.operational;
    let mut parts = Vec::new();
    if operation.classes.is_some() {
        parts.push(format!("classes {} (from {})", shares(&held.ets.value), source(held.ets.source)));
    }
    if let Some(pfc) = operation.pfc {
        parts.push(format!("PFC {} (from {})", PrioritySet(pfc), source(held.pfc.source)));
    }
    if !operation.applications.is_empty() {
        parts.push(format!("{} applications", operation.applications.len()));
    }
    format!("DCBX: now holds {}", parts.join(", "))
}

/// `0: 60 %, 1: 40 %, 7: strict`.
fn shares(table: &EtsTable) -> String {
    let used = (0..8).filter(|class| table.used_classes() & (1 << class) != 0);
    let one = |class: usize| match table.tsa()[class] {
        Tsa::Ets => format!("{class}: {} %", table.bandwidth()[class]),
        _ => format!("{class}: strict"),
    };
    used.map(one).collect::<Vec<_>>().join(", ")
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn neighbor(view: &NeighborView) -> Neighbor {
    let enabled = view.capabilities.map_or(0, Capabilities::enabled);
    let known = [
        (Capabilities::BRIDGE, "bridge"),
        (Capabilities::ROUTER, "router"),
        (Capabilities::STATION, "station"),
    ];
    let capabilities = known.iter().filter(|(bit, _)| enabled & bit != 0);
    Neighbor {
        group: view.group.to_string(),
        mac: view.mac.to_string(),
        chassis: text(view.chassis.as_ref()),
        port: text(view.port.as_ref()),
        system_name: text(view.system_name.as_ref()),
        system_description: text(view.system_description.as_ref()),
        port_description: text(view.port_description.as_ref()),
        capabilities: capabilities.map(|(_, name)| (*name).to_owned()).collect(),
        management: view.management.iter().map(ToString::to_string).collect(),
        pvid: view.pvid,
        max_frame_size: view.max_frame_size,
        speaks_dcbx: view.speaks_dcbx,
        known_seconds: view.known_seconds,
        expires_seconds: view.expires_seconds,
    }
}

fn four_views(views: &PortViews, config: &config::Dcbx) -> Dcbx {
    let (local, held) = (&views.local, &views.operational);
    let agreement = match &views.peer {
        None => "alone",
        Some(_) if views.diagnosis.iter().all(Diagnosis::is_note) => "agreed",
        Some(_) => "differing",
    };
    let own = |willing, active| Standing { willing: Some(willing), active, source: String::new() };
    let ets_flags = (local.ets_flags.willing, local.ets_flags.enable);
    let pfc_flags = (local.pfc_flags.willing, local.pfc_flags.enable);
    let operational = Values {
        ets: Some(ets(&held.ets.value, negotiated(&held.ets))),
        pfc: Some(Pfc { enabled: held.pfc.value.0, standing: negotiated(&held.pfc) }),
        applications: held.app.value.iter().map(|rule| entry(&rule.entry, source(rule.source))).collect(),
    };
    Dcbx {
        mode: word(&config.mode),
        dialect: held.dialect.to_string(),
        role: word(&config.role),
        agreement: agreement.to_owned(),
        capability: Capability {
            max_classes: views.capability.max_classes,
            pfc_priorities: views.capability.pfc_priorities,
        },
        local: Values {
            ets: Some(ets(&local.ets, own(ets_flags.0, ets_flags.1))),
            pfc: Some(Pfc { enabled: local.pfc.0, standing: own(pfc_flags.0, pfc_flags.1) }),
            applications: local.app.entries().iter().map(|e| entry(e, "")).collect(),
        },
        peer: views.peer.as_ref().map(|peer| Peer {
            name: peer.name.clone(),
            mac: peer.mac.to_string(),
            dialect: text(peer.dialect.as_ref()),
            values: said(peer, held.dialect),
        }),
        operational,
        diagnosis: views.diagnosis.iter().map(ToString::to_string).collect(),
        ..Dcbx::default()
    }
}

/// A word of the configuration, as it is written there.
fn word<T: serde::Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).ok();
    json.as_ref().and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// What a peer says in the dialect that the port speaks.
fn said(peer: &PeerView, dialect: Dialect) -> Values {
    let legacy = match dialect {
        Dialect::Ieee => return said_ieee(peer),
        Dialect::Cee => peer.cee.good(),
        Dialect::Cin => peer.cin.good(),
    };
    legacy.map(said_legacy).unwrap_or_default()
}

fn said_ieee(peer: &PeerView) -> Values {
    let says = |willing| Standing { willing, active: true, source: String::new() };
    let willing = peer.ieee.ets.good().map(EtsConfiguration::willing);
    // What it recommends is what concerns this port; else what it does itself.
    let table =
        peer.ieee.recommendation.good().copied().or(peer.ieee.ets.good().map(EtsConfiguration::table));
    let apps = peer.ieee.app.good().map(|app| app.entries().iter().map(|e| entry(e, "")).collect());
    Values {
        ets: table.map(|table| ets(&table, says(willing))),
        pfc: peer
            .ieee
            .pfc
            .good()
            .map(|pfc| Pfc { enabled: pfc.enabled().0, standing: says(Some(pfc.willing())) }),
        applications: apps.unwrap_or_default(),
    }
}

fn said_legacy(peer: &LegacyPeer) -> Values {
    fn says<T>(heard: &Heard<T>) -> Standing {
        let head = heard.head();
        let active = head.is_some_and(|head| head.enable && !head.error);
        Standing { willing: head.map(|head| head.willing), active, source: String::new() }
    }
    let apps = peer.app.iter().filter_map(Heard::value).flatten();
    Values {
        ets: peer.ets.value().map(|offer| ets(&offer.table, says(&peer.ets))),
        pfc: peer.pfc.value().map(|enabled| Pfc { enabled: enabled.0, standing: says(&peer.pfc) }),
        applications: apps
            .flat_map(|app| {
                PrioritySet(app.priorities).iter().map(|priority| Application {
                    selector: if app.selector == 0 { "ethertype" } else { "port" }.to_owned(),
                    protocol: app.protocol,
                    priority: priority.value(),
                    source: String::new(),
                })
            })
            .collect(),
    }
}

fn negotiated<T>(value: &Negotiated<T>) -> Standing {
    Standing { willing: None, active: value.active, source: source(value.source).to_owned() }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Local => "local",
        Source::Peer => "peer",
        Source::Propagated => "propagated",
    }
}

fn ets(table: &EtsTable, standing: Standing) -> Ets {
    let algorithm = |tsa: &Tsa| match tsa {
        Tsa::Strict => "strict".to_owned(),
        Tsa::CreditBased => "credit-based".to_owned(),
        Tsa::Ets => "ets".to_owned(),
        Tsa::Vendor => "vendor".to_owned(),
        Tsa::Other(code) => format!("reserved-{code}"),
    };
    Ets {
        class_of: table.classes().iter().map(|class| (*class < 8).then_some(*class)).collect(),
        bandwidth: table.bandwidth().to_vec(),
        tsa: table.tsa().iter().map(algorithm).collect(),
        standing,
    }
}

fn entry(entry: &AppEntry, source: &str) -> Application {
    Application {
        selector: entry.selector.to_string(),
        protocol: entry.protocol,
        priority: entry.priority.value(),
        source: source.to_owned(),
    }
}
