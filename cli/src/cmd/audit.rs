//! The audit log over the API. Each of these first holds the nexus's log against the last head that was seen here.

use std::path::PathBuf;
use std::time::Duration;

use assay_api::log::{Checkpoint, Entry, Head, extends_head};
use assay_api::routes::call;
use assay_api::types::*;
use assay_client::Extra;
use clap::Subcommand;
use serde::Serialize;

use super::{audit_export, audit_verify};
use crate::app::Cx;
use crate::fault::Fault;
use crate::files::{self, Mode};
use crate::out::Row;
use crate::session::Session;

/// The longest checkpoint that is read back, in bytes.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// How long one question of `follow` waits at the nexus, in seconds.
const FOLLOW: u32 = 30;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List entries, oldest first.
    List {
        /// First index; the last entries where absent.
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// At most this many.
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only this event, such as certificate.sign.
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
    },
    /// Show entries as they come, until interrupted.
    Follow {
        /// First index; only what is new where absent.
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// Only this event.
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
    },
    /// Show the newest signed head; kept elsewhere, it excludes a rollback.
    Head,
    /// Show the key of the audit log, as `verify` takes it.
    Key,
    /// Write the whole log into a file, which `verify` checks offline.
    Export {
        /// A new file; `-` writes to standard output.
        file: PathBuf,
    },
    /// Verify an exported log offline. Exit codes: 0 valid, 1 broken, 2 could not check.
    Verify(audit_verify::Args),
}

/// An entry for people and scripts.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Shown(Entry);

impl Row for Shown {
    const HEAD: &'static [&'static str] = &[
        "INDEX",
        "TIME",
        "EVENT",
        "DECISION",
        "WHO",
        "WHAT",
        "CODE OR REASON",
    ];
    fn cells(&self) -> Vec<String> {
        let entry = &self.0;
        let decision = serde_json::to_value(entry.decision).ok();
        let word = decision
            .as_ref()
            .and_then(|d| d.as_str())
            .unwrap_or_default();
        let why = [entry.code.as_deref(), entry.reason.as_deref()];
        vec![
            entry.index.to_string(),
            Time(entry.time_ms).to_string(),
            entry.event.clone(),
            word.to_owned(),
            entry.actor.id.clone(),
            entry.target.clone().unwrap_or_default(),
            why.into_iter().flatten().collect::<Vec<_>>().join(": "),
        ]
    }
}

/// A head for scripts.
#[derive(Serialize)]
struct HeadOut<'a> {
    origin: &'a str,
    size: u64,
    root: String,
    checkpoint: &'a str,
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Key => {
            let key = session.context.log_key()?.to_string();
            cx.out.raw(&key, &serde_json::json!({ "key": key }))
        }
        Command::Head => {
            let head = see_head(cx, &session).await?;
            cx.out.raw(
                head.text(),
                &HeadOut {
                    origin: &head.head().origin,
                    size: head.head().size,
                    root: base16ct::lower::encode_string(&head.head().root),
                    checkpoint: head.text(),
                },
            )
        }
        Command::List { from, limit, event } => {
            let size = see_head(cx, &session).await?.head().size;
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let entries = match from {
                Some(from) => list(&session, from, size, event.as_deref(), most).await?,
                None => last(&session, size, event.as_deref(), most).await?,
            };
            cx.out.list(&entries)
        }
        Command::Follow { from, event } => follow(cx, &session, from, event).await,
        Command::Export { file } => audit_export::run(cx, &session, &file).await,
        // Offline, and so served before a session is opened.
        Command::Verify(_) => Ok(()),
    }
}

/// The last entries that fit: looked for in ever larger parts of the log's end, since a caller may see only some.
async fn last(
    session: &Session,
    size: u64,
    event: Option<&str>,
    most: usize,
) -> Result<Vec<Shown>, Fault> {
    let mut span = u64::try_from(most).unwrap_or(u64::MAX);
    loop {
        let from = size.saturating_sub(span);
        let mut entries = list(session, from, size, event, usize::MAX).await?;
        if entries.len() >= most || from == 0 {
            return Ok(entries.split_off(entries.len().saturating_sub(most)));
        }
        span = span.saturating_mul(8);
    }
}

async fn list(
    session: &Session,
    from: u64,
    size: u64,
    event: Option<&str>,
    most: usize,
) -> Result<Vec<Shown>, Fault> {
    let (mut entries, mut from) = (Vec::new(), from);
    while entries.len() < most && from < size {
        let left = most.saturating_sub(entries.len());
        let ask = AuditAsk {
            from: Some(from),
            limit: Some(u32::try_from(left).unwrap_or(u32::MAX).min(500)),
            event: event.map(str::to_owned),
            wait: None,
        };
        let page = session.call::<call::list_audit>(None, &ask).await?;
        if page.next <= from {
            break;
        }
        from = page.next;
        for item in &page.items {
            entries.push(parse(item)?);
        }
    }
    Ok(entries)
}

