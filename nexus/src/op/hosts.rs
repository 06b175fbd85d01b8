//! Hosts, pairings, manifests.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn pair_host(_: Ctx, _: HostPair) -> Result<Changed<HostPaired>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_hosts(_: Ctx, _: InTenant) -> Result<Shown<Hosts>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_host(_: Ctx, _: Empty) -> Result<Shown<Host>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn agent_hosts(_: Ctx, _: Empty) -> Result<Shown<AgentHosts>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn pull_manifest(_: Ctx, _: ManifestAsk) -> Result<Changed<ManifestOut>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn report_delivery(_: Ctx, _: DeliveryReport) -> Result<Changed<Empty>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}
