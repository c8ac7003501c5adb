//! `covers` against a plain evaluation of matches over a small world of frames.

use proptest::prelude::*;

use super::*;

/// What the conditions ask of a frame.
#[derive(Clone, Debug)]
struct Frame {
    in_port: String,
    vlan: u16,
    ethertype: u16,
    protocol: u8,
    src_ip: IpAddr,
    dscp: u8,
    src_port: u16,
    dst_port: u16,
}

fn matches(m: &Match, frame: &Frame) -> bool {
    let within = |range: Option<(u16, u16)>, port: u16| {
        range.is_none_or(|(first, last)| (first..=last).contains(&port))
    };
    (m.in_ports.is_empty() || m.in_ports.contains(&frame.in_port))
        && m.vlan.is_none_or(|vlan| vlan == frame.vlan)
        && m.ethertype.is_none_or(|ethertype| ethertype == frame.ethertype)
        && (m.protocols.is_empty() || m.protocols.contains(&frame.protocol))
        && m.src_ip.is_none_or(|prefix| masked(frame.src_ip, prefix.len) == prefix.addr)
        && m.dscp.is_none_or(|dscp| dscp == frame.dscp)
        && within(m.src_port, frame.src_port)
        && within(m.dst_port, frame.dst_port)
        && (within(m.either_port, frame.src_port) || within(m.either_port, frame.dst_port))
}

const PORTS: [&str; 3] = ["a", "b", "c"];

fn range() -> impl Strategy<Value = Option<(u16, u16)>> {
    prop::option::of((0_u16..4, 0_u16..4).prop_map(|(a, b)| (a.min(b), a.max(b))))
}

fn any_match() -> impl Strategy<Value = Match> {
    let in_ports = prop::collection::vec(prop::sample::select(&PORTS[..]), 0..3);
    let src_ip = prop::option::of((0_u32..4, 30_u8..33));
    (
        (in_ports, prop::option::of(1_u16..3), prop::option::of(0_u16..2)),
        (prop::collection::vec(0_u8..3, 0..3), src_ip, prop::option::of(0_u8..2)),
        (range(), range(), range()),
    )
        .prop_map(|((in_ports, vlan, ethertype), (protocols, src_ip, dscp), ports)| Match {
            in_ports: in_ports.into_iter().map(str::to_owned).collect(),
            vlan,
            ethertype,
            protocols,
            src_ip: src_ip.map(|(addr, len)| IpPrefix { addr: masked(IpAddr::V4(addr.into()), len), len }),
            dscp,
            src_port: ports.0,
            dst_port: ports.1,
            either_port: ports.2,
            ..Match::default()
        })
}

/// Every frame of the small world.
fn world() -> Vec<Frame> {
    let mut frames = Vec::new();
    for n in 0_u32..3 * 2 * 2 * 3 * 4 * 2 * 4 * 4 {
        let mut rest = n;
        let mut pick = |of: u32| {
            let picked = rest % of;
            rest /= of;
            picked
        };
        frames.push(Frame {
            in_port: PORTS[pick(3) as usize].to_owned(),
            vlan: pick(2) as u16 + 1,
            ethertype: pick(2) as u16,
            protocol: pick(3) as u8,
            src_ip: IpAddr::V4(pick(4).into()),
            dscp: pick(2) as u8,
            src_port: pick(4) as u16,
            dst_port: pick(4) as u16,
        });
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_covered_matches_nothing_else(wide in any_match(), mut narrow in any_match(), keep: u16) {
        // Two random matches hardly ever cover each other: let them share conditions.
        if keep & 1 != 0 { narrow.in_ports.clone_from(&wide.in_ports); }
        if keep & 2 != 0 { narrow.vlan = wide.vlan; }
        if keep & 4 != 0 { narrow.ethertype = wide.ethertype; }
        if keep & 8 != 0 { narrow.protocols.clone_from(&wide.protocols); }
        if keep & 16 != 0 { narrow.dscp = wide.dscp; }
        if keep & 32 != 0 { narrow.src_port = wide.src_port; }
        if keep & 64 != 0 { narrow.dst_port = wide.dst_port; }
        if keep & 128 != 0 { narrow.either_port = wide.either_port; }
        if keep & 256 != 0 { narrow.src_ip = wide.src_ip; }
        if covers(&wide, &narrow) {
            for frame in world() {
                prop_assert!(!matches(&narrow, &frame) || matches(&wide, &frame), "{:?}", frame);
            }
        }
        prop_assert!(covers(&narrow, &narrow), "a match covers itself");
        prop_assert!(covers(&Match::default(), &narrow), "everything is covered by no condition");
    }
}

#[test]
fn an_either_port_covers_what_names_one_side() {
    let either = Match { either_port: Some((80, 90)), ..Match::default() };
    let source = Match { src_port: Some((80, 80)), ..Match::default() };
    assert!(covers(&either, &source));
    assert!(!covers(&source, &either));
    let wider = Match { src_port: Some((70, 80)), ..Match::default() };
    assert!(!covers(&either, &wider));
}
