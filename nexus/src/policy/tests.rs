use assay_api::id::{DeviceId, KeyId, OperatorId, TenantId};
use assay_api::jose::Jwk;
use assay_api::routes::{Does, On, ROUTES, Role, Route};
use assay_api::types::PersonRole;

use super::*;
use crate::op::caller::{Device, NewKey, Person};

fn tenant(n: u8) -> TenantId {
    TenantId::from_random(&[n; 16])
}

fn person(role: PersonRole, tenant: Option<TenantId>) -> Caller {
    Caller::Person(Person {
        id: OperatorId::from_random(&[1; 16]),
        key: KeyId::from_random(&[1; 16]),
        role,
        tenant,
        name: "p".into(),
    })
}

fn device(n: u8, of: u8) -> Caller {
    Caller::Device(Device {
        id: DeviceId::from_random(&[n; 16]),
        key: KeyId::from_random(&[n; 16]),
        tenant: tenant(of),
    })
}

fn new_key() -> Caller {
    let jwk = Jwk::ed25519([7; 32]);
    Caller::NewKey(NewKey {
        thumbprint: jwk.thumbprint(),
        jwk,
    })
}

/// Something of this kind, of this tenant.
fn thing(on: On, of: Option<u8>) -> Found {
    let mut found = Found::new(on, "x-1", of.map(tenant));
    match on {
        On::Nexus => found = Found::new(On::Nexus, "nexus", None),
        On::Tenant => found.id = of.map_or("*".into(), |n| tenant(n).to_string()),
        On::Operator => found.role = Some(PersonRole::Operator),
        _ => {}
    }
    found
}

fn ask(policy: &Policy, caller: &Caller, route: &'static Route, target: &Found) -> bool {
    policy
        .decide(&Question {
            caller,
            route,
            target,
            bypass: false,
            granted: true,
        })
        .is_ok()
}

fn policy() -> Policy {
    Policy::load(&[]).unwrap()
}

#[test]
fn every_row_but_the_open_ones_has_its_action() {
    let policy = policy();
    for route in ROUTES {
        assert_eq!(
            policy.actions.contains_key(route.name),
            !route.is_open(),
            "{}",
            route.name
        );
    }
}

/// For every row and every kind of caller: exactly those that the row names, in their own tenant.
#[test]
fn each_row_lets_in_whom_it_names_and_nobody_else() {
    let policy = policy();
    for route in ROUTES.iter().filter(|r| !r.is_open()) {
        let target = thing(route.on, Some(1));
        let least = route.roles.iter().find_map(|r| match r {
            Role::Operator => Some(0),
            Role::Admin => Some(1),
            Role::Super => Some(2),
            Role::NewKey | Role::Device => None,
        });
        for (rank, role) in [
            PersonRole::Operator,
            PersonRole::TenantAdmin,
            PersonRole::SuperAdmin,
        ]
        .into_iter()
        .enumerate()
        {
            let own = (role != PersonRole::SuperAdmin).then(|| tenant(1));
            let mut expected = least.is_some_and(|least| rank >= least);
            if route.name == "revoke_certificate" && rank == 0 {
                expected = false; // not the owner
            }
            assert_eq!(
                ask(&policy, &person(role, own), route, &target),
                expected,
                "{} by {}",
                route.name,
                role.as_str()
            );
        }
        assert_eq!(
            ask(&policy, &new_key(), route, &target),
            route.roles.contains(&Role::NewKey),
            "{}",
            route.name
        );
        let itself = match route.on {
            On::Device => Found::new(
                On::Device,
                DeviceId::from_random(&[1; 16]).as_str(),
                Some(tenant(1)),
            ),
            _ => target,
        };
        assert_eq!(
            ask(&policy, &device(1, 1), route, &itself),
            route.roles.contains(&Role::Device),
            "{}",
            route.name
        );
    }
}

#[test]
fn i11_no_row_is_allowed_across_tenants() {
    let policy = policy();
    for route in ROUTES.iter().filter(|r| !r.is_open() && r.on != On::Nexus) {
        for role in [PersonRole::Operator, PersonRole::TenantAdmin] {
            for of in [Some(2), None] {
                assert!(
                    !ask(
                        &policy,
                        &person(role, Some(tenant(1))),
                        route,
                        &thing(route.on, of)
                    ),
                    "{}",
                    route.name
                );
            }
            let nowhere = person(role, None);
            assert!(
                !ask(&policy, &nowhere, route, &thing(route.on, None)),
                "{}: no tenant is not every tenant",
                route.name
            );
        }
        let other = Found::new(
            On::Device,
            DeviceId::from_random(&[2; 16]).as_str(),
            Some(tenant(1)),
        );
        if route.on == On::Device {
            assert!(
                !ask(&policy, &device(1, 1), route, &other),
                "{}: another device of the tenant",
                route.name
            );
        }
    }
}

#[test]
fn only_a_super_admin_bypasses_and_only_a_release() {
    let policy = policy();
    for route in ROUTES.iter().filter(|r| !r.is_open()) {
        let target = thing(route.on, Some(1));
        for role in [
            PersonRole::Operator,
            PersonRole::TenantAdmin,
            PersonRole::SuperAdmin,
        ] {
            let caller = person(role, (role != PersonRole::SuperAdmin).then(|| tenant(1)));
            let question = Question {
                caller: &caller,
                route,
                target: &target,
                bypass: true,
                granted: true,
            };
            let expected = role == PersonRole::SuperAdmin
                && route.does == Does::Release
                && !route
                    .roles
                    .iter()
                    .all(|r| matches!(r, Role::Device | Role::NewKey));
            assert_eq!(policy.decide(&question).is_ok(), expected, "{}", route.name);
        }
    }
}

