//! The schema's versions: one file each in `nexus/migrations`, one transaction each, forward only.

use rusqlite::Connection;

use super::fault::StoreFault;

/// THE list of migrations, in order. To add one, add the file and its line. One that was released never changes.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "0001_ground",
        include_str!("../../migrations/0001_ground.sql"),
    ),
    (
        "0002_people",
        include_str!("../../migrations/0002_people.sql"),
    ),
    (
        "0003_devices",
        include_str!("../../migrations/0003_devices.sql"),
    ),
    ("0004_ssh", include_str!("../../migrations/0004_ssh.sql")),
    (
        "0005_bounds",
        include_str!("../../migrations/0005_bounds.sql"),
    ),
    (
        "0006_manifests",
        include_str!("../../migrations/0006_manifests.sql"),
    ),
    ("0007_erot", include_str!("../../migrations/0007_erot.sql")),
];

/// "assa": tells our files from other SQLite databases.
const APPLICATION_ID: i32 = 0x6173_7361;

/// Brings the database to the schema that this program knows.
///
/// # Errors
/// [`StoreFault::Newer`] where it was written by a later version; nothing is touched then.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreFault> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let owner: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found > known {
        return Err(StoreFault::Newer { found, known });
    }
    if found > 0 && owner != APPLICATION_ID {
        return Err(StoreFault::Corrupt(
            "this is the database of another program".into(),
        ));
    }
    for (version, (name, sql)) in (1_u32..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.commit()?;
        tracing::info!(migration = name, "schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_directory() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .map(|f| f.strip_suffix(".sql").unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, MIGRATIONS.iter().map(|m| m.0).collect::<Vec<_>>());
        for (number, file) in (1..).zip(&files) {
            assert!(
                file.starts_with(&format!("{number:04}_")),
                "`{file}` leaves a gap"
            );
        }
    }

    #[test]
    fn every_table_is_strict() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict \
                   AND name NOT LIKE 'sqlite_%'";
        let loose: Vec<String> = conn
            .prepare(sql)
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(loose.is_empty(), "not STRICT: {loose:?}");
    }

    #[test]
    fn a_newer_schema_and_another_programs_database_are_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        migrate(&mut conn).unwrap();
        conn.pragma_update(None, "application_id", 1).unwrap();
        assert_eq!(migrate(&mut conn).unwrap_err().code(), "store.corrupt");
        conn.pragma_update(None, "user_version", 1000).unwrap();
        assert_eq!(migrate(&mut conn).unwrap_err().code(), "store.newer");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE tenant (x INTEGER) STRICT")
            .unwrap();
        migrate(&mut conn).unwrap_err();
        let version: u32 = conn
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let tables: u32 = conn
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!((version, tables), (0, 1));
    }
}
