//! The decision table applied to all features of a port, and the TLV that says so.

use alloc::vec::Vec;

use super::convert;
use super::peer::{Groups, Heard, LegacyPeer};
use super::rules::{Case, PeerSide, Verdict, decide};
use crate::dcbx::config::{DcbxConfig, FeatureFlags};
use crate::dcbx::diagnosis::{Diagnosis, Feature};
use crate::dcbx::dialect::Dialect;
use crate::dcbx::ieee::{local, own};
use crate::dcbx::operational::{AppRule, Operational, Source};
use crate::types::PrioritySet;
use crate::wire::Tlv;
use crate::wire::cee::{CeeApp, CeeApps, CeeMessage, LegacyPfc};
use crate::wire::cin::CinMessage;
use crate::wire::subtlv::{Control, FeatureHead};

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence<'a> {
    /// Nobody since the link came up.
    Never,
    /// Somebody was.
    Gone,
    /// A peer that speaks the dialect.
    Here(&'a LegacyPeer),
}

/// The verdicts on all features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdicts {
    ets: Verdict,
    pfc: Verdict,
    app: Vec<(Verdict, Vec<CeeApp>)>,
}

/// What holds, the verdicts to send, and what a person should know.
pub(crate) fn evaluate(
    config: &DcbxConfig,
    dialect: Dialect,
    presence: Presence<'_>,
    why: &mut Vec<Diagnosis>,
) -> (Operational, Verdicts) {
    let mut oper = local(config, dialect);
    let groups = convert::groups(config, dialect);
    // CEE never compares groups, CIN wants them equal.
    let same_groups = |theirs: &Groups| dialect == Dialect::Cee || Some(*theirs) == groups;
    let judge = Judge { dialect, presence };
    if matches!(presence, Presence::Here(_)) {
        let switches = [
            (Feature::Ets, config.ets_flags),
            (Feature::Pfc, config.pfc_flags),
            (Feature::App, config.app_flags),
        ];
        let unsent = switches.into_iter().filter(|(_, flags)| !flags.advertise);
        why.extend(unsent.map(|(feature, _)| Diagnosis::NotAdvertised { feature }));
    }

    let heard = judge.heard(|p| &p.ets);
    let ets = judge.feature(Feature::Ets, config.ets_flags, heard, |o| same_groups(&o.groups), why);
    oper.ets.active = ets.active;
    if let Some(offer) = heard.and_then(Heard::value).filter(|_| ets.take_peer) {
        (oper.ets.value, oper.ets.source) = (offer.table, Source::Peer);
    }

    let heard = judge.heard(|p| &p.pfc);
    let pfc = judge.feature(Feature::Pfc, config.pfc_flags, heard, |p| *p == config.pfc, why);
    oper.pfc.active = pfc.active;
    if let Some(enabled) = heard.and_then(Heard::value).filter(|_| pfc.take_peer) {
        (oper.pfc.value, oper.pfc.source) = (*enabled, Source::Peer);
    }

    let app = applications(config, judge, &mut oper, why);
    (oper, Verdicts { ets, pfc, app })
}

/// The application features: CEE has one, CIN one for each application that it knows.
fn applications(
    config: &DcbxConfig,
    judge: Judge<'_>,
    oper: &mut Operational,
    why: &mut Vec<Diagnosis>,
) -> Vec<(Verdict, Vec<CeeApp>)> {
    let (own_apps, unsaid) = convert::apps(config, judge.dialect);
    if !unsaid.is_empty() && config.app_flags.advertise {
        why.push(Diagnosis::CannotSay { entries: unsaid.len(), dialect: judge.dialect });
    }
    let mut peers = Vec::new();
    let mut verdicts = Vec::new();
    for (i, ours) in own_apps.iter().enumerate() {
        let heard = judge.heard(|p| p.app.get(i).unwrap_or(&Heard::Absent));
        let named = |apps: &Vec<CeeApp>| apps.iter().any(|a| a.priorities != 0);
        let asked_for = heard.and_then(Heard::value).is_some_and(named);
        let mut flags = config.app_flags;
        // CIN sends a feature per application: those that are configured, or named by the peer.
        flags.advertise &= judge.dialect == Dialect::Cee || !ours.is_empty() || asked_for;
        let verdict = judge.feature(Feature::App, flags, heard, |theirs| same_apps(ours, theirs), why);
        let taken = heard.and_then(Heard::value).filter(|_| verdict.take_peer);
        let sent = with_echo(verdict.case, ours, heard.and_then(Heard::value));
        peers.push(taken.map(|apps| convert::entries(apps)));
        verdicts.push((verdict, sent));
    }
    let sent = verdicts.iter().map(|(v, _)| v).filter(|v| v.case != Case::NotAdvertised);
    oper.app.active = sent.clone().count() == 0 || sent.clone().any(|v| v.active);
    if peers.iter().any(Option::is_some) {
        oper.app.source = Source::Peer;
        // Own entries stay where the peer's did not take their place.
        let replaced = |r: &AppRule| {
            !unsaid.contains(&r.entry)
                && peers.iter().zip(&own_apps).any(|(p, ours)| p.is_some() && says(ours, *r))
        };
        oper.app.value.retain(|r| !replaced(r));
        let theirs = peers.into_iter().flatten().flatten();
        oper.app.value.extend(theirs.map(|entry| AppRule { entry, source: Source::Peer }));
    } else {
        oper.app.source = own(config);
    }
    verdicts
}

