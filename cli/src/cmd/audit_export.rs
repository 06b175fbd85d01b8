//! Exporting the log: every entry with its chain hash, then the checkpoint that covers them; checked on the way out.

use std::path::Path;

use assay_api::log::{Checkpoint, Item, LogEnd, Report, checkpoint_line, entry_line, verify_log};
use assay_api::routes::call;
use assay_api::types::AuditAsk;
use serde::Serialize;

use super::audit::see_head;
use crate::app::Cx;
use crate::fault::Fault;
use crate::files::{self, Mode};
use crate::out;
use crate::session::Session;

#[derive(Serialize)]
struct Exported {
    file: String,
    entries: u64,
    key: String,
}

pub(super) async fn run(cx: &Cx, session: &Session, file: &Path) -> Result<(), Fault> {
    let to_stdout = file == Path::new("-");
    if !to_stdout {
        files::check_free(file)?;
    }
    let head = see_head(cx, session).await?;
    let text = export(cx, session, &head).await?;
    if to_stdout {
        return out::print_bytes(&text);
    }
    files::create(file, &text, Mode::Private)?;
    let (entries, key) = (head.head().size, session.context.log_key()?.to_string());
    cx.out.done(
        &format!(
            "{entries} entries in {}; check them anywhere with `assay audit verify {} --key {key}`",
            file.display(),
            file.display()
        ),
        &Exported {
            file: file.display().to_string(),
            entries,
            key: key.clone(),
        },
    )
}

/// Fetches exactly what the head covers, however fast the log grows meanwhile.
async fn export(cx: &Cx, session: &Session, head: &Checkpoint) -> Result<Vec<u8>, Fault> {
    let size = head.head().size;
    let (mut end, mut text) = (LogEnd::default(), Vec::new());
    let mut items = Vec::new();
    while end.size() < size {
        let ask = AuditAsk {
            from: Some(end.size()),
            limit: Some(500),
            event: None,
            wait: None,
        };
        let page = session.call::<call::list_audit>(None, &ask).await?;
        let before = end.size();
        for item in page.items {
            if end.size() == size {
                break;
            }
            if item.index != end.size() {
                return Err(Fault::new("log.not_whole", "the nexus shows you only some of the entries, and only a whole log can be verified")
                    .hint("let a super:admin export it"));
            }
            let bytes = item.entry.0;
            let chain = end.append(&bytes).chain;
            text.extend(entry_line(&bytes, &chain));
            text.push(b'\n');
            items.push(Item::Entry { bytes, chain });
        }
        if end.size() == before {
            return Err(Fault::new(
                "log.truncated",
                format!("the nexus gives {before} entries, and its head covers {size}"),
            ));
        }
        cx.out
            .progress(&format!("{} of {size} entries", end.size()));
    }
    cx.out.progress_end();
    text.extend(checkpoint_line(head.text()));
    text.push(b'\n');
    items.push(Item::Checkpoint(head.text().to_owned()));
    let checked = verify_log(
        items.into_iter().map(Ok::<_, std::convert::Infallible>),
        &session.context.log_key()?,
        &[],
    );
    match checked {
        Ok(Report::Valid(_)) => {}
        // Kept all the same: it is the evidence.
        Ok(Report::Broken(broken)) => cx.out.warn(&format!("what the nexus gave is {broken}")),
        Err(never) => match never {},
    }
    Ok(text)
}
