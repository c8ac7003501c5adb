//! What the receive machine of an agent does: judging LLDPDUs, and keeping the bounded neighbour table.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::neighbor::{NeighborChange, Neighbors, Removal, speaks_dcbx};
use super::tables::{RECEIVE, RxAction, RxGuard, RxState};
use super::{LldpConfig, Statistics, bump};
use crate::error::{Error, Violation};
use crate::machine::Interpreter;
use crate::time::Time;
use crate::types::Mac;
use crate::wire::{Kind, PduView, Tlv};

/// Changes that wait to be fetched; more are counted instead of kept.
const MAX_CHANGES: usize = 64;

/// A received LLDPDU.
#[derive(Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) source: Mac,
    pub(super) octets: &'a [u8],
}

/// State that outlives a frame.
#[derive(Debug)]
pub(super) struct Receive {
    pub(super) config: LldpConfig,
    pub(super) port_enabled: bool,
    pub(super) neighbors: Neighbors,
    pub(super) changes: VecDeque<NeighborChange>,
    pub(super) new_neighbor: bool,
    /// Grows whenever the table's content changed.
    pub(super) generation: u64,
    state: RxState,
    now: Time,
}

impl Receive {
    pub(super) fn new(config: LldpConfig, now: Time) -> Self {
        Self {
            config,
            port_enabled: false,
            neighbors: Neighbors::default(),
            changes: VecDeque::new(),
            new_neighbor: false,
            generation: 0,
            state: RECEIVE.initial,
            now,
        }
    }

    /// Lets the machine run, with a frame or without.
    pub(super) fn run(&mut self, frame: Option<Received<'_>>, stats: &mut Statistics, now: Time) {
        self.now = self.now.max(now);
        let mut state = self.state;
        let mut step = Step { rx: self, stats, frame, bad: false, ttl: 0, found: None, changes: false };
        step.end_of_refusal();
        RECEIVE.run(&mut state, &mut step);
        self.state = state;
    }

    fn changed(&mut self, change: NeighborChange, stats: &mut Statistics) {
        self.generation += 1;
        if self.changes.len() < MAX_CHANGES {
            self.changes.push_back(change);
        } else {
            bump(&mut stats.events_lost);
        }
    }
}

/// One run of the machine.
struct Step<'r, 'f> {
    rx: &'r mut Receive,
    stats: &'r mut Statistics,
    frame: Option<Received<'f>>,
    bad: bool,
    ttl: u16,
    found: Option<(Received<'f>, Option<usize>)>,
    changes: bool,
}

impl Interpreter<RxGuard, RxAction> for Step<'_, '_> {
    fn holds(&self, guard: RxGuard) -> bool {
        match guard {
            RxGuard::PortDown => !self.rx.port_enabled,
            RxGuard::PortUp => self.rx.port_enabled,
            RxGuard::Receives => self.rx.config.admin_status.receives(),
            RxGuard::Deaf => !self.rx.config.admin_status.receives(),
            RxGuard::InfoAge => self.rx.neighbors.expired(self.rx.now).is_some(),
            RxGuard::RcvFrame => self.frame.is_some(),
            RxGuard::Shutdown => !self.bad && self.ttl == 0,
            RxGuard::Changed => !self.bad && self.ttl > 0 && self.changes,
            RxGuard::Unchanged => self.bad || self.ttl > 0 && !self.changes,
        }
    }

    fn perform(&mut self, action: RxAction) {
        match action {
            RxAction::FlushLinkDown => self.flush(Removal::LinkDown),
            RxAction::Initialize => self.flush(Removal::Disabled),
            RxAction::ProcessFrame => {
                if let Some(frame) = self.frame.take() {
                    self.process(frame);
                }
            }
            RxAction::Delete => self.delete(),
            RxAction::Update => self.update(),
        }
    }
}

impl<'f> Step<'_, 'f> {
    fn end_of_refusal(&mut self) {
        let over = |until: Option<Time>| until.is_some_and(|t| t <= self.rx.now);
        let (too_many, dcbx) =
            (over(self.rx.neighbors.too_many_until), over(self.rx.neighbors.dcbx_refused_until));
        if dcbx {
            self.rx.neighbors.dcbx_refused_until = None;
            self.rx.generation += 1;
        }
        if too_many {
            self.rx.neighbors.too_many_until = None;
            self.rx.changed(NeighborChange::TooMany(false), self.stats);
        }
    }

    fn flush(&mut self, why: Removal) {
        while let Some(id) = self.rx.neighbors.pop() {
            bump(&mut self.stats.deletes);
            self.rx.changed(NeighborChange::Removed(id, why), self.stats);
        }
        self.rx.neighbors.dcbx_refused_until = None;
        if self.rx.neighbors.too_many_until.take().is_some() {
            self.rx.changed(NeighborChange::TooMany(false), self.stats);
        }
        self.frame = None;
    }

