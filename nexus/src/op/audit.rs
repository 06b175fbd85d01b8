//! The audit log over the API.
//!
//! Entries keep their index whoever reads them. A tenant:admin sees those of their tenant only, so what they read can be held
//! against no chain; only what a super:admin reads is whole and can be verified offline.

use std::time::Duration;

use assay_api::types::*;
use tokio::time::{Instant, sleep, timeout_at};

use super::ctx::{Act, Ctx, Shown};
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::store::Reader;
use crate::store::audit::AuditFilter;

/// The longest wait, in seconds.
const MAX_WAIT: u32 = 60;
/// How often somebody who waits looks again at most: many commits make one look.
const PACE: Duration = Duration::from_millis(100);
/// Bytes of entries in one answer, but at least one entry.
const MAX_BYTES: usize = 4 << 20;

pub(crate) async fn list_audit(ctx: Ctx, ask: AuditAsk) -> Result<Shown<AuditPage>, Problem> {
    let limit = words::limit(ask.limit)?;
    let event = ask.event.as_deref().map(event).transpose()?;
    let wait = ask.wait.unwrap_or(0);
    if wait > MAX_WAIT {
        let why = format!("write 0 to {MAX_WAIT} seconds");
        return Err(Fault::Value {
            what: "`wait`",
            why,
        }
        .into());
    }
    let until = Instant::now() + Duration::from_secs(wait.into());
    let mut heads = ctx.app.store.heads();
    let mut from = ask.from.unwrap_or(0);
    loop {
        heads.borrow_and_update();
        let event = event.clone();
        // Asked anew each time: who may not ask any more is told so before the next entry (I5).
        let page = ctx
            .read_long(Target::Route, move |rows, act| {
                let filter = AuditFilter {
                    tenant: (!act.caller.is_super())
                        .then(|| confined_to(act))
                        .transpose()?,
                    event: event.clone(),
                    after: from.checked_sub(1),
                    newest_first: false,
                };
                page(rows, &filter, from, limit)
            })
            .await?;
        if !page.get().items.is_empty() || Instant::now() >= until {
            return Ok(page);
        }
        from = page.get().next;
        match timeout_at(until, heads.changed()).await {
            Ok(Ok(())) => sleep(PACE).await,
            Ok(Err(_)) | Err(_) => return Ok(page),
        }
    }
}

pub(crate) async fn audit_head(ctx: Ctx, _: Empty) -> Result<Shown<AuditHead>, Problem> {
    ctx.read(Target::Route, |rows, _| {
        let checkpoint = rows.audit().checkpoint()?;
        Ok(AuditHead { checkpoint })
    })
    .await
}

pub(crate) async fn audit_consistency(
    ctx: Ctx,
    ask: ConsistencyAsk,
) -> Result<Shown<ConsistencyProof>, Problem> {
    let ConsistencyAsk { from, to } = ask;
    if from == 0 || from > to {
        return Err(bounds(
            "write 1 or more for `from`, and `to` not below it".to_owned(),
        ));
    }
    ctx.read_long(Target::Route, move |rows, _| {
        let size = rows.audit().size()?;
        if to > size {
            return Err(bounds(format!("the log has {size} entries")));
        }
        let hashes = rows.audit().consistency(from, to)?;
        let hashes = hashes.into_iter().map(|h| B64(h.to_vec())).collect();
        Ok(ConsistencyProof { hashes })
    })
    .await
}

fn bounds(why: String) -> Problem {
    Fault::Value {
        what: "`from` or `to`",
        why,
    }
    .into()
}

/// The one tenant whose entries this caller may see.
fn confined_to(act: &Act<'_>) -> Result<String, Problem> {
    let tenant = act.caller.tenant().ok_or(Fault::Forbidden)?;
    Ok(tenant.to_string())
}

/// The name of an event, or, with a dot at its end, of a family of them.
fn event(text: &str) -> Result<String, Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let why = "write the name of an event, such as `dpu.confirm`, or `dpu.` for all that begin so"
        .to_owned();
    Err(Fault::Value {
        what: "`event`",
        why,
    }
    .into())
}

/// Entries, where to go on, and the checkpoint that covers them, all of one snapshot.
fn page(
    rows: &Reader<'_>,
    filter: &AuditFilter,
    from: u64,
    limit: std::num::NonZeroU32,
) -> Result<AuditPage, Problem> {
    let log = rows.audit();
    let entries = log.list(filter, limit)?;
    let mut is_last = entries.len() < usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let (mut items, mut bytes) = (Vec::with_capacity(entries.len()), 0_usize);
    for entry in entries {
        bytes = bytes.saturating_add(entry.bytes.len());
        if bytes > MAX_BYTES && !items.is_empty() {
            is_last = false;
            break;
        }
        items.push(AuditEntryOut {
            index: entry.entry.index,
            entry: B64(entry.bytes),
        });
    }
    let after = items
        .last()
        .map_or(from, |e: &AuditEntryOut| e.index.saturating_add(1));
    let next = if is_last {
        after.max(log.size()?)
    } else {
        after
    };
    Ok(AuditPage {
        items,
        next,
        checkpoint: log.checkpoint()?,
    })
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
