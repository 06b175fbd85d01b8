//! Signed manifests (draft-ietf-rats-corim-11, 4.2): COSE_Sign1, who signed, and for how long.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding as _};

use super::WHAT;
use super::model::*;
use super::read;
use super::scalar::{malformed, text, time, uri, validity};
use crate::chain::{Anchor, Chain, Order, TrustAnchors, Usage};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::cose::Sign1;
use crate::codec::x509::Certificate;
use crate::digest::sha256;
use crate::key::{CheckSignature, PublicKey};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Labels of the COSE header.
mod label {
    pub(super) const META: i64 = 8;
    pub(super) const CWT_CLAIMS: i64 = 15;
    pub(super) const X5CHAIN: i64 = 33;
    pub(super) const PAYLOAD_HASH_ALG: i64 = 258;
}

/// The content types of a manifest: draft 11's, and the one before it.
const CONTENT_TYPES: [&str; 2] = ["application/rim+cbor", "application/corim-unsigned+cbor"];

/// The corim-meta-map, or CWT claims that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The signer's name.
    pub signer: String,
    /// The signer's URI.
    pub uri: Option<String>,
    /// When the signature counts.
    pub validity: Option<Validity>,
}

/// A signed manifest whose signature nobody has checked.
#[derive(Clone, Debug)]
pub struct SignedCorim {
    message: Sign1,
    meta: Meta,
    chain: Vec<Vec<u8>>,
    corim: Corim,
    digest: [u8; 32],
}

/// Who may sign: pinned, never taken from the file.
#[derive(Clone, Debug)]
pub enum Signer {
    /// This key.
    Key(PublicKey),
    /// The key of this very certificate, while it is valid.
    Certificate(alloc::boxed::Box<Certificate>),
    /// Whoever has a chain to one of these roots; the chain comes with the message.
    Roots(TrustAnchors),
}

/// A manifest whose signer is a pinned one: a source of Reference Values.
#[derive(Clone, Debug)]
pub struct Trusted<'a> {
    /// The manifest.
    pub corim: &'a Corim,
    /// Who signed, as the message says under its signature.
    pub meta: &'a Meta,
    /// The pinned root that the signer's chain ends in.
    pub anchor: Option<String>,
    /// The earliest end of signature, manifest, tag lists and certificates: no verdict that rests on it is fresh beyond.
    pub ends: Timestamp,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
}

impl SignedCorim {
    pub(super) fn of_value(
        value: Value,
        file: &[u8],
        relaxed: BTreeSet<Relaxed>,
    ) -> Result<Self, Refusal> {
        let message = Sign1::from_value(value)?;
        if message.protected(label::PAYLOAD_HASH_ALG).is_some() {
            return Err(Refusal::Unsupported {
                what: "the corim payload",
                found: "hash envelope".into(),
            });
        }
        match message.content_type() {
            Some(found) if CONTENT_TYPES.contains(&found) => {}
            _ => return Err(malformed("its content type is not `application/rim+cbor`")),
        }
        let meta = meta(
            message.protected(label::META).cloned(),
            message.protected(label::CWT_CLAIMS).cloned(),
        )?;
        let protected = message.protected(label::X5CHAIN);
        let chain = chain(
            protected
                .or_else(|| message.unprotected(label::X5CHAIN))
                .cloned(),
        )?;
        let corim = read::payload(message.payload_unverified(), relaxed)?;
        Ok(Self {
            message,
            meta,
            chain,
            corim,
            digest: sha256(&[file]),
        })
    }

    /// What it says of its signer, believed by nobody yet.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The signer's certificates as they came with the message, leaf first; empty where none did.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// With certificates that came beside the message, leaf first.
    ///
    /// # Errors
    /// `chain.too_long`.
    pub fn with_chain(self, chain: Vec<Vec<u8>>) -> Result<Self, Refusal> {
        if chain.len() > limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        Ok(Self { chain, ..self })
    }

