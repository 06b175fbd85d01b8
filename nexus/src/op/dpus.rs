//! DPUs: what people see of them and do to them, and what wakes them.

use assay_api::id::{DemandId, DeviceId, HostId, KeyId, LeaseId};
use assay_api::jose::Jwk;
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::standing::{Event, NotFresh, State};
use assay_attest::time::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

use super::caller::{Device, refused, tenant_is_active};
use super::ctx::{Changed, Ctx, Shown};
use super::evidence::{distrust, quarantine};
use super::target::{Found, Target};
use super::{leases, secrets, words};
use crate::fall::{self, Cause};
use crate::manifest;
use crate::problem::{Fault, Problem};
use crate::release::{self, nonce_owner};
use crate::store::devices::{
    Demand as DemandRow, Device as Row, DeviceKey, Effects, Lifecycle, Words,
};
use crate::store::people::KeyState;
use crate::store::{AsSql, Rows, StoreFault, nonce};

/// How long a wake may be waited for, in seconds.
const WAIT_SECONDS: u32 = 60;

pub(crate) async fn list_dpus(ctx: Ctx, ask: InTenant) -> Result<Shown<Dpus>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let filter = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<Row> = rows.page(filter, ask.after.as_deref(), limit)?;
        let full = page.len() == usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = page.last().filter(|_| full).map(|row| row.id.to_string());
        let items = page
            .into_iter()
            .map(|row| shown(rows, row, act.now))
            .collect::<Result<_, _>>()?;
        Ok(Dpus { items, next })
    })
    .await
}

pub(crate) async fn show_dpu(ctx: Ctx, _: Empty) -> Result<Shown<Dpu>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        shown(rows, named(rows, &act.target)?, act.now)
    })
    .await
}

pub(crate) async fn agent_self(ctx: Ctx, _: Empty) -> Result<Shown<Dpu>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        shown(rows, named(rows, &act.target)?, act.now)
    })
    .await
}

pub(crate) async fn confirm_dpu(ctx: Ctx, ask: Reason) -> Result<Changed<Dpu>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .change(Target::Route, move |tx, act| {
            let mut row = named(tx, &act.target)?;
            match row.lifecycle {
                Lifecycle::Pending => row.lifecycle = Lifecycle::Active,
                Lifecycle::Active => return Err(conflict("it is confirmed already")),
                Lifecycle::Decommissioned => {
                    return Err(Fault::Decommissioned { device: row.id }.into());
                }
            }
            tx.change(act.entry().reason(reason), |c| c.update(&row))?;
            shown(tx, row, act.now)
        })
        .await?;
    ctx.app.wake.ring(&done.get().id);
    Ok(done)
}

pub(crate) async fn demand_proof(ctx: Ctx, ask: Reason) -> Result<Changed<Demand>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .change(Target::Route, move |tx, act| {
            let row = named(tx, &act.target)?;
            if matches!(row.lifecycle, Lifecycle::Decommissioned) {
                return Err(Fault::Decommissioned { device: row.id }.into());
            }
            let fresh = release::standing(tx, &row, act.now)?.is_ok();
            // Left unanswered, a demand ends freshness: on a fresh device that is an admin's to risk.
            let operator = |p: &super::caller::Person| p.role == PersonRole::Operator;
            if fresh && act.caller.person().is_ok_and(operator) {
                let step = "demand.fresh";
                return Err(Problem::from(Fault::Forbidden).step(step));
            }
            let made = release::demand(tx, &act.ctx.app, act.entry().reason(reason), row)?;
            Ok(demand(made, act.now))
        })
        .await?;
    ctx.app.wake.ring(&done.get().device_id);
    Ok(done)
}

pub(crate) async fn show_demand(ctx: Ctx, _: Empty) -> Result<Shown<Demand>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        let row = named(rows, &act.target)?;
        let made: Option<DemandRow> = rows.get(&row.id)?;
        made.map(|d| demand(d, act.now))
            .ok_or_else(|| Fault::NotFound { what: "demand" }.into())
    })
    .await
}

