//! Every rule of verification, attacked. The attacker holds the request key where a test seals anew: the roots must hold.

use crate::soft_tpm::{self, AK_ATTRIBUTES, KEY_ATTRIBUTES, SoftTpm};
use crate::world::{ASK, Ask, Device, Pure, statement};
use assay_attest::attester::Draft;
use assay_attest::attester::tpm::member;
use assay_attest::claims::KeyLevel;
use assay_attest::codec::cbor::{self, Value};
use assay_attest::codec::tpm::Attributes;
use assay_attest::digest::HashAlg;
use assay_attest::evidence::envelope::{self, CLAIMS_MEDIA_TYPE, Wrapped};
use assay_attest::evidence::tpm::MEDIA_TYPE;
use assay_attest::expected::{Expected, TpmExpectation};
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::session::{Label, Purpose};
use assay_attest::verify::Evidence;

#[test]
fn a_good_proof_gives_its_claims() {
    let device = Device::new(1);
    let evidence = device.verify(ASK, &device.prove(ASK)).unwrap();
    let claims = evidence.claims();
    assert_eq!(claims.key_level(), KeyLevel::Tpm);
    let tpm = claims.tpm.as_ref().unwrap();
    assert_eq!(tpm.ak_name, device.tpm.ak_name());
    assert_eq!(tpm.pcrs, device.tpm.pcrs);
    assert_eq!(tpm.clock, device.tpm.clock);
    assert_eq!(claims.stated.serial.as_deref(), Some("MT2334X00001"));
    assert_eq!(claims.stated.channel_key, [9; 32]);
    assert_eq!(claims.stated.hpke, device.hpke);
}

#[test]
fn an_enrolment_needs_its_activation_secret() {
    let device = Device::new(1);
    let ask = Ask {
        purpose: Purpose::Enrol,
        secret: &[5; 32],
        ..ASK
    };
    let bytes = device.prove(ask);
    assert_eq!(device.refusal(ask, &bytes), "accepted");
    assert_eq!(
        device.refusal(
            Ask {
                secret: &[6; 32],
                ..ask
            },
            &bytes
        ),
        "evidence.session"
    );
    // A Verifier that forgot the activation fails closed, even if the agent left it out as well.
    let without = Ask { secret: b"", ..ask };
    assert_eq!(
        device.refusal(without, &device.prove(without)),
        "evidence.activation"
    );
    let later = Ask {
        secret: &[5; 32],
        ..ASK
    };
    assert_eq!(
        device.refusal(later, &device.prove(later)),
        "evidence.activation"
    );
}

#[test]
fn i4_replayed_evidence_is_refused() {
    let device = Device::new(1);
    let bytes = device.prove(ASK);
    assert_eq!(
        device.refusal(
            Ask {
                nonce: [3; 32],
                ..ASK
            },
            &bytes
        ),
        "evidence.session"
    );
    let enrol = Ask {
        purpose: Purpose::Enrol,
        secret: &[5; 32],
        ..ASK
    };
    assert_eq!(device.refusal(enrol, &bytes), "evidence.session");
}

#[test]
fn i4_replayed_quote_in_fresh_evidence_is_refused() {
    let device = Device::new(1);
    let old = device.draft(ASK).binding(Label::Tpm).unwrap();
    let parts = device.tpm_parts(&old);
    let ask = Ask {
        nonce: [3; 32],
        ..ASK
    };
    let bytes = device.prove_with(ask, |fresh| *fresh = parts);
    assert_eq!(device.refusal(ask, &bytes), "tpm.binding");
}

#[test]
fn i4_evidence_relayed_to_another_nexus_or_device_is_refused() {
    let (device, other) = (Device::new(1), Device::new(2));
    let bytes = device.prove(ASK);
    assert_eq!(
        device.refusal(
            Ask {
                nexus_id: [9; 32],
                ..ASK
            },
            &bytes
        ),
        "evidence.session"
    );
    assert_eq!(other.refusal(ASK, &bytes), "envelope.key");
    let expected = Expected {
        subject: &other.id,
        ..device.expected(ASK)
    };
    let refusal = Evidence::parse(&bytes)
        .unwrap()
        .verify(&expected, &Pure)
        .unwrap_err();
    assert_eq!(refusal.code(), "evidence.session");
}

