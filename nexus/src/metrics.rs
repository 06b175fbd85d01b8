//! Counters, as Prometheus reads them.

/// The metrics of this process.
#[derive(Debug, Default)]
pub struct Metrics {}
