//! Replays the fuzz corpus on stable: every file through every parser.

use crate::properties::every_parser;
use crate::world::{ASK, Device};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::block::Block;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::codec::spdm::slot::SlotChain;
use assay_attest::digest::HashAlg;
use assay_attest::evidence::envelope::{Envelope, write_collection};
use assay_attest::evidence::spdm::SpdmEvidence;
use assay_attest::reference::ReferenceValues;
use assay_attest::time::Timestamp;
use std::path::{Path, PathBuf};

#[test]
fn the_corpus_replays_without_a_panic() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus"));
    assert!(files.len() >= 10, "the corpus holds {} files", files.len());
    for file in files {
        every_parser(&std::fs::read(&file).unwrap());
    }
}

/// Fuzzing starts from good inputs: this writes them anew (`ASSAY_BLESS=1`), else checks that they are still good.
#[test]
fn the_seeds_are_current() {
    let device = Device::new(1);
    let evidence = device.prove(ASK);
    let draft = device.draft(ASK);
    let parts = device.tpm_parts(&draft.binding(assay_attest::session::Label::Tpm).unwrap());
    let reference = ReferenceValues::taken_from(
        &device.verify(ASK, &evidence).unwrap(),
        "lab",
        1,
        &[0, 7],
        Timestamp::MAX,
    );
    let claims = Envelope::parse(&evidence).unwrap().members.remove(0).value;
    let mut unordered = Envelope::parse(&evidence).unwrap().members;
    unordered.reverse();
    let dice = crate::dice::Lab::new().boot(1, [10, 20]);
    let spdm = |version| {
        let operations = [Operation::Count, Operation::Index(2), Operation::Index(11)];
        crate::spdm::measure(&dice, version, &[1; 32], &operations)
    };
    let record: Vec<u8> = crate::spdm::blocks()
        .iter()
        .flat_map(Block::write)
        .collect();
    let huge = [vec![0x9b], u64::MAX.to_be_bytes().to_vec()].concat();
    let seeds: [(&str, Vec<u8>); 20] = [
        ("envelope/cut", evidence[..evidence.len() / 2].to_vec()),
        ("envelope/good", evidence.clone()),
        ("cose/good", evidence),
        ("cose/nothing_protected", hex("d28441a0a10127417040")),
        ("cbor/claims", claims),
        ("cbor/collection_out_of_order", write_collection(&unordered)),
        ("cbor/deep", [vec![0x81; 4000], vec![0]].concat()),
        ("cbor/duplicate_key", hex("a20100180100")),
        ("cbor/huge_count", huge),
        ("reference/taken", reference.unwrap().to_bytes()),
        ("spdm/v1_0", spdm(Version::V10)),
        ("spdm/v1_2", spdm(Version::V12)),
        ("spdm/v1_3", spdm(Version::V13)),
        ("spdm/record", record),
        (
            "spdm/member",
            SpdmEvidence::write(dice.certificates(), &spdm(Version::V11)),
        ),
        (
            "spdm_chain/slot",
            SlotChain::write(HashAlg::Sha384, dice.certificates()),
        ),
        ("tpm/quote", parts.quote.clone()),
        ("tpm/ak", parts.ak.clone()),
        ("tpm/signature", parts.quote_signature.clone()),
        (
            "tpm/member",
            assay_attest::attester::tpm::member(&parts).unwrap(),
        ),
    ];
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let seeds = seeds.into_iter().chain(crate::corim::seeds());
    for (name, bytes) in seeds.chain(crate::logs::seeds()) {
        let path = corpus.join(name);
        if std::env::var_os("ASSAY_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(
            std::fs::read(&path).unwrap(),
            bytes,
            "{name}: run with ASSAY_BLESS=1"
        );
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

fn hex(text: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(text).unwrap()
}
