//! `[lldp]` and the `lldp` and `dcbx` of ports.

use std::ops::Range;

use super::ports;
use super::ports::once;
use crate::diagnostic::Diagnostic;
use crate::model::{Config, Dcbx, DcbxRole, Lldp};
use crate::schema::dcbx::{DcbxSection, LldpSection};
use crate::schema::sections::File;
use crate::schema::{Reader, Section};

fn section(file: &File) -> LldpSection {
    file.lldp.value().map_or_else(LldpSection::defaults, |table| table.0.clone())
}

pub(super) fn lldp(file: &File, cx: &mut Reader) -> Lldp {
    let raw = section(file);
    Lldp {
        enabled: raw.enabled.value,
        tx_interval_seconds: raw.tx_interval.value.0 as u16,
        hold: raw.hold.value.0 as u8,
        fast_start: raw.fast_start.value.0 as u8,
        neighbor_limit: raw.neighbor_limit.value.0 as u16,
        more_groups: once(raw.more_groups.value.0.iter().map(|(group, span)| (group.0, span)), "group", cx),
        management_addresses: once(
            raw.management_address.value.0.iter().map(|(address, span)| (address.0, span)),
            "address",
            cx,
        ),
    }
}

/// Fills in what ports have of LLDP and DCBX.
pub(super) fn complete(file: &File, config: &mut Config, cx: &mut Reader) {
    let defaults = ports::defaults_section(file);
    let own_default = DcbxSection::defaults();
    for (port, raw) in config.ports.iter_mut().zip(ports::sections(file)) {
        let asked = raw.lldp.value().copied().unwrap_or(defaults.lldp.value);
        port.lldp = config.lldp.enabled && asked;
        let dcbx = raw.dcbx.or(&defaults.dcbx);
        let section = dcbx.value().map_or(&own_default, |table| &table.0);
        let wanted = settings(section, cx);
        port.dcbx = wanted.filter(|_| port.lldp);
        let off = match raw.lldp.span().filter(|_| !asked) {
            _ if !config.lldp.enabled => self::section(file).enabled.span,
            own => own.or_else(|| defaults.lldp.span.clone()),
        };
        let unused_lldp = raw.lldp.span().filter(|_| asked && !config.lldp.enabled);
        let unused_dcbx = raw.dcbx.span().filter(|_| wanted.is_some() && !port.lldp);
        for (key, span) in [("lldp", unused_lldp), ("dcbx", unused_dcbx)] {
            if let Some(span) = span {
                without_lldp(key, span, off.clone(), cx);
            }
        }
    }
}

/// What a table means; `None`: off.
fn settings(section: &DcbxSection, cx: &mut Reader) -> Option<Dcbx> {
    let mode = section.mode.value.0.0?;
    let (role, mut willing) = (section.role.value.0, section.willing.value);
    if role != DcbxRole::Manual && !section.role.bad {
        if let Some(span) = section.willing.span.clone() {
            cx.report(
                Diagnostic::error(span, "this role decides itself whether the port is willing")
                    .label("has no say here")
                    .also(section.role.span.clone(), "not \"manual\"")
                    .help("remove `willing`, or write `role = \"manual\"`"),
            );
        }
        willing = false;
    }
    Some(Dcbx { mode, willing, role, multi_peer: section.multi_peer.value.0 })
}

fn without_lldp(key: &str, span: Range<usize>, off: Option<Range<usize>>, cx: &mut Reader) {
    cx.report(
        Diagnostic::warning(span, format!("`{key}` does nothing while LLDP is off"))
            .label("has no effect")
            .also(off, "LLDP is off")
            .help("turn LLDP on, or remove this"),
    );
}
