//! Between what a TPM says and what evidence holds. No TPM is needed here.

use super::keys::EkKind;
use tss_esapi::Error;
use tss_esapi::abstraction::AsymmetricAlgorithmSelection;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{PcrSelectionList, PcrSlot, Signature};

pub(super) const fn selection(kind: EkKind) -> AsymmetricAlgorithmSelection {
    match kind {
        EkKind::P384 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP384),
        EkKind::P256 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
        EkKind::Rsa2048 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
    }
}

pub(super) fn selected(pcrs: &[u8]) -> Result<PcrSelectionList, Error> {
    let slots = pcrs
        .iter()
        .map(|pcr| PcrSlot::try_from(1u32.checked_shl(u32::from(*pcr)).unwrap_or(0)))
        .collect::<Result<Vec<_>, _>>()?;
    PcrSelectionList::builder()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
}

/// r and s, each 32 bytes.
pub(super) fn raw(signature: &Signature) -> Option<[u8; 64]> {
    let Signature::EcDsa(signature) = signature else {
        return None;
    };
    let mut out = [0; 64];
    let (r, s) = out.split_at_mut(32);
    for (slot, value) in [
        (r, signature.signature_r().value()),
        (s, signature.signature_s().value()),
    ] {
        let start = slot.len().checked_sub(value.len())?;
        slot.get_mut(start..)?.copy_from_slice(value);
    }
    Some(out)
}

/// The DER SEQUENCE that these bytes begin with: NV indices may be longer than the certificate in them.
pub(super) fn der_prefix(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x30, 0x82, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            bytes.get(..length.checked_add(4)?)
        }
        _ => None,
    }
}

/// Whether the certificate holds that key. One for another key (a template that is not the profile's) is no certificate.
pub(super) fn is_of_key(certificate: &[u8], public: &[u8]) -> bool {
    use assay_attest::key::PublicKey;
    let Ok(public) = assay_attest::codec::tpm::Public::parse(public) else {
        return false;
    };
    let needle: &[u8] = match &public.key {
        PublicKey::P256(point) => point.as_slice(),
        PublicKey::P384(point) => point.as_slice(),
        PublicKey::P521(point) => point.as_slice(),
        PublicKey::Rsa { modulus, .. } => modulus,
        PublicKey::Ed25519(key) => key,
    };
    certificate.windows(needle.len()).any(|at| at == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_cut_to_its_own_length() {
        let padded = [0x30, 0x82, 0, 2, 5, 0, 0xff, 0xff];
        assert_eq!(der_prefix(&padded), Some(&padded[..6]));
        assert_eq!(der_prefix(&padded[..5]), None);
        assert_eq!(der_prefix(&[0x31, 0x82, 0, 0]), None);
        assert_eq!(der_prefix(&[]), None);
    }

    #[test]
    fn there_are_twenty_four_pcrs() {
        assert!(selected(&[0, 23]).is_ok());
        assert!(selected(&[24]).is_err());
        assert!(selected(&[255]).is_err());
    }
}
