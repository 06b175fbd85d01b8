//! The audit log: what is appended proves itself, and what is touched is found at start (I8).

use assay_api::log::{Item, Report, checkpoint_line, parse_line, tree, verify_log};

use crate::store::audit::AuditFilter;
use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry, tenant};
use crate::store::{EntryDraft, Rows, Store, StoreFault};

fn note(store: &Store, draft: EntryDraft) -> u64 {
    store.write_blocking(move |tx| tx.audit(draft)).unwrap()
}

fn grown(scratch: &Scratch, to: u64) -> Store {
    let store = scratch.open();
    for i in store.head().head().size..to {
        note(
            &store,
            entry("test.noted")
                .tenant(format!("t-{}", i % 3))
                .target(i.to_string()),
        );
    }
    store
}

#[test]
fn a_new_log_has_a_signed_head_and_a_batch_without_entries_leaves_it() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let head = store.head();
    assert_eq!(
        (head.head().size, head.head().origin.as_str()),
        (1, "assay.test/log")
    );
    store
        .write_blocking::<_, StoreFault, _>(|_| Ok(()))
        .unwrap();
    assert_eq!(store.head(), head);
    note(&store, entry("x"));
    assert_eq!(store.head().head().size, 2);
    assert_eq!(
        store.read_now(|r| r.audit().checkpoint()).unwrap(),
        store.head().text()
    );
    let before = store.head();
    drop(store);
    assert_eq!(scratch.open().head(), before);
}

#[test]
fn every_head_proves_that_it_grew_out_of_every_earlier_one() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut heads = vec![store.head()];
    for i in 0..20 {
        note(&store, entry("x").target(i.to_string()));
        heads.push(store.head());
    }
    let export = store
        .read_now(|r| r.audit().export(0, 21, usize::MAX))
        .unwrap()
        .0;
    let lines: Vec<Item> = export
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| parse_line(l).unwrap())
        .collect();
    for new in &heads {
        let new = new.head();
        for old in heads
            .iter()
            .map(|h| h.head())
            .filter(|h| h.size <= new.size)
        {
            let proof = store
                .read_now(|r| r.audit().consistency(old.size, new.size))
                .unwrap();
            assert!(
                tree::extends(old.size, &old.root, new.size, &new.root, &proof),
                "{} -> {}",
                old.size,
                new.size
            );
        }
        for index in 0..new.size {
            let proof = store
                .read_now(|r| r.audit().inclusion(index, new.size))
                .unwrap();
            let Item::Entry { bytes, .. } = &lines[usize::try_from(index).unwrap()] else {
                panic!()
            };
            assert!(tree::includes(
                &tree::leaf_hash(bytes),
                index,
                new.size,
                &proof,
                &new.root
            ));
        }
    }
    assert_eq!(
        store
            .read_now(|r| r.audit().consistency(3, 22))
            .unwrap_err()
            .code(),
        "store.misused"
    );
}

#[test]
fn an_export_in_pieces_verifies_offline() {
    let scratch = Scratch::new();
    let store = grown(&scratch, 50);
    let (head, mut next, mut file) = (store.head(), 0, Vec::new());
    while next < head.head().size {
        let (lines, then) = store
            .read_now(|r| r.audit().export(next, head.head().size, 700))
            .unwrap();
        assert!(then > next && lines.len() < 2000);
        (next, file) = (then, [file, lines].concat());
    }
    file.extend(checkpoint_line(head.text()));
    let items = file.split(|b| *b == b'\n').map(parse_line);
    let report = verify_log(items, store.log_key(), &[head.head().clone()]).unwrap();
    assert!(matches!(report, Report::Valid(valid) if valid.head == *head.head()));
}

#[test]
fn lists_filter_by_tenant_and_event_and_go_both_ways() {
    let scratch = Scratch::new();
    let store = grown(&scratch, 10);
    note(&store, entry("dpu.claim").tenant("t-0"));
    note(
        &store,
        entry("dpu.show").tenant("t-1").denied("auth.failed"),
    );
    let list = |filter: AuditFilter, limit: u32| -> Vec<u64> {
        let limit = limit.try_into().unwrap();
        let found = store.read_now(|r| r.audit().list(&filter, limit)).unwrap();
        found.iter().map(|e| e.entry.index).collect()
    };
    let all = AuditFilter::default();
    assert_eq!(list(all.clone(), 100), (0..12).collect::<Vec<_>>());
    assert_eq!(
        list(
            AuditFilter {
                after: Some(9),
                ..all.clone()
            },
            100
        ),
        [10, 11]
    );
    assert_eq!(
        list(
            AuditFilter {
                newest_first: true,
                ..all.clone()
            },
            2
        ),
        [11, 10]
    );
    assert_eq!(
        list(
            AuditFilter {
                newest_first: true,
                after: Some(10),
                ..all.clone()
            },
            2
        ),
        [9, 8]
    );
    assert_eq!(
        list(
            AuditFilter {
                tenant: Some("t-0".into()),
                ..all.clone()
            },
            100
        ),
        [3, 6, 9, 10]
    );
    assert_eq!(
        list(
            AuditFilter {
                event: Some("dpu.".into()),
                ..all.clone()
            },
            100
        ),
        [10, 11]
    );
    assert_eq!(
        list(
            AuditFilter {
                event: Some("dpu.show".into()),
                ..all.clone()
            },
            100
        ),
        [11]
    );
    assert_eq!(
        list(
            AuditFilter {
                event: Some("d".into()),
                ..all
            },
            100
        ),
        [0_u64; 0]
    );
}

