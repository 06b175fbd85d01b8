//! The audit log at start: read from the first entry to the last, and believed only where everything fits.

use std::borrow::Cow;
use std::collections::HashMap;

use assay_api::log::{Checkpoint, LogEnd, LogKey, sign_checkpoint};
use assay_attest::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::draft::EntryDraft;
use super::fault::StoreFault;
use super::row::RowId;
use crate::keys::{Keys, Signer};

/// What the log says at start.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) end: LogEnd,
    pub(super) time: Timestamp,
    pub(super) rows: HashMap<RowId, u64>,
    pub(super) head: Option<Checkpoint>,
}

/// What an entry says that the store itself needs.
#[derive(serde::Deserialize)]
struct Line<'a> {
    index: u64,
    time_ms: Timestamp,
    event: String,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default, borrow)]
    rows: Vec<Cow<'a, str>>,
}

/// Gives an entry its place at the end of the log.
pub(super) fn append(
    conn: &Connection,
    end: &mut LogEnd,
    time: Timestamp,
    draft: EntryDraft,
    rows: Vec<String>,
) -> Result<(), StoreFault> {
    let (event, tenant) = (draft.event.clone(), draft.tenant.clone());
    let bytes = draft.into_entry(end.size(), time, rows).to_bytes()?;
    let appended = end.append(&bytes);
    let nodes: Vec<u8> = appended
        .subtrees
        .iter()
        .skip(1)
        .flat_map(|s| s.hash)
        .collect();
    let sql = "INSERT INTO audit (idx, time, event, tenant, bytes, chain, nodes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let index =
        i64::try_from(appended.index).map_err(|_| StoreFault::Misused("the log is full".into()))?;
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    conn.prepare_cached(sql)?.execute(params![
        index,
        time,
        event,
        tenant,
        bytes,
        appended.chain,
        nodes
    ])?;
    Ok(())
}

/// Signs the head of this end and stores it.
pub(super) fn write_head(
    conn: &Connection,
    keys: &Keys,
    key: &LogKey,
    end: &LogEnd,
) -> Result<Checkpoint, StoreFault> {
    let sign = |body: &[u8]| Ok(keys.log().sign(body)?);
    let head = sign_checkpoint::<StoreFault>(end.head(key.origin()), key, sign)?;
    let sql = "INSERT INTO checkpoint (id, note) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET note = excluded.note";
    conn.prepare_cached(sql)?.execute(params![head.text()])?;
    Ok(head)
}

/// Recomputes chain, tree and the columns beside the entries, and compares the result with the signed head.
///
/// # Errors
/// [`StoreFault::LogBroken`] at the first entry that does not fit.
pub(super) fn verify(conn: &Connection, key: &LogKey) -> Result<Log, StoreFault> {
    let mut log = Log {
        end: LogEnd::default(),
        time: Timestamp::from_millis(0),
        rows: HashMap::new(),
        head: None,
    };
    let mut statement = conn
        .prepare("SELECT idx, time, event, tenant, bytes, chain, nodes FROM audit ORDER BY idx")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let index = log.end.size();
        let broken = |why| StoreFault::LogBroken { index, why };
        let (idx, time): (i64, i64) = (row.get(0)?, row.get(1)?);
        if u64::try_from(idx).ok() != Some(index) {
            return Err(broken("an entry is missing"));
        }
        let (event, tenant) = (row.get_ref(2)?.as_str().ok(), row.get_ref(3)?.as_str().ok());
        let (Ok(bytes), Ok(chain), Ok(nodes)) = (
            row.get_ref(4)?.as_blob(),
            row.get_ref(5)?.as_blob(),
            row.get_ref(6)?.as_blob(),
        ) else {
            return Err(broken("a column has another type"));
        };
        let appended = log.end.append(bytes);
        if appended.chain != chain {
            return Err(broken(
                "the chain hash does not fit: this entry or the one before was changed",
            ));
        }
        let subtrees = appended.subtrees.iter().skip(1).map(|s| s.hash.as_slice());
        if !nodes.chunks(32).eq(subtrees) {
            return Err(broken("the tree nodes beside the entry were changed"));
        }
        let line: Line<'_> =
            serde_json::from_slice(bytes).map_err(|_| broken("it can't be read"))?;
        if line.index != index || line.time_ms < log.time {
            return Err(broken("its index or time is out of order"));
        }
        let beside = (
            i64::try_from(line.time_ms.as_millis()).ok(),
            Some(&*line.event),
            line.tenant.as_deref(),
        );
        if beside != (Some(time), event, tenant) {
            return Err(broken("the columns beside the entry were changed"));
        }
        log.time = line.time_ms;
        log.rows
            .extend(line.rows.iter().map(|name| (RowId::of(name), index)));
    }
    log.head = head(conn, key, &log.end)?;
    Ok(log)
}

/// The stored checkpoint, which must be the one of this very end.
fn head(conn: &Connection, key: &LogKey, end: &LogEnd) -> Result<Option<Checkpoint>, StoreFault> {
    let note: Option<String> = conn
        .query_row("SELECT note FROM checkpoint", [], |row| row.get(0))
        .optional()?;
    let broken = |why| StoreFault::LogBroken {
        index: end.size(),
        why,
    };
    let Some(note) = note else {
        return if end.size() == 0 {
            Ok(None)
        } else {
            Err(broken("the signed head is missing"))
        };
    };
    let head = Checkpoint::verify(&note, key)
        .map_err(|_| broken("the signed head is not by this log's key"))?;
    if head.head().size > end.size() {
        return Err(broken("the log was cut: its signed head covers more"));
    }
    if *head.head() != end.head(key.origin()) {
        return Err(broken("the log is not the one that its signed head covers"));
    }
    Ok(Some(head))
}
