//! Reading the audit log: lists, proofs, export. Writing it is [`Tx::change`](super::Tx::change) and
//! [`Tx::audit`](super::Tx::audit).

use std::num::NonZeroU32;

use assay_api::log::{self, Entry, Hash, tree};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::StoreFault;
use super::reader::Reader;
use super::view::Rows;

/// The most entries that one list gives.
pub const MAX_LIST: u32 = 1000;

/// Which entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this tenant's; `None` is for those who may see all.
    pub tenant: Option<String>,
    /// Only this event; `dpu.` (with the dot at its end) stands for all that begin so.
    pub event: Option<String>,
    /// Only entries after this index; with `newest_first`, only those before it.
    pub after: Option<u64>,
    /// Last entry first.
    pub newest_first: bool,
}

/// An entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its chain hash.
    pub chain: Hash,
    /// The bytes that are hashed.
    pub bytes: Vec<u8>,
    /// What they say.
    pub entry: Entry,
}

/// The audit log in one snapshot.
#[derive(Clone, Copy)]
pub struct AuditReader<'a>(&'a Connection);

impl std::fmt::Debug for AuditReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditReader(..)")
    }
}

impl Reader<'_> {
    /// The audit log in this snapshot.
    #[must_use]
    pub fn audit(&self) -> AuditReader<'_> {
        AuditReader(self.view().conn)
    }
}

impl AuditReader<'_> {
    /// How many entries there are.
    ///
    /// # Errors
    /// The store's faults.
    pub fn size(&self) -> Result<u64, StoreFault> {
        let last: Option<i64> = self
            .0
            .prepare_cached("SELECT max(idx) FROM audit")?
            .query_row([], |row| row.get(0))?;
        Ok(last
            .and_then(|n| u64::try_from(n).ok())
            .map_or(0, |n| n.saturating_add(1)))
    }

    /// The signed head of this snapshot: the text of the note.
    ///
    /// # Errors
    /// The store's faults.
    pub fn checkpoint(&self) -> Result<String, StoreFault> {
        Ok(self
            .0
            .prepare_cached("SELECT note FROM checkpoint")?
            .query_row([], |row| row.get(0))?)
    }

    /// Entries, at most `limit` and at most [`MAX_LIST`].
    ///
    /// # Errors
    /// The store's faults; [`StoreFault::LogBroken`] where an entry can't be read.
    pub fn list(
        &self,
        filter: &AuditFilter,
        limit: NonZeroU32,
    ) -> Result<Vec<StoredEntry>, StoreFault> {
        let mut sql = "SELECT idx, bytes, chain FROM audit WHERE true".to_owned();
        let mut values: Vec<Value> = Vec::new();
        if let Some(tenant) = &filter.tenant {
            sql.push_str(" AND tenant = ?");
            values.push(tenant.clone().into());
        }
        if let Some(event) = &filter.event {
            sql.push_str(if event.ends_with('.') {
                " AND substr(event, 1, length(?)) = ?"
            } else {
                " AND event = ?"
            });
            values.extend(event.ends_with('.').then(|| event.clone().into()));
            values.push(event.clone().into());
        }
        if let Some(after) = filter.after {
            sql.push_str(if filter.newest_first {
                " AND idx < ?"
            } else {
                " AND idx > ?"
            });
            values.push(i64::try_from(after).unwrap_or(i64::MAX).into());
        }
        let order = if filter.newest_first { "DESC" } else { "ASC" };
        sql.push_str(&format!(
            " ORDER BY idx {order} LIMIT {}",
            limit.get().min(MAX_LIST)
        ));
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let index: i64 = row.get(0)?;
            let (bytes, chain): (Vec<u8>, Hash) = (row.get(1)?, row.get(2)?);
            let entry = Entry::parse(&bytes).map_err(|_| unreadable(index))?;
            out.push(StoredEntry {
                chain,
                bytes,
                entry,
            });
        }
        Ok(out)
    }

    /// Proves that the log of `new` entries begins with the log of `old` entries (RFC 6962, 2.1.2).
    ///
    /// # Errors
    /// [`StoreFault::Misused`] where there are not so many, and the store's faults.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreFault> {
        self.has(new)?;
        tree::consistency_proof(self, old, new)
    }

    /// Proves that entry `index` stands in the log of `size` entries (RFC 6962, 2.1.1).
    ///
    /// # Errors
    /// As [`AuditReader::consistency`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, StoreFault> {
        self.has(size)?;
        tree::inclusion_proof(self, index, size)
    }

    /// Lines of an export from entry `from` up to `to`, not included, each with its line break: at most `most` bytes, but at
    /// least one line. Gives where to go on. The caller ends with the [`log::checkpoint_line`] of a head of size `to`.
    ///
    /// # Errors
    /// The store's faults.
    pub fn export(&self, from: u64, to: u64, most: usize) -> Result<(Vec<u8>, u64), StoreFault> {
        let (first, end) = (
            i64::try_from(from).unwrap_or(i64::MAX),
            i64::try_from(to).unwrap_or(i64::MAX),
        );
        let sql = "SELECT bytes, chain FROM audit WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![first, end])?;
        let (mut out, mut next) = (Vec::new(), from);
        while let Some(row) = rows.next()? {
            let chain: Hash = row.get(1)?;
            let bytes = row.get_ref(0)?.as_blob().map_err(|_| unreadable(first))?;
            let line = log::entry_line(bytes, &chain);
            if !out.is_empty() && out.len().saturating_add(line.len()) >= most {
                break;
            }
            out.extend(line);
            out.push(b'\n');
            next = next.saturating_add(1);
        }
        Ok((out, next))
    }

    fn has(&self, size: u64) -> Result<(), StoreFault> {
        let found = self.size()?;
        if size > found {
            Err(StoreFault::Misused(format!(
                "the log has {found} entries, not {size}"
            )))
        } else {
            Ok(())
        }
    }
}

/// The entry that completes a subtree keeps its root: level 0 is its own leaf, the others stand beside it.
impl tree::Subtrees for AuditReader<'_> {
    type Failed = StoreFault;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, StoreFault> {
        let absent = StoreFault::LogBroken {
            index,
            why: "a subtree is missing",
        };
        let last = index
            .checked_add(1)
            .and_then(|n| n.checked_shl(level.into()))
            .map_or(i64::MAX, |n| {
                i64::try_from(n).unwrap_or(i64::MAX).saturating_sub(1)
            });
        let sql = "SELECT bytes, nodes FROM audit WHERE idx = ?1";
        let found: Option<(Vec<u8>, Vec<u8>)> = self
            .0
            .prepare_cached(sql)?
            .query_row(params![last], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (bytes, nodes) = found.ok_or_else(|| absent.clone())?;
        match usize::from(level).checked_sub(1) {
            None => Ok(tree::leaf_hash(&bytes)),
            Some(place) => nodes
                .chunks_exact(32)
                .nth(place)
                .and_then(|h| h.try_into().ok())
                .ok_or(absent),
        }
    }
}

fn unreadable(index: i64) -> StoreFault {
    StoreFault::LogBroken {
        index: index.try_into().unwrap_or(0),
        why: "it can't be read",
    }
}
