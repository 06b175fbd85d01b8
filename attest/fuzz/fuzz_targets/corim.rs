//! Manifests, and what they are compared and signed with.
#![no_main]
use assay_attest::corim::{Document, Signer, compare, endorsed};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::time::Timestamp;

struct Any;

impl CheckSignature for Any {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    if let Document::Signed(signed) = &document {
        let key = Signer::Key(PublicKey::Ed25519([0; 32]));
        let _ = signed.verify(&key, Timestamp::from_secs(1_748_736_000), &Any);
    }
    for comid in document.comids() {
        for triple in &comid.triples.reference {
            let _ = compare(&comid.triples.reference, &triple.measurements);
        }
        let _ = endorsed([&comid.triples], &comid.triples.reference);
    }
});
