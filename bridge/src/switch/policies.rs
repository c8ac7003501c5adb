//! The policies, compiled: which one a frame matches first, however many there are.
//!
//! A policy is a list of alternatives, here *rules*, in order of precedence. Each rule is filed under one of the values
//! that it asks for exactly - an address, a port, a prefix, ... - the one that it shares with the fewest other rules.
//! A frame looks up its own values, once for each kind that some rule is filed under, and tries what it finds there.
//! Rules that name no exact value (port ranges, "every frame") are tried one after another, as all are while they are
//! few.
//!
//! What must not enter: marks, trust, what else makes a priority.

use std::collections::HashMap;

use dcbridge_config as config;
use dcbridge_scheduler::{PortId, Priority};
use foldhash::quality::FixedState;

use super::forward::PortSet;
use super::parse::{Frame, Ip};

/// So many rules are tried in turn before looking up pays.
const FEW: usize = 8;

/// An IP prefix as numbers.
#[derive(Clone, Copy)]
struct Prefix {
    v6: bool,
    len: u8,
    addr: u128,
}

impl Prefix {
    fn new(prefix: config::IpPrefix) -> Prefix {
        match prefix.addr {
            std::net::IpAddr::V4(a) => Prefix::of(false, u128::from(a.to_bits()), prefix.len),
            std::net::IpAddr::V6(a) => Prefix::of(true, a.to_bits(), prefix.len),
        }
    }

    /// The prefix of `len` bits in which an address lies.
    fn of(v6: bool, addr: u128, len: u8) -> Prefix {
        let bits: u32 = if v6 { 128 } else { 32 };
        let host = bits.saturating_sub(u32::from(len));
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Prefix { v6, len, addr: addr & mask }
    }

    fn contains(&self, v6: bool, addr: u128) -> bool {
        self.v6 == v6 && Prefix::of(v6, addr, self.len).addr == self.addr
    }
}

/// One alternative of a policy.
struct Rule {
    in_ports: Option<PortSet>,
    condition: config::Match,
    src_ip: Option<Prefix>,
    dst_ip: Option<Prefix>,
    priority: Priority,
}

impl Rule {
    fn matches(&self, port: PortId, frame: &Frame, vid: u16) -> bool {
        let c = &self.condition;
        self.in_ports.as_ref().is_none_or(|set| set.contains(port))
            && c.src_mac.is_none_or(|mac| mac == frame.src)
            && c.dst_mac.is_none_or(|mac| mac == frame.dst)
            && c.vlan.is_none_or(|v| v == vid)
            && c.pcp.is_none_or(|pcp| frame.tag.is_some_and(|t| t.pcp == pcp))
            && c.ethertype.is_none_or(|e| e == frame.ethertype)
            && (!self.asks_ip() || frame.ip.as_ref().is_some_and(|ip| self.matches_ip(frame, ip)))
    }

    fn asks_ip(&self) -> bool {
        let c = &self.condition;
        c.dscp.is_some() || !c.protocols.is_empty() || self.asks_addresses() || self.asks_ports()
    }

    fn asks_ports(&self) -> bool {
        let c = &self.condition;
        c.src_port.is_some() || c.dst_port.is_some() || c.either_port.is_some()
    }

    fn matches_ip(&self, frame: &Frame, ip: &Ip) -> bool {
        let c = &self.condition;
        c.dscp.is_none_or(|d| d == ip.dscp)
            && (c.protocols.is_empty() || c.protocols.contains(&ip.protocol))
            && (!self.asks_addresses()
                || frame.ip_addresses().is_some_and(|both| self.matches_addresses(ip.v6, both)))
            && (!self.asks_ports() || ip.ports.is_some_and(|(src, dst)| self.matches_ports(src, dst)))
    }

    fn asks_addresses(&self) -> bool {
        self.src_ip.is_some() || self.dst_ip.is_some()
    }

    fn matches_addresses(&self, v6: bool, (src, dst): (u128, u128)) -> bool {
        self.src_ip.is_none_or(|p| p.contains(v6, src)) && self.dst_ip.is_none_or(|p| p.contains(v6, dst))
    }

