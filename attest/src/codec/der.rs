//! A walk over DER (X.690) without recursion: one element at a time, definite and minimal lengths only, bytes borrowed.
//!
//! What is not walked into stays opaque bytes, so nesting costs nothing and its depth is what the caller's code says.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

use crate::refusal::Refusal;

/// One element: tag, value, and the whole as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    pub(crate) value: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// Reads the elements of one value in order. `what` names the structure in refusals.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    what: &'static str,
    reader: SliceReader<'a>,
    rest: &'a [u8],
}

/// `bytes` as exactly one element of this tag, nothing after it.
pub(crate) fn single<'a>(
    what: &'static str,
    tag: Tag,
    bytes: &'a [u8],
) -> Result<Element<'a>, Refusal> {
    let mut walk = Walk::new(what, bytes)?;
    let element = walk.expect(tag)?;
    walk.end()?;
    Ok(element)
}

/// The constructed context tag `[number]`.
pub(crate) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// The primitive context tag `[number]`.
pub(crate) const fn context_primitive(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: false,
        number: TagNumber(number),
    }
}

/// "malformed", with a reason.
pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Refusal {
    Refusal::Malformed {
        what,
        why: why.into(),
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Result<Self, Refusal> {
        let reader = SliceReader::new(bytes).map_err(|error| malformed(what, error.to_string()))?;
        Ok(Self {
            what,
            reader,
            rest: bytes,
        })
    }

    /// A walk over the elements inside of one.
    pub(crate) fn inside(&self, element: Element<'a>) -> Result<Self, Refusal> {
        Self::new(self.what, element.value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, if there is one.
    pub(crate) fn peek(&self) -> Result<Option<Tag>, Refusal> {
        if self.is_empty() {
            return Ok(None);
        }
        Tag::peek(&self.reader)
            .map(Some)
            .map_err(|error| self.wrong(&error))
    }

    pub(crate) fn next(&mut self) -> Result<Element<'a>, Refusal> {
        if self.is_empty() {
            return Err(Refusal::Truncated {
                what: self.what,
                offset: self.offset(),
            });
        }
        let raw = self
            .reader
            .tlv_bytes()
            .map_err(|error| self.wrong(&error))?;
        let any = der::asn1::AnyRef::from_der(raw).map_err(|error| self.wrong(&error))?;
        self.rest = self.rest.get(raw.len()..).unwrap_or_default();
        Ok(Element {
            tag: any.tag(),
            value: any.value(),
            raw,
        })
    }

    pub(crate) fn expect(&mut self, tag: Tag) -> Result<Element<'a>, Refusal> {
        let element = self.next()?;
        if element.tag == tag {
            return Ok(element);
        }
        Err(malformed(
            self.what,
            format!(
                "{tag} expected, {} found before byte {}",
                element.tag,
                self.offset()
            ),
        ))
    }

    /// The next element where it has this tag; otherwise nothing is read.
    pub(crate) fn optional(&mut self, tag: Tag) -> Result<Option<Element<'a>>, Refusal> {
        if self.peek()? == Some(tag) {
            self.next().map(Some)
        } else {
            Ok(None)
        }
    }

    /// A walk over the next element, which must be a SEQUENCE.
    pub(crate) fn sequence(&mut self) -> Result<Self, Refusal> {
        let element = self.expect(Tag::Sequence)?;
        self.inside(element)
    }

    /// A non-negative INTEGER: big-endian, without the sign byte; empty for zero.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Refusal> {
        let element = self.expect(Tag::Integer)?;
        unsigned(self.what, element.value)
    }

    pub(crate) fn oid(&mut self) -> Result<ObjectIdentifier, Refusal> {
        let element = self.expect(Tag::ObjectIdentifier)?;
        ObjectIdentifier::from_bytes(element.value)
            .map_err(|_| malformed(self.what, "an object identifier is not one"))
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn octets_in_bits(&mut self) -> Result<&'a [u8], Refusal> {
        let element = self.expect(Tag::BitString)?;
        match element.value.split_first() {
            Some((0, octets)) => Ok(octets),
            Some(_) | None => Err(malformed(
                self.what,
                "a bit string does not end on a whole byte",
            )),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Refusal::TrailingBytes {
            what: self.what,
            offset: self.offset(),
        })
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.position()).unwrap_or(usize::MAX)
    }

    fn wrong(&self, error: &der::Error) -> Refusal {
        if matches!(error.kind(), der::ErrorKind::Incomplete { .. }) {
            return Refusal::Truncated {
                what: self.what,
                offset: self.offset(),
            };
        }
        malformed(self.what, error.to_string())
    }
}

