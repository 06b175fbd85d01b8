//! The Linux IMA measurement list, as `binary_runtime_measurements` (little-endian) and `ascii_runtime_measurements` give it
//! (kernel, Documentation/security/IMA-templates.rst).
//!
//! One entry is a register, the digest of the template data, the template's name and its fields. The kernel extends the digest
//! that each bank's own algorithm gives of the same data; before Linux 5.8 it padded the SHA-1 one ([`Extended::PaddedSha1`]).
//! A violation has an all-zero digest and is extended as all ones.

mod ascii;

use super::reader::Reader;
use crate::digest::HashAlg;
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::{Bank, Replay, SHA1_SIZE, index};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const WHAT: &str = "the ima log";
/// What the log is called in refusals of its content.
pub const LOG: &str = "the ima log";
/// IMA_EVENT_NAME_LEN_MAX and its terminator: what a name is padded to in the `ima` template's digest.
const LEGACY_NAME: usize = 256;
/// The register that IMA extends unless its policy says another.
pub const PCR: u8 = 10;
/// The entry that sums up the registers of measured boot.
pub const BOOT_AGGREGATE: &str = "boot_aggregate";

/// One field of a template, by the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `d`: 20 bytes of SHA-1 or MD5, without a length.
    LegacyDigest,
    /// `n`: a name, without its terminator.
    LegacyName,
    /// `d-ng` (`algorithm:`, NUL, digest) and `d-ngv2` (`ima:` or `verity:` before that).
    Digest,
    /// `n-ng`: a name and NUL.
    Name,
    /// `sig`: the file's signature from its extended attribute, or nothing.
    Signature,
    /// `buf`: what was measured, in place of a file.
    Buffer,
    /// A known field that says nothing used here.
    Other,
}

/// Template names with their fields (security/integrity/ima/ima_template.c).
const TEMPLATES: &[(&str, &str)] = &[
    ("ima", "d|n"),
    ("ima-ng", "d-ng|n-ng"),
    ("ima-sig", "d-ng|n-ng|sig"),
    ("ima-ngv2", "d-ngv2|n-ng"),
    ("ima-sigv2", "d-ngv2|n-ng|sig"),
    ("ima-buf", "d-ng|n-ng|buf"),
    ("ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig"),
    (
        "evm-sig",
        "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
    ),
];

fn fields(template: &str) -> Result<Vec<Field>, Refusal> {
    let known = TEMPLATES.iter().find(|(name, _)| *name == template);
    let format = match known {
        Some((_, format)) => *format,
        // `ima_template_fmt=` on the kernel's command line: the format is the name.
        None if template.contains('|') => template,
        None => return Err(unsupported(template)),
    };
    format
        .split('|')
        .map(|field| match field {
            "d" if template == "ima" => Ok(Field::LegacyDigest),
            "n" if template == "ima" => Ok(Field::LegacyName),
            "d-ng" | "d-ngv2" => Ok(Field::Digest),
            "n-ng" => Ok(Field::Name),
            "sig" => Ok(Field::Signature),
            "buf" => Ok(Field::Buffer),
            "d-modsig" | "modsig" | "evmsig" | "xattrnames" | "xattrlengths" | "xattrvalues"
            | "iuid" | "igid" | "imode" => Ok(Field::Other),
            _ => Err(unsupported(template)),
        })
        .collect()
}

fn unsupported(template: &str) -> Refusal {
    Refusal::Unsupported {
        what: "ima template",
        found: template
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect(),
    }
}

