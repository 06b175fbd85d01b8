//! COSE signatures of others (RFC 9052, 4): COSE_Sign1 and COSE_Sign with its several signers, attached or detached, with external data.
//!
//! [`super::cose`] is for messages of our own and takes one form only; this takes what the standard allows. Both check over the bytes as received,
//! and for both the key decides which algorithms may be named.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::cbor::{self, Form, Value};
use super::der::malformed;
use crate::key::{CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the cose message";
const SIGN1: u64 = 18;
const SIGN: u64 = 98;

/// Header parameters (RFC 9052, 3.1; RFC 9360, 2).
pub mod header {
    /// alg.
    pub const ALG: i64 = 1;
    /// crit.
    pub const CRIT: i64 = 2;
    /// content type.
    pub const CONTENT_TYPE: i64 = 3;
    /// kid.
    pub const KID: i64 = 4;
    /// CWT Claims (RFC 9597).
    pub const CWT_CLAIMS: i64 = 15;
    /// x5bag: certificates in no order.
    pub const X5BAG: i64 = 32;
    /// x5chain: certificates, leaf first.
    pub const X5CHAIN: i64 = 33;
    /// x5t: a certificate's digest.
    pub const X5T: i64 = 34;
    /// x5u: where certificates can be had; never followed.
    pub const X5U: i64 = 35;
    /// Those that may be named as critical: what they mean is heeded here.
    pub(super) const UNDERSTOOD: [i64; 6] = [ALG, CRIT, CONTENT_TYPE, KID, X5BAG, X5CHAIN];
}

/// A message that nobody has verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    tag: Option<u64>,
    single: bool,
    body: Headers,
    payload: Option<Vec<u8>>,
    signatures: Vec<Signature>,
}

/// One signature with its own headers; in a COSE_Sign1 those of the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    headers: Headers,
    bytes: Vec<u8>,
}

/// Both buckets of headers, the protected one as received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    received: Vec<u8>,
    protected: Vec<(Value, Value)>,
    unprotected: Vec<(Value, Value)>,
}

