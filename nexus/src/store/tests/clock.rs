//! Clocks that step, either way (design section 5).

use assay_attest::time::Timestamp;

use crate::clock::{Clock as _, ClockFault};
use crate::store::testing::{START, Scratch, entry};
use crate::store::{Store, StoreFault, Writes};

fn time_of_next_entry(store: &Store) -> Timestamp {
    let index = store.write_blocking(|tx| tx.audit(entry("x"))).unwrap();
    let filter = crate::store::audit::AuditFilter {
        after: Some(index - 1),
        ..Default::default()
    };
    let found = store
        .read_now(|r| r.audit().list(&filter, 1.try_into().unwrap()))
        .unwrap();
    found[0].entry.time_ms
}

fn release(store: &Store) -> Result<(), ClockFault> {
    store
        .write_blocking::<_, StoreFault, _>(|tx| Ok(tx.clock()))
        .unwrap()
}

#[test]
fn an_entrys_time_never_runs_backwards_and_releases_stop_behind_it() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.clock.advance(100_000);
    let last = time_of_next_entry(&store);
    assert_eq!(last, START.plus_millis(100_000));
    scratch.clock.set_wall(START.plus_millis(96_000));
    assert_eq!(
        (time_of_next_entry(&store), release(&store)),
        (last, Ok(()))
    );
    scratch.clock.set_wall(START);
    assert_eq!(
        (time_of_next_entry(&store), release(&store)),
        (last, Err(ClockFault::Behind { millis: 100_000 }))
    );
    drop(store);
    let store = scratch.open();
    assert_eq!(
        (time_of_next_entry(&store), release(&store).is_err()),
        (last, true),
        "a restart changes nothing"
    );
    assert_eq!(
        store
            .write_blocking::<_, StoreFault, _>(|tx| Ok(tx.now()))
            .unwrap(),
        last
    );
}

#[test]
fn a_jump_forward_stops_releases_until_it_is_accepted() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.clock.set_wall(START.plus_millis(61_000));
    assert_eq!(release(&store), Err(ClockFault::Drifted { millis: 61_000 }));
    store.accept_clock_blocking(entry("clock.accept")).unwrap();
    assert_eq!(release(&store), Ok(()));
}

#[test]
fn accepting_a_clock_behind_the_log_lasts_over_a_restart() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.clock.set_wall(START.plus_millis(86_400_000));
    let wrong = time_of_next_entry(&store);
    scratch.clock.set_wall(START.plus_millis(1_000));
    assert!(release(&store).is_err());
    store
        .accept_clock_blocking(entry("clock.accept").reason("the clock was a day ahead"))
        .unwrap();
    assert_eq!(release(&store), Ok(()));
    drop(store);
    let store = scratch.open();
    assert_eq!(release(&store), Ok(()));
    assert_eq!(
        time_of_next_entry(&store),
        wrong,
        "entries still never run backwards"
    );
    scratch.clock.set_wall(START.minus_millis(6_000));
    assert!(
        matches!(release(&store), Err(ClockFault::Behind { .. })),
        "what was accepted is a new floor"
    );
    scratch.clock.set_wall(START.plus_millis(1_000));
    scratch.clock.advance(2 * 86_400_000);
    assert_eq!(
        (time_of_next_entry(&store), release(&store)),
        (scratch.clock.now(), Ok(()))
    );
    drop(store);
    scratch.clock.set_wall(START.plus_millis(2_000));
    assert!(
        release(&scratch.open()).is_err(),
        "once the log has gone past it, the acceptance is over"
    );
}
