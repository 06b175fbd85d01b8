//! Revocation lists and OCSP answers: total, and what is listed is found again.
#![no_main]
use assay_attest::codec::crl::Crl;
use assay_attest::codec::csr::Request;
use assay_attest::codec::name;
use assay_attest::codec::ocsp::Answer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = Crl::parse(bytes) {
        let _ = (list.reason(&[1]), list.covers(true), name::text(list.issuer()));
    }
    if let Ok(answer) = Answer::parse(bytes) {
        let _ = answer.about(&[], &[], &[1]);
    }
    if let Ok(request) = Request::parse(bytes) {
        let _ = name::text(request.subject());
    }
});
