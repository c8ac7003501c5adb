//! `[[traffic_class]]`: numbers, priorities and shares.

use std::ops::Range;

use super::{at_most, unique_names};
use crate::diagnostic::Diagnostic;
use crate::model::{PrioritySet, QueueLimit, TrafficClass, Tsa};
use crate::schema::Reader;
use crate::schema::choice::Priorities;
use crate::schema::quantity::MicrosOr;
use crate::schema::sections::{ClassSection, File};

/// The classes of the file; empty when it has none that can be looked at.
pub(super) fn sections(file: &File) -> &[ClassSection] {
    file.traffic_class.value().map_or(&[], |tables| &tables.items)
}

pub(super) fn classes(file: &File, cx: &mut Reader) -> Vec<TrafficClass> {
    let raw = sections(file);
    if raw.is_empty() {
        return vec![default_class()];
    }
    at_most(
        raw.iter().map(|class| class.place.clone()),
        8,
        "traffic classes",
        "there are eight priorities: let some share a class",
        cx,
    );
    let names = raw.iter().filter_map(|class| class.name.given());
    unique_names(names.map(|(name, span)| (name.0.as_str(), span)), "traffic classes", cx);
    let numbers = numbers(raw, cx);
    let incomplete = file.traffic_class.value().is_none_or(|tables| tables.incomplete);
    let priorities = priorities(raw, incomplete, cx);
    let shares = shares(raw, incomplete, cx);

    let mut classes: Vec<_> = raw
        .iter()
        .zip(numbers)
        .zip(priorities.into_iter().zip(shares))
        .map(|((class, tc), (priorities, bandwidth))| TrafficClass {
            name: class.name.value().map_or_else(String::new, |name| name.0.clone()),
            tc,
            priorities,
            tsa: class.tsa.value.0,
            bandwidth,
            min_rate: class.min_rate.value().map(|rate| rate.0),
            max_rate: class.max_rate.value().map(|rate| rate.0),
            lossless: class.lossless.value,
            queue_limit: queue_limit(class, cx),
            // What depends on the ports is filled in when they are known.
            reserved_bytes: class.reserved.value().map_or(0, |size| size.0),
            xon_offset_bytes: class.xon_offset.value().map_or(0, |size| size.0),
            lifetime_us: match class.lifetime.value() {
                Some(MicrosOr::Micros(us)) => Some(*us as u32),
                Some(MicrosOr::Word(_)) | None => None,
            },
        })
        .collect();
    classes.sort_by_key(|class| class.tc);
    classes
}

/// What a file without classes gets: as Windows starts, one class for everything.
fn default_class() -> TrafficClass {
    TrafficClass {
        name: "default".into(),
        tc: 0,
        priorities: PrioritySet::ALL,
        tsa: Tsa::Ets,
        bandwidth: 100,
        min_rate: None,
        max_rate: None,
        lossless: false,
        queue_limit: QueueLimit::Dynamic(0),
        reserved_bytes: 0,
        xon_offset_bytes: 0,
        lifetime_us: None,
    }
}

/// The class numbers: as given, or the position in the file.
fn numbers(raw: &[ClassSection], cx: &mut Reader) -> Vec<u8> {
    let mut taken: [Option<Range<usize>>; 8] = [const { None }; 8];
    let mut numbers = Vec::with_capacity(raw.len());
    for (position, class) in raw.iter().enumerate() {
        let number = class.tc.value().map_or(position, |tc| tc.0 as usize);
        numbers.push(number as u8);
        let place = class.tc.span().unwrap_or_else(|| class.place.clone());
        // Beyond eight, and where the number could not be read, something was said already.
        let Some(slot) = taken.get_mut(number).filter(|_| !class.tc.is_bad()) else {
            continue;
        };
        if let Some(first) = slot {
            let label = match class.tc.span() {
                Some(_) => "again here".to_owned(),
                None => format!("its position in the file makes this class {number}"),
            };
            cx.report(
                Diagnostic::error(place, format!("two traffic classes have the number {number}"))
                    .label(label)
                    .also(Some(first.clone()), "first here")
                    .help("give every class a `tc` of its own, or none at all"),
            );
        } else {
            *slot = Some(place);
        }
    }
    numbers
}

/// The priorities of each class: every priority exactly once.
fn priorities(raw: &[ClassSection], incomplete: bool, cx: &mut Reader) -> Vec<PrioritySet> {
    let mut owner: [Option<(usize, Range<usize>)>; 8] = [const { None }; 8];
    let mut rest: Option<(usize, Range<usize>)> = None;
    for (index, class) in raw.iter().enumerate() {
        match class.priorities.given() {
            None => {}
            Some((Priorities::Rest, span)) => match &rest {
                None => rest = Some((index, span)),
                Some((_, first)) => cx.report(
                    Diagnostic::error(span, "two traffic classes take the rest of the priorities")
                        .label("again here")
                        .also(Some(first.clone()), "first here")
                        .help("list the priorities of one of them"),
                ),
            },
            Some((Priorities::These(list), _)) => {
                for (priority, span) in &list.0 {
                    claim(&mut owner, priority.0 as usize, (index, span.clone()), raw, cx);
                }
            }
        }
    }
    let missing: PrioritySet = (0..8).filter(|p| owner[usize::from(*p)].is_none()).collect();
    let unsure = incomplete || raw.iter().any(|class| class.priorities.is_bad());
    if let Some((index, span)) = rest {
        if missing.is_empty() && !unsure {
            cx.report(
                Diagnostic::error(span.clone(), "no priority is left for \"rest\"")
                    .label("the other classes name all eight")
                    .help("remove the class, or give it priorities of another one"),
            );
        }
        for priority in missing.iter() {
            owner[usize::from(priority)] = Some((index, span.clone()));
        }
    } else if let (false, false, Some(last)) = (missing.is_empty(), unsure, raw.last()) {
        let (noun, verb) = if missing.len() == 1 { ("priority", "is") } else { ("priorities", "are") };
        let place = last.priorities.span().unwrap_or_else(|| last.place.clone());
        cx.report(
            Diagnostic::error(place, format!("{noun} {missing} {verb} in no traffic class"))
                .label("the last class of the file")
                .help("add them to a class, or write `priorities = \"rest\"` in one"),
        );
    }
    let of = |index| {
        let mine = |p: &u8| owner[usize::from(*p)].as_ref().is_some_and(|(i, _)| *i == index);
        (0..8).filter(mine).collect()
    };
    (0..raw.len()).map(of).collect()
}

