//! Attestation documents of AWS Nitro enclaves: a COSE_Sign1 whose payload brings its own certificates.

use assay_attest::codec::cbor::Value as Cbor;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::time::Timestamp;
use serde_json::json;

use super::super::claimset::{ClaimSet, Wrap};
use super::super::kind::{hex, time};
use super::super::{Accepted, Claims, Rejection, With, cose, trust};
use super::{malformed, missing};

/// Certificates of one bundle.
const BUNDLE: usize = 8;

/// A document, its claims of the shape that AWS gives them.
struct Document<'a> {
    module: &'a str,
    timestamp: Timestamp,
    pcrs: Vec<(u8, Digest)>,
    /// Leaf first.
    certificates: Vec<Vec<u8>>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

pub(super) fn looks_like_one(set: &ClaimSet) -> bool {
    set.cbor
        .as_ref()
        .is_some_and(|cbor| get(cbor, "module_id").is_some() && get(cbor, "pcrs").is_some())
}

pub(super) fn describe(set: &ClaimSet) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), set.form().into());
    claims.insert("profile".into(), "aws-nitro".into());
    match Document::read(set) {
        Ok(document) => document.describe(&mut claims),
        Err(rejection) => {
            claims.insert(
                "fault".into(),
                json!({"code": rejection.code, "message": rejection.message}),
            );
        }
    }
    claims
}

pub(super) fn verify(set: &ClaimSet, with: &With<'_>) -> Result<Accepted, Rejection> {
    let mut claims = describe(set);
    let Wrap::Cwt(message) = &set.wrap else {
        return Err(
            Rejection::new("token.unsigned", "nothing signs the attestation document")
                .claims(&claims),
        );
    };
    let refuse = |rejection: Rejection| rejection.claims(&claims);
    let document = Document::read(set).map_err(refuse)?;
    let signature = message
        .signatures()
        .first()
        .ok_or_else(|| missing("signature"))?;
    let signer = if with.roots.is_empty() && !with.root_from_chain {
        cose::signed_by(with, message, signature, &[], None).map_err(refuse)?
    } else {
        let leaf = trust::leaf(with, &document.certificates).map_err(refuse)?;
        message
            .verify(signature, &leaf.key, &[], None, with.check)
            .map_err(|refusal| refuse(refusal.into()))?;
        if with.key.is_some() && with.public_key()? != leaf.key {
            return Err(refuse(Rejection::new(
                "cose.signature",
                "the document's leaf has another key than the one given",
            )));
        }
        leaf.claims
    };
    claims.extend(signer);
    let refuse = |rejection: Rejection| rejection.authenticated().claims(&claims);
    with.answers(document.nonce).map_err(refuse)?;
    if document.timestamp > with.at.plus_millis(60_000) {
        return Err(refuse(Rejection::new(
            "token.issued_in_future",
            "the document was made after the time for which it is verified",
        )));
    }
    let nonce = match (&with.nonce, document.nonce) {
        (Some(_), _) => "matches",
        (None, Some(_)) => "unchecked",
        (None, None) => "none",
    };
    claims.insert(
        "freshness".into(),
        json!({"issued_at": time(document.timestamp), "nonce": nonce, "proven": true}),
    );
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

impl<'a> Document<'a> {
    /// The syntax of AWS's specification: module_id not empty, digest SHA384, pcrs 1 to 32, a certificate and a bundle that is not empty, optional
    /// members up to 1024 bytes (null counts as absent).
    fn read(set: &'a ClaimSet) -> Result<Self, Rejection> {
        let cbor = set.cbor.as_ref().ok_or_else(|| missing("module_id"))?;
        let find = |name: &str| get(cbor, name).ok_or_else(|| missing(name));
        let module = find("module_id")?
            .as_text()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| malformed("module_id"))?;
        if find("digest")?.as_text() != Some("SHA384") {
            return Err(malformed("digest"));
        }
        let millis = find("timestamp")?
            .as_integer()
            .and_then(|number| u64::try_from(i128::from(number)).ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| malformed("timestamp"))?;
        let mut pcrs = Vec::new();
        for (index, value) in find("pcrs")?.as_map().ok_or_else(|| malformed("pcrs"))? {
            let index = index
                .as_integer()
                .and_then(|index| u8::try_from(i128::from(index)).ok())
                .filter(|index| *index < 32)
                .ok_or_else(|| malformed("pcrs"))?;
            let digest = value
                .as_bytes()
                .and_then(|bytes| Digest::new(HashAlg::Sha384, bytes))
                .ok_or_else(|| malformed("pcrs"))?;
            pcrs.push((index, digest));
        }
        if pcrs.is_empty() {
            return Err(malformed("pcrs"));
        }
        pcrs.sort();
        let mut certificates = vec![
            find("certificate")?
                .as_bytes()
                .cloned()
                .ok_or_else(|| malformed("certificate"))?,
        ];
        let bundle = find("cabundle")?
            .as_array()
            .filter(|all| (1..=BUNDLE).contains(&all.len()))
            .ok_or_else(|| malformed("cabundle"))?;
        for one in bundle.iter().rev() {
            certificates.push(
                one.as_bytes()
                    .cloned()
                    .ok_or_else(|| malformed("cabundle"))?,
            );
        }
        let optional = |name: &str| match get(cbor, name) {
            None | Some(Cbor::Null) => Ok(None),
            Some(Cbor::Bytes(bytes)) if bytes.len() <= 1024 => Ok(Some(bytes.as_slice())),
            Some(_) => Err(malformed(name)),
        };
        Ok(Self {
            module,
            timestamp: Timestamp::from_millis(millis),
            pcrs,
            certificates,
            public_key: optional("public_key")?,
            user_data: optional("user_data")?,
            nonce: optional("nonce")?,
        })
    }

    fn describe(&self, claims: &mut Claims) {
        claims.insert("module_id".into(), self.module.into());
        claims.insert("timestamp".into(), time(self.timestamp));
        let pcrs: Claims = self
            .pcrs
            .iter()
            .filter(|(_, digest)| digest.bytes().iter().any(|byte| *byte != 0))
            .map(|(index, digest)| (index.to_string(), digest.to_string().into()))
            .collect();
        claims.insert("pcrs".into(), pcrs.into());
        claims.insert("certificates".into(), self.certificates.len().into());
        // AWS: an enclave that runs in debug mode has zeroes in place of its measurements, and its memory can be read.
        let measured = |index: u8| {
            self.pcrs
                .iter()
                .any(|(found, digest)| *found == index && digest.bytes().iter().any(|b| *b != 0))
        };
        claims.insert("debug".into(), (!(0..=2).any(measured)).into());
        for (name, value) in [
            ("public_key", self.public_key),
            ("user_data", self.user_data),
            ("nonce", self.nonce),
        ] {
            if let Some(bytes) = value {
                claims.insert(name.into(), hex(bytes).into());
            }
        }
    }
}

fn get<'a>(of: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    of.as_map()?
        .iter()
        .find(|(label, _)| label.as_text() == Some(name))
        .map(|(_, value)| value)
}
