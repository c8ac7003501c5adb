//! {IEEE, CEE, CIN} x {willing, not} x {peer willing, not} between two of our own agents: both ends'
//! operational values are what the rules say, within five seconds of link up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Cable, HIGH, LOW, prios, side_a, side_b, with};
use lldp_dcbx::dcbx::{DcbxConfig, Dialect, FeatureFlags, Mode, MultiPeer, Source};
use lldp_dcbx::wire::app::Selector;
use lldp_dcbx::{Operational, Priority, PrioritySet};
use proptest::prelude::*;

const BOTH: [bool; 2] = [false, true];

fn run(mode: Mode, willing: (bool, bool)) -> Cable {
    let mut cable = Cable::pair(with(side_a(), mode, willing.0), with(side_b(), mode, willing.1));
    cable.link(true);
    cable.run_secs(5);
    cable
}

/// PFC, its source and whether it works.
fn pfc(o: &Operational) -> (PrioritySet, bool, Source) {
    (o.pfc.value, o.pfc.active, o.pfc.source)
}

fn fcoe(o: &Operational) -> Option<u8> {
    o.app_priority(Selector::Ethertype, 0x8906).map(Priority::value)
}

fn iscsi(o: &Operational) -> Option<u8> {
    o.app_priority(Selector::AnyPort, 3260).map(Priority::value)
}

#[test]
fn ieee() {
    for a in BOTH {
        for b in BOTH {
            let cable = run(Mode::Ieee, (a, b));
            let (oa, ob) = (cable.oper(0), cable.oper(1));
            let case = format!("willing {a} {b}: {:?} {:?}", cable.says(0), cable.says(1));
            // Asymmetric: each end for itself.
            assert_eq!(oa.ets.value, if a { side_b().ets } else { side_a().ets }, "{case}");
            assert_eq!(ob.ets.value, if b { side_a().ets } else { side_b().ets }, "{case}");
            // Symmetric: with both willing the lower MAC yields, and that is end 0.
            let (here, there) = (prios(&[3]), prios(&[1, 4]));
            let (want_a, want_b) = match (a, b) {
                (false, false) => ((here, true, Source::Local), (there, true, Source::Local)),
                (true, _) => ((there, true, Source::Peer), (there, true, Source::Local)),
                (false, true) => ((here, true, Source::Local), (here, true, Source::Peer)),
            };
            assert_eq!((pfc(oa), pfc(ob)), (want_a, want_b), "{case}");
            // Informational: the union, where the peer is believed.
            assert_eq!((fcoe(oa), iscsi(oa)), (Some(3), a.then_some(4)), "{case}");
            assert_eq!((fcoe(ob), iscsi(ob)), (b.then_some(3), Some(4)), "{case}");
        }
    }
}

#[test]
fn cee() {
    for a in BOTH {
        for b in BOTH {
            let cable = run(Mode::Cee, (a, b));
            let (oa, ob) = (cable.oper(0), cable.oper(1));
            let case = format!("willing {a} {b}: {:?} {:?}", cable.says(0), cable.says(1));
            legacy(a, b, oa, ob, &case);
            // Groups are never compared.
            assert!(oa.ets.active && ob.ets.active, "{case}");
            assert_eq!((oa.app.active, ob.app.active), (a != b, a != b), "{case}");
        }
    }
}

#[test]
fn cin() {
    for a in BOTH {
        for b in BOTH {
            let cable = run(Mode::Cin, (a, b));
            let (oa, ob) = (cable.oper(0), cable.oper(1));
            let case = format!("willing {a} {b}: {:?} {:?}", cable.says(0), cable.says(1));
            legacy(a, b, oa, ob, &case);
            assert_eq!((oa.ets.active, ob.ets.active), (a != b, a != b), "{case}");
        }
    }
}

fn legacy(a: bool, b: bool, oa: &Operational, ob: &Operational, case: &str) {
    let (here, there) = (prios(&[3]), prios(&[1, 4]));
    let (want_a, want_b) = match (a, b) {
        (true, false) => ((there, true, Source::Peer), (there, true, Source::Local)),
        (false, true) => ((here, true, Source::Local), (here, true, Source::Peer)),
        // Equally willing with different bitmaps: off at both ends, which at least agrees.
        _ => ((here, false, Source::Local), (there, false, Source::Local)),
    };
    assert_eq!((pfc(oa), pfc(ob)), (want_a, want_b), "{case}");
    assert_eq!(oa.pfc_enabled(), ob.pfc_enabled(), "both ends pause the same priorities: {case}");
    assert_eq!(oa.ets.value, if a && !b { side_b().ets } else { side_a().ets }, "{case}");
    assert_eq!(ob.ets.value, if b && !a { side_a().ets } else { side_b().ets }, "{case}");
    if a && !b {
        assert_eq!(iscsi(oa), Some(4), "{case}");
    }
}

