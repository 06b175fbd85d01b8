//! DICE extensions: which firmware a layer's certificate stands for.
//!
//! Four layouts are in the field, and one object identifier means two of them: under 2.23.133.5.4.1 the first element
//! tells RIoT (INTEGER) from DiceTcbInfo (context tag). Anything else is an error, never "no firmware".

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{
    Element, Walk, context, context_primitive, malformed, named_bits, single, unsigned,
};
use super::open_dice;
use super::x509::{Certificate, Extension, SUBJECT_ALT_NAME};
use crate::digest::{Digest, HashAlg};
use crate::limits;
use crate::refusal::Refusal;

/// tcg-dice-TcbInfo (TCG DICE Attestation Architecture 1.1, 6.1); NVIDIA puts RIoT's CompositeDeviceID there.
pub(crate) const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
const NVIDIA_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");
const UEID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.4");
const MULTI_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.5");

/// The operational flags that have a meaning: bits 0 to 8. Caliptra also sets bit 31, to make the encoding's length fixed.
const DEFINED_FLAGS: u32 = 0x1ff;

/// How a certificate states its firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiceLayout {
    /// RIoT CompositeDeviceID under 2.23.133.5.4.1: BlueField-3, GH100, LS10.
    Riot,
    /// DiceTcbInfo under NVIDIA's 2.23.133.5.4.1.1: Blackwell.
    NvidiaTcbInfo,
    /// DiceTcbInfo under 2.23.133.5.4.1.
    TcbInfo,
    /// DiceMultiTcbInfo under 2.23.133.5.4.5.
    MultiTcbInfo,
    /// RIoT CompositeDeviceID as an otherName of the subject's alternative names.
    RiotAltName,
    /// The inputs of the Open Profile for DICE under 1.3.6.1.4.1.11129.2.1.24.
    OpenDice,
}

impl DiceLayout {
    /// `riot`, `nvidia-tcbinfo`, `tcbinfo`, `multi-tcbinfo`, `riot-san`, `open-dice`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Riot => "riot",
            Self::NvidiaTcbInfo => "nvidia-tcbinfo",
            Self::TcbInfo => "tcbinfo",
            Self::MultiTcbInfo => "multi-tcbinfo",
            Self::RiotAltName => "riot-san",
            Self::OpenDice => "open-dice",
        }
    }
}

/// The hash of a firmware digest. SHA-3 is read, and compared by nobody yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FwidAlg {
    /// SHA-256, -384 or -512.
    Sha2(HashAlg),
    /// SHA3-256, -384 or -512, by its size in bytes.
    Sha3(usize),
}

impl FwidAlg {
    fn of(oid: ObjectIdentifier) -> Option<Self> {
        let last = oid.arcs().last().filter(|_| {
            oid.parent() == Some(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2"))
        })?;
        match last {
            1 => Some(Self::Sha2(HashAlg::Sha256)),
            2 => Some(Self::Sha2(HashAlg::Sha384)),
            3 => Some(Self::Sha2(HashAlg::Sha512)),
            8 => Some(Self::Sha3(32)),
            9 => Some(Self::Sha3(48)),
            10 => Some(Self::Sha3(64)),
            _ => None,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Sha2(alg) => alg.size(),
            Self::Sha3(size) => size,
        }
    }
}

/// A firmware digest (FWID) of its algorithm's length. All zero is "present but unused" and must match no reference value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fwid {
    /// The hash.
    pub alg: FwidAlg,
    /// As many bytes as it gives.
    pub digest: Vec<u8>,
}

impl Fwid {
    /// Whether every byte is zero: a place that is there and not used.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digest.iter().all(|byte| *byte == 0)
    }

    /// As a digest that reference values can be compared with.
    ///
    /// # Errors
    /// `evidence.unsupported` for SHA-3.
    pub fn to_digest(&self) -> Result<Digest, Refusal> {
        let unsupported = || Refusal::Unsupported {
            what: "firmware digest",
            found: "sha3".to_string(),
        };
        match self.alg {
            FwidAlg::Sha2(alg) => Digest::new(alg, &self.digest).ok_or_else(unsupported),
            FwidAlg::Sha3(_) => Err(unsupported()),
        }
    }
}

