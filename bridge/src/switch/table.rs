//! From the checked configuration to what the steps read.

use std::sync::Arc;

use dcbridge_config as config;
use dcbridge_scheduler::time::WIRE_MIN;
use dcbridge_scheduler::{
    ClassConfig, ClassTable, GroupConfig, PortConfig, PortId, Priority, QueueLimit, Rate, Scheduler, Time,
    Tsa,
};

use super::Switch;
use super::books::PortBooks;
use super::classify::Classifier;
use super::fdb::Fdb;
use super::flow::{Flow, FlowConfig, Kind};
use super::forward::Forwarding;
use super::loops::Loops;
use super::parse::{ETHERNET, TAG};
use super::rewrite::{Egress, Remembered};
use super::watchdog::{Action, Watchdog, WatchdogConfig};
use crate::arena::{Arena, CELL};
use crate::port::Guarantee;

/// What is known of a port beside its configuration.
#[derive(Clone, Debug)]
pub struct PortFacts {
    /// L3 MTU.
    pub mtu: u16,
    /// Whether it takes offloads.
    pub offload: bool,
    /// Receive queues: 1, or one for each priority.
    pub rx_queues: u8,
    /// What a closed gate guarantees.
    pub guarantee: Guarantee,
}

/// What a device that is attached to a port can do.
#[derive(Clone, Copy, Debug)]
pub struct Attachment {
    /// Whether it takes superframes and unfinished checksums.
    pub offload: bool,
    /// Receive queues: 1, or one for each priority.
    pub rx_queues: u8,
    /// What a closed gate guarantees.
    pub guarantee: Guarantee,
}

impl Attachment {
    /// A device with one queue that can't push back.
    pub fn plain(offload: bool) -> Attachment {
        Attachment { offload, rx_queues: 1, guarantee: Guarantee::None }
    }
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
            facts: config.ports.iter().map(plain_facts).collect(),
            books: config.ports.iter().map(|_| PortBooks::new()).collect(),
            frames: vec![Remembered::EMPTY; arena.frame_count()],
            findings: Vec::new(),
            flow: Flow::new(config.ports.iter().map(flow_config).collect(), setting.seed),
            watchdog: config.watchdog.as_ref().map(|w| Watchdog::new(watchdog_config(w), config.ports.len())),
            storms: Vec::new(),
            gates: Vec::new(),
            burst: setting.burst,
            config: config.clone(),
        }
    }

    /// A device was attached to a port. Its lossless priority groups get the headroom that it needs.
    pub fn attach(&mut self, port: PortId, device: Attachment) {
        let config = &self.config.ports[port.index()];
        let facts = &mut self.facts[port.index()];
        facts.offload = device.offload;
        facts.rx_queues = device.rx_queues;
        facts.guarantee = device.guarantee;
        self.egress[port.index()].offload = device.offload;
        self.scheduler.configure(port, &port_config(&self.config, config, self.burst, device.offload));
        let pausing = config.pausing(self.config.lossless_priorities());
        for class in &self.config.traffic_classes {
            let limits = group_config(&self.config, config, class, device.guarantee);
            for priority in Priority::all().filter(|p| class.priorities.contains(p.get())) {
                // Where nobody is asked to pause, a group is like any other.
                let pauses = class.lossless && pausing.contains(priority.get());
                self.scheduler.configure_group(port, priority, pauses.then_some(limits));
            }
        }
    }
}

fn plain_facts(port: &config::Port) -> PortFacts {
    PortFacts { mtu: port.mtu, offload: true, rx_queues: 1, guarantee: Guarantee::None }
}

/// Limits of the priority groups of a lossless class at a port.
fn group_config(
    config: &config::Config,
    port: &config::Port,
    class: &config::TrafficClass,
    guarantee: Guarantee,
) -> GroupConfig {
    let residual = match guarantee {
        Guarantee::BoundedByHeadroom { residual_bytes } => residual_bytes.div_ceil(WIRE_MIN),
        Guarantee::Exact | Guarantee::FramesOnly | Guarantee::None => 0,
    };
    // What a person configured is meant to be all of it.
    let residual = if port.headroom_bytes.is_some() { 0 } else { residual };
    let headroom = cells_of(config::group_headroom(config, port)).saturating_add(residual);
    GroupConfig {
        reserved: cells_of(class.reserved_bytes),
        limit: queue_limit(class.queue_limit),
        headroom,
        xon_offset: cells_of(class.xon_offset_bytes),
    }
}

fn cells_of(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CELL as u64)).unwrap_or(u32::MAX)
}

fn queue_limit(limit: config::QueueLimit) -> QueueLimit {
    match limit {
        config::QueueLimit::Static(bytes) => QueueLimit::Static(cells_of(bytes)),
        config::QueueLimit::Dynamic(n) => QueueLimit::Dynamic(n),
    }
}

fn flow_config(port: &config::Port) -> FlowConfig {
    let kind = match port.flow_control {
        config::FlowControl::Off => Kind::Off,
        config::FlowControl::Pause => Kind::Pause,
        config::FlowControl::Pfc { receive, transmit } => {
            Kind::Pfc { receive: receive.0, transmit: transmit.0 }
        }
    };
    let rate = port.pfc_rate.or(port.line_rate).map_or(FlowConfig::default().rate, rate);
    FlowConfig { kind, rate }
}

fn watchdog_config(watchdog: &config::Watchdog) -> WatchdogConfig {
    let ms = |n: u32| Time::from_millis(u64::from(n));
    WatchdogConfig {
        detection: ms(watchdog.detection_ms),
        restoration: ms(watchdog.restoration_ms),
        poll: ms(watchdog.poll_ms),
        action: match watchdog.action {
            config::WatchdogAction::Drop => Action::Drop,
            config::WatchdogAction::Forward => Action::Forward,
            config::WatchdogAction::Alert => Action::Alert,
        },
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
                limit => queue_limit(limit),
            },
            lifetime: class.lifetime_us.map(|us| Time::from_micros(u64::from(us))),
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
