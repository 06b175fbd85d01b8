//! What the Verifier expects of one proof: everything that it knows without asking the device.

use crate::chain::TrustAnchors;
use crate::claims::ImaState;
use crate::digest::sha256;
use crate::key::PublicKey;
use crate::limits;
use crate::session::{Purpose, Session, SessionInput};
use crate::time::Timestamp;
use crate::{hpke::HpkeKey, session::Label};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use core::fmt;

/// The agent's request (DPoP) key with its JWK thumbprint. Ed25519 or P-256.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    key: PublicKey,
    thumbprint: [u8; 32],
}

impl RequestKey {
    /// `None` for a kind of key that signs no requests (P-384, RSA).
    #[must_use]
    pub fn new(key: PublicKey) -> Option<Self> {
        let jwk = match &key {
            PublicKey::Ed25519(x) => {
                format!(
                    r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
                    Base64UrlUnpadded::encode_string(x)
                )
            }
            PublicKey::P256(point) => {
                let (x, y) = point.get(1..)?.split_at_checked(32)?;
                format!(
                    r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                    Base64UrlUnpadded::encode_string(x),
                    Base64UrlUnpadded::encode_string(y)
                )
            }
            PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => return None,
        };
        let thumbprint = sha256(&[jwk.as_bytes()]);
        Some(Self { key, thumbprint })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Raw SHA-256 of the JWK's required members (RFC 7638, RFC 8037 appendix A.3): 32 bytes.
    #[must_use]
    pub const fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// The thumbprint as base64url without padding, as `jkt` and `kid` have it.
    #[must_use]
    pub fn thumbprint_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.thumbprint)
    }
}

/// The name of a TPM object: nameAlg and the digest of its public area (TPM 2.0 Part 1, 16).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// `None` unless this is nameAlg SHA-256, SHA-384 or SHA-512 (big-endian u16) and a digest of its length.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (alg, digest) = bytes.split_first_chunk::<2>()?;
        let fits = matches!(
            (u16::from_be_bytes(*alg), digest.len()),
            (0x000b, 32) | (0x000c, 48) | (0x000d, 64)
        );
        fits.then(|| Self(bytes.to_vec()))
    }

    /// nameAlg and digest: 34, 50 or 66 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::digest::hex(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// What is known of the device's TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmExpectation {
    /// The AK of this name is pinned (at enrolment: it was activated against the EK). No other AK is accepted.
    Pinned(Name),
    /// This device has no TPM: a `tpm` member is refused.
    NoTpm,
}

/// What is known of the device's DICE roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiceExpectation {
    /// This class of device has none: a DICE member is refused.
    NotRequired,
    /// These, each under its label. Whether a label must be there says [`Expected::required`].
    Roots(Vec<DiceRoot>),
}

/// What is known of the DICE root behind one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceRoot {
    /// `irot` or `erot`.
    pub label: Label,
    /// The roots that its chain may end in.
    pub anchors: TrustAnchors,
    /// SHA-256 of the device's stable key, once it is pinned; `None` at enrolment, where the claim decides afterwards.
    pub device_key: Option<[u8; 32]>,
}

impl DiceExpectation {
    /// Those of a machine: its own roots, each with its pinned key where it has one, and any of its accelerators. These are known
    /// by their maker's root and not pinned: which ones a machine must have, and what they run, is the Reference Values' to say.
    #[must_use]
    pub fn machine(
        anchors: &TrustAnchors,
        own: impl IntoIterator<Item = (Label, Option<[u8; 32]>)>,
    ) -> Self {
        let accelerators = (0..limits::ACCELERATORS).map(|number| (Label::Accel(number), None));
        let all = own.into_iter().chain(accelerators);
        let roots = all.map(|(label, device_key)| DiceRoot {
            label,
            anchors: anchors.clone(),
            device_key,
        });
        Self::Roots(roots.collect())
    }

    /// The root behind `label`.
    #[must_use]
    pub fn root(&self, label: Label) -> Option<&DiceRoot> {
        match self {
            Self::NotRequired => None,
            Self::Roots(roots) => roots.iter().find(|root| root.label == label),
        }
    }
}

/// Everything a proof is held against.
#[derive(Clone)]
pub struct Expected<'a> {
    /// SHA-256 of the SubjectPublicKeyInfo of the nexus's root.
    pub nexus_id: [u8; 32],
    /// The device id, at enrolment the claim id.
    pub subject: &'a str,
    /// Enrolment or a later proof.
    pub purpose: Purpose,
    /// The nonce that was issued.
    pub nonce: [u8; 32],
    /// The activation secret at an enrolment with a TPM (32 bytes), else empty.
    pub activation_secret: &'a [u8],
    /// The key that signs this device's requests.
    pub request_key: &'a RequestKey,
    /// What is known of its TPM.
    pub tpm: TpmExpectation,
    /// What is known of its DICE roots.
    pub dice: DiceExpectation,
    /// How far its IMA log has been followed; `None` where the whole log is due.
    pub ima: Option<&'a ImaState>,
    /// Labels that must be there, beside `claims`: a device's required roots only grow.
    pub required: &'a [Label],
    /// The Verifier's time.
    pub now: Timestamp,
}

impl Expected<'_> {
    /// Whether there is an activation secret exactly where one belongs: at an enrolment with a TPM.
    pub(crate) const fn activation_fits(&self) -> bool {
        match (self.purpose, &self.tpm) {
            (Purpose::Enrol, TpmExpectation::Pinned(_)) => self.activation_secret.len() == 32,
            (Purpose::Enrol, TpmExpectation::NoTpm) | (Purpose::Attest, _) => {
                self.activation_secret.is_empty()
            }
        }
    }

    /// The session that this proof must answer, given the HPKE key that it states.
    #[must_use]
    pub fn session(&self, hpke: &HpkeKey) -> Session {
        Session::new(&SessionInput {
            nexus_id: self.nexus_id,
            subject: self.subject,
            purpose: self.purpose,
            nonce: self.nonce,
            request_key_thumbprint: *self.request_key.thumbprint(),
            hpke,
            activation_secret: self.activation_secret,
        })
    }
}

impl fmt::Debug for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected")
            .field("subject", &self.subject)
            .field("purpose", &self.purpose)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8037, appendix A.3.
    #[test]
    fn thumbprint_is_rfc_8037s() {
        let mut x = [0; 32];
        Base64UrlUnpadded::decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", &mut x).unwrap();
        let key = RequestKey::new(PublicKey::Ed25519(x)).unwrap();
        assert_eq!(
            key.thumbprint_text(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn only_request_keys_have_a_thumbprint() {
        assert!(RequestKey::new(PublicKey::P384(alloc::boxed::Box::new([4; 97]))).is_none());
        assert!(
            RequestKey::new(PublicKey::Rsa {
                modulus: alloc::vec![1; 256],
                exponent: alloc::vec![1, 0, 1]
            })
            .is_none()
        );
    }

    #[test]
    fn a_name_has_the_length_of_its_algorithm() {
        let mut name = alloc::vec![0, 0x0b];
        name.extend_from_slice(&[1; 32]);
        assert!(Name::parse(&name).is_some());
        name.push(1);
        assert!(Name::parse(&name).is_none());
        assert!(Name::parse(&[0, 4]).is_none());
        assert!(Name::parse(&[]).is_none());
    }
}
