//! Bytes to structures and back, with no opinion about what they mean. Every decoder is total and bounded.

pub mod cbor;
pub mod cel;
pub mod cmw;
pub mod cose;
pub mod cose_sign;
pub(crate) mod der;
pub mod dice;
pub mod edn;
pub mod efi;
pub mod eventlog;
pub mod ima;
pub mod reader;
pub mod spdm;
pub mod spki;
pub mod tpm;
pub mod x509;
