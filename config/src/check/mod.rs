//! From what was written to what is meant: defaults are applied, and every rule that looks at more
//! than one value is checked.
//!
//! A check reports and goes on with a stand-in, so that one mistake never hides another. It says
//! nothing about values that could not be read (`Opt::Bad`): those were reported already. Reading
//! single values belongs to `schema`.

mod bridge;
mod buffer;
mod classes;
mod dcbx;
mod downstream;
mod fdb;
mod flow;
mod matches;
mod policies;
mod ports;
mod rates;
mod reach;
mod vlans;

use std::collections::HashMap;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Severity};
use crate::model::Config;
use crate::schema::Reader;
use crate::schema::sections::File;

/// Checks a file that was read. The configuration is only to be used when nothing was reported as error; it is there
/// even when its buffer is too small, so that its plan can be shown.
pub(crate) fn check(file: &File, cx: &mut Reader) -> Option<Config> {
    let (bridge, metrics) = bridge::settings(file);
    let maps = bridge::maps(file);
    let traffic_classes = classes::classes(file, cx);
    let ports = ports::ports(file, &bridge, &metrics, cx);
    let worker = bridge::worker(file, ports.len(), cx);
    let policies = policies::policies(file, cx);
    let static_entries = fdb::entries(file, &ports, cx);
    rates::check(file, &ports, cx);
    let watchdog = flow::watchdog(file, cx);
    let lldp = dcbx::lldp(file, cx);
    let mut config = Config {
        bridge,
        worker,
        metrics,
        traffic_classes,
        policies,
        maps,
        ports,
        static_entries,
        watchdog,
        lldp,
    };
    dcbx::complete(file, &mut config, cx);
    flow::complete(file, &mut config, cx);
    bridge::check_maps(file, &config, cx);
    flow::check(file, &config, cx);
    reach::check(file, &config, cx);
    downstream::check(file, &config, cx);
    let sound = cx.findings.iter().all(|finding| finding.severity == Severity::Warning);
    buffer::check(file, &config, cx);
    sound.then_some(config)
}

/// Reports names that appear twice. `what` is for example "ports".
fn unique_names<'a>(names: impl Iterator<Item = (&'a str, Range<usize>)>, what: &str, cx: &mut Reader) {
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for (name, span) in names {
        if let Some(first) = seen.get(name) {
            let finding = Diagnostic::error(span, format!("two {what} are called \"{name}\""))
                .label("again here")
                .also(Some(first.clone()), "first here")
                .help("give one of them another name");
            cx.report(finding);
        } else {
            seen.insert(name, span);
        }
    }
}

/// Reports a section of which there are more than `most`.
fn at_most(places: impl Iterator<Item = Range<usize>>, most: usize, what: &str, help: &str, cx: &mut Reader) {
    let places: Vec<_> = places.collect();
    if let Some(place) = places.get(most) {
        let title = format!("{} {what}, at most {most} are possible", places.len());
        cx.report(Diagnostic::error(place.clone(), title).label("one too many").help(help));
    }
}
