//! The audit log, read by people.

use std::num::NonZeroU32;
use std::time::Duration;

use assay_api::log::Hash;
use assay_api::types::{
    AuditAsk, AuditEntryOut, AuditHead, AuditPage, B64, ConsistencyAsk, ConsistencyProof, Empty,
};

use super::ctx::{Ctx, Shown};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::audit::AuditFilter;

/// The longest that a caller may wait, in seconds.
const MOST_SECONDS: u32 = 60;

/// A tenant:admin sees the entries of the tenant; the whole log, which alone can be verified, is for super:admins. Who
/// waits is looked at again before each page (I5).
pub(crate) async fn list_audit(ctx: Ctx, ask: AuditAsk) -> Result<Shown<AuditPage>, Problem> {
    let limit = words::limit(ask.limit)?;
    let wait = ask.wait.unwrap_or(0);
    if wait > MOST_SECONDS {
        return Err(Fault::Value {
            what: "`wait`",
            why: format!("write 0 to {MOST_SECONDS}"),
        }
        .into());
    }
    let mut heads = ctx.app.store.heads();
    let end = tokio::time::Instant::now() + Duration::from_secs(wait.into());
    loop {
        heads.mark_unchanged();
        let page = page(&ctx, &ask, limit).await?;
        if !page.get().items.is_empty() {
            return Ok(page);
        }
        match tokio::time::timeout_at(end, heads.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(page),
        }
    }
}

async fn page(ctx: &Ctx, ask: &AuditAsk, limit: NonZeroU32) -> Result<Shown<AuditPage>, Problem> {
    let (from, event) = (ask.from.unwrap_or(0), ask.event.clone());
    ctx.read_long(Target::Route, move |rows, act| {
        let tenant = match act.caller.is_super() {
            true => None,
            false => Some(act.caller.tenant().ok_or(Fault::Forbidden)?.to_string()),
        };
        let filter = AuditFilter {
            tenant,
            event: event.clone(),
            after: from.checked_sub(1),
            newest_first: false,
        };
        let entries = rows.audit().list(&filter, limit)?;
        let next = entries
            .last()
            .map_or(from, |e| e.entry.index.saturating_add(1));
        let items = entries
            .into_iter()
            .map(|e| AuditEntryOut {
                index: e.entry.index,
                entry: B64(e.bytes),
            })
            .collect();
        Ok(AuditPage {
            items,
            next,
            checkpoint: rows.audit().checkpoint()?,
        })
    })
    .await
}

pub(crate) async fn audit_head(ctx: Ctx, _: Empty) -> Result<Shown<AuditHead>, Problem> {
    ctx.read(Target::Route, |rows, _| {
        Ok(AuditHead {
            checkpoint: rows.audit().checkpoint()?,
        })
    })
    .await
}

pub(crate) async fn audit_consistency(
    ctx: Ctx,
    ask: ConsistencyAsk,
) -> Result<Shown<ConsistencyProof>, Problem> {
    ctx.read_long(Target::Route, move |rows, _| {
        let size = rows.audit().size()?;
        if ask.from > ask.to || ask.to > size {
            let why = format!("`from` is at most `to`, and `to` at most {size}");
            return Err(Fault::Value {
                what: "the sizes",
                why,
            }
            .into());
        }
        let hashes = rows.audit().consistency(ask.from, ask.to)?;
        Ok(ConsistencyProof {
            hashes: hashes
                .iter()
                .map(|hash: &Hash| B64(hash.to_vec()))
                .collect(),
        })
    })
    .await
}
