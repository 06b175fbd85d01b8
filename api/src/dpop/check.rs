//! The server's side: bytes -> [`UncheckedProof`] -> [`SignedProof`] -> [`Proof`], one step of RFC 9449, 4.3 after the other.

use std::collections::BTreeMap;

use assay_attest::key::CheckSignature;
use assay_attest::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{DpopFault, request_digest};
use crate::htu::Htu;
use crate::jose::{Alg, Compact, JoseFault, Json, Jwk, Thumbprint, decode};

const MAX_JTI: usize = 256;
const MAX_NONCE: usize = 256;
const MAX_KID: usize = 64;

/// A proof of the right shape. Nobody has checked its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct UncheckedProof {
    jws: Compact,
    jwk: Option<Jwk>,
    kid: Option<String>,
    claims: Claims,
}

#[derive(Clone, Debug, PartialEq)]
struct Claims {
    jti: String,
    htm: String,
    htu: Htu,
    iat: Timestamp,
    exp: Option<Timestamp>,
    nbf: Option<Timestamp>,
    ath: Option<[u8; 32]>,
    nonce: Option<String>,
    dig: Option<[u8; 32]>,
}

impl UncheckedProof {
    /// Reads the one proof among the values of all `DPoP` headers.
    ///
    /// # Errors
    /// [`DpopFault::Missing`], [`DpopFault::Several`], or what [`UncheckedProof::parse`] says.
    pub fn from_headers<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, DpopFault> {
        let value = values.next().ok_or(DpopFault::Missing)?;
        if values.next().is_some() {
            return Err(DpopFault::Several);
        }
        Self::parse(value)
    }

    /// Reads a proof: at most 8 KiB, typ, algorithm, key and claims of the right types.
    ///
    /// # Errors
    /// [`DpopFault::Malformed`], [`DpopFault::Type`], [`DpopFault::NoKey`], [`DpopFault::Claim`], [`DpopFault::Signature`]
    /// where the signature is not 64 bytes long or the algorithm not that of the key in the header.
    pub fn parse(header: &[u8]) -> Result<Self, DpopFault> {
        let jws = Compact::parse(header)?;
        let head = jws.header();
        if head.get("typ").and_then(Json::as_text) != Some("dpop+jwt") {
            return Err(DpopFault::Type);
        }
        let jwk = match head.get("jwk") {
            None => None,
            Some(Json::Map(members)) => Some(Jwk::from_members(members)?),
            Some(_) => return Err(DpopFault::NoKey),
        };
        let kid = match head.get("kid") {
            None => None,
            Some(Json::Text(kid)) if is_kid(kid) => Some(kid.clone()),
            Some(_) => return Err(DpopFault::NoKey),
        };
        if jwk.is_none() && kid.is_none() {
            return Err(DpopFault::NoKey);
        }
        if jwk.as_ref().is_some_and(|k| k.alg() != jws.alg()) {
            return Err(DpopFault::Malformed(JoseFault::Algorithm));
        }
        let claims = Claims::read(&Json::parse(jws.unverified_payload())?.into_map()?)?;
        Ok(Self {
            jws,
            jwk,
            kid,
            claims,
        })
    }

    /// The key that the proof carries. It shows possession, never identity.
    #[must_use]
    pub const fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// The name of the key: 1 to 64 characters of `A-Z a-z 0-9 _ -`. Look it up, and believe nothing else of it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that the header states, and that a key must have.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        self.jws.alg()
    }

    /// Checks the signature by `key`, which the caller looked up or, at enrolment, took from [`UncheckedProof::jwk`].
    ///
    /// # Errors
    /// [`DpopFault::OtherKey`] where the proof carries another key, [`DpopFault::Signature`].
    pub fn check_signature(
        self,
        key: &Jwk,
        checks: &dyn CheckSignature,
    ) -> Result<SignedProof, DpopFault> {
        if self.jwk.as_ref().is_some_and(|own| own != key) {
            return Err(DpopFault::OtherKey);
        }
        match self.jws.verify(key, checks) {
            Ok(_) => Ok(SignedProof {
                claims: self.claims,
                thumbprint: key.thumbprint(),
            }),
            Err(_) => Err(DpopFault::Signature),
        }
    }
}

/// A proof whose key signed it. What it was made for is still to be compared with the request.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedProof {
    claims: Claims,
    thumbprint: Thumbprint,
}

/// How far a proof's time may be from the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How old, in milliseconds.
    pub past_ms: u64,
    /// How far in the future, in milliseconds.
    pub future_ms: u64,
}

impl Default for Window {
    /// 60 s back, 15 s ahead: clients take their time from the server, whose `Date` is rounded to a second.
    fn default() -> Self {
        Self {
            past_ms: 60_000,
            future_ms: 15_000,
        }
    }
}

/// What a proof must have been made for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method, as sent.
    pub method: &'a str,
    /// Every URL by which this route is reached, from configuration; never from `Host`.
    pub targets: &'a [Htu],
    /// The server's time.
    pub now: Timestamp,
    /// The tolerance.
    pub window: Window,
}

