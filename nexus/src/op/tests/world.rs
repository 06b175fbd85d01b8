//! A nexus without its listener, people to ask it, and machines that prove themselves to it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use assay_api::htu::Htu;
use assay_api::id::{DeviceId, KeyId, OperatorId, TenantId};
use assay_api::jose::Jwk;
use assay_api::routes::Route;
use assay_api::seal;
use assay_api::token::{Token, TokenKind};
use assay_api::types::*;
use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::spdm::{BlueField, Responder, record};
use assay_attest::attester::tpm::{CertifiedKeyParts, TpmParts, member};
use assay_attest::attester::{Draft, Statement};
use assay_attest::claims::PcrBanks;
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::codec::tpm::{Attributes, Public};
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::spdm::SpdmEvidence;
use assay_attest::evidence::tpm::MEDIA_TYPE;
use assay_attest::expected::RequestKey;
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::key::PublicKey;
use assay_attest::refusal::Refusal;
use assay_attest::session::{Binding, Label, Purpose, SessionInput};
use assay_attest::standing::StaleAfter;
use assay_checks::AwsLc;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use super::soft_tpm::{self, KEY_ATTRIBUTES, SoftTpm};
use crate::app::App;
use crate::config::Config;
use crate::http::tls::{Identity, Source};
use crate::keys::SealedAs;
use crate::metrics::Metrics;
use crate::op::caller::{Device as DeviceCaller, NewKey, Person};
use crate::op::{self, Caller, Ctx};
use crate::policy::Policy;
use crate::problem::Problem;
use crate::random::{OsRandom, Random};
use crate::refusals::Refusals;
use crate::store::claims::Enrolment;
use crate::store::devices::Device as Row;
use crate::store::people::{KeyState, OperatorKey, OperatorRow, OperatorState, RequestAlgorithm};
use crate::store::replay::MemoryReplay;
use crate::store::signing_key::{self, KeyAlgorithm};
use crate::store::tenant::{Tenant as TenantRow, TenantState};
use crate::store::testing::{START, Scratch, entry};
use crate::store::{Rows, StoreFault};
use crate::verifier::{Anchors, Verifier};
use crate::wake::WakeHub;

const CONFIG: &str =
    "data_dir = '/none'\nlisten = ['127.0.0.1:0']\npublic_urls = ['https://nexus.test:8443']\n";

/// The nexus and its people: `root` is a super:admin; each tenant has an admin and an operator.
pub(super) struct World {
    pub(super) scratch: Scratch,
    pub(super) app: Arc<App>,
    pub(super) root: Caller,
    pub(super) acme: TenantPeople,
    pub(super) other: TenantPeople,
}