/// DiceTcbInfo, as far as it is stated (TCG DICE Attestation Architecture 1.1, 6.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcbInfo {
    /// Who made it.
    pub vendor: Option<String>,
    /// What it is.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Security version number: never goes back.
    pub svn: Option<u64>,
    /// Layer number.
    pub layer: Option<u64>,
    /// Index among like components.
    pub index: Option<u64>,
    /// Firmware digests in their order.
    pub fwids: Vec<Fwid>,
    /// Operational flags that count: those set and, where a mask is given, within it. Bit 0 notConfigured, 1 notSecure,
    /// 2 recovery, 3 debug, 4 notReplayProtected, 5 notIntegrityProtected, 6 notRuntimeMeasured, 7 notImmutable, 8 notTcb.
    pub flags: u32,
    /// Vendor's own, opaque.
    pub vendor_info: Vec<u8>,
    /// Kind of component, opaque.
    pub kind: Vec<u8>,
    /// flags as they are stated, whatever the mask.
    pub stated_flags: Option<u32>,
    /// flagsMask, where stated.
    pub flags_mask: Option<u32>,
    /// Registers that are extended while the layer runs (DICE Attestation Architecture 1.2, 6.1.3).
    pub registers: Vec<IntegrityRegister>,
}

/// An integrity register: named, numbered or both, with its digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityRegister {
    /// registerName, ASCII.
    pub name: Option<String>,
    /// registerNum.
    pub number: Option<u64>,
    /// registerDigests, one for each algorithm.
    pub digests: Vec<Fwid>,
}

/// What a certificate says of its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Where it says so.
    pub layout: DiceLayout,
    /// The device key that it names (RIoT only): its issuer's SubjectPublicKeyInfo, DER.
    pub device_spki: Option<Vec<u8>>,
    /// One entry per component; RIoT and DiceTcbInfo have one.
    pub tcb: Vec<TcbInfo>,
}

impl LayerInfo {
    /// All firmware digests in their order.
    pub fn fwids(&self) -> impl Iterator<Item = &Fwid> {
        self.tcb.iter().flat_map(|tcb| &tcb.fwids)
    }

    /// Reads a certificate; `None` where it says nothing of firmware. `index` is its place, for refusals.
    ///
    /// # Errors
    /// `evidence.malformed` and the like, `dice.layouts` for two statements, `dice.fwid_twice`.
    pub fn of(index: usize, certificate: &Certificate) -> Result<Option<Self>, Refusal> {
        Self::of_extensions(index, certificate.extensions())
    }

    /// Reads the extensions of a certificate or of a request for one.
    ///
    /// # Errors
    /// As [`LayerInfo::of`].
    pub fn of_extensions(index: usize, extensions: &[Extension]) -> Result<Option<Self>, Refusal> {
        let mut found: Option<Self> = None;
        for extension in extensions {
            let info = match extension.oid {
                TCB_INFO => Some(Self::tcb_info_or_riot(index, &extension.value)?),
                NVIDIA_TCB_INFO => Some(Self::nvidia(index, &extension.value)?),
                MULTI_TCB_INFO => Some(Self::multi(index, &extension.value)?),
                open_dice::INPUTS => {
                    Some(Self::open(&open_dice::Inputs::parse(&extension.value)?)?)
                }
                SUBJECT_ALT_NAME => Self::alt_name(&extension.value)?,
                _ => None,
            };
            if info.is_some() && found.is_some() {
                return Err(Refusal::DiceLayouts { index });
            }
            found = info.or(found);
        }
        Ok(found)
    }

    /// The value of an extension on its own, outside of any certificate: a TcbInfo, MultiTcbInfo, CompositeDeviceID, or
    /// GeneralNames with one. `None` for anything else. Nothing covers it.
    #[must_use]
    pub fn bare(der: &[u8]) -> Option<Self> {
        if let Ok(Some(info)) = Self::alt_name(der) {
            return Some(info);
        }
        let named = |info: &Self| info.fwids().next().is_some();
        Self::tcb_info_or_riot(0, der)
            .ok()
            .filter(named)
            .or_else(|| Self::multi(0, der).ok().filter(named))
    }

