//! What is accepted once (I3): tokens, nonces, proofs; and the same answer to the same request.

use assay_attest::time::Timestamp;

use crate::store::idempotency::{self, IdempotencyFault};
use crate::store::nonce::{self, NonceFault};
use crate::store::replay::{self, MemoryReplay, PER_KEY, ReplayFault};
use crate::store::testing::{START, Scratch, entry};
use crate::store::token::{self, Token, TokenFault, TokenKind};
use crate::store::{Store, StoreFault};

fn issue(store: &Store, expires: Timestamp) -> [u8; 32] {
    *store
        .write_blocking(move |tx| {
            tx.change(entry("claim"), |c| {
                token::issue(c, TokenKind::Claim, "t-1", "dpu-1", expires)
            })
        })
        .unwrap()
}

fn spend(store: &Store, kind: TokenKind, secret: [u8; 32]) -> Result<Token, TokenFault> {
    store.write_blocking(move |tx| tx.change(entry("enrol"), |c| token::spend(c, kind, &secret)))
}

#[test]
fn i3_of_many_at_once_exactly_one_spends_a_token() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let secret = issue(&store, START.plus_millis(1000));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let winners = runtime.block_on(async {
        let tries: Vec<_> = (0..64)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .write(move |tx| {
                            tx.change(entry("enrol"), |c| {
                                token::spend(c, TokenKind::Claim, &secret)
                            })
                        })
                        .await
                })
            })
            .collect();
        let mut winners = 0;
        for tried in tries {
            match tried.await.unwrap() {
                Ok(token) => winners += u32::from(token.subject == "dpu-1"),
                Err(fault) => assert_eq!(fault, TokenFault::Spent),
            }
        }
        winners
    });
    assert_eq!(winners, 1);
    drop(store);
    assert_eq!(
        spend(&scratch.open(), TokenKind::Claim, secret),
        Err(TokenFault::Spent),
        "also after a restart"
    );
}

#[test]
fn i3_a_failed_attempt_burns_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let secret = issue(&store, START.plus_millis(1000));
    let failed = store.write_blocking::<(), TokenFault, _>(move |tx| {
        tx.change(entry("enrol"), |c| {
            token::spend(c, TokenKind::Claim, &secret)?;
            Err(TokenFault::Unknown)
        })
    });
    assert_eq!(failed, Err(TokenFault::Unknown));
    let mut other = secret;
    other[31] ^= 1;
    assert_eq!(
        spend(&store, TokenKind::Claim, other),
        Err(TokenFault::Unknown)
    );
    assert_eq!(
        spend(&store, TokenKind::Invite, secret),
        Err(TokenFault::Unknown),
        "a claim is no invite"
    );
    spend(&store, TokenKind::Claim, secret).unwrap();
}

#[test]
fn a_token_expires_and_can_be_taken_back() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let (late, void) = (
        issue(&store, START.plus_millis(1000)),
        issue(&store, START.plus_millis(9000)),
    );
    scratch.clock.advance(1000);
    assert_eq!(
        spend(&store, TokenKind::Claim, late),
        Err(TokenFault::Expired)
    );
    let take_back = move |store: &Store| {
        store.write_blocking(move |tx| {
            tx.change(entry("void"), |c| {
                token::void(c, TokenKind::Claim, &token::id(&void)).map(drop)
            })
        })
    };
    take_back(&store).unwrap();
    assert_eq!(spend(&store, TokenKind::Claim, void), Err(TokenFault::Void));
}

#[test]
fn i7_i12_the_database_holds_no_secret_and_a_reopened_token_is_forged() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let secret = issue(&store, START.plus_millis(1000));
    spend(&store, TokenKind::Claim, secret).unwrap();
    drop(store);
    let file = std::fs::read(scratch.path()).unwrap();
    assert!(!file.windows(16).any(|w| secret.windows(16).any(|s| s == w)));
    scratch.tamper("UPDATE token SET state = 'open'");
    let fault = spend(&scratch.open(), TokenKind::Claim, secret).unwrap_err();
    assert_eq!(fault.code(), "store.row_forged");
}

