//! Leases: how secrets leave. Each is judged at each pick-up and sealed to the HPKE key of the device's last good result; the
//! same request gets the same lease until it is acknowledged or has run out.

use assay_api::id::{DeviceId, LeaseId};
use assay_api::seal;
use assay_api::types::*;
use assay_attest::time::Timestamp;
use rand_core::{TryCryptoRng, TryRng};
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use zeroize::Zeroizing;

use super::ctx::{Act, Changed, Ctx, Settled};
use super::secrets::place;
use super::target::Target;
use crate::delivery;
use crate::keys::Signer as _;
use crate::problem::{Fault, Problem};
use crate::release::{self, Class, Clearance, Fresh, Permit, Tier};
use crate::store::secrets::{Secret as Row, SecretState};
use crate::store::signing_key;
use crate::store::{AsSql, Rows, StoreFault, Tx, Writes};

/// The one kind of sealed credential there is.
const KIND: &str = "secret";
/// Requests whose leases run, for one device: more are a fault of the agent.
const REQUESTS: i64 = 8;

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
        items.push(told(lease, secret, fresh, act.now)?);
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

fn told(held: Held, secret: &Row, fresh: &Fresh, now: Timestamp) -> Result<Lease, Problem> {
    // A lease decides no trust, so its row has no MAC: whatever it says, it gives no more than a new one would.
    let most = now.plus_millis(Tier::Silver.millis()).min(fresh.until());
    let expires = held.expires.min(most);
    Ok(Lease {
        id: LeaseId::parse(&held.id)
            .map_err(|_| Problem::from(Fault::Internal).step("lease.id"))?,
        kind: KIND.into(),
        name: secret.name.clone(),
        version: secret.version,
        result_id: fresh.result().clone(),
        sealed: B64(held.sealed),
        expires_at: Time(expires),
        expires_in_ms: expires.millis_since(now).unwrap_or(0),
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
