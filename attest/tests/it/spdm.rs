//! SPDM: NVIDIA's real reports, our own responder in every version, and what must not pass for either.
//!
//! No public sample exists of 1.2, of 1.3, or of a BlueField-3's measurements: those are checked against our own responder only.

mod attacks;
mod members;
mod responder;
mod vectors;

use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::spdm::{BlueField, Responder, record};
use assay_attest::chain::{Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::block::Block;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::refusal::Refusal;
use assay_attest::spdm::{Leaf, verify};
use assay_checks::AwsLc;

use crate::dice::NOW;

pub(crate) const NONCE: [u8; 32] = [0x5a; 32];

pub(crate) fn blocks() -> Vec<Block> {
    BlueField {
        psc: b"psc firmware",
        nic: b"nic firmware",
        arm: b"arm firmware",
        configuration: b"secure boot on",
    }
    .blocks()
}

/// What a device of the lab says when asked so.
pub(crate) fn measure(
    dice: &SoftwareDice,
    version: Version,
    nonce: &[u8; 32],
    operations: &[Operation],
) -> Vec<u8> {
    let mut responder = Responder::new(dice, version, blocks());
    record(version, nonce, operations, |request| {
        Ok::<_, Refusal>(responder.respond(request, &[0x77; 32]))
    })
    .unwrap()
}

/// The leaf of a chain, root first, under these anchors.
pub(crate) fn leaf(certificates: &[Vec<u8>], anchors: &TrustAnchors) -> Result<Leaf, Refusal> {
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
    Leaf::of_chain(&chain.verify(anchors, Usage::Spdm, NOW, &AwsLc)?)
}

/// The code with which a transcript is refused.
pub(crate) fn code(bytes: &[u8], leaf: &Leaf, nonce: &[u8]) -> &'static str {
    let run = || {
        let transcript = Transcript::parse(bytes)?;
        let report = verify(&transcript, leaf, &AwsLc)?;
        report.answers(nonce)?;
        report.consistent(leaf)
    };
    run().map_or_else(|refusal: Refusal| refusal.code(), |()| "accepted")
}
