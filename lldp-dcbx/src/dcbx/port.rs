//! DCBX on one port: chooses the peer and the dialect, evaluates, and makes the TLVs to send. Everything
//! is computed anew from the neighbour table whenever that, the link, the configuration or a deadline
//! changed; only the dialect, the handshake and who the peer is are remembered.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::config::{DcbxConfig, Mode, MultiPeer};
use super::diagnosis::{Diagnosis, Feature};
use super::dialect::{Because, Chooser, Dialect};
use super::ieee;
use super::legacy::evaluate::{Presence, evaluate, tlv};
use super::legacy::handshake::Handshake;
use super::operational::Operational;
use super::peer::{Peer, Slot};
use crate::error::{Error, ErrorCounts};
use crate::lldp::{GroupAgent, Neighbor, NeighborId};
use crate::time::Time;
use crate::types::Mac;
use crate::wire::Tlv;
use crate::wire::subtlv::Control;

/// DCBX on one port.
#[derive(Debug)]
pub(crate) struct Dcbx {
    pub(crate) config: DcbxConfig,
    mac: Mac,
    chooser: Chooser,
    handshake: Handshake,
    /// The present peer, if it counts.
    pub(crate) peer: Option<Peer>,
    had_peer: bool,
    last_link_up: bool,
    pub(crate) operational: Operational,
    pub(crate) diagnoses: Vec<Diagnosis>,
    pub(crate) tlvs: Vec<Tlv>,
    pub(crate) unsupported: ErrorCounts,
}

/// What an update brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changed {
    pub(crate) dialect: Option<(Dialect, Dialect, Because)>,
    pub(crate) operational: bool,
    pub(crate) diagnoses: bool,
}

impl Dcbx {
    pub(crate) fn new(config: DcbxConfig, mac: Mac) -> Self {
        let chooser = Chooser::new(config.mode);
        let operational = ieee::local(&config, chooser.dialect);
        Self {
            config,
            mac,
            chooser,
            handshake: Handshake::default(),
            peer: None,
            had_peer: false,
            last_link_up: false,
            operational,
            diagnoses: Vec::new(),
            tlvs: Vec::new(),
            unsupported: ErrorCounts::default(),
        }
    }

    /// Looks at everything again.
    pub(crate) fn update(&mut self, lldp: &GroupAgent, link_up: bool, now: Time) -> Changed {
        let mut why = Vec::new();
        if !link_up || !self.last_link_up {
            self.had_peer = false;
            self.handshake.restart();
        }
        self.last_link_up = link_up;
        let peer = self.choose_peer(lldp, link_up, &mut why);
        let interval = interval(lldp);
        let before = self.chooser.dialect;
        let best = peer.as_ref().and_then(|p| p.spoken.best());
        let switched = self.chooser.run(self.config.mode, link_up, best, interval, now);
        let dialect = self.chooser.dialect;
        if switched {
            self.handshake.restart();
            self.had_peer = false;
        }
        mismatch(self.config.mode, dialect, peer.as_ref(), lldp, &mut why);
        // A peer that does not speak the port's dialect is shown, and else counts for nothing.
        let partner = peer.as_ref().filter(|p| p.spoken.has(dialect));
        let (operational, mut tlvs) = self.evaluate(dialect, partner, &mut why);
        if self.config.mode == Mode::Auto && best.is_some_and(|b| b != dialect) {
            // Silent until the change is due: an lldpad set to IEEE gives DCBX up at the first
            // legacy TLV that it hears.
            tlvs.clear();
        }
        self.had_peer |= partner.is_some();
        self.count(&why);
        let changed = Changed {
            dialect: (before != dialect).then_some((before, dialect, self.because(best))),
            operational: operational != self.operational,
            diagnoses: why != self.diagnoses,
        };
        (self.operational, self.tlvs, self.diagnoses, self.peer) = (operational, tlvs, why, peer);
        changed
    }

    fn because(&self, best: Option<Dialect>) -> Because {
        match (self.config.mode, best) {
            (Mode::Auto, Some(d)) => Because::PeerSends(d),
            (Mode::Auto, None) => Because::NoPeer,
            _ => Because::Configured,
        }
    }

    /// When to update although nothing was received.
    pub(crate) fn deadline(&self, lldp: &GroupAgent) -> Option<Time> {
        let best = self.peer.as_ref().and_then(|p| p.spoken.best());
        self.chooser.deadline(self.config.mode, best, interval(lldp))
    }

    fn evaluate(
        &mut self,
        dialect: Dialect,
        peer: Option<&Peer>,
        why: &mut Vec<Diagnosis>,
    ) -> (Operational, Vec<Tlv>) {
        let (mut operational, tlvs) = match (dialect, peer) {
            (Dialect::Ieee, Some(p)) => {
                let o = ieee::evaluate(&self.config, self.mac, p, why);
                let tlvs = ieee::tlvs(&self.config, &o);
                (o, tlvs)
            }
            (Dialect::Ieee, None) => {
                let o = ieee::local(&self.config, dialect);
                let tlvs = ieee::tlvs(&self.config, &o);
                (o, tlvs)
            }
            (Dialect::Cee | Dialect::Cin, peer) => self.evaluate_legacy(dialect, peer, why),
        };
        if let Some(hold) = &self.config.hold {
            operational.pfc.active = false;
            operational.ets.active = false;
            operational.app.active = false;
            why.push(Diagnosis::Held(hold.clone()));
        }
        (operational, tlvs)
    }

