//! Invites: the right of one person to join, once, within the hour.

use assay_api::id::InviteId;
use assay_api::token::{Token as TokenWords, TokenKind as Word};
use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::ctx::{Changed, Ctx, Shown};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::people::{InviteRow, OperatorRow};
use crate::store::token::{self, Token, TokenKind, TokenState};
use crate::store::{Change, Rows, StoreFault, Writes};

/// How long an invite is open, in milliseconds.
pub(crate) const LIFETIME: u64 = 3_600_000;

/// Rows that one page looks through at most, since used ones stay.
const MOST_SCANNED: usize = 5_000;

pub(crate) async fn create_invite(
    ctx: Ctx,
    ask: InviteCreate,
) -> Result<Changed<InviteCreated>, Problem> {
    let name = words::words("`name`", &ask.name, 128)?;
    if ask.role == PersonRole::SuperAdmin && ask.tenant.is_some() {
        let why = "a super:admin belongs to no tenant".to_owned();
        return Err(Fault::Value {
            what: "`tenant`",
            why,
        }
        .into());
    }
    let id = InviteId::from_random(&ctx.app.random.bytes()?);
    let (app, role) = (ctx.app.clone(), ask.role);
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let person = act.caller.person()?;
        let tenant = match role {
            // Who is confined to a tenant lets nobody out of it.
            PersonRole::SuperAdmin if !act.caller.is_super() => {
                return Err(Problem::from(Fault::Forbidden).step("invite.role"));
            }
            PersonRole::SuperAdmin => None,
            PersonRole::Operator | PersonRole::TenantAdmin => Some(act.target.tenant()?.clone()),
        };
        let expires = act.now.plus_millis(LIFETIME);
        let mut entry = act
            .entry()
            .target(id.as_str())
            .detail("role", role.as_str())
            .detail("name", name.clone());
        entry.tenant = tenant.as_ref().map(ToString::to_string);
        let (row, secret) = tx.change(entry, |c| {
            let place = tenant.as_ref().map_or("", |t| t.as_str());
            let secret = token::issue(c, TokenKind::Invite, place, id.as_str(), expires)?;
            let row = InviteRow {
                id,
                tenant: tenant.clone(),
                name,
                role,
                by: person.id.clone(),
                token: token::id(&secret),
            };
            c.insert(&row)?;
            Ok::<_, Problem>((row, secret))
        })?;
        let no_url = || Problem::from(Fault::Internal).step("config.public_url");
        let url = app.config.public_url().ok_or_else(no_url)?.clone();
        let token =
            TokenWords::new(Word::Invite, secret, url, app.nexus_id).map_err(|_| no_url())?;
        Ok(InviteCreated {
            invite: shown(row, "open", expires),
            token: TokenText(token.expose()),
        })
    })
    .await
}

pub(crate) async fn list_invites(ctx: Ctx, ask: InTenant) -> Result<Shown<Invites>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let wanted = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let (mut items, mut after, mut scanned) = (Vec::new(), ask.after.clone(), 0_usize);
        loop {
            let page: Vec<InviteRow> = rows.page(tenant, after.as_deref(), limit)?;
            let last = page.len() < wanted;
            for row in page {
                after = Some(row.id.to_string());
                scanned = scanned.saturating_add(1);
                if let Some(token) = open(rows, &row, act.now)? {
                    items.push(shown(row, "open", token.expires));
                }
                if items.len() >= wanted {
                    return Ok(Invites { items, next: after });
                }
            }
            if last || scanned >= MOST_SCANNED {
                let next = after.filter(|_| !last);
                return Ok(Invites { items, next });
            }
        }
    })
    .await
}

/// The invite's token, while it is open.
fn open(rows: &impl Rows, row: &InviteRow, now: Timestamp) -> Result<Option<Token>, StoreFault> {
    let token: Option<Token> = rows.get((&TokenKind::Invite, &row.token))?;
    Ok(token.filter(|t| t.state == TokenState::Open && now < t.expires))
}

/// Whether this person may give this invite.
pub(crate) fn may_invite(by: &OperatorRow, invite: &InviteRow) -> bool {
    match by.role {
        PersonRole::SuperAdmin => true,
        PersonRole::TenantAdmin => {
            invite.role != PersonRole::SuperAdmin
                && invite.tenant.is_some()
                && invite.tenant == by.tenant
        }
        PersonRole::Operator => false,
    }
}

/// Takes back what this person invited and nobody used: whoever held their key may have given it to himself.
///
/// # Errors
/// The store's faults.
pub(crate) fn void_all_by(c: &mut Change<'_, '_>, by: &OperatorRow) -> Result<usize, Problem> {
    let now = c.now();
    let mut voided = 0_usize;
    for invite in c.find::<InviteRow>("by", &by.id)? {
        if let Some(mut token) = open(c, &invite, now)? {
            token.state = TokenState::Void;
            c.update(&token)?;
            voided = voided.saturating_add(1);
        }
    }
    Ok(voided)
}

fn shown(row: InviteRow, state: &str, expires: Timestamp) -> Invite {
    Invite {
        id: row.id,
        tenant_id: row.tenant,
        name: row.name,
        role: row.role,
        state: state.to_owned(),
        expires_at: Time(expires),
    }
}