pub(super) struct TenantPeople {
    pub(super) id: TenantId,
    pub(super) admin: Caller,
    pub(super) operator: Caller,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Verifier::new(Anchors::default(), StaleAfter::DEFAULT)).await
    }

    pub(super) async fn with(verifier: Verifier) -> Self {
        Self::of(verifier, Scratch::new()).await
    }

    /// On a disk, and with a reserve, of the test's choice.
    pub(super) async fn of(verifier: Verifier, scratch: Scratch) -> Self {
        let opened = tokio::task::spawn_blocking(|| Self::open(verifier, scratch)).await;
        let (scratch, app) = opened.unwrap();
        let root = person(&app, 1, PersonRole::SuperAdmin, None).await;
        let acme = tenant(&app, 10, "acme").await;
        let other = tenant(&app, 20, "other").await;
        Self {
            scratch,
            app,
            root,
            acme,
            other,
        }
    }

    fn open(verifier: Verifier, scratch: Scratch) -> (Scratch, Arc<App>) {
        let store = scratch.open();
        let urls = vec![Htu::parse("https://nexus.test:8443").unwrap()];
        let tls = Identity::open(&store, &OsRandom, &urls, Source::Own).unwrap();
        store
            .write_blocking(|tx| {
                tx.change(entry("keys.make"), |c| {
                    signing_key::ensure(c, "", crate::delivery::PURPOSE, KeyAlgorithm::Ed25519)
                        .map(drop)
                })
            })
            .unwrap();
        let app = App {
            nexus_id: tls.nexus_id(),
            tls,
            random: Arc::new(OsRandom),
            checks: AwsLc,
            verifier,
            policy: Policy::load(&[]).unwrap(),
            config: Config {
                data_dir: scratch.path().parent().unwrap().to_owned(),
                ..Config::parse(CONFIG).unwrap()
            },
            metrics: Metrics::default(),
            refusals: Refusals::default(),
            wake: WakeHub::default(),
            replay: MemoryReplay::new(START),
            started: START,
            store,
        };
        (scratch, Arc::new(app))
    }

    /// A request by somebody, as it comes out of the gate.
    pub(super) fn ctx(&self, caller: &Caller, route: &str, id: Option<&str>) -> Ctx {
        Ctx {
            app: self.app.clone(),
            caller: caller.clone(),
            route: Route::by_name(route).unwrap(),
            path_id: id.map(str::to_owned),
            request: "req-1".into(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            bypass: None,
            now: self.app.store.clock().now(),
            proof: None,
        }
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.scratch.clock.advance(seconds * 1000);
    }

    pub(super) fn row(&self, id: &DeviceId) -> Row {
        self.app
            .store
            .read_now(|r| r.get::<Row>(id))
            .map(Option::unwrap)
            .map_err(|e: StoreFault| e)
            .unwrap()
    }

    pub(super) fn item(name: &str, machine: &Machine) -> ClaimItem {
        ClaimItem {
            name: name.into(),
            serial: machine.serial.clone(),
            ek: None,
            dice: None,
            rekey: None,
        }
    }

    pub(super) async fn claims(
        &self,
        admin: &Caller,
        items: Vec<ClaimItem>,
    ) -> Result<Vec<ClaimCreated>, Problem> {
        let ask = ClaimsCreate {
            tenant: None,
            items,
        };
        let made = op::create_claims(self.ctx(admin, "create_claims", None), ask).await?;
        Ok(made.into_inner().items)
    }

    /// One claim that names the machine's EK, as a signed inventory would.
    pub(super) async fn claim(&self, name: &str, machine: &Machine) -> Zeroizing<[u8; 32]> {
        let item = ClaimItem {
            ek: Some(B64(machine.ek_spki().to_vec())),
            ..Self::item(name, machine)
        };
        secret_of(&self.claims(&self.acme.admin, vec![item]).await.unwrap()[0])
    }

    pub(super) async fn begin(
        &self,
        machine: &Machine,
        secret: &[u8; 32],
    ) -> Result<EnrolChallenge, Problem> {
        let ask = machine.begin(secret);
        op::begin_enrolment(self.ctx(&machine.new_key(), "begin_enrolment", None), ask)
            .await
            .map(|c| c.into_inner())
    }

    /// What the TPM gives back for the credential. The test's TPM has no EK; the real one is tested with swtpm.
    pub(super) fn activate(&self, challenge: &EnrolChallenge) -> Vec<u8> {
        let keys = self.app.store.keys();
        self.app
            .store
            .read_now(|rows| {
                let row: Enrolment = rows.get(&challenge.claim_id)?.unwrap();
                let tenant = self.acme.id.to_string();
                let place = SealedAs {
                    table: "enrolment",
                    row: challenge.claim_id.as_str(),
                    tenant: &tenant,
                    purpose: "activation",
                    version: 1,
                    public: &[],
                };
                Ok::<_, StoreFault>(
                    keys.at_rest()
                        .open(&place, &row.activation)
                        .unwrap()
                        .to_vec(),
                )
            })
            .unwrap()
    }

    pub(super) async fn complete(
        &self,
        machine: &Machine,
        secret: &[u8; 32],
        challenge: &EnrolChallenge,
        evidence: Vec<u8>,
    ) -> Result<Enrolled, Problem> {
        let ask = EnrolComplete {
            claim_id: challenge.claim_id.clone(),
            secret: SecretB64(Zeroizing::new(secret.to_vec())),
            evidence: B64(evidence),
        };
        let ctx = self.ctx(&machine.new_key(), "complete_enrolment", None);
        op::complete_enrolment(ctx, ask)
            .await
            .map(|c| c.into_inner())
    }

    /// Both calls.
    pub(super) async fn enrol_with(
        &self,
        machine: &mut Machine,
        secret: &[u8; 32],
    ) -> Result<Enrolled, Problem> {
        let challenge = self.begin(machine, secret).await?;
        let evidence = self.first_evidence(machine, &challenge);
        let enrolled = self.complete(machine, secret, &challenge, evidence).await?;
        machine.enrolled = Some((enrolled.device_id.clone(), enrolled.key_id.clone()));
        Ok(enrolled)
    }

    pub(super) fn first_evidence(&self, machine: &Machine, challenge: &EnrolChallenge) -> Vec<u8> {
        let nonce = challenge.nonce.0.as_slice().try_into().unwrap();
        machine.prove(&Asked {
            nexus_id: self.app.nexus_id,
            subject: challenge.claim_id.to_string(),
            purpose: Purpose::Enrol,
            nonce,
            secret: self.activate(challenge),
        })
    }

    /// An active machine with reference values in force and a good, fresh proof.
    pub(super) async fn good(&self, name: &str, seed: u8) -> Machine {
        let mut machine = Machine::new(seed);
        let secret = self.claim(name, &machine).await;
        self.enrol_with(&mut machine, &secret).await.unwrap();
        self.take(name, &format!("{name}-set"), &[name])
            .await
            .unwrap();
        self.pass(1);
        let verdict = self.prove(&machine).await.unwrap();
        assert_eq!(
            (verdict.verdict.as_str(), verdict.reasons.len()),
            ("verified", 0)
        );
        machine
    }

    pub(super) async fn take(
        &self,
        dpu: &str,
        name: &str,
        applies_to: &[&str],
    ) -> Result<Reference, Problem> {
        let ask = ReferenceTake {
            dpu: dpu.into(),
            name: name.into(),
            pcrs: Vec::new(),
            applies_to: applies_to.iter().map(|d| (*d).to_owned()).collect(),
        };
        let ctx = self.ctx(&self.acme.admin, "take_reference", None);
        op::take_reference(ctx, ask).await.map(|c| c.into_inner())
    }

    pub(super) async fn nonce(&self, machine: &Machine) -> Result<[u8; 32], Problem> {
        let ctx = self.ctx(&machine.caller(self), "new_nonce", None);
        let nonce = op::new_nonce(ctx, Empty {}).await?.into_inner();
        Ok(nonce.nonce.0.as_slice().try_into().unwrap())
    }

    pub(super) fn evidence(&self, machine: &Machine, nonce: [u8; 32]) -> Vec<u8> {
        machine.prove(&Asked {
            nexus_id: self.app.nexus_id,
            subject: machine.id().to_string(),
            purpose: Purpose::Attest,
            nonce,
            secret: Vec::new(),
        })
    }

    pub(super) async fn submit(
        &self,
        machine: &Machine,
        evidence: Vec<u8>,
    ) -> Result<Verdict, Problem> {
        let ctx = self.ctx(&machine.caller(self), "submit_evidence", None);
        op::submit_evidence(
            ctx,
            EvidenceIn {
                evidence: B64(evidence),
            },
        )
        .await
        .map(|c| c.into_inner())
    }

    pub(super) async fn prove(&self, machine: &Machine) -> Result<Verdict, Problem> {
        let nonce = self.nonce(machine).await?;
        self.submit(machine, self.evidence(machine, nonce)).await
    }

    pub(super) async fn show(&self, name: &str) -> Dpu {
        let ctx = self.ctx(&self.acme.admin, "show_dpu", Some(name));
        op::show_dpu(ctx, Empty {}).await.unwrap().into_inner()
    }

    pub(super) async fn put_secret(
        &self,
        dpu: &str,
        name: &str,
        value: &[u8],
    ) -> Result<Secret, Problem> {
        let ask = SecretPut {
            dpu: dpu.into(),
            name: name.into(),
            value: SecretB64(Zeroizing::new(value.to_vec())),
        };
        op::put_secret(self.ctx(&self.acme.admin, "put_secret", None), ask)
            .await
            .map(|c| c.into_inner())
    }

    pub(super) async fn pull(&self, machine: &Machine, key: &str) -> Result<Leases, Problem> {
        let ctx = self.ctx(&machine.caller(self), "pull_leases", None);
        op::pull_leases(
            ctx,
            LeasesAsk {
                idempotency_key: key.into(),
            },
        )
        .await
        .map(|c| c.into_inner())
    }

    pub(super) async fn wake(&self, machine: &Machine) -> Wake {
        let ctx = self.ctx(&machine.caller(self), "wake", None);
        op::wake(ctx, WakeAsk::default())
            .await
            .unwrap()
            .into_inner()
    }

    /// The events of the audit log, from `from` on.
    pub(super) fn events(&self) -> Vec<String> {
        self.app
            .store
            .read_now(|r| {
                let mut statement = r.sql().prepare("SELECT event FROM audit ORDER BY idx")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok::<_, StoreFault>(rows.collect::<Result<Vec<String>, _>>()?)
            })
            .unwrap()
    }

    /// The entries of the audit log.
    pub(super) fn entries(&self) -> Vec<assay_api::log::Entry> {
        let most = std::num::NonZeroU32::new(1000).unwrap();
        let filter = crate::store::audit::AuditFilter::default();
        let list = self
            .app
            .store
            .read_now(|r| r.audit().list(&filter, most))
            .unwrap();
        list.into_iter().map(|e| e.entry).collect()
    }

    pub(super) fn open_lease(
        &self,
        machine: &Machine,
        lease: &Lease,
    ) -> Result<Vec<u8>, seal::SealFault> {
        let keys = self
            .app
            .store
            .read_now(|r| crate::delivery::keys(r))
            .unwrap();
        let context = seal::Context {
            device: machine.id(),
            result: &lease.result_id,
            lease: &lease.id,
            kind: &lease.kind,
        };
        seal::open(
            &lease.sealed.0,
            &machine.hpke_private,
            &context,
            &keys,
            &AwsLc,
        )
        .map(|s| s.to_vec())
    }
}

