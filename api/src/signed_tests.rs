//! Manifest, pairing and request: read back, refused, attacked.

use super::*;
use crate::checks::SoftwareChecks;
use crate::manifest::{Files, InForce, Manifest, Trial};
use crate::signed::{from_slice, sign_document};
use assay_attest::codec::cbor::{self, Form};
use ciborium::Value;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use std::convert::Infallible;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> [u8; 32] {
    key(seed).verifying_key().to_bytes()
}

fn signed<T: Document>(content: &T, seed: u8) -> Result<Vec<u8>, SignedFault> {
    sign_document(content, &public(seed), |m| {
        Ok::<_, Infallible>(key(seed).sign(m).to_bytes())
    })
}

fn host(n: u8) -> HostId {
    HostId::from_random(&[n; 16])
}

const DELIVERY: u8 = 1;
const HOST: u8 = 2;
const DPU: u8 = 3;

fn pins() -> DeliveryKeys {
    DeliveryKeys {
        current: public(DELIVERY),
        next: Some(public(9)),
    }
}

fn manifest() -> Manifest {
    let id = host(1);
    Manifest {
        sequence: 7,
        issued: Timestamp::from_secs(1_000),
        not_after: Timestamp::from_secs(2_000),
        delivery_keys: pins(),
        files: Files {
            user_cas: vec!["ssh-ed25519 AAAAC3Nz".into()],
            krl: b"SSHKRL\n\0rest".to_vec(),
            principals: [
                ("root".into(), vec![format!("root@{id}")]),
                ("ops".into(), vec![]),
            ]
            .into(),
            host_certificate: Some("ssh-ed25519-cert-v01@openssh.com AAAA".into()),
        },
        trial: Some(Trial {
            key: "ssh-ed25519 AAAAC3Nx".into(),
            good: "ssh-ed25519-cert-v01@openssh.com AAAB".into(),
            revoked: "ssh-ed25519-cert-v01@openssh.com AAAC".into(),
        }),
        host_id: id,
    }
}

fn request() -> PairingRequest {
    PairingRequest {
        host_key: public(HOST),
        sshd_host_key: "ssh-ed25519 AAAAC3Nz".into(),
        trial_key: "ssh-ed25519 AAAAC3Nx".into(),
        logins: vec!["root".into(), "ops".into()],
    }
}

fn pairing() -> Pairing {
    Pairing {
        host_id: host(1),
        name: "node-1".into(),
        device_id: DeviceId::from_random(&[4; 16]),
        channel_key: public(DPU),
        request: request(),
        principals: vec!["node-1.example".into()],
        delivery_keys: pins(),
        nexus_id: [5; 32],
        transport: Some("tcp:192.168.100.2:7443".into()),
        issued: Timestamp::from_secs(1_000),
    }
}

fn verify(message: &[u8], in_force: Option<InForce>) -> Result<Verified<Manifest>, SignedFault> {
    Unverified::<Manifest>::parse(message)?.verify(&pins(), &host(1), in_force, &SoftwareChecks)
}

#[test]
fn a_manifest_reads_back_under_either_pin() {
    for seed in [DELIVERY, 9] {
        let message = signed(&manifest(), seed).unwrap();
        let read = verify(&message, None).unwrap();
        assert_eq!(
            (read.content(), read.bytes()),
            (&manifest(), message.as_slice())
        );
    }
    let mut bare = manifest();
    (
        bare.trial,
        bare.files.host_certificate,
        bare.delivery_keys.next,
    ) = (None, None, None);
    assert_eq!(
        verify(&signed(&bare, DELIVERY).unwrap(), None)
            .unwrap()
            .into_content(),
        bare
    );
}

