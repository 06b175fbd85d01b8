//! Writes the `tpm` member from what a TPM gave, structure by structure as the TPM marshalled them.

use crate::claims::PcrBanks;
use crate::codec::cbor::{self, Value};
use crate::codec::tpm::alg_of;
use crate::evidence::tpm::TpmEvidence;
use crate::expected::Name;
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// What goes into the `tpm` member. All structures without the TPM2B length in front.
#[derive(Clone, Debug)]
pub struct TpmParts {
    /// TPMS_ATTEST of TPM2_Quote.
    pub quote: Vec<u8>,
    /// Its TPMT_SIGNATURE.
    pub quote_signature: Vec<u8>,
    /// The quoted PCRs, exactly the quote's selection.
    pub pcrs: PcrBanks,
    /// TPMT_PUBLIC of the AK.
    pub ak: Vec<u8>,
    /// Name of the AK's parent, where the AK is the child of a primary (`tpm2_createak` makes it one of the EK); `None`
    /// where the AK itself is a primary of the endorsement hierarchy.
    pub ak_parent: Option<Name>,
    /// The request key, where it lives in the TPM.
    pub request_key: Option<CertifiedKeyParts>,
}

/// The request key and how the AK certified it.
#[derive(Clone, Debug)]
pub struct CertifiedKeyParts {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// TPMS_ATTEST of TPM2_Certify.
    pub certification: Vec<u8>,
    /// Its TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// The member's value; its media type is [`crate::evidence::tpm::MEDIA_TYPE`].
///
/// # Errors
/// What the Verifier's parser would refuse.
pub fn member(parts: &TpmParts) -> Result<Vec<u8>, Refusal> {
    let mut entries = alloc::vec![
        (1, Value::Bytes(parts.quote.clone())),
        (2, Value::Bytes(parts.quote_signature.clone())),
        (3, pcr_values(&parts.pcrs)),
        (4, Value::Bytes(parts.ak.clone())),
    ];
    if let Some(key) = &parts.request_key {
        entries.push((5, Value::Bytes(key.public.clone())));
        entries.push((6, Value::Bytes(key.certification.clone())));
        entries.push((7, Value::Bytes(key.signature.clone())));
    }
    if let Some(parent) = &parts.ak_parent {
        entries.push((8, Value::Bytes(parent.as_bytes().to_vec())));
    }
    let entries = entries
        .into_iter()
        .map(|(key, value)| (Value::Integer(key.into()), value));
    let value = cbor::encode(Value::Map(entries.collect()));
    TpmEvidence::parse(&value)?;
    Ok(value)
}

fn pcr_values(banks: &PcrBanks) -> Value {
    let bank = |values: &alloc::collections::BTreeMap<u8, crate::digest::Digest>| {
        let entries = values.iter().map(|(index, digest)| {
            (
                Value::Integer((*index).into()),
                Value::Bytes(digest.bytes().to_vec()),
            )
        });
        Value::Map(entries.collect())
    };
    let entries = banks
        .iter()
        .map(|(hash, values)| (Value::Integer(alg_of(*hash).into()), bank(values)));
    Value::Map(entries.collect())
}
