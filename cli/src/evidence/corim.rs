//! Signed manifests (draft-ietf-rats-corim-11), NVIDIA's older wrapping among them.

use assay_attest::chain::Chain;
use assay_attest::codec::x509::Certificate;
use assay_attest::corim::{Document, SignedCorim, Signer, pem_thumbprint};
use assay_attest::digest::sha256;
use assay_attest::refusal::Refusal;
use assay_attest::time::Timestamp;

use super::corim_claims as shown;
use super::kind::time;
use super::rim_service;
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `corim`.
pub(crate) struct Corim;

impl Kind for Corim {
    fn name(&self) -> &'static str {
        "corim"
    }

    fn about(&self) -> &'static str {
        "A Concise Reference Integrity Manifest (draft-ietf-rats-corim-11) in COSE_Sign1; also in the older wrapping #6.500(#6.502(..)) and with \
         the bare maps that NVIDIA's files have, and in the JSON envelope of NVIDIA's RIM service, whose `sha256` must be right.\n\n\
         --key names the signer's public key, or its certificate, which must then be valid at --at and, where the manifest names the thumbprint \
         of a certificate file, be that one (SHA-256 over the text of the PEM file, as NVIDIA has it). --root names the root of the \
         signer's chain, which the message brings (x5chain) or --chain does; --root-from-chain believes the chain's own root, and says so. The \
         times of signature and manifest count at --at.\n\n\
         Claims: `form` (signed, unsigned), `id`, `sha256` (of the file), `signer`, `signer_uri`, `key_id`, `anchor` (key, file, or the \
         root's digest), `ends` (the earliest end of what was verified), `profile`, `not_before`, `not_after`, `entities`, \
         `dependent_rims`, `relaxed` (where the file departs from the draft) and `tags`: of a CoMID `id`, `version`, \
         `reference_values`, `endorsed_values`, `attest_keys`, `identity_keys` and the numbers of its other triples; CoSWID and tag lists \
         are listed. A measurement has its `key` and `version`, `svn`, `digests`, `flags`, `raw`, `integrity_registers` and so on.\n\n\
         Refused: an unsigned manifest (it is no source of reference values: see `comid` to read one), an unknown profile, what \
         breaks the rules of its profile (PSA, CCA, Parsec, RIoT, EnactTrust, device-spdm), an empty manifest, a tag list whose tags are not \
         there, hash envelopes and detached payloads, maps with a key twice."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Key, Opt::Root, Opt::RootFromChain, Opt::Chain]
    }

    fn detect(&self, file: &Artefact) -> bool {
        if let Some(json) = file.json() {
            return rim_service::format(&json) == Some("CORIM");
        }
        let bytes = file.cbor().unwrap_or_default();
        match Document::parse(&bytes) {
            Ok(Document::Signed(_)) => true,
            // One of a scheme is looked into for what its CoMIDs say: nothing could sign it any more.
            Ok(Document::Unsigned(manifest)) => manifest.profile.is_none(),
            Ok(Document::Comid(..)) => false,
            Err(_) => matches!(bytes.as_slice(), [0xd9, 0x01, 0xf4..=0xf6, ..]),
        }
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let bytes = read(file)?;
        Ok(shown::document(&Document::parse(&bytes)?, &bytes))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let bytes = read(file)?;
        let document = Document::parse(&bytes)?;
        let mut claims = shown::document(&document, &bytes);
        let Document::Signed(signed) = document else {
            return Err(Rejection::from(Refusal::CorimUnsigned).claims(&claims));
        };
        let (anchor, ends) = trust(*signed, with).map_err(|r| r.claims(&claims))?;
        claims.insert("anchor".into(), anchor.into());
        if ends != Timestamp::MAX {
            claims.insert("ends".into(), time(ends));
        }
        Ok(Accepted {
            authenticated: true,
            claims,
        })
    }
}

/// The manifest of a file, out of its envelope.
///
/// # Errors
/// `rim.*`.
pub(crate) fn read(file: &Artefact) -> Result<Vec<u8>, Rejection> {
    match file.json() {
        Some(json) if rim_service::format(&json).is_some() => rim_service::unwrap(&json, "CORIM"),
        Some(_) | None => file.cbor(),
    }
}

/// Who vouches for it, and until when.
fn trust(signed: SignedCorim, with: &With<'_>) -> Result<(String, Timestamp), Rejection> {
    let mut signed = signed;
    if let (Some(chain), true) = (&with.chain, signed.chain().is_empty()) {
        signed = signed.with_chain(chain.certificates()?)?;
    }
    let signer = signer(&signed, with)?;
    let trusted = signed
        .verify(&signer, with.at, with.check)
        .map_err(|refusal| {
            // These are found after the signature has held.
            let held = matches!(
                refusal,
                Refusal::CorimExpired { .. } | Refusal::CorimNotYetValid { .. }
            );
            let rejection = Rejection::from(refusal);
            if held {
                rejection.authenticated()
            } else {
                rejection
            }
        })?;
    let leaf = match &signer {
        Signer::Certificate(certificate) => Some(certificate.der().to_vec()),
        Signer::Roots(_) => signed.chain().first().cloned(),
        Signer::Key(_) => None,
    };
    if let Some(der) = leaf {
        thumbprint(&signed, &der, with.key.as_ref()).map_err(Rejection::authenticated)?;
    }
    Ok((
        trusted.anchor.unwrap_or_else(|| "key".to_owned()),
        trusted.ends,
    ))
}

