//! Chains after the Open Profile for DICE: X.509 certificates with its extension, and CWTs.

use assay_attest::chain::Usage;
use assay_attest::codec::open_dice::{CwtChain, INPUTS};
use assay_attest::codec::spki;
use assay_attest::digest::sha256;
use assay_attest::evidence::dice::layers;
use assay_attest::key::PublicKey;
use serde_json::{Value, json};

use super::kind::{anchor_name, hex, time};
use super::path::{self, Path};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `open-dice`.
pub(crate) struct OpenDice;

impl Kind for OpenDice {
    fn name(&self) -> &'static str {
        "open-dice"
    }

    fn about(&self) -> &'static str {
        "A chain after the Open Profile for DICE (2.5): X.509 certificates with the extension 1.3.6.1.4.1.11129.2.1.24 (PEM or DER, in \
         either order; one link will do), or CWTs: a CBOR array of the UDS's COSE_Key and one COSE_Sign1 for each layer, as Android writes \
         it, bare, with the key in a byte string after a 1, or in a handover (whose secrets are not looked at).\n\n\
         --root is the UDS's certificate or one above the first link, --key the UDS's public key (PEM, JWK, COSE_Key), --chain brings \
         links that the file lacks, --root-from-chain believes the UDS that the file names (`anchor` is `file`). --reference takes \
         revocation lists and OCSP answers for X.509.\n\n\
         Claims: `form` (x509, cwt), `order`, `certificates` or `links` (issuer, subject, key, `inputs`: code_hash, code_descriptor, \
         configuration_hash, configuration_descriptor, authority_hash, authority_descriptor, mode, profile), `anchor`, `ends`, `mode` \
         (the worst of the chain), `leaf_key`, `measurements`.\n\n\
         Refused: a layer whose mode is debug or recovery (`dice.flags`, authenticated; not-configured lowers trust and stands in `lowered_by`), a link whose issuer is not the one \
         before, a key that stands twice, a layer that may not sign and does."
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
        if let Ok(ders) = path::certificates(file) {
            return Path::of(&ders).is_ok_and(|path| {
                path.certificates
                    .iter()
                    .any(|certificate| certificate.extension(INPUTS).is_some())
            });
        }
        cwt(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        match path::certificates(file) {
            Ok(ders) => Ok(x509_claims(&Path::of(&ders)?)),
            Err(_) => Ok(cwt_claims(&cwt(file)?)),
        }
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        match path::certificates(file) {
            Ok(ders) => {
                let path = Path::of(&ders)?;
                let claims = x509_claims(&path);
                verify_x509(path, with).map_err(|rejection| rejection.claims(&claims))
            }
            Err(_) => {
                let chain = cwt(file)?;
                let claims = cwt_claims(&chain);
                verify_cwt(&chain, with).map_err(|rejection| rejection.claims(&claims))
            }
        }
    }
}

fn cwt(file: &Artefact) -> Result<CwtChain, Rejection> {
    Ok(CwtChain::parse(&file.cbor()?)?)
}

fn verify_x509(path: Path, with: &With<'_>) -> Result<Accepted, Rejection> {
    let path = path.extended(with)?;
    let anchors = path.anchors(with, &[])?;
    let chain = path.chain()?;
    let verified = chain.verify(&anchors, Usage::Layers, with.at, with.check)?;
    let read = layers(&verified).map_err(|refusal| Rejection::from(refusal).authenticated())?;
    let mut all = 0;
    for (index, layer) in read.iter().enumerate() {
        let tcb = layer.info.iter().flat_map(|info| &info.tcb);
        let flags = tcb.fold(0, |all, tcb| all | tcb.flags);
        all |= flags;
        path::closed(index, flags)?;
    }
    let mut claims = x509_claims(&path);
    path::lowered(all, &mut claims);
    if let Some(known) = path::revocation(&verified, with)? {
        claims.insert("revocation".into(), known);
    }
    claims.insert("anchor".into(), anchor_name(verified.anchor()));
    claims.insert("ends".into(), time(verified.ends()));
    let leaf = hex(&verified.leaf().spki_sha256());
    claims.insert("leaf_key".into(), format!("sha256:{leaf}").into());
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

fn verify_cwt(chain: &CwtChain, with: &With<'_>) -> Result<Accepted, Rejection> {
    let mut pinned: Vec<PublicKey> = Vec::new();
    if let Some(file) = &with.key {
        pinned.push(path::key_of(file, with)?);
    }
    for root in with.root_certificates()? {
        pinned.push(root.key().clone());
    }
    let from_file = with.root_from_chain && !pinned.contains(chain.root());
    if from_file {
        pinned.push(chain.root().clone());
    }
    if pinned.is_empty() {
        return Err(Rejection::no_anchor("--key with the public key of the UDS"));
    }
    let leaf = chain.verify(&pinned, with.check)?;
    let mut claims = cwt_claims(chain);
    let anchor = if from_file {
        "file".to_owned()
    } else {
        fingerprint(chain.root())
    };
    claims.insert("anchor".into(), anchor.into());
    claims.insert("leaf_key".into(), fingerprint(leaf).into());
    let mut all = 0;
    for (at, link) in chain.links().iter().enumerate() {
        let flags = link.inputs.as_ref().map_or(0, |inputs| inputs.mode.flags());
        all |= flags;
        path::closed(at.saturating_add(1), flags)?;
    }
    path::lowered(all, &mut claims);
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

fn fingerprint(key: &PublicKey) -> String {
    format!("sha256:{}", hex(&sha256(&[&spki::write(key)])))
}

fn x509_claims(path: &Path) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), "x509".into());
    claims.insert("order".into(), path.order.into());
    let all: Vec<Value> = path.certificates.iter().map(path::describe).collect();
    let modes = all
        .iter()
        .filter_map(|one| one.get("inputs")?.get("mode")?.as_str());
    claims.insert("mode".into(), worst(modes));
    claims.insert("certificates".into(), all.into());
    claims.insert("measurements".into(), false.into());
    claims
}

fn cwt_claims(chain: &CwtChain) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), "cwt".into());
    claims.insert("uds_key".into(), fingerprint(chain.root()).into());
    let links: Vec<Value> = chain
        .links()
        .iter()
        .map(|link| {
            json!({
                "issuer": link.issuer,
                "subject": link.subject,
                "key": fingerprint(&link.key),
                "key_type": path::key_type(&link.key),
                "signs_certificates": link.signs_certificates,
                "inputs": link.inputs.as_ref().map(path::inputs_of),
            })
        })
        .collect();
    let modes = chain.links().iter().filter_map(|link| {
        let inputs = link.inputs.as_ref()?;
        Some(inputs.mode.as_str())
    });
    claims.insert("mode".into(), worst(modes));
    claims.insert("links".into(), links.into());
    claims.insert("measurements".into(), false.into());
    claims
}

/// Anything but `normal` is worse than it; which of the others comes first says nothing.
fn worst<'a>(modes: impl Iterator<Item = &'a str>) -> Value {
    let mut all: Vec<&str> = modes.collect();
    all.sort_by_key(|mode| *mode == "normal");
    all.first().map_or(Value::Null, |mode| Value::from(*mode))
}
