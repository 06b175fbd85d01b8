//! Open Profile for DICE (2.5): the inputs of a layer, in an X.509 extension or a CWT, and chains of CWTs.
//!
//! A chain of CWTs is a CBOR array: the key of the UDS (COSE_Key) and one COSE_Sign1 for each layer, the first signed by the UDS,
//! each next by the key that the one before names. Android writes it so (bare, as a field of its handover, or with the key in a
//! byte string: "explicit key"), and so does the profile's own reference code.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::cbor::{self, Fields, Form, Value};
use super::cose::Sign1;
use super::cose_key;
use super::der::{Walk, context, malformed, single};
use super::x509::Extension;
use crate::key::{CheckSignature, PublicKey};
use crate::limits;
use crate::refusal::Refusal;

/// The profile's extension: 1.3.6.1.4.1.11129.2.1.24.
pub const INPUTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.24");

const WHAT: &str = "open dice inputs";
const CHAIN: &str = "open dice chain";

/// CWT labels of the profile (section 4.2.2), from the first downwards in the order of the extension's fields.
const CODE_HASH: i64 = -4_670_545;
const CODE_DESCRIPTOR: i64 = -4_670_546;
const CONFIGURATION_HASH: i64 = -4_670_547;
const CONFIGURATION_DESCRIPTOR: i64 = -4_670_548;
const AUTHORITY_HASH: i64 = -4_670_549;
const AUTHORITY_DESCRIPTOR: i64 = -4_670_550;
const MODE: i64 = -4_670_551;
const SUBJECT_KEY: i64 = -4_670_552;
const KEY_USAGE: i64 = -4_670_553;
const PROFILE: i64 = -4_670_554;
const ISSUER: i64 = 1;
const SUBJECT: i64 = 2;

/// keyCertSign as the profile writes it: bit 5 of the first byte.
const KEY_CERT_SIGN: u8 = 0x20;

/// The mode of a layer: only `Normal` is fit for production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Security mechanisms are not set up.
    NotConfigured,
    /// Production.
    Normal,
    /// Debugging is possible.
    Debug,
    /// Recovery or maintenance.
    Recovery,
}

impl Mode {
    const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::NotConfigured),
            1 => Some(Self::Normal),
            2 => Some(Self::Debug),
            3 => Some(Self::Recovery),
            _ => None,
        }
    }

    /// `not-configured`, `normal`, `debug`, `recovery`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::Normal => "normal",
            Self::Debug => "debug",
            Self::Recovery => "recovery",
        }
    }

    /// The operational flags of DiceTcbInfo that say the same: bit 0 notConfigured, 2 recovery, 3 debug.
    #[must_use]
    pub const fn flags(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::NotConfigured => 1,
            Self::Recovery => 1 << 2,
            Self::Debug => 1 << 3,
        }
    }
}

/// The inputs that a layer was measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Hash of the code: 32, 48 or 64 bytes.
    pub code_hash: Vec<u8>,
    /// More about the code, opaque.
    pub code_descriptor: Option<Vec<u8>>,
    /// Hash of the configuration, where it is not stated itself.
    pub configuration_hash: Option<Vec<u8>>,
    /// The configuration, or what its hash is taken of; opaque here.
    pub configuration_descriptor: Option<Vec<u8>>,
    /// Hash of the authority that vouched for the code.
    pub authority_hash: Vec<u8>,
    /// More about the authority, opaque.
    pub authority_descriptor: Option<Vec<u8>>,
    /// The mode.
    pub mode: Mode,
    /// Which profile, where stated.
    pub profile: Option<String>,
}

impl Inputs {
    /// The inputs in a certificate's extensions; `None` where there are none.
    ///
    /// # Errors
    /// `evidence.malformed` and the like.
    pub fn of(extensions: &[Extension]) -> Result<Option<Self>, Refusal> {
        extensions
            .iter()
            .find(|extension| extension.oid == INPUTS)
            .map(|extension| Self::parse(&extension.value))
            .transpose()
    }

