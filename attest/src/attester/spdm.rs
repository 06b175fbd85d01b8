//! The lab's software root as an SPDM responder (DSP0274 1.0 to 1.3), and the requester that records its measurements.
//!
//! Its certificates and keys are [`SoftwareDice`]'s: six certificates shaped like BlueField-3's, ECDSA on P-384 with SHA-384;
//! its measurements are by SHA-512, as BlueField-3's are. **It proves nothing about hardware.** It answers what signed
//! measurements need: version, capabilities, algorithms, digests, certificates, measurements; anything else with ERROR.
//!
//! No clock and no randomness: nonces are arguments, and the same requests get the same answers byte for byte.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::dice::SoftwareDice;
use crate::codec::reader::Reader;
use crate::codec::spdm::algorithms::{Asymmetric, MeasurementHash, base_hash_bit};
use crate::codec::spdm::block::{Block, Value, ValueType};
use crate::codec::spdm::measurements::{Challenge, Changed, Operation, Request, Response};
use crate::codec::spdm::slot::SlotChain;
use crate::codec::spdm::{Header, Version, code, length};
use crate::digest::HashAlg;
use crate::refusal::Refusal;
use crate::spdm::in_context;

/// The hash of transcripts and signatures.
const HASH: HashAlg = HashAlg::Sha384;
/// The hash of measurements: another one, as BlueField-3 has it.
const MEASUREMENT_HASH: HashAlg = HashAlg::Sha512;
/// CERT_CAP and MEAS_CAP with signature (Flags of CAPABILITIES).
const CAPABILITIES: u32 = 0x02 | 0x10;
/// The largest message of either side.
const MESSAGE: u32 = 0x0001_0000;

/// ERROR codes (DSP0274, 10.12).
mod error {
    pub(super) const INVALID_REQUEST: u8 = 0x01;
    pub(super) const UNSUPPORTED_REQUEST: u8 = 0x07;
    pub(super) const VERSION_MISMATCH: u8 = 0x41;
}

/// What a BlueField-3's internal root of trust measures, by its table of indices (NVIDIA Device Attestation, 4.0).
#[derive(Clone, Copy, Debug)]
pub struct BlueField<'a> {
    /// Firmware of the platform security controller: index 2.
    pub psc: &'a [u8],
    /// Firmware of the network controller: index 3.
    pub nic: &'a [u8],
    /// Firmware of the Arm cores: index 4.
    pub arm: &'a [u8],
    /// Rollback counters and security configuration of this very device: indices 5 to 10.
    pub configuration: &'a [u8],
}

impl BlueField<'_> {
    /// The blocks 1 to 11: version of the table, three firmwares, six configurations, the device's PCI ids.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let digest = |index: u8, kind, parts: &[&[u8]]| Block {
            index,
            kind,
            value: Value::Digest(MEASUREMENT_HASH.hash(parts)),
        };
        let raw = |index, value: &[u8]| Block {
            index,
            kind: ValueType::FirmwareConfiguration,
            value: Value::Raw(value.to_vec()),
        };
        let mut ids = alloc::vec![0; 50];
        for (to, from) in ids.iter_mut().zip(b"\xdc\xa2\xb3\x15\xb3\x15\x00\x09") {
            *to = *from;
        }
        let mut blocks = alloc::vec![raw(1, &[0, 0, 0, 1])];
        for (index, firmware) in (2..).zip([self.psc, self.nic, self.arm]) {
            blocks.push(digest(index, ValueType::MutableFirmware, &[firmware]));
        }
        for index in 5..=10 {
            blocks.push(digest(
                index,
                ValueType::HardwareConfiguration,
                &[self.configuration, &[index]],
            ));
        }
        blocks.push(raw(11, &ids));
        blocks
    }
}

/// A responder: it holds what it measured, and where in a transcript it stands.
pub struct Responder<'d> {
    dice: &'d SoftwareDice,
    version: Version,
    blocks: BTreeMap<u8, Block>,
    opaque: Vec<u8>,
    changed: Changed,
    negotiation: Vec<u8>,
    measured: Vec<u8>,
}

