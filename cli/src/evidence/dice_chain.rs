//! DICE chains of X.509 certificates, requests for certificates, and bare extensions.

use assay_attest::chain::{Anchor, Usage};
use assay_attest::codec::dice::{DiceLayout, LayerInfo};
use assay_attest::evidence::dice::{DiceIdentity, layers};
use assay_attest::refusal::Refusal;
use serde_json::{Value, json};

use super::kind::{anchor_name, hex, time};
use super::path::{self, Path};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `dice-chain`.
pub(crate) struct DiceChain;

impl Kind for DiceChain {
    fn name(&self) -> &'static str {
        "dice-chain"
    }

    fn about(&self) -> &'static str {
        "A chain of DICE certificates: NVIDIA's (BlueField, GPU, NVSwitch), TCG's (DiceTcbInfo, DiceMultiTcbInfo, UEID; Caliptra, Oxide), RIoT's. \
         PEM or DER, one after the other, leaf first or root first (told by the issuers' names; any other order is refused), or JSON with PEM in \
         its texts (a device fixture, Redfish's CertificateString, NVIDIA's evidence). Also one trust anchor, one certification request, or \
         one bare CompositeDeviceID.\n\n\
         A chain is an identity, never a proof: whoever has seen it can show it. NVIDIA's device root is built in; --root names others \
         (engineering and debug roots among them), --key the issuer's public key where its certificate is not published (a certification \
         request will do), --chain brings certificates that the file lacks, --root-from-chain believes the file's own root and says so \
         (`anchor` is `file`). A chain to NVIDIA's root, or one with RIoT's or NVIDIA's extensions, must be whole: root, model, \
         provisioner, device, and below it layers that each name their firmware, the last of them no CA. Any other may end in a CA (the \
         alias model), and a single certificate is held against --root or --key alone. --reference takes revocation lists and OCSP \
         answers (DER or PEM): they must be signed by the issuer or one whom it named, and count for a week past their nextUpdate.\n\n\
         Claims: `form` (chain, request, extension), `order`, `certificates` (subject, issuer, serial, dates, fingerprint, key, and as \
         far as stated `ueid`, `layout`, `fwids`, `flags`, `tcb`, `inputs`), `anchor`, `anchor_kind`, `ends`, `device_key` (SHA-256 of the \
         stable layer's key), `leaf_key`, `measurements` (always false: a chain measures nothing), `revocation`; of a request \
         `proof_of_possession`.\n\n\
         Refused: a layer that is notSecure, in recovery or in debug (`dice.flags`, authenticated; notConfigured and other flags lower trust and \
         stand in `lowered_by`: real parts ship with them); a certificate on hold \
         (`chain.on_hold`) or revoked (`chain.revoked`). A request proves possession only, so it is accepted with `authenticated` false \
         unless --key is its key; so is a bare extension, which no signature covers."
    }

    fn takes(&self) -> &'static [Opt] {
        &[
            Opt::Chain,
            Opt::Root,
            Opt::Key,
            Opt::Reference,
            Opt::RootFromChain,
        ]
    }

    fn detect(&self, file: &Artefact) -> bool {
        if bare(file).is_some() || path::request(file).is_some() {
            return true;
        }
        if let Ok(ders) = path::certificates(file) {
            let Ok(path) = Path::of(&ders) else {
                return false;
            };
            return path.certificates.iter().any(|certificate| {
                let extensions = certificate.extensions();
                extensions
                    .iter()
                    .any(|extension| extension.oid.to_string().starts_with("2.23.133.5.4."))
                    || certificate.spki() == Anchor::nvidia_device_identity().spki()
            });
        }
        false
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        if let Some(claims) = bare(file) {
            return Ok(claims);
        }
        if let Some(request) = path::request(file) {
            return Ok(request_claims(&request));
        }
        let path = Path::of(&path::certificates(file)?)?;
        Ok(chain_claims(&path))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        if let Some(claims) = bare(file) {
            return unsigned(claims, with);
        }
        if let Some(request) = path::request(file) {
            return verify_request(&request, with);
        }
        let path = Path::of(&path::certificates(file)?)?;
        let claims = chain_claims(&path);
        verify_chain(path, with).map_err(|rejection| {
            if rejection.claims.is_empty() {
                rejection.claims(&claims)
            } else {
                rejection
            }
        })
    }
}

fn unsigned(claims: Claims, with: &With<'_>) -> Result<Accepted, Rejection> {
    if with.key.is_some() || !with.roots.is_empty() || with.root_from_chain {
        return Err(Rejection::new(
            "dice.no_signature",
            "a bare extension is covered by no signature: give the certificate that holds it",
        )
        .claims(&claims));
    }
    Ok(Accepted {
        authenticated: false,
        claims,
    })
}