#[test]
fn a_manifest_of_another_signer_host_or_age_is_refused_by_its_code() {
    let good = signed(&manifest(), DELIVERY).unwrap();
    let code = |r: Result<Verified<Manifest>, SignedFault>| r.map(|_| ()).unwrap_err().code();
    assert_eq!(
        code(verify(&signed(&manifest(), 8).unwrap(), None)),
        "signed.signature"
    );
    let other = Unverified::<Manifest>::parse(&good).unwrap().verify(
        &pins(),
        &host(2),
        None,
        &SoftwareChecks,
    );
    assert_eq!(code(other), "signed.other_host");
    let digest = verify(&good, None).unwrap().digest();
    assert!(
        verify(
            &good,
            Some(InForce {
                sequence: 6,
                digest: [0; 32]
            })
        )
        .is_ok()
    );
    assert!(
        verify(
            &good,
            Some(InForce {
                sequence: 7,
                digest
            })
        )
        .is_ok(),
        "the same again"
    );
    assert_eq!(
        code(verify(
            &good,
            Some(InForce {
                sequence: 7,
                digest: [0; 32]
            })
        )),
        "signed.older",
        "another of the same age"
    );
    assert_eq!(
        code(verify(
            &good,
            Some(InForce {
                sequence: 8,
                digest: [0; 32]
            })
        )),
        "signed.older"
    );
}

#[test]
fn a_document_never_passes_for_another_kind() {
    let pairing = signed(&pairing(), DELIVERY).unwrap();
    assert_eq!(
        Unverified::<Manifest>::parse(&pairing).unwrap_err().code(),
        "signed.malformed"
    );
    // The same bytes signed under another domain.
    let message = signed(&manifest(), DELIVERY).unwrap();
    let value = cbor::decode("x", &message, message.len(), Form::Deterministic).unwrap();
    let Value::Tag(18, inner) = value else {
        panic!()
    };
    let Value::Array(mut parts) = *inner else {
        panic!()
    };
    let Value::Bytes(protected) = parts[0].clone() else {
        panic!()
    };
    let Value::Bytes(payload) = parts[2].clone() else {
        panic!()
    };
    let under = |domain: &str| {
        let to_sign = Value::Array(vec![
            "Signature1".into(),
            protected.clone().into(),
            domain.as_bytes().to_vec().into(),
            payload.clone().into(),
        ]);
        key(DELIVERY)
            .sign(&cbor::encode(to_sign))
            .to_bytes()
            .to_vec()
    };
    parts[3] = under("assay/pairing/1").into();
    let forged = cbor::encode(Value::Tag(18, Box::new(Value::Array(parts.clone()))));
    assert_eq!(
        verify(&forged, None).unwrap_err().code(),
        "signed.signature"
    );
    parts[3] = under("assay/manifest/1").into();
    let ours = cbor::encode(Value::Tag(18, Box::new(Value::Array(parts))));
    assert!(
        verify(&ours, None).is_ok(),
        "RFC 9052, 4.4: this is what is signed"
    );
}

#[test]
fn what_a_host_could_not_bear_is_neither_signed_nor_read() {
    type Spoil = Box<dyn Fn(&mut Manifest)>;
    let cases: Vec<(&str, Spoil)> = vec![
        ("an empty krl", Box::new(|m| m.files.krl.clear())),
        (
            "a text as krl",
            Box::new(|m| m.files.krl = b"ssh-ed25519 AAAA".to_vec()),
        ),
        (
            "a bare login",
            Box::new(|m| {
                drop(
                    m.files
                        .principals
                        .insert("root".into(), vec!["root".into()]),
                )
            }),
        ),
        (
            "another host's principal",
            Box::new(|m| {
                drop(
                    m.files
                        .principals
                        .insert("root".into(), vec![format!("root@{}", host(2))]),
                )
            }),
        ),
        (
            "a wildcard",
            Box::new(|m| {
                drop(
                    m.files
                        .principals
                        .insert("root".into(), vec![format!("*@{}", host(1))]),
                )
            }),
        ),
        (
            "another login's principal",
            Box::new(|m| {
                drop(
                    m.files
                        .principals
                        .insert("root".into(), vec![format!("ops@{}", host(1))]),
                )
            }),
        ),
        (
            "a path as login",
            Box::new(|m| drop(m.files.principals.insert("../x".into(), vec![]))),
        ),
        (
            "a second line",
            Box::new(|m| m.files.user_cas[0].push_str("\nssh-ed25519 AAAA")),
        ),
        (
            "options",
            Box::new(|m| m.files.user_cas[0].insert_str(0, "cert-authority ")),
        ),
        (
            "a certificate as ca",
            Box::new(|m| m.files.user_cas[0] = "ssh-ed25519-cert-v01@openssh.com AAAA".into()),
        ),
        (
            "a key as host certificate",
            Box::new(|m| m.files.host_certificate = Some("ssh-ed25519 AAAA".into())),
        ),
        (
            "one trial certificate twice",
            Box::new(|m| {
                m.trial.as_mut().unwrap().good = m.trial.as_ref().unwrap().revoked.clone()
            }),
        ),
        (
            "an end before the beginning",
            Box::new(|m| m.not_after = m.issued),
        ),
        (
            "too many ca keys",
            Box::new(|m| m.files.user_cas = vec!["ssh-ed25519 AAAA".into(); 17]),
        ),
    ];
    for (why, spoil) in cases {
        let mut manifest = manifest();
        spoil(&mut manifest);
        assert_eq!(
            signed(&manifest, DELIVERY).unwrap_err().code(),
            "signed.content",
            "{why}"
        );
    }
}