pub(super) fn secret_of(claim: &ClaimCreated) -> Zeroizing<[u8; 32]> {
    Token::parse(&claim.token.0, TokenKind::Claim)
        .unwrap()
        .secret()
        .clone()
}

pub(super) fn because(reason: &str) -> Reason {
    Reason {
        reason: reason.into(),
    }
}

async fn tenant(app: &Arc<App>, seed: u8, name: &str) -> TenantPeople {
    let id = TenantId::from_random(&[seed; 16]);
    let row = TenantRow {
        id: id.to_string(),
        name: name.into(),
        state: TenantState::Active,
        created: START,
    };
    app.store
        .write(move |tx| tx.change(entry("tenant.create"), |c| c.insert(&row)))
        .await
        .map_err(|e: StoreFault| e)
        .unwrap();
    TenantPeople {
        admin: person(app, seed + 1, PersonRole::TenantAdmin, Some(id.clone())).await,
        operator: person(app, seed + 2, PersonRole::Operator, Some(id.clone())).await,
        id,
    }
}

pub(super) async fn person(
    app: &Arc<App>,
    seed: u8,
    role: PersonRole,
    tenant: Option<TenantId>,
) -> Caller {
    let (id, key) = (
        OperatorId::from_random(&[seed; 16]),
        KeyId::from_random(&[seed; 16]),
    );
    let name = format!("person-{seed}");
    let row = OperatorRow {
        id: id.clone(),
        name: name.clone(),
        role,
        tenant: tenant.clone(),
        state: OperatorState::Active,
        created: START,
    };
    let jwk = Jwk::ed25519([seed; 32]);
    let key_row = OperatorKey {
        id: key.clone(),
        operator: id.clone(),
        thumbprint: *jwk.thumbprint().as_bytes(),
        algorithm: RequestAlgorithm::EdDsa,
        public: vec![seed; 32],
        label: "test".into(),
        state: KeyState::Active,
        created: START,
    };
    app.store
        .write(move |tx| {
            tx.change(entry("operator.create"), |c| {
                c.insert(&row)?;
                c.insert(&key_row)
            })
        })
        .await
        .map_err(|e: StoreFault| e)
        .unwrap();
    Caller::Person(Person {
        id,
        key,
        role,
        tenant,
        name,
    })
}

