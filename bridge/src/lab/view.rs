//! How a lab looks on the screen: picture, table, progress and verdict as text. Nothing is measured or judged here, and
//! only `Screen` writes.

use std::io::{self, Write};
use std::time::Duration;

use dcbridge_config::Tsa;

use super::measure::{ClassRates, Sample};
use super::plan::ClassPlan;
use super::report::{Report, TOLERANCE};
use crate::cli::table::{Canvas, Cell, Column, Table, Tone};
use crate::cli::units;

const BAR: usize = 20;

/// The hosts and the link, drawn.
///
/// ```text
///   h1 ──┐
///   h2 ──┼── br0 ── 1 Gbit/s ──> sink
///   h3 ──┘
/// ```
pub fn picture(senders: &[String], bridge: &str, rate_bps: u64, sink: &str) -> String {
    let width = senders.iter().map(|s| s.chars().count()).max().unwrap_or(0);
    let middle = senders.len() / 2;
    let last = senders.len() - 1;
    let mut out = String::new();
    for (i, name) in senders.iter().enumerate() {
        let corner = match i {
            _ if last == 0 => '─',
            _ if i == middle && i == last => '┴',
            _ if i == middle => '┼',
            0 => '┐',
            _ if i == last => '┘',
            _ => '┤',
        };
        out.extend(["  ", name, &" ".repeat(width - name.chars().count()), " ──"]);
        out.push(corner);
        if i == middle {
            let rate = units::configured_rate(Some(rate_bps));
            out.extend(["── ", bridge, " ── ", &rate, " ──> ", sink]);
        }
        out.push('\n');
    }
    out
}

/// The classes between two samples, as a table; drops and queues are those of `now`.
pub fn table(plan: &[ClassPlan], rates: &[ClassRates], now: &Sample, canvas: Canvas) -> String {
    let mut table = Table::new([
        Column::left("class").flexible(),
        Column::right("priority"),
        Column::right("offered"),
        Column::right("got"),
        Column::right("share"),
        Column::right("target"),
        Column::left("").rank(3),
        Column::right("drops"),
        Column::right("queue").rank(1),
    ]);
    for ((plan, rate), class) in plan.iter().zip(rates).zip(&now.classes) {
        let target = match plan.tsa {
            Tsa::Strict => "strict".to_owned(),
            Tsa::Ets => units::share(plan.target_share),
        };
        table.row([
            Cell::new(plan.name.as_str(), Tone::Strong),
            plan.priority.to_string().into(),
            units::rate(rate.offered_bps).into(),
            units::rate(rate.received_bps).into(),
            Cell::new(units::share(Some(rate.share)), tone(plan, rate)),
            target.into(),
            Cell::new(bar(rate.share), tone(plan, rate)),
            Cell::quiet(units::count(class.dropped_frames), class.dropped_frames == 0),
            Cell::quiet(units::size(class.queued_bytes), class.queued_bytes == 0),
        ]);
    }
    table.render(canvas)
}

fn tone(plan: &ClassPlan, rate: &ClassRates) -> Tone {
    let fine = match plan.target_share {
        Some(target) => (rate.share - target).abs() <= TOLERANCE,
        // Between two samples a frame more or less is always on its way.
        None => rate.received_bps >= 0.95 * rate.offered_bps,
    };
    match fine {
        _ if rate.received_bps == 0.0 => Tone::Dim,
        true => Tone::Good,
        false => Tone::Warn,
    }
}

/// A bar of eighths, `BAR` characters for the whole.
pub(super) fn bar(share: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar.extend(std::iter::repeat_n(' ', BAR - bar.chars().count()));
    bar
}

/// How far a run is.
pub fn progress(done: Duration, warm_up: Duration, whole: Duration, canvas: Canvas) -> String {
    if done < warm_up {
        return format!("{}\n", canvas.paint("warming up", Tone::Dim));
    }
    let measured = done.saturating_sub(warm_up).min(whole);
    let part = measured.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    let text = format!("{} {:.1} of {} s", bar(part), measured.as_secs_f64(), whole.as_secs());
    format!("{}\n", canvas.paint(&text, Tone::Dim))
}

