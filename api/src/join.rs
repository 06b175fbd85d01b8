//! What is signed when a person joins (design section 6): purpose, server, challenge and key, so that an answer serves
//! for nothing else.

/// Domain separation of this signature.
const DOMAIN: &[u8] = b"assay/join/1";

/// The bytes that the new key signs: `lp(domain) lp(purpose) lp(nexus id) lp(challenge) lp(key thumbprint)`, where `lp(x)` is
/// a 4-byte big-endian length followed by x.
///
/// `purpose` is `bootstrap` or `invite`, `nexus_id` and `thumbprint` (RFC 7638) are 32 bytes.
#[must_use]
pub fn challenge_bytes(
    purpose: &str,
    nexus_id: &[u8; 32],
    challenge: &[u8],
    thumbprint: &[u8; 32],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    for part in [DOMAIN, purpose.as_bytes(), nexus_id, challenge, thumbprint] {
        // A part is at most a few dozen bytes; a length that does not fit 32 bits can't occur.
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::challenge_bytes;

    #[test]
    fn parts_do_not_run_together() {
        let a = challenge_bytes("invite", &[1; 32], b"xy", &[2; 32]);
        let b = challenge_bytes("invit", &[1; 32], b"exy", &[2; 32]);
        assert_ne!(a, b);
        assert_eq!(&a[..4], &[0, 0, 0, 12]);
    }
}
