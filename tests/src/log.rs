//! The audit log as an auditor gets it.

use assay_api::log::{Entry, GENESIS, Head, Item, LogKey, Report, Valid, chain_hash, verify_log};
use assay_api::routes::call;
use assay_api::types::{AuditAsk, AuditPage, Empty};

use crate::person::Person;

/// The whole log, page by page, as the lines of an export: entries with their chain hashes, then the last checkpoint.
///
/// # Panics
/// Where the nexus refuses.
#[must_use]
pub fn export(admin: &Person) -> Vec<Item> {
    // The checkpoint covers what stands when a page is read; a last page that is empty brings one for everything before.
    let (mut items, mut chain, mut from) = (Vec::new(), GENESIS, 0);
    loop {
        let ask = AuditAsk {
            from: Some(from),
            limit: Some(500),
            ..AuditAsk::default()
        };
        let page = patiently(admin, &ask);
        let size = Checkpointed::of(&page.checkpoint);
        for entry in page.items {
            chain = chain_hash(&chain, &entry.entry.0);
            items.push(Item::Entry {
                bytes: entry.entry.0,
                chain,
            });
        }
        from = page.next;
        if from == size.0 {
            items.push(Item::Checkpoint(page.checkpoint));
            return items;
        }
    }
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
    must_hold_by(admin, &key(admin), heads)
}

/// The same by a key that is known.
///
/// # Panics
/// Where it is broken.
pub fn must_hold_by(admin: &Person, key: &LogKey, heads: &[Head]) -> Valid {
    let items = export(admin);
    match verify_log(items.into_iter().map(Ok::<_, ()>), key, heads) {
        Ok(Report::Valid(valid)) => valid,
        other => panic!("the log does not hold: {other:?}"),
    }
}