    /// The key id; empty where there is none.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        self.message.key_id()
    }

    /// The manifest, before anything is known of its signature.
    #[must_use]
    pub const fn corim_unverified(&self) -> &Corim {
        &self.corim
    }

    /// Checks signature, signer and times.
    ///
    /// # Errors
    /// `cose.*`, `chain.*`; `corim.signer` where no chain comes for a pinned root; `corim.expired`, `corim.not_yet_valid`.
    pub fn verify(
        &self,
        signer: &Signer,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<Trusted<'_>, Refusal> {
        let (anchor, chain_ends) = match signer {
            Signer::Key(key) => {
                self.message.verify(key, &[], check)?;
                (None, Timestamp::MAX)
            }
            Signer::Certificate(certificate) => {
                self.message.verify(certificate.key(), &[], check)?;
                in_time(
                    "the signer's certificate",
                    Some(certificate.not_before()),
                    certificate.not_after(),
                    now,
                )?;
                (None, certificate.not_after())
            }
            Signer::Roots(anchors) => {
                if self.chain.is_empty() {
                    return Err(Refusal::CorimSigner);
                }
                let certificates = self.chain.iter().map(Vec::as_slice);
                let chain = Chain::parse(certificates, Order::LeafFirst)?;
                let verified = chain.verify(anchors, Usage::Signer, now, check)?;
                self.message.verify(verified.leaf().key(), &[], check)?;
                (
                    Some(Anchor::name(verified.anchor()).into()),
                    verified.ends(),
                )
            }
        };
        let mut ends = chain_ends;
        for (what, validity) in self.validities() {
            in_time(what, validity.not_before, validity.not_after, now)?;
            ends = ends.min(validity.not_after);
        }
        Ok(Trusted {
            corim: &self.corim,
            meta: &self.meta,
            anchor,
            ends,
            digest: self.digest,
        })
    }

    fn validities(&self) -> impl Iterator<Item = (&'static str, Validity)> {
        let lists = self.corim.tags.iter().filter_map(|tag| match tag {
            Tag::Cotl(list) => Some(("a tag list", list.validity)),
            Tag::Comid(_) | Tag::Coswid(_) => None,
        });
        let signature = self.meta.validity.map(|v| ("the signature", v));
        let manifest = self.corim.validity.map(|v| ("the manifest", v));
        signature.into_iter().chain(manifest).chain(lists)
    }
}

fn in_time(
    what: &'static str,
    not_before: Option<Timestamp>,
    not_after: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    if not_before.is_some_and(|from| now < from) {
        return Err(Refusal::CorimNotYetValid { what });
    }
    // The second that is named still counts, all of it.
    if now.as_secs() > not_after.as_secs() {
        return Err(Refusal::CorimExpired { what });
    }
    Ok(())
}

/// corim-meta (8), CWT claims (15), or both saying the same.
fn meta(map: Option<Value>, claims: Option<Value>) -> Result<Meta, Refusal> {
    let map = map.map(of_map).transpose()?;
    let claims = claims.map(of_claims).transpose()?;
    match (map, claims) {
        (Some(map), Some(claims)) => {
            let same = map.signer == claims.signer
                && claims
                    .validity
                    .is_none_or(|stated| map.validity == Some(stated));
            if same {
                Ok(map)
            } else {
                Err(Refusal::CorimMeta)
            }
        }
        (Some(only), None) | (None, Some(only)) => Ok(only),
        (None, None) => Err(malformed("it does not name its signer")),
    }
}

fn of_map(value: Value) -> Result<Meta, Refusal> {
    let inner = cbor::bytes(WHAT, value, limits::CLAIMS_BYTES)?;
    let inner = cbor::decode(WHAT, &inner, limits::CLAIMS_BYTES, Form::WellFormed)?;
    // Drafts before 11 had no tag for a time; which one a signature used is no finding about its manifest.
    let mut relaxed = BTreeSet::new();
    let mut fields = Fields::new(WHAT, inner)?;
    let mut signer = Fields::new(WHAT, fields.required(0)?)?;
    let name = text(signer.required(0)?)?;
    let uri = signer.optional(1).map(uri).transpose()?;
    signer.finish()?;
    let validity = fields
        .optional(1)
        .map(|v| validity(v, &mut relaxed))
        .transpose()?;
    fields.finish()?;
    Ok(Meta {
        signer: name,
        uri,
        validity,
    })
}

fn of_claims(value: Value) -> Result<Meta, Refusal> {
    let mut relaxed = BTreeSet::new();
    let mut fields = Fields::new(WHAT, value)?;
    let signer = text(fields.required(1)?)?;
    let not_before = fields
        .optional(5)
        .map(|v| time(v, &mut relaxed))
        .transpose()?;
    let not_after = fields
        .optional(4)
        .map(|v| time(v, &mut relaxed))
        .transpose()?;
    let validity = match (not_before, not_after) {
        (None, None) => None,
        (not_before, not_after) => Some(Validity {
            not_before,
            not_after: not_after.unwrap_or(Timestamp::MAX),
        }),
    };
    Ok(Meta {
        signer,
        uri: None,
        validity,
    })
}

/// x5chain (RFC 9360, 2): one certificate, or a list of them, leaf first.
fn chain(value: Option<Value>) -> Result<Vec<Vec<u8>>, Refusal> {
    let one = |value| cbor::bytes(WHAT, value, limits::CERTIFICATE_BYTES);
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(many)) if many.len() > limits::CHAIN_CERTIFICATES => {
            Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            })
        }
        Some(Value::Array(many)) => many.into_iter().map(one).collect(),
        Some(single) => Ok(alloc::vec![one(single)?]),
    }
}

/// SHA-256 over a certificate as NVIDIA's manifests name it: the text of its PEM file, 64 columns, each line ended by LF.
#[must_use]
pub fn pem_thumbprint(der: &[u8]) -> [u8; 32] {
    let body = Base64::encode_string(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    sha256(&[text.as_bytes()])
}
