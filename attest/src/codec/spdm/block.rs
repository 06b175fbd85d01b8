//! Measurement records: a list of DMTF measurement blocks (DSP0274, 10.11.1).

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::{length, little};
use crate::codec::reader::Reader;
use crate::digest::{Digest, HashAlg};
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the measurement record";
/// MeasurementSpecification of the DMTF's own format.
const DMTF: u8 = 0x01;
/// Bit 7 of DMTFSpecMeasurementValueType: the value as it is, not hashed.
const RAW: u8 = 0x80;

/// What is measured (DMTFSpecMeasurementValueType, bits 0 to 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// 0: code that can't change.
    ImmutableRom,
    /// 1: firmware.
    MutableFirmware,
    /// 2: configuration of the hardware, straps and fuses.
    HardwareConfiguration,
    /// 3: configuration of the firmware.
    FirmwareConfiguration,
    /// 4: a list of what is measured, freely formed.
    Manifest,
    /// 5: how open the device is (since 1.2).
    DeviceMode,
    /// 6: version of the firmware (since 1.2).
    FirmwareVersion,
    /// 7: security version number of the firmware (since 1.2).
    FirmwareSvn,
    /// 8: several things extended into one hash (since 1.3).
    HashExtended,
    /// 9: for information (since 1.3).
    Informational,
    /// 10: a list of what is measured, in a standard form (since 1.3).
    StructuredManifest,
}

impl ValueType {
    const ALL: [Self; 11] = [
        Self::ImmutableRom,
        Self::MutableFirmware,
        Self::HardwareConfiguration,
        Self::FirmwareConfiguration,
        Self::Manifest,
        Self::DeviceMode,
        Self::FirmwareVersion,
        Self::FirmwareSvn,
        Self::HashExtended,
        Self::Informational,
        Self::StructuredManifest,
    ];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::ImmutableRom => 0,
            Self::MutableFirmware => 1,
            Self::HardwareConfiguration => 2,
            Self::FirmwareConfiguration => 3,
            Self::Manifest => 4,
            Self::DeviceMode => 5,
            Self::FirmwareVersion => 6,
            Self::FirmwareSvn => 7,
            Self::HashExtended => 8,
            Self::Informational => 9,
            Self::StructuredManifest => 10,
        }
    }

    /// `immutable_rom`, `mutable_firmware`, `hardware_configuration`, ...
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImmutableRom => "immutable_rom",
            Self::MutableFirmware => "mutable_firmware",
            Self::HardwareConfiguration => "hardware_configuration",
            Self::FirmwareConfiguration => "firmware_configuration",
            Self::Manifest => "manifest",
            Self::DeviceMode => "device_mode",
            Self::FirmwareVersion => "firmware_version",
            Self::FirmwareSvn => "firmware_svn",
            Self::HashExtended => "hash_extended",
            Self::Informational => "informational",
            Self::StructuredManifest => "structured_manifest",
        }
    }
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A digest by a hash of this size: SHA-2, unless the negotiation said otherwise, which is refused there.
    Digest(Digest),
    /// The thing itself.
    Raw(Vec<u8>),
}

/// How open a device is (DSP0274 1.2, table of DeviceModeStructure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceMode {
    /// Bits of the operational modes that can be told apart.
    pub operational_capabilities: u32,
    /// The operational mode: one bit of 0 manufacturing, 1 validation, 2 normal, 3 recovery, 4 RMA, 5 decommissioned.
    pub operational_state: u32,
    /// Bits of the device modes that can be told apart.
    pub device_capabilities: u32,
    /// Bit 0 non-invasive debug is active, 1 invasive debug is active, 2 and 3 the same since the last reset, 4 invasive
    /// debug was active at least once after manufacturing.
    pub device_state: u32,
}

impl DeviceMode {
    const OPERATIONAL: [&'static str; 6] = [
        "manufacturing",
        "validation",
        "normal",
        "recovery",
        "rma",
        "decommissioned",
    ];
    const DEBUG: [&'static str; 5] = [
        "non_invasive_debug_active",
        "invasive_debug_active",
        "non_invasive_debug_since_reset",
        "invasive_debug_since_reset",
        "invasive_debug_after_manufacturing",
    ];

    /// The name of the operational mode; `unknown` for no bit, several, or one without a name.
    #[must_use]
    pub fn operational(&self) -> &'static str {
        (0u32..)
            .zip(Self::OPERATIONAL)
            .find(|(bit, _)| self.operational_state == 1 << bit)
            .map_or("unknown", |(_, name)| name)
    }

    /// The names of the debug bits that are set.
    #[must_use]
    pub fn debug(&self) -> Vec<&'static str> {
        (0u32..)
            .zip(Self::DEBUG)
            .filter(|(bit, _)| self.device_state & (1 << bit) != 0)
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether it runs as it was sold, and no debug bit is set, a bit without a name among them.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.operational() == "normal" && self.device_state == 0
    }
}

/// One measurement block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Its index: 1 to 254; 240 and above have fixed meanings (0xfd manifest, 0xfe device mode).
    pub index: u8,
    /// What is measured.
    pub kind: ValueType,
    /// The measurement.
    pub value: Value,
}

