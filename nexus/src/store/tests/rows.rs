//! Rows that decide trust (I12).

use std::num::NonZeroU32;

use crate::store::rows::ROW_TYPES;
use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry, tenant};
use crate::store::{Rows, Store, StoreFault};

fn put(store: &Store, row: Tenant) -> Result<u64, StoreFault> {
    store.write_blocking(move |tx| {
        tx.change(entry("tenant.put"), |c| {
            c.put(&row)?;
            Ok(c.index())
        })
    })
}

fn get(store: &Store, id: &str) -> Result<Option<Tenant>, StoreFault> {
    store.read_now(|r| r.get::<Tenant>(id))
}

#[test]
fn every_row_type_fits_its_table() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let conn = rusqlite::Connection::open(scratch.path()).unwrap();
    for row in ROW_TYPES {
        let sql = format!(
            "SELECT name, type, \"notnull\", pk FROM pragma_table_info('{}') ORDER BY cid",
            row.table
        );
        let found: Vec<(String, String, bool, isize)> = conn
            .prepare(&sql)
            .unwrap()
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let expected: Vec<_> = (1..)
            .zip(row.columns)
            .map(|(i, c)| {
                (
                    c.name.to_owned(),
                    c.sql.to_owned(),
                    !c.nullable,
                    if i <= isize::try_from(row.keys).unwrap() {
                        i
                    } else {
                        0
                    },
                )
            })
            .chain([
                ("log_index".into(), "INTEGER".into(), true, 0),
                ("mac".into(), "BLOB".into(), true, 0),
            ])
            .collect();
        assert_eq!(found, expected, "table `{}`", row.table);
        for column in row.index {
            let sql = "SELECT count(*) FROM pragma_index_list(?1) l, pragma_index_info(l.name) i WHERE i.seqno = 0 AND i.name = ?2";
            let indexes: u32 = conn
                .query_row(sql, [row.table, column], |r| r.get(0))
                .unwrap();
            assert!(
                indexes > 0,
                "`{}.{column}` is asked for without an index",
                row.table
            );
        }
    }
    let sql = "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'mac'";
    let mut tables: Vec<String> = conn
        .prepare(sql)
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut listed: Vec<&str> = ROW_TYPES.iter().map(|r| r.table).collect();
    tables.sort();
    listed.sort_unstable();
    assert_eq!(
        tables, listed,
        "tables with MACs, and the list of row types"
    );
}

#[test]
fn a_row_comes_back_as_it_was_written() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert_eq!(get(&store, "t-1").unwrap(), None);
    assert_eq!(put(&store, tenant("t-1", TenantState::Active)).unwrap(), 1);
    assert_eq!(
        get(&store, "t-1").unwrap(),
        Some(tenant("t-1", TenantState::Active))
    );
    assert_eq!(put(&store, tenant("t-1", TenantState::Removed)).unwrap(), 2);
    assert_eq!(put(&store, tenant("t-2", TenantState::Active)).unwrap(), 3);
    drop(store);
    let store = scratch.open();
    assert_eq!(
        get(&store, "t-1").unwrap(),
        Some(tenant("t-1", TenantState::Removed))
    );
    let limit = NonZeroU32::new(1).unwrap();
    let page = |after: Option<&str>| {
        store
            .read_now::<_, StoreFault>(|r| r.page::<Tenant>(None, after, limit))
            .unwrap()
    };
    assert_eq!(page(None), [tenant("t-1", TenantState::Removed)]);
    assert_eq!(page(Some("t-1")), [tenant("t-2", TenantState::Active)]);
    assert_eq!(page(Some("t-2")), []);
    let named: Vec<Tenant> = store
        .read_now::<_, StoreFault>(|r| r.find("name", "t-2"))
        .unwrap();
    assert_eq!(named, [tenant("t-2", TenantState::Active)]);
}

/// Opens a store, writes a tenant twice, lets somebody at the file, opens it again and reads.
fn after(attack: &str) -> Result<Option<Tenant>, StoreFault> {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, tenant("t-1", TenantState::Active)).unwrap();
    put(&store, tenant("t-2", TenantState::Active)).unwrap();
    drop(store);
    scratch.tamper("CREATE TABLE saved AS SELECT * FROM tenant");
    let store = scratch.open();
    put(&store, tenant("t-1", TenantState::Removed)).unwrap();
    drop(store);
    scratch.tamper(attack);
    get(&scratch.open(), "t-1")
}

#[test]
fn i12_a_changed_restored_moved_or_removed_row_is_detected_at_use() {
    assert_eq!(
        after("SELECT 1").unwrap(),
        Some(tenant("t-1", TenantState::Removed))
    );
    for attack in [
        "UPDATE tenant SET state = 'active' WHERE id = 't-1'",
        "UPDATE tenant SET name = 'x' WHERE id = 't-1'",
        "UPDATE tenant SET mac = zeroblob(32) WHERE id = 't-1'",
        "UPDATE tenant SET mac = x'' WHERE id = 't-1'",
        "UPDATE tenant SET log_index = 1 WHERE id = 't-1'",
        "UPDATE tenant SET log_index = 4 WHERE id = 't-1'",
        // the row as it was before the denial, whole
        "INSERT OR REPLACE INTO tenant SELECT * FROM saved WHERE id = 't-1'",
        // another row's content under this key
        "DELETE FROM tenant WHERE id = 't-1'; UPDATE tenant SET id = 't-1' WHERE id = 't-2'",
        "DELETE FROM tenant WHERE id = 't-1'",
        "DELETE FROM tenant",
    ] {
        assert_eq!(
            after(attack),
            Err(StoreFault::RowForged {
                table: "tenant",
                key: "t-1".into()
            }),
            "after `{attack}`"
        );
    }
}

#[test]
fn i12_a_row_that_the_log_never_saw_is_refused_and_not_written_over() {
    let scratch = Scratch::new();
    let store = scratch.open();
    put(&store, tenant("t-1", TenantState::Active)).unwrap();
    drop(store);
    scratch.tamper(
        "INSERT INTO tenant SELECT 't-9', 'nine', state, created, log_index, mac FROM tenant",
    );
    let store = scratch.open();
    let forged = StoreFault::RowForged {
        table: "tenant",
        key: "t-9".into(),
    };
    assert_eq!(get(&store, "t-9"), Err(forged.clone()));
    assert_eq!(put(&store, tenant("t-9", TenantState::Active)), Err(forged));
}
