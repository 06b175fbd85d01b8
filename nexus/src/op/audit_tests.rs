use std::sync::Arc;

use assay_api::log::{Checkpoint, Entry, tree};

use super::*;
use crate::op;
use crate::testing::{Lab, Someone, route};

async fn ask(lab: &Lab, by: &Someone, ask: AuditAsk) -> Result<AuditPage, Problem> {
    let ctx = lab.by(by, route("list_audit"), None)?;
    Ok(op::list_audit(ctx, ask).await?.into_inner())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}

fn entry(out: &AuditEntryOut) -> Entry {
    Entry::parse(&out.entry.0).unwrap()
}

#[tokio::test]
async fn i8_what_a_super_admin_reads_is_the_whole_log_under_its_checkpoint() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    lab.tenant(&admin, "acme").await;
    let (mut from, mut leaves) = (0, Vec::new());
    let checkpoint = loop {
        let page = ask(
            &lab,
            &admin,
            AuditAsk {
                from: Some(from),
                limit: Some(2),
                ..AuditAsk::default()
            },
        )
        .await
        .unwrap();
        for out in &page.items {
            assert_eq!(out.index, count(leaves.len()));
            leaves.push(tree::leaf_hash(&out.entry.0));
        }
        if page.items.is_empty() {
            break page.checkpoint;
        }
        from = page.next;
    };
    let head = Checkpoint::verify(&checkpoint, lab.app.store.log_key()).unwrap();
    assert_eq!(
        (head.head().size, from),
        (count(leaves.len()), count(leaves.len()))
    );
    let ctx = lab.by(&admin, route("audit_head"), None).unwrap();
    assert_eq!(
        op::audit_head(ctx, Empty {})
            .await
            .unwrap()
            .into_inner()
            .checkpoint,
        checkpoint
    );
}

#[tokio::test]
async fn i11_a_tenant_admin_reads_entries_of_the_own_tenant_with_their_index() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let (acme, other) = (
        lab.tenant(&admin, "acme").await,
        lab.tenant(&admin, "other").await,
    );
    let boss = lab
        .person(&admin, Some(&acme), PersonRole::TenantAdmin, 10)
        .await;
    lab.person(&admin, Some(&other), PersonRole::Operator, 11)
        .await;
    let page = ask(&lab, &boss, AuditAsk::default()).await.unwrap();
    assert!(!page.items.is_empty());
    for out in &page.items {
        assert_eq!(entry(out).tenant.as_deref(), Some(acme.as_str()));
        assert_eq!(entry(out).index, out.index);
    }
    assert_eq!(
        page.next,
        count(lab.log().len()),
        "what was left out is passed over"
    );
    let olga = lab
        .person(&boss, Some(&acme), PersonRole::Operator, 12)
        .await;
    assert_eq!(
        ask(&lab, &olga, AuditAsk::default())
            .await
            .unwrap_err()
            .code(),
        "auth.forbidden"
    );
}

#[tokio::test]
async fn filters_and_bounds() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    lab.tenant(&admin, "acme").await;
    let by_event = |event: &str| AuditAsk {
        event: Some(event.into()),
        ..AuditAsk::default()
    };
    let names =
        |page: AuditPage| -> Vec<String> { page.items.iter().map(|i| entry(i).event).collect() };
    assert_eq!(
        names(ask(&lab, &admin, by_event("tenant.create")).await.unwrap()),
        ["tenant.create"]
    );
    assert_eq!(
        names(ask(&lab, &admin, by_event("join.")).await.unwrap()),
        ["join.begin", "join.complete"]
    );
    for bad in [
        by_event(""),
        by_event("x' OR 1"),
        by_event(&"a".repeat(65)),
        AuditAsk {
            limit: Some(0),
            ..AuditAsk::default()
        },
        AuditAsk {
            limit: Some(501),
            ..AuditAsk::default()
        },
        AuditAsk {
            wait: Some(61),
            ..AuditAsk::default()
        },
    ] {
        assert_eq!(
            ask(&lab, &admin, bad).await.unwrap_err().code(),
            "request.value"
        );
    }
    let beyond = AuditAsk {
        from: Some(u64::MAX),
        ..AuditAsk::default()
    };
    let page = ask(&lab, &admin, beyond).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, u64::MAX));
}

#[tokio::test]
async fn who_waits_is_answered_by_the_next_entry() {
    let lab = Arc::new(Lab::new());
    let admin = Arc::new(lab.first_admin().await);
    let from = Some(count(lab.log().len()));
    let waiting = tokio::spawn({
        let (lab, admin) = (lab.clone(), admin.clone());
        async move {
            ask(
                &lab,
                &admin,
                AuditAsk {
                    from,
                    wait: Some(60),
                    event: Some("tenant.create".into()),
                    ..AuditAsk::default()
                },
            )
            .await
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    lab.invite(&admin, None, PersonRole::SuperAdmin)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "another event wakes nobody");
    lab.tenant(&admin, "acme").await;
    let page = waiting.await.unwrap().unwrap();
    assert_eq!(entry(&page.items[0]).event, "tenant.create");
    let none = ask(
        &lab,
        &admin,
        AuditAsk {
            from: Some(page.next),
            wait: Some(1),
            ..AuditAsk::default()
        },
    )
    .await
    .unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn i5_who_is_suspended_while_waiting_hears_nothing_more() {
    let lab = Arc::new(Lab::new());
    let admin = lab.first_admin().await;
    let other = Arc::new(lab.person(&admin, None, PersonRole::SuperAdmin, 2).await);
    let from = Some(count(lab.log().len()));
    let waiting = tokio::spawn({
        let (lab, other) = (lab.clone(), other.clone());
        async move {
            ask(
                &lab,
                &other,
                AuditAsk {
                    from,
                    wait: Some(60),
                    ..AuditAsk::default()
                },
            )
            .await
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ctx = lab
        .by(&admin, route("suspend_operator"), Some(other.id().as_str()))
        .unwrap();
    op::suspend_operator(
        ctx,
        Reason {
            reason: "left".into(),
        },
    )
    .await
    .unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), "auth.failed");
}

#[tokio::test]
async fn i8_an_older_head_is_proved_to_be_the_beginning_of_a_newer() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    let old = lab.app.store.head();
    lab.tenant(&admin, "acme").await;
    let new = lab.app.store.head();
    let prove = |from: u64, to: u64| {
        let ctx = lab.by(&admin, route("audit_consistency"), None).unwrap();
        op::audit_consistency(ctx, ConsistencyAsk { from, to })
    };
    let (old, new) = (old.head(), new.head());
    let proof = prove(old.size, new.size).await.unwrap().into_inner();
    let hashes: Vec<[u8; 32]> = proof
        .hashes
        .iter()
        .map(|h| h.0.as_slice().try_into().unwrap())
        .collect();
    assert!(tree::extends(
        old.size, &old.root, new.size, &new.root, &hashes
    ));
    assert!(!tree::extends(
        old.size, &[0; 32], new.size, &new.root, &hashes
    ));
    for (from, to) in [(0, 1), (2, 1), (1, new.size + 1), (u64::MAX, u64::MAX)] {
        assert_eq!(
            prove(from, to).await.unwrap_err().code(),
            "request.value",
            "{from} {to}"
        );
    }
}
