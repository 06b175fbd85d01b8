//! Every bound of this crate in one table. Over a bound is a refusal, never a cut.

/// One evidence message, bytes.
pub const EVIDENCE_BYTES: usize = 1024 * 1024;
/// Members of one collection: the fixed labels and the accelerators of one machine.
pub const MEMBERS: usize = 24;
/// The `claims` member, bytes.
pub const CLAIMS_BYTES: usize = 8 * 1024;
/// The `tpm` member, bytes.
pub const TPM_BYTES: usize = 32 * 1024;
/// A `dice` member, bytes: a chain of [`CHAIN_CERTIFICATES`] and one signature.
pub const DICE_BYTES: usize = 64 * 1024;
/// An `spdm` member, bytes: a chain and a transcript.
pub const SPDM_BYTES: usize = 192 * 1024;
/// One SPDM transcript, bytes: the negotiation and every exchange.
pub const SPDM_TRANSCRIPT_BYTES: usize = 128 * 1024;
/// Exchanges of one transcript: one for each index there can be, and one for their count.
pub const SPDM_EXCHANGES: usize = 256;
/// One measurement record, bytes.
pub const SPDM_RECORD_BYTES: usize = 64 * 1024;
/// Opaque data of one message, bytes (DSP0274, 10.11: 1024).
pub const SPDM_OPAQUE_BYTES: usize = 1024;
/// A certificate chain as SPDM carries it, bytes (DSP0274, 10.7.1: its length is a u16).
pub const SPDM_CHAIN_BYTES: usize = 64 * 1024;
/// Certificates of one chain.
pub const CHAIN_CERTIFICATES: usize = 8;
/// One certificate, bytes of DER.
pub const CERTIFICATE_BYTES: usize = 16 * 1024;
/// Extensions of one certificate.
pub const CERTIFICATE_EXTENSIONS: usize = 32;
/// Firmware digests of one DICE layer.
pub const FWIDS: usize = 16;
/// DiceTcbInfo entries of one DiceMultiTcbInfo.
pub const TCB_INFOS: usize = 16;
/// Integrity registers of one DiceTcbInfo.
pub const INTEGRITY_REGISTERS: usize = 32;
/// A chain of CWTs after the Open Profile for DICE, bytes.
pub const OPEN_DICE_BYTES: usize = 64 * 1024;
/// A certificate revocation list, bytes.
pub const CRL_BYTES: usize = 4 * 1024 * 1024;
/// Certificates that one revocation list names.
pub const CRL_ENTRIES: usize = 128 * 1024;
/// An OCSP answer, bytes.
pub const OCSP_BYTES: usize = 64 * 1024;
/// Certificates that one OCSP answer speaks of.
pub const OCSP_ANSWERS: usize = 64;
/// Revocation lists, and OCSP answers, that one chain is held against.
pub const REVOCATION_FILES: usize = 64;
/// A file of tpm2-tools or keylime about one quote, bytes.
pub const QUOTE_FILE_BYTES: usize = 64 * 1024;
/// An attestation of go-tpm-tools (protobuf), bytes: event logs are in it.
pub const ATTESTATION_PB_BYTES: usize = 2 * 1024 * 1024;
/// Quotes of one such attestation.
pub const QUOTES: usize = 8;
/// Fields of one protobuf message.
pub const PROTOBUF_FIELDS: usize = 512;
/// Nesting of CBOR items.
pub const CBOR_DEPTH: usize = 16;
/// CBOR items in one message, counted over all depths.
pub const CBOR_ITEMS: usize = 16 * 1024;
/// A text that a device states (host name, model, version, serial), bytes of UTF-8.
pub const TEXT_BYTES: usize = 255;
/// A device or claim id, bytes of UTF-8.
pub const SUBJECT_BYTES: usize = 128;
/// Accelerators of one machine: `accel.0` to `accel.15`.
pub const ACCELERATORS: u16 = 16;
/// PCRs of one bank (TPM 2.0 Library Part 2, PC Client: 24).
pub const PCRS: u8 = 24;
/// PCR banks of one quote.
pub const PCR_BANKS: usize = 4;
/// One TPM structure (TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE), bytes.
pub const TPM_STRUCTURE_BYTES: usize = 2048;
/// One set of reference values, bytes.
pub const REFERENCE_BYTES: usize = 256 * 1024;
/// Components of one set of reference values.
pub const REFERENCE_COMPONENTS: usize = 512;
/// Accepted digests of one component.
pub const REFERENCE_DIGESTS: usize = 64;
/// Members of one CMW collection of somebody else's.
pub const CMW_MEMBERS: usize = 256;
/// One value of reference values that is compared as it is, bytes.
pub const REFERENCE_RAW: usize = 1024;
/// One CoRIM or CoMID, bytes.
pub const CORIM_BYTES: usize = 512 * 1024;
/// Items of one list in a CoRIM.
pub const CORIM_LIST: usize = 1024;
/// One text of a CoRIM, bytes of UTF-8.
pub const CORIM_TEXT: usize = 1024;
/// One byte string or key of a CoRIM, bytes.
pub const CORIM_BLOB: usize = 32 * 1024;
/// Signatures of one COSE_Sign.
pub const COSE_SIGNERS: usize = 16;
/// The protected headers of somebody else's COSE message: a certificate chain may stand in them.
pub const HEADER_BYTES: usize = 128 * 1024;
/// A TCG event log or a Canonical Event Log, bytes.
pub const EVENT_LOG_BYTES: usize = 1024 * 1024;
/// Events of one such log.
pub const LOG_EVENTS: usize = 8 * 1024;
/// Data of one event, bytes.
pub const LOG_EVENT_BYTES: usize = 256 * 1024;
/// Algorithms that one event log may name.
pub const LOG_BANKS: usize = 16;
/// An IMA log, bytes. In evidence it is bounded by [`EVIDENCE_BYTES`] already.
pub const IMA_LOG_BYTES: usize = 32 * 1024 * 1024;
/// Entries of one IMA log.
pub const IMA_ENTRIES: usize = 256 * 1024;
/// Template data of one IMA entry, bytes.
pub const IMA_ENTRY_BYTES: usize = 256 * 1024;
/// The name of an IMA template, bytes.
pub const IMA_TEMPLATE_BYTES: usize = 64;
/// Characters of one event's text that are kept for people.
pub const LOG_TEXT: usize = 1024;
