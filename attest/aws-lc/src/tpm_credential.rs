//! `TPM2_MakeCredential` in software: a secret that only the TPM which holds both EK and AK gives back.
//!
//! TPM 2.0 Library, Part 1, clause 24 (credential protection), 11.4.10 (KDFa, KDFe), annexes B.10.4 (RSA) and C.6.4 (ECC).
//! The other half is `TPM2_ActivateCredential`; this module never sees a private key of a TPM.

use assay_attest::codec::tpm::{Attributes, Public};
use assay_attest::key::PublicKey;
use aws_lc_rs::{agreement, cipher, digest, hmac, iv::FixedLength, rsa};
use zeroize::{Zeroize, Zeroizing};

/// The hash of an EK's Name and of all that is derived for it (TPMI_ALG_HASH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAlg {
    /// TPM_ALG_SHA256 (0x000B).
    Sha256,
    /// TPM_ALG_SHA384 (0x000C).
    Sha384,
}

/// The key size of an EK's symmetric parameters: AES in CFB mode (TPMT_SYM_DEF_OBJECT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AesBits {
    /// AES-128-CFB: the low-range EK templates.
    Aes128,
    /// AES-256-CFB: ECC P-384 and the larger templates.
    Aes256,
}

/// What a credential needs to know of an EK's TPMT_PUBLIC.
#[derive(Clone, Copy, Debug)]
pub struct EndorsementKey<'a> {
    /// RSA (2048 to 4096 bits), P-256 or P-384.
    pub key: &'a PublicKey,
    /// The key's nameAlg.
    pub name_alg: NameAlg,
    /// The key's symmetric parameters.
    pub symmetric: AesBits,
}

/// TPM_ALG_AES and TPM_ALG_CFB (TPM 2.0 Library, Part 2, 6.3).
const ALG_AES_CFB: (u16, u16) = (0x0006, 0x0043);

impl<'a> EndorsementKey<'a> {
    /// Takes what is needed out of a TPMT_PUBLIC.
    ///
    /// The key must be a restricted decryption key that never left its TPM and doesn't sign: only of such a key does an
    /// activation say that both keys are in one TPM.
    ///
    /// # Errors
    /// [`CredentialError::NotAnEk`]; [`CredentialError::Unsupported`] for other hashes and symmetric parameters.
    pub fn of(public: &'a Public) -> Result<Self, CredentialError> {
        let attributes = public.attributes;
        if !attributes.is_resident()
            || !attributes.all(Attributes::RESTRICTED | Attributes::DECRYPT)
            || !attributes.none(Attributes::SIGN)
        {
            return Err(CredentialError::NotAnEk);
        }
        let name_alg = match public.name_alg {
            0x000b => NameAlg::Sha256,
            0x000c => NameAlg::Sha384,
            _ => return Err(CredentialError::Unsupported),
        };
        let symmetric = match public.symmetric {
            Some((alg, 128, mode)) if (alg, mode) == ALG_AES_CFB => AesBits::Aes128,
            Some((alg, 256, mode)) if (alg, mode) == ALG_AES_CFB => AesBits::Aes256,
            Some(_) | None => return Err(CredentialError::Unsupported),
        };
        Ok(Self {
            key: &public.key,
            name_alg,
            symmetric,
        })
    }
}

/// What `TPM2_ActivateCredential` takes, each as a marshalled TPM2B (two bytes of length first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// TPM2B_ID_OBJECT: the HMAC and the encrypted secret.
    pub id_object: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET: the seed under the EK.
    pub encrypted_secret: Vec<u8>,
}

/// Why no credential was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The EK is of a kind that can't receive a secret, or its size is not supported.
    #[error("this kind of endorsement key is not supported: use RSA, P-256 or P-384")]
    Unsupported,
    /// The public area is not that of an endorsement key.
    #[error(
        "this is not an endorsement key: it must be restricted, decrypt, not sign, and never have left its tpm"
    )]
    NotAnEk,
    /// The EK's numbers are not a key: a point off its curve, an even modulus.
    #[error("the endorsement key is not a valid public key")]
    NotAKey,
    /// The Name is not a nameAlg followed by a digest of its length.
    #[error("the attestation key's name is not an algorithm and a digest of its length")]
    NotAName,
    /// The source of randomness failed.
    #[error("no randomness was to be had")]
    NoRandomness,
}

