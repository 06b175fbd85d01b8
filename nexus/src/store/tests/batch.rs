//! Group commit: many callers, one COMMIT, and nobody pays for another's failure.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry};
use crate::store::{Rows, Store, StoreFault, Tx};

/// What one caller does.
#[derive(Clone, Debug)]
enum Deed {
    Put(u8, bool),
    /// Two changes of which the second fails, handled.
    PutThenFailInside(u8, bool),
    PutThenFail(u8),
    PutThenPanic(u8),
    Denied,
    Nothing,
}

fn tenant(id: u8, active: bool) -> Tenant {
    let state = if active {
        TenantState::Active
    } else {
        TenantState::Removed
    };
    crate::store::testing::tenant(&format!("t-{id}"), state)
}

fn put(tx: &mut Tx<'_>, id: u8, active: bool) -> Result<(), StoreFault> {
    tx.change(entry("tenant.put"), |c| c.put(&tenant(id, active)))
}

impl Deed {
    /// Whether it stays.
    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StoreFault> {
        let failure = || StoreFault::Misused("on purpose".into());
        match *self {
            Self::Put(id, active) => put(tx, id, active),
            Self::PutThenFailInside(id, active) => {
                put(tx, id, active)?;
                let failed: Result<(), StoreFault> = tx.change(entry("x"), |c| {
                    c.put(&tenant(id, !active))?;
                    Err(failure())
                });
                assert_eq!(failed, Err(failure()));
                Ok(())
            }
            Self::PutThenFail(id) => put(tx, id, false).and(Err(failure())),
            Self::PutThenPanic(id) => put(tx, id, false).and_then(|()| resume_unwind(Box::new(()))),
            Self::Denied => tx.audit(entry("y").denied("gate.stale")).map(drop),
            Self::Nothing => Ok(()),
        }
    }

