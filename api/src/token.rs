//! The strings that let somebody in once: bootstrap, invite and claim tokens.
//!
//! `assay1.<bootstrap|invite|claim>.` and base64url of CBOR [secret (32 bytes), URL, SHA-256 of the root's
//! SubjectPublicKeyInfo]. Whoever uses one checks the pin before the secret leaves the machine (design section 1).

use std::fmt;

use ciborium::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::htu::Htu;
use crate::jose::{decode, encode};

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 4096;
const PREFIX: &str = "assay1.";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The first admin.
    Bootstrap,
    /// A person.
    Invite,
    /// A DPU.
    Claim,
}

impl TokenKind {
    /// How it stands in the token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Invite => "invite",
            Self::Claim => "claim",
        }
    }
}

/// A token: a secret, where to take it, and how to know that place. Wiped when dropped; never in Debug.
pub struct Token {
    kind: TokenKind,
    secret: Zeroizing<[u8; 32]>,
    url: Htu,
    pin: [u8; 32],
}

/// The text is no token of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No token at all.
    #[error("this is not an assay token; it begins with `assay1.` and must be copied whole")]
    Malformed,
    /// A token for something else.
    #[error("this is a token of another kind: `{}`", found.name())]
    Kind {
        /// What it is for.
        found: TokenKind,
    },
}

impl TokenFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token.malformed",
            Self::Kind { .. } => "token.kind",
        }
    }
}

/// The id of a token: the first 16 bytes of SHA-256(secret). Not secret; what the nexus keeps is the whole hash.
#[must_use]
pub fn token_id(secret: &[u8; 32]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(secret).into();
    let mut id = [0; 16];
    id.copy_from_slice(hash.first_chunk::<16>().unwrap_or(&[0; 16]));
    id
}

impl Token {
    /// Makes a token of a fresh random secret. `url` speaks https.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] for an http URL.
    pub fn new(
        kind: TokenKind,
        secret: Zeroizing<[u8; 32]>,
        url: Htu,
        root_pin: [u8; 32],
    ) -> Result<Self, TokenFault> {
        if url.is_https() {
            Ok(Self {
                kind,
                secret,
                url,
                pin: root_pin,
            })
        } else {
            Err(TokenFault::Malformed)
        }
    }

    /// Reads a token of the kind wanted.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`], [`TokenFault::Kind`].
    pub fn parse(text: &str, wanted: TokenKind) -> Result<Self, TokenFault> {
        let token = Self::parse_any(text)?;
        if token.kind == wanted {
            Ok(token)
        } else {
            Err(TokenFault::Kind { found: token.kind })
        }
    }

    /// Reads a token of any kind.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`].
    pub fn parse_any(text: &str) -> Result<Self, TokenFault> {
        Self::read(text).ok_or(TokenFault::Malformed)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let (kind, body) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let kind = [TokenKind::Bootstrap, TokenKind::Invite, TokenKind::Claim]
            .into_iter()
            .find(|k| k.name() == kind)?;
        let bytes = Zeroizing::new(decode(body).ok()?);
        let value = ciborium::from_reader::<Value, _>(bytes.as_slice()).ok()?;
        let Value::Array(items) = value else {
            return None;
        };
        let [Value::Bytes(secret), Value::Text(url), Value::Bytes(pin)] =
            <[Value; 3]>::try_from(items).ok()?
        else {
            return None;
        };
        let secret = Zeroizing::new(secret);
        let token = Self {
            kind,
            secret: Zeroizing::new(secret.as_slice().try_into().ok()?),
            url: Htu::parse(&url)
                .ok()
                .filter(|u| u.is_https() && u.as_str() == url)?,
            pin: pin.try_into().ok()?,
        };
        // One spelling per token: what would be written is what was read.
        bool::from(token.expose().as_bytes().ct_eq(text.as_bytes())).then_some(token)
    }

