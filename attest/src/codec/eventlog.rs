//! The event log of TCG firmware (PC Client Platform Firmware Profile 1.06, section 10): crypto-agile with its Spec ID header
//! (TCG_PCR_EVENT2), or legacy with SHA-1 only (TCG_PCR_EVENT). Little-endian.
//!
//! Parsing says what the log holds, not what is true: event types and data are the reporter's word until a digest covers them.

use super::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::{Bank, Replay, SHA1_SIZE, index};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

const WHAT: &str = "the event log";
const SPEC_ID_AGILE: &[u8; 16] = b"Spec ID Event03\0";
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";
/// The longest digest of any algorithm that a TPM knows.
const DIGEST_BYTES: usize = 64;

/// An event type (TCG_EVENTTYPE, 10.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u32);

impl EventType {
    /// Not extended: speaks of the log itself.
    pub const NO_ACTION: Self = Self(0x03);
    /// The end of a phase of booting.
    pub const SEPARATOR: Self = Self(0x04);
    /// A tagged event, as the Linux EFI stub writes it.
    pub const EVENT_TAG: Self = Self(0x06);
    /// Version of the code that measures first.
    pub const S_CRTM_VERSION: Self = Self(0x08);
    /// What a boot loader loads: GRUB's commands and files, systemd-stub's sections.
    pub const IPL: Self = Self(0x0d);
    /// A UEFI variable that configures the driver, Secure Boot's among them.
    pub const EFI_VARIABLE_DRIVER_CONFIG: Self = Self(0x8000_0001);
    /// A boot variable.
    pub const EFI_VARIABLE_BOOT: Self = Self(0x8000_0002);
    /// An application that boot services start: boot loader, kernel.
    pub const EFI_BOOT_SERVICES_APPLICATION: Self = Self(0x8000_0003);
    /// A driver that boot services start.
    pub const EFI_BOOT_SERVICES_DRIVER: Self = Self(0x8000_0004);
    /// A driver that stays.
    pub const EFI_RUNTIME_SERVICES_DRIVER: Self = Self(0x8000_0005);
    /// What firmware did, in words.
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    /// The key that vouched for an image.
    pub const EFI_VARIABLE_AUTHORITY: Self = Self(0x8000_00e0);

    /// Its name in the specification.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(number, _)| *number == self.0)
            .map(|(_, name)| *name)
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| Self(*number))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

const NAMES: &[(u32, &str)] = &[
    (0x00, "EV_PREBOOT_CERT"),
    (0x01, "EV_POST_CODE"),
    (0x02, "EV_UNUSED"),
    (0x03, "EV_NO_ACTION"),
    (0x04, "EV_SEPARATOR"),
    (0x05, "EV_ACTION"),
    (0x06, "EV_EVENT_TAG"),
    (0x07, "EV_S_CRTM_CONTENTS"),
    (0x08, "EV_S_CRTM_VERSION"),
    (0x09, "EV_CPU_MICROCODE"),
    (0x0a, "EV_PLATFORM_CONFIG_FLAGS"),
    (0x0b, "EV_TABLE_OF_DEVICES"),
    (0x0c, "EV_COMPACT_HASH"),
    (0x0d, "EV_IPL"),
    (0x0e, "EV_IPL_PARTITION_DATA"),
    (0x0f, "EV_NONHOST_CODE"),
    (0x10, "EV_NONHOST_CONFIG"),
    (0x11, "EV_NONHOST_INFO"),
    (0x12, "EV_OMIT_BOOT_DEVICE_EVENTS"),
    (0x13, "EV_POST_CODE2"),
    (0x8000_0000, "EV_EFI_EVENT_BASE"),
    (0x8000_0001, "EV_EFI_VARIABLE_DRIVER_CONFIG"),
    (0x8000_0002, "EV_EFI_VARIABLE_BOOT"),
    (0x8000_0003, "EV_EFI_BOOT_SERVICES_APPLICATION"),
    (0x8000_0004, "EV_EFI_BOOT_SERVICES_DRIVER"),
    (0x8000_0005, "EV_EFI_RUNTIME_SERVICES_DRIVER"),
    (0x8000_0006, "EV_EFI_GPT_EVENT"),
    (0x8000_0007, "EV_EFI_ACTION"),
    (0x8000_0008, "EV_EFI_PLATFORM_FIRMWARE_BLOB"),
    (0x8000_0009, "EV_EFI_HANDOFF_TABLES"),
    (0x8000_000a, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"),
    (0x8000_000b, "EV_EFI_HANDOFF_TABLES2"),
    (0x8000_000c, "EV_EFI_VARIABLE_BOOT2"),
    (0x8000_000d, "EV_EFI_GPT_EVENT2"),
    (0x8000_0010, "EV_EFI_HCRTM_EVENT"),
    (0x8000_00e0, "EV_EFI_VARIABLE_AUTHORITY"),
    (0x8000_00e1, "EV_EFI_SPDM_FIRMWARE_BLOB"),
    (0x8000_00e2, "EV_EFI_SPDM_FIRMWARE_CONFIG"),
    (0x8000_00e3, "EV_EFI_SPDM_DEVICE_POLICY"),
    (0x8000_00e4, "EV_EFI_SPDM_DEVICE_AUTHORITY"),
];

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its place in the log, the header included.
    pub number: usize,
    /// The register; under 24 where the event is extended.
    pub pcr: u32,
    /// What the log says it is.
    pub event_type: EventType,
    /// TPM_ALG_ID and digest, each algorithm once.
    pub digests: Vec<(u16, &'a [u8])>,
    /// The data beside them.
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Its digest in one bank.
    #[must_use]
    pub fn digest(&self, bank: Bank) -> Option<&'a [u8]> {
        self.digests
            .iter()
            .find(|(alg, _)| *alg == bank.alg())
            .map(|(_, digest)| *digest)
    }

    /// Whether it is extended into its register.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.event_type != EventType::NO_ACTION
    }
}

