//! Certificate chains as SPDM carries them.

use assay_attest::chain::Usage;
use assay_attest::codec::spdm::slot::{SlotChain, is_hardware_identity};

use super::spdm::{Found, anchors, chain, describe_chain, identity, verified};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `spdm-chain`.
pub(crate) struct SpdmChain;

impl Kind for SpdmChain {
    fn name(&self) -> &'static str {
        "spdm-chain"
    }

    fn about(&self) -> &'static str {
        "A certificate chain as an SPDM responder carries it (DSP0274, 10.7): a slot's content (length, root hash, certificates), or the \
         certificates alone: concatenated DER, PEM in either order, base64 or hex of those, or JSON in which they stand as PEM (a Redfish \
         certificate resource).\n\n\
         It must end in NVIDIA's device root, which is built in, in a root given with --root, or with --root-from-chain in its own (`anchor` is then \
         `file`). The root hash of a slot must be that of its root. Every link, date, constraint and critical extension is checked; the root \
         alone need not state the usage of its key. The device, alias and generic models are accepted; the last certificate is never a CA, and never one for \
         requesters only.\n\n\
         A leaf without BasicConstraints is accepted in every version: SPDM 1.2 allows it, and BlueField-3's own is one that speaks 1.1; \
         `leaf_basic_constraints` says so. One certificate alone that is no root can be verified under nothing: with --root naming that very \
         certificate, or with --root-from-chain, only what it says of itself is checked, and in the latter case `authenticated` is false.\n\n\
         Claims: `model` (device, alias, generic), `root_hash` (of a slot), `leaf_basic_constraints` (absent, not_ca, ca), `device_info` (what the leaf calls the \
         device: a statement, never an identity), `certificates` (root first), each with `common_name`, `serial`, `not_before`, `not_after`, `sha256`, \
         `spki_sha256`, `hardware_identity`, `dice_layout`, `fwids`, `ueid`; once verified `anchor`, `chain_ends` and, with DICE layers, `device_key`."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Root, Opt::RootFromChain]
    }

    fn detect(&self, file: &Artefact) -> bool {
        if SlotChain::is_slot(&file.binary()) {
            return true;
        }
        chain(file).is_ok_and(|found| {
            found
                .chain
                .certificates()
                .iter()
                .any(|one| is_hardware_identity(one).unwrap_or(false))
        })
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let mut claims = Claims::new();
        describe_chain(&chain(file)?, &mut claims)?;
        Ok(claims)
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let found = chain(file)?;
        let mut claims = Claims::new();
        describe_chain(&found, &mut claims)?;
        match judge(&found, with, &mut claims) {
            Ok(authenticated) => Ok(Accepted {
                authenticated,
                claims,
            }),
            Err(rejection) => Err(rejection.claims(&claims)),
        }
    }
}

fn judge(found: &Found, with: &With<'_>, claims: &mut Claims) -> Result<bool, Rejection> {
    if let [alone] = found.chain.certificates()
        && !alone.is_self_issued()
    {
        let named = with
            .root_certificates()?
            .iter()
            .any(|root| root.der() == alone.der());
        if named || with.root_from_chain {
            found.chain.check_leaf(Usage::Spdm, with.at)?;
            let anchor = if named { "leaf" } else { "file" };
            claims.insert("anchor".into(), anchor.into());
            return Ok(named);
        }
    }
    let anchors = anchors(with, &found.chain)?;
    let verified = verified(with, &found.chain, &anchors)?;
    identity(with, &found.chain, &verified, &anchors, claims);
    Ok(true)
}