    fn matches_ports(&self, src: u16, dst: u16) -> bool {
        let c = &self.condition;
        let within = |(from, to): (u16, u16), port: u16| (from..=to).contains(&port);
        c.src_port.is_none_or(|range| within(range, src))
            && c.dst_port.is_none_or(|range| within(range, dst))
            && c.either_port.is_none_or(|range| within(range, src) || within(range, dst))
    }

    /// The exact values that it asks for.
    fn keys(&self) -> Vec<Key> {
        let c = &self.condition;
        let exact = |range: Option<(u16, u16)>| range.filter(|(from, to)| from == to).map(|(port, _)| port);
        let number = |kind, value: Option<u16>| value.map(|n| Key::number(kind, n));
        [
            c.src_mac.map(|mac| Key::mac(Kind::SrcMac, mac)),
            c.dst_mac.map(|mac| Key::mac(Kind::DstMac, mac)),
            self.src_ip.filter(|p| p.len > 0).map(|p| Key::prefix(Kind::SrcIp, p)),
            self.dst_ip.filter(|p| p.len > 0).map(|p| Key::prefix(Kind::DstIp, p)),
            number(Kind::SrcPort, exact(c.src_port)),
            number(Kind::DstPort, exact(c.dst_port)),
            number(Kind::EitherPort, exact(c.either_port)),
            number(Kind::Ethertype, c.ethertype),
            number(Kind::Vlan, c.vlan),
            number(Kind::Dscp, c.dscp.map(u16::from)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    SrcMac,
    DstMac,
    SrcIp,
    DstIp,
    SrcPort,
    DstPort,
    EitherPort,
    Ethertype,
    Vlan,
    Dscp,
}

/// A value that a rule asks for, or that a frame has. `len` and `v6` tell prefixes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    v6: bool,
    len: u8,
    value: u128,
}

impl Key {
    fn number(kind: Kind, value: u16) -> Key {
        Key { kind, v6: false, len: 0, value: value.into() }
    }

    fn mac(kind: Kind, mac: [u8; 6]) -> Key {
        Key { kind, v6: false, len: 0, value: mac.iter().fold(0, |n, octet| n << 8 | u128::from(*octet)) }
    }

    fn prefix(kind: Kind, Prefix { v6, len, addr }: Prefix) -> Key {
        Key { kind, v6, len, value: addr }
    }
}

/// A kind of key that some rule is filed under; prefixes by their length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Probe {
    kind: Kind,
    v6: bool,
    len: u8,
}

impl Probe {
    /// The values of this kind that a frame has: one, two where either port counts, or none.
    fn of(self, frame: &Frame, vid: u16) -> [Option<Key>; 2] {
        let ip = frame.ip.as_ref();
        let prefix = |pick: fn((u128, u128)) -> u128| {
            let addresses = ip.filter(|ip| ip.v6 == self.v6).and_then(|_| frame.ip_addresses())?;
            Some(Key::prefix(self.kind, Prefix::of(self.v6, pick(addresses), self.len)))
        };
        let port = |pick: fn((u16, u16)) -> u16| {
            let ports = ip.and_then(|ip| ip.ports)?;
            Some(Key::number(self.kind, pick(ports)))
        };
        match self.kind {
            Kind::SrcMac => [Some(Key::mac(self.kind, frame.src)), None],
            Kind::DstMac => [Some(Key::mac(self.kind, frame.dst)), None],
            Kind::SrcIp => [prefix(|(src, _)| src), None],
            Kind::DstIp => [prefix(|(_, dst)| dst), None],
            Kind::SrcPort => [port(|(src, _)| src), None],
            Kind::DstPort => [port(|(_, dst)| dst), None],
            Kind::EitherPort => [port(|(src, _)| src), port(|(_, dst)| dst)],
            Kind::Ethertype => [Some(Key::number(self.kind, frame.ethertype)), None],
            Kind::Vlan => [Some(Key::number(self.kind, vid)), None],
            Kind::Dscp => [ip.map(|ip| Key::number(self.kind, ip.dscp.into())), None],
        }
    }
}

/// All policies.
pub(super) struct Policies {
    /// The highest precedence first.
    rules: Vec<Rule>,
    /// Numbers of the rules that are filed under a value, in order.
    filed: HashMap<Key, Vec<u32>, FixedState>,
    /// What to look up.
    probes: Vec<Probe>,
    /// Numbers of the other rules, in order.
    rest: Vec<u32>,
}

impl Policies {
    /// From the configuration, in which they are in order of precedence.
    pub(super) fn new(config: &config::Config) -> Policies {
        let number = |name: &str| config.ports.iter().position(|p| p.name == name).map(|i| PortId(i as u16));
        let alternatives =
            config.policies.iter().flat_map(|policy| policy.any_of.iter().map(move |c| (policy, c)));
        let rules = alternatives.map(|(policy, condition)| Rule {
            in_ports: (!condition.in_ports.is_empty())
                .then(|| condition.in_ports.iter().filter_map(|n| number(n)).collect()),
            src_ip: condition.src_ip.map(Prefix::new),
            dst_ip: condition.dst_ip.map(Prefix::new),
            condition: condition.clone(),
            priority: Priority::new(policy.priority),
        });
        Policies::file(rules.collect(), FEW)
    }

