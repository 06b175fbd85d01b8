//! People, their invites, their keys.

use assay_api::id::{InviteId, KeyId, OperatorId, TenantId};
use assay_api::token as wire;
use assay_api::types::{
    B64, Empty, InTenant, Invite, InviteCreate, InviteCreated, Invites, KeyInfo, Me, Operator,
    Operators, PersonRole, Reason, Time, TokenText,
};

use super::ctx::{Act, Changed, Ctx, Shown};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::people::{InviteRow, KeyState, OperatorKey, OperatorRow, OperatorState};
use crate::store::token::{self, Token, TokenKind, TokenState};
use crate::store::{Rows, StoreFault, Tx};

/// How long an invite stands, in milliseconds.
const INVITE_LIFE: u64 = 3_600_000;

pub(crate) async fn whoami(ctx: Ctx, _: Empty) -> Result<Shown<Me>, Problem> {
    ctx.read(Target::Route, |_, act| {
        let person = act.caller.person()?.clone();
        Ok(Me {
            operator_id: person.id,
            key_id: person.key,
            role: person.role,
            tenant_id: person.tenant,
            name: person.name,
            time: Time(act.now),
        })
    })
    .await
}

pub(crate) async fn create_invite(
    ctx: Ctx,
    ask: InviteCreate,
) -> Result<Changed<InviteCreated>, Problem> {
    let name = words::words("`name`", &ask.name, 128)?;
    let (role, id) = (ask.role, InviteId::from_random(&ctx.app.random.bytes()?));
    let url = ctx
        .app
        .config
        .public_url()
        .cloned()
        .ok_or(Fault::Internal)?;
    let pin = ctx.app.tls.nexus_id();
    let (invite, secret) = {
        let made = ctx
            .change(Target::Tenant(ask.tenant), move |tx, act| {
                let tenant = act.target.tenant.clone();
                fits(role, tenant.as_ref())?;
                let expires = act.now.plus_millis(INVITE_LIFE);
                let by = act.caller.person()?.id.clone();
                let entry = act
                    .entry()
                    .target(id.as_str())
                    .detail("name", name.clone())
                    .detail("role", role.as_str());
                let secret = tx.change(entry, |c| {
                    let of = tenant.as_ref().map_or("", TenantId::as_str);
                    let secret = token::issue(c, TokenKind::Invite, of, id.as_str(), expires)?;
                    let row = InviteRow {
                        id: id.clone(),
                        tenant: tenant.clone(),
                        name: name.clone(),
                        role,
                        by,
                        token: token::id(&secret),
                    };
                    c.insert(&row)?;
                    Ok::<_, StoreFault>(secret)
                })?;
                let state = TokenState::Open.as_str().to_owned();
                Ok((
                    Invite {
                        id,
                        tenant_id: tenant,
                        name,
                        role,
                        state,
                        expires_at: Time(expires),
                    },
                    secret,
                ))
            })
            .await?;
        let mut secret = None;
        let made = made.map(|(invite, s)| {
            secret = Some(s);
            invite
        });
        (made, secret.ok_or(Fault::Internal)?)
    };
    let text = wire::Token::new(wire::TokenKind::Invite, secret, url, pin)
        .map_err(|_| Fault::Internal)?
        .expose();
    Ok(invite.map(|invite| InviteCreated {
        invite,
        token: TokenText(text),
    }))
}

/// A super:admin is of no tenant, everybody else of one.
fn fits(role: PersonRole, tenant: Option<&TenantId>) -> Result<(), Problem> {
    let why = match (role, tenant) {
        (PersonRole::SuperAdmin, None)
        | (PersonRole::Operator | PersonRole::TenantAdmin, Some(_)) => return Ok(()),
        (PersonRole::SuperAdmin, Some(_)) => {
            "a super:admin belongs to no tenant: a super:admin invites them, without naming one"
        }
        (PersonRole::Operator | PersonRole::TenantAdmin, None) => {
            "this role belongs to a tenant: name it"
        }
    };
    Err(Fault::Value {
        what: "`role`",
        why: why.into(),
    }
    .into())
}

pub(crate) async fn list_invites(ctx: Ctx, ask: InTenant) -> Result<Shown<Invites>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<InviteRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |row| row.id.to_string());
        let mut items = Vec::new();
        for row in page {
            let token: Option<Token> = rows.get((&TokenKind::Invite, &row.token))?;
            if let Some(token) =
                token.filter(|t| t.state == TokenState::Open && act.now < t.expires)
            {
                let InviteRow {
                    id,
                    tenant,
                    name,
                    role,
                    ..
                } = row;
                let state = TokenState::Open.as_str().to_owned();
                items.push(Invite {
                    id,
                    tenant_id: tenant,
                    name,
                    role,
                    state,
                    expires_at: Time(token.expires),
                });
            }
        }
        Ok(Invites { items, next })
    })
    .await
}