#[test]
fn i8_the_table_is_append_only_even_for_us() {
    let scratch = Scratch::new();
    let store = grown(&scratch, 3);
    for sql in [
        "UPDATE audit SET event = 'y'",
        "DELETE FROM audit WHERE idx = 2",
    ] {
        let failed =
            store.write_blocking::<_, StoreFault, _>(move |tx| Ok(tx.sql().execute(sql, [])?));
        assert_eq!(failed.unwrap_err().code(), "store.misused", "{sql}");
    }
}

/// What opening says after this attack on a log of ten entries, made by somebody who can drop triggers.
fn after(attack: &str) -> Result<(), StoreFault> {
    let scratch = Scratch::new();
    drop(grown(&scratch, 8));
    scratch.tamper("CREATE TABLE old_head AS SELECT * FROM checkpoint");
    drop(grown(&scratch, 10));
    scratch.tamper(
        "DROP TRIGGER audit_is_append_only_update; DROP TRIGGER audit_is_append_only_delete",
    );
    scratch.tamper(attack);
    scratch.try_open().map(drop)
}

#[test]
fn i8_an_edited_log_does_not_start() {
    assert_eq!(after("SELECT 1"), Ok(()));
    let cases = [
        (
            4,
            "UPDATE audit SET bytes = CAST(replace(CAST(bytes AS TEXT), 'op-1', 'op-2') AS BLOB) WHERE idx = 4",
        ),
        (4, "UPDATE audit SET chain = zeroblob(32) WHERE idx = 4"),
        (5, "UPDATE audit SET nodes = zeroblob(32) WHERE idx = 5"),
        (4, "UPDATE audit SET nodes = zeroblob(32) WHERE idx = 4"),
        (4, "UPDATE audit SET event = 'other' WHERE idx = 4"),
        (4, "UPDATE audit SET tenant = 'other' WHERE idx = 4"),
        (4, "UPDATE audit SET tenant = NULL WHERE idx = 4"),
        (4, "UPDATE audit SET time = time + 1 WHERE idx = 4"),
        (4, "DELETE FROM audit WHERE idx = 4"),
        (
            4,
            "DELETE FROM audit WHERE idx = 4; UPDATE audit SET idx = idx - 1 WHERE idx > 4",
        ),
        (
            4,
            "UPDATE audit SET idx = -1 WHERE idx = 4; UPDATE audit SET idx = 4 WHERE idx = 5; UPDATE audit SET idx = 5 WHERE idx = -1",
        ),
        (0, "DELETE FROM audit"),
        (9, "DELETE FROM audit WHERE idx = 9"),
        (8, "DELETE FROM audit WHERE idx >= 8"),
        (
            10,
            "INSERT INTO audit SELECT 10, time, event, tenant, bytes, chain, nodes FROM audit WHERE idx = 9",
        ),
        (10, "DELETE FROM checkpoint"),
        (
            10,
            "UPDATE checkpoint SET note = (SELECT note FROM old_head)",
        ),
        (10, "UPDATE checkpoint SET note = replace(note, '10', '11')"),
        (10, "UPDATE checkpoint SET note = 'x'"),
    ];
    for (at, attack) in cases {
        match after(attack) {
            Err(StoreFault::LogBroken { index, .. }) => assert_eq!(index, at, "{attack}"),
            other => panic!("`{attack}` gave {other:?}"),
        }
    }
}

