//! What changed between two configurations, for reconfiguration while frames flow.
//!
//! Ports, classes and policies are the same when their names are. Every struct is taken apart
//! completely, so that a new setting cannot be forgotten here.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::model::{
    BitRate, Bridge, Config, Dcbx, Lldp, Maps, Metrics, Policy, Port, StaticEntry, TrafficClass, Watchdog,
    Worker,
};
use crate::units::{ByteSize, Microseconds};

/// One setting with its values as people write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Key, as in the file.
    pub key: &'static str,
    /// Value before.
    pub from: String,
    /// Value after.
    pub to: String,
}

/// What named thing a [`Change`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A port.
    Port,
    /// A traffic class.
    TrafficClass,
    /// A policy.
    Policy,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// Settings of the switch itself: `bridge`, `metrics` or `map`.
    Switch {
        /// The section of the file.
        section: &'static str,
        /// What changed in it.
        settings: Vec<Setting>,
    },
    /// Something new.
    Added {
        /// What it is.
        subject: Subject,
        /// Its name.
        name: String,
    },
    /// Something that is gone.
    Removed {
        /// What it was.
        subject: Subject,
        /// Its name.
        name: String,
    },
    /// Something that has other settings.
    Changed {
        /// What it is.
        subject: Subject,
        /// Its name.
        name: String,
        /// What changed in it.
        settings: Vec<Setting>,
    },
    /// Policies that both have win in another order.
    PolicyOrder {
        /// The new order of all policies.
        order: Vec<String>,
    },
    /// A new static forwarding entry.
    EntryAdded {
        /// The entry.
        entry: StaticEntry,
    },
    /// A static forwarding entry that is gone.
    EntryRemoved {
        /// The entry.
        entry: StaticEntry,
    },
}

/// What it takes to apply a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Frames keep flowing.
    Live,
    /// The device of one port is opened anew.
    PortReopened,
    /// The switch has to be started anew: memory and sockets are set up at start.
    Restart,
}

impl Change {
    /// What it takes to apply the change.
    pub fn effect(&self) -> Effect {
        let touches =
            |settings: &[Setting], keys: &[&str]| settings.iter().any(|setting| keys.contains(&setting.key));
        match self {
            Self::Switch { section: "bridge", settings }
                if touches(settings, &["name", "buffer", "fdb_limit", "control_socket"]) =>
            {
                Effect::Restart
            }
            Self::Switch { section: "metrics", .. } => Effect::Restart,
            Self::Changed { subject: Subject::Port, settings, .. } if touches(settings, &["type"]) => {
                Effect::PortReopened
            }
            _ => Effect::Live,
        }
    }
}

/// Lists what `new` changes of `old`; empty when nothing does. The order of ports in the file is
/// no difference.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let Config {
        bridge,
        worker,
        metrics,
        traffic_classes,
        policies,
        maps,
        ports,
        static_entries,
        watchdog,
        lldp,
    } = old;
    let mut changes = Vec::new();
    for (section, settings) in [
        ("bridge", bridge_settings(bridge, &new.bridge)),
        ("worker", worker_settings(worker, &new.worker)),
        ("metrics", metrics_settings(metrics, &new.metrics)),
        ("map", map_settings(maps, &new.maps)),
        ("pfc_watchdog", watchdog_settings(*watchdog, new.watchdog)),
        ("lldp", lldp_settings(lldp, &new.lldp)),
    ] {
        if !settings.is_empty() {
            changes.push(Change::Switch { section, settings });
        }
    }
    let class = Subject::TrafficClass;
    named(class, traffic_classes, &new.traffic_classes, |c| &c.name, class_settings, &mut changes);
    named(Subject::Policy, policies, &new.policies, |p| &p.name, policy_settings, &mut changes);
    policy_order(policies, &new.policies, &mut changes);
    named(Subject::Port, ports, &new.ports, |p| &p.name, port_settings, &mut changes);
    for entry in static_entries.iter().filter(|entry| !new.static_entries.contains(entry)) {
        changes.push(Change::EntryRemoved { entry: entry.clone() });
    }
    for entry in new.static_entries.iter().filter(|entry| !static_entries.contains(entry)) {
        changes.push(Change::EntryAdded { entry: entry.clone() });
    }
    changes
}

