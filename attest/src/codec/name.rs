//! Distinguished names for people and inventories. Nothing is decided by them: chains compare names as DER, whole.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{Walk, context, single};
use super::x509::{Certificate, SUBJECT_ALT_NAME};
use crate::refusal::Refusal;

const WHAT: &str = "name";

/// What is commonly written short (RFC 4519), and the attributes of a TPM (TCG EK Credential Profile 2.5, 3.1.2).
const SHORT: [(&str, &str); 13] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.23.133.2.1", "tpmManufacturer"),
    ("2.23.133.2.2", "tpmModel"),
    ("2.23.133.2.3", "tpmVersion"),
];

/// One attribute: its short name or dotted number, and its value.
pub type Attribute = (String, String);

/// A Name, DER, in its own order: `CN=x, O=y`; attributes of one RDN with `+` between. What is no text is shown as `#` and hex; control
/// characters are escaped. Empty for an empty name.
///
/// # Errors
/// `evidence.malformed`.
pub fn text(name: &[u8]) -> Result<String, Refusal> {
    let mut all = Vec::new();
    for rdn in rdns(name)? {
        let parts: Vec<String> = rdn
            .iter()
            .map(|(kind, value)| format!("{kind}={value}"))
            .collect();
        all.push(parts.join(" + "));
    }
    Ok(all.join(", "))
}

/// All attributes of a Name, DER, in its order.
///
/// # Errors
/// `evidence.malformed`.
pub fn attributes(name: &[u8]) -> Result<Vec<Attribute>, Refusal> {
    Ok(rdns(name)?.into_iter().flatten().collect())
}

/// The attributes of the directory names among a certificate's alternative names: where an EK certificate names its TPM.
///
/// # Errors
/// `evidence.malformed`.
pub fn alternative(certificate: &Certificate) -> Result<Vec<Attribute>, Refusal> {
    let Some(extension) = certificate.extension(SUBJECT_ALT_NAME) else {
        return Ok(Vec::new());
    };
    let mut names = Walk::new(WHAT, single(WHAT, Tag::Sequence, &extension.value)?.value)?;
    let mut all = Vec::new();
    while !names.is_empty() {
        let name = names.next()?;
        if name.tag == context(4) {
            all.extend(attributes(name.value)?);
        }
    }
    Ok(all)
}

/// Whether every SET OF in a Name stands in DER's order (X.690, 11.6). A vendor's root does not (NUVO 2110).
///
/// # Errors
/// `evidence.malformed`.
pub fn is_ordered(name: &[u8]) -> Result<bool, Refusal> {
    let mut list = Walk::new(WHAT, single(WHAT, Tag::Sequence, name)?.value)?;
    while !list.is_empty() {
        let set = list.expect(Tag::Set)?;
        let mut members = list.inside(set)?;
        let mut earlier: &[u8] = &[];
        while !members.is_empty() {
            let member = members.next()?.raw;
            if member < earlier {
                return Ok(false);
            }
            earlier = member;
        }
    }
    Ok(true)
}

fn rdns(name: &[u8]) -> Result<Vec<Vec<Attribute>>, Refusal> {
    let mut list = Walk::new(WHAT, single(WHAT, Tag::Sequence, name)?.value)?;
    let mut all = Vec::new();
    while !list.is_empty() {
        let set = list.expect(Tag::Set)?;
        let mut members = list.inside(set)?;
        let mut rdn = Vec::new();
        while !members.is_empty() {
            let mut attribute = members.sequence()?;
            let kind = short(attribute.oid()?);
            let value = attribute.next()?;
            attribute.end()?;
            rdn.push((kind, shown(value.tag, value.value)));
        }
        all.push(rdn);
    }
    Ok(all)
}

fn short(oid: ObjectIdentifier) -> String {
    let oid = oid.to_string();
    let name = SHORT.iter().find(|(number, _)| **number == oid);
    name.map_or(oid.clone(), |(_, name)| (*name).to_string())
}

fn shown(tag: Tag, value: &[u8]) -> String {
    let text = match tag {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => {
            core::str::from_utf8(value).ok()
        }
        _ => None,
    };
    match text {
        Some(text) => text
            .chars()
            .flat_map(|c| {
                let escape = c.is_control() || matches!(c, ',' | '+' | '\\' | '=');
                let slash = if escape && !c.is_control() { "\\" } else { "" };
                let plain = if c.is_control() {
                    format!("\\u{{{:x}}}", u32::from(c))
                } else {
                    format!("{slash}{c}")
                };
                plain.chars().collect::<Vec<_>>()
            })
            .collect(),
        None => format!("#{}", crate::digest::hex(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::der::build::{element, sequence};

    fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        sequence(&[&element(6, &[oid]), &element(tag, &[value])])
    }

    #[test]
    fn names_are_shown_as_they_stand() {
        let cn = attribute(&[0x55, 4, 3], 0x0c, b"a, b\n");
        let o = attribute(&[0x55, 4, 10], 0x13, b"Maker  ");
        let odd = attribute(&[0x2a, 3], 0x04, &[0xff]);
        let name = sequence(&[&element(0x31, &[&cn, &o]), &element(0x31, &[&odd])]);
        assert_eq!(
            text(&name).unwrap(),
            "CN=a\\, b\\u{a} + O=Maker  , 1.2.3=#ff"
        );
        assert_eq!(text(&sequence(&[])).unwrap(), "");
        assert!(text(&name[..name.len() - 1]).is_err());
        assert!(is_ordered(&name).is_ok());
        let (first, second) = if cn < o { (&o, &cn) } else { (&cn, &o) };
        assert_eq!(
            is_ordered(&sequence(&[&element(0x31, &[first, second])])),
            Ok(false)
        );
        assert_eq!(
            is_ordered(&sequence(&[&element(0x31, &[second, first])])),
            Ok(true)
        );
    }
}
