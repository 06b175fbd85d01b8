//! COSE messages of others: nothing panics, nothing verifies where no signature does.
#![no_main]
use assay_attest::codec::cose_sign::{Message, header};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};

struct Never;

impl CheckSignature for Never {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Err(BadSignature)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    assert!(!message.signatures().is_empty());
    for signature in message.signatures() {
        let _ = signature.headers().certificates(header::X5CHAIN);
        let _ = signature.headers().algorithm();
        let key = PublicKey::Ed25519([0; 32]);
        assert!(message.verify(signature, &key, b"", None, &Never).is_err());
    }
});