fn named<T: PartialEq>(
    subject: Subject,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    settings: impl Fn(&T, &T) -> Vec<Setting>,
    changes: &mut Vec<Change>,
) {
    for before in old {
        let name_before = name(before).clone();
        match new.iter().find(|after| name(after) == name(before)) {
            None => changes.push(Change::Removed { subject, name: name_before }),
            Some(after) if after != before => {
                let settings = settings(before, after);
                changes.push(Change::Changed { subject, name: name_before, settings });
            }
            Some(_) => {}
        }
    }
    for after in new.iter().filter(|after| !old.iter().any(|before| name(before) == name(after))) {
        changes.push(Change::Added { subject, name: name(after).clone() });
    }
}

/// Whether the policies that both configurations have win in another order. A changed precedence
/// alone is not a new order.
fn policy_order(old: &[Policy], new: &[Policy], changes: &mut Vec<Change>) {
    fn common<'a>(of: &'a [Policy], with: &[Policy]) -> Vec<&'a str> {
        let both = of.iter().filter(|p| with.iter().any(|other| other.name == p.name));
        both.map(|policy| policy.name.as_str()).collect()
    }
    if common(old, new) != common(new, old) {
        let order = new.iter().map(|policy| policy.name.clone()).collect();
        changes.push(Change::PolicyOrder { order });
    }
}

/// Collects settings whose text differs.
struct Settings(Vec<Setting>);

impl Settings {
    fn add(&mut self, key: &'static str, from: impl Display, to: impl Display) {
        let (from, to) = (from.to_string(), to.to_string());
        if from != to {
            self.0.push(Setting { key, from, to });
        }
    }
}

fn bridge_settings(old: &Bridge, new: &Bridge) -> Vec<Setting> {
    let Bridge {
        name,
        buffer_bytes,
        ageing_seconds,
        fdb_limit,
        flood_rate,
        loop_detection,
        stall_budget_us,
        control_socket,
    } = old;
    let time = |us: u32| Microseconds(us.into());
    let mut s = Settings(Vec::new());
    s.add("name", name, &new.name);
    s.add("buffer", ByteSize(*buffer_bytes), ByteSize(new.buffer_bytes));
    s.add("ageing", ageing_seconds, new.ageing_seconds);
    s.add("fdb_limit", fdb_limit, new.fdb_limit);
    s.add("flood_rate", limit(*flood_rate), limit(new.flood_rate));
    s.add("loop_detection", loop_detection, new.loop_detection);
    s.add("stall_budget", time(*stall_budget_us), time(new.stall_budget_us));
    s.add("control_socket", control_socket.display(), new.control_socket.display());
    s.0
}

fn worker_settings(old: &Worker, new: &Worker) -> Vec<Setting> {
    let Worker { threads, io, poll, scheduling, cpus } = old;
    let mut s = Settings(Vec::new());
    s.add("threads", threads, new.threads);
    s.add("io", io, new.io);
    s.add("poll", poll, new.poll);
    s.add("scheduling", scheduling, new.scheduling);
    let named = |cpus: &[u16]| cpus.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let named = |cpus: &[u16]| if cpus.is_empty() { "any".to_owned() } else { named(cpus) };
    s.add("cpu", named(cpus), named(&new.cpus));
    s.0
}

fn metrics_settings(old: &Metrics, new: &Metrics) -> Vec<Setting> {
    let Metrics { listen } = old;
    let mut s = Settings(Vec::new());
    s.add("listen", or(*listen, "off"), or(new.listen, "off"));
    s.0
}

