//! A whole agent fed random frames, times, link changes and configurations: no panic, no busy deadline,
//! bounded memory and bounded sending. Seeded; `SOAK_SECONDS=3600 cargo test -p lldp-dcbx --test robust`
//! goes on with further seeds for that long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Dice, HIGH, LOW, heals, material, prios, side_a, side_b, with};
use lldp_dcbx::dcbx::{DcbxConfig, Mode, MultiPeer, Source};
use lldp_dcbx::lldp::{AdminStatus, Group, LldpConfig};
use lldp_dcbx::roles::Report;
use lldp_dcbx::{Agent, AgentConfig, Time};

/// Counts live bytes.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A frame: a real one, bent at some places, from one of some stations; or noise.
fn bent(material: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    if dice.chance(5) {
        let noise = (0..dice.below(1600)).map(|_| dice.roll() as u8);
        let head = Group::NearestBridge.address().0.into_iter().chain([2; 6]).chain([0x88, 0xcc]);
        return head.chain(noise).collect();
    }
    let mut f = material[dice.below(material.len())].clone();
    // Chassis ID: a few known stations, or any.
    let station = if dice.chance(70) { dice.below(3) as u8 } else { dice.roll() as u8 };
    if f.len() > 22 {
        f[22] = station;
        f[11] = station;
    }
    if dice.chance(30) {
        // TTL behind a MAC chassis and the port "p0".
        let at = f.windows(3).position(|w| w == [0x06, 0x02, 0x00]);
        if let Some(at) = at.filter(|at| at + 4 <= f.len()) {
            let ttl = [0, 1, 5, 120, 65535][dice.below(5)];
            f[at + 2..at + 4].copy_from_slice(&u16::to_be_bytes(ttl));
        }
    }
    for _ in 0..[0, 0, 1, 1, 2, 8][dice.below(6)] {
        let at = 14 + dice.below(f.len() - 14);
        match dice.below(4) {
            0 => f[at] = dice.roll() as u8,
            1 => f[at] ^= 1 << dice.below(8),
            2 => f.truncate(at.max(15)),
            _ => {
                let part = f[at..(at + dice.below(40)).min(f.len())].to_vec();
                let to = 14 + dice.below(f.len() - 14);
                f.splice(to..to, part);
            }
        }
    }
    f
}

fn config(dice: &mut Dice) -> DcbxConfig {
    let mode = [Mode::Auto, Mode::Auto, Mode::Ieee, Mode::Cee, Mode::Cin][dice.below(5)];
    let base = if dice.chance(50) { side_a() } else { side_b() };
    let mut c = with(base, mode, dice.chance(50));
    c.multi_peer = if dice.chance(50) { MultiPeer::KeepFirst } else { MultiPeer::Disable };
    c.ets_flags.advertise = dice.chance(80);
    c.pfc_flags.enable = dice.chance(80);
    if dice.chance(30) {
        (c.capability.max_classes, c.capability.pfc_priorities) = (3, 2);
    }
    c.cnpv = dice.chance(30).then_some(prios(&[2, 5]));
    c
}

const LIMIT: u16 = 6;

fn lldp(dice: &mut Dice) -> LldpConfig {
    let status = [AdminStatus::RxTx, AdminStatus::RxTx, AdminStatus::RxOnly, AdminStatus::Disabled];
    LldpConfig { admin_status: status[dice.below(4)], neighbor_limit: LIMIT, ..LldpConfig::default() }
}

/// What was met on the way: random input that reaches nothing would prove nothing.
#[derive(Default)]
struct Reached {
    from_peer: [u64; 3],
    crowded: u64,
    errors: [u64; 3],
}

impl Reached {
    fn look(&mut self, agent: &Agent) {
        let o = agent.operational().unwrap();
        self.from_peer[o.dialect as usize] += u64::from(o.pfc.source == Source::Peer);
        self.crowded += u64::from(agent.groups()[0].too_many_neighbors());
    }

    fn count(&mut self, agent: &Agent) {
        let e = agent.statistics(Group::NearestBridge).unwrap().errors;
        let counts = [e.malformed, e.violation, e.unsupported];
        self.errors.iter_mut().zip(counts).for_each(|(all, n)| *all += n);
    }
}

