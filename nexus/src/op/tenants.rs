// IN WORK by somebody else now (branch `people`): people, tenants, grants, audit operations, bootstrap and recover. Branch `gate`: skip these, do server, TLS, policy, config, main.
//! Tenants.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn create_tenant(_: Ctx, _: TenantCreate) -> Result<Changed<Tenant>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_tenants(_: Ctx, _: InTenant) -> Result<Shown<Tenants>, Problem> {
    Err(Fault::NotBuilt.into())
}
