//! DCBX over time: peers that come and go, several at once, bad TLVs, changing dialects.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Cable, HIGH, LOW, agent, ets, prios, side_a, side_b, with};
use lldp_dcbx::dcbx::{DcbxConfig, Dialect, Mode, MultiPeer, Source};
use lldp_dcbx::lldp::{Group, LldpConfig};
use lldp_dcbx::wire::ets::{EtsConfiguration, Tsa};
use lldp_dcbx::wire::pfc::Pfc;
use lldp_dcbx::wire::{ChassisId, Lldpdu, PortId, Tlv, TlvIter, frame, pdu::split_frame};
use lldp_dcbx::{Agent, Event, Mac, Time};

fn willing() -> DcbxConfig {
    with(side_a(), Mode::Auto, true)
}

fn at(s: u64) -> Time {
    Time::from_secs(s)
}

/// An agent whose link is up.
fn up(config: DcbxConfig) -> Agent {
    let mut a = agent(LOW, config);
    a.handle_link(true, at(1));
    a
}

/// A frame of a station with these TLVs, in octets.
fn says(mac: Mac, ttl: u16, tlvs: &[u8]) -> Vec<u8> {
    let pdu = Lldpdu { chassis: ChassisId::mac(mac), port: PortId::local("x").unwrap(), ttl, tlvs: vec![] };
    let mut octets = pdu.emit().0;
    octets.truncate(octets.len() - 2);
    octets.extend_from_slice(tlvs);
    octets.extend_from_slice(&[0, 0]);
    frame(Group::NearestBridge.address(), mac, &octets)
}

fn pfc(willing: bool, list: &[u8]) -> Vec<u8> {
    Tlv::Pfc(Pfc::new(willing, false, 8, prios(list)).unwrap()).to_bytes()
}

fn recommendation() -> Vec<u8> {
    Tlv::EtsRecommendation(side_b().ets).to_bytes()
}

fn sentences(a: &Agent) -> Vec<String> {
    a.diagnoses().iter().map(ToString::to_string).collect()
}

fn is_local(a: &Agent) -> bool {
    let o = a.operational().unwrap();
    (o.pfc.value, o.pfc.source) == (side_a().pfc, Source::Local)
        && (o.ets.value, o.ets.source) == (side_a().ets, Source::Local)
        && o.app.value.iter().all(|r| r.source == Source::Local)
}

#[test]
fn a_lost_peer_means_local_values_again_whichever_way_it_is_lost() {
    let peer = [pfc(false, &[1, 4]), recommendation()].concat();
    for how in ["ttl 0", "expiry", "link down", "no more DCBX"] {
        let mut a = up(willing());
        a.handle_frame(&says(HIGH, 20, &peer), at(2));
        assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1, 4]));
        assert_eq!(a.operational().unwrap().ets.value, side_b().ets);
        while a.poll_event().is_some() {}
        match how {
            "ttl 0" => a.handle_frame(&says(HIGH, 0, &[]), at(3)),
            "expiry" => {
                a.handle_timeout(at(21));
                assert!(!is_local(&a), "not before its time");
                a.handle_timeout(at(22));
            }
            "link down" => a.handle_link(false, at(3)),
            _ => a.handle_frame(&says(HIGH, 20, &[]), at(3)),
        }
        assert!(is_local(&a), "{how}: {:?}", a.operational());
        let told = std::iter::from_fn(|| a.poll_event()).any(|e| e == Event::OperationalChanged);
        assert!(told, "{how}");
        assert_eq!(sentences(&a).len(), 1, "{how}: one sentence says why: {:?}", sentences(&a));
    }
}

#[test]
fn thirty_flaps_leave_no_drift() {
    for mode in [Mode::Ieee, Mode::Cee, Mode::Cin] {
        let mut cable = Cable::pair(willing(), with(side_b(), mode, false));
        let mut first = None;
        for flap in 0..30 {
            cable.link(true);
            cable.run_secs(5);
            let o = cable.oper(0).clone();
            assert_eq!(o.pfc_enabled(), prios(&[1, 4]), "{mode:?} flap {flap}: {:?}", cable.says(0));
            assert_eq!(*first.get_or_insert(o.clone()), o, "{mode:?} flap {flap}");
            cable.link(false);
            cable.run_secs(1);
            assert!(is_local(&cable.ends[0]), "{mode:?} flap {flap}");
            cable.log.clear();
            cable.events.clear();
        }
    }
}

