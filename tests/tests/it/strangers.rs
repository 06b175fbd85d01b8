//! Whoever is nobody to the nexus, or no longer somebody, over real TLS; and things that may happen once.

use std::sync::Arc;
use std::thread;

use assay_api::routes::{ROUTES, Role, call};
use assay_api::signer::Ed25519Signer;
use assay_api::types::*;
use assay_client::{Client, Settings};
use assay_tests::agent::Agent;
use assay_tests::lab::{Lab, reason};
use assay_tests::nexus::Nexus;
use assay_tests::person::{Person, block_on, random};
use assay_tests::raw::Request;
use assay_tests::wait::secs;
use assay_tests::{log, programs};
use assay_tls::Pins;

use crate::ready;

const ID: &str = "x-aaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn i14_every_row_but_the_open_ones_refuses_strangers() {
    let lab = Lab::new();
    let before = log::entries(&log::export(&lab.admin)).len();
    let nobody = Ed25519Signer::from_seed(&random(), None);
    let ghost = Ed25519Signer::from_seed(&random(), Some("k-aaaaaaaaaaaaaaaaaaaaaaaaaa".into()));
    let thief = Ed25519Signer::from_seed(&random(), Some(lab.admin.joined.key_id.to_string()));
    for route in ROUTES.iter().filter(|route| !route.is_open()) {
        let (method, path) = (route.method, route.path_with(ID));
        let body: &[u8] = if method == "GET" { b"" } else { b"{}" };
        let bare = Request::bare(&lab.nexus, method, &path, body).send(&lab.nexus);
        assert_eq!(bare.status, 401, "{}: {}", route.name, bare.code());
        for (who, signer) in [
            ("nobody", &nobody),
            ("a ghost", &ghost),
            ("a thief", &thief),
        ] {
            let answer = Request::proved(&lab.nexus, signer, method, &path, body).send(&lab.nexus);
            // Whoever joins is a stranger by nature: there the body is what is wrong.
            let newcomers = route.roles.contains(&Role::NewKey);
            let joins = newcomers && who == "nobody";
            let wanted: &[u16] = if joins { &[400, 401] } else { &[401] };
            assert!(
                wanted.contains(&answer.status),
                "{} by {who}: {} {}",
                route.name,
                answer.status,
                answer.code()
            );
            assert!(
                newcomers || who == "nobody" || answer.code() == "auth.failed",
                "{} by {who}: {}",
                route.name,
                answer.code()
            );
        }
    }
    let after = log::entries(&log::export(&lab.admin)).len();
    assert!(
        after - before <= 20,
        "strangers wrote {} entries",
        after - before
    );
}

#[test]
fn another_nexus_is_not_talked_to() {
    let nexus = Nexus::start();
    let pins = Pins {
        current: [7; 32],
        next: None,
    };
    let client = Client::new(Settings::new(nexus.url().clone(), pins, None)).unwrap();
    let refused = block_on(client.call::<call::health>(None, &Empty {})).unwrap_err();
    assert!(
        refused.code().starts_with("tls.") || refused.code().starts_with("pin."),
        "{}",
        refused.code()
    );
    assert_eq!(refused.status(), None);

    if programs::has(&["openssl"]) {
        let openssl = programs::find("openssl").unwrap();
        let at = format!("localhost:{}", nexus.port());
        let hello = |version: &str| {
            let ran = programs::run(&openssl, &["s_client", "-connect", &at, version]);
            String::from_utf8_lossy(&ran.stdout).contains("Verify return code")
                && ran.status.success()
        };
        assert!(hello("-tls1_3"), "TLS 1.3 is spoken");
        assert!(!hello("-tls1_2"), "TLS 1.2 is not");
    }
}

#[test]
fn i3_a_proof_is_taken_once_also_after_a_power_cut() {
    let mut lab = Lab::new();
    let signer = lab.admin.signer();
    // After a start only proofs for reads that are younger count, by the second.
    thread::sleep(secs(2));
    let change = Request::proved(
        &lab.nexus,
        &signer,
        "POST",
        "/v1/tenants",
        br#"{"name":"once"}"#,
    );
    let read = Request::proved(&lab.nexus, &signer, "GET", "/v1/me", b"");
    let unsent = Request::proved(&lab.nexus, &signer, "GET", "/v1/tenants", b"");
    assert_eq!(change.send(&lab.nexus).status, 200);
    assert_eq!(read.send(&lab.nexus).status, 200);
    for round in ["at once", "after a power cut"] {
        let answer = change.send(&lab.nexus);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "auth.failed"),
            "{round}"
        );
        let answer = read.send(&lab.nexus);
        assert!(
            answer.status == 401
                && ["auth.failed", "dpop.before_start"].contains(&answer.code().as_str()),
            "{round}: {}",
            answer.code()
        );
        lab.nexus.kill();
        lab.nexus.up();
    }
    // A proof for a read from before the start: who knows whether it was seen.
    assert_eq!(unsent.send(&lab.nexus).status, 401);
    let tenants = lab
        .admin
        .must::<call::list_tenants>(None, &InTenant::default())
        .items;
    assert_eq!(tenants.iter().filter(|t| t.name == "once").count(), 1);
}

