//! Leases that came: opened into the vault, then acknowledged. One that does not open is left to the nexus.

use super::{DriveError, Driver, calls};
use crate::boot::Boot;
use crate::cycle::Input;
use assay_api::checks::SoftwareChecks;
use assay_api::id::LeaseId;
use assay_api::seal::{self, Context};
use assay_api::types::{Lease, Leases};
use std::sync::Arc;

impl Driver {
    pub(super) fn leases_in(&mut self, leases: Leases, sent: Boot) -> Result<(), DriveError> {
        let mut opened = Vec::new();
        for lease in leases.items {
            let (id, millis) = (lease.id.clone(), lease.expires_in_ms);
            match self.open(lease, sent) {
                Ok(()) => opened.push((id, millis)),
                Err((code, detail)) => {
                    tracing::warn!(lease = %id, code, "a lease was not taken: {detail}");
                    self.faults.insert("leases", (code, detail));
                }
            }
        }
        let ids: Vec<LeaseId> = opened.iter().map(|(id, _)| id.clone()).collect();
        self.step(Input::LeasesIn {
            sent,
            items: opened,
            renew_in: leases.renew_in,
        })?;
        // Only what is still held after the round has seen it: a wipe may have come in between.
        let held: Vec<LeaseId> = ids.into_iter().filter(|id| self.vault.holds(id)).collect();
        if !held.is_empty() {
            tracing::info!(leases = held.len(), "leases are held");
            let client = Arc::clone(&self.client);
            tokio::task::spawn_local(calls::acknowledge(client, held));
        }
        // The next pull is another one.
        self.pull_key.clear();
        Ok(())
    }

    fn open(&mut self, lease: Lease, sent: Boot) -> Result<(), (String, String)> {
        if lease.kind != "secret" {
            let detail = format!("this agent knows no lease of kind `{}`", lease.kind);
            return Err(("lease.kind".into(), detail));
        }
        let key = self.vault.key(&lease.result_id).ok_or_else(|| {
            let detail =
                "it was sealed for a proof whose key is gone; it comes anew under the next";
            ("lease.key".to_owned(), detail.to_owned())
        })?;
        let context = Context {
            device: &self.identity.device_id,
            result: &lease.result_id,
            lease: &lease.id,
            kind: &lease.kind,
        };
        let secret = seal::open(
            &lease.sealed.0,
            &key,
            &context,
            &self.keys.delivery,
            &SoftwareChecks,
        )
        .map_err(|fault| (fault.code().to_owned(), fault.to_string()))?;
        // No lease outlives the proof that earned it.
        let fresh_until = self.cycle.fresh_until().unwrap_or_default();
        let ends = sent.plus_millis(lease.expires_in_ms).min(fresh_until);
        self.vault
            .put(lease.id, lease.name, lease.version, ends, &secret)
            .map_err(|fault| (fault.code().to_owned(), fault.to_string()))
    }
}
