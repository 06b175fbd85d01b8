use super::*;
use crate::digest::HashAlg;
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::reference::{Component, Need, ReferenceValues, Root, Stated};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

struct Yes;

impl CheckSignature for Yes {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

fn digest(alg: i64, byte: u8, size: usize) -> AlgDigest {
    AlgDigest {
        alg: AlgId::Number(alg),
        bytes: vec![byte; size],
    }
}

fn element(key: u64, values: Values) -> Measurement {
    Measurement {
        key: Some(Mkey::Uint(key)),
        values,
        authorized_by: Vec::new(),
    }
}

fn vendor(name: &str) -> Environment {
    Environment {
        class: Some(Class {
            vendor: Some(name.to_string()),
            ..Class::default()
        }),
        ..Environment::default()
    }
}

fn triple(measurements: Vec<Measurement>) -> ValueTriple {
    ValueTriple {
        environment: vendor("acme"),
        measurements,
    }
}

fn with_digests(digests: Vec<AlgDigest>) -> Values {
    Values {
        digests,
        ..Values::default()
    }
}

fn svn(svn: Svn) -> Values {
    Values {
        svn: Some(svn),
        ..Values::default()
    }
}

#[test]
fn digests_match_by_a_common_algorithm_only() {
    let (a, b) = (digest(1, 1, 32), digest(7, 2, 48));
    let both = with_digests(vec![a.clone(), b.clone()]);
    let only = |digest: &AlgDigest| with_digests(vec![digest.clone()]);
    assert!(only(&a).accepts(&both));
    assert!(both.accepts(&only(&a)));
    assert!(!only(&a).accepts(&only(&b)), "no algorithm in common");
    assert!(!only(&a).accepts(&only(&digest(1, 9, 32))));
    let half = with_digests(vec![a.clone(), digest(7, 9, 48)]);
    assert!(!both.accepts(&half), "every common algorithm must agree");
    // One algorithm twice says nothing definite, however it is written.
    let twice = with_digests(vec![a.clone(), digest(-16, 9, 32)]);
    assert!(!twice.accepts(&only(&a)));
    assert!(!only(&a).accepts(&twice));
    assert!(
        !Values::default().accepts(&both),
        "nothing is stated: nothing is compared"
    );
    let named = Values {
        name: Some("x".to_string()),
        ..Values::default()
    };
    assert!(!named.accepts(&named), "a name is no measurement");
}

#[test]
fn security_versions_match_exactly_or_from_a_floor() {
    assert!(svn(Svn::Exact(3)).accepts(&svn(Svn::Exact(3))));
    assert!(!svn(Svn::Exact(3)).accepts(&svn(Svn::Exact(4))));
    assert!(svn(Svn::Min(3)).accepts(&svn(Svn::Exact(3))));
    assert!(svn(Svn::Min(3)).accepts(&svn(Svn::Exact(u64::MAX))));
    assert!(!svn(Svn::Min(3)).accepts(&svn(Svn::Exact(2))));
    assert!(
        !svn(Svn::Min(3)).accepts(&svn(Svn::Min(3))),
        "a floor is not measured"
    );
    assert!(!svn(Svn::Min(0)).accepts(&Values::default()));
}

#[test]
fn raw_values_match_under_their_mask_and_length() {
    let raw = |value: &[u8], mask: Option<&[u8]>| Values {
        raw: Some(Raw {
            value: value.to_vec(),
            mask: mask.map(<[u8]>::to_vec),
        }),
        ..Values::default()
    };
    let due = raw(&[0x12, 0x34, 0, 0], Some(&[0xff, 0xff, 0, 0]));
    assert!(due.accepts(&raw(&[0x12, 0x34, 0x56, 0x78], None)));
    assert!(!due.accepts(&raw(&[0x12, 0x35, 0x56, 0x78], None)));
    assert!(!due.accepts(&raw(&[0x12, 0x34, 0x56], None)));
    assert!(!raw(&[1], None).accepts(&raw(&[2], None)));
}

#[test]
fn flags_registers_and_ranges_match_only_what_is_measured() {
    let flags = |stated, set| Values {
        flags: Some(Flags { stated, set }),
        ..Values::default()
    };
    assert!(flags(0b1010, 0b0010).accepts(&flags(0b1111, 0b0111)));
    assert!(!flags(0b1010, 0b0010).accepts(&flags(0b1111, 0b1111)));
    assert!(
        !flags(0b1010, 0b0010).accepts(&flags(0b0010, 0b0010)),
        "not stated is not false"
    );

    let registers = |entries: &[(u64, u8)]| Values {
        registers: entries
            .iter()
            .map(|(id, byte)| (RegisterId::Uint(*id), vec![digest(1, *byte, 32)]))
            .collect::<BTreeMap<_, _>>(),
        ..Values::default()
    };
    assert!(registers(&[(0, 1)]).accepts(&registers(&[(0, 1), (7, 2)])));
    assert!(!registers(&[(0, 1), (7, 2)]).accepts(&registers(&[(0, 1)])));
    assert!(!registers(&[(0, 1)]).accepts(&registers(&[(0, 2)])));

    let range = |least, greatest| Values {
        range: Some((least, greatest)),
        ..Values::default()
    };
    assert!(range(Some(1), None).accepts(&range(Some(5), Some(5))));
    assert!(!range(Some(1), Some(4)).accepts(&range(Some(5), Some(5))));
    assert!(!range(Some(1), None).accepts(&range(Some(5), None)));
}

#[test]
fn each_element_is_found_matched_missing_or_unlisted() {
    let one = |byte| with_digests(vec![digest(1, byte, 32)]);
    let reference = [
        triple(vec![
            element(1, one(1)),
            element(2, one(2)),
            element(3, one(3)),
        ]),
        triple(vec![element(1, one(9))]),
    ];
    let measured = [element(1, one(9)), element(2, one(7)), element(4, one(4))];
    let found: Vec<(String, &str)> = compare(&reference, &measured)
        .into_iter()
        .map(|c| (c.key.unwrap().to_string(), c.found.as_str()))
        .collect();
    let expected = [
        ("1", "match"),
        ("2", "mismatch"),
        ("3", "missing"),
        ("4", "unlisted"),
    ];
    assert_eq!(found, expected.map(|(key, found)| (key.to_string(), found)));
    // Digest of one set and version of another don't make a match.
    let mixed = |byte, number| Values {
        svn: Some(Svn::Exact(number)),
        ..one(byte)
    };
    let sets = [
        triple(vec![element(1, mixed(1, 1))]),
        triple(vec![element(1, mixed(2, 2))]),
    ];
    assert_eq!(
        compare(&sets, &[element(1, mixed(1, 2))])[0].found,
        Found::Mismatch
    );
    assert_eq!(
        compare(&sets, &[element(1, mixed(2, 2))])[0].found,
        Found::Match
    );
    // Every value that was measured must be accepted.
    let both = [element(1, mixed(1, 1)), element(1, mixed(3, 3))];
    assert_eq!(compare(&sets, &both)[0].found, Found::Mismatch);
}

#[test]
fn endorsements_follow_from_their_conditions() {
    let one = |byte| with_digests(vec![digest(1, byte, 32)]);
    let named = |name: &str| {
        triple(vec![Measurement {
            values: Values {
                name: Some(name.to_string()),
                ..Values::default()
            },
            ..Measurement::default()
        }])
    };
    let series = Series {
        condition: triple(Vec::new()),
        records: vec![
            (
                vec![element(2, svn(Svn::Min(3)))],
                named("good").measurements,
            ),
            (
                vec![element(2, svn(Svn::Min(1)))],
                named("old").measurements,
            ),
        ],
    };
    let triples = Triples {
        conditional: vec![Conditional {
            conditions: vec![triple(vec![element(1, one(1))])],
            endorsements: vec![triple(vec![element(9, svn(Svn::Exact(1)))])],
        }],
        series: vec![series],
        ..Triples::default()
    };
    let after = |accepted: &[ValueTriple]| -> Vec<String> {
        endorsed([&triples], accepted)
            .iter()
            .map(|t| t.measurements[0].values.to_string())
            .collect()
    };
    assert!(after(&[]).is_empty());
    assert_eq!(after(&[triple(vec![element(1, one(1))])]), ["svn 1"]);
    assert_eq!(
        after(&[triple(vec![element(2, svn(Svn::Exact(2)))])]),
        ["name old"]
    );
    assert_eq!(
        after(&[triple(vec![element(2, svn(Svn::Exact(4)))])]),
        ["name good"]
    );
    let elsewhere = ValueTriple {
        environment: vendor("other"),
        measurements: vec![element(2, svn(Svn::Exact(4)))],
    };
    assert!(after(&[elsewhere]).is_empty());
}

#[test]
fn what_we_write_reads_back_and_is_signed() {
    let values = Values {
        svn: Some(Svn::Min(4)),
        raw: Some(Raw {
            value: vec![1, 2],
            mask: Some(vec![255, 0]),
        }),
        flags: Some(Flags { stated: 9, set: 1 }),
        need: Some(Need::Optional),
        ..with_digests(vec![AlgDigest::from(&HashAlg::Sha384.hash(&[b"x"]))])
    };
    let reference = vec![triple(vec![Measurement {
        key: Some(Mkey::Text("pcr.sha256.7".to_string())),
        values,
        authorized_by: Vec::new(),
    }])];
    let draft = Draft {
        id: "lab".to_string(),
        version: 7,
        profile: Some(Profile::Assay),
        ends: Some(Timestamp::from_secs(100)),
        reference: reference.clone(),
    };
    let unsigned = draft.to_bytes();
    let Document::Unsigned(corim) = Document::parse(&unsigned).unwrap() else {
        panic!("it is unsigned")
    };
    assert!(corim.relaxed.is_empty());
    let comid = corim.comids().next().unwrap();
    assert_eq!((comid.version, &comid.triples.reference), (7, &reference));

    let key = PublicKey::Ed25519([3; 32]);
    let ends = Some(Timestamp::from_secs(50));
    let signed = sign(unsigned, &key, b"kid", "me", ends, |_| {
        Ok::<_, core::convert::Infallible>(vec![0; 64])
    })
    .unwrap();
    let Document::Signed(signed) = Document::parse(&signed).unwrap() else {
        panic!("it is signed")
    };
    let signer = Signer::Key(key);
    let at = |secs| signed.verify(&signer, Timestamp::from_secs(secs), &Yes);
    assert_eq!(at(50).unwrap().ends, Timestamp::from_secs(50));
    assert_eq!(at(51).unwrap_err().code(), "corim.expired");
    assert_eq!(signed.meta().signer, "me");
}

#[test]
fn of_tags_that_replace_each_other_one_counts() {
    let comid = |id: &str, version, linked| Comid {
        language: None,
        id: TagId::Text(id.to_string()),
        version,
        entities: Vec::new(),
        linked,
        triples: Triples::default(),
    };
    let replaces = vec![(TagId::Text("a".to_string()), Relation::Replaces)];
    let corim = Corim {
        id: TagId::Text("c".to_string()),
        tags: vec![
            Tag::Comid(comid("a", 0, Vec::new()).into()),
            Tag::Comid(comid("b", 1, replaces).into()),
            Tag::Comid(comid("b", 0, Vec::new()).into()),
        ],
        dependent: Vec::new(),
        profile: None,
        validity: None,
        entities: Vec::new(),
        relaxed: Default::default(),
    };
    let left: Vec<(String, u64)> = corim
        .comids()
        .map(|c| (c.id.to_string(), c.version))
        .collect();
    assert_eq!(left, [("b".to_string(), 1)]);
}

fn manifest(reference: Vec<ValueTriple>) -> Corim {
    let draft = Draft {
        id: "m".to_string(),
        version: 1,
        profile: None,
        ends: None,
        reference,
    };
    match Document::parse(&draft.to_bytes()).unwrap() {
        Document::Unsigned(corim) => *corim,
        Document::Signed(_) | Document::Comid(..) => panic!("it is unsigned"),
    }
}

fn compile(reference: Vec<ValueTriple>, scope: Scope) -> Result<ReferenceValues, Refusal> {
    let corim = manifest(reference);
    reference_values(&corim, scope, &Choice::default(), "id", 1, Timestamp::MAX)
}

#[test]
fn a_manifest_becomes_a_set_of_the_part_that_it_speaks_of() {
    let raw = Values {
        raw: Some(Raw {
            value: vec![1, 0],
            mask: Some(vec![255, 0]),
        }),
        ..Values::default()
    };
    let layer = |values: Values| ValueTriple {
        environment: Environment {
            class: Some(Class {
                layer: Some(4),
                ..Class::default()
            }),
            ..Environment::default()
        },
        measurements: vec![Measurement {
            values,
            ..Measurement::default()
        }],
    };
    let irot = Scope::Root(Root::Irot);
    let reference = vec![
        triple(vec![
            element(2, with_digests(vec![digest(8, 7, 64)])),
            element(6, raw),
        ]),
        layer(with_digests(vec![digest(7, 1, 48)])),
        layer(svn(Svn::Min(3))),
    ];
    let set = compile(reference.clone(), irot).unwrap();
    let names: Vec<String> = set.entries().keys().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "dice.irot.layer.4.fwid",
            "dice.irot.layer.4.svn",
            "spdm.irot.mb.2",
            "spdm.irot.mb.6"
        ]
    );
    assert_eq!(ReferenceValues::parse(&set.to_bytes()).unwrap(), set);
    let block = &set.entries()[&Component::Block(Root::Irot, 6)];
    let stated = |raw: &[u8]| Stated {
        svn: None,
        raw: Some(raw.to_vec()),
    };
    let accepts = |raw: &[u8]| block.conditions().iter().all(|c| c.accepts(&stated(raw)));
    assert!(accepts(&[1, 99]) && !accepts(&[2, 0]));

    // Exported, and taken again: the same entries.
    let draft = Draft::of(&set);
    let Document::Unsigned(corim) = Document::parse(&draft.to_bytes()).unwrap() else {
        panic!("it is unsigned")
    };
    assert_eq!(Scope::of(&corim), Some(Scope::Named));
    let again = reference_values(
        &corim,
        Scope::Named,
        &Choice::default(),
        "id",
        1,
        Timestamp::MAX,
    );
    assert_eq!(again.unwrap(), set);

    let choice = Choice {
        optional: [Component::Block(Root::Irot, 2)].into(),
        ignored: [Component::Block(Root::Irot, 6)].into(),
        forbidden: [Component::Block(Root::Irot, 9)].into(),
    };
    let corim = manifest(reference);
    let chosen = reference_values(&corim, irot, &choice, "id", 1, Timestamp::MAX).unwrap();
    let needs: Vec<&str> = chosen
        .entries()
        .values()
        .map(|e| e.need().as_str())
        .collect();
    assert_eq!(needs, ["required", "required", "optional", "forbidden"]);
}

