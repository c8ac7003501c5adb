//! What Prometheus scrapes: a table of metrics, an exporter that keeps their series, and their reference page.
//!
//! Values come from a snapshot of the switch and from the sampler's last window; nothing is counted here.

mod exporter;
mod histogram;
mod metric;
mod reference;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use exporter::Exporter;
pub use metric::{From, Metric};
pub use reference::reference_markdown;
pub use sample::Value;
pub use table::METRICS;
