//! Keeps a `metrics` handle per series and renders the text that Prometheus scrapes.
//!
//! All values of a scrape come from one snapshot. Series that a snapshot no longer has (a removed port, a share without
//! traffic) must vanish: the recorder can't forget a single series, so it is made anew when one is gone. Counters are
//! absolute, nothing is lost by that.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::histogram;
use super::sample::{Value, seconds};
use super::table::METRICS;
use crate::control::sampler::Shares;
use crate::state::Snapshot;

static METADATA: Metadata<'static> = Metadata::new("dcbridge", Level::INFO, None);

/// Counters that are kept in nanoseconds: scaled when rendered.
static IN_NANOSECONDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let times = METRICS.iter().filter(|m| m.is_counter() && m.name.ends_with("_seconds_total"));
    times.map(|m| m.name).collect()
});

/// A series: the metric's place in the table, and its label values.
type SeriesKey = (usize, Vec<String>);

/// A series' handle.
enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

/// The exporter of one switch.
pub struct Exporter {
    bridge: String,
    recorder: PrometheusRecorder,
    series: HashMap<SeriesKey, Series>,
}

impl Exporter {
    /// An exporter whose series all carry the switch's name.
    pub fn new(bridge: &str) -> Exporter {
        Exporter { bridge: bridge.to_owned(), recorder: recorder(bridge), series: HashMap::new() }
    }

    /// The exposition of one moment, sorted by name and labels so that two scrapes compare line by line.
    pub fn render(&mut self, snapshot: &Snapshot, shares: &Shares) -> String {
        let live = self.update(snapshot, shares);
        if live.len() < self.series.len() {
            *self = Exporter::new(&self.bridge);
            self.update(snapshot, shares);
        }
        let mut text = self.recorder.handle().render();
        let _ = write!(text, "\n\n{}", histogram::family(snapshot, &self.bridge));
        sorted(&text)
    }

    fn update(&mut self, snapshot: &Snapshot, shares: &Shares) -> HashSet<SeriesKey> {
        let mut live = HashSet::new();
        for (place, metric) in METRICS.iter().enumerate() {
            let recorder = &self.recorder;
            let series = &mut self.series;
            metric.visit(snapshot, shares, &mut |labels, value| {
                let key: SeriesKey = (place, labels.iter().map(|&label| label.to_owned()).collect());
                let handle = series.entry(key.clone()).or_insert_with(|| {
                    let names = metric.from.labels();
                    let labels = names.iter().zip(labels).map(|(name, v)| Label::new(*name, (*v).to_owned()));
                    let key = Key::from_parts(metric.name, labels.collect::<Vec<_>>());
                    match value {
                        Value::Gauge(_) => Series::Gauge(recorder.register_gauge(&key, &METADATA)),
                        _ => Series::Counter(recorder.register_counter(&key, &METADATA)),
                    }
                });
                match (handle, value) {
                    (Series::Gauge(gauge), Value::Gauge(v)) => gauge.set(v),
                    (Series::Counter(counter), Value::Count(v) | Value::Nanoseconds(v)) => {
                        counter.absolute(v);
                    }
                    // A row of the table always yields the same kind of value.
                    _ => {}
                }
                live.insert(key);
            });
        }
        live
    }
}

fn recorder(bridge: &str) -> PrometheusRecorder {
    let recorder = PrometheusBuilder::new().add_global_label("bridge", bridge).build_recorder();
    for metric in METRICS {
        if metric.is_counter() {
            recorder.describe_counter(metric.name.into(), None, metric.help.into());
        } else {
            recorder.describe_gauge(metric.name.into(), None, metric.help.into());
        }
    }
    recorder
}

/// Sorts families by name and series by labels, and turns nanoseconds into seconds.
fn sorted(text: &str) -> String {
    let mut families: Vec<&str> =
        text.split("\n\n").map(str::trim).filter(|family| !family.is_empty()).collect();
    families.sort_by_key(|family| family_name(family));
    let mut out = String::with_capacity(text.len());
    for family in families {
        let in_nanoseconds = IN_NANOSECONDS.contains(family_name(family));
        let (comments, mut series): (Vec<&str>, Vec<&str>) =
            family.lines().partition(|line| line.starts_with('#'));
        // Buckets are in order already.
        if family_name(family) != histogram::NAME {
            series.sort_unstable();
        }
        for line in comments {
            let _ = writeln!(out, "{line}");
        }
        for line in series {
            match line.rsplit_once(' ').map(|(key, value)| (key, value.parse())) {
                Some((key, Ok(value))) if in_nanoseconds => {
                    let _ = writeln!(out, "{key} {}", seconds(value));
                }
                _ => {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    out
}

/// The name in `# HELP name …` or `# TYPE name …`, with which a family begins.
fn family_name(family: &str) -> &str {
    family.split_ascii_whitespace().nth(2).unwrap_or_default()
}
