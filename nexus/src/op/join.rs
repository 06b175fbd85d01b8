//! Joining, in two calls: the first admin by a bootstrap token, everybody else by an invite.
//!
//! The new key signs purpose, server, challenge and key ([`challenge_bytes`]); the token is spent in the transaction that creates the
//! person, so exactly one of several attempts wins and a failed one burns nothing. Whatever is wrong about token,
//! challenge or signature is one `auth.failed`, after one signature check.

use assay_api::id::{ChallengeId, KeyId, OperatorId};
use assay_api::join::challenge_bytes;
use assay_api::types::{B64, JoinBegin, JoinChallenge, JoinComplete, Joined, PersonRole, Time};
use assay_attest::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::caller::{NewKey, refused, tenant_is_active};
use super::ctx::{Changed, Ctx};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::people::{
    Door, DoorState, InviteRow, KeyState, OperatorKey, OperatorRow, OperatorState, RequestAlgorithm,
};
use crate::store::token::{self, Token, TokenFault, TokenKind};
use crate::store::{AsSql, Change, Rows, StoreFault, Tx, Writes};

/// How long a challenge stands, in milliseconds.
const LIFETIME: u64 = 300_000;

/// How many challenges one token may have at a time.
const PER_TOKEN: i64 = 8;

/// The one door's name.
pub(crate) const DOOR: &str = "bootstrap";

/// What a bootstrap token is for: the first admin, through the door.
pub(crate) const FIRST: &str = "first";

/// What a bootstrap token is for: another admin, since the last key was lost (`assay-nexus recover`).
pub(crate) const RECOVER: &str = "recover";

pub(crate) async fn begin_join(
    ctx: Ctx,
    ask: JoinBegin,
) -> Result<Changed<JoinChallenge>, Problem> {
    let secret = secret(&ask.secret.0)?;
    ctx.app
        .store
        .read_now(|rows| look(rows, &secret, ctx.now))?;
    let id = ChallengeId::from_random(&ctx.app.random.bytes()?);
    let value: [u8; 32] = ctx.app.random.bytes()?;
    ctx.change(Target::Route, move |tx, act| {
        let token = look(tx, &secret, act.now)?;
        let key = act.caller.new_key()?;
        let expires = act.now.plus_millis(LIFETIME);
        keep(tx, &id, &token, key, &value, expires)?;
        tx.audit(
            act.entry()
                .target(id.as_str())
                .detail("purpose", token.kind.as_str()),
        )?;
        Ok(JoinChallenge {
            challenge_id: id,
            challenge: B64(value.into()),
            purpose: token.kind.as_str().into(),
            expires_at: Time(expires),
        })
    })
    .await
}