    fn apply(&self, model: &mut BTreeMap<String, Tenant>) -> u64 {
        match self {
            Self::Put(id, active) | Self::PutThenFailInside(id, active) => {
                model.insert(format!("t-{id}"), tenant(*id, *active));
                1
            }
            Self::Denied => 1,
            Self::PutThenFail(_) | Self::PutThenPanic(_) | Self::Nothing => 0,
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let id = 0..6_u8;
    prop_oneof![
        4 => (id.clone(), any::<bool>()).prop_map(|(i, a)| Deed::Put(i, a)),
        1 => (id.clone(), any::<bool>()).prop_map(|(i, a)| Deed::PutThenFailInside(i, a)),
        1 => id.clone().prop_map(Deed::PutThenFail),
        1 => id.prop_map(Deed::PutThenPanic),
        1 => Just(Deed::Denied),
        1 => Just(Deed::Nothing),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn rows(store: &Store) -> Vec<Tenant> {
    store
        .read_now::<_, StoreFault>(|r| r.page(None, None, 100.try_into().unwrap()))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Callers in a row share batches; what each is told is what stays, also after opening again.
    #[test]
    fn what_callers_are_told_is_what_stays(deeds in prop::collection::vec(deed(), 1..60)) {
        let scratch = Scratch::new();
        let (mut model, mut entries) = (BTreeMap::new(), 1);
        let store = scratch.open();
        runtime().block_on(async {
            let mut answers = Vec::new();
            for deed in deeds.clone() {
                let store = store.clone();
                let mut write = Box::pin(async move { store.write(move |tx| deed.run(tx)).await });
                // The first poll puts it into the queue, so batches see the deeds in this order.
                let first = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                answers.push((write, first));
            }
            for (deed, (write, first)) in deeds.iter().zip(answers) {
                let told = match first {
                    Poll::Ready(told) => told,
                    Poll::Pending => write.await,
                };
                assert_eq!(told.is_ok(), !matches!(deed, Deed::PutThenFail(_) | Deed::PutThenPanic(_)), "{deed:?}: {told:?}");
                entries += deed.apply(&mut model);
            }
        });
        prop_assert_eq!(rows(&store), model.values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(store.head().head().size, entries);
        drop(store);
        let store = scratch.open();
        prop_assert_eq!(rows(&store), model.into_values().collect::<Vec<_>>());
        prop_assert_eq!(store.head().head().size, entries);
    }
}

#[test]
fn a_caller_sees_what_earlier_callers_of_its_batch_wrote() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let seen = store.write_blocking::<_, StoreFault, _>(|tx| {
        put(tx, 1, true)?;
        put(tx, 1, false)?;
        Ok((
            tx.get::<Tenant>("t-1")?,
            tx.find::<Tenant>("name", "t-1")?.len(),
        ))
    });
    assert_eq!(seen.unwrap(), (Some(tenant(1, false)), 1));
}

#[test]
fn inserting_twice_conflicts_and_updating_nothing_is_told() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let code = |row: Tenant, insert: bool| {
        let done = store.write_blocking::<_, StoreFault, _>(move |tx| {
            tx.change(entry("x"), |c| {
                if insert {
                    c.insert(&row)
                } else {
                    c.update(&row)
                }
            })
        });
        done.err().map(|e| e.code())
    };
    assert_eq!(code(tenant(1, true), false), Some("store.no_row"));
    assert_eq!(code(tenant(1, true), true), None);
    assert_eq!(code(tenant(1, true), true), Some("store.conflict"));
    assert_eq!(
        code(
            Tenant {
                id: "t-2".into(),
                ..tenant(1, true)
            },
            true
        ),
        Some("store.conflict"),
        "names are unique"
    );
    assert_eq!(code(tenant(1, false), false), None);
    assert_eq!(store.head().head().size, 3, "what failed left no entry");
}

/// Readers on older snapshots than the row index must not take an honest row for a forged one.
#[test]
fn readers_never_mistake_a_busy_writer_for_a_forger() {
    let scratch = Scratch::new();
    let store = scratch.open();
    store.write_blocking(|tx| put(tx, 0, true)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut reads = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let row = store.read_now::<_, StoreFault>(|r| {
                        let before = r.get::<Tenant>("t-0")?;
                        assert_eq!(
                            r.page::<Tenant>(None, None, 10.try_into().unwrap())?
                                .first(),
                            before.as_ref()
                        );
                        Ok(before)
                    });
                    assert!(row.unwrap().is_some());
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for i in 0..400_u16 {
        store
            .write_blocking(move |tx| put(tx, 0, i % 2 == 0))
            .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let reads: u64 = readers.into_iter().map(|r| r.join().unwrap()).sum();
    assert!(reads > 100, "{reads} reads");
}

#[test]
fn a_database_locked_by_somebody_else_is_busy_and_comes_back() {
    let mut scratch = Scratch::new();
    scratch.options.busy = Duration::from_millis(50);
    let store = scratch.open();
    store.write_blocking(|tx| put(tx, 1, true)).unwrap();
    let other = rusqlite::Connection::open(scratch.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(
        store
            .write_blocking(|tx| put(tx, 1, false))
            .unwrap_err()
            .code(),
        "store.busy"
    );
    assert_eq!(rows(&store), [tenant(1, true)]);
    other.execute_batch("ROLLBACK").unwrap();
    store.write_blocking(|tx| put(tx, 1, false)).unwrap();
    assert_eq!(rows(&store), [tenant(1, false)]);
}

#[test]
fn a_second_nexus_is_kept_out_until_the_first_has_gone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert_eq!(scratch.try_open().unwrap_err().code(), "store.in_use");
    drop(store);
    scratch.open();
}

#[test]
fn a_damaged_file_is_told_as_such() {
    let scratch = Scratch::new();
    drop(scratch.open());
    std::fs::write(scratch.path(), [0x5a; 8192]).unwrap();
    assert_eq!(scratch.try_open().unwrap_err().code(), "store.corrupt");
}
