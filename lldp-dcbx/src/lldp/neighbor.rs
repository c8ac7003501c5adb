//! The neighbours of one agent: who was heard, until when, and what was said (as octets).

use alloc::vec::Vec;

use crate::time::{Time, earliest};
use crate::types::Mac;
use crate::wire::{Kind, Lldpdu, PduView};

/// Number of a neighbour; never used again by the same agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NeighborId(pub u64);

/// Why a neighbour was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its TTL ran out.
    Expired,
    /// It said that it goes away (TTL 0).
    Shutdown,
    /// The link went down.
    LinkDown,
    /// The agent stopped to receive.
    Disabled,
}

/// A change in the neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborChange {
    /// A neighbour appeared.
    Added(NeighborId),
    /// It says something else.
    Changed(NeighborId),
    /// It is gone.
    Removed(NeighborId, Removal),
    /// Newcomers are being refused, or no longer (802.1AB tooManyNeighbors).
    TooMany(bool),
}

/// One neighbour.
#[derive(Debug)]
pub struct Neighbor {
    pub(super) id: NeighborId,
    pub(super) mac: Mac,
    pub(super) octets: Vec<u8>,
    /// Where in `octets` Port ID begins and ends; Chassis ID begins at 2 and ends two before.
    port_id: (usize, usize),
    pub(super) expires: Time,
    pub(super) since: Time,
    pub(super) dcbx: bool,
}

impl Neighbor {
    pub(super) fn set_lldpdu(&mut self, pdu: &PduView<'_>) {
        let (chassis, port) = pdu.msap();
        let start = 2 + chassis.len() + 2;
        self.port_id = (start, start + port.len());
        self.octets = pdu.octets().to_vec();
        self.dcbx = speaks_dcbx(pdu);
    }

    fn msap(&self) -> Option<(&[u8], &[u8])> {
        let (start, end) = self.port_id;
        Some((self.octets.get(2..start.checked_sub(2)?)?, self.octets.get(start..end)?))
    }

    /// Its number.
    pub fn id(&self) -> NeighborId {
        self.id
    }

    /// Source address of its last LLDPDU.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// When it was first heard.
    pub fn since(&self) -> Time {
        self.since
    }

    /// When its information runs out.
    pub fn expires(&self) -> Time {
        self.expires
    }

    /// Whether it sends DCBX TLVs of any dialect.
    pub fn speaks_dcbx(&self) -> bool {
        self.dcbx
    }

    /// The last LLDPDU, without End TLV and padding.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The last LLDPDU as a view.
    pub fn view(&self) -> Option<PduView<'_>> {
        PduView::new_checked(&self.octets).ok()
    }

    /// The last LLDPDU parsed; bad TLVs are left out.
    pub fn lldpdu(&self) -> Option<Lldpdu> {
        Lldpdu::parse(&self.view()?).ok().map(|(pdu, _)| pdu)
    }
}

/// Whether an LLDPDU has DCBX TLVs of any dialect.
pub(super) fn speaks_dcbx(pdu: &PduView<'_>) -> bool {
    pdu.optional().any(|t| {
        matches!(
            t.kind(),
            Kind::EtsConfiguration
                | Kind::EtsRecommendation
                | Kind::Pfc
                | Kind::AppPriority
                | Kind::AppVlan
                | Kind::CongestionNotification
                | Kind::Cee
                | Kind::Cin
        )
    })
}

/// Bounded table of neighbours.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    entries: Vec<Neighbor>,
    next_id: u64,
    /// While set, a newcomer was refused (802.1AB tooManyNeighborsTimer).
    pub(super) too_many_until: Option<Time>,
    /// The same for newcomers that speak DCBX: they count as further DCBX peers.
    pub(super) dcbx_refused_until: Option<Time>,
}

impl Neighbors {
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Neighbor> {
        self.entries.iter()
    }

    pub(super) fn at(&mut self, index: usize) -> &mut Neighbor {
        &mut self.entries[index]
    }

    /// Where the sender of `pdu` is. Identity is chassis and port together (the MSAP), not the MAC.
    pub(super) fn find(&self, pdu: &PduView<'_>) -> Option<usize> {
        self.entries.iter().position(|n| n.msap() == Some(pdu.msap()))
    }

    /// Whether there is room for a newcomer.
    pub(super) fn has_room(&self, limit: usize, dcbx: bool) -> bool {
        let reserved = usize::from(limit > 1 && !dcbx && !self.entries.iter().any(|n| n.dcbx));
        self.entries.len() < limit.saturating_sub(reserved)
    }

    pub(super) fn insert(&mut self, mac: Mac, expires: Time, now: Time) -> usize {
        let id = NeighborId(self.next_id);
        self.next_id += 1;
        let (octets, port_id) = (Vec::new(), (0, 0));
        self.entries.push(Neighbor { id, mac, octets, port_id, expires, since: now, dcbx: false });
        self.entries.len() - 1
    }

    pub(super) fn remove(&mut self, index: usize) -> NeighborId {
        self.entries.remove(index).id
    }

    pub(super) fn pop(&mut self) -> Option<NeighborId> {
        self.entries.pop().map(|n| n.id)
    }

    pub(super) fn expired(&self, now: Time) -> Option<usize> {
        self.entries.iter().position(|n| n.expires <= now)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let refused = earliest(self.too_many_until, self.dcbx_refused_until);
        earliest(self.entries.iter().map(|n| n.expires).min(), refused)
    }
}
