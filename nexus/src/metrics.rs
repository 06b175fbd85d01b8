//! Counters, as Prometheus reads them. Labels come from tables of ours only, never from a request.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Proof {
    outcome: &'static str,
}

/// The metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    proofs: Family<Proof, Counter>,
    /// Devices whose loss of trust has consequences that wait for a super:admin, since the start: an alarm.
    pub paced_falls: Counter<u64, AtomicU64>,
    /// Releases by force bypass.
    pub bypasses: Counter<u64, AtomicU64>,
    /// Connections that are open.
    pub connections: Gauge<i64, AtomicI64>,
    /// Connections that were turned away, or whose handshake failed.
    pub refused_connections: Counter<u64, AtomicU64>,
    /// Entries in the audit log.
    pub log_size: Gauge<i64, AtomicI64>,
    /// 1 where releases are closed: full disk, or a clock that can't be right.
    pub closed: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("assay_nexus");
        let answers = Family::<Answer, Counter>::default();
        let proofs = Family::<Proof, Counter>::default();
        let paced_falls = Counter::default();
        let bypasses = Counter::default();
        let connections = Gauge::default();
        let refused_connections = Counter::default();
        let log_size = Gauge::default();
        let closed = Gauge::default();
        registry.register("answers", "Answers by route and code", answers.clone());
        registry.register("proofs", "Proofs of devices by outcome", proofs.clone());
        registry.register(
            "paced_falls",
            "Devices whose revoking and wiping wait for a super:admin",
            paced_falls.clone(),
        );
        registry.register("bypasses", "Releases by force bypass", bypasses.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register(
            "refused_connections",
            "Connections turned away",
            refused_connections.clone(),
        );
        registry.register("log_size", "Entries in the audit log", log_size.clone());
        registry.register(
            "releases_closed",
            "1 while nothing is released",
            closed.clone(),
        );
        Self {
            registry,
            answers,
            proofs,
            paced_falls,
            bypasses,
            connections,
            refused_connections,
            log_size,
            closed,
        }
    }
}

impl Metrics {
    /// One more answer of this row with this code (`ok` where there was no problem).
    pub fn answered(&self, route: &'static str, code: &'static str) {
        self.answers.get_or_create(&Answer { route, code }).inc();
    }

    /// One more proof: `verified`, `failed`, `quarantined` or `rejected`.
    pub fn proved(&self, outcome: &'static str) {
        self.proofs.get_or_create(&Proof { outcome }).inc();
    }

    /// All of them in OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &self.registry);
        out
    }

    /// The registry, to add what an operation counts: at start, before it is shared.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_are_counted_by_row_and_code() {
        let metrics = super::Metrics::default();
        metrics.answered("health", "ok");
        metrics.answered("health", "ok");
        let line = "assay_nexus_answers_total{route=\"health\",code=\"ok\"} 2";
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }
}
