//! The agents' side, from the configuration: who the switch is, what it offers, how a port negotiates.

use std::net::IpAddr;

use dcbridge_config as config;
use dcbridge_scheduler::PortId;
use lldp_dcbx::dcbx::{Capability, DcbxConfig, FeatureFlags, Mode, MultiPeer};
use lldp_dcbx::lldp::{Group, LldpConfig};
use lldp_dcbx::roles::Role;
use lldp_dcbx::wire::app::{AppEntry, AppTable, Selector};
use lldp_dcbx::wire::basic::{Capabilities, ManagementAddress, Text};
use lldp_dcbx::wire::cee::CeeApps;
use lldp_dcbx::wire::ets::{EtsTable, Tsa};
use lldp_dcbx::wire::{ChassisId, PortId as LldpPortId};
use lldp_dcbx::{AgentConfig, LocalInfo, Mac, Priority, PrioritySet};

use crate::switch::flow::source_address;

/// Of a range of ports or DSCPs in a policy, at most so many are advertised one by one.
const RANGE_MAX: u16 = 16;
/// FCS and one VLAN tag: what the maximum frame size of LLDP counts beside the Ethernet header (802.3 79.3.4).
const FRAME_EXTRA: u16 = 14 + 4 + 4;
/// Number of the "port" whose address names the whole switch.
const CHASSIS: u16 = u16::MAX;

/// Who a switch is, the same at every start.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Makes its addresses; see [`source_address`].
    pub number: u64,
    /// Name of the host it runs on.
    pub host: String,
}

impl Identity {
    /// Of a switch on this machine: two switches of one name differ by their control sockets, two machines by their
    /// names and machine ids.
    pub fn of(config: &config::Config) -> Identity {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let host = read("/proc/sys/kernel/hostname").trim().to_owned();
        let machine = read("/etc/machine-id");
        let socket = config.bridge.control_socket.to_string_lossy();
        let parts = [host.as_str(), machine.trim(), &socket, &config.bridge.name];
        Identity { number: fingerprint(&parts), host }
    }

    fn system_name(&self, bridge: &str) -> String {
        if self.host.is_empty() { bridge.to_owned() } else { format!("{bridge}.{}", self.host) }
    }

    fn mac(&self, port: u16) -> Mac {
        Mac(source_address(self.number, port))
    }

    /// The address of a port: what it sends as flow control and LLDP comes from there.
    pub fn port_mac(&self, port: PortId) -> Mac {
        self.mac(port.0)
    }
}

/// FNV-1a, its bits mixed once more: stable over versions, unlike the hashes of the standard library.
fn fingerprint(parts: &[&str]) -> u64 {
    let octets = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = octets.fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ mixed >> 33
}

/// The role of a port.
pub(super) fn role(dcbx: &config::Dcbx) -> Role {
    match dcbx.role {
        config::DcbxRole::Manual => Role::Manual,
        config::DcbxRole::AutoUpstream => Role::AutoUpstream,
        config::DcbxRole::AutoDownstream => Role::AutoDownstream,
        config::DcbxRole::ConfigurationSource => Role::ConfigurationSource,
    }
}

/// Everything that the agent of a port is made from.
pub(super) fn agent(config: &config::Config, identity: &Identity, index: usize) -> AgentConfig {
    let port = &config.ports[index];
    let chassis = identity.mac(CHASSIS);
    let name = &config.bridge.name;
    let bridge = Capabilities::new(Capabilities::BRIDGE, Capabilities::BRIDGE);
    AgentConfig {
        chassis: ChassisId::mac(chassis),
        port: LldpPortId::interface_name(&port.name).unwrap_or(LldpPortId::mac(chassis)),
        lldp: LldpConfig {
            msg_tx_interval: config.lldp.tx_interval_seconds,
            msg_tx_hold: config.lldp.hold,
            tx_fast_init: config.lldp.fast_start,
            neighbor_limit: config.lldp.neighbor_limit,
            ..LldpConfig::default()
        },
        more_groups: config.lldp.more_groups.iter().map(group).collect(),
        info: LocalInfo {
            port_description: Some(Text::new(&format!("{} port {} of {name}", kind(port), port.name))),
            system_name: Some(Text::new(&identity.system_name(name))),
            system_description: Some(Text::new(&format!(
                "dcbridge {}, a lossless Ethernet switch in software",
                crate::VERSION
            ))),
            capabilities: Some(bridge),
            management: config.lldp.management_addresses.iter().filter_map(management).collect(),
            // A transparent port has no VLAN of its own; 0 says that untagged frames are dropped.
            pvid: (!port.vlan.transparent).then(|| port.vlan.pvid.unwrap_or(0)),
            max_frame_size: Some(port.mtu.saturating_add(FRAME_EXTRA)),
            ..LocalInfo::default()
        },
        dcbx: port.dcbx.as_ref().map(|dcbx| dcbx_config(config, port, dcbx)),
    }
}

fn group(group: &config::LldpGroup) -> Group {
    match group {
        config::LldpGroup::NearestNonTpmr => Group::NearestNonTpmr,
        config::LldpGroup::NearestCustomer => Group::NearestCustomer,
    }
}

/// An address with its IANA family. It belongs to the machine, so it is on no port of the switch: interface 0.
fn management(address: &IpAddr) -> Option<ManagementAddress> {
    match address {
        IpAddr::V4(v4) => ManagementAddress::new(1, &v4.octets(), 0),
        IpAddr::V6(v6) => ManagementAddress::new(2, &v6.octets(), 0),
    }
}

