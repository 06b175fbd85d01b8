//! Tenants.

use assay_api::id::TenantId;
use assay_api::routes::On;
use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use super::target::{Target, find};
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::Rows;
use crate::store::tenant::{self, TenantState};

pub(crate) async fn create_tenant(ctx: Ctx, ask: TenantCreate) -> Result<Changed<Tenant>, Problem> {
    let name = words::name("`name`", &ask.name)?;
    let id = TenantId::from_random(&ctx.app.random.bytes()?);
    ctx.change(Target::Route, move |tx, act| {
        // A tenant that was removed keeps its name, so that the audit log means one thing by it.
        if !tx.find::<tenant::Tenant>("name", name.as_str())?.is_empty() {
            return Err(Fault::Taken {
                what: "tenant",
                name,
            }
            .into());
        }
        let row = tenant::Tenant {
            id: id.to_string(),
            name,
            state: TenantState::Active,
            created: act.now,
        };
        let entry = act
            .entry()
            .tenant(id.as_str())
            .target(id.as_str())
            .detail("name", row.name.clone());
        tx.change(entry, |c| c.insert(&row))?;
        shown(row)
    })
    .await
}

pub(crate) async fn list_tenants(ctx: Ctx, ask: InTenant) -> Result<Shown<Tenants>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Route, move |rows, act| {
        let named = ask
            .tenant
            .as_deref()
            .or(act.caller.tenant().map(TenantId::as_str));
        if let Some(named) = named {
            let found = find(rows, &act.caller, On::Tenant, named)?;
            let row: Option<tenant::Tenant> = rows.get(found.id.as_str())?;
            let items = row.into_iter().map(shown).collect::<Result<_, _>>()?;
            return Ok(Tenants { items, next: None });
        }
        if !act.caller.is_super() {
            return Err(Fault::Forbidden.into());
        }
        let page: Vec<tenant::Tenant> = rows.page(None, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |t| t.id.clone());
        let active = page.into_iter().filter(|t| t.state == TenantState::Active);
        Ok(Tenants {
            items: active.map(shown).collect::<Result<_, _>>()?,
            next,
        })
    })
    .await
}

fn shown(row: tenant::Tenant) -> Result<Tenant, Problem> {
    let id =
        TenantId::parse(&row.id).map_err(|_| Problem::from(Fault::Internal).step("tenant.id"))?;
    Ok(Tenant {
        id,
        name: row.name,
        created_at: Time(row.created),
    })
}

#[cfg(test)]
#[path = "tenants_tests.rs"]
mod tests;
