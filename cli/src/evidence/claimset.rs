//! Sets of claims as tokens carry them: JWT, CWT, and bare JSON or CBOR; who signed them, and how fresh they are.

use assay_attest::codec::cbor::{self, Form};
use assay_attest::codec::cose_sign::Message;
use assay_attest::time::Timestamp;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::jws::{self, Token};
use super::kind::{hex, time};
use super::{Artefact, Claims, Rejection, With, cose, encoding};

/// How far the clock of an issuer may go ahead of ours, seconds.
const SKEW: u64 = 60;
/// Longest payload, bytes.
const LIMIT: usize = 1024 * 1024;
/// The tag of an unprotected CWT claims set (RFC 9781).
const UCCS: u64 = 601;

/// What stands around the claims.
#[derive(Debug)]
pub(crate) enum Wrap {
    /// A JWT.
    Jwt(Token),
    /// A CWT: a COSE_Sign1.
    Cwt(Box<Message>),
    /// Nothing: JSON.
    Json,
    /// Nothing: CBOR.
    Cbor,
}

/// Claims and what stands around them.
#[derive(Debug)]
pub(crate) struct ClaimSet {
    /// What stands around.
    pub(crate) wrap: Wrap,
    /// By name; of CBOR the registered labels by their names, other labels as decimals.
    pub(crate) claims: Claims,
    /// As they were, where they are CBOR.
    pub(crate) cbor: Option<cbor::Value>,
}

impl ClaimSet {
    /// Reads a file that holds a set of claims in one of the four forms.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(file: &Artefact) -> Result<Self, Rejection> {
        if let Some(text) = file.text() {
            let text = text.trim();
            if is_compact(text) {
                return Self::of_jwt(text);
            }
            // JSON before notation: an object in JSON is notation, too.
            if text.starts_with('{') && serde_json::from_str::<Value>(text).is_ok() {
                return Ok(Self {
                    wrap: Wrap::Json,
                    claims: jws::json_object(text.as_bytes())?,
                    cbor: None,
                });
            }
        }
        Self::of_cbor(&file.cbor()?)
    }

    /// A JWT in compact form.
    ///
    /// # Errors
    /// `token.malformed`.
    pub(crate) fn of_jwt(text: &str) -> Result<Self, Rejection> {
        let token = Token::parse(text)?;
        Ok(Self {
            claims: token.claims().clone(),
            wrap: Wrap::Jwt(token),
            cbor: None,
        })
    }

    /// A CWT, or the bare claims of one.
    ///
    /// # Errors
    /// The shape's refusals.
    pub(crate) fn of_cbor(bytes: &[u8]) -> Result<Self, Rejection> {
        let (wrap, payload) = match Message::parse(bytes) {
            Ok(message) if message.is_single() => {
                let payload = message.payload().unwrap_or_default().to_vec();
                (Wrap::Cwt(Box::new(message)), payload)
            }
            _ => (Wrap::Cbor, bytes.to_vec()),
        };
        let mut value = cbor::decode("the claims", &payload, LIMIT, Form::WellFormed)?;
        if let cbor::Value::Tag(UCCS, inner) = value {
            value = *inner;
        }
        let cbor::Value::Map(entries) = &value else {
            return Err(malformed("they are no map"));
        };
        let mut claims = Claims::new();
        for (label, claim) in entries {
            let name = TOP
                .iter()
                .find(|(number, _)| *label == cbor::Value::from(*number))
                .map_or_else(|| label_name(label), |(_, name)| (*name).to_owned());
            claims.insert(name, to_json(claim));
        }
        Ok(Self {
            wrap,
            claims,
            cbor: Some(value),
        })
    }

    /// `jwt`, `cwt`, `json`, `cbor`.
    #[must_use]
    pub(crate) const fn form(&self) -> &'static str {
        match self.wrap {
            Wrap::Jwt(_) => "jwt",
            Wrap::Cwt(_) => "cwt",
            Wrap::Json => "json",
            Wrap::Cbor => "cbor",
        }
    }

    /// Shows that whom the caller believes signed it. `false` where nothing signs it and nobody was named who should have.
    ///
    /// # Errors
    /// `verify.no_anchor`; `token.unsigned` where a signer was named and nothing is signed; what is wrong with the signature.
    pub(crate) fn authenticate(&self, with: &With<'_>) -> Result<(bool, Claims), Rejection> {
        match &self.wrap {
            Wrap::Jwt(token) => {
                let mut said = Claims::new();
                said.insert("algorithm".into(), json!(token.algorithm()));
                said.insert("key_id".into(), json!(token.key_id()));
                token_signed(token, with)?;
                Ok((true, said))
            }
            Wrap::Cwt(message) => {
                let signature = message
                    .signatures()
                    .first()
                    .ok_or_else(|| malformed("they have no signature"))?;
                let mut said = Claims::new();
                said.insert("algorithm".into(), json!(signature.headers().algorithm()));
                said.extend(cose::signed_by(with, message, signature, &[], None)?);
                Ok((true, said))
            }
            Wrap::Json | Wrap::Cbor => {
                unsigned(with)?;
                Ok((false, Claims::new()))
            }
        }
    }

    /// The nonces, as bytes: of CBOR as they are; of JSON each reading that their text allows.
    #[must_use]
    pub(crate) fn nonces(&self) -> Vec<Vec<u8>> {
        match &self.cbor {
            Some(cbor::Value::Map(entries)) => entries
                .iter()
                .filter(|(label, _)| is_nonce(label))
                .flat_map(|(_, value)| match value {
                    cbor::Value::Bytes(one) => vec![one.clone()],
                    cbor::Value::Array(all) => {
                        all.iter().filter_map(|v| v.as_bytes().cloned()).collect()
                    }
                    _ => Vec::new(),
                })
                .collect(),
            _ => json_nonces(&self.claims),
        }
    }

    /// Holds times and nonce against what is asked. Gives what was decided: `issued_at`, `not_before`, `expires_at`, `nonce` (matches, unchecked,
    /// none) and `proven`, true where the nonce matches or an expiry lies ahead.
    ///
    /// # Errors
    /// `token.expired`, `token.not_yet_valid`, `token.issued_in_future`, `token.malformed` for times that are no numbers; `evidence.nonce`.
    pub(crate) fn fresh(&self, with: &With<'_>) -> Result<Value, Rejection> {
        let decided = times(&self.claims, with.at)?;
        Ok(self.with_nonce(decided, &self.nonces(), with)?.into())
    }

    fn with_nonce(
        &self,
        mut decided: Claims,
        nonces: &[Vec<u8>],
        with: &With<'_>,
    ) -> Result<Claims, Rejection> {
        let nonce = match &with.nonce {
            Some(wanted) if nonces.contains(wanted) => "matches",
            Some(_) => return Err(Rejection::nonce()),
            None if nonces.is_empty() => "none",
            None => "unchecked",
        };
        let proven = nonce == "matches" || decided.contains_key("expires_at");
        decided.insert("nonce".into(), nonce.into());
        decided.insert("proven".into(), proven.into());
        Ok(decided)
    }
}

