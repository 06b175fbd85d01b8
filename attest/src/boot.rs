//! What a log of measured boot says, once its registers are known to be those quoted.
//!
//! Only bytes that an event's digest covers are a claim (I2). The type of an event, and data beside what was hashed, are the
//! reporter's word; and whoever runs the machine can extend every register further, so a good digest that comes late proves
//! nothing by itself. Hence:
//! - Secure Boot is read from PCR 7 before its separator only, and only where every event there names itself;
//! - a [`Measurement`] is a set, and appraisal asks that all of it be accepted;
//! - what is left out of a set has to be harmless by its digest, never by its name.

use crate::codec::efi::{self, GLOBAL_VARIABLE, ImageLoad, SECURITY_DATABASE, Tagged, Variable};
use crate::codec::eventlog::{Event, EventLog, EventType};
use crate::digest::{Digest, HashAlg, hex};
use crate::limits;
use crate::replay::Bank;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// What boot measured, by name: `uefi.secure_boot`, `uefi.cmdline`, `uefi.event.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measurement {
    /// The variable `SecureBoot`, before PCR 7's separator.
    SecureBoot,
    /// The platform key.
    Pk,
    /// The key exchange keys.
    Kek,
    /// The keys and images that may boot.
    Db,
    /// The keys and images that may not.
    Dbx,
    /// Everything that PCR 4 holds but what firmware says it did: boot loader, kernel.
    Image,
    /// The kernel's command line, by the log's word for it (PCR 8 GRUB, 9 EFI stub, 12 systemd-stub).
    CommandLine,
    /// The initrd, by the log's word for it (PCR 9, EFI stub).
    Initrd,
    /// Everything else in that PCR.
    Event(u8),
}

impl Measurement {
    const NAMED: [Self; 8] = [
        Self::SecureBoot,
        Self::Pk,
        Self::Kek,
        Self::Db,
        Self::Dbx,
        Self::Image,
        Self::CommandLine,
        Self::Initrd,
    ];

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SecureBoot => "Secure Boot",
            Self::Pk => "platform key",
            Self::Kek => "key exchange keys",
            Self::Db => "allowed signatures",
            Self::Dbx => "forbidden signatures",
            Self::Image => "boot loader or kernel image",
            Self::CommandLine => "kernel command line",
            Self::Initrd => "initrd",
            Self::Event(_) => "boot event",
        }
    }

    /// Whether it can be in that register; what is not stated has its place.
    #[must_use]
    pub const fn may_be_in(self, pcr: u8) -> bool {
        match self {
            Self::SecureBoot | Self::Pk | Self::Kek | Self::Db | Self::Dbx => {
                pcr == SECURE_BOOT_PCR
            }
            Self::Image => pcr == IMAGE_PCR,
            Self::CommandLine => matches!(pcr, 8 | 9 | 12),
            Self::Initrd => pcr == 9,
            Self::Event(own) => pcr == own,
        }
    }

    /// Whether it is told from other measurements of its register by the log's word alone. Then it counts only together with
    /// everything else that the register holds.
    #[must_use]
    pub const fn is_stated(self) -> bool {
        match self {
            Self::CommandLine | Self::Initrd | Self::Event(8 | 9 | 12) => true,
            Self::SecureBoot
            | Self::Pk
            | Self::Kek
            | Self::Db
            | Self::Dbx
            | Self::Image
            | Self::Event(_) => false,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecureBoot => f.write_str("uefi.secure_boot"),
            Self::Pk => f.write_str("uefi.pk"),
            Self::Kek => f.write_str("uefi.kek"),
            Self::Db => f.write_str("uefi.db"),
            Self::Dbx => f.write_str("uefi.dbx"),
            Self::Image => f.write_str("uefi.image"),
            Self::CommandLine => f.write_str("uefi.cmdline"),
            Self::Initrd => f.write_str("uefi.initrd"),
            Self::Event(pcr) => write!(f, "uefi.event.{pcr}"),
        }
    }
}

/// There is no measurement of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMeasurement;

impl FromStr for Measurement {
    type Err = NoMeasurement;

    fn from_str(text: &str) -> Result<Self, NoMeasurement> {
        let named = Self::NAMED.into_iter();
        named
            .chain((0..limits::PCRS).map(Self::Event))
            .find(|known| known.to_string() == text)
            .ok_or(NoMeasurement)
    }
}

