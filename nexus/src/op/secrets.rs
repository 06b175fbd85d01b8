//! Secrets and their leases. At rest a secret is sealed under the master key; it leaves sealed to the HPKE key of the device's
//! last good result, judged again at each pick-up.

use assay_api::id::{DeviceId, LeaseId, ResultId, SecretId};
use assay_api::routes::On;
use assay_api::seal;
use assay_api::types::*;
use assay_attest::time::Timestamp;
use rand_core::{TryCryptoRng, TryRng};
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use zeroize::Zeroizing;

use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::target::{Found, Target};
use super::{dpus, words};
use crate::delivery;
use crate::keys::{SealedAs, Signer as _};
use crate::problem::{Fault, Problem};
use crate::release::{self, Class, Clearance, Fresh, Permit, Tier};
use crate::store::devices::Lifecycle;
use crate::store::secrets::{Secret as Row, SecretState};
use crate::store::signing_key;
use crate::store::{AsSql, Change, Rows, StoreFault, Tx, Writes};

/// The one kind of sealed credential there is.
const KIND: &str = "secret";
/// Active secrets of one device.
const SECRETS: usize = 32;
/// Requests whose leases run, for one device: more are a fault of the agent.
const REQUESTS: i64 = 8;

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

fn place(row: &Row) -> SealedAs<'_> {
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

pub(crate) async fn pull_leases(ctx: Ctx, ask: LeasesAsk) -> Result<Changed<Leases>, Problem> {
    let asked = ask.idempotency_key;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(16..=64).contains(&asked.len()) || !asked.bytes().all(plain) {
        let why = "write 16 to 64 characters of a-z and 0-9".into();
        return Err(Fault::Value {
            what: "`idempotency_key`",
            why,
        }
        .into());
    }
    let device = ctx.caller.device()?.id.clone();
    let caller = device.clone();
    let done = ctx
        .settle(Target::Route, move |tx, act| {
            match Permit::judge(tx, act, Class::Sealed, std::slice::from_ref(&device)) {
                Ok(permit) => pull(tx, act, &device, &asked, &permit).map(Settled::Done),
                Err(problem) => release::refuse(tx, act, problem),
            }
        })
        .await;
    // Whoever waits for this device sees that this is done, so that the same once more is news.
    ctx.app.wake.ring(&caller);
    done
}

fn pull(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
    asked: &str,
    permit: &Permit,
) -> Result<Leases, Problem> {
    let [Clearance::Fresh(fresh)] = permit.clearances() else {
        return Err(Problem::from(Fault::Internal).step("lease.not_fresh"));
    };
    forget(tx, act.now)?;
    let secrets: Vec<Row> = tx.find("device", device)?;
    let mut items = Vec::new();
    let mut made = Vec::new();
    for secret in secrets
        .iter()
        .filter(|s| matches!(s.state, SecretState::Active))
    {
        let lease = match held(tx, act.now, device, asked, secret)? {
            Some(Held { state, .. }) if state != "waiting" => continue,
            Some(held) if held.result == fresh.result().as_str() => held,
            Some(held) => seal_again(tx, act, device, secret, fresh, held)?,
            None => {
                if made.is_empty() {
                    bounded(tx, act.now, device, asked)?;
                }
                let lease = issue(tx, act, device, asked, secret, fresh, permit)?;
                made.push(format!("{}/{}", lease.id, secret.id));
                lease
            }
        };
        items.push(told(lease, secret, fresh.result(), act.now)?);
    }
    if !items.is_empty() {
        let mut entry = act
            .entry()
            .detail("leases", items.len().to_string())
            .detail("made", made.join(" "));
        permit.describe(&mut entry);
        tx.audit(entry)?;
    }
    let soonest = items
        .iter()
        .map(|l| l.expires_in_ms)
        .min()
        .unwrap_or(Tier::Silver.millis());
    Ok(Leases {
        items,
        renew_in: u32::try_from(soonest / 2000).unwrap_or(u32::MAX),
    })
}

/// A lease as it is kept.
struct Held {
    id: String,
    result: String,
    expires: Timestamp,
    sealed: Vec<u8>,
    state: String,
}

