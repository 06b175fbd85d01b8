//! Claims: the right of one DPU to enrol, or to re-key.

use assay_api::id::{ClaimId, OperatorId, TenantId};
use assay_api::token::{Token as TokenWords, TokenKind as Word};
use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::ctx::{Act, Changed, Ctx, Shown};
use super::target::{self, Target};
use super::{dpus, words};
use crate::problem::{Fault, Problem};
use crate::store::claims::Claim as ClaimRow;
use crate::store::devices::{Device, Lifecycle};
use crate::store::token::{self, Token, TokenKind, TokenState};
use crate::store::{Change, Rows, Writes};

/// How long a claim lives, in milliseconds.
const CLAIM_MILLIS: u64 = 86_400_000;
/// Claims made by one call.
const CLAIMS: std::ops::RangeInclusive<usize> = 1..=500;
/// Claims under one audit entry, so that the entry stays below its bound.
const PER_ENTRY: usize = 200;

pub(crate) async fn create_claims(
    ctx: Ctx,
    ask: ClaimsCreate,
) -> Result<Changed<ClaimsCreated>, Problem> {
    if !CLAIMS.contains(&ask.items.len()) {
        return Err(Fault::Value {
            what: "`items`",
            why: "name 1 to 500 dpus".into(),
        }
        .into());
    }
    let items = ask
        .items
        .iter()
        .map(Wanted::parse)
        .collect::<Result<Vec<_>, _>>()?;
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        let mut made = Vec::new();
        for some in items.chunks(PER_ENTRY) {
            let entry = act.entry().detail("count", some.len().to_string());
            let part = tx.change(entry, |c| {
                some.iter()
                    .map(|item| create(c, act, &tenant, item))
                    .collect::<Result<Vec<_>, Problem>>()
            })?;
            made.extend(part);
        }
        Ok(ClaimsCreated { items: made })
    })
    .await
}

/// An item of a request, read.
struct Wanted {
    name: String,
    serial: String,
    ek: Option<[u8; 32]>,
    dice: Option<[u8; 32]>,
    rekey: Option<String>,
}

impl Wanted {
    fn parse(item: &ClaimItem) -> Result<Self, Problem> {
        let digest = |what, bytes: &Option<B64>| -> Result<Option<[u8; 32]>, Problem> {
            let read = bytes
                .as_ref()
                .map(|b| b.0.as_slice().try_into())
                .transpose();
            read.map_err(|_| {
                Fault::Value {
                    what,
                    why: "it is no SHA-256: 32 bytes".into(),
                }
                .into()
            })
        };
        let printable = item.serial.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if !printable || !(1..=64).contains(&item.serial.len()) {
            let why = "write 1 to 64 printable characters without spaces".into();
            return Err(Fault::Value {
                what: "`serial`",
                why,
            }
            .into());
        }
        Ok(Self {
            name: dpus::name(&item.name)?,
            serial: item.serial.clone(),
            ek: digest("`ek`", &item.ek)?,
            dice: digest("`dice`", &item.dice)?,
            rekey: item.rekey.clone(),
        })
    }
}

fn create(
    c: &mut Change<'_, '_>,
    act: &Act<'_>,
    tenant: &TenantId,
    item: &Wanted,
) -> Result<ClaimCreated, Problem> {
    let app = &act.ctx.app;
    let rekey = match &item.rekey {
        None => {
            let taken: Vec<Device> = c.find("name", item.name.as_str())?;
            if taken.iter().any(|d| d.tenant == *tenant) {
                return Err(Fault::Taken {
                    what: "dpu",
                    name: item.name.clone(),
                }
                .into());
            }
            None
        }
        Some(name) => {
            let found = target::find(c, &act.caller, assay_api::routes::On::Device, name)?;
            let row = dpus::named(c, &found)?;
            let same = row.tenant == *tenant && row.name == item.name && row.serial == item.serial;
            if !same || matches!(row.lifecycle, Lifecycle::Decommissioned) {
                let why = "`rekey` names a dpu of another tenant, name or serial, or one that is decommissioned".into();
                return Err(Fault::Conflict { why }.into());
            }
            Some(row.id)
        }
    };
    let id = ClaimId::from_random(&app.random.bytes()?);
    let expires = c.now().plus_millis(CLAIM_MILLIS);
    let secret = token::issue(c, TokenKind::Claim, tenant.as_str(), id.as_str(), expires)?;
    let row = ClaimRow {
        id,
        tenant: tenant.clone(),
        name: item.name.clone(),
        serial: item.serial.clone(),
        ek: item.ek,
        dice: item.dice,
        rekey,
        token: token::id(&secret),
        by: Some(act.caller.person()?.id.clone()),
    };
    c.insert(&row)?;
    let url = app
        .config
        .public_url()
        .cloned()
        .ok_or_else(|| Problem::from(Fault::Internal).step("config.url"))?;
    let words = TokenWords::new(Word::Claim, secret, url, app.nexus_id)
        .map_err(|_| Problem::from(Fault::Internal).step("config.url"))?;
    Ok(ClaimCreated {
        claim: shown(row, "open", expires),
        token: TokenText(words.expose()),
    })
}

fn shown(row: ClaimRow, state: &str, expires: Timestamp) -> Claim {
    Claim {
        identity_known: row.ek.is_some() || row.dice.is_some() || row.rekey.is_some(),
        id: row.id,
        tenant_id: row.tenant,
        name: row.name,
        serial: row.serial,
        state: state.into(),
        expires_at: Time(expires),
    }
}

/// Takes back what this person made and nobody used: whoever held their key may have the tokens.
///
/// # Errors
/// The store's faults.
pub(crate) fn void_all_by(c: &mut Change<'_, '_>, by: &OperatorId) -> Result<usize, Problem> {
    let now = c.now();
    let mut voided = 0_usize;
    for claim in c.find::<ClaimRow>("by", by)? {
        let token: Option<Token> = c.get((&TokenKind::Claim, &claim.token))?;
        if let Some(mut token) = token.filter(|t| t.state == TokenState::Open && now < t.expires) {
            token.state = TokenState::Void;
            c.update(&token)?;
            voided = voided.saturating_add(1);
        }
    }
    Ok(voided)
}

pub(crate) async fn list_claims(ctx: Ctx, ask: InTenant) -> Result<Shown<Claims>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let filter = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<ClaimRow> = rows.page(filter, ask.after.as_deref(), limit)?;
        let next = (page.len() == usize::try_from(limit.get()).unwrap_or(usize::MAX))
            .then(|| page.last().map(|c| c.id.to_string()))
            .flatten();
        let mut items = Vec::new();
        for row in page {
            let Some(token) = rows.get::<Token>((&TokenKind::Claim, &row.token))? else {
                continue;
            };
            match token.state {
                TokenState::Open if act.now < token.expires => {
                    items.push(shown(row, "open", token.expires))
                }
                TokenState::Open | TokenState::Spent | TokenState::Void => {}
            }
        }
        Ok(Claims { items, next })
    })
    .await
}
