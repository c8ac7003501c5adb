//! VLAN membership of ports.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::model::PortVlan;
use crate::schema::choice::VlanSetting;
use crate::schema::network::Vlans;
use crate::schema::sections::VlanSection;
use crate::schema::value::List;
use crate::schema::{Opt, Reader};

/// The VLAN of untagged frames where nothing else is said (802.1Q table 9-2: the default PVID).
pub(super) const DEFAULT_PVID: u16 = 1;
const VID_MAX: u16 = 4094;

/// VLANs as a set, to find overlaps and to join ranges.
type Vids = Vec<bool>;

pub(super) fn membership(setting: &VlanSetting, span: Option<Range<usize>>, cx: &mut Reader) -> PortVlan {
    match setting {
        VlanSetting::Transparent => transparent(),
        VlanSetting::Member(section) => member(section, span, cx),
    }
}

/// Every VLAN; frames without a tag belong to the default one.
fn transparent() -> PortVlan {
    PortVlan {
        pvid: Some(DEFAULT_PVID),
        untagged: vec![DEFAULT_PVID],
        tagged: vec![(DEFAULT_PVID + 1, VID_MAX)],
        drop_untagged: false,
        transparent: true,
    }
}

fn member(raw: &VlanSection, span: Option<Range<usize>>, cx: &mut Reader) -> PortVlan {
    let pvid = raw.pvid.value().map(|pvid| pvid.0 as u16);
    let mut untagged = vids(&raw.untagged);
    let tagged = vids(&raw.tagged);
    if let Some(pvid) = pvid {
        untagged[usize::from(pvid)] = true;
    }
    check_overlap(raw, pvid, &untagged, cx);
    let unsure = raw.pvid.is_bad() || raw.untagged.is_bad() || raw.tagged.is_bad();
    let carries = |set: &Vids| set.contains(&true);
    if !carries(&untagged) && !carries(&tagged) && !unsure {
        cx.report(
            Diagnostic::error(span.unwrap_or_else(|| raw.place.clone()), "a port without a VLAN")
                .label("it carries nothing")
                .help("add `pvid`, `untagged` or `tagged`, or leave `vlan` out"),
        );
    }
    PortVlan {
        pvid,
        untagged: (1..=VID_MAX).filter(|vid| untagged[usize::from(*vid)]).collect(),
        tagged: ranges(&tagged),
        drop_untagged: raw.drop_untagged.value,
        transparent: false,
    }
}

fn vids(list: &Opt<List<Vlans>>) -> Vids {
    let mut set = vec![false; usize::from(VID_MAX) + 1];
    for Vlans((first, last)) in list.value().iter().flat_map(|list| list.values()) {
        set[usize::from(*first)..=usize::from(*last)].fill(true);
    }
    set
}

/// A VLAN leaves a port with a tag or without.
fn check_overlap(raw: &VlanSection, pvid: Option<u16>, untagged: &Vids, cx: &mut Reader) {
    for (Vlans((first, last)), span) in raw.tagged.value().iter().flat_map(|list| &list.0) {
        let Some(vid) = (*first..=*last).find(|vid| untagged[usize::from(*vid)]) else {
            continue;
        };
        let (other, label) = if pvid == Some(vid) {
            (raw.pvid.span(), "untagged, because it is the `pvid`")
        } else {
            (raw.untagged.span(), "untagged")
        };
        cx.report(
            Diagnostic::error(span.clone(), format!("VLAN {vid} is both tagged and untagged"))
                .label("tagged")
                .also(other, label)
                .help("remove it from one of the two"),
        );
    }
}

fn ranges(set: &Vids) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for vid in (1..=VID_MAX).filter(|vid| set[usize::from(*vid)]) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == vid => *last = vid,
            _ => ranges.push((vid, vid)),
        }
    }
    ranges
}

/// Whether a port carries a VLAN.
pub(super) fn carries(vlan: &PortVlan, vid: u16) -> bool {
    vlan.transparent
        || vlan.untagged.contains(&vid)
        || vlan.tagged.iter().any(|(first, last)| (*first..=*last).contains(&vid))
}
