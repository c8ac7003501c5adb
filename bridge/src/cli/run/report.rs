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
use crate::state::{Port, Snapshot};

/// What there is to say of a switch that has begun.
pub(super) struct Banner<'a> {
    pub(super) config: &'a Config,
    /// What a person should know about how ports were opened: (port, sentence).
    pub(super) notes: &'a [(String, String)],
    pub(super) socket: &'a Path,
    pub(super) metrics: Option<SocketAddr>,
}

impl Banner<'_> {
    /// Its ports, its classes, and where to ask it.
    pub(super) fn text(&self, snapshot: &Snapshot, canvas: Canvas) -> String {
        let bridge = &self.config.bridge;
        let mut out = format!(
            "{} {} runs switch {} (buffer {})\n\n",
            canvas.paint("dcbridge", Tone::Strong),
            crate::VERSION,
            canvas.paint(&bridge.name, Tone::Strong),
            units::configured_size(bridge.buffer_bytes),
        );
        out.push_str(&indented(&ports(snapshot).render(canvas)));
        for (port, note) in self.notes {
            let _ = writeln!(out, "  {} {port}: {note}", canvas.paint("note", Tone::Warn));
        }
        out.push('\n');
        out.push_str(&indented(&classes(&self.config.traffic_classes).render(canvas)));
        let _ = writeln!(out, "\n  worker   {}", snapshot.worker.io);
        let _ = writeln!(out, "  state    {}", ask(self.config, self.socket));
        match self.metrics {
            Some(address) => {
                let _ = writeln!(out, "  metrics  http://{address}/metrics\n  page     http://{address}/");
            }
            None => out.push_str("  metrics  off (`listen` under `[metrics]`)\n"),
        }
        out.push_str("\nCtrl-C ends it.\n");
        out
    }
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
    let mut books = Books::default();
    let mut table = Table::new([
        Column::left("PORT"),
        Column::right("RECEIVED"),
        Column::right("BYTES").rank(1),
        Column::right("SENT"),
        Column::right("BYTES").rank(1),
        Column::right("DROPPED"),
    ]);
    for port in &last.ports {
        let dropped: u64 = port.rx_drops.iter().chain(&port.tx_drops).map(|drop| drop.count.frames).sum();
        books.add(port, dropped);
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
    let time = units::duration(Duration::from_nanos(last.uptime_ns));
    let mut out = format!(
        "\nSwitch {} ran for {time}: received {} frames, sent {}, dropped {}.\n",
        canvas.paint(&last.name, Tone::Strong),
        units::grouped(books.received),
        units::grouped(books.sent),
        units::grouped(books.dropped),
    );
    if !table.is_empty() {
        let _ = write!(out, "\n{}", indented(&table.render(canvas)));
    }
    if !drops.is_empty() {
        let _ = write!(out, "\n{}", indented(&crate::cli::show::drop_table(&drops).render(canvas)));
    }
    if !table.is_empty() {
        let tone = if books.balance() { Tone::Dim } else { Tone::Bad };
        let _ = writeln!(out, "\n  {}", canvas.paint(&books.sentence(), tone));
    }
    out
}

/// Where every frame came from and went, over all ports.
#[derive(Default)]
struct Books {
    received: u64,
    originated: u64,
    copies: u64,
    sent: u64,
    consumed: u64,
    dropped: u64,
    queued: u64,
}

impl Books {
    fn add(&mut self, port: &Port, dropped: u64) {
        self.received += port.rx.frames;
        self.originated += port.originated.frames;
        self.copies += port.copies.frames;
        self.sent += port.tx.frames;
        self.consumed += port.consumed.frames;
        self.dropped += dropped;
        self.queued += port.queued.frames;
    }

    fn balance(&self) -> bool {
        self.received + self.originated + self.copies
            == self.sent + self.consumed + self.dropped + self.queued
    }

    /// `Books: 11 received + 4 own = 14 sent + 1 dropped`; what is zero is left out.
    fn sentence(&self) -> String {
        let side = |parts: &[(u64, &str)]| {
            let parts = parts.iter().filter(|(n, _)| *n > 0);
            let words: Vec<String> =
                parts.map(|(n, what)| format!("{} {what}", units::grouped(*n))).collect();
            if words.is_empty() { "0".to_owned() } else { words.join(" + ") }
        };
        let from = side(&[(self.received, "received"), (self.originated, "own"), (self.copies, "copied")]);
        let to = side(&[
            (self.sent, "sent"),
            (self.consumed, "consumed"),
            (self.dropped, "dropped"),
            (self.queued, "left in queues"),
        ]);
        if self.balance() {
            format!("Books: {from} = {to}")
        } else {
            format!("Books don't balance, which is a fault of dcbridge: {from}, but {to}")
        }
    }
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
        let notes =
            [("tap1".to_owned(), "it takes no superframes, so large transfers are slower".to_owned())];
        let banner = Banner {
            config: &config,
            notes: &notes,
            socket: Path::new("/run/dcbridge/br0.sock"),
            metrics: config.metrics.listen,
        };
        let text = banner.text(&fixture::snapshot(), Canvas::PLAIN);
        insta::assert_snapshot!(text.replace(crate::VERSION, "VERSION"));
    }

    #[test]
    fn the_banner_names_a_socket_that_is_elsewhere() {
        let (config, _) = dcbridge_config::parse(FILE, "br0.toml").unwrap();
        let banner = Banner { config: &config, notes: &[], socket: Path::new("/tmp/x.sock"), metrics: None };
        let text = banner.text(&fixture::snapshot(), Canvas::PLAIN);
        assert!(
            text.contains("dcbridge show --socket /tmp/x.sock\n") && text.contains("metrics  off"),
            "{text}"
        );
    }

    #[test]
    fn books_that_do_not_balance_are_called_a_fault() {
        let mut snapshot = fixture::snapshot();
        assert!(summary(&snapshot, Canvas::PLAIN).contains("Books: "));
        snapshot.ports[0].tx.frames += 1;
        assert!(summary(&snapshot, Canvas::PLAIN).contains("Books don't balance"));
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
