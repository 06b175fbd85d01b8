//! The whole evidence message: a RATS CMW collection (RFC 9999) in a COSE_Sign1 (RFC 9052) by the request key.
//!
//! The collection is a map of label to `[media type, bytes]` in the fixed order of [`Label`]; `claims` comes first.

use crate::claims::StatedClaims;
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::cose::Sign1;
use crate::hpke::HpkeKey;
use crate::limits;
use crate::refusal::Refusal;
use crate::session::Label;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Content type of the COSE payload.
pub const CONTENT_TYPE: &str = "application/cmw+cbor";
/// Media type of the `claims` member: an unprotected EAT claims-set (RFC 9782); the envelope protects it.
pub const CLAIMS_MEDIA_TYPE: &str = "application/eat-ucs+cbor";
/// The EAT profile of our claims.
pub const PROFILE: &str = "tag:assay,2026:evidence#1";

/// Labels of EAT claims (RFC 9711) and our own, from the private range of CWT claims (RFC 8392, 9.1).
pub mod claim {
    /// eat_nonce: the session, 32 bytes.
    pub const NONCE: i64 = 10;
    /// ueid.
    pub const UEID: i64 = 256;
    /// hwmodel: bytes, UTF-8 here.
    pub const HWMODEL: i64 = 259;
    /// uptime, seconds.
    pub const UPTIME: i64 = 261;
    /// eat_profile.
    pub const PROFILE: i64 = 265;
    /// bootcount.
    pub const BOOTCOUNT: i64 = 267;
    /// swversion: `[text]`.
    pub const SWVERSION: i64 = 271;
    /// Serial number of the machine, text.
    pub const SERIAL: i64 = -75001;
    /// HPKE suite and public key, bytes.
    pub const HPKE: i64 = -75002;
    /// Raw JWK thumbprint of the request key, 32 bytes.
    pub const REQUEST_KEY: i64 = -75003;
    /// Ed25519 key of the channel to hosts, 32 bytes.
    pub const CHANNEL_KEY: i64 = -75004;
    /// Host name, text.
    pub const HOSTNAME: i64 = -75005;
}

/// A wrapped member: where it stands, what it is, its bytes as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Its label.
    pub label: Label,
    /// Its media type.
    pub media_type: String,
    /// Its bytes: what the binding covers.
    pub value: Vec<u8>,
}

/// The parsed envelope: signed by nobody yet.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The message, for its signature.
    pub message: Sign1,
    /// The members in their order; the first is `claims`.
    pub members: Vec<Wrapped>,
}

impl Envelope {
    /// Parses the message.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let message = Sign1::parse_strict(bytes)?;
        if message.content_type() != Some(CONTENT_TYPE) {
            let found = message
                .content_type()
                .unwrap_or("none")
                .chars()
                .take(64)
                .collect();
            return Err(Refusal::Unsupported {
                what: "the content type",
                found,
            });
        }
        let members = parse_collection(message.payload_unverified())?;
        Ok(Self { message, members })
    }
}

fn parse_collection(bytes: &[u8]) -> Result<Vec<Wrapped>, Refusal> {
    const WHAT: &str = "the collection";
    let value = cbor::decode(WHAT, bytes, limits::EVIDENCE_BYTES, Form::Preferred)?;
    let Value::Map(entries) = value else {
        return Err(Refusal::Malformed {
            what: WHAT,
            why: "it is not a map".to_string(),
        });
    };
    if entries.len() > limits::MEMBERS {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::MEMBERS,
        });
    }
    let mut members: Vec<Wrapped> = Vec::new();
    for (key, record) in entries {
        let label: Label = cbor::text(WHAT, key, limits::TEXT_BYTES)?.parse()?;
        if let Some(last) = members.last().filter(|last| last.label >= label) {
            let (label, after) = (label.to_string(), last.label.to_string());
            return Err(Refusal::MemberOrder { label, after });
        }
        let parts = record
            .into_array()
            .ok()
            .and_then(|parts| <[Value; 2]>::try_from(parts).ok());
        let Some([media_type, value]) = parts else {
            return Err(Refusal::Malformed {
                what: WHAT,
                why: format!("`{label}` is no pair of type and bytes"),
            });
        };
        members.push(Wrapped {
            label,
            media_type: cbor::text(WHAT, media_type, limits::TEXT_BYTES)?,
            value: cbor::bytes(WHAT, value, limits::EVIDENCE_BYTES)?,
        });
    }
    match members.first() {
        Some(first) if first.label == Label::Claims && first.media_type == CLAIMS_MEDIA_TYPE => {
            Ok(members)
        }
        Some(first) if first.label == Label::Claims => Err(Refusal::KindUnknown {
            label: first.label.to_string(),
            kind: first.media_type.clone(),
        }),
        Some(_) | None => Err(Refusal::RequiredMissing {
            label: Label::Claims.to_string(),
        }),
    }
}

