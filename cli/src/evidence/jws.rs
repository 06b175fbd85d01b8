//! JSON Web Signatures in compact form (RFC 7515), as tokens carry them. The key comes from the caller and decides the algorithm; keys and
//! addresses of keys in the header are a refusal, for whoever heeds them lets the message choose who signed it.

use assay_api::jose;
use assay_attest::key::{CheckSignature, PublicKey, Scheme};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Rejection;

/// Longest token, bytes.
const LIMIT: usize = 1024 * 1024;
/// Headers that name a key or where to get one (RFC 7515, 4.1).
const KEY_HEADERS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// A token that nobody has verified.
#[derive(Debug)]
pub(crate) struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Token {
    /// Three parts of base64url without padding, the first two JSON objects without a name twice.
    ///
    /// # Errors
    /// `token.malformed`.
    pub(crate) fn parse(text: &str) -> Result<Self, Rejection> {
        let text = text.trim();
        if text.len() > LIMIT {
            return Err(malformed("it is longer than 1 MiB"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has not three parts"));
        };
        let bytes = |part: &str| {
            jose::decode(part).map_err(|_| malformed("a part is not base64url without padding"))
        };
        Ok(Self {
            header: json_object(&bytes(header)?)?,
            claims: json_object(&bytes(claims)?)?,
            signed: format!("{header}.{claims}").into_bytes(),
            signature: bytes(signature)?,
        })
    }

    /// What it claims.
    #[must_use]
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `alg`, as the header has it.
    #[must_use]
    pub(crate) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    /// `kid`.
    #[must_use]
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// Shows that one of `keys` signed it: the one of its `kid` where both name one, else any.
    ///
    /// # Errors
    /// `token.header`, `token.algorithm`, `token.key_unknown`, `token.signature`.
    pub(crate) fn verify(
        &self,
        keys: &[(Vec<u8>, PublicKey)],
        check: &dyn CheckSignature,
    ) -> Result<(), Rejection> {
        // `none` is no algorithm of any key: it is refused by name, before anything else, for clarity alone.
        let alg = self.algorithm().unwrap_or("none");
        for name in KEY_HEADERS {
            if self.header.contains_key(name) {
                return Err(Rejection::new(
                    "token.header",
                    format!(
                        "the token brings its own key (`{name}`): only a key that you give is believed"
                    ),
                ));
            }
        }
        for name in ["crit", "b64"] {
            if self.header.contains_key(name) {
                return Err(Rejection::new(
                    "token.header",
                    format!("the header `{name}` is not supported"),
                ));
            }
        }
        let named = self.key_id().map(str::as_bytes);
        let several = keys.len() > 1;
        let candidates: Vec<&PublicKey> = keys
            .iter()
            .filter(|(id, _)| !several || id.is_empty() || named.is_none_or(|named| named == id))
            .map(|(_, key)| key)
            .collect();
        if candidates.is_empty() {
            return Err(Rejection::new(
                "token.key_unknown",
                "none of the keys given has the id that the token names",
            ));
        }
        let fitting: Vec<(&PublicKey, Scheme)> = candidates
            .into_iter()
            .filter_map(|key| scheme(key, alg).map(|scheme| (key, scheme)))
            .collect();
        if fitting.is_empty() {
            return Err(Rejection::new(
                "token.algorithm",
                format!("the token names the algorithm `{alg}`, which the key given does not have"),
            ));
        }
        fitting
            .into_iter()
            .any(|(key, scheme)| {
                check
                    .check(key, scheme, &self.signed, &self.signature)
                    .is_ok()
            })
            .then_some(())
            .ok_or_else(|| {
                Rejection::new(
                    "token.signature",
                    "the signature of the token does not verify under the key given",
                )
            })
    }
}

/// The scheme of a JWS algorithm (RFC 7518, RFC 8037, RFC 9864), where it is one of the key's.
fn scheme(key: &PublicKey, alg: &str) -> Option<Scheme> {
    match (key, alg) {
        (PublicKey::Ed25519(_), "EdDSA" | "Ed25519") => Some(Scheme::Ed25519),
        (PublicKey::P256(_), "ES256") => Some(Scheme::EcdsaSha256),
        (PublicKey::P384(_), "ES384") => Some(Scheme::EcdsaSha384),
        (PublicKey::P521(_), "ES512") => Some(Scheme::EcdsaSha512),
        (PublicKey::Rsa { .. }, "PS512") => Some(Scheme::RsaPssSha512),
        (PublicKey::Rsa { .. }, "RS512") => Some(Scheme::RsaPkcs1Sha512),
        (PublicKey::Rsa { .. }, "PS256") => Some(Scheme::RsaPssSha256),
        (PublicKey::Rsa { .. }, "PS384") => Some(Scheme::RsaPssSha384),
        (PublicKey::Rsa { .. }, "RS256") => Some(Scheme::RsaPkcs1Sha256),
        (PublicKey::Rsa { .. }, "RS384") => Some(Scheme::RsaPkcs1Sha384),
        _ => None,
    }
}

/// A JSON object in which, at any depth, no name is there twice: two readers could each take another one.
///
/// # Errors
/// `token.malformed`.
pub(crate) fn json_object(bytes: &[u8]) -> Result<Map<String, Value>, Rejection> {
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(_) => Err(malformed("a part is no json object")),
        Err(error) => Err(malformed(&format!("a part is no json: {error}"))),
    }
}

fn malformed(why: &str) -> Rejection {
    Rejection::new("token.malformed", format!("the token is malformed: {why}"))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Strict;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("json")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Strict, E> {
                Ok(Strict(v.into()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Strict, E> {
                Ok(Strict(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Strict, E> {
                Ok(Strict(v.into()))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Strict, E> {
                Ok(Strict(v.into()))
            }
            fn visit_str<E>(self, v: &str) -> Result<Strict, E> {
                Ok(Strict(v.into()))
            }
            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
                let mut all = Vec::new();
                while let Some(Strict(one)) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Strict(all.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut all = Map::new();
                while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name is there twice"));
                    }
                }
                Ok(Strict(all.into()))
            }
        }
        deserializer.deserialize_any(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_checks::AwsLc;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| jose::encode(text.as_bytes());
        format!("{}.{}.", part(header), part(claims))
    }

    fn code(text: &str) -> String {
        let key = PublicKey::P256(Box::new([4; 65]));
        Token::parse(text)
            .and_then(|token| token.verify(&[(Vec::new(), key)], &AwsLc))
            .unwrap_err()
            .code
    }

    #[test]
    fn the_message_never_chooses_algorithm_or_key() {
        for alg in ["none", "None", "HS256", "RS256", "ES384", "EdDSA", ""] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(code(&token(&header, "{}")), "token.algorithm", "{alg}");
        }
        assert_eq!(code(&token("{}", "{}")), "token.algorithm");
        for name in ["jwk", "jku", "x5u", "x5c", "crit", "b64"] {
            let header = format!(r#"{{"alg":"ES256","{name}":1}}"#);
            assert_eq!(code(&token(&header, "{}")), "token.header", "{name}");
        }
        assert_eq!(code(&token(r#"{"alg":"ES256"}"#, "{}")), "token.signature");
    }

    #[test]
    fn shapes_are_strict() {
        for text in [
            "",
            "a.b",
            "e30.e30",
            "e30.e30.e30.e30",
            "e30=.e30.",
            "e30.W10.",
            "bnVsbA.e30.",
        ] {
            assert!(Token::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            code(&token(r#"{"alg":"ES256","alg":"ES256"}"#, "{}")),
            "token.malformed"
        );
        assert_eq!(
            code(&token("{}", r#"{"a":{"b":1,"b":2}}"#)),
            "token.malformed"
        );
    }
}