/// What a proof answers.
pub(super) struct Asked {
    pub(super) nexus_id: [u8; 32],
    pub(super) subject: String,
    pub(super) purpose: Purpose,
    pub(super) nonce: [u8; 32],
    pub(super) secret: Vec<u8>,
}

/// Signs a binding, and is the member's value.
pub(super) type MakesMember = Arc<dyn Fn(&Binding) -> Vec<u8> + Send + Sync>;

/// A DPU with a software TPM.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) tpm: SoftTpm,
    pub(super) request: SigningKey,
    pub(super) ek: SigningKey,
    /// The authPolicy that its EK's public area states.
    pub(super) ek_policy: Vec<u8>,
    pub(super) serial: String,
    pub(super) hpke: HpkeKey,
    pub(super) hpke_private: Zeroizing<[u8; 32]>,
    /// Makes its DICE member for a binding.
    pub(super) dice: Option<MakesMember>,
    /// An accelerator of its host, and the firmware that it measures.
    pub(super) accelerator: Option<(Arc<SoftwareDice>, &'static [u8])>,
    /// Whether its TPM says that it holds the request key.
    pub(super) certifies: bool,
    pub(super) enrolled: Option<(DeviceId, KeyId)>,
}

impl Machine {
    pub(super) fn new(seed: u8) -> Self {
        let mut tpm = SoftTpm::new(seed);
        let bank = (0..16).map(|pcr| (pcr, HashAlg::Sha256.hash(&[&[seed, pcr]])));
        tpm.pcrs = PcrBanks::from([(HashAlg::Sha256, bank.collect())]);
        let mut machine = Self {
            tpm,
            request: soft_tpm::signing_key(seed + 100),
            ek: soft_tpm::signing_key(seed + 50),
            ek_policy: Vec::new(),
            serial: format!("SN{seed:04}"),
            hpke: HpkeKey::new(Kem::X25519, &[1; 32]).unwrap(),
            hpke_private: Zeroizing::new([0; 32]),
            dice: None,
            accelerator: None,
            certifies: true,
            enrolled: None,
        };
        machine.new_hpke();
        machine
    }