pub(crate) async fn complete_join(ctx: Ctx, ask: JoinComplete) -> Result<Changed<Joined>, Problem> {
    let label = words::words("`label`", ask.label.as_deref().unwrap_or("key"), 64)?;
    let name = ask
        .name
        .as_deref()
        .map(|n| words::words("`name`", n, 128))
        .transpose()?;
    let secret = secret(&ask.secret.0)?;
    let key = ctx.caller.new_key()?.clone();
    let (known, challenge) = ctx.app.store.read_now(|rows| {
        Ok::<_, Problem>((
            look(rows, &secret, ctx.now),
            challenge(rows, &ask.challenge_id)?,
        ))
    })?;
    let purpose = known.as_ref().map_or("invite", |token| token.kind.as_str());
    let value = challenge.as_ref().map_or([0; 32], |c| c.value);
    let message = challenge_bytes(
        purpose,
        &ctx.app.tls.nexus_id(),
        &value,
        key.thumbprint.as_bytes(),
    );
    let signed = <[u8; 64]>::try_from(ask.signature.0.as_slice())
        .is_ok_and(|signature| key.jwk.check(&ctx.app.checks, &message, &signature).is_ok());
    known?;
    if !signed {
        return Err(refused("join.signature"));
    }
    let random = (ctx.app.random.bytes::<16>()?, ctx.app.random.bytes::<16>()?);
    let bootstrap_file = ctx.app.config.bootstrap_file();
    let joined = ctx
        .change(Target::Route, move |tx, act| {
            let challenge = take(tx, &ask.challenge_id, act.now)?;
            let token = look(tx, &secret, act.now)?;
            if challenge.token != token.id
                || challenge.thumbprint != *key.thumbprint.as_bytes()
                || challenge.value != value
            {
                return Err(refused("join.challenge"));
            }
            let person = person(
                tx,
                &token,
                name,
                OperatorId::from_random(&random.0),
                act.now,
            )?;
            let row = key_row(
                &key,
                &person.id,
                KeyId::from_random(&random.1),
                label,
                act.now,
            )?;
            let mut entry = act.entry().target(person.id.as_str());
            entry.tenant = person.tenant.as_ref().map(ToString::to_string);
            let entry = entry
                .detail("name", person.name.clone())
                .detail("role", person.role.as_str())
                .detail("key", row.id.as_str())
                .detail("thumbprint", key.thumbprint.to_string())
                .detail("by", format!("{}/{}", token.kind.as_str(), token.subject));
            tx.change(entry, |c| {
                token::spend(c, token.kind, &secret).map_err(wrong)?;
                c.insert(&person)?;
                c.insert(&row)?;
                if token.kind == TokenKind::Bootstrap {
                    shut(c)?;
                }
                Ok::<_, Problem>(())
            })?;
            let OperatorRow {
                id,
                role,
                tenant,
                name,
                ..
            } = person;
            Ok(Joined {
                operator_id: id,
                key_id: row.id,
                role,
                tenant_id: tenant,
                name,
            })
        })
        .await?;
    if joined.get().role == PersonRole::SuperAdmin {
        // Spent, so worth nothing; it is only tidy.
        let _ = std::fs::remove_file(bootstrap_file);
    }
    Ok(joined)
}

fn secret(bytes: &[u8]) -> Result<zeroize::Zeroizing<[u8; 32]>, Problem> {
    <[u8; 32]>::try_from(bytes)
        .map(zeroize::Zeroizing::new)
        .map_err(|_| refused("token.unknown"))
}

fn wrong(fault: TokenFault) -> Problem {
    match fault {
        TokenFault::Store(fault) => fault.into(),
        other => Problem::from(Fault::Auth).step(other.code()),
    }
}

/// The open token of either kind with this secret.
fn look(rows: &impl Rows, secret: &[u8; 32], now: Timestamp) -> Result<Token, Problem> {
    match token::look(rows, TokenKind::Invite, secret, now) {
        Err(TokenFault::Unknown) => token::look(rows, TokenKind::Bootstrap, secret, now),
        other => other,
    }
    .map_err(wrong)
}

struct Challenge {
    token: [u8; 16],
    thumbprint: [u8; 32],
    value: [u8; 32],
    expires: i64,
}

fn challenge(rows: &impl Rows, id: &ChallengeId) -> Result<Option<Challenge>, StoreFault> {
    let sql = "SELECT token, thumbprint, value, expires FROM join_challenge WHERE id = ?1";
    Ok(rows
        .sql()
        .prepare_cached(sql)?
        .query_row(params![id.as_str()], |row| {
            Ok(Challenge {
                token: row.get(0)?,
                thumbprint: row.get(1)?,
                value: row.get(2)?,
                expires: row.get(3)?,
            })
        })
        .optional()?)
}

/// Takes a challenge out of the store: it is answered once.
fn take(tx: &Tx<'_>, id: &ChallengeId, now: Timestamp) -> Result<Challenge, Problem> {
    let found = challenge(tx, id)?.ok_or_else(|| refused("join.challenge"))?;
    let sql = "DELETE FROM join_challenge WHERE id = ?1";
    tx.sql()
        .prepare_cached(sql)
        .and_then(|mut s| s.execute(params![id.as_str()]))
        .map_err(StoreFault::from)?;
    if u64::try_from(found.expires).is_ok_and(|end| now < Timestamp::from_millis(end)) {
        Ok(found)
    } else {
        Err(refused("join.expired"))
    }
}

