//! Makes logs: what firmware and kernel would write, into as many banks as are asked for.

use assay_attest::codec::efi::{GLOBAL_VARIABLE, SECURITY_DATABASE, Tagged};
use assay_attest::codec::eventlog::EventType;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::replay::{Bank, Replay};
use std::collections::BTreeMap;

pub(super) const SHA256: Bank = Bank::Sha2(HashAlg::Sha256);
pub(super) const EXITED: &[u8] = b"Exit Boot Services Returned with Success";

/// A firmware log in the making, and what a TPM would hold.
#[derive(Clone)]
pub(super) struct Firmware {
    banks: Vec<Bank>,
    legacy: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) replay: Replay,
}

fn u32le(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

impl Firmware {
    pub(super) fn new(banks: &[Bank]) -> Self {
        let mut data = b"Spec ID Event03\0".to_vec();
        data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        data.extend(u32le(banks.len()));
        for bank in banks {
            data.extend(bank.alg().to_le_bytes());
            data.extend(u16::try_from(bank.size()).unwrap().to_le_bytes());
        }
        data.extend([3, b'a', b'b', b'c']);
        let mut log = Self {
            banks: banks.to_vec(),
            legacy: true,
            bytes: Vec::new(),
            replay: Replay::new(banks.iter().copied()),
        };
        log.raw(0, EventType::NO_ACTION, |bank| vec![0; bank.size()], &data);
        log.legacy = false;
        log
    }

    pub(super) fn legacy() -> Self {
        Self {
            banks: vec![Bank::Sha1],
            legacy: true,
            bytes: Vec::new(),
            replay: Replay::new([Bank::Sha1]),
        }
    }

    /// One event with these digests.
    pub(super) fn raw(
        &mut self,
        pcr: u8,
        event_type: EventType,
        digest: impl Fn(Bank) -> Vec<u8>,
        data: &[u8],
    ) {
        self.bytes.extend(u32::from(pcr).to_le_bytes());
        self.bytes.extend(event_type.0.to_le_bytes());
        if self.legacy {
            self.bytes.extend(digest(Bank::Sha1));
        } else {
            self.bytes.extend(u32le(self.banks.len()));
            for bank in &self.banks {
                self.bytes.extend(bank.alg().to_le_bytes());
                self.bytes.extend(digest(*bank));
            }
        }
        self.bytes.extend(u32le(data.len()));
        self.bytes.extend(data);
        if event_type != EventType::NO_ACTION {
            for bank in &self.banks {
                self.replay.extend(*bank, pcr, &digest(*bank));
            }
        }
    }

    /// One event that measures `measured` and says `data`.
    pub(super) fn event(&mut self, pcr: u8, event_type: EventType, measured: &[u8], data: &[u8]) {
        self.raw(pcr, event_type, |bank| bank.hash(&[measured]), data);
    }

    /// One event that measures what it says.
    pub(super) fn says(&mut self, pcr: u8, event_type: EventType, data: &[u8]) {
        self.event(pcr, event_type, data, data);
    }

    pub(super) fn locality(&mut self, locality: u8) {
        let data = [b"StartupLocality\0".as_slice(), &[locality]].concat();
        self.raw(0, EventType::NO_ACTION, |bank| vec![0; bank.size()], &data);
        for bank in self.banks.clone() {
            let mut value = vec![0; bank.size()];
            *value.last_mut().unwrap() = locality;
            self.replay.begin(bank, 0, value);
        }
    }

    /// The registers of a bank as a TPM gives them: all 24, zero where nothing was extended.
    pub(super) fn pcrs(&self, alg: HashAlg) -> BTreeMap<u8, Digest> {
        let value = |index| self.replay.value(Bank::Sha2(alg), index);
        (0..24)
            .map(|index| {
                let bytes = value(index).map_or_else(|| vec![0; alg.size()], <[u8]>::to_vec);
                (index, Digest::new(alg, &bytes).unwrap())
            })
            .collect()
    }
}

pub(super) fn variable(guid: &[u8; 16], name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = guid.to_vec();
    bytes.extend(u64::try_from(name.len()).unwrap().to_le_bytes());
    bytes.extend(u64::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(name.bytes().flat_map(|byte| [byte, 0]));
    bytes.extend(data);
    bytes
}

pub(super) fn tagged(id: u32, text: &str) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend(u32le(text.len() + 1));
    bytes.extend(text.bytes());
    bytes.push(0);
    bytes
}

fn image(file: &str) -> Vec<u8> {
    let wide: Vec<u8> = file.bytes().chain([0]).flat_map(|byte| [byte, 0]).collect();
    let mut path = vec![4, 4];
    path.extend(u16::try_from(wide.len() + 4).unwrap().to_le_bytes());
    path.extend(wide);
    path.extend([0x7f, 0xff, 4, 0]);
    let mut bytes = vec![0; 24];
    bytes.extend(u64::try_from(path.len()).unwrap().to_le_bytes());
    bytes.extend(path);
    bytes
}

/// What differs between two boots.
#[derive(Clone, Copy)]
pub(super) struct Boot<'a> {
    pub(super) secure: u8,
    pub(super) loader: &'a [u8],
    pub(super) cmdline: &'a str,
    pub(super) initrd: &'a [u8],
}

pub(super) const GOOD: Boot<'_> = Boot {
    secure: 1,
    loader: b"a kernel",
    cmdline: "root=/dev/vda ro",
    initrd: b"an initrd",
};