const OWNER: &str = "dpu/d-1";

fn nonce(store: &Store) -> [u8; 32] {
    store
        .write_blocking(|tx| nonce::issue(tx, OWNER, "attest"))
        .unwrap()
}

fn answer(
    store: &Store,
    owner: &'static str,
    purpose: &'static str,
    value: [u8; 32],
) -> Result<Timestamp, NonceFault> {
    store.write_blocking(move |tx| nonce::spend(tx, owner, purpose, &value))
}

#[test]
fn i3_a_nonce_is_spent_once() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let value = nonce(&store);
    scratch.clock.advance(10);
    drop(store);
    let store = scratch.open();
    assert_eq!(
        answer(&store, OWNER, "enrol", value),
        Err(NonceFault::Unknown),
        "another purpose"
    );
    assert_eq!(
        answer(&store, "dpu/d-2", "attest", value),
        Err(NonceFault::Unknown),
        "another's"
    );
    assert_eq!(answer(&store, OWNER, "attest", value), Ok(START));
    assert_eq!(
        answer(&store, OWNER, "attest", value),
        Err(NonceFault::Unknown)
    );
    drop(store);
    assert_eq!(
        answer(&scratch.open(), OWNER, "attest", value),
        Err(NonceFault::Unknown),
        "also after a restart"
    );
}

#[test]
fn i3_a_nonce_is_not_spent_where_the_verdict_is_not_stored() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let value = nonce(&store);
    let failed = store.write_blocking::<(), NonceFault, _>(move |tx| {
        nonce::spend(tx, OWNER, "attest", &value)?;
        Err(NonceFault::Expired)
    });
    assert_eq!(failed, Err(NonceFault::Expired));
    assert_eq!(answer(&store, OWNER, "attest", value), Ok(START));
}

#[test]
fn a_new_nonce_voids_the_old_and_none_outlives_five_minutes() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let (old, new) = (nonce(&store), nonce(&store));
    assert_ne!(old, new);
    assert_eq!(
        answer(&store, OWNER, "attest", old),
        Err(NonceFault::Unknown)
    );
    scratch.clock.advance(300_001);
    assert_eq!(
        answer(&store, OWNER, "attest", new),
        Err(NonceFault::Expired)
    );
    let last = nonce(&store);
    scratch.clock.advance(300_000);
    assert_eq!(
        answer(&store, OWNER, "attest", last),
        Ok(START.plus_millis(300_001))
    );
}

#[test]
fn i14_eight_rejections_void_a_nonce_and_anothers_count_for_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let reject = |value: [u8; 32]| {
        store
            .write_blocking(move |tx| nonce::reject(tx, OWNER, &value))
            .unwrap()
    };
    let value = nonce(&store);
    for _ in 0..20 {
        assert!(reject([0; 32]), "a nonce that is not outstanding is void");
    }
    assert_eq!(
        (1..=7).map(|_| reject(value)).collect::<Vec<_>>(),
        [false; 7]
    );
    assert!(reject(value));
    assert_eq!(
        answer(&store, OWNER, "attest", value),
        Err(NonceFault::Unknown)
    );
    let value = nonce(&store);
    assert!(!reject(value), "a new nonce starts again");
    answer(&store, OWNER, "attest", value).unwrap();
}

fn prove(store: &Store, key: u8, jti: String, expires: Timestamp) -> Result<(), ReplayFault> {
    store.write_blocking(move |tx| replay::spend(tx, &[key; 32], &jti, expires))
}

#[test]
fn i3_a_proof_for_a_change_is_accepted_once_across_restarts() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let expires = START.plus_millis(120_000);
    prove(&store, 1, "a".into(), expires).unwrap();
    assert_eq!(
        prove(&store, 1, "a".into(), expires),
        Err(ReplayFault::Replayed)
    );
    prove(&store, 2, "a".into(), expires).unwrap();
    prove(&store, 1, "b".repeat(10_000), expires).unwrap();
    drop(store);
    assert_eq!(
        prove(&scratch.open(), 1, "a".into(), expires),
        Err(ReplayFault::Replayed)
    );
}

