//! Grants: this operator, this SSH CA, this host (or every host behind a DPU), these logins, until then.

use assay_api::id::{DeviceId, GrantId, HostId, OperatorId, SshCaId};
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::caller::Caller;
use super::ctx::{Act, Changed, Ctx, Shown};
use super::people::note;
use super::ssh_cas::paired;
use super::target::{Found, Target, find};
use super::words;
use crate::problem::{Fault, Problem};
use crate::ssh::ca;
use crate::store::people::{GrantRow, GrantState, OperatorRow};
use crate::store::ssh::{CertificateRow, HostRow};
use crate::store::{Rows, Writes};

/// The longest grant, in milliseconds: a year with its leap day.
const MAX_MILLIS: u64 = 366 * 86_400_000;

pub(crate) async fn create_grant(ctx: Ctx, ask: GrantCreate) -> Result<Changed<Grant>, Problem> {
    let logins = logins(&ask.logins)?;
    let place = match (&ask.host, &ask.dpu) {
        (Some(host), None) => (On::Host, host.clone()),
        (None, Some(dpu)) => (On::Device, dpu.clone()),
        _ => {
            let why = "name exactly one of `host` and `dpu`".to_owned();
            return Err(Fault::Value {
                what: "the grant",
                why,
            }
            .into());
        }
    };
    let id = GrantId::from_random(&ctx.app.random.bytes()?);
    ctx.change(Target::Tenant(None), move |tx, act| {
        until(ask.expires_at.0, act.now)?;
        let operator = find(tx, &act.caller, On::Operator, ask.operator.as_str())?;
        let ssh_ca = find(tx, &act.caller, On::SshCa, &ask.ssh_ca)?;
        let there = find(tx, &act.caller, place.0, &place.1)?;
        // A super:admin knows of all tenants; a grant still lies in one.
        let tenant = ssh_ca.tenant()?.clone();
        for found in [&operator, &there] {
            if found.tenant.as_ref() != Some(&tenant) {
                let what = "operator, ssh ca and host or dpu";
                let why = "they don't belong to one tenant".to_owned();
                return Err(Fault::Value { what, why }.into());
            }
        }
        let host = (there.on == On::Host)
            .then(|| paired(tx, &there))
            .transpose()?;
        let broken = |what| Problem::from(Fault::Internal).step(what);
        let row = GrantRow {
            id,
            tenant,
            operator: ask.operator,
            ssh_ca: SshCaId::parse(&ssh_ca.id).map_err(|_| broken("ssh_ca.id"))?,
            dpu: match host {
                Some(_) => None,
                None => Some(DeviceId::parse(&there.id).map_err(|_| broken("dpu.id"))?),
            },
            host: host.map(|h| h.id),
            logins: logins.join(","),
            expires: ask.expires_at.0,
            state: GrantState::Active,
        };
        let entry = act
            .entry()
            .tenant(row.tenant.as_str())
            .target(row.id.as_str())
            .detail("operator", row.operator.as_str())
            .detail("ssh_ca", row.ssh_ca.as_str())
            .detail("on", there.id.clone())
            .detail("logins", row.logins.clone())
            .detail("until", ask.expires_at.to_string());
        tx.change(entry, |c| c.insert(&row))?;
        Ok(shown(row, act.now))
    })
    .await
}

/// Operators see their own, admins those of their tenant.
pub(crate) async fn list_grants(ctx: Ctx, ask: InTenant) -> Result<Shown<Grants>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let person = act.caller.person()?;
        let filter = match person.role {
            PersonRole::Operator => Some(("operator", person.id.as_str())),
            PersonRole::TenantAdmin | PersonRole::SuperAdmin => {
                act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()))
            }
        };
        let page: Vec<GrantRow> = rows.page(filter, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |g| g.id.to_string());
        let items = page.into_iter().map(|row| shown(row, act.now)).collect();
        Ok(Grants { items, next })
    })
    .await
}

