// IN WORK by somebody else now (branch `people`): people, tenants, grants, audit operations, bootstrap and recover. Branch `gate`: skip these, do server, TLS, policy, config, main.
//! Joining, invites, people, keys.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn begin_join(_: Ctx, _: JoinBegin) -> Result<Changed<JoinChallenge>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn complete_join(_: Ctx, _: JoinComplete) -> Result<Changed<Joined>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn whoami(_: Ctx, _: Empty) -> Result<Shown<Me>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn create_invite(
    _: Ctx,
    _: InviteCreate,
) -> Result<Changed<InviteCreated>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_invites(_: Ctx, _: InTenant) -> Result<Shown<Invites>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_operators(_: Ctx, _: InTenant) -> Result<Shown<Operators>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_operator(_: Ctx, _: Empty) -> Result<Shown<Operator>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn suspend_operator(_: Ctx, _: Reason) -> Result<Changed<Operator>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn unsuspend_operator(_: Ctx, _: Reason) -> Result<Changed<Operator>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn revoke_key(_: Ctx, _: Reason) -> Result<Changed<Operator>, Problem> {
    Err(Fault::NotBuilt.into())
}