/// The value of a non-negative INTEGER (X.690, 8.3): shortest form, sign byte taken off, empty for zero.
pub(crate) fn unsigned<'a>(what: &'static str, value: &'a [u8]) -> Result<&'a [u8], Refusal> {
    match value {
        [] => Err(malformed(what, "an integer has no bytes")),
        [0] => Ok(&[]),
        [0, next, ..] if *next < 0x80 => {
            Err(malformed(what, "an integer is longer than it must be"))
        }
        [0, number @ ..] => Ok(number),
        [first, ..] if *first >= 0x80 => Err(malformed(what, "an integer is negative")),
        number => Ok(number),
    }
}

/// The bits that are set in a BIT STRING of named bits (X.680, 22), bit 0 first; at most 32 of them.
pub(crate) fn named_bits(what: &'static str, value: &[u8]) -> Result<u32, Refusal> {
    let (unused, octets) = value
        .split_first()
        .ok_or_else(|| malformed(what, "a bit string has no bytes"))?;
    if octets.len() > 4 || *unused > 7 || (octets.is_empty() && *unused != 0) {
        return Err(malformed(what, "a bit string is not one of named bits"));
    }
    let mut padded = [0u8; 4];
    for (to, from) in padded.iter_mut().zip(octets) {
        *to = *from;
    }
    let padding = u8::MAX
        .checked_shr(u32::from(8u8.saturating_sub(*unused)))
        .unwrap_or(0);
    if octets.last().is_some_and(|last| last & padding != 0) {
        return Err(malformed(what, "the padding of a bit string is not zero"));
    }
    Ok(u32::from_be_bytes(padded).reverse_bits())
}

/// DER elements for the building side.
pub(crate) mod build {
    use super::{ObjectIdentifier, Vec};

    /// `tag`, length and the parts one after the other. All that is built here is shorter than 64 KiB.
    pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut out = Vec::with_capacity(value.len().saturating_add(4));
        out.push(tag);
        match u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes() {
            [0, short @ ..=0x7f] => out.push(short),
            [0, byte] => out.extend_from_slice(&[0x81, byte]),
            [high, low] => out.extend_from_slice(&[0x82, high, low]),
        }
        out.extend_from_slice(&value);
        out
    }

    pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        element(0x30, parts)
    }

    pub(crate) fn oid(oid: ObjectIdentifier) -> Vec<u8> {
        element(0x06, &[oid.as_bytes()])
    }

    /// A non-negative INTEGER from big-endian bytes.
    pub(crate) fn unsigned(number: &[u8]) -> Vec<u8> {
        let skip = number.iter().take_while(|byte| **byte == 0).count();
        let number = number.get(skip..).unwrap_or_default();
        let sign: &[u8] = if number.first().is_none_or(|first| *first >= 0x80) {
            &[0]
        } else {
            &[]
        };
        element(0x02, &[sign, number])
    }

    pub(crate) fn bits(octets: &[u8]) -> Vec<u8> {
        element(0x03, &[&[0], octets])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_encoding() {
        assert_eq!(unsigned("x", &[0]), Ok(&[][..]));
        assert_eq!(unsigned("x", &[0, 0x80]), Ok(&[0x80][..]));
        assert_eq!(unsigned("x", &[0x7f]), Ok(&[0x7f][..]));
        for bad in [&[][..], &[0, 0], &[0, 0x7f], &[0x80], &[0xff, 1]] {
            assert!(unsigned("x", bad).is_err(), "{bad:?}");
        }
        for number in [&[][..], &[0], &[1], &[0x80], &[0, 0, 0xff, 0]] {
            let built = build::unsigned(number);
            assert!(
                single("x", Tag::Integer, &built)
                    .and_then(|e| unsigned("x", e.value))
                    .is_ok(),
                "{number:?}"
            );
        }
    }

    #[test]
    fn named_bits_are_numbered_from_the_left() {
        assert_eq!(named_bits("x", &[7, 0x80]), Ok(1));
        assert_eq!(named_bits("x", &[2, 0x04]), Ok(1 << 5));
        assert_eq!(named_bits("x", &[7, 0x00, 0x80]), Ok(1 << 8));
        assert_eq!(named_bits("x", &[0]), Ok(0));
        for bad in [&[][..], &[1], &[8, 0], &[3, 0x04], &[0, 1, 2, 3, 4, 5]] {
            assert!(named_bits("x", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_definite_and_minimal_and_nothing_follows() {
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x00],
            &[0x30, 0x82, 0, 1, 0],
            &[0x30, 1],
            &[0x30, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(single("x", Tag::Sequence, bad).is_err(), "{bad:?}");
        }
        for length in [0, 1, 127, 128, 255, 256, 40_000] {
            let built = build::sequence(&[&alloc::vec![7; length]]);
            assert_eq!(
                single("x", Tag::Sequence, &built).unwrap().value.len(),
                length
            );
        }
    }
}