#[test]
fn equal_settings_agree_in_every_dialect() {
    for mode in [Mode::Auto, Mode::Ieee, Mode::Cee, Mode::Cin] {
        for willing in BOTH {
            let same = with(side_a(), mode, willing);
            let mut cable = Cable::pair(same.clone(), same.clone());
            cable.link(true);
            cable.run_secs(5);
            for end in 0..2 {
                let o = cable.oper(end);
                assert_eq!((o.ets.value, o.ets.active), (same.ets, true), "{mode:?} {:?}", cable.says(end));
                assert_eq!((o.pfc.value, o.pfc.active), (same.pfc, true), "{mode:?} {:?}", cable.says(end));
                assert!(o.app.active, "{mode:?} {:?}", cable.says(end));
                assert_eq!(fcoe(o), Some(3));
                let real: Vec<_> = cable.ends[end].diagnoses().iter().filter(|d| !d.is_note()).collect();
                assert!(real.is_empty(), "{mode:?}: {real:?}");
            }
        }
    }
}

#[test]
fn auto_follows_a_legacy_peer() {
    for (mode, name) in [(Mode::Cee, "CEE"), (Mode::Cin, "CIN"), (Mode::Ieee, "IEEE"), (Mode::Auto, "IEEE")] {
        let mut cable = Cable::pair(with(side_a(), Mode::Auto, true), with(side_b(), mode, false));
        cable.link(true);
        cable.run_secs(5);
        assert_eq!(cable.oper(0).dialect.to_string(), name);
        assert_eq!(cable.oper(0).pfc_enabled(), prios(&[1, 4]), "{:?}", cable.says(0));
        assert_eq!(cable.oper(0).ets.value, side_b().ets);
    }
}

#[test]
fn equal_macs_keep_their_own() {
    let config = |side: DcbxConfig| with(side, Mode::Ieee, true);
    let mut cable =
        Cable::new(vec![common::agent(LOW, config(side_a())), common::agent(LOW, config(side_b()))]);
    cable.link(true);
    cable.run_secs(5);
    // The same MAC names the same chassis: what tells them apart is the source of their frames only.
    assert_eq!(cable.oper(0).pfc.value, prios(&[3]));
    assert_eq!(cable.oper(1).pfc.value, prios(&[1, 4]));
    assert!(cable.says(0).iter().any(|s| s.contains("same MAC")), "{:?}", cable.says(0));
    assert_ne!(LOW, HIGH);
}

/// One end with anything that can be set.
fn any_end() -> impl Strategy<Value = DcbxConfig> {
    let flags = || {
        any::<(bool, bool)>().prop_map(|(willing, enable)| FeatureFlags {
            willing,
            enable,
            ..FeatureFlags::ON
        })
    };
    let app = (prop_oneof![Just(Selector::Ethertype), Just(Selector::AnyPort)], 0..4_u16, 0..8_u8);
    let app = app.prop_map(|(s, n, p)| common::app(s, [0x8906, 3260, 0x8914, 99][usize::from(n)], p));
    let mode = prop_oneof![Just(Mode::Auto), Just(Mode::Ieee), Just(Mode::Cee), Just(Mode::Cin)];
    (mode, any::<u8>(), prop::collection::vec(app, 0..6), any::<bool>(), [flags(), flags(), flags()])
        .prop_map(|(mode, pfc, list, side, [ets_flags, pfc_flags, app_flags])| DcbxConfig {
            mode,
            pfc: PrioritySet(pfc),
            app: common::apps(&list),
            ets_flags,
            pfc_flags,
            app_flags,
            multi_peer: MultiPeer::KeepFirst,
            ..if side { side_a() } else { side_b() }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is set at either end: within five seconds both pause the same priorities wherever the
    /// rules give a way to, and the exchange comes to rest.
    #[test]
    fn any_two_ends_come_to_rest(a in any_end(), b in any_end()) {
        let mut cable = Cable::pair(a.clone(), b.clone());
        cable.link(true);
        cable.run_secs(5);
        let settled = (cable.oper(0).clone(), cable.oper(1).clone());
        let (oa, ob) = &settled;
        let somebody_yields = a.pfc_flags.willing || b.pfc_flags.willing;
        if oa.dialect == ob.dialect && (oa.dialect != Dialect::Ieee || somebody_yields) {
            prop_assert_eq!(oa.pfc_enabled(), ob.pfc_enabled(), "{:?} {:?}", cable.says(0), cable.says(1));
        }
        cable.run_secs(30);
        let before = cable.log.len();
        cable.run_secs(60);
        prop_assert!(cable.log.len() - before <= 4, "two LLDPDUs a minute each, no more");
        prop_assert_eq!((cable.oper(0), cable.oper(1)), (&settled.0, &settled.1));
    }
}
