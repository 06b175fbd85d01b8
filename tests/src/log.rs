//! The audit log as an auditor gets it.

use assay_api::log::{
    Entry, GENESIS, Hash, Head, Item, LogKey, Report, Valid, chain_hash, verify_log,
};
use assay_api::routes::call;
use assay_api::types::{AuditAsk, AuditPage, Empty};

use crate::person::Person;

/// A log as far as it was read: entries with their chain hashes, and the checkpoint that covers them.
#[derive(Clone, Debug)]
pub struct Export {
    entries: Vec<Item>,
    chain: Hash,
    checkpoint: String,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            chain: GENESIS,
            checkpoint: String::new(),
        }
    }
}

impl Export {
    /// Reads what has come since, page by page.
    ///
    /// # Panics
    /// Where the nexus refuses.
    pub fn go_on(&mut self, admin: &Person) {
        // The checkpoint covers what stands when a page is read: the last page brings one for everything before.
        loop {
            let from = u64::try_from(self.entries.len()).unwrap();
            let ask = AuditAsk {
                from: Some(from),
                limit: Some(500),
                ..AuditAsk::default()
            };
            let page = patiently(admin, &ask);
            for entry in page.items {
                self.chain = chain_hash(&self.chain, &entry.entry.0);
                let (bytes, chain) = (entry.entry.0, self.chain);
                self.entries.push(Item::Entry { bytes, chain });
            }
            self.checkpoint = page.checkpoint;
            if page.next == Checkpointed::of(&self.checkpoint).0 {
                return;
            }
        }
    }

    /// The lines of an export file.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let checkpoint = Item::Checkpoint(self.checkpoint.clone());
        self.entries.iter().cloned().chain([checkpoint])
    }

    /// Verifies it; it must contain these heads.
    ///
    /// # Panics
    /// Where it is broken.
    pub fn must_hold(&self, key: &LogKey, heads: &[Head]) -> Valid {
        match verify_log(self.items().map(Ok::<_, ()>), key, heads) {
            Ok(Report::Valid(valid)) => valid,
            other => panic!("the log does not hold: {other:?}"),
        }
    }
}

/// The whole log, as the lines of an export.
///
/// # Panics
/// Where the nexus refuses.
#[must_use]
pub fn export(admin: &Person) -> Vec<Item> {
    let mut export = Export::default();
    export.go_on(admin);
    export.items().collect()
}

/// A page, also from a nexus that has just come back.
fn patiently(admin: &Person, ask: &AuditAsk) -> AuditPage {
    let again = |_: &usize| {
        let asked = admin.call::<call::list_audit>(None, ask);
        if asked
            .as_ref()
            .is_err_and(assay_client::CallError::is_retryable)
        {
            std::thread::sleep(std::time::Duration::from_millis(100));
            return None;
        }
        Some(asked.unwrap_or_else(|e| panic!("list_audit: {} {e}", e.code())))
    };
    (0..50)
        .find_map(|n| again(&n))
        .unwrap_or_else(|| panic!("the log can't be read"))
}

/// What a checkpoint says of its size.
struct Checkpointed(u64);

impl Checkpointed {
    fn of(checkpoint: &str) -> Self {
        Self(
            checkpoint
                .lines()
                .nth(1)
                .and_then(|line| line.parse().ok())
                .unwrap_or(u64::MAX),
        )
    }
}

/// The entries of an export.
///
/// # Panics
/// Where one can't be read.
#[must_use]
pub fn entries(items: &[Item]) -> Vec<Entry> {
    let bytes = items.iter().filter_map(|item| match item {
        Item::Entry { bytes, .. } => Some(bytes),
        _ => None,
    });
    bytes
        .map(|bytes| serde_json::from_slice(bytes).unwrap())
        .collect()
}

/// The key of the log, as the nexus states it over its pinned connection.
///
/// # Panics
/// Where it states none.
#[must_use]
pub fn key(admin: &Person) -> LogKey {
    let trust = admin.must::<call::trust>(None, &Empty {});
    LogKey::new(&trust.log_origin, &trust.log_key.0.try_into().unwrap()).unwrap()
}

/// Verifies the log that the nexus shows now; it must contain these heads.
///
/// # Panics
/// Where it is broken.
pub fn must_hold(admin: &Person, heads: &[Head]) -> Valid {
    let mut export = Export::default();
    export.go_on(admin);
    export.must_hold(&key(admin), heads)
}
