//! The wire format of Protocol Buffers, read and no more: fields in their order, bounded, nothing interpreted.

use alloc::string::ToString as _;

use crate::limits;
use crate::refusal::Refusal;

/// One field: its number and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
}

/// Wire types 0 and 2; the fixed ones (1 and 5) are passed over by those who know no such field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
    fields: usize,
}

impl<'a> Message<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            bytes,
            at: 0,
            fields: 0,
        }
    }

    /// The next field; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Refusal> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        self.fields = self.fields.saturating_add(1);
        if self.fields > limits::PROTOBUF_FIELDS {
            return Err(Refusal::TooLarge {
                what: self.what,
                limit: limits::PROTOBUF_FIELDS,
            });
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| self.wrong("a field's number"))?;
        if number == 0 {
            return Err(self.wrong("a field's number"));
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(self.wrong("a wire type")),
        };
        Ok(Some(Field { number, value }))
    }

    fn varint(&mut self) -> Result<u64, Refusal> {
        let mut number = 0u64;
        for at in 0..10u32 {
            let byte = self.take(1)?.first().copied().unwrap_or(0);
            let digits = u64::from(byte & 0x7f);
            // The tenth byte has one bit left.
            if at == 9 && digits > 1 {
                return Err(self.wrong("a number"));
            }
            number |= digits << at.saturating_mul(7);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number"))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or(Refusal::Truncated {
            what: self.what,
            offset: self.bytes.len(),
        })?;
        self.at = end;
        Ok(taken)
    }

    fn wrong(&self, what: &str) -> Refusal {
        Refusal::Malformed {
            what: self.what,
            why: [what, " is none"].concat().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, Refusal> {
        let mut message = Message::new("x", bytes);
        let mut found = Vec::new();
        while let Some(field) = message.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn fields_are_read_in_their_order() {
        let found = all(&[0x08, 0x96, 1, 0x12, 2, 7, 8, 0x1d, 0, 0, 0, 0]).unwrap();
        let expected = [
            (1, Value::Number(150)),
            (2, Value::Bytes(&[7, 8])),
            (3, Value::Fixed),
        ];
        assert_eq!(
            found,
            expected.map(|(number, value)| Field { number, value })
        );
        let most = [&[8][..], &[0xff; 9], &[1]].concat();
        assert_eq!(all(&most).unwrap()[0].value, Value::Number(u64::MAX));
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            &[0x08][..],
            &[0x12, 5, 1],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x00, 0],
            &[0x0b],
            &[0x0c],
            &[0x0f],
            &[0x1d, 0],
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[
                8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 1,
            ],
        ] {
            assert!(all(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            all(&[8, 1].repeat(limits::PROTOBUF_FIELDS + 1))
                .unwrap_err()
                .code(),
            "evidence.too_large"
        );
    }
}
