//! Properties: no parser panics, whatever comes; what was written is read back; what is changed is not accepted.

use crate::world::{ASK, Device, Pure};
use assay_attest::codec::cbor::{self, Form, Value};
use assay_attest::codec::cose::Sign1;
use assay_attest::codec::spdm::algorithms::OpaqueFormat;
use assay_attest::codec::spdm::block;
use assay_attest::codec::spdm::opaque::Opaque;
use assay_attest::codec::spdm::slot::SlotChain;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::codec::tpm::{Attest, Public, Signature};
use assay_attest::digest::HashAlg;
use assay_attest::evidence::envelope;
use assay_attest::evidence::spdm::SpdmEvidence;
use assay_attest::evidence::tpm::TpmEvidence;
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::reference::{Component, Entry, Need, ReferenceValues, Root};
use assay_attest::session::Label;
use assay_attest::time::Timestamp;
use assay_attest::verify::Evidence;
use proptest::prelude::*;
use std::sync::LazyLock;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| Device::new(1).prove(ASK));
static MEMBER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let parsed = envelope::Envelope::parse(&GOOD).unwrap();
    parsed
        .members
        .into_iter()
        .find(|member| member.label == Label::Tpm)
        .unwrap()
        .value
});

/// Every parser at once: none may panic.
pub(crate) fn every_parser(bytes: &[u8]) {
    for form in [Form::WellFormed, Form::Preferred, Form::Deterministic] {
        let _ = cbor::decode("fuzz", bytes, 1 << 20, form);
    }
    let _ = Sign1::parse(bytes).map(|message| {
        let _ = message.verify(Device::new(1).request_key.key(), b"", &Pure);
    });
    let _ = Sign1::parse_strict(bytes);
    let _ = Attest::parse(bytes);
    let _ = Public::parse(bytes).map(|public| public.name());
    let _ = Public::parse_sized(bytes);
    let _ = Signature::parse(bytes)
        .map(|signature| signature.raw_for(Device::new(1).request_key.key()));
    let _ = TpmEvidence::parse(bytes);
    let _ = SpdmEvidence::parse(bytes);
    let _ = Transcript::parse(bytes);
    let _ = SlotChain::parse(bytes);
    let _ = Opaque::parse(OpaqueFormat::General, bytes);
    if let Ok(blocks) = block::record(bytes, None) {
        let written: Vec<u8> = blocks.iter().flat_map(block::Block::write).collect();
        assert_eq!(written, bytes);
    }
    let _ = envelope::parse_claims(bytes);
    let _ = HpkeKey::parse(bytes);
    let _ = ReferenceValues::parse(bytes);
    crate::corim::read(bytes);
    of_others(bytes);
    crate::bytes::read(bytes);
    crate::bytes::files(bytes);
    crate::logs::read(bytes);
    if let Ok(evidence) = Evidence::parse(bytes) {
        let _ = evidence.verify(&Device::new(1).expected(ASK), &Pure);
    }
}

/// Wrappers, notation and messages of others.
fn of_others(bytes: &[u8]) {
    use assay_attest::codec::{cmw::Cmw, cose_sign::Message, edn};
    let _ = Cmw::from_cbor(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Cmw::from_json(text);
        let _ = edn::to_cbor(text);
    }
    if let Ok(message) = Message::parse(bytes) {
        for signature in message.signatures() {
            let key = Device::new(1).request_key.key().clone();
            assert!(
                message
                    .verify(signature, &key, b"other", None, &Pure)
                    .is_err()
            );
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| Value::Integer(number.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        "[a-z]{0,30}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(any::<i64>(), inner.clone(), 0..6).prop_map(|map| {
                Value::Map(
                    map.into_iter()
                        .map(|(key, value)| (Value::Integer(key.into()), value))
                        .collect(),
                )
            }),
            (6_u64..5000, inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

fn reference() -> impl Strategy<Value = ReferenceValues> {
    let component = prop_oneof![
        (0_u8..24).prop_map(|pcr| Component::Pcr(HashAlg::Sha256, pcr)),
        (0_u8..8).prop_map(|layer| Component::Fwid(Root::Irot, layer)),
    ];
    let entry = prop::collection::btree_set(any::<u8>(), 1..4).prop_flat_map(|seeds| {
        let digests = seeds
            .into_iter()
            .map(|seed| HashAlg::Sha256.hash(&[&[seed]]))
            .collect();
        prop_oneof![Just(Need::Required), Just(Need::Optional)]
            .prop_map(move |need| Entry::new(need, std::clone::Clone::clone(&digests)).unwrap())
    });
    (
        prop::collection::btree_map(component, entry, 1..8),
        "[a-z]{1,12}",
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(|(entries, id, version, end)| {
            ReferenceValues::new(&id, version, entries, Timestamp::from_millis(end)).unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        every_parser(&bytes);
    }

    #[test]
    fn mutated_evidence_never_verifies(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = GOOD.clone();
        for (at, with) in edits {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        prop_assume!(bytes != *GOOD);
        every_parser(&bytes);
        prop_assert!(Device::new(1).verify(ASK, &bytes).is_err());
    }

    #[test]
    fn mutated_members_never_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = MEMBER.clone();
        let at = at.index(bytes.len());
        bytes[at] = with;
        every_parser(&bytes);
        every_parser(&bytes[..cut.index(bytes.len())]);
        every_parser(&bytes[cut.index(bytes.len())..]);
    }

    #[test]
    fn cbor_is_read_as_it_was_written(value in value()) {
        let bytes = cbor::encode(value);
        let read = cbor::decode("test", &bytes, bytes.len(), Form::Deterministic).unwrap();
        prop_assert_eq!(cbor::encode(read), bytes);
    }

    #[test]
    fn reference_values_are_read_as_they_were_written(values in reference()) {
        prop_assert_eq!(ReferenceValues::parse(&values.to_bytes()).unwrap(), values);
    }

    #[test]
    fn hpke_keys_are_read_as_they_were_written(public in any::<[u8; 32]>()) {
        let key = HpkeKey::new(Kem::X25519, &public).unwrap();
        prop_assert_eq!(HpkeKey::parse(&key.to_bytes()).unwrap(), key);
    }

    #[test]
    fn claims_are_read_as_they_were_written(
        hostname in "[a-z0-9.-]{1,40}", serial in "[A-Z0-9]{1,20}", uptime in any::<u64>(), boots in any::<Option<u64>>(),
        ueid in prop::option::of(prop::collection::vec(any::<u8>(), 7..34)), session in any::<[u8; 32]>(),
    ) {
        let stated = assay_attest::claims::StatedClaims {
            session, ueid, serial: Some(serial), hpke: HpkeKey::new(Kem::X25519, &[1; 32]).unwrap(),
            request_key_thumbprint: session, channel_key: session, agent_version: hostname.clone(), boot_count: boots,
            uptime, hwmodel: hostname.clone(), hostname,
        };
        prop_assert_eq!(envelope::parse_claims(&envelope::write_claims(&stated)).unwrap(), stated);
    }
}
