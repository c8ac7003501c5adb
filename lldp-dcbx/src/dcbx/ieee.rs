//! IEEE DCBX (802.1Q 38.4): asymmetric (ETS), symmetric (PFC) and informational (applications) rules.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::config::{DcbxConfig, Origin};
use super::diagnosis::{Diagnosis, Feature};
use super::dialect::Dialect;
use super::operational::{AppRule, Defence, Negotiated, Operational, Source};
use super::peer::{Peer, Slot};
use crate::types::{Mac, PrioritySet};
use crate::wire::Tlv;
use crate::wire::congestion::CongestionNotification;
use crate::wire::ets::{EtsConfiguration, EtsTable};
use crate::wire::pfc::Pfc;

/// What holds without a peer: the local configuration.
pub(crate) fn local(config: &DcbxConfig, dialect: Dialect) -> Operational {
    let source = own(config);
    Operational {
        dialect,
        ets: Negotiated { value: config.ets, active: true, source },
        pfc: Negotiated { value: config.pfc, active: true, source },
        app: Negotiated { value: own_rules(config), active: true, source },
        app_vlan: None,
        congestion: defence(config, None),
    }
}

/// Source of local values.
pub(crate) fn own(config: &DcbxConfig) -> Source {
    if config.origin == Origin::Configured { Source::Local } else { Source::Propagated }
}

/// The local applications as rules.
pub(crate) fn own_rules(config: &DcbxConfig) -> Vec<AppRule> {
    let source = own(config);
    config.app.entries().iter().map(|e| AppRule { entry: *e, source }).collect()
}

/// What holds with this peer, and what a person should know about it.
pub(crate) fn evaluate(
    config: &DcbxConfig,
    own_mac: Mac,
    peer: &Peer,
    why: &mut Vec<Diagnosis>,
) -> Operational {
    let mut oper = local(config, Dialect::Ieee);
    if let Some(table) = ets(config, peer, why) {
        oper.ets.value = table;
        oper.ets.source = Source::Peer;
    }
    if let Some(enabled) = pfc(config, own_mac, peer, why) {
        oper.pfc.value = enabled;
        oper.pfc.source = Source::Peer;
    }
    oper.app.value.extend(app(config, peer, why));
    oper.app_vlan = peer.ieee.app_vlan.good().cloned();
    report(Feature::AppVlan, &peer.ieee.app_vlan, why);
    report(Feature::Congestion, &peer.ieee.congestion, why);
    oper.congestion = defence(config, peer.ieee.congestion.good().copied());
    oper
}

fn report<T>(feature: Feature, slot: &Slot<T>, why: &mut Vec<Diagnosis>) {
    why.extend(slot.bad().map(|why| Diagnosis::Unusable { feature, why }));
}

/// Asymmetric, 802.1Q 38.4.1: a willing port uses the peer's recommendation, whether the peer itself
/// is willing or not.
fn ets(config: &DcbxConfig, peer: &Peer, why: &mut Vec<Diagnosis>) -> Option<EtsTable> {
    report(Feature::Ets, &peer.ieee.ets, why);
    if !config.ets_flags.willing {
        return None;
    }
    match &peer.ieee.recommendation {
        Slot::Good(table) => return Some(*table),
        Slot::Bad(e) => why.push(Diagnosis::Unusable { feature: Feature::Ets, why: *e }),
        Slot::Absent => why.push(Diagnosis::NoRecommendation),
    }
    None
}