fn map_settings(old: &Maps, new: &Maps) -> Vec<Setting> {
    let Maps { pcp_to_priority, dscp_to_priority, priority_to_pcp, priority_to_dscp } = old;
    let mut s = Settings(Vec::new());
    changed_pairs(&mut s, "pcp", pcp_to_priority, &new.pcp_to_priority);
    changed_pairs(&mut s, "dscp", dscp_to_priority, &new.dscp_to_priority);
    changed_pairs(&mut s, "rewrite_pcp", priority_to_pcp, &new.priority_to_pcp);
    let keep = |map: &[Option<u8>]| map.iter().map(|dscp| or(*dscp, "keep")).collect::<Vec<_>>();
    changed_pairs(&mut s, "rewrite_dscp", &keep(priority_to_dscp), &keep(&new.priority_to_dscp));
    s.0
}

/// Shows only the entries of a map that differ: `3 = 26`.
fn changed_pairs<T: Display + PartialEq>(s: &mut Settings, key: &'static str, old: &[T], new: &[T]) {
    let changed: Vec<_> = old.iter().zip(new).enumerate().filter(|(_, (from, to))| from != to).collect();
    let show = |pick: fn(&(&T, &T)) -> String| {
        let pairs: Vec<_> = changed.iter().map(|(n, pair)| format!("{n} = {}", pick(pair))).collect();
        pairs.join(", ")
    };
    s.add(key, show(|(from, _)| from.to_string()), show(|(_, to)| to.to_string()));
}

fn class_settings(old: &TrafficClass, new: &TrafficClass) -> Vec<Setting> {
    let TrafficClass {
        name: _,
        tc,
        priorities,
        tsa,
        bandwidth,
        min_rate,
        max_rate,
        lossless,
        queue_limit,
        reserved_bytes,
        xon_offset_bytes,
        lifetime_us,
    } = old;
    let lifetime = |us: Option<u32>| or(us.map(|us| Microseconds(us.into())), "off");
    let mut s = Settings(Vec::new());
    s.add("tc", tc, new.tc);
    s.add("priorities", priorities, new.priorities);
    s.add("tsa", tsa, new.tsa);
    s.add("bandwidth", bandwidth, new.bandwidth);
    s.add("min_rate", or(*min_rate, "none"), or(new.min_rate, "none"));
    s.add("max_rate", or(*max_rate, "none"), or(new.max_rate, "none"));
    s.add("lossless", lossless, new.lossless);
    s.add("queue_limit", queue_limit, new.queue_limit);
    s.add("reserved", ByteSize(*reserved_bytes), ByteSize(new.reserved_bytes));
    s.add("xon_offset", ByteSize(*xon_offset_bytes), ByteSize(new.xon_offset_bytes));
    s.add("lifetime", lifetime(*lifetime_us), lifetime(new.lifetime_us));
    s.0
}

fn watchdog_settings(old: Option<Watchdog>, new: Option<Watchdog>) -> Vec<Setting> {
    let mut s = Settings(Vec::new());
    let (Some(old), Some(new)) = (old, new) else {
        let state = |watchdog: Option<Watchdog>| if watchdog.is_some() { "on" } else { "off" };
        s.add("pfc_watchdog", state(old), state(new));
        return s.0;
    };
    let Watchdog { detection_ms, restoration_ms, poll_ms, action } = old;
    let time = |ms: u32| Microseconds(u64::from(ms) * 1000);
    s.add("detection", time(detection_ms), time(new.detection_ms));
    s.add("restoration", time(restoration_ms), time(new.restoration_ms));
    s.add("poll", time(poll_ms), time(new.poll_ms));
    s.add("action", action, new.action);
    s.0
}

