//! COSE signatures (RFC 9052): COSE_Sign1 and COSE_Sign.

use assay_attest::codec::cbor;
use assay_attest::codec::cose_sign::{Message, Signature, header};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::HashAlg;
use serde_json::{Value, json};

use super::kind::hex;
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With, encoding, trust};

/// A payload up to this length is shown whole.
const SHOWN: usize = 1024;

/// The kind `cose`.
pub(crate) struct Cose;

/// A message and what belongs to it but is not in it.
struct Source {
    message: Message,
    /// External data of each signature; those without have none.
    aad: Vec<Vec<u8>>,
    detached: Option<Vec<u8>>,
}

impl Kind for Cose {
    fn name(&self) -> &'static str {
        "cose"
    }

    fn about(&self) -> &'static str {
        "A COSE_Sign1 or COSE_Sign (RFC 9052), tagged or not, as CBOR, hex, base64 or diagnostic notation, or as a test case of \
         cose-wg/Examples (its `output.cbor`, with the external data that its `input` names). With --signature FILE is the detached payload, \
         and --signature the message.\n\n\
         Give --key with the signer's public key, or --root with the root of the certificates that the message brings in x5chain or x5bag \
         (--chain adds certificates; a certificate given as root that is the signer's own vouches for it alone), or --root-from-chain to believe the \
         topmost that it brings. With both --key and --root both must hold. Of several signers one that verifies is enough; the claims say \
         which.\n\n\
         The key decides the family of algorithms: ES256, ES384 and ES512 with P-256, P-384 and P-521 (RFC 9053 leaves the curve open), ESP256, ESP384 and ESP512 with their own curve, EdDSA with Ed25519, PS256, PS384 and PS512 with RSA. An empty \
         protected map counts as none. A critical header that is not understood, a label in both buckets and a tag that is not 18 or 98 (but \
         for 61 and 55799 around it) are refused; counter signatures are not looked at; x5u is never followed.\n\n\
         Claims: `form` (sign1, sign), `tagged`, `content_type`, `payload_size`, `payload_sha256`, `payload` (hex, up to 1024 bytes), `payload_text`, \
         `signatures`, each with `algorithm`, `key_id` (hex), `key_id_text`, `certificates` (how many it brings), `x5u`, `external_aad` (hex) and, once verified, \
         `verified`, `anchor`, `leaf_spki_sha256`, `chain_length`, `chain_ends`; `signer`, the index of the signature that was accepted."
    }

    fn takes(&self) -> &'static [Opt] {
        &[
            Opt::Key,
            Opt::Root,
            Opt::Chain,
            Opt::RootFromChain,
            Opt::Signature,
        ]
    }

    fn detect(&self, file: &Artefact) -> bool {
        read(file, None).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(describe(&read(file, None)?))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let source = read(file, with.signature.as_ref())?;
        let mut claims = describe(&source);
        let mut first = None;
        let mut signer = None;
        for (index, signature) in source.message.signatures().iter().enumerate() {
            let aad = source.aad.get(index).map_or(&[][..], Vec::as_slice);
            let outcome = signed_by(
                with,
                &source.message,
                signature,
                aad,
                source.detached.as_deref(),
            );
            let one = claims
                .get_mut("signatures")
                .and_then(|all| all.get_mut(index))
                .and_then(Value::as_object_mut);
            if let Some(one) = one {
                one.insert("verified".into(), outcome.is_ok().into());
            }
            match (outcome, one_more(&mut claims, index)) {
                (Ok(chain), Some(one)) => {
                    one.extend(chain);
                    signer.get_or_insert(index);
                }
                (Err(rejection), _) => {
                    first.get_or_insert(rejection);
                }
                (Ok(_), None) => {}
            }
        }
        match (signer, first) {
            (Some(index), _) => {
                claims.insert("signer".into(), json!(index));
                Ok(Accepted {
                    authenticated: true,
                    claims,
                })
            }
            (None, Some(rejection)) => Err(rejection.claims(&claims)),
            (None, None) => Err(Rejection::new("cose.signature", "it has no signature")),
        }
    }
}