    /// Each proof has its own.
    pub(super) fn new_hpke(&mut self) {
        let random: &dyn Random = &OsRandom;
        let (private, public) = seal::key_pair(&Zeroizing::new(random.bytes().unwrap()));
        self.hpke = HpkeKey::new(Kem::X25519, &public).unwrap();
        self.hpke_private = private;
    }

    pub(super) fn id(&self) -> &DeviceId {
        &self.enrolled.as_ref().unwrap().0
    }

    pub(super) fn jwk(&self) -> Jwk {
        Jwk::p256(&soft_tpm::point(&self.request)).unwrap()
    }

    pub(super) fn new_key(&self) -> Caller {
        let jwk = self.jwk();
        Caller::NewKey(NewKey {
            thumbprint: jwk.thumbprint(),
            jwk,
        })
    }

    pub(super) fn caller(&self, world: &World) -> Caller {
        let (id, key) = self.enrolled.clone().unwrap();
        Caller::Device(DeviceCaller {
            id,
            key,
            tenant: world.acme.id.clone(),
        })
    }

    pub(super) fn ek_public(&self) -> Vec<u8> {
        let attributes = Attributes::FIXED_TPM
            | Attributes::FIXED_PARENT
            | Attributes::SENSITIVE_DATA_ORIGIN
            | Attributes::RESTRICTED
            | Attributes::DECRYPT;
        let point = soft_tpm::point(&self.ek);
        let head = [
            &[0, 0x23, 0, 0x0b][..],
            &attributes.to_be_bytes(),
            &[0, u8::try_from(self.ek_policy.len()).unwrap()],
            &self.ek_policy,
            &[0, 6, 0, 0x80, 0, 0x43],
        ]
        .concat();
        let tail = [
            &[0, 0x10, 0, 3, 0, 0x10, 0, 32][..],
            &point[1..33],
            &[0, 32],
            &point[33..],
        ]
        .concat();
        [head, tail].concat()
    }

