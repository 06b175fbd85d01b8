//! Secrets on their way to a DPU: HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) to the
//! key of one proof, with a plaintext that the delivery key signed.
//!
//! ```text
//! sealed    = enc (32 bytes) || ciphertext
//! plaintext = Ed25519 signature (64 bytes) || secret
//! info      = lp("assay/seal/1") lp(device) lp(result id) lp(lease id) lp(kind)
//! signed    = lp("assay/sealed/1") lp(info) lp(secret)
//! ```
//! The info binds the bytes to device, result, lease and kind; the signature tells whoever opened them that they come from
//! the nexus and not from somebody who knows the device's public key.

use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::key::{CheckSignature, PublicKey, Scheme};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::id::{DeviceId, LeaseId, ResultId};
use crate::lp;
use crate::signed::DeliveryKeys;

/// The most that a sealed secret may hold, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
const ENC: usize = 32;
const SIGNATURE: usize = 64;
const TAG: usize = 16;

/// What a sealed secret is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The device that may open it.
    pub device: &'a DeviceId,
    /// The Attestation Result that it was released under.
    pub result: &'a ResultId,
    /// The lease.
    pub lease: &'a LeaseId,
    /// The kind of secret, as the lease names it.
    pub kind: &'a str,
}

impl Context<'_> {
    fn info(&self) -> Vec<u8> {
        lp::join(&[
            b"assay/seal/1",
            self.device.as_str().as_bytes(),
            self.result.as_str().as_bytes(),
            self.lease.as_str().as_bytes(),
            self.kind.as_bytes(),
        ])
    }
}

/// Why a secret can't be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// Over [`MAX_SECRET`].
    #[error("the secret is over its limit of {MAX_SECRET} bytes")]
    TooLarge,
    /// The device's key is of another suite, or no point.
    #[error("the device's key can't be sealed to")]
    Key,
    /// The delivery key could not sign.
    #[error("the secret could not be signed: {0}")]
    Signer(String),
    /// Cut, or over its limit.
    #[error("the sealed secret has an impossible length")]
    Length,
    /// Sealed to another key or for another device, result, lease or kind; or changed.
    #[error(
        "the sealed secret does not open: it was sealed for another proof, device or lease, or changed on its way"
    )]
    Open,
    /// Opened, and not by the nexus.
    #[error("the sealed secret is not signed by a pinned delivery key")]
    Signature,
}

impl SealFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "seal.too_large",
            Self::Key => "seal.key",
            Self::Signer(_) => "seal.signer",
            Self::Length => "seal.length",
            Self::Open => "seal.open",
            Self::Signature => "seal.signature",
        }
    }
}

/// A fresh key pair from 32 random bytes (DeriveKeyPair, RFC 9180, 7.1.3): the private key, for locked memory, and the
/// public one, for the evidence.
#[must_use]
pub fn key_pair(random: &Zeroizing<[u8; 32]>) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let (private, public) = X25519HkdfSha256::derive_keypair(random.as_slice());
    let mut secret = Zeroizing::new([0; 32]);
    private.write_exact(secret.as_mut_slice());
    (secret, public.to_bytes().into())
}

