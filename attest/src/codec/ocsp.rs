//! OCSP answers (RFC 6960, 4.2) as files: which certificates they speak of, what they say, who signed.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;
use sha1::Digest as _;

use super::crl::Reason;
use super::der::{Element, Walk, context, context_primitive, malformed, single};
use super::spki;
use super::x509::{self, Certificate};
use crate::digest::HashAlg;
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

const WHAT: &str = "ocsp answer";
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const KP_OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What an answer says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked or on hold.
    Revoked(Reason),
    /// The responder does not know it.
    Unknown,
}

/// An answer about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    hash: ObjectIdentifier,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
    /// What it says.
    pub status: Status,
    /// When that was known.
    pub this_update: Timestamp,
    /// When more will be known, where stated.
    pub next_update: Option<Timestamp>,
}

/// One answer, parsed and not yet trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    tbs: Vec<u8>,
    produced: Timestamp,
    nonce: Option<Vec<u8>>,
    singles: Vec<Single>,
    responders: Vec<Certificate>,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl Answer {
    /// Parses one DER OCSPResponse of at most [`limits::OCSP_BYTES`] that is a success.
    ///
    /// # Errors
    /// The shape's refusals; `evidence.unsupported` for an error of the responder or another type of answer.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > limits::OCSP_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::OCSP_BYTES,
            });
        }
        let mut response = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let status = response.expect(Tag::Enumerated)?;
        if status.value != [0] {
            return Err(unsupported("an error of the responder"));
        }
        let bytes = response.expect(context(0))?;
        response.end()?;
        let bytes = single(WHAT, Tag::Sequence, bytes.value)?;
        let mut bytes = response.inside(bytes)?;
        if bytes.oid()? != BASIC {
            return Err(unsupported("another type of answer"));
        }
        let basic = bytes.expect(Tag::OctetString)?;
        bytes.end()?;
        Self::basic(basic.value)
    }

    fn basic(der: &[u8]) -> Result<Self, Refusal> {
        let mut outer = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let tbs = outer.expect(Tag::Sequence)?;
        let algorithm = outer.expect(Tag::Sequence)?;
        let signature = outer.octets_in_bits()?;
        let mut responders = Vec::new();
        if let Some(list) = outer.optional(context(0))? {
            let mut list = outer.inside(list)?.sequence()?;
            while !list.is_empty() {
                if responders.len() >= limits::CHAIN_CERTIFICATES {
                    return Err(Refusal::ChainTooLong {
                        limit: limits::CHAIN_CERTIFICATES,
                    });
                }
                responders.push(Certificate::parse(list.expect(Tag::Sequence)?.raw)?);
            }
        }
        outer.end()?;
        let scheme = spki::signature_scheme(WHAT, algorithm.raw)?;

        let mut fields = outer.inside(tbs)?;
        if fields.optional(context(0))?.is_some() {
            return Err(malformed(WHAT, "only version 1 is accepted"));
        }
        // responderID: byName or byKey. The signature decides who answered, not this.
        let responder = fields.next()?;
        if responder.tag != context(1) && responder.tag != context(2) {
            return Err(malformed(WHAT, "it names no responder"));
        }
        let produced = x509::date(WHAT, fields.next()?)?;
        let mut list = fields.sequence()?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            if singles.len() >= limits::OCSP_ANSWERS {
                return Err(Refusal::TooLarge {
                    what: WHAT,
                    limit: limits::OCSP_ANSWERS,
                });
            }
            singles.push(one(list.sequence()?)?);
        }
        let mut nonce = None;
        if let Some(explicit) = fields.optional(context(1))? {
            for extension in x509::extensions(WHAT, &fields, explicit)? {
                if extension.oid == NONCE {
                    nonce = Some(extension.value);
                } else if extension.critical {
                    return Err(unsupported("a critical extension"));
                }
            }
        }
        fields.end()?;
        Ok(Self {
            tbs: tbs.raw.to_vec(),
            produced,
            nonce,
            singles,
            responders,
            scheme,
            signature: spki::signature_value(WHAT, scheme, signature)?.to_vec(),
        })
    }

    /// When the answer was signed.
    #[must_use]
    pub const fn produced(&self) -> Timestamp {
        self.produced
    }

    /// The nonce extension's value, where there is one.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// All that it says.
    #[must_use]
    pub fn singles(&self) -> &[Single] {
        &self.singles
    }

    /// What it says of a certificate of this issuer (Name and SubjectPublicKeyInfo, DER); `None` where nothing.
    ///
    /// # Errors
    /// `evidence.malformed` for an issuer key that is none.
    pub fn about(
        &self,
        issuer: &[u8],
        issuer_spki: &[u8],
        serial: &[u8],
    ) -> Result<Option<&Single>, Refusal> {
        let key = spki::key_bits(WHAT, issuer_spki)?;
        Ok(self.singles.iter().find(|single| {
            single.serial == serial
                && hash(single.hash, issuer).is_some_and(|hash| hash == single.issuer_name)
                && hash(single.hash, key).is_some_and(|hash| hash == single.issuer_key)
        }))
    }

    /// Checks that the issuer answered, or somebody whom it named for that: a certificate signed by the issuer itself, for
    /// OCSP signing, in time (RFC 6960, 4.2.2.2).
    ///
    /// # Errors
    /// `revocation.signature`, `revocation.responder`.
    pub fn verify(
        &self,
        issuer: &[u8],
        issuer_key: &PublicKey,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<(), Refusal> {
        if self.is_signed_by(issuer_key, check).is_ok() {
            return Ok(());
        }
        let Some(responder) = self
            .responders
            .iter()
            .find(|responder| self.is_signed_by(responder.key(), check).is_ok())
        else {
            return Err(Refusal::RevocationSignature { what: WHAT });
        };
        let purposes = responder.extended_key_usage()?.unwrap_or_default();
        let named = responder.issuer() == issuer
            && responder.is_signed_by(issuer_key, check).is_ok()
            && purposes.contains(&KP_OCSP_SIGNING)
            && responder.not_before() <= now
            && now.as_secs() <= responder.not_after().as_secs();
        if named {
            Ok(())
        } else {
            Err(Refusal::RevocationResponder)
        }
    }

    fn is_signed_by(
        &self,
        key: &PublicKey,
        check: &dyn CheckSignature,
    ) -> Result<(), BadSignature> {
        spki::check(key, self.scheme, &self.tbs, &self.signature, check)
    }
}

