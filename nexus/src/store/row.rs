//! Rows that decide trust: defined once by [`trust_row!`](crate::trust_row), covered by a MAC, tied to the audit log (I12).

use std::fmt::Write as _;

use assay_api::lp;
use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};

use super::column::{Cell, Column};
use super::fault::StoreFault;

/// The name and type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: &'static str,
    /// Its SQL type.
    pub sql: &'static str,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A row that decides trust. Implemented by [`trust_row!`](crate::trust_row) only.
pub trait TrustRow: Sized + Send + 'static {
    /// The table.
    const TABLE: &'static str;
    /// How many of the columns make the key; they come first.
    const KEYS: usize;
    /// All columns, but `log_index` and `mac`, which every trust table has and no row type names.
    const COLUMNS: &'static [ColumnSpec];
    /// The columns that [`find`](super::Rows::find) may be asked for.
    const INDEX: &'static [&'static str];

    /// The values, in the order of the columns.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// The row from its values; `None` where they don't fit.
    fn from_cells(cells: &[Cell<'_>]) -> Option<Self>;

    /// Its SQL, made once.
    fn statements() -> &'static Statements;
}

/// The SQL of one row type.
#[derive(Debug)]
pub struct Statements {
    pub(super) get: String,
    pub(super) insert: String,
    pub(super) update: String,
    /// Ends before the column that is asked for.
    pub(super) select: String,
    pub(super) order: String,
}

impl Statements {
    /// For one row type.
    #[must_use]
    pub fn of<R: TrustRow>() -> Self {
        let names: Vec<&str> = R::COLUMNS.iter().map(|c| c.name).collect();
        let keys = names.get(..R::KEYS).unwrap_or_default();
        let all = names.join(", ");
        let marks = (1..=names.len().saturating_add(2))
            .map(|i| format!("?{i}"))
            .collect::<Vec<_>>()
            .join(", ");
        let at = |from: usize, names: &[&str], between: &str| {
            let pairs = names
                .iter()
                .enumerate()
                .map(|(i, n)| format!("{n} = ?{}", i.saturating_add(from)));
            pairs.collect::<Vec<_>>().join(between)
        };
        let table = R::TABLE;
        let mut set = at(1, &names, ", ");
        let n = names.len();
        let _ = write!(
            set,
            ", log_index = ?{}, mac = ?{}",
            n.saturating_add(1),
            n.saturating_add(2)
        );
        Self {
            get: format!(
                "SELECT {all}, log_index, mac FROM {table} WHERE {}",
                at(1, keys, " AND ")
            ),
            insert: format!("INSERT INTO {table} ({all}, log_index, mac) VALUES ({marks})"),
            update: format!("UPDATE {table} SET {set} WHERE {}", at(1, keys, " AND ")),
            select: format!("SELECT {all}, log_index, mac FROM {table}"),
            order: keys.join(", "),
        }
    }
}

/// What names a row: one value, or a tuple of as many as the row type has key columns.
pub trait AsKey {
    /// The values, in the order of the key columns.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// The key as text, as it stands in audit entries: the values, joined by commas, with everything but letters, digits and
    /// `.-_~:@` as %XX; blobs in hexadecimal.
    fn text(&self) -> String {
        key_text(&self.cells())
    }
}

impl AsKey for &str {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::Text(self)]
    }
}

impl<T: Column> AsKey for &T {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![(*self).cell()]
    }
}

impl<A: AsKey, B: AsKey> AsKey for (A, B) {
    fn cells(&self) -> Vec<Cell<'_>> {
        [self.0.cells(), self.1.cells()].concat()
    }
}

impl<A: AsKey, B: AsKey, C: AsKey> AsKey for (A, B, C) {
    fn cells(&self) -> Vec<Cell<'_>> {
        [self.0.cells(), self.1.cells(), self.2.cells()].concat()
    }
}

impl<A: AsKey, B: AsKey, C: AsKey, D: AsKey> AsKey for (A, B, C, D) {
    fn cells(&self) -> Vec<Cell<'_>> {
        [
            self.0.cells(),
            self.1.cells(),
            self.2.cells(),
            self.3.cells(),
        ]
        .concat()
    }
}

/// See [`AsKey::text`]. Two keys of one table never give the same text.
pub(super) fn key_text(cells: &[Cell<'_>]) -> String {
    let mut out = String::new();
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match cell {
            Cell::Null => out.push('%'),
            Cell::Integer(n) => {
                let _ = write!(out, "{n}");
            }
            Cell::Blob(bytes) => out.push_str(&base16ct::lower::encode_string(bytes)),
            Cell::Text(text) => {
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b".-_~:@".contains(&byte) {
                        out.push(char::from(byte));
                    } else {
                        let _ = write!(out, "%{byte:02X}");
                    }
                }
            }
        }
    }
    out
}

