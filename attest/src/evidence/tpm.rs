//! The `tpm` member: a quote, the PCR values, the AK, and the request key as the AK certified it (design, section 2).
//!
//! A CBOR map, deterministic: 1 quote (TPMS_ATTEST), 2 its signature (TPMT_SIGNATURE), 3 PCR values {TPM_ALG_ID: {index:
//! digest}}, 4 AK (TPMT_PUBLIC); where the request key lives in the TPM also 5 its TPMT_PUBLIC, 6 certification
//! (TPMS_ATTEST), 7 its signature; where the AK is the child of a primary, 8 that primary's name.

use super::{Context, Format, Member};
use crate::claims::{Claims, TpmClaims};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::tpm::{self, Attest, Attested, Public, Signature};
use crate::expected::{Name, TpmExpectation};
use crate::limits;
use crate::quote::{PcrValues, quoted_pcrs};
use crate::refusal::Refusal;
use crate::session::Label;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use subtle::ConstantTimeEq as _;

/// Media type of the member.
pub const MEDIA_TYPE: &str = "application/vnd.assay.tpm+cbor";

const WHAT: &str = "the tpm member";

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Tpm;

impl Format for Tpm {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn stands_under(&self, label: Label) -> bool {
        label == Label::Tpm
    }

    fn parse(&self, _label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal> {
        TpmEvidence::parse(value).map(|parsed| -> Box<dyn Member> { Box::new(parsed) })
    }
}

/// The parsed member.
#[derive(Clone, Debug)]
pub struct TpmEvidence {
    quote: Signed,
    pcrs: PcrValues,
    ak: Public,
    ak_parent: Option<Name>,
    request_key: Option<CertifiedKey>,
}

#[derive(Clone, Debug)]
struct Signed {
    attest: Attest,
    signature: Signature,
}

#[derive(Clone, Debug)]
struct CertifiedKey {
    public: Public,
    certification: Signed,
}

impl TpmEvidence {
    /// Parses the wrapper value.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let map = cbor::decode(WHAT, value, limits::TPM_BYTES, Form::Deterministic)?;
        let mut fields = Fields::new(WHAT, map)?;
        let quote = signed(&mut fields, 1, 2)?;
        let pcrs = pcr_values(fields.required(3)?)?;
        let ak = Public::parse(&fields.bytes(4, limits::TPM_STRUCTURE_BYTES)?)?;
        let request_key = match fields.optional(5) {
            None => None,
            Some(public) => Some(CertifiedKey {
                public: Public::parse(&cbor::bytes(WHAT, public, limits::TPM_STRUCTURE_BYTES)?)?,
                certification: signed(&mut fields, 6, 7)?,
            }),
        };
        let ak_parent = match fields.optional(8) {
            None => None,
            Some(name) => {
                let name = cbor::bytes(WHAT, name, 66)?;
                let parsed = Name::parse(&name).ok_or_else(|| Refusal::Malformed {
                    what: WHAT,
                    why: format!("{} bytes are no name", name.len()),
                })?;
                Some(parsed)
            }
        };
        fields.finish()?;
        Ok(Self {
            quote,
            pcrs,
            ak,
            ak_parent,
            request_key,
        })
    }

    /// The PCR values of the quote, where they are those that it quotes; nobody has checked who signed it.
    pub(crate) fn quoted(&self) -> Result<crate::claims::PcrBanks, Refusal> {
        quoted_pcrs(&self.quote.attest, &self.quote.signature, &self.pcrs)
    }

    fn check_ak(&self, context: &Context<'_>) -> Result<Name, Refusal> {
        let TpmExpectation::Pinned(pinned) = &context.expected.tpm else {
            return Err(Refusal::TpmUnexpected);
        };
        let name = self.ak.name()?;
        if !bool::from(name.as_bytes().ct_eq(pinned.as_bytes())) {
            return Err(Refusal::TpmOtherAk);
        }
        if !self.ak.attributes.is_attestation_key() {
            return Err(Refusal::TpmAkAttributes {
                found: self.ak.attributes.0,
            });
        }
        Ok(name)
    }