/// Writes a collection of members that are in order.
#[must_use]
pub fn write_collection(members: &[Wrapped]) -> Vec<u8> {
    let entries = members.iter().map(|member| {
        let record = [
            Value::Text(member.media_type.clone()),
            Value::Bytes(member.value.clone()),
        ];
        (
            Value::Text(member.label.to_string()),
            Value::Array(record.to_vec()),
        )
    });
    cbor::write(&Value::Map(entries.collect()))
}

/// Parses the `claims` member.
///
/// # Errors
/// What the shape offends against; [`Refusal::ClaimsIdentity`].
pub fn parse_claims(value: &[u8]) -> Result<StatedClaims, Refusal> {
    const WHAT: &str = "the claims";
    let map = cbor::decode(WHAT, value, limits::CLAIMS_BYTES, Form::Deterministic)?;
    let mut fields = Fields::new(WHAT, map)?;
    let profile = fields.text(claim::PROFILE, limits::TEXT_BYTES)?;
    if profile != PROFILE {
        return Err(Refusal::Unsupported {
            what: "the eat profile",
            found: profile,
        });
    }
    let ueid = match fields.optional(claim::UEID) {
        None => None,
        Some(ueid) => Some(cbor::bytes(WHAT, ueid, 33)?),
    };
    if ueid.as_ref().is_some_and(|ueid| ueid.len() < 7) {
        return Err(Refusal::Malformed {
            what: WHAT,
            why: "the ueid is under 7 bytes".to_string(),
        });
    }
    let serial = match fields.optional(claim::SERIAL) {
        None => None,
        Some(serial) => Some(cbor::text(WHAT, serial, limits::TEXT_BYTES)?),
    };
    if ueid.is_none() && serial.is_none() {
        return Err(Refusal::ClaimsIdentity);
    }
    let boot_count = match fields.optional(claim::BOOTCOUNT) {
        None => None,
        Some(count) => Some(cbor::unsigned(WHAT, &count)?),
    };
    let stated = StatedClaims {
        session: fields.bytes32(claim::NONCE)?,
        ueid,
        serial,
        hpke: HpkeKey::parse(&fields.bytes(claim::HPKE, 256)?)?,
        request_key_thumbprint: fields.bytes32(claim::REQUEST_KEY)?,
        channel_key: fields.bytes32(claim::CHANNEL_KEY)?,
        agent_version: version(fields.required(claim::SWVERSION)?)?,
        boot_count,
        uptime: fields.unsigned(claim::UPTIME)?,
        hostname: fields.text(claim::HOSTNAME, limits::TEXT_BYTES)?,
        hwmodel: model(fields.bytes(claim::HWMODEL, limits::TEXT_BYTES)?)?,
    };
    fields.finish()?;
    Ok(stated)
}

/// Writes the `claims` member.
#[must_use]
pub fn write_claims(stated: &StatedClaims) -> Vec<u8> {
    let mut entries = alloc::vec![
        (claim::NONCE, Value::Bytes(stated.session.to_vec())),
        (claim::PROFILE, Value::Text(PROFILE.to_string())),
        (claim::HPKE, Value::Bytes(stated.hpke.to_bytes())),
        (
            claim::REQUEST_KEY,
            Value::Bytes(stated.request_key_thumbprint.to_vec())
        ),
        (
            claim::CHANNEL_KEY,
            Value::Bytes(stated.channel_key.to_vec())
        ),
        (
            claim::SWVERSION,
            Value::Array(alloc::vec![Value::Text(stated.agent_version.clone())])
        ),
        (claim::UPTIME, Value::Integer(stated.uptime.into())),
        (claim::HOSTNAME, Value::Text(stated.hostname.clone())),
        (
            claim::HWMODEL,
            Value::Bytes(stated.hwmodel.as_bytes().to_vec())
        ),
    ];
    entries.extend(
        stated
            .ueid
            .clone()
            .map(|ueid| (claim::UEID, Value::Bytes(ueid))),
    );
    entries.extend(
        stated
            .serial
            .clone()
            .map(|serial| (claim::SERIAL, Value::Text(serial))),
    );
    entries.extend(
        stated
            .boot_count
            .map(|count| (claim::BOOTCOUNT, Value::Integer(count.into()))),
    );
    let entries = entries
        .into_iter()
        .map(|(key, value)| (Value::Integer(key.into()), value));
    cbor::encode(Value::Map(entries.collect()))
}

fn version(value: Value) -> Result<String, Refusal> {
    let parts = value
        .into_array()
        .ok()
        .and_then(|parts| <[Value; 1]>::try_from(parts).ok());
    let Some([text]) = parts else {
        return Err(Refusal::Malformed {
            what: "the claims",
            why: "swversion is no array of one text".to_string(),
        });
    };
    cbor::text("the claims", text, limits::TEXT_BYTES)
}

fn model(bytes: Vec<u8>) -> Result<String, Refusal> {
    let text = String::from_utf8(bytes).map_err(|_other| Refusal::Malformed {
        what: "the claims",
        why: "hwmodel is not utf-8".to_string(),
    })?;
    cbor::text("the claims", Value::Text(text), limits::TEXT_BYTES)
}