    /// 802.1AB 9.2.7.7: judge the frame as a whole and find whose it is.
    fn process(&mut self, frame: Received<'f>) {
        bump(&mut self.stats.frames_in);
        let pdu = match PduView::new_checked(frame.octets) {
            Ok(pdu) => pdu,
            Err(e) => {
                self.bad = true;
                bump(&mut self.stats.frames_in_errors);
                bump(&mut self.stats.frames_discarded);
                self.stats.errors.count(e.into());
                return;
            }
        };
        self.ttl = pdu.ttl();
        let index = self.rx.neighbors.find(&pdu);
        self.found = Some((frame, index));
        if self.ttl == 0 {
            return;
        }
        let expires = self.rx.now + Duration::from_secs(self.ttl.into());
        if let Some(index) = index {
            let known = self.rx.neighbors.at(index);
            known.expires = expires;
            self.changes = known.octets != pdu.octets() || known.mac != frame.source;
        } else if self.rx.neighbors.has_room(self.rx.config.neighbor_limit.into(), speaks_dcbx(&pdu)) {
            self.changes = true;
        } else {
            self.refuse(speaks_dcbx(&pdu), expires);
        }
    }

    /// 802.1AB 9.2.7.7.5, first way: the newcomer is discarded, no known neighbour has to go.
    fn refuse(&mut self, dcbx: bool, until: Time) {
        bump(&mut self.stats.drops);
        bump(&mut self.stats.frames_discarded);
        let table = &mut self.rx.neighbors;
        if dcbx {
            // The first one makes a difference to DCBX; those after it only prolong it.
            self.rx.generation += u64::from(table.dcbx_refused_until.is_none());
            table.dcbx_refused_until = table.dcbx_refused_until.max(Some(until));
        }
        let before = table.too_many_until;
        table.too_many_until = before.max(Some(until));
        if before.is_none() {
            self.rx.changed(NeighborChange::TooMany(true), self.stats);
        }
    }

    fn delete(&mut self) {
        // `found` is set only when a frame was processed, not while one waits for ageing to be done.
        if let Some((_, Some(index))) = self.found.take() {
            self.remove(index, Removal::Shutdown);
        }
        while let Some(index) = self.rx.neighbors.expired(self.rx.now) {
            self.remove(index, Removal::Expired);
            bump(&mut self.stats.ageouts);
        }
    }

    fn remove(&mut self, index: usize, why: Removal) {
        let id = self.rx.neighbors.remove(index);
        bump(&mut self.stats.deletes);
        self.rx.changed(NeighborChange::Removed(id, why), self.stats);
    }

    fn update(&mut self) {
        let Some((frame, index)) = self.found.take() else { return };
        let Ok(pdu) = PduView::new_checked(frame.octets) else { return };
        let new = index.is_none();
        let index = index.unwrap_or_else(|| {
            let expires = self.rx.now + Duration::from_secs(pdu.ttl().into());
            self.rx.neighbors.insert(frame.source, expires, self.rx.now)
        });
        let neighbor = self.rx.neighbors.at(index);
        neighbor.mac = frame.source;
        neighbor.set_lldpdu(&pdu);
        let id = neighbor.id;
        if new {
            bump(&mut self.stats.inserts);
            self.rx.new_neighbor = true;
            // There is room again: the newcomer may be the one that was refused, and whoever else was
            // comes in, or is refused again, with its next LLDPDU.
            self.rx.neighbors.dcbx_refused_until = None;
        }
        judge(&pdu, self.stats);
        let change = if new { NeighborChange::Added(id) } else { NeighborChange::Changed(id) };
        self.rx.changed(change, self.stats);
    }
}

/// Counts what is wrong with the optional TLVs (802.1AB 9.2.7.7.2). A bad one is dropped, an unknown
/// one kept; neither spoils the others.
fn judge(pdu: &PduView<'_>, stats: &mut Statistics) {
    let mut seen = alloc::collections::BTreeSet::new();
    for tlv in pdu.optional() {
        let kind = tlv.kind();
        let once = !matches!(
            kind,
            Kind::ManagementAddress
                | Kind::VlanName
                | Kind::LinkAggregation
                | Kind::OtherOrganisation
                | Kind::Other
        );
        let parsed = if once && !seen.insert(kind) {
            Err(Error::from(Violation::Duplicate(kind)))
        } else {
            Tlv::parse(tlv)
        };
        match parsed {
            Ok(Tlv::Unknown(_)) => bump(&mut stats.tlvs_unrecognized),
            Ok(_) => {}
            Err(e) => {
                bump(&mut stats.tlvs_discarded);
                stats.errors.count(e);
            }
        }
    }
}
