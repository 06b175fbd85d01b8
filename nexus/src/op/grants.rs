//! Grants.

use std::collections::BTreeSet;

use assay_api::id::{DeviceId, GrantId, HostId, OperatorId, SshCaId};
use assay_api::routes::On;
use assay_api::types::{Grant, GrantCreate, Grants, InTenant, PersonRole, Reason, Time};
use assay_attest::time::Timestamp;

use super::caller::Caller;
use super::ctx::{Changed, Ctx, Shown};
use super::target::{Found, Target, find, word};
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::Rows;
use crate::store::people::{GrantRow, GrantState};

/// The longest that a grant lasts, in milliseconds.
const MOST: u64 = 366 * 86_400_000;

pub(crate) async fn create_grant(ctx: Ctx, ask: GrantCreate) -> Result<Changed<Grant>, Problem> {
    let logins = logins(&ask.logins)?;
    let id = GrantId::from_random(&ctx.app.random.bytes()?);
    let whose = ctx
        .app
        .store
        .read_now(|rows| find(rows, &ctx.caller, On::Operator, ask.operator.as_str()))?;
    let tenant = whose.tenant.as_ref().map(ToString::to_string);
    ctx.change(Target::Tenant(tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        let within = |on: On, name: &str| -> Result<String, Problem> {
            let found = find(tx, &act.caller, on, name)?;
            let inside = found.tenant.as_ref() == Some(&tenant);
            inside
                .then_some(found.id)
                .ok_or_else(|| Fault::NotFound { what: word(on) }.into())
        };
        let lost = |_| Problem::from(Fault::Internal);
        let operator =
            OperatorId::parse(&within(On::Operator, ask.operator.as_str())?).map_err(lost)?;
        let ssh_ca = SshCaId::parse(&within(On::SshCa, &ask.ssh_ca)?).map_err(lost)?;
        let (host, dpu) = match (&ask.host, &ask.dpu) {
            (Some(host), None) => (
                Some(HostId::parse(&within(On::Host, host)?).map_err(lost)?),
                None,
            ),
            (None, Some(dpu)) => (
                None,
                Some(DeviceId::parse(&within(On::Device, dpu)?).map_err(lost)?),
            ),
            _ => return Err(value("`host` and `dpu`", "name exactly one of them")),
        };
        let expires = ask.expires_at.0;
        if expires <= act.now || expires > act.now.plus_millis(MOST) {
            return Err(value(
                "`expires_at`",
                "it lies in the future, at most a year away",
            ));
        }
        let row = GrantRow {
            id,
            tenant,
            operator,
            ssh_ca,
            host,
            dpu,
            logins,
            expires,
            state: GrantState::Active,
        };
        let entry = act
            .entry()
            .target(row.id.as_str())
            .detail("operator", row.operator.as_str())
            .detail("ssh_ca", row.ssh_ca.as_str())
            .detail(
                "on",
                row.host
                    .as_ref()
                    .map(HostId::as_str)
                    .or(row.dpu.as_ref().map(DeviceId::as_str))
                    .unwrap_or_default(),
            )
            .detail("logins", row.logins.clone())
            .detail("expires", ask.expires_at.to_string());
        tx.change(entry, |c| c.insert(&row))?;
        Ok(shown(row, act.now))
    })
    .await
}

fn value(what: &'static str, why: &str) -> Problem {
    Fault::Value {
        what,
        why: why.into(),
    }
    .into()
}

/// 1 to 16 logins, each once.
fn logins(asked: &[String]) -> Result<String, Problem> {
    let logins = asked
        .iter()
        .map(|l| words::login(l))
        .collect::<Result<BTreeSet<_>, _>>()?;
    if logins.is_empty() || logins.len() > 16 || logins.len() != asked.len() {
        return Err(value("`logins`", "name 1 to 16, each once"));
    }
    Ok(logins.into_iter().collect::<Vec<_>>().join(","))
}

/// Operators see their own.
pub(crate) async fn list_grants(ctx: Ctx, ask: InTenant) -> Result<Shown<Grants>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant), move |rows, act| {
        let person = act.caller.person()?;
        let filter = match (person.role, &act.target.tenant) {
            (PersonRole::Operator, _) => Some(("operator", person.id.as_str())),
            (_, Some(tenant)) => Some(("tenant", tenant.as_str())),
            (_, None) => None,
        };
        let page: Vec<GrantRow> = rows.page(filter, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |row| row.id.to_string());
        let items = page.into_iter().map(|row| shown(row, act.now)).collect();
        Ok(Grants { items, next })
    })
    .await
}

pub(crate) async fn revoke_grant(ctx: Ctx, ask: Reason) -> Result<Changed<Grant>, Problem> {
    let reason = words::reason(&ask.reason)?;
    ctx.revoke(Target::Route, move |tx, act| {
        let id = GrantId::parse(&act.target.id).map_err(|_| Fault::NotFound { what: "grant" })?;
        let mut row: GrantRow = tx.get(&id)?.ok_or(Fault::NotFound { what: "grant" })?;
        if row.state == GrantState::Revoked {
            return Err(Fault::Conflict {
                why: "the grant is revoked already".into(),
            }
            .into());
        }
        row.state = GrantState::Revoked;
        let entry = act
            .entry()
            .reason(reason.clone())
            .detail("operator", row.operator.as_str());
        tx.change(entry, |c| c.update(&row))?;
        Ok(shown(row, act.now))
    })
    .await
}

fn shown(row: GrantRow, now: Timestamp) -> Grant {
    let state = match row.state {
        GrantState::Revoked => "revoked",
        GrantState::Active if now < row.expires => "active",
        GrantState::Active => "expired",
    };
    Grant {
        id: row.id,
        tenant_id: row.tenant,
        operator_id: row.operator,
        ssh_ca_id: row.ssh_ca,
        host_id: row.host,
        dpu_id: row.dpu,
        logins: row.logins.split(',').map(Into::into).collect(),
        expires_at: Time(row.expires),
        state: state.into(),
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
