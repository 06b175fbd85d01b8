// IN WORK by somebody else now (branch `people`): people, tenants, grants, audit operations, bootstrap and recover. Branch `gate`: skip these, do server, TLS, policy, config, main.
//! Grants.

use assay_api::id::{DeviceId, HostId, OperatorId, SshCaId};
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::caller::Caller;
use super::ctx::{Changed, Ctx, Shown};
use super::target::Found;
use crate::problem::{Fault, Problem};
use crate::store::Rows;
use crate::store::people::{GrantRow, GrantState};

pub(crate) async fn create_grant(_: Ctx, _: GrantCreate) -> Result<Changed<Grant>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_grants(_: Ctx, _: InTenant) -> Result<Shown<Grants>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn revoke_grant(_: Ctx, _: Reason) -> Result<Changed<Grant>, Problem> {
    Err(Fault::NotBuilt.into())
}

/// Whether an active grant of the caller's names this: its SSH CA, its host, or its DPU.
///
/// # Errors
/// The store's faults.
pub(crate) fn names(
    rows: &impl Rows,
    caller: &Caller,
    target: &Found,
    now: Timestamp,
) -> Result<bool, Problem> {
    let Caller::Person(person) = caller else {
        return Ok(false);
    };
    let grants: Vec<GrantRow> = rows.find("operator", &person.id)?;
    Ok(grants.iter().any(|g| {
        let id = Some(target.id.as_str());
        let named = match target.on {
            On::SshCa => Some(g.ssh_ca.as_str()) == id,
            On::Host => g.host.as_ref().map(HostId::as_str) == id,
            On::Device => g.dpu.as_ref().map(DeviceId::as_str) == id,
            _ => false,
        };
        named && is_active(g, now)
    }))
}

/// Whether a grant counts at this time.
pub(crate) fn is_active(grant: &GrantRow, now: Timestamp) -> bool {
    grant.state == GrantState::Active && now < grant.expires
}

/// Whether this person may log in on this host, which stands behind this DPU, as `login`, by a certificate of this SSH CA.
/// Operators need an active grant that says all of that.
///
/// # Errors
/// The store's faults.
pub(crate) fn covers(
    rows: &impl Rows,
    operator: &OperatorId,
    ssh_ca: &SshCaId,
    host: &HostId,
    dpu: &DeviceId,
    login: &str,
    now: Timestamp,
) -> Result<bool, Problem> {
    let grants: Vec<GrantRow> = rows.find("operator", operator)?;
    Ok(grants.iter().any(|g| {
        let there = g.host.as_ref() == Some(host) || g.dpu.as_ref() == Some(dpu);
        is_active(g, now) && g.ssh_ca == *ssh_ca && there && g.logins.split(',').any(|l| l == login)
    }))
}
