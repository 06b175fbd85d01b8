//! Certificates of TPMs: endorsement keys, attestation keys, and the CAs above them.

use assay_attest::chain::Usage;
use assay_attest::codec::name;
use assay_attest::codec::x509::{Certificate, KeyUsage};
use serde_json::{Value, json};

use super::kind::{anchor_name, time};
use super::path::{self, Path};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `ek-cert`.
pub(crate) struct EkCert;

impl Kind for EkCert {
    fn name(&self) -> &'static str {
        "ek-cert"
    }

    fn about(&self) -> &'static str {
        "The certificate of a TPM's endorsement key (EK), of an attestation key (AK) where the maker certifies those, or of a CA above them; \
         alone or with its chain, PEM or DER, in either order.\n\n\
         --root is the maker's root (or the operator's), which may also be a CA below it or one that somebody else cross-signed: \
         what is named is believed as it stands. --chain brings intermediate certificates, --root-from-chain believes the file's own root \
         and says so, --reference takes revocation lists and OCSP answers.\n\n\
         Claims: `role` (endorsement-key: receives secrets, never signs; attestation-key; authority), `key_type`, `key`, `certificate`, \
         `certificates`, `anchor`, `ends`, `tpm` (manufacturer, model, version, where the alternative names say so), `quirks`, `revocation`.\n\n\
         Decisions: an EK must be for keyEncipherment (RSA) or keyAgreement (ECC) and not for signatures; extended key usage may be left out \
         (GCE), else it must be tcg-kp-EKCertificate, for AKs tcg-kp-AIKCertificate; a subject may be empty. Names are compared as DER, \
         whole, and need not be DER inside: a SET OF out of order (Nuvoton's NUVO 2110) is accepted and named in `quirks` \
         (`name.set_order`); a root that another signed (STM's under GlobalSign's) likewise (`root.not_self_issued`)."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Chain, Opt::Root, Opt::Reference, Opt::RootFromChain]
    }

    fn detect(&self, file: &Artefact) -> bool {
        let Ok(ders) = path::certificates(file) else {
            return false;
        };
        let Some(last) = Path::of(&ders)
            .ok()
            .and_then(|path| path.certificates.last().cloned())
        else {
            return false;
        };
        let tpm = |text: &str| text.contains("TPM") || text.contains("EK/AK");
        let purposes = last.extended_key_usage().ok().flatten().unwrap_or_default();
        purposes
            .iter()
            .any(|purpose| purpose.to_string().starts_with("2.23.133.8."))
            || [last.subject(), last.issuer()]
                .iter()
                .any(|der| name::text(der).is_ok_and(|text| tpm(&text)))
            || name::alternative(&last)
                .is_ok_and(|all| all.iter().any(|(kind, _)| kind.starts_with("tpm")))
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(claims(&Path::of(&path::certificates(file)?)?))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let path = Path::of(&path::certificates(file)?)?;
        let said = claims(&path);
        verify(path, with).map_err(|rejection| rejection.claims(&said))
    }
}

fn verify(path: Path, with: &With<'_>) -> Result<Accepted, Rejection> {
    let path = path.extended(with)?;
    let anchors = path.anchors(with, &[])?;
    let Some(last) = path.certificates.last() else {
        return Err(Rejection::no_anchor("--root"));
    };
    let usage = match role(last) {
        "authority" => Usage::EndorsementAuthority,
        "attestation-key" => Usage::AttestationKey,
        _ => Usage::EndorsementKey,
    };
    let chain = path.chain()?;
    let verified = chain.verify(&anchors, usage, with.at, with.check)?;
    let mut claims = claims(&path);
    claims.insert("anchor".into(), anchor_name(verified.anchor()));
    claims.insert("ends".into(), time(verified.ends()));
    let roots = with.root_certificates()?;
    let cross_signed = roots
        .iter()
        .any(|root| root.spki() == verified.anchor().spki() && !root.is_self_issued());
    claims.insert("quirks".into(), json!(quirks(&path, cross_signed)));
    if let Some(known) = path::revocation(&verified, with)? {
        claims.insert("revocation".into(), known);
    }
    Ok(Accepted {
        authenticated: true,
        claims,
    })
}

fn role(certificate: &Certificate) -> &'static str {
    let uses = |usage| {
        certificate
            .key_usage()
            .is_some_and(|stated| stated.allows(usage))
    };
    if certificate.basic_constraints().is_some_and(|one| one.ca) {
        "authority"
    } else if uses(KeyUsage::DIGITAL_SIGNATURE)
        && !uses(KeyUsage::KEY_ENCIPHERMENT)
        && !uses(KeyUsage::KEY_AGREEMENT)
    {
        "attestation-key"
    } else {
        "endorsement-key"
    }
}

fn claims(path: &Path) -> Claims {
    let mut claims = Claims::new();
    let Some(last) = path.certificates.last() else {
        return claims;
    };
    claims.insert("role".into(), role(last).into());
    claims.insert("key_type".into(), path::key_type(last.key()).into());
    let described = path::describe(last);
    if let Some(key) = described.get("key") {
        claims.insert("key".into(), key.clone());
    }
    claims.insert("certificate".into(), described);
    if path.certificates.len() > 1 {
        let all: Vec<Value> = path.certificates.iter().map(path::describe).collect();
        claims.insert("certificates".into(), all.into());
    }
    let mut tpm = Claims::new();
    for (kind, value) in name::alternative(last).unwrap_or_default() {
        let name = match kind.as_str() {
            "tpmManufacturer" => "manufacturer",
            "tpmModel" => "model",
            "tpmVersion" => "version",
            _ => continue,
        };
        tpm.insert(name.into(), value.into());
    }
    if !tpm.is_empty() {
        claims.insert("tpm".into(), Value::Object(tpm));
    }
    claims.insert("quirks".into(), json!(quirks(path, false)));
    claims
}

fn quirks(path: &Path, cross_signed: bool) -> Vec<&'static str> {
    let mut all = Vec::new();
    let unordered = |der: &[u8]| name::is_ordered(der) == Ok(false);
    if path
        .certificates
        .iter()
        .any(|one| unordered(one.issuer()) || unordered(one.subject()))
    {
        all.push("name.set_order");
    }
    if cross_signed {
        all.push("root.not_self_issued");
    }
    all
}
