//! The few certificates that Assay makes for TLS: a root, short leaves under it, and the self-signed shell of a channel key.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use assay_attest::time::Timestamp;
use der::asn1::{Ia5String, OctetString};
use der::{DateTime, Decode, Encode};
use pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use spki::{EncodePublicKey, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use zeroize::Zeroizing;

use crate::spki_pin;

/// id-kp-serverAuth (RFC 5280, 4.2.1.12).
const SERVER_AUTH: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Why a certificate or key could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertFault {
    /// Not an Ed25519 or P-256 private key in PKCS#8.
    #[error("this is no Ed25519 or P-256 private key in PKCS#8")]
    Key,
    /// Neither a DNS name in ASCII nor an IP address.
    #[error("`{0}` is neither a DNS name in ASCII nor an IP address")]
    Name(String),
    /// A time after the year 9999, or an end before its beginning.
    #[error("the validity is no span of time before the year 10000")]
    Validity,
    /// What the encoder says.
    #[error("the certificate could not be made: {0}")]
    Encoding(String),
}

/// A private key for certificates; wiped when dropped, never in Debug.
pub enum CertKey {
    /// Ed25519: for the channel between DPU and host.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// P-256: for the nexus, since browsers take no Ed25519.
    P256(Box<p256::ecdsa::SigningKey>),
}

impl CertKey {
    /// An Ed25519 key from its 32-byte seed.
    #[must_use]
    pub fn ed25519(seed: &[u8; 32]) -> Self {
        Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    /// A P-256 key from its scalar, 32 bytes, big-endian: random ones fit but for one in 2^32.
    ///
    /// # Errors
    /// [`CertFault::Key`] for zero or a number not below the group's order.
    pub fn p256(scalar: &[u8; 32]) -> Result<Self, CertFault> {
        let key = p256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| CertFault::Key)?;
        Ok(Self::P256(Box::new(key)))
    }

    /// Reads PKCS#8.
    ///
    /// # Errors
    /// [`CertFault::Key`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CertFault> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self::Ed25519(Box::new(key)));
        }
        let key = p256::ecdsa::SigningKey::from_pkcs8_der(der).map_err(|_| CertFault::Key)?;
        Ok(Self::P256(Box::new(key)))
    }

    /// The key as PKCS#8.
    ///
    /// # Errors
    /// [`CertFault::Encoding`].
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CertFault> {
        let document = match self {
            Self::Ed25519(key) => key.to_pkcs8_der(),
            Self::P256(key) => key.to_pkcs8_der(),
        };
        Ok(document.map_err(encoding)?.to_bytes())
    }

    /// The key as rustls takes it.
    ///
    /// # Errors
    /// [`CertFault::Encoding`].
    pub fn to_rustls(&self) -> Result<PrivateKeyDer<'static>, CertFault> {
        Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            self.to_pkcs8()?.to_vec(),
        )))
    }

    /// The SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`CertFault::Encoding`].
    pub fn spki(&self) -> Result<Vec<u8>, CertFault> {
        let document = match self {
            Self::Ed25519(key) => key.verifying_key().to_public_key_der(),
            Self::P256(key) => key.verifying_key().to_public_key_der(),
        };
        Ok(document.map_err(encoding)?.into_vec())
    }
}

impl std::fmt::Debug for CertKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "CertKey(Ed25519)",
            Self::P256(_) => "CertKey(P-256)",
        })
    }
}

/// From when until when. No client of ours looks at it, but others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before this; rounded down to a second.
    pub not_before: Timestamp,
    /// Not after this; rounded down to a second.
    pub not_after: Timestamp,
}

/// The names of a server: DNS names and IP addresses, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<GeneralName>);

impl Names {
    /// Reads names as they stand in URLs, without port; an IPv6 address with or without brackets.
    ///
    /// # Errors
    /// [`CertFault::Name`], also where there is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, CertFault> {
        let names = names
            .into_iter()
            .map(general_name)
            .collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            Err(CertFault::Name(String::new()))
        } else {
            Ok(Self(names))
        }
    }
}

fn general_name(name: &str) -> Result<GeneralName, CertFault> {
    let fault = || CertFault::Name(name.chars().take(64).collect());
    let bare = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let octets = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        return Ok(GeneralName::IpAddress(
            OctetString::new(octets).map_err(encoding)?,
        ));
    }
    match rustls::pki_types::DnsName::try_from(name) {
        Ok(_) => Ok(GeneralName::DnsName(
            Ia5String::new(name).map_err(|_| fault())?,
        )),
        Err(_) => Err(fault()),
    }
}

/// A self-signed root whose name is made of its key. `serial` is 16 fresh random bytes.
///
/// # Errors
/// [`CertFault::Validity`], [`CertFault::Encoding`].
pub fn root(
    key: &CertKey,
    serial: [u8; 16],
    validity: Validity,
) -> Result<CertificateDer<'static>, CertFault> {
    let spki = key.spki()?;
    let name = root_name(&spki)?;
    sign(&spki, key, Shape::Root { name }, serial, span(validity)?)
}

/// A leaf for `key` under a root, for TLS servers of these names. `serial` is 16 fresh random bytes.
///
/// # Errors
/// [`CertFault::Validity`], [`CertFault::Encoding`], also where `root_key` is not the root's.
pub fn leaf(
    root_der: &CertificateDer<'_>,
    root_key: &CertKey,
    key: &CertKey,
    names: &Names,
    serial: [u8; 16],
    validity: Validity,
) -> Result<CertificateDer<'static>, CertFault> {
    let root = Certificate::from_der(root_der).map_err(encoding)?;
    let issuer = root.tbs_certificate();
    if issuer
        .subject_public_key_info()
        .to_der()
        .map_err(encoding)?
        != root_key.spki()?
    {
        return Err(CertFault::Encoding("the key is not the root's".to_owned()));
    }
    let shape = Shape::Leaf {
        issuer: issuer.subject().clone(),
        names: names.clone(),
    };
    sign(&key.spki()?, root_key, shape, serial, span(validity)?)
}

