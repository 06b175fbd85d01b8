//! Reference Values as signed manifests: who may sign, what is taken in, what a change would do, and what it does.

use assay_api::signer::{Ed25519Signer, RequestSigner as _};
use assay_attest::codec::spki;
use assay_attest::corim::{self, Draft};
use assay_attest::digest::HashAlg;
use assay_attest::reference::{Component, Entry, Need, ReferenceValues};
use assay_attest::time::Timestamp;

use super::world::{World, code};
use crate::op::{self, Caller};
use crate::problem::Problem;
use assay_api::types::*;

struct Vendor(Ed25519Signer);

impl Vendor {
    fn new(seed: u8) -> Self {
        Self(Ed25519Signer::from_seed(&[seed; 32], None))
    }

    fn sign(&self, values: &ReferenceValues, ends: Option<Timestamp>) -> Vec<u8> {
        let key = self.0.jwk().public_key().clone();
        let manifest = Draft::of(values).to_bytes();
        corim::sign(manifest, &key, b"vendor", "vendor", ends, |m| {
            self.0.sign(m).map(Vec::from)
        })
        .unwrap()
    }

    fn der(&self) -> Vec<u8> {
        spki::write(self.0.jwk().public_key())
    }
}

impl World {
    async fn pin(
        &self,
        by: &Caller,
        name: &str,
        vendor: &Vendor,
    ) -> Result<ReferenceSigner, Problem> {
        let ask = ReferenceSignerPin {
            tenant: None,
            name: name.into(),
            kind: "key".into(),
            der: B64(vendor.der()),
        };
        let ctx = self.ctx(by, "pin_reference_signer", None);
        op::pin_reference_signer(ctx, ask)
            .await
            .map(|c| c.into_inner())
    }

    async fn import(&self, by: &Caller, manifest: Vec<u8>) -> Result<Reference, Problem> {
        let ask = ReferenceImport {
            tenant: None,
            name: "dpu-a-set".into(),
            manifest: B64(manifest),
            scope: None,
            applies_to: vec!["dpu-a".into()],
            optional: Vec::new(),
            ignored: Vec::new(),
            forbidden: Vec::new(),
        };
        let ctx = self.ctx(by, "import_reference", None);
        op::import_reference(ctx, ask).await.map(|c| c.into_inner())
    }

    async fn impact(&self, id: &str) -> ReferenceImpact {
        let ctx = self.ctx(&self.acme.admin, "show_reference_impact", Some(id));
        op::show_reference_impact(ctx, Empty {})
            .await
            .unwrap()
            .into_inner()
    }

    async fn in_force(&self, id: &str, accept_failures: u32) -> Result<Reference, Problem> {
        let ctx = self.ctx(&self.acme.admin, "activate_reference", Some(id));
        let done = op::activate_reference(ctx, ReferenceChange { accept_failures }).await;
        done.map(|c| c.into_inner())
    }

    async fn retire(&self, id: &str, accept_failures: u32) -> Result<Reference, Problem> {
        let ctx = self.ctx(&self.acme.admin, "retire_reference", Some(id));
        let done = op::retire_reference(ctx, ReferenceChange { accept_failures }).await;
        done.map(|c| c.into_inner())
    }

    async fn values(&self, id: &str) -> ReferenceValues {
        let ctx = self.ctx(&self.acme.operator, "show_reference", Some(id));
        let set = op::show_reference(ctx, Empty {})
            .await
            .unwrap()
            .into_inner();
        ReferenceValues::parse(&set.body.unwrap().0).unwrap()
    }
}

