//! SPDM transcripts, records, opaque data and members: what is read is all that there is, and writing a record gives it back.
#![no_main]
use assay_attest::codec::spdm::algorithms::OpaqueFormat;
use assay_attest::codec::spdm::block::{self, Block};
use assay_attest::codec::spdm::opaque::Opaque;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::evidence::spdm::SpdmEvidence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(blocks) = block::record(bytes, None) {
        let written: Vec<u8> = blocks.iter().flat_map(Block::write).collect();
        assert_eq!(written, bytes);
        for block in &blocks {
            let _ = (block.svn(), block.device_mode(), block.comparable());
        }
    }
    for format in [OpaqueFormat::Vendor, OpaqueFormat::General, OpaqueFormat::None] {
        let _ = Opaque::parse(format, bytes);
    }
    if let Ok(transcript) = Transcript::parse(bytes) {
        assert_eq!(transcript.as_bytes(), bytes);
        let whole = [transcript.signed_bytes(), transcript.signature()].concat();
        assert_eq!(whole, bytes);
        assert!(!transcript.blocks().is_empty() && !transcript.signature().is_empty());
        assert_eq!(
            transcript.negotiation().is_some(),
            transcript.version().signs_negotiation()
        );
        // One byte less is another transcript or none.
        let cut = bytes.len() - 1;
        assert!(Transcript::parse(&bytes[..cut]).is_err());
    }
    if let Ok(member) = SpdmEvidence::parse(bytes) {
        let certificates: Vec<Vec<u8>> = member
            .chain()
            .certificates()
            .iter()
            .map(|one| one.der().to_vec())
            .collect();
        assert_eq!(
            SpdmEvidence::write(&certificates, member.transcript().as_bytes()),
            bytes
        );
    }
});
