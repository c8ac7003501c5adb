//! The LLDP agent by the clock: when it sends, what it remembers and for how long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cable, HIGH, LOW};
use lldp_dcbx::lldp::{AdminStatus, Group, LldpConfig, NeighborChange, Removal, Statistics};
use lldp_dcbx::wire::basic::Text;
use lldp_dcbx::wire::pdu::split_frame;
use lldp_dcbx::wire::{ChassisId, Lldpdu, PduView, PortId, Tlv, frame};
use lldp_dcbx::{Agent, AgentConfig, Event, LocalInfo, Mac, Time};

/// LLDP only.
fn plain(mac: Mac, lldp: LldpConfig) -> Agent {
    let config = AgentConfig { dcbx: None, lldp, ..AgentConfig::new(mac, "p0") };
    Agent::new(config, mac, Time::from_secs(1)).unwrap()
}

fn stats(agent: &Agent) -> Statistics {
    agent.statistics(Group::NearestBridge).unwrap()
}

/// Seconds (in tenths) after the start at which an end sent, with the TTLs.
fn sent(cable: &Cable, end: usize) -> Vec<(u64, u16)> {
    let of_end = cable.log.iter().filter(|(_, who, _)| *who == end);
    of_end.map(|(t, _, f)| ((t.as_nanos() - 1_000_000_000) / 100_000_000, ttl(f))).collect()
}

fn ttl(frame: &[u8]) -> u16 {
    PduView::new_checked(split_frame(frame).unwrap().2).unwrap().ttl()
}

/// An LLDP frame of a station with this number.
fn station(n: u32, ttl: u16, tlvs: Vec<Tlv>) -> Vec<u8> {
    let number = n.to_be_bytes();
    let mac = Mac(std::array::from_fn(|i| if i < 2 { 2 } else { number[i - 2] }));
    let pdu = Lldpdu { chassis: ChassisId::mac(mac), port: PortId::local("x").unwrap(), ttl, tlvs };
    frame(Group::NearestBridge.address(), mac, &pdu.emit().0)
}

fn changes(agent: &mut Agent) -> Vec<NeighborChange> {
    let mut out = Vec::new();
    while let Some(event) = agent.poll_event() {
        if let Event::Neighbor { change, .. } = event {
            out.push(change);
        }
    }
    out
}

#[test]
fn alone_it_sends_at_once_and_every_interval() {
    let mut cable = Cable::new(vec![plain(LOW, LldpConfig::default())]);
    cable.run_secs(10);
    assert_eq!(sent(&cable, 0), [], "nothing while the link is down");
    cable.link(true);
    cable.run_secs(95);
    assert_eq!(sent(&cable, 0), [(100, 121), (400, 121), (700, 121), (1000, 121)]);
}

#[test]
fn a_new_neighbour_starts_the_fast_start_of_four() {
    let mut cable = Cable::new(vec![plain(LOW, LldpConfig::default()), plain(HIGH, LldpConfig::default())]);
    cable.link(true);
    cable.run_secs(40);
    // At link up, again for the neighbour at once, then one a second until four were fast; then 30 s.
    let times: Vec<u64> = sent(&cable, 0).into_iter().map(|(t, _)| t).collect();
    assert_eq!(times, [0, 0, 10, 20, 30, 330]);
}

#[test]
fn changes_are_sent_at_once_while_there_is_credit() {
    let mut cable = Cable::new(vec![plain(LOW, LldpConfig::default())]);
    cable.link(true);
    cable.run_secs(10);
    cable.log.clear();
    for i in 0..20 {
        let info = LocalInfo { system_name: Some(Text::new(&format!("name {i}"))), ..LocalInfo::default() };
        cable.ends[0].update_local(info, cable.now);
        cable.run(Duration::from_millis(10));
    }
    cable.run_secs(4);
    let times: Vec<u64> = sent(&cable, 0).into_iter().map(|(t, _)| t).collect();
    // Five at once, then one as soon as a credit came back; nothing is left to say after that.
    assert_eq!(times[..5], [100, 100, 100, 100, 100]);
    assert_eq!(times.len(), 6, "{times:?}");
    assert!((109..=111).contains(&times[5]), "{times:?}");
    let last = &cable.log.last().unwrap().2;
    let view = PduView::new_checked(split_frame(last).unwrap().2).unwrap();
    let (pdu, _) = Lldpdu::parse(&view).unwrap();
    assert_eq!(pdu.tlvs, [Tlv::SystemName(Text::new("name 19"))], "the newest information");
    // The same information again is no change.
    cable.log.clear();
    let same = LocalInfo { system_name: Some(Text::new("name 19")), ..LocalInfo::default() };
    cable.ends[0].update_local(same, cable.now);
    cable.run_secs(5);
    assert_eq!(cable.log.len(), 0);
}

