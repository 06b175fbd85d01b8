//! All roots of trust of this machine, on a thread of their own: a TPM may take a second, and takes one request at a time.

use super::soft_key::SoftKey;
use super::table::{self, Settings};
use super::{Ask, Keys, Source, SourceError, TpmIdentity};
use assay_attest::attester::logs::fits;
use assay_attest::attester::{Draft, Statement};
use assay_attest::expected::RequestKey;
use assay_attest::hpke::HpkeKey;
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose, SessionInput};
use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a root stays open after the last request: others may want the TPM too.
const REST_AFTER: Duration = Duration::from_millis(500);
/// How often logs are read and PCRs quoted before what there is is sent; logs grow.
const TRIES: u32 = 5;
/// The TSS keeps its largest structures on the stack.
const STACK: usize = 512 * 1024;

/// Everything that one proof is made of, beside what the roots sign.
#[derive(Clone, Debug)]
pub struct Proof {
    /// SHA-256 of the SubjectPublicKeyInfo of the nexus's root, as this connection showed it.
    pub nexus_id: [u8; 32],
    /// Device id; at enrolment the claim id.
    pub subject: String,
    /// Enrolment or a later proof.
    pub purpose: Purpose,
    /// The nexus's nonce.
    pub nonce: [u8; 32],
    /// The key that opens what is released under this proof.
    pub hpke: HpkeKey,
    /// The activation secret at an enrolment with a TPM, else empty.
    pub activation_secret: Vec<u8>,
    /// PCRs of the SHA-256 bank to quote.
    pub pcrs: Vec<u8>,
    /// What the agent states.
    pub statement: Statement,
}

type Job = Box<dyn FnOnce(&mut Holder) + Send>;

/// A handle on the roots. They close when the last one is dropped.
#[derive(Clone)]
pub struct Roots {
    jobs: Sender<Job>,
    request_key: RequestKey,
    identity: Option<TpmIdentity>,
    warnings: Vec<&'static str>,
}

impl Roots {
    /// Opens every configured root on a new thread and waits for them. Blocks.
    ///
    /// # Errors
    /// The first root that does not open.
    pub fn open(settings: Settings) -> Result<Self, SourceError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (report, opened) = mpsc::channel();
        std::thread::Builder::new()
            .name("roots".into())
            .stack_size(STACK)
            .spawn(move || match Holder::open(&settings) {
                Ok(mut holder) => {
                    if report.send(Ok(holder.about())).is_ok() {
                        holder.serve(&inbox);
                    }
                }
                Err(error) => drop(report.send(Err(error))),
            })
            .map_err(|_no_thread| SourceError::Closed)?;
        let about = opened.recv().map_err(|_ended| SourceError::Closed)??;
        Ok(Self {
            jobs,
            request_key: about.request_key,
            identity: about.identity,
            warnings: about.warnings,
        })
    }

    /// The request key.
    #[must_use]
    pub const fn request_key(&self) -> &RequestKey {
        &self.request_key
    }

    /// What enrolment states of the TPM.
    #[must_use]
    pub const fn identity(&self) -> Option<&TpmIdentity> {
        self.identity.as_ref()
    }

    /// What a person should know of these roots.
    #[must_use]
    pub fn warnings(&self) -> &[&'static str] {
        &self.warnings
    }

    /// Signs with the request key. Blocks.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], SourceError> {
        let (answer, wait) = mpsc::channel();
        let message = message.to_vec();
        self.send(Box::new(move |holder| {
            drop(answer.send(holder.keys().and_then(|keys| keys.sign(&message))));
        }))?;
        wait.recv().map_err(|_ended| SourceError::Closed)?
    }

    /// Collects one whole evidence message.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn prove(&self, proof: Proof) -> Result<Vec<u8>, SourceError> {
        self.ask(move |holder| holder.prove(&proof)).await
    }

    /// TPM2_ActivateCredential; both arguments are TPM2B structures.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn activate(
        &self,
        id_object: Vec<u8>,
        encrypted_secret: Vec<u8>,
    ) -> Result<[u8; 32], SourceError> {
        self.ask(move |holder| holder.keys()?.activate(&id_object, &encrypted_secret))
            .await
    }

    async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Holder) -> Result<R, SourceError> + Send + 'static,
    ) -> Result<R, SourceError> {
        let (answer, wait) = oneshot::channel();
        self.send(Box::new(move |holder| drop(answer.send(work(holder)))))?;
        wait.await.map_err(|_ended| SourceError::Closed)?
    }

    fn send(&self, job: Job) -> Result<(), SourceError> {
        self.jobs.send(job).map_err(|_ended| SourceError::Closed)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("request_key", &self.request_key.thumbprint_text())
            .finish_non_exhaustive()
    }
}

