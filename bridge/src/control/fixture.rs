//! A hand-made switch for tests: two ports, three classes, figures whose shares and sums are easy to see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dcbridge_config::{Bridge, Config, Io, Lldp, Maps, Metrics, Poll, Scheduling};

use super::source::StateSource;
use crate::runtime::Error;
use crate::state::lldp::{
    Application, Capability, Dcbx, Ets, LldpCounters, Neighbor, Peer, Pfc, PortLldp, Standing, Values,
};
use crate::state::{
    Buffer, ClassState, Count, Drop, FdbEntry, FdbSummary, GroupState, Port, PriorityState, Snapshot, Worker,
};

/// A source of state that tests fill.
pub(crate) struct Fixture {
    pub(crate) state: Mutex<Result<Snapshot, String>>,
    pub(crate) asked: AtomicU64,
    config: Arc<Config>,
}

impl Fixture {
    pub(crate) fn new(snapshot: Snapshot) -> Fixture {
        Fixture { state: Mutex::new(Ok(snapshot)), asked: AtomicU64::new(0), config: Arc::new(config()) }
    }

    pub(crate) fn set(&self, state: Result<Snapshot, String>) {
        *self.state.lock().unwrap() = state;
    }
}

impl StateSource for Fixture {
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.state.lock().unwrap().clone().map_err(Error)
    }

    async fn fdb(&self) -> Result<Vec<FdbEntry>, Error> {
        self.state.lock().unwrap().clone().map_err(Error)?;
        Ok(fdb())
    }
}

pub(crate) fn config() -> Config {
    Config {
        bridge: Bridge {
            name: "br0".to_owned(),
            buffer_bytes: 12_000_000,
            ageing_seconds: 300,
            fdb_limit: 8192,
            flood_rate: None,
            loop_detection: true,
            stall_budget_us: 5000,
            control_socket: "/run/dcbridge/br0.sock".into(),
        },
        worker: dcbridge_config::Worker {
            threads: 1,
            io: Io::Auto,
            poll: Poll::Sleep,
            scheduling: Scheduling::Auto,
            cpus: vec![],
        },
        metrics: Metrics { listen: None },
        watchdog: None,
        lldp: Lldp {
            enabled: true,
            tx_interval_seconds: 30,
            hold: 4,
            fast_start: 4,
            neighbor_limit: 8,
            more_groups: Vec::new(),
            management_addresses: Vec::new(),
        },
        traffic_classes: Vec::new(),
        policies: Vec::new(),
        maps: Maps {
            pcp_to_priority: [0, 1, 2, 3, 4, 5, 6, 7],
            dscp_to_priority: [0; 64],
            priority_to_pcp: [0, 1, 2, 3, 4, 5, 6, 7],
            priority_to_dscp: [None; 8],
        },
        ports: Vec::new(),
        static_entries: Vec::new(),
    }
}

pub(crate) fn fdb() -> Vec<FdbEntry> {
    vec![
        FdbEntry {
            mac: "02:00:00:00:00:01".to_owned(),
            vlan: 1,
            port: "tap0".to_owned(),
            is_static: false,
            age_seconds: 12,
        },
        FdbEntry {
            mac: "02:00:00:00:00:02".to_owned(),
            vlan: 10,
            port: "tap1".to_owned(),
            is_static: true,
            age_seconds: 0,
        },
    ]
}

/// `frames` frames of 1000 bytes, in superframes of 10.
pub(crate) fn count(frames: u64) -> Count {
    Count { units: frames / 10, frames, bytes: frames * 1000 }
}

/// A snapshot and the one a second later: at `tap0` class 0 sent 30 MB, class 3 90 MB, and the strict class 5 5 MB.
pub(crate) fn window() -> (Snapshot, Snapshot) {
    let earlier = snapshot();
    let mut later = snapshot();
    later.uptime_ns += 1_000_000_000;
    for (class, bytes) in later.ports[0].classes.iter_mut().zip([30_000_000, 90_000_000, 5_000_000]) {
        class.tx_wire_bytes += bytes;
        class.tx.add(Count { units: bytes / 10_000, frames: bytes / 1000, bytes });
    }
    later.ports[0].tx.add(count(125_000));
    later.ports[1].rx.add(count(125_000));
    (earlier, later)
}

pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        name: "br0".to_owned(),
        uptime_ns: 90_500_000_000,
        buffer: Buffer { size_bytes: 12_000_000, used_bytes: 640_000, peak_bytes: 3_200_000 },
        ports: vec![busy_port(), down_port()],
        fdb: FdbSummary { entries: 2, limit: 8192, moves: 1, refused: 0 },
        worker: Worker {
            io: "io_uring".to_owned(),
            turns: 123_456,
            wakeups: 2345,
            late_ns: 1_500_000,
            cpu_ns: 12_345_678_901,
            flow_reaction: (0..crate::state::REACTION_BUCKETS as u64).collect(),
            flow_reaction_sum_ns: 23_456,
            ..Worker::default()
        },
        workers: Vec::new(),
    }
}