/// A token in compact form under the keys of `--key`.
///
/// # Errors
/// `verify.no_anchor`, `token.*`.
pub(crate) fn token_signed(token: &Token, with: &With<'_>) -> Result<(), Rejection> {
    if token
        .algorithm()
        .is_none_or(|a| a.eq_ignore_ascii_case("none"))
    {
        return Err(Rejection::new(
            "token.algorithm",
            "the token names no algorithm: nothing signs it",
        ));
    }
    if !with.roots.is_empty() || with.root_from_chain {
        return Err(Rejection::new(
            "token.no_chain",
            "a jwt is verified by a key: give --key and leave roots out",
        ));
    }
    let keys = with
        .key
        .as_ref()
        .ok_or_else(|| Rejection::no_anchor("--key with the issuer's public key or key set"))?
        .public_keys()?;
    token.verify(&keys, with.check)
}

/// What nothing signs can't be what somebody named as the signer has signed.
///
/// # Errors
/// `token.unsigned`.
pub(crate) fn unsigned(with: &With<'_>) -> Result<(), Rejection> {
    if with.key.is_some() || !with.roots.is_empty() || with.root_from_chain {
        return Err(Rejection::new(
            "token.unsigned",
            "nothing signs these claims, and you named who should have: without --key and --root they are read for what they are",
        ));
    }
    Ok(())
}

/// Whether a text has the three parts of a compact token.
#[must_use]
pub(crate) fn is_compact(text: &str) -> bool {
    text.len() > 4
        && text.split('.').count() == 3
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// exp, nbf and iat (RFC 7519, 4.1; RFC 8392, 3.1) against a time.
fn times(claims: &Claims, at: Timestamp) -> Result<Claims, Rejection> {
    let mut decided = Claims::new();
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => number(value).map(Some).ok_or_else(|| {
            Rejection::new(
                "token.malformed",
                format!("the token is malformed: `{name}` is no time"),
            )
        }),
    };
    let now = at.as_secs();
    let soon = now.saturating_add(SKEW);
    if let Some(issued) = seconds("iat")? {
        decided.insert("issued_at".into(), time(Timestamp::from_secs(issued)));
        if issued > soon {
            return Err(Rejection::new(
                "token.issued_in_future",
                "the token was issued after the time for which it is verified",
            ));
        }
    }
    if let Some(from) = seconds("nbf")? {
        decided.insert("not_before".into(), time(Timestamp::from_secs(from)));
        if from > soon {
            return Err(Rejection::new(
                "token.not_yet_valid",
                "the token is not valid yet",
            ));
        }
    }
    if let Some(until) = seconds("exp")? {
        decided.insert("expires_at".into(), time(Timestamp::from_secs(until)));
        if until <= now {
            return Err(Rejection::new(
                "token.expired",
                "the token has expired: --at verifies it for the time when it was used",
            ));
        }
    }
    Ok(decided)
}

/// Seconds since the epoch, a fraction cut off.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let whole = value.as_f64().filter(|f| *f >= 0.0 && *f < 1e15)?;
        format!("{whole:.0}").parse().ok()
    })
}

