//! Joining, attacked: replays, other keys, other tokens, races, time.

use std::sync::Arc;

use assay_api::log::Decision;
use assay_api::signer::{Ed25519Signer, RequestSigner};

use super::*;
use crate::problem::Fault;
use crate::testing::{Lab, answer, route, secret_of};

fn refused_at<T: std::fmt::Debug>(done: Result<T, Problem>) -> String {
    let problem = done.unwrap_err();
    assert_eq!(
        *problem.fault(),
        Fault::Auth,
        "outside, every refusal is one"
    );
    problem.exact().to_owned()
}

#[tokio::test]
async fn the_first_admin_comes_in_and_the_door_is_shut_for_good() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    let admin = lab.join(token.secret(), 1, Some("Ada")).await.unwrap();
    assert_eq!(admin.joined.role, PersonRole::SuperAdmin);
    assert_eq!(
        (admin.joined.name.as_str(), &admin.joined.tenant_id),
        ("Ada", &None)
    );
    assert_eq!(
        refused_at(lab.join(token.secret(), 2, Some("Eve")).await),
        "token.spent"
    );
    assert!(lab.bootstrap_token().is_none());
    let entry = lab.events("join.complete").remove(0);
    assert_eq!(entry.target.as_deref(), Some(admin.id().as_str()));
    assert_eq!(entry.details["token"], "first");

    let lab = lab.restart();
    assert!(lab.bootstrap_token().is_none(), "also after a restart");
    assert!(lab.by(&admin, route("whoami"), None).is_ok());
}

