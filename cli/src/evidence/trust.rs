//! Who signed: a key that the caller gives, or the leaf of a chain to a root that the caller gives.

use assay_attest::chain::{Chain, Order, Usage};
use assay_attest::codec::x509::Certificate;
use assay_attest::key::PublicKey;
use serde_json::json;

use super::kind::{hex, time};
use super::{Claims, Rejection, With};

/// A certificate whose key is believed.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Its key.
    pub(crate) key: PublicKey,
    /// `anchor`, `leaf_spki_sha256`, `chain_length`, `chain_ends`.
    pub(crate) claims: Claims,
}

/// Validates certificates, leaf first, to the roots of `--root` (with `--root-from-chain` to the last of them). A root that is the leaf itself
/// vouches for it alone.
///
/// # Errors
/// `verify.no_anchor`, `chain.*`.
pub(crate) fn leaf(with: &With<'_>, leaf_first: &[Vec<u8>]) -> Result<Leaf, Rejection> {
    let chain = Chain::parse(leaf_first.iter().map(Vec::as_slice), Order::LeafFirst)?;
    let certificates = chain.certificates();
    let roots = with.root_certificates()?;
    let pinned = match certificates {
        [only] if with.root_from_chain => Some((only, "file".to_owned())),
        [.., last] if roots.iter().any(|root| root.der() == last.der()) => {
            Some((last, format!("sha256:{}", hex(&last.spki_sha256()))))
        }
        _ => None,
    };
    if let Some((leaf, anchor)) = pinned {
        in_time(leaf, with)?;
        return Ok(named(leaf, &anchor, 1, leaf));
    }
    let anchors = with.anchors(&[], certificates.first())?;
    let verified = chain.verify(&anchors, Usage::Signer, with.at, with.check)?;
    let name = verified.anchor().name().to_owned();
    let mut found = named(verified.leaf(), &name, certificates.len(), verified.leaf());
    found
        .claims
        .insert("chain_ends".into(), time(verified.ends()));
    Ok(found)
}

/// The path from `leaf` upwards through certificates that stand in no order (x5bag), by their names. What it leads to is checked by [`leaf`].
#[must_use]
pub(crate) fn path(leaf: &Certificate, bag: &[Certificate]) -> Vec<Vec<u8>> {
    let mut path = vec![leaf];
    while let Some(last) = path.last()
        && !last.is_self_issued()
        && let Some(next) = bag.iter().find(|one| {
            one.subject() == last.issuer() && !path.iter().any(|p| p.der() == one.der())
        })
    {
        path.push(next);
    }
    path.into_iter().map(|one| one.der().to_vec()).collect()
}

fn in_time(certificate: &Certificate, with: &With<'_>) -> Result<(), Rejection> {
    use assay_attest::refusal::Refusal;
    if with.at < certificate.not_before() {
        return Err(Refusal::ChainNotYetValid { index: 0 }.into());
    }
    if with.at.as_secs() > certificate.not_after().as_secs() {
        return Err(Refusal::ChainExpired { index: 0 }.into());
    }
    Ok(())
}

fn named(leaf: &Certificate, anchor: &str, length: usize, first_to_end: &Certificate) -> Leaf {
    let mut claims = Claims::new();
    claims.insert("anchor".into(), anchor.into());
    claims.insert("leaf_spki_sha256".into(), hex(&leaf.spki_sha256()).into());
    claims.insert("chain_length".into(), json!(length));
    claims.insert("chain_ends".into(), time(first_to_end.not_after()));
    Leaf {
        key: leaf.key().clone(),
        claims,
    }
}