fn one(mut fields: Walk<'_>) -> Result<Single, Refusal> {
    let mut id = fields.sequence()?;
    let mut algorithm = id.sequence()?;
    let hash = algorithm.oid()?;
    algorithm.optional(Tag::Null)?;
    algorithm.end()?;
    let issuer_name = id.expect(Tag::OctetString)?.value.to_vec();
    let issuer_key = id.expect(Tag::OctetString)?.value.to_vec();
    let serial = id.unsigned()?.to_vec();
    id.end()?;
    let status = fields.next()?;
    let status = if status.tag == context_primitive(0) {
        Status::Good
    } else if status.tag == context_primitive(2) {
        Status::Unknown
    } else if status.tag == context(1) {
        Status::Revoked(revoked(&fields, status)?)
    } else {
        return Err(malformed(WHAT, "it has no such status"));
    };
    let this_update = x509::date(WHAT, fields.next()?)?;
    let next_update = match fields.optional(context(0))? {
        None => None,
        Some(explicit) => {
            let mut inner = fields.inside(explicit)?;
            let date = x509::date(WHAT, inner.next()?)?;
            inner.end()?;
            Some(date)
        }
    };
    if let Some(explicit) = fields.optional(context(1))?
        && x509::extensions(WHAT, &fields, explicit)?
            .iter()
            .any(|extension| extension.critical)
    {
        return Err(unsupported("a critical extension"));
    }
    fields.end()?;
    Ok(Single {
        hash,
        issuer_name,
        issuer_key,
        serial,
        status,
        this_update,
        next_update,
    })
}

/// `SEQUENCE { revocationTime GeneralizedTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }`.
fn revoked(fields: &Walk<'_>, element: Element<'_>) -> Result<Reason, Refusal> {
    let mut info = fields.inside(element)?;
    x509::date(WHAT, info.next()?)?;
    let reason = info.optional(context(0))?;
    info.end()?;
    match reason {
        None => Ok(Reason::Revoked(0)),
        Some(explicit) => match single(WHAT, Tag::Enumerated, explicit.value)?.value {
            [number] => Reason::of(*number).ok_or_else(|| malformed(WHAT, "no such reason")),
            _ => Err(malformed(WHAT, "no such reason")),
        },
    }
}

/// A hash that only names an issuer here; the signature is what is believed. So SHA-1, which RFC 6960 has, may do.
fn hash(alg: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    let sha2 = |alg: HashAlg| Some(alg.hash(&[bytes]).bytes().to_vec());
    match alg {
        SHA1 => Some(sha1::Sha1::digest(bytes).to_vec()),
        SHA256 => sha2(HashAlg::Sha256),
        SHA384 => sha2(HashAlg::Sha384),
        SHA512 => sha2(HashAlg::Sha512),
        _ => None,
    }
}

fn unsupported(found: &str) -> Refusal {
    Refusal::Unsupported {
        what: WHAT,
        found: found.to_string(),
    }
}