/// A row's place in memory: the first 16 bytes of SHA-256 over `table/key`, as audit entries name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowId([u8; 16]);

impl RowId {
    pub(super) fn of(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// `lp(table) lp(key) lp(log index)`, then for each column that is not NULL `lp(name) lp(type tag and value)`. Columns
/// are named, so that a later migration may add a nullable one without touching the rows that are there.
fn mac_input<R: TrustRow>(cells: &[Cell<'_>], log_index: i64) -> Vec<u8> {
    let key = key_text(cells.get(..R::KEYS).unwrap_or_default());
    let mut out = Vec::with_capacity(1024);
    for field in [
        b"assay/row/1".as_slice(),
        R::TABLE.as_bytes(),
        key.as_bytes(),
        &log_index.to_be_bytes(),
    ] {
        lp::push(&mut out, field);
    }
    for (spec, cell) in R::COLUMNS.iter().zip(cells) {
        let (tag, integer);
        let value: &[u8] = match cell {
            Cell::Null => continue,
            Cell::Integer(n) => {
                tag = b'I';
                integer = n.to_be_bytes();
                &integer
            }
            Cell::Text(text) => {
                tag = b'T';
                text.as_bytes()
            }
            Cell::Blob(bytes) => {
                tag = b'B';
                bytes
            }
        };
        for field in [spec.name.as_bytes(), &[tag], value] {
            lp::push(&mut out, field);
        }
    }
    out
}

/// The MAC of a row.
pub(super) fn row_mac<R: TrustRow>(
    key: &hmac::Key,
    cells: &[Cell<'_>],
    log_index: i64,
) -> hmac::Tag {
    hmac::sign(key, &mac_input::<R>(cells, log_index))
}

/// Checks the MAC of a row in constant time, and reads the row.
pub(super) fn open_row<R: TrustRow>(
    key: &hmac::Key,
    cells: &[Cell<'_>],
    log_index: i64,
    mac: &[u8],
) -> Option<R> {
    hmac::verify(key, &mac_input::<R>(cells, log_index), mac).ok()?;
    R::from_cells(cells)
}

/// What a forged row is called.
pub(super) fn forged<R: TrustRow>(key: String) -> StoreFault {
    tracing::error!(table = R::TABLE, key, "a row was changed outside the nexus");
    StoreFault::RowForged {
        table: R::TABLE,
        key,
    }
}

/// Defines a row type that decides trust: the struct, its table, its key and its columns, once. See [`crate::store`] for an
/// example and for the table that the migration must make.
#[macro_export]
macro_rules! trust_row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident in $table:literal {
            key { $( $(#[$kmeta:meta])* $key:ident : $kty:ty ),+ $(,)? }
            columns { $( $(#[$cmeta:meta])* $col:ident : $cty:ty ),* $(,)? }
            index { $( $index:ident ),* $(,)? }
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$kmeta])* pub $key: $kty, )+
            $( $(#[$cmeta])* pub $col: $cty, )*
        }

        impl $crate::store::TrustRow for $name {
            const TABLE: &'static str = $table;
            const KEYS: usize = [$( stringify!($key) ),+].len();
            const COLUMNS: &'static [$crate::store::ColumnSpec] = &[
                $( $crate::store::ColumnSpec {
                    name: stringify!($key),
                    sql: <$kty as $crate::store::Column>::SQL,
                    nullable: <$kty as $crate::store::Column>::NULLABLE,
                }, )+
                $( $crate::store::ColumnSpec {
                    name: stringify!($col),
                    sql: <$cty as $crate::store::Column>::SQL,
                    nullable: <$cty as $crate::store::Column>::NULLABLE,
                }, )*
            ];
            const INDEX: &'static [&'static str] = &[$( stringify!($index) ),*];

            fn cells(&self) -> Vec<$crate::store::Cell<'_>> {
                vec![
                    $( $crate::store::Column::cell(&self.$key), )+
                    $( $crate::store::Column::cell(&self.$col), )*
                ]
            }

            fn from_cells(cells: &[$crate::store::Cell<'_>]) -> Option<Self> {
                let mut cells = cells.iter().copied();
                Some(Self {
                    $( $key: $crate::store::Column::read(cells.next()?)?, )+
                    $( $col: $crate::store::Column::read(cells.next()?)?, )*
                })
            }

            fn statements() -> &'static $crate::store::Statements {
                static STATEMENTS: std::sync::LazyLock<$crate::store::Statements> =
                    std::sync::LazyLock::new($crate::store::Statements::of::<$name>);
                &STATEMENTS
            }
        }
    };
}
