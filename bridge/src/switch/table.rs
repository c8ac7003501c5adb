//! From the checked configuration to what the steps read.

use std::sync::Arc;

use dcbridge_config as config;
use dcbridge_scheduler::{
    ClassConfig, ClassTable, PortConfig, PortId, QueueConfig, QueueLimit, Rate, Scheduler, Time, Tsa,
};

use super::Switch;
use super::arrivals::Arrivals;
use super::books::PortBooks;
use super::classify::Classifier;
use super::crew::{Crew, Member};
use super::device;
use super::fdb::Fdb;
use super::flow::{Flow, FlowConfig, Kind};
use super::forward::{Forwarding, PortSet};
use super::lldp::Lldp;
use super::loops::Loops;
use super::operation::Operation;
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
    /// Makes the source addresses of the switch's own frames (see [`super::flow::source_address`]).
    pub identity: u64,
    /// How late `poll` may come and still catch up; zero in virtual time.
    pub burst: Time,
}

impl Switch {
    /// A switch with all its ports down, which owns all of them.
    pub fn new(config: &Arc<config::Config>, arena: &Arena, setting: Setting) -> Switch {
        Switch::member(config, arena, setting, &Crew::alone(config), 0)
    }

    /// One member of a switch, with all its ports down.
    pub fn member(
        config: &Arc<config::Config>,
        arena: &Arena,
        setting: Setting,
        crew: &Crew,
        number: usize,
    ) -> Switch {
        let ports: Vec<PortConfig> = config
            .ports
            .iter()
            .map(|p| port_config(p, class_table(&config.traffic_classes), setting.burst, true))
            .collect();
        let cells = (config.bridge.buffer_bytes / CELL as u64) as u32;
        let limits = config.ports.iter().map(|p| p.fdb_limit.unwrap_or(u32::MAX)).collect();
        let ageing = Time::from_millis(u64::from(config.bridge.ageing_seconds) * 1000);
        let mut fdb =
            Fdb::new(config.bridge.fdb_limit, limits, config.static_entries.len(), ageing, setting.seed);
        let share = crew.share(number);
        for entry in &config.static_entries {
            if let Some(port) = config.ports.iter().position(|p| p.name == entry.port) {
                fdb.insert_static(entry.vlan, entry.mac, PortId(port as u16));
            }
        }
        Switch {
            scheduler: Scheduler::with_share(&ports, share, cells, arena.frame_count()),
            classifier: Classifier::new(config),
            forwarding: Forwarding::new(config),
            fdb,
            loops: Loops::new(config.ports.len(), config.bridge.loop_detection, setting.seed),
            egress: config.ports.iter().map(|p| Egress::new(p, &config.maps, true)).collect(),
            facts: config.ports.iter().map(plain_facts).collect(),
            books: config.ports.iter().map(|_| PortBooks::new()).collect(),
            frames: vec![Remembered::EMPTY; arena.frame_count()],
            findings: Vec::new(),
            flow: Flow::new(config.ports.iter().map(flow_config).collect(), setting.identity),
            lldp: Lldp::new(config.ports.iter().map(|p| p.lldp)),
            operations: vec![Operation::default(); config.ports.len()],
            device_room: device::room(config, crew, number),
            watchdog: config.watchdog.as_ref().map(|w| Watchdog::new(watchdog_config(w), config.ports.len())),
            storms: Vec::new(),
            waiting: PortSet::EMPTY,
            arrivals: Arrivals::new(config.ports.len()),
            gates: Vec::new(),
            lossless: vec![0; config.ports.len()],
            lossless_came: false,
            member: Member::new(crew, number),
            burst: setting.burst,
            config: config.clone(),
        }
    }

    /// A device was attached to a port. Its lossless priority groups get the headroom that it needs.
    pub fn attach(&mut self, port: PortId, device: Attachment) {
        let facts = &mut self.facts[port.index()];
        facts.offload = device.offload;
        facts.rx_queues = device.rx_queues;
        facts.guarantee = device.guarantee;
        self.egress[port.index()].offload = device.offload;
        self.configure_port(port);
        self.configure_groups(port);
    }
}

fn plain_facts(port: &config::Port) -> PortFacts {
    PortFacts { mtu: port.mtu, offload: true, rx_queues: 1, guarantee: Guarantee::None }
}

pub(super) fn cells_of(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CELL as u64)).unwrap_or(u32::MAX)
}

pub(super) fn queue_limit(limit: config::QueueLimit) -> QueueLimit {
    match limit {
        config::QueueLimit::Static(bytes) => QueueLimit::Static(cells_of(bytes)),
        config::QueueLimit::Dynamic(n) => QueueLimit::Dynamic(n),
    }
}

/// How a port controls flow by configuration.
pub(super) fn flow_kind(port: &config::Port) -> Kind {
    match port.flow_control {
        config::FlowControl::Off => Kind::Off,
        config::FlowControl::Pause => Kind::Pause,
        config::FlowControl::Pfc { receive, transmit } => {
            Kind::Pfc { receive: receive.0, transmit: transmit.0 }
        }
    }
}

fn flow_config(port: &config::Port) -> FlowConfig {
    let rate = port.pfc_rate.or(port.line_rate).map_or(FlowConfig::default().rate, rate);
    FlowConfig { kind: flow_kind(port), rate }
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

pub(super) fn port_config(
    port: &config::Port,
    classes: ClassTable,
    burst: Time,
    superframes: bool,
) -> PortConfig {
    PortConfig {
        line_rate: port.line_rate.map(rate),
        burst,
        max_frame: u32::from(port.mtu) + (ETHERNET + 2 * TAG) as u32,
        superframes,
        classes,
    }
}

/// The configured classes.
pub(super) fn class_table(classes: &[config::TrafficClass]) -> ClassTable {
    let mut table = ClassTable::default();
    for class in classes {
        table.classes[usize::from(class.tc & 7)] = ClassConfig {
            tsa: tsa(class),
            min_rate: class.min_rate.map(rate),
            max_rate: class.max_rate.map(rate),
        };
        let limit = match class.queue_limit {
            // A lossless class is limited where frames come in, never where they leave.
            _ if class.lossless => QueueLimit::Buffer,
            limit => queue_limit(limit),
        };
        let lifetime = class.lifetime_us.map(|us| Time::from_micros(u64::from(us)));
        for priority in class.priorities.iter().map(usize::from) {
            table.class_of[priority] = class.tc & 7;
            table.queues[priority] = QueueConfig { limit, lifetime };
        }
    }
    table
}

fn tsa(class: &config::TrafficClass) -> Tsa {
    match class.tsa {
        config::Tsa::Strict => Tsa::Strict,
        config::Tsa::Ets => Tsa::Ets { weight: class.bandwidth },
    }
}

fn rate(rate: config::BitRate) -> Rate {
    Rate::from_bits_per_second(rate.0)
}
