//! `[[policy]]`: their order, and those that can never be reached.

use super::fdb::unknown_port;
use super::{at_most, matches, ports, unique_names};
use crate::diagnostic::Diagnostic;
use crate::model::Policy;
use crate::schema::Reader;
use crate::schema::choice::{MatchItem, MatchSetting};
use crate::schema::sections::{File, PolicySection};

/// As in Windows.
const PRECEDENCE_DEFAULT: u8 = 127;
const POLICIES_MAX: usize = 1024;
/// Alternatives in all policies together; a classifier walks them for each new flow.
const MATCHES_MAX: usize = 4096;

pub(super) fn policies(file: &File, cx: &mut Reader) -> Vec<Policy> {
    let raw: &[PolicySection] = file.policy.value().map_or(&[], |tables| &tables.items);
    at_most(
        raw.iter().map(|policy| policy.place.clone()),
        POLICIES_MAX,
        "policies",
        "join policies of the same priority by a list of matches",
        cx,
    );
    let names = raw.iter().filter_map(|policy| policy.name.given());
    unique_names(names.map(|(name, span)| (name.0.as_str(), span)), "policies", cx);

    let mut policies: Vec<(&PolicySection, Policy)> =
        raw.iter().map(|raw| (raw, policy(raw, file, cx))).collect();
    policies.sort_by_key(|(_, policy)| std::cmp::Reverse(policy.precedence));
    if check_amount(&policies, cx) {
        check_reachable(&policies, cx);
    }
    policies.into_iter().map(|(_, policy)| policy).collect()
}

fn policy(raw: &PolicySection, file: &File, cx: &mut Reader) -> Policy {
    let setting = raw.r#match.value();
    let default = setting.is_some_and(MatchSetting::is_default);
    let any_of = setting.map_or_else(Vec::new, |setting| {
        let items = setting.0.iter();
        items
            .flat_map(|(item, span)| match item {
                MatchItem::Word(application) => (application.matches)(),
                MatchItem::Table(table) => {
                    let names = table.in_port.value().map_or(&[][..], |list| &list.0);
                    for (name, span) in names {
                        check_port(&name.0, span, file, cx);
                    }
                    matches::expand(table, span, cx)
                }
            })
            .collect()
    });
    let precedence = raw.precedence.value().map(|precedence| precedence.0 as u8);
    Policy {
        name: raw.name.value().map_or_else(String::new, |name| name.0.clone()),
        precedence: precedence.unwrap_or(if default { 0 } else { PRECEDENCE_DEFAULT }),
        any_of,
        priority: raw.priority.value().map_or(0, |priority| priority.0 as u8),
    }
}

fn check_port(name: &str, span: &std::ops::Range<usize>, file: &File, cx: &mut Reader) {
    let known: Vec<&str> = ports::sections(file)
        .iter()
        .filter_map(|port| port.name.value().map(|name| name.0.as_str()))
        .collect();
    unknown_port(name, span.clone(), file, &known, cx);
}

/// Whether the classifier can hold all alternatives of all policies.
fn check_amount(policies: &[(&PolicySection, Policy)], cx: &mut Reader) -> bool {
    let total: usize = policies.iter().map(|(_, policy)| policy.any_of.len()).sum();
    if total <= MATCHES_MAX {
        return true;
    }
    let largest = policies.iter().max_by_key(|(_, policy)| policy.any_of.len());
    if let Some((raw, policy)) = largest {
        let place = raw.r#match.span().unwrap_or_else(|| raw.place.clone());
        let title = format!("{total} matches in all policies, at most {MATCHES_MAX} are possible");
        cx.report(
            Diagnostic::error(place, title)
                .label(format!("{} of them are here", policy.any_of.len()))
                .help("use ranges of ports and prefixes of addresses instead of lists"),
        );
    }
    false
}

/// Warns of policies all of whose frames are taken by earlier ones.
fn check_reachable(policies: &[(&PolicySection, Policy)], cx: &mut Reader) {
    for (index, (raw, policy)) in policies.iter().enumerate() {
        let mut taken_by = None;
        let unreachable = !policy.any_of.is_empty()
            && policy.any_of.iter().all(|m| {
                let taker = policies[..index]
                    .iter()
                    .find(|(_, earlier)| earlier.any_of.iter().any(|e| matches::covers(e, m)));
                taken_by = taker.or(taken_by);
                taker.is_some()
            });
        let (true, Some((by_raw, by))) = (unreachable, taken_by) else {
            continue;
        };
        let place = raw.r#match.span().unwrap_or_else(|| raw.place.clone());
        let why = if by.precedence > policy.precedence {
            format!("precedence {}", by.precedence)
        } else {
            "first in the file".to_owned()
        };
        cx.report(
            Diagnostic::warning(place, format!("policy \"{}\" can never match", policy.name))
                .label("all of these frames are taken")
                .also(by_raw.r#match.span(), format!("by \"{}\": {why}", by.name))
                .help("give the more specific policy the higher `precedence`"),
        );
    }
}
