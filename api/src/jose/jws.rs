//! Compact JWS (RFC 7515, section 7.1).

use std::collections::BTreeMap;

use assay_attest::key::CheckSignature;

use super::{Alg, JoseFault, Json, Jwk, decode, encode};

/// The longest compact JWS that is looked at, in bytes.
pub const MAX_COMPACT: usize = 8 * 1024;

/// A compact JWS of the right shape. Nobody has checked its signature: [`Compact::verify`] is the way to its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact {
    alg: Alg,
    header: BTreeMap<String, Json>,
    payload: Vec<u8>,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl Compact {
    /// Reads header, payload and signature.
    ///
    /// # Errors
    /// Every [`JoseFault`] but `Signature`.
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseFault> {
        if bytes.len() > MAX_COMPACT {
            return Err(JoseFault::TooLarge);
        }
        let text = str::from_utf8(bytes).map_err(|_| JoseFault::Base64)?;
        let mut parts = text.splitn(4, '.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoseFault::Parts);
        };
        if head.is_empty() || body.is_empty() || signature.is_empty() {
            return Err(JoseFault::Parts);
        }
        let header = Json::parse(&decode(head)?)?.into_map()?;
        if header.contains_key("crit") {
            return Err(JoseFault::Critical);
        }
        let alg = Alg::parse(
            header
                .get("alg")
                .and_then(Json::as_text)
                .ok_or(JoseFault::Algorithm)?,
        )?;
        let signed = text
            .get(..head.len().saturating_add(1).saturating_add(body.len()))
            .unwrap_or_default();
        Ok(Self {
            alg,
            header,
            payload: decode(body)?,
            signed: signed.as_bytes().to_vec(),
            signature: decode(signature)?
                .try_into()
                .map_err(|_| JoseFault::Signature)?,
        })
    }

    /// The algorithm that the header states.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        self.alg
    }

    /// The header's members. Hints, all of them.
    #[must_use]
    pub const fn header(&self) -> &BTreeMap<String, Json> {
        &self.header
    }

    /// The payload, which nobody has vouched for yet.
    #[must_use]
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature by `key` and hands out the payload.
    ///
    /// # Errors
    /// [`JoseFault::Algorithm`] where the header's algorithm is not the key's, [`JoseFault::Signature`].
    pub fn verify(&self, key: &Jwk, checks: &dyn CheckSignature) -> Result<&[u8], JoseFault> {
        if self.alg != key.alg() {
            return Err(JoseFault::Algorithm);
        }
        key.check(checks, &self.signed, &self.signature)?;
        Ok(&self.payload)
    }
}

/// Builds a compact JWS: `sign` gets the signing input and gives the 64-byte signature.
///
/// # Errors
/// What `sign` says.
pub fn build<E>(
    header: &[u8],
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<String, E> {
    let mut text = format!("{}.{}", encode(header), encode(payload));
    let signature = sign(text.as_bytes())?;
    text.push('.');
    text.push_str(&encode(&signature));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::SoftwareChecks;
    use crate::signer::{Ed25519Signer, RequestSigner};
    use proptest::prelude::*;

    const RFC8037: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn signer() -> Ed25519Signer {
        let seed = decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        Ed25519Signer::from_seed(&seed.try_into().unwrap(), None)
    }

    #[test]
    fn the_example_of_rfc_8037_verifies_and_is_what_we_make() {
        let signer = signer();
        let jws = Compact::parse(RFC8037.as_bytes()).unwrap();
        assert_eq!(
            jws.verify(signer.jwk(), &SoftwareChecks).unwrap(),
            b"Example of Ed25519 signing"
        );
        let made = build(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", |m| {
            signer.sign(m)
        })
        .unwrap();
        assert_eq!(made, RFC8037);
        let other = Jwk::ed25519([3; 32]);
        assert_eq!(
            jws.verify(&other, &SoftwareChecks),
            Err(JoseFault::Signature)
        );
    }

    #[test]
    fn shapes_that_are_refused() {
        let [head, body, sig] = RFC8037.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let with = |header: &str| format!("{}.{body}.{sig}", encode(header.as_bytes()));
        for (bad, fault) in [
            (format!("{head}.{body}"), JoseFault::Parts),
            (format!("{head}.{body}.{sig}.x"), JoseFault::Parts),
            (format!("{head}..{sig}"), JoseFault::Parts),
            (format!("{head}.{body}."), JoseFault::Parts),
            (format!("{head}.{body}.{sig},{RFC8037}"), JoseFault::Parts),
            (format!("{head}=.{body}.{sig}"), JoseFault::Base64),
            (format!("{head}.{body}.{sig}\n"), JoseFault::Base64),
            (
                format!("{head}.{body}.{}", &sig[..84]),
                JoseFault::Signature,
            ),
            (with(r#"{"alg":"none"}"#), JoseFault::Algorithm),
            (with(r#"{"typ":"x"}"#), JoseFault::Algorithm),
            (with(r#"{"alg":["EdDSA"]}"#), JoseFault::Algorithm),
            (
                with(r#"{"alg":"EdDSA","alg":"EdDSA"}"#),
                JoseFault::Duplicate,
            ),
            (
                with(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#),
                JoseFault::Critical,
            ),
            (with(r#"{"alg":"EdDSA","crit":[]}"#), JoseFault::Critical),
            (with("[]"), JoseFault::Json),
            ("x".repeat(MAX_COMPACT + 1), JoseFault::TooLarge),
            (".".repeat(MAX_COMPACT), JoseFault::Parts),
        ] {
            assert_eq!(Compact::parse(bad.as_bytes()), Err(fault), "{bad}");
        }
    }

    #[test]
    fn an_algorithm_that_is_not_the_keys_is_refused() {
        let signer = signer();
        let jws = build(br#"{"alg":"ES256"}"#, b"x", |m| signer.sign(m)).unwrap();
        let jws = Compact::parse(jws.as_bytes()).unwrap();
        assert_eq!(
            jws.verify(signer.jwk(), &SoftwareChecks),
            Err(JoseFault::Algorithm)
        );
    }

    proptest! {
        #[test]
        fn one_character_changed_is_refused(at in 0..RFC8037.len(), by in "[A-Za-z0-9_.=-]") {
            let mut text = RFC8037.to_owned();
            text.replace_range(at..=at, &by);
            let key = signer().jwk().clone();
            let verified = Compact::parse(text.as_bytes()).and_then(|j| j.verify(&key, &SoftwareChecks).map(<[u8]>::to_vec));
            prop_assert_eq!(verified.is_ok(), text == RFC8037);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Compact::parse(&bytes);
        }
    }
}