#[test]
fn i4_a_tpm_member_of_another_device_is_refused() {
    let (device, other) = (Device::new(1), Device::new(2));
    // The victim's TPM signs the attacker's binding (a relay): its AK is not the pinned one.
    let mut draft = device.draft(ASK);
    let parts = other.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    draft
        .add(Label::Tpm, MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    assert_eq!(device.refusal(ASK, &device.seal(&draft)), "tpm.other_ak");
    // And the whole of a good member, swapped in.
    let bytes = device.prove_with(ASK, |parts| {
        *parts = other.tpm_parts(&other.draft(ASK).binding(Label::Tpm).unwrap())
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.other_ak");
}

#[test]
fn i4_another_request_key_can_not_use_this_tpms_certification() {
    // An agent that holds another key asks the device's own TPM to quote for it: the certified key is not that one.
    let device = Device::new(1);
    let mut thief = Device::new(1);
    thief.request = soft_tpm::signing_key(200);
    thief.request_key = Device::new(100).request_key;
    let bytes = thief.prove_with(ASK, |parts| {
        let binding = thief.draft(ASK).binding(Label::Tpm).unwrap();
        parts.request_key = device.tpm_parts(&binding).request_key;
    });
    assert_eq!(thief.refusal(ASK, &bytes), "tpm.other_request_key");
}

#[test]
fn i4_a_stripped_member_is_refused() {
    let device = Device::new(1);
    let bytes = device.seal(&device.draft(ASK));
    assert_eq!(device.refusal(ASK, &bytes), "evidence.required_missing");
    let mut lax = Device::new(1);
    lax.required.clear();
    assert_eq!(
        lax.refusal(ASK, &bytes),
        "evidence.no_proof",
        "claims alone never verify"
    );
}

#[test]
fn i4_a_stripped_certification_is_never_key_tpm() {
    let device = Device::new(1);
    let bytes = device.prove_with(ASK, |parts| parts.request_key = None);
    let evidence = device.verify(ASK, &bytes).unwrap();
    assert_eq!(evidence.claims().key_level(), KeyLevel::Nonce);
}

#[test]
fn i4_claims_can_not_be_changed_under_a_quote() {
    let device = Device::new(1);
    let honest = device.draft(ASK);
    let parts = device.tpm_parts(&honest.binding(Label::Tpm).unwrap());
    let mut stated = statement();
    stated.channel_key = [66; 32];
    let mut draft = Draft::begin(&device.input(ASK), &stated).unwrap();
    draft
        .add(Label::Tpm, MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    assert_eq!(device.refusal(ASK, &device.seal(&draft)), "tpm.binding");
}

#[test]
fn claims_that_name_another_request_key_are_refused() {
    let device = Device::new(1);
    let bytes = reseal(&device, |members| {
        let mut stated = envelope::parse_claims(&members[0].value).unwrap();
        stated.request_key_thumbprint = [66; 32];
        members[0].value = envelope::write_claims(&stated);
    });
    assert_eq!(device.refusal(ASK, &bytes), "claims.request_key");
}

#[test]
fn i4_the_hpke_key_can_not_be_changed_under_a_quote() {
    let device = Device::new(1);
    let parts = device.tpm_parts(&device.draft(ASK).binding(Label::Tpm).unwrap());
    let mut thief = Device::new(1);
    thief.hpke = HpkeKey::new(Kem::X25519, &[66; 32]).unwrap();
    let bytes = thief.prove_with(ASK, |fresh| *fresh = parts);
    assert_eq!(thief.refusal(ASK, &bytes), "tpm.binding");
}

fn reseal(device: &Device, edit: impl FnOnce(&mut Vec<Wrapped>)) -> Vec<u8> {
    let parsed = envelope::Envelope::parse(&device.prove(ASK)).unwrap();
    let mut members = parsed.members;
    edit(&mut members);
    seal_payload(device, envelope::write_collection(&members))
}

fn seal_payload(device: &Device, payload: Vec<u8>) -> Vec<u8> {
    let protected = assay_attest::codec::cose::Protected {
        key: device.request_key.key(),
        key_id: device.request_key.thumbprint(),
        content_type: envelope::CONTENT_TYPE,
    };
    assay_attest::codec::cose::build(&protected, payload, b"", |m| Ok::<_, ()>(device.sign(m)))
        .unwrap()
}

#[test]
fn members_out_of_order_twice_or_unknown_are_refused() {
    let device = Device::new(1);
    assert_eq!(device.refusal(ASK, &reseal(&device, |_| {})), "accepted");
    assert_eq!(
        device.refusal(ASK, &reseal(&device, |m| m.reverse())),
        "evidence.member_order"
    );
    assert_eq!(
        device.refusal(ASK, &reseal(&device, |m| m.push(m[1].clone()))),
        "evidence.duplicate_key"
    );
    assert_eq!(
        device.refusal(ASK, &reseal(&device, |m| m[1].media_type.push('x'))),
        "evidence.kind_unknown"
    );
    assert_eq!(
        device.refusal(ASK, &reseal(&device, |m| m[1].label = Label::Irot)),
        "evidence.kind_unknown"
    );
    assert_eq!(
        device.refusal(
            ASK,
            &reseal(&device, |m| m[0].media_type = MEDIA_TYPE.into())
        ),
        "evidence.kind_unknown"
    );
    assert_eq!(
        device.refusal(ASK, &reseal(&device, |m| drop(m.remove(0)))),
        "evidence.required_missing"
    );
    assert_eq!(
        device.refusal(ASK, &reseal(&device, Vec::clear)),
        "evidence.required_missing"
    );
    let unknown = cbor::write(&Value::Map(vec![(
        Value::Text("gpu".into()),
        Value::Array(vec![
            Value::Text(CLAIMS_MEDIA_TYPE.into()),
            Value::Bytes(vec![]),
        ]),
    )]));
    assert_eq!(
        device.refusal(ASK, &seal_payload(&device, unknown)),
        "evidence.label_unknown"
    );
}

#[test]
fn an_ak_that_could_sign_foreign_data_or_leave_its_tpm_is_refused() {
    for bad in [
        AK_ATTRIBUTES & !Attributes::RESTRICTED,
        AK_ATTRIBUTES & !Attributes::FIXED_TPM,
        AK_ATTRIBUTES & !Attributes::FIXED_PARENT,
        AK_ATTRIBUTES & !Attributes::SENSITIVE_DATA_ORIGIN,
        AK_ATTRIBUTES & !Attributes::SIGN,
        AK_ATTRIBUTES | Attributes::DECRYPT,
    ] {
        let mut device = Device::new(1);
        device.tpm.ak_attributes = bad;
        device.pinned = TpmExpectation::Pinned(device.tpm.ak_name());
        assert_eq!(
            device.refusal(ASK, &device.prove(ASK)),
            "tpm.ak_attributes",
            "{bad:#x}"
        );
    }
}

#[test]
fn a_request_key_that_could_leave_its_tpm_is_refused() {
    for bad in [
        KEY_ATTRIBUTES | Attributes::RESTRICTED,
        KEY_ATTRIBUTES & !Attributes::FIXED_TPM,
        KEY_ATTRIBUTES & !Attributes::FIXED_PARENT,
        KEY_ATTRIBUTES & !Attributes::SENSITIVE_DATA_ORIGIN,
        KEY_ATTRIBUTES & !Attributes::SIGN,
    ] {
        let mut device = Device::new(1);
        device.request_attributes = bad;
        assert_eq!(
            device.refusal(ASK, &device.prove(ASK)),
            "tpm.key_attributes",
            "{bad:#x}"
        );
    }
}

#[test]
fn a_certification_of_another_object_is_refused() {
    let device = Device::new(1);
    let bytes = device.prove_with(ASK, |parts| {
        let other = soft_tpm::public_area(&soft_tpm::signing_key(50), KEY_ATTRIBUTES, None);
        let binding = device.draft(ASK).binding(Label::Tpm).unwrap();
        let (certification, signature) = device.tpm.certify(&other, binding.as_bytes());
        let key = parts.request_key.as_mut().unwrap();
        (key.certification, key.signature) = (certification, signature);
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.certified_other");
}

#[test]
fn quote_and_certification_can_not_stand_for_each_other() {
    let device = Device::new(1);
    let bytes = device.prove_with(ASK, |parts| {
        let key = parts.request_key.as_ref().unwrap();
        (parts.quote, parts.quote_signature) = (key.certification.clone(), key.signature.clone());
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.type");
    let bytes = device.prove_with(ASK, |parts| {
        let key = parts.request_key.as_mut().unwrap();
        (key.certification, key.signature) = (parts.quote.clone(), parts.quote_signature.clone());
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.type");
}

#[test]
fn a_structure_that_no_tpm_made_is_refused() {
    let mut device = Device::new(1);
    device.tpm.magic ^= 1;
    let mut draft = device.draft(ASK);
    let parts = device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    let good = Device::new(1);
    let good_parts = good.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    // The builder refuses it, so the bytes are exchanged in a good member of the same layout.
    assert_eq!(member(&parts).unwrap_err().code(), "tpm.magic");
    let value = member(&good_parts).unwrap();
    let at = value
        .windows(4)
        .position(|w| w == [0xff, 0x54, 0x43, 0x47])
        .unwrap();
    let mut value = value;
    value[at] ^= 1;
    draft.add(Label::Tpm, MEDIA_TYPE, value).unwrap();
    assert_eq!(device.refusal(ASK, &device.seal(&draft)), "tpm.magic");
}

#[test]
fn the_ak_must_be_in_the_endorsement_hierarchy() {
    let mut device = Device::new(1);
    let parent = SoftTpm::new(7).ak_name();
    device.tpm.parent = Some(parent);
    assert_eq!(
        device.refusal(ASK, &device.prove(ASK)),
        "accepted",
        "child of a primary"
    );
    let bytes = device.prove_with(ASK, |parts| parts.ak_parent = None);
    assert_eq!(device.refusal(ASK, &bytes), "tpm.hierarchy");
    let bytes = device.prove_with(ASK, |parts| {
        parts.ak_parent = Some(SoftTpm::new(8).ak_name())
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.hierarchy");
}

#[test]
fn a_downgrade_of_the_algorithm_is_refused() {
    const SHA1: u16 = 4;
    let mut device = Device::new(1);
    device.tpm.hash = SHA1;
    device.pinned = TpmExpectation::Pinned(device.tpm.ak_name());
    assert_eq!(
        device.refusal(ASK, &device.prove(ASK)),
        "tpm.algorithm",
        "an AK that signs with SHA-1"
    );
    let device = Device::new(1);
    let bytes = device.prove_with(ASK, |parts| parts.quote_signature[3] = 4);
    assert_eq!(
        device.refusal(ASK, &bytes),
        "tpm.algorithm",
        "a signature that claims SHA-1"
    );
    let bytes = device.prove_with(ASK, |parts| parts.quote_signature[3] = 0x0c);
    assert_eq!(
        device.refusal(ASK, &bytes),
        "tpm.algorithm",
        "another hash than the key's"
    );
}

#[test]
fn i2_pcr_values_that_were_not_quoted_are_refused() {
    let device = Device::new(1);
    let changed = device.prove_with(ASK, |parts| {
        let bank = parts.pcrs.get_mut(&HashAlg::Sha256).unwrap();
        bank.insert(7, HashAlg::Sha256.hash(&[b"forged"]));
    });
    assert_eq!(device.refusal(ASK, &changed), "tpm.pcr_digest");
    let dropped = device.prove_with(ASK, |parts| {
        parts.pcrs.get_mut(&HashAlg::Sha256).unwrap().remove(&7);
    });
    assert_eq!(device.refusal(ASK, &dropped), "tpm.pcr_selection");
    let added = device.prove_with(ASK, |parts| {
        parts
            .pcrs
            .get_mut(&HashAlg::Sha256)
            .unwrap()
            .insert(9, HashAlg::Sha256.hash(&[b"more"]));
    });
    assert_eq!(device.refusal(ASK, &added), "tpm.pcr_selection");
    let bank = device.prove_with(ASK, |parts| {
        parts.pcrs.insert(
            HashAlg::Sha384,
            [(0, HashAlg::Sha384.hash(&[b"bank"]))].into(),
        );
    });
    assert_eq!(device.refusal(ASK, &bank), "tpm.pcr_selection");
    let swapped = device.prove_with(ASK, |parts| {
        let bank = parts.pcrs.get_mut(&HashAlg::Sha256).unwrap();
        let (a, b) = (bank[&0].clone(), bank[&1].clone());
        bank.insert(0, b);
        bank.insert(1, a);
    });
    assert_eq!(device.refusal(ASK, &swapped), "tpm.pcr_digest");
}

/// One TPML_PCR_SELECTION may name a bank twice: the later values must not take the place of the earlier ones.
#[test]
fn i2_a_bank_that_is_quoted_twice_is_refused() {
    let device = Device::new(1);
    let draft = device.draft(ASK);
    let binding = draft.binding(Label::Tpm).unwrap();
    let mut parts = device.tpm_parts(&binding);
    let (quote, signature) = device.tpm.quote_banks(binding.as_bytes(), 2);
    (parts.quote, parts.quote_signature) = (quote, signature);
    let mut draft = draft;
    draft
        .add(Label::Tpm, MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    assert_eq!(
        device.refusal(ASK, &device.seal(&draft)),
        "tpm.pcr_selection"
    );
}

#[test]
fn a_quote_of_no_pcr_is_refused() {
    let mut device = Device::new(1);
    device.tpm.pcrs.clear();
    assert_eq!(device.refusal(ASK, &device.prove(ASK)), "tpm.pcr_selection");
}

#[test]
fn banks_are_digested_in_the_order_of_the_selection() {
    let mut device = Device::new(1);
    let bank = (0..3).map(|pcr| (pcr, HashAlg::Sha384.hash(&[&[pcr]])));
    device.tpm.pcrs.insert(HashAlg::Sha384, bank.collect());
    let evidence = device.verify(ASK, &device.prove(ASK)).unwrap();
    assert_eq!(
        evidence.claims().tpm.as_ref().unwrap().pcrs,
        device.tpm.pcrs
    );
}

#[test]
fn a_tpm_that_nobody_pinned_is_refused() {
    let mut device = Device::new(1);
    let bytes = device.prove(ASK);
    device.pinned = TpmExpectation::NoTpm;
    assert_eq!(device.refusal(ASK, &bytes), "tpm.unexpected");
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let device = Device::new(1);
    let forger = SoftTpm {
        ak: soft_tpm::signing_key(99),
        ..device.tpm.clone()
    };
    let bytes = device.prove_with(ASK, |parts| {
        parts.quote_signature = forger.sign(&parts.quote)
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.signature");
    let bytes = device.prove_with(ASK, |parts| {
        let key = parts.request_key.as_mut().unwrap();
        key.signature = forger.sign(&key.certification);
    });
    assert_eq!(device.refusal(ASK, &bytes), "tpm.signature");
}

#[test]
fn i2_every_bit_of_evidence_counts() {
    let device = Device::new(1);
    let good = device.prove(ASK);
    assert_eq!(device.refusal(ASK, &good), "accepted");
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert_ne!(
                device.refusal(ASK, &bytes),
                "accepted",
                "byte {at}, bit {bit}"
            );
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn truncated_and_prolonged_evidence_is_refused() {
    let device = Device::new(1);
    let good = device.prove(ASK);
    for end in 0..good.len() {
        let code = device.refusal(ASK, &good[..end]);
        assert_eq!(code, "evidence.truncated", "at {end}");
    }
    let mut long = good;
    long.push(0);
    assert_eq!(device.refusal(ASK, &long), "evidence.trailing_bytes");
    assert_eq!(
        device.refusal(ASK, &vec![0; 1024 * 1024 + 1]),
        "evidence.too_large"
    );
}

#[test]
fn each_tpm_structure_is_exact_to_the_byte() {
    let device = Device::new(1);
    let parts = device.tpm_parts(&device.draft(ASK).binding(Label::Tpm).unwrap());
    let key = parts.request_key.unwrap();
    for good in [&parts.quote, &key.certification] {
        for end in 0..good.len() {
            assert!(assay_attest::codec::tpm::Attest::parse(&good[..end]).is_err());
        }
        let long = [good.as_slice(), &[0]].concat();
        let refusal = assay_attest::codec::tpm::Attest::parse(&long).unwrap_err();
        assert_eq!(refusal.code(), "evidence.trailing_bytes");
    }
    for end in 0..parts.ak.len() {
        assert!(assay_attest::codec::tpm::Public::parse(&parts.ak[..end]).is_err());
    }
    for end in 0..parts.quote_signature.len() {
        assert!(assay_attest::codec::tpm::Signature::parse(&parts.quote_signature[..end]).is_err());
    }
}
