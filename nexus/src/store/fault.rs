//! Everything that can go wrong between a question and the disk.

/// Why the store did not do what was asked. Nothing changed where this is returned from a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The disk is full; only [`write_reserved`](super::Store::write_reserved) still goes through.
    #[error("the disk is full: nothing is released until space is freed; revoking still works")]
    Full,
    /// Somebody else holds the database.
    #[error("the database is locked by another process")]
    Busy,
    /// The database can't be reached, read or written.
    #[error("the database can't be used: {0}")]
    Unavailable(String),
    /// SQLite says that the file is damaged.
    #[error("the database is damaged: {0}: restore a backup")]
    Corrupt(String),
    /// A row that decides trust is not what the nexus wrote last.
    #[error(
        "row `{key}` of `{table}` was changed, restored or removed outside the nexus: it is not used"
    )]
    RowForged {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
    },
    /// The audit log does not hold together.
    #[error("the audit log is broken at entry {index}: {why}")]
    LogBroken {
        /// The first entry that is wrong, counted from 0.
        index: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A row with this key, or this value where each is unique, is there already.
    #[error("there is one already: {what}")]
    Conflict {
        /// `table.column` as SQLite names it.
        what: String,
    },
    /// No row with this key to update.
    #[error("no row `{key}` in `{table}`")]
    NoRow {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
    },
    /// The database was written by a later version.
    #[error(
        "the database has schema {found}, this version knows {known}: run the newer assay-nexus"
    )]
    Newer {
        /// The database's schema.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// Another nexus runs on this database.
    #[error("another assay-nexus holds `{0}`: stop it first")]
    InUse(String),
    /// The keys don't fit.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyFault),
    /// An audit entry can't be written.
    #[error(transparent)]
    Entry(#[from] assay_api::log::EntryFault),
    /// A checkpoint can't be made: the log's name is no key name.
    #[error(transparent)]
    Checkpoint(#[from] assay_api::log::NoteFault),
    /// The transaction panicked; it was rolled back.
    #[error("a transaction failed inside and was rolled back")]
    Panicked,
    /// The store was asked something that it does not know: a fault in the program.
    #[error("the store was asked wrongly: {0}")]
    Misused(String),
}

impl StoreFault {
    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full => "store.full",
            Self::Busy => "store.busy",
            Self::Unavailable(_) => "store.unavailable",
            Self::Corrupt(_) => "store.corrupt",
            Self::RowForged { .. } => "store.row_forged",
            Self::LogBroken { .. } => "store.log_broken",
            Self::Conflict { .. } => "store.conflict",
            Self::NoRow { .. } => "store.no_row",
            Self::Newer { .. } => "store.newer",
            Self::InUse(_) => "store.in_use",
            Self::Key(fault) => fault.code(),
            Self::Entry(fault) => fault.code(),
            Self::Checkpoint(fault) => fault.code(),
            Self::Panicked => "store.panicked",
            Self::Misused(_) => "store.misused",
        }
    }
}

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let rusqlite::Error::SqliteFailure(code, message) = &error else {
            return Self::Misused(error.to_string());
        };
        let message = || message.clone().unwrap_or_else(|| code.to_string());
        match code.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(message()),
            ErrorCode::ConstraintViolation if is_unique(code.extended_code) => Self::Conflict {
                what: message().replace("UNIQUE constraint failed: ", ""),
            },
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse => {
                Self::Misused(message())
            }
            ErrorCode::Unknown => Self::Misused(message()),
            _ => Self::Unavailable(message()),
        }
    }
}

const fn is_unique(extended: i32) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    matches!(
        extended,
        SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE
    )
}

impl From<std::io::Error> for StoreFault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