/// What the Spec ID event says (TCG_EfiSpecIDEvent, 10.4.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecId<'a> {
    /// Major and minor version and errata of the specification.
    pub version: (u8, u8, u8),
    /// TPM_ALG_ID and size of each bank.
    pub algorithms: Vec<(u16, usize)>,
    /// What the vendor adds.
    pub vendor_info: &'a [u8],
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// The header; `None` in a legacy log.
    pub spec: Option<SpecId<'a>>,
    /// All events, the header among them.
    pub events: Vec<Event<'a>>,
    /// The locality of TPM2_Startup, where the log says so: 0, 3 or 4.
    pub startup_locality: Option<u8>,
}

impl<'a> EventLog<'a> {
    /// Parses a log. It may not be empty.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::EVENT_LOG_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::EVENT_LOG_BYTES,
            });
        }
        let mut reader = Reader::new(WHAT, bytes);
        let first = legacy(&mut reader, 0)?;
        let spec = match first.data.strip_prefix(SPEC_ID_AGILE) {
            Some(rest) if first.event_type == EventType::NO_ACTION => Some(spec_id(rest)?),
            Some(_) | None => None,
        };
        let mut log = Self {
            spec,
            events: Vec::new(),
            startup_locality: None,
        };
        log.add(first)?;
        while !reader.is_empty() {
            let number = log.events.len();
            if number >= limits::LOG_EVENTS {
                return Err(Refusal::TooLarge {
                    what: WHAT,
                    limit: limits::LOG_EVENTS,
                });
            }
            let event = match &log.spec {
                Some(spec) => agile(&mut reader, number, &spec.algorithms)?,
                None => legacy(&mut reader, number)?,
            };
            log.add(event)?;
        }
        Ok(log)
    }

    fn add(&mut self, event: Event<'a>) -> Result<(), Refusal> {
        if event.is_extended() {
            if index(event.pcr).is_none() {
                return Err(malformed(format!(
                    "event {} is in pcr {}, which does not exist",
                    event.number, event.pcr
                )));
            }
        } else if let Some(rest) = event.data.strip_prefix(STARTUP_LOCALITY) {
            let locality = match rest {
                [locality @ (0 | 3 | 4)] => *locality,
                _ => return Err(malformed("the startup locality is none".into())),
            };
            let late = self
                .events
                .iter()
                .any(|before| before.pcr == 0 && before.is_extended());
            if late || self.startup_locality.is_some() {
                return Err(malformed(
                    "the startup locality comes after pcr 0 has begun".into(),
                ));
            }
            self.startup_locality = Some(locality);
        }
        self.events.push(event);
        Ok(())
    }

    /// The banks that the log names and that can be replayed.
    #[must_use]
    pub fn banks(&self) -> BTreeSet<Bank> {
        match &self.spec {
            None => BTreeSet::from([Bank::Sha1]),
            Some(spec) => spec
                .algorithms
                .iter()
                .filter_map(|(alg, _)| Bank::from_alg(*alg))
                .collect(),
        }
    }

    /// TPM_ALG_IDs that the log names and that can't be replayed (SM3, SHA-3).
    #[must_use]
    pub fn other_algorithms(&self) -> Vec<u16> {
        let algorithms = self.spec.iter().flat_map(|spec| &spec.algorithms);
        algorithms
            .map(|(alg, _)| *alg)
            .filter(|alg| Bank::from_alg(*alg).is_none())
            .collect()
    }

    /// The events that are extended, each with its register.
    pub fn extended(&self) -> impl Iterator<Item = (u8, &Event<'a>)> {
        self.events
            .iter()
            .filter(|event| event.is_extended())
            .filter_map(|event| Some((index(event.pcr)?, event)))
    }

    /// Replays the banks in `banks`. One that an extended event leaves out is not in the outcome: the log does not speak of it.
    #[must_use]
    pub fn replay(&self, banks: &BTreeSet<Bank>) -> Replay {
        let mut replay = Replay::new(banks.iter().copied());
        for bank in banks {
            if let Some(locality) = self.startup_locality {
                let mut value = alloc::vec![0; bank.size()];
                if let Some(last) = value.last_mut() {
                    *last = locality;
                }
                replay.begin(*bank, 0, value);
            }
            for (pcr, event) in self.extended() {
                let Some(digest) = event.digest(*bank) else {
                    replay.forget(*bank);
                    break;
                };
                replay.extend(*bank, pcr, digest);
            }
        }
        replay
    }
}

