//! Certificates of endorsement keys: to a pinned root, and of this very key.

use assay_checks::AwsLc;
use base64ct::Encoding as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::*;
use crate::anchors::{self, AnchorFile, By, For};
use crate::store::testing::START;

/// tcg-kp-EKCertificate (TCG EK Credential Profile 2.5, 3.5.1).
const EK_PURPOSE: [u64; 5] = [2, 23, 133, 8, 1];

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey::P256(Box::new(key.public_key_raw().try_into().unwrap()))
}

struct Root {
    params: CertificateParams,
    key: KeyPair,
}

impl Root {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key();
        Self { params, key }
    }

    fn certify(&self, subject: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(EK_PURPOSE.to_vec())];
        params.distinguished_name.push(DnType::CommonName, "ek");
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(subject, &issuer).unwrap().der().to_vec()
    }

    fn verifier(&self) -> Verifier {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lab.pem");
        let der = self.params.self_signed(&self.key).unwrap();
        let body = base64ct::Base64::encode_string(der.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, pem).unwrap();
        let file = AnchorFile {
            r#for: For::Ek,
            by: By::Vendor,
            file,
        };
        Verifier::new(anchors::load(&[file]).unwrap(), StaleAfter::DEFAULT)
    }
}

#[test]
fn i4_a_certificate_endorses_its_own_key_and_no_other() {
    let (root, stranger) = (Root::new("tpm maker"), Root::new("tpm maker"));
    let (ek, other) = (key(), key());
    let verifier = root.verifier();
    let endorse = |ek: &KeyPair, certificate: Option<&[u8]>| {
        verifier.endorse(&public(ek), certificate, START, &AwsLc)
    };
    let good = root.certify(&ek);
    let (level, ends) = endorse(&ek, Some(&good)).unwrap();
    assert_eq!(level, RootLevel::Vendor);
    assert!(ends.is_some_and(|end| end > START));
    let swapped = endorse(&other, Some(&good)).unwrap_err();
    assert_eq!(swapped.code(), "enrol.identity");
    assert!(endorse(&ek, Some(&stranger.certify(&ek))).is_err());
    assert!(endorse(&ek, Some(b"x")).is_err());
    // Without a certificate it is taken on first use, which no inventory vouches for.
    assert_eq!(endorse(&ek, None).unwrap(), (RootLevel::Tofu, None));
}
