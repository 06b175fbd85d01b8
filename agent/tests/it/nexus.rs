//! A nexus for tests of the agent: the real TLS, proofs, evidence checks, sealing and log formats, and no store.
//! It runs on a thread of its own; a test holds [`Nexus`] and changes [`World`] under its lock.

use crate::verifier::Known;
use assay_api::checks::SoftwareChecks;
use assay_api::dpop::{self, UncheckedProof, Window};
use assay_api::htu::Htu;
use assay_api::id::{ClaimId, DemandId, DeviceId, HostId, KeyId, LeaseId, ResultId, TenantId};
use assay_api::jose::Jwk;
use assay_api::log::{LogEnd, LogKey, sign_checkpoint, tree};
use assay_api::seal::{Context, seal};
use assay_api::token::{Token, TokenKind};
use assay_api::types::*;
use assay_attest::claims::Claims;
use assay_attest::codec::tpm::Public;
use assay_attest::expected::{DiceExpectation, TpmExpectation};
use assay_attest::hpke::HpkeKey;
use assay_attest::session::{Label, Purpose};
use assay_attest::time::Timestamp;
use assay_checks::tpm_credential::{AesBits, EndorsementKey, NameAlg, make_credential};
use assay_tls::{CertKey, LeafSlot, Names, Validity, leaf, nexus_server, root, spki_pin};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

/// Its time at the start: 2033-05-18, far from this machine's.
const NOW: Timestamp = Timestamp::from_secs(2_000_000_000);
const DATE: &str = "Wed, 18 May 2033 03:33:20 GMT";
pub(crate) const DELIVERY: [u8; 32] = [21; 32];
const LOG: [u8; 32] = [22; 32];
const ORIGIN: &str = "nexus.test/log";
const CLAIM: [u8; 32] = [23; 32];

/// The waking part of a world: what the next answer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errand {
    pub(crate) attest: bool,
    pub(crate) leases: bool,
    pub(crate) wipe: bool,
    pub(crate) manifests: Vec<HostId>,
}

pub(crate) struct World {
    started: Instant,
    pin: [u8; 32],
    url: Htu,
    /// PCRs that enrolment asks for.
    pub(crate) enrol_pcrs: Vec<u8>,
    /// How long a proof counts, in milliseconds.
    pub(crate) fresh_ms: u64,
    /// What the next verdicts are.
    pub(crate) verdict: &'static str,
    /// Secrets that wait, by name, and how long a lease of one lasts.
    pub(crate) secrets: BTreeMap<String, (Vec<u8>, u64)>,
    pub(crate) errands: Vec<Errand>,
    /// Codes with which routes refuse.
    pub(crate) refuse: BTreeMap<&'static str, &'static str>,
    /// Names of the calls that came, in order.
    pub(crate) calls: Vec<String>,
    pub(crate) acknowledged: BTreeSet<String>,
    pub(crate) reports: Vec<DeliveryReport>,
    /// Signed pairings and manifests.
    pub(crate) hosts: Vec<AgentHost>,
    pub(crate) manifests: BTreeMap<HostId, (u64, Vec<u8>)>,
    pub(crate) proofs: u32,
    pub(crate) channel_key: Option<[u8; 32]>,
    log: LogEnd,
    subtrees: tree::InMemory,
    claim_spent: bool,
    joining: Option<(Known, [u8; 32])>,
    known: Option<Known>,
    request_key: Option<Jwk>,
    nonce: Option<[u8; 32]>,
    hpke: Option<(ResultId, HpkeKey)>,
    leases: BTreeMap<String, (String, Lease)>,
    serial: u8,
    cursor: u64,
}

