//! Documents that the nexus (or a host) signs and that are carried by others: deterministic CBOR in a COSE_Sign1
//! (RFC 9052) by an Ed25519 key.
//!
//! Bytes parse into [`Unverified`]; only a pinned key turns that into [`Verified`]. The signature covers the bytes as
//! received, and a domain of each document's own, so that none passes for another.

mod cbor;

use assay_attest::codec::cose::{self, BuildError, Protected, Sign1};
use assay_attest::key::{CheckSignature, PublicKey};
use assay_attest::refusal::Refusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use cbor::{bytes, from_slice, to_vec};

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned + Sized {
    /// What it is, for people.
    const WHAT: &'static str;
    /// Its media type, in the protected header.
    const CONTENT_TYPE: &'static str;
    /// Its domain: the external data that the signature covers too.
    const DOMAIN: &'static str;
    /// The most bytes that it may take.
    const LIMIT: usize;

    /// What its types do not hold already.
    ///
    /// # Errors
    /// [`SignedFault::Content`].
    fn check(&self) -> Result<(), SignedFault>;
}

/// Why a signed document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedFault {
    /// The bytes are no COSE_Sign1 of this kind.
    #[error("the {what} is malformed: {why}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What the reader says.
        why: String,
    },
    /// It reads, and says something that it can't.
    #[error("the {what} is not acceptable: {why}")]
    Content {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// No pinned key signed it.
    #[error("the {what} is not signed by a pinned key")]
    Signature {
        /// Which document.
        what: &'static str,
    },
    /// It is for another host.
    #[error("the {what} is for another host")]
    OtherHost {
        /// Which document.
        what: &'static str,
    },
    /// It is older than what is in force, or another of the same age.
    #[error("the {what} has sequence {found}, and {last} is in force")]
    Older {
        /// Which document.
        what: &'static str,
        /// Its sequence.
        found: u64,
        /// The sequence in force.
        last: u64,
    },
    /// The key could not sign.
    #[error("the {what} could not be signed: {why}")]
    Signer {
        /// Which document.
        what: &'static str,
        /// What the key says.
        why: String,
    },
}

impl SignedFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "signed.malformed",
            Self::Content { .. } => "signed.content",
            Self::Signature { .. } => "signed.signature",
            Self::OtherHost { .. } => "signed.other_host",
            Self::Older { .. } => "signed.older",
            Self::Signer { .. } => "signed.signer",
        }
    }
}

/// The delivery keys of a nexus: Ed25519 public keys. Whoever pins them takes the next from a document signed by the current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryKeys {
    /// The key that signs now.
    #[serde(with = "cbor::bytes")]
    pub current: [u8; 32],
    /// The key that will sign next.
    #[serde(
        default,
        with = "cbor::bytes_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub next: Option<[u8; 32]>,
}

impl DeliveryKeys {
    /// Both, the current first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&self.current).chain(&self.next)
    }
}

/// A document of the right shape. Nobody has checked its signature: read it only to find out whom to ask.
#[derive(Clone, Debug)]
pub struct Unverified<T> {
    cose: Sign1,
    content: T,
    bytes: Vec<u8>,
}

/// A document that a pinned key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    content: T,
    bytes: Vec<u8>,
}

impl<T> Verified<T> {
    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// The bytes as received, to keep and to pass on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// What it says, for good.
    #[must_use]
    pub fn into_content(self) -> T {
        self.content
    }
}

impl<T: Document> Unverified<T> {
    /// Reads a document.
    ///
    /// # Errors
    /// [`SignedFault::Malformed`], [`SignedFault::Content`].
    pub fn parse(message: &[u8]) -> Result<Self, SignedFault> {
        let malformed = |e: Refusal| SignedFault::Malformed {
            what: T::WHAT,
            why: e.to_string(),
        };
        if message.len() > T::LIMIT {
            return Err(malformed(Refusal::TooLarge {
                what: T::WHAT,
                limit: T::LIMIT,
            }));
        }
        let cose = Sign1::parse_strict(message).map_err(malformed)?;
        if cose.content_type() != Some(T::CONTENT_TYPE) {
            return Err(SignedFault::Malformed {
                what: T::WHAT,
                why: "it is another kind of document".to_owned(),
            });
        }
        let content: T = from_slice(T::WHAT, cose.payload_unverified(), T::LIMIT)
            .map_err(|why| SignedFault::Malformed { what: T::WHAT, why })?;
        content.check()?;
        Ok(Self {
            cose,
            content,
            bytes: message.to_vec(),
        })
    }