fn lldp_settings(old: &Lldp, new: &Lldp) -> Vec<Setting> {
    let Lldp {
        enabled,
        tx_interval_seconds,
        hold,
        fast_start,
        neighbor_limit,
        more_groups,
        management_addresses,
    } = old;
    let mut s = Settings(Vec::new());
    s.add("enabled", enabled, new.enabled);
    s.add("tx_interval", tx_interval_seconds, new.tx_interval_seconds);
    s.add("hold", hold, new.hold);
    s.add("fast_start", fast_start, new.fast_start);
    s.add("neighbor_limit", neighbor_limit, new.neighbor_limit);
    s.add("more_groups", listed(more_groups), listed(&new.more_groups));
    s.add("management_address", listed(management_addresses), listed(&new.management_addresses));
    s.0
}

fn listed<T: Display>(values: &[T]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
}

fn policy_settings(old: &Policy, new: &Policy) -> Vec<Setting> {
    let Policy { name: _, precedence, any_of, priority } = old;
    let show = |any_of: &[crate::model::Match]| {
        any_of.iter().map(ToString::to_string).collect::<Vec<_>>().join("; or ")
    };
    let mut s = Settings(Vec::new());
    s.add("match", show(any_of), show(&new.any_of));
    s.add("priority", priority, new.priority);
    s.add("precedence", precedence, new.precedence);
    s.0
}

fn port_settings(old: &Port, new: &Port) -> Vec<Setting> {
    let Port {
        name: _,
        kind,
        line_rate,
        mtu,
        trust,
        default_priority,
        vlan,
        isolated,
        fdb_limit,
        rewrite_pcp,
        rewrite_dscp,
        flow_control,
        pfc_rate,
        cable_metres,
        peer_reaction,
        headroom_bytes,
        lldp,
        dcbx,
    } = old;
    let mut s = Settings(Vec::new());
    s.add("type", kind, &new.kind);
    s.add("line_rate", limit(*line_rate), limit(new.line_rate));
    s.add("mtu", mtu, new.mtu);
    s.add("trust", listed(trust), listed(&new.trust));
    s.add("default_priority", default_priority, new.default_priority);
    s.add("vlan", vlan, &new.vlan);
    s.add("isolated", isolated, new.isolated);
    s.add("fdb_limit", or(*fdb_limit, "none"), or(new.fdb_limit, "none"));
    s.add("rewrite pcp", rewrite_pcp, new.rewrite_pcp);
    s.add("rewrite dscp", rewrite_dscp, new.rewrite_dscp);
    s.add("flow_control", flow_control, new.flow_control);
    s.add("pfc_rate", or(*pfc_rate, "line rate"), or(new.pfc_rate, "line rate"));
    s.add("cable_length", cable_metres, new.cable_metres);
    s.add("peer_reaction", peer_reaction, new.peer_reaction);
    let headroom = |bytes: Option<u64>| or(bytes.map(ByteSize), "calculated");
    s.add("headroom", headroom(*headroom_bytes), headroom(new.headroom_bytes));
    s.add("lldp", lldp, new.lldp);
    s.add("dcbx", or::<Dcbx>(*dcbx, "off"), or(new.dcbx, "off"));
    s.0
}

fn limit(rate: Option<BitRate>) -> String {
    or(rate, "unlimited")
}

fn or<T: Display>(value: Option<T>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Port => "port",
            Self::TrafficClass => "traffic class",
            Self::Policy => "policy",
        })
    }
}

impl Display for Change {
    /// `port tap0: mtu 1500 -> 9000`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |settings: &[Setting]| {
            let show = |s: &Setting| format!("{} {} -> {}", s.key, s.from, s.to);
            settings.iter().map(show).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Switch { section, settings } => write!(f, "{section}: {}", list(settings)),
            Self::Added { subject, name } => write!(f, "{subject} {name}: added"),
            Self::Removed { subject, name } => write!(f, "{subject} {name}: removed"),
            Self::Changed { subject, name, settings } => {
                write!(f, "{subject} {name}: {}", list(settings))
            }
            Self::PolicyOrder { order } => {
                write!(f, "policies: new order {}", order.join(", "))
            }
            Self::EntryAdded { entry } => write!(f, "static entry {entry}: added"),
            Self::EntryRemoved { entry } => write!(f, "static entry {entry}: removed"),
        }
    }
}