/// What this request was given for this version of the secret, while it runs.
fn held(
    rows: &impl Rows,
    now: Timestamp,
    device: &DeviceId,
    asked: &str,
    secret: &Row,
) -> Result<Option<Held>, StoreFault> {
    let sql = "SELECT id, result, expires, sealed, state FROM lease \
               WHERE device = ?1 AND asked = ?2 AND secret = ?3 AND version = ?4 AND expires > ?5";
    let found = rows
        .sql()
        .prepare_cached(sql)?
        .query_row(
            params![
                AsSql(device),
                asked,
                AsSql(&secret.id),
                secret.version,
                AsSql(&now)
            ],
            |r| {
                let expires = u64::try_from(r.get::<_, i64>(2)?).unwrap_or(0);
                Ok(Held {
                    id: r.get(0)?,
                    result: r.get(1)?,
                    expires: Timestamp::from_millis(expires),
                    sealed: r.get(3)?,
                    state: r.get(4)?,
                })
            },
        )
        .optional()?;
    Ok(found)
}

fn bounded(
    rows: &impl Rows,
    now: Timestamp,
    device: &DeviceId,
    asked: &str,
) -> Result<(), Problem> {
    let sql = "SELECT count(DISTINCT asked) FROM lease \
               WHERE device = ?1 AND state = 'waiting' AND expires > ?2 AND asked <> ?3";
    let open: i64 = rows
        .sql()
        .prepare_cached(sql)
        .map_err(StoreFault::from)?
        .query_row(params![AsSql(device), AsSql(&now), asked], |r| r.get(0))
        .map_err(StoreFault::from)?;
    if open < REQUESTS {
        Ok(())
    } else {
        Err(Fault::Rate.into())
    }
}

fn issue(
    tx: &Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
    asked: &str,
    secret: &Row,
    fresh: &Fresh,
    permit: &Permit,
) -> Result<Held, Problem> {
    let terms = permit.lease(&act.ctx.app, Tier::Silver, None)?;
    let sealed = seal_to(tx, act, device, secret, fresh, terms.id())?;
    let lease = Held {
        id: terms.id().to_string(),
        result: fresh.result().to_string(),
        expires: terms.end(),
        sealed,
        state: "waiting".into(),
    };
    let sql = "INSERT INTO lease (id, device, asked, secret, name, version, result, released, expires, sealed, state) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        lease.id,
        AsSql(device),
        asked,
        AsSql(&secret.id),
        secret.name,
        secret.version,
        lease.result,
        AsSql(&act.now),
        AsSql(&lease.expires),
        lease.sealed,
        lease.state
    ];
    tx.sql()
        .prepare_cached(sql)
        .map_err(StoreFault::from)?
        .execute(values)
        .map_err(StoreFault::from)?;
    Ok(lease)
}

/// The same lease, with the same end, for a newer result: the agent has forgotten the key of the one before.
fn seal_again(
    tx: &Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
    secret: &Row,
    fresh: &Fresh,
    held: Held,
) -> Result<Held, Problem> {
    let id =
        LeaseId::parse(&held.id).map_err(|_| Problem::from(Fault::Internal).step("lease.id"))?;
    let sealed = seal_to(tx, act, device, secret, fresh, &id)?;
    let expires = held.expires.min(fresh.until());
    let sql = "UPDATE lease SET result = ?2, sealed = ?3, expires = ?4 WHERE id = ?1";
    let values = params![held.id, fresh.result().as_str(), sealed, AsSql(&expires)];
    tx.sql()
        .prepare_cached(sql)
        .map_err(StoreFault::from)?
        .execute(values)
        .map_err(StoreFault::from)?;
    Ok(Held {
        result: fresh.result().to_string(),
        sealed,
        expires,
        ..held
    })
}

fn seal_to(
    tx: &Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
    secret: &Row,
    fresh: &Fresh,
    lease: &LeaseId,
) -> Result<Vec<u8>, Problem> {
    let value = tx
        .keys()
        .at_rest()
        .open(&place(secret), &secret.sealed)
        .map_err(StoreFault::from)?;
    let key = signing_key::active(tx, "", delivery::PURPOSE)?;
    let key = key.ok_or_else(|| Problem::from(Fault::Internal).step("delivery.no_key"))?;
    let signer = key.signer(tx.keys().at_rest()).map_err(StoreFault::from)?;
    let context = seal::Context {
        device,
        result: fresh.result(),
        lease,
        kind: KIND,
    };
    let mut chance = Chance::new(Zeroizing::new(act.ctx.app.random.bytes()?));
    let sealed = seal::seal(
        &value,
        fresh.hpke(),
        &context,
        |m| signer.sign(m),
        &mut chance,
    );
    sealed.map_err(|fault| Problem::from(Fault::Internal).step(fault.code()))
}