    fn tcb_info_or_riot(index: usize, der: &[u8]) -> Result<Self, Refusal> {
        let element = single("DICE extension", Tag::Sequence, der)?;
        match Walk::new("DICE extension", element.value)?.peek()? {
            Some(Tag::Integer) => Self::riot(DiceLayout::Riot, element),
            Some(Tag::ContextSpecific { .. }) => {
                let tcb = tcb_info(element)?;
                one_digest_per_algorithm(index, &tcb)?;
                Ok(Self {
                    layout: DiceLayout::TcbInfo,
                    device_spki: None,
                    tcb: alloc::vec![tcb],
                })
            }
            Some(_) | None => Err(malformed(
                "DICE extension",
                "neither a DiceTcbInfo nor a CompositeDeviceID",
            )),
        }
    }

    /// Blackwell lists two digests by SHA-384, the second all zero: its algorithms are not held to be distinct.
    fn nvidia(_index: usize, der: &[u8]) -> Result<Self, Refusal> {
        let tcb = tcb_info(single("DiceTcbInfo", Tag::Sequence, der)?)?;
        Ok(Self {
            layout: DiceLayout::NvidiaTcbInfo,
            device_spki: None,
            tcb: alloc::vec![tcb],
        })
    }

    /// A code hash has no algorithm beside it: its length tells.
    fn open(inputs: &open_dice::Inputs) -> Result<Self, Refusal> {
        let alg = match inputs.code_hash.len() {
            32 => HashAlg::Sha256,
            48 => HashAlg::Sha384,
            64 => HashAlg::Sha512,
            _ => return Err(malformed("open dice inputs", "the code hash is no hash")),
        };
        let tcb = TcbInfo {
            fwids: alloc::vec![Fwid {
                alg: FwidAlg::Sha2(alg),
                digest: inputs.code_hash.clone(),
            }],
            flags: inputs.mode.flags(),
            ..TcbInfo::default()
        };
        Ok(Self {
            layout: DiceLayout::OpenDice,
            device_spki: None,
            tcb: alloc::vec![tcb],
        })
    }

    fn multi(index: usize, der: &[u8]) -> Result<Self, Refusal> {
        let mut list = Walk::new(
            "DiceMultiTcbInfo",
            single("DiceMultiTcbInfo", Tag::Sequence, der)?.value,
        )?;
        let mut tcb = Vec::new();
        while !list.is_empty() {
            if tcb.len() >= limits::TCB_INFOS {
                return Err(Refusal::TooLarge {
                    what: "DiceMultiTcbInfo",
                    limit: limits::TCB_INFOS,
                });
            }
            let one = tcb_info(list.expect(Tag::Sequence)?)?;
            one_digest_per_algorithm(index, &one)?;
            tcb.push(one);
        }
        Ok(Self {
            layout: DiceLayout::MultiTcbInfo,
            device_spki: None,
            tcb,
        })
    }

    /// GeneralNames with an otherName (RFC 5280, 4.2.1.6) of type 2.23.133.5.4.1. RIoT's own encoder leaves out the tag 0 around
    /// the value, so both forms are read.
    ///
    /// # Errors
    /// As [`LayerInfo::of`].
    pub fn alt_name(der: &[u8]) -> Result<Option<Self>, Refusal> {
        const WHAT: &str = "subject alternative names";
        let mut names = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let mut found = None;
        while !names.is_empty() {
            let name = names.next()?;
            if name.tag != context(0) {
                continue;
            }
            let mut other = names.inside(name)?;
            if other.oid()? != TCB_INFO {
                continue;
            }
            let value = other.next()?;
            other.end()?;
            let value = if value.tag == context(0) {
                single(WHAT, Tag::Sequence, value.value)?
            } else {
                value
            };
            if value.tag != Tag::Sequence || found.is_some() {
                return Err(malformed(
                    WHAT,
                    "a CompositeDeviceID is not one, or is there twice",
                ));
            }
            found = Some(Self::riot(DiceLayout::RiotAltName, value)?);
        }
        Ok(found)
    }

