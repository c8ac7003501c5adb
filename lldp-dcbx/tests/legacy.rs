//! CEE and CIN feature by feature, against hand-made peers: every row of the decision table.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Cable, LOW, agent, app, apps, ets, prios, side_a, with};
use lldp_dcbx::dcbx::legacy::peer::Heard;
use lldp_dcbx::dcbx::{DcbxConfig, Dialect, Mode, Source};
use lldp_dcbx::lldp::Group;
use lldp_dcbx::wire::app::Selector;
use lldp_dcbx::wire::cee::{CeeApp, CeeApps, CeeMessage, CeeView, LegacyPfc, PriorityGroups};
use lldp_dcbx::wire::cin::CinView;
use lldp_dcbx::wire::subtlv::{Control, FeatureHead};
use lldp_dcbx::wire::{ChassisId, Kind, Lldpdu, PduView, PortId, Tlv, frame, pdu::split_frame};
use lldp_dcbx::{Agent, Mac, Operational, Time};

const PEER: Mac = Mac([2, 0, 0, 0, 0, 0x55]);

/// The peer's side: heads and values that a test bends.
#[derive(Clone)]
struct Said {
    head: FeatureHead,
    groups: ([u8; 8], [u8; 8]),
    pfc: &'static [u8],
    /// Raw octets appended to the TLV: a further sub-TLV.
    more: Vec<u8>,
    with_pfc: bool,
}

fn said() -> Said {
    Said {
        head: FeatureHead { enable: true, ..FeatureHead::default() },
        groups: ([0, 0, 1, 1, 0, 0, 15, 0], [70, 30, 0, 0, 0, 0, 0, 0]),
        pfc: &[1, 4],
        more: vec![],
        with_pfc: true,
    }
}

impl Said {
    fn cee(&self) -> Vec<u8> {
        let groups = PriorityGroups::new(self.groups.0, self.groups.1, 8).unwrap();
        let pfc = LegacyPfc { enabled: prios(self.pfc), max_priorities: 8 };
        let fcoe = CeeApp { selector: 0, protocol: 0x8906, oui: [0, 0x1b, 0x21], priorities: 8 };
        let apps = CeeApps::new(vec![fcoe]).unwrap();
        let message = CeeMessage::new(
            Control { seq: 1, ack: 1, ..Control::default() },
            Some((self.head, groups)),
            self.with_pfc.then_some((self.head, pfc)),
            Some((self.head, apps)),
        );
        let mut tlv = Tlv::Cee(message).to_bytes();
        tlv.extend_from_slice(&self.more);
        let length = tlv.len() as u16 - 2;
        tlv[..2].copy_from_slice(&(127_u16 << 9 | length).to_be_bytes());
        tlv
    }
}

fn from_peer(tlv: &[u8]) -> Vec<u8> {
    let pdu =
        Lldpdu { chassis: ChassisId::mac(PEER), port: PortId::local("x").unwrap(), ttl: 120, tlvs: vec![] };
    let mut octets = pdu.emit().0;
    octets.truncate(octets.len() - 2);
    octets.extend_from_slice(tlv);
    frame(Group::NearestBridge.address(), PEER, &octets)
}

fn heard(config: DcbxConfig, tlv: &[u8]) -> Agent {
    let mut a = agent(LOW, config);
    a.handle_link(true, Time::from_secs(1));
    while a.poll_transmit(Time::from_secs(1)).is_some() {}
    a.handle_frame(&from_peer(tlv), Time::from_secs(2));
    a
}

/// PFC in operation, its value, its source, and the Error bit that is sent.
fn pfc(a: &mut Agent) -> (bool, Vec<u8>, Source, bool) {
    let o: Operational = a.operational().unwrap().clone();
    let list = o.pfc.value.iter().map(lldp_dcbx::Priority::value).collect();
    (o.pfc.active, list, o.pfc.source, sent_head(a).is_some_and(|h| h.error))
}

/// The PFC head of the TLV that the agent sends now.
fn sent_head(a: &mut Agent) -> Option<FeatureHead> {
    let f = a.poll_transmit(Time::from_secs(2))?;
    let view = PduView::new_checked(split_frame(&f).unwrap().2).unwrap();
    let tlv = view.optional().find(|t| matches!(t.kind(), Kind::Cee | Kind::Cin))?;
    let found = if tlv.kind() == Kind::Cee {
        CeeView::new_checked(tlv.value).unwrap().pfc()
    } else {
        CinView::new_checked(tlv.value).unwrap().pfc()
    };
    found.unwrap().map(|(head, _)| head)
}

fn local(willing: bool) -> DcbxConfig {
    with(side_a(), Mode::Cee, willing)
}

