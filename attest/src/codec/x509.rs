//! X.509 certificates (RFC 5280): strict, bounded, the bytes kept as received.
//!
//! Signatures are checked over the slice that came, names are compared as DER and never looked into. So an attribute set
//! in the wrong order (Nuvoton's EK root "NUVO 2110") is no fault here: nothing is read out of it, and the signature covers
//! it as it stands. Everything that is read, is read as strict DER.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use der::asn1::{GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode as _, Tag};

use super::der::{Element, Walk, context, malformed, named_bits, single};
use super::spki;
use crate::digest::sha256;
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

const WHAT: &str = "certificate";

/// id-ce-basicConstraints (RFC 5280, 4.2.1.9).
pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// id-ce-keyUsage (RFC 5280, 4.2.1.3).
pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// id-ce-extKeyUsage (RFC 5280, 4.2.1.12).
pub const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// id-ce-subjectAltName (RFC 5280, 4.2.1.6).
pub const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-ce-certificatePolicies (RFC 5280, 4.2.1.4).
pub const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");

/// One certificate, parsed and not yet trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    spki: Vec<u8>,
    key: PublicKey,
    extensions: Vec<Extension>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    scheme: Scheme,
    signature: Vec<u8>,
}

/// One extension, its value still DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Which.
    pub oid: ObjectIdentifier,
    /// Whether whoever doesn't understand it must refuse the certificate.
    pub critical: bool,
    /// The DER inside of its OCTET STRING.
    pub value: Vec<u8>,
}

/// BasicConstraints (RFC 5280, 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the key may sign certificates.
    pub ca: bool,
    /// How many CA certificates may follow it.
    pub path_len: Option<u32>,
}

/// KeyUsage (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u32);

impl KeyUsage {
    /// digitalSignature, bit 0.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// keyEncipherment, bit 2.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// keyAgreement, bit 4.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign, bit 5.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn allows(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Certificate {
    /// Parses one DER certificate of at most [`limits::CERTIFICATE_BYTES`]: version 3, an algorithm and a key of the supported
    /// kinds, no unique ids, no extension twice.
    ///
    /// # Errors
    /// The shape's refusals, and `evidence.unsupported` for algorithms that are not supported.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::CERTIFICATE_BYTES,
            });
        }
        let mut outer = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let tbs = outer.expect(Tag::Sequence)?;
        let algorithm = outer.expect(Tag::Sequence)?;
        let signature = outer.octets_in_bits()?;
        outer.end()?;
        let scheme = spki::signature_scheme(WHAT, algorithm.raw)?;

        let mut fields = outer.inside(tbs)?;
        let version = fields.expect(context(0))?;
        if fields.inside(version)?.unsigned()? != [2] {
            return Err(malformed(WHAT, "only version 3 is accepted"));
        }
        let serial = fields.unsigned()?;
        if serial.is_empty() || serial.len() > 20 {
            return Err(malformed(
                WHAT,
                "the serial number is not a positive one of at most 20 bytes",
            ));
        }
        // RFC 5280, 4.1.1.2: both say the same, or an attacker could choose the one that is not signed.
        if fields.expect(Tag::Sequence)?.raw != algorithm.raw {
            return Err(malformed(
                WHAT,
                "the signature algorithm inside and outside differ",
            ));
        }
        let issuer = fields.expect(Tag::Sequence)?;
        if issuer.value.is_empty() {
            return Err(malformed(WHAT, "the issuer has no name"));
        }
        let (not_before, not_after) = validity(fields.sequence()?)?;
        let subject = fields.expect(Tag::Sequence)?;
        let spki = fields.expect(Tag::Sequence)?;
        let key = spki::parse(WHAT, spki.raw)?;
        let extensions = match fields.optional(context(3))? {
            Some(element) => extensions(WHAT, &fields, element)?,
            None => Vec::new(),
        };
        fields.end()?;

        let find = |oid| extensions.iter().find(|extension| extension.oid == oid);
        Ok(Self {
            basic_constraints: find(BASIC_CONSTRAINTS).map(basic_constraints).transpose()?,
            key_usage: find(KEY_USAGE).map(key_usage).transpose()?,
            der: der.to_vec(),
            tbs: tbs.raw.to_vec(),
            serial: serial.to_vec(),
            issuer: issuer.raw.to_vec(),
            subject: subject.raw.to_vec(),
            not_before,
            not_after,
            spki: spki.raw.to_vec(),
            key,
            extensions,
            scheme,
            signature: spki::signature_value(WHAT, scheme, signature)?.to_vec(),
        })
    }

    /// The certificate as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What is signed, as it came.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The serial number: big-endian, no leading zero, 1 to 20 bytes.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The issuer's Name, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's Name, DER; an empty SEQUENCE where the subject is named by its alternative names only.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Not valid before this.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Not valid after this.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The SubjectPublicKeyInfo, DER as it came.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`Certificate::spki`].
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&[&self.spki])
    }

    /// The subject's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// All extensions in their order, each once.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The extension of that kind.
    #[must_use]
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid)
    }

    /// BasicConstraints, where stated.
    #[must_use]
    pub const fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.basic_constraints
    }

    /// KeyUsage, where stated.
    #[must_use]
    pub const fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// The purposes of ExtendedKeyUsage, where stated.
    ///
    /// # Errors
    /// `evidence.malformed`.
    pub fn extended_key_usage(&self) -> Result<Option<Vec<ObjectIdentifier>>, Refusal> {
        let Some(extension) = self.extension(EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let mut purposes = Walk::new(
            "extended key usage",
            single(WHAT, Tag::Sequence, &extension.value)?.value,
        )?;
        let mut all = Vec::new();
        while !purposes.is_empty() {
            all.push(purposes.oid()?);
        }
        Ok(Some(all))
    }

    /// Whether subject and issuer are one name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// How the certificate says that it is signed. The issuer's key decides whether that may be.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The signature as it stands in the certificate: ECDSA's is still DER.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether `key` signed this certificate, by the scheme that it states; the key decides the family of schemes.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn is_signed_by(
        &self,
        key: &PublicKey,
        check: &dyn CheckSignature,
    ) -> Result<(), BadSignature> {
        spki::check(key, self.scheme, &self.tbs, &self.signature, check)
    }
}