/// One measured event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What it is.
    pub what: Measurement,
    /// Its place in the log.
    pub event: usize,
    /// Its register.
    pub pcr: u8,
    /// What was extended.
    pub digest: Digest,
    /// What was hashed, where the log holds it and it is text: a claim.
    pub text: Option<String>,
    /// What the log says of it: the reporter's word.
    pub stated: String,
}

/// A log of measured boot, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredBoot {
    /// The bank whose digests these are.
    pub bank: HashAlg,
    /// Events of the log.
    pub events: usize,
    /// Whether Secure Boot enforced signatures; `None` where the log does not prove either.
    pub secure_boot: Option<bool>,
    /// Registers that hold the separator between firmware and what it starts.
    pub separators: BTreeSet<u8>,
    /// Whether boot services were left orderly.
    pub exited: bool,
    /// The version of the code that measures first, where the digest covers it.
    pub crtm_version: Option<String>,
    /// Everything measured, in the order of the log, but what is harmless by its digest.
    pub measured: Vec<Measured>,
}

const EXITED: &[u8] = b"Exit Boot Services Returned with Success";
/// What firmware measures of itself in words, and what says nothing about what runs.
const HARMLESS: [&[u8]; 4] = [
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
    b"Exit Boot Services Invocation",
    EXITED,
];
const SEPARATOR: &[u8] = &[0; 4];
const SECURE_BOOT_PCR: u8 = 7;
const IMAGE_PCR: u8 = 4;

impl MeasuredBoot {
    /// Reads the events of the registers for which `proved` holds: those whose replay gave the quoted value.
    #[must_use]
    pub fn read(log: &EventLog<'_>, alg: HashAlg, proved: impl Fn(u8) -> bool) -> Self {
        let bank = Bank::Sha2(alg);
        let separator = bank.hash(&[SEPARATOR]);
        let exited = bank.hash(&[EXITED]);
        let harmless: Vec<Vec<u8>> = HARMLESS.iter().map(|text| bank.hash(&[text])).collect();
        let mut boot = Self {
            bank: alg,
            events: log.events.len(),
            secure_boot: None,
            separators: BTreeSet::new(),
            exited: false,
            crtm_version: None,
            measured: Vec::new(),
        };
        let mut secure_boot = SecureBoot::default();
        for (pcr, event) in log.extended().filter(|(pcr, _)| proved(*pcr)) {
            let Some(digest) = event.digest(bank) else {
                continue;
            };
            if digest == separator {
                boot.separators.insert(pcr);
                continue;
            }
            boot.exited |= digest == exited;
            if harmless.iter().any(|known| known == digest) {
                continue;
            }
            let hashed = covered(event, bank);
            if event.event_type == EventType::S_CRTM_VERSION && pcr == 0 {
                boot.crtm_version =
                    hashed.map(|hashed| efi::text(hashed).unwrap_or_else(|| hex(hashed)));
            }
            let early = pcr == SECURE_BOOT_PCR && !boot.separators.contains(&pcr);
            let variable = hashed
                .filter(|hashed| early && hashed.len() == event.data.len())
                .and_then(|hashed| Variable::parse(hashed).ok());
            if early {
                secure_boot.see(hashed.is_some(), variable.as_ref());
            }
            let Some(extended) = Digest::new(alg, digest) else {
                continue;
            };
            boot.measured.push(Measured {
                what: what(pcr, event, hashed.is_some(), variable.as_ref()),
                event: event.number,
                pcr,
                digest: extended,
                text: hashed.and_then(text),
                stated: stated(event),
            });
        }
        if boot.separators.contains(&SECURE_BOOT_PCR) {
            boot.secure_boot = secure_boot.state();
        }
        boot
    }

    /// What was measured under that name.
    pub fn of(&self, what: Measurement) -> impl Iterator<Item = &Measured> {
        self.measured
            .iter()
            .filter(move |measured| measured.what == what)
    }
}

/// What PCR 7 says before its separator.
#[derive(Default)]
struct SecureBoot {
    hidden: bool,
    on: bool,
    off: bool,
}

impl SecureBoot {
    fn see(&mut self, covered: bool, variable: Option<&Variable<'_>>) {
        // An event that does not show what it measured could be the variable itself, switched off.
        self.hidden |= !covered;
        if let Some(variable) = variable.filter(|v| v.is(&GLOBAL_VARIABLE, "SecureBoot")) {
            match variable.data {
                [1] => self.on = true,
                _ => self.off = true,
            }
        }
    }