fn demand(row: DemandRow, now: Timestamp) -> Demand {
    Demand {
        state: row.state(now).into(),
        id: row.id,
        device_id: row.device,
        made_at: Time(row.made),
        deadline: Time(row.deadline),
    }
}

pub(crate) async fn decommission_dpu(ctx: Ctx, ask: Reason) -> Result<Changed<Dpu>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let mut row = named(tx, &act.target)?;
            if matches!(row.lifecycle, Lifecycle::Decommissioned) {
                return Err(conflict("it is decommissioned already"));
            }
            nonce::void(tx, &nonce_owner(&row.id))?;
            tx.change(act.entry().reason(reason.clone()), |c| {
                row.lifecycle = Lifecycle::Decommissioned;
                distrust(&mut row, act.now);
                fall::trust_died(c, &act.ctx.app, &mut row, Cause::Person)?;
                secrets::scrub(c, &row.id)?;
                c.update(&row)?;
                Ok::<_, Problem>(())
            })?;
            shown(tx, row, act.now)
        })
        .await?;
    ctx.app.wake.ring(&done.get().id);
    Ok(done)
}

pub(crate) async fn quarantine_dpu(ctx: Ctx, ask: Reason) -> Result<Changed<Dpu>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let mut row = named(tx, &act.target)?;
            if matches!(row.lifecycle, Lifecycle::Decommissioned) {
                return Err(Fault::Decommissioned { device: row.id }.into());
            }
            if matches!(row.effects, Effects::Waiting) && !act.caller.is_super() {
                // Too many devices fell at once: what follows waits for a super:admin.
                return Err(Problem::from(Fault::Forbidden).step("quarantine.paced"));
            }
            nonce::void(tx, &nonce_owner(&row.id))?;
            tx.change(act.entry().reason(reason.clone()), |c| {
                quarantine(
                    c,
                    &act.ctx.app,
                    &mut row,
                    "quarantine.by_hand",
                    Cause::Person,
                )?;
                c.update(&row)?;
                Ok::<_, Problem>(())
            })?;
            shown(tx, row, act.now)
        })
        .await?;
    ctx.app.wake.ring(&done.get().id);
    Ok(done)
}

pub(crate) async fn release_dpu(ctx: Ctx, ask: Reason) -> Result<Changed<Dpu>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let done = ctx
        .change(Target::Route, move |tx, act| {
            let mut row = named(tx, &act.target)?;
            if matches!(row.lifecycle, Lifecycle::Decommissioned) {
                return Err(Fault::Decommissioned { device: row.id }.into());
            }
            row.attestation = row
                .attestation
                .on(Event::Release)
                .ok_or_else(|| conflict("it is not quarantined"))?;
            row.reasons = Words::of(["quarantine.released"]);
            distrust(&mut row, act.now);
            // Whoever releases after a rollback has looked at the TPM: its clock is taken as it is found next.
            (row.tpm_reset, row.tpm_restart, row.tpm_clock) = (None, None, None);
            nonce::void(tx, &nonce_owner(&row.id))?;
            tx.change(act.entry().reason(reason), |c| c.update(&row))?;
            shown(tx, row, act.now)
        })
        .await?;
    ctx.app.wake.ring(&done.get().id);
    Ok(done)
}

fn conflict(why: &str) -> Problem {
    Fault::Conflict { why: why.into() }.into()
}

