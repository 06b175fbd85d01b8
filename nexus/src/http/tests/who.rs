//! Who one is counts as of this very request, and what is another tenant's is not there.

use assay_api::types::PersonRole;

use crate::http::testing::World;
use crate::store::Rows;
use crate::store::people::{OperatorRow, OperatorState};
use crate::store::tenant::{Tenant, TenantState};

#[test]
fn i5_suspending_and_demoting_take_effect_on_the_next_request() {
    let world = World::new();
    let tenant = world.tenant(1);
    let who = world.person(1, PersonRole::TenantAdmin, Some(&tenant));
    assert_eq!(world.ask(&who, "GET", "/v1/operators", "").code(), "ok");
    let set = |change: fn(&mut OperatorRow)| {
        let mut row = world.operator(&who.id);
        change(&mut row);
        world.put(move |c| c.update(&row));
    };
    set(|row| row.role = PersonRole::Operator);
    assert_eq!(
        world.ask(&who, "GET", "/v1/operators", "").code(),
        "auth.forbidden"
    );
    set(|row| row.state = OperatorState::Suspended);
    assert_eq!(world.ask(&who, "GET", "/v1/me", "").code(), "auth.failed");
    set(|row| row.state = OperatorState::Active);
    assert_eq!(world.ask(&who, "GET", "/v1/me", "").code(), "ok");
    let id = tenant.clone();
    world.put(move |c| {
        let mut row: Tenant = c.get(id.as_str())?.unwrap();
        row.state = TenantState::Removed;
        c.update(&row)
    });
    assert_eq!(world.ask(&who, "GET", "/v1/me", "").code(), "auth.failed");
}

/// A key that was good at the gate and is not in the transaction: the second look refuses.
#[test]
fn i5_the_transaction_looks_again() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let (jwk, caller) = world
        .app
        .store
        .read_now(|r| crate::op::caller::caller_of_key(r, who.key.as_str()))
        .unwrap();
    assert_eq!(&jwk, assay_api::signer::RequestSigner::jwk(&who.signer));
    let mut row = world.operator(&who.id);
    row.state = OperatorState::Suspended;
    world.put(move |c| c.update(&row));
    let again = world.app.store.read_now(|r| caller.refresh(r)).unwrap_err();
    assert_eq!(
        (again.code(), again.exact()),
        ("auth.failed", "operator.suspended")
    );
}

#[test]
fn i11_absent_and_anothers_look_the_same() {
    let world = World::new();
    let (ours, theirs) = (world.tenant(1), world.tenant(2));
    let who = world.person(1, PersonRole::TenantAdmin, Some(&ours));
    let other = world.person(2, PersonRole::Operator, Some(&theirs));
    let root = world.person(3, PersonRole::SuperAdmin, None);
    let absent = "op-haaaaaaaaaaaaaaaaaaaaaaaaa";
    for (method, tail, body) in [("GET", "", ""), ("POST", "/suspend", r#"{"reason":"r"}"#)] {
        let shown = |id: &str| {
            let reply = world.ask(&who, method, &format!("/v1/operators/{id}{tail}"), body);
            let mut problem = reply.problem();
            problem.request_id = String::new();
            (reply.status, serde_json::to_string(&problem).unwrap())
        };
        assert_eq!(shown(absent).0, 404);
        for id in [other.id.as_str(), root.id.as_str()] {
            assert_eq!(shown(id), shown(absent));
        }
    }
    let names = |path: &str| world.ask(&who, "GET", path, "").code();
    assert_eq!(names("/v1/operators?tenant=tenant-1"), "ok");
    assert_eq!(names("/v1/operators?tenant=tenant-2"), "not_found");
    assert_eq!(
        names(&format!("/v1/operators?tenant={theirs}")),
        "not_found"
    );
    let listed = world.ask(&who, "GET", "/v1/operators", "").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let audit = String::from_utf8(world.ask(&who, "GET", "/v1/audit", "").body).unwrap();
    assert!(audit.contains("\"items\""));
    let entries = world.entries("operator.suspend");
    assert!(
        entries
            .iter()
            .any(|e| e["code"] == "not_found.other_tenant"),
        "the log knows the step"
    );
    assert!(entries.iter().any(|e| e["code"] == "not_found"));
    assert_eq!(world.operator(&other.id).state, OperatorState::Active);
}

#[test]
fn i6_a_row_that_was_forged_lets_nobody_in() {
    let world = World::new();
    let tenant = world.tenant(1);
    let who = world.person(1, PersonRole::Operator, Some(&tenant));
    world
        .scratch
        .tamper("UPDATE operator SET role = 'super:admin', tenant = NULL");
    let reply = world.ask(&who, "GET", "/v1/me", "");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "store.row_forged")
    );
}

#[test]
fn a_persons_key_is_no_dpus() {
    let world = World::new();
    let tenant = world.tenant(1);
    let people = [
        world.person(1, PersonRole::SuperAdmin, None),
        world.person(2, PersonRole::Operator, Some(&tenant)),
    ];
    for who in &people {
        for (method, path) in [
            ("POST", "/v1/agent/nonce"),
            ("GET", "/v1/agent/self"),
            ("GET", "/v1/agent/hosts"),
            ("GET", "/v1/agent/wake?wait=0"),
        ] {
            let reply = world.ask(who, method, path, "");
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "auth.forbidden"),
                "{path}"
            );
        }
    }
}

#[test]
fn a_role_reaches_its_rows_and_no_more() {
    let world = World::new();
    let tenant = world.tenant(1);
    let operator = world.person(1, PersonRole::Operator, Some(&tenant));
    let admin = world.person(2, PersonRole::TenantAdmin, Some(&tenant));
    for path in [
        "/v1/operators",
        "/v1/invites",
        "/v1/claims",
        "/v1/secrets",
        "/v1/audit",
    ] {
        assert_eq!(
            world.ask(&operator, "GET", path, "").code(),
            "auth.forbidden",
            "{path}"
        );
        assert_eq!(world.ask(&admin, "GET", path, "").code(), "ok", "{path}");
    }
    for path in [
        "/v1/me",
        "/v1/tenants",
        "/v1/dpus",
        "/v1/hosts",
        "/v1/grants",
        "/v1/audit/head",
    ] {
        assert_eq!(world.ask(&operator, "GET", path, "").code(), "ok", "{path}");
    }
    let denied = world.entries("list_operators");
    assert_eq!(
        (&denied[0]["decision"], &denied[0]["code"]),
        (&"denied".into(), &"policy.none_permits".into())
    );
    assert_eq!(
        world
            .ask(&admin, "POST", "/v1/tenants", r#"{"name":"x"}"#)
            .code(),
        "auth.forbidden"
    );
}
