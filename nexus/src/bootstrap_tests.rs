//! The door, and who may still come through it.

use std::os::unix::fs::PermissionsExt;

use assay_api::log::{Actor, ActorKind};
use assay_api::types::PersonRole;

use super::*;
use crate::testing::{Lab, off_runtime, route};

fn recover_now(lab: &Lab) -> TokenWords {
    let actor = Actor {
        kind: ActorKind::System,
        id: "root".into(),
        kid: None,
    };
    let entry = EntryDraft::new("operator.recover", actor).reason("the key is lost");
    let path = off_runtime(|| recover(&lab.app, entry).unwrap());
    read(&path).unwrap()
}

fn path(lab: &Lab) -> PathBuf {
    lab.app.config.bootstrap_file()
}

#[test]
fn i7_the_token_is_in_a_file_that_only_its_owner_reads_and_nowhere_else() {
    let lab = Lab::new();
    let token = lab.bootstrap_token().unwrap();
    let mode = path(&lab).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = serde_json::to_string(&lab.log()).unwrap();
    assert!(!log.contains(token.expose().as_str()));
    let text = assay_api::jose::encode(&token.secret()[..]);
    let rows = std::fs::read(lab.scratch.path()).unwrap();
    assert!(
        !rows.windows(32).any(|w| w == &token.secret()[..]),
        "stored hashed"
    );
    assert!(!log.contains(&text));
    assert_eq!(*token.root_pin(), lab.app.nexus_id);
    assert_eq!(Some(token.url()), lab.app.config.public_url());
}

#[test]
fn a_restart_keeps_a_token_that_opens_and_replaces_one_that_does_not() {
    let lab = Lab::new();
    let first = lab.bootstrap_token().unwrap();
    let lab = lab.restart();
    assert_eq!(lab.bootstrap_token().unwrap().id(), first.id());
    // Gone, garbled, another's, expired.
    std::fs::remove_file(path(&lab)).unwrap();
    let second = lab.bootstrap_token().unwrap();
    assert_ne!(second.id(), first.id());
    std::fs::write(path(&lab), "assay1.bootstrap.AA").unwrap();
    let third = lab.bootstrap_token().unwrap();
    std::fs::write(path(&lab), first.expose().as_bytes()).unwrap();
    let fourth = lab.bootstrap_token().unwrap();
    lab.clock().advance(LIFETIME);
    let fifth = lab.bootstrap_token().unwrap();
    let ids = [first.id(), second.id(), third.id(), fourth.id(), fifth.id()];
    let mut distinct = ids.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 5);
    // One opens, whatever became of the files of the others.
    let open = lab
        .app
        .store
        .read_now(|r| open_tokens(r, lab.now()))
        .unwrap();
    assert_eq!(open.iter().map(|t| t.id).collect::<Vec<_>>(), [fifth.id()]);
}

#[tokio::test]
async fn recovery_passes_the_shut_door_once_and_stands_in_the_log() {
    let lab = Lab::new();
    let admin = lab.first_admin().await;
    assert!(!path(&lab).exists(), "the spent token's file is gone");
    let old = recover_now(&lab);
    let token = recover_now(&lab);
    let lab = lab.restart();
    assert!(
        lab.bootstrap_token().is_none(),
        "serving goes on with the door shut"
    );
    assert!(
        path(&lab).exists(),
        "and leaves the recovery token where it is"
    );
    let voided = lab.join(old.secret(), 7, Some("Eve")).await;
    assert_eq!(voided.unwrap_err().exact(), "token.void");
    let second = lab.join(token.secret(), 2, Some("Bob")).await.unwrap();
    assert_eq!(second.joined.role, PersonRole::SuperAdmin);
    assert!(
        lab.by(&admin, route("whoami"), None).is_ok(),
        "the first one stays"
    );
    assert!(lab.join(token.secret(), 3, Some("Eve")).await.is_err());
    assert!(!path(&lab).exists());
    let entries = lab.events("operator.recover");
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].reason.as_deref(), Some("the key is lost"));
}

#[tokio::test]
async fn recovery_before_the_first_admin_shuts_the_door_behind_it() {
    let lab = Lab::new();
    let first = lab.bootstrap_token().unwrap();
    let token = recover_now(&lab);
    lab.join(token.secret(), 1, Some("Ada")).await.unwrap();
    assert!(lab.bootstrap_token().is_none());
    assert!(lab.join(first.secret(), 2, Some("Eve")).await.is_err());
}

#[tokio::test]
async fn i12_a_door_that_was_opened_behind_our_back_is_found_out() {
    let lab = Lab::new();
    lab.first_admin().await;
    for sql in ["UPDATE door SET state = 'open'", "DELETE FROM door"] {
        lab.scratch.tamper(sql);
        let failed = off_runtime(|| ensure(&lab.app)).unwrap_err();
        let forged = StoreFault::RowForged {
            table: "door",
            key: "bootstrap".into(),
        };
        assert_eq!(failed.to_string(), forged.to_string());
    }
}