#[test]
fn shutdown_says_goodbye_and_the_reinit_delay_is_kept() {
    let mut cable = Cable::new(vec![plain(LOW, LldpConfig::default()), plain(HIGH, LldpConfig::default())]);
    cable.link(true);
    cable.run_secs(60);
    assert_eq!(cable.ends[1].neighbors(Group::NearestBridge).count(), 1);
    cable.log.clear();
    cable.ends[0].shutdown(cable.now);
    cable.run(Duration::from_millis(500));
    assert_eq!(sent(&cable, 0), [(600, 0)]);
    assert_eq!(cable.ends[1].neighbors(Group::NearestBridge).count(), 0);
    assert!(cable.events.contains(&(1, removed(Removal::Shutdown))), "{:?}", cable.events);
    cable.ends[0].update_lldp(LldpConfig::default(), cable.now);
    cable.run_secs(3);
    let times: Vec<u64> = sent(&cable, 0).into_iter().map(|(t, _)| t).collect();
    assert_eq!(times[1], 620, "two seconds after the goodbye");
    assert_eq!(cable.ends[1].neighbors(Group::NearestBridge).count(), 1);
}

fn removed(why: Removal) -> Event {
    let change = NeighborChange::Removed(lldp_dcbx::lldp::NeighborId(0), why);
    Event::Neighbor { group: Group::NearestBridge, change }
}

#[test]
fn a_neighbour_ages_out_when_its_ttl_is_over() {
    let mut agent = plain(LOW, LldpConfig::default());
    agent.handle_link(true, Time::from_secs(10));
    agent.handle_frame(&station(1, 20, vec![]), Time::from_secs(10));
    agent.handle_frame(&station(1, 20, vec![]), Time::from_secs(25));
    agent.handle_timeout(Time::from_nanos(45_000_000_000 - 1));
    assert_eq!(agent.neighbors(Group::NearestBridge).count(), 1, "the second frame prolonged it");
    let _ = changes(&mut agent);
    assert!(agent.poll_timeout().unwrap() <= Time::from_secs(45));
    agent.handle_timeout(Time::from_secs(45));
    assert_eq!(agent.neighbors(Group::NearestBridge).count(), 0);
    assert!(matches!(changes(&mut agent)[..], [NeighborChange::Removed(_, Removal::Expired)]));
    assert_eq!((stats(&agent).ageouts, stats(&agent).deletes), (1, 1));
}

#[test]
fn link_down_forgets_at_once_and_nothing_is_sent() {
    let mut cable = Cable::new(vec![plain(LOW, LldpConfig::default()), plain(HIGH, LldpConfig::default())]);
    for _ in 0..30 {
        cable.link(true);
        cable.run(Duration::from_millis(1500));
        for end in 0..2 {
            assert_eq!(cable.ends[end].neighbors(Group::NearestBridge).count(), 1);
        }
        cable.link(false);
        cable.log.clear();
        cable.run_secs(100);
        assert_eq!(cable.log.len(), 0);
        for end in &cable.ends {
            assert_eq!(end.neighbors(Group::NearestBridge).count(), 0);
            assert_eq!(end.poll_timeout(), None, "nothing is left that could wake it");
        }
    }
    let s = stats(&cable.ends[0]);
    assert_eq!((s.inserts, s.deletes, s.ageouts), (30, 30, 0));
}

#[test]
fn a_full_table_refuses_newcomers_and_keeps_the_known() {
    let config = LldpConfig { neighbor_limit: 4, ..LldpConfig::default() };
    let mut agent = plain(LOW, config);
    let t = Time::from_secs(10);
    agent.handle_link(true, t);
    // One place of four is kept for a neighbour with DCBX.
    for n in 1..=3 {
        agent.handle_frame(&station(n, 100, vec![]), t);
    }
    let _ = changes(&mut agent);
    agent.handle_frame(&station(4, 30, vec![]), t);
    assert_eq!(changes(&mut agent), [NeighborChange::TooMany(true)]);
    let pfc = lldp_dcbx::wire::pfc::Pfc::new(true, false, 8, common::prios(&[3])).unwrap();
    agent.handle_frame(&station(5, 100, vec![Tlv::Pfc(pfc)]), t);
    assert!(matches!(changes(&mut agent)[..], [NeighborChange::Added(_)]), "the kept place");
    for n in 6..5000 {
        agent.handle_frame(&station(n, 50, vec![Tlv::Pfc(pfc)]), t);
    }
    assert_eq!(agent.neighbors(Group::NearestBridge).count(), 4);
    assert_eq!(changes(&mut agent), []);
    assert_eq!(stats(&agent).drops, 4995);
    assert!(agent.groups()[0].too_many_neighbors());
    // A known neighbour is still heard.
    agent.handle_frame(&station(2, 100, vec![Tlv::SystemName(Text::new("two"))]), t);
    assert!(matches!(changes(&mut agent)[..], [NeighborChange::Changed(_)]));
    // The mark lasts as long as the longest-lived newcomer would have.
    agent.handle_timeout(Time::from_secs(59));
    assert!(agent.groups()[0].too_many_neighbors());
    agent.handle_timeout(Time::from_secs(60));
    assert_eq!(changes(&mut agent), [NeighborChange::TooMany(false)]);
}

