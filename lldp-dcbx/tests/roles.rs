//! A switch of three ports and its peers: who configures whom.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cable, app, apps, ets, prios, side_a, side_b, with};
use lldp_dcbx::dcbx::{DcbxConfig, Mode, Source};
use lldp_dcbx::roles::{Fabric, Report, Role, Standing};
use lldp_dcbx::wire::app::Selector;
use lldp_dcbx::{Agent, AgentConfig, Mac, Priority, Time};

/// Port n of the switch is end 0 of cable n; end 1 is its peer.
struct Switch {
    fabric: Fabric,
    cables: Vec<Cable>,
}

fn end(n: usize, which: u8, dcbx: DcbxConfig) -> Agent {
    let mac = Mac([2, 0, 0, 0, n as u8, which]);
    let config = AgentConfig { dcbx: Some(dcbx), ..AgentConfig::new(mac, "p") };
    Agent::new(config, mac, Time::from_secs(1)).unwrap()
}

impl Switch {
    fn new(roles: &[Role], peers: Vec<DcbxConfig>) -> Self {
        let mut fabric = Fabric::new();
        let settings = DcbxConfig { pfc: prios(&[7]), ..DcbxConfig::default() };
        let mut cables = Vec::new();
        for (n, (role, peer)) in roles.iter().zip(peers).enumerate() {
            fabric.set_port(n as u32, &format!("port{n}"), *role, settings.clone());
            cables.push(Cable::new(vec![end(n, 1, settings.clone()), end(n, 2, peer)]));
        }
        let mut switch = Self { fabric, cables };
        switch.settle();
        switch
    }

    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 20, "the roles do not come to rest");
            for (n, cable) in self.cables.iter().enumerate() {
                self.fabric.observe(n as u32, Report::of(&cable.ends[0]));
            }
            let mut quiet = true;
            while let Some((port, config)) = self.fabric.poll() {
                quiet = false;
                let cable = &mut self.cables[port as usize];
                cable.ends[0].update_dcbx(config, cable.now).unwrap();
            }
            if quiet {
                return;
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.cables.iter_mut().for_each(|c| c.run(Duration::from_millis(100)));
            self.settle();
        }
    }

    fn link(&mut self, n: usize, up: bool) {
        self.cables[n].link(up);
        self.settle();
    }

    fn standing(&self, n: usize) -> Standing {
        self.fabric.standing(n as u32).unwrap().1
    }

    fn pfc(&self, n: usize) -> lldp_dcbx::PrioritySet {
        self.cables[n].oper(0).pfc_enabled()
    }
}

fn teacher(mode: Mode) -> DcbxConfig {
    with(side_b(), mode, false)
}

fn host(mode: Mode) -> DcbxConfig {
    with(DcbxConfig::default(), mode, true)
}

const UP: Role = Role::AutoUpstream;
const DOWN: Role = Role::AutoDownstream;

#[test]
fn what_upstream_teaches_reaches_the_hosts_in_every_dialect() {
    for upstream in [Mode::Ieee, Mode::Cee, Mode::Cin] {
        for downstream in [Mode::Ieee, Mode::Cee, Mode::Cin] {
            let case = format!("{upstream:?} -> {downstream:?}");
            let mut s = Switch::new(
                &[UP, DOWN, Role::Manual],
                vec![teacher(upstream), host(downstream), host(downstream)],
            );
            (0..3).for_each(|n| s.link(n, true));
            s.run(5);
            assert_eq!(s.fabric.source(), Some(0), "{case}");
            assert_eq!((s.standing(1), s.standing(2)), (Standing::Follows, Standing::Own), "{case}");
            for cable in &s.cables[..2] {
                for end in 0..2 {
                    let o = cable.oper(end);
                    assert_eq!(o.pfc_enabled(), side_b().pfc, "{case} {:?}", cable.says(end));
                    assert_eq!(o.ets.value, side_b().ets, "{case} {:?}", cable.says(end));
                }
            }
            assert_eq!(s.cables[1].oper(0).pfc.source, Source::Propagated, "{case}");
            assert_eq!(
                s.cables[1].oper(1).app_priority(Selector::AnyPort, 3260).map(Priority::value),
                Some(4),
                "{case}"
            );
            // The manual port knows nothing of it.
            assert_eq!(s.pfc(2), prios(&[7]), "{case}");
            assert_eq!(s.cables[2].oper(1).pfc_enabled(), prios(&[7]), "{case}");
        }
    }
}