/// Keeps the one challenge of this token and key, and forgets those of the past.
fn keep(
    tx: &Tx<'_>,
    id: &ChallengeId,
    token: &Token,
    key: &NewKey,
    value: &[u8; 32],
    expires: Timestamp,
) -> Result<(), Problem> {
    let run = || -> Result<bool, StoreFault> {
        let sql = tx.sql();
        sql.prepare_cached("DELETE FROM join_challenge WHERE expires <= ?1")?
            .execute(params![AsSql(&tx.now())])?;
        let thumbprint = key.thumbprint.as_bytes();
        let others = "SELECT count(*) FROM join_challenge WHERE token = ?1 AND thumbprint <> ?2";
        let others: i64 = sql
            .prepare_cached(others)?
            .query_row(params![token.id, thumbprint], |row| row.get(0))?;
        if others >= PER_TOKEN {
            return Ok(false);
        }
        let insert = "INSERT OR REPLACE INTO join_challenge (id, kind, token, thumbprint, value, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        sql.prepare_cached(insert)?.execute(params![
            id.as_str(),
            token.kind.as_str(),
            token.id,
            thumbprint,
            value,
            AsSql(&expires)
        ])?;
        Ok(true)
    };
    if run()? {
        Ok(())
    } else {
        Err(Fault::Rate.into())
    }
}

/// Who joins by this token.
fn person(
    tx: &Tx<'_>,
    token: &Token,
    name: Option<String>,
    id: OperatorId,
    now: Timestamp,
) -> Result<OperatorRow, Problem> {
    let (name, role, tenant) = match token.kind {
        TokenKind::Bootstrap => {
            let door: Option<Door> = tx.get(DOOR)?;
            if token.subject != RECOVER && door.is_none_or(|d| d.state != DoorState::Open) {
                return Err(refused("door.shut"));
            }
            let why = || "the first admin says their name".to_owned();
            let name = name.ok_or_else(|| Fault::Value {
                what: "`name`",
                why: why(),
            })?;
            (name, PersonRole::SuperAdmin, None)
        }
        TokenKind::Invite => {
            let invite: Option<InviteRow> = tx.find("token", &token.id)?.into_iter().next();
            let invite = invite.ok_or_else(|| refused("invite.unknown"))?;
            let by: Option<OperatorRow> = tx.get(&invite.by)?;
            if by.is_none_or(|by| by.state != OperatorState::Active) {
                return Err(refused("invite.by_inactive"));
            }
            if let Some(tenant) = &invite.tenant {
                tenant_is_active(tx, tenant)?;
            }
            (invite.name, invite.role, invite.tenant)
        }
        TokenKind::Claim => return Err(refused("token.kind")),
    };
    Ok(OperatorRow {
        id,
        name,
        role,
        tenant,
        state: OperatorState::Active,
        created: now,
    })
}

fn key_row(
    key: &NewKey,
    operator: &OperatorId,
    id: KeyId,
    label: String,
    now: Timestamp,
) -> Result<OperatorKey, Problem> {
    let (algorithm, public) = RequestAlgorithm::of(&key.jwk).ok_or(Fault::Internal)?;
    let (thumbprint, operator) = (*key.thumbprint.as_bytes(), operator.clone());
    Ok(OperatorKey {
        id,
        operator,
        thumbprint,
        algorithm,
        public,
        label,
        state: KeyState::Active,
        created: now,
    })
}

/// After the first admin, for good.
fn shut(change: &mut Change<'_, '_>) -> Result<(), StoreFault> {
    change.put(&Door {
        name: DOOR.into(),
        state: DoorState::Shut,
    })
}