#[test]
fn each_group_address_is_an_agent_of_its_own() {
    let more_groups = vec![Group::NearestCustomer, Group::NearestNonTpmr];
    let config = AgentConfig { more_groups, ..AgentConfig::new(LOW, "p0") };
    let mut three = Agent::new(config, LOW, Time::ZERO).unwrap();
    three.handle_link(true, Time::ZERO);
    let mut destinations = Vec::new();
    let mut sizes = Vec::new();
    while let Some(f) = three.poll_transmit(Time::ZERO) {
        destinations.push(Group::of(split_frame(&f).unwrap().0).unwrap());
        sizes.push(f.len());
    }
    assert_eq!(destinations, Group::ALL);
    assert!(sizes[0] > sizes[1] && sizes[1] == sizes[2], "DCBX on nearest bridge only: {sizes:?}");
    // A neighbour is known to the agent whose address it used, and only to that one.
    let mut f = station(1, 100, vec![]);
    f[..6].copy_from_slice(&Group::NearestCustomer.address().0);
    three.handle_frame(&f, Time::ZERO);
    let counts = Group::ALL.map(|g| three.neighbors(g).count());
    assert_eq!(counts, [0, 0, 1]);
    // Other addresses and ethertypes are nobody's.
    f[5] = 0x0d;
    three.handle_frame(&f, Time::ZERO);
    three.handle_frame(&f[..9], Time::ZERO);
    assert_eq!(three.ignored_frames(), 2);
}

#[test]
fn admin_status_decides_who_speaks_and_who_listens() {
    for status in [AdminStatus::RxOnly, AdminStatus::TxOnly, AdminStatus::Disabled] {
        let lldp = LldpConfig { admin_status: status, ..LldpConfig::default() };
        let mut cable = Cable::new(vec![plain(LOW, lldp), plain(HIGH, LldpConfig::default())]);
        cable.link(true);
        cable.run_secs(5);
        assert_eq!(cable.sent_by(0) > 0, status.sends(), "{status:?}");
        assert_eq!(
            cable.ends[0].neighbors(Group::NearestBridge).count() > 0,
            status.receives(),
            "{status:?}"
        );
    }
}

#[test]
fn bad_frames_are_counted_and_change_nothing() {
    let mut agent = plain(LOW, LldpConfig::default());
    let t = Time::from_secs(10);
    agent.handle_link(true, t);
    let good = station(1, 100, vec![Tlv::SystemName(Text::new("one"))]);
    agent.handle_frame(&good, t);
    let payload = &good[14..];
    let (chassis, rest) = payload.split_at(9);
    let (port, rest) = rest.split_at(4);
    let (ttl, optional) = rest.split_at(4);
    let with = |parts: &[&[u8]]| [&good[..14], &parts.concat()].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", with(&[])),
        ("no port", with(&[chassis, ttl, optional])),
        ("order", with(&[port, chassis, ttl, optional])),
        ("no TTL", with(&[chassis, port, optional])),
        ("chassis twice", with(&[chassis, port, ttl, chassis, optional])),
        ("TTL twice", with(&[chassis, port, ttl, ttl, optional])),
        ("empty chassis", with(&[&[0x02, 0x01, 0x07], port, ttl])),
        ("long port", with(&[chassis, &[0x05, 0x01], &[7; 257], ttl])),
        ("short TTL", with(&[chassis, port, &[0x06, 0x01, 0x00], optional])),
        ("past the end", with(&[chassis, port, ttl, &[0x0a, 0x20, b'x']])),
        ("too long", with(&[chassis, port, ttl, &[0xfe, 0x04, 1, 2, 3, 4].repeat(260)])),
    ];
    for (i, (what, f)) in bad.iter().enumerate() {
        agent.handle_frame(f, t);
        assert_eq!(stats(&agent).frames_in_errors, i as u64 + 1, "{what}");
        assert_eq!(stats(&agent).errors.malformed, i as u64 + 1, "{what}");
    }
    let neighbor = agent.neighbors(Group::NearestBridge).next().unwrap();
    assert_eq!(neighbor.lldpdu().unwrap().tlvs, [Tlv::SystemName(Text::new("one"))]);
    // A bad optional TLV costs only itself; an unknown one is kept.
    let one_bad = with(&[chassis, port, ttl, &[0x0e, 0x02, 0, 4], &[0x14, 0x01, 9], optional]);
    agent.handle_frame(&one_bad, t);
    let neighbor = agent.neighbors(Group::NearestBridge).next().unwrap();
    assert_eq!(neighbor.lldpdu().unwrap().tlvs.len(), 2);
    let s = stats(&agent);
    assert_eq!((s.tlvs_discarded, s.tlvs_unrecognized, s.frames_in_errors), (1, 1, bad.len() as u64));
}