/// Answers at once where there is something to do that the cursor has not seen, else when that comes up, at the latest after
/// `wait` seconds. Caller and device are read again before each answer (I5).
pub(crate) async fn wake(ctx: Ctx, ask: WakeAsk) -> Result<Shown<Wake>, Problem> {
    let seconds = ask.wait.unwrap_or(0);
    if seconds > WAIT_SECONDS {
        return Err(Fault::Value {
            what: "`wait`",
            why: "write 0 to 60 seconds".into(),
        }
        .into());
    }
    let device = ctx.caller.device()?.id.clone();
    let grace = ctx.app.config.outage_grace;
    let mut bell = ctx.app.wake.listen(&device);
    let end = tokio::time::Instant::now() + Duration::from_secs(u64::from(seconds));
    let mut known = ask.cursor;
    loop {
        let found = ctx
            .read(Target::Route, |rows, act| {
                to_do(rows, named(rows, &act.target)?, act.now, grace)
            })
            .await?;
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let idle = is_idle(found.get());
        let news = known != Some(found.get().cursor) && !idle;
        if news || left.is_zero() {
            return Ok(found);
        }
        if idle {
            // What the agent knew of is done: the same once more is news.
            known = None;
        }
        // Now and then without a ring: what becomes due by itself rings no bell, nor does another device's fall (I13: 15 s).
        bell.rung(left.min(Duration::from_secs(10))).await;
    }
}

fn is_idle(wake: &Wake) -> bool {
    wake.attest_now.is_none()
        && wake.manifests.is_empty()
        && wake.wipe_leases.is_empty()
        && !wake.leases
        && !wake.wipe
}

fn to_do(rows: &impl Rows, row: Row, now: Timestamp, grace: u64) -> Result<Wake, Problem> {
    let active = !matches!(row.lifecycle, Lifecycle::Decommissioned);
    let open: Option<DemandRow> = rows.get(&row.id)?;
    let attest_now: Option<DemandId> = open.filter(|d| active && d.is_open(now)).map(|d| d.id);
    let fresh =
        matches!(row.lifecycle, Lifecycle::Active) && release::standing(rows, &row, now)?.is_ok();
    let wipe = !active
        || (matches!(row.attestation, State::Failed | State::Quarantined)
            && matches!(row.effects, Effects::Done));
    let waiting = manifest::waiting(rows, &row, now, grace)?;
    let manifests = waiting.iter().map(|(host, _)| host.clone()).collect();
    let wipe_leases = leases::to_wipe(rows, &row.id, now)?;
    let leases = fresh && leases::wait(rows, &row.id, now)?;
    let mut wake = Wake {
        cursor: 0,
        attest_now,
        manifests,
        leases,
        wipe,
        wipe_leases,
    };
    wake.cursor = cursor(&wake, &waiting);
    Ok(wake)
}

/// The same for the same things to do; 53 bits, which every JSON reader keeps.
fn cursor(wake: &Wake, waiting: &[(HostId, [u8; 32])]) -> u64 {
    let text = |ids: Vec<&str>| ids.join(",");
    let parts = [
        wake.attest_now
            .as_ref()
            .map_or("", DemandId::as_str)
            .to_owned(),
        format!("{waiting:?}"),
        text(wake.wipe_leases.iter().map(LeaseId::as_str).collect()),
        format!("{}{}", wake.leases, wake.wipe),
    ];
    let hash: [u8; 32] = Sha256::digest(parts.join(";").as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11
}

/// The row of what was found.
pub(crate) fn named(rows: &impl Rows, found: &Found) -> Result<Row, Problem> {
    let id = DeviceId::parse(&found.id).map_err(|_| Fault::NotFound { what: "dpu" })?;
    rows.get(&id)?
        .ok_or_else(|| Fault::NotFound { what: "dpu" }.into())
}

/// As people see a device.
pub(crate) fn shown(rows: &impl Rows, row: Row, now: Timestamp) -> Result<Dpu, Problem> {
    let standing = release::standing(rows, &row, now)?;
    let heard: Option<(Option<i64>, u32, Option<String>)> = rows
        .sql()
        .prepare_cached("SELECT seen, rejected, last_rejection FROM device_heard WHERE device = ?1")
        .map_err(StoreFault::from)?
        .query_row(params![AsSql(&row.id)], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?))
        })
        .optional()
        .map_err(StoreFault::from)?;
    let (seen, rejected, last_rejection) = heard.unwrap_or_default();
    let seen = seen
        .and_then(|ms| u64::try_from(ms).ok())
        .map(|ms| Time(Timestamp::from_millis(ms)));
    let never = Timestamp::from_millis(0);
    let good = row.attestation == State::Verified && row.fresh_until > never;
    Ok(Dpu {
        attestation: match standing {
            Err(NotFresh::Stale) => "stale".into(),
            Ok(_) | Err(_) => row.attestation.as_str().into(),
        },
        exposed: exposed(rows, &row.id)?,
        hosts: manifest::hosts_behind(rows, &row.id)?
            .into_iter()
            .map(|h| h.id)
            .collect(),
        id: row.id,
        name: row.name,
        tenant_id: row.tenant,
        serial: row.serial,
        lifecycle: row.lifecycle.as_str().into(),
        reasons: row.reasons.to_vec(),
        fresh_until: good.then_some(Time(row.fresh_until)),
        proved_at: row.proved_at.map(Time),
        seen_at: seen,
        rejected,
        last_rejection,
        root: row.root.as_str().into(),
        key: row.key_level.as_str().into(),
        runtime: row.runtime.as_str().into(),
        dice: row.dice.map(|d| B64(d.to_vec())),
        ek_name: row.ek_name.map(B64),
        result_id: row.result,
        reference_id: row.reference,
    })
}