impl Message {
    /// Parses a message: tagged with 18 or 98, or not tagged, any well-formed CBOR; a tag for a CWT (61) or for CBOR itself
    /// (55799) may stand around it.
    ///
    /// # Errors
    /// The shape's refusals; `evidence.unsupported` for a critical header parameter that is not understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut value = cbor::decode(WHAT, bytes, limits::EVIDENCE_BYTES, Form::WellFormed)?;
        let mut tag = None;
        while let Value::Tag(number, inner) = value {
            match (number, tag) {
                (55799 | 61, None) => {}
                (SIGN1 | SIGN, None) => tag = Some(number),
                _ => {
                    return Err(Refusal::Unsupported {
                        what: "the cbor tag",
                        found: number.to_string(),
                    });
                }
            }
            value = *inner;
        }
        let parts = value
            .into_array()
            .ok()
            .and_then(|parts| <[Value; 4]>::try_from(parts).ok());
        let Some([protected, unprotected, payload, last]) = parts else {
            return Err(malformed(WHAT, "it is no array of four"));
        };
        let body = Headers::parse(protected, unprotected)?;
        let payload = match payload {
            Value::Bytes(payload) => Some(payload),
            Value::Null => None,
            _ => return Err(malformed(WHAT, "the payload is neither bytes nor null")),
        };
        let (single, signatures) = match (last, tag) {
            (Value::Bytes(bytes), None | Some(SIGN1)) => (
                true,
                alloc::vec![Signature {
                    headers: body.clone(),
                    bytes,
                }],
            ),
            (Value::Array(all), None | Some(SIGN)) => (false, signatures(all)?),
            _ => return Err(malformed(WHAT, "it is not of the kind that its tag says")),
        };
        Ok(Self {
            tag,
            single,
            body,
            payload,
            signatures,
        })
    }

    /// The tag that was there: 18, 98 or none.
    #[must_use]
    pub const fn tag(&self) -> Option<u64> {
        self.tag
    }

    /// COSE_Sign1, not COSE_Sign.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.single
    }

    /// The headers of the message itself.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.body
    }

    /// Its signatures: one for a COSE_Sign1.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The payload, signed or not; `None` where it is detached.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// Shows that `key` made `signature`, one of this message's, over it and `aad`. `detached` is the payload of a message that has none.
    ///
    /// # Errors
    /// `cose.algorithm` where the algorithm that is named is none of the key's, `cose.signature`; `evidence.unsupported` where there is no payload.
    pub fn verify(
        &self,
        signature: &Signature,
        key: &PublicKey,
        aad: &[u8],
        detached: Option<&[u8]>,
        check: &dyn CheckSignature,
    ) -> Result<(), Refusal> {
        let payload = match (&self.payload, detached) {
            (Some(payload), None) => payload.as_slice(),
            (None, Some(payload)) => payload,
            (None, None) => {
                return Err(Refusal::Unsupported {
                    what: "the cose payload",
                    found: "detached".to_string(),
                });
            }
            (Some(_), Some(_)) => {
                return Err(malformed(
                    WHAT,
                    "it has a payload of its own, and another was given",
                ));
            }
        };
        let scheme = scheme(key, signature.headers.get(header::ALG))?;
        // RFC 9052, 4.4: Sig_structure; an empty protected map counts as an empty string.
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let mut parts = alloc::vec![
            Value::Text(
                if self.single {
                    "Signature1"
                } else {
                    "Signature"
                }
                .to_string()
            ),
            bytes(self.body.signed()),
        ];
        if !self.single {
            parts.push(bytes(signature.headers.signed()));
        }
        parts.push(bytes(aad));
        parts.push(bytes(payload));
        let signed = cbor::write(&Value::Array(parts));
        check
            .check(key, scheme, &signed, &signature.bytes)
            .map_err(|_bad| Refusal::CoseSignature)
    }
}

impl Signature {
    /// Its headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }
}

impl Headers {
    fn parse(protected: Value, unprotected: Value) -> Result<Self, Refusal> {
        let Value::Bytes(received) = protected else {
            return Err(malformed(WHAT, "protected headers are no byte string"));
        };
        let protected = if received.is_empty() {
            Vec::new()
        } else {
            map(cbor::decode(
                WHAT,
                &received,
                limits::HEADER_BYTES,
                Form::WellFormed,
            )?)?
        };
        let headers = Self {
            received,
            protected,
            unprotected: map(unprotected)?,
        };
        let is_twice = headers
            .unprotected
            .iter()
            .any(|(label, _)| find(&headers.protected, label).is_some());
        if is_twice {
            return Err(Refusal::DuplicateKey { what: WHAT });
        }
        headers.critical()?;
        Ok(headers)
    }

    /// RFC 9052, 3.1: what is critical is protected, there, and understood.
    fn critical(&self) -> Result<(), Refusal> {
        let label = Value::from(header::CRIT);
        if find(&self.unprotected, &label).is_some() {
            return Err(malformed(
                WHAT,
                "the list of critical headers is not protected",
            ));
        }
        let Some(list) = find(&self.protected, &label) else {
            return Ok(());
        };
        let Value::Array(labels) = list else {
            return Err(malformed(WHAT, "the list of critical headers is no list"));
        };
        if labels.is_empty() {
            return Err(malformed(WHAT, "the list of critical headers is empty"));
        }
        for label in labels {
            let understood = header::UNDERSTOOD
                .into_iter()
                .any(|known| *label == Value::from(known));
            if !understood {
                return Err(Refusal::Unsupported {
                    what: "the critical header parameter",
                    found: label_text(label),
                });
            }
            if find(&self.protected, label).is_none() {
                return Err(malformed(WHAT, "a critical header is not there"));
            }
        }
        Ok(())
    }

