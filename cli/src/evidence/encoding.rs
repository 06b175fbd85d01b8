//! The encodings in which files are found: PEM, hexadecimal, base64 and base64url, with or without padding and line breaks.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// Hexadecimal, with or without `0x`, white space, colons or commas between. `None` for anything else.
#[must_use]
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',')) {
        digits.push_str(
            word.strip_prefix("0x")
                .or_else(|| word.strip_prefix("0X"))
                .unwrap_or(word),
        );
    }
    if digits.is_empty() {
        return None;
    }
    base16ct::mixed::decode_vec(&digits).ok()
}

/// Base64 in either alphabet, padded or not, white space between. `None` for anything else.
#[must_use]
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    let text = text.trim_end_matches('=');
    if text.is_empty() {
        return None;
    }
    if text.contains(['-', '_']) {
        Base64UrlUnpadded::decode_vec(text).ok()
    } else {
        Base64Unpadded::decode_vec(text).ok()
    }
}

/// Each block of a PEM file (RFC 7468): its label and its bytes; text around the blocks is not looked at. `None` where there is no block, or one
/// is broken.
#[must_use]
pub(crate) fn from_pem(text: &str) -> Option<Vec<(&str, Vec<u8>)>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        let after = after.strip_prefix(label)?.strip_prefix("-----")?;
        blocks.push((label, from_base64(body)?));
        rest = after;
    }
    (!blocks.is_empty()).then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        for text in [
            "0102ff",
            "0x0102FF",
            "01 02\nff\n",
            "01:02:FF",
            "0x01, 0x02, 0xff",
        ] {
            assert_eq!(from_hex(text).unwrap(), [1, 2, 255], "{text}");
        }
        for text in ["", " ", "012", "0g", "hello"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
        for text in ["+/8=", "-_8", "+/\n8", "-_8=\n"] {
            assert_eq!(from_base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        for text in ["", "=", "a.b", "{}", "-/8"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn pem_is_whole_or_nothing() {
        let two = "x\n-----BEGIN A-----\nAQI=\n-----END A-----\ny\n-----BEGIN B C-----\nAw==\n-----END B C-----\n";
        assert_eq!(
            from_pem(two).unwrap(),
            [("A", vec![1, 2]), ("B C", vec![3])]
        );
        for cut in 1..two.len() {
            let blocks = from_pem(&two[..cut]).unwrap_or_default();
            assert!(cut > two.len() - 2 || blocks.len() < 2, "{cut}");
        }
        assert_eq!(from_pem("-----BEGIN A-----\nAQI=\n-----END B-----\n"), None);
    }
}