/// Takes a grant back, and revokes what was signed under it and no other grant covers.
pub(crate) async fn revoke_grant(ctx: Ctx, ask: Reason) -> Result<Changed<Grant>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let app = ctx.app.clone();
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let mut row = target(tx, act)?;
            if row.state == GrantState::Revoked {
                let why = "this grant is revoked already".to_owned();
                return Err(Fault::Conflict { why }.into());
            }
            row.state = GrantState::Revoked;
            let devices = tx.change::<_, Problem>(act.entry().reason(reason.clone()), |c| {
                c.update(&row)?;
                let role = c.get::<OperatorRow>(&row.operator)?.map(|o| o.role);
                let revoked = ca::revoke_of_person(c, &row.operator, &reason, |certificate, c| {
                    Ok::<_, Problem>(
                        role == Some(PersonRole::Operator)
                            && certificate.ca == row.ssh_ca
                            && !still_covered(c, &row.operator, certificate, c.now())?,
                    )
                })?;
                note(c.entry(), 0, &revoked.certificates);
                Ok(revoked.devices)
            })?;
            Ok((shown(row, act.now), devices))
        })
        .await?;
    done.get().1.iter().for_each(|device| app.wake.ring(device));
    Ok(done.map(|(shown, _)| shown))
}

/// Whether grants cover every `<login>@<host>` of a certificate, to its end: it outlives no grant that is left.
fn still_covered(
    rows: &impl Rows,
    operator: &OperatorId,
    certificate: &CertificateRow,
    now: Timestamp,
) -> Result<bool, Problem> {
    for principal in certificate.principals.iter() {
        let Some((login, host)) = principal.split_once('@') else {
            return Ok(false);
        };
        let Some(host) = HostId::parse(host)
            .ok()
            .map(|id| rows.get::<HostRow>(&id))
            .transpose()?
            .flatten()
        else {
            return Ok(false);
        };
        let (ca, device) = (&certificate.ca, &host.device);
        let end = covered_until(rows, operator, ca, &host.id, device, login, now)?;
        if end.is_none_or(|end| end < certificate.valid_before) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn target(rows: &impl Rows, act: &Act<'_>) -> Result<GrantRow, Problem> {
    let none = || Fault::NotFound { what: "grant" };
    let id = GrantId::parse(&act.target.id).map_err(|_| none())?;
    Ok(rows.get(&id)?.ok_or_else(none)?)
}

fn logins(asked: &[String]) -> Result<Vec<String>, Problem> {
    if !(1..=16).contains(&asked.len()) {
        let why = "give 1 to 16".to_owned();
        return Err(Fault::Value {
            what: "`logins`",
            why,
        }
        .into());
    }
    let mut logins = asked
        .iter()
        .map(|l| words::login(l))
        .collect::<Result<Vec<_>, _>>()?;
    logins.sort_unstable();
    logins.dedup();
    Ok(logins)
}

fn until(expires: Timestamp, now: Timestamp) -> Result<(), Problem> {
    let why = match expires.millis_since(now) {
        None | Some(0) => "it lies in the past",
        Some(ahead) if ahead > MAX_MILLIS => "it lies over a year ahead",
        Some(_) => return Ok(()),
    };
    Err(Fault::Value {
        what: "`expires_at`",
        why: why.to_owned(),
    }
    .into())
}

fn shown(row: GrantRow, now: Timestamp) -> Grant {
    let state = match row.state {
        GrantState::Revoked => "revoked",
        GrantState::Active if is_active(&row, now) => "active",
        GrantState::Active => "expired",
    };
    Grant {
        id: row.id,
        tenant_id: row.tenant,
        operator_id: row.operator,
        ssh_ca_id: row.ssh_ca,
        host_id: row.host,
        dpu_id: row.dpu,
        logins: row.logins.split(',').map(str::to_owned).collect(),
        expires_at: Time(row.expires),
        state: state.to_owned(),
    }
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

/// Until when this person may log in on this host, which stands behind this DPU, as `login`, by a certificate of this SSH CA:
/// the end of the active grant that says all of that and lasts longest. Nothing that is signed under it lasts longer.
///
/// # Errors
/// The store's faults.
pub(crate) fn covered_until(
    rows: &impl Rows,
    operator: &OperatorId,
    ssh_ca: &SshCaId,
    host: &HostId,
    dpu: &DeviceId,
    login: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let grants: Vec<GrantRow> = rows.find("operator", operator)?;
    let covering = grants.iter().filter(|g| {
        let there = g.host.as_ref() == Some(host) || g.dpu.as_ref() == Some(dpu);
        is_active(g, now) && g.ssh_ca == *ssh_ca && there && g.logins.split(',').any(|l| l == login)
    });
    Ok(covering.map(|g| g.expires).max())
}