/// The same set with another digest of PCR 7.
fn worse(values: &ReferenceValues) -> ReferenceValues {
    let mut entries = values.entries().clone();
    let other = [HashAlg::Sha256.hash(&[b"other firmware"])].into();
    let entry = Entry::new(Need::Required, other).unwrap();
    entries.insert(Component::Pcr(HashAlg::Sha256, 7), entry);
    ReferenceValues::new(values.id(), values.version(), entries, Timestamp::MAX).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_pinned_signer_signed_is_taken_in_and_it_judges_nobody() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let first = world.row(machine.id()).reference.unwrap();
    let values = world.values(first.as_str()).await;
    let (vendor, stranger) = (Vendor::new(70), Vendor::new(71));
    let manifest = vendor.sign(&values, None);
    let admin = &world.acme.admin;

    assert_eq!(
        code(world.import(admin, manifest.clone()).await),
        "corim.no_signer"
    );
    assert_eq!(
        code(world.import(admin, Draft::of(&values).to_bytes()).await),
        "corim.unsigned"
    );
    // Pinned by another tenant is not pinned here.
    world
        .pin(&world.other.admin, "vendor", &vendor)
        .await
        .unwrap();
    assert_eq!(
        code(world.import(admin, manifest.clone()).await),
        "corim.no_signer"
    );
    world.pin(admin, "vendor", &vendor).await.unwrap();
    assert_eq!(
        code(world.pin(admin, "vendor", &stranger).await),
        "name.taken"
    );
    assert_eq!(
        code(world.import(admin, stranger.sign(&values, None)).await),
        "corim.no_signer"
    );
    let past = Some(Timestamp::from_secs(1));
    assert_eq!(
        code(world.import(admin, vendor.sign(&values, past)).await),
        "corim.expired"
    );
    let mut bent = manifest.clone();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    assert_eq!(code(world.import(admin, bent).await), "corim.no_signer");
    assert_eq!(
        code(world.import(&world.acme.operator, manifest.clone()).await),
        "auth.forbidden"
    );

    let taken = world.import(admin, manifest.clone()).await.unwrap();
    assert_eq!((taken.state.as_str(), taken.version), ("draft", 2));
    assert_eq!(
        (taken.signer.as_deref(), taken.taken_from.is_none()),
        (Some("vendor"), true)
    );
    assert_eq!(world.show("dpu-a").await.attestation, "verified");
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    assert_eq!(world.row(machine.id()).reference, Some(first));

    let ctx = world.ctx(admin, "retire_reference_signer", None);
    let ask = ReferenceSignerRetire {
        tenant: None,
        name: "vendor".into(),
    };
    let gone = op::retire_reference_signer(ctx, ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(gone.state, "retired");
    assert_eq!(code(world.import(admin, manifest).await), "corim.no_signer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_taken_on_first_use_gives_way_to_the_vendors_and_every_result_names_it() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let first = world.row(machine.id()).reference.unwrap();
    let values = world.values(first.as_str()).await;
    let vendor = Vendor::new(70);
    let admin = &world.acme.admin;
    world.pin(admin, "vendor", &vendor).await.unwrap();
    // The vendor's set ends before a proof would.
    let ends = Timestamp::from_secs(world.app.store.clock().now().as_secs() + 300);
    let taken = world
        .import(admin, vendor.sign(&values, Some(ends)))
        .await
        .unwrap();
    let impact = world.impact(taken.id.as_str()).await;
    assert_eq!(
        (impact.becomes.as_str(), impact.looked_at, impact.would_fail),
        ("active", 1, 0)
    );
    let active = world.in_force(taken.id.as_str(), 0).await.unwrap();
    assert_eq!(active.state, "active");
    assert_eq!(code(world.in_force(taken.id.as_str(), 0).await), "conflict");
    assert_eq!(world.show("dpu-a").await.attestation, "stale");
    world.pass(1);
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(verdict.verdict, "verified");
    assert!(verdict.fresh_until.0 <= ends, "its end bounds the proof");
    let ctx = world.ctx(&world.acme.operator, "show_result", Some("dpu-a"));
    let result = op::show_result(ctx, Empty {}).await.unwrap().into_inner();
    assert_eq!(result.reference_id, Some(taken.id));
    assert_eq!(result.reference_digest, Some(active.digest));
    let ctx = world.ctx(&world.acme.operator, "show_reference", Some(first.as_str()));
    assert_eq!(
        op::show_reference(ctx, Empty {})
            .await
            .unwrap()
            .into_inner()
            .state,
        "retired"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_would_fail_devices_says_so_and_waits_for_a_yes() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let first = world.row(machine.id()).reference.unwrap();
    let values = world.values(first.as_str()).await;
    let vendor = Vendor::new(70);
    let admin = &world.acme.admin;
    world.pin(admin, "vendor", &vendor).await.unwrap();
    let bad = world
        .import(admin, vendor.sign(&worse(&values), None))
        .await
        .unwrap();
    let impact = world.impact(bad.id.as_str()).await;
    assert_eq!(impact.would_fail, 1);
    assert_eq!(impact.failing[0].device_id, *machine.id());
    assert_eq!(
        impact.failing[0].reasons,
        ["appraisal.component:pcr.sha256.7"]
    );

    let before = world.entries().len();
    assert_eq!(
        code(world.in_force(bad.id.as_str(), 0).await),
        "reference.impact"
    );
    assert_eq!(
        world.show("dpu-a").await.attestation,
        "verified",
        "bad input changes nothing"
    );
    assert!(world.entries().len() > before, "the refusal is in the log");

    world.in_force(bad.id.as_str(), 1).await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "failed");
    // The way back: the old set, and the device clears with its next proof.
    let impact = world.impact(first.as_str()).await;
    assert_eq!((impact.would_fail, impact.would_clear), (0, 1));
    world.in_force(first.as_str(), 0).await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");

    // Without any set every device fails: retiring the last one has to be meant.
    assert_eq!(
        code(world.retire(first.as_str(), 0).await),
        "reference.impact"
    );
    assert_eq!(
        world.retire(first.as_str(), 1).await.unwrap().state,
        "retired"
    );
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_edited_signer_or_manifest_is_found_out() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let first = world.row(machine.id()).reference.unwrap();
    let values = world.values(first.as_str()).await;
    let (vendor, stranger) = (Vendor::new(70), Vendor::new(71));
    let admin = &world.acme.admin;
    world.pin(admin, "vendor", &vendor).await.unwrap();
    let der = base16ct::lower::encode_string(&stranger.der());
    world
        .scratch
        .tamper(&format!("UPDATE reference_signer SET der = x'{der}'"));
    assert_eq!(
        code(world.import(admin, stranger.sign(&values, None)).await),
        "store.row_forged"
    );
}
