//! From the checked configuration to what the steps read.

use std::sync::Arc;

use dcbridge_config as config;
use dcbridge_scheduler::{
    ClassConfig, ClassTable, PortConfig, PortId, QueueLimit, Rate, Scheduler, Time, Tsa,
};

use super::Switch;
use super::books::PortBooks;
use super::classify::Classifier;
use super::fdb::Fdb;
use super::forward::Forwarding;
use super::loops::Loops;
use super::parse::{ETHERNET, TAG};
use super::rewrite::{Egress, Remembered};
use crate::arena::{Arena, CELL};

/// What is known of a port beside its configuration.
#[derive(Clone, Debug)]
pub struct PortFacts {
    /// L3 MTU.
    pub mtu: u16,
    /// Whether it was attached, and takes offloads.
    pub offload: bool,
}

/// How a switch runs: what the configuration does not say.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Keys the forwarding database and names the switch in loop probes.
    pub seed: u64,
    /// How late `poll` may come and still catch up; zero in virtual time.
    pub burst: Time,
}

impl Switch {
    /// A switch with all its ports down.
    pub fn new(config: &Arc<config::Config>, arena: &Arena, setting: Setting) -> Switch {
        let ports: Vec<PortConfig> =
            config.ports.iter().map(|p| port_config(config, p, setting.burst, true)).collect();
        let cells = (config.bridge.buffer_bytes / CELL as u64) as u32;
        let limits = config.ports.iter().map(|p| p.fdb_limit.unwrap_or(u32::MAX)).collect();
        let ageing = Time::from_millis(u64::from(config.bridge.ageing_seconds) * 1000);
        let mut fdb = Fdb::new(config.bridge.fdb_limit, limits, ageing, setting.seed);
        for entry in &config.static_entries {
            if let Some(port) = config.ports.iter().position(|p| p.name == entry.port) {
                fdb.insert_static(entry.vlan, entry.mac, PortId(port as u16));
            }
        }
        Switch {
            scheduler: Scheduler::new(&ports, cells, arena.frame_count()),
            classifier: Classifier::new(config),
            forwarding: Forwarding::new(config),
            fdb,
            loops: Loops::new(config.ports.len(), config.bridge.loop_detection, setting.seed),
            egress: config.ports.iter().map(|p| Egress::new(p, &config.maps, true)).collect(),
            facts: config.ports.iter().map(|p| PortFacts { mtu: p.mtu, offload: true }).collect(),
            books: config.ports.iter().map(|_| PortBooks::new()).collect(),
            frames: vec![Remembered::EMPTY; arena.frame_count()],
            findings: Vec::new(),
            burst: setting.burst,
            config: config.clone(),
        }
    }

    /// A device was attached to a port: whether it takes superframes and unfinished checksums.
    pub fn attach(&mut self, port: PortId, offload: bool) {
        let config = &self.config.ports[port.index()];
        self.facts[port.index()].offload = offload;
        self.egress[port.index()].offload = offload;
        self.scheduler.configure(port, &port_config(&self.config, config, self.burst, offload));
    }
}

fn port_config(config: &config::Config, port: &config::Port, burst: Time, superframes: bool) -> PortConfig {
    PortConfig {
        line_rate: port.line_rate.map(rate),
        burst,
        max_frame: u32::from(port.mtu) + (ETHERNET + 2 * TAG) as u32,
        superframes,
        classes: class_table(&config.traffic_classes),
    }
}

fn class_table(classes: &[config::TrafficClass]) -> ClassTable {
    let mut table = ClassTable::default();
    for class in classes {
        table.classes[usize::from(class.tc & 7)] = ClassConfig {
            tsa: match class.tsa {
                config::Tsa::Strict => Tsa::Strict,
                config::Tsa::Ets => Tsa::Ets { weight: class.bandwidth },
            },
            min_rate: class.min_rate.map(rate),
            max_rate: class.max_rate.map(rate),
            limit: match class.queue_limit {
                // A lossless class is limited where frames come in, never where they leave.
                _ if class.lossless => QueueLimit::Buffer,
                config::QueueLimit::Static(bytes) => QueueLimit::Static(bytes.div_ceil(CELL as u64) as u32),
                config::QueueLimit::Dynamic(n) => QueueLimit::Dynamic(n),
            },
            lifetime: None,
        };
        for priority in (0..8u8).filter(|p| class.priorities.0 & (1 << p) != 0) {
            table.class_of[usize::from(priority)] = class.tc & 7;
        }
    }
    table
}

fn rate(rate: config::BitRate) -> Rate {
    Rate::from_bits_per_second(rate.0)
}
