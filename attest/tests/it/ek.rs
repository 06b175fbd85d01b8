//! EK certificates as a TPM's maker writes them: here swtpm's local CA, which `swtpm_setup` runs.

use std::path::Path;
use std::process::{Command, Stdio};

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::x509::Certificate;
use assay_attest::key::PublicKey;
use assay_attest::refusal::Refusal;
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use crate::vectors::pem;

/// 2030: swtpm's certificates begin when they are made.
const LATER: Timestamp = Timestamp::from_secs(1_893_456_000);

/// Makes a TPM with RSA-2048 and P-384 EKs and gives its EK certificates; `false` where there is no swtpm.
fn manufacture(folder: &Path) -> bool {
    let path = |name: &str| folder.join(name).display().to_string();
    for name in ["ca", "state", "certs"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let ca = format!(
        "statedir = {0}\nsigningkey = {0}/signkey.pem\nissuercert = {0}/issuercert.pem\ncertserial = {0}/certserial\n",
        path("ca")
    );
    let setup = format!(
        "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = /etc/swtpm-localca.options\n",
        path("ca.conf")
    );
    std::fs::write(folder.join("ca.conf"), ca).unwrap();
    std::fs::write(
        folder.join("setup.conf"),
        setup.replace("= swtpm_localca", "= /usr/bin/swtpm_localca"),
    )
    .unwrap();
    let made = Command::new("swtpm_setup")
        .args([
            "--tpm2",
            "--create-ek-cert",
            "--tpmstate",
            &path("state"),
            "--config",
            &path("setup.conf"),
        ])
        .args(["--write-ek-cert-files", &path("certs")])
        .stdout(Stdio::null())
        .status();
    match made {
        Ok(status) => assert!(status.success(), "swtpm_setup failed"),
        Err(_) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "swtpm_setup is needed in CI"
            );
            println!("skipped: swtpm_setup is not installed");
        }
    }
    made.is_ok()
}

#[test]
fn swtpms_ek_certificates_chain_to_its_local_ca() {
    let folder = tempfile::tempdir().unwrap();
    if !manufacture(folder.path()) {
        return;
    }
    let issuer = pem(&folder.path().join("ca/issuercert.pem")).remove(0);
    let root = pem(&folder.path().join("ca/swtpm-localca-rootca-cert.pem")).remove(0);
    let pin = |der: &[u8]| {
        let certificate = Certificate::parse(der).unwrap();
        TrustAnchors::new(
            Anchor::from_certificate("swtpm", AnchorKind::Operator, &certificate).unwrap(),
            Vec::new(),
        )
    };
    let verify = |chain: &[&[u8]], anchors: &TrustAnchors, usage, now| {
        let chain = Chain::parse(chain.iter().copied(), Order::RootFirst)?;
        chain
            .verify(anchors, usage, now, &AwsLc)
            .map(|verified| verified.leaf().key().clone())
    };
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("certs")).unwrap() {
        let ek = std::fs::read(entry.unwrap().path()).unwrap();
        let usage = Usage::EndorsementKey;
        let key = verify(&[&issuer, &ek], &pin(&root), usage, LATER).unwrap();
        assert_eq!(
            verify(&[&root, &issuer, &ek], &pin(&root), usage, LATER).as_ref(),
            Ok(&key)
        );
        assert_eq!(
            verify(&[&ek], &pin(&issuer), usage, LATER).as_ref(),
            Ok(&key)
        );
        assert_eq!(
            verify(&[&ek], &pin(&root), usage, LATER),
            Err(Refusal::ChainNoAnchor)
        );
        assert_eq!(
            verify(&[&ek, &issuer], &pin(&root), usage, LATER),
            Err(Refusal::ChainNoAnchor)
        );
        assert_eq!(
            verify(&[&issuer, &ek], &pin(&root), usage, Timestamp::from_secs(0)),
            Err(Refusal::ChainNotYetValid { index: 0 })
        );
        assert_eq!(
            verify(&[&issuer, &ek], &pin(&root), Usage::Dice, LATER),
            Err(Refusal::ChainNoAnchor)
        );
        kinds.push(match key {
            PublicKey::Rsa { .. } => "rsa",
            PublicKey::P384(_) => "p384",
            PublicKey::P256(_) | PublicKey::P521(_) | PublicKey::Ed25519(_) => "other",
        });
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["p384", "rsa"]);
}
