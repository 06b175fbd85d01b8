//! Opening: lock, schema, master key, log, in that order, each believed only where it fits.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_api::log::{Checkpoint, LogEnd, LogKey};
use assay_attest::key::PublicKey;
use assay_attest::time::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::clock_accept::{self, ClockAccept};
use super::draft::EntryDraft;
use super::fault::StoreFault;
use super::inner::Shared;
use super::reader::Readers;
use super::reserve::Reserve;
use super::view::Rows;
use super::writer::Writer;
use super::{Inner, Store, log, migrate};
use crate::clock::{Clock, ClockGuard};
use crate::keys::{KeyFault, Keys, Master, Signer};

/// How many callers may wait for the writer before the next has to.
const QUEUE: usize = 1024;

/// When a COMMIT counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it (`synchronous=FULL`).
    Full,
    /// When the kernel has it: to measure against, never to run.
    Off,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The database file; its WAL, its lock (`.lock`) and its reserve (`.reserve`) stand beside it.
    pub path: PathBuf,
    /// The audit log's name in its checkpoints: printable ASCII without spaces and `+`. Never changes afterwards.
    pub origin: String,
    /// [`Durability::Full`].
    pub durability: Durability,
    /// How many connections read.
    pub readers: usize,
    /// How long to wait for somebody else's lock.
    pub busy: Duration,
    /// The size of the reserve for revoking on a full disk, in bytes.
    pub reserve: u64,
}

impl StoreOptions {
    /// The usual: durable, four readers, five seconds, 4 MiB.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            origin: origin.into(),
            durability: Durability::Full,
            readers: 4,
            busy: Duration::from_secs(5),
            reserve: 4 << 20,
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

impl Store {
    /// Whether there is a database at this path: where not, this is the first start and a master key may be made.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.metadata().is_ok_and(|m| m.len() > 0)
    }

    /// Opens the store, or makes it. The whole audit log is verified first.
    ///
    /// # Errors
    /// [`StoreFault`]: in use, newer, wrong master key, broken log, and the faults of disk and database.
    pub fn open(
        options: &StoreOptions,
        master: &Master,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreFault> {
        let keys = Keys::derive(master)?;
        let PublicKey::Ed25519(public) = keys.log().public() else {
            return Err(KeyFault::Signing.into());
        };
        let log_key = LogKey::new(&options.origin, public)?;
        let lock = lock(options)?;
        let mut conn = connect(options)?;
        migrate::migrate(&mut conn)?;
        know_master(&conn, &keys)?;

        let log = log::verify(&conn, &log_key)?;
        let guard = ClockGuard::new(clock, log.time);
        let first = log.head.is_none();
        let (head, end, time) = match log.head {
            Some(head) => (head, log.end, log.time),
            None => first_entry(&mut conn, &keys, &log_key, guard.now())?,
        };
        let reserve = Reserve::new(options.beside(".reserve"), options.reserve);
        let full = !reserve.take();
        let shared = Arc::new(Shared::new(keys, log_key, guard, head, log.rows));
        shared
            .full
            .store(full, std::sync::atomic::Ordering::Relaxed);
        let readers = Readers::open(&options.path, options.readers, options.busy)?;
        let accepted = readers.read(&shared, |r| r.get::<ClockAccept>(clock_accept::ID))?;
        if !first {
            shared
                .guard
                .refer(clock_accept::reference(accepted.as_ref(), time));
        }

        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer {
            conn,
            shared: shared.clone(),
            reserve,
            end,
            time,
            last_batch: 0,
        };
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.serve(jobs))?;
        Ok(Self(Arc::new(Inner {
            shared,
            readers,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            _lock: lock,
        })))
    }
}

fn lock(options: &StoreOptions) -> Result<Flock<std::fs::File>, StoreFault> {
    if let Some(directory) = options.path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let private = |path: &Path| {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    private(&options.path)?;
    let path = options.beside(".lock");
    Flock::lock(private(&path)?, FlockArg::LockExclusiveNonblock)
        .map_err(|_| StoreFault::InUse(options.path.display().to_string()))
}

fn connect(options: &StoreOptions) -> Result<Connection, StoreFault> {
    let conn = Connection::open(&options.path)?;
    conn.busy_timeout(options.busy)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match options.durability {
        Durability::Full => "full",
        Durability::Off => "off",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    // Otherwise statements are planned again with values in mind, each time they are bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 2_000)?;
    conn.set_prepared_statement_cache_capacity(256);
    Ok(conn)
}

/// Remembers the master at the first start; refuses another at every later one.
fn know_master(conn: &Connection, keys: &Keys) -> Result<(), StoreFault> {
    let get = "SELECT value FROM meta WHERE name = 'master'";
    let known: Option<Vec<u8>> = conn.query_row(get, [], |row| row.get(0)).optional()?;
    match known {
        Some(known) if bool::from(known.as_slice().ct_eq(keys.check())) => Ok(()),
        Some(_) => Err(KeyFault::WrongMaster.into()),
        None => {
            conn.execute(
                "INSERT INTO meta (name, value) VALUES ('master', ?1)",
                params![keys.check()],
            )?;
            Ok(())
        }
    }
}

/// The first entry of a new log, and with it the first head: from here on there always is one.
fn first_entry(
    conn: &mut Connection,
    keys: &Keys,
    key: &LogKey,
    now: Timestamp,
) -> Result<(Checkpoint, LogEnd, Timestamp), StoreFault> {
    let tx = conn.transaction()?;
    let mut end = LogEnd::default();
    let draft = EntryDraft::system("log.begin", "store")
        .detail("origin", key.origin())
        .detail("key", key.to_string());
    log::append(&tx, &mut end, now, draft, Vec::new())?;
    let head = log::write_head(&tx, keys, key, &end)?;
    tx.commit()?;
    Ok((head, end, now))
}