fn one_more(claims: &mut Claims, index: usize) -> Option<&mut Claims> {
    claims
        .get_mut("signatures")?
        .get_mut(index)?
        .as_object_mut()
}

/// Shows that a signature was made by whom the caller believes. Gives what the chain says, where there was one.
///
/// # Errors
/// `verify.no_anchor`, `cose.*`, `chain.*`.
pub(crate) fn signed_by(
    with: &With<'_>,
    message: &Message,
    signature: &Signature,
    aad: &[u8],
    detached: Option<&[u8]>,
) -> Result<Claims, Rejection> {
    let by_chain = with.root_from_chain || !with.roots.is_empty();
    if with.key.is_none() && !by_chain {
        return Err(Rejection::no_anchor(
            "--key with the signer's public key, or --root with the root of its certificate",
        ));
    }
    if let Some(file) = &with.key {
        let keys = file.public_keys()?;
        let named = signature.headers().key_id();
        let several = keys.len() > 1;
        let mut outcome = Err(Rejection::new(
            "cose.key_unknown",
            "none of the keys given has the id that the signature names",
        ));
        for (id, key) in &keys {
            if several && !id.is_empty() && named.is_some_and(|named| named != id) {
                continue;
            }
            outcome = message
                .verify(signature, key, aad, detached, with.check)
                .map_err(Rejection::from);
            if outcome.is_ok() {
                break;
            }
        }
        outcome?;
    }
    if !by_chain {
        return Ok(Claims::new());
    }
    let mut last = Rejection::new(
        "chain.no_certificate",
        "the message brings no certificate: give --chain, or --key",
    );
    for certificates in paths(with, message, signature)? {
        match trust::leaf(with, &certificates) {
            Ok(leaf) => {
                return match message.verify(signature, &leaf.key, aad, detached, with.check) {
                    Ok(()) => Ok(leaf.claims),
                    Err(refusal) => Err(refusal.into()),
                };
            }
            Err(rejection) => last = rejection,
        }
    }
    Err(last)
}

/// The chains that may lead from the signer upwards, leaf first: x5chain as it stands, x5bag from each of its certificates that is no CA.
fn paths(
    with: &With<'_>,
    message: &Message,
    signature: &Signature,
) -> Result<Vec<Vec<Vec<u8>>>, Rejection> {
    let further = match &with.chain {
        Some(file) => file.certificates()?,
        None => Vec::new(),
    };
    let of = |label| -> Result<Vec<Vec<u8>>, Rejection> {
        let own = signature.headers().certificates(label)?;
        if own.is_empty() {
            return Ok(message.headers().certificates(label)?);
        }
        Ok(own)
    };
    let mut chain = of(header::X5CHAIN)?;
    let bag = of(header::X5BAG)?;
    if chain.is_empty() && bag.is_empty() {
        return Ok(if further.is_empty() {
            Vec::new()
        } else {
            vec![further]
        });
    }
    if !chain.is_empty() {
        chain.extend(further);
        return Ok(vec![chain]);
    }
    let bag = bag
        .iter()
        .chain(&further)
        .map(|der| Certificate::parse(der))
        .collect::<Result<Vec<_>, _>>()?;
    let is_leaf = |one: &&Certificate| !one.basic_constraints().is_some_and(|c| c.ca);
    Ok(bag
        .iter()
        .filter(is_leaf)
        .map(|leaf| trust::path(leaf, &bag))
        .collect())
}

fn read(file: &Artefact, signature: Option<&Artefact>) -> Result<Source, Rejection> {
    if let Some(signature) = signature {
        return Ok(Source {
            message: Message::parse(&signature.cbor()?)?,
            aad: Vec::new(),
            detached: Some(file.raw().to_vec()),
        });
    }
    if let Some(case) = file.json() {
        return test_case(&case);
    }
    Ok(Source {
        message: Message::parse(&file.cbor()?)?,
        aad: Vec::new(),
        detached: None,
    })
}

