//! What releases and appraisals cost, with a real store, gate and Verifier: `make bench`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assay_api::types::PersonRole;
use assay_attest::appraise::Previous;
use assay_attest::chain::{Anchor, AnchorKind, TrustAnchors};
use assay_attest::evidence::dice::DiceEvidence;
use assay_attest::expected::{Name, RequestKey};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::result::Verdict;
use assay_attest::session::{Binding, Purpose};
use assay_attest::standing::StaleAfter;
use assay_checks::AwsLc;
use p384::ecdsa::signature::Signer as _;
use zeroize::Zeroizing;

use self::forge::Spec;
use super::soft_tpm;
use super::ssh::{self, certificate_ask};
use super::world::*;
use crate::bar::{Bars, median, micros_of, told};
use crate::http::replay::SeenProof;
use crate::op;
use crate::store::testing::Scratch;
use crate::store::{Durability, StoreFault};
use crate::verifier::{Against, Anchors, Roots, Verifier, in_force};

#[path = "../../../../attest/tests/it/forge.rs"]
#[expect(dead_code, reason = "it forges for other tests, too")]
mod forge;

/// Certificates signed a second by this many callers at a time: each judged by the gate, recorded, audited and on disk.
fn releases(durability: Durability, callers: u64) -> f64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut scratch = Scratch::new();
        scratch.options.durability = durability;
        let verifier = Verifier::new(Anchors::default(), StaleAfter::DEFAULT);
        let (world, ..) = ssh::with_hosts_on(World::of(verifier, scratch).await).await;
        let world = Arc::new(world);
        // One person may have so many running certificates, and no more: the callers take turns with each person's name.
        let mut people = Vec::new();
        for n in 0..callers.max(16) {
            let seed = 100 + u8::try_from(n).unwrap();
            let tenant = Some(world.acme.id.clone());
            people.push(person(&world.app, seed, PersonRole::TenantAdmin, tenant).await);
        }
        let people = Arc::new(people);
        let begin = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (world, people) = (world.clone(), people.clone());
                tokio::spawn(async move {
                    let mut done = 0_u32;
                    while begin.elapsed() < Duration::from_secs(2) {
                        let id = NEXT.fetch_add(1, Ordering::Relaxed);
                        let turn = usize::try_from(id).unwrap() % people.len();
                        let mut ctx = world.ctx(&people[turn], "sign_certificate", Some("prod"));
                        let mut thumbprint = [0; 32];
                        thumbprint[..8].copy_from_slice(&caller.to_be_bytes());
                        ctx.proof = Some(SeenProof {
                            thumbprint,
                            jti: id.to_string(),
                            iat: ctx.now,
                            until: ctx.now.plus_millis(75_000),
                        });
                        let ask = certificate_ask(&["host-a"], &format!("{id:016}"));
                        op::sign_certificate(ctx, ask).await.unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        f64::from(done) / begin.elapsed().as_secs_f64()
    })
}

#[test]
#[ignore = "measures"]
fn durable_releases() {
    let (mut single, mut many, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        single.push(releases(Durability::Full, 1));
        many.push(releases(Durability::Full, 64));
        off.push(releases(Durability::Off, 64));
    }
    let (single, many, off) = (median(single), median(many), median(off));
    told(
        "certificates signed a second",
        &format!("one at a time {single:.0}, 64 at once {many:.0}, not durable {off:.0}"),
    );
    let mut bars = Bars::default();
    let (twenty, sixty) = (single * 20.0, off * 0.6);
    let what = if twenty < sixty {
        "durable releases at 64 at once: 20 x single"
    } else {
        "durable releases at 64 at once: 60 % of those that are not"
    };
    bars.at_least(what, many, twenty.min(sixty), "a second");
    bars.done();
}

/// Remembers what is checked.
#[derive(Default)]
struct Recorded(Mutex<Vec<Checked>>);

/// Key, scheme, message, signature.
type Checked = (PublicKey, Scheme, Vec<u8>, Vec<u8>);

impl CheckSignature for Recorded {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let call = (key.clone(), scheme, message.to_vec(), signature.to_vec());
        self.0.lock().unwrap().push(call);
        AwsLc.check(key, scheme, message, signature)
    }
}

/// A root, a device key and two layers of firmware, all on P-384.
fn four_certificates(binding: &Binding) -> Vec<u8> {
    let riot = |device, digest| {
        let names = forge::riot(device, digest);
        forge::extension(forge::DICE_TCB_INFO, false, &names)
    };
    let chain = forge::chain(&[
        Spec::ca("root"),
        Spec::ca("rom"),
        Spec::ca("fmc").with(riot("rom", 1)),
        Spec::leaf("leaf").with(riot("fmc", 2)),
    ]);
    let signature: p384::ecdsa::Signature = forge::key("leaf").sign(binding.as_bytes());
    DiceEvidence::write(&chain, &signature.to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn an_appraisal() {
    let root = Anchor::pin("bench", AnchorKind::Operator, &forge::spki("root")).unwrap();
    let anchors = Anchors {
        ek: None,
        dice: TrustAnchors::from_vec(vec![root]),
    };
    let verifier = Verifier::new(anchors, StaleAfter::DEFAULT);
    let world = World::with(verifier.clone()).await;
    let mut machine = Machine::new(1);
    machine.dice = Some(Arc::new(four_certificates));
    let secret = world.claim("dpu-a", &machine).await;
    world.enrol_with(&mut machine, &secret).await.unwrap();
    world.take("dpu-a", "golden", &[]).await.unwrap();
    let row = world.row(machine.id());
    let nonce = [7; 32];
    let bytes = world.evidence(&machine, nonce);
    let against = Against {
        nexus_id: world.app.nexus_id,
        subject: machine.id().to_string(),
        purpose: Purpose::Attest,
        nonce,
        activation: Zeroizing::default(),
        request: RequestKey::new(PublicKey::P256(Box::new(soft_tpm::point(&machine.request))))
            .unwrap(),
        ak: row.ak_name.as_deref().and_then(Name::parse),
        roots: Roots::of(&row),
        pcrs: crate::verifier::indices(&row.pcrs),
    };
    let now = world.app.store.clock().now();
    let sets = world
        .app
        .store
        .read_now(|r| in_force(r, &row.tenant, Some(&row.id)))
        .map_err(|e: StoreFault| e)
        .unwrap();
    let appraise = |check: &dyn CheckSignature| {
        let verified = verifier.verify(&bytes, &against, now, check).unwrap();
        let judged = verifier.judge(&verified, &sets, row.root, &Previous::Nothing, now);
        assert_eq!(judged.result.verdict(), Verdict::Verified);
    };
    let recorded = Recorded::default();
    appraise(&recorded);
    let checks = recorded.0.into_inner().unwrap();
    let (mut whole, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..41 {
        bare.push(micros_of(|| {
            for (key, scheme, message, signature) in &checks {
                AwsLc.check(key, *scheme, message, signature).unwrap();
            }
        }));
        whole.push(micros_of(|| appraise(&AwsLc)));
    }
    let (whole, bare) = (median(whole), median(bare));
    let p384 = checks
        .iter()
        .filter(|(key, ..)| matches!(key, PublicKey::P384(_)))
        .count();
    told(
        "one appraisal",
        &format!(
            "{whole:.0} us of CPU; its {} signature checks alone ({p384} on P-384) {bare:.0} us",
            checks.len()
        ),
    );
    let mut bars = Bars::default();
    bars.at_most(
        "an appraisal: TPM quote and DICE chain",
        whole / bare,
        1.3,
        "of its bare checks",
    );
    bars.done();
}
