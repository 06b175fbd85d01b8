//! Certificates shaped like BlueField-3's: extensions, names and serial numbers as its PSC writes them.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use der::Encode as _;
use der::asn1::{GeneralizedTime, ObjectIdentifier, UtcTime};

use super::Point;
use crate::codec::der::build::{bits, element, oid, sequence, unsigned};
use crate::codec::der::malformed;
use crate::codec::dice::TCB_INFO;
use crate::codec::{spki, x509};
use crate::digest::{Digest, HashAlg, hex, sha256};
use crate::refusal::Refusal;
use crate::time::Timestamp;

const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
/// id-DMTF-device-info (DSP0274, 10.9.1): `vendor:product:serial`.
const DMTF_DEVICE_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.1");
/// 9999-12-31T23:59:59Z: no well-defined end (RFC 5280, 4.1.2.5).
const END: Duration = Duration::from_secs(253_402_300_799);
/// UTCTime is for dates through 2049.
const YEAR_2050: Duration = Duration::from_secs(2_524_608_000);

/// What a certificate is there for.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    /// A CA that measures nothing.
    Authority,
    /// A CA that stands for firmware.
    Layer { fwid: &'a Digest },
    /// What signs evidence: no CA, no BasicConstraints.
    Leaf { fwid: &'a Digest, id: &'a str },
}

/// Whom a certificate is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) common_name: &'static str,
    pub(super) point: &'a Point,
    pub(super) role: Role<'a>,
}

impl<'a> Subject<'a> {
    pub(super) const fn authority(common_name: &'static str, point: &'a Point) -> Self {
        Self {
            common_name,
            point,
            role: Role::Authority,
        }
    }

    /// The first 160 bits of the key's SHA-256 (RFC 7093, 2).
    fn key_id(&self) -> Vec<u8> {
        sha256(&[self.point]).get(..20).unwrap_or_default().to_vec()
    }

    /// The key's id with its top bits forced, so that the number is positive and always 20 bytes long.
    fn serial(&self) -> Vec<u8> {
        let mut serial = self.key_id();
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        serial
    }

    fn name(&self) -> Vec<u8> {
        let attribute = |arc: u8, tag: u8, text: &str| {
            element(
                0x31,
                &[&sequence(&[
                    &[0x06, 3, 0x55, 0x04, arc],
                    &element(tag, &[text.as_bytes()]),
                ])],
            )
        };
        let serial = hex(&self.serial()).to_ascii_uppercase();
        sequence(&[
            &attribute(5, 0x13, &serial),
            &attribute(10, 0x0c, "Assay Lab"),
            &attribute(3, 0x0c, self.common_name),
        ])
    }
}

/// One certificate. `sign` gets what is to be signed and gives r and s of P-384.
pub(super) fn issue(
    subject: &Subject<'_>,
    issuer: &Subject<'_>,
    since: Timestamp,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let algorithm = spki::ecdsa_sha384();
    let tbs = sequence(&[
        &element(0xa0, &[&unsigned(&[2])]),
        &unsigned(&subject.serial()),
        &algorithm,
        &issuer.name(),
        &sequence(&[&date(Duration::from_secs(since.as_secs()))?, &date(END)?]),
        &subject.name(),
        &spki::p384(subject.point),
        &element(
            0xa3,
            &[&sequence(&[&extensions(subject, issuer)?.concat()])],
        ),
    ]);
    let signature = spki::ecdsa_der(&sign(&tbs));
    Ok(sequence(&[&tbs, &algorithm, &bits(&signature)]))
}

fn extensions(subject: &Subject<'_>, issuer: &Subject<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    const CRITICAL: &[u8] = &[0x01, 0x01, 0xff];
    let extension = |id, critical: &[u8], value: &[u8]| {
        sequence(&[&oid(id), critical, &element(0x04, &[value])])
    };
    let mut all = Vec::new();
    let key_usage: &[u8] = match subject.role {
        Role::Authority | Role::Layer { .. } => {
            all.push(extension(
                x509::BASIC_CONSTRAINTS,
                CRITICAL,
                &[0x30, 0x03, 0x01, 0x01, 0xff],
            ));
            &[0x03, 0x02, 0x02, 0x04]
        }
        Role::Leaf { .. } => &[0x03, 0x02, 0x07, 0x80],
    };
    all.push(extension(x509::KEY_USAGE, CRITICAL, key_usage));
    all.push(extension(
        SUBJECT_KEY_ID,
        &[],
        &element(0x04, &[&subject.key_id()]),
    ));
    all.push(extension(
        AUTHORITY_KEY_ID,
        &[],
        &sequence(&[&element(0x80, &[&issuer.key_id()])]),
    ));
    if let Role::Leaf { id, .. } = subject.role {
        let info = element(0x0c, &[format!("Assay:SoftwareDice:{id}").as_bytes()]);
        let other_name = element(0xa0, &[&oid(DMTF_DEVICE_INFO), &element(0xa0, &[&info])]);
        all.push(extension(
            x509::SUBJECT_ALT_NAME,
            &[],
            &sequence(&[&other_name]),
        ));
    }
    if let Role::Layer { fwid } | Role::Leaf { fwid, .. } = subject.role {
        let hash = sequence(&[&oid(hash_oid(fwid.alg())), &element(0x04, &[fwid.bytes()])]);
        let composite = sequence(&[&unsigned(&[1]), &spki::p384(issuer.point), &hash]);
        all.push(extension(TCB_INFO, &[], &composite));
    }
    Ok(all)
}

const fn hash_oid(alg: HashAlg) -> ObjectIdentifier {
    match alg {
        HashAlg::Sha256 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        HashAlg::Sha384 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        HashAlg::Sha512 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
    }
}

fn date(since_epoch: Duration) -> Result<Vec<u8>, Refusal> {
    let der = if since_epoch < YEAR_2050 {
        UtcTime::from_unix_duration(since_epoch).and_then(|time| time.to_der())
    } else {
        GeneralizedTime::from_unix_duration(since_epoch).and_then(|time| time.to_der())
    };
    der.map_err(|error| malformed("date", error.to_string()))
}
