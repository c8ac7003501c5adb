//! Whether frames can get into every class, and whether a queue limit can be reached.

use super::bridge::bridge_section;
use super::classes::sections;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Config, PrioritySet, Trust};
use crate::schema::Reader;
use crate::schema::choice::Priorities;
use crate::schema::sections::File;
use crate::units::ByteSize;

pub(super) fn check(file: &File, config: &Config, cx: &mut Reader) {
    // With errors before, ports and policies may be stand-ins.
    if cx.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return;
    }
    let reached = reached(config);
    for class in sections(file) {
        let name = class.name.value().map_or("", |name| name.0.as_str());
        let priorities = config.traffic_classes.iter().find(|c| c.name == name).map(|c| c.priorities);
        // Whoever takes the rest does not mean each of it.
        let rest = matches!(class.priorities.value(), Some(Priorities::Rest));
        if !rest && priorities.is_some_and(|p| p.0 & reached.0 == 0) {
            let place = class.priorities.span().unwrap_or_else(|| class.place.clone());
            cx.report(
                Diagnostic::warning(place, format!("no frame gets into traffic class \"{name}\""))
                    .label("no policy, trusted mark or default gives these priorities")
                    .help("add a `[[policy]]`, or let ports `trust` the marks of frames"),
            );
        }
        let buffer = config.bridge.buffer_bytes;
        if let Some((limit, span)) = class.queue_limit.given()
            && limit.0 > buffer
        {
            cx.report(
                Diagnostic::warning(span, "`queue_limit` exceeds the whole buffer")
                    .label("never reached")
                    .also(bridge_section(file).buffer.span, "the buffer")
                    .help(format!("the buffer has {}", ByteSize(buffer))),
            );
        }
    }
}

/// The priorities that some frame can have.
fn reached(config: &Config) -> PrioritySet {
    let maps = &config.maps;
    let by_policy = config.policies.iter().map(|policy| policy.priority);
    let by_port = config.ports.iter().flat_map(|port| {
        let pcp = port.trust.contains(&Trust::Pcp).then_some(maps.pcp_to_priority);
        let dscp = port.trust.contains(&Trust::Dscp).then_some(maps.dscp_to_priority);
        let marks = pcp.into_iter().flatten().chain(dscp.into_iter().flatten());
        marks.chain([port.default_priority])
    });
    by_policy.chain(by_port).collect()
}