fn kind(port: &config::Port) -> &'static str {
    match port.kind {
        config::PortKind::Tap { .. } => "TAP",
        config::PortKind::Veth { .. } => "veth",
        config::PortKind::Packet { .. } => "packet",
        config::PortKind::Stream { .. } => "stream",
    }
}

/// The local side of DCBX on a port.
pub(super) fn dcbx_config(config: &config::Config, port: &config::Port, dcbx: &config::Dcbx) -> DcbxConfig {
    let flags = FeatureFlags { willing: dcbx.willing, ..FeatureFlags::ON };
    let ets = ets(config);
    DcbxConfig {
        mode: match dcbx.mode {
            config::DcbxMode::Auto => Mode::Auto,
            config::DcbxMode::Ieee => Mode::Ieee,
            config::DcbxMode::Cee => Mode::Cee,
            config::DcbxMode::Cin => Mode::Cin,
        },
        multi_peer: match dcbx.multi_peer {
            config::MultiPeer::Disable => MultiPeer::Disable,
            config::MultiPeer::KeepFirst => MultiPeer::KeepFirst,
        },
        capability: Capability {
            max_classes: 8,
            pfc_priorities: config::lossless_capacity(config, port),
            credit_based: false,
        },
        ets,
        ets_flags: flags,
        ets_recommendation: Some(ets),
        pfc: pfc(config, port),
        pfc_flags: flags,
        app: applications(config, port),
        app_flags: flags,
        ..DcbxConfig::default()
    }
}

/// The priorities that a port pauses by PFC when their groups are full. One set goes on the wire, though a port may
/// obey more than it sends.
pub(super) fn pfc(config: &config::Config, port: &config::Port) -> PrioritySet {
    match port.flow_control {
        config::FlowControl::Pfc { .. } => PrioritySet(port.pausing(config.lossless_priorities()).0),
        config::FlowControl::Off | config::FlowControl::Pause => PrioritySet::EMPTY,
    }
}

/// The configured classes as an ETS table.
pub(super) fn ets(config: &config::Config) -> EtsTable {
    let (mut class_of, mut bandwidth, mut tsa) = ([0; 8], [0; 8], [Tsa::Strict; 8]);
    for class in &config.traffic_classes {
        let tc = class.tc & 7;
        for priority in class.priorities.iter() {
            class_of[usize::from(priority)] = tc;
        }
        if class.tsa == config::Tsa::Ets {
            (bandwidth[usize::from(tc)], tsa[usize::from(tc)]) = (class.bandwidth, Tsa::Ets);
        }
    }
    // The shares of a checked configuration sum to 100.
    EtsTable::new(class_of, bandwidth, tsa).unwrap_or(EtsTable::single_class())
}

/// The policies that name an application, as far as they hold for what comes in by a port. Of two for one application
/// the first decides, as it does for frames.
fn applications(config: &config::Config, port: &config::Port) -> AppTable {
    let mut entries: Vec<AppEntry> = Vec::new();
    for policy in &config.policies {
        let Some(priority) = Priority::new(policy.priority) else { continue };
        for (selector, protocol) in policy.any_of.iter().flat_map(|condition| application(condition, port)) {
            if !entries.iter().any(|e| (e.selector, e.protocol) == (selector, protocol)) {
                entries.push(AppEntry { selector, protocol, priority });
            }
        }
    }
    if entries.len() > CeeApps::MAX {
        let (port, most) = (&port.name, CeeApps::MAX);
        tracing::warn!(port, "{} applications in policies, the first {most} are advertised", entries.len());
        entries.truncate(CeeApps::MAX);
    }
    AppTable::new(entries).unwrap_or_default()
}

/// The applications that a condition names; none when it asks for something that DCBX can't say.
fn application(condition: &config::Match, port: &config::Port) -> Vec<(Selector, u16)> {
    let c = condition;
    let elsewhere = !c.in_ports.is_empty() && !c.in_ports.contains(&port.name);
    let by_host = c.src_mac.is_some() || c.dst_mac.is_some() || c.src_ip.is_some() || c.dst_ip.is_some();
    // Applications are named by where they are served.
    let by_source = c.src_port.is_some() || (c.either_port.is_some() && c.dst_port.is_some());
    if elsewhere || by_host || by_source || c.vlan.is_some() || c.pcp.is_some() {
        return Vec::new();
    }
    match (c.ethertype, c.dscp, c.either_port.or(c.dst_port)) {
        (Some(ethertype), None, None) if c.protocols.is_empty() => vec![(Selector::Ethertype, ethertype)],
        (None, Some(dscp), None) if c.protocols.is_empty() => vec![(Selector::Dscp, u16::from(dscp))],
        (None, None, Some((first, last))) if last - first < RANGE_MAX => {
            let Some(selector) = transport(&c.protocols) else { return Vec::new() };
            (first..=last).map(|number| (selector, number)).collect()
        }
        // Every frame: the default priority.
        (None, None, None) if c.protocols.is_empty() => vec![(Selector::Ethertype, 0)],
        _ => Vec::new(),
    }
}

fn transport(protocols: &[u8]) -> Option<Selector> {
    match protocols {
        [6] => Some(Selector::Tcp),
        [17] => Some(Selector::Udp),
        [] | [6, 17] | [17, 6] => Some(Selector::AnyPort),
        _ => None,
    }
}