pub(crate) async fn list_operators(ctx: Ctx, ask: InTenant) -> Result<Shown<Operators>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<OperatorRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |row| row.id.to_string());
        let items = page
            .into_iter()
            .map(|row| shown(rows, row))
            .collect::<Result<_, _>>()?;
        Ok(Operators { items, next })
    })
    .await
}

pub(crate) async fn show_operator(ctx: Ctx, _: Empty) -> Result<Shown<Operator>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        Ok(shown(rows, operator(rows, act)?)?)
    })
    .await
}

pub(crate) async fn suspend_operator(ctx: Ctx, ask: Reason) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    ctx.revoke(Target::Route, move |tx, act| {
        let mut row = operator(tx, act)?;
        if act.caller.person()?.id == row.id {
            return Err(Fault::OwnKey.into());
        }
        if row.state == OperatorState::Suspended {
            return Err(Fault::Conflict {
                why: "they are suspended already".into(),
            }
            .into());
        }
        keep_an_admin(tx, |o, _| o.id == row.id)?;
        row.state = OperatorState::Suspended;
        tx.change(act.entry().reason(reason.clone()), |c| c.update(&row))?;
        Ok(shown(tx, row)?)
    })
    .await
}

pub(crate) async fn unsuspend_operator(
    ctx: Ctx,
    ask: Reason,
) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    ctx.change(Target::Route, move |tx, act| {
        let mut row = operator(tx, act)?;
        if row.state == OperatorState::Active {
            return Err(Fault::Conflict {
                why: "they are not suspended".into(),
            }
            .into());
        }
        row.state = OperatorState::Active;
        tx.change(act.entry().reason(reason), |c| c.update(&row))?;
        Ok(shown(tx, row)?)
    })
    .await
}

pub(crate) async fn revoke_key(ctx: Ctx, ask: Reason) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    ctx.revoke(Target::Route, move |tx, act| {
        let id = KeyId::parse(&act.target.id).map_err(|_| Fault::NotFound { what: "key" })?;
        let mut key: OperatorKey = tx.get(&id)?.ok_or(Fault::NotFound { what: "key" })?;
        if act.caller.person()?.key == key.id {
            return Err(Fault::OwnKey.into());
        }
        if key.state == KeyState::Revoked {
            return Err(Fault::Conflict {
                why: "the key is revoked already".into(),
            }
            .into());
        }
        keep_an_admin(tx, |_, k| k.id == key.id)?;
        key.state = KeyState::Revoked;
        let entry = act
            .entry()
            .reason(reason.clone())
            .detail("operator", key.operator.as_str());
        tx.change(entry, |c| c.update(&key))?;
        let row: OperatorRow = tx
            .get(&key.operator)?
            .ok_or(Fault::NotFound { what: "operator" })?;
        Ok(shown(tx, row)?)
    })
    .await
}

/// Refuses a deed after which no active super:admin would have an active key (I9). `lost` says what the deed takes.
fn keep_an_admin(
    tx: &Tx<'_>,
    lost: impl Fn(&OperatorRow, &OperatorKey) -> bool,
) -> Result<(), Problem> {
    let mut loses_one = false;
    for admin in tx.find::<OperatorRow>("role", &PersonRole::SuperAdmin)? {
        let counts = admin.state == OperatorState::Active;
        for key in tx.find::<OperatorKey>("operator", &admin.id)? {
            match (counts && key.state == KeyState::Active, lost(&admin, &key)) {
                (true, false) => return Ok(()),
                (true, true) => loses_one = true,
                (false, _) => {}
            }
        }
    }
    if loses_one {
        Err(Fault::LastAdmin.into())
    } else {
        Ok(())
    }
}

fn operator(rows: &impl Rows, act: &Act<'_>) -> Result<OperatorRow, Problem> {
    let not_found = || Problem::from(Fault::NotFound { what: "operator" });
    let id = OperatorId::parse(&act.target.id).map_err(|_| not_found())?;
    rows.get(&id)?.ok_or_else(not_found)
}

fn shown(rows: &impl Rows, row: OperatorRow) -> Result<Operator, StoreFault> {
    let keys: Vec<OperatorKey> = rows.find("operator", &row.id)?;
    let info = |key: OperatorKey| KeyInfo {
        id: key.id,
        label: key.label,
        algorithm: key.algorithm.as_str().into(),
        thumbprint: B64(key.thumbprint.into()),
        state: key.state.as_str().into(),
    };
    let OperatorRow {
        id,
        name,
        role,
        tenant,
        state,
        ..
    } = row;
    let keys = keys.into_iter().map(info).collect();
    Ok(Operator {
        id,
        name,
        role,
        tenant_id: tenant,
        state: state.as_str().into(),
        keys,
    })
}
