//! Rates of classes against each other and against the lines they run on.

use super::classes::sections;
use super::ports;
use crate::diagnostic::Diagnostic;
use crate::model::{BitRate, Port, Tsa};
use crate::schema::Reader;
use crate::schema::sections::{ClassSection, File};

pub(super) fn check(file: &File, configured: &[Port], cx: &mut Reader) {
    let classes = sections(file);
    for class in classes {
        check_class(class, cx);
    }
    check_slowest(file, configured, classes, cx);
    check_fastest(configured, classes, cx);
}

fn check_class(class: &ClassSection, cx: &mut Reader) {
    let (min, max) = (class.min_rate.given(), class.max_rate.given());
    if let (Some((min, min_span)), Some((max, max_span))) = (&min, &max)
        && min.0 > max.0
    {
        cx.report(
            Diagnostic::error(min_span.clone(), "`min_rate` exceeds `max_rate`")
                .label(format!("at least {}", min.0))
                .also(Some(max_span.clone()), format!("at most {}", max.0))
                .help(format!("lower `min_rate` to at most \"{}\"", max.0)),
        );
    }
    if let (Some((_, span)), Tsa::Strict) = (min, class.tsa.value.0) {
        cx.report(
            Diagnostic::warning(span, "`min_rate` does nothing in a strict class")
                .label("has no effect")
                .also(class.tsa.span.clone(), "a strict class is served first anyway")
                .help("remove it; `max_rate` keeps the class from starving others"),
        );
    }
}

/// The slowest line must carry all minimum rates.
fn check_slowest(file: &File, configured: &[Port], classes: &[ClassSection], cx: &mut Reader) {
    let mins: Vec<_> = classes.iter().filter_map(|class| class.min_rate.given()).collect();
    let sum: u64 = mins.iter().map(|(rate, _)| rate.0.0).sum();
    let slowest = configured
        .iter()
        .enumerate()
        .filter_map(|(index, port)| Some((port.line_rate?, index, port)))
        .min_by_key(|(rate, ..)| *rate);
    let (Some((line, index, port)), Some((_, first))) = (slowest, mins.first()) else {
        return;
    };
    if sum <= line.0 {
        return;
    }
    let sum = BitRate(sum);
    let rates = if mins.len() == 1 { "a class is promised" } else { "the classes are promised" };
    let title = format!("{rates} {sum}, port \"{}\" has {line}", port.name);
    cx.report(
        Diagnostic::error(ports::line_rate_span(file, index), title)
            .label(format!("a line of {line}"))
            .also(Some(first.clone()), format!("`min_rate` sums to {sum}"))
            .help("lower `min_rate` or raise `line_rate`"),
    );
}

/// A maximum that no line reaches is probably not what was meant.
fn check_fastest(configured: &[Port], classes: &[ClassSection], cx: &mut Reader) {
    let rates: Option<Vec<_>> = configured.iter().map(|port| port.line_rate).collect();
    let Some(fastest) = rates.and_then(|rates| rates.into_iter().max()) else {
        return;
    };
    for (rate, span) in classes.iter().filter_map(|class| class.max_rate.given()) {
        if rate.0 > fastest {
            cx.report(
                Diagnostic::warning(span, "`max_rate` exceeds the rate of every port")
                    .label("never reached")
                    .help(format!("the fastest port has {fastest}")),
            );
        }
    }
}