fn signer(signed: &SignedCorim, with: &With<'_>) -> Result<Signer, Rejection> {
    if let Some(file) = &with.key {
        return Ok(match certificate(file) {
            Some(certificate) => Signer::Certificate(Box::new(certificate)),
            None => Signer::Key(with.public_key()?),
        });
    }
    if with.roots.is_empty() && !with.root_from_chain {
        return Err(Rejection::no_anchor(
            "--key with the signer's key or certificate, or --root with the root of its chain",
        ));
    }
    let certificates = signed.chain().iter().map(Vec::as_slice);
    let chain = match signed.chain() {
        [] => None,
        _ => Some(Chain::parse(
            certificates,
            assay_attest::chain::Order::LeafFirst,
        )?),
    };
    let first = chain
        .as_ref()
        .and_then(|chain| chain.certificates().first());
    Ok(Signer::Roots(with.anchors(&[], first)?))
}

/// The certificate that a file holds, where it holds one and not a mere key.
#[must_use]
pub(crate) fn certificate(file: &Artefact) -> Option<Certificate> {
    let certificates = file.certificates().ok()?;
    Certificate::parse(certificates.first()?).ok()
}

/// Whether a certificate is valid.
///
/// # Errors
/// `chain.expired`, `chain.not_yet_valid`.
pub(crate) fn in_time(certificate: &Certificate, at: Timestamp) -> Result<(), Rejection> {
    if at < certificate.not_before() {
        return Err(Refusal::ChainNotYetValid { index: 0 }.into());
    }
    if at.as_secs() > certificate.not_after().as_secs() {
        return Err(Refusal::ChainExpired { index: 0 }.into());
    }
    Ok(())
}

/// Where the manifest names certificate files by their digests, the signer's must be one of them.
fn thumbprint(signed: &SignedCorim, der: &[u8], file: Option<&Artefact>) -> Result<(), Rejection> {
    let is_certificate = |href: &String| {
        let href = href.to_ascii_lowercase();
        [".pem", ".crt", ".cer", ".der"]
            .iter()
            .any(|end| href.ends_with(end))
    };
    let named: Vec<&[u8]> = signed
        .corim_unverified()
        .dependent
        .iter()
        .filter(|locator| locator.href.iter().any(is_certificate))
        .flat_map(|locator| &locator.thumbprint)
        .filter_map(|digest| digest.known().map(|_| digest.bytes.as_slice()))
        .collect();
    let mut known = vec![pem_thumbprint(der), sha256(&[der])];
    known.extend(file.map(|file| sha256(&[file.raw()])));
    if named.is_empty()
        || known
            .iter()
            .any(|digest| named.contains(&digest.as_slice()))
    {
        Ok(())
    } else {
        Err(Refusal::CorimThumbprint.into())
    }
}

/// The kind `comid`.
pub(crate) struct Comid;

impl Kind for Comid {
    fn name(&self) -> &'static str {
        "comid"
    }

    fn about(&self) -> &'static str {
        "A Concise Module Identifier (draft-ietf-rats-corim-11, 5), with or without tag 506; also an unsigned manifest (#6.501) with its \
         CoMIDs, held to the rules of its profile.\n\n\
         Nothing signs it: it is accepted with `authenticated` false when all of it parses and keeps to its profile, and is no source of \
         reference values by that. No options.\n\n\
         Claims: those of `corim`; of a CoMID alone `form` (comid), `sha256`, `relaxed` and `tags`.\n\n\
         Refused: a signed manifest (verify it as `corim`), an unknown profile, measurement keys of PSA and CCA without their profile, \
         what breaks the rules of its profile, unknown fields, digests of a wrong length, maps with a key twice."
    }

    fn takes(&self) -> &'static [Opt] {
        &[]
    }

    fn detect(&self, file: &Artefact) -> bool {
        let bytes = file.cbor().unwrap_or_default();
        match Document::parse(&bytes) {
            Ok(Document::Comid(..)) => true,
            Ok(Document::Unsigned(manifest)) => manifest.profile.is_some(),
            Ok(Document::Signed(_)) => false,
            Err(_) => matches!(bytes.as_slice(), [0xd9, 0x01, 0xfa, ..]),
        }
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let bytes = file.cbor()?;
        Ok(shown::document(&Document::parse(&bytes)?, &bytes))
    }

    fn verify(&self, file: &Artefact, _: &With<'_>) -> Result<Accepted, Rejection> {
        let bytes = file.cbor()?;
        let document = Document::parse(&bytes)?;
        let claims = shown::document(&document, &bytes);
        match document {
            Document::Signed(_) => Err(Rejection::new(
                "comid.signed",
                "the manifest is signed: verify it with `--kind corim` and its signer's key",
            )
            .claims(&claims)),
            Document::Unsigned(_) | Document::Comid(..) => Ok(Accepted {
                authenticated: false,
                claims,
            }),
        }
    }
}