/// A test case as cose-wg/Examples writes it.
fn test_case(case: &Value) -> Result<Source, Rejection> {
    let unknown = || {
        Rejection::new(
            "cose.not_a_message",
            "the json is no test case with `input` and `output.cbor`",
        )
    };
    let hex_of = |value: &Value| value.as_str().and_then(encoding::from_hex);
    let input = case.get("input").ok_or_else(unknown)?;
    let output = case
        .get("output")
        .and_then(|output| output.get("cbor"))
        .and_then(hex_of)
        .ok_or_else(unknown)?;
    let signers: Vec<&Value> = match (input.get("sign0"), input.get("sign")) {
        (Some(one), _) => vec![one],
        (None, Some(sign)) => sign
            .get("signers")
            .and_then(Value::as_array)
            .map(|all| all.iter().collect())
            .ok_or_else(unknown)?,
        (None, None) => return Err(unknown()),
    };
    let aad = signers
        .into_iter()
        .map(|signer| match signer.get("external") {
            None => Ok(Vec::new()),
            Some(external) => hex_of(external).ok_or_else(unknown),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Source {
        message: Message::parse(&output)?,
        aad,
        detached: None,
    })
}

fn describe(source: &Source) -> Claims {
    let message = &source.message;
    let mut claims = Claims::new();
    claims.insert(
        "form".into(),
        if message.is_single() { "sign1" } else { "sign" }.into(),
    );
    claims.insert("tagged".into(), message.tag().is_some().into());
    match message.headers().get(header::CONTENT_TYPE) {
        Some(cbor::Value::Text(text)) => {
            claims.insert("content_type".into(), text.clone().into());
        }
        Some(cbor::Value::Integer(number)) => {
            let number = i64::try_from(i128::from(*number)).unwrap_or(-1);
            claims.insert("content_type".into(), number.into());
        }
        _ => {}
    }
    if let Some(payload) = message.payload().or(source.detached.as_deref()) {
        claims.insert("payload_size".into(), payload.len().into());
        let digest = HashAlg::Sha256.hash(&[payload]);
        claims.insert("payload_sha256".into(), hex(digest.bytes()).into());
        if payload.len() <= SHOWN {
            claims.insert("payload".into(), hex(payload).into());
            if let Some(text) = Artefact::new("", payload.to_vec()).text()
                && !text.is_empty()
            {
                claims.insert("payload_text".into(), text.into());
            }
        }
    }
    let signatures: Vec<Value> = message
        .signatures()
        .iter()
        .enumerate()
        .map(|(index, signature)| {
            let aad = source.aad.get(index).map_or(&[][..], Vec::as_slice);
            describe_one(message, signature, aad)
        })
        .collect();
    claims.insert("signatures".into(), signatures.into());
    claims
}

fn describe_one(message: &Message, signature: &Signature, aad: &[u8]) -> Value {
    let headers = signature.headers();
    let mut one = Claims::new();
    one.insert("algorithm".into(), json!(headers.algorithm()));
    if let Some(id) = headers.key_id() {
        one.insert("key_id".into(), hex(id).into());
        if let Some(text) = Artefact::new("", id.to_vec()).text() {
            one.insert("key_id_text".into(), text.into());
        }
    }
    let count: usize = [header::X5CHAIN, header::X5BAG]
        .into_iter()
        .map(|label| {
            let own = headers.certificates(label).map_or(0, |all| all.len());
            let outer = message
                .headers()
                .certificates(label)
                .map_or(0, |all| all.len());
            own.max(outer)
        })
        .sum();
    one.insert("certificates".into(), count.into());
    let x5u = headers.get(header::X5U).map(|value| match value {
        cbor::Value::Tag(32, inner) => inner.as_text().unwrap_or_default().to_owned(),
        other => other.as_text().unwrap_or_default().to_owned(),
    });
    if let Some(x5u) = x5u {
        one.insert("x5u".into(), x5u.into());
    }
    if !aad.is_empty() {
        one.insert("external_aad".into(), hex(aad).into());
    }
    Value::Object(one)
}
