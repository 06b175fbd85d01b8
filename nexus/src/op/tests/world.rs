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
use assay_attest::session::Purpose;
use assay_attest::standing::StaleAfter;
use assay_checks::AwsLc;
use zeroize::Zeroizing;

pub(super) use super::machine::{Asked, Machine};
use crate::app::App;
use crate::config::Config;
use crate::http::tls::{Identity, Source};
use crate::keys::SealedAs;
use crate::metrics::Metrics;
use crate::op::caller::Person;
use crate::op::{self, Caller, Ctx};
use crate::policy::Policy;
use crate::problem::Problem;
use crate::random::OsRandom;
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
            secret: if machine.quotes {
                self.activate(challenge)
            } else {
                Vec::new()
            },
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

/// The code of a refusal.
pub(super) fn code<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
    answer.unwrap_err().code().to_owned()
}

/// The exact step of a refusal, which only the audit log knows.
pub(super) fn step<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
    answer.unwrap_err().exact().to_owned()
}
