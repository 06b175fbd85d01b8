//! kill -9 at any moment: what was acknowledged is there, what is there is whole (issue: a few hundred times).

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::{Scratch, entry, tenant};
use crate::store::{Rows, Store, StoreFault};

const DATABASE: &str = "ASSAY_TEST_CRASH_DATABASE";
const KILLS: u32 = 240;
/// After this many kills the database starts anew, so that opening it stays quick.
const GENERATION: u32 = 30;

fn put(store: &Store, id: String, state: TenantState) -> Result<(), StoreFault> {
    let row = tenant(&id, state);
    store.write_blocking(move |tx| tx.change(entry("tenant.put"), |c| c.put(&row)))
}

/// The process that is killed: three threads write as fast as they can and say what was acknowledged.
#[test]
fn child() {
    let Some(database) = std::env::var_os(DATABASE) else {
        return;
    };
    let mut scratch = Scratch::new();
    scratch.options.path = database.into();
    let store = scratch.open();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let store = &store;
            scope.spawn(move || {
                for i in 0.. {
                    let id = format!("t-{}-{thread}-{i}", std::process::id());
                    for state in [TenantState::Active, TenantState::Removed] {
                        put(store, id.clone(), state).unwrap();
                        // One write a line, so that a kill can't leave a line that was never acknowledged.
                        std::io::stdout()
                            .lock()
                            .write_all(format!("ack {id} {}\n", state.as_str()).as_bytes())
                            .unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn kill_9_loses_nothing_acknowledged_and_leaves_a_log_that_verifies() {
    let mut acknowledged = 0_usize;
    let mut scratch = Scratch::new();
    for round in 0..KILLS {
        if round % GENERATION == 0 {
            scratch = Scratch::new();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "store::tests::crash::child",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DATABASE, scratch.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut random = [0];
        getrandom::fill(&mut random).unwrap();
        std::thread::sleep(Duration::from_micros(5_000 + 300 * u64::from(random[0])));
        child.kill().unwrap();
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .collect();
        child.wait().unwrap();

        let store = scratch.open();
        for line in lines.iter().filter_map(|l| l.strip_prefix("ack ")) {
            let (id, state) = line.split_once(' ').unwrap();
            let row = store
                .read_now::<_, StoreFault>(|r| r.get::<Tenant>(id))
                .unwrap()
                .expect("an acknowledged row is lost");
            assert!(
                row.state == TenantState::parse(state).unwrap()
                    || row.state == TenantState::Removed,
                "{line}"
            );
            acknowledged += 1;
        }
        // Whatever else is there is whole: each row passes its MAC and is the log's latest.
        store
            .read_now::<_, StoreFault>(|r| {
                r.page::<Tenant>(None, None, 1_000_000.try_into().unwrap())
            })
            .unwrap();
    }
    assert!(
        acknowledged > 1000,
        "only {acknowledged} changes were acknowledged: the kills came too early to tell anything"
    );
}