fn verify_request(
    request: &assay_attest::codec::csr::Request,
    with: &With<'_>,
) -> Result<Accepted, Rejection> {
    let mut claims = request_claims(request);
    if request.verify(with.check).is_err() {
        claims.insert("proof_of_possession".into(), false.into());
        return Err(path::request_signature().claims(&claims));
    }
    claims.insert("proof_of_possession".into(), true.into());
    let authenticated = match &with.key {
        None => false,
        Some(file) => {
            if path::key_of(file, with)? != *request.key() {
                return Err(Rejection::new(
                    "request.other_key",
                    "the certification request is of another key than --key",
                )
                .claims(&claims));
            }
            true
        }
    };
    Ok(Accepted {
        authenticated,
        claims,
    })
}

fn verify_chain(path: Path, with: &With<'_>) -> Result<Accepted, Rejection> {
    let built_in = [Anchor::nvidia_device_identity()];
    let path = path.extended(with)?;
    let anchors = path.anchors(with, &built_in)?;
    let named = with.key.is_some() || !with.roots.is_empty() || with.root_from_chain;
    let chain = path.chain()?;
    let strict = is_whole(&path);
    let usage = if strict { Usage::Dice } else { Usage::Layers };
    let verified = chain
        .verify(&anchors, usage, with.at, with.check)
        .map_err(|refusal| match refusal {
            Refusal::ChainNoAnchor if !named => Rejection::no_anchor("--root, --key or --chain"),
            other => other.into(),
        })?;
    let mut claims = chain_claims(&path);
    claims.insert("anchor".into(), anchor_name(verified.anchor()));
    let kind = verified.anchor().kind().as_str();
    claims.insert("anchor_kind".into(), kind.into());
    claims.insert("ends".into(), time(verified.ends()));
    let leaf = hex(&verified.leaf().spki_sha256());
    claims.insert("leaf_key".into(), format!("sha256:{leaf}").into());
    let authentic =
        |rejection: Rejection, claims: &Claims| rejection.authenticated().claims(claims);
    let read = layers(&verified).map_err(|refusal| authentic(refusal.into(), &claims))?;
    if strict {
        let identity = DiceIdentity::verify(&chain, &anchors, with.at, with.check)
            .map_err(|refusal| authentic(refusal.into(), &claims))?;
        let device = hex(&identity.device_key());
        claims.insert("device_key".into(), format!("sha256:{device}").into());
    }
    let mut all = 0;
    for (index, layer) in read.iter().enumerate() {
        let tcb = layer.info.iter().flat_map(|info| &info.tcb);
        let flags = tcb.fold(0, |all, tcb| all | tcb.flags);
        all |= flags;
        path::closed(index, flags).map_err(|rejection| rejection.claims(&claims))?;
    }
    path::lowered(all, &mut claims);
    match path::revocation(&verified, with) {
        Ok(None) => {}
        Ok(Some(known)) => {
            claims.insert("revocation".into(), known);
        }
        Err(rejection) => return Err(rejection.claims(&claims)),
    }
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

/// Whether the chain has to be whole: NVIDIA's shape, told by its root or its extensions.
fn is_whole(path: &Path) -> bool {
    if path.certificates.len() < 2 {
        return false;
    }
    let nvidia = Anchor::nvidia_device_identity();
    path.certificates.iter().any(|certificate| {
        certificate.spki() == nvidia.spki()
            || matches!(
                LayerInfo::of(0, certificate),
                Ok(Some(LayerInfo {
                    layout: DiceLayout::Riot | DiceLayout::NvidiaTcbInfo,
                    ..
                }))
            )
    })
}

fn chain_claims(path: &Path) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), "chain".into());
    claims.insert("order".into(), path.order.into());
    let all: Vec<Value> = path.certificates.iter().map(path::describe).collect();
    claims.insert("certificates".into(), all.into());
    claims.insert("measurements".into(), false.into());
    claims
}

fn request_claims(request: &assay_attest::codec::csr::Request) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), "request".into());
    let subject = assay_attest::codec::name::text(request.subject());
    let subject = subject.unwrap_or_else(|_| hex(request.subject()));
    claims.insert("subject".into(), subject.into());
    let key = hex(&assay_attest::digest::sha256(&[request.spki()]));
    claims.insert("key".into(), format!("sha256:{key}").into());
    claims.insert("key_type".into(), path::key_type(request.key()).into());
    path::extensions(request.extensions(), &mut claims);
    claims
}

/// GeneralNames or one GeneralName with a CompositeDeviceID, or the value of a DICE extension.
fn bare(file: &Artefact) -> Option<Claims> {
    if file.text().is_some_and(|text| text.contains("-----BEGIN")) {
        return None;
    }
    let bytes = file.binary();
    let info = LayerInfo::bare(&bytes)?;
    let mut claims = Claims::new();
    claims.insert("form".into(), "extension".into());
    path::layer(&info, &mut claims);
    claims.insert("measurements".into(), json!(false));
    Some(claims)
}
