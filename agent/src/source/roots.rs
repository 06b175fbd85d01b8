//! All roots of trust of this machine, on threads of their own: a TPM may take a second, and takes one request at a time; a
//! management controller may take minutes, while the request key in the TPM must go on signing.

use super::soft_key::SoftKey;
use super::table::{self, Settings};
use super::worker::{Job, Worker};
use super::{Ask, Keys, Source, SourceError, TpmIdentity};
use assay_attest::attester::logs::fits;
use assay_attest::attester::{Draft, Statement};
use assay_attest::expected::RequestKey;
use assay_attest::hpke::HpkeKey;
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose, SessionInput};
use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long a root stays open after the last request: others may want the TPM too.
const REST_AFTER: Duration = Duration::from_millis(500);
/// How often logs are read and PCRs quoted before what there is is sent; logs grow.
const TRIES: u32 = 5;

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

/// A handle on the roots. They close when the last one is dropped.
#[derive(Clone)]
pub struct Roots {
    local: Worker<Holder>,
    /// Roots behind a management controller, which takes its time: meanwhile the request key must sign.
    behind: Option<Worker<Sources>>,
    request_key: RequestKey,
    identity: Option<TpmIdentity>,
    warnings: Vec<&'static str>,
}

impl Roots {
    /// Opens every configured root on threads of their own and waits for them. Blocks.
    ///
    /// # Errors
    /// The first root that does not open.
    pub fn open(settings: Settings) -> Result<Self, SourceError> {
        let make = move || {
            let (mut holder, behind) = Holder::open(&settings)?;
            let about = holder.about(&behind);
            Ok((holder, (about, behind)))
        };
        let (local, (about, behind)) = Worker::start("roots", make, Holder::serve)?;
        let behind = match behind.is_empty() {
            true => None,
            false => Some(Worker::start("behind", move || Ok((behind, ())), serve)?.0),
        };
        Ok(Self {
            local,
            behind,
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
        self.local.send(Box::new(move |holder| {
            drop(answer.send(holder.keys().and_then(|keys| keys.sign(&message))));
        }))?;
        wait.recv().map_err(|_ended| SourceError::Closed)?
    }

    /// Collects one whole evidence message.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn prove(&self, proof: Proof) -> Result<Vec<u8>, SourceError> {
        let pcrs = proof.pcrs.clone();
        let mut draft = self.local.ask(move |holder| holder.begin(&proof)).await?;
        if let Some(behind) = &self.behind {
            let collect = move |sources: &mut Sources| {
                for source in sources {
                    add(source.as_mut(), &mut draft, &pcrs)?;
                }
                Ok(draft)
            };
            draft = behind.ask(collect).await?;
        }
        self.local.ask(move |holder| holder.seal(draft)).await
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
        self.local
            .ask(move |holder| holder.keys()?.activate(&id_object, &encrypted_secret))
            .await
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

/// Sources in the order of their labels.
type Sources = Vec<Box<dyn Source>>;

/// What lives on the first thread: the sources up to the TPM, and who holds the request key.
struct Holder {
    sources: Sources,
    soft: Option<SoftKey>,
    request_key: RequestKey,
}

impl Holder {
    /// The holder, and what stands behind the TPM in the order of evidence.
    fn open(settings: &Settings) -> Result<(Self, Sources), SourceError> {
        let mut sources = table::open(settings)?;
        sources.sort_by_key(|source| source.label());
        let local = sources.partition_point(|source| source.label() <= Label::Tpm);
        let behind = sources.split_off(local);
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
        let holder = Self {
            sources,
            soft,
            request_key,
        };
        Ok((holder, behind))
    }

    fn about(&mut self, behind: &Sources) -> About {
        About {
            request_key: self.request_key.clone(),
            identity: self.keys().ok().and_then(|keys| keys.identity().cloned()),
            warnings: self
                .sources
                .iter()
                .chain(behind)
                .filter_map(|source| source.warning())
                .collect(),
        }
    }

    /// Works until every handle is gone. It wakes by itself once after each burst of work, never while idle.
    fn serve(mut self, inbox: &Receiver<Job<Self>>) {
        while let Ok(job) = inbox.recv() {
            job(&mut self);
            loop {
                match inbox.recv_timeout(REST_AFTER) {
                    Ok(job) => job(&mut self),
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

    /// Collects every member up to the TPM's. False where a log no longer fitted the quote that followed it: it has grown meanwhile.
    fn collect(&mut self, draft: &mut Draft, pcrs: &[u8]) -> Result<bool, SourceError> {
        let mut logs = Vec::new();
        let mut settled = true;
        for source in &mut self.sources {
            let label = source.label();
            let value = add(source.as_mut(), draft, pcrs)?;
            match label {
                Label::LogUefi | Label::LogIma => logs.push((label, value)),
                Label::Tpm => {
                    settled = logs
                        .iter()
                        .all(|(label, log)| fits(*label, log, &value).is_ok());
                }
                _ => {}
            }
        }
        Ok(settled)
    }

    /// The evidence up to the TPM's member.
    fn begin(&mut self, proof: &Proof) -> Result<Draft, SourceError> {
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
        loop {
            tries += 1;
            let begun = Draft::begin(&input, &proof.statement);
            let mut draft = begun.map_err(|refusal| build(&refusal))?;
            let settled = self.collect(&mut draft, &proof.pcrs)?;
            // After the last try it is sent as it is: the nexus says what does not fit.
            if settled || tries == TRIES {
                return Ok(draft);
            }
        }
    }

    fn seal(&mut self, draft: Draft) -> Result<Vec<u8>, SourceError> {
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

/// Works on what is behind the TPM until every handle is gone.
fn serve(mut sources: Sources, inbox: &Receiver<Job<Sources>>) {
    while let Ok(job) = inbox.recv() {
        job(&mut sources);
    }
}

/// Has a source sign and adds its member, whose value it gives back.
fn add(source: &mut dyn Source, draft: &mut Draft, pcrs: &[u8]) -> Result<Vec<u8>, SourceError> {
    let label = source.label();
    let binding = draft.binding(label).map_err(|refusal| build(&refusal))?;
    let ask = Ask {
        binding: &binding,
        pcrs,
    };
    let value = source.collect(&ask)?;
    draft
        .add(label, source.media_type(), value.clone())
        .map_err(|refusal| build(&refusal))?;
    Ok(value)
}

fn build(refusal: &Refusal) -> SourceError {
    SourceError::Build {
        why: refusal.to_string(),
    }
}