    /// Signature by the AK under its own scheme, the AK in the endorsement hierarchy, the binding as qualifying data.
    fn check_signed(
        &self,
        what: &'static str,
        signed: &Signed,
        ak_name: &Name,
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        let ids = signed.signature.ids;
        // A restricted key has one scheme; another in the message is a downgrade.
        if self.ak.scheme != Some(ids) {
            return Err(tpm::algorithm(what, ids.hash));
        }
        let scheme = ids
            .accepted()
            .ok_or_else(|| tpm::algorithm(what, ids.hash))?;
        let raw = signed
            .signature
            .raw_for(&self.ak.key)
            .ok_or(Refusal::TpmSignature { what })?;
        context
            .check
            .check(&self.ak.key, scheme, signed.attest.as_bytes(), &raw)
            .map_err(|_bad| Refusal::TpmSignature { what })?;
        let qualified = tpm::qualified_name(self.ak_parent.as_ref(), ak_name)?;
        if qualified.as_bytes() != signed.attest.qualified_signer {
            return Err(Refusal::TpmHierarchy { what });
        }
        if !context.binding.is(&signed.attest.extra_data) {
            return Err(Refusal::TpmBinding { what });
        }
        Ok(())
    }

    fn check_request_key(
        &self,
        certified: &CertifiedKey,
        ak_name: &Name,
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        let attest = &certified.certification.attest;
        let Attested::Certify { name, .. } = &attest.attested else {
            return Err(Refusal::TpmType {
                found: tpm::ATTEST_QUOTE,
            });
        };
        self.check_signed("certification", &certified.certification, ak_name, context)?;
        if certified.public.name()?.as_bytes() != name {
            return Err(Refusal::TpmCertifiedOther);
        }
        if !certified.public.attributes.is_request_key() {
            return Err(Refusal::TpmKeyAttributes {
                found: certified.public.attributes.0,
            });
        }
        // Equal keys have equal thumbprints; the session and the envelope bind the thumbprint.
        if certified.public.key != *context.expected.request_key.key() {
            return Err(Refusal::TpmOtherRequestKey);
        }
        Ok(())
    }
}

impl Member for TpmEvidence {
    fn verify(&self, context: &Context<'_>, claims: &mut Claims) -> Result<(), Refusal> {
        let ak_name = self.check_ak(context)?;
        self.check_signed("quote", &self.quote, &ak_name, context)?;
        let pcrs = quoted_pcrs(&self.quote.attest, &self.quote.signature, &self.pcrs)?;
        if let Some(certified) = &self.request_key {
            self.check_request_key(certified, &ak_name, context)?;
        }
        claims.tpm = Some(TpmClaims {
            ak_name,
            ak_parent: self.ak_parent.clone(),
            request_key_certified: self.request_key.is_some(),
            pcrs,
            clock: self.quote.attest.clock,
            firmware_version: self.quote.attest.firmware_version,
        });
        Ok(())
    }
}

fn signed(fields: &mut Fields, attest: i64, signature: i64) -> Result<Signed, Refusal> {
    Ok(Signed {
        attest: Attest::parse(&fields.bytes(attest, limits::TPM_STRUCTURE_BYTES)?)?,
        signature: Signature::parse(&fields.bytes(signature, limits::TPM_STRUCTURE_BYTES)?)?,
    })
}

fn pcr_values(value: Value) -> Result<PcrValues, Refusal> {
    let banks = entries(value)?;
    if banks.len() > limits::PCR_BANKS {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::PCR_BANKS,
        });
    }
    banks
        .into_iter()
        .map(|(bank, values)| Ok((number(&bank)?, bank_values(values)?)))
        .collect()
}

fn bank_values(value: Value) -> Result<BTreeMap<u8, Vec<u8>>, Refusal> {
    let read = |(index, value): (Value, Value)| {
        let index = u8::try_from(number(&index)?)
            .ok()
            .filter(|index| *index < limits::PCRS);
        let index = index.ok_or(Refusal::TooLarge {
            what: WHAT,
            limit: usize::from(limits::PCRS),
        })?;
        Ok((index, cbor::bytes(WHAT, value, 64)?))
    };
    entries(value)?.into_iter().map(read).collect()
}

fn entries(value: Value) -> Result<Vec<(Value, Value)>, Refusal> {
    value.into_map().map_err(|_other| Refusal::Malformed {
        what: WHAT,
        why: "pcr values are no map".into(),
    })
}

fn number(value: &Value) -> Result<u16, Refusal> {
    u16::try_from(cbor::unsigned(WHAT, value)?).map_err(|_large| Refusal::TooLarge {
        what: WHAT,
        limit: usize::from(u16::MAX),
    })
}