    /// `SEQUENCE { version INTEGER 1, deviceID SubjectPublicKeyInfo, fwid SEQUENCE { hashAlg OID, digest OCTET STRING } }`.
    fn riot(layout: DiceLayout, element: Element<'_>) -> Result<Self, Refusal> {
        const WHAT: &str = "CompositeDeviceID";
        let mut fields = Walk::new(WHAT, element.value)?;
        if fields.unsigned()? != [1] {
            return Err(Refusal::Unsupported {
                what: "CompositeDeviceID version",
                found: "other than 1".to_string(),
            });
        }
        let device = fields.expect(Tag::Sequence)?.raw.to_vec();
        let fwid = fwid(fields.expect(Tag::Sequence)?)?;
        fields.end()?;
        let tcb = TcbInfo {
            fwids: alloc::vec![fwid],
            ..TcbInfo::default()
        };
        Ok(Self {
            layout,
            device_spki: Some(device),
            tcb: alloc::vec![tcb],
        })
    }
}

/// DiceUeid: `SEQUENCE { ueid OCTET STRING }`, 7 to 33 bytes (RFC 9711, 4.2.1), where stated.
///
/// # Errors
/// `evidence.malformed`.
pub fn ueid(certificate: &Certificate) -> Result<Option<Vec<u8>>, Refusal> {
    ueid_of(certificate.extensions())
}

/// The same in the extensions of a certificate or of a request for one.
///
/// # Errors
/// `evidence.malformed`.
pub fn ueid_of(extensions: &[Extension]) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(extension) = extensions.iter().find(|extension| extension.oid == UEID) else {
        return Ok(None);
    };
    let mut fields = Walk::new(
        "DiceUeid",
        single("DiceUeid", Tag::Sequence, &extension.value)?.value,
    )?;
    let ueid = fields.expect(Tag::OctetString)?.value;
    fields.end()?;
    if !(7..=33).contains(&ueid.len()) {
        return Err(malformed("DiceUeid", "a UEID has 7 to 33 bytes"));
    }
    Ok(Some(ueid.to_vec()))
}

fn fwid(element: Element<'_>) -> Result<Fwid, Refusal> {
    let mut fields = Walk::new("firmware digest", element.value)?;
    let oid = fields.oid()?;
    let alg = FwidAlg::of(oid).ok_or_else(|| Refusal::Unsupported {
        what: "firmware digest",
        found: oid.to_string(),
    })?;
    let digest = fields.expect(Tag::OctetString)?.value;
    fields.end()?;
    if digest.len() != alg.size() {
        return Err(malformed(
            "firmware digest",
            "its length is not its algorithm's",
        ));
    }
    Ok(Fwid {
        alg,
        digest: digest.to_vec(),
    })
}

fn one_digest_per_algorithm(index: usize, tcb: &TcbInfo) -> Result<(), Refusal> {
    let mut seen = Vec::new();
    for fwid in &tcb.fwids {
        if seen.contains(&fwid.alg) {
            return Err(Refusal::DiceFwidTwice { index });
        }
        seen.push(fwid.alg);
    }
    Ok(())
}

/// `SEQUENCE { vendor [0], model [1], version [2], svn [3], layer [4], index [5], fwids [6], flags [7], vendorInfo [8],
/// type [9], flagsMask [10], integrityRegisters [11] }`, all optional and implicit. What is not known is refused, not skipped.
fn tcb_info(element: Element<'_>) -> Result<TcbInfo, Refusal> {
    const WHAT: &str = "DiceTcbInfo";
    let mut fields = Walk::new(WHAT, element.value)?;
    let mut info = TcbInfo::default();
    let text =
        |element: Option<Element<'_>>| element.map(|element| text(WHAT, element.value)).transpose();
    info.vendor = text(fields.optional(context_primitive(0))?)?;
    info.model = text(fields.optional(context_primitive(1))?)?;
    info.version = text(fields.optional(context_primitive(2))?)?;
    let number = |element: Option<Element<'_>>| {
        element
            .map(|element| number(WHAT, element.value))
            .transpose()
    };
    info.svn = number(fields.optional(context_primitive(3))?)?;
    info.layer = number(fields.optional(context_primitive(4))?)?;
    info.index = number(fields.optional(context_primitive(5))?)?;
    if let Some(list) = fields.optional(context(6))? {
        info.fwids = fwids(fields.inside(list)?)?;
    }
    let bits = |element: Option<Element<'_>>| {
        element
            .map(|element| named_bits(WHAT, element.value))
            .transpose()
    };
    info.stated_flags = bits(fields.optional(context_primitive(7))?)?;
    info.vendor_info = fields
        .optional(context_primitive(8))?
        .map(|element| element.value.to_vec())
        .unwrap_or_default();
    info.kind = fields
        .optional(context_primitive(9))?
        .map(|element| element.value.to_vec())
        .unwrap_or_default();
    info.flags_mask = bits(fields.optional(context_primitive(10))?)?;
    info.flags =
        info.stated_flags.unwrap_or(0) & info.flags_mask.unwrap_or(u32::MAX) & DEFINED_FLAGS;
    if let Some(list) = fields.optional(context(11))? {
        info.registers = registers(fields.inside(list)?)?;
    }
    if let Some(Tag::ContextSpecific { number, .. }) = fields.peek()? {
        return Err(Refusal::Unsupported {
            what: "DiceTcbInfo field",
            found: number.value().to_string(),
        });
    }
    fields.end()?;
    Ok(info)
}

