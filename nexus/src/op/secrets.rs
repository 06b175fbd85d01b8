//! Secrets kept for DPUs, at rest sealed under the master key. How they leave is in [`leases`](super::leases).

use assay_api::id::{DeviceId, SecretId};
use assay_api::routes::On;
use assay_api::seal;
use assay_api::types::*;
use assay_attest::time::Timestamp;
use rusqlite::params;
use zeroize::Zeroizing;

use super::ctx::{Act, Changed, Ctx, Shown};
use super::target::{Found, Target};
use super::{dpus, words};
use crate::keys::SealedAs;
use crate::problem::{Fault, Problem};
use crate::store::devices::Lifecycle;
use crate::store::secrets::{Secret as Row, SecretState};
use crate::store::{AsSql, Change, Rows, StoreFault, Tx, Writes};

/// Active secrets of one device.
const SECRETS: usize = 32;
pub(crate) async fn put_secret(ctx: Ctx, ask: SecretPut) -> Result<Changed<Secret>, Problem> {
    let name = secret_name(&ask.name)?;
    let value = ask.value.0;
    if value.is_empty() || value.len() > seal::MAX_SECRET {
        return Err(Fault::Value {
            what: "`value`",
            why: "it has 1 byte to 64 KiB".into(),
        }
        .into());
    }
    let done = ctx
        .change(Target::Named(ask.dpu), move |tx, act| {
            put(tx, act, &name, &value)
        })
        .await?;
    ctx.app.wake.ring(&done.get().device_id);
    Ok(done)
}

fn secret_name(text: &str) -> Result<String, Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let dots = text.bytes().all(|b| b == b'.');
    if (1..=63).contains(&text.len()) && text.bytes().all(plain) && !dots {
        return Ok(text.to_owned());
    }
    Err(Fault::Value {
        what: "`name`",
        why: "write 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`".into(),
    }
    .into())
}

fn put(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    name: &str,
    value: &Zeroizing<Vec<u8>>,
) -> Result<Secret, Problem> {
    let dpu = dpus::named(tx, &act.target)?;
    if matches!(dpu.lifecycle, Lifecycle::Decommissioned) {
        return Err(Fault::Decommissioned { device: dpu.id }.into());
    }
    let all: Vec<Row> = tx.find("device", &dpu.id)?;
    let old = all.iter().find(|s| s.name == name).cloned();
    let active = all
        .iter()
        .filter(|s| matches!(s.state, SecretState::Active) && s.name != name)
        .count();
    if active >= SECRETS {
        let why = format!("the dpu has {SECRETS} secrets already: withdraw one first");
        return Err(Fault::Conflict { why }.into());
    }
    let (id, version) = match old.as_ref() {
        Some(old) => (old.id.clone(), old.version.saturating_add(1)),
        None => (SecretId::from_random(&act.ctx.app.random.bytes()?), 1),
    };
    let mut row = Row {
        id,
        tenant: dpu.tenant,
        device: dpu.id,
        name: name.to_owned(),
        version,
        state: SecretState::Active,
        size: u32::try_from(value.len()).unwrap_or(u32::MAX),
        put: act.now,
        sealed: Vec::new(),
    };
    row.sealed = tx
        .keys()
        .at_rest()
        .seal(&place(&row), value)
        .map_err(StoreFault::from)?;
    let entry = act
        .entry()
        .detail("secret", row.id.as_str())
        .detail("name", name)
        .detail("version", version.to_string());
    tx.change(entry, |c| {
        recall(c, &row.id)?;
        c.put(&row)?;
        Ok::<_, Problem>(())
    })?;
    shown(tx, row)
}

pub(super) fn place(row: &Row) -> SealedAs<'_> {
    SealedAs {
        table: "secret",
        row: row.id.as_str(),
        tenant: row.tenant.as_str(),
        purpose: row.device.as_str(),
        version: u64::from(row.version),
        public: &[],
    }
}

/// Leases of a secret that run: their bytes go, the agent wipes them.
fn recall(w: &impl Writes, secret: &SecretId) -> Result<(), StoreFault> {
    let sql = "UPDATE lease SET state = 'wipe', sealed = x'' WHERE secret = ?1 AND state IN ('waiting', 'acknowledged')";
    w.sql()
        .prepare_cached(sql)?
        .execute(params![AsSql(secret)])?;
    Ok(())
}

pub(crate) async fn list_secrets(ctx: Ctx, ask: InTenant) -> Result<Shown<Secrets>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let filter = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<Row> = rows.page(filter, ask.after.as_deref(), limit)?;
        let full = page.len() == usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = page.last().filter(|_| full).map(|row| row.id.to_string());
        let items = page
            .into_iter()
            .map(|row| shown(rows, row))
            .collect::<Result<_, _>>()?;
        Ok(Secrets { items, next })
    })
    .await
}

fn shown(rows: &impl Rows, row: Row) -> Result<Secret, Problem> {
    let released: Option<i64> = rows
        .sql()
        .prepare_cached("SELECT max(released) FROM lease WHERE secret = ?1")
        .map_err(StoreFault::from)?
        .query_row(params![AsSql(&row.id)], |r| r.get(0))
        .map_err(StoreFault::from)?;
    Ok(Secret {
        id: row.id,
        tenant_id: row.tenant,
        device_id: row.device,
        name: row.name,
        version: row.version,
        state: row.state.as_str().into(),
        size: row.size,
        put_at: Time(row.put),
        released_at: released
            .and_then(|ms| u64::try_from(ms).ok())
            .map(|ms| Time(Timestamp::from_millis(ms))),
    })
}

pub(crate) async fn withdraw_secret(ctx: Ctx, ask: Reason) -> Result<Changed<Secret>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let id =
                SecretId::parse(&act.target.id).map_err(|_| Fault::NotFound { what: "secret" })?;
            let mut row: Row = tx.get(&id)?.ok_or(Fault::NotFound { what: "secret" })?;
            tx.change(act.entry().reason(reason.clone()), |c| {
                withdraw(c, &mut row)?;
                Ok::<_, Problem>(())
            })?;
            shown(tx, row)
        })
        .await?;
    ctx.app.wake.ring(&done.get().device_id);
    Ok(done)
}

fn withdraw(c: &mut Change<'_, '_>, row: &mut Row) -> Result<(), StoreFault> {
    row.state = SecretState::Withdrawn;
    row.sealed = Vec::new();
    recall(c, &row.id)?;
    c.update(row)
}

/// A device belongs no more: its secrets are scrubbed.
pub(crate) fn scrub(c: &mut Change<'_, '_>, device: &DeviceId) -> Result<(), StoreFault> {
    let mut all: Vec<Row> = c.find("device", device)?;
    for row in all
        .iter_mut()
        .filter(|row| matches!(row.state, SecretState::Active))
    {
        withdraw(c, row)?;
    }
    Ok(())
}

/// Every one with this id, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(rows: &impl Rows, id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    let Ok(id) = SecretId::parse(id_or_name) else {
        return Ok(Vec::new());
    };
    let row: Option<Row> = rows.get(&id)?;
    Ok(row
        .map(|row| Found::new(On::Secret, row.id.as_str(), Some(row.tenant)))
        .into_iter()
        .collect())
}
