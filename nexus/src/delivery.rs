//! Signs what is carried to hosts by others: pairings and manifests, by the delivery key.

use assay_api::signed::{DeliveryKeys, Document, sign_document};

use crate::keys::Signer;
use crate::problem::{Fault, Problem};
use crate::ssh::ca::raw;
use crate::store::Rows;
use crate::store::signing_key::{self, KeyState};

/// The purpose of the delivery keys in the table of signing keys.
pub(crate) const PURPOSE: &str = "delivery";

/// The delivery keys, current and next.
pub(crate) fn keys(rows: &impl Rows) -> Result<DeliveryKeys, Problem> {
    let mut current = None;
    let mut next = None;
    for key in signing_key::published(rows, "", PURPOSE)? {
        let public = raw(&key
            .public()
            .map_err(|e| Problem::from(Fault::Internal).step(e.code()))?)?;
        match key.state {
            KeyState::Active => current = Some(public),
            KeyState::Prepared => next = Some(public),
            KeyState::Retiring | KeyState::Retired => {}
        }
    }
    let current = current.ok_or_else(|| Problem::from(Fault::Internal).step("delivery.no_key"))?;
    Ok(DeliveryKeys { current, next })
}

/// Signs a document.
pub(crate) fn sign<T: Document>(rows: &impl Rows, document: &T) -> Result<Vec<u8>, Problem> {
    let key = signing_key::active(rows, "", PURPOSE)?;
    let key = key.ok_or_else(|| Problem::from(Fault::Internal).step("delivery.no_key"))?;
    let signer = key
        .signer(rows.keys().at_rest())
        .map_err(|e| Problem::from(Fault::Internal).step(e.code()))?;
    let public = raw(signer.public())?;
    sign_document(document, &public, |m| signer.sign(m))
        .map_err(|e| Problem::from(Fault::Internal).step(e.to_string()))
}
