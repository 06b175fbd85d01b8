//! Joining: how a person's first key becomes theirs, by a bootstrap token or an invite, in two calls.
//!
//! Everything about token, challenge and signature is looked at before the transaction, so that what nobody can vouch for
//! writes nothing; and again inside it, where the token is spent. All refusals are one `auth.failed`.

use assay_api::id::{ChallengeId, InviteId, KeyId, OperatorId};
use assay_api::join::challenge_bytes;
use assay_api::types::*;
use assay_attest::time::Timestamp;
use zeroize::Zeroizing;

use super::caller::{NewKey, refused, tenant_is_active};
use super::ctx::{Act, Changed, Ctx};
use super::target::Target;
use super::words;
use crate::bootstrap;
use crate::problem::{Fault, Problem};
use crate::store::challenge::{self, Challenge};
use crate::store::devices::DeviceKey;
use crate::store::people::{
    Door, DoorState, InviteRow, KeyState, OperatorKey, OperatorRow, OperatorState, RequestAlgorithm,
};
use crate::store::token::{self, Token, TokenFault, TokenKind};
use crate::store::{Rows, Tx};

/// Who a token makes.
struct Newcomer {
    role: PersonRole,
    tenant: Option<assay_api::id::TenantId>,
    /// Where the token fixes it.
    name: Option<String>,
}

pub(crate) async fn begin_join(
    ctx: Ctx,
    ask: JoinBegin,
) -> Result<Changed<JoinChallenge>, Problem> {
    let key = ctx.caller.new_key()?.clone();
    let secret = secret(&ask.secret)?;
    let now = ctx.now;
    ctx.app
        .store
        .read_now(|rows| open_token(rows, &secret, &key, now).map(drop))?;
    let id = ChallengeId::from_random(&ctx.app.random.bytes()?);
    let value = ctx.app.random.bytes::<32>()?;
    ctx.change(Target::Route, move |tx, act| {
        let (token, newcomer) = open_token(tx, &secret, &key, act.now)?;
        let challenge = Challenge {
            id,
            kind: token.kind,
            token: token.id,
            thumbprint: *key.thumbprint.as_bytes(),
            value,
            expires: act.now.plus_millis(challenge::LIFETIME),
        };
        if !challenge::keep(tx, &challenge)? {
            return Err(Fault::Rate.into());
        }
        let mut entry = act.entry().detail("purpose", purpose(token.kind));
        entry.tenant = newcomer.tenant.map(|t| t.to_string());
        tx.audit(entry)?;
        Ok(JoinChallenge {
            challenge_id: challenge.id,
            challenge: B64(value.to_vec()),
            purpose: purpose(token.kind).to_owned(),
            expires_at: Time(challenge.expires),
        })
    })
    .await
}

pub(crate) async fn complete_join(ctx: Ctx, ask: JoinComplete) -> Result<Changed<Joined>, Problem> {
    let key = ctx.caller.new_key()?.clone();
    let name = ask
        .name
        .as_deref()
        .map(|n| words::words("`name`", n, 128))
        .transpose()?;
    let label = words::words("`label`", ask.label.as_deref().unwrap_or("first key"), 64)?;
    let secret = secret(&ask.secret)?;
    let thumbprint = *key.thumbprint.as_bytes();
    let now = ctx.now;
    let (kind, challenge) = ctx.app.store.read_now(|rows| {
        let (token, _) = open_token(rows, &secret, &key, now)?;
        let challenge = challenge::look(rows, &ask.challenge_id, &token, &thumbprint, now)?;
        Ok::<_, Problem>((
            token.kind,
            challenge.ok_or_else(|| refused("challenge.unknown"))?,
        ))
    })?;
    let signed = challenge_bytes(
        purpose(kind),
        &ctx.app.nexus_id,
        &challenge.value,
        &thumbprint,
    );
    key.jwk
        .check(&ctx.app.checks, &signed, &ask.signature.0)
        .map_err(|_| refused("challenge.signature"))?;
    let operator = OperatorId::from_random(&ctx.app.random.bytes()?);
    let key_id = KeyId::from_random(&ctx.app.random.bytes()?);
    let app = ctx.app.clone();
    let joined = ctx
        .change(Target::Route, move |tx, act| {
            let (_, newcomer) = open_token(tx, &secret, &key, act.now)?;
            if !challenge::spend(tx, &challenge)? {
                return Err(refused("challenge.unknown"));
            }
            let why = || "give the name of the first admin".to_owned();
            let name = newcomer.name.or(name).ok_or_else(|| Fault::Value {
                what: "`name`",
                why: why(),
            })?;
            let person = OperatorRow {
                id: operator,
                name,
                role: newcomer.role,
                tenant: newcomer.tenant,
                state: OperatorState::Active,
                created: act.now,
            };
            let key = key_row(key_id, &person, &key, label, act.now)?;
            create(tx, act, kind, &secret, &person, &key)?;
            Ok(Joined {
                operator_id: person.id,
                key_id: key.id,
                role: person.role,
                tenant_id: person.tenant,
                name: person.name,
            })
        })
        .await?;
    if kind == TokenKind::Bootstrap {
        let gone = tokio::task::spawn_blocking(move || bootstrap::forget_file(&app));
        if !matches!(gone.await, Ok(Ok(()))) {
            tracing::warn!("the file of the spent token could not be looked after");
        }
    }
    Ok(joined)
}