fn busy_port() -> Port {
    let mut priorities: Vec<PriorityState> = (0..8).map(|_| PriorityState::default()).collect();
    priorities[0].tx = count(400_000);
    priorities[0].dropped = count(2500);
    priorities[3] = PriorityState {
        rx: count(50),
        tx: count(600_000),
        dropped: Count::default(),
        queued: count(640),
        occupied_bytes: 640_000,
        peak_bytes: 900_000,
        paused: true,
        paused_ns: 2_250_000_000,
        pauses: 7,
        group: GroupState {
            lossless: true,
            gate_closed: true,
            occupied_bytes: 220_160,
            headroom_used_bytes: 20_480,
            headroom_peak_bytes: 40_960,
            headroom_bytes: 102_400,
            pfc_rx: 14,
            xoff_tx: 21,
            xon_tx: 20,
            ..GroupState::default()
        },
    };
    Port {
        name: "tap0".to_owned(),
        kind: "tap".to_owned(),
        up: true,
        line_rate_bps: Some(1_000_000_000),
        mtu: 9000,
        offload: true,
        rx: count(150),
        tx: count(1_000_000),
        consumed: count(10),
        originated: count(20),
        copies: count(30),
        rx_drops: vec![
            drop("runt", "shorter than an Ethernet header", 0),
            drop("vlan_filtered", "its VLAN is not a member of the port", 40),
        ],
        tx_drops: vec![drop("queue_full", "the queue had reached its share of the buffer", 2500)],
        queued: count(640),
        priorities,
        classes: classes([400_000, 600_000, 0]),
        lldp: Some(lldp()),
        ..Port::default()
    }
}

/// A willing port whose peer recommends 70 : 30 and PFC for 3 and 4.
fn lldp() -> PortLldp {
    let standing = |willing, source: &str| Standing { willing, active: true, source: source.to_owned() };
    let values = |shares: [u8; 2], pfc, standing: Standing| {
        let (mut bandwidth, mut tsa) = (vec![0; 8], vec!["strict".to_owned(); 8]);
        for (tc, share) in [0, 3].into_iter().zip(shares) {
            (bandwidth[tc], tsa[tc]) = (share, "ets".to_owned());
        }
        let class_of = [0, 0, 0, 3, 0, 5, 0, 0].map(Some).to_vec();
        Values {
            ets: Some(Ets { class_of, bandwidth, tsa, standing: standing.clone() }),
            pfc: Some(Pfc { enabled: pfc, standing }),
            applications: Vec::new(),
        }
    };
    let app = |source: &str| Application {
        selector: "ethertype".to_owned(),
        protocol: 0x8906,
        priority: 3,
        source: source.to_owned(),
    };
    let theirs = values([70, 30], 0b1_1000, standing(Some(false), ""));
    PortLldp {
        mac: "02:aa:bb:cc:00:00".to_owned(),
        counters: LldpCounters { frames_out: 12, frames_in: 9, ..LldpCounters::default() },
        neighbors: vec![Neighbor {
            group: "nearest-bridge".to_owned(),
            mac: "02:00:00:00:00:09".to_owned(),
            chassis: "02:00:00:00:00:09".to_owned(),
            port: "eth0".to_owned(),
            system_name: "storage1".to_owned(),
            capabilities: vec!["station".to_owned()],
            speaks_dcbx: true,
            known_seconds: 65,
            expires_seconds: 118,
            ..Neighbor::default()
        }],
        dcbx: Some(Dcbx {
            mode: "auto".to_owned(),
            dialect: "IEEE".to_owned(),
            role: "manual".to_owned(),
            agreement: "differing".to_owned(),
            capability: Capability { max_classes: 8, pfc_priorities: 8 },
            local: values([40, 60], 0b1000, standing(Some(true), "")),
            peer: Some(Peer {
                name: "storage1".to_owned(),
                mac: "02:00:00:00:00:09".to_owned(),
                dialect: "IEEE".to_owned(),
                values: Values { applications: vec![app("")], ..theirs.clone() },
            }),
            operational: Values {
                applications: vec![app("peer")],
                ..values([70, 30], 0b1_1000, standing(None, "peer"))
            },
            diagnosis: vec!["peer sends no Application VLAN TLV; the local value is used".to_owned()],
            renegotiations: 2,
            ..Dcbx::default()
        }),
    }
}

fn down_port() -> Port {
    Port {
        name: "tap1".to_owned(),
        kind: "tap".to_owned(),
        down_reason: "the interface has vanished".to_owned(),
        line_rate_bps: None,
        mtu: 1500,
        // So that the books balance.
        rx: count(1_002_990),
        priorities: (0..8).map(|_| PriorityState::default()).collect(),
        classes: classes([0; 3]),
        ..Port::default()
    }
}

fn classes(frames: [u64; 3]) -> Vec<ClassState> {
    let class = |name: &str, tc, tsa: &str, priorities, target_share, frames| ClassState {
        name: name.to_owned(),
        tc,
        tsa: tsa.to_owned(),
        priorities,
        target_share,
        tx: count(frames),
        tx_wire_bytes: frames * 1024,
    };
    vec![
        class("default", 0, "ets", 0b1101_0111, Some(0.4), frames[0]),
        class("smb-direct", 3, "ets", 0b0000_1000, Some(0.6), frames[1]),
        class("cluster", 5, "strict", 0b0010_0000, None, frames[2]),
    ]
}

fn drop(reason: &str, meaning: &str, frames: u64) -> Drop {
    Drop { reason: reason.to_owned(), meaning: meaning.to_owned(), count: count(frames) }
}
