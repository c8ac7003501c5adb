//! What `dcbridge run` prints when a switch begins and when it ends.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use dcbridge_config::{Config, PrioritySet, TrafficClass, Tsa};

use crate::cli::show::{default_socket, port_state};
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;
use crate::control::view;
use crate::state::{Count, Snapshot};

/// The switch that has begun: its ports, its classes, and where to ask it.
pub(super) fn banner(
    config: &Config,
    snapshot: &Snapshot,
    socket: &Path,
    metrics: Option<SocketAddr>,
    canvas: Canvas,
) -> String {
    let mut out = format!(
        "{} {} runs switch {} (buffer {})\n\n",
        canvas.paint("dcbridge", Tone::Strong),
        crate::VERSION,
        canvas.paint(&config.bridge.name, Tone::Strong),
        units::configured_size(config.bridge.buffer_bytes),
    );
    out.push_str(&indented(&ports(snapshot).render(canvas)));
    out.push('\n');
    out.push_str(&indented(&classes(&config.traffic_classes).render(canvas)));
    let _ = writeln!(out, "\n  state    {}", ask(config, socket));
    match metrics {
        Some(address) => {
            let _ = writeln!(out, "  metrics  http://{address}/metrics\n  page     http://{address}/");
        }
        None => out.push_str("  metrics  off (`listen` under `[metrics]`)\n"),
    }
    out.push_str("\nCtrl-C ends it.\n");
    out
}

/// The command that shows the switch.
fn ask(config: &Config, socket: &Path) -> String {
    let name = &config.bridge.name;
    if socket == default_socket(name) {
        format!("dcbridge show --name {name}")
    } else {
        format!("dcbridge show --socket {}", socket.display())
    }
}

fn ports(snapshot: &Snapshot) -> Table {
    let columns = [
        Column::left("PORT"),
        Column::left("TYPE"),
        Column::right("LINE RATE"),
        Column::right("MTU"),
        Column::left("STATE"),
        Column::left("").flexible(),
    ];
    let mut table = Table::new(columns);
    for port in &snapshot.ports {
        let (state, note) = port_state(port);
        table.row([
            Cell::from(port.name.as_str()),
            Cell::from(port.kind.as_str()),
            Cell::from(units::configured_rate(port.line_rate_bps)),
            Cell::from(port.mtu.to_string()),
            state,
            Cell::new(note, Tone::Dim),
        ]);
    }
    table
}

fn classes(classes: &[TrafficClass]) -> Table {
    let columns = [
        Column::right("TC"),
        Column::left("CLASS").flexible(),
        Column::left("PRIORITIES"),
        Column::left("TSA"),
        Column::right("SHARE"),
        Column::right("MIN RATE").rank(1),
        Column::right("MAX RATE").rank(1),
        Column::left(""),
    ];
    let mut table = Table::new(columns);
    let rate = |rate: Option<dcbridge_config::BitRate>| {
        rate.map_or(String::new(), |r| units::configured_rate(Some(r.0)))
    };
    for class in classes {
        let (tsa, share) = match class.tsa {
            Tsa::Strict => ("strict", String::new()),
            Tsa::Ets => ("ets", format!("{} %", class.bandwidth)),
        };
        table.row([
            Cell::from(class.tc.to_string()),
            Cell::from(class.name.as_str()),
            Cell::from(priorities(class.priorities)),
            Cell::from(tsa),
            Cell::from(share),
            Cell::from(rate(class.min_rate)),
            Cell::from(rate(class.max_rate)),
            Cell::from(if class.lossless { "lossless" } else { "" }),
        ]);
    }
    table
}

fn priorities(set: PrioritySet) -> String {
    crate::cli::show::priority_list(set.0)
}

/// What a switch has done from its beginning to its end.
pub(super) fn summary(last: &Snapshot, canvas: Canvas) -> String {
    let mut received = Count::default();
    let mut sent = Count::default();
    let mut table = Table::new([
        Column::left("PORT"),
        Column::right("RECEIVED"),
        Column::right("BYTES").rank(1),
        Column::right("SENT"),
        Column::right("BYTES").rank(1),
        Column::right("DROPPED"),
    ]);
    for port in &last.ports {
        received.add(port.rx);
        sent.add(port.tx);
        let dropped: u64 = port.rx_drops.iter().chain(&port.tx_drops).map(|drop| drop.count.frames).sum();
        table.row([
            Cell::from(port.name.as_str()),
            Cell::from(units::grouped(port.rx.frames)),
            Cell::from(units::size(port.rx.bytes)),
            Cell::from(units::grouped(port.tx.frames)),
            Cell::from(units::size(port.tx.bytes)),
            Cell::quiet(units::grouped(dropped), dropped == 0),
        ]);
    }
    let drops = view::drops(last);
    let dropped: u64 = drops.iter().map(|row| row.drop.count.frames).sum();
    let time = units::duration(Duration::from_nanos(last.uptime_ns));
    let mut out = format!(
        "\nSwitch {} ran for {time}: received {} frames, sent {}, dropped {}.\n",
        canvas.paint(&last.name, Tone::Strong),
        units::grouped(received.frames),
        units::grouped(sent.frames),
        units::grouped(dropped),
    );
    if !table.is_empty() {
        let _ = write!(out, "\n{}", indented(&table.render(canvas)));
    }
    if !drops.is_empty() {
        let _ = write!(out, "\n{}", indented(&crate::cli::show::drop_table(&drops).render(canvas)));
    }
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    const FILE: &str = r#"
        [bridge]
        name = "br0"
        buffer = "12MB"
        [[traffic_class]]
        name = "smb-direct"
        priorities = [3]
        tsa = "ets"
        bandwidth = 60
        [[traffic_class]]
        name = "cluster"
        priorities = [5]
        tsa = "strict"
        max_rate = "100Mbit"
        [[traffic_class]]
        name = "default"
        priorities = [0, 1, 2, 4, 6, 7]
        tsa = "ets"
        bandwidth = 40
        [[port]]
        name = "tap0"
        type = "tap"
        line_rate = "1Gbit"
    "#;

    #[test]
    fn the_banner_says_what_runs_and_where_to_ask() {
        let (config, _) = dcbridge_config::parse(FILE, "br0.toml").unwrap();
        let metrics = config.metrics.listen;
        let socket = Path::new("/run/dcbridge/br0.sock");
        let banner = banner(&config, &fixture::snapshot(), socket, metrics, Canvas::PLAIN);
        insta::assert_snapshot!(banner.replace(crate::VERSION, "VERSION"));
    }

    #[test]
    fn the_summary_says_what_was_carried_and_dropped() {
        insta::assert_snapshot!(summary(&fixture::snapshot(), Canvas::PLAIN));
    }

    #[test]
    fn a_switch_that_carried_nothing_has_a_summary_too() {
        let text = summary(&Snapshot { name: "br0".to_owned(), ..Snapshot::default() }, Canvas::PLAIN);
        assert_eq!(text, "\nSwitch br0 ran for 0 s: received 0 frames, sent 0, dropped 0.\n");
    }
}