fn spec_id(bytes: &[u8]) -> Result<SpecId<'_>, Refusal> {
    let mut reader = Reader::new("the spec id event", bytes);
    // Platform class: client or server, which changes nothing here.
    reader.u32_le()?;
    let (minor, major, errata) = (reader.u8()?, reader.u8()?, reader.u8()?);
    // Size of UINTN.
    reader.u8()?;
    let count = reader.u32_le()?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= limits::LOG_BANKS);
    let count = count.ok_or(Refusal::TooLarge {
        what: "the spec id event",
        limit: limits::LOG_BANKS,
    })?;
    let mut sizes = BTreeMap::new();
    let mut algorithms = Vec::new();
    for _ in 0..count {
        let (alg, size) = (reader.u16_le()?, usize::from(reader.u16_le()?));
        let fits = Bank::from_alg(alg).map_or((1..=DIGEST_BYTES).contains(&size), |bank| {
            bank.size() == size
        });
        if !fits || sizes.insert(alg, size).is_some() {
            return Err(malformed(format!(
                "its header gives algorithm {alg:#06x} a size of {size} bytes, or names it twice"
            )));
        }
        algorithms.push((alg, size));
    }
    if algorithms.is_empty() {
        return Err(malformed("its header names no algorithm".into()));
    }
    let vendor_info = usize::from(reader.u8()?);
    let vendor_info = reader.take(vendor_info)?;
    reader.finish()?;
    Ok(SpecId {
        version: (major, minor, errata),
        algorithms,
        vendor_info,
    })
}

/// TCG_PCR_EVENT: pcr, type, SHA-1, size, data.
fn legacy<'a>(reader: &mut Reader<'a>, number: usize) -> Result<Event<'a>, Refusal> {
    let (pcr, event_type) = (reader.u32_le()?, EventType(reader.u32_le()?));
    let digests = alloc::vec![(Bank::Sha1.alg(), reader.take(SHA1_SIZE)?)];
    let data = reader.sized_u32_le(limits::LOG_EVENT_BYTES)?;
    Ok(Event {
        number,
        pcr,
        event_type,
        digests,
        data,
    })
}

/// TCG_PCR_EVENT2: pcr, type, digests (count, then algorithm and digest), size, data.
fn agile<'a>(
    reader: &mut Reader<'a>,
    number: usize,
    sizes: &[(u16, usize)],
) -> Result<Event<'a>, Refusal> {
    let (pcr, event_type) = (reader.u32_le()?, EventType(reader.u32_le()?));
    let count = reader.u32_le()?;
    let mut digests: Vec<(u16, &[u8])> = Vec::with_capacity(sizes.len());
    for _ in 0..count {
        let alg = reader.u16_le()?;
        let size = sizes.iter().find(|(known, _)| *known == alg);
        let Some((_, size)) = size else {
            return Err(malformed(format!(
                "event {number} has a digest of algorithm {alg:#06x}, which its header does not name"
            )));
        };
        if digests.iter().any(|(before, _)| *before == alg) {
            return Err(malformed(format!(
                "event {number} has two digests of algorithm {alg:#06x}"
            )));
        }
        digests.push((alg, reader.take(*size)?));
    }
    let data = reader.sized_u32_le(limits::LOG_EVENT_BYTES)?;
    Ok(Event {
        number,
        pcr,
        event_type,
        digests,
        data,
    })
}

fn malformed(why: String) -> Refusal {
    Refusal::Malformed { what: WHAT, why }
}