    fn evaluate_legacy(
        &mut self,
        dialect: Dialect,
        peer: Option<&Peer>,
        why: &mut Vec<Diagnosis>,
    ) -> (Operational, Vec<Tlv>) {
        let slot = peer.map(|p| p.legacy(dialect));
        let presence = match slot {
            Some(Slot::Good(legacy)) => Presence::Here(legacy),
            Some(_) => Presence::Gone,
            None if self.had_peer => Presence::Gone,
            None => Presence::Never,
        };
        if let Some(e) = slot.and_then(Slot::bad) {
            why.push(Diagnosis::Unusable { feature: Feature::Ets, why: e });
        }
        let (operational, verdicts) = evaluate(&self.config, dialect, presence, why);
        let control = slot.and_then(Slot::good).map(|p| p.control);
        if matches!(presence, Presence::Gone) {
            self.handshake.restart();
        }
        let settings = tlv(&self.config, dialect, &verdicts, Control::default()).to_bytes();
        let sent = self.handshake.update(settings, control);
        if let Some(c) = control.filter(|c| c.ack != self.handshake.seq()) {
            why.push(Diagnosis::NotAcknowledged { seq: self.handshake.seq(), acked: c.ack });
        }
        let tlvs = alloc::vec![tlv(&self.config, dialect, &verdicts, sent)];
        (operational, tlvs)
    }

    /// 802.1Q 38.2: with more than one peer there is none, unless the port is told to keep the first.
    fn choose_peer(&self, lldp: &GroupAgent, link_up: bool, why: &mut Vec<Diagnosis>) -> Option<Peer> {
        if !link_up {
            why.push(Diagnosis::LinkDown);
            return None;
        }
        let status = lldp.config().admin_status;
        if !status.sends() {
            why.push(Diagnosis::NotSending);
        }
        if !status.receives() {
            why.push(Diagnosis::NotReceiving);
            return None;
        }
        let candidates: Vec<&Neighbor> = lldp.neighbors().filter(|n| n.speaks_dcbx()).collect();
        let known = candidates.len() + usize::from(lldp.refused_dcbx_neighbor());
        let current = self.peer.as_ref().map(|p| p.id);
        let first = first_of(&candidates, current);
        match (known, self.config.multi_peer) {
            (0, _) => {
                why.push(self.nobody(lldp));
                None
            }
            (1, _) => first.map(|n| Peer::new(n, self.config.capability)),
            (_, MultiPeer::Disable) => {
                why.push(Diagnosis::ManyPeers { known });
                None
            }
            (_, MultiPeer::KeepFirst) => {
                let peer = first.map(|n| Peer::new(n, self.config.capability));
                let name = peer.as_ref().map(describe).unwrap_or_default();
                why.push(Diagnosis::FirstPeer { peer: name, ignored: known - 1 });
                peer
            }
        }
    }

    fn nobody(&self, lldp: &GroupAgent) -> Diagnosis {
        if let Some(n) = lldp.neighbors().next() {
            return Diagnosis::NoDcbx { neighbor: describe(&Peer::new(n, self.config.capability)) };
        }
        if self.had_peer { Diagnosis::PeerGone } else { Diagnosis::NoNeighbor }
    }

    /// Requests that the port does not support are counted when they are new; the other families
    /// were counted when the LLDPDU was judged.
    fn count(&mut self, why: &[Diagnosis]) {
        for d in why.iter().filter(|d| !self.diagnoses.contains(d)) {
            if let Diagnosis::Unusable { why: e @ Error::Unsupported(_), .. } = d {
                self.unsupported.count(*e);
            }
        }
    }
}

fn interval(lldp: &GroupAgent) -> Duration {
    lldp.config().interval()
}

/// The present peer as long as it is there, else the one heard first.
fn first_of<'a>(candidates: &[&'a Neighbor], current: Option<NeighborId>) -> Option<&'a Neighbor> {
    let present = candidates.iter().find(|n| Some(n.id()) == current);
    present.or_else(|| candidates.iter().min_by_key(|n| n.id())).copied()
}

/// Tells a person that the peer does not speak this port's dialect at the moment.
fn mismatch(mode: Mode, dialect: Dialect, peer: Option<&Peer>, lldp: &GroupAgent, why: &mut Vec<Diagnosis>) {
    let Some(p) = peer.filter(|p| !p.spoken.has(dialect)) else { return };
    let Some(theirs) = p.spoken.best() else { return };
    why.push(if mode == Mode::Auto {
        Diagnosis::DialectWait { peer: theirs, port: dialect, interval: lldp.config().msg_tx_interval }
    } else {
        Diagnosis::DialectMismatch { peer: theirs, port: mode }
    });
}

/// A name for sentences: the system name, or the chassis and port.
pub(crate) fn describe(peer: &Peer) -> String {
    if let Some(name) = &peer.system_name {
        return name.to_string();
    }
    match (&peer.chassis, &peer.port) {
        (Some(c), Some(p)) => alloc::format!("{c} port {p}"),
        _ => peer.mac.to_string(),
    }
}