/// Symmetric, 802.1Q 38.4.2: both ends come to the same value. With both willing the numerically lower
/// MAC address yields.
fn pfc(config: &DcbxConfig, own_mac: Mac, peer: &Peer, why: &mut Vec<Diagnosis>) -> Option<PrioritySet> {
    let feature = Feature::Pfc;
    if !config.pfc_flags.advertise {
        why.push(Diagnosis::NotAdvertised { feature });
    }
    let theirs = match &peer.ieee.pfc {
        Slot::Good(theirs) => theirs,
        Slot::Bad(e) => {
            why.push(Diagnosis::Unusable { feature, why: *e });
            return None;
        }
        Slot::Absent => {
            why.push(Diagnosis::Missing { feature });
            return None;
        }
    };
    let differ = theirs.enabled() != config.pfc;
    let yields = match (config.pfc_flags.willing, theirs.willing()) {
        (true, false) => true,
        (false, true) => false,
        (false, false) => {
            if differ {
                why.push(Diagnosis::NobodyYields { local: config.pfc, peer: theirs.enabled() });
            }
            false
        }
        (true, true) => {
            let order = own_mac.cmp(&peer.mac);
            why.push(match order {
                Ordering::Equal => Diagnosis::EqualMacs { feature },
                _ => Diagnosis::BothWilling { feature, peer_yields: order == Ordering::Greater },
            });
            order == Ordering::Less
        }
    };
    if !yields {
        return None;
    }
    match config.capability.pfc(theirs.enabled()) {
        Ok(enabled) => Some(enabled),
        Err(e) => {
            why.push(Diagnosis::Unusable { feature, why: e });
            None
        }
    }
}

/// Informational, 802.1Q 38.4.3: the peer's entries for applications that have none here.
fn app(config: &DcbxConfig, peer: &Peer, why: &mut Vec<Diagnosis>) -> Vec<AppRule> {
    report(Feature::App, &peer.ieee.app, why);
    let Some(theirs) = peer.ieee.app.good() else { return Vec::new() };
    let bad = theirs.entries().iter().find_map(|e| e.check().err());
    why.extend(bad.map(|why| Diagnosis::Unusable { feature: Feature::App, why }));
    if !config.app_flags.willing {
        return Vec::new();
    }
    let unknown_here = |e: &&crate::wire::app::AppEntry| {
        e.check().is_ok() && config.app.priority(e.selector, e.protocol).is_none()
    };
    let rule = |e: &crate::wire::app::AppEntry| AppRule { entry: *e, source: Source::Peer };
    theirs.entries().iter().filter(unknown_here).map(rule).collect()
}

/// 802.1Q 32.4: automatic mode of each local congestion notification priority value.
fn defence(
    config: &DcbxConfig,
    peer: Option<CongestionNotification>,
) -> Vec<(crate::types::Priority, Defence)> {
    let peer = peer.unwrap_or_default();
    let of = |p| match (peer.cnpv().contains(p), peer.ready().contains(p)) {
        (false, _) => Defence::Edge,
        (true, false) => Defence::Interior,
        (true, true) => Defence::InteriorReady,
    };
    config.cnpv.unwrap_or_default().iter().map(|p| (p, of(p))).collect()
}

/// The TLVs to send. ETS Configuration and PFC carry the operational values (802.1Q 38.4.1, 38.4.2).
pub(crate) fn tlvs(config: &DcbxConfig, oper: &Operational) -> Vec<Tlv> {
    let mut out = Vec::with_capacity(6);
    let cap = &config.capability;
    if config.ets_flags.advertise {
        let ets = EtsConfiguration::new(
            config.ets_flags.willing,
            cap.credit_based,
            cap.max_classes,
            oper.ets.value,
        );
        out.push(Tlv::EtsConfiguration(ets));
    }
    out.extend(config.ets_recommendation.map(Tlv::EtsRecommendation));
    if config.pfc_flags.advertise {
        // 0 on the wire means "no limit", so a port without PFC says 1 and enables none.
        let limit = cap.pfc_priorities.max(1);
        out.extend(Pfc::new(config.pfc_flags.willing, false, limit, oper.pfc.value).ok().map(Tlv::Pfc));
    }
    if config.app_flags.advertise {
        out.push(Tlv::AppPriority(config.app.clone()));
    }
    out.extend(config.app_vlan.clone().map(Tlv::AppVlan));
    if let Some(cnpv) = config.cnpv {
        let ready = oper.congestion.iter().filter(|(_, d)| *d != Defence::Edge).map(|(p, _)| *p).collect();
        out.push(Tlv::CongestionNotification(CongestionNotification::new(cnpv, ready)));
    }
    out
}