fn fwids(mut list: Walk<'_>) -> Result<Vec<Fwid>, Refusal> {
    let mut all = Vec::new();
    while !list.is_empty() {
        if all.len() >= limits::FWIDS {
            return Err(Refusal::TooLarge {
                what: "firmware digests",
                limit: limits::FWIDS,
            });
        }
        all.push(fwid(list.expect(Tag::Sequence)?)?);
    }
    Ok(all)
}

/// `SEQUENCE OF SEQUENCE { registerName [0] IA5String, registerNum [1] INTEGER, registerDigests [2] SEQUENCE OF FWID }`,
/// implicit; a name, a number or both.
fn registers(mut list: Walk<'_>) -> Result<Vec<IntegrityRegister>, Refusal> {
    const WHAT: &str = "integrity registers";
    let mut all: Vec<IntegrityRegister> = Vec::new();
    while !list.is_empty() {
        if all.len() >= limits::INTEGRITY_REGISTERS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::INTEGRITY_REGISTERS,
            });
        }
        let mut fields = list.sequence()?;
        let name = fields
            .optional(context_primitive(0))?
            .map(|element| text(WHAT, element.value))
            .transpose()?;
        let number = fields
            .optional(context_primitive(1))?
            .map(|element| number(WHAT, element.value))
            .transpose()?;
        let digests = fields.expect(context(2))?;
        let digests = fwids(fields.inside(digests)?)?;
        fields.end()?;
        if name.is_none() && number.is_none() || name.as_ref().is_some_and(|name| !name.is_ascii())
        {
            return Err(malformed(
                WHAT,
                "a register has no name in ASCII and no number",
            ));
        }
        let same = |other: &IntegrityRegister| other.name == name && other.number == number;
        if digests.is_empty() || all.iter().any(same) {
            return Err(malformed(WHAT, "a register is empty or there twice"));
        }
        all.push(IntegrityRegister {
            name,
            number,
            digests,
        });
    }
    if all.is_empty() {
        return Err(malformed(WHAT, "the list is empty"));
    }
    Ok(all)
}

fn text(what: &'static str, bytes: &[u8]) -> Result<String, Refusal> {
    if bytes.len() > limits::TEXT_BYTES {
        return Err(Refusal::TooLarge {
            what,
            limit: limits::TEXT_BYTES,
        });
    }
    core::str::from_utf8(bytes)
        .map(ToString::to_string)
        .map_err(|_| malformed(what, "a text is not UTF-8"))
}

/// A non-negative number of at most eight bytes.
fn number(what: &'static str, value: &[u8]) -> Result<u64, Refusal> {
    let number = unsigned(what, value)?;
    let mut padded = [0u8; 8];
    let at = padded
        .len()
        .checked_sub(number.len())
        .ok_or_else(|| malformed(what, "a number is over eight bytes"))?;
    for (to, from) in padded.iter_mut().skip(at).zip(number) {
        *to = *from;
    }
    Ok(u64::from_be_bytes(padded))
}

#[cfg(test)]
mod tests;