#[tokio::test]
async fn a_bootstrap_token_opens_no_shut_door() {
    let lab = Lab::new();
    let first = lab.bootstrap_token().unwrap();
    // As if a second token had been there before the door fell shut.
    let other = lab
        .app
        .store
        .write(|tx| {
            let entry = crate::store::testing::entry("test");
            let end = crate::store::Writes::now(tx).plus_millis(1000);
            tx.change(entry, |c| {
                token::issue(c, TokenKind::Bootstrap, "", "first", end)
            })
        })
        .await
        .map_err(|e: crate::store::StoreFault| e)
        .unwrap();
    lab.join(first.secret(), 1, Some("Ada")).await.unwrap();
    assert_eq!(
        refused_at(lab.join(&other, 2, Some("Eve")).await),
        "door.shut"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i3_of_many_who_bootstrap_at_once_one_wins() {
    let lab = Arc::new(Lab::new());
    let token = Arc::new(lab.bootstrap_token().unwrap());
    let tasks: Vec<_> = (1..=16_u8)
        .map(|seed| {
            let (lab, token) = (lab.clone(), token.clone());
            tokio::spawn(async move { lab.join(token.secret(), seed, Some("x")).await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += u32::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
    let admins: Vec<OperatorRow> = lab
        .app
        .store
        .read_now(|r| r.find("role", &PersonRole::SuperAdmin))
        .unwrap();
    assert_eq!(admins.len(), 1);
    assert_eq!(
        lab.events("join.complete")
            .iter()
            .filter(|e| e.decision == Decision::Allowed)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i3_an_invite_is_accepted_once() {
    let lab = Arc::new(Lab::new());
    let admin = lab.first_admin().await;
    let invite = lab
        .invite(&admin, None, PersonRole::SuperAdmin)
        .await
        .unwrap();
    let secret = Arc::new(secret_of(&invite));
    // All hold their challenge before the first answers.
    let mut ready = Vec::new();
    for seed in 10..20_u8 {
        let signer = Ed25519Signer::from_seed(&[seed; 32], None);
        let challenge = lab.begin(&secret, &signer).await.unwrap();
        ready.push((signer, challenge));
    }
    let tasks: Vec<_> = ready
        .into_iter()
        .map(|(signer, challenge)| {
            let (lab, secret) = (lab.clone(), secret.clone());
            tokio::spawn(async move {
                let signature = answer(&lab, &signer, &challenge);
                lab.complete(&secret, &signer, &challenge, signature, None)
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += u32::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(refused_at(lab.join(&secret, 30, None).await), "token.spent");
}

#[tokio::test]
async fn i14_failed_attempts_burn_nothing_and_write_nothing() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    let secret = token.secret();
    let signer = Ed25519Signer::from_seed(&[1; 32], None);
    let challenge = lab.begin(secret, &signer).await.unwrap();
    let right = answer(&lab, &signer, &challenge);
    let before = lab.log().len();

    assert_eq!(
        refused_at(lab.begin(&[0; 32], &signer).await),
        "token.unknown"
    );
    let mut wrong = right.clone();
    wrong[5] ^= 1;
    for (signature, name) in [
        (wrong, Some("a")),
        (Vec::new(), Some("a")),
        (vec![0; 64], None),
    ] {
        let done = lab
            .complete(secret, &signer, &challenge, signature, name)
            .await;
        assert_eq!(refused_at(done), "challenge.signature");
    }
    let done = lab
        .complete(&[0; 32], &signer, &challenge, right.clone(), Some("a"))
        .await;
    assert_eq!(refused_at(done), "token.unknown");
    assert_eq!(lab.log().len(), before, "nobody fills the log from outside");

    let nameless = lab
        .complete(secret, &signer, &challenge, right.clone(), None)
        .await;
    assert_eq!(nameless.unwrap_err().code(), "request.value");
    lab.complete(secret, &signer, &challenge, right, Some("Ada"))
        .await
        .unwrap();
}

#[tokio::test]
async fn i4_an_answer_serves_its_own_key_token_and_nexus_only() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let one = secret_of(
        &lab.invite(&admin, None, PersonRole::SuperAdmin)
            .await
            .unwrap(),
    );
    let two = secret_of(
        &lab.invite(&admin, None, PersonRole::SuperAdmin)
            .await
            .unwrap(),
    );
    let (a, b) = (
        Ed25519Signer::from_seed(&[11; 32], None),
        Ed25519Signer::from_seed(&[12; 32], None),
    );
    let challenge = lab.begin(&one, &a).await.unwrap();

    // Another key answers, also with a challenge of its own outstanding.
    let stolen = lab
        .complete(&one, &b, &challenge, answer(&lab, &b, &challenge), None)
        .await;
    assert_eq!(refused_at(stolen), "challenge.unknown");
    let own = lab.begin(&one, &b).await.unwrap();
    let crossed = lab
        .complete(&one, &b, &own, answer(&lab, &b, &challenge), None)
        .await;
    assert_eq!(refused_at(crossed), "challenge.signature");
    // Another token.
    let other = lab
        .complete(&two, &a, &challenge, answer(&lab, &a, &challenge), None)
        .await;
    assert_eq!(refused_at(other), "challenge.unknown");
    // Another purpose, another nexus.
    for (purpose, nexus) in [("bootstrap", lab.app.nexus_id), ("invite", [0; 32])] {
        let thumbprint = a.jwk().thumbprint();
        let bytes = challenge_bytes(
            purpose,
            &nexus,
            &challenge.challenge.0,
            thumbprint.as_bytes(),
        );
        let signature = a.sign(&bytes).unwrap().to_vec();
        assert_eq!(
            refused_at(lab.complete(&one, &a, &challenge, signature, None).await),
            "challenge.signature"
        );
    }
    // The challenge before is void.
    let newer = lab.begin(&one, &a).await.unwrap();
    let old = lab
        .complete(&one, &a, &challenge, answer(&lab, &a, &challenge), None)
        .await;
    assert_eq!(refused_at(old), "challenge.unknown");
    lab.complete(&one, &a, &newer, answer(&lab, &a, &newer), None)
        .await
        .unwrap();
    // And the same answer once more.
    let again = lab
        .complete(&one, &a, &newer, answer(&lab, &a, &newer), None)
        .await;
    assert_eq!(refused_at(again), "token.spent");
}

#[tokio::test]
async fn a_key_is_one_persons_for_good() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let invite = lab
        .invite(&admin, None, PersonRole::SuperAdmin)
        .await
        .unwrap();
    assert_eq!(
        refused_at(lab.join(&secret_of(&invite), 1, None).await),
        "key.known"
    );
    assert!(lab.join(&secret_of(&invite), 2, None).await.is_ok());
}

#[tokio::test]
async fn challenges_and_tokens_end_in_time() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let secret = secret_of(
        &lab.invite(&admin, None, PersonRole::SuperAdmin)
            .await
            .unwrap(),
    );
    let signer = Ed25519Signer::from_seed(&[11; 32], None);
    let challenge = lab.begin(&secret, &signer).await.unwrap();
    lab.clock().advance(challenge::LIFETIME);
    let late = lab
        .complete(
            &secret,
            &signer,
            &challenge,
            answer(&lab, &signer, &challenge),
            None,
        )
        .await;
    assert_eq!(refused_at(late), "challenge.unknown");
    lab.clock()
        .advance(super::super::invites::LIFETIME - challenge::LIFETIME - 1);
    let challenge = lab.begin(&secret, &signer).await.unwrap();
    lab.clock().advance(1);
    let late = lab
        .complete(
            &secret,
            &signer,
            &challenge,
            answer(&lab, &signer, &challenge),
            None,
        )
        .await;
    assert_eq!(refused_at(late), "token.expired");
    lab.app.store.sweep().await.unwrap();
}

#[tokio::test]
async fn i14_who_holds_a_token_has_a_bounded_number_of_challenges() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    for seed in 0..u8::try_from(challenge::PER_TOKEN).unwrap() {
        lab.begin(
            token.secret(),
            &Ed25519Signer::from_seed(&[seed + 1; 32], None),
        )
        .await
        .unwrap();
    }
    let one_more = Ed25519Signer::from_seed(&[99; 32], None);
    assert_eq!(
        lab.begin(token.secret(), &one_more)
            .await
            .unwrap_err()
            .code(),
        "request.rate"
    );
    lab.clock().advance(challenge::LIFETIME);
    assert!(lab.begin(token.secret(), &one_more).await.is_ok());
}

#[tokio::test]
async fn i5_an_invite_counts_only_while_its_giver_does() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let acme = lab.tenant(&admin, "acme").await;
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    let early = secret_of(
        &lab.invite(&boss, Some(&acme), PersonRole::Operator)
            .await
            .unwrap(),
    );
    let reason = Reason {
        reason: "key stolen".into(),
    };
    let ctx = lab
        .by(&admin, route("suspend_operator"), Some(boss.id().as_str()))
        .unwrap();
    crate::op::suspend_operator(ctx, reason.clone())
        .await
        .unwrap();
    assert_eq!(refused_at(lab.join(&early, 11, None).await), "token.void");
    let ctx = lab
        .by(
            &admin,
            route("unsuspend_operator"),
            Some(boss.id().as_str()),
        )
        .unwrap();
    crate::op::unsuspend_operator(ctx, reason).await.unwrap();
    assert_eq!(
        refused_at(lab.join(&early, 11, None).await),
        "token.void",
        "for good"
    );
}

#[tokio::test]
async fn i7_no_secret_stands_in_the_log() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    lab.join(token.secret(), 1, Some("Ada")).await.unwrap();
    let log = serde_json::to_string(&lab.log()).unwrap();
    let secret = assay_api::jose::encode(&token.secret()[..]);
    assert!(
        !log.contains(&secret)
            && !log.contains(&base16ct::lower::encode_string(&token.secret()[..]))
    );
}

#[tokio::test]
async fn the_key_of_a_device_is_no_persons() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    let signer = Ed25519Signer::from_seed(&[9; 32], None);
    let key = crate::store::devices::DeviceKey {
        id: KeyId::from_random(&[9; 16]),
        device: assay_api::id::DeviceId::from_random(&[9; 16]),
        thumbprint: *signer.jwk().thumbprint().as_bytes(),
        algorithm: RequestAlgorithm::EdDsa,
        public: vec![9; 32],
        state: KeyState::Revoked,
    };
    lab.app
        .store
        .write::<_, crate::store::StoreFault, _>(move |tx| {
            tx.change(crate::store::testing::entry("test"), |c| c.insert(&key))
        })
        .await
        .unwrap();
    let joined = lab.join(token.secret(), 9, Some("Eve")).await;
    assert_eq!(refused_at(joined), "key.known");
}