#[test]
fn i5_a_suspended_operator_is_refused_on_the_next_request() {
    let lab = Lab::new();
    let olga = lab.person("Olga Operator", PersonRole::Operator);
    let id = olga.joined.operator_id.to_string();
    for _ in 0..3 {
        olga.must::<call::whoami>(None, &Empty {});
        lab.admin
            .must::<call::suspend_operator>(Some(&id), &reason("on holiday"));
        let refused = olga.refused::<call::whoami>(None, &Empty {});
        assert_eq!(refused, (401, "auth.failed".to_owned()));
        lab.admin
            .must::<call::unsuspend_operator>(Some(&id), &reason("back again"));
    }
    olga.must::<call::whoami>(None, &Empty {});
    lab.admin.must::<call::revoke_key>(
        Some(&olga.joined.key_id.to_string()),
        &reason("the laptop was lost"),
    );
    assert_eq!(
        olga.refused::<call::whoami>(None, &Empty {}).1,
        "auth.failed"
    );
}

/// How many of eight who try at once come in.
fn winners(nexus: &Nexus, token: &str, name: Option<&str>) -> Vec<Person> {
    let start = Arc::new(std::sync::Barrier::new(8));
    thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let start = Arc::clone(&start);
                scope.spawn(move || {
                    start.wait();
                    Person::join(nexus, token, name)
                })
            })
            .collect();
        let mut in_ = Vec::new();
        for tried in tries {
            match tried.join().unwrap() {
                Ok(person) => in_.push(person),
                Err(error) => assert_eq!(error.code(), "auth.failed"),
            }
        }
        in_
    })
}

#[test]
fn i3_bootstrap_and_invite_have_one_winner_and_the_door_stays_shut() {
    let mut nexus = Nexus::start();
    let mut first = winners(&nexus, nexus.token(), Some("Ada Admin"));
    assert_eq!(first.len(), 1);
    let admin = first.pop().unwrap();
    let invite = InviteCreate {
        tenant: None,
        name: "Bea Boss".into(),
        role: PersonRole::SuperAdmin,
    };
    let token = admin.must::<call::create_invite>(None, &invite).token.0;
    assert_eq!(winners(&nexus, &token, None).len(), 1);
    assert_eq!(winners(&nexus, &token, None).len(), 0, "used up");
    nexus.kill();
    nexus.up();
    let late = Person::join(&nexus, nexus.token(), Some("Too Late")).unwrap_err();
    assert_eq!(late.code(), "auth.failed");
    assert!(
        !nexus.bootstrap_file().exists(),
        "no token is made once there is an admin"
    );
}

#[test]
fn i3_of_two_agents_with_one_claim_one_enrols() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let claim = lab.claim("dpu-a", "SN-1");
    let agents = [
        Agent::new("first", "SN-1", &claim),
        Agent::new("second", "SN-1", &claim),
    ];
    let ended: Vec<_> = thread::scope(|scope| {
        let tries = agents
            .each_ref()
            .map(|agent| scope.spawn(|| agent.ask(&["enrol"])));
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let codes: Vec<_> = ended.iter().map(|e| e.status.code().unwrap()).collect();
    assert_eq!(
        codes.iter().filter(|c| **c == 0).count(),
        1,
        "{codes:?} {ended:?}"
    );
    assert!(
        codes.iter().all(|c| [0, 2].contains(c)),
        "the other is told that it was not accepted: {ended:?}"
    );
    assert_eq!(
        lab.admin
            .must::<call::list_dpus>(None, &InTenant::default())
            .items
            .len(),
        1
    );
}

#[test]
fn i9_of_two_last_admins_who_suspend_each_other_one_remains() {
    let lab = Lab::new();
    for _ in 0..4 {
        let other = lab.person("Bea Boss", PersonRole::SuperAdmin);
        let people = [&lab.admin, &other];
        let done: Vec<bool> = thread::scope(|scope| {
            let tries = [0, 1].map(|n: usize| {
                let victim = people[1 - n].joined.operator_id.to_string();
                scope.spawn(move || {
                    people[n]
                        .call::<call::suspend_operator>(Some(&victim), &reason("mutiny"))
                        .is_ok()
                })
            });
            tries.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(done.iter().filter(|d| **d).count(), 1, "{done:?}");
        let alive = people
            .iter()
            .filter(|p| p.call::<call::whoami>(None, &Empty {}).is_ok());
        let survivors: Vec<_> = alive.collect();
        assert_eq!(survivors.len(), 1);
        let own = survivors[0].joined.operator_id.to_string();
        let alone = survivors[0].refused::<call::suspend_operator>(Some(&own), &reason("enough"));
        assert_eq!(alone.0, 409, "{}", alone.1);
        // For the next round the first admin must be there.
        if !done[0] {
            let first = lab.admin.joined.operator_id.to_string();
            other.must::<call::unsuspend_operator>(Some(&first), &reason("peace"));
            lab.admin.must::<call::suspend_operator>(
                Some(&other.joined.operator_id.to_string()),
                &reason("peace"),
            );
        }
    }
}
