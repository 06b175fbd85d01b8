//! SSH certificate authorities.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn create_ssh_ca(_: Ctx, _: SshCaCreate) -> Result<Changed<SshCa>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_ssh_cas(_: Ctx, _: InTenant) -> Result<Shown<SshCas>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_ssh_ca(_: Ctx, _: Empty) -> Result<Shown<SshCa>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn rotate_ssh_ca(_: Ctx, _: SshCaRotate) -> Result<Changed<SshCa>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn ssh_trust(_: Ctx, _: Empty) -> Result<Shown<SshTrust>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn push(_: Ctx, _: PushAsk) -> Result<Changed<Pushed>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn withdraw(_: Ctx, _: PushAsk) -> Result<Changed<Pushed>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}
