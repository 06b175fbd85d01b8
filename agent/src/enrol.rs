//! Enrolment: two calls with a claim (design, section 6). The first proof is the second call.

use crate::boot::Boot;
use crate::config::Config;
use crate::source::SourceError;
use crate::source::roots::{Proof, Roots};
use crate::state::{Identity, State, StateError};
use crate::vault::{Vault, VaultFault};
use crate::{about, files, head, link};
use assay_api::routes::call;
use assay_api::token::{Token, TokenFault, TokenKind};
use assay_api::types::{B64, Empty, EnrolBegin, EnrolComplete, SecretB64, Trust};
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::session::Purpose;
use assay_client::{Answer, CallError, Client};
use assay_tls::Pins;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Who this agent is now.
    pub identity: Identity,
    /// `active` or `pending`.
    pub lifecycle: String,
    /// `verified` or `failed`.
    pub verdict: String,
    /// Codes of what the first verdict found wrong.
    pub reasons: Vec<String>,
}

/// Enrolment came to nothing. Unless it says otherwise, the claim is still good.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The claim file can't be used.
    #[error("claim file `{path}`: {why}")]
    ClaimFile {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// It holds no claim.
    #[error("claim file `{path}`: {fault}")]
    Token {
        /// Which.
        path: String,
        /// What is wrong.
        fault: TokenFault,
    },
    /// State.
    #[error(transparent)]
    State(#[from] StateError),
    /// A root of trust.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The nexus.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No locked memory.
    #[error(transparent)]
    Vault(#[from] VaultFault),
    /// The nexus answered with something that can't be.
    #[error("the nexus's answer can't be right: {0}")]
    Answer(&'static str),
    /// No randomness.
    #[error("no random numbers: {0}")]
    Random(String),
}

impl EnrolError {
    /// Whether the same claim may do later: the nexus was away, or a root of trust busy.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retryable() || matches!(error, CallError::Sign(_)),
            Self::Source(_) => true,
            _ => false,
        }
    }

    /// The name that machines may rely on.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::ClaimFile { .. } => "claim.file",
            Self::Token { fault, .. } => fault.code(),
            Self::State(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Call(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Answer(_) => "enrol.answer",
            Self::Random(_) => "random",
        }
    }
}

/// Reads the claim. A file that others may read is refused, since the claim may be spent already.
///
/// # Errors
/// [`EnrolError::ClaimFile`], [`EnrolError::Token`].
pub fn read_claim(path: &Path) -> Result<Token, EnrolError> {
    let fault = |why: String| EnrolError::ClaimFile {
        path: path.display().to_string(),
        why,
    };
    let io = |error: io::Error| fault(error.to_string());
    let bytes = files::read(path, 8192).map_err(io)?.ok_or_else(|| {
        fault("there is no such file: put a claim from `assay dpu claim` there".into())
    })?;
    let bytes = Zeroizing::new(bytes);
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fault(
            "others may read it: have the claim replaced, and `chmod 600` the file".into(),
        ));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_other| fault("it is no text".into()))?;
    Token::parse(text.trim(), TokenKind::Claim).map_err(|fault| EnrolError::Token {
        path: path.display().to_string(),
        fault,
    })
}