#[test]
fn i14_who_fills_the_replay_store_closes_his_own_door_only() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let expires = START.plus_millis(120_000);
    store
        .write_blocking::<_, ReplayFault, _>(move |tx| {
            (0..PER_KEY).try_for_each(|i| replay::spend(tx, &[1; 32], &i.to_string(), expires))
        })
        .unwrap();
    assert_eq!(
        prove(&store, 1, "more".into(), expires),
        Err(ReplayFault::TooMany)
    );
    prove(&store, 2, "more".into(), expires).unwrap();
    scratch.clock.advance(120_001);
    prove(&store, 1, "more".into(), START.plus_millis(300_000)).unwrap();
}

#[test]
fn proofs_for_reads_are_accepted_once_and_none_from_before_the_start() {
    let seen = MemoryReplay::new(START);
    let (iat, expires) = (START.plus_millis(1000), START.plus_millis(120_000));
    let ask = |key: u8, jti: &str, now: Timestamp| seen.spend(&[key; 32], jti, iat, expires, now);
    assert_eq!(
        seen.spend(&[1; 32], "a", START, expires, START),
        Err(ReplayFault::BeforeStart)
    );
    assert_eq!(ask(1, "a", iat), Ok(()));
    assert_eq!(ask(1, "a", iat), Err(ReplayFault::Replayed));
    assert_eq!(ask(2, "a", iat), Ok(()));
    (0..PER_KEY - 1).for_each(|i| ask(1, &i.to_string(), iat).unwrap());
    assert_eq!(ask(1, "more", iat), Err(ReplayFault::TooMany));
    assert_eq!(ask(2, "more", iat), Ok(()));
    seen.sweep(iat);
    assert_eq!(
        ask(2, "a", iat),
        Err(ReplayFault::Replayed),
        "what may still pass the time check is kept"
    );
    assert_eq!(ask(1, "more", expires.plus_millis(1)), Ok(()));
}

#[test]
fn the_same_key_gets_the_same_answer_to_the_same_request_only() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let recall = |owner: &'static str, request: [u8; 32]| {
        store.write_blocking(move |tx| idempotency::recall(tx, owner, "k", &request))
    };
    assert_eq!(recall("dpu/1", [1; 32]), Ok(None));
    let expires = START.plus_millis(1000);
    store
        .write_blocking(move |tx| {
            idempotency::remember(tx, "dpu/1", "k", &[1; 32], b"answer", expires)
        })
        .unwrap();
    assert_eq!(recall("dpu/1", [1; 32]), Ok(Some(b"answer".to_vec())));
    assert_eq!(recall("dpu/1", [2; 32]), Err(IdempotencyFault::Mismatch));
    assert_eq!(recall("dpu/2", [1; 32]), Ok(None));
    scratch.clock.advance(1001);
    assert_eq!(recall("dpu/1", [1; 32]), Ok(None));
    let long = store.write_blocking(|tx| idempotency::recall(tx, "o", &"k".repeat(129), &[1; 32]));
    assert_eq!(long, Err(IdempotencyFault::Length));
}

#[test]
fn sweeping_forgets_what_has_expired_and_nothing_else() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let value = nonce(&store);
    for i in 0..1100_u64 {
        prove(
            &store,
            u8::try_from(i % 250).unwrap(),
            i.to_string(),
            START.plus_millis(i),
        )
        .unwrap();
    }
    scratch.clock.advance(1000);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(store.sweep())
        .unwrap();
    let left: i64 = store
        .read_now::<_, StoreFault>(|r| {
            Ok(crate::store::Rows::sql(r)
                .query_row("SELECT count(*) FROM replay", [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(left, 100);
    answer(&store, OWNER, "attest", value).unwrap();
}
