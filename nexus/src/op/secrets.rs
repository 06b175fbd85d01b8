//! Secrets and their leases.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn put_secret(_: Ctx, _: SecretPut) -> Result<Changed<Secret>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_secrets(_: Ctx, _: InTenant) -> Result<Shown<Secrets>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn withdraw_secret(_: Ctx, _: Reason) -> Result<Changed<Secret>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn pull_leases(_: Ctx, _: LeasesAsk) -> Result<Changed<Leases>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn acknowledge_lease(_: Ctx, _: Empty) -> Result<Changed<Empty>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}
