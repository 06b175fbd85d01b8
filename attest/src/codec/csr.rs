//! Certification requests (PKCS#10, RFC 2986): a key asks for a certificate and proves that it is held.

use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{Walk, context, malformed, single};
use super::spki;
use super::x509::{self, Extension};
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "certification request";
/// pkcs-9-at-extensionRequest (RFC 2985, 5.4.2).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

/// A request, parsed; [`Request::verify`] checks that whoever asks holds the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    info: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    key: PublicKey,
    extensions: Vec<Extension>,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl Request {
    /// Parses one DER request of at most [`limits::CERTIFICATE_BYTES`].
    ///
    /// # Errors
    /// The shape's refusals, and `algorithm.unsupported`.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::CERTIFICATE_BYTES,
            });
        }
        let mut outer = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let info = outer.expect(Tag::Sequence)?;
        let algorithm = outer.expect(Tag::Sequence)?;
        let signature = outer.octets_in_bits()?;
        outer.end()?;
        let mut fields = outer.inside(info)?;
        if !fields.unsigned()?.is_empty() {
            return Err(malformed(WHAT, "only version 1 is accepted"));
        }
        let subject = fields.expect(Tag::Sequence)?.raw.to_vec();
        let spki = fields.expect(Tag::Sequence)?.raw.to_vec();
        let attributes = fields.optional(context(0))?;
        fields.end()?;
        let scheme = spki::signature_scheme(WHAT, algorithm.raw)?;
        let mut extensions: Option<Vec<Extension>> = None;
        if let Some(attributes) = attributes {
            let mut attributes = fields.inside(attributes)?;
            while !attributes.is_empty() {
                let mut attribute = attributes.sequence()?;
                let kind = attribute.oid()?;
                let values = attribute.expect(Tag::Set)?;
                attribute.end()?;
                if kind != EXTENSION_REQUEST {
                    continue;
                }
                let mut values = attribute.inside(values)?;
                let list = values.sequence()?;
                values.end()?;
                if extensions.is_some() {
                    return Err(malformed(WHAT, "it asks for extensions twice"));
                }
                extensions = Some(x509::extension_list(WHAT, list)?);
            }
        }
        Ok(Self {
            info: info.raw.to_vec(),
            subject,
            key: spki::parse(WHAT, &spki)?,
            spki,
            extensions: extensions.unwrap_or_default(),
            scheme,
            signature: spki::signature_value(WHAT, scheme, signature)?.to_vec(),
        })
    }

    /// Proof of possession: the key that asks signed the request.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, check: &dyn CheckSignature) -> Result<(), BadSignature> {
        spki::check(&self.key, self.scheme, &self.info, &self.signature, check)
    }

    /// The name asked for, DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The key's SubjectPublicKeyInfo, DER as it came.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The extensions asked for, each once.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// What is signed, as it came.
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }
}
