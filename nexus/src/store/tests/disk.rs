//! A full disk: releases stop, revoking goes on, and freeing space is all that it takes (I6).

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry, tenant};
use crate::store::{Rows, Store, StoreFault};

const DIRECTORY: &str = "ASSAY_TEST_SMALL_DISK";

fn put(store: &Store, id: String, state: TenantState) -> Result<(), StoreFault> {
    let row = tenant(&id, state);
    store.write_blocking(move |tx| tx.change(entry("tenant.put"), |c| c.put(&row)))
}

fn revoke(store: &Store, id: String) -> Result<(), StoreFault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let row = tenant(&id, TenantState::Removed);
    runtime.block_on(
        store.write_reserved(move |tx| tx.change(entry("tenant.remove"), |c| c.put(&row))),
    )
}

fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

fn until_full(store: &Store) {
    let refused = (0..2000).find_map(|i| put(store, format!("u-{i}"), TenantState::Active).err());
    assert_eq!(refused, Some(StoreFault::Full));
}

/// Runs where the parent test has mounted a disk of 24 megabytes.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut scratch = Scratch::new();
    scratch.options.path = Path::new(&directory).join("nexus.db");
    scratch.options.reserve = 1 << 20;
    let store = scratch.open();
    for i in 0..60 {
        put(&store, format!("t-{i}"), TenantState::Active).unwrap();
    }
    let filler = Path::new(&directory).join("filler");
    fill(&filler);
    until_full(&store);
    assert!(store.is_full());
    for i in 0..60 {
        revoke(&store, format!("t-{i}")).unwrap();
        assert_eq!(
            put(&store, format!("v-{i}"), TenantState::Active),
            Err(StoreFault::Full)
        );
        let row = store
            .read_now::<_, StoreFault>(|r| r.get::<Tenant>(&*format!("t-{i}")))
            .unwrap()
            .unwrap();
        assert_eq!(row.state, TenantState::Removed);
    }
    std::fs::remove_file(&filler).unwrap();
    put(&store, "w".into(), TenantState::Active).unwrap();
    assert!(!store.is_full(), "freeing space is all that it takes");
    drop(store);
    let store = scratch.open();
    fill(&filler);
    until_full(&store);
    drop(store);
    let store = scratch.open();
    assert_eq!(
        store
            .read_now::<_, StoreFault>(|r| r.get::<Tenant>("w"))
            .unwrap()
            .unwrap()
            .state,
        TenantState::Active
    );
    std::fs::remove_file(&filler).unwrap();
    put(&store, "w".into(), TenantState::Removed).unwrap();
    assert!(!store.is_full());
    drop(store);
    scratch.open();
    println!("the small disk was filled and emptied");
}

#[test]
fn on_a_full_disk_releases_stop_and_revoking_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$1" && exec "$2" store::tests::disk::child --exact --nocapture"#;
    let run = |command: &mut Command| {
        let run = command
            .arg(script)
            .arg("sh")
            .args([directory.path(), &test])
            .env(DIRECTORY, directory.path());
        let done = run.output().unwrap();
        (done.status.success(), [done.stdout, done.stderr].concat())
    };
    let (ok, said) =
        run(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c"]));
    let said = String::from_utf8_lossy(&said);
    assert!(ok && said.contains("filled and emptied"), "{said}");
}