/// Person, key, spent token and shut door: one change.
fn create(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    kind: TokenKind,
    secret: &[u8; 32],
    person: &OperatorRow,
    key: &OperatorKey,
) -> Result<(), Problem> {
    let mut entry = act
        .entry()
        .target(person.id.as_str())
        .detail("purpose", purpose(kind))
        .detail("role", person.role.as_str())
        .detail("name", person.name.clone())
        .detail("key", key.id.as_str())
        .detail("thumbprint", act.caller.actor().id);
    entry.tenant = person.tenant.as_ref().map(ToString::to_string);
    tx.change(entry, |c| {
        let token = token::spend(c, kind, secret).map_err(token_refused)?;
        if kind == TokenKind::Bootstrap {
            c.entry().details.insert("token".into(), token.subject);
            c.put(&Door {
                name: bootstrap::DOOR.into(),
                state: DoorState::Shut,
            })?;
        } else {
            c.entry().details.insert("invite".into(), token.subject);
        }
        c.insert(person)?;
        c.insert(key)?;
        Ok(())
    })
}

fn key_row(
    id: KeyId,
    person: &OperatorRow,
    key: &NewKey,
    label: String,
    now: Timestamp,
) -> Result<OperatorKey, Problem> {
    let (algorithm, public) =
        RequestAlgorithm::of(&key.jwk).ok_or_else(|| refused("key.algorithm"))?;
    Ok(OperatorKey {
        id,
        operator: person.id.clone(),
        thumbprint: *key.thumbprint.as_bytes(),
        algorithm,
        public,
        label,
        state: KeyState::Active,
        created: now,
    })
}

/// The token with this secret, where it still lets this key in, and who it makes.
///
/// # Errors
/// [`Fault::Auth`] with the exact step; the store's faults.
fn open_token(
    rows: &impl Rows,
    secret: &[u8; 32],
    key: &NewKey,
    now: Timestamp,
) -> Result<(Token, Newcomer), Problem> {
    // A key is one person's or one device's, for good: who was revoked does not come back under another name.
    let known: Vec<OperatorKey> = rows.find("thumbprint", key.thumbprint.as_bytes())?;
    let devices: Vec<DeviceKey> = rows.find("thumbprint", key.thumbprint.as_bytes())?;
    let token = match token::look(rows, TokenKind::Bootstrap, secret, now) {
        Err(TokenFault::Unknown) => token::look(rows, TokenKind::Invite, secret, now),
        other => other,
    };
    let token = token.map_err(token_refused)?;
    if !known.is_empty() || !devices.is_empty() {
        return Err(refused("key.known"));
    }
    let newcomer = match token.kind {
        TokenKind::Bootstrap => first_admin(rows, &token)?,
        TokenKind::Invite => invited(rows, &token)?,
        TokenKind::Claim => return Err(refused("token.kind")),
    };
    Ok((token, newcomer))
}

fn first_admin(rows: &impl Rows, token: &Token) -> Result<Newcomer, Problem> {
    // Only what the machine's root asked for passes a door that is shut.
    if token.subject != bootstrap::RECOVER && !bootstrap::door_is_open(rows)? {
        return Err(refused("door.shut"));
    }
    Ok(Newcomer {
        role: PersonRole::SuperAdmin,
        tenant: None,
        name: None,
    })
}

/// An invite counts while whoever gave it could still give it.
fn invited(rows: &impl Rows, token: &Token) -> Result<Newcomer, Problem> {
    let unknown = || refused("invite.unknown");
    let id = InviteId::parse(&token.subject).map_err(|_| unknown())?;
    let invite: InviteRow = rows.get(&id)?.ok_or_else(unknown)?;
    if invite.token != token.id {
        return Err(unknown());
    }
    let by: OperatorRow = rows.get(&invite.by)?.ok_or_else(unknown)?;
    if by.state != OperatorState::Active || !super::invites::may_invite(&by, &invite) {
        return Err(refused("invite.inviter"));
    }
    if let Some(tenant) = &invite.tenant {
        tenant_is_active(rows, tenant)?;
    }
    Ok(Newcomer {
        role: invite.role,
        tenant: invite.tenant,
        name: Some(invite.name),
    })
}

fn secret(sent: &SecretB64) -> Result<Zeroizing<[u8; 32]>, Problem> {
    let secret = sent.0.as_slice().try_into();
    secret
        .map(Zeroizing::new)
        .map_err(|_| refused("token.malformed"))
}

const fn purpose(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Bootstrap => "bootstrap",
        TokenKind::Invite => "invite",
        TokenKind::Claim => "claim",
    }
}

fn token_refused(fault: TokenFault) -> Problem {
    match fault {
        TokenFault::Store(fault) => fault.into(),
        other => refused(other.code()),
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
