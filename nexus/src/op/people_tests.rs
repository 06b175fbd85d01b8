//! People: who may end whom, and that somebody always remains.

use std::sync::Arc;

use super::*;
use crate::op;
use crate::testing::{Lab, Someone, route};

fn why() -> Reason {
    Reason {
        reason: "it is over".into(),
    }
}

async fn suspend(lab: &Lab, by: &Someone, whom: &Someone) -> Result<Operator, Problem> {
    let ctx = lab.by(by, route("suspend_operator"), Some(whom.id().as_str()))?;
    Ok(op::suspend_operator(ctx, why()).await?.into_inner())
}

async fn unsuspend(lab: &Lab, by: &Someone, whom: &Someone) -> Result<Operator, Problem> {
    let ctx = lab.by(by, route("unsuspend_operator"), Some(whom.id().as_str()))?;
    Ok(op::unsuspend_operator(ctx, why()).await?.into_inner())
}

async fn revoke(lab: &Lab, by: &Someone, whose: &Someone) -> Result<Operator, Problem> {
    let ctx = lab.by(by, route("revoke_key"), Some(whose.joined.key_id.as_str()))?;
    Ok(op::revoke_key(ctx, why()).await?.into_inner())
}

async fn me(lab: &Lab, who: &Someone) -> Result<Me, Problem> {
    let ctx = lab.by(who, route("whoami"), None)?;
    Ok(op::whoami(ctx, Empty {}).await?.into_inner())
}

fn code<T: std::fmt::Debug>(done: Result<T, Problem>) -> &'static str {
    done.unwrap_err().code()
}

#[tokio::test]
async fn i5_suspending_and_revoking_count_from_the_next_request_on() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let acme = lab.tenant(&admin, "acme").await;
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    let olga = lab
        .person(&boss, Some(&acme), PersonRole::Operator, 11)
        .await;
    assert_eq!(me(&lab, &olga).await.unwrap().tenant_id, Some(acme));

    // A request that passed the gate before, and is done after.
    let in_flight = lab.by(&olga, route("whoami"), None).unwrap();
    let shown = suspend(&lab, &boss, &olga).await.unwrap();
    assert_eq!(shown.state, "suspended");
    let late = op::whoami(in_flight, Empty {}).await.unwrap_err();
    assert_eq!(
        (late.code(), late.exact()),
        ("auth.failed", "operator.suspended")
    );
    assert_eq!(code(me(&lab, &olga).await), "auth.failed");
    assert_eq!(code(suspend(&lab, &boss, &olga).await), "conflict");
    unsuspend(&lab, &boss, &olga).await.unwrap();
    assert!(me(&lab, &olga).await.is_ok());

    let in_flight = lab.by(&olga, route("whoami"), None).unwrap();
    let shown = revoke(&lab, &boss, &olga).await.unwrap();
    assert_eq!(
        (shown.state.as_str(), shown.keys[0].state.as_str()),
        ("active", "revoked")
    );
    assert_eq!(
        op::whoami(in_flight, Empty {}).await.unwrap_err().exact(),
        "key.revoked"
    );
    // For good: suspending and lifting it gives nothing back.
    suspend(&lab, &boss, &olga).await.unwrap();
    unsuspend(&lab, &boss, &olga).await.unwrap();
    assert_eq!(code(me(&lab, &olga).await), "auth.failed");
    assert_eq!(code(revoke(&lab, &boss, &olga).await), "conflict");
}