fn validity(mut dates: Walk<'_>) -> Result<(Timestamp, Timestamp), Refusal> {
    let pair = (date(WHAT, dates.next()?)?, date(WHAT, dates.next()?)?);
    dates.end()?;
    Ok(pair)
}

/// A UTCTime or GeneralizedTime (RFC 5280, 4.1.2.5).
pub(crate) fn date(what: &'static str, element: Element<'_>) -> Result<Timestamp, Refusal> {
    let since_epoch = match element.tag {
        Tag::UtcTime => UtcTime::from_der(element.raw).map(|time| time.to_unix_duration()),
        Tag::GeneralizedTime => {
            GeneralizedTime::from_der(element.raw).map(|time| time.to_unix_duration())
        }
        other => return Err(malformed(what, format!("a date expected, {other} found"))),
    };
    since_epoch
        .map(|duration| Timestamp::from_secs(duration.as_secs()))
        .map_err(|error| malformed(what, error.to_string()))
}

/// The extensions inside of an explicit tag.
pub(crate) fn extensions(
    what: &'static str,
    fields: &Walk<'_>,
    element: Element<'_>,
) -> Result<Vec<Extension>, Refusal> {
    let mut explicit = fields.inside(element)?;
    let list = explicit.sequence()?;
    explicit.end()?;
    extension_list(what, list)
}

/// `Extensions` (RFC 5280, 4.1): each once, at most [`limits::CERTIFICATE_EXTENSIONS`].
pub(crate) fn extension_list(
    what: &'static str,
    mut list: Walk<'_>,
) -> Result<Vec<Extension>, Refusal> {
    let mut all: Vec<Extension> = Vec::new();
    while !list.is_empty() {
        if all.len() >= limits::CERTIFICATE_EXTENSIONS {
            return Err(Refusal::TooLarge {
                what: "certificate extensions",
                limit: limits::CERTIFICATE_EXTENSIONS,
            });
        }
        let mut extension = list.sequence()?;
        let oid = extension.oid()?;
        // FALSE is the default and is left out in DER; TRUE has one encoding.
        let critical = match extension.optional(Tag::Boolean)? {
            None => false,
            Some(Element { value: [0xff], .. }) => true,
            Some(_) => return Err(malformed(what, "an extension's critical flag is not DER")),
        };
        let value = extension.expect(Tag::OctetString)?.value.to_vec();
        extension.end()?;
        if all.iter().any(|earlier| earlier.oid == oid) {
            return Err(malformed(what, format!("extension {oid} is there twice")));
        }
        all.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(all)
}

fn basic_constraints(extension: &Extension) -> Result<BasicConstraints, Refusal> {
    let mut fields = Walk::new(
        "basic constraints",
        single(WHAT, Tag::Sequence, &extension.value)?.value,
    )?;
    let ca = match fields.optional(Tag::Boolean)? {
        None => false,
        Some(Element { value: [0xff], .. }) => true,
        Some(_) => return Err(malformed(WHAT, "the CA flag is not DER")),
    };
    let path_len = if fields.is_empty() {
        None
    } else {
        Some(small(fields.unsigned()?)?)
    };
    fields.end()?;
    if path_len.is_some() && !ca {
        return Err(malformed(WHAT, "a path length is given to what is no CA"));
    }
    Ok(BasicConstraints { ca, path_len })
}

fn key_usage(extension: &Extension) -> Result<KeyUsage, Refusal> {
    named_bits(
        "key usage",
        single(WHAT, Tag::BitString, &extension.value)?.value,
    )
    .map(KeyUsage)
}

/// A number of at most four bytes.
fn small(number: &[u8]) -> Result<u32, Refusal> {
    let mut padded = [0u8; 4];
    let at = padded
        .len()
        .checked_sub(number.len())
        .ok_or_else(|| malformed(WHAT, "a path length is absurd"))?;
    for (to, from) in padded.iter_mut().skip(at).zip(number) {
        *to = *from;
    }
    Ok(u32::from_be_bytes(padded))
}

#[cfg(test)]
mod tests;
