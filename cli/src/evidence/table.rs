//! THE table of kinds. To add one: a file beside this one, a row here, a row in [`MANIFEST`] where a manifest's kind maps to it.

use super::Kind;
use super::bundle::Bundle;
use super::cel::Cel;
use super::cmw::Cmw;
use super::corim::{Comid, Corim};
use super::cose::Cose;
use super::dice_chain::DiceChain;
use super::ear::Ear;
use super::eat::Eat;
use super::ek_cert::EkCert;
use super::eventlog::Log;
use super::ima::Ima;
use super::open_dice::OpenDice;
use super::rim_xml::RimXml;
use super::spdm_chain::SpdmChain;
use super::spdm_measurements::SpdmMeasurements;
use super::spdm_report::SpdmReport;
use super::tpm_quote::TpmQuote;

/// Every kind; the order decides what a file is taken for where several see themselves in it: the most specific first.
pub(crate) const KINDS: &[&dyn Kind] = &[
    &SpdmReport,       // device evidence
    &TpmQuote,         // device evidence
    &OpenDice,         // certificates
    &DiceChain,        // certificates
    &EkCert,           // certificates
    &SpdmChain,        // device evidence
    &Log,              // logs
    &Cel,              // logs
    &Ima,              // logs
    &RimXml,           // manifests
    &Corim,            // manifests
    &Comid,            // manifests
    &Bundle,           // of a nexus
    &Cmw,              // wrappers
    &Ear,              // tokens
    &Eat,              // tokens
    &Cose,             // any signature
    &SpdmMeasurements, // the least specific
];

/// What collections of test vectors call a kind, and what it is called here.
pub(crate) const MANIFEST: &[(&str, &str)] = &[
    ("cel", "cel"),
    ("cmw", "cmw"),
    ("comid", "comid"),
    ("corim-scheme", "comid"),
    ("corim-signed", "corim"),
    ("corim-unsigned", "corim"),
    ("cose", "cose"),
    ("dice-riot", "dice-chain"),
    ("dice-tcbinfo", "dice-chain"),
    ("ear", "ear"),
    ("eat-composite", "eat"),
    ("eat-cwt", "eat"),
    ("eat-jwt", "eat"),
    ("ek-cert", "ek-cert"),
    ("ima-log", "ima"),
    ("nitro-doc", "eat"),
    ("nv-device-chain", "dice-chain"),
    ("nv-trust-anchor", "dice-chain"),
    ("open-dice-chain", "open-dice"),
    ("tpm-attestation-pb", "tpm-quote"),
    ("tpm-quote", "tpm-quote"),
    ("rim-swid-xml", "rim-xml"),
    ("spdm-certchain", "spdm-chain"),
    ("spdm-measurement-record", "spdm-measurements"),
    ("spdm-report", "spdm-report"),
    ("tcg-eventlog", "eventlog"),
];

/// What is refused, or accepted, by a decision of ours where formats leave it open: the man page shows it.
pub(crate) const DECISIONS: &[(&str, &str)] = &[
    (
        "eventlog, cel: only SHA-1 digests",
        "rejected, though they replay: SHA-1 can be forged; a legacy log that extends nothing is accepted",
    ),
    (
        "ima: only SHA-1 in the list's own digests",
        "accepted: the list holds the data, and each bank is replayed by its own algorithm; SHA-1 padded into another bank is rejected",
    ),
    ("ima: a violation", "rejected: what ran is not known"),
    (
        "ima: a line feed after the list",
        "left out, where the list does not parse with it; any other byte is one too many",
    ),
    (
        "corim: nobody signed it",
        "rejected: reference values come from signed manifests; `comid` reads what it says",
    ),
    (
        "corim: NVIDIA's older wrapping, bare maps and tags within byte strings",
        "accepted; `relaxed` names each",
    ),
    (
        "corim: an unknown profile, fields of no known extension, no tag at all",
        "rejected, whoever signed",
    ),
    (
        "corim: a hash envelope or a detached payload",
        "rejected: the manifest itself must be there",
    ),
    (
        "corim: the signer's certificate is given, and the manifest names another by its thumbprint",
        "rejected",
    ),
    (
        "comid: measurement keys of PSA or CCA in a manifest without their profile",
        "rejected: only the profile gives them a meaning",
    ),
    (
        "comid: keys and certificates in triples",
        "shown as they are written; no signature here rests on them",
    ),
    (
        "rim-xml: a measurement that is active and all zero",
        "accepted: the device must give all zero there, too",
    ),
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
        "cose: PS256 and its kin with a salt of another length than the hash",
        "rejected with `cose.signature` (RFC 8230, 2: they are of one length)",
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
    (
        "dice-chain: a bare CompositeDeviceID or TcbInfo",
        "accepted with `authenticated` false, as no signature covers it; refused where --root or --key asks for one",
    ),
    (
        "dice-chain: caliptra's FMC alias, whose issuer has another name than the LDevID's subject",
        "refused (`chain.name` or `chain.no_anchor`) though the signature is good: names are compared as DER",
    ),
    (
        "dice-chain, open-dice: operational flags of a layer",
        "notSecure, recovery and debug are refused with `dice.flags`, authenticated; notConfigured (which real parts ship with) and the others stand in `lowered_by`",
    ),
    (
        "dice-chain: a certification request",
        "accepted with `authenticated` false where it proves possession, with --key of its own key authenticated",
    ),
    (
        "dice-chain: a chain that ends in a CA, or leaves its root out",
        "accepted but for NVIDIA's shapes, which must be whole",
    ),
    (
        "ek-cert: a name whose SET OF is not in DER's order (NUVO 2110)",
        "accepted, named in `quirks`: names are compared whole and nothing is read out of them",
    ),
    (
        "ek-cert: a root that another signed (STM under GlobalSign)",
        "accepted where that very certificate is named with --root, named in `quirks`",
    ),
    (
        "ek-cert: GCE's certificates, an RSA CA above ECC keys, no extended key usage in the leaf",
        "accepted; an EK may not sign and an AK may not receive secrets, whatever the CA",
    ),
    (
        "tpm-quote: trustee's nonce, filled up to 64 bytes with zeros",
        "--nonce may be given with or without the zeros; in any other form it is compared whole",
    ),
    (
        "tpm-quote: SHA-1",
        "refused with `tpm.algorithm`; a go-tpm-tools quote of SHA-1 beside others is checked and ignored",
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
