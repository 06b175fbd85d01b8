//! What parses strictly parses at all; nothing panics, signed bytes are computed.
#![no_main]
use assay_attest::codec::cose::Sign1;
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};

struct Never;

impl CheckSignature for Never {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Err(BadSignature)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let strict = Sign1::parse_strict(bytes).is_ok();
    match Sign1::parse(bytes) {
        Ok(message) => assert!(message.verify(&PublicKey::Ed25519([0; 32]), b"", &Never).is_err()),
        Err(_) => assert!(!strict),
    }
});