/// Log and head put back together open: that is what heads held elsewhere are for. They tell, and rows tell too.
#[test]
fn i8_i12_a_log_rolled_back_with_its_head_contradicts_heads_elsewhere_and_rows() {
    let scratch = Scratch::new();
    let store = grown(&scratch, 4);
    drop(store);
    scratch.tamper("CREATE TABLE old_head AS SELECT * FROM checkpoint");
    let store = scratch.open();
    let row = tenant("t-1", TenantState::Active);
    store
        .write_blocking::<_, StoreFault, _>(move |tx| {
            tx.change(entry("tenant.put"), |c| c.put(&row))
        })
        .unwrap();
    let held = store.head();
    drop(store);
    scratch.tamper("DROP TRIGGER audit_is_append_only_delete; DELETE FROM audit WHERE idx >= 4");
    scratch.tamper("UPDATE checkpoint SET note = (SELECT note FROM old_head)");
    let store = scratch.open();
    assert!(store.head().head().size < held.head().size);
    let fork = |store: &Store| {
        store.read_now(|r| {
            r.audit()
                .consistency(held.head().size, store.head().head().size)
        })
    };
    assert!(fork(&store).is_ok_and(|p| !tree::extends(
        5,
        &held.head().root,
        4,
        &store.head().head().root,
        &p
    )));
    note(&store, entry("forked"));
    note(&store, entry("forked"));
    let (now, proof) = (store.head(), fork(&store).unwrap());
    assert!(!tree::extends(
        5,
        &held.head().root,
        now.head().size,
        &now.head().root,
        &proof
    ));
    let read = store.read_now::<_, StoreFault>(|r| r.get::<Tenant>("t-1"));
    assert_eq!(read.unwrap_err().code(), "store.row_forged");
}

#[test]
fn i8_another_masters_log_and_another_name_are_refused() {
    let mut scratch = Scratch::new();
    drop(grown(&scratch, 3));
    scratch.options.origin = "assay.test/other".into();
    assert_eq!(scratch.try_open().unwrap_err().code(), "store.log_broken");
    scratch.options.origin = "assay.test/log".into();
    drop(scratch.open());
    scratch.master = crate::keys::Master::from_bytes(&[2; 32]).unwrap();
    assert_eq!(scratch.try_open().unwrap_err().code(), "keys.wrong_master");
    scratch.tamper("DELETE FROM meta");
    assert_eq!(scratch.try_open().unwrap_err().code(), "store.log_broken");
}

#[test]
fn an_entry_too_large_undoes_its_change_only() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let row = tenant("t-1", TenantState::Active);
    let failed = store.write_blocking::<_, StoreFault, _>(move |tx| {
        let large = tx.change(entry("x").detail("a", "b".repeat(70_000)), |c| c.put(&row));
        tx.audit(entry("y"))?;
        Ok(large)
    });
    assert_eq!(failed.unwrap().unwrap_err().code(), "log.entry_too_large");
    assert_eq!(
        store
            .read_now::<_, StoreFault>(|r| r.get::<Tenant>("t-1"))
            .unwrap(),
        None
    );
    assert_eq!(store.head().head().size, 2);
    drop(store);
    scratch.open();
}

#[test]
fn i6_a_change_of_very_many_rows_goes_on_in_further_entries() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let ids: Vec<String> = (0..3_000).map(|n| format!("t-{n:026}")).collect();
    for state in [TenantState::Active, TenantState::Removed] {
        let ids = ids.clone();
        let put = store.write_blocking(move |tx| {
            tx.change(entry("tenant.put"), |c| {
                for id in &ids {
                    c.put(&tenant(id, state))?;
                }
                // The first again, which stands under the first of the entries.
                c.put(&tenant(&ids[0], state))
            })
        });
        put.unwrap();
    }
    drop(store);
    let store = scratch.open();
    for id in &ids {
        let row = store.read_now::<_, StoreFault>(|r| r.get::<Tenant>(id.as_str()));
        assert_eq!(row.unwrap().unwrap().state, TenantState::Removed);
    }
    let limit = std::num::NonZeroU32::new(100).unwrap();
    let all = store
        .read_now(|r| r.audit().list(&AuditFilter::default(), limit))
        .unwrap();
    let puts: Vec<_> = all
        .iter()
        .filter(|e| e.entry.event == "tenant.put")
        .collect();
    let more = puts
        .iter()
        .filter(|e| e.entry.details.contains_key("goes_on"));
    assert_eq!(more.count(), puts.len() - 2, "but for the last of each");
    assert!(puts.iter().all(|e| e.bytes.len() < 48 * 1024));
    // One that fails in the middle leaves nothing of itself.
    let failed: Result<(), StoreFault> = store.write_blocking(move |tx| {
        tx.change(entry("tenant.put"), |c| {
            for id in &ids {
                c.put(&tenant(id, TenantState::Active))?;
            }
            Err(StoreFault::Busy)
        })
    });
    assert_eq!(failed, Err(StoreFault::Busy));
    assert_eq!(
        store.head().head().size,
        1 + u64::try_from(puts.len()).unwrap()
    );
}
