//! COSE_Sign1 (RFC 9052, 4.2) over attached payloads.
//!
//! The algorithm follows from the key; a message may only name one that the key has. Protected bytes count as received.

use crate::codec::cbor::{self, Form};
use crate::key::{CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use coset::cbor::value::Value;
use coset::{
    AsCborValue as _, CoseSign1, Header, ProtectedHeader, RegisteredLabel,
    RegisteredLabelWithPrivate, SignatureContext, TaggedCborSerializable as _, iana,
};

const WHAT: &str = "the cose message";
const TAG: u64 = 18;

/// A parsed COSE_Sign1 that nobody has verified.
#[derive(Clone, Debug)]
pub struct Sign1 {
    inner: CoseSign1,
}

impl Sign1 {
    /// Parses a message of others: tagged (18) or not, any well-formed CBOR.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] and its kin; [`Refusal::Unsupported`] for critical header parameters and detached payloads.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = cbor::decode(WHAT, bytes, limits::EVIDENCE_BYTES, Form::WellFormed)?;
        Self::from_value(match value {
            Value::Tag(TAG, inner) => *inner,
            other => other,
        })
    }

    /// Parses a message of ours: tagged, in its one encoding, with nothing unprotected.
    ///
    /// # Errors
    /// As [`Sign1::parse`].
    pub fn parse_strict(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = cbor::decode(WHAT, bytes, limits::EVIDENCE_BYTES, Form::Deterministic)?;
        let Value::Tag(TAG, inner) = value else {
            return Err(malformed("tag 18 is missing"));
        };
        let parsed = Self::from_value(*inner)?;
        if parsed.inner.unprotected != Header::default() {
            return Err(malformed("a header parameter is not protected"));
        }
        let protected = &parsed.inner.protected;
        if protected.header.alg.is_none() {
            return Err(malformed("it names no algorithm"));
        }
        let ours = Header {
            alg: protected.header.alg.clone(),
            content_type: protected.header.content_type.clone(),
            key_id: protected.header.key_id.clone(),
            ..Header::default()
        };
        if protected.header != ours {
            return Err(malformed("it has a header parameter that is not known"));
        }
        // The signature covers the bytes, but one message is to have one digest.
        let received = protected.original_data.as_deref().unwrap_or_default();
        cbor::decode(WHAT, received, limits::CLAIMS_BYTES, Form::Deterministic)?;
        Ok(parsed)
    }

    pub(crate) fn from_value(value: Value) -> Result<Self, Refusal> {
        let mut parts = value.as_array().into_iter().flatten();
        if let Some(Value::Bytes(protected)) = parts.next()
            && !protected.is_empty()
        {
            // coset reads the inner map itself: bound it first.
            let header = cbor::decode(WHAT, protected, limits::CLAIMS_BYTES, Form::WellFormed)?;
            no_counter_signature(&header)?;
        }
        parts.next().map_or(Ok(()), no_counter_signature)?;
        let inner = CoseSign1::from_cbor_value(value)
            .map_err(|error| malformed(&format!("it is no cose_sign1: {error}")))?;
        let (protected, unprotected) = (&inner.protected.header, &inner.unprotected);
        if !protected.crit.is_empty() || !unprotected.crit.is_empty() {
            return Err(Refusal::Unsupported {
                what: "the critical header parameter",
                found: format!("{} of them", protected.crit.len().max(1)),
            });
        }
        // RFC 9052, 3: a label occurs once over both headers.
        if (protected.alg.is_some() && unprotected.alg.is_some())
            || (!protected.key_id.is_empty() && !unprotected.key_id.is_empty())
            || (protected.content_type.is_some() && unprotected.content_type.is_some())
        {
            return Err(Refusal::DuplicateKey { what: WHAT });
        }
        if inner.payload.is_none() {
            return Err(Refusal::Unsupported {
                what: "the cose payload",
                found: "detached".to_string(),
            });
        }
        Ok(Self { inner })
    }

    /// The key id, protected or not; empty where there is none.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        let protected = &self.inner.protected.header.key_id;
        if protected.is_empty() {
            &self.inner.unprotected.key_id
        } else {
            protected
        }
    }

    /// The protected content type, where it is a text.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        match self.inner.protected.header.content_type.as_ref()? {
            RegisteredLabel::Text(text) => Some(text),
            RegisteredLabel::Assigned(_) => None,
        }
    }

    /// A protected header parameter that this module has no name for.
    #[must_use]
    pub fn protected(&self, label: i64) -> Option<&Value> {
        of(&self.inner.protected.header, label)
    }

    /// The same, unprotected: a hint, believed only once something else proves it.
    #[must_use]
    pub fn unprotected(&self, label: i64) -> Option<&Value> {
        of(&self.inner.unprotected, label)
    }

    /// The payload, before anything is known of its signature.
    #[must_use]
    pub fn payload_unverified(&self) -> &[u8] {
        self.inner.payload.as_deref().unwrap_or_default()
    }

    /// The payload, once `key` has been shown to have signed it together with `aad`.
    ///
    /// # Errors
    /// [`Refusal::CoseAlgorithm`] where the message names an algorithm that the key does not have,
    /// [`Refusal::CoseSignature`].
    pub fn verify(
        &self,
        key: &PublicKey,
        aad: &[u8],
        check: &dyn CheckSignature,
    ) -> Result<&[u8], Refusal> {
        let (scheme, accepted) = algorithms(key)?;
        let named = self.inner.protected.header.alg.as_ref();
        let named = named.or(self.inner.unprotected.alg.as_ref());
        match named {
            Some(RegisteredLabelWithPrivate::Assigned(alg)) if accepted.contains(alg) => {}
            other => {
                return Err(Refusal::CoseAlgorithm {
                    found: alg_text(other),
                });
            }
        }
        let signed = self.to_be_signed(aad);
        check
            .check(key, scheme, &signed, &self.inner.signature)
            .map_err(|_bad| Refusal::CoseSignature)?;
        Ok(self.payload_unverified())
    }

    // RFC 9052, 4.4: protected bytes as received, but an empty map (h'a0') as an empty string.
    fn to_be_signed(&self, aad: &[u8]) -> Vec<u8> {
        let received = self
            .inner
            .protected
            .original_data
            .clone()
            .unwrap_or_default();
        let original = if received == [0xa0] {
            Vec::new()
        } else {
            received
        };
        let protected = ProtectedHeader {
            original_data: Some(original),
            header: Header::default(),
        };
        let payload = self.payload_unverified();
        coset::sig_structure_data(SignatureContext::CoseSign1, protected, None, aad, payload)
    }
}

