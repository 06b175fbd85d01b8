//! Public keys as JWK (RFC 7517, RFC 8037) and their thumbprints (RFC 7638).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use assay_attest::key::{CheckSignature, PublicKey, Scheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{JoseFault, Json, decode, encode};

/// A public Ed25519 or P-256 key. Its lengths are right; whether a point lies on its curve is found out by the first
/// signature, and no key is accepted anywhere without one.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Jwk(PublicKey);

/// The algorithms of the signatures that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alg {
    /// Ed25519: `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864) in headers.
    Ed25519,
    /// ECDSA on P-256 with SHA-256: `ES256`; the signature is r and s, 64 bytes.
    Es256,
}

impl Alg {
    /// Reads a header's `alg`.
    ///
    /// # Errors
    /// [`JoseFault::Algorithm`] for anything but the accepted names, `none` and all symmetric ones among them.
    pub fn parse(name: &str) -> Result<Self, JoseFault> {
        match name {
            "EdDSA" | "Ed25519" => Ok(Self::Ed25519),
            "ES256" => Ok(Self::Es256),
            _ => Err(JoseFault::Algorithm),
        }
    }

    /// The name that we write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

impl Jwk {
    /// An Ed25519 key.
    #[must_use]
    pub const fn ed25519(key: [u8; 32]) -> Self {
        Self(PublicKey::Ed25519(key))
    }

    /// A P-256 key: the uncompressed point, first byte 0x04.
    ///
    /// # Errors
    /// [`JoseFault::Key`] for another first byte.
    pub fn p256(point: &[u8; 65]) -> Result<Self, JoseFault> {
        if point.first() == Some(&4) {
            Ok(Self(PublicKey::P256(Box::new(*point))))
        } else {
            Err(JoseFault::Key)
        }
    }

    /// The key, for whoever checks signatures.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.0
    }

    /// The one algorithm that signatures of this key have.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        match self.0 {
            PublicKey::Ed25519(_) => Alg::Ed25519,
            PublicKey::P256(_)
            | PublicKey::P384(_)
            | PublicKey::P521(_)
            | PublicKey::Rsa { .. } => Alg::Es256,
        }
    }

    /// Reads the members of a JWK. Members that are not needed are passed over, private ones refused.
    ///
    /// # Errors
    /// [`JoseFault::Key`], [`JoseFault::PrivateKey`], [`JoseFault::Base64`].
    pub fn from_members(members: &BTreeMap<String, Json>) -> Result<Self, JoseFault> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
            .iter()
            .any(|m| members.contains_key(*m))
        {
            return Err(JoseFault::PrivateKey);
        }
        let text = |name| {
            members
                .get(name)
                .and_then(Json::as_text)
                .ok_or(JoseFault::Key)
        };
        Self::from_parts(
            text("kty")?,
            text("crv")?,
            text("x")?,
            members.get("y").map(|_| text("y")).transpose()?,
        )
    }

    fn from_parts(kty: &str, crv: &str, x: &str, y: Option<&str>) -> Result<Self, JoseFault> {
        let field = |text: &str| <[u8; 32]>::try_from(decode(text)?).map_err(|_| JoseFault::Key);
        match (kty, crv, y) {
            ("OKP", "Ed25519", None) => Ok(Self::ed25519(field(x)?)),
            ("EC", "P-256", Some(y)) => {
                let mut point = [4; 65];
                let (_, rest) = point.split_at_mut(1);
                rest.copy_from_slice([field(x)?, field(y)?].as_flattened());
                Self::p256(&point)
            }
            _ => Err(JoseFault::Key),
        }
    }

    /// The thumbprint, computed from the decoded key, so that one key has one.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint(Sha256::digest(self.canonical()).into())
    }

    /// The JSON that RFC 7638 hashes: the required members, sorted, without white space.
    fn canonical(&self) -> String {
        let Wire { kty, crv, x, y } = Wire::from(self.clone());
        let y = y.map(|y| format!(r#","y":"{y}""#)).unwrap_or_default();
        format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"{y}}}"#)
    }

    /// Checks a signature of this key, 64 bytes, by this key's one algorithm.
    ///
    /// # Errors
    /// [`JoseFault::Signature`].
    pub fn check(
        &self,
        checks: &dyn CheckSignature,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), JoseFault> {
        let scheme = match self.alg() {
            Alg::Ed25519 => Scheme::Ed25519,
            Alg::Es256 => Scheme::EcdsaSha256,
        };
        checks
            .check(&self.0, scheme, message, signature)
            .map_err(|_| JoseFault::Signature)
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({} {})", self.alg().name(), self.thumbprint())
    }
}

/// How a key is written.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "Jwk")]
pub(crate) struct Wire {
    /// `OKP` or `EC`.
    kty: String,
    /// `Ed25519` or `P-256`.
    crv: String,
    /// 32 bytes in base64url.
    x: String,
    /// 32 bytes in base64url, for P-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl TryFrom<Wire> for Jwk {
    type Error = JoseFault;

    fn try_from(wire: Wire) -> Result<Self, JoseFault> {
        Self::from_parts(&wire.kty, &wire.crv, &wire.x, wire.y.as_deref())
    }
}

impl From<Jwk> for Wire {
    fn from(jwk: Jwk) -> Self {
        let wire = |kty: &str, crv: &str, x, y| Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x,
            y,
        };
        match jwk.0 {
            PublicKey::Ed25519(x) => wire("OKP", "Ed25519", encode(&x), None),
            // INVARIANT: no constructor takes another kind.
            PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => {
                wire("", "", String::new(), None)
            }
            PublicKey::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                wire("EC", "P-256", encode(x), Some(encode(y)))
            }
        }
    }
}