#[test]
fn a_renewal_and_a_removal_are_told_from_a_release() {
    let before = manifest().files;
    assert_eq!(before.digest(), manifest().files.digest());
    assert!(before.only_remove_from(&before));
    let mut fewer = before.clone();
    fewer.user_cas.clear();
    fewer.principals.remove("ops");
    fewer.host_certificate = None;
    fewer.krl.push(1);
    assert!(fewer.only_remove_from(&before) && !before.only_remove_from(&fewer));
    assert_ne!(fewer.digest(), before.digest());
    let mut more = before.clone();
    more.principals
        .insert("ops".into(), vec![format!("ops@{}", host(1))]);
    assert!(!more.only_remove_from(&before));
    let mut other = before.clone();
    other.host_certificate = Some("ssh-ed25519-cert-v01@openssh.com AAAZ".into());
    assert!(!other.only_remove_from(&before));
}

#[test]
fn a_request_is_signed_by_the_key_that_it_states() {
    let message = signed(&request(), HOST).unwrap();
    let read = Unverified::<PairingRequest>::parse(&message)
        .unwrap()
        .verify(&SoftwareChecks)
        .unwrap();
    assert_eq!(read.content(), &request());
    let borrowed = signed(&request(), 8).unwrap();
    let refused = Unverified::<PairingRequest>::parse(&borrowed)
        .unwrap()
        .verify(&SoftwareChecks);
    assert_eq!(refused.unwrap_err().code(), "signed.signature");
    for spoil in [
        |r: &mut PairingRequest| r.logins.clear(),
        |r: &mut PairingRequest| r.logins.push("root".into()),
        |r: &mut PairingRequest| r.logins.push("Root".into()),
        |r: &mut PairingRequest| r.trial_key = r.sshd_host_key.clone(),
        |r: &mut PairingRequest| r.trial_key.push(' '),
    ] {
        let mut request = request();
        spoil(&mut request);
        assert_eq!(signed(&request, HOST).unwrap_err().code(), "signed.content");
    }
}