/// What is said at the end.
pub fn verdict(report: &Report, canvas: Canvas) -> String {
    let mut out = format!(
        "{} of {} in use over {:.1} s{}\n\n",
        units::share(Some(report.utilisation)),
        units::configured_rate(Some(report.rate_bps)),
        report.seconds,
        if report.interrupted { " (interrupted)" } else { "" },
    );
    let (word, rest) = report.verdict.split_once(':').unwrap_or((&report.verdict, ""));
    let tone = if report.passed { Tone::Good } else { Tone::Bad };
    out.extend([&canvas.paint(word, tone), ":", rest, "\n"]);
    for note in &report.notes {
        out.extend([&canvas.paint("note:", Tone::Warn), " ", note, "\n"]);
    }
    out
}

/// A block of lines that is drawn again and again in the same place.
#[derive(Debug, Default)]
pub struct Screen {
    lines: usize,
}

impl Screen {
    /// Draws `text` over what it drew before. All at once, so that nothing flickers.
    ///
    /// # Errors
    /// When the output is gone.
    pub fn draw(&mut self, out: &mut impl Write, text: &str) -> io::Result<()> {
        // The cursor may have moved: a terminal shows ^C.
        let mut frame = if self.lines > 0 { format!("\r\u{1b}[{}A", self.lines) } else { String::new() };
        for line in text.lines() {
            frame.push_str(line);
            frame.push_str("\u{1b}[K\n");
        }
        // What the last drawing had more.
        frame.push_str("\u{1b}[J");
        self.lines = text.lines().count();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::measure::rates;
    use crate::lab::measure::tests::{class_plan, sample};

    fn names(n: usize) -> Vec<String> {
        (1..=n).map(|i| format!("h{i}")).collect()
    }

    #[test]
    fn the_picture_joins_every_host_to_the_bridge() {
        assert_eq!(
            picture(&names(3), "br0", 1_000_000_000, "sink"),
            "  h1 ──┐\n  h2 ──┼── br0 ── 1 Gbit/s ──> sink\n  h3 ──┘\n"
        );
        for n in [1, 2, 5] {
            let text = picture(&names(n), "br0", 100_000_000, "sink");
            assert_eq!(text.lines().count(), n);
            assert_eq!(text.matches("br0 ── 100 Mbit/s ──> sink").count(), 1, "{text}");
        }
    }

    #[test]
    fn the_table_names_classes_shares_targets_and_losses() {
        let plan = [class_plan("cluster", None, 1e5), class_plan("storage", Some(0.6), 6e5)];
        let (from, mut to) = (sample(0, &[0, 0]), sample(1000, &[12_500, 75_000]));
        to.classes[1].queued_bytes = 120_000;
        let text = table(&plan, &rates(&plan, 1_000_000, &from, &to), &to, Canvas::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("class"), "{text}");
        for (line, parts) in [
            (1, ["cluster", "100 kbit/s", "10.0 %", "strict"]),
            (2, ["storage", "600 kbit/s", "60.0 %", "120 kB"]),
        ] {
            for part in parts {
                assert!(lines[line].contains(part), "{part} in {text}");
            }
        }
        let narrow =
            table(&plan, &rates(&plan, 1_000_000, &from, &to), &to, Canvas { color: false, width: Some(72) });
        assert!(narrow.contains("750") && !narrow.contains('█'), "the bar goes first: {narrow}");
    }

    #[test]
    fn bars_have_one_length() {
        for share in [0.0, 0.001, 0.1, 0.333, 0.5, 0.999, 1.0, 1.7, f64::NAN] {
            assert_eq!(bar(share).chars().count(), BAR, "{share}");
        }
        assert_eq!(bar(0.5).chars().filter(|&c| c == '█').count(), BAR / 2);
    }

    #[test]
    fn a_redraw_covers_what_was_there() {
        let mut out = Vec::new();
        let mut screen = Screen::default();
        screen.draw(&mut out, "a\nb\nc\n").unwrap();
        assert!(!out.starts_with(b"\r\x1b[3A"));
        out.clear();
        screen.draw(&mut out, "d\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\r\u{1b}[3Ad\u{1b}[K\n\u{1b}[J");
    }
}
