//! Golden vectors: computed with Python's hashlib from the words of the design, not with this crate.

use super::*;
use crate::digest::hex;
use crate::hpke::Kem;

fn hpke() -> HpkeKey {
    HpkeKey::new(Kem::X25519, &[0x55; 32]).unwrap()
}

fn input<'a>(
    hpke: &'a HpkeKey,
    subject: &'a str,
    purpose: Purpose,
    activation_secret: &'a [u8],
) -> SessionInput<'a> {
    SessionInput {
        nexus_id: [0x11; 32],
        subject,
        purpose,
        nonce: [0x22; 32],
        request_key_thumbprint: [0x33; 32],
        hpke,
        activation_secret,
    }
}

fn attest() -> Session {
    Session::new(&input(&hpke(), "dev-1", Purpose::Attest, b""))
}

fn enrol() -> Session {
    Session::new(&input(&hpke(), "claim-1", Purpose::Enrol, &[0x44; 32]))
}

#[test]
fn i4_sessions_are_the_golden_ones() {
    assert_eq!(
        hex(attest().as_bytes()),
        "5fe44c01303990f4a8b789e5dfc7000ba8827991411abdd7d0b169ab7aebbb42"
    );
    assert_eq!(
        hex(enrol().as_bytes()),
        "832cc97088cb44d9b3972b920672b85e9c1166d4592c50109e1402c317c1b63d"
    );
}

#[test]
fn i4_bindings_are_the_golden_ones() {
    let mut chain = BindingChain::new(attest());
    let binding = |chain: &BindingChain, label| hex(chain.binding(label).unwrap().as_bytes());
    assert_eq!(
        binding(&chain, Label::Claims),
        "d580e93a28bbce5a954aa4b302d92ef072d0f8eafed33fcabb6a2fefbef82268"
    );
    chain.push(Label::Claims, b"claims value").unwrap();
    assert_eq!(
        binding(&chain, Label::LogUefi),
        "8a00714f99215e344849d293cd56262ba76721d8fa573f9b2c87f5c78ba13fcb"
    );
    chain.push(Label::LogUefi, b"log value").unwrap();
    assert_eq!(
        binding(&chain, Label::Tpm),
        "8cb1836f4b36248e91d9d4c65e0e05402e95d287578d02a1676aa670dac2e397"
    );
    chain.push(Label::Tpm, b"tpm value").unwrap();
    assert_eq!(
        binding(&chain, Label::Accel(3)),
        "d7c1be219ee6662aae88a5a6f7c67887bb0b9645dab3c839c00ba56e48351e99"
    );

    let mut chain = BindingChain::new(enrol());
    chain.push(Label::Claims, b"claims value").unwrap();
    chain.push(Label::Tpm, b"tpm value").unwrap();
    assert_eq!(
        binding(&chain, Label::Irot),
        "424f70979c38be390b826ce8efaae03ae948b7a124a99643620f4bb106689c1d"
    );
}

#[test]
fn i4_every_ingredient_changes_the_session() {
    let hpke = hpke();
    let other = HpkeKey::new(Kem::X25519, &[0x56; 32]).unwrap();
    let base = input(&hpke, "dev-1", Purpose::Attest, b"");
    let all = [
        base,
        SessionInput {
            nexus_id: [1; 32],
            ..base
        },
        SessionInput {
            subject: "dev-2",
            ..base
        },
        SessionInput {
            purpose: Purpose::Enrol,
            ..base
        },
        SessionInput {
            nonce: [1; 32],
            ..base
        },
        SessionInput {
            request_key_thumbprint: [1; 32],
            ..base
        },
        SessionInput {
            hpke: &other,
            ..base
        },
        SessionInput {
            activation_secret: &[0; 32],
            ..base
        },
    ];
    let distinct: std::collections::HashSet<_> = all.iter().map(Session::new).collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn members_are_taken_in_order_only() {
    let mut chain = BindingChain::new(attest());
    chain.push(Label::Tpm, b"tpm").unwrap();
    let before = chain.binding(Label::Irot).unwrap();
    assert_eq!(
        chain.push(Label::Claims, b"late").unwrap_err().code(),
        "evidence.member_order"
    );
    assert_eq!(
        chain.push(Label::Tpm, b"again").unwrap_err().code(),
        "evidence.member_twice"
    );
    assert_eq!(
        chain.binding(Label::LogIma).unwrap_err().code(),
        "evidence.member_order"
    );
    assert_eq!(
        chain.binding(Label::Irot).unwrap(),
        before,
        "a refused member leaves nothing behind"
    );
}

#[test]
fn labels_have_one_spelling() {
    let all = [
        Label::Claims,
        Label::LogUefi,
        Label::LogIma,
        Label::Posture,
        Label::Tpm,
        Label::Accel(0),
        Label::Accel(15),
        Label::Erot,
        Label::Irot,
    ];
    assert!(all.is_sorted());
    for label in all {
        assert_eq!(label.to_string().parse::<Label>(), Ok(label));
    }
    for wrong in [
        "", "TPM", "tpm ", "accel", "accel.", "accel.01", "accel.+1", "accel.16", "accel.-1",
        "irot.0", "log",
    ] {
        assert_eq!(
            wrong.parse::<Label>().unwrap_err().code(),
            "evidence.label_unknown",
            "{wrong}"
        );
    }
}