#[test]
fn a_place_that_is_not_used_is_all_zero_and_must_stay_so() {
    let zero = || with_digests(vec![digest(7, 0, 48)]);
    let other = with_digests(vec![digest(7, 1, 48)]);
    let reference = vec![triple(vec![
        element(23, zero()),
        element(24, zero()),
        element(24, other),
    ])];
    let set = compile(reference, Scope::Root(Root::Accel(0))).unwrap();
    let needs: Vec<&str> = set.entries().values().map(|e| e.need().as_str()).collect();
    assert_eq!(needs, ["forbidden", "optional"]);
}

#[test]
fn what_would_be_laxer_as_a_set_is_no_set() {
    let refused = |values: Values, scope| {
        compile(vec![triple(vec![element(2, values)])], scope)
            .unwrap_err()
            .code()
    };
    let irot = Scope::Root(Root::Irot);
    let both = Values {
        svn: Some(Svn::Min(1)),
        ..with_digests(vec![digest(1, 1, 32)])
    };
    assert_eq!(refused(both, irot), "corim.compile");
    assert_eq!(refused(svn(Svn::Exact(1)), Scope::Tpm), "corim.compile");
    assert_eq!(
        refused(with_digests(vec![digest(9, 1, 28)]), irot),
        "corim.compile"
    );
    let twice = with_digests(vec![digest(1, 1, 32), digest(1, 2, 32)]);
    assert_eq!(refused(twice, irot), "corim.compile");
    let serial = Values {
        serial: Some("1".to_string()),
        ..with_digests(vec![digest(1, 1, 32)])
    };
    assert_eq!(refused(serial, irot), "corim.compile");
    let far = vec![triple(vec![element(
        300,
        with_digests(vec![digest(1, 1, 32)]),
    )])];
    assert_eq!(compile(far, irot).unwrap_err().code(), "corim.compile");
    let pcrs = vec![triple(vec![element(
        7,
        with_digests(vec![digest(1, 1, 32)]),
    )])];
    let set = compile(pcrs, Scope::Tpm).unwrap();
    assert_eq!(
        set.entries().keys().next().unwrap().to_string(),
        "pcr.sha256.7"
    );
}
