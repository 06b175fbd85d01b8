//! DPUs: what people see of them and do to them.

use assay_api::id::KeyId;
use assay_api::jose::Jwk;
use assay_api::types::*;

use super::caller::Device;
use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::{Rows, StoreFault};

pub(crate) async fn list_dpus(_: Ctx, _: InTenant) -> Result<Shown<Dpus>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_dpu(_: Ctx, _: Empty) -> Result<Shown<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn confirm_dpu(_: Ctx, _: Reason) -> Result<Changed<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn demand_proof(_: Ctx, _: Reason) -> Result<Changed<Demand>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_demand(_: Ctx, _: Empty) -> Result<Shown<Demand>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn decommission_dpu(_: Ctx, _: Reason) -> Result<Changed<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn quarantine_dpu(_: Ctx, _: Reason) -> Result<Changed<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn release_dpu(_: Ctx, _: Reason) -> Result<Changed<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn agent_self(_: Ctx, _: Empty) -> Result<Shown<Dpu>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn wake(_: Ctx, _: WakeAsk) -> Result<Shown<Wake>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(_rows: &impl Rows, _id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    Ok(Vec::new())
}

/// The device that this key belongs to, with the key, where device, key and tenant may ask for anything: `None` for
/// unknown keys, and `auth.failed` with the exact step for those that are known and not active.
pub(crate) fn device_of_key(
    _rows: &impl Rows,
    _key: &KeyId,
) -> Result<Option<(Jwk, Device)>, Problem> {
    Ok(None)
}
