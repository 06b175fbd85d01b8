//! Evidence bundles of a nexus: an Attestation Result and all that it rests on.

use assay_api::bundle;
use assay_api::jose::Jwk;
use assay_api::types::EvidenceBundle;
use assay_attest::chain::Anchor;
use assay_attest::digest::sha256;
use assay_attest::key::PublicKey;
use serde_json::{Value, json};

use super::kind::{hex, time};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The kind `bundle`.
pub(crate) struct Bundle;

impl Kind for Bundle {
    fn name(&self) -> &'static str {
        "bundle"
    }

    fn about(&self) -> &'static str {
        "An evidence bundle of a nexus, as `assay dpu result DPU --bundle FILE` writes it: the result (EAR) with the Evidence, the session that this answers, and \
         the Reference Values.\n\n\
         Give --key with the key that signs the nexus's results (`assay dpu result DPU --key-out FILE`). A device with a DICE identity also needs its root: NVIDIA's device root is \
         built in, others are given by --root. Verified are the result's signature, that it names this Evidence, nonce, nexus and these Reference Values, every signature \
         and binding in the Evidence as of the time of appraisal, and each comparison with the Reference Values anew. --nonce is held against the nonce that was \
         answered. What is left to the nexus's word: that the nonce was fresh, how the identity is rooted, what the proof before said.\n\n\
         Claims: `device`, `result`, `verdict`, `root`, `key`, `runtime`, `appraised_at`, `fresh_until`, `fresh` (at --at), `nexus_id`, `nonce`, `evidence` (sha256), \
         `reference_values`, `policy` (each with id, version, digest), `submods`, `checks` (each with code, component, expected, seen, outcome). A bundle whose verdict is `failed` \
         is accepted where it holds: it proves what was wrong."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Key, Opt::Root, Opt::Nonce]
    }

    fn detect(&self, file: &Artefact) -> bool {
        read(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(stated(&read(file)?))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let bundle = read(file)?;
        let mut claims = stated(&bundle);
        let refuse = |rejection: Rejection| rejection.claims(&claims);
        let key = with.public_key().map_err(refuse)?;
        let key = match &key {
            PublicKey::Ed25519(public) => Jwk::ed25519(*public),
            PublicKey::P256(point) => Jwk::p256(point).map_err(|_| {
                refuse(Rejection::new(
                    "bundle.result",
                    "the key is no point of its curve",
                ))
            })?,
            _ => {
                return Err(refuse(Rejection::new(
                    "bundle.result",
                    "a nexus signs its results by Ed25519: the key given is of another kind",
                )));
            }
        };
        let anchors = with.anchors(&[Anchor::nvidia_device_identity()], None)?;
        let ear = bundle::verify(&bundle, &key, Some(&anchors), with.check).map_err(|fault| {
            let mut rejection = Rejection::new(fault.code(), fault.to_string());
            rejection.authenticated = fault.is_after_signature();
            refuse(rejection)
        })?;
        if with
            .nonce
            .as_ref()
            .is_some_and(|nonce| *nonce != bundle.nonce.0)
        {
            return Err(refuse(Rejection::nonce().authenticated()));
        }
        let exp = ear.get("exp").and_then(Value::as_u64).unwrap_or(0);
        let fresh = bundle.result.verdict == "verified" && with.at.as_secs() < exp;
        claims.insert("fresh".into(), fresh.into());
        claims.insert("submods".into(), json!(ear.get("submods")));
        if let Some(ours) = ear.get("assay_result").and_then(Value::as_object) {
            for name in [
                "root",
                "key",
                "runtime",
                "reference_values",
                "policy",
                "checks",
            ] {
                claims.insert(name.into(), json!(ours.get(name)));
            }
        }
        Ok(Accepted {
            authenticated: true,
            claims,
        })
    }
}

fn read(file: &Artefact) -> Result<EvidenceBundle, Rejection> {
    let no = || Rejection::new("bundle.format", "it is no evidence bundle of a nexus");
    file.json()
        .filter(|json| json.get("format").and_then(Value::as_str) == Some(bundle::FORMAT))
        .and_then(|json| serde_json::from_value(json).ok())
        .ok_or_else(no)
}

fn stated(bundle: &EvidenceBundle) -> Claims {
    let result = &bundle.result;
    let mut claims = Claims::new();
    claims.insert("device".into(), result.device_id.to_string().into());
    claims.insert("result".into(), result.id.to_string().into());
    claims.insert("verdict".into(), result.verdict.clone().into());
    claims.insert("appraised_at".into(), time(result.appraised_at.0));
    claims.insert("fresh_until".into(), time(result.fresh_until.0));
    claims.insert("nexus_id".into(), hex(&bundle.nexus_id.0).into());
    claims.insert("nonce".into(), hex(&bundle.nonce.0).into());
    let digest = sha256(&[&bundle.evidence.0]);
    claims.insert("evidence".into(), format!("sha256:{}", hex(&digest)).into());
    claims
}
