//! Rough numbers, for whoever changes the store: `cargo test -p assay-nexus --lib speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry, tenant};
use crate::store::{Durability, Rows, Store, StoreFault};

async fn put(store: &Store, id: String) {
    let row = tenant(&id, TenantState::Active);
    store
        .write::<_, StoreFault, _>(move |tx| tx.change(entry("tenant.put"), |c| c.put(&row)))
        .await
        .unwrap();
}

/// Commits a second with this many callers at a time.
fn rate(durability: Durability, callers: usize) -> f64 {
    let mut scratch = Scratch::new();
    scratch.options.durability = durability;
    let store = scratch.open();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let begin = Instant::now();
    let done: usize = runtime.block_on(async {
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    while begin.elapsed() < Duration::from_secs(2) {
                        put(&store, format!("t-{caller}-{done}")).await;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        done
    });
    f64::from(u32::try_from(done).unwrap()) / begin.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures"]
fn group_commit() {
    let (single, many, off) = (
        rate(Durability::Full, 1),
        rate(Durability::Full, 64),
        rate(Durability::Off, 64),
    );
    println!(
        "single {single:.0}/s, 64 at once {many:.0}/s ({:.1} x), not durable {off:.0}/s ({:.0} %)",
        many / single,
        many / off * 100.0
    );
}

#[test]
#[ignore = "measures"]
fn reads_and_start() {
    let mut scratch = Scratch::new();
    scratch.options.durability = Durability::Off;
    let store = scratch.open();
    for chunk in 0..200 {
        store
            .write_blocking::<_, StoreFault, _>(move |tx| {
                (0..1000).try_for_each(|i| {
                    let row = tenant(
                        &format!("t-{}", (chunk * 1000 + i) % 50_000),
                        TenantState::Active,
                    );
                    tx.change(entry("device.verdict").tenant("t-1").target(&row.id), |c| {
                        c.put(&row)
                    })
                })
            })
            .unwrap();
    }
    let begin = Instant::now();
    for i in 0..20_000_u32 {
        let id = format!("t-{}", (i * 7919) % 50_000);
        assert!(
            store
                .read_now::<_, StoreFault>(|r| r.get::<Tenant>(&*id))
                .unwrap()
                .is_some()
        );
    }
    println!("point read {:?}", begin.elapsed() / 20_000);
    drop(store);
    let begin = Instant::now();
    let store = scratch.open();
    println!(
        "start with 50,000 rows and {} entries {:?}",
        store.head().head().size,
        begin.elapsed()
    );
}