struct About {
    request_key: RequestKey,
    identity: Option<TpmIdentity>,
    warnings: Vec<&'static str>,
}

/// What lives on the thread: the sources in the order of their labels, and who holds the request key.
struct Holder {
    sources: Vec<Box<dyn Source>>,
    soft: Option<SoftKey>,
    request_key: RequestKey,
}

impl Holder {
    fn open(settings: &Settings) -> Result<Self, SourceError> {
        let mut sources = table::open(settings)?;
        sources.sort_by_key(|source| source.label());
        let held = sources
            .iter_mut()
            .find_map(|source| source.keys().map(|keys| keys.request_key().clone()));
        let (soft, request_key) = match held {
            Some(request_key) => (None, request_key),
            None => {
                let soft = SoftKey::open(&settings.state.join("request.seed"))?;
                let request_key = soft.request_key().clone();
                (Some(soft), request_key)
            }
        };
        Ok(Self {
            sources,
            soft,
            request_key,
        })
    }

    fn about(&mut self) -> About {
        About {
            request_key: self.request_key.clone(),
            identity: self.keys().ok().and_then(|keys| keys.identity().cloned()),
            warnings: self
                .sources
                .iter()
                .filter_map(|source| source.warning())
                .collect(),
        }
    }

    /// Works until every handle is gone. It wakes by itself once after each burst of work, never while idle.
    fn serve(&mut self, inbox: &Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            job(self);
            loop {
                match inbox.recv_timeout(REST_AFTER) {
                    Ok(job) => job(self),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            self.sources.iter_mut().for_each(|source| source.rest());
        }
    }

    fn keys(&mut self) -> Result<&mut dyn Keys, SourceError> {
        if let Some(soft) = &mut self.soft {
            return Ok(soft);
        }
        self.sources
            .iter_mut()
            .find_map(|source| source.keys())
            .ok_or(SourceError::Closed)
    }

    /// Collects every member in its order. False where a log no longer fitted the quote that followed it: it has grown meanwhile.
    fn collect(&mut self, draft: &mut Draft, pcrs: &[u8]) -> Result<bool, SourceError> {
        let build = |refusal: Refusal| SourceError::Build {
            why: refusal.to_string(),
        };
        let mut logs = Vec::new();
        let mut settled = true;
        for source in &mut self.sources {
            let label = source.label();
            let binding = draft.binding(label).map_err(build)?;
            let ask = Ask {
                binding: &binding,
                pcrs,
            };
            let value = source.collect(&ask)?;
            match label {
                Label::LogUefi | Label::LogIma => logs.push((label, value.clone())),
                Label::Tpm => {
                    settled = logs
                        .iter()
                        .all(|(label, log)| fits(*label, log, &value).is_ok());
                }
                _ => {}
            }
            draft
                .add(label, source.media_type(), value)
                .map_err(build)?;
        }
        Ok(settled)
    }

    fn prove(&mut self, proof: &Proof) -> Result<Vec<u8>, SourceError> {
        let build = |refusal: Refusal| SourceError::Build {
            why: refusal.to_string(),
        };
        let input = SessionInput {
            nexus_id: proof.nexus_id,
            subject: &proof.subject,
            purpose: proof.purpose,
            nonce: proof.nonce,
            request_key_thumbprint: *self.request_key.thumbprint(),
            hpke: &proof.hpke,
            activation_secret: &proof.activation_secret,
        };
        let mut tries = 0;
        let draft = loop {
            tries += 1;
            let mut draft = Draft::begin(&input, &proof.statement).map_err(build)?;
            let settled = self.collect(&mut draft, &proof.pcrs)?;
            // After the last try it is sent as it is: the nexus says what does not fit.
            if settled || tries == TRIES {
                break draft;
            }
        };
        let request_key = self.request_key.clone();
        let keys = self.keys()?;
        draft
            .seal(&request_key, |message| {
                keys.sign(message).map(|signature| signature.to_vec())
            })
            .map_err(|error| SourceError::Build {
                why: error.to_string(),
            })
    }
}