    /// `SEQUENCE { codeHash [0], codeDescriptor [1], configurationHash [2], configurationDescriptor [3], authorityHash [4],
    /// authorityDescriptor [5] (OCTET STRINGs), mode [6] ENUMERATED, profileName [7] UTF8String }`, all explicit and optional.
    ///
    /// # Errors
    /// `evidence.malformed` and the like: code, authority and mode must be there, configuration in one of its ways.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let mut octets = |number| -> Result<Option<Vec<u8>>, Refusal> {
            let Some(outer) = fields.optional(context(number))? else {
                return Ok(None);
            };
            let inner = single(WHAT, Tag::OctetString, outer.value)?;
            Ok(Some(inner.value.to_vec()))
        };
        let [code_hash, code_descriptor] = [octets(0)?, octets(1)?];
        let [configuration_hash, configuration_descriptor] = [octets(2)?, octets(3)?];
        let [authority_hash, authority_descriptor] = [octets(4)?, octets(5)?];
        let mode = match fields.optional(context(6))? {
            None => None,
            Some(outer) => match single(WHAT, Tag::Enumerated, outer.value)?.value {
                [number] => Mode::of(*number),
                _ => None,
            },
        };
        let profile = match fields.optional(context(7))? {
            None => None,
            Some(outer) => Some(text(single(WHAT, Tag::Utf8String, outer.value)?.value)?),
        };
        fields.end()?;
        Self {
            code_hash: code_hash.unwrap_or_default(),
            code_descriptor,
            configuration_hash,
            configuration_descriptor,
            authority_hash: authority_hash.unwrap_or_default(),
            authority_descriptor,
            mode: mode.ok_or_else(|| malformed(WHAT, "the mode is missing or not known"))?,
            profile,
        }
        .complete()
    }

    /// What the profile demands of any form: hashes of a hash's length, each input there.
    fn complete(self) -> Result<Self, Refusal> {
        let hash = |bytes: &[u8]| matches!(bytes.len(), 32 | 48 | 64);
        if !hash(&self.code_hash) {
            return Err(malformed(WHAT, "the code hash is missing or no hash"));
        }
        if !hash(&self.authority_hash) {
            return Err(malformed(WHAT, "the authority hash is missing or no hash"));
        }
        if self
            .configuration_hash
            .as_ref()
            .is_some_and(|bytes| !hash(bytes))
            || (self.configuration_hash.is_none() && self.configuration_descriptor.is_none())
        {
            return Err(malformed(WHAT, "the configuration is missing or no hash"));
        }
        Ok(self)
    }

    fn of_claims(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut bytes = |label| {
            fields
                .optional(label)
                .map(|value| cbor::bytes(CHAIN, value, limits::OPEN_DICE_BYTES))
                .transpose()
        };
        let code_hash = bytes(CODE_HASH)?.unwrap_or_default();
        let code_descriptor = bytes(CODE_DESCRIPTOR)?;
        let configuration_hash = bytes(CONFIGURATION_HASH)?;
        let configuration_descriptor = bytes(CONFIGURATION_DESCRIPTOR)?;
        let authority_hash = bytes(AUTHORITY_HASH)?.unwrap_or_default();
        let authority_descriptor = bytes(AUTHORITY_DESCRIPTOR)?;
        // A byte string of one byte; older writers have the number itself.
        let mode = match fields.required(MODE)? {
            Value::Bytes(bytes) => match bytes.as_slice() {
                [number] => Mode::of(*number),
                _ => None,
            },
            other => u8::try_from(cbor::unsigned(CHAIN, &other)?)
                .ok()
                .and_then(Mode::of),
        };
        let profile = fields
            .optional(PROFILE)
            .map(|value| cbor::text(CHAIN, value, limits::TEXT_BYTES))
            .transpose()?;
        Self {
            code_hash,
            code_descriptor,
            configuration_hash,
            configuration_descriptor,
            authority_hash,
            authority_descriptor,
            mode: mode.ok_or_else(|| malformed(CHAIN, "the mode of a layer is not known"))?,
            profile,
        }
        .complete()
    }
}

/// One layer of a chain of CWTs, not yet verified.
#[derive(Clone, Debug)]
pub struct Link {
    signed: Sign1,
    /// Who issued it (`iss`).
    pub issuer: String,
    /// Of whom it speaks (`sub`).
    pub subject: String,
    /// The layer's key: it signs the next one.
    pub key: PublicKey,
    /// Whether it may.
    pub signs_certificates: bool,
    /// What the layer was measured by; the first link of a chain of one, which the UDS signed for itself, has none.
    pub inputs: Option<Inputs>,
}

/// A chain of CWTs, parsed and not yet trusted.
#[derive(Clone, Debug)]
pub struct CwtChain {
    root: PublicKey,
    links: Vec<Link>,
}

