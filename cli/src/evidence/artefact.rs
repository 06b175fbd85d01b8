//! A file as it was found, and every door to what is in it.

use std::path::Path;

use assay_attest::codec::x509::Certificate;
use assay_attest::codec::{edn, spki};
use assay_attest::key::PublicKey;
use serde_json::Value;

use super::{Rejection, encoding, keys};
use crate::fault::Fault;
use crate::files;

/// The largest file that is read: a measured-boot log with a long IMA list is the largest artefact there is.
const LIMIT: usize = 64 * 1024 * 1024;

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Artefact {
    name: String,
    bytes: Vec<u8>,
}

impl Artefact {
    /// Reads it; `-` is standard input.
    ///
    /// # Errors
    /// `file.read`, `file.too_large`.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let bytes = if path == Path::new("-") {
            files::read_stdin(LIMIT)?
        } else {
            files::read(path, LIMIT)?
        };
        Ok(Self::new(&path.display().to_string(), bytes.to_vec()))
    }

    /// Bytes that are at hand already.
    #[must_use]
    pub(crate) fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
        }
    }

    /// What the file is called; its ending may help to tell kinds apart.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The bytes as found.
    #[must_use]
    pub(crate) fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The file as text, where it is text: UTF-8 without control characters but white space.
    #[must_use]
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes)
            .ok()
            .map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
            .filter(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
    }

    /// The bytes behind PEM (its first block), hexadecimal, base64 or base64url; else as found.
    #[must_use]
    pub(crate) fn binary(&self) -> Vec<u8> {
        let Some(text) = self.text() else {
            return self.bytes.clone();
        };
        if let Some(blocks) = encoding::from_pem(text)
            && let Some((_, bytes)) = blocks.into_iter().next()
        {
            return bytes;
        }
        encoding::from_hex(text)
            .or_else(|| encoding::from_base64(text))
            .unwrap_or_else(|| self.bytes.clone())
    }

    /// The file as JSON.
    #[must_use]
    pub(crate) fn json(&self) -> Option<Value> {
        self.text().and_then(|text| serde_json::from_str(text).ok())
    }

    /// Its CBOR: binary in any encoding, or written as diagnostic notation (RFC 8949, 8).
    ///
    /// # Errors
    /// Where it is diagnostic notation that can't be read.
    pub(crate) fn cbor(&self) -> Result<Vec<u8>, Rejection> {
        let bytes = self.binary();
        // Notation is text that is in no encoding; a single character could be either, and is no artefact.
        match self.text() {
            Some(text) if bytes == self.bytes && text.len() > 1 => Ok(edn::to_cbor(text)?),
            _ => Ok(bytes),
        }
    }

    /// Each certificate as DER, in the order of the file: a PEM bundle, one or several DER certificates, or hexadecimal or base64 of those.
    ///
    /// # Errors
    /// `file.no_certificate` where there is none, or something else.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, Rejection> {
        if let Some(blocks) = self.text().and_then(encoding::from_pem) {
            let found: Vec<Vec<u8>> = blocks
                .into_iter()
                .filter(|(label, _)| {
                    matches!(
                        *label,
                        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
                    )
                })
                .map(|(_, der)| der)
                .collect();
            return if found.is_empty() {
                Err(self.no_certificate())
            } else {
                Ok(found)
            };
        }
        let bytes = self.binary();
        let mut found = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (one, after) = der_element(rest).ok_or_else(|| self.no_certificate())?;
            found.push(one.to_vec());
            rest = after;
        }
        if found.is_empty() {
            return Err(self.no_certificate());
        }
        Ok(found)
    }

    /// The public key: SubjectPublicKeyInfo as PEM or DER, a JWK (or a set of one), a COSE_Key, or a certificate's.
    ///
    /// # Errors
    /// `file.no_key` where there is none; `evidence.unsupported` for a kind of key that is not supported.
    pub(crate) fn public_key(&self) -> Result<PublicKey, Rejection> {
        let mut keys = self.public_keys()?;
        match keys.pop() {
            Some((_, key)) if keys.is_empty() => Ok(key),
            Some(_) => Err(Rejection::new(
                "file.many_keys",
                format!(
                    "`{}` holds several keys: give the one that is meant",
                    self.name
                ),
            )),
            None => Err(self.no_key()),
        }
    }

    /// Every public key of the file with its id, where it has one: one, or the members of a JWK set.
    ///
    /// # Errors
    /// As [`Artefact::public_key`].
    pub(crate) fn public_keys(&self) -> Result<Vec<(Vec<u8>, PublicKey)>, Rejection> {
        if let Some(json) = self.json() {
            return keys::from_json(&json).ok_or_else(|| self.no_key());
        }
        if let Some(blocks) = self.text().and_then(encoding::from_pem) {
            for (label, der) in blocks {
                match label {
                    "PUBLIC KEY" => {
                        return Ok(vec![(Vec::new(), spki::parse("the key", &der)?)]);
                    }
                    "CERTIFICATE" => {
                        return Ok(vec![(Vec::new(), Certificate::parse(&der)?.key().clone())]);
                    }
                    _ => {}
                }
            }
            return Err(self.no_key());
        }
        let bytes = self.binary();
        if let Some(key) = keys::from_cose(&bytes) {
            return Ok(vec![key]);
        }
        if let Ok(certificate) = Certificate::parse(&bytes) {
            return Ok(vec![(Vec::new(), certificate.key().clone())]);
        }
        spki::parse("the key", &bytes)
            .map(|key| vec![(Vec::new(), key)])
            .map_err(|refusal| match der_element(&bytes) {
                Some((_, [])) => refusal.into(),
                _ => self.no_key(),
            })
    }

    fn no_certificate(&self) -> Rejection {
        Rejection::new(
            "file.no_certificate",
            format!("`{}` holds no certificates in PEM or DER", self.name),
        )
    }

    fn no_key(&self) -> Rejection {
        Rejection::new(
            "file.no_key",
            format!(
                "`{}` holds no public key: give PEM, DER, a JWK, a COSE_Key or a certificate",
                self.name
            ),
        )
    }
}

/// The first SEQUENCE and what follows it. Definite lengths of at most four bytes.
pub(crate) fn der_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
    if tag != 0x30 {
        return None;
    }
    let (length, head) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let mut length = 0usize;
        for byte in bytes.get(2..2 + count)? {
            length = length.checked_mul(256)?.checked_add(usize::from(*byte))?;
        }
        (length, 2 + count)
    };
    bytes.split_at_checked(head.checked_add(length)?)
}
