//! The reference page of the metrics, `docs/metrics.md`, written from the table.

use std::fmt::Write as _;

use super::histogram;
use super::metric::{From, Metric};
use super::table::METRICS;

const INTRODUCTION: &str = "\
# Metrics

<!-- Written from the table in bridge/src/control/metrics/table.rs; a test fails when this page is stale. -->

`dcbridge run` serves these in the Prometheus text format at `http://127.0.0.1:9464/metrics`; `[metrics] listen` in the
configuration moves or ends the listener. All values of a scrape belong to one moment, so the books balance in it:
received + originated + copied = sent + consumed + dropped + queued.

Every series carries the label `bridge`, the name of the switch. Series of a port that is removed vanish. A ready
dashboard is [dashboards/grafana.json](dashboards/grafana.json).

```yaml
scrape_configs:
  - job_name: dcbridge
    scrape_interval: 5s
    static_configs:
      - targets: [\"127.0.0.1:9464\"]
```

Useful expressions:

| question | expression |
|---|---|
| bandwidth of each class, in bit/s on the wire | `rate(dcbridge_class_transmit_wire_bytes_total[30s]) * 8` |
| use of a port's line, 0 to 1 | `sum by (bridge, port) (rate(dcbridge_class_transmit_wire_bytes_total[30s])) / dcbridge_port_line_rate_bytes_per_second` |
| a class that misses its share by over a point | `abs(dcbridge_class_share_measured_ratio - dcbridge_class_share_configured_ratio) > 0.01` |
| drops by reason | `sum by (port, reason) (rate(dcbridge_dropped_frames_total[1m])) > 0` |
| part of the time that a priority is paused | `rate(dcbridge_priority_paused_seconds_total[1m])` |
| queued frames by class | `sum by (bridge, port, class) (dcbridge_queue_frames * on (bridge, port, priority) group_left (class) dcbridge_priority_class_info)` |

";

/// A title, and which metrics stand under it.
type Section = (&'static str, fn(&From) -> bool);

/// The page.
pub fn reference_markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    let sections: [Section; 7] = [
        ("Switch", |from| matches!(from, From::Switch(_) | From::Worker(_) | From::Build)),
        ("Ports", |from| matches!(from, From::Port(_))),
        ("Priorities and their queues", |from| matches!(from, From::Priority(_) | From::PriorityClass)),
        ("Lossless priority groups", |from| matches!(from, From::Group(_))),
        ("Traffic classes", |from| matches!(from, From::Class(_))),
        ("Drops", |from| matches!(from, From::Drop(_))),
        ("DCBX", |from| matches!(from, From::Dcbx | From::DcbxPriority(_) | From::DcbxClass(_))),
    ];
    for (title, belongs) in sections {
        let _ = writeln!(out, "## {title}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|");
        for metric in METRICS.iter().filter(|metric| belongs(&metric.from)) {
            row(metric, &mut out);
        }
        if title == "Switch" {
            let _ = writeln!(out, "| `{}` | histogram | | {} |", histogram::NAME, histogram::HELP);
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn row(metric: &Metric, out: &mut String) {
    let kind = if metric.is_counter() { "counter" } else { "gauge" };
    let labels: Vec<String> = metric.from.labels().iter().map(|label| format!("`{label}`")).collect();
    let _ = writeln!(out, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(" "), metric.help);
}