impl SignedProof {
    /// Compares method, target and time, in this order. Replay is the caller's to check, last.
    ///
    /// # Errors
    /// [`DpopFault::Method`], [`DpopFault::Target`], [`DpopFault::Time`], [`DpopFault::Expired`].
    pub fn check_request(self, expected: &Expected<'_>) -> Result<Proof, DpopFault> {
        let Claims {
            jti,
            htm,
            htu,
            iat,
            exp,
            nbf,
            ath,
            nonce,
            dig,
        } = self.claims;
        let Window { past_ms, future_ms } = expected.window;
        if htm != expected.method {
            return Err(DpopFault::Method);
        }
        if !expected.targets.contains(&htu) {
            return Err(DpopFault::Target);
        }
        if iat < expected.now.minus_millis(past_ms) || iat > expected.now.plus_millis(future_ms) {
            return Err(DpopFault::Time);
        }
        if exp.is_some_and(|t| t <= expected.now)
            || nbf.is_some_and(|t| t > expected.now.plus_millis(future_ms))
        {
            return Err(DpopFault::Expired);
        }
        let replay_until = iat.plus_millis(past_ms).plus_millis(future_ms);
        Ok(Proof {
            thumbprint: self.thumbprint,
            jti,
            iat,
            replay_until,
            ath,
            nonce,
            dig,
        })
    }
}

/// A proof that is good for this request, unless it was seen before.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    thumbprint: Thumbprint,
    jti: String,
    iat: Timestamp,
    replay_until: Timestamp,
    ath: Option<[u8; 32]>,
    nonce: Option<String>,
    dig: Option<[u8; 32]>,
}

impl Proof {
    /// The key's thumbprint: with [`Proof::jti`] the key of the replay state.
    #[must_use]
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The proof's id, 1 to 256 bytes, chosen by the caller.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When it was made, by the caller's clock.
    #[must_use]
    pub const fn iat(&self) -> Timestamp {
        self.iat
    }

    /// Until when its id must be remembered: iat and the whole window, so that a proof from the future is covered too.
    #[must_use]
    pub const fn replay_until(&self) -> Timestamp {
        self.replay_until
    }

    /// The server nonce that it carries.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Whether it covers this query, body and bypass reason.
    ///
    /// # Errors
    /// [`DpopFault::Digest`], also where the claim is absent.
    pub fn check_digest(
        &self,
        raw_query: &str,
        body: &[u8],
        bypass: Option<&str>,
    ) -> Result<(), DpopFault> {
        match self.dig {
            Some(dig) if digest_matches(&dig, raw_query, body, bypass) => Ok(()),
            _ => Err(DpopFault::Digest),
        }
    }

    /// Whether it is bound to this access token (`ath`, RFC 9449, 4.2). The token's own `cnf.jkt` is another check.
    ///
    /// # Errors
    /// [`DpopFault::Token`], also where the claim is absent.
    pub fn check_token(&self, token: &str) -> Result<(), DpopFault> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        match self.ath {
            Some(ath) if bool::from(ath.ct_eq(&hash)) => Ok(()),
            _ => Err(DpopFault::Token),
        }
    }
}

/// Whether `dig` is the digest of this query, body and bypass reason.
#[must_use]
pub fn digest_matches(dig: &[u8; 32], raw_query: &str, body: &[u8], bypass: Option<&str>) -> bool {
    request_digest(raw_query, body, bypass).ct_eq(dig).into()
}

impl Claims {
    fn read(map: &BTreeMap<String, Json>) -> Result<Self, DpopFault> {
        let text = |name: &'static str, max: usize| match map.get(name) {
            Some(Json::Text(text)) if (1..=max).contains(&text.len()) => Ok(text.as_str()),
            _ => Err(DpopFault::Claim(name)),
        };
        let hash = |name: &'static str| {
            let Some(value) = map.get(name) else {
                return Ok(None);
            };
            let bytes = value
                .as_text()
                .and_then(|t| decode(t).ok())
                .and_then(|b| b.try_into().ok());
            bytes.map(Some).ok_or(DpopFault::Claim(name))
        };
        let later = |name: &'static str| {
            map.get(name)
                .map(|v| time(v).ok_or(DpopFault::Claim(name)))
                .transpose()
        };
        // NQCHAR of RFC 6749, appendix A, as RFC 9449, 8.1 has it.
        let nqchar = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
        let nonce = map
            .get("nonce")
            .map(|_| text("nonce", MAX_NONCE))
            .transpose()?;
        Ok(Self {
            jti: text("jti", MAX_JTI)?.to_owned(),
            htm: text("htm", 16)?.to_owned(),
            htu: Htu::parse(text("htu", crate::htu::MAX_URL)?)
                .map_err(|_| DpopFault::Claim("htu"))?,
            iat: map
                .get("iat")
                .and_then(time)
                .ok_or(DpopFault::Claim("iat"))?,
            exp: later("exp")?,
            nbf: later("nbf")?,
            ath: hash("ath")?,
            nonce: match nonce {
                Some(nonce) if !nonce.bytes().all(nqchar) => return Err(DpopFault::Claim("nonce")),
                nonce => nonce.map(str::to_owned),
            },
            dig: hash("assay_dig")?,
        })
    }
}

/// A NumericDate (RFC 7519, 2): seconds, perhaps with a fraction; after the epoch and before the year 10000.
fn time(value: &Json) -> Option<Timestamp> {
    const END: u64 = 253_402_300_800;
    match value {
        Json::Natural(secs) if (1..END).contains(secs) => Some(Timestamp::from_secs(*secs)),
        #[expect(
            clippy::as_conversions,
            reason = "in the range just checked, and rounding down is meant"
        )]
        Json::Number(secs) if *secs > 0.0 && *secs < END as f64 => {
            Some(Timestamp::from_millis((secs * 1000.0) as u64))
        }
        _ => None,
    }
}

fn is_kid(kid: &str) -> bool {
    (1..=MAX_KID).contains(&kid.len())
        && kid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
