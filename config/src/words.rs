//! The words that a configuration may use for well-known numbers, and what they expand to.
//!
//! Numbers are those of the IANA and IEEE registries.

use crate::model::Match;

/// DSCP by number or by name (RFC 2474, 2597, 3246, 5865, 8622).
pub(crate) fn dscp(text: &str) -> Option<u8> {
    if let Ok(value) = text.parse::<u8>() {
        return (value < 64).then_some(value);
    }
    let name = text.to_ascii_lowercase();
    let digits = |prefix: &str, count: usize| {
        let rest = name.strip_prefix(prefix)?;
        let all_digits = rest.len() == count && rest.bytes().all(|b| b.is_ascii_digit());
        all_digits.then(|| rest.bytes().map(|b| b - b'0').collect::<Vec<_>>())
    };
    match name.as_str() {
        "ef" => return Some(46),
        "va" | "voice-admit" => return Some(44),
        "le" => return Some(1),
        "be" | "df" => return Some(0),
        _ => {}
    }
    if let Some([class @ 0..=7]) = digits("cs", 1).as_deref() {
        return Some(class << 3);
    }
    if let Some([class @ 1..=4, drop @ 1..=3]) = digits("af", 2).as_deref() {
        return Some(class << 3 | drop << 1);
    }
    None
}

const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", TCP),
    ("udp", UDP),
    ("dccp", DCCP),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", SCTP),
    ("udplite", 136),
];

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const DCCP: u8 = 33;
const SCTP: u8 = 132;

/// IP protocols that have ports in their first four octets.
pub(crate) const WITH_PORTS: [u8; 5] = [TCP, UDP, DCCP, SCTP, 136];

/// IP protocol by number or by name.
pub(crate) fn protocol(text: &str) -> Option<u8> {
    let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    named.map(|(_, number)| *number).or_else(|| text.parse().ok())
}

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
const FCOE: u16 = 0x8906;
const FIP: u16 = 0x8914;
const ROCE_V1: u16 = 0x8915;

const ETHERTYPES: &[(&str, u16)] = &[
    ("ipv4", IPV4),
    ("arp", 0x0806),
    ("ipv6", IPV6),
    ("mpls", 0x8847),
    ("pppoe", 0x8864),
    ("profinet", 0x8892),
    ("aoe", 0x88a2),
    ("ptp", 0x88f7),
    ("fcoe", FCOE),
    ("fip", FIP),
    ("rocev1", ROCE_V1),
];

/// Ethertype by name, by hexadecimal (`0x88f7`) or decimal number.
pub(crate) fn ethertype(text: &str) -> Option<u16> {
    if let Some((_, number)) = ETHERTYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Some(*number);
    }
    let lower = text.to_ascii_lowercase();
    let number = match lower.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => lower.parse().ok(),
    };
    number.filter(|&number| number >= 0x600)
}

/// An application that a policy can name.
pub(crate) struct Application {
    pub(crate) word: &'static str,
    /// What it stands for, in words for the reference page.
    pub(crate) expands_to: &'static str,
    pub(crate) matches: fn() -> Vec<Match>,
}

/// RoCEv2: the destination port is fixed, the source port only spreads flows.
const ROCE_V2_PORT: u16 = 4791;
/// SMB Direct over iWARP has a port of its own; on RoCE it is the service on 445.
const SMB_DIRECT_IWARP_PORT: u16 = 5445;
const SMB_PORT: u16 = 445;

fn port(protocols: &[u8], port: u16) -> Match {
    Match { protocols: protocols.into(), either_port: Some((port, port)), ..Match::default() }
}

fn frames(ethertype: u16) -> Match {
    Match { ethertype: Some(ethertype), ..Match::default() }
}

fn roce_v2() -> Match {
    Match { protocols: vec![UDP], dst_port: Some((ROCE_V2_PORT, ROCE_V2_PORT)), ..Match::default() }
}

/// The applications, as `New-NetQosPolicy` and DCBX application tables name them.
pub(crate) const APPLICATIONS: &[Application] = &[
    Application { word: "smb", expands_to: "TCP port 445", matches: || vec![port(&[TCP], SMB_PORT)] },
    Application {
        word: "iscsi",
        expands_to: "TCP port 860 or 3260",
        matches: || vec![port(&[TCP], 3260), port(&[TCP], 860)],
    },
    Application {
        word: "nfs",
        expands_to: "TCP or UDP port 2049",
        matches: || vec![port(&[TCP, UDP], 2049)],
    },
    Application {
        word: "live_migration",
        expands_to: "TCP port 6600 (Hyper-V)",
        matches: || vec![port(&[TCP], 6600)],
    },
    Application { word: "fcoe", expands_to: "ethertype 0x8906", matches: || vec![frames(FCOE)] },
    Application {
        word: "fip",
        expands_to: "ethertype 0x8914 (FCoE initialisation)",
        matches: || vec![frames(FIP)],
    },
    Application { word: "rocev1", expands_to: "ethertype 0x8915", matches: || vec![frames(ROCE_V1)] },
    Application { word: "rocev2", expands_to: "UDP destination port 4791", matches: || vec![roce_v2()] },
    Application {
        word: "default",
        expands_to: "every frame; precedence 0 unless one is given",
        matches: || vec![Match::default()],
    },
];

/// What RDMA to service port `service` looks like on the wire.
///
/// Windows filters RDMA connections inside the host, where the service is known. A switch sees
/// iWARP as TCP to that port, but RoCE carries the service only in the connection set-up: every
/// RoCE frame has to match.
pub(crate) fn network_direct(service: u16) -> Vec<Match> {
    let mut matches = vec![port(&[TCP], service)];
    if service == SMB_PORT {
        matches.push(port(&[TCP], SMB_DIRECT_IWARP_PORT));
    }
    matches.push(roce_v2());
    matches.push(frames(ROCE_V1));
    matches
}

/// What `netdirect_port` stands for, in words for the reference page.
pub(crate) const NETWORK_DIRECT_EXPANDS_TO: &str = "RDMA: TCP port N (iWARP; for N = 445 also \
    TCP port 5445, SMB Direct over iWARP), UDP destination port 4791 (RoCEv2) and ethertype \
    0x8915 (RoCEv1). RoCE does not show N on the wire, so all RoCE traffic matches";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_have_their_registered_names() {
        let named = ["cs0", "CS6", "af11", "af43", "ef", "va", "le", "46"].map(dscp);
        assert_eq!(named, [0, 48, 10, 38, 46, 44, 1, 46].map(Some));
        assert_eq!(["cs8", "af50", "af14", "64", "af1", ""].map(dscp), [None; 6]);
    }

    #[test]
    fn rdma_to_smb_matches_every_transport() {
        let matches = network_direct(445);
        let tcp: Vec<_> = matches.iter().filter(|m| m.protocols == [TCP]).collect();
        assert_eq!(tcp.len(), 2, "iWARP on 445 and 5445");
        assert!(matches.iter().any(|m| m.dst_port == Some((4791, 4791))));
        assert!(matches.iter().any(|m| m.ethertype == Some(0x8915)));
        assert_eq!(network_direct(1000).len(), 3);
    }
}