fn says(a: &Agent, what: &str) -> bool {
    a.diagnoses().iter().any(|d| d.to_string().contains(what))
}

#[test]
fn every_row_of_the_table() {
    let head = said().head;
    let willing = FeatureHead { willing: true, ..head };
    let error = FeatureHead { error: true, ..head };
    let off = FeatureHead { enable: false, ..head };
    let same: &[u8] = &[3];
    let twice = vec![0x06, 0x06, 0, 0, 0x80, 0, 0x12, 8];
    let cases = [
        ("willing, peer not", true, Said { head, ..said() }, (true, vec![1, 4], Source::Peer, false)),
        (
            "the same with the peer's error",
            true,
            Said { head: error, ..said() },
            (false, vec![3], Source::Local, false),
        ),
        (
            "not willing, peer willing",
            false,
            Said { head: willing, ..said() },
            (true, vec![3], Source::Local, false),
        ),
        (
            "the same with the peer's error",
            false,
            Said { head: FeatureHead { error: true, ..willing }, ..said() },
            (false, vec![3], Source::Local, false),
        ),
        (
            "equally willing, different",
            true,
            Said { head: willing, ..said() },
            (false, vec![3], Source::Local, true),
        ),
        ("equally unwilling, different", false, said(), (false, vec![3], Source::Local, true)),
        (
            "equally willing, the same",
            true,
            Said { head: willing, pfc: same, ..said() },
            (true, vec![3], Source::Local, false),
        ),
        ("peer switched it off", true, Said { head: off, ..said() }, (false, vec![3], Source::Local, false)),
        ("peer lacks it", true, Said { with_pfc: false, ..said() }, (false, vec![3], Source::Local, true)),
        ("peer says it twice", true, Said { more: twice, ..said() }, (false, vec![3], Source::Local, true)),
        (
            "malformed",
            true,
            Said { with_pfc: false, more: vec![0x06, 0x05, 0, 0, 0x80, 0, 0x12], ..said() },
            (false, vec![3], Source::Local, true),
        ),
    ];
    for (what, willing, peer, want) in cases {
        let mut a = heard(local(willing), &peer.cee());
        assert_eq!(pfc(&mut a), want, "{what}: {:?}", a.diagnoses());
    }
    let mut here_off = local(true);
    here_off.pfc_flags.enable = false;
    let mut a = heard(here_off, &said().cee());
    assert_eq!(pfc(&mut a), (false, vec![3], Source::Local, false));
    assert!(says(&a, "PFC is switched off here"), "{:?}", a.diagnoses());
    let mut unsent = local(true);
    unsent.pfc_flags.advertise = false;
    let mut a = heard(unsent, &said().cee());
    assert_eq!(pfc(&mut a), (true, vec![3], Source::Local, false), "not negotiated at all");
    assert!(says(&a, "this port does not send PFC"), "{:?}", a.diagnoses());
}

#[test]
fn groups_become_classes() {
    let a = heard(local(true), &said().cee());
    let o = a.operational().unwrap();
    // Strict priorities get the highest class that nobody is in.
    assert_eq!(o.ets.value.classes(), [0, 0, 1, 1, 0, 0, 7, 0]);
    assert_eq!(o.ets.value.bandwidth(), [70, 30, 0, 0, 0, 0, 0, 0]);
    assert_eq!(o.app_priority(Selector::Ethertype, 0x8906).map(lldp_dcbx::Priority::value), Some(3));
}

#[test]
fn more_groups_than_classes_are_refused() {
    let mut config = local(true);
    config.capability.max_classes = 3;
    // Three groups and the strict one.
    let peer = Said { groups: ([0, 1, 2, 15, 0, 0, 0, 0], [40, 30, 30, 0, 0, 0, 0, 0]), ..said() };
    let a = heard(config.clone(), &peer.cee());
    let o = a.operational().unwrap();
    assert_eq!((o.ets.value, o.ets.active, o.ets.source), (side_a().ets, false, Source::Local));
    assert!(says(&a, "this port has classes 0 to 2"), "{:?}", a.diagnoses());
    assert_eq!(a.statistics(Group::NearestBridge).unwrap().errors.unsupported, 1);
    // Two groups and the strict one fit.
    let peer = Said { groups: ([0, 1, 1, 15, 0, 0, 0, 0], [40, 60, 0, 0, 0, 0, 0, 0]), ..said() };
    let a = heard(config, &peer.cee());
    assert_eq!(a.operational().unwrap().ets.value.classes(), [0, 1, 1, 2, 0, 0, 0, 0]);
}