/// The list to send also names the peer's applications that have no entry here: with the peer's
/// priorities where the port is about to take them, else with no priority at all, which is what holds
/// here. lldpad signals an error for an application that its peer does not name, and then commits none
/// of the features. Nothing of this outlives the peer's own entry: two willing ends do not do it for
/// each other, and a name without a priority is not repeated.
fn with_echo(case: Case, ours: &[CeeApp], theirs: Option<&Vec<CeeApp>>) -> Vec<CeeApp> {
    let mask = match case {
        Case::TakePeer => 0xff,
        Case::GivePeer => 0,
        _ => return ours.to_vec(),
    };
    let unknown = |t: &&CeeApp| {
        t.priorities != 0 && !ours.iter().any(|o| (o.selector, o.protocol) == (t.selector, t.protocol))
    };
    let echo = theirs.into_iter().flatten().filter(unknown);
    let echo = echo.map(|t| CeeApp { priorities: t.priorities & mask, ..*t });
    ours.iter().copied().chain(echo).take(CeeApps::MAX).collect()
}

fn says(apps: &[CeeApp], rule: AppRule) -> bool {
    apps.iter().any(|a| a.protocol == rule.entry.protocol)
}

/// Neither order nor entries without a priority matter: the lists say the same.
fn same_apps(ours: &[CeeApp], theirs: &[CeeApp]) -> bool {
    let sorted = |apps: &[CeeApp]| {
        let mut apps: Vec<CeeApp> = apps.iter().filter(|a| a.priorities != 0).copied().collect();
        apps.sort_unstable();
        apps
    };
    sorted(ours) == sorted(theirs)
}

#[derive(Clone, Copy)]
struct Judge<'a> {
    dialect: Dialect,
    presence: Presence<'a>,
}

impl<'a> Judge<'a> {
    fn heard<T>(&self, of: impl FnOnce(&'a LegacyPeer) -> &'a Heard<T>) -> Option<&'a Heard<T>> {
        if let Presence::Here(peer) = self.presence { Some(of(peer)) } else { None }
    }

    fn feature<T>(
        &self,
        feature: Feature,
        flags: FeatureFlags,
        heard: Option<&Heard<T>>,
        compatible: impl FnOnce(&T) -> bool,
        why: &mut Vec<Diagnosis>,
    ) -> Verdict {
        let side = match (self.presence, heard) {
            (Presence::Never, _) | (Presence::Here(_), None) => PeerSide::Never,
            (Presence::Gone, _) => PeerSide::Gone,
            (_, Some(h)) if h.is_duplicate() => PeerSide::Duplicate,
            (_, Some(Heard::Absent | Heard::Bad(_))) => PeerSide::Missing,
            (_, Some(Heard::Said { head, value })) => PeerSide::Said {
                head: *head,
                usable: value.is_ok(),
                // CEE never compares groups, so values that break a rule do no harm while unused.
                compatible: match value {
                    Ok(v) => compatible(v),
                    Err(_) => feature == Feature::Ets && self.dialect == Dialect::Cee,
                },
            },
        };
        let verdict = decide(self.dialect, flags, side);
        explain(feature, flags, verdict, side, heard, why);
        verdict
    }
}

fn explain<T>(
    feature: Feature,
    flags: FeatureFlags,
    verdict: Verdict,
    side: PeerSide,
    heard: Option<&Heard<T>>,
    why: &mut Vec<Diagnosis>,
) {
    if verdict.case == Case::NotAdvertised {
        return;
    }
    let error = heard.and_then(Heard::error);
    why.extend(error.map(|why| Diagnosis::Unusable { feature, why }));
    match verdict.case {
        Case::Missing if error.is_none() => why.push(Diagnosis::Missing { feature }),
        Case::Disabled => why.push(Diagnosis::Off { feature, at_peer: flags.enable }),
        Case::Incompatible => why.push(Diagnosis::Incompatible { feature, willing: flags.willing }),
        _ => {}
    }
    if matches!(side, PeerSide::Said { head, .. } if head.error) {
        why.push(Diagnosis::PeerError { feature });
    }
}

/// The TLV to send.
pub(crate) fn tlv(config: &DcbxConfig, dialect: Dialect, verdicts: &Verdicts, control: Control) -> Tlv {
    let head = |flags: FeatureFlags, verdict: &Verdict, subtype| FeatureHead {
        enable: flags.enable,
        willing: flags.willing,
        error: verdict.error,
        subtype,
        ..FeatureHead::default()
    };
    let sent = |v: &Verdict| v.case != Case::NotAdvertised;
    let groups = convert::groups(config, dialect).filter(|_| sent(&verdicts.ets));
    let pg_head = head(config.ets_flags, &verdicts.ets, 0);
    let max_priorities = if dialect == Dialect::Cee { config.capability.pfc_priorities } else { 0 };
    let pfc = LegacyPfc { enabled: config.pfc, max_priorities };
    let pfc = sent(&verdicts.pfc).then(|| (head(config.pfc_flags, &verdicts.pfc, 0), pfc));
    if dialect == Dialect::Cin {
        let app = |i: usize| {
            let (verdict, apps) = verdicts.app.get(i).filter(|(v, _)| sent(v))?;
            let priorities = apps.iter().fold(0, |all, a| all | a.priorities);
            Some((head(config.app_flags, verdict, i as u8), PrioritySet(priorities)))
        };
        let pg = if let Some(Groups::Cin(g)) = groups { Some((pg_head, g)) } else { None };
        return Tlv::Cin(CinMessage::new(control, pg, pfc, [app(0), app(1), app(2)]));
    }
    let pg = if let Some(Groups::Cee(g)) = groups { Some((pg_head, g)) } else { None };
    let app = verdicts.app.first().filter(|(v, _)| sent(v));
    let app = app.and_then(|(v, apps)| Some((head(config.app_flags, v, 0), CeeApps::new(apps.clone())?)));
    Tlv::Cee(CeeMessage::new(control, pg, pfc, app))
}