/// A source of randomness: fills the whole slice or fails.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), CredentialError> + 'a;

/// Wraps `secret` so that a TPM gives it back only if it holds `ek` and, loaded beside it, the object of this Name.
///
/// `name` is a TPM Name: two bytes of nameAlg and the digest, 34 or 50 bytes. `random` gives the seed (RSA) or the
/// ephemeral key (ECC); the padding of OAEP takes aws-lc's own.
///
/// # Errors
/// [`CredentialError`], before anything is made.
pub fn make_credential(
    ek: EndorsementKey<'_>,
    name: &[u8],
    secret: &[u8; 32],
    random: &mut Random<'_>,
) -> Result<Credential, CredentialError> {
    if !matches!(
        (name.first_chunk(), name.len()),
        (Some([0x00, 0x0b]), 34) | (Some([0x00, 0x0c]), 50)
    ) {
        return Err(CredentialError::NotAName);
    }
    let hash = ek.name_alg;
    let (seed, encrypted_secret) = match ek.key {
        PublicKey::Rsa { modulus, exponent } => rsa_seed(hash, modulus, exponent, random)?,
        PublicKey::P256(point) => ecc_seed(hash, &agreement::ECDH_P256, &**point, random)?,
        PublicKey::P384(point) => ecc_seed(hash, &agreement::ECDH_P384, &**point, random)?,
        PublicKey::P521(point) => ecc_seed(hash, &agreement::ECDH_P521, &**point, random)?,
        PublicKey::Ed25519(_) => return Err(CredentialError::Unsupported),
    };

    // Part 1, 24.4 and 24.5: encrypt, then authenticate the ciphertext together with the Name.
    let mut identity = Zeroizing::new(tpm2b(secret));
    let aes = kdf_a(hash, &seed, b"STORAGE", name, &[], ek.symmetric.bytes());
    encrypt_cfb(ek.symmetric, &aes, &mut identity)?;
    let mac_key = kdf_a(hash, &seed, b"INTEGRITY", &[], &[], hash.bytes());
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hash.hmac(), &mac_key));
    mac.update(&identity);
    mac.update(name);

    let mut object = tpm2b(mac.sign().as_ref());
    object.extend_from_slice(&identity);
    Ok(Credential {
        id_object: tpm2b(&object),
        encrypted_secret: tpm2b(&encrypted_secret),
    })
}

/// Annex B.10.4: a random seed under RSAES-OAEP with the label "IDENTITY", its terminator included.
fn rsa_seed(
    hash: NameAlg,
    modulus: &[u8],
    exponent: &[u8],
    random: &mut Random<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), CredentialError> {
    if !(256..=512).contains(&modulus.len()) || modulus.first() == Some(&0) {
        return Err(CredentialError::Unsupported);
    }
    let key: rsa::PublicEncryptingKey = aws_lc_rs::signature::RsaPublicKeyComponents {
        n: modulus,
        e: exponent,
    }
    .try_into()
    .map_err(|_| CredentialError::NotAKey)?;
    let key = rsa::OaepPublicEncryptingKey::new(key).map_err(|_| CredentialError::NotAKey)?;

    let mut seed = Zeroizing::new(vec![0; hash.bytes()]);
    random(&mut seed)?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(hash.oaep(), &seed, &mut sealed, Some(b"IDENTITY\0"))
        .map_err(|_| CredentialError::NotAKey)?
        .len();
    sealed.truncate(length);
    Ok((seed, sealed))
}

/// Annex C.6.4: one-pass Diffie-Hellman with a fresh key; the seed is KDFe of the shared x, the secret sent is the
/// fresh public point (TPMS_ECC_POINT).
fn ecc_seed(
    hash: NameAlg,
    curve: &'static agreement::Algorithm,
    point: &[u8],
    random: &mut Random<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), CredentialError> {
    let coordinate = point.len().saturating_sub(1) / 2;
    let ek_x = point.get(1..=coordinate).ok_or(CredentialError::NotAKey)?;
    let ephemeral = fresh_key(curve, coordinate, random)?;
    let public = ephemeral
        .compute_public_key()
        .map_err(|_| CredentialError::NotAKey)?;
    let (x, y) = public
        .as_ref()
        .get(1..)
        .and_then(|xy| xy.split_at_checked(coordinate))
        .ok_or(CredentialError::NotAKey)?;

    let peer = agreement::UnparsedPublicKey::new(curve, point);
    let seed = agreement::agree(&ephemeral, peer, CredentialError::NotAKey, |z| {
        Ok(kdf_e(hash, z, b"IDENTITY", x, ek_x, hash.bytes()))
    })?;
    let mut sent = tpm2b(x);
    sent.extend_from_slice(&tpm2b(y));
    Ok((seed, sent))
}