pub(crate) struct Nexus {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn key(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_bytes(seed)
}

pub(crate) fn device() -> DeviceId {
    DeviceId::from_random(&[31; 16])
}

impl Nexus {
    pub(crate) fn start() -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("https://{}/", listener.local_addr().unwrap());
                let (acceptor, pin) = tls();
                let world = Arc::new(Mutex::new(World::new(&url, pin)));
                ready.send((Arc::clone(&world), url)).unwrap();
                tokio::select! {
                    () = serve(listener, acceptor, world) => {}
                    _ = stopped => {}
                }
            });
        });
        let (world, url) = started.recv().unwrap();
        Self {
            world,
            url,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn claim(&self) -> Zeroizing<String> {
        self.claim_for(self.world().pin)
    }

    pub(crate) fn claim_for(&self, pin: [u8; 32]) -> Zeroizing<String> {
        let url = Htu::parse(&self.url).unwrap();
        Token::new(TokenKind::Claim, Zeroizing::new(CLAIM), url, pin)
            .unwrap()
            .expose()
    }

    /// Gone, as a nexus that lost its power.
    pub(crate) fn vanish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn tls() -> (tokio_rustls::TlsAcceptor, [u8; 32]) {
    let validity = Validity {
        not_before: Timestamp::from_secs(1),
        not_after: Timestamp::from_secs(2),
    };
    let (root_key, leaf_key) = (
        CertKey::p256(&[1; 32]).unwrap(),
        CertKey::p256(&[2; 32]).unwrap(),
    );
    let root_cert = root(&root_key, [1; 16], validity).unwrap();
    let names = Names::parse(["127.0.0.1"]).unwrap();
    let leaf_cert = leaf(&root_cert, &root_key, &leaf_key, &names, [2; 16], validity).unwrap();
    let slot = LeafSlot::new(vec![leaf_cert, root_cert], leaf_key.to_rustls().unwrap()).unwrap();
    let config = nexus_server(slot).unwrap();
    let pin = spki_pin(&root_key.spki().unwrap());
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), pin)
}

async fn serve(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    world: Arc<Mutex<World>>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, world) = (acceptor.clone(), Arc::clone(&world));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                return;
            };
            while let Some(request) = read(&mut stream).await {
                let (status, body) = answer(&world, &request).await;
                let kind = if status < 400 { "json" } else { "problem+json" };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nDate: {DATE}\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let whole = [head.as_bytes(), &body].concat();
                if stream.write_all(&whole).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        });
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    proof: Option<Vec<u8>>,
    body: Vec<u8>,
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        proof: headers.get(dpop::HEADER).map(|p| p.clone().into_bytes()),
        body,
    })
}

type Reply = Result<Value, &'static str>;

async fn answer(world: &Arc<Mutex<World>>, request: &Request) -> (u16, Vec<u8>) {
    let mut reply = world.lock().unwrap().reply(request);
    if request.path == "/v1/agent/wake" {
        reply = wake(world, request, reply).await;
    }
    match reply {
        Ok(value) => (200, serde_json::to_vec(&value).unwrap()),
        Err(code) => {
            let status = match code {
                "auth.failed" => 401,
                "test.broken" => 500,
                _ => 412,
            };
            let problem = serde_json::json!({"type": "about:blank", "title": "t", "status": status, "code": code,
                "detail": format!("refused: {code}"), "retryable": status == 500, "request_id": "q"});
            (status, serde_json::to_vec(&problem).unwrap())
        }
    }
}