/// The self-signed certificate in which a channel key travels. It says nothing but the key, so the same key always gives
/// the same certificate; the peer pins the key.
///
/// # Errors
/// [`CertFault::Key`] for another kind than Ed25519, [`CertFault::Encoding`].
pub fn channel_certificate(key: &CertKey) -> Result<CertificateDer<'static>, CertFault> {
    if !matches!(key, CertKey::Ed25519(_)) {
        return Err(CertFault::Key);
    }
    let spki = key.spki()?;
    // RFC 5280, 4.1.2.5: no well-defined end.
    let always = Validity {
        not_before: Timestamp::from_secs(0),
        not_after: Timestamp::from_secs(253_402_300_799),
    };
    let validity = span(always)?;
    sign(
        &spki,
        key,
        Shape::Channel {
            name: name("CN=assay channel")?,
        },
        [1; 16],
        validity,
    )
}

/// What a certificate is for.
enum Shape {
    Root { name: Name },
    Leaf { issuer: Name, names: Names },
    Channel { name: Name },
}

impl BuilderProfile for Shape {
    fn get_issuer(&self, subject: &Name) -> Name {
        match self {
            Self::Leaf { issuer, .. } => issuer.clone(),
            Self::Root { .. } | Self::Channel { .. } => subject.clone(),
        }
    }

    fn get_subject(&self) -> Name {
        match self {
            Self::Root { name } | Self::Channel { name } => name.clone(),
            Self::Leaf { .. } => Name::default(),
        }
    }

    fn build_extensions(
        &self,
        spk: SubjectPublicKeyInfoRef<'_>,
        issuer_spk: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let mut out = Vec::new();
        let mut add = |extension: Extension| out.push(extension);
        let id = OctetString::new(key_id(&spk)?)?;
        let basic = |ca, path_len_constraint| {
            BasicConstraints {
                ca,
                path_len_constraint,
            }
            .to_extension(subject, &[])
        };
        match self {
            Self::Root { .. } => {
                add(basic(true, Some(0))?);
                add(KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)
                    .to_extension(subject, &[])?);
            }
            Self::Leaf { names, .. } => {
                add(basic(false, None)?);
                add(KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?);
                add(ExtendedKeyUsage(vec![SERVER_AUTH]).to_extension(subject, &[])?);
                add(SubjectAltName(names.0.clone()).to_extension(subject, &[])?);
                let issuer = AuthorityKeyIdentifier {
                    key_identifier: Some(OctetString::new(key_id(&issuer_spk)?)?),
                    ..AuthorityKeyIdentifier::default()
                };
                add(issuer.to_extension(subject, &[])?);
            }
            Self::Channel { .. } => {
                add(KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?)
            }
        }
        add(SubjectKeyIdentifier(id).to_extension(subject, &[])?);
        Ok(out)
    }
}

/// A key identifier: the first 20 bytes of SHA-256 over the SubjectPublicKeyInfo (RFC 7093, section 2, method 4).
fn key_id(spki: &SubjectPublicKeyInfoRef<'_>) -> der::Result<Vec<u8>> {
    let hash = spki_pin(&spki.to_der()?);
    Ok(hash.get(..20).unwrap_or_default().to_vec())
}

fn sign(
    subject_spki: &[u8],
    signer: &CertKey,
    shape: Shape,
    serial: [u8; 16],
    validity: x509_cert::time::Validity,
) -> Result<CertificateDer<'static>, CertFault> {
    let spki = SubjectPublicKeyInfoOwned::from_der(subject_spki).map_err(encoding)?;
    // RFC 5280, 4.1.2.2: positive, so the first bit is off, and never zero.
    let [first, rest @ ..] = serial;
    let mut serial = vec![(first & 0x7f) | 0x40];
    serial.extend(rest);
    let serial = SerialNumber::new(&serial).map_err(encoding)?;
    let builder = CertificateBuilder::new(shape, serial, validity, spki).map_err(encoding)?;
    let certificate = match signer {
        CertKey::Ed25519(key) => builder.build::<_, ed25519_dalek::Signature>(&**key),
        CertKey::P256(key) => builder.build::<_, p256::ecdsa::DerSignature>(&**key),
    };
    Ok(CertificateDer::from(
        certificate.map_err(encoding)?.to_der().map_err(encoding)?,
    ))
}

fn root_name(spki: &[u8]) -> Result<Name, CertFault> {
    let pin = spki_pin(spki);
    let short: String = pin.iter().take(8).map(|b| format!("{b:02x}")).collect();
    name(&format!("CN=assay root {short},O=Assay"))
}

fn name(text: &str) -> Result<Name, CertFault> {
    Name::from_str(text).map_err(encoding)
}

fn span(validity: Validity) -> Result<x509_cert::time::Validity, CertFault> {
    let time = |t: Timestamp| {
        let date = DateTime::from_unix_duration(Duration::from_secs(t.as_secs()))
            .map_err(|_| CertFault::Validity)?;
        Ok(x509_cert::time::Time::from(date))
    };
    if validity.not_after <= validity.not_before {
        return Err(CertFault::Validity);
    }
    Ok(x509_cert::time::Validity::new(
        time(validity.not_before)?,
        time(validity.not_after)?,
    ))
}

fn encoding(error: impl std::fmt::Display) -> CertFault {
    CertFault::Encoding(error.to_string())
}
