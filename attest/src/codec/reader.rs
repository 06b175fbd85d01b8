//! A bounded reader of binary structures.

use crate::refusal::Refusal;

/// Reads forward; every step says where it failed.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, called `what` in refusals.
    #[must_use]
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            bytes,
            rest: bytes,
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.bytes.len().saturating_sub(self.rest.len())
    }

    /// What is being read, for refusals.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] at the offset where the input ended.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Refusal::Truncated {
                what: self.what,
                offset: self.bytes.len(),
            })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let offset = self.bytes.len();
        self.take(N)?
            .try_into()
            .map_err(|_wrong_length| Refusal::Truncated {
                what: self.what,
                offset,
            })
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u8(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// A big-endian u16.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian u32.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian u64.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u64(&mut self) -> Result<u64, Refusal> {
        self.array().map(u64::from_be_bytes)
    }

    /// A little-endian u16.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u16_le(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian u32.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u32_le(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian u64.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    pub fn u64_le(&mut self) -> Result<u64, Refusal> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian u32 length of at most `limit`, and as many bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TooLarge`].
    pub fn sized_u32_le(&mut self, limit: usize) -> Result<&'a [u8], Refusal> {
        let length = self.u32_le()?;
        self.sized(length, limit)
    }

    /// A big-endian u32 length of at most `limit`, and as many bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TooLarge`].
    pub fn sized_u32(&mut self, limit: usize) -> Result<&'a [u8], Refusal> {
        let length = self.u32()?;
        self.sized(length, limit)
    }

    fn sized(&mut self, length: u32, limit: usize) -> Result<&'a [u8], Refusal> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= limit);
        let length = length.ok_or(Refusal::TooLarge {
            what: self.what,
            limit,
        })?;
        self.take(length)
    }

    /// Whether all has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A big-endian u16 length of at most `limit`, and as many bytes (a TPM2B).
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::TooLarge`].
    pub fn sized_u16(&mut self, limit: usize) -> Result<&'a [u8], Refusal> {
        let length = usize::from(self.u16()?);
        if length > limit {
            return Err(Refusal::TooLarge {
                what: self.what,
                limit,
            });
        }
        self.take(length)
    }

    /// Ends here: nothing may follow.
    ///
    /// # Errors
    /// [`Refusal::TrailingBytes`].
    pub const fn finish(&self) -> Result<(), Refusal> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Refusal::TrailingBytes {
                what: self.what,
                offset: self.offset(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_no_more() {
        let mut r = Reader::new("x", &[1, 0, 2, 0xaa, 0xbb, 9]);
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.sized_u16(2), Ok([0xaa, 0xbb].as_slice()));
        assert_eq!(
            r.finish(),
            Err(Refusal::TrailingBytes {
                what: "x",
                offset: 5
            })
        );
        assert_eq!(
            r.u16(),
            Err(Refusal::Truncated {
                what: "x",
                offset: 6
            })
        );
        assert_eq!(r.u8(), Ok(9));
        assert_eq!(r.finish(), Ok(()));
        assert_eq!(
            Reader::new("x", &[0, 3, 1, 2, 3])
                .sized_u16(2)
                .unwrap_err()
                .code(),
            "evidence.too_large"
        );
    }
}
