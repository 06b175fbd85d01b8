//! Reading rows, the same way inside a transaction and from a reader: every row's MAC and place in the log are checked.

use std::num::NonZeroU32;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql};

use super::column::{Cell, Column};
use super::fault::StoreFault;
use super::row::{AsKey, RowId, TrustRow, forged, key_text, open_row};
use crate::keys::Keys;

/// What reads rows: [`Tx`](super::Tx), [`Change`](super::Change) and [`Reader`](super::Reader).
pub trait Rows {
    /// The connection and what is needed to check rows.
    #[doc(hidden)]
    fn view(&self) -> View<'_>;

    /// The row with this key: a value, or a tuple of as many as there are key columns.
    ///
    /// # Errors
    /// [`StoreFault::RowForged`] where it is not what was written last, and the faults of the database.
    fn get<R: TrustRow>(&self, key: impl AsKey) -> Result<Option<R>, StoreFault> {
        self.view().get_cells(&key.cells())
    }

    /// All rows whose column `column` (one of the type's `index`) has this value, in the order of their keys. For lists that
    /// may be long use [`Rows::page`].
    ///
    /// # Errors
    /// As [`Rows::get`], for any of them.
    fn find<R: TrustRow>(&self, column: &str, value: impl AsKey) -> Result<Vec<R>, StoreFault> {
        self.view().list(Some((column, &value.cells())), &[], None)
    }

    /// Rows in the order of their keys, after the key `after` (`None`: from the beginning), at most `limit`; only those with
    /// this value in `filter`'s column, one of the type's `index`, where given. For types with one key column.
    ///
    /// # Errors
    /// As [`Rows::get`], for any of them.
    fn page<R: TrustRow>(
        &self,
        filter: Option<(&str, &str)>,
        after: Option<&str>,
        limit: NonZeroU32,
    ) -> Result<Vec<R>, StoreFault> {
        let value = filter.map(|(column, value)| (column, [Cell::Text(value)]));
        let after = after.map(|key| vec![Cell::Text(key)]).unwrap_or_default();
        self.view().list(
            value.as_ref().map(|(c, v)| (*c, v.as_slice())),
            &after,
            Some(limit),
        )
    }

    /// The connection, for tables that decide no trust. Trust rows are never read this way.
    fn sql(&self) -> &Connection {
        self.view().conn
    }

    /// The keys, to open what is sealed.
    fn keys(&self) -> &Keys {
        self.view().keys
    }
}

/// Where the log's latest index for a row is asked for.
pub(super) trait Latest {
    fn latest(&self, row: RowId) -> Option<u64>;

    /// A row did not fit the index. `true` where that is certain; a reader whose snapshot may be older than the index remembers
    /// that, and asks again.
    fn mismatch(&self) -> bool {
        true
    }
}

/// What reading needs.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) conn: &'a Connection,
    pub(super) keys: &'a Keys,
    pub(super) latest: &'a dyn Latest,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View(..)")
    }
}