    /// The token as text. Secret: into a 0600 file or to the person it is for, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        // [bytes(32), text, bytes(32)] in deterministic CBOR, by hand so that no copy of the secret is left behind.
        let url = self.url.as_str().as_bytes();
        let mut cbor = Zeroizing::new(Vec::with_capacity(url.len().saturating_add(80)));
        cbor.extend([0x83, 0x58, 32]);
        cbor.extend_from_slice(&*self.secret);
        match u8::try_from(url.len()) {
            Ok(n) if n < 24 => cbor.push(0x60 | n),
            Ok(n) => cbor.extend([0x78, n]),
            Err(_) => {
                cbor.push(0x79);
                cbor.extend(u16::try_from(url.len()).unwrap_or(u16::MAX).to_be_bytes());
            }
        }
        cbor.extend_from_slice(url);
        cbor.extend([0x58, 32]);
        cbor.extend_from_slice(&self.pin);
        let body = Zeroizing::new(encode(&cbor));
        let mut text = Zeroizing::new(String::with_capacity(body.len().saturating_add(32)));
        for part in [PREFIX, self.kind.name(), ".", &body] {
            text.push_str(part);
        }
        text
    }

    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The secret. Send it only over a connection whose root is [`Token::root_pin`].
    #[must_use]
    pub const fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// The nexus's URL, https.
    #[must_use]
    pub const fn url(&self) -> &Htu {
        &self.url
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the nexus's root.
    #[must_use]
    pub const fn root_pin(&self) -> &[u8; 32] {
        &self.pin
    }

    /// The id: see [`token_id`].
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        token_id(&self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(url: &str) -> Token {
        Token::new(
            TokenKind::Claim,
            Zeroizing::new([0xa5; 32]),
            Htu::parse(url).unwrap(),
            [7; 32],
        )
        .unwrap()
    }

    #[test]
    fn a_token_is_cbor_as_the_design_says_and_reads_back() {
        for url in [
            "https://h/",
            "https://nexus.example:8443/assay",
            &format!("https://h/{}", "a".repeat(300)),
        ] {
            let text = token(url).expose();
            let body = decode(text.strip_prefix("assay1.claim.").unwrap()).unwrap();
            let value: Value = ciborium::from_reader(body.as_slice()).unwrap();
            let url = token(url).url().to_string();
            assert_eq!(
                value,
                Value::Array(vec![
                    vec![0xa5; 32].into(),
                    url.clone().into(),
                    vec![7; 32].into()
                ])
            );
            let mut canonical = Vec::new();
            ciborium::into_writer(&value, &mut canonical).unwrap();
            assert_eq!(canonical, body);
            let read = Token::parse(&text, TokenKind::Claim).unwrap();
            assert_eq!(
                (read.url().as_str(), *read.root_pin(), **read.secret()),
                (url.as_str(), [7; 32], [0xa5; 32])
            );
        }
    }

    #[test]
    fn the_id_is_the_start_of_the_hash_of_the_secret() {
        assert_eq!(
            token("https://h/").id()[..],
            Sha256::digest([0xa5; 32])[..16]
        );
    }

    #[test]
    fn a_token_of_another_kind_says_so() {
        let text = token("https://h/").expose();
        assert_eq!(
            Token::parse(&text, TokenKind::Invite).unwrap_err(),
            TokenFault::Kind {
                found: TokenKind::Claim
            }
        );
    }

    #[test]
    fn what_is_no_token() {
        let good = token("https://h/").expose();
        let cbor = |value: Value| {
            let mut bytes = Vec::new();
            ciborium::into_writer(&value, &mut bytes).unwrap();
            format!("assay1.claim.{}", encode(&bytes))
        };
        let of = |secret: usize, url: &str, pin: usize| {
            cbor(Value::Array(vec![
                vec![1; secret].into(),
                url.into(),
                vec![2; pin].into(),
            ]))
        };
        assert!(Token::parse_any(&of(32, "https://h/", 32)).is_ok());
        for bad in [
            format!("{} ", *good),
            good.replace("assay1", "assay2"),
            good.replace("claim", "clam"),
            good.to_uppercase(),
            of(31, "https://h/", 32),
            of(32, "https://h/", 33),
            of(32, "http://h/", 32),
            of(32, "https://H/", 32),
            of(32, "https://h/?q", 32),
            cbor(Value::Array(vec![])),
            cbor(Value::Null),
            format!("assay1.claim.{}", encode(&[0x9f, 0xff])),
            format!("{}AA", *good),
            "x".repeat(MAX_TOKEN + 1),
        ] {
            assert_eq!(
                Token::parse_any(&bad).unwrap_err(),
                TokenFault::Malformed,
                "{bad}"
            );
        }
    }

    #[test]
    fn i7_debug_and_errors_show_no_secret() {
        let token = token("https://h/");
        let shown = format!("{token:?}");
        assert!(
            !shown.contains("165")
                && !shown.contains("a5")
                && !shown.contains(&token.expose()[20..60]),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), text in "\\PC{0,60}") {
            let _ = Token::parse_any(&text);
            let _ = Token::parse_any(&format!("assay1.invite.{}", encode(&bytes)));
        }
    }
}
