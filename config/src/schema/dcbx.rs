//! The sections of LLDP and DCBX, in the vocabulary of leading switches. No code beyond declarations.

use super::network::HostAddress;
use super::quantity::Seconds;
use super::section;
use super::value::{Int, List, OneOf, Word};
use crate::model::{DcbxMode, DcbxRole, LldpGroup, MultiPeer};

section! {
    /// LLDP (802.1AB) on all ports: the switch says who it is and hears who is at the other end of each link. DCBX travels in its frames.
    struct LldpSection in "[lldp]" {
        /// Whether the switch speaks LLDP at all. Without it there is no DCBX either, and received LLDP frames are not looked at (no bridge forwards them).
        enabled: bool = true;
        /// Between two LLDP frames when nothing changes (msgTxInterval); changes are sent at once. Also the least time between two changes of the DCBX dialect. Shorter finds a peer that lost a frame sooner.
        tx_interval: Seconds<1, 3_600> = Seconds(30);
        /// Neighbours keep what they heard for this many intervals (msgTxHold). A peer that vanishes without a word is noticed no sooner.
        hold: Int<1, 100> = Int(4);
        /// Frames that are sent one a second when a neighbour is new (txFastInit).
        fast_start: Int<1, 8> = Int(4);
        /// Neighbours that a port remembers; further ones are ignored. One place is kept for a neighbour that speaks DCBX.
        neighbor_limit: Int<2, 256> = Int(8);
        /// Group addresses to which ports speak beside the nearest bridge's: "nearest-non-tpmr" (01-80-C2-00-00-03) passes two-port relays, "nearest-customer" (01-80-C2-00-00-00) passes provider bridges. DCBX goes to the nearest bridge only.
        more_groups: List<OneOf<LldpGroup>> = List(vec![]);
        /// Addresses at which the switch can be managed, as neighbours are told: those of the machine that it runs on.
        management_address: List<HostAddress> = List(vec![]);
    }
}

impl Word for LldpGroup {
    const WORDS: &'static [(&'static str, Self)] =
        &[("nearest-non-tpmr", Self::NearestNonTpmr), ("nearest-customer", Self::NearestCustomer)];
}

/// A mode, or no DCBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeSetting(pub(crate) Option<DcbxMode>);

impl Word for ModeSetting {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self(Some(DcbxMode::Auto))),
        ("ieee", Self(Some(DcbxMode::Ieee))),
        ("cee", Self(Some(DcbxMode::Cee))),
        ("cin", Self(Some(DcbxMode::Cin))),
        ("off", Self(None)),
    ];
}

impl Word for DcbxRole {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("manual", Self::Manual),
        ("auto-upstream", Self::AutoUpstream),
        ("auto-downstream", Self::AutoDownstream),
        ("configuration-source", Self::ConfigurationSource),
    ];
}

impl Word for MultiPeer {
    const WORDS: &'static [(&'static str, Self)] =
        &[("disable", Self::Disable), ("keep-first", Self::KeepFirst)];
}

section! {
    /// DCBX of a port (802.1Q clause 38, CEE 1.01, CIN): both ends tell their classes, shares, PFC priorities and applications, and a willing end takes over what the other says. Values that were learned hold while the peer is there, and are never written anywhere.
    struct DcbxSection in "dcbx" {
        /// "auto" speaks IEEE, and CEE or CIN to a peer that sends nothing newer; "ieee", "cee" and "cin" speak that only; "off" takes no part.
        mode: OneOf<ModeSetting> = OneOf(ModeSetting(Some(DcbxMode::Auto)));
        /// Whether the port takes over what its peer recommends: shares and classes, PFC priorities, applications. Only with the role "manual"; the other roles decide it themselves.
        willing: bool = false;
        /// "manual": the port's own settings, whatever other ports learn. "auto-upstream": willing, towards a switch that may configure this one; the first such port whose peer has something to teach becomes the configuration source. "auto-downstream": not willing; hands on what the source learned. "configuration-source": the upstream port that always goes first.
        role: OneOf<DcbxRole> = OneOf(DcbxRole::Manual);
        /// What several DCBX neighbours on one port mean: "disable" uses none of them until one remains (802.1Q 38.2), "keep-first" the one that was there first.
        multi_peer: OneOf<MultiPeer> = OneOf(MultiPeer::Disable);
    }
}
