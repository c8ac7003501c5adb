//! What the fuzzers (`lldp-dcbx/fuzz`) and their smoke in the test suite call: any octets at all, and what must hold.
//!
//! Octets are read as a script, so that a fuzzer gets behind the checks that a frame has to pass first: real frames, which
//! the script bends, or octets of its own.

use std::sync::OnceLock;
use std::time::Duration;

use lldp_dcbx::dcbx::{DcbxConfig, Mode, MultiPeer};
use lldp_dcbx::lldp::{AdminStatus, Group, LldpConfig};
use lldp_dcbx::roles::Report;
use lldp_dcbx::wire::pdu::{self, Lldpdu, PduView};
use lldp_dcbx::{Agent, AgentConfig, Mac, Time};

use super::{LOW, material, prios, side_a, side_b, with};

/// Neighbours that a port of the fuzzed agent may know.
const LIMIT: u16 = 6;

/// Any octets as an LLDPDU: no panic, and what was understood is understood again when it is sent.
pub(crate) fn lldpdu(script: &[u8]) {
    let frame = Script(script).frame();
    let Ok((_, _, octets)) = pdu::split_frame(&frame) else { return };
    let Ok(view) = PduView::new_checked(octets) else { return };
    let (understood, _) = Lldpdu::parse(&view).expect("the mandatory TLVs were checked");
    let (sent, left_out) = understood.emit();
    let view = PduView::new_checked(&sent).expect("what we send is legal");
    let (again, faults) = Lldpdu::parse(&view).expect("what we send is legal");
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(again.tlvs.len() + left_out, understood.tlvs.len());
    assert!(left_out > 0 || again == understood, "{again:?} was {understood:?}");
}

/// A whole agent: frames, times, link changes and configurations in any order. Its deadlines lie in the future, its
/// neighbours and the frames that it sends are bounded, and with a good peer it agrees at the end.
pub(crate) fn agent(script: &[u8]) {
    let mut script = Script(script);
    let mut now = Time::ZERO;
    let config =
        AgentConfig { lldp: script.lldp(), dcbx: Some(script.dcbx()), ..AgentConfig::new(LOW, "p0") };
    let mut agent = Agent::new(config, LOW, now).expect("the configurations are legal");
    let (mut sent, mut restarts) = (0, 1);
    while let Some(step) = script.octet() {
        match step % 16 {
            0..=8 => agent.handle_frame(&script.frame(), now),
            9 => agent.handle_timeout(now),
            10 => {
                agent.handle_link(script.octet() != Some(0), now);
                restarts += 1;
            }
            11 => agent.update_dcbx(script.dcbx(), now).expect("the configurations are legal"),
            12 => {
                agent.update_lldp(script.lldp(), now);
                restarts += 1;
            }
            13 => {
                let _ = (agent.views(), Report::of(&agent));
                while agent.poll_event().is_some() {}
            }
            _ => {
                const NANOS: [u64; 6] =
                    [1, 1_000_000, 300_000_000, 1_000_000_000, 40_000_000_000, 9_000_000_000_000];
                now = now + Duration::from_nanos(NANOS[usize::from(step >> 4) % 6]);
            }
        }
        while agent.poll_transmit(now).is_some() {
            sent += 1;
        }
        agent.handle_timeout(now);
        assert!(agent.poll_timeout().is_none_or(|t| t > now), "a deadline stays in the past");
        assert!(agent.neighbors(Group::NearestBridge).count() <= usize::from(LIMIT));
    }
    let seconds = now.as_nanos() / 1_000_000_000;
    assert!(sent <= seconds + (restarts + 1) * 8, "{sent} frames in {seconds} s with {restarts} restarts");
    super::heals(agent, now, &"a script");
}

/// Octets that tell what to do next; nothing is asked for behind their end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self, below: usize) -> usize {
        let [a, b] = [0; 2].map(|_: u8| usize::from(self.octet().unwrap_or(0)));
        (a << 8 | b) % below.max(1)
    }

    /// A real frame, bent at some places, or one whose LLDPDU the script spells out.
    fn frame(&mut self) -> Vec<u8> {
        static MATERIAL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        let material = MATERIAL.get_or_init(material);
        let how = self.octet().unwrap_or(0);
        if how & 0x80 != 0 {
            let length = self.number(1600).min(self.0.len());
            let (own, rest) = self.0.split_at(length);
            self.0 = rest;
            return pdu::frame(Group::NearestBridge.address(), Mac([2, 0, 0, 0, 0, how & 7]), own);
        }
        let mut frame = material[self.number(material.len())].clone();
        for _ in 0..how >> 4 {
            let at = 6 + self.number(frame.len() - 6);
            let octet = self.octet().unwrap_or(0);
            match octet % 4 {
                0 => frame[at] = self.octet().unwrap_or(0),
                1 => frame[at] ^= 1 << (octet >> 2 & 7),
                2 => frame.truncate(at.max(15)),
                _ => {
                    let part = frame[at..(at + usize::from(octet >> 2)).min(frame.len())].to_vec();
                    let to = 14 + self.number(frame.len() - 14);
                    frame.splice(to..to, part);
                }
            }
        }
        // One of a few stations.
        if how & 8 != 0 && frame.len() > 22 {
            (frame[11], frame[22]) = (how & 7, how & 7);
        }
        frame
    }

    fn dcbx(&mut self) -> DcbxConfig {
        let [first, second] = [0; 2].map(|_: u8| self.octet().unwrap_or(0));
        let mode = [Mode::Auto, Mode::Ieee, Mode::Cee, Mode::Cin][usize::from(first & 3)];
        let base = if first & 4 == 0 { side_a() } else { side_b() };
        let mut config = with(base, mode, first & 8 != 0);
        config.multi_peer = if first & 16 == 0 { MultiPeer::Disable } else { MultiPeer::KeepFirst };
        config.ets_flags.advertise = first & 32 == 0;
        config.pfc_flags.enable = first & 64 == 0;
        if first & 128 != 0 {
            (config.capability.max_classes, config.capability.pfc_priorities) = (3, 2);
        }
        config.cnpv = (second & 1 != 0).then_some(prios(&[2, 5]));
        config
    }

    fn lldp(&mut self) -> LldpConfig {
        let status = [AdminStatus::RxTx, AdminStatus::TxOnly, AdminStatus::RxOnly, AdminStatus::Disabled];
        let admin_status = status[usize::from(self.octet().unwrap_or(0) & 3)];
        LldpConfig { admin_status, neighbor_limit: LIMIT, ..LldpConfig::default() }
    }
}
