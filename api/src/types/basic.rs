//! What every answer is made of.

use assay_attest::time::Timestamp;
use base64ct::{Base64UrlUnpadded, Encoding};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroizing;

/// Nothing to say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// An instant, written as RFC 3339 in UTC with milliseconds: `2026-11-22T21:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let t: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("`{text}` is not a time: write it as 2026-11-22T21:00:00Z"))?;
        u64::try_from(t.as_millisecond())
            .map(|ms| Self(Timestamp::from_millis(ms)))
            .map_err(|_| format!("`{text}` lies before 1970"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Bytes that anyone may see, written as base64url without padding (RFC 4648, section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct B64(pub Vec<u8>);

impl Serialize for B64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for B64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        Base64UrlUnpadded::decode_vec(&text)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("expected base64url without padding"))
    }
}

impl JsonSchema for B64 {
    fn schema_name() -> Cow<'static, str> {
        "B64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64url", "pattern": "^[A-Za-z0-9_-]*$" })
    }
}

/// Bytes that nobody may see: wiped on drop, hidden from Debug. On the wire as [`B64`].
#[derive(Clone, Default)]
pub struct SecretB64(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for SecretB64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretB64(..)")
    }
}

impl Serialize for SecretB64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&Zeroizing::new(Base64UrlUnpadded::encode_string(&self.0)))
    }
}

impl<'de> Deserialize<'de> for SecretB64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Borrowed where the parser allows it, so that no copy is left behind; an owned copy is wiped here.
        let text = match Cow::<'de, str>::deserialize(d)? {
            Cow::Borrowed(t) => return Self::decode(t).map_err(serde::de::Error::custom),
            Cow::Owned(t) => Zeroizing::new(t),
        };
        Self::decode(&text).map_err(serde::de::Error::custom)
    }
}

impl SecretB64 {
    fn decode(text: &str) -> Result<Self, &'static str> {
        Base64UrlUnpadded::decode_vec(text)
            .map(|v| Self(Zeroizing::new(v)))
            .map_err(|_| "expected base64url without padding")
    }
}

impl JsonSchema for SecretB64 {
    fn schema_name() -> Cow<'static, str> {
        "SecretB64".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        B64::json_schema(g)
    }
}

/// A one-time token as text (`assay1.invite...`): wiped on drop, hidden from Debug, shown to its receiver once.
#[derive(Clone)]
pub struct TokenText(pub Zeroizing<String>);

impl Serialize for TokenText {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|t| Self(Zeroizing::new(t)))
    }
}

impl JsonSchema for TokenText {
    fn schema_name() -> Cow<'static, str> {
        "TokenText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// Plain text (Prometheus exposition format).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Text(pub String);

/// A JSON document of its own shape.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Document(pub serde_json::Value);

/// A page of a list within a tenant: the caller's own, unless a super:admin names one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InTenant {
    /// Tenant id or name; absent means every tenant that the caller may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The `next` of the page before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many rows, 1 to 500; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Why somebody does something, for the audit log: 1 to 512 characters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The reason in words.
    pub reason: String,
}

/// `health`'s answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// `ready`'s answer; with status 503 where anything is not ready.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// `ready` or `not_ready`.
    pub status: String,
    /// What is wrong, by code; empty when ready.
    pub faults: Vec<String>,
    /// Version of the nexus.
    pub version: String,
}

/// Public keys of the nexus. Believe them only over a pinned connection.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Trust {
    /// SHA-256 of the SubjectPublicKeyInfo of the TLS root in use (32 bytes): the nexus id.
    pub root: B64,
    /// The same of the root that comes next, once announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_root: Option<B64>,
    /// Name of the audit log as its checkpoints state it.
    pub log_origin: String,
    /// Ed25519 key of the audit log (32 bytes).
    pub log_key: B64,
    /// Ed25519 key that signs Attestation Results (32 bytes).
    pub result_key: B64,
    /// Ed25519 key that signs manifests and pairings (32 bytes).
    pub delivery_key: B64,
    /// The delivery key that comes next, once announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_delivery_key: Option<B64>,
}
