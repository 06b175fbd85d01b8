//! All that an operation may touch.

use std::sync::Arc;

use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use crate::config::Config;
use crate::http::tls::Identity;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::random::Random;
use crate::refusals::Refusals;
use crate::store::Store;
use crate::store::replay::MemoryReplay;
use crate::verifier::Verifier;
use crate::wake::WakeHub;

/// The nexus, as operations see it. Time comes from the store's clock (one `now` a request, read at the gate), chance from
/// [`App::random`].
#[derive(Debug)]
pub struct App {
    /// Rows, the audit log, the clock ([`Store::clock`]) and the keys ([`Store::keys`]).
    pub store: Store,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Checks signatures.
    pub checks: AwsLc,
    /// Anchors and policy that evidence is held against.
    pub verifier: Verifier,
    /// Cedar.
    pub policy: Policy,
    /// What the configuration file says.
    pub config: Config,
    /// Counters.
    pub metrics: Metrics,
    /// What was refused to callers that nobody knows.
    pub refusals: Refusals,
    /// Who the nexus is on the wire: its id is what sessions and pairings are bound to.
    pub tls: Identity,
    /// Wakes agents that wait.
    pub wake: WakeHub,
    /// Proofs for reads, seen once.
    pub replay: MemoryReplay,
    /// SHA-256 of the SubjectPublicKeyInfo of the TLS root in use: the nexus id.
    pub nexus_id: [u8; 32],
    /// When this process began to remember them.
    pub started: Timestamp,
}