fn told(held: Held, secret: &Row, result: &ResultId, now: Timestamp) -> Result<Lease, Problem> {
    Ok(Lease {
        id: LeaseId::parse(&held.id)
            .map_err(|_| Problem::from(Fault::Internal).step("lease.id"))?,
        kind: KIND.into(),
        name: secret.name.clone(),
        version: secret.version,
        result_id: result.clone(),
        sealed: B64(held.sealed),
        expires_at: Time(held.expires),
        expires_in_ms: held.expires.millis_since(now).unwrap_or(0),
    })
}

/// Leases that have run out hold nothing any more; their rows go a day later.
fn forget(w: &impl Writes, now: Timestamp) -> Result<(), Problem> {
    let run = |sql: &str, before: Timestamp| -> Result<(), StoreFault> {
        w.sql()
            .prepare_cached(sql)?
            .execute(params![AsSql(&before)])?;
        Ok(())
    };
    run(
        "UPDATE lease SET sealed = x'' WHERE expires <= ?1 AND sealed <> x''",
        now,
    )?;
    run(
        "DELETE FROM lease WHERE expires <= ?1",
        now.minus_millis(86_400_000),
    )?;
    Ok(())
}

pub(crate) async fn acknowledge_lease(ctx: Ctx, _: Empty) -> Result<Changed<Empty>, Problem> {
    let id = ctx.path_id.clone().unwrap_or_default();
    ctx.change(Target::Route, move |tx, act| {
        let device = &act.caller.device()?.id;
        let sql = "UPDATE lease SET sealed = x'', state = CASE state WHEN 'waiting' THEN 'acknowledged' \
                   WHEN 'wipe' THEN 'wiped' ELSE state END WHERE id = ?1 AND device = ?2";
        let changed = tx
            .sql()
            .prepare_cached(sql)
            .map_err(StoreFault::from)?
            .execute(params![id, AsSql(device)])
            .map_err(StoreFault::from)?;
        if changed == 0 {
            return Err(Fault::NotFound { what: "lease" }.into());
        }
        tx.audit(act.entry().detail("lease", id.as_str()))?;
        Ok(Empty {})
    })
    .await
}

/// Whether a secret waits: none of its leases runs.
pub(crate) fn wait(
    rows: &impl Rows,
    device: &DeviceId,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let secrets: Vec<Row> = rows.find("device", device)?;
    let sql = "SELECT 1 FROM lease WHERE secret = ?1 AND version = ?2 AND expires > ?3 \
               AND state IN ('waiting', 'acknowledged') LIMIT 1";
    for secret in secrets
        .iter()
        .filter(|s| matches!(s.state, SecretState::Active))
    {
        let runs: Option<i64> = rows
            .sql()
            .prepare_cached(sql)?
            .query_row(
                params![AsSql(&secret.id), secret.version, AsSql(&now)],
                |r| r.get(0),
            )
            .optional()?;
        if runs.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Leases that the agent must wipe before their end.
pub(crate) fn to_wipe(
    rows: &impl Rows,
    device: &DeviceId,
    now: Timestamp,
) -> Result<Vec<LeaseId>, StoreFault> {
    let sql = "SELECT id FROM lease WHERE device = ?1 AND state = 'wipe' AND expires > ?2 ORDER BY id LIMIT 500";
    let mut statement = rows.sql().prepare_cached(sql)?;
    let ids = statement.query_map(params![AsSql(device), AsSql(&now)], |r| {
        r.get::<_, String>(0)
    })?;
    let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
    Ok(ids
        .iter()
        .filter_map(|id| LeaseId::parse(id).ok())
        .collect())
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

/// Bytes that nobody can guess for one sealing: SHA-256 over a fresh 32-byte seed and a counter.
struct Chance {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Chance {
    const fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self { seed, counter: 0 }
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            self.counter = self.counter.wrapping_add(1);
            let mut hash = Sha256::new();
            hash.update(self.seed.as_slice());
            hash.update(self.counter.to_be_bytes());
            let block: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
            for (to, from) in chunk.iter_mut().zip(block.iter()) {
                *to = *from;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Chance {}