impl schemars::JsonSchema for Jwk {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Wire::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Wire::json_schema(generator)
    }
}

/// The SHA-256 thumbprint of a key (RFC 7638); written in base64url, 43 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = JoseFault;

    fn from_str(text: &str) -> Result<Self, JoseFault> {
        decode(text)?
            .try_into()
            .map(Self)
            .map_err(|_| JoseFault::Base64)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = JoseFault;

    fn try_from(text: String) -> Result<Self, JoseFault> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

impl schemars::JsonSchema for Thumbprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Thumbprint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{43}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const RFC8037: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const RFC9449: &str = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;

    fn read(text: &str) -> Result<Jwk, JoseFault> {
        Jwk::from_members(&Json::parse(text.as_bytes())?.into_map()?)
    }

    #[test]
    fn the_thumbprints_of_the_rfcs() {
        let ed = read(RFC8037).unwrap().thumbprint();
        assert_eq!(
            ed.to_string(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let ec = read(RFC9449).unwrap().thumbprint();
        assert_eq!(
            ec.to_string(),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
        assert_eq!(ec.to_string().parse(), Ok(ec));
    }

    #[test]
    fn a_key_goes_through_json_and_back() {
        for text in [RFC8037, RFC9449] {
            let key: Jwk = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_str::<Jwk>(&serde_json::to_string(&key).unwrap()).unwrap(),
                key
            );
            assert_eq!(read(text).unwrap(), key);
        }
    }

    #[test]
    fn other_keys_are_refused() {
        for (bad, fault) in [
            (RFC8037.replace("OKP", "EC"), JoseFault::Key),
            (RFC8037.replace("Ed25519", "X25519"), JoseFault::Key),
            (
                RFC8037.replace("URo\"", "URo\",\"y\":\"AA\""),
                JoseFault::Key,
            ),
            (RFC8037.replace("URo\"", "URoA\""), JoseFault::Key),
            (RFC8037.replace("URo\"", "URp\""), JoseFault::Base64),
            (RFC8037.replace("URo\"", "URo=\""), JoseFault::Base64),
            (
                RFC8037.replace("URo\"", "URo\",\"d\":\"AA\""),
                JoseFault::PrivateKey,
            ),
            (
                RFC9449.replace(",\"y\":\"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA\"", ""),
                JoseFault::Key,
            ),
            (RFC9449.replace("P-256", "P-384"), JoseFault::Key),
            (
                r#"{"kty":"oct","k":"AA"}"#.to_owned(),
                JoseFault::PrivateKey,
            ),
            (
                r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#.to_owned(),
                JoseFault::Key,
            ),
            (r#"{"kty":1}"#.to_owned(), JoseFault::Key),
        ] {
            assert_eq!(read(&bad), Err(fault), "{bad}");
        }
        for alg in ["none", "HS256", "RS256", "ES384", "eddsa", "EdDSA ", ""] {
            assert_eq!(Alg::parse(alg), Err(JoseFault::Algorithm), "{alg}");
        }
    }
}
