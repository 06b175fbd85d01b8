//! From a configuration to a nexus that can serve: store, keys, certificates, policies, the bootstrap token.
//!
//! Everything here runs before the runtime, on `main`'s thread, and fails with a sentence that says what to do.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_attest::standing::StaleAfter;
use assay_checks::AwsLc;

use crate::anchors::{self, BadAnchor};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery;
use crate::http::tls::{Identity, TlsFault};
use crate::keys::{KeyFault, Master, MasterSource};
use crate::metrics::Metrics;
use crate::op::system::RESULT;
use crate::policy::{BadPolicy, Policy};
use crate::random::Random;
use crate::refusals::Refusals;
use crate::store::replay::MemoryReplay;
use crate::store::signing_key::{self, KeyAlgorithm};
use crate::store::{EntryDraft, Store, StoreFault, StoreOptions};
use crate::verifier::Verifier;
use crate::wake::WakeHub;

/// The nexus does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The data directory.
    #[error("the data directory `{path}` can't be used: {why}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The master key.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// A policy.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// A root that evidence may end in.
    #[error(transparent)]
    Anchor(#[from] BadAnchor),
    /// The bootstrap token could not be written.
    #[error("the bootstrap token can't be written to `{path}`: {why}")]
    Bootstrap {
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}

/// Opens master key and database. `credentials` is systemd's `$CREDENTIALS_DIRECTORY`.
///
/// # Errors
/// [`StartFault`].
pub fn open_store(
    config: &Config,
    credentials: Option<&Path>,
    clock: Arc<dyn Clock>,
) -> Result<Store, StartFault> {
    let directory = |e: std::io::Error| StartFault::Directory {
        path: config.data_dir.clone(),
        why: e.to_string(),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(directory)?;
    let source = MasterSource::choose(credentials, config.master_key.clone());
    let master = Master::open(&source, !Store::exists(&config.database()))?;
    if !master.is_locked() {
        tracing::warn!("the master key is not kept out of swap: raise RLIMIT_MEMLOCK");
    }
    let origin = origin(config).map_err(directory)?;
    Ok(Store::open(
        &StoreOptions::new(config.database(), origin),
        &master,
        clock,
    )?)
}

/// The audit log's name: what the first start took.
fn origin(config: &Config) -> std::io::Result<String> {
    let path = config.data_dir.join("log-origin");
    match std::fs::read_to_string(&path) {
        Ok(origin) => Ok(origin.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write_private(&path, config.log_origin.as_bytes())?;
            Ok(config.log_origin.clone())
        }
        Err(e) => Err(e),
    }
}

/// The policies: the defaults and what stands in `policy_dir`.
///
/// # Errors
/// [`BadPolicy`].
pub fn policies(config: &Config) -> Result<Policy, BadPolicy> {
    let mut own = Vec::new();
    if let Some(directory) = &config.policy_dir {
        let bad = |e: std::io::Error| BadPolicy {
            file: directory.display().to_string(),
            why: e.to_string(),
        };
        for entry in std::fs::read_dir(directory).map_err(bad)? {
            let path = entry.map_err(bad)?.path();
            if path.extension().is_some_and(|e| e == "cedar") {
                let name = path
                    .file_stem()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
                own.push((name, std::fs::read_to_string(&path).map_err(bad)?));
            }
        }
        own.sort();
    }
    Policy::load(&own)
}

/// The nexus over an open store. What it needs at its first start is made here.
///
/// # Errors
/// [`StartFault`].
pub fn app(config: Config, store: Store, random: Arc<dyn Random>) -> Result<App, StartFault> {
    let policy = policies(&config)?;
    for purpose in [delivery::PURPOSE, RESULT] {
        if store
            .read_now(|r| signing_key::active(r, "", purpose))?
            .is_none()
        {
            store.write_blocking(move |tx| {
                tx.change(
                    EntryDraft::system("keys.make", "start").target(purpose),
                    |c| signing_key::ensure(c, "", purpose, KeyAlgorithm::Ed25519).map(drop),
                )
            })?;
        }
    }
    let tls = Identity::open(&store, &*random, &config.public_urls, config.tls.clone())?;
    let started = store.clock().now();
    let stale_after = StaleAfter::from_millis(config.stale_after).unwrap_or(StaleAfter::DEFAULT);
    Ok(App {
        verifier: Verifier::new(anchors::load(&config.anchors)?, stale_after),
        policy,
        nexus_id: tls.nexus_id(),
        tls,
        started,
        replay: MemoryReplay::new(started),
        checks: AwsLc,
        metrics: Metrics::default(),
        refusals: Refusals::default(),
        wake: WakeHub::default(),
        store,
        random,
        config,
    })
}

/// Writes a 0600 file, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
