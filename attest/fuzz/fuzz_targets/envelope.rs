//! The whole of evidence: nothing panics, and nothing verifies under a checker that knows no key.
#![no_main]
use assay_attest::evidence::envelope::parse_claims;
use assay_attest::expected::{DiceExpectation, Expected, RequestKey, TpmExpectation};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::session::Purpose;
use assay_attest::time::Timestamp;
use assay_attest::verify::Evidence;

struct Always;

// Every signature passes: session, binding and structure alone must refuse what the fuzzer finds.
impl CheckSignature for Always {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = parse_claims(bytes);
    let Ok(evidence) = Evidence::parse(bytes) else { return };
    assert_eq!(evidence.as_bytes(), bytes);
    let Some(request_key) = RequestKey::new(PublicKey::Ed25519([1; 32])) else { return };
    let expected = Expected {
        nexus_id: [1; 32],
        subject: "device",
        purpose: Purpose::Attest,
        nonce: [2; 32],
        activation_secret: b"",
        request_key: &request_key,
        tpm: TpmExpectation::NoTpm,
        dice: DiceExpectation::NotRequired,
        ima: None,
        required: &[],
        now: Timestamp::from_secs(1_800_000_000),
    };
    assert!(evidence.verify(&expected, &Always).is_err());
});