#[test]
fn an_operator_releases_only_what_a_grant_names() {
    let policy = policy();
    let caller = person(PersonRole::Operator, Some(tenant(1)));
    for name in ["push", "sign_certificate"] {
        let route = Route::by_name(name).unwrap();
        let target = thing(route.on, Some(1));
        for granted in [true, false] {
            let question = Question {
                caller: &caller,
                route,
                target: &target,
                bypass: false,
                granted,
            };
            assert_eq!(policy.decide(&question).is_ok(), granted, "{name}");
        }
    }
}

#[test]
fn i6_an_unknown_action_denies() {
    static UNKNOWN: Route = Route {
        name: "drop_everything",
        method: "POST",
        path: "/v1/drop",
        roles: &[Role::Super],
        does: Does::Change,
        on: On::Nexus,
        event: "x",
        doc: "x",
    };
    let caller = person(PersonRole::SuperAdmin, None);
    let target = thing(On::Nexus, None);
    let question = Question {
        caller: &caller,
        route: &UNKNOWN,
        target: &target,
        bypass: false,
        granted: true,
    };
    assert_eq!(
        policy().decide(&question).unwrap_err().code(),
        "policy.error"
    );
}

#[test]
fn i6_a_policy_that_errs_denies_even_where_another_permits() {
    // Passes validation, fails when evaluated: the sum is too large.
    let own = "permit (principal is Operator, action, resource) when { principal.role == \"super:admin\" && 9223372036854775807 + 1 == 0 };";
    let policy = Policy::load(&[("90-own".into(), own.into())]).unwrap();
    let caller = person(PersonRole::SuperAdmin, None);
    let route = Route::by_name("whoami").unwrap();
    let question = Question {
        caller: &caller,
        route,
        target: &thing(On::Nexus, None),
        bypass: false,
        granted: false,
    };
    assert_eq!(policy.decide(&question).unwrap_err().code(), "policy.error");
}

#[test]
fn own_policies_narrow_and_can_not_lift_the_floor() {
    let forbid = "@id(\"mine\") forbid (principal, action == Action::\"whoami\", resource);";
    let narrowed = Policy::load(&[("50-own".into(), forbid.into())]).unwrap();
    let caller = person(PersonRole::SuperAdmin, None);
    let route = Route::by_name("whoami").unwrap();
    let question = Question {
        caller: &caller,
        route,
        target: &thing(On::Nexus, None),
        bypass: false,
        granted: false,
    };
    assert_eq!(
        narrowed.decide(&question).unwrap_err().exact(),
        "50-own/mine"
    );

    let permit = "permit (principal is Operator, action, resource);";
    let widened = Policy::load(&[("50-own".into(), permit.into())]).unwrap();
    let route = Route::by_name("show_dpu").unwrap();
    let admin = person(PersonRole::TenantAdmin, Some(tenant(1)));
    assert!(!ask(&widened, &admin, route, &thing(On::Device, Some(2))));
}

#[test]
fn policies_with_faults_do_not_load() {
    for bad in [
        "permit (principal, action == Action::\"no_such_row\", resource);",
        "permit (principal is Operator, action, resource) when { principal.rank == 1 };",
        "permit (principal is Device, action == Action::\"create_tenant\", resource);",
        "permit (principal == ?principal, action, resource);",
        "permit (principal, action, resource",
    ] {
        assert!(
            Policy::load(&[("50-own".into(), bad.into())]).is_err(),
            "{bad}"
        );
    }
}

/// What is left out for its scope could not have changed a decision: the whole set decides the same, own policies included.
#[test]
fn i6_the_policies_of_a_scope_decide_as_all_of_them() {
    let own = "@id(\"night\") forbid (principal is Operator, action == Action::\"create_grant\", resource is Tenant);
         @id(\"two\") forbid (principal is Device, action in [Action::\"does-release\", Action::\"wake\"], resource);
         @id(\"one\") forbid (principal == Operator::\"nobody\", action, resource);";
    let policy = Policy::load(&[("own".into(), own.into())]).unwrap();
    let mut allowed = 0;
    let everything = [
        On::Nexus,
        On::Tenant,
        On::Operator,
        On::Key,
        On::Grant,
        On::Device,
        On::Host,
        On::Reference,
        On::SshCa,
        On::Certificate,
        On::Secret,
    ];
    let callers = [
        person(PersonRole::Operator, Some(tenant(1))),
        person(PersonRole::TenantAdmin, Some(tenant(1))),
        person(PersonRole::SuperAdmin, None),
        device(1, 1),
        new_key(),
    ];
    for route in ROUTES.iter().filter(|r| !r.is_open()) {
        for caller in &callers {
            for on in everything {
                for (of, bypass) in [(Some(1), false), (Some(2), false), (Some(1), true)] {
                    let question = Question {
                        caller,
                        route,
                        target: &thing(on, of),
                        bypass,
                        granted: !bypass,
                    };
                    let few = policy.decide(&question).is_ok();
                    let all = policy.decide_by(&question, |action, kind| {
                        action.by.get(kind).map(|_| &policy.policies)
                    });
                    assert_eq!(few, all.is_ok(), "{} on {on:?} by {caller}", route.name);
                    allowed += usize::from(few);
                }
            }
        }
    }
    assert!(allowed > 100, "{allowed}");
}
