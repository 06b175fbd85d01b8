//! A device with its software TPM, a Verifier that expects it, and signature checks in pure Rust.

use crate::soft_tpm::{self, KEY_ATTRIBUTES, SoftTpm};
use assay_attest::attester::tpm::{CertifiedKeyParts, TpmParts, member};
use assay_attest::attester::{Draft, Statement};
use assay_attest::evidence::tpm::MEDIA_TYPE;
use assay_attest::expected::{DiceExpectation, Expected, RequestKey, TpmExpectation};
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Binding, Label, Purpose, SessionInput};
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey};

/// Checks in pure Rust: P-256, P-384, Ed25519.
#[derive(Debug)]
pub(crate) struct Pure;

impl CheckSignature for Pure {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let good = match (key, scheme) {
            (PublicKey::P256(point), Scheme::EcdsaSha256) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point.as_slice())
                    .map_err(|_| BadSignature)?;
                let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify(message, &signature).is_ok()
            }
            (PublicKey::P384(point), Scheme::EcdsaSha384) => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point.as_slice())
                    .map_err(|_| BadSignature)?;
                let signature =
                    p384::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify(message, &signature).is_ok()
            }
            (PublicKey::Ed25519(bytes), Scheme::Ed25519) => {
                let key =
                    ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| BadSignature)?;
                let signature =
                    ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify_strict(message, &signature).is_ok()
            }
            _ => false,
        };
        if good { Ok(()) } else { Err(BadSignature) }
    }
}

/// One device and what the Verifier knows of it.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) tpm: SoftTpm,
    pub(crate) request: SigningKey,
    pub(crate) request_attributes: u32,
    pub(crate) hpke: HpkeKey,
    pub(crate) required: Vec<Label>,
    pub(crate) pinned: TpmExpectation,
    pub(crate) request_key: RequestKey,
}

/// What a proof is made for.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) nexus_id: [u8; 32],
    pub(crate) purpose: Purpose,
    pub(crate) nonce: [u8; 32],
    pub(crate) secret: &'static [u8],
}

pub(crate) const ASK: Ask = Ask {
    nexus_id: [1; 32],
    purpose: Purpose::Attest,
    nonce: [2; 32],
    secret: b"",
};

impl Device {
    pub(crate) fn new(seed: u8) -> Self {
        let tpm = SoftTpm::new(seed);
        let request = soft_tpm::signing_key(seed + 100);
        let request_key =
            RequestKey::new(PublicKey::P256(Box::new(soft_tpm::point(&request)))).unwrap();
        Self {
            id: format!("device-{seed}"),
            pinned: TpmExpectation::Pinned(tpm.ak_name()),
            tpm,
            request,
            request_attributes: KEY_ATTRIBUTES,
            hpke: HpkeKey::new(Kem::X25519, &[seed; 32]).unwrap(),
            required: vec![Label::Tpm],
            request_key,
        }
    }

    pub(crate) fn input(&self, ask: Ask) -> SessionInput<'_> {
        SessionInput {
            nexus_id: ask.nexus_id,
            subject: &self.id,
            purpose: ask.purpose,
            nonce: ask.nonce,
            request_key_thumbprint: *self.request_key.thumbprint(),
            hpke: &self.hpke,
            activation_secret: ask.secret,
        }
    }

    pub(crate) fn expected(&self, ask: Ask) -> Expected<'_> {
        Expected {
            nexus_id: ask.nexus_id,
            subject: &self.id,
            purpose: ask.purpose,
            nonce: ask.nonce,
            activation_secret: ask.secret,
            request_key: &self.request_key,
            tpm: self.pinned.clone(),
            dice: DiceExpectation::NotRequired,
            ima: None,
            required: &self.required,
            now: Timestamp::from_secs(1_800_000_000),
        }
    }

    pub(crate) fn draft(&self, ask: Ask) -> Draft {
        Draft::begin(&self.input(ask), &statement()).unwrap()
    }

    pub(crate) fn request_public(&self) -> Vec<u8> {
        soft_tpm::public_area(&self.request, self.request_attributes, None)
    }

    pub(crate) fn tpm_parts(&self, binding: &Binding) -> TpmParts {
        let public = self.request_public();
        let (quote, quote_signature) = self.tpm.quote(binding.as_bytes());
        let (certification, signature) = self.tpm.certify(&public, binding.as_bytes());
        TpmParts {
            quote,
            quote_signature,
            pcrs: self.tpm.pcrs.clone(),
            ak: self.tpm.ak_public(),
            ak_parent: self.tpm.parent.clone(),
            request_key: Some(CertifiedKeyParts {
                public,
                certification,
                signature,
            }),
        }
    }

    /// Seals a draft with the request key.
    pub(crate) fn seal(&self, draft: &Draft) -> Vec<u8> {
        draft
            .seal(&self.request_key, |message| {
                Ok::<_, Refusal>(self.sign(message))
            })
            .unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.request.sign(message);
        signature.to_bytes().to_vec()
    }

    /// A whole good proof, its TPM parts changed by `tamper` before the member is written.
    pub(crate) fn prove_with(&self, ask: Ask, tamper: impl FnOnce(&mut TpmParts)) -> Vec<u8> {
        let mut draft = self.draft(ask);
        let mut parts = self.tpm_parts(&draft.binding(Label::Tpm).unwrap());
        tamper(&mut parts);
        draft
            .add(Label::Tpm, MEDIA_TYPE, member(&parts).unwrap())
            .unwrap();
        self.seal(&draft)
    }

    pub(crate) fn prove(&self, ask: Ask) -> Vec<u8> {
        self.prove_with(ask, |_| {})
    }

    pub(crate) fn verify(&self, ask: Ask, bytes: &[u8]) -> Result<Evidence<Verified>, Refusal> {
        Evidence::parse(bytes)?.verify(&self.expected(ask), &Pure)
    }

    /// The code with which these bytes are refused.
    pub(crate) fn refusal(&self, ask: Ask, bytes: &[u8]) -> &'static str {
        self.verify(ask, bytes)
            .map_or_else(|refusal| refusal.code(), |_| "accepted")
    }
}

pub(crate) fn statement() -> Statement {
    Statement {
        ueid: None,
        serial: Some("MT2334X00001".into()),
        channel_key: [9; 32],
        agent_version: "0.1.0".into(),
        boot_count: Some(3),
        uptime: 77,
        hostname: "dpu-1".into(),
        hwmodel: "BlueField-3".into(),
    }
}
