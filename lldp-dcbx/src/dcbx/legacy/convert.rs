//! Local tables to priority groups, bandwidth groups and application lists, and back.

use alloc::vec::Vec;

use super::peer::Groups;
use crate::dcbx::config::{Capability, DcbxConfig};
use crate::dcbx::dialect::Dialect;
use crate::error::{Error, Unsupported};
use crate::types::{Priority, PrioritySet};
use crate::wire::OUI_LEGACY;
use crate::wire::app::{AppEntry, Selector};
use crate::wire::cee::{CeeApp, PriorityGroups, STRICT_GROUP};
use crate::wire::cin::{BandwidthGroups, CinApp, CinPriority};
use crate::wire::ets::{EtsTable, Tsa};

/// The local groups, as a dialect puts them. `None` cannot happen for a checked configuration.
pub(crate) fn groups(config: &DcbxConfig, dialect: Dialect) -> Option<Groups> {
    if dialect == Dialect::Cin {
        to_cin(config.ets).map(Groups::Cin)
    } else {
        to_cee(config.ets, config.capability.max_classes).map(Groups::Cee)
    }
}

/// Every ETS class is the group of its number; all strict priorities are in group 15.
fn to_cee(table: EtsTable, max_classes: u8) -> Option<PriorityGroups> {
    let group = |c: u8| if is_strict(table, c) { STRICT_GROUP } else { c };
    PriorityGroups::new(table.classes().map(group), table.bandwidth(), max_classes).ok()
}

/// A class is the bandwidth group of its number, and the only class in it: each of its priorities says
/// that this class has all of the group (lldpad counts a class once and wants 100). Strict ones are
/// strict on the link.
fn to_cin(table: EtsTable) -> Option<BandwidthGroups> {
    let priorities = table.classes().map(|group| {
        let strict = is_strict(table, group);
        CinPriority { group, strict: if strict { 2 } else { 0 }, percent: if strict { 0 } else { 100 } }
    });
    BandwidthGroups::new(table.bandwidth(), priorities).ok()
}

fn is_strict(table: EtsTable, class: u8) -> bool {
    table.tsa().get(usize::from(class)).is_none_or(|t| *t != Tsa::Ets)
}

/// Classes from the priority groups of a CEE peer.
pub(crate) fn from_cee(groups: PriorityGroups, capability: Capability) -> Result<EtsTable, Error> {
    from_groups(groups.groups(), groups.percent(), capability)
}

/// Classes from the bandwidth groups of a CIN peer. Shares inside a group are not kept: the priorities
/// of a class share it evenly here.
pub(crate) fn from_cin(groups: BandwidthGroups, capability: Capability) -> Result<EtsTable, Error> {
    let priorities = groups.priorities();
    if let Some(p) = priorities.iter().position(|p| !matches!(p.strict, 0 | 2)) {
        return Err(Unsupported::GroupStrict { priority: p as u8 }.into());
    }
    let group = |p: CinPriority| if p.strict == 2 { STRICT_GROUP } else { p.group };
    from_groups(priorities.map(group), groups.percent(), capability)
}

/// A group is the class of its number. The strict priorities get the highest class without a share
/// that the port has and nobody is in.
fn from_groups(group_of: [u8; 8], percent: [u8; 8], capability: Capability) -> Result<EtsTable, Error> {
    let free = |c: &u8| !group_of.contains(c);
    let unshared = |c: &u8| free(c) && percent[usize::from(*c)] == 0;
    let classes = 0..capability.max_classes;
    let strict = classes.clone().rev().find(unshared).or_else(|| classes.rev().find(free));
    let class = |g: u8| match (g, strict) {
        (STRICT_GROUP, Some(strict)) => strict,
        // With every class in use the port has one too few: number 8 says so below.
        (STRICT_GROUP, None) => 8,
        (g, _) => g,
    };
    let class_of = group_of.map(class);
    if let Some(class) = class_of.into_iter().find(|c| *c >= capability.max_classes) {
        return Err(Unsupported::Classes { class, have: capability.max_classes }.into());
    }
    let shared = |c: usize| percent[c] > 0 && Some(c as u8) != strict || group_of.contains(&(c as u8));
    let tsa = core::array::from_fn(|c| if shared(c) { Tsa::Ets } else { Tsa::Strict });
    capability.ets(EtsTable::new(class_of, percent, tsa)?)
}

/// One CIN application in the form of CEE.
pub(crate) fn cin_app(app: CinApp, priorities: PrioritySet) -> CeeApp {
    let (selector, protocol) = match app {
        CinApp::Fcoe => (0, 0x8906),
        CinApp::Iscsi => (1, 3260),
        CinApp::Fip => (0, 0x8914),
    };
    CeeApp { selector, protocol, oui: OUI_LEGACY, priorities: priorities.0 }
}

/// A local entry in the form of CEE, without priorities; `None` where CEE has no words for it.
fn sayable(entry: AppEntry) -> Option<CeeApp> {
    let selector = match entry.selector {
        Selector::Ethertype if entry.protocol != 0 => 0,
        Selector::Tcp | Selector::Udp | Selector::AnyPort => 1,
        _ => return None,
    };
    let priorities = 1 << entry.priority.value();
    Some(CeeApp { selector, protocol: entry.protocol, oui: OUI_LEGACY, priorities })
}

/// The local applications, one list per feature of the dialect, and the entries that it has no words for.
pub(crate) fn apps(config: &DcbxConfig, dialect: Dialect) -> (Vec<Vec<CeeApp>>, Vec<AppEntry>) {
    let mut said: Vec<CeeApp> = Vec::new();
    let mut unsaid = Vec::new();
    for entry in config.app.entries() {
        let Some(app) = sayable(*entry).filter(|a| dialect == Dialect::Cee || cin_kind(*a).is_some()) else {
            unsaid.push(*entry);
            continue;
        };
        match said.iter_mut().find(|a| (a.selector, a.protocol) == (app.selector, app.protocol)) {
            Some(known) => known.priorities |= app.priorities,
            None => said.push(app),
        }
    }
    if dialect == Dialect::Cee {
        return (alloc::vec![said], unsaid);
    }
    let of = |kind| said.iter().filter(|a| cin_kind(**a) == Some(kind)).copied().collect();
    (CinApp::ALL.map(of).into_iter().collect(), unsaid)
}

fn cin_kind(app: CeeApp) -> Option<CinApp> {
    CinApp::ALL.into_iter().find(|k| {
        let known = cin_app(*k, PrioritySet::EMPTY);
        (known.selector, known.protocol) == (app.selector, app.protocol)
    })
}

/// A peer's applications as entries; what is not of the known organisation and selectors is left out.
pub(crate) fn entries(apps: &[CeeApp]) -> Vec<AppEntry> {
    let known = apps.iter().filter(|a| a.oui == OUI_LEGACY && a.selector < 2);
    known
        .flat_map(|a| {
            let selector = if a.selector == 0 { Selector::Ethertype } else { Selector::AnyPort };
            let entry = move |priority: Priority| AppEntry { selector, protocol: a.protocol, priority };
            PrioritySet(a.priorities).iter().map(entry).collect::<Vec<_>>()
        })
        .collect()
}