/// Seals `secret` to a device's key; `sign` signs with the delivery key.
///
/// # Errors
/// [`SealFault::TooLarge`], [`SealFault::Key`], [`SealFault::Signer`].
pub fn seal<E: std::fmt::Display>(
    secret: &[u8],
    to: &HpkeKey,
    context: &Context<'_>,
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealFault> {
    if secret.len() > MAX_SECRET {
        return Err(SealFault::TooLarge);
    }
    let public = match to.kem() {
        Kem::X25519 => <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(to.public()),
        Kem::P256 => return Err(SealFault::Key),
    };
    let public = public.map_err(|_| SealFault::Key)?;
    let info = context.info();
    let signature = sign(&to_sign(&info, secret)).map_err(|e| SealFault::Signer(e.to_string()))?;
    let mut plain = Zeroizing::new(Vec::with_capacity(SIGNATURE.saturating_add(secret.len())));
    plain.extend_from_slice(&signature);
    plain.extend_from_slice(secret);
    let sealed = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &info,
        &plain,
        &[],
        rng,
    );
    let (enc, ciphertext) = sealed.map_err(|_| SealFault::Key)?;
    Ok([enc.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens a sealed secret with the private key of the proof it was released under, and checks who signed it.
///
/// # Errors
/// [`SealFault::Length`], [`SealFault::Key`], [`SealFault::Open`], [`SealFault::Signature`].
pub fn open(
    sealed: &[u8],
    private: &Zeroizing<[u8; 32]>,
    context: &Context<'_>,
    delivery_keys: &DeliveryKeys,
    checks: &dyn CheckSignature,
) -> Result<Zeroizing<Vec<u8>>, SealFault> {
    if sealed.len() > ENC + SIGNATURE + MAX_SECRET + TAG {
        return Err(SealFault::Length);
    }
    let (enc, ciphertext) = sealed.split_first_chunk::<ENC>().ok_or(SealFault::Length)?;
    let private = <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(private.as_slice());
    let enc = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(enc);
    let info = context.info();
    let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private.map_err(|_| SealFault::Key)?,
        &enc.map_err(|_| SealFault::Open)?,
        &info,
        ciphertext,
        &[],
    );
    let plain = Zeroizing::new(plain.map_err(|_| SealFault::Open)?);
    let (signature, secret) = plain
        .split_first_chunk::<SIGNATURE>()
        .ok_or(SealFault::Length)?;
    let signed = to_sign(&info, secret);
    let by = |key: &[u8; 32]| {
        checks
            .check(
                &PublicKey::Ed25519(*key),
                Scheme::Ed25519,
                &signed,
                signature,
            )
            .is_ok()
    };
    if delivery_keys.iter().any(by) {
        Ok(Zeroizing::new(secret.to_vec()))
    } else {
        Err(SealFault::Signature)
    }
}

fn to_sign(info: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(lp::join(&[b"assay/sealed/1", info, secret]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::SoftwareChecks;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use rand_core::{TryCryptoRng, TryRng};
    use std::convert::Infallible;

    /// Counts: repeatable, and good enough to test with.
    struct Counter(u8);

    impl TryRng for Counter {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            rand_core::utils::next_word_via_fill(self)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            rand_core::utils::next_word_via_fill(self)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            for byte in bytes {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
            Ok(())
        }
    }

    impl TryCryptoRng for Counter {}

    struct World {
        device: DeviceId,
        result: ResultId,
        lease: LeaseId,
        private: Zeroizing<[u8; 32]>,
        public: HpkeKey,
    }

    fn world() -> World {
        let (private, public) = key_pair(&Zeroizing::new([5; 32]));
        World {
            device: DeviceId::from_random(&[1; 16]),
            result: ResultId::from_random(&[2; 16]),
            lease: LeaseId::from_random(&[3; 16]),
            private,
            public: HpkeKey::new(Kem::X25519, &public).unwrap(),
        }
    }

    impl World {
        fn context(&self) -> Context<'_> {
            Context {
                device: &self.device,
                result: &self.result,
                lease: &self.lease,
                kind: "secret",
            }
        }

        fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, SealFault> {
            let key = SigningKey::from_bytes(&[7; 32]);
            let sign = |m: &[u8]| Ok::<_, Infallible>(key.sign(m).to_bytes());
            seal(secret, &self.public, &self.context(), sign, &mut Counter(0))
        }

        fn open(&self, sealed: &[u8], context: &Context<'_>) -> Result<Vec<u8>, SealFault> {
            open(sealed, &self.private, context, &pins(7), &SoftwareChecks).map(|s| s.to_vec())
        }
    }

    fn pins(seed: u8) -> DeliveryKeys {
        DeliveryKeys {
            current: SigningKey::from_bytes(&[seed; 32])
                .verifying_key()
                .to_bytes(),
            next: None,
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(text).unwrap()
    }

    /// RFC 9180, A.1.1: the recipient's key pair from its keying material, for the KEM that we use.
    #[test]
    fn key_pairs_are_derived_as_rfc_9180_has_it() {
        let ikm = hex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037");
        let (private, public) = key_pair(&Zeroizing::new(ikm.try_into().unwrap()));
        let mut expected = hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
        // RFC 7748, 5: the same scalar, clamped when stored and not only when used.
        expected[0] &= 248;
        expected[31] = expected[31] & 127 | 64;
        assert_eq!(private[..], expected);
        assert_eq!(
            public[..],
            hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
        );
    }

    #[test]
    fn a_secret_opens_where_it_was_sealed_for_and_nowhere_else() {
        let world = world();
        let sealed = world.seal(b"hunter2").unwrap();
        assert_eq!(world.open(&sealed, &world.context()).unwrap(), b"hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        let (device, result, lease) = (
            DeviceId::from_random(&[9; 16]),
            ResultId::from_random(&[9; 16]),
            LeaseId::from_random(&[9; 16]),
        );
        for context in [
            Context {
                device: &device,
                ..world.context()
            },
            Context {
                result: &result,
                ..world.context()
            },
            Context {
                lease: &lease,
                ..world.context()
            },
            Context {
                kind: "runtime",
                ..world.context()
            },
        ] {
            assert_eq!(world.open(&sealed, &context), Err(SealFault::Open));
        }
        let (other, _) = key_pair(&Zeroizing::new([6; 32]));
        let refused = open(&sealed, &other, &world.context(), &pins(7), &SoftwareChecks);
        assert_eq!(refused.unwrap_err(), SealFault::Open);
    }

    #[test]
    fn what_the_nexus_did_not_sign_is_refused() {
        let world = world();
        let sealed = world.seal(b"hunter2").unwrap();
        let refused = open(
            &sealed,
            &world.private,
            &world.context(),
            &pins(8),
            &SoftwareChecks,
        );
        assert_eq!(refused.unwrap_err().code(), "seal.signature");
        let forged = seal(
            b"evil",
            &world.public,
            &world.context(),
            |_| Ok::<_, Infallible>([0; 64]),
            &mut Counter(9),
        );
        assert_eq!(
            world.open(&forged.unwrap(), &world.context()),
            Err(SealFault::Signature)
        );
    }

    #[test]
    fn lengths_are_bounded() {
        let world = world();
        assert_eq!(
            world
                .open(&world.seal(b"").unwrap(), &world.context())
                .unwrap(),
            b""
        );
        let most = vec![1; MAX_SECRET];
        assert_eq!(
            world
                .open(&world.seal(&most).unwrap(), &world.context())
                .unwrap(),
            most
        );
        assert_eq!(
            world.seal(&vec![1; MAX_SECRET + 1]),
            Err(SealFault::TooLarge)
        );
        assert_eq!(
            world.open(&vec![1; MAX_SECRET + 200], &world.context()),
            Err(SealFault::Length)
        );
        assert_eq!(
            world.open(&[1; 31], &world.context()),
            Err(SealFault::Length)
        );
    }

    #[test]
    fn a_key_of_another_kem_or_small_order_is_refused() {
        let mut world = world();
        let mut point = [9; 65];
        point[0] = 4;
        world.public = HpkeKey::new(Kem::P256, &point).unwrap();
        assert_eq!(world.seal(b"x"), Err(SealFault::Key));
        world.public = HpkeKey::new(Kem::X25519, &[0; 32]).unwrap();
        assert_eq!(world.seal(b"x"), Err(SealFault::Key));
    }

    proptest! {
        #[test]
        fn one_bit_in_the_sealed_bytes_ends_it(at in any::<prop::sample::Index>(), bit in 0..8) {
            let world = world();
            let mut sealed = world.seal(b"hunter2").unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert!(world.open(&sealed, &world.context()).is_err());
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let world = world();
            prop_assert!(world.open(&bytes, &world.context()).is_err());
        }
    }
}
