//! Opaque data of MEASUREMENTS: NVIDIA's list of type, length and value, and the general format of DSP0274 1.2 (9.4).

use alloc::string::String;
use alloc::vec::Vec;

use super::algorithms::OpaqueFormat;
use super::{length, little};
use crate::codec::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the opaque data";
/// NVIDIA's type of the field that repeats the leaf's firmware digest.
const FWID: u16 = 20;

/// One field of NVIDIA's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaField {
    /// Its type.
    pub kind: u16,
    /// Its value.
    pub value: Vec<u8>,
}

impl NvidiaField {
    /// The name of its type, as NVIDIA's tools have it, in lower case; `None` for one that is not known.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self.kind {
            1 => "cert_issuer_name",
            2 => "cert_authority_key_identifier",
            3 => "driver_version",
            4 => "gpu_info",
            5 => "sku",
            6 => "vbios_version",
            7 => "manufacturer_id",
            8 => "tamper_detection",
            9 => "smc",
            10 => "vpr",
            11 => "nvdec0_status",
            12 => "msrscnt",
            13 => "cprinfo",
            14 => "board_id",
            15 => "chip_sku",
            16 => "chip_sku_mod",
            17 => "project",
            18 => "project_sku",
            19 => "project_sku_mod",
            20 => "fwid",
            21 => "protected_pcie_status",
            22 => "switch_pdi",
            23 => "floorswept_ports",
            24 => "position_id",
            25 => "lock_switch_status",
            26 => "switch_gpu_pdis",
            32 => "gpu_link_conn",
            33 => "sys_enable_status",
            34 => "opaque_data_version",
            35 => "chip_info",
            36 => "feature_flag",
            _ => return None,
        })
    }

    /// The value as text, where all of it is: printable ASCII, then zeros.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let end = self
            .value
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last.saturating_add(1));
        let text = self.value.get(..end)?;
        let printable = text.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        (printable && !text.is_empty() && self.value.len() > 1)
            .then(|| text.iter().copied().map(char::from).collect())
    }
}

/// One element of the general format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The registry that the vendor's id is of: 0 DMTF, 1 TCG, 3 PCI-SIG, 4 IANA, ...
    pub registry: u8,
    /// The vendor's id.
    pub vendor: Vec<u8>,
    /// The vendor's data.
    pub data: Vec<u8>,
}

/// Opaque data, read as far as its format is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// There is none.
    Empty,
    /// NVIDIA's fields in their order.
    Nvidia(Vec<NvidiaField>),
    /// Elements of the general format.
    General(Vec<Element>),
    /// In a format that is not known here: signed all the same.
    Other(Vec<u8>),
}

impl Opaque {
    /// Reads opaque data. Where the format is the vendor's own, what is not NVIDIA's list is left as it is.
    ///
    /// # Errors
    /// `evidence.malformed` and the like, where the format was agreed on and is not kept.
    pub fn parse(format: OpaqueFormat, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::SPDM_OPAQUE_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::SPDM_OPAQUE_BYTES,
            });
        }
        match format {
            _ if bytes.is_empty() => Ok(Self::Empty),
            OpaqueFormat::None => Err(Refusal::SpdmNegotiation {
                why: "opaque data came although no format was selected",
            }),
            OpaqueFormat::Vendor => {
                Ok(nvidia(bytes).map_or_else(|_| Self::Other(bytes.to_vec()), Self::Nvidia))
            }
            OpaqueFormat::General => general(bytes).map(Self::General),
        }
    }

    /// The firmware digests that NVIDIA's fields repeat (type 20).
    pub fn fwids(&self) -> impl Iterator<Item = &[u8]> {
        let fields = match self {
            Self::Nvidia(fields) => fields.as_slice(),
            Self::Empty | Self::General(_) | Self::Other(_) => &[],
        };
        fields
            .iter()
            .filter(|field| field.kind == FWID)
            .map(|field| field.value.as_slice())
    }
}

fn nvidia(bytes: &[u8]) -> Result<Vec<NvidiaField>, Refusal> {
    let mut reader = Reader::new(WHAT, bytes);
    let mut fields: Vec<NvidiaField> = Vec::new();
    while reader.offset() < bytes.len() {
        let kind = u16::try_from(little(&mut reader, 2)?).unwrap_or(u16::MAX);
        let size = length(&mut reader, 2, limits::SPDM_OPAQUE_BYTES)?;
        let value = reader.take(size)?.to_vec();
        // Types fit a byte, and each is there once: else these bytes are something else.
        if kind > 0xff || fields.iter().any(|field| field.kind == kind) {
            return Err(Refusal::Malformed {
                what: WHAT,
                why: String::from("it is no list of fields"),
            });
        }
        fields.push(NvidiaField { kind, value });
    }
    Ok(fields)
}

/// TotalElements, three reserved bytes, then elements: registry, length of the vendor's id, id, length of data, data, and zeros up to
/// a multiple of four.
fn general(bytes: &[u8]) -> Result<Vec<Element>, Refusal> {
    let mut reader = Reader::new(WHAT, bytes);
    let count = reader.u8()?;
    reader.take(3)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let registry = reader.u8()?;
        let size = length(&mut reader, 1, limits::SPDM_OPAQUE_BYTES)?;
        let vendor = reader.take(size)?.to_vec();
        let size = length(&mut reader, 2, limits::SPDM_OPAQUE_BYTES)?;
        let data = reader.take(size)?.to_vec();
        // All before the elements is four bytes, so the padding follows from the offset.
        let padding = (4usize.saturating_sub(reader.offset() % 4)) % 4;
        if reader.take(padding)?.iter().any(|byte| *byte != 0) {
            return Err(Refusal::Malformed {
                what: WHAT,
                why: String::from("the padding of an element is not zero"),
            });
        }
        elements.push(Element {
            registry,
            vendor,
            data,
        });
    }
    reader.finish()?;
    Ok(elements)
}