#[test]
fn two_peers_are_none_or_the_first_stays() {
    let first = pfc(false, &[1, 4]);
    let second = pfc(false, &[7]);
    let third = Mac([2, 0, 0, 0, 0, 0x33]);
    for keep in [false, true] {
        let multi_peer = if keep { MultiPeer::KeepFirst } else { MultiPeer::Disable };
        let mut a = up(DcbxConfig { multi_peer, ..willing() });
        a.handle_frame(&says(HIGH, 100, &first), at(2));
        a.handle_frame(&says(third, 50, &second), at(3));
        let now = a.operational().unwrap().pfc_enabled();
        assert_eq!(now, if keep { prios(&[1, 4]) } else { prios(&[3]) });
        assert!(sentences(&a)[0].contains(if keep { "keep-first" } else { "multi_peer = \"disable\"" }));
        // The second one repeats itself: nothing changes.
        a.handle_frame(&says(third, 50, &second), at(4));
        assert_eq!(a.operational().unwrap().pfc_enabled(), now);
        // It goes: the first is the peer again.
        a.handle_timeout(at(54));
        assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1, 4]), "{:?}", sentences(&a));
    }
    // A neighbour without DCBX is no peer.
    let mut a = up(willing());
    a.handle_frame(&says(third, 100, &[]), at(2));
    assert!(sentences(&a)[0].contains("without DCBX"), "{:?}", sentences(&a));
    a.handle_frame(&says(HIGH, 100, &first), at(3));
    assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1, 4]));
}

/// A flood of DCBX neighbours, before or after the real one: bounded, and `multi_peer` means what it says.
#[test]
fn a_flood_of_peers_neither_grows_memory_nor_moves_a_kept_peer() {
    for (dcbx, real_first) in [(true, true), (true, false), (false, true), (false, false)] {
        for multi_peer in [MultiPeer::Disable, MultiPeer::KeepFirst] {
            let mut a = up(DcbxConfig { multi_peer, ..willing() });
            let real = says(HIGH, 1000, &pfc(false, &[1, 4]));
            let case = format!("dcbx {dcbx} real first {real_first} {multi_peer:?}");
            if real_first {
                a.handle_frame(&real, at(2));
            }
            for n in 0..20_000_u32 {
                let number = n.to_be_bytes();
                let mac = Mac(std::array::from_fn(|i| if i < 2 { 6 } else { number[i - 2] }));
                let tlvs = if dcbx { pfc(false, &[7]) } else { vec![] };
                a.handle_frame(&says(mac, 60, &tlvs), at(3));
            }
            a.handle_frame(&real, at(4));
            assert!(a.neighbors(Group::NearestBridge).count() <= 8, "{case}");
            let pfc = a.operational().unwrap().pfc_enabled();
            match (dcbx, real_first, multi_peer) {
                (false, _, _) | (true, true, MultiPeer::KeepFirst) => {
                    assert_eq!(pfc, prios(&[1, 4]), "{case}: {:?}", sentences(&a));
                }
                (true, _, MultiPeer::Disable) => assert_eq!(pfc, prios(&[3]), "{case}"),
                (true, false, MultiPeer::KeepFirst) => assert_eq!(pfc, prios(&[7]), "{case}"),
            }
            if dcbx {
                // The flood has aged out, the real neighbour goes on.
                a.handle_timeout(at(64));
                a.handle_frame(&real, at(65));
                assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1, 4]), "{case}");
            }
        }
    }
}