async fn follow(
    cx: &Cx,
    session: &Session,
    from: Option<u64>,
    event: Option<String>,
) -> Result<(), Fault> {
    let size = see_head(cx, session).await?.head().size;
    let mut from = from.unwrap_or(size);
    loop {
        let ask = AuditAsk {
            from: Some(from),
            limit: Some(500),
            event: event.clone(),
            wait: Some(FOLLOW),
        };
        let extra = Extra {
            bypass: None,
            wait: Duration::from_secs(u64::from(FOLLOW)),
        };
        match session
            .client
            .call_with::<call::list_audit>(None, &ask, extra)
            .await
            .map_err(Fault::from)
        {
            Ok(answer) => {
                let page = answer.body;
                let entries = page
                    .items
                    .iter()
                    .map(parse)
                    .collect::<Result<Vec<_>, _>>()?;
                cx.out.follow(&entries)?;
                if page.next < from {
                    return Err(Fault::new(
                        "log.rolled_back",
                        "the log went backwards while it was followed",
                    ));
                }
                from = page.next;
                if entries.is_empty() {
                    // A nexus that answers at once must not be asked without end.
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            Err(fault) if fault.retryable => {
                cx.out.warn(&format!("{fault}; trying again"));
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

pub(super) fn parse(item: &AuditEntryOut) -> Result<Shown, Fault> {
    let entry = Entry::parse(&item.entry.0).map_err(|e| Fault::new(e.code(), e.to_string()))?;
    if entry.index != item.index {
        return Err(Fault::new(
            "log.reordered",
            format!("entry {} was given as {}", entry.index, item.index),
        ));
    }
    Ok(Shown(entry))
}

/// Asks for the newest head, holds it against the last one that was seen here, and keeps it. A log that does not extend
/// what was seen is refused, and the old head stays.
pub(super) async fn see_head(cx: &Cx, session: &Session) -> Result<Checkpoint, Fault> {
    let key = session.context.log_key()?;
    let answer = session.call::<call::audit_head>(None, &Empty {}).await?;
    let new = Checkpoint::verify(&answer.checkpoint, &key)
        .map_err(|e| Fault::new(e.code(), e.to_string()))?;
    let path = cx.home.head_path(&session.name);
    let _lock = cx.home.lock()?;
    let broken = |code: &str, what: String| {
        Fault::new(code, what).hint(format!(
            "somebody rolled back or rewrote the log, or restored a backup; keep `{}`: with it `assay audit verify --head` shows it to others",
            path.display()
        ))
    };
    if let Some(old) = kept(&path, &key)? {
        if old.head().size > new.head().size && old.head().origin == new.head().origin {
            // A later call may have seen more than this one asked for; only the nexus's newest counts.
            let again = session.call::<call::audit_head>(None, &Empty {}).await?;
            let again = Checkpoint::verify(&again.checkpoint, &key)
                .map_err(|e| Fault::new(e.code(), e.to_string()))?;
            holds(session, old.head(), again.head())
                .await?
                .map_err(|f| broken(f.code(), f.to_string()))?;
            files::replace(&path, again.text().as_bytes(), Mode::Private)?;
            return Ok(again);
        }
        holds(session, old.head(), new.head())
            .await?
            .map_err(|f| broken(f.code(), f.to_string()))?;
    }
    files::replace(&path, new.text().as_bytes(), Mode::Private)?;
    Ok(new)
}

/// The head that was kept, where there is one.
pub(super) fn kept(
    path: &std::path::Path,
    key: &assay_api::log::LogKey,
) -> Result<Option<Checkpoint>, Fault> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, HEAD_LIMIT)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Checkpoint::verify(text, key).map(Some).map_err(|e| {
        Fault::new(e.code(), format!("the head in `{}` can't be used: {e}", path.display()))
            .hint("find out who wrote to it; removed, a rollback that lies before now is not noticed any more")
    })
}

async fn holds(
    session: &Session,
    old: &Head,
    new: &Head,
) -> Result<Result<(), assay_api::log::Fault>, Fault> {
    let proof = if old.size > 0 && old.size < new.size {
        let ask = ConsistencyAsk {
            from: old.size,
            to: new.size,
        };
        let proof = session.call::<call::audit_consistency>(None, &ask).await?;
        let hashes: Option<Vec<[u8; 32]>> = proof
            .hashes
            .iter()
            .map(|h| h.0.as_slice().try_into().ok())
            .collect();
        hashes.ok_or_else(|| {
            Fault::new(
                "client.bad_answer",
                "the consistency proof holds something that is no hash",
            )
        })?
    } else {
        Vec::new()
    };
    Ok(extends_head(old, new, &proof))
}
