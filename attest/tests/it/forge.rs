//! Certificates of any kind, right or wrong, signed for real: to see each rule refuse what only it can refuse.

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, SigningKey};

pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = match value.len() {
        short @ ..=0x7f => vec![u8::try_from(short).unwrap()],
        long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    let length = if let [0x82, 0, byte] = length[..] {
        vec![0x81, byte]
    } else {
        length
    };
    [vec![tag], length, value].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, parts)
}

/// The key that goes with a name: names are all there is to tell these keys apart.
pub(crate) fn key(name: &str) -> SigningKey {
    let mut scalar = [0; 48];
    scalar[16..].copy_from_slice(&assay_attest::digest::sha256(&[name.as_bytes()]));
    SigningKey::from_slice(&scalar).unwrap()
}

pub(crate) fn spki(name: &str) -> Vec<u8> {
    let algorithm = sequence(&[
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        b"\x06\x05\x2b\x81\x04\x00\x22",
    ]);
    sequence(&[
        &algorithm,
        &element(
            0x03,
            &[
                &[0],
                key(name).verifying_key().to_sec1_point(false).as_bytes(),
            ],
        ),
    ])
}

/// An extension: identifier (DER without tag), critical, value.
pub(crate) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&element(0x06, &[oid]), flag, &element(0x04, &[value])])
}

pub(crate) const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
pub(crate) const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
pub(crate) const NAME_CONSTRAINTS: &[u8] = b"\x55\x1d\x1e";
pub(crate) const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
pub(crate) const DICE_TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x01";
pub(crate) const DICE_MULTI_TCB_INFO: &[u8] = b"\x67\x81\x05\x05\x04\x05";
pub(crate) const DICE_UEID: &[u8] = b"\x67\x81\x05\x05\x04\x04";

/// CompositeDeviceID naming `device` with one SHA-384 digest.
pub(crate) fn riot(device: &str, digest: u8) -> Vec<u8> {
    sequence(&[&[2, 1, 1], &spki(device), &fwid(digest)])
}

pub(crate) fn fwid(digest: u8) -> Vec<u8> {
    sequence(&[
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02",
        &element(0x04, &[&[digest; 48]]),
    ])
}

/// One certificate to be.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// The name that it gives its issuer; `None` for the one above.
    pub(crate) issuer: Option<&'static str>,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) dates: [&'static str; 2],
}

impl Spec {
    /// A CA without a path length.
    pub(crate) fn ca(name: &'static str) -> Self {
        let extensions = vec![
            extension(BASIC_CONSTRAINTS, true, b"\x30\x03\x01\x01\xff"),
            extension(KEY_USAGE, true, b"\x03\x02\x02\x04"),
        ];
        Self {
            name,
            issuer: None,
            extensions,
            dates: ["20200101000000Z", "99991231235959Z"],
        }
    }

    /// What signs, and is no CA.
    pub(crate) fn leaf(name: &'static str) -> Self {
        Self {
            extensions: vec![extension(KEY_USAGE, true, b"\x03\x02\x07\x80")],
            ..Self::ca(name)
        }
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }
}

/// The certificates, each signed by the one above; the first by itself.
pub(crate) fn chain(specs: &[Spec]) -> Vec<Vec<u8>> {
    let mut above = specs[0].name;
    specs
        .iter()
        .map(|spec| {
            let der = certificate(spec, above);
            above = spec.name;
            der
        })
        .collect()
}

fn certificate(spec: &Spec, above: &'static str) -> Vec<u8> {
    let name = |text: &str| {
        sequence(&[&element(
            0x31,
            &[&sequence(&[
                b"\x06\x03\x55\x04\x03",
                &element(0x0c, &[text.as_bytes()]),
            ])],
        )])
    };
    let date = |text: &str| element(0x18, &[text.as_bytes()]);
    let algorithm = sequence(&[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"]);
    let tbs = sequence(&[
        b"\xa0\x03\x02\x01\x02",
        &element(0x02, &[&[0x42]]),
        &algorithm,
        &name(spec.issuer.unwrap_or(above)),
        &sequence(&[&date(spec.dates[0]), &date(spec.dates[1])]),
        &name(spec.name),
        &spki(spec.name),
        &element(0xa3, &[&sequence(&[&spec.extensions.concat()])]),
    ]);
    let signature: DerSignature = key(above).sign(&tbs);
    sequence(&[
        &tbs,
        &algorithm,
        &element(0x03, &[&[0], signature.as_bytes()]),
    ])
}