#[test]
fn without_its_source_the_switch_forgets_and_elects_another() {
    let other = DcbxConfig { pfc: prios(&[5]), ..teacher(Mode::Ieee) };
    let mut s = Switch::new(&[UP, UP, DOWN], vec![teacher(Mode::Ieee), other, host(Mode::Ieee)]);
    s.link(0, true);
    s.link(2, true);
    s.run(3);
    s.link(1, true);
    s.run(3);
    assert_eq!(s.fabric.source(), Some(0), "the first one stays");
    // The second upstream port has what was taught; its peer insists on something else.
    let Standing::Incompatible(hold) = s.standing(1) else { panic!("{:?}", s.standing(1)) };
    assert_eq!((hold.taught, hold.peer), (prios(&[1, 4]), prios(&[5])));
    assert_eq!(s.pfc(1), prios(&[]), "DCBX is off there");
    let sentence = s.cables[1].says(0).pop().unwrap();
    assert_eq!(
        sentence,
        "DCBX is off on this port: its peer insists on PFC 5, the configuration source port0 taught 1,4"
    );
    // Its peer comes round: DCBX is on again.
    let now = s.cables[1].now;
    s.cables[1].ends[1].update_dcbx(teacher(Mode::Ieee), now).unwrap();
    s.run(3);
    assert_eq!((s.standing(1), s.pfc(1)), (Standing::Follows, prios(&[1, 4])));
    // The source goes; the other upstream port takes over with what its own peer says.
    let again = DcbxConfig { pfc: prios(&[6]), ..teacher(Mode::Ieee) };
    let now = s.cables[1].now;
    s.cables[1].ends[1].update_dcbx(again, now).unwrap();
    s.link(0, false);
    s.run(5);
    assert_eq!(s.fabric.source(), Some(1));
    assert_eq!((s.pfc(1), s.pfc(2)), (prios(&[6]), prios(&[6])));
    // It goes too: every port has its own settings again.
    s.link(1, false);
    s.run(3);
    assert_eq!(s.fabric.source(), None);
    assert_eq!((s.standing(2), s.pfc(2)), (Standing::Own, prios(&[7])));
}

#[test]
fn a_pinned_source_goes_before_an_elected_one() {
    let other = DcbxConfig { pfc: prios(&[5]), ..with(side_a(), Mode::Ieee, false) };
    let roles = [UP, Role::ConfigurationSource, DOWN];
    let mut s = Switch::new(&roles, vec![teacher(Mode::Ieee), other, host(Mode::Ieee)]);
    s.link(0, true);
    s.link(2, true);
    s.run(3);
    assert_eq!((s.fabric.source(), s.pfc(2)), (Some(0), prios(&[1, 4])));
    s.link(1, true);
    s.run(3);
    assert_eq!((s.fabric.source(), s.pfc(2)), (Some(1), prios(&[5])));
    assert!(matches!(s.standing(0), Standing::Incompatible(_)));
    s.link(1, false);
    s.run(3);
    assert_eq!((s.fabric.source(), s.pfc(2)), (Some(0), prios(&[1, 4])));
}

#[test]
fn values_that_the_switch_cannot_do_elect_nobody() {
    let mut s = Switch::new(&[UP, DOWN], vec![teacher(Mode::Ieee), host(Mode::Ieee)]);
    let mut small = DcbxConfig { pfc: prios(&[7]), ..DcbxConfig::default() };
    small.capability.pfc_priorities = 1;
    s.fabric.set_port(0, "port0", UP, small);
    s.settle();
    s.link(0, true);
    s.link(1, true);
    s.run(5);
    assert_eq!(s.fabric.source(), None, "{:?}", s.cables[0].says(0));
    assert_eq!(s.pfc(1), prios(&[7]));
}

#[test]
fn who_recommends() {
    let mut s = Switch::new(&[UP, DOWN, Role::Manual, Role::ConfigurationSource], vec![host(Mode::Ieee); 4]);
    (0..4).for_each(|n| s.link(n, true));
    s.run(3);
    let recommends: Vec<bool> = s
        .cables
        .iter()
        .map(|c| c.ends[1].views().unwrap().peer.unwrap().ieee.recommendation.good().is_some())
        .collect();
    assert_eq!(recommends, [false, true, true, false]);
}

#[test]
fn a_change_upstream_travels_through() {
    let mut s = Switch::new(&[UP, DOWN], vec![teacher(Mode::Ieee), host(Mode::Cee)]);
    s.link(0, true);
    s.link(1, true);
    s.run(5);
    let table = ets([0, 0, 0, 1, 1, 1, 2, 2], &[20, 30, 50]);
    let next = DcbxConfig {
        ets: table,
        ets_recommendation: Some(table),
        pfc: prios(&[2]),
        app: apps(&[app(Selector::Ethertype, 0x8906, 2)]),
        ..teacher(Mode::Ieee)
    };
    let now = s.cables[0].now;
    s.cables[0].ends[1].update_dcbx(next, now).unwrap();
    s.run(2);
    let o = s.cables[1].oper(1);
    assert_eq!((o.pfc_enabled(), o.ets.value), (prios(&[2]), table), "{:?}", s.cables[1].says(1));
    assert_eq!(o.app_priority(Selector::Ethertype, 0x8906).map(Priority::value), Some(2));
}
