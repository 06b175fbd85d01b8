//! Bytes to structures and back, with no opinion about what they mean. Every decoder is total and bounded.

pub mod cbor;
pub mod cel;
pub mod cmw;
pub mod cose;
pub mod cose_key;
pub mod cose_sign;
pub mod crl;
pub mod csr;
pub(crate) mod der;
pub mod dice;
pub mod edn;
pub mod efi;
pub mod eventlog;
pub mod go_attestation;
pub mod ima;
pub mod name;
pub mod ocsp;
pub mod open_dice;
pub(crate) mod protobuf;
pub mod quote_file;
pub mod reader;
pub mod spdm;
pub mod spki;
pub mod tpm;
pub mod x509;
