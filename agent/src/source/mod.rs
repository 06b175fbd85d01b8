//! Roots of trust on this machine: what each must be able to do. To add one: a file here and a row in [`table`].
//!
//! A source imports this file only. Everything here blocks (a TPM takes its time) and so runs on the threads of [`roots`].

pub mod dice;
pub mod logs;
pub mod redfish;
pub mod roots;
pub mod soft_key;
pub mod table;
pub mod tpm;
mod worker;

use assay_attest::expected::RequestKey;
use assay_attest::session::{Binding, Label};
use std::fmt;

/// One root of trust that signs evidence.
pub trait Source: Send + fmt::Debug {
    /// The member that it makes.
    fn label(&self) -> Label;

    /// Media type of that member.
    fn media_type(&self) -> &'static str;

    /// Signs `ask.binding` and gives the member's value.
    ///
    /// # Errors
    /// [`SourceError`]; nothing is sent then.
    fn collect(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, SourceError>;

    /// The keys that it holds, where it holds any.
    fn keys(&mut self) -> Option<&mut dyn Keys> {
        None
    }

    /// Lets go of what others may want to use meanwhile; called when nothing has been asked for a moment.
    fn rest(&mut self) {}

    /// What a person should know of it before believing its evidence.
    fn warning(&self) -> Option<&'static str> {
        None
    }
}

/// What one member is collected for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What the root must sign.
    pub binding: &'a Binding,
    /// PCRs of the SHA-256 bank that a quote must hold, ascending, each under 24.
    pub pcrs: &'a [u8],
}

/// Holder of the request (DPoP) key, and of what vouches for it at enrolment.
pub trait Keys {
    /// The request key.
    fn request_key(&self) -> &RequestKey;

    /// Signs with the request key: 64 bytes, r and s or Ed25519.
    ///
    /// # Errors
    /// [`SourceError`].
    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], SourceError>;

    /// What enrolment states of the TPM; `None` without one.
    fn identity(&self) -> Option<&TpmIdentity>;

    /// TPM2_ActivateCredential: the secret that the nexus encrypted for EK and AK. Both arguments are TPM2B structures with
    /// their lengths.
    ///
    /// # Errors
    /// [`SourceError`]: also where the credential is for another TPM.
    fn activate(
        &mut self,
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<[u8; 32], SourceError>;
}

/// The public identity of a TPM, as enrolment sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmIdentity {
    /// EK, TPMT_PUBLIC.
    pub ek_public: Vec<u8>,
    /// EK certificate, DER, where the TPM has one for that key.
    pub ek_certificate: Option<Vec<u8>>,
    /// AK, TPMT_PUBLIC.
    pub ak_public: Vec<u8>,
    /// Request key, TPMT_PUBLIC.
    pub request_key_public: Vec<u8>,
}

/// A root of trust could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No TPM answers.
    #[error(
        "no tpm answers at `{tcti}` ({why}): check that the device exists and that this user may open it, or set `tpm.tcti`"
    )]
    Unreachable {
        /// Where it was looked for.
        tcti: String,
        /// What came instead.
        why: String,
    },
    /// The TPM refused.
    #[error("the tpm could not {what}: {why}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The TPM has no room or no time now.
    #[error(
        "the tpm could not {what} now ({why}): it is tried again; if that goes on, another program fills it (`tpm2_getcap handles-transient`, `tpm2_getcap handles-loaded-session`)"
    )]
    Busy {
        /// What was asked.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The TPM does not hold the keys that this agent enrolled with.
    #[error(
        "this tpm does not hold the keys of enrolment ({why}): it was cleared or replaced; re-key this dpu with a claim (`assay dpu claim --rekey`)"
    )]
    KeysLost {
        /// What it said.
        why: String,
    },
    /// PCR values read never matched those quoted.
    #[error(
        "the pcrs changed while they were quoted, {tries} times in a row: try again when the machine is at rest"
    )]
    Moving {
        /// How often it was tried.
        tries: u32,
    },
    /// What the nexus asks for can't be.
    #[error("the nexus asks for what this machine cannot give: {what}")]
    Asked {
        /// What.
        what: String,
    },
    /// A file of keys can't be read, or not be written.
    #[error("`{path}`: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Evidence could not be built.
    #[error("evidence could not be built: {why}")]
    Build {
        /// What was wrong.
        why: String,
    },
    /// Two roots for one place in the evidence.
    #[error("two roots of trust are configured as `{label}`: leave one of them out")]
    Twice {
        /// The member's label.
        label: Label,
    },
    /// The management controller did not do its part.
    #[error(transparent)]
    Bmc(#[from] redfish::BmcError),
    /// The thread that holds the roots has ended.
    #[error("the roots of trust are closed")]
    Closed,
}

impl SourceError {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "tpm.unreachable",
            Self::Failed { .. } => "tpm.failed",
            Self::Busy { .. } => "tpm.busy",
            Self::KeysLost { .. } => "tpm.keys_lost",
            Self::Moving { .. } => "tpm.pcrs_moving",
            Self::Asked { .. } => "evidence.asked",
            Self::File { .. } => "state.file",
            Self::Build { .. } => "evidence.build",
            Self::Twice { .. } => "source.twice",
            Self::Bmc(error) => error.code(),
            Self::Closed => "source.closed",
        }
    }
}
