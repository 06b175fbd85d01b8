//! A full disk: what is revoked still reaches the hosts (I6, I13).

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use assay_api::manifest::Manifest;
use assay_api::signed::Unverified;
use assay_api::types::*;
use assay_attest::standing::StaleAfter;

use super::ssh::with_hosts_on;
use super::world::*;
use crate::op;
use crate::store::testing::Scratch;
use crate::verifier::{Anchors, Verifier};

const DIRECTORY: &str = "ASSAY_TEST_SMALL_DISK_OF_OPS";

/// Runs where the parent test has mounted a disk of 24 megabytes, which is where temporary files go.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut scratch = Scratch::new();
    scratch.options.reserve = 1 << 20;
    assert!(scratch.path().starts_with(&directory));
    let verifier = Verifier::new(Anchors::default(), StaleAfter::DEFAULT);
    let (world, a, _) = with_hosts_on(World::of(verifier, scratch).await).await;
    let kept = world
        .sign(&world.root, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    let filler = Path::new(&directory).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    let mut refused = None;
    for n in 0..200 {
        let name = format!("s{}", n % 30);
        refused = world.put_secret("dpu-a", &name, &[7; 65_536]).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.unwrap().code(), "store.full");

    let id = kept.info.id.as_str();
    let ctx = world.ctx(&world.acme.admin, "revoke_certificate", Some(id));
    op::revoke_certificate(ctx, because("lost laptop"))
        .await
        .unwrap();
    let host_id = world.wake(&a).await.manifests.remove(0);
    let pull = async |have: u64| {
        let host_id = host_id.clone();
        let ctx = world.ctx(&a.caller(&world), "pull_manifest", None);
        op::pull_manifest(ctx, ManifestAsk { host_id, have }).await
    };
    let out = pull(1).await.unwrap().into_inner().manifest.unwrap();
    let manifest = Unverified::<Manifest>::parse(&out.0).unwrap();
    let Manifest { files, trial, .. } = manifest.claimed();
    assert!(trial.is_none(), "nothing is released");
    std::fs::remove_file(&filler).unwrap();
    let (krl, cert) = (scratch_file(&world, "krl"), scratch_file(&world, "c.pub"));
    std::fs::write(&krl, &files.krl).unwrap();
    std::fs::write(&cert, &kept.certificate).unwrap();
    let asked = Command::new("ssh-keygen")
        .arg("-Qf")
        .args([&krl, &cert])
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    println!("revoked on a full disk");
}

fn scratch_file(world: &World, name: &str) -> std::path::PathBuf {
    world.scratch.path().with_file_name(name)
}

#[test]
fn i13_on_a_full_disk_what_is_revoked_reaches_the_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$1" && exec "$2" op::tests::disk::child --exact --nocapture"#;
    let done = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args([directory.path(), &test])
        .env(DIRECTORY, directory.path())
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(
        done.status.success() && said.contains("revoked on a full disk"),
        "{said}"
    );
}
