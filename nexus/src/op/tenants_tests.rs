use super::*;
use crate::op;
use crate::testing::{Lab, Someone, route};

#[tokio::test]
async fn tenants_have_one_name_each_and_only_super_admins_make_them() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let acme = lab.tenant(&admin, "acme").await;
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    let make = |by: &Someone, name: &str| {
        let ctx = lab.by(by, route("create_tenant"), None).unwrap();
        op::create_tenant(ctx, TenantCreate { name: name.into() })
    };
    assert_eq!(make(&admin, "acme").await.unwrap_err().code(), "name.taken");
    assert_eq!(
        make(&admin, "t-aaaaaaaaaaaaaaaaaaaaaaaaaa")
            .await
            .unwrap_err()
            .code(),
        "request.value"
    );
    assert_eq!(
        make(&boss, "mine").await.unwrap_err().code(),
        "auth.forbidden"
    );
    let entry = lab.events("tenant.create").remove(0);
    assert_eq!(
        (entry.tenant.as_deref(), entry.details["name"].as_str()),
        (Some(acme.as_str()), "acme")
    );
}

#[tokio::test]
async fn i11_everybody_sees_their_own_tenant_and_super_admins_all() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let (acme, other) = (
        lab.tenant(&admin, "acme").await,
        lab.tenant(&admin, "other").await,
    );
    let olga = lab
        .person(&admin, Some(&acme), PersonRole::Operator, 10)
        .await;
    let list = |by: &Someone, tenant: Option<&str>| {
        let ctx = lab.by(by, route("list_tenants"), None).unwrap();
        let tenant = tenant.map(str::to_owned);
        op::list_tenants(
            ctx,
            InTenant {
                tenant,
                ..InTenant::default()
            },
        )
    };
    let ids = |tenants: Shown<Tenants>| -> Vec<TenantId> {
        tenants
            .into_inner()
            .items
            .into_iter()
            .map(|t| t.id)
            .collect()
    };
    assert_eq!(
        ids(list(&olga, None).await.unwrap()),
        std::slice::from_ref(&acme)
    );
    assert_eq!(
        ids(list(&olga, Some("acme")).await.unwrap()),
        std::slice::from_ref(&acme)
    );
    assert_eq!(
        list(&olga, Some("other")).await.unwrap_err().code(),
        "not_found"
    );
    let mut both = [acme, other.clone()];
    both.sort();
    assert_eq!(ids(list(&admin, None).await.unwrap()), both);
    assert_eq!(ids(list(&admin, Some("other")).await.unwrap()), [other]);
}