fn exposed(rows: &impl Rows, device: &DeviceId) -> Result<Vec<String>, StoreFault> {
    let mut statement = rows.sql().prepare_cached(
        "SELECT what FROM exposed WHERE device = ?1 ORDER BY at DESC, what LIMIT 500",
    )?;
    let rows = statement.query_map(params![AsSql(device)], |r| r.get(0))?;
    rows.collect::<Result<_, _>>().map_err(StoreFault::from)
}

/// A DPU's name: 1 to 63 characters of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit, and not of the
/// form of an id.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    for part in text.split('.') {
        words::name("the name of a dpu", part)?;
    }
    if text.len() > 63 {
        return Err(Fault::Value {
            what: "the name of a dpu",
            why: "it has over 63 characters".into(),
        }
        .into());
    }
    Ok(text.to_owned())
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
/// What stands there of attestation is the stored state: whether it is stale is the gate's to say, at its own time.
pub(crate) fn candidates(rows: &impl Rows, id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    let all: Vec<Row> = match DeviceId::parse(id_or_name) {
        Ok(id) => rows.get(&id)?.into_iter().collect(),
        Err(_) => rows.find("name", id_or_name)?,
    };
    let found = |row: Row| Found {
        attestation: Some(row.attestation.as_str()),
        ..Found::new(On::Device, row.id.as_str(), Some(row.tenant))
    };
    Ok(all.into_iter().map(found).collect())
}

/// The device that this key belongs to, with the key, where device, key and tenant may ask for anything: `None` for
/// unknown keys, and `auth.failed` with the exact step for those that are known and not active.
///
/// A pending device may prove itself, a decommissioned one may hear that it must wipe; both are refused everything else by
/// the operations and by the gate.
pub(crate) fn device_of_key(
    rows: &impl Rows,
    key: &KeyId,
) -> Result<Option<(Jwk, Device)>, Problem> {
    let Some(row) = rows.get::<DeviceKey>(key)? else {
        return Ok(None);
    };
    match row.state {
        KeyState::Active => {}
        KeyState::Revoked => return Err(refused("key.revoked")),
    }
    let device: Row = rows
        .get(&row.device)?
        .ok_or_else(|| refused("device.unknown"))?;
    tenant_is_active(rows, &device.tenant)?;
    let jwk = row.algorithm.jwk(&row.public);
    let jwk = jwk.ok_or_else(|| Problem::from(Fault::Internal).step("key.unreadable"))?;
    Ok(Some((
        jwk,
        Device {
            id: device.id,
            key: row.id,
            tenant: device.tenant,
        },
    )))
}
