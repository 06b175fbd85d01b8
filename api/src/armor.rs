//! Signed documents as files that people carry: one line of base64url, so that they survive a terminal and a mail.

use base64ct::{Base64UrlUnpadded, Encoding};

/// CBOR tag 18 in one byte: how a COSE_Sign1 of ours begins (RFC 9052, 4.2).
const SIGN1: u8 = 0xd2;

/// The line of a document, with its end.
#[must_use]
pub fn write(document: &[u8]) -> String {
    format!("{}\n", Base64UrlUnpadded::encode_string(document))
}

/// The document in a file: as [`write()`] wrote it, or the bare bytes. `None` where it is neither.
#[must_use]
pub fn read(file: &[u8]) -> Option<Vec<u8>> {
    if file.first() == Some(&SIGN1) {
        return Some(file.to_vec());
    }
    let text = std::str::from_utf8(file).ok()?;
    Base64UrlUnpadded::decode_vec(text.trim())
        .ok()
        .filter(|bytes| bytes.first() == Some(&SIGN1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_and_others_do_not() {
        let document = [SIGN1, 1, 2, 255];
        assert_eq!(read(&document).unwrap(), document);
        assert_eq!(read(write(&document).as_bytes()).unwrap(), document);
        for other in [&b""[..], b"\xff", b"AAAA", b"0gEC/w", b"not it"] {
            assert_eq!(read(other), None);
        }
    }
}
