use super::*;
use crate::codec::der::build::{element, oid as build_oid, sequence, unsigned as build_unsigned};

fn sha(last: u8, digest: &[u8]) -> Vec<u8> {
    let oid = [
        &[0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02][..],
        &[last],
    ]
    .concat();
    sequence(&[&oid, &element(0x04, &[digest])])
}

fn tcb(fields: &[&[u8]]) -> Result<LayerInfo, Refusal> {
    LayerInfo::tcb_info_or_riot(4, &sequence(fields))
}

fn riot(version: u8, fwid: &[u8]) -> Vec<u8> {
    sequence(&[&build_unsigned(&[version]), &sequence(&[b"\x05\x00"]), fwid])
}

#[test]
fn the_first_element_tells_riot_from_tcb_info() {
    let info = LayerInfo::tcb_info_or_riot(4, &riot(1, &sha(2, &[7; 48]))).unwrap();
    assert_eq!(
        (info.layout, info.device_spki.as_deref()),
        (DiceLayout::Riot, Some(&[0x30, 2, 5, 0][..]))
    );
    let list = element(0xa6, &[&sha(2, &[7; 48])]);
    assert_eq!(tcb(&[&list]).unwrap().layout, DiceLayout::TcbInfo);
    for neither in [
        sequence(&[]),
        sequence(&[&[5, 0]]),
        sequence(&[&sequence(&[])]),
        element(0x31, &[]),
        Vec::new(),
    ] {
        assert!(
            LayerInfo::tcb_info_or_riot(4, &neither).is_err(),
            "{neither:?}"
        );
    }
}

#[test]
fn riot_has_one_version_and_one_digest() {
    let good = sha(2, &[7; 48]);
    for bad in [
        riot(2, &good),
        riot(0, &good),
        riot(1, &[]),
        sequence(&[&riot(1, &good), &good]),
        riot(1, &[good.clone(), good].concat()),
    ] {
        assert!(LayerInfo::tcb_info_or_riot(4, &bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_digest_has_its_algorithms_length() {
    for (last, size) in [(1, 32), (2, 48), (3, 64), (8, 32), (9, 48), (10, 64)] {
        let info = tcb(&[&element(0xa6, &[&sha(last, &alloc::vec![1; size])])]).unwrap();
        assert_eq!(
            info.fwids().next().unwrap().to_digest().is_ok(),
            last < 8,
            "SHA-3 is read and not compared"
        );
        for wrong in [0, size - 1, size + 1] {
            assert!(tcb(&[&element(0xa6, &[&sha(last, &alloc::vec![1; wrong])])]).is_err());
        }
    }
    for unknown in [0, 4, 7, 11] {
        let refusal = tcb(&[&element(0xa6, &[&sha(unknown, &[1; 32])])]).unwrap_err();
        assert_eq!(refusal.code(), "evidence.unsupported");
    }
}

#[test]
fn one_list_has_one_digest_per_algorithm_but_for_blackwell() {
    let twice = element(0xa6, &[&sha(2, &[1; 48]), &sha(2, &[0; 48])]);
    assert_eq!(
        tcb(&[&twice]).unwrap_err(),
        Refusal::DiceFwidTwice { index: 4 }
    );
    let multi = sequence(&[&sequence(&[&twice])]);
    assert_eq!(
        LayerInfo::multi(4, &multi).unwrap_err(),
        Refusal::DiceFwidTwice { index: 4 }
    );
    assert_eq!(
        LayerInfo::nvidia(4, &sequence(&[&twice]))
            .unwrap()
            .fwids()
            .count(),
        2
    );
    let two_infos = sequence(&[
        &sequence(&[&element(0xa6, &[&sha(2, &[1; 48])])]),
        &sequence(&[&element(0xa6, &[&sha(2, &[2; 48])])]),
    ]);
    assert_eq!(LayerInfo::multi(4, &two_infos).unwrap().fwids().count(), 2);
}

#[test]
fn tcb_info_fields_come_in_order_and_are_bounded() {
    let info = tcb(&[
        &element(0x80, &[b"vendor"]),
        &element(0x83, &[&[0x7f]]),
        &element(0xa6, &[&sha(2, &[1; 48])]),
        &element(0x87, &[&[3, 0b1111_1000]]),
        &element(0x88, &[b"opaque"]),
        &element(0x8a, &[&[3, 0b0001_1000]]),
    ])
    .unwrap();
    let tcb_info = &info.tcb[0];
    assert_eq!(
        (tcb_info.vendor.as_deref(), tcb_info.svn, tcb_info.flags),
        (Some("vendor"), Some(127), 0b11000)
    );

    let flags = element(0x87, &[&[3, 0b1111_1000]]);
    assert_eq!(
        tcb(&[&flags]).unwrap().tcb[0].flags,
        0b11111,
        "without a mask every flag counts"
    );
    for bad in [
        &[&flags[..], &element(0x83, &[&[1]])][..],
        &[&element(0x80, &[&[0xff]])],
        &[&element(0x80, &[&[b'a'; 256]])],
        &[&element(0x83, &[&[0x80]])],
        &[&element(0x83, &[&[0, 1]])],
        &[&element(0x83, &[&[1; 9]])],
        &[&element(0x8b, &[])],
        &[&element(0xab, &[])],
        &[&element(0x9f, &[&[31, 0]])],
        &[&element(0xa6, &[&sha(2, &[1; 48]).repeat(17)])],
    ] {
        assert!(tcb(bad).is_err(), "{bad:?}");
    }
    let many = sequence(&[&sequence(&[]).repeat(17)]);
    assert!(LayerInfo::multi(4, &many).is_err());
}

#[test]
fn an_other_name_holds_riot_with_and_without_its_tag() {
    let value = riot(1, &sha(2, &[7; 48]));
    let name = |value: &[u8]| element(0xa0, &[&build_oid(TCB_INFO), value]);
    for form in [value.clone(), element(0xa0, &[&value])] {
        let info = LayerInfo::alt_name(&sequence(&[&element(0x82, &[b"dns"]), &name(&form)]))
            .unwrap()
            .unwrap();
        assert_eq!(info.layout, DiceLayout::RiotAltName);
    }
    assert_eq!(
        LayerInfo::alt_name(&sequence(&[&element(0x82, &[b"dns"])])),
        Ok(None)
    );
    let other = element(0xa0, &[&[0x06, 1, 0x2a], &element(0xa0, &[&value])]);
    assert_eq!(LayerInfo::alt_name(&sequence(&[&other])), Ok(None));
    assert!(LayerInfo::alt_name(&sequence(&[&name(&value), &name(&value)])).is_err());
    assert!(LayerInfo::alt_name(&sequence(&[&name(&[5, 0])])).is_err());
    assert!(LayerInfo::alt_name(&sequence(&[&name(&[])])).is_err());
}