/// Enrols this DPU. The claim file is removed once the claim is spent, where that can be.
///
/// # Errors
/// [`EnrolError`].
pub async fn enrol(
    config: &Config,
    state: &State,
    roots: &Roots,
    claim_file: &Path,
) -> Result<Outcome, EnrolError> {
    match state.identity() {
        Err(StateError::NotEnrolled) => {}
        Ok(identity) => {
            let (device, dir) = (identity.device_id.to_string(), state.dir().display());
            let dir = dir.to_string();
            return Err(StateError::Enrolled { device, dir }.into());
        }
        Err(damaged) => return Err(damaged.into()),
    }
    let token = read_claim(claim_file)?;
    let pins = Pins {
        current: *token.root_pin(),
        next: None,
    };
    let client = link::client(token.url().clone(), pins, roots, None)?;
    let trust: Answer<Trust> = client.call::<call::trust>(None, &Empty {}).await?;
    if trust.body.root.0 != trust.nexus_id {
        return Err(EnrolError::Answer("it states another root than it shows"));
    }
    let enrolled = prove(config, state, roots, &client, &token).await?;
    let identity = Identity::new(&enrolled, token.url(), &trust.body)
        .ok_or(EnrolError::Answer("a key has not 32 bytes"))?;
    state.save(&identity)?;
    // Spent: what is left is a secret without a use.
    if let Err(error) = files::remove(claim_file) {
        let path = claim_file.display();
        tracing::warn!("the claim is spent, but `{path}` could not be removed: {error}");
    }
    // The first head to hold the log against. Where it can't be had yet, the agent asks for no lease before it has one.
    let kid = Some(identity.key_id.clone());
    let client = link::client(token.url().clone(), pins, roots, kid)?;
    if let Some(key) = identity.log_key() {
        match head::check(&client, &key, None).await {
            Ok(seen) => state.save_head(&seen)?,
            Err(error) => tracing::warn!(%error, "no audit head yet"),
        }
    }
    Ok(Outcome {
        identity,
        lifecycle: enrolled.lifecycle,
        verdict: enrolled.verdict.verdict,
        reasons: enrolled.verdict.reasons,
    })
}

async fn prove(
    config: &Config,
    state: &State,
    roots: &Roots,
    client: &Client,
    token: &Token,
) -> Result<assay_api::types::Enrolled, EnrolError> {
    let secret = || SecretB64(Zeroizing::new(token.secret().to_vec()));
    let tpm = roots.identity();
    let begin = EnrolBegin {
        secret: secret(),
        ek_public: tpm.map(|tpm| B64(tpm.ek_public.clone())),
        ek_certificate: tpm.and_then(|tpm| tpm.ek_certificate.clone()).map(B64),
        ak_public: tpm.map(|tpm| B64(tpm.ak_public.clone())),
        request_key_public: tpm.map(|tpm| B64(tpm.request_key_public.clone())),
    };
    let begun = client.call::<call::begin_enrolment>(None, &begin).await?;
    let challenge = begun.body;
    let activation_secret = match (tpm, challenge.credential) {
        (Some(_), Some(blob)) => roots
            .activate(blob.id_object.0, blob.encrypted_secret.0)
            .await?
            .to_vec(),
        (None, None) => Vec::new(),
        (Some(_), None) => return Err(EnrolError::Answer("it gives no credential to activate")),
        (None, Some(_)) => return Err(EnrolError::Answer("it gives a credential without a tpm")),
    };
    // Nothing is released under this proof to an agent that is not running yet: its key is dropped with the vault.
    let hpke = fresh_key(&mut Vault::new())?;
    let (_, channel_key) = state.channel_key()?;
    let statement = about::statement(config, channel_key, roots.request_key().thumbprint());
    let evidence = roots
        .prove(Proof {
            nexus_id: begun.nexus_id,
            subject: challenge.claim_id.to_string(),
            purpose: Purpose::Enrol,
            nonce: nonce(&challenge.nonce)?,
            hpke,
            activation_secret,
            pcrs: challenge.pcrs,
            statement: about::now(&statement, Boot::now().unwrap_or_default()),
        })
        .await?;
    let complete = EnrolComplete {
        claim_id: challenge.claim_id,
        secret: secret(),
        evidence: B64(evidence),
    };
    let done = client
        .call::<call::complete_enrolment>(None, &complete)
        .await?;
    Ok(done.body)
}

/// The nonce as it must be.
///
/// # Errors
/// [`EnrolError::Answer`].
pub fn nonce(bytes: &B64) -> Result<[u8; 32], EnrolError> {
    bytes
        .0
        .as_slice()
        .try_into()
        .map_err(|_other| EnrolError::Answer("the nonce has not 32 bytes"))
}

/// A fresh HPKE key for one proof; the private part goes into the vault.
///
/// # Errors
/// [`EnrolError::Random`], [`EnrolError::Vault`].
pub fn fresh_key(vault: &mut Vault) -> Result<HpkeKey, EnrolError> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut_slice()).map_err(|e| EnrolError::Random(e.to_string()))?;
    let public = vault.new_key(&random)?;
    HpkeKey::new(Kem::X25519, &public).map_err(|_length| EnrolError::Answer("no hpke key"))
}