/// Every kind of bad TLV: counted in its family, told in one sentence, local value kept.
#[test]
fn bad_values_are_reported_and_not_applied() {
    let table = side_b().ets;
    let ets_with = |class_of: [u8; 8], bandwidth: [u8; 8], tsa: [u8; 8]| {
        let mut v = vec![0xfe, 0x19, 0, 0x80, 0xc2, 0x0a, 0];
        v.extend(class_of.chunks(2).map(|n| n[0] << 4 | n[1]));
        v.extend(bandwidth);
        v.extend(tsa);
        v
    };
    let (classes, shares) = (table.classes(), table.bandwidth());
    let tsa = table.tsa().map(Tsa::code);
    let cases: Vec<(Vec<u8>, &str, [u64; 3])> = vec![
        (ets_with(classes, [60, 30, 0, 0, 0, 0, 0, 0], tsa), "peer's ETS shares sum to 90", [0, 1, 0]),
        (ets_with([9, 0, 0, 0, 0, 0, 0, 0], shares, tsa), "class 9, which does not exist", [0, 1, 0]),
        (
            ets_with([7, 0, 0, 0, 0, 0, 0, 0], shares, tsa),
            "needs class 7, this port has classes 0 to 3",
            [0, 0, 1],
        ),
        (ets_with(classes, shares, [1, 2, 0, 0, 0, 0, 0, 0]), "algorithm credit-based", [0, 0, 1]),
        (vec![0xfe, 0x07, 0, 0x80, 0xc2, 0x0a, 0, 0, 0], "ETS Recommendation TLV with 7 octets", [1, 0, 0]),
        (
            vec![0xfe, 0x06, 0, 0x80, 0xc2, 0x0b, 0x01, 0x12],
            "PFC is enabled for 1,4 although its capability is 1",
            [0, 1, 0],
        ),
        (vec![0xfe, 0x06, 0, 0x80, 0xc2, 0x0b, 0x08, 0x3f], "this port can do 3 of them", [0, 0, 1]),
        (vec![0xfe, 0x05, 0, 0x80, 0xc2, 0x0b, 0x08], "PFC TLV with 5 octets", [1, 0, 0]),
        (vec![0xfe, 0x07, 0, 0x80, 0xc2, 0x0b, 0x08, 0x12, 0], "PFC TLV with 7 octets", [1, 0, 0]),
        ([pfc(false, &[1]), pfc(false, &[1])].concat(), "PFC TLV comes twice", [0, 1, 0]),
        ([recommendation(), recommendation()].concat(), "ETS Recommendation TLV comes twice", [0, 1, 0]),
        (
            vec![0xfe, 0x07, 0, 0x80, 0xc2, 0x0c, 0, 0x61, 0x89],
            "Application Priority TLV with 7 octets",
            [1, 0, 0],
        ),
        (vec![0xfe, 0x08, 0, 0x80, 0xc2, 0x0c, 0, 0x66, 0x89, 6], "selector 6 is reserved", [0, 0, 1]),
        (vec![0xfe, 0x08, 0, 0x80, 0xc2, 0x10, 0, 1, 0x89, 6], "VLAN ID 0 does not exist", [0, 1, 0]),
        (vec![0xfe, 0x05, 0, 0x80, 0xc2, 0x08, 1], "Congestion Notification TLV with 5 octets", [1, 0, 0]),
    ];
    let mut config = willing();
    config.capability.max_classes = 4;
    config.capability.pfc_priorities = 3;
    for (tlvs, sentence, counted) in cases {
        let mut a = up(config.clone());
        a.handle_frame(&says(HIGH, 100, &tlvs), at(2));
        assert!(is_local(&a), "{sentence}: {:?}", a.operational());
        assert!(sentences(&a).iter().any(|s| s.contains(sentence)), "{sentence}: {:?}", sentences(&a));
        let e = a.statistics(Group::NearestBridge).unwrap().errors;
        assert_eq!([e.malformed, e.violation, e.unsupported], counted, "{sentence}");
        // The same frame again is not judged again, and a good one heals.
        a.handle_frame(&says(HIGH, 100, &tlvs), at(3));
        assert_eq!(a.statistics(Group::NearestBridge).unwrap().errors, e, "{sentence}");
        let good = [pfc(false, &[1, 4]), recommendation()].concat();
        a.handle_frame(&says(HIGH, 100, &good), at(4));
        assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1, 4]), "{sentence}");
        assert_eq!(a.operational().unwrap().ets.value, side_b().ets, "{sentence}");
    }
}

/// The operational values are what the configuration TLVs say (802.1Q 38.4.1, 38.4.2).
#[test]
fn what_is_in_operation_is_advertised() {
    let mut a = up(willing());
    while a.poll_transmit(at(1)).is_some() {}
    a.handle_frame(&says(HIGH, 100, &[pfc(false, &[1, 4]), recommendation()].concat()), at(2));
    let sent = a.poll_transmit(at(2)).unwrap();
    assert!(a.poll_transmit(at(2)).is_none(), "one LLDPDU says all of it");
    let view = lldp_dcbx::wire::PduView::new_checked(split_frame(&sent).unwrap().2).unwrap();
    let (pdu, _) = Lldpdu::parse(&view).unwrap();
    assert!(pdu.tlvs.contains(&Tlv::Pfc(Pfc::new(true, false, 8, prios(&[1, 4])).unwrap())));
    let ets = EtsConfiguration::new(true, false, 8, side_b().ets);
    assert!(pdu.tlvs.contains(&Tlv::EtsConfiguration(ets)));
    assert!(pdu.tlvs.contains(&Tlv::EtsRecommendation(side_a().ets)));
    assert!(pdu.tlvs.contains(&Tlv::AppPriority(side_a().app)));
}