impl Block {
    /// The security version number, where it is one.
    #[must_use]
    pub fn svn(&self) -> Option<u64> {
        match (self.kind, &self.value) {
            (ValueType::FirmwareSvn, Value::Raw(bytes)) => <[u8; 8]>::try_from(bytes.as_slice())
                .ok()
                .map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// The device mode, where it is one.
    #[must_use]
    pub fn device_mode(&self) -> Option<DeviceMode> {
        let Value::Raw(bytes) = &self.value else {
            return None;
        };
        if self.kind != ValueType::DeviceMode {
            return None;
        }
        let mut reader = Reader::new(WHAT, bytes);
        let mode = DeviceMode {
            operational_capabilities: little(&mut reader, 4).ok()?,
            operational_state: little(&mut reader, 4).ok()?,
            device_capabilities: little(&mut reader, 4).ok()?,
            device_state: little(&mut reader, 4).ok()?,
        };
        reader.finish().ok().map(|()| mode)
    }

    /// What a reference value is compared with: the digest, or SHA-256 of what is given as it is. `None` for a digest of
    /// zeros only: a slot that is there and not used.
    #[must_use]
    pub fn comparable(&self) -> Option<Digest> {
        match &self.value {
            Value::Digest(digest) if digest.is_zero() => None,
            Value::Digest(digest) => Some(digest.clone()),
            Value::Raw(bytes) => Some(HashAlg::Sha256.hash(&[bytes])),
        }
    }

    /// Index, specification, sizes and value.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let (flag, value) = match &self.value {
            Value::Digest(digest) => (0, digest.bytes()),
            Value::Raw(bytes) => (RAW, bytes.as_slice()),
        };
        let size = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let mut out = alloc::vec![self.index, DMTF];
        out.extend_from_slice(&size.saturating_add(3).to_le_bytes());
        out.push(self.kind.number() | flag);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(value);
        out
    }
}

/// Parses a whole record. `count` is the number of blocks that a message states; a bare record states none.
///
/// # Errors
/// `spdm.block_count`, `spdm.block_index`, `spdm.block_twice`, `spdm.block`, `spdm.digest_size`, and the reader's.
pub fn record(bytes: &[u8], count: Option<u8>) -> Result<Vec<Block>, Refusal> {
    if bytes.len() > limits::SPDM_RECORD_BYTES {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::SPDM_RECORD_BYTES,
        });
    }
    let mut reader = Reader::new(WHAT, bytes);
    let mut blocks: Vec<Block> = Vec::new();
    while reader.offset() < bytes.len() {
        // Indices are unique, so 254 blocks are the most.
        let block = block(&mut reader)?;
        if blocks.iter().any(|earlier| earlier.index == block.index) {
            return Err(Refusal::SpdmBlockTwice { index: block.index });
        }
        blocks.push(block);
    }
    if let Some(stated) = count
        && usize::from(stated) != blocks.len()
    {
        return Err(Refusal::SpdmBlockCount {
            stated,
            found: blocks.len(),
        });
    }
    one_hash(&blocks)?;
    Ok(blocks)
}

/// All digests of one connection are by the one hash that was negotiated.
pub(super) fn one_hash<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Result<(), Refusal> {
    let mut alg = None;
    for block in blocks {
        if let Value::Digest(digest) = &block.value
            && *alg.get_or_insert(digest.alg()) != digest.alg()
        {
            return Err(Refusal::SpdmDigestSize { index: block.index });
        }
    }
    Ok(())
}

fn block(reader: &mut Reader<'_>) -> Result<Block, Refusal> {
    let index = reader.u8()?;
    if matches!(index, 0 | 0xff) {
        return Err(Refusal::SpdmBlockIndex { index });
    }
    let specification = reader.u8()?;
    if specification != DMTF {
        return Err(Refusal::Unsupported {
            what: "measurement specification",
            found: specification.to_string(),
        });
    }
    let size = length(reader, 2, limits::SPDM_RECORD_BYTES)?;
    let body = reader.take(size)?;
    let wrong = |why: &'static str| Refusal::SpdmBlock { index, why };
    let [kind, low, high, value @ ..] = body else {
        return Err(wrong("it is shorter than its header"));
    };
    if usize::from(u16::from_le_bytes([*low, *high])) != value.len() {
        return Err(wrong("its two sizes do not agree"));
    }
    if value.is_empty() {
        return Err(wrong("it is empty"));
    }
    let number = kind & !RAW;
    let raw = kind & RAW != 0;
    let kind = ValueType::of(number).ok_or_else(|| Refusal::Unsupported {
        what: "measurement value type",
        found: number.to_string(),
    })?;
    let value = if raw {
        Value::Raw(value.to_vec())
    } else {
        let digest = HashAlg::ALL
            .into_iter()
            .find_map(|alg| Digest::new(alg, value));
        Value::Digest(digest.ok_or(Refusal::SpdmDigestSize { index })?)
    };
    let block = Block { index, kind, value };
    match kind {
        ValueType::DeviceMode if block.device_mode().is_none() => {
            Err(wrong("a device mode is sixteen bytes as they are"))
        }
        ValueType::FirmwareSvn if block.svn().is_none() => Err(wrong(
            "a security version number is eight bytes as they are",
        )),
        ValueType::FirmwareVersion if !raw => Err(wrong("a version is given as it is")),
        _ => Ok(block),
    }
}