/// A private scalar straight from the random bytes: those at or over the group's order are drawn again.
fn fresh_key(
    curve: &'static agreement::Algorithm,
    length: usize,
    random: &mut Random<'_>,
) -> Result<agreement::PrivateKey, CredentialError> {
    // An order begins with 32 one-bits, so that a draw is refused once in four thousand million times.
    for _ in 0..8 {
        let mut scalar = Zeroizing::new(vec![0; length]);
        random(&mut scalar)?;
        if let Ok(key) = agreement::PrivateKey::from_private_key(curve, &scalar) {
            return Ok(key);
        }
    }
    Err(CredentialError::NoRandomness)
}

/// KDFa (11.4.10.2): SP 800-108 in counter mode with HMAC; `length` in bytes.
fn kdf_a(
    hash: NameAlg,
    key: &[u8],
    label: &[u8],
    context_u: &[u8],
    context_v: &[u8],
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hash.hmac(), key);
    let bits = u32::try_from(length.saturating_mul(8)).unwrap_or(u32::MAX);
    expand(length, |counter| {
        let mut block = hmac::Context::with_key(&key);
        for part in [
            &counter.to_be_bytes(),
            label,
            &[0],
            context_u,
            context_v,
            &bits.to_be_bytes(),
        ] {
            block.update(part);
        }
        block.sign().as_ref().to_vec()
    })
}

/// KDFe (11.4.10.3): SP 800-56A, a plain hash over counter, shared x, label and both parties' x; `length` in bytes.
fn kdf_e(
    hash: NameAlg,
    z: &[u8],
    label: &[u8],
    party_u: &[u8],
    party_v: &[u8],
    length: usize,
) -> Zeroizing<Vec<u8>> {
    expand(length, |counter| {
        let mut block = digest::Context::new(hash.digest());
        for part in [&counter.to_be_bytes(), z, label, &[0], party_u, party_v] {
            block.update(part);
        }
        block.finish().as_ref().to_vec()
    })
}

/// Blocks 1, 2, 3 ... one after the other, cut to `length`.
fn expand(length: usize, block: impl Fn(u32) -> Vec<u8>) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(
        length.saturating_add(digest::MAX_OUTPUT_LEN),
    ));
    let mut counter = 1u32;
    while out.len() < length {
        let mut next = block(counter);
        out.extend_from_slice(&next);
        next.zeroize();
        counter = counter.saturating_add(1);
    }
    out.truncate(length);
    out
}

/// AES-CFB with a zero IV, as 24.4 has it: the key is used once.
fn encrypt_cfb(bits: AesBits, key: &[u8], data: &mut [u8]) -> Result<(), CredentialError> {
    let algorithm = match bits {
        AesBits::Aes128 => &cipher::AES_128,
        AesBits::Aes256 => &cipher::AES_256,
    };
    let zero = cipher::EncryptionContext::Iv128(FixedLength::from([0; 16]));
    cipher::UnboundCipherKey::new(algorithm, key)
        .and_then(cipher::EncryptingKey::cfb128)
        .and_then(|key| key.less_safe_encrypt(data, zero))
        .map(|_| ())
        .map_err(|_| CredentialError::Unsupported)
}

/// Two bytes of length, then the bytes. All that is wrapped here is shorter than 64 KiB.
fn tpm2b(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(2));
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

impl NameAlg {
    const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
        }
    }

    fn oaep(self) -> &'static rsa::OaepAlgorithm {
        match self {
            Self::Sha256 => &rsa::OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &rsa::OAEP_SHA384_MGF1SHA384,
        }
    }
}

impl AesBits {
    const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }
}

#[cfg(test)]
mod tests;
