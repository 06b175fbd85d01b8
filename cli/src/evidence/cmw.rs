//! Conceptual Message Wrappers (RFC 9999): what is in the envelope, member by member.

use assay_attest::codec::cmw::{Cmw as Wrapper, Media};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::HashAlg;
use assay_attest::refusal::Refusal;
use serde_json::{Value, json};

use super::kind::hex;
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// id-pe-cmw (RFC 9999): CHOICE { json UTF8String, cbor OCTET STRING }.
const ID_PE_CMW: &str = "1.3.6.1.5.5.7.1.35";
/// A value up to this length is shown whole.
const SHOWN: usize = 1024;

/// The kind `cmw`.
pub(crate) struct Cmw;

impl Kind for Cmw {
    fn name(&self) -> &'static str {
        "cmw"
    }

    fn about(&self) -> &'static str {
        "A Conceptual Message Wrapper (RFC 9999): record, tag or collection, as JSON, CBOR, diagnostic notation, or in the \
         extension id-pe-cmw of an X.509 certificate.\n\n\
         A wrapper has no signature: it is accepted with `authenticated` false when all of it parses. What is wrapped is shown, not judged: \
         take it out and verify it as what it is. No options.\n\n\
         Claims: `form` (record, tag, collection), `encoding` (json, cbor, x509-json, x509-cbor); of a record or tag `media_type`, \
         `content_format` (CoAP) or `tag`, `size`, `sha256`, `value` (hex, up to 1024 bytes) and `indicator` (the conceptual messages that it \
         says it holds); of a collection `collection_type` and `members`, each with its `label`.\n\n\
         Refused: a label twice, an empty collection, a type that is no media type, values with padding, indicator bits without a meaning."
    }

    fn takes(&self) -> &'static [Opt] {
        &[]
    }

    fn detect(&self, file: &Artefact) -> bool {
        read(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let (encoding, wrapper) = read(file)?;
        let mut claims = Claims::new();
        claims.insert("encoding".into(), encoding.into());
        describe(&wrapper, &mut claims);
        Ok(claims)
    }

    fn verify(&self, file: &Artefact, _: &With<'_>) -> Result<Accepted, Rejection> {
        Ok(Accepted {
            authenticated: false,
            claims: self.inspect(file)?,
        })
    }
}

fn read(file: &Artefact) -> Result<(&'static str, Wrapper), Rejection> {
    if let Some(text) = file.text()
        && file.json().is_some()
    {
        return Ok(("json", Wrapper::from_json(text)?));
    }
    if let Ok(certificates) = file.certificates()
        && let [der] = certificates.as_slice()
    {
        return from_certificate(der);
    }
    Ok(("cbor", Wrapper::from_cbor(&file.cbor()?)?))
}

fn from_certificate(der: &[u8]) -> Result<(&'static str, Wrapper), Rejection> {
    let certificate = Certificate::parse(der)?;
    let extension = certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_string() == ID_PE_CMW)
        .ok_or_else(|| {
            Rejection::new(
                "cmw.no_extension",
                "the certificate has no extension id-pe-cmw",
            )
        })?;
    // A string of fewer than 2^16 bytes: tag, then a length of one, two or three bytes.
    let malformed = || {
        Rejection::from(Refusal::Malformed {
            what: "the extension id-pe-cmw",
            why: "it is neither a UTF8String nor an OCTET STRING".into(),
        })
    };
    let (tag, value) = string(&extension.value).ok_or_else(malformed)?;
    match tag {
        0x04 => Ok(("x509-cbor", Wrapper::from_cbor(value)?)),
        0x0c => {
            let text = std::str::from_utf8(value).map_err(|_| malformed())?;
            Ok(("x509-json", Wrapper::from_json(text)?))
        }
        _ => Err(malformed()),
    }
}

/// Tag and value of one DER string that fills the bytes.
fn string(der: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let value = match *first {
        short @ 0..=0x7f if rest.len() == usize::from(short) => rest,
        0x81 if rest.first()? >= &0x80 && rest.len() == 1 + usize::from(*rest.first()?) => {
            rest.get(1..)?
        }
        0x82 => {
            let (length, value) = rest.split_first_chunk::<2>()?;
            let length = u16::from_be_bytes(*length);
            (length >= 0x100 && value.len() == usize::from(length)).then_some(value)?
        }
        _ => return None,
    };
    Some((*tag, value))
}

fn describe(wrapper: &Wrapper, claims: &mut Claims) {
    match wrapper {
        Wrapper::Record {
            media,
            value,
            indicator,
        } => {
            claims.insert("form".into(), "record".into());
            match media {
                Media::Type(text) => claims.insert("media_type".into(), text.clone().into()),
                Media::Format(number) => claims.insert("content_format".into(), (*number).into()),
            };
            payload(value, claims);
            if let Some(bits) = indicator {
                claims.insert("indicator".into(), json!(Wrapper::messages(*bits)));
            }
        }
        Wrapper::Tagged { tag, format, value } => {
            claims.insert("form".into(), "tag".into());
            claims.insert("tag".into(), (*tag).into());
            if let Some(format) = format {
                claims.insert("content_format".into(), (*format).into());
            }
            payload(value, claims);
        }
        Wrapper::Collection { kind, members } => {
            claims.insert("form".into(), "collection".into());
            if let Some(kind) = kind {
                claims.insert("collection_type".into(), kind.clone().into());
            }
            let members: Vec<Value> = members
                .iter()
                .map(|(label, member)| {
                    let mut inner = Claims::new();
                    inner.insert("label".into(), label.clone().into());
                    describe(member, &mut inner);
                    Value::Object(inner)
                })
                .collect();
            claims.insert("members".into(), members.into());
        }
    }
}

fn payload(value: &[u8], claims: &mut Claims) {
    claims.insert("size".into(), value.len().into());
    let digest = HashAlg::Sha256.hash(&[value]);
    claims.insert("sha256".into(), hex(digest.bytes()).into());
    if value.len() <= SHOWN {
        claims.insert("value".into(), hex(value).into());
    }
}
