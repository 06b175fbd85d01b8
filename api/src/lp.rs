//! Length-prefixed fields: how everything that is hashed, signed or bound in Assay is put together.
//!
//! `lp(x)` is a 4-byte big-endian length followed by x, so that no two lists of fields give the same bytes.

use sha2::{Digest, Sha256};

/// The 4-byte big-endian length of `field`. Everything that comes here is bounded far below 4 GiB.
fn prefix(field: &[u8]) -> [u8; 4] {
    u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// SHA-256 over `lp(f)` for each field in order.
#[must_use]
pub fn digest(fields: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update(prefix(field));
        hash.update(field);
    }
    hash.finalize().into()
}

/// `lp(f)` for each field, joined.
#[must_use]
pub fn join(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len().saturating_add(4)).sum());
    for field in fields {
        push(&mut out, field);
    }
    out
}

/// Adds `lp(field)`.
pub fn push(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&prefix(field));
    out.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_eq!(join(&[b"ab", b""]), b"\0\0\0\x02ab\0\0\0\0");
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"ab"]), digest(&[b"ab", b""]));
        assert_eq!(
            digest(&[b"ab"]),
            <[u8; 32]>::from(Sha256::digest(b"\0\0\0\x02ab"))
        );
    }
}