/// The nonces of claims in JSON: base64url as RFC 9711 has them, hexadecimal as NVIDIA writes them, and their text.
#[must_use]
pub(crate) fn json_nonces(claims: &Claims) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in ["eat_nonce", "nonce"] {
        let texts: Vec<&str> = match claims.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for text in texts {
            all.extend(Base64UrlUnpadded::decode_vec(text).ok());
            all.extend(encoding::from_hex(text));
            all.push(text.as_bytes().to_vec());
        }
    }
    all
}

fn is_nonce(label: &cbor::Value) -> bool {
    // eat_nonce, the PSA profile before it was registered, Nitro.
    *label == cbor::Value::from(10)
        || *label == cbor::Value::from(-75008)
        || *label == cbor::Value::from("nonce")
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(
        "evidence.malformed",
        format!("the claims are malformed: {why}"),
    )
}

/// CBOR as JSON shows it: bytes as hex, labels as text, a tag as an object of its number and value.
#[must_use]
pub(crate) fn to_json(value: &cbor::Value) -> Value {
    match value {
        cbor::Value::Integer(number) => {
            let number = i128::from(*number);
            i64::try_from(number)
                .map(Value::from)
                .or_else(|_| u64::try_from(number).map(Value::from))
                .unwrap_or_else(|_| number.to_string().into())
        }
        cbor::Value::Bytes(bytes) => hex(bytes).into(),
        cbor::Value::Float(float) => json!(float),
        cbor::Value::Text(text) => text.clone().into(),
        cbor::Value::Bool(bool) => (*bool).into(),
        cbor::Value::Tag(number, inner) => json!({"tag": number, "value": to_json(inner)}),
        cbor::Value::Array(items) => items.iter().map(to_json).collect::<Vec<_>>().into(),
        cbor::Value::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(label, value)| (label_name(label), to_json(value)))
                .collect(),
        ),
        _ => Value::Null,
    }
}

/// A label's registered name, else as it is.
fn label_name(label: &cbor::Value) -> String {
    match label {
        cbor::Value::Text(text) => text.clone(),
        cbor::Value::Integer(number) => {
            let number = i128::from(*number);
            NAMES
                .iter()
                .find(|(label, _)| i128::from(*label) == number)
                .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
        }
        cbor::Value::Bytes(bytes) => hex(bytes),
        other => format!("{other:?}"),
    }
}

/// Registered claims with small labels (RFC 8392, 3.1; RFC 9711): so named at the top only.
const TOP: [(i64, &str); 9] = [
    (1, "iss"),
    (2, "sub"),
    (3, "aud"),
    (4, "exp"),
    (5, "nbf"),
    (6, "iat"),
    (7, "cti"),
    (8, "cnf"),
    (10, "eat_nonce"),
];

/// Labels of CWT claims (IANA; RFC 8392, RFC 9711, RFC 9783, draft-ietf-rats-ear, Arm CCA, draft-poirier-rats-eat-da) that mean the same wherever they
/// stand. Small numbers are left out: inside of other maps they mean other things.
const NAMES: &[(i64, &str)] = &[
    (256, "ueid"),
    (257, "sueids"),
    (258, "oemid"),
    (259, "hwmodel"),
    (260, "hwversion"),
    (261, "uptime"),
    (262, "oemboot"),
    (263, "dbgstat"),
    (264, "location"),
    (265, "eat_profile"),
    (266, "submods"),
    (267, "bootcount"),
    (268, "bootseed"),
    (269, "dloas"),
    (270, "swname"),
    (271, "swversion"),
    (272, "manifests"),
    (273, "measurements"),
    (274, "measres"),
    (275, "intuse"),
    (1000, "ear_status"),
    (1001, "ear_trustworthiness_vector"),
    (1002, "ear_raw_evidence"),
    (1003, "ear_appraisal_policy_ids"),
    (1004, "ear_verifier_id"),
    (2394, "psa_client_id"),
    (2395, "security_lifecycle"),
    (2396, "implementation_id"),
    (2397, "bootseed"),
    (2398, "certification_reference"),
    (2399, "software_components"),
    (2400, "verification_service"),
    (2401, "cca_platform_config"),
    (2402, "cca_platform_hash_algorithm"),
    (3802, "spdm_measurements"),
    (3803, "spdm_certificates"),
    (44234, "cca_platform_token"),
    (44235, "cca_realm_personalization_value"),
    (44236, "cca_realm_hash_algorithm"),
    (44237, "cca_realm_public_key"),
    (44238, "cca_realm_initial_measurement"),
    (44239, "cca_realm_extensible_measurements"),
    (44240, "cca_realm_public_key_hash_algorithm"),
    (44241, "cca_realm_token"),
    (-75000, "eat_profile"),
    (-75001, "psa_client_id"),
    (-75002, "security_lifecycle"),
    (-75003, "implementation_id"),
    (-75004, "bootseed"),
    (-75005, "hwversion"),
    (-75006, "software_components"),
    (-75007, "no_software_measurements"),
    (-75008, "eat_nonce"),
    (-75009, "ueid"),
    (-75010, "verification_service"),
];
