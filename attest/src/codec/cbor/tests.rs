//! The rules of RFC 8949 that matter, each with the bytes that break it.

use super::*;

fn code(bytes: &[u8], form: Form) -> &'static str {
    decode("test", bytes, 4096, form).map_or_else(|refusal| refusal.code(), |_| "ok")
}

fn all(bytes: &[u8]) -> [&'static str; 3] {
    [Form::WellFormed, Form::Preferred, Form::Deterministic].map(|form| code(bytes, form))
}

#[test]
fn duplicate_keys_are_refused_however_they_are_written() {
    assert_eq!(all(&[0xa2, 1, 0, 1, 0]), ["evidence.duplicate_key"; 3]);
    assert_eq!(
        code(&[0xa2, 1, 0, 0x18, 1, 0], Form::WellFormed),
        "evidence.duplicate_key",
        "1 in two bytes"
    );
    assert_eq!(
        code(
            &[0xa2, 0x61, b'a', 0, 0x7f, 0x61, b'a', 0xff, 0],
            Form::WellFormed
        ),
        "evidence.duplicate_key"
    );
    assert_eq!(
        code(&[0x81, 0xa2, 1, 0, 1, 0], Form::WellFormed),
        "evidence.duplicate_key",
        "within"
    );
    assert_eq!(
        all(&[0xa2, 1, 0, 0x61, b'1', 0]),
        ["ok"; 3],
        "1 and \"1\" are two keys"
    );
}

#[test]
fn trailing_and_missing_bytes_are_refused() {
    assert_eq!(all(&[0x00, 0x00]), ["evidence.trailing_bytes"; 3]);
    assert_eq!(all(&[]), ["evidence.truncated"; 3]);
    for bytes in [
        &[0x19, 1][..],
        &[0x42, 1],
        &[0x82, 1],
        &[0xa1, 1],
        &[0xc1],
        &[0x5f, 0x41, 1],
        &[0x9f, 1],
    ] {
        assert_eq!(
            code(bytes, Form::WellFormed),
            "evidence.truncated",
            "{bytes:x?}"
        );
    }
}

#[test]
fn lengths_that_the_input_can_not_hold_cost_nothing() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bytes = alloc::vec![head];
        bytes.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(code(&bytes, Form::WellFormed), "evidence.truncated");
    }
}

#[test]
fn depth_items_and_size_are_bounded() {
    let nested = |depth: usize| [alloc::vec![0x81; depth], alloc::vec![0]].concat();
    assert_eq!(all(&nested(limits::CBOR_DEPTH)), ["ok"; 3]);
    assert_eq!(
        all(&nested(limits::CBOR_DEPTH + 1)),
        ["evidence.too_large"; 3]
    );
    assert_eq!(all(&nested(4000)), ["evidence.too_large"; 3]);
    let tags = [alloc::vec![0xc6; 4000], alloc::vec![0]].concat();
    assert_eq!(all(&tags), ["evidence.too_large"; 3]);
    let endless = [alloc::vec![0x9f; 4000], alloc::vec![0xff; 4000]].concat();
    assert_eq!(
        decode("test", &endless, 1 << 20, Form::WellFormed)
            .unwrap_err()
            .code(),
        "evidence.too_large"
    );

    let items = |count: u16| {
        let mut bytes = alloc::vec![0x99];
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend(core::iter::repeat_n(0, usize::from(count)));
        decode("test", &bytes, 1 << 20, Form::Deterministic)
            .map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!(items(16 * 1024 - 1), "ok");
    assert_eq!(items(16 * 1024), "evidence.too_large");
    assert_eq!(
        decode("test", &[0; 9], 8, Form::WellFormed)
            .unwrap_err()
            .code(),
        "evidence.too_large"
    );
}

#[test]
fn one_value_has_one_deterministic_encoding() {
    let longer: [&[u8]; 6] = [
        &[0x18, 1],
        &[0x19, 0, 1],
        &[0x58, 1, 7],
        &[0x98, 1, 7],
        &[0xfa, 0, 0, 0, 0],
        &[0xc2, 0x41, 1],
    ];
    for bytes in longer {
        assert_eq!(
            all(bytes),
            ["ok", "evidence.malformed", "evidence.malformed"],
            "{bytes:x?}"
        );
    }
    assert_eq!(
        all(&[0xa2, 2, 0, 1, 0]),
        ["ok", "ok", "evidence.malformed"],
        "keys in another order"
    );
    assert_eq!(
        all(&[0x9f, 1, 0xff]),
        ["ok", "evidence.malformed", "evidence.malformed"]
    );
    let unsorted = Value::Map(alloc::vec![
        (Value::Text("aa".into()), Value::Null),
        (Value::Integer(10.into()), Value::Null),
        (Value::Integer((-1).into()), Value::Null),
        (Value::Text("b".into()), Value::Null),
    ]);
    // RFC 8949, 4.2.1: by the bytes of the encoded keys.
    assert_eq!(
        encode(unsorted),
        [
            0xa4, 0x0a, 0xf6, 0x20, 0xf6, 0x61, b'b', 0xf6, 0x62, b'a', b'a', 0xf6
        ]
    );
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let wrong: [&[u8]; 8] = [
        &[0xff],
        &[0x1c],
        &[0x1f],
        &[0xf8, 0x18],
        &[0x5f, 0x61, b'a', 0xff],
        &[0xbf, 1, 0xff],
        &[0x61, 0xff],
        &[0xdf],
    ];
    for bytes in wrong {
        assert_eq!(all(bytes), ["evidence.malformed"; 3], "{bytes:x?}");
    }
    assert_eq!(
        all(&[0xa1, 0x80, 0]),
        ["evidence.malformed"; 3],
        "an array as key"
    );
}

#[test]
fn fields_that_nobody_asked_for_are_refused() {
    let fields = |bytes: &[u8]| {
        Fields::new(
            "test",
            decode("test", bytes, 64, Form::Deterministic).unwrap(),
        )
    };
    let mut two = fields(&[0xa2, 1, 0x41, 7, 2, 0x61, b'x']).unwrap();
    assert_eq!(two.bytes(1, 1).unwrap(), [7]);
    assert_eq!(two.required(3).unwrap_err().code(), "evidence.malformed");
    assert!(two.finish().is_err());
    let mut text = fields(&[0xa1, 2, 0x61, 0x07]).unwrap();
    assert_eq!(
        text.text(2, 9).unwrap_err().code(),
        "evidence.malformed",
        "a control character"
    );
    let mut long = fields(&[0xa1, 2, 0x62, b'x', b'y']).unwrap();
    assert_eq!(long.text(2, 1).unwrap_err().code(), "evidence.too_large");
    let mut negative = fields(&[0xa1, 2, 0x20]).unwrap();
    assert!(negative.unsigned(2).is_err());
    let mut short = fields(&[0xa1, 2, 0x41, 1]).unwrap();
    assert!(short.bytes32(2).is_err());
    assert!(fields(&[0x80]).is_err());
}
