//! Certificate chains as SPDM carries them: what is read is all that there is.
#![no_main]
use assay_attest::codec::spdm::slot::{Model, SlotChain, is_hardware_identity};
use assay_attest::codec::x509::Certificate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(chain) = SlotChain::parse(bytes) else {
        return;
    };
    let der = chain.certificates().concat();
    assert!(bytes.ends_with(&der));
    match chain.root_hash() {
        None => assert_eq!(der.len(), bytes.len()),
        Some(hash) => assert_eq!(4 + hash.bytes().len() + der.len(), bytes.len()),
    }
    let parsed: Vec<Certificate> = chain
        .certificates()
        .iter()
        .filter_map(|der| Certificate::parse(der).ok())
        .collect();
    let _ = Model::of(&parsed);
    for one in &parsed {
        let _ = is_hardware_identity(one);
    }
});