/// CIN takes the peer's configuration in spite of its Error, and a missing feature is no error.
#[test]
fn what_cin_does_differently() {
    let mut config = local(true);
    config.mode = Mode::Cin;
    let cin = |bits: u8, pfc: bool| {
        let mut v = vec![0xfe, 0, 0, 0x1b, 0x21, 1, 0x02, 0x0a, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        if pfc {
            v.extend([0x06, 0x05, 0, 0, bits, 0, 0x12]);
        }
        v[1] = v.len() as u8 - 2;
        v
    };
    let mut a = heard(config.clone(), &cin(0x80, true));
    assert_eq!(pfc(&mut a), (true, vec![1, 4], Source::Peer, false));
    let mut a = heard(config.clone(), &cin(0xa0, true));
    assert_eq!(pfc(&mut a), (false, vec![1, 4], Source::Peer, false));
    let mut a = heard(config, &cin(0, false));
    assert_eq!(pfc(&mut a), (false, vec![3], Source::Local, false));
    assert_eq!(a.operational().unwrap().dialect, Dialect::Cin);
}

#[test]
fn applications_that_a_dialect_has_no_words_for_stay_local() {
    let mut config = local(true);
    config.app =
        apps(&[app(Selector::Dscp, 46, 5), app(Selector::Ethertype, 0, 1), app(Selector::Tcp, 3260, 6)]);
    let a = heard(config, &said().cee());
    let o = a.operational().unwrap();
    assert!(says(&a, "2 local applications cannot be expressed in CEE"), "{:?}", a.diagnoses());
    assert!(a.diagnoses()[0].is_note());
    let has = |s, p| o.app_priority(s, p).map(lldp_dcbx::Priority::value);
    assert_eq!((has(Selector::Dscp, 46), has(Selector::Ethertype, 0)), (Some(5), Some(1)));
    // What could be said was, and the peer's list took its place.
    assert_eq!((has(Selector::Tcp, 3260), has(Selector::Ethertype, 0x8906)), (None, Some(3)));
}

#[test]
fn the_number_of_our_settings_follows_changes_and_acknowledgements() {
    let seq_ack = |a: &mut Agent| {
        let f = a.poll_transmit(Time::from_secs(2))?;
        let view = PduView::new_checked(split_frame(&f).unwrap().2).unwrap();
        let tlv = view.optional().find(|t| t.kind() == Kind::Cee)?;
        let c = CeeView::new_checked(tlv.value).unwrap().control();
        Some((c.seq, c.ack))
    };
    let mut a = agent(LOW, local(false));
    a.handle_link(true, Time::from_secs(2));
    assert_eq!(seq_ack(&mut a), Some((1, 0)));
    a.handle_frame(&from_peer(&said().cee()), Time::from_secs(2));
    // Not willing and different: the Error bit is new, 1 was acknowledged, the peer's 1 is seen.
    assert_eq!(seq_ack(&mut a), Some((2, 1)));
    // A change while 2 is not acknowledged goes out at once, under the same number.
    let mut next = local(false);
    next.ets = ets([0, 1, 1, 1, 1, 1, 1, 1], &[10, 90]);
    a.update_dcbx(next, Time::from_secs(2)).unwrap();
    assert_eq!(seq_ack(&mut a), Some((2, 1)));
    assert!(
        says(&a, "has not acknowledged the present settings (sent 2, acknowledged 1)"),
        "{:?}",
        a.diagnoses()
    );
}

/// A port names its peer's applications (lldpad wants that), but no name keeps itself alive.
#[test]
fn names_of_applications_go_when_their_entry_goes() {
    for (mode, willing) in [(Mode::Cee, true), (Mode::Cee, false), (Mode::Cin, true), (Mode::Cin, false)] {
        let with_apps = with(side_a(), mode, willing);
        let bare = DcbxConfig { app: apps(&[]), ..with(side_a(), mode, !willing) };
        let mut cable = Cable::pair(with_apps.clone(), bare);
        cable.link(true);
        cable.run_secs(5);
        for end in 0..2 {
            assert!(cable.oper(end).app.active, "{mode:?} {willing}: {:?}", cable.says(end));
        }
        let now = cable.now;
        cable.ends[0].update_dcbx(DcbxConfig { app: apps(&[]), ..with_apps }, now).unwrap();
        cable.run_secs(10);
        for end in 0..2 {
            let peer = cable.ends[end].views().unwrap().peer.unwrap();
            let legacy = peer.cee.good().or(peer.cin.good()).unwrap();
            let named: usize = legacy.app.iter().filter_map(Heard::value).map(Vec::len).sum();
            assert_eq!(named, 0, "{mode:?} {willing}: {:?}", legacy.app);
            assert!(cable.oper(end).app.value.is_empty());
        }
    }
}
