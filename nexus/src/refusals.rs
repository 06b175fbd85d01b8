//! What was refused to callers that nobody knows, added up (address prefix, step, minute) under a cap, so that nobody fills the
//! audit log from outside (design section 10).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use assay_api::log::{Actor, ActorKind};

use crate::store::{EntryDraft, Store, StoreFault};

/// How many different (prefix, step) pairs of one minute get an entry of their own; the rest share one.
const MOST: usize = 64;

/// The counts of the running minute.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by: BTreeMap<(String, String), u64>,
    others: u64,
}

impl Refusals {
    /// Counts one.
    pub fn count(&self, client: IpAddr, step: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (prefix(client), step.to_owned());
        if counts.by.len() >= MOST && !counts.by.contains_key(&key) {
            counts.others = counts.others.saturating_add(1);
        } else {
            let n = counts.by.entry(key).or_default();
            *n = n.saturating_add(1);
        }
    }

    /// The entries of the minute that ends, which is forgotten.
    fn take(&self) -> Vec<EntryDraft> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let others = (counts.others > 0)
            .then(|| (("others".to_owned(), "several".to_owned()), counts.others));
        counts
            .by
            .into_iter()
            .chain(others)
            .map(|((prefix, step), n)| entry(prefix, &step, n))
            .collect()
    }

    /// Writes the entries of the minute that ends. Call it once a minute, and at the end.
    ///
    /// # Errors
    /// The store's faults; the counts are lost then, and in the journal only.
    pub async fn flush(&self, store: &Store) -> Result<(), StoreFault> {
        let entries = self.take();
        if entries.is_empty() {
            return Ok(());
        }
        store
            .write(move |tx| {
                for entry in entries {
                    tx.audit(entry)?;
                }
                Ok(())
            })
            .await
    }
}

fn entry(prefix: String, step: &str, n: u64) -> EntryDraft {
    let actor = Actor {
        kind: ActorKind::Anonymous,
        id: prefix,
        kid: None,
    };
    EntryDraft::new("auth.refused", actor)
        .denied(step)
        .detail("count", n.to_string())
}

/// The /24 or /48 that an address is in.
fn prefix(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(a) => {
            let [x, y, z, _] = a.octets();
            format!("{x}.{y}.{z}.0/24")
        }
        IpAddr::V6(a) => {
            let [x, y, z, ..] = a.segments();
            format!("{x:x}:{y:x}:{z:x}::/48")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i14_a_flood_makes_few_entries() {
        let refusals = Refusals::default();
        for i in 0..10_000_u32 {
            refusals.count(IpAddr::from(i.to_be_bytes()), "key.unknown");
            refusals.count(IpAddr::from([10, 0, 0, 7]), "key.unknown");
        }
        let entries = refusals.take();
        assert!(entries.len() <= MOST + 1, "{}", entries.len());
        let total: u64 = entries
            .iter()
            .map(|e| e.details["count"].parse::<u64>().unwrap())
            .sum();
        assert_eq!(total, 20_000, "and counts all of it");
        assert!(refusals.take().is_empty());
    }

    #[test]
    fn addresses_are_cut() {
        assert_eq!(prefix("10.1.2.3".parse().unwrap()), "10.1.2.0/24");
        assert_eq!(prefix("::ffff:10.1.2.3".parse().unwrap()), "10.1.2.0/24");
        assert_eq!(
            prefix("2001:db8:7:8::1".parse().unwrap()),
            "2001:db8:7::/48"
        );
    }
}