    /// The protected bytes as they are signed.
    fn signed(&self) -> &[u8] {
        if self.received == [0xa0] {
            &[]
        } else {
            &self.received
        }
    }

    /// A parameter, from whichever bucket.
    #[must_use]
    pub fn get(&self, label: i64) -> Option<&Value> {
        let label = Value::from(label);
        find(&self.protected, &label).or_else(|| find(&self.unprotected, &label))
    }

    /// A parameter that is protected.
    #[must_use]
    pub fn protected(&self, label: i64) -> Option<&Value> {
        find(&self.protected, &Value::from(label))
    }

    /// The key id, where there is one.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        self.get(header::KID)?.as_bytes().map(Vec::as_slice)
    }

    /// The algorithm in words: `ES256`, or its number.
    #[must_use]
    pub fn algorithm(&self) -> Option<String> {
        self.get(header::ALG).map(algorithm_name)
    }

    /// Certificates of x5chain (leaf first) or x5bag (no order), as DER.
    ///
    /// # Errors
    /// `evidence.malformed` where they are neither bytes nor a list of bytes; `chain.too_long`.
    pub fn certificates(&self, label: i64) -> Result<Vec<Vec<u8>>, Refusal> {
        let list = match self.get(label) {
            None => return Ok(Vec::new()),
            Some(Value::Bytes(one)) => return Ok(alloc::vec![one.clone()]),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(malformed(WHAT, "certificates are no byte strings")),
        };
        if list.len() > limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        list.iter()
            .map(|one| {
                one.as_bytes()
                    .cloned()
                    .ok_or_else(|| malformed(WHAT, "certificates are no byte strings"))
            })
            .collect()
    }
}

fn signatures(all: Vec<Value>) -> Result<Vec<Signature>, Refusal> {
    if all.is_empty() {
        return Err(malformed(WHAT, "it has no signature"));
    }
    if all.len() > limits::COSE_SIGNERS {
        return Err(Refusal::TooLarge {
            what: "the list of signatures",
            limit: limits::COSE_SIGNERS,
        });
    }
    all.into_iter()
        .map(|one| {
            let parts = one
                .into_array()
                .ok()
                .and_then(|parts| <[Value; 3]>::try_from(parts).ok());
            match parts {
                Some([protected, unprotected, Value::Bytes(bytes)]) => Ok(Signature {
                    headers: Headers::parse(protected, unprotected)?,
                    bytes,
                }),
                _ => Err(malformed(WHAT, "a signature is no array of three")),
            }
        })
        .collect()
}

fn map(value: Value) -> Result<Vec<(Value, Value)>, Refusal> {
    let entries = value
        .into_map()
        .map_err(|_| malformed(WHAT, "headers are no map"))?;
    if entries
        .iter()
        .all(|(label, _)| label.is_integer() || label.is_text())
    {
        Ok(entries)
    } else {
        Err(malformed(
            WHAT,
            "a header's label is neither integer nor text",
        ))
    }
}

fn find<'a>(entries: &'a [(Value, Value)], label: &Value) -> Option<&'a Value> {
    entries.iter().find(|(l, _)| l == label).map(|(_, v)| v)
}

