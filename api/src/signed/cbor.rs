//! serde over deterministic CBOR (RFC 8949, 4.2.1): one value has one encoding, and no other is read.

use assay_attest::codec::cbor::{Form, decode, encode};
use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes deterministically.
pub(crate) fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    Ok(encode(Value::serialized(value).map_err(|e| e.to_string())?))
}

/// Decodes what [`to_vec`] wrote, and nothing else: bounded, no duplicate keys, no second spelling.
pub(crate) fn from_slice<T: Serialize + DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<T, String> {
    let value = decode(what, bytes, limit, Form::Deterministic).map_err(|e| e.to_string())?;
    let read: T = value.deserialized().map_err(|e| e.to_string())?;
    // serde also takes null for what is absent, and an array for a struct.
    if to_vec(&read)? == bytes {
        Ok(read)
    } else {
        Err("it is not in its one encoding".to_owned())
    }
}

/// Byte strings (major type 2) for `Vec<u8>` and `[u8; N]`.
pub(crate) mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub(crate) fn serialize<S: Serializer, T: AsRef<[u8]>>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value.as_ref())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let bytes = deserializer.deserialize_byte_buf(Bytes)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("a byte string has the wrong length"))
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a byte string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}

/// The same where it may be absent.
pub(crate) mod bytes_option {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer, T: AsRef<[u8]>>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::bytes::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Called only where the field is there.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        super::bytes::deserialize(deserializer).map(Some)
    }
}