    /// Files rules, if there are more than `few`.
    fn file(rules: Vec<Rule>, few: usize) -> Policies {
        let mut sharers: HashMap<Key, u32> = HashMap::new();
        for key in rules.iter().flat_map(Rule::keys) {
            *sharers.entry(key).or_default() += 1;
        }
        let mut policies =
            Policies { rules: Vec::new(), filed: HashMap::default(), probes: Vec::new(), rest: Vec::new() };
        for (n, rule) in (0..).zip(&rules) {
            let keys = rule.keys().into_iter();
            match keys.min_by_key(|key| sharers[key]).filter(|_| rules.len() > few) {
                None => policies.rest.push(n),
                Some(key) => {
                    policies.filed.entry(key).or_default().push(n);
                    let probe = Probe { kind: key.kind, v6: key.v6, len: key.len };
                    if !policies.probes.contains(&probe) {
                        policies.probes.push(probe);
                    }
                }
            }
        }
        Policies { rules, ..policies }
    }

    /// The priority of the first rule that a frame of VLAN `vid` from `port` matches.
    pub(super) fn priority(&self, port: PortId, frame: &Frame, vid: u16) -> Option<Priority> {
        let first = |numbers: &[u32], below: u32| {
            let before = numbers.iter().copied().take_while(|n| *n < below);
            before.into_iter().find(|n| self.rules[*n as usize].matches(port, frame, vid))
        };
        let mut best = u32::MAX;
        for probe in &self.probes {
            for key in probe.of(frame, vid).iter().flatten() {
                let filed = self.filed.get(key).map_or(&[][..], Vec::as_slice);
                best = first(filed, best).unwrap_or(best);
            }
        }
        best = first(&self.rest, best).unwrap_or(best);
        self.rules.get(best as usize).map(|rule| rule.priority)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::port::VnetHeader;
    use crate::sim::frames::Spec;
    use crate::switch::parse::parse;

    /// Conditions over few values, so that many rules match a frame and share their keys.
    fn condition() -> impl Strategy<Value = String> {
        let port =
            (0u16..4, 0u16..3).prop_map(|(from, more)| format!("\"{}-{}\"", from + 1, from + 1 + more));
        let exact = (1u16..6).prop_map(|port| port.to_string());
        let ports = prop_oneof![3 => exact, 1 => port];
        let prefix = prop_oneof![
            Just("\"10.0.0.1/32\""),
            Just("\"10.0.0.0/24\""),
            Just("\"10.0.0.0/8\""),
            Just("\"0.0.0.0/0\""),
            Just("\"10.0.0.2/31\""),
            Just("\"fd00::/8\"")
        ];
        let mac = (0u8..3).prop_map(|n| format!("\"02:00:00:00:00:{n:02x}\""));
        let one = prop_oneof![
            ports.clone().prop_map(|p| format!("src_port = {p}")),
            ports.clone().prop_map(|p| format!("dst_port = {p}")),
            ports.prop_map(|p| format!("port = {p}")),
            prefix.clone().prop_map(|p| format!("src_ip = {p}")),
            prefix.prop_map(|p| format!("dst_ip = {p}")),
            mac.clone().prop_map(|m| format!("src_mac = {m}")),
            mac.prop_map(|m| format!("dst_mac = {m}")),
            (0u8..3).prop_map(|d| format!("dscp = {d}")),
            (1u16..4).prop_map(|v| format!("vlan = {v}")),
            Just("ethertype = 0x0800".to_owned()),
            Just("protocol = \"udp\"".to_owned()),
            Just("in_port = \"p0\"".to_owned()),
        ];
        prop::collection::vec(one, 1..4).prop_map(|mut keys| {
            keys.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
            keys.dedup_by(|a, b| a.split(' ').next() == b.split(' ').next());
            format!("{{ {} }}", keys.join(", "))
        })
    }

    fn compiled(conditions: &[String]) -> Option<config::Config> {
        let policies = conditions.iter().enumerate().map(|(n, condition)| {
            format!("[[policy]]\nname = 'p{n}'\nmatch = {condition}\npriority = {}\n", n % 8)
        });
        let text = policies.collect::<String>() + "[[port]]\nname = 'p0'\n[[port]]\nname = 'p1'\n";
        dcbridge_config::parse(&text, "f").ok().map(|(config, _)| config)
    }

    proptest! {
        #[test]
        fn looking_up_finds_what_trying_all_finds(
            conditions in prop::collection::vec(condition(), 1..40),
            frames in prop::collection::vec((0u8..3, 0u8..3, 1u16..6, 1u16..6, 0u8..3, 1u16..4, 0u16..2), 20),
        ) {
            // Contradictions (a port and a protocol without ports, IPv4 and IPv6) are errors of the configuration.
            let conditions: Vec<_> =
                conditions.into_iter().filter(|c| compiled(std::slice::from_ref(c)).is_some()).collect();
            let Some(config) = compiled(&conditions) else { return Ok(()) };
            let in_turn = Policies::new(&config);
            let in_turn = Policies::file(in_turn.rules, usize::MAX);
            let filed = Policies::file(Policies::new(&config).rules, 0);
            prop_assert!(in_turn.filed.is_empty());
            for (from, to, src, dst, dscp, vid, port) in frames {
                let packet = Spec { from: from.into(), to: Some(to.into()), ports: (src, dst), dscp, ..Spec::default() }.udp(0);
                let frame = parse(&packet.bytes, &VnetHeader::default()).expect("a good frame");
                let port = PortId(port);
                prop_assert_eq!(filed.priority(port, &frame, vid), in_turn.priority(port, &frame, vid));
            }
        }
    }

    #[test]
    fn a_thousand_policies_of_the_common_kinds_are_looked_up() {
        let conditions: Vec<String> = (0..1000)
            .map(|n| match n % 4 {
                0 => format!("{{ tcp_port = {} }}", 1000 + n),
                1 => format!("{{ dst_ip = \"10.{}.{}.0/24\" }}", n / 256, n % 256),
                2 => format!("{{ src_mac = \"02:00:00:01:{:02x}:{:02x}\" }}", n / 256, n % 256),
                _ => format!("{{ vlan = {n}, dscp = 10 }}"),
            })
            .collect();
        let policies = Policies::new(&compiled(&conditions).expect("legal"));
        assert!(policies.rest.is_empty());
        assert!(policies.probes.len() <= 6, "{} look-ups a frame", policies.probes.len());
        assert_eq!(policies.filed.values().map(Vec::len).max(), Some(1));
    }
}
