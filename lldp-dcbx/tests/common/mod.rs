//! A cable between agents in virtual time.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod targets;

use std::time::Duration;

use lldp_dcbx::dcbx::{DcbxConfig, FeatureFlags, Mode};
use lldp_dcbx::lldp::LldpConfig;
use lldp_dcbx::wire::app::{AppEntry, AppTable, Selector};
use lldp_dcbx::wire::ets::{EtsTable, Tsa};
use lldp_dcbx::{Agent, AgentConfig, Event, Mac, Operational, Priority, PrioritySet, Time};

pub(crate) const LOW: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const HIGH: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// Every frame sent goes to all others, at once.
pub(crate) struct Cable {
    pub(crate) now: Time,
    pub(crate) ends: Vec<Agent>,
    /// Frames that were sent: when, by whom, the octets.
    pub(crate) log: Vec<(Time, usize, Vec<u8>)>,
    pub(crate) events: Vec<(usize, Event)>,
}

impl Cable {
    pub(crate) fn new(ends: Vec<Agent>) -> Self {
        Self { now: Time::from_secs(1), ends, log: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn pair(a: DcbxConfig, b: DcbxConfig) -> Self {
        Self::new(vec![agent(LOW, a), agent(HIGH, b)])
    }

    pub(crate) fn link(&mut self, up: bool) {
        for end in &mut self.ends {
            end.handle_link(up, self.now);
        }
        self.exchange();
    }

    pub(crate) fn run(&mut self, d: Duration) {
        let until = self.now + d;
        loop {
            self.exchange();
            let next = self.ends.iter().filter_map(Agent::poll_timeout).min().filter(|t| *t <= until);
            let Some(next) = next else { break };
            assert!(next > self.now, "a deadline that handling does not move: {next:?}");
            self.now = next;
            for end in &mut self.ends {
                end.handle_timeout(next);
            }
        }
        self.now = until;
    }

    pub(crate) fn run_secs(&mut self, s: u64) {
        self.run(Duration::from_secs(s));
    }

    fn exchange(&mut self) {
        for round in 0.. {
            assert!(round < 100, "endless exchange at {:?}", self.now);
            let mut silent = true;
            for i in 0..self.ends.len() {
                while let Some(frame) = self.ends[i].poll_transmit(self.now) {
                    silent = false;
                    for (j, end) in self.ends.iter_mut().enumerate() {
                        if i != j {
                            end.handle_frame(&frame, self.now);
                        }
                    }
                    self.log.push((self.now, i, frame));
                }
                while let Some(event) = self.ends[i].poll_event() {
                    self.events.push((i, event));
                }
            }
            if silent {
                return;
            }
        }
    }

    pub(crate) fn oper(&self, end: usize) -> &Operational {
        self.ends[end].operational().unwrap()
    }

    pub(crate) fn says(&self, end: usize) -> Vec<String> {
        self.ends[end].diagnoses().iter().map(ToString::to_string).collect()
    }

    pub(crate) fn sent_by(&self, end: usize) -> usize {
        self.log.iter().filter(|(_, who, _)| *who == end).count()
    }
}

pub(crate) fn agent(mac: Mac, dcbx: DcbxConfig) -> Agent {
    let config = AgentConfig { dcbx: Some(dcbx), ..AgentConfig::new(mac, "p0") };
    Agent::new(config, mac, Time::from_secs(1)).unwrap()
}

pub(crate) fn prios(list: &[u8]) -> PrioritySet {
    list.iter().map(|p| Priority::new(*p).unwrap()).collect()
}

pub(crate) fn ets(classes: [u8; 8], shares: &[u8]) -> EtsTable {
    let mut bandwidth = [0; 8];
    bandwidth[..shares.len()].copy_from_slice(shares);
    let tsa = std::array::from_fn(|c| if bandwidth[c] > 0 { Tsa::Ets } else { Tsa::Strict });
    EtsTable::new(classes, bandwidth, tsa).unwrap()
}

pub(crate) fn app(selector: Selector, protocol: u16, priority: u8) -> AppEntry {
    AppEntry { selector, protocol, priority: Priority::new(priority).unwrap() }
}

pub(crate) fn apps(list: &[AppEntry]) -> AppTable {
    AppTable::new(list.to_vec()).unwrap()
}

/// Two different sets of values.
pub(crate) fn side_a() -> DcbxConfig {
    let table = ets([0, 0, 0, 1, 2, 2, 2, 2], &[30, 30, 40]);
    DcbxConfig {
        ets: table,
        ets_recommendation: Some(table),
        pfc: prios(&[3]),
        app: apps(&[app(Selector::Ethertype, 0x8906, 3)]),
        ..DcbxConfig::default()
    }
}

pub(crate) fn side_b() -> DcbxConfig {
    let table = ets([0, 1, 0, 0, 1, 1, 0, 0], &[75, 25]);
    DcbxConfig {
        ets: table,
        ets_recommendation: Some(table),
        pfc: prios(&[1, 4]),
        app: apps(&[app(Selector::AnyPort, 3260, 4)]),
        ..DcbxConfig::default()
    }
}

pub(crate) fn with(config: DcbxConfig, mode: Mode, willing: bool) -> DcbxConfig {
    let flags = if willing { FeatureFlags::WILLING } else { FeatureFlags::ON };
    DcbxConfig { mode, ets_flags: flags, pfc_flags: flags, app_flags: flags, ..config }
}

/// Xorshift: the same numbers from the same seed, everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// Real frames in every dialect, as raw material.
pub(crate) fn material() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for mode in [Mode::Ieee, Mode::Cee, Mode::Cin] {
        for willing in [false, true] {
            let mut cable = Cable::pair(with(side_a(), mode, willing), with(side_b(), mode, !willing));
            cable.link(true);
            cable.run_secs(3);
            out.extend(cable.log.into_iter().map(|(_, _, f)| f));
        }
    }
    out
}

/// Whatever happened: with a clean link and a good peer the port agrees within five seconds.
pub(crate) fn heals(mut agent: Agent, now: Time, after: &dyn std::fmt::Display) {
    agent.handle_link(false, now);
    agent.update_lldp(LldpConfig::default(), now);
    agent.update_dcbx(with(side_a(), Mode::Auto, true), now).unwrap();
    while agent.poll_event().is_some() {}
    let mac = Mac([2, 0, 0, 0, 0, 0x77]);
    let peer = AgentConfig { dcbx: Some(with(side_b(), Mode::Cee, false)), ..AgentConfig::new(mac, "q") };
    let mut cable = Cable::new(vec![agent, Agent::new(peer, mac, now).unwrap()]);
    cable.now = now;
    cable.link(true);
    cable.run_secs(5);
    assert_eq!(cable.oper(0).pfc_enabled(), side_b().pfc, "{after}: {:?}", cable.says(0));
}