fn one_seed(seed: u64, steps: usize, material: &[Vec<u8>], reached: &mut Reached) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let start = LIVE.load(Ordering::Relaxed);
    let lldp_config = LldpConfig { neighbor_limit: LIMIT, ..LldpConfig::default() };
    let dcbx = Some(config(&mut dice));
    let agent_config = AgentConfig { lldp: lldp_config, dcbx, ..AgentConfig::new(LOW, "p0") };
    let mut agent = Agent::new(agent_config, LOW, Time::ZERO).unwrap();
    let mut now = Time::ZERO;
    let (mut sent, mut ups, mut peak) = (0_u64, 0_u64, 0);
    for _ in 0..steps {
        match dice.below(100) {
            0..=69 => agent.handle_frame(&bent(material, &mut dice), now),
            70..=79 => agent.handle_timeout(now),
            80..=83 => {
                agent.handle_link(dice.chance(75), now);
                ups += 1;
            }
            84..=86 => agent.update_dcbx(config(&mut dice), now).unwrap(),
            87 => {
                agent.update_lldp(lldp(&mut dice), now);
                ups += 1;
            }
            88..=91 => {
                let _ = (agent.views(), Report::of(&agent));
                while agent.poll_event().is_some() {}
            }
            _ => {
                let steps = [1, 1_000_000, 300_000_000, 1_000_000_000, 40_000_000_000, 9_000_000_000_000];
                now = now + Duration::from_nanos(steps[dice.below(6)]);
            }
        }
        while agent.poll_transmit(now).is_some() {
            sent += 1;
        }
        agent.handle_timeout(now);
        assert!(agent.poll_timeout().is_none_or(|t| t > now), "seed {seed}: a deadline stays in the past");
        assert!(agent.neighbors(Group::NearestBridge).count() <= usize::from(LIMIT), "seed {seed}");
        reached.look(&agent);
        peak = peak.max(LIVE.load(Ordering::Relaxed).saturating_sub(start));
    }
    // Neighbours of at most 1500 octets each, the last frame, the present peer and its TLVs.
    let bound = usize::from(LIMIT) * 2000 + 48 * 1024;
    assert!(peak < bound, "seed {seed}: {peak} bytes live, bound {bound}");
    let seconds = now.as_nanos() / 1_000_000_000;
    assert!(sent <= seconds + (ups + 1) * 8, "seed {seed}: {sent} frames in {seconds} s with {ups} restarts");
    reached.count(&agent);
    heals(agent, now, &seed);
}

// One test: the allocator counts for the whole process, so nothing may run beside it.
#[test]
fn random_input_does_no_harm() {
    let material = material();
    assert!(material.len() > 30 && HIGH != LOW);
    let mut reached = Reached::default();
    for seed in 1..=200 {
        one_seed(seed, 2000, &material, &mut reached);
    }
    let Reached { from_peer, crowded, errors } = reached;
    let enough = from_peer.iter().chain(&errors).chain([&crowded]).all(|n| *n > 20);
    assert!(enough, "{from_peer:?} {crowded} {errors:?}");
    flood(&material);
    // For a soak: how long, and from which seed on, so that several runs side by side don't do the same.
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse().ok());
    if let Some(seconds) = number("SOAK_SECONDS") {
        let end = Instant::now() + Duration::from_secs(seconds);
        let first = number("SOAK_SEED").unwrap_or(1000);
        let mut seed = first;
        while Instant::now() < end {
            one_seed(seed, 5000, &material, &mut reached);
            seed += 1;
        }
        println!("{} seeds of 5000 frames and moments, from {first} on", seed - first);
    }
}

/// Frames of ever new stations leave memory where it was.
fn flood(material: &[Vec<u8>]) {
    let mut agent = common::agent(LOW, with(side_a(), Mode::Auto, true));
    agent.handle_link(true, Time::from_secs(1));
    let mut f = material[0].clone();
    let mut after_warm_up = 0;
    for n in 0..50_000_u32 {
        f[19..23].copy_from_slice(&n.to_be_bytes());
        agent.handle_frame(&f, Time::from_secs(2));
        if n == 1000 {
            after_warm_up = LIVE.load(Ordering::Relaxed);
        }
    }
    let grown = LIVE.load(Ordering::Relaxed).saturating_sub(after_warm_up);
    assert!(grown < 4096, "{grown} bytes more after 49 000 further stations");
}