/// The digest of a file as an entry names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigest<'a> {
    /// `sha256`, and before Linux 3.13 nothing.
    pub algorithm: &'a str,
    /// The digest; all zero in a violation.
    pub bytes: &'a [u8],
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the log.
    pub number: usize,
    /// The register; under 24.
    pub pcr: u8,
    /// Whether IMA could not measure: the file was open for writing, or changed meanwhile.
    pub violation: bool,
    /// The template's name.
    pub template: &'a str,
    /// The template data as they are hashed but for the `ima` template's padding.
    data: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// The digest that goes into a bank: of the template data, or all ones for a violation.
    #[must_use]
    pub fn digest(&self, bank: Bank, extended: Extended) -> Vec<u8> {
        let own = match extended {
            Extended::PerBank => bank,
            Extended::PaddedSha1 => Bank::Sha1,
        };
        let mut digest = if self.violation {
            alloc::vec![0xff; own.size()]
        } else {
            self.hash(own)
        };
        digest.resize(bank.size(), 0);
        digest
    }

    fn hash(&self, bank: Bank) -> Vec<u8> {
        if self.template != "ima" {
            return bank.hash(&[&self.data]);
        }
        let (digest, name) = self.legacy().unwrap_or_default();
        let padding = alloc::vec![0; LEGACY_NAME.saturating_sub(name.len())];
        bank.hash(&[digest, name, &padding])
    }

    /// Digest and name of the `ima` template: 20 bytes, a length, a name.
    fn legacy(&self) -> Option<(&[u8], &[u8])> {
        let (digest, rest) = self.data.split_at_checked(SHA1_SIZE)?;
        Some((digest, rest.get(4..)?))
    }

    fn field(&self, wanted: Field) -> Option<&[u8]> {
        let position = fields(self.template)
            .ok()?
            .iter()
            .position(|field| *field == wanted)?;
        let mut reader = Reader::new(WHAT, &self.data);
        let mut found = None;
        for _ in 0..=position {
            found = reader.sized_u32_le(limits::IMA_ENTRY_BYTES).ok();
        }
        found
    }

    /// What was measured: a path, or the name of a buffer.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let name = match self.template {
            "ima" => self.legacy()?.1,
            _ => self.field(Field::Name)?,
        };
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// The digest of the file.
    #[must_use]
    pub fn file(&self) -> Option<FileDigest<'_>> {
        if self.template == "ima" {
            return Some(FileDigest {
                algorithm: "sha1",
                bytes: self.legacy()?.0,
            });
        }
        let field = self.field(Field::Digest)?;
        let end = field.iter().position(|byte| *byte == 0)?;
        let (name, bytes) = field.split_at_checked(end)?;
        let name = core::str::from_utf8(name).ok()?.strip_suffix(':')?;
        Some(FileDigest {
            algorithm: name.rsplit(':').next().unwrap_or(name),
            bytes: bytes.get(1..)?,
        })
    }

    /// The file's signature, where the template holds one and the file has one.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8]> {
        self.field(Field::Signature)
            .filter(|signature| !signature.is_empty())
    }

    /// What was measured in place of a file (`ima-buf`).
    #[must_use]
    pub fn buffer(&self) -> Option<&[u8]> {
        self.field(Field::Buffer)
    }
}

