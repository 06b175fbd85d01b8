//! base64url without padding (RFC 4648, section 5), one spelling per value.

use super::JoseFault;
use base64ct::{Base64UrlUnpadded, Encoding};

/// Writes bytes as base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Reads base64url: no padding, no white space, no bits left over.
///
/// # Errors
/// [`JoseFault::Base64`].
pub fn decode(text: &str) -> Result<Vec<u8>, JoseFault> {
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| JoseFault::Base64)?;
    // The decoder's own check of the last character is not part of its promise; ours is.
    if encode(&bytes) == text {
        Ok(bytes)
    } else {
        Err(JoseFault::Base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling_only() {
        assert_eq!(decode("_-8").unwrap(), [0xff, 0xef]);
        for bad in ["_-9", "_-8=", "_-8 ", "_-8\n", "/+8", "A", "_-\u{e9}"] {
            assert_eq!(decode(bad), Err(JoseFault::Base64), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_is_what_was_encoded(text in "[A-Za-z0-9_=+/-]{0,12}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(read) = decode(&text) {
                prop_assert_eq!(encode(&read), text);
            }
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }
    }
}
