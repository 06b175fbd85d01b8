//! The negotiation before the first measurement: GET_VERSION, GET_CAPABILITIES and NEGOTIATE_ALGORITHMS with their answers
//! (DSP0274, 10.3 to 10.6). Since 1.2 a signature covers it, from the first byte of GET_VERSION to the last of ALGORITHMS.

use alloc::vec::Vec;

use super::algorithms::{Asymmetric, MeasurementHash, OpaqueFormat, base_hash};
use super::{Header, Version, code, length, little};
use crate::codec::reader::Reader;
use crate::digest::HashAlg;
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the SPDM negotiation";
/// NEGOTIATE_ALGORITHMS without lists.
const REQUEST: usize = 32;
/// ALGORITHMS without lists.
const RESPONSE: usize = 36;
/// The SupportedAlgorithms block of a CAPABILITIES of 1.3, without lists.
const SUPPORTED: usize = 30;
/// The longest of these messages.
const MESSAGE: usize = 1024;

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiation {
    /// The version that was chosen.
    pub version: Version,
    /// The versions that the responder offered, as major and minor nibble (`0x11` is 1.1), known here or not.
    pub offered: Vec<u8>,
    /// The responder's capability flags.
    pub capabilities: u32,
    /// The signature algorithm.
    pub asymmetric: Asymmetric,
    /// The hash of transcripts.
    pub hash: HashAlg,
    /// How measurements are given.
    pub measurement_hash: MeasurementHash,
    /// The format of opaque data.
    pub opaque: OpaqueFormat,
}

impl Negotiation {
    /// Reads all six messages; what follows is left. `bytes` is the whole input that `reader` reads.
    ///
    /// # Errors
    /// The reader's, `spdm.*`.
    pub fn read(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<Self, Refusal> {
        // GET_VERSION and VERSION speak 1.0, whatever is agreed on (DSP0274, 10.3).
        Header::read_as(reader, code::GET_VERSION, Version::V10)?;
        let offered = offered(reader)?;

        let request = Header::read(reader, code::GET_CAPABILITIES)?;
        let version = request.version;
        if !offered.contains(&version.byte()) {
            return Err(negotiation("the version was not offered"));
        }
        match version {
            Version::V10 => {}
            Version::V11 => drop(reader.take(8)?),
            Version::V12 | Version::V13 => drop(reader.take(16)?),
        }
        Header::read_as(reader, code::CAPABILITIES, version)?;
        reader.take(4)?;
        let capabilities = little(reader, 4)?;
        if version.signs_negotiation() {
            reader.take(8)?;
        }
        if version == Version::V13 && request.param1 & 1 != 0 {
            supported_algorithms(reader, bytes, version)?;
        }

        let header = Header::read_as(reader, code::NEGOTIATE_ALGORITHMS, version)?;
        let size = length(reader, 2, MESSAGE)?;
        let body = message(reader, size, REQUEST)?;
        lists(body, REQUEST, 22, header.param1, version)?;

        let header = Header::read_as(reader, code::ALGORITHMS, version)?;
        let size = length(reader, 2, MESSAGE)?;
        let body = message(reader, size, RESPONSE)?;
        lists(body, RESPONSE, 26, header.param1, version)?;
        algorithms(version, offered, capabilities, body)
    }
}

/// VERSION: how many, and each as alpha and update in the low byte, minor and major in the high one.
fn offered(reader: &mut Reader<'_>) -> Result<Vec<u8>, Refusal> {
    Header::read_as(reader, code::VERSION, Version::V10)?;
    reader.u8()?;
    let count = reader.u8()?;
    let mut versions = Vec::new();
    for _ in 0..count {
        reader.u8()?;
        versions.push(reader.u8()?);
    }
    Ok(versions)
}

/// The block that 1.3 may append to CAPABILITIES. It is there unless the next request begins here.
fn supported_algorithms(
    reader: &mut Reader<'_>,
    bytes: &[u8],
    version: Version,
) -> Result<(), Refusal> {
    let next = bytes.get(reader.offset()..).unwrap_or_default();
    if next.starts_with(&[version.byte(), code::NEGOTIATE_ALGORITHMS]) {
        return Ok(());
    }
    reader.take(2)?;
    let size = length(reader, 2, MESSAGE)?;
    let rest = size
        .checked_sub(4)
        .filter(|_| size >= SUPPORTED)
        .ok_or_else(|| negotiation("a list of supported algorithms is too short"))?;
    reader.take(rest).map(drop)
}

/// What follows the six bytes of header and length.
fn message<'a>(reader: &mut Reader<'a>, size: usize, least: usize) -> Result<&'a [u8], Refusal> {
    let rest = size
        .checked_sub(6)
        .filter(|_| size >= least)
        .ok_or_else(|| negotiation("a message is shorter than its fields"))?;
    reader.take(rest)
}

/// The extended algorithms and structure tables after the fixed part: they must fill the stated length exactly. `counts` is
/// where the two counts stand, from behind the length.
fn lists(
    body: &[u8],
    fixed: usize,
    counts: usize,
    tables: u8,
    version: Version,
) -> Result<(), Refusal> {
    let [asymmetric, hash] = body
        .get(counts..)
        .and_then(|rest| rest.first_chunk::<2>())
        .copied()
        .unwrap_or_default();
    let rest = body.get(fixed.saturating_sub(6)..).unwrap_or_default();
    let mut reader = Reader::new(WHAT, rest);
    reader.take(
        usize::from(asymmetric)
            .saturating_add(usize::from(hash))
            .saturating_mul(4),
    )?;
    let tables = if version == Version::V10 { 0 } else { tables };
    for _ in 0..tables {
        reader.u8()?;
        let count = reader.u8()?;
        let external = usize::from(count & 0x0f).saturating_mul(4);
        reader.take(usize::from(count >> 4).saturating_add(external))?;
    }
    reader.finish()
}

/// ALGORITHMS: MeasurementSpecificationSel, OtherParamsSelection, MeasurementHashAlgo, BaseAsymSel, BaseHashSel, reserved,
/// MELspecificationSel, counts of extended algorithms.
fn algorithms(
    version: Version,
    offered: Vec<u8>,
    capabilities: u32,
    body: &[u8],
) -> Result<Negotiation, Refusal> {
    let mut reader = Reader::new(WHAT, body);
    let specification = reader.u8()?;
    let other = reader.u8()?;
    let measurement_hash = little(&mut reader, 4)?;
    let asymmetric = little(&mut reader, 4)?;
    let hash = little(&mut reader, 4)?;
    reader.take(12)?;
    let extended = little(&mut reader, 2)?;
    if specification & 0x0f != 1 {
        return Err(negotiation(
            "the format of measurements is not the dmtf's own",
        ));
    }
    if extended != 0 {
        return Err(negotiation("an extended algorithm was selected"));
    }
    Ok(Negotiation {
        version,
        offered,
        capabilities,
        asymmetric: Asymmetric::of(asymmetric)?,
        hash: base_hash(hash)?,
        measurement_hash: MeasurementHash::of(measurement_hash)?,
        opaque: if version.signs_negotiation() {
            OpaqueFormat::of(other)?
        } else {
            OpaqueFormat::Vendor
        },
    })
}

fn negotiation(why: &'static str) -> Refusal {
    Refusal::SpdmNegotiation { why }
}

const _: () = assert!(MESSAGE <= limits::SPDM_TRANSCRIPT_BYTES);