#[test]
fn a_live_change_reaches_the_peer_at_once() {
    for mode in [Mode::Ieee, Mode::Cee, Mode::Cin] {
        let mut cable = Cable::pair(with(side_a(), mode, true), with(side_b(), mode, false));
        cable.link(true);
        cable.run_secs(60);
        for change in 0..6 {
            let mut next = with(side_b(), mode, false);
            next.pfc = prios(&[change]);
            next.ets = ets([0, 1, 0, 0, 1, 1, 0, 0], &[60 + change, 40 - change]);
            next.ets_recommendation = Some(next.ets);
            let now = cable.now;
            cable.ends[1].update_dcbx(next.clone(), now).unwrap();
            cable.run_secs(1);
            let o = cable.oper(0);
            assert_eq!(
                (o.pfc.value, o.pfc.active),
                (next.pfc, true),
                "{mode:?} {change} {:?}",
                cable.says(0)
            );
            assert_eq!(o.ets.value, next.ets, "{mode:?} {change}");
            cable.run_secs(10);
            assert!(cable.says(0).iter().all(|s| !s.contains("acknowledged")), "{:?}", cable.says(0));
        }
    }
}

#[test]
fn a_forced_port_says_which_dialect_the_peer_speaks() {
    let mut cable = Cable::pair(with(side_a(), Mode::Ieee, true), with(side_b(), Mode::Cee, false));
    cable.link(true);
    cable.run_secs(5);
    assert_eq!(cable.says(0), ["peer sends CEE only; this port is IEEE: set mode = \"auto\""]);
    assert_eq!(cable.says(1), ["peer sends IEEE only; this port is CEE: set mode = \"auto\""]);
    assert_eq!(cable.oper(0).pfc.value, side_a().pfc);
}

#[test]
fn at_most_one_change_of_dialect_per_interval() {
    let mut a = up(willing());
    let cee = |list: &[u8]| {
        let mut peer = Cable::pair(with(side_b(), Mode::Cee, false), DcbxConfig::default());
        let mut config = with(side_b(), Mode::Cee, false);
        config.pfc = prios(list);
        let now = peer.now;
        peer.ends[0].update_dcbx(config, now).unwrap();
        peer.link(true);
        let octets = split_frame(&peer.log[0].2).unwrap().2.to_vec();
        let tlv = TlvIter::new(&octets).map(Result::unwrap).find(|t| t.ty == 127).unwrap();
        let header = (127_u16 << 9 | tlv.value.len() as u16).to_be_bytes();
        says(HIGH, 120, &[&header, tlv.value].concat())
    };
    let ieee = says(HIGH, 120, &pfc(false, &[1]));
    let dialect = |a: &Agent| a.operational().unwrap().dialect;
    let mut changes = 0;
    let mut last = dialect(&a);
    // The peer changes its mind every second for two minutes.
    for s in 2..122 {
        let f = if s % 2 == 0 { cee(&[5]) } else { ieee.clone() };
        a.handle_frame(&f, at(s));
        a.handle_timeout(at(s));
        changes += u32::from(dialect(&a) != last);
        last = dialect(&a);
    }
    assert!((3..=5).contains(&changes), "{changes} changes in 120 s with an interval of 30 s");
    // It settles on IEEE: the port follows without a further frame, when the interval is over.
    a.handle_frame(&cee(&[5]), at(200));
    assert_eq!(dialect(&a), Dialect::Cee);
    a.handle_frame(&ieee, at(210));
    assert_eq!(dialect(&a), Dialect::Cee);
    assert!(sentences(&a).iter().any(|s| s.contains("will follow")), "{:?}", sentences(&a));
    while let Some(f) = a.poll_transmit(at(210)) {
        let speaks_legacy = f.windows(4).any(|w| w == [0, 0x1b, 0x21, 2]);
        assert!(!speaks_legacy, "no legacy TLV towards a peer that speaks IEEE");
    }
    a.handle_timeout(at(230));
    assert_eq!(dialect(&a), Dialect::Ieee);
    assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[1]));
}