/// The scheme of a COSE algorithm (RFC 9053, RFC 8230, RFC 9864), where it is one of the key's.
fn scheme(key: &PublicKey, named: Option<&Value>) -> Result<Scheme, Refusal> {
    let refused = || Refusal::CoseAlgorithm {
        found: named.map_or("none".to_string(), algorithm_name),
    };
    let number = named
        .and_then(Value::as_integer)
        .map(i128::from)
        .ok_or_else(refused)?;
    match (key, number) {
        (PublicKey::Ed25519(_), -8 | -19) => Ok(Scheme::Ed25519),
        // RFC 9053, 2.1: these three name a hash and no curve. RFC 9864's name both.
        (PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_), -7) => {
            Ok(Scheme::EcdsaSha256)
        }
        (PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_), -35) => {
            Ok(Scheme::EcdsaSha384)
        }
        (PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_), -36) => {
            Ok(Scheme::EcdsaSha512)
        }
        (PublicKey::P256(_), -9) => Ok(Scheme::EcdsaSha256),
        (PublicKey::P384(_), -51) => Ok(Scheme::EcdsaSha384),
        (PublicKey::P521(_), -52) => Ok(Scheme::EcdsaSha512),
        (PublicKey::Rsa { .. }, -39) => Ok(Scheme::RsaPssSha512),
        (PublicKey::Rsa { .. }, -37) => Ok(Scheme::RsaPssSha256),
        (PublicKey::Rsa { .. }, -38) => Ok(Scheme::RsaPssSha384),
        _ => Err(refused()),
    }
}

fn algorithm_name(alg: &Value) -> String {
    let number = alg.as_integer().map(i128::from);
    let name = match number {
        Some(-7) => "ES256",
        Some(-9) => "ESP256",
        Some(-35) => "ES384",
        Some(-51) => "ESP384",
        Some(-36) => "ES512",
        Some(-52) => "ESP512",
        Some(-8) => "EdDSA",
        Some(-19) => "Ed25519",
        Some(-37) => "PS256",
        Some(-38) => "PS384",
        Some(-39) => "PS512",
        _ => return label_text(alg),
    };
    name.to_string()
}

fn label_text(label: &Value) -> String {
    match label {
        Value::Text(text) => text.chars().take(32).collect(),
        Value::Integer(number) => format!("{}", i128::from(*number)),
        _ => "of another type".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(hex).unwrap()
    }

    #[test]
    fn only_messages_of_the_two_kinds_are_parsed() {
        for good in [
            "d28440a0f640",
            "8440a0f640",
            "8441a0a0414140",
            "d8628440a0f6818340a040",
            "8440a0f6818340a040",
            "d83dd28440a0f640",
        ] {
            assert!(Message::parse(&bytes(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a0",
            "d8628440a0f640",
            "d28440a0f6818340a040",
            "d18440a0f640",
            "d2d28440a0f640",
            "8440a0f680",
            "8340a0f6",
            "84f6a0f640",
            "844180a0f640",
            "8440a00140",
            "8440a0f6818240a0",
            // A label in both buckets.
            "8443a10126a10126f640",
            // crit: unprotected, empty, unknown, absent.
            "8440a1028101f640",
            "8443a10280a0f640",
            "8444a1028107a0f640",
            "8444a1028101a0f640",
        ] {
            assert!(Message::parse(&bytes(bad)).is_err(), "{bad}");
        }
        assert!(Message::parse(&bytes("8446a20281010126a0f640")).is_ok());
    }

    #[test]
    fn the_key_decides_which_algorithms_may_be_named() {
        let p256 = PublicKey::P256(alloc::boxed::Box::new([4; 65]));
        let rsa = PublicKey::Rsa {
            modulus: alloc::vec![0x80; 256],
            exponent: alloc::vec![3],
        };
        let named = |number: i64| Value::from(number);
        assert_eq!(scheme(&p256, Some(&named(-7))), Ok(Scheme::EcdsaSha256));
        assert_eq!(scheme(&p256, Some(&named(-36))), Ok(Scheme::EcdsaSha512));
        assert_eq!(scheme(&rsa, Some(&named(-37))), Ok(Scheme::RsaPssSha256));
        // RS256 and HMAC, another key's, another curve's, none at all, text.
        for alg in [Some(-257), Some(5), Some(-51), Some(-8), Some(-999), None] {
            let alg = alg.map(named);
            assert!(scheme(&p256, alg.as_ref()).is_err(), "{alg:?}");
        }
        assert!(scheme(&rsa, Some(&named(-257))).is_err());
        assert!(scheme(&p256, Some(&Value::Text("ES256".to_string()))).is_err());
    }
}
