//! User certificates.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn sign_certificate(
    _: Ctx,
    _: CertificateAsk,
) -> Result<Changed<Certificate>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_certificates(_: Ctx, _: InTenant) -> Result<Shown<Certificates>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn revoke_certificate(
    _: Ctx,
    _: Reason,
) -> Result<Changed<CertificateInfo>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}