/// What the kernel extended into banks other than SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The digest by the bank's own algorithm: Linux 5.8 and later.
    PerBank,
    /// The SHA-1 digest and zeros: only as good as SHA-1.
    PaddedSha1,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaLog<'a> {
    /// All entries.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> ImaLog<'a> {
    /// Parses a binary log; an empty one is a log. The digests in it are SHA-1, or of the bank whose file it is
    /// (`binary_runtime_measurements_sha256`); each is held against the data.
    ///
    /// # Errors
    /// What the shape offends against; [`Refusal::LogEntryDigest`] where an entry's digest is not that of its data.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let first = Self::parse_bank(bytes, Bank::Sha1);
        if first.is_ok() {
            return first;
        }
        HashAlg::ALL
            .into_iter()
            .find_map(|alg| Self::parse_bank(bytes, Bank::Sha2(alg)).ok())
            .map_or(first, Ok)
    }

    fn parse_bank(bytes: &'a [u8], bank: Bank) -> Result<Self, Refusal> {
        if bytes.len() > limits::IMA_LOG_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::IMA_LOG_BYTES,
            });
        }
        let mut reader = Reader::new(WHAT, bytes);
        let mut log = Self {
            entries: Vec::new(),
        };
        while !reader.is_empty() {
            let pcr = reader.u32_le()?;
            let digest = reader.take(bank.size())?;
            let template = reader.sized_u32_le(limits::IMA_TEMPLATE_BYTES)?;
            let data = if template == b"ima" {
                let mut ahead = reader.clone();
                ahead.take(SHA1_SIZE)?;
                let name = ahead.sized_u32_le(limits::IMA_ENTRY_BYTES)?;
                reader.take(SHA1_SIZE.saturating_add(4).saturating_add(name.len()))?
            } else {
                reader.sized_u32_le(limits::IMA_ENTRY_BYTES)?
            };
            log.add(pcr, digest, bank, template, Cow::Borrowed(data))?;
        }
        Ok(log)
    }

    /// Parses the log in its ASCII form.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_ascii(text: &'a str) -> Result<Self, Refusal> {
        ascii::parse(text)
    }

    fn add(
        &mut self,
        pcr: u32,
        digest: &[u8],
        bank: Bank,
        template: &'a [u8],
        data: Cow<'a, [u8]>,
    ) -> Result<(), Refusal> {
        let number = self.entries.len();
        if number >= limits::IMA_ENTRIES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::IMA_ENTRIES,
            });
        }
        let pcr = index(pcr).ok_or_else(|| malformed(number, "is in a pcr that does not exist"))?;
        let template = core::str::from_utf8(template)
            .map_err(|_other| malformed(number, "has a template whose name is no text"))?;
        check_fields(number, template, &data)?;
        let entry = Entry {
            number,
            pcr,
            violation: digest.iter().all(|byte| *byte == 0),
            template,
            data,
        };
        if !entry.violation && entry.hash(bank) != digest {
            return Err(Refusal::LogEntryDigest {
                log: LOG,
                entry: number,
            });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Extends `replay` (one bank of it) by every entry.
    pub fn replay(&self, replay: &mut Replay, bank: Bank, extended: Extended) {
        for entry in &self.entries {
            replay.extend(bank, entry.pcr, &entry.digest(bank, extended));
        }
    }

    /// Entries that are violations.
    pub fn violations(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|entry| entry.violation)
    }
}

/// Every field whole, nothing after the last.
fn check_fields(number: usize, template: &str, data: &[u8]) -> Result<(), Refusal> {
    let fields = fields(template)?;
    let mut reader = Reader::new(WHAT, data);
    for field in fields {
        match field {
            Field::LegacyDigest => {
                reader.take(SHA1_SIZE)?;
            }
            Field::LegacyName => {
                reader.sized_u32_le(LEGACY_NAME.saturating_sub(1))?;
            }
            Field::Digest => {
                let digest = reader.sized_u32_le(limits::IMA_ENTRY_BYTES)?;
                let end = digest.iter().position(|byte| *byte == 0);
                let named = end.and_then(|end| digest.get(..end)?.strip_suffix(b":"));
                if named.is_none_or(|name| !name.is_ascii() || name.is_empty()) {
                    return Err(malformed(number, "does not name its digest's algorithm"));
                }
            }
            Field::Name => {
                let name = reader.sized_u32_le(limits::IMA_ENTRY_BYTES)?;
                if name.iter().position(|byte| *byte == 0) != name.len().checked_sub(1) {
                    return Err(malformed(number, "has a name that does not end once"));
                }
            }
            Field::Signature | Field::Buffer | Field::Other => {
                reader.sized_u32_le(limits::IMA_ENTRY_BYTES)?;
            }
        }
    }
    reader.finish()
}

fn malformed(number: usize, why: &str) -> Refusal {
    Refusal::Malformed {
        what: WHAT,
        why: format!("entry {number} {why}"),
    }
}

/// What `boot_aggregate` must be: the digest of registers 0 to 9 one after the other, and of 0 to 7 for SHA-1
/// (ima_calc_boot_aggregate_tfm). `None` where one of them is not known.
#[must_use]
pub fn boot_aggregate<'p>(bank: Bank, value: impl Fn(u8) -> Option<&'p [u8]>) -> Option<Vec<u8>> {
    let last = match bank {
        Bank::Sha1 => 7,
        Bank::Sha2(_) => 9,
    };
    let values = (0..=last).map(value).collect::<Option<Vec<_>>>()?;
    Some(bank.hash(&values))
}
