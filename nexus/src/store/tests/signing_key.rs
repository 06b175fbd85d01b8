//! Signing keys: steps, sealing.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use crate::keys::{KeyFault, Signer};
use crate::store::signing_key::{self, KeyAlgorithm, KeyState, SigningKey};
use crate::store::testing::{Scratch, entry};
use crate::store::{Change, Store, StoreFault};

fn step<T: Send + 'static>(
    store: &Store,
    step: impl FnOnce(&mut Change<'_, '_>) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    store.write_blocking(move |tx| tx.change(entry("key.step"), step))
}

fn states(store: &Store) -> Vec<(u64, KeyState)> {
    let keys = store
        .read_now(|r| signing_key::all(r, "t-1", "delivery"))
        .unwrap();
    keys.iter().map(|k| (k.version, k.state)).collect()
}

#[test]
fn a_key_is_prepared_then_signs_then_retires() {
    use KeyState::{Active, Prepared, Retired, Retiring};
    let scratch = Scratch::new();
    let store = scratch.open();
    let prepare = |store: &Store| {
        step(store, |c| {
            signing_key::prepare(c, "t-1", "delivery", KeyAlgorithm::Ed25519)
        })
    };
    let activate = |store: &Store| step(store, |c| signing_key::activate(c, "t-1", "delivery"));
    let retire =
        |store: &Store, v| step(store, move |c| signing_key::retire(c, "t-1", "delivery", v));
    assert_eq!(activate(&store).unwrap_err().code(), "store.no_row");
    prepare(&store).unwrap();
    assert_eq!(
        store
            .read_now(|r| signing_key::active(r, "t-1", "delivery"))
            .unwrap(),
        None
    );
    assert_eq!(prepare(&store).unwrap_err().code(), "store.conflict");
    activate(&store).unwrap();
    prepare(&store).unwrap();
    assert_eq!(states(&store), [(1, Active), (2, Prepared)]);
    activate(&store).unwrap();
    assert_eq!(states(&store), [(1, Retiring), (2, Active)]);
    assert_eq!(retire(&store, 2).unwrap_err().code(), "store.conflict");
    let retired = retire(&store, 1).unwrap();
    assert_eq!(
        retired.signer(store.keys().at_rest()).unwrap_err(),
        KeyFault::Sealed,
        "its private half is gone"
    );
    assert_eq!(states(&store), [(1, Retired), (2, Active)]);
    assert_eq!(
        store
            .read_now(|r| signing_key::published(r, "t-1", "delivery"))
            .unwrap()
            .len(),
        1
    );
    let same = step(&store, |c| {
        signing_key::ensure(c, "t-1", "delivery", KeyAlgorithm::Ed25519)
    })
    .unwrap();
    assert_eq!(same.version, 2);
    assert_eq!(
        step(&store, |c| signing_key::ensure(
            c,
            "",
            "delivery",
            KeyAlgorithm::P256
        ))
        .unwrap()
        .version,
        1
    );
}

#[test]
fn i7_a_stored_key_signs_after_a_restart_and_opens_in_its_row_only() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let key = step(&store, |c| {
        signing_key::ensure(c, "t-1", "delivery", KeyAlgorithm::Ed25519)
    })
    .unwrap();
    drop(store);
    let store = scratch.open();
    let found = store
        .read_now(|r| signing_key::active(r, "t-1", "delivery"))
        .unwrap()
        .unwrap();
    assert_eq!(found, key);
    let signature = found
        .signer(store.keys().at_rest())
        .unwrap()
        .sign(b"m")
        .unwrap();
    UnparsedPublicKey::new(&ED25519, &key.public)
        .verify(b"m", &signature)
        .unwrap();
    for moved in [
        SigningKey {
            tenant: "t-2".into(),
            ..key.clone()
        },
        SigningKey {
            purpose: "result".into(),
            ..key.clone()
        },
        SigningKey {
            version: 2,
            ..key.clone()
        },
        SigningKey {
            public: vec![0; 32],
            ..key
        },
    ] {
        assert_eq!(
            moved.signer(store.keys().at_rest()).unwrap_err(),
            KeyFault::Sealed
        );
    }
}
