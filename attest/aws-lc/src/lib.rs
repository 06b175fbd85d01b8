//! Signature checks and TPM credentials on aws-lc, for `assay-attest` in the nexus and the CLI.
//!
//! [`AwsLc`] fills [`CheckSignature`]; [`tpm_credential`] makes the credential that only one TPM can activate.
#![forbid(unsafe_code)]

pub mod tpm_credential;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use assay_attest::codec::spki;
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA512_ASN1,
    ECDSA_P521_SHA256_FIXED, ECDSA_P521_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use ed25519_dalek::VerifyingKey;

/// The longest RSA modulus that is checked, in bytes: 4096 bits. A longer one costs the checker more than it proves.
const RSA_MODULUS_MAX: usize = 512;
/// The longest RSA exponent, in bytes: FIPS 186-5, 5.4 allows up to 256 bits, TPMs and their CAs use 32.
const RSA_EXPONENT_MAX: usize = 4;

/// Checks signatures with aws-lc (ECDSA, RSA) and ed25519-dalek (`verify_strict`).
///
/// The key decides the family: ECDSA on its curve, RSA or Ed25519; a scheme of another family is a [`BadSignature`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AwsLc;

impl CheckSignature for AwsLc {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        match (key, scheme) {
            (PublicKey::Ed25519(bytes), Scheme::Ed25519) => ed25519(bytes, message, signature),
            (PublicKey::P256(point), _) => ec256(&**point, scheme, message, signature),
            (PublicKey::P384(point), _) => ec384(&**point, scheme, message, signature),
            (PublicKey::P521(point), _) => {
                let algorithm = match scheme {
                    Scheme::EcdsaSha256 => &ECDSA_P521_SHA256_FIXED,
                    Scheme::EcdsaSha384 => &ECDSA_P521_SHA384_FIXED,
                    Scheme::EcdsaSha512 => &ECDSA_P521_SHA512_FIXED,
                    _ => return Err(BadSignature),
                };
                ecdsa(algorithm, &**point, message, signature)
            }
            (PublicKey::Rsa { modulus, exponent }, _) => {
                rsa(modulus, exponent, scheme, message, signature)
            }
            (PublicKey::Ed25519(_), _) => Err(BadSignature),
        }
    }
}

/// Points of keys that were asked for lately. Finding a point takes a tenth of the time of a check, and callers come again.
static POINTS: LazyLock<RwLock<HashMap<[u8; 32], VerifyingKey>>> = LazyLock::new(RwLock::default);
/// How many of them; past that they are forgotten, all at once.
const POINTS_MAX: usize = 1024;

fn point(key: &[u8; 32]) -> Result<VerifyingKey, BadSignature> {
    let points = POINTS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(point) = points.get(key) {
        return Ok(*point);
    }
    drop(points);
    let point = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    let mut points = POINTS.write().unwrap_or_else(PoisonError::into_inner);
    if points.len() >= POINTS_MAX {
        points.clear();
    }
    points.insert(*key, point);
    Ok(point)
}

fn ed25519(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let key = point(key)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    key.verify_strict(message, &signature)
        .map_err(|_| BadSignature)
}

fn ec256(
    point: &[u8],
    scheme: Scheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    match scheme {
        Scheme::EcdsaSha256 => ecdsa(&ECDSA_P256_SHA256_FIXED, point, message, signature),
        Scheme::EcdsaSha384 => mixed(&ECDSA_P256_SHA384_ASN1, 32, point, message, signature),
        Scheme::EcdsaSha512 => mixed(&ECDSA_P256_SHA512_ASN1, 32, point, message, signature),
        _ => Err(BadSignature),
    }
}

fn ec384(
    point: &[u8],
    scheme: Scheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    match scheme {
        Scheme::EcdsaSha256 => mixed(&ECDSA_P384_SHA256_ASN1, 48, point, message, signature),
        Scheme::EcdsaSha384 => ecdsa(&ECDSA_P384_SHA384_FIXED, point, message, signature),
        Scheme::EcdsaSha512 => mixed(&ECDSA_P384_SHA512_ASN1, 48, point, message, signature),
        _ => Err(BadSignature),
    }
}

/// aws-lc has a curve with another's hash for DER signatures only. A number of zero or one over the order is refused there.
fn mixed(
    algorithm: &'static EcdsaVerificationAlgorithm,
    field: usize,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    if signature.len() != field.saturating_mul(2) {
        return Err(BadSignature);
    }
    ecdsa(algorithm, point, message, &spki::ecdsa_der(signature))
}

fn ecdsa(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    // aws-lc also reads compressed points; a key has one encoding here, or one key would have two identities.
    if point.first() != Some(&0x04) {
        return Err(BadSignature);
    }
    algorithm
        .verify_sig(point, message, signature)
        .map_err(|_| BadSignature)
}

fn rsa(
    modulus: &[u8],
    exponent: &[u8],
    scheme: Scheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let parameters: &'static RsaParameters = match scheme {
        Scheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        Scheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        Scheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        Scheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
        Scheme::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        Scheme::Ed25519 | Scheme::EcdsaSha256 | Scheme::EcdsaSha384 | Scheme::EcdsaSha512 => {
            return Err(BadSignature);
        }
    };
    let padded = |number: &[u8]| number.first().is_none_or(|&first| first == 0);
    if padded(modulus)
        || padded(exponent)
        || modulus.len() > RSA_MODULUS_MAX
        || exponent.len() > RSA_EXPONENT_MAX
    {
        return Err(BadSignature);
    }
    RsaPublicKeyComponents {
        n: modulus,
        e: exponent,
    }
    .verify(parameters, message, signature)
    .map_err(|_| BadSignature)
}
