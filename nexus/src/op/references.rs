//! Reference Values.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn take_reference(
    _: Ctx,
    _: ReferenceTake,
) -> Result<Changed<Reference>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_references(_: Ctx, _: InTenant) -> Result<Shown<References>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_reference(_: Ctx, _: Empty) -> Result<Shown<Reference>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}