fn of(header: &Header, label: i64) -> Option<&Value> {
    let mut rest = header.rest.iter();
    rest.find(|(found, _)| *found == coset::Label::Int(label))
        .map(|(_, value)| value)
}

/// Why a message could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E> {
    /// The key or a header does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The signer failed.
    #[error("the signer failed")]
    Signer(E),
}

/// What a message of ours says beside its payload.
#[derive(Clone, Debug)]
pub struct Protected<'a> {
    /// The key that signs; its algorithm is named.
    pub key: &'a PublicKey,
    /// Its id.
    pub key_id: &'a [u8],
    /// Media type of the payload.
    pub content_type: &'a str,
}

/// Builds a tagged COSE_Sign1 in the form that [`Sign1::parse_strict`] reads.
///
/// `sign` gets the bytes to be signed (unhashed) and gives the raw signature: 64 bytes for Ed25519, r and s of fixed
/// length for ECDSA.
///
/// # Errors
/// [`BuildError`].
pub fn build<E>(
    protected: &Protected<'_>,
    payload: Vec<u8>,
    aad: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, BuildError<E>> {
    build_with(protected, Vec::new(), payload, aad, sign)
}

/// Builds one with further protected header parameters, for formats of others.
///
/// # Errors
/// [`BuildError`].
pub fn build_with<E>(
    protected: &Protected<'_>,
    further: Vec<(i64, Value)>,
    payload: Vec<u8>,
    aad: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, BuildError<E>> {
    let (_, accepted) = algorithms(protected.key)?;
    let alg = *accepted
        .last()
        .ok_or_else(|| malformed("the key has no algorithm"))?;
    let mut header = coset::HeaderBuilder::new()
        .algorithm(alg)
        .content_type(protected.content_type.to_string())
        .key_id(protected.key_id.to_vec())
        .build();
    let further = further.into_iter();
    header
        .rest
        .extend(further.map(|(label, value)| (coset::Label::Int(label), value)));
    let message = coset::CoseSign1Builder::new()
        .protected(header)
        .payload(payload)
        .try_create_signature(aad, |signed| sign(signed))
        .map_err(BuildError::Signer)?
        .build();
    message
        .to_tagged_vec()
        .map_err(|error| BuildError::Refused(malformed(&error.to_string())))
}

/// The scheme of a key and the COSE algorithms that mean it; the last is the one to write (RFC 9864).
fn algorithms(key: &PublicKey) -> Result<(Scheme, &'static [iana::Algorithm]), Refusal> {
    use iana::Algorithm;
    match key {
        PublicKey::Ed25519(_) => Ok((Scheme::Ed25519, &[Algorithm::EdDSA, Algorithm::Ed25519])),
        PublicKey::P256(_) => Ok((Scheme::EcdsaSha256, &[Algorithm::ES256, Algorithm::ESP256])),
        PublicKey::P384(_) => Ok((Scheme::EcdsaSha384, &[Algorithm::ES384, Algorithm::ESP384])),
        PublicKey::P521(_) => Ok((Scheme::EcdsaSha512, &[Algorithm::ES512, Algorithm::ESP512])),
        PublicKey::Rsa { .. } => Err(Refusal::CoseAlgorithm {
            found: "rsa".to_string(),
        }),
    }
}

/// A counter signature (RFC 9052, 3.1: label 7) holds a header in a byte string, which may hold the next: coset would read
/// them one in the other, as deep as the message is long, where no bound on nesting sees it.
fn no_counter_signature(header: &Value) -> Result<(), Refusal> {
    let label = Value::from(7);
    match header.as_map() {
        Some(entries) if entries.iter().any(|(key, _)| *key == label) => {
            Err(Refusal::Unsupported {
                what: "the cose header parameter",
                found: "counter signature".to_string(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn alg_text(alg: Option<&coset::Algorithm>) -> String {
    match alg {
        None => "none".to_string(),
        Some(RegisteredLabelWithPrivate::Assigned(alg)) => format!("{alg:?}"),
        Some(RegisteredLabelWithPrivate::PrivateUse(number)) => format!("{number}"),
        Some(RegisteredLabelWithPrivate::Text(text)) => text.chars().take(32).collect(),
    }
}

fn malformed(why: &str) -> Refusal {
    Refusal::Malformed {
        what: WHAT,
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests;