impl<'d> Responder<'d> {
    /// A responder of one version that measured these blocks.
    #[must_use]
    pub fn new(
        dice: &'d SoftwareDice,
        version: Version,
        blocks: impl IntoIterator<Item = Block>,
    ) -> Self {
        Self {
            dice,
            version,
            blocks: blocks
                .into_iter()
                .map(|block| (block.index, block))
                .collect(),
            opaque: Vec::new(),
            changed: Changed::No,
            negotiation: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// Adds opaque data to its answers; up to 1024 bytes. Since 1.2 they must be in the general format.
    #[must_use]
    pub fn with_opaque(mut self, opaque: &[u8]) -> Self {
        self.opaque = opaque.to_vec();
        self
    }

    /// Says of the measurements whether they changed while they were read.
    #[must_use]
    pub const fn with_changed(mut self, changed: Changed) -> Self {
        self.changed = changed;
        self
    }

    /// Answers one message; `nonce` is used where the answer holds one, and must then be fresh.
    #[must_use]
    pub fn respond(&mut self, request: &[u8], nonce: &[u8; 32]) -> Vec<u8> {
        match self.answer(request, nonce) {
            Ok(answer) => answer,
            Err(code) => {
                self.measured.clear();
                self.header(self.version, self::code::ERROR, code, 0)
            }
        }
    }

    fn answer(&mut self, request: &[u8], nonce: &[u8; 32]) -> Result<Vec<u8>, u8> {
        let &[version, code, _, _, ..] = request else {
            return Err(error::INVALID_REQUEST);
        };
        if code == code::GET_VERSION {
            let answer = self.offer();
            self.measured.clear();
            self.negotiation = [request, &answer].concat();
            return Ok(answer);
        }
        if version != self.version.byte() {
            return Err(error::VERSION_MISMATCH);
        }
        match code {
            code::GET_CAPABILITIES => Ok(self.agree(request, Self::capabilities)),
            code::NEGOTIATE_ALGORITHMS => Ok(self.agree(request, Self::algorithms)),
            code::GET_DIGESTS => {
                self.measured.clear();
                let mut answer = self.header(self.version, code::DIGESTS, 0, 1);
                answer.extend_from_slice(HASH.hash(&[&self.slot()]).bytes());
                Ok(answer)
            }
            code::GET_CERTIFICATE => {
                self.measured.clear();
                self.certificate(request)
            }
            code::GET_MEASUREMENTS => self.measurements(request, nonce),
            _ => Err(error::UNSUPPORTED_REQUEST),
        }
    }

    #[expect(clippy::unused_self, reason = "every message is made by the responder")]
    fn header(&self, version: Version, code: u8, param1: u8, param2: u8) -> Vec<u8> {
        alloc::vec![version.byte(), code, param1, param2]
    }

    /// VERSION speaks 1.0 and offers one version.
    fn offer(&self) -> Vec<u8> {
        let mut answer = self.header(Version::V10, code::VERSION, 0, 0);
        answer.extend_from_slice(&[0, 1, 0, self.version.byte()]);
        answer
    }

    fn agree(&mut self, request: &[u8], answer: fn(&Self) -> Vec<u8>) -> Vec<u8> {
        let answer = answer(self);
        self.measured.clear();
        self.negotiation.extend_from_slice(request);
        self.negotiation.extend_from_slice(&answer);
        answer
    }

    fn capabilities(&self) -> Vec<u8> {
        let mut answer = self.header(self.version, code::CAPABILITIES, 0, 0);
        answer.extend_from_slice(&[0; 4]);
        answer.extend_from_slice(&CAPABILITIES.to_le_bytes());
        if self.version.signs_negotiation() {
            answer.extend_from_slice(&MESSAGE.to_le_bytes());
            answer.extend_from_slice(&MESSAGE.to_le_bytes());
        }
        answer
    }

    fn algorithms(&self) -> Vec<u8> {
        let mut answer = self.header(self.version, code::ALGORITHMS, 0, 0);
        answer.extend_from_slice(&36u16.to_le_bytes());
        let general = if self.version.signs_negotiation() {
            2
        } else {
            0
        };
        answer.extend_from_slice(&[1, general]);
        answer.extend_from_slice(&MeasurementHash::Hash(MEASUREMENT_HASH).bit().to_le_bytes());
        answer.extend_from_slice(&Asymmetric::P384.bit().to_le_bytes());
        answer.extend_from_slice(&base_hash_bit(HASH).to_le_bytes());
        answer.extend_from_slice(&[0; 16]);
        answer
    }

    fn slot(&self) -> Vec<u8> {
        SlotChain::write(HASH, self.dice.certificates())
    }

    /// CERTIFICATE: slot, length of this portion, length of what is left, the portion.
    fn certificate(&self, request: &[u8]) -> Result<Vec<u8>, u8> {
        let invalid = |_: Refusal| error::INVALID_REQUEST;
        let mut reader = Reader::new("the request", request);
        let header = Header::read(&mut reader, code::GET_CERTIFICATE).map_err(invalid)?;
        let offset = length(&mut reader, 2, usize::from(u16::MAX)).map_err(invalid)?;
        let most = length(&mut reader, 2, usize::from(u16::MAX)).map_err(invalid)?;
        reader.finish().map_err(invalid)?;
        let slot = self.slot();
        let rest = slot
            .get(offset..)
            .filter(|rest| header.param1 == 0 && !rest.is_empty() && most > 0)
            .ok_or(error::INVALID_REQUEST)?;
        let (portion, left) = rest.split_at_checked(most).unwrap_or((rest, &[]));
        let size = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
        let mut answer = self.header(self.version, code::CERTIFICATE, 0, 0);
        answer.extend_from_slice(&size(portion));
        answer.extend_from_slice(&size(left));
        answer.extend_from_slice(portion);
        Ok(answer)
    }

    fn measurements(&mut self, bytes: &[u8], nonce: &[u8; 32]) -> Result<Vec<u8>, u8> {
        let invalid = |_: Refusal| error::INVALID_REQUEST;
        let mut reader = Reader::new("the request", bytes);
        let request = Request::read(&mut reader).map_err(invalid)?;
        reader.finish().map_err(invalid)?;
        if request
            .challenge
            .is_some_and(|challenge| challenge.slot != 0)
        {
            return Err(error::INVALID_REQUEST);
        }
        let blocks = match request.operation {
            Operation::Count => Vec::new(),
            Operation::All => self.blocks.values().cloned().collect(),
            Operation::Index(index) => {
                let block = self.blocks.get(&index).ok_or(error::INVALID_REQUEST)?;
                alloc::vec![block.clone()]
            }
        };
        let signed = request.challenge.is_some();
        let response = Response {
            total: (request.operation == Operation::Count)
                .then(|| u8::try_from(self.blocks.len()).unwrap_or(u8::MAX)),
            changed: if signed {
                self.changed
            } else {
                Changed::Unknown
            },
            blocks,
            nonce: *nonce,
            opaque: self.opaque.clone(),
            context: request.context,
            signature: None,
        };
        let mut answer = response.write_unsigned(&request);
        if self.measured.is_empty() && self.version.signs_negotiation() {
            self.measured.extend_from_slice(&self.negotiation);
        }
        self.measured.extend_from_slice(bytes);
        self.measured.extend_from_slice(&answer);
        if signed {
            let message = core::mem::take(&mut self.measured);
            let signature = if self.version.signs_negotiation() {
                self.dice
                    .sign_message(&in_context(self.version, HASH, &message))
            } else {
                self.dice.sign_message(&message)
            };
            answer.extend_from_slice(&signature);
        }
        Ok(answer)
    }
}

impl fmt::Debug for Responder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("version", &self.version)
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

/// Asks a responder for measurements and records what is said: the transcript as `SignedMeasurements` of Redfish holds it.
///
/// Every operation but the last is asked without a signature. `exchange` carries a message to the responder and gives its
/// answer.
///
/// # Errors
/// `spdm.code` for an answer of another kind (0x7f is ERROR), `spdm.version` where the responder does not offer `version`, and what the
/// caller's `exchange` says.
pub fn record<E: From<Refusal>>(
    version: Version,
    nonce: &[u8; 32],
    operations: &[Operation],
    mut exchange: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut ask = |request: &[u8], due: u8| -> Result<Vec<u8>, E> {
        let answer = exchange(request)?;
        match answer.get(1) {
            Some(found) if *found == due => Ok(answer),
            found => Err(Refusal::SpdmCode {
                expected: due,
                found: found.copied().unwrap_or_default(),
            }
            .into()),
        }
    };
    let mut negotiation = Vec::new();
    let requests: [(Vec<u8>, u8); 3] = [
        (
            alloc::vec![Version::V10.byte(), code::GET_VERSION, 0, 0],
            code::VERSION,
        ),
        (get_capabilities(version), code::CAPABILITIES),
        (negotiate_algorithms(version), code::ALGORITHMS),
    ];
    for (request, due) in requests {
        let answer = ask(&request, due)?;
        negotiation.extend_from_slice(&request);
        negotiation.extend_from_slice(&answer);
    }
    let mut transcript = if version.signs_negotiation() {
        negotiation
    } else {
        Vec::new()
    };
    for (at, operation) in (1..).zip(operations) {
        let request = Request {
            version,
            raw: false,
            operation: *operation,
            challenge: (at == operations.len()).then_some(Challenge {
                nonce: *nonce,
                slot: 0,
            }),
            context: (version == Version::V13).then(|| {
                let mut context = [0; 8];
                for (to, from) in context.iter_mut().zip(nonce) {
                    *to = *from;
                }
                context
            }),
        }
        .write();
        let answer = ask(&request, code::MEASUREMENTS)?;
        transcript.extend_from_slice(&request);
        transcript.extend_from_slice(&answer);
    }
    Ok(transcript)
}

fn get_capabilities(version: Version) -> Vec<u8> {
    let mut request = alloc::vec![version.byte(), code::GET_CAPABILITIES, 0, 0];
    if version != Version::V10 {
        request.extend_from_slice(&[0; 8]);
    }
    if version.signs_negotiation() {
        request.extend_from_slice(&MESSAGE.to_le_bytes());
        request.extend_from_slice(&MESSAGE.to_le_bytes());
    }
    request
}

fn negotiate_algorithms(version: Version) -> Vec<u8> {
    let mut request = alloc::vec![version.byte(), code::NEGOTIATE_ALGORITHMS, 0, 0];
    request.extend_from_slice(&32u16.to_le_bytes());
    let general = if version.signs_negotiation() { 2 } else { 0 };
    request.extend_from_slice(&[1, general]);
    request.extend_from_slice(&Asymmetric::P384.bit().to_le_bytes());
    request.extend_from_slice(&base_hash_bit(HASH).to_le_bytes());
    request.extend_from_slice(&[0; 16]);
    request
}