/// Holds the call until there is something to do or its time is over.
async fn wake(world: &Arc<Mutex<World>>, request: &Request, checked: Reply) -> Reply {
    checked?;
    let wait = request
        .query
        .split('&')
        .find_map(|p| p.strip_prefix("wait="));
    let wait = wait.map_or(0, |w| w.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(wait);
    loop {
        {
            let mut world = world.lock().unwrap();
            if !world.errands.is_empty() || Instant::now() >= until {
                let errand = if world.errands.is_empty() {
                    Errand::default()
                } else {
                    world.errands.remove(0)
                };
                world.cursor += 1;
                return json(&Wake {
                    cursor: world.cursor,
                    attest_now: errand.attest.then(|| DemandId::from_random(&[1; 16])),
                    manifests: errand.manifests,
                    leases: errand.leases,
                    wipe: errand.wipe,
                    wipe_leases: Vec::new(),
                });
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn json<T: Serialize>(value: &T) -> Reply {
    Ok(serde_json::to_value(value).unwrap())
}

fn body<T: serde::de::DeserializeOwned>(request: &Request) -> T {
    serde_json::from_slice(&request.body).unwrap()
}

impl World {
    fn new(url: &str, pin: [u8; 32]) -> Self {
        let mut world = Self {
            started: Instant::now(),
            pin,
            url: Htu::parse(url).unwrap(),
            enrol_pcrs: vec![0, 7, 16],
            fresh_ms: 600_000,
            verdict: "verified",
            secrets: BTreeMap::new(),
            errands: Vec::new(),
            refuse: BTreeMap::new(),
            calls: Vec::new(),
            acknowledged: BTreeSet::new(),
            reports: Vec::new(),
            hosts: Vec::new(),
            manifests: BTreeMap::new(),
            proofs: 0,
            channel_key: None,
            log: LogEnd::default(),
            subtrees: tree::InMemory::default(),
            claim_spent: false,
            joining: None,
            known: None,
            request_key: None,
            nonce: None,
            hpke: None,
            leases: BTreeMap::new(),
            serial: 0,
            cursor: 0,
        };
        world.append(b"start");
        world
    }

    pub(crate) fn append(&mut self, entry: &[u8]) {
        let done = self.log.append(entry);
        self.subtrees.keep(&done.subtrees);
    }

    /// Another history, as long as the one shown; or the beginning of it only.
    pub(crate) fn fork_or_roll_back(&mut self, fork: bool) {
        let size = if fork { self.log.size() } else { 1 };
        self.log = LogEnd::default();
        self.subtrees = tree::InMemory::default();
        for n in 0..size {
            self.append(&n.to_be_bytes());
        }
    }

    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap();
        NOW.plus_millis(passed)
    }

    fn next_id(&mut self) -> [u8; 16] {
        self.serial += 1;
        [self.serial; 16]
    }

    fn reply(&mut self, request: &Request) -> Reply {
        let path = request.path.as_str();
        self.calls.push(format!("{} {path}", request.method));
        match path {
            "/health" => {
                return json(&Health {
                    status: "ok".into(),
                });
            }
            "/v1/trust" => return json(&self.trust()),
            _ => {}
        }
        let joins = path.starts_with("/v1/enrol/");
        self.check_proof(request, joins)?;
        for (part, code) in &self.refuse {
            if path.contains(part) {
                return Err(code);
            }
        }
        match path {
            "/v1/enrol/begin" => self.begin(body(request)),
            "/v1/enrol/complete" => self.complete(body(request)),
            "/v1/agent/nonce" => {
                let nonce = [u8::try_from(self.proofs).unwrap() + 100; 32];
                self.nonce = Some(nonce);
                json(&Nonce {
                    nonce: B64(nonce.to_vec()),
                    expires_at: Time(self.now()),
                    pcrs: vec![0, 7, 16],
                })
            }
            "/v1/agent/evidence" => self.judge(body(request)),
            "/v1/agent/wake" => json(&Empty {}),
            "/v1/agent/leases" => self.pull(&body::<LeasesAsk>(request).idempotency_key),
            "/v1/agent/hosts" => json(&AgentHosts {
                items: self.hosts.clone(),
            }),
            "/v1/agent/manifests" => {
                let ask: ManifestAsk = body(request);
                let newest = self.manifests.get(&ask.host_id);
                json(&ManifestOut {
                    manifest: newest
                        .filter(|(sequence, _)| *sequence > ask.have)
                        .map(|(_, bytes)| B64(bytes.clone())),
                    renew_in: 600,
                })
            }
            "/v1/agent/reports" => {
                self.reports.push(body(request));
                json(&Empty {})
            }
            "/v1/audit/head" => {
                self.append(b"something happens all the time");
                json(&AuditHead {
                    checkpoint: self.checkpoint(),
                })
            }
            "/v1/audit/consistency" => {
                let number = |name: &str| -> u64 {
                    let found = request.query.split('&').find_map(|p| p.strip_prefix(name));
                    found.unwrap().parse().unwrap()
                };
                let (from, to) = (number("from="), number("to="));
                let proof =
                    tree::consistency_proof(&self.subtrees, from, to).map_err(|_| "test.broken")?;
                json(&ConsistencyProof {
                    hashes: proof.into_iter().map(|hash| B64(hash.to_vec())).collect(),
                })
            }
            _ => {
                let lease = path
                    .strip_prefix("/v1/agent/leases/")
                    .and_then(|rest| rest.strip_suffix("/ack"))
                    .ok_or("test.broken")?;
                self.acknowledged.insert(lease.to_owned());
                json(&Empty {})
            }
        }
    }

    /// What every route does first, in the order of design section 7.
    fn check_proof(&self, request: &Request, joins: bool) -> Result<(), &'static str> {
        let proof = request.proof.as_deref().ok_or("dpop.missing")?;
        let proof = UncheckedProof::parse(proof).map_err(|f| f.code())?;
        let key = if joins {
            proof.jwk().cloned().ok_or("dpop.no_key")?
        } else {
            let key = self.request_key.clone().ok_or("auth.failed")?;
            if proof.kid() != Some(key_id().as_str()) {
                return Err("auth.failed");
            }
            key
        };
        let targets = [self.url.join(&request.path).unwrap()];
        let proof = proof
            .check_signature(&key, &SoftwareChecks)
            .and_then(|p| {
                p.check_request(&dpop::Expected {
                    method: &request.method,
                    targets: &targets,
                    now: self.now(),
                    window: Window::default(),
                })
            })
            .map_err(|f| f.code())?;
        if request.method == "POST" {
            let digest = proof.check_digest(&request.query, &request.body, None);
            digest.map_err(|f| f.code())?;
        }
        Ok(())
    }

    fn trust(&self) -> Trust {
        let public = |seed: &[u8; 32]| B64(key(seed).verifying_key().to_bytes().to_vec());
        Trust {
            root: B64(self.pin.to_vec()),
            next_root: None,
            log_origin: ORIGIN.into(),
            log_key: public(&LOG),
            result_key: public(&[24; 32]),
            delivery_key: public(&DELIVERY),
            next_delivery_key: None,
        }
    }

    fn checkpoint(&self) -> String {
        let log_key = LogKey::new(ORIGIN, &key(&LOG).verifying_key().to_bytes()).unwrap();
        let head = self.log.head(ORIGIN);
        let signed = sign_checkpoint(head, &log_key, |message| {
            Ok::<_, assay_api::log::NoteFault>(key(&LOG).sign(message).to_bytes())
        });
        signed.unwrap().text().to_owned()
    }

    fn begin(&mut self, begin: EnrolBegin) -> Reply {
        if *begin.secret.0 != CLAIM || self.claim_spent {
            return Err("auth.failed");
        }
        let public = |bytes: &Option<B64>| Public::parse(&bytes.as_ref().unwrap().0).unwrap();
        let (ek, ak) = (public(&begin.ek_public), public(&begin.ak_public));
        let request_key = public(&begin.request_key_public);
        let name = ak.name().unwrap();
        let (name_alg, symmetric) = match ek.name_alg {
            0x000c => (NameAlg::Sha384, AesBits::Aes256),
            _ => (NameAlg::Sha256, AesBits::Aes128),
        };
        let ek = EndorsementKey {
            key: &ek.key,
            name_alg,
            symmetric,
        };
        let secret = [0x5a; 32];
        let credential = make_credential(ek, name.as_bytes(), &secret, &mut |out| {
            getrandom::fill(out).unwrap();
            Ok(())
        });
        let credential = credential.unwrap();
        let known = Known {
            request_key: assay_attest::expected::RequestKey::new(request_key.key).unwrap(),
            tpm: TpmExpectation::Pinned(name),
            dice: DiceExpectation::NotRequired,
            required: vec![Label::Tpm],
        };
        self.joining = Some((known, secret));
        self.nonce = Some([9; 32]);
        json(&EnrolChallenge {
            claim_id: ClaimId::from_random(&[1; 16]),
            nonce: B64(vec![9; 32]),
            credential: Some(CredentialBlob {
                id_object: B64(credential.id_object),
                encrypted_secret: B64(credential.encrypted_secret),
            }),
            expires_at: Time(self.now()),
            pcrs: self.enrol_pcrs.clone(),
        })
    }

    fn complete(&mut self, complete: EnrolComplete) -> Reply {
        let (known, secret) = self.joining.take().ok_or("auth.failed")?;
        let claim = complete.claim_id.to_string();
        let claims = self.verify(
            &known,
            &claim,
            Purpose::Enrol,
            &secret,
            &complete.evidence.0,
        )?;
        self.channel_key = Some(claims.stated.channel_key);
        self.request_key = Some(jwk(&known));
        self.known = Some(known);
        self.claim_spent = true;
        let verdict = self.verdict_for(&claims);
        json(&Enrolled {
            device_id: device(),
            name: "dpu-1".into(),
            tenant_id: TenantId::from_random(&[1; 16]),
            key_id: key_id(),
            lifecycle: "active".into(),
            verdict,
        })
    }

    fn judge(&mut self, evidence: EvidenceIn) -> Reply {
        let known = self.known.take().ok_or("auth.failed")?;
        let device = device().to_string();
        let judged = self.verify(&known, &device, Purpose::Attest, b"", &evidence.evidence.0);
        self.known = Some(known);
        let claims = judged?;
        self.proofs += 1;
        json(&self.verdict_for(&claims))
    }

    fn verify(
        &mut self,
        known: &Known,
        subject: &str,
        purpose: Purpose,
        secret: &[u8],
        evidence: &[u8],
    ) -> Result<Claims, &'static str> {
        let proof = assay_agent::source::roots::Proof {
            nexus_id: self.pin,
            subject: subject.to_owned(),
            purpose,
            nonce: self.nonce.take().ok_or("evidence.nonce")?,
            activation_secret: secret.to_vec(),
            ..crate::verifier::proof(0)
        };
        known
            .verify(&proof, evidence)
            .map_err(|refusal| refusal.code())
    }

    fn verdict_for(&mut self, claims: &Claims) -> Verdict {
        let result_id = ResultId::from_random(&self.next_id());
        let verified = self.verdict == "verified";
        if verified {
            self.hpke = Some((result_id.clone(), claims.stated.hpke.clone()));
        }
        let fresh = if verified { self.fresh_ms } else { 0 };
        Verdict {
            result_id,
            verdict: self.verdict.into(),
            root: "operator".into(),
            key: claims.key_level().as_str().into(),
            runtime: "unmeasured".into(),
            fresh_until: Time(self.now().plus_millis(fresh)),
            reasons: if verified {
                vec![]
            } else {
                vec!["pcr.mismatch".into()]
            },
            next_proof_in: u32::try_from(fresh / 2000).unwrap(),
            time: Time(self.now()),
            ear: String::new(),
        }
    }

    fn pull(&mut self, idempotency_key: &str) -> Reply {
        let (result, hpke) = self.hpke.clone().ok_or("attestation.stale")?;
        let mut items = Vec::new();
        for (name, (secret, lasts)) in self.secrets.clone() {
            let known = self.leases.get(&name);
            if let Some((_, lease)) = known.filter(|(k, lease)| {
                k == idempotency_key && !self.acknowledged.contains(lease.id.as_str())
            }) {
                items.push(lease.clone());
                continue;
            }
            let id = LeaseId::from_random(&self.next_id());
            let context = Context {
                device: &device(),
                result: &result,
                lease: &id,
                kind: "secret",
            };
            let sealed = seal(
                &secret,
                &hpke,
                &context,
                |message| {
                    Ok::<_, std::convert::Infallible>(key(&DELIVERY).sign(message).to_bytes())
                },
                &mut rand_core::UnwrapErr(getrandom::SysRng),
            );
            let lease = Lease {
                id,
                kind: "secret".into(),
                name: name.clone(),
                version: 1,
                result_id: result.clone(),
                sealed: B64(sealed.unwrap()),
                expires_at: Time(self.now().plus_millis(lasts)),
                expires_in_ms: lasts,
            };
            self.leases
                .insert(name, (idempotency_key.to_owned(), lease.clone()));
            items.push(lease);
        }
        json(&Leases {
            items,
            renew_in: 3600,
        })
    }
}

fn key_id() -> KeyId {
    KeyId::from_random(&[41; 16])
}

fn jwk(known: &Known) -> Jwk {
    use assay_attest::key::PublicKey;
    match known.request_key.key() {
        PublicKey::P256(point) => Jwk::p256(point).unwrap(),
        PublicKey::Ed25519(public) => Jwk::ed25519(*public),
        other => panic!("{other:?}"),
    }
}
