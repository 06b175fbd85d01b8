//! Certificates by every scheme that is checked, made by openssl, and those that are refused by name.

use std::path::Path;
use std::process::{Command, Stdio};

use assay_attest::codec::x509::Certificate;
use assay_attest::key::Scheme;
use assay_checks::AwsLc;

use crate::vectors::pem;

/// A self-signed certificate; `None` where this openssl has no such key, or is not there.
fn certificate(folder: &Path, key: &[&str], how: &[&str]) -> Option<Vec<u8>> {
    let path = |name: &str| folder.join(name).display().to_string();
    let run = |args: &[&str]| {
        Command::new("openssl")
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let (private, public) = (path("key.pem"), path("certificate.pem"));
    let made = run(&[&["genpkey", "-out", &private], key].concat())
        && run(&[
            &["req", "-x509", "-new", "-key", &private, "-out", &public],
            &["-days", "3", "-subj", "/CN=test"][..],
            how,
        ]
        .concat());
    if !made {
        assert!(std::env::var_os("CI").is_none(), "openssl makes no {key:?}");
        println!("skipped: openssl makes no {key:?}");
        return None;
    }
    Some(pem(Path::new(&public)).remove(0))
}

const fn ec(curve: &str) -> [&str; 4] {
    ["-algorithm", "EC", "-pkeyopt", curve]
}

#[test]
fn the_key_decides_the_family_and_the_certificate_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let [p256, p384, p521] = ["P-256", "P-384", "P-521"].map(|c| format!("ec_paramgen_curve:{c}"));
    let [p256, p384, p521] = [ec(&p256), ec(&p384), ec(&p521)];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let ed25519 = ["-algorithm", "ED25519"];
    let salted = |hash: &'static str| {
        [
            hash,
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:digest",
        ]
    };
    let cases: [(&[&str], &[&str], Scheme); 16] = [
        (&p256, &["-sha256"], Scheme::EcdsaSha256),
        (&p256, &["-sha384"], Scheme::EcdsaSha384),
        (&p256, &["-sha512"], Scheme::EcdsaSha512),
        (&p384, &["-sha256"], Scheme::EcdsaSha256),
        (&p384, &["-sha384"], Scheme::EcdsaSha384),
        (&p384, &["-sha512"], Scheme::EcdsaSha512),
        (&p521, &["-sha256"], Scheme::EcdsaSha256),
        (&p521, &["-sha384"], Scheme::EcdsaSha384),
        (&p521, &["-sha512"], Scheme::EcdsaSha512),
        (&rsa, &["-sha256"], Scheme::RsaPkcs1Sha256),
        (&rsa, &["-sha384"], Scheme::RsaPkcs1Sha384),
        (&rsa, &["-sha512"], Scheme::RsaPkcs1Sha512),
        (&rsa, &salted("-sha256"), Scheme::RsaPssSha256),
        (&rsa, &salted("-sha384"), Scheme::RsaPssSha384),
        (&rsa, &salted("-sha512"), Scheme::RsaPssSha512),
        (&ed25519, &[], Scheme::Ed25519),
    ];
    for (key, how, scheme) in cases {
        let Some(der) = certificate(folder.path(), key, how) else {
            return;
        };
        let parsed = Certificate::parse(&der).unwrap();
        assert_eq!(parsed.scheme(), scheme, "{key:?} {how:?}");
        assert_eq!(
            parsed.is_signed_by(parsed.key(), &AwsLc),
            Ok(()),
            "{key:?} {how:?}"
        );
        // The last bit of the signature, and one of what is signed.
        let inside = der.len() - parsed.signature().len() - 30;
        for at in [der.len() - 1, inside] {
            let mut other = der.clone();
            other[at] ^= 1;
            let good = Certificate::parse(&other)
                .is_ok_and(|other| other.is_signed_by(parsed.key(), &AwsLc).is_ok());
            assert!(!good, "{key:?} {how:?}: byte {at}");
        }
    }
}

#[test]
fn what_is_not_checked_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&["-algorithm", "ED448"], &[], "ed448"),
        (&["-algorithm", "SM2"], &["-sm3"], "sm2 with sm3"),
        (
            &[
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:secp256k1",
            ],
            &["-sha256"],
            "secp256k1",
        ),
        (
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["-sha1"],
            "ecdsa with sha-1",
        ),
        (
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            &["-sha1"],
            "rsa with sha-1",
        ),
        (
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
            &["-sha256"],
            "1024",
        ),
    ];
    for (key, how, name) in cases {
        let Some(der) = certificate(folder.path(), key, how) else {
            continue;
        };
        let refusal = Certificate::parse(&der).unwrap_err();
        assert_eq!(refusal.code(), "algorithm.unsupported", "{name}");
        assert!(refusal.to_string().contains(name), "{refusal}");
    }
}
