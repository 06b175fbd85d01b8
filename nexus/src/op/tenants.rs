//! Tenants.

use assay_api::id::TenantId;
use assay_api::types::{InTenant, Tenant, TenantCreate, Tenants, Time};

use super::ctx::{Changed, Ctx, Shown};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::tenant::{Tenant as Row, TenantState};
use crate::store::{Rows, Writes};

pub(crate) async fn create_tenant(ctx: Ctx, ask: TenantCreate) -> Result<Changed<Tenant>, Problem> {
    let name = words::name("`name`", &ask.name)?;
    let id = TenantId::from_random(&ctx.app.random.bytes()?);
    ctx.change(Target::Route, move |tx, act| {
        if !tx.find::<Row>("name", name.as_str())?.is_empty() {
            return Err(Fault::Taken {
                what: "tenant",
                name,
            }
            .into());
        }
        let row = Row {
            id: id.to_string(),
            name,
            state: TenantState::Active,
            created: tx.now(),
        };
        let entry = act
            .entry()
            .target(id.as_str())
            .tenant(id.as_str())
            .detail("name", row.name.clone());
        tx.change(entry, |c| c.insert(&row))?;
        Ok(shown(id, row))
    })
    .await
}

pub(crate) async fn list_tenants(ctx: Ctx, ask: InTenant) -> Result<Shown<Tenants>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Route, move |rows, act| {
        let mut items = Vec::new();
        let mut next = None;
        match (act.caller.is_super(), act.caller.tenant()) {
            (true, _) => {
                let page: Vec<Row> = rows.page(None, ask.after.as_deref(), limit)?;
                next = words::next(&page, limit, |row| row.id.clone());
                items.extend(page);
            }
            (false, Some(own)) => items.extend(rows.get::<Row>(own.as_str())?),
            (false, None) => {}
        }
        items.retain(|row| row.state == TenantState::Active);
        let items = items
            .into_iter()
            .filter_map(|row| Some(shown(TenantId::parse(&row.id).ok()?, row)))
            .collect();
        Ok(Tenants { items, next })
    })
    .await
}

fn shown(id: TenantId, row: Row) -> Tenant {
    Tenant {
        id,
        name: row.name,
        created_at: Time(row.created),
    }
}
