//! The forms of DICE outside of a chain: CWT chains, the Open Profile's inputs, bare extensions.
#![no_main]
use assay_attest::codec::dice::LayerInfo;
use assay_attest::codec::open_dice::{CwtChain, Inputs};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};

struct Always;

impl CheckSignature for Always {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Inputs::parse(bytes);
    if let Some(info) = LayerInfo::bare(bytes) {
        assert!(info.fwids().next().is_some());
    }
    if let Ok(chain) = CwtChain::parse(bytes) {
        assert!(!chain.links().is_empty());
        let _ = chain.verify(&[chain.root().clone()], &Always);
    }
});
