//! THE table of kinds. To add one: a file beside this one, a row here, a row in [`MANIFEST`] where a manifest's kind maps to it.

use super::Kind;
use super::bundle::Bundle;
use super::cmw::Cmw;
use super::cose::Cose;
use super::ear::Ear;
use super::eat::Eat;
use super::spdm_chain::SpdmChain;
use super::spdm_measurements::SpdmMeasurements;
use super::spdm_report::SpdmReport;

/// Every kind; the order decides what a file is taken for where several see themselves in it: the most specific first.
pub(crate) const KINDS: &[&dyn Kind] = &[
    &SpdmReport,       // device evidence
    &SpdmChain,        // device evidence
    &Bundle,           // of a nexus
    &Cmw,              // wrappers
    &Ear,              // tokens
    &Eat,              // tokens
    &Cose,             // any signature
    &SpdmMeasurements, // the least specific
];

/// What collections of test vectors call a kind, and what it is called here.
pub(crate) const MANIFEST: &[(&str, &str)] = &[
    ("cmw", "cmw"),
    ("cose", "cose"),
    ("ear", "ear"),
    ("eat-composite", "eat"),
    ("eat-cwt", "eat"),
    ("eat-jwt", "eat"),
    ("nitro-doc", "eat"),
    ("spdm-certchain", "spdm-chain"),
    ("spdm-measurement-record", "spdm-measurements"),
    ("spdm-report", "spdm-report"),
];

/// What is refused, or accepted, by a decision of ours where formats leave it open: the man page shows it.
pub(crate) const DECISIONS: &[(&str, &str)] = &[
    (
        "ear: neither expiry nor nonce",
        "accepted where the signature holds, with `freshness.proven` false; give --nonce where freshness matters",
    ),
    (
        "ear, eat: nothing signs the claims",
        "accepted with `authenticated` false where no signer was named, rejected where one was",
    ),
    (
        "ear: the device is contraindicated",
        "accepted: the result is good, what it says is in `status`",
    ),
    (
        "eat: an AWS Nitro enclave in debug mode",
        "accepted, with `debug` true: the document is genuine, the enclave's memory is open",
    ),
    (
        "eat: device assignment claims with placeholders",
        "rejected: digests must have their algorithm's length, certificates must be certificates",
    ),
    (
        "eat: a configfs-tsm report",
        "only of arm_cca_guest; verified by the platform's key, which the report does not bring",
    ),
    (
        "cose: the same certificate as root and as signer",
        "accepted: it vouches for itself alone, and must be within its dates",
    ),
    (
        "spdm-chain: a leaf without BasicConstraints",
        "accepted as a leaf, in every version: BlueField-3's is one; alone it is verified under nothing but --root or --root-from-chain",
    ),
    (
        "spdm-chain: a root without KeyUsage",
        "accepted where the root is pinned: DMTF's samples are such; on any other CA it is refused",
    ),
    (
        "spdm-report: a firmware digest of zeros (Blackwell's second)",
        "accepted: the place is not used, and matches nothing",
    ),
    (
        "spdm-report: the hash of a signature before SPDM 1.2",
        "that of the key's own curve; what the JSON says of algorithms decides nothing",
    ),
    (
        "spdm-measurements: a device open for debug",
        "accepted, with `device_mode.closed` false; appraisal refuses it",
    ),
];

/// The kind of that name.
#[must_use]
pub(crate) fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// The first kind that sees itself in the file.
#[must_use]
pub(crate) fn detect(file: &super::Artefact) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.detect(file))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_mapping_ends_at_one() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), KINDS.len());
        for (manifest, ours) in MANIFEST {
            assert!(names.contains(ours), "{manifest} maps to `{ours}`");
        }
    }

    #[test]
    fn every_kind_says_enough_to_be_used() {
        for kind in KINDS {
            let about = kind.about();
            assert!(about.len() > 200, "{}", kind.name());
            assert!(!about.contains('\t'), "{}", kind.name());
            for opt in kind.takes() {
                assert!(
                    about.contains(opt.flag()),
                    "{} does not say what {} is for",
                    kind.name(),
                    opt.flag()
                );
            }
        }
    }

    #[test]
    fn no_bytes_upset_a_kind() {
        let cases: &[&[u8]] = &[
            b"",
            b"\n",
            b"{}",
            b"[]",
            b"\x80",
            b"\xa0",
            b"\x30\x80",
            b"\xff\xff\xff\xff",
            b"-----BEGIN ",
        ];
        for bytes in cases {
            let file = super::super::Artefact::new("x", bytes.to_vec());
            for kind in KINDS {
                if kind.detect(&file) {
                    let _ = kind.inspect(&file);
                }
            }
        }
    }
}