    const fn state(&self) -> Option<bool> {
        match (self.hidden, self.on, self.off) {
            (false, _, true) => Some(false),
            (false, true, false) => Some(true),
            (false, false, false) | (true, _, _) => None,
        }
    }
}

fn what(pcr: u8, event: &Event<'_>, covered: bool, variable: Option<&Variable<'_>>) -> Measurement {
    if let Some(variable) = variable {
        let known = [
            (&GLOBAL_VARIABLE, "SecureBoot", Measurement::SecureBoot),
            (&GLOBAL_VARIABLE, "PK", Measurement::Pk),
            (&GLOBAL_VARIABLE, "KEK", Measurement::Kek),
            (&SECURITY_DATABASE, "db", Measurement::Db),
            (&SECURITY_DATABASE, "dbx", Measurement::Dbx),
        ];
        let known = known.into_iter();
        if let Some((.., what)) = known
            .into_iter()
            .find(|(guid, name, _)| variable.is(guid, name))
        {
            return what;
        }
    }
    match (pcr, event.event_type) {
        (IMAGE_PCR, _) => Measurement::Image,
        (8 | 9 | 12, EventType::EVENT_TAG) => match Tagged::parse(event.data) {
            Ok(tagged) if tagged.id == Tagged::LINUX_LOAD_OPTIONS => Measurement::CommandLine,
            Ok(tagged) if tagged.id == Tagged::LINUX_INITRD => Measurement::Initrd,
            Ok(_) | Err(_) => Measurement::Event(pcr),
        },
        (8 | 9 | 12, EventType::IPL) if event.data.starts_with(GRUB_CMDLINE) => {
            Measurement::CommandLine
        }
        // systemd-stub measures the command line as it is, in UTF-16.
        (12, EventType::IPL) if covered => Measurement::CommandLine,
        _ => Measurement::Event(pcr),
    }
}

const GRUB_CMDLINE: &[u8] = b"kernel_cmdline: ";
/// What GRUB puts before what it hashes.
const GRUB: [&[u8]; 3] = [GRUB_CMDLINE, b"grub_cmd: ", b"module_cmdline: "];

/// The part of an event's data that its digest covers; `None` where it covers something else.
#[must_use]
pub fn covered<'a>(event: &Event<'a>, bank: Bank) -> Option<&'a [u8]> {
    let digest = event.digest(bank)?;
    let hashes = |part: &&'a [u8]| bank.hash(&[part]) == digest;
    let data = event.data;
    let whole = [Some(data), data.strip_suffix(&[0])];
    if let Some(found) = whole.into_iter().flatten().find(hashes) {
        return Some(found);
    }
    let part = match event.event_type {
        EventType::IPL => GRUB.iter().find_map(|prefix| data.strip_prefix(*prefix)),
        // Before 1.04 of the profile, boot variables were measured without their names.
        EventType::EFI_VARIABLE_BOOT | EventType::EFI_VARIABLE_AUTHORITY => {
            Variable::parse(data).ok().map(|variable| variable.data)
        }
        EventType::EVENT_TAG => Tagged::parse(data).ok().map(|tagged| tagged.data),
        _ => None,
    };
    let part = part?;
    [Some(part), part.strip_suffix(&[0])]
        .into_iter()
        .flatten()
        .find(hashes)
}

/// What was hashed, for people: text as it is, a variable by its name.
fn text(hashed: &[u8]) -> Option<String> {
    if let Ok(variable) = Variable::parse(hashed) {
        let name = printable(&efi::utf16(variable.name));
        return Some(match variable.data {
            [one] => format!("{name}={one}"),
            data => format!("{name}, {} bytes", data.len()),
        });
    }
    efi::text(hashed).map(|text| printable(&text))
}

/// What the log says of an event beside its digest.
fn stated(event: &Event<'_>) -> String {
    let about = match event.event_type {
        EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER => ImageLoad::parse(event.data)
            .ok()
            .and_then(|image| image.file()),
        EventType::EVENT_TAG => Tagged::parse(event.data)
            .ok()
            .and_then(|tagged| efi::text(tagged.data)),
        EventType::IPL | EventType::EFI_ACTION => efi::text(event.data),
        _ => Variable::parse(event.data)
            .ok()
            .map(|variable| efi::utf16(variable.name)),
    };
    match about {
        Some(about) => format!("{} {}", event.event_type, printable(&about)),
        None => event.event_type.to_string(),
    }
}

/// Text of others in a line of ours: no control characters, not without end.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(limits::LOG_TEXT)
        .collect()
}