    pub(super) fn ek_spki(&self) -> [u8; 32] {
        let key = Public::parse(&self.ek_public()).unwrap().key;
        assay_attest::digest::sha256(&[&assay_attest::codec::spki::write(&key)])
    }

    fn request_public(&self) -> Vec<u8> {
        soft_tpm::public_area(&self.request, KEY_ATTRIBUTES, None)
    }

    pub(super) fn begin(&self, secret: &[u8; 32]) -> EnrolBegin {
        EnrolBegin {
            secret: SecretB64(Zeroizing::new(secret.to_vec())),
            ek_public: Some(B64(self.ek_public())),
            ek_certificate: None,
            ak_public: Some(B64(self.tpm.ak_public())),
            request_key_public: Some(B64(self.request_public())),
        }
    }

    pub(super) fn extend(&mut self, pcr: u8) {
        let bank = self.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
        let before: &Digest = &bank[&pcr];
        let after = HashAlg::Sha256.hash(&[before.bytes(), b"something else"]);
        bank.insert(pcr, after);
    }

    pub(super) fn prove(&self, asked: &Asked) -> Vec<u8> {
        let request_key =
            RequestKey::new(PublicKey::P256(Box::new(soft_tpm::point(&self.request)))).unwrap();
        let input = SessionInput {
            nexus_id: asked.nexus_id,
            subject: &asked.subject,
            purpose: asked.purpose,
            nonce: asked.nonce,
            request_key_thumbprint: *request_key.thumbprint(),
            hpke: &self.hpke,
            activation_secret: &asked.secret,
        };
        let statement = Statement {
            ueid: None,
            serial: Some(self.serial.clone()),
            channel_key: [9; 32],
            agent_version: "0.1.0".into(),
            boot_count: Some(3),
            uptime: 77,
            hostname: "dpu".into(),
            hwmodel: "BlueField-3".into(),
        };
        let mut draft = Draft::begin(&input, &statement).unwrap();
        let binding = draft.binding(Label::Tpm).unwrap();
        let public = self.request_public();
        let (quote, quote_signature) = self.tpm.quote(binding.as_bytes());
        let (certification, signature) = self.tpm.certify(&public, binding.as_bytes());
        let parts = TpmParts {
            quote,
            quote_signature,
            pcrs: self.tpm.pcrs.clone(),
            ak: self.tpm.ak_public(),
            ak_parent: self.tpm.parent.clone(),
            request_key: self.certifies.then_some(CertifiedKeyParts {
                public,
                certification,
                signature,
            }),
        };
        draft
            .add(Label::Tpm, MEDIA_TYPE, member(&parts).unwrap())
            .unwrap();
        if let Some((dice, firmware)) = &self.accelerator {
            let label = Label::Accel(0);
            let binding = draft.binding(label).unwrap();
            let measured = BlueField {
                psc: firmware,
                nic: b"",
                arm: b"",
                configuration: b"",
            };
            let mut responder = Responder::new(dice, Version::V11, measured.blocks());
            let transcript = record(
                Version::V11,
                binding.as_bytes(),
                &[Operation::All],
                |request| Ok::<_, Refusal>(responder.respond(request, &[1; 32])),
            )
            .unwrap();
            let value = SpdmEvidence::write(dice.certificates(), &transcript);
            let kind = assay_attest::evidence::spdm::MEDIA_TYPE;
            draft.add(label, kind, value).unwrap();
        }
        if let Some(dice) = &self.dice {
            let binding = draft.binding(Label::Irot).unwrap();
            draft
                .add(
                    Label::Irot,
                    assay_attest::evidence::dice::MEDIA_TYPE,
                    dice(&binding),
                )
                .unwrap();
        }
        let sign = |message: &[u8]| {
            let signature: Signature = self.request.sign(message);
            Ok::<_, Refusal>(signature.to_bytes().to_vec())
        };
        draft.seal(&request_key, sign).unwrap()
    }
}

/// The code of a refusal.
pub(super) fn code<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
    answer.unwrap_err().code().to_owned()
}

/// The exact step of a refusal, which only the audit log knows.
pub(super) fn step<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
    answer.unwrap_err().exact().to_owned()
}
