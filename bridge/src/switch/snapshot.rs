//! The switch's part of the state: one moment, in which the books balance. Of several members each tells what it has
//! counted; `state::merge` puts that together.

use dcbridge_config as config;
use dcbridge_scheduler::{Backlog, PortId, Priority, Time, Tsa};

use super::Switch;
use super::books::{PortBooks, drops};
use super::fdb::Learned;
use super::flow::Kind;
use crate::arena::CELL;
use crate::port::Guarantee;
use crate::state::{
    Buffer, ClassState, Count, FdbSummary, FlowState, GroupState, Port, PriorityState, Snapshot,
};

impl Switch {
    /// All counters, now. Link states and the worker's own figures are filled in by whoever knows them.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let occupancy = self.scheduler.occupancy();
        let bytes = |cells: u32| u64::from(cells) * CELL as u64;
        let own = self.ports().filter(|&port| self.member.owns(port));
        Snapshot {
            name: self.config.bridge.name.clone(),
            uptime_ns: now.as_nanos(),
            buffer: Buffer {
                size_bytes: bytes(occupancy.size),
                used_bytes: bytes(occupancy.used),
                peak_bytes: bytes(occupancy.peak),
            },
            ports: self.ports().map(|port| self.port_state(port, now)).collect(),
            fdb: FdbSummary {
                entries: own.map(|port| u64::from(self.fdb.count(port))).sum(),
                limit: u64::from(self.config.bridge.fdb_limit),
                moves: self.fdb.moves,
                refused: self.fdb.refused,
            },
            ..Snapshot::default()
        }
    }

    fn port_state(&self, port: PortId, now: Time) -> Port {
        let config = &self.config.ports[port.index()];
        let books = &self.books[port.index()];
        let priorities: Vec<PriorityState> = Priority::all()
            .map(|p| {
                let group = self.group_state(port, p);
                PriorityState { group, ..priority_state(books, p, self.scheduler.backlog(port, p, now)) }
            })
            .collect();
        let mut queued = books.in_flight;
        for priority in &priorities {
            queued.add(priority.queued);
        }
        let name = |p: PortId| self.config.ports[p.index()].name.as_str();
        Port {
            name: config.name.clone(),
            kind: match config.kind {
                config::PortKind::Tap { .. } => "tap",
                config::PortKind::Veth { .. } => "veth",
                config::PortKind::Packet { .. } => "packet",
                config::PortKind::Stream { .. } => "stream",
            }
            .to_owned(),
            up: self.forwarding.is_up(port),
            down_reason: String::new(),
            held: self.loops.held(port).map(|(from, by)| {
                format!("the switch heard itself: what {} sent came back by {}", name(from), name(by))
            }),
            line_rate_bps: config.line_rate.map(|r| r.0),
            mtu: config.mtu,
            offload: self.facts[port.index()].offload,
            guarantee: self.guarantee_name(port),
            host_edge_drops: 0,
            flow: self.flow_state(port),
            rx: books.rx,
            tx: books.tx,
            consumed: books.consumed,
            originated: books.originated,
            copies: books.copies,
            rx_drops: drops(&books.rx_drops),
            tx_drops: drops(&books.tx_drops),
            queued,
            handed: books.handed,
            taken: books.taken,
            priorities,
            classes: self.class_states(port),
            lldp: None,
        }
    }

    /// The classes that hold at a port: those of the configuration, and those that DCBX has put priorities into.
    fn class_states(&self, port: PortId) -> Vec<ClassState> {
        let (table, books) = (self.class_table(port), &self.books[port.index()]);
        let members =
            |tc: u8| (0..8).filter(|p| table.class_of[*p] & 7 == tc).fold(0u8, |set, p| set | 1 << p);
        let state = |tc: u8| {
            let configured = self.config.traffic_classes.iter().find(|class| class.tc == tc);
            let counted = books.class_tx[usize::from(tc)].units > 0;
            let used = configured.is_some() || members(tc) != 0;
            let target_share = match table.classes[usize::from(tc)].tsa {
                Tsa::Ets { weight } => used.then(|| f64::from(weight) / 100.0),
                Tsa::Strict => None,
            };
            (used || counted).then(|| ClassState {
                name: configured.map_or_else(|| format!("tc{tc}"), |class| class.name.clone()),
                tc,
                tsa: if target_share.is_some() { "ets" } else { "strict" }.to_owned(),
                priorities: members(tc),
                target_share,
                tx: books.class_tx[usize::from(tc)],
                tx_wire_bytes: books.class_wire[usize::from(tc)],
            })
        };
        (0..8).filter_map(state).collect()
    }

    fn flow_state(&self, port: PortId) -> FlowState {
        let counters = self.flow.counters(port);
        FlowState {
            kind: match self.flow.config(port).kind {
                Kind::Off => "off",
                Kind::Pause => "pause",
                Kind::Pfc { .. } => "pfc",
            }
            .to_owned(),
            pause_rx: counters.pause_rx,
            pause_tx: counters.pause_tx,
            malformed: counters.malformed,
            ignored: counters.ignored,
            odd_vector: counters.odd_vector,
        }
    }

    fn group_state(&self, port: PortId, priority: Priority) -> GroupState {
        let bytes = |cells: u32| u64::from(cells) * CELL as u64;
        let held = self.scheduler.group(port, priority);
        let config = self.scheduler.group_config(port, priority);
        let counters = self.flow.counters(port);
        let watched = self.watchdog.as_ref().map(|w| *w.watched(port, priority)).unwrap_or_default();
        let index = priority.index();
        GroupState {
            lossless: config.is_some(),
            gate_closed: held.closed,
            occupied_bytes: bytes(held.cells()),
            headroom_used_bytes: bytes(held.headroom),
            headroom_peak_bytes: bytes(held.headroom_peak),
            headroom_bytes: config.map_or(0, |c| bytes(c.headroom)),
            pfc_rx: counters.pfc_rx[index],
            xoff_tx: counters.xoff_tx[index],
            xon_tx: counters.xon_tx[index],
            storm: watched.storm,
            storms_detected: watched.detected,
            storms_restored: watched.restored,
        }
    }

    /// Line time that ports lost by being served late.
    pub fn late(&self) -> Time {
        self.ports().map(|p| self.scheduler.late(p)).fold(Time::ZERO, |a, b| a + b)
    }

    /// What a paused sender is held to: by its device, else by frames.
    fn guarantee_name(&self, port: PortId) -> String {
        let off = self.flow.config(port).kind == Kind::Off;
        match self.facts[port.index()].guarantee {
            Guarantee::Exact => "exact",
            Guarantee::BoundedByHeadroom { .. } if self.headroom_lack(port).is_some() => "short of headroom",
            Guarantee::BoundedByHeadroom { .. } => "bounded by headroom",
            Guarantee::FramesOnly | Guarantee::None if off => "none",
            Guarantee::FramesOnly | Guarantee::None => "frames only",
        }
        .to_owned()
    }

    /// What is known to be behind ports of one's own, in no order.
    pub fn learned(&self, now: Time) -> Vec<Learned> {
        let mut learned = self.fdb.entries(now);
        learned.retain(|entry| self.member.owns(entry.port));
        learned
    }
}

fn priority_state(books: &PortBooks, priority: Priority, backlog: Backlog) -> PriorityState {
    let counts = &books.priorities[priority.index()];
    PriorityState {
        rx: counts.rx,
        tx: counts.tx,
        dropped: counts.dropped,
        queued: Count { units: backlog.units, frames: backlog.frames, bytes: backlog.bytes },
        occupied_bytes: u64::from(backlog.cells) * CELL as u64,
        peak_bytes: u64::from(backlog.peak_cells) * CELL as u64,
        paused: backlog.paused,
        paused_ns: backlog.paused_for.as_nanos(),
        pauses: backlog.pauses,
        group: GroupState::default(),
    }
}
