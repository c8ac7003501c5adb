//! `[bridge]`, `[worker]`, `[metrics]` and `[map]`.

use super::ports;
use crate::diagnostic::Diagnostic;
use crate::model::{Bridge, Config, Maps, Metrics, Worker};
use crate::schema::sections::{BridgeSection, File, MapSection, MetricsSection};
use crate::schema::value::Pairs;
use crate::schema::worker::WorkerSection;
use crate::schema::{Opt, Reader, Section};

pub(super) fn bridge_section(file: &File) -> BridgeSection {
    file.bridge.value().map_or_else(BridgeSection::defaults, |table| table.0.clone())
}

pub(super) fn settings(file: &File) -> (Bridge, Metrics) {
    let raw = bridge_section(file);
    let name = raw.name.value.0;
    let control_socket = match raw.control_socket.value() {
        Some(path) => path.0.clone(),
        None => format!("/run/dcbridge/{name}.sock").into(),
    };
    let bridge = Bridge {
        name,
        buffer_bytes: raw.buffer.value.0,
        ageing_seconds: raw.ageing.value.0 as u32,
        fdb_limit: raw.fdb_limit.value.0 as u32,
        flood_rate: raw.flood_rate.value.0,
        loop_detection: raw.loop_detection.value,
        stall_budget_us: raw.stall_budget.value.0 as u32,
        control_socket,
    };
    let metrics = file.metrics.value().map_or_else(MetricsSection::defaults, |table| table.0.clone());
    (bridge, Metrics { listen: metrics.listen.value.0 })
}

/// The threads of a switch with so many ports.
pub(super) fn worker(file: &File, ports: usize, cx: &mut Reader) -> Worker {
    let raw = file.worker.value().map_or_else(WorkerSection::defaults, |table| table.0.clone());
    let threads = raw.threads.value.0 as u8;
    let cpus: Vec<u16> =
        raw.cpu.value().map_or(Vec::new(), |list| list.values().map(|cpu| cpu.0 as u16).collect());
    if let Some(span) = raw.threads.span.clone()
        && usize::from(threads) > ports.max(1)
    {
        let title = format!("{threads} threads for {ports} ports");
        let help = format!("a port belongs to one thread: write `threads = {}` or less", ports.max(1));
        cx.report(
            Diagnostic::warning(span, title)
                .label("some would have nothing to do, and are left out")
                .help(help),
        );
    }
    if let Some((_, span)) = raw.cpu.given()
        && cpus.len() > usize::from(threads)
    {
        let title = format!("{} processors for {threads} threads", cpus.len());
        let help = "each thread stays on one: name no more than there are `threads`";
        cx.report(Diagnostic::warning(span, title).label("those at the end are not used").help(help));
    }
    Worker { threads, io: raw.io.value.0, poll: raw.poll.value.0, scheduling: raw.scheduling.value.0, cpus }
}

pub(super) fn maps(file: &File) -> Maps {
    let raw = file.map.value().map_or_else(MapSection::defaults, |table| table.0.clone());
    let mut maps = Maps {
        pcp_to_priority: std::array::from_fn(|pcp| pcp as u8),
        dscp_to_priority: std::array::from_fn(|dscp| dscp as u8 >> 3),
        priority_to_pcp: std::array::from_fn(|priority| priority as u8),
        priority_to_dscp: [None; 8],
    };
    fill(&mut maps.pcp_to_priority, &raw.pcp, |priority| priority.0 as u8);
    fill(&mut maps.dscp_to_priority, &raw.dscp, |priority| priority.0 as u8);
    fill(&mut maps.priority_to_pcp, &raw.rewrite_pcp, |pcp| pcp.0 as u8);
    fill(&mut maps.priority_to_dscp, &raw.rewrite_dscp, |dscp| Some(dscp.0));
    maps
}

fn fill<K, T, V>(map: &mut [V], pairs: &Opt<Pairs<K, T>>, value: impl Fn(&T) -> V) {
    for (from, to, _) in pairs.value().iter().flat_map(|pairs| &pairs.0) {
        if let Some(slot) = map.get_mut(usize::from(*from)) {
            *slot = value(to);
        }
    }
}

/// Rules between the maps, the classes and the ports.
pub(super) fn check_maps(file: &File, config: &Config, cx: &mut Reader) {
    check_rewrite_dscp(file, config, cx);
    let Some(raw) = file.map.value().map(|table| &table.0) else {
        return;
    };
    if raw.rewrite_dscp.value().is_some() && !config.ports.iter().any(|port| port.rewrite_dscp) {
        let span = raw.rewrite_dscp.span().unwrap_or_default();
        cx.report(
            Diagnostic::warning(span, "`rewrite_dscp` is used by no port")
                .label("no port rewrites the DSCP")
                .help("add `rewrite = [\"dscp\"]` to `[defaults]` or to a port"),
        );
    }
    let Some(rewrite) = raw.rewrite_pcp.value() else {
        return;
    };
    // The next switch pauses by PCP: lossless traffic that shares one with lossy traffic there
    // cannot be told from it any more.
    let lossless = config.lossless_priorities();
    let pcps = config.maps.priority_to_pcp;
    for (priority, pcp, span) in &rewrite.0 {
        let pcp = pcp.0 as u8;
        let shared = (0..8_u8).find(|other| {
            pcps[usize::from(*other)] == pcp && lossless.contains(*other) != lossless.contains(*priority)
        });
        if let Some(other) = shared {
            let (lossless, lossy) =
                if lossless.contains(other) { (other, *priority) } else { (*priority, other) };
            let title = "lossless and lossy traffic leave with the same PCP";
            cx.report(
                Diagnostic::warning(span.clone(), title)
                    .label(format!(
                        "priority {lossless} (lossless) and {lossy} (lossy) both become PCP {pcp}"
                    ))
                    .help("give the lossless priority a PCP of its own"),
            );
        }
    }
}

/// A port that rewrites the DSCP without a map leaves every packet as it is.
fn check_rewrite_dscp(file: &File, config: &Config, cx: &mut Reader) {
    let mapped = file.map.value().is_some_and(|map| !matches!(map.0.rewrite_dscp, Opt::Missing));
    let Some(index) = config.ports.iter().position(|port| port.rewrite_dscp).filter(|_| !mapped) else {
        return;
    };
    let port = &ports::sections(file)[index];
    let default = || file.defaults.value().and_then(|table| table.0.rewrite.span.clone());
    let span = port.rewrite.span().or_else(default).unwrap_or_else(|| port.place.clone());
    cx.report(
        Diagnostic::warning(span, "the DSCP is rewritten without a map")
            .label("every DSCP stays")
            .help("say which DSCP a priority gets: `[map]` with `rewrite_dscp = { 3 = 26 }`"),
    );
}