/// A machine that starts Linux by its EFI stub.
pub(super) fn boot(banks: &[Bank], boot: Boot<'_>) -> Firmware {
    let mut log = Firmware::new(banks);
    log.locality(3);
    log.says(0, EventType::S_CRTM_VERSION, b"v\x001\x00\x00\x00");
    secure_boot(&mut log, boot.secure);
    log.says(7, EventType::SEPARATOR, &[0; 4]);
    let called = b"Calling EFI Application from Boot Option";
    log.says(4, EventType::EFI_ACTION, called);
    for pcr in 0..7 {
        log.says(pcr, EventType::SEPARATOR, &[0; 4]);
    }
    let loaded = EventType::EFI_BOOT_SERVICES_APPLICATION;
    log.event(4, loaded, boot.loader, &image("\\EFI\\BOOT\\BOOTAA64.EFI"));
    stub(&mut log, boot.cmdline, boot.initrd);
    log.says(5, EventType::EFI_ACTION, b"Exit Boot Services Invocation");
    log.says(5, EventType::EFI_ACTION, EXITED);
    log
}

pub(super) fn secure_boot(log: &mut Firmware, on: u8) {
    let config = EventType::EFI_VARIABLE_DRIVER_CONFIG;
    log.says(7, config, &variable(&GLOBAL_VARIABLE, "SecureBoot", &[on]));
    log.says(7, config, &variable(&GLOBAL_VARIABLE, "PK", b"pk"));
    log.says(7, config, &variable(&GLOBAL_VARIABLE, "KEK", b"kek"));
    log.says(7, config, &variable(&SECURITY_DATABASE, "db", b"db"));
    log.says(7, config, &variable(&SECURITY_DATABASE, "dbx", b"dbx"));
}

/// What the EFI stub measures: load options in UTF-16, then the initrd.
pub(super) fn stub(log: &mut Firmware, cmdline: &str, initrd: &[u8]) {
    let wide: Vec<u8> = cmdline.bytes().flat_map(|byte| [byte, 0]).collect();
    let name = tagged(Tagged::LINUX_LOAD_OPTIONS, "LOADED_IMAGE::LoadOptions");
    log.event(9, EventType::EVENT_TAG, &wide, &name);
    let name = tagged(Tagged::LINUX_INITRD, "Linux initrd");
    log.event(9, EventType::EVENT_TAG, initrd, &name);
}

/// An IMA log in the making, and what PCR 10 would hold of each bank.
#[derive(Clone)]
pub(super) struct Ima {
    pub(super) bytes: Vec<u8>,
    pub(super) ascii: String,
    pub(super) replay: Replay,
    pub(super) entries: u64,
}

impl Ima {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ascii: String::new(),
            replay: Replay::new(Bank::ALL),
            entries: 0,
        }
    }

    pub(super) fn raw(&mut self, template: &str, data: &[u8], violation: bool) {
        let digest = |bank: Bank| bank.hash(&[data]);
        let stored = match violation {
            true => vec![0; 20],
            false => digest(Bank::Sha1),
        };
        self.bytes.extend(10_u32.to_le_bytes());
        self.bytes.extend(&stored);
        self.bytes.extend(u32le(template.len()));
        self.bytes.extend(template.bytes());
        self.bytes.extend(u32le(data.len()));
        self.bytes.extend(data);
        for bank in Bank::ALL {
            let extended = match violation {
                true => vec![0xff; bank.size()],
                false => digest(bank),
            };
            self.replay.extend(bank, 10, &extended);
        }
        self.entries += 1;
        let hex = assay_attest::digest::hex(&stored);
        self.ascii.push_str(&format!("10 {hex} {template} "));
    }

    /// `ima-ng`.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.ng(path, HashAlg::Sha256.hash(&[content]).bytes(), false);
    }

    pub(super) fn ng(&mut self, path: &str, digest: &[u8], violation: bool) {
        let data = [
            field(&[b"sha256:\0", digest]),
            field(&[path.as_bytes(), &[0]]),
        ]
        .concat();
        self.raw("ima-ng", &data, violation);
        let hex = assay_attest::digest::hex(digest);
        self.ascii.push_str(&format!("sha256:{hex} {path}\n"));
    }

    pub(super) fn violation(&mut self, path: &str) {
        self.ng(path, &[0; 32], true);
    }

    /// `ima-sig`.
    pub(super) fn signed(&mut self, path: &str, signature: &[u8]) {
        let digest = [7; 32];
        let data = [
            field(&[b"sha256:\0", &digest]),
            field(&[path.as_bytes(), &[0]]),
            field(&[signature]),
        ];
        self.raw("ima-sig", &data.concat(), false);
        let (digest, signature) = (
            assay_attest::digest::hex(&digest),
            assay_attest::digest::hex(signature),
        );
        self.ascii
            .push_str(&format!("sha256:{digest} {path} {signature}\n"));
    }

    /// The legacy `ima` template: no lengths but the name's, which is padded to be hashed.
    pub(super) fn legacy(&mut self, path: &str, digest: &[u8; 20]) {
        let mut name = path.as_bytes().to_vec();
        name.resize(256, 0);
        let own = Bank::Sha1.hash(&[digest, &name]);
        self.bytes.extend(10_u32.to_le_bytes());
        self.bytes.extend(&own);
        self.bytes.extend(u32le(3));
        self.bytes.extend(b"ima");
        self.bytes.extend(digest);
        self.bytes.extend(u32le(path.len()));
        self.bytes.extend(path.bytes());
        for bank in Bank::ALL {
            let extended = bank.hash(&[digest, &name]);
            self.replay.extend(bank, 10, &extended);
        }
        self.entries += 1;
        let hex = assay_attest::digest::hex;
        let line = format!("10 {} ima {} {path}\n", hex(&own), hex(digest));
        self.ascii.push_str(&line);
    }

    pub(super) fn value(&self) -> Digest {
        Digest::new(HashAlg::Sha256, self.replay.value(SHA256, 10).unwrap()).unwrap()
    }
}

pub(super) fn field(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [u32le(content.len()).as_slice(), &content].concat()
}