fn claim(
    owner: &mut [Option<(usize, Range<usize>)>; 8],
    priority: usize,
    claim: (usize, Range<usize>),
    raw: &[ClassSection],
    cx: &mut Reader,
) {
    let Some((first_index, first)) = &owner[priority] else {
        owner[priority] = Some(claim);
        return;
    };
    let name = |index: usize| {
        let name = raw[index].name.value().map_or("?", |name| name.0.as_str());
        format!("\"{name}\"")
    };
    let title = if *first_index == claim.0 {
        format!("priority {priority} is twice in traffic class {}", name(claim.0))
    } else {
        format!("priority {priority} is in two traffic classes, {} and {}", name(*first_index), name(claim.0))
    };
    cx.report(
        Diagnostic::error(claim.1, title)
            .label("again here")
            .also(Some(first.clone()), "first here")
            .help("a priority belongs to exactly one class: remove it from one of the two"),
    );
}

/// The share of each class in percent.
fn shares(raw: &[ClassSection], incomplete: bool, cx: &mut Reader) -> Vec<u8> {
    for class in raw {
        let (Tsa::Strict, Some(span)) = (class.tsa.value.0, class.bandwidth.span()) else {
            continue;
        };
        cx.report(
            Diagnostic::error(span, "a strict class has no share of bandwidth")
                .label("only for `tsa = \"ets\"`")
                .also(class.tsa.span.clone(), "strict")
                .help("remove `bandwidth`, limit the class with `max_rate`, or make it an ETS class"),
        );
    }
    let ets = |class: &&ClassSection| class.tsa.value.0 == Tsa::Ets;
    let given = |class: &ClassSection| class.bandwidth.value().map_or(0, |share| share.0);
    let sum: i64 = raw.iter().filter(ets).map(given).sum();
    let open: Vec<_> = raw.iter().filter(ets).filter(|c| c.bandwidth.value().is_none()).collect();
    let unsure = incomplete || raw.iter().any(|class| class.tsa.bad || class.bandwidth.is_bad());
    let left = 100 - sum;
    if !unsure && raw.iter().any(|class| ets(&class)) {
        if let Some(first) = open.first() {
            if left < open.len() as i64 {
                cx.report(
                    Diagnostic::error(first.place.clone(), "no bandwidth is left for this class")
                        .label("it has no `bandwidth`")
                        .help(format!("the shares of the other ETS classes sum to {sum}: lower one of them")),
                );
            }
        } else if sum != 100 {
            report_sum(raw, sum, cx);
        }
    }
    let mut open_left = open.len() as i64;
    let mut left = left.max(open_left);
    raw.iter()
        .map(|class| match (class.tsa.value.0, class.bandwidth.value()) {
            (Tsa::Strict, _) => 0,
            (Tsa::Ets, Some(share)) => share.0 as u8,
            (Tsa::Ets, None) => {
                // Rounded up, so that the first ones get what does not divide evenly.
                let part = (left + open_left - 1) / open_left.max(1);
                (left, open_left) = (left - part, open_left - 1);
                part as u8
            }
        })
        .collect()
}

fn report_sum(raw: &[ClassSection], sum: i64, cx: &mut Reader) {
    let mut given = raw
        .iter()
        .filter(|class| class.tsa.value.0 == Tsa::Ets)
        .filter_map(|class| Some((class, class.bandwidth.given()?)));
    let first = given.next();
    let Some((class, (share, span))) = given.next_back().or_else(|| first.clone()) else {
        return;
    };
    let fitting = share.0 + 100 - sum;
    let name = class.name.value().map_or("this class", |name| name.0.as_str());
    let help = if (1..=100).contains(&fitting) {
        format!("with `bandwidth = {fitting}` for \"{name}\" they sum to 100")
    } else {
        "change the shares so that they sum to 100".to_owned()
    };
    let other = first.map(|(_, (_, span))| span).filter(|first| *first != span);
    cx.report(
        Diagnostic::error(span, format!("the bandwidth of all ETS classes sums to {sum}, not 100"))
            .label(format!("the last of the shares, {sum} in all"))
            .also(other, "the first of the shares")
            .help(help),
    );
}

fn queue_limit(class: &ClassSection, cx: &mut Reader) -> QueueLimit {
    match (class.queue_limit.given(), class.dynamic_th.given()) {
        (Some((_, limit)), Some((_, threshold))) => {
            cx.report(
                Diagnostic::error(threshold, "`queue_limit` and `dynamic_th` exclude each other")
                    .label("the second limit")
                    .also(Some(limit), "the first limit")
                    .help("keep `queue_limit` for a fixed size, `dynamic_th` for a part of what is free"),
            );
            QueueLimit::Dynamic(0)
        }
        (Some((limit, _)), None) => QueueLimit::Static(limit.0),
        (None, Some((threshold, _))) => QueueLimit::Dynamic(threshold.0 as i8),
        (None, None) => QueueLimit::Dynamic(0),
    }
}