impl<'a> View<'a> {
    pub(super) fn get_cells<R: TrustRow>(self, key: &[Cell<'_>]) -> Result<Option<R>, StoreFault> {
        if key.len() != R::KEYS {
            return Err(StoreFault::Misused(format!(
                "`{}` has {} key columns",
                R::TABLE,
                R::KEYS
            )));
        }
        let mut statement = self.conn.prepare_cached(&R::statements().get)?;
        let mut rows = statement.query(rusqlite::params_from_iter(key.iter().map(Bound)))?;
        match rows.next()? {
            Some(row) => self.open(row).map(Some),
            // INVARIANT: rows are never deleted (I12), so a row that the log knows and the table does not was removed.
            None if self.latest.latest(row_id::<R>(key)).is_some() => {
                Err(self.mismatch::<R>(key_text(key)))
            }
            None => Ok(None),
        }
    }

    fn list<R: TrustRow>(
        self,
        filter: Option<(&str, &[Cell<'_>])>,
        after: &[Cell<'_>],
        limit: Option<NonZeroU32>,
    ) -> Result<Vec<R>, StoreFault> {
        let statements = R::statements();
        let mut sql = statements.select.clone();
        let mut values = Vec::new();
        if let Some((column, value)) = filter {
            let ([value], Some(column)) = (value, R::INDEX.iter().find(|c| **c == column)) else {
                return Err(StoreFault::Misused(format!(
                    "`{}` has no index `{column}`",
                    R::TABLE
                )));
            };
            sql.push_str(&format!(" WHERE {column} = ?1"));
            values.push(*value);
        }
        if !after.is_empty() {
            if after.len() != R::KEYS {
                return Err(StoreFault::Misused(format!(
                    "`{}` has {} key columns",
                    R::TABLE,
                    R::KEYS
                )));
            }
            let word = if values.is_empty() { "WHERE" } else { "AND" };
            sql.push_str(&format!(
                " {word} {} > ?{}",
                statements.order,
                values.len().saturating_add(1)
            ));
            values.extend_from_slice(after);
        }
        sql.push_str(&format!(" ORDER BY {}", statements.order));
        if let Some(limit) = limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values.iter().map(Bound)))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(self.open(row)?);
        }
        Ok(out)
    }

    fn mismatch<R: TrustRow>(self, key: String) -> StoreFault {
        if self.latest.mismatch() {
            forged::<R>(key)
        } else {
            StoreFault::RowForged {
                table: R::TABLE,
                key,
            }
        }
    }

    /// Checks MAC and log index of a row that lies open.
    fn open<R: TrustRow>(self, row: &Row<'_>) -> Result<R, StoreFault> {
        let columns = R::COLUMNS.len();
        let mut cells = Vec::with_capacity(columns);
        for i in 0..columns {
            cells.push(
                cell(row.get_ref(i)?)
                    .ok_or_else(|| forged::<R>("a value that is none of ours".into()))?,
            );
        }
        let key = || key_text(cells.get(..R::KEYS).unwrap_or_default());
        let (Ok(log_index), Ok(mac)) = (
            row.get_ref(columns)?.as_i64(),
            row.get_ref(columns.saturating_add(1))?.as_blob(),
        ) else {
            return Err(forged::<R>(key()));
        };
        let Some(read) = open_row::<R>(self.keys.row_mac(), &cells, log_index, mac) else {
            return Err(forged::<R>(key()));
        };
        let latest = self
            .latest
            .latest(row_id::<R>(cells.get(..R::KEYS).unwrap_or_default()));
        if latest.is_none() || latest != u64::try_from(log_index).ok() {
            return Err(self.mismatch::<R>(key()));
        }
        Ok(read)
    }
}

/// `table/key`, as it stands in audit entries.
pub(super) fn row_name<R: TrustRow>(key: &[Cell<'_>]) -> String {
    format!("{}/{}", R::TABLE, key_text(key))
}

fn row_id<R: TrustRow>(key: &[Cell<'_>]) -> RowId {
    RowId::of(&row_name::<R>(key))
}

fn cell(value: ValueRef<'_>) -> Option<Cell<'_>> {
    match value {
        ValueRef::Null => Some(Cell::Null),
        ValueRef::Integer(n) => Some(Cell::Integer(n)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Cell::Text),
        ValueRef::Blob(bytes) => Some(Cell::Blob(bytes)),
        ValueRef::Real(_) => None,
    }
}

/// A cell as a statement takes it.
pub(super) struct Bound<'a>(pub(super) &'a Cell<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Integer(n) => ValueRef::Integer(*n),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A value of a column in plain SQL: `params![AsSql(&time)]`.
#[derive(Debug)]
pub struct AsSql<'a, T: Column>(pub &'a T);

impl<T: Column> ToSql for AsSql<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0.cell() {
            Cell::Null => ValueRef::Null,
            Cell::Integer(n) => ValueRef::Integer(n),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
