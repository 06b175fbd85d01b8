// IN WORK by somebody else now (branch `people`): people, tenants, grants, audit operations, bootstrap and recover. Branch `gate`: skip these, do server, TLS, policy, config, main.
//! The audit log.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn list_audit(_: Ctx, _: AuditAsk) -> Result<Shown<AuditPage>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn audit_head(_: Ctx, _: Empty) -> Result<Shown<AuditHead>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn audit_consistency(
    _: Ctx,
    _: ConsistencyAsk,
) -> Result<Shown<ConsistencyProof>, Problem> {
    Err(Fault::NotBuilt.into())
}