impl CwtChain {
    /// Parses `[COSE_Key, + COSE_Sign1]`, `[1, bstr COSE_Key, + COSE_Sign1]`, or a map (a handover) with such an array under 3.
    ///
    /// # Errors
    /// The shape's refusals; `chain.too_short` for a key alone, `chain.too_long`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = cbor::decode(CHAIN, bytes, limits::OPEN_DICE_BYTES, Form::WellFormed)?;
        let value = match value {
            // CdiHandover: 1 and 2 are secrets of the next layer and are not looked at.
            map @ Value::Map(_) => Fields::new(CHAIN, map)?.required(3)?,
            other => other,
        };
        let Value::Array(mut items) = value else {
            return Err(malformed(CHAIN, "it is no array"));
        };
        if items.is_empty() {
            return Err(Refusal::ChainTooShort { limit: 2 });
        }
        let mut links = items.split_off(1);
        let first = items.pop().unwrap_or(Value::Null);
        let root = if first == Value::from(1) {
            if links.is_empty() {
                return Err(Refusal::ChainTooShort { limit: 2 });
            }
            let key = cbor::bytes(CHAIN, links.remove(0), limits::CLAIMS_BYTES)?;
            cbor::decode(CHAIN, &key, limits::CLAIMS_BYTES, Form::WellFormed)?
        } else {
            first
        };
        if links.is_empty() {
            return Err(Refusal::ChainTooShort { limit: 2 });
        }
        if links.len() > limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        Ok(Self {
            root: cose_key::parse(root)?,
            links: links.into_iter().map(link).collect::<Result<_, _>>()?,
        })
    }

    /// The key that the file begins with: whose it is, no signature says.
    #[must_use]
    pub const fn root(&self) -> &PublicKey {
        &self.root
    }

    /// The layers from the UDS's side.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Checks every link from the UDS's key, which must be one of `pinned`. Gives the key of the last layer.
    ///
    /// # Errors
    /// `chain.no_anchor`; `chain.signature`, `chain.name`, `chain.key_usage`, `chain.duplicate` with the link's place, 1 being the one
    /// that the UDS signed.
    pub fn verify(
        &self,
        pinned: &[PublicKey],
        check: &dyn CheckSignature,
    ) -> Result<&PublicKey, Refusal> {
        if !pinned.contains(&self.root) {
            return Err(Refusal::ChainNoAnchor);
        }
        let mut above: Option<&Link> = None;
        for (at, link) in self.links.iter().enumerate() {
            let index = at.saturating_add(1);
            let key = above.map_or(&self.root, |above| &above.key);
            if above.is_some_and(|above| above.subject != link.issuer) {
                return Err(Refusal::ChainName { index });
            }
            if above.is_some_and(|above| !above.signs_certificates) {
                return Err(Refusal::ChainKeyUsage { index: at });
            }
            link.signed
                .verify(key, b"", check)
                .map_err(|refusal| match refusal {
                    Refusal::CoseSignature => Refusal::ChainSignature { index },
                    other => other,
                })?;
            above = Some(link);
        }
        // A chain of one, which the UDS signed for itself, has one key twice.
        let degenerate = self.links.len() == 1;
        for (at, link) in self.links.iter().enumerate() {
            let earlier = self
                .links
                .iter()
                .take(at)
                .any(|other| other.key == link.key);
            if earlier || (link.key == self.root && !degenerate) {
                return Err(Refusal::ChainDuplicate {
                    index: at.saturating_add(1),
                });
            }
        }
        self.links
            .last()
            .map(|link| &link.key)
            .ok_or(Refusal::ChainTooShort { limit: 2 })
    }
}

fn link(item: Value) -> Result<Link, Refusal> {
    let item = match item {
        Value::Bytes(bytes) => bytes,
        other => cbor::write(&other),
    };
    let signed = Sign1::parse(&item)?;
    let payload = cbor::decode(
        CHAIN,
        signed.payload_unverified(),
        limits::OPEN_DICE_BYTES,
        Form::WellFormed,
    )?;
    let mut fields = Fields::new(CHAIN, payload)?;
    let issuer = fields.text(ISSUER, limits::TEXT_BYTES)?;
    let subject = fields.text(SUBJECT, limits::TEXT_BYTES)?;
    let key = fields.bytes(SUBJECT_KEY, limits::CLAIMS_BYTES)?;
    let key = cbor::decode(CHAIN, &key, limits::CLAIMS_BYTES, Form::WellFormed)?;
    // Little-endian bits (section 4.2.2); some writers have the number.
    let signs_certificates = match fields.required(KEY_USAGE)? {
        Value::Bytes(bytes) => bytes.first().is_some_and(|byte| byte & KEY_CERT_SIGN != 0),
        other => cbor::unsigned(CHAIN, &other)? & u64::from(KEY_CERT_SIGN) != 0,
    };
    let stated = [CODE_HASH, MODE, AUTHORITY_HASH, CONFIGURATION_DESCRIPTOR]
        .iter()
        .any(|label| fields.has(*label));
    let inputs = if stated {
        Some(Inputs::of_claims(&mut fields)?)
    } else {
        None
    };
    Ok(Link {
        signed,
        issuer,
        subject,
        key: cose_key::parse(key)?,
        signs_certificates,
        inputs,
    })
}

fn text(bytes: &[u8]) -> Result<String, Refusal> {
    if bytes.len() > limits::TEXT_BYTES {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::TEXT_BYTES,
        });
    }
    core::str::from_utf8(bytes)
        .map(ToString::to_string)
        .map_err(|_| malformed(WHAT, "the profile's name is not UTF-8"))
}
