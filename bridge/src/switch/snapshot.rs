//! The switch's part of the state: one moment, in which the books balance.

use dcbridge_config as config;
use dcbridge_scheduler::{Backlog, PortId, Priority, Time};

use super::Switch;
use super::books::{PortBooks, drops};
use crate::arena::CELL;
use crate::state::{Buffer, ClassState, Count, FdbEntry, FdbSummary, Port, PriorityState, Snapshot};

impl Switch {
    /// All counters, now. Link states and the worker's own figures are filled in by whoever knows them.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let occupancy = self.scheduler.occupancy();
        let bytes = |cells: u32| u64::from(cells) * CELL as u64;
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
                entries: self.fdb.len() as u64,
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
        let priorities: Vec<PriorityState> =
            Priority::all().map(|p| priority_state(books, p, self.scheduler.backlog(port, p, now))).collect();
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
            rx: books.rx,
            tx: books.tx,
            consumed: books.consumed,
            originated: books.originated,
            copies: books.copies,
            rx_drops: drops(&books.rx_drops),
            tx_drops: drops(&books.tx_drops),
            queued,
            priorities,
            classes: self.config.traffic_classes.iter().map(|c| class_state(c, books)).collect(),
        }
    }

    /// Line time that ports lost by being served late.
    pub fn late(&self) -> Time {
        self.ports().map(|p| self.scheduler.late(p)).fold(Time::ZERO, |a, b| a + b)
    }

    /// The forwarding database as the state shows it.
    pub fn fdb_state(&self, now: Time) -> Vec<FdbEntry> {
        self.fdb
            .entries(now)
            .into_iter()
            .map(|e| FdbEntry {
                mac: e.mac.map(|b| format!("{b:02x}")).join(":"),
                vlan: e.vid,
                port: self.config.ports[e.port.index()].name.clone(),
                is_static: e.is_static,
                age_seconds: e.age.as_nanos() / 1_000_000_000,
            })
            .collect()
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
    }
}

fn class_state(class: &config::TrafficClass, books: &PortBooks) -> ClassState {
    let ets = class.tsa == config::Tsa::Ets;
    ClassState {
        name: class.name.clone(),
        tc: class.tc,
        tsa: if ets { "ets" } else { "strict" }.to_owned(),
        priorities: class.priorities.0,
        target_share: ets.then(|| f64::from(class.bandwidth) / 100.0),
        tx: books.class_tx[usize::from(class.tc & 7)],
        tx_wire_bytes: books.class_wire[usize::from(class.tc & 7)],
    }
}