#[tokio::test]
async fn i9_nobody_ends_the_key_that_signs_or_their_own_person() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let other = lab.person(&admin, None, PersonRole::SuperAdmin, 2).await;
    for who in [&admin, &other] {
        assert_eq!(code(suspend(&lab, who, who).await), "key.own");
        assert_eq!(code(revoke(&lab, who, who).await), "key.own");
    }
    assert!(me(&lab, &admin).await.is_ok() && me(&lab, &other).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i9_super_admins_who_end_each_other_at_once_leave_one() {
    for round in 0..6 {
        let lab = Arc::new(Lab::new());
        let root = lab.first_admin().await;
        let mut all = vec![root];
        for seed in 2..6 {
            let one = lab
                .person(&all[0], None, PersonRole::SuperAdmin, seed)
                .await;
            all.push(one);
        }
        let all = Arc::new(all);
        let tasks: Vec<_> = (0..all.len())
            .flat_map(|by| (0..all.len()).map(move |whom| (by, whom)))
            .filter(|(by, whom)| by != whom)
            .map(|(by, whom)| {
                let (lab, all) = (lab.clone(), all.clone());
                // All have passed the gate before the first is suspended.
                let suspends = (by + whom + round) % 2 == 0;
                let (name, id) = match suspends {
                    true => ("suspend_operator", all[whom].id().to_string()),
                    false => ("revoke_key", all[whom].joined.key_id.to_string()),
                };
                let ctx = lab.by(&all[by], route(name), Some(&id)).unwrap();
                tokio::spawn(async move {
                    match suspends {
                        true => op::suspend_operator(ctx, why()).await.is_ok(),
                        false => op::revoke_key(ctx, why()).await.is_ok(),
                    }
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += usize::from(task.await.unwrap());
        }
        let mut left = 0;
        for one in all.iter() {
            left += usize::from(me(&lab, one).await.is_ok());
        }
        assert_eq!(left, 1, "round {round}");
        // A person may be suspended by one and lose the key to another.
        assert!(done >= all.len() - 1, "round {round}: {done}");
    }
}

#[tokio::test]
async fn i9_the_rule_itself_refuses_the_last_one() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let other = lab.person(&admin, None, PersonRole::SuperAdmin, 2).await;
    let (a, b) = (admin.id().clone(), other.id().clone());
    let rule = |lost: Vec<OperatorId>| {
        lab.app
            .store
            .write(move |tx| keep_a_super_admin(tx, |person, _| lost.contains(&person.id)))
    };
    assert!(rule(vec![a.clone()]).await.is_ok());
    assert_eq!(
        code(rule(vec![a.clone(), b.clone()]).await),
        "operator.last_admin"
    );
    suspend(&lab, &admin, &other).await.unwrap();
    assert_eq!(code(rule(vec![a]).await), "operator.last_admin");
    assert!(
        rule(vec![b]).await.is_ok(),
        "who counted for nothing may go"
    );
}

#[tokio::test]
async fn i11_people_of_other_tenants_and_super_admins_are_not_there_for_a_tenant_admin() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let (acme, other) = (
        lab.tenant(&admin, "acme").await,
        lab.tenant(&admin, "other").await,
    );
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    let theirs = lab
        .person(&admin, Some(&other), PersonRole::Operator, 11)
        .await;
    for whom in [&theirs, &admin] {
        assert_eq!(code(suspend(&lab, &boss, whom).await), "not_found");
        assert_eq!(code(unsuspend(&lab, &boss, whom).await), "not_found");
        assert_eq!(code(revoke(&lab, &boss, whom).await), "not_found");
        let ctx = lab
            .by(&boss, route("show_operator"), Some(whom.id().as_str()))
            .unwrap();
        let known = op::show_operator(ctx, Empty {}).await.unwrap_err();
        let ctx = lab
            .by(
                &boss,
                route("show_operator"),
                Some("op-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
            )
            .unwrap();
        let absent = op::show_operator(ctx, Empty {}).await.unwrap_err();
        assert_eq!(known.fault(), absent.fault(), "the same outside");
        assert_ne!(known.exact(), absent.exact(), "and told apart in the log");
        assert!(me(&lab, whom).await.is_ok());
    }
    // Lists hold one's own only, whoever is named.
    let list = |tenant: Option<String>| {
        let ctx = lab.by(&boss, route("list_operators"), None).unwrap();
        op::list_operators(
            ctx,
            InTenant {
                tenant,
                ..InTenant::default()
            },
        )
    };
    let own = list(None).await.unwrap().into_inner();
    assert_eq!(
        own.items.iter().map(|o| &o.id).collect::<Vec<_>>(),
        [boss.id()]
    );
    for named in [other.to_string(), "other".into(), "*".into()] {
        assert_eq!(code(list(Some(named)).await), "not_found");
    }
    // Operators have no such lists at all.
    let olga = lab
        .person(&boss, Some(&acme), PersonRole::Operator, 12)
        .await;
    assert_eq!(code(suspend(&lab, &olga, &boss).await), "auth.forbidden");
    let ctx = lab.by(&olga, route("list_operators"), None).unwrap();
    assert_eq!(
        code(op::list_operators(ctx, InTenant::default()).await),
        "auth.forbidden"
    );
}

#[tokio::test]
async fn i11_a_tenant_admin_invites_into_their_own_tenant_only() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let (acme, other) = (
        lab.tenant(&admin, "acme").await,
        lab.tenant(&admin, "other").await,
    );
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    let olga = lab
        .person(&boss, Some(&acme), PersonRole::Operator, 11)
        .await;
    let into = |by, tenant, role| lab.invite(by, tenant, role);
    assert_eq!(
        code(into(&boss, Some(&other), PersonRole::Operator).await),
        "not_found"
    );
    assert_eq!(
        code(into(&boss, None, PersonRole::SuperAdmin).await),
        "auth.forbidden"
    );
    assert_eq!(
        code(into(&boss, Some(&acme), PersonRole::SuperAdmin).await),
        "request.value"
    );
    assert_eq!(
        code(into(&olga, Some(&acme), PersonRole::Operator).await),
        "auth.forbidden"
    );
    assert_eq!(
        code(into(&admin, None, PersonRole::Operator).await),
        "request.value"
    );
    assert_eq!(
        code(into(&admin, Some(&acme), PersonRole::SuperAdmin).await),
        "request.value"
    );
    let own = into(&boss, None, PersonRole::TenantAdmin).await.unwrap();
    assert_eq!(own.invite.tenant_id, Some(acme.clone()));
    into(&admin, Some(&other), PersonRole::Operator)
        .await
        .unwrap();

    let list = |by: &Someone, tenant: Option<&str>| {
        let ctx = lab.by(by, route("list_invites"), None).unwrap();
        let tenant = tenant.map(str::to_owned);
        op::list_invites(
            ctx,
            InTenant {
                tenant,
                ..InTenant::default()
            },
        )
    };
    let seen = list(&boss, None).await.unwrap().into_inner();
    assert_eq!(
        seen.items.iter().map(|i| &i.id).collect::<Vec<_>>(),
        [&own.invite.id],
        "used ones are left out"
    );
    assert_eq!(
        list(&admin, None).await.unwrap().into_inner().items.len(),
        2
    );
    assert_eq!(code(list(&boss, Some("other")).await), "not_found");
    lab.clock().advance(super::super::invites::LIFETIME);
    assert!(
        list(&admin, None)
            .await
            .unwrap()
            .into_inner()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_refused_to_somebody_known_stands_in_the_log() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    assert_eq!(code(suspend(&lab, &admin, &admin).await), "key.own");
    let entry = lab.events("operator.suspend").remove(0);
    assert_eq!(
        (entry.code.as_deref(), entry.target.as_deref()),
        (Some("key.own"), Some(admin.id().as_str()))
    );
}