#[test]
fn a_pairing_is_taken_by_the_host_that_asked_and_the_dpu_that_it_names() {
    let message = signed(&pairing(), DELIVERY).unwrap();
    let parse = || Unverified::<Pairing>::parse(&message).unwrap();
    let device = pairing().device_id;
    assert!(parse().accept_by_hand(&request(), &SoftwareChecks).is_ok());
    let other = PairingRequest {
        host_key: public(8),
        ..request()
    };
    assert_eq!(
        parse()
            .accept_by_hand(&other, &SoftwareChecks)
            .unwrap_err()
            .code(),
        "signed.other_host"
    );
    assert!(
        parse()
            .verify_for_dpu(&pins(), &device, &public(DPU), &SoftwareChecks)
            .is_ok()
    );
    assert!(
        parse()
            .verify_for_dpu(&pins(), &device, &public(8), &SoftwareChecks)
            .is_err()
    );
    let elsewhere = DeviceId::from_random(&[5; 16]);
    assert!(
        parse()
            .verify_for_dpu(&pins(), &elsewhere, &public(DPU), &SoftwareChecks)
            .is_err()
    );
    let strangers = DeliveryKeys {
        current: public(8),
        next: None,
    };
    let refused = parse().verify_for_dpu(&strangers, &device, &public(DPU), &SoftwareChecks);
    assert_eq!(refused.unwrap_err().code(), "signed.signature");
    let by_another = signed(&pairing(), 8).unwrap();
    let refused = Unverified::<Pairing>::parse(&by_another)
        .unwrap()
        .accept_by_hand(&request(), &SoftwareChecks);
    assert_eq!(refused.unwrap_err().code(), "signed.signature");
    for spoil in [
        |p: &mut Pairing| p.principals = vec!["*.example".into()],
        |p: &mut Pairing| p.principals.clear(),
        |p: &mut Pairing| p.transport = Some("ssh:x".into()),
        |p: &mut Pairing| p.name = "a b".into(),
        |p: &mut Pairing| p.channel_key = p.request.host_key,
        |p: &mut Pairing| p.request.logins.clear(),
    ] {
        let mut pairing = pairing();
        spoil(&mut pairing);
        assert_eq!(
            signed(&pairing, DELIVERY).unwrap_err().code(),
            "signed.content"
        );
    }
}

#[test]
fn what_is_not_known_is_not_accepted() {
    let message = signed(&manifest(), DELIVERY).unwrap();
    let mut trailing = message.clone();
    trailing.push(0);
    assert_eq!(
        Unverified::<Manifest>::parse(&trailing).unwrap_err().code(),
        "signed.malformed"
    );
    let long = vec![0; Manifest::LIMIT + 1];
    assert_eq!(
        Unverified::<Manifest>::parse(&long).unwrap_err().code(),
        "signed.malformed"
    );
    assert_eq!(
        Unverified::<Manifest>::parse(&[]).unwrap_err().code(),
        "signed.malformed"
    );
}

#[test]
fn what_serde_would_take_for_the_same_is_another_encoding() {
    let mut bare = manifest();
    (bare.trial, bare.files.host_certificate) = (None, None);
    let Value::Map(good) = Value::serialized(&bare).unwrap() else {
        panic!()
    };
    let read = |content: Value| {
        from_slice::<Manifest>("x", &cbor::encode(content), Manifest::LIMIT).map(|m| m == bare)
    };
    assert_eq!(read(Value::Map(good.clone())), Ok(true));
    let mut null = good.clone();
    null.push(("trial".into(), Value::Null));
    assert!(read(Value::Map(null)).is_err(), "null for what is absent");
    let mut listed = good;
    for (name, value) in &mut listed {
        if *name == Value::from("delivery_keys") {
            let keys = pins();
            *value = Value::Array(vec![
                keys.current.to_vec().into(),
                keys.next.unwrap().to_vec().into(),
            ]);
        }
    }
    assert!(read(Value::Map(listed)).is_err(), "an array for a struct");
}

proptest! {
    #[test]
    fn one_bit_anywhere_in_a_manifest_is_refused(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut message = signed(&manifest(), DELIVERY).unwrap();
        let at = at.index(message.len());
        message[at] ^= 1_u8 << bit;
        prop_assert!(verify(&message, None).is_err());
    }

    #[test]
    fn a_cut_manifest_is_refused(at in any::<prop::sample::Index>()) {
        let message = signed(&manifest(), DELIVERY).unwrap();
        prop_assert!(verify(&message[..at.index(message.len())], None).is_err());
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Unverified::<Manifest>::parse(&bytes);
        let _ = Unverified::<Pairing>::parse(&bytes);
        let _ = Unverified::<PairingRequest>::parse(&bytes);
    }
}