#[test]
fn ieee_comes_back_without_link_down_and_after_an_absence() {
    let mut cable = Cable::pair(willing(), with(side_b(), Mode::Cee, false));
    cable.link(true);
    cable.run_secs(5);
    assert_eq!(cable.oper(0).dialect, Dialect::Cee);
    let told = |c: &Cable, to, sentence: &str| {
        c.events.iter().any(|(end, e)| match e {
            Event::DialectChanged { to: t, because, .. } => {
                *end == 0 && *t == to && because.to_string() == sentence
            }
            _ => false,
        })
    };
    assert!(told(&cable, Dialect::Cee, "peer sends CEE and nothing newer"), "{:?}", cable.events);
    // The peer is set to IEEE; it is followed when the interval allows.
    let now = cable.now;
    cable.ends[1].update_dcbx(with(side_b(), Mode::Ieee, false), now).unwrap();
    cable.run_secs(31);
    assert_eq!(cable.oper(0).dialect, Dialect::Ieee);
    assert_eq!(cable.oper(0).pfc_enabled(), prios(&[1, 4]));
    // Back to CEE, then gone: after an interval alone the port begins with IEEE again.
    cable.run_secs(60);
    let now = cable.now;
    cable.ends[1].update_dcbx(with(side_b(), Mode::Cee, false), now).unwrap();
    cable.run_secs(2);
    assert_eq!(cable.oper(0).dialect, Dialect::Cee);
    let now = cable.now;
    cable.ends[1].shutdown(now);
    cable.run_secs(29);
    assert_eq!(cable.oper(0).dialect, Dialect::Cee);
    cable.run_secs(2);
    assert_eq!(cable.oper(0).dialect, Dialect::Ieee);
    assert!(told(&cable, Dialect::Ieee, "peer sends IEEE"), "{:?}", cable.events);
    assert!(told(&cable, Dialect::Ieee, "no peer: IEEE first"), "{:?}", cable.events);
    let now = cable.now;
    cable.ends[1].update_lldp(LldpConfig::default(), now);
    cable.run_secs(5);
    assert_eq!(cable.oper(0).dialect, Dialect::Cee, "no debt from before the absence");
}

#[test]
fn an_expired_cee_peer_turns_the_feature_off_with_an_error() {
    let mut cable = Cable::pair(with(side_a(), Mode::Cee, true), with(side_b(), Mode::Cee, false));
    cable.link(true);
    cable.run_secs(5);
    let now = cable.now;
    cable.ends[1].shutdown(now);
    cable.run_secs(1);
    let o = cable.oper(0);
    assert_eq!((o.pfc.value, o.pfc.active, o.pfc.source), (side_a().pfc, false, Source::Local));
    assert_eq!(cable.says(0), ["the peer is gone; local values are used"]);
    let last = &cable.log.iter().rfind(|(_, who, _)| *who == 0).unwrap().2;
    // PFC feature: enable, willing and error bits set.
    assert!(last.windows(6).any(|w| w == [0x06, 0x06, 0, 0, 0xe0, 0]), "{last:02x?}");
}

#[test]
fn both_willing_tells_who_yields() {
    let mut cable = Cable::pair(with(side_a(), Mode::Ieee, true), with(side_b(), Mode::Ieee, true));
    cable.link(true);
    cable.run_secs(5);
    assert_eq!(cable.says(0), ["PFC: both willing; this port has the lower MAC, so it yields"]);
    assert_eq!(cable.says(1), ["PFC: both willing; peer has the lower MAC, so it yields"]);
    assert!(cable.ends[0].diagnoses()[0].is_note());
}

#[test]
fn an_illegal_local_configuration_is_refused_with_a_sentence() {
    let mut a = up(DcbxConfig::default());
    let mut config = side_a();
    config.capability.pfc_priorities = 1;
    config.pfc = prios(&[1, 2]);
    let e = a.update_dcbx(config, at(2)).unwrap_err();
    assert_eq!(e.to_string(), "local configuration: PFC is for priorities 1,2, this port can do 1 of them");
    assert_eq!(a.operational().unwrap().pfc_enabled(), prios(&[]), "nothing changed");
}