    /// What it says. Nobody has vouched for it.
    #[must_use]
    pub const fn claimed(&self) -> &T {
        &self.content
    }

    /// Checks that one of `keys` (Ed25519) signed it.
    ///
    /// # Errors
    /// [`SignedFault::Signature`].
    pub fn verify_by<'k>(
        self,
        keys: impl IntoIterator<Item = &'k [u8; 32]>,
        checks: &dyn CheckSignature,
    ) -> Result<Verified<T>, SignedFault> {
        let good = |key: &[u8; 32]| {
            self.cose
                .verify(&PublicKey::Ed25519(*key), T::DOMAIN.as_bytes(), checks)
                .is_ok()
        };
        if keys.into_iter().any(good) {
            Ok(Verified {
                content: self.content,
                bytes: self.bytes,
            })
        } else {
            Err(SignedFault::Signature { what: T::WHAT })
        }
    }
}

/// Signs a document; `sign` gets the bytes and gives the 64-byte Ed25519 signature by `key`.
///
/// # Errors
/// [`SignedFault::Content`] for what would be refused when read, [`SignedFault::Signer`], [`SignedFault::Malformed`] where it
/// would be too long.
pub fn sign_document<T: Document, E: std::fmt::Display>(
    content: &T,
    key: &[u8; 32],
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Vec<u8>, SignedFault> {
    let what = T::WHAT;
    content.check()?;
    let payload = to_vec(content).map_err(|why| SignedFault::Malformed { what, why })?;
    let key = PublicKey::Ed25519(*key);
    let protected = Protected {
        key: &key,
        key_id: &key_id(&key),
        content_type: T::CONTENT_TYPE,
    };
    let message = cose::build(&protected, payload, T::DOMAIN.as_bytes(), |m| {
        sign(m).map(|s| s.to_vec())
    });
    let message = message.map_err(|e| match e {
        BuildError::Refused(r) => SignedFault::Malformed {
            what,
            why: r.to_string(),
        },
        BuildError::Signer(e) => SignedFault::Signer {
            what,
            why: e.to_string(),
        },
    })?;
    if message.len() > T::LIMIT {
        return Err(SignedFault::Malformed {
            what,
            why: format!("it is over its limit of {} bytes", T::LIMIT),
        });
    }
    Ok(message)
}

/// The id in the header, for logs: the first 8 bytes of SHA-256 of the key.
fn key_id(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Ed25519(bytes) => Sha256::digest(bytes).iter().take(8).copied().collect(),
        PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => {
            Vec::new()
        }
    }
}

/// The checks that manifest and pairing share.
pub(crate) mod rules {
    use super::SignedFault;

    /// A managed login: a POSIX portable user name of at most 32 characters.
    pub(crate) fn login(what: &'static str, login: &str) -> Result<(), SignedFault> {
        let mut bytes = login.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        demand(
            what,
            first && rest && login.len() <= 32,
            "a login is no portable user name",
        )
    }

    /// One line of an OpenSSH public key or certificate file: type and base64, no options, no comment.
    pub(crate) fn ssh_line(
        what: &'static str,
        line: &str,
        types: &[&str],
    ) -> Result<(), SignedFault> {
        let good = line.split_once(' ').is_some_and(|(kind, body)| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
            types.contains(&kind) && !body.is_empty() && body.bytes().all(plain)
        });
        demand(
            what,
            good && line.len() <= 8192,
            "a line is no plain openssh key or certificate of a kind accepted here",
        )
    }

    pub(crate) fn demand(
        what: &'static str,
        good: bool,
        why: &'static str,
    ) -> Result<(), SignedFault> {
        if good {
            Ok(())
        } else {
            Err(SignedFault::Content { what, why })
        }
    }

    /// Types of SSH keys that are accepted.
    pub(crate) const KEYS: &[&str] = &[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
    ];

    /// The same as certificates.
    pub(crate) const CERTIFICATES: &[&str] = &[
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
    ];
}
