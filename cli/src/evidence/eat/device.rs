//! Device assignment claims (draft-poirier-rats-eat-da): SPDM measurements and certificates of the devices behind a platform, as claims. Nothing in them is a
//! transcript that could be verified on its own; what can be held against the draft is their form.

use assay_attest::codec::cbor::Value as Cbor;
use assay_attest::codec::x509::Certificate;

use super::super::Rejection;
use super::super::artefact::der_element;
use super::super::claimset::ClaimSet;
use super::{malformed, missing};

const SUBMODS: i64 = 266;
const MEASUREMENTS: i64 = 3802;
const CERTIFICATES: i64 = 3803;
/// The hash algorithms of the draft's own enumeration, by number: bytes of a digest.
const DIGESTS: [(i128, usize); 3] = [(0, 32), (1, 48), (2, 64)];

pub(super) fn looks_like_one(set: &ClaimSet) -> bool {
    set.claims
        .get("eat_profile")
        .and_then(serde_json::Value::as_str)
        .is_some_and(|profile| profile.starts_with("tag:linaro.org,2025:device"))
}

/// Each submodule `spdm:`: digests as long as their algorithm says, certificates that are some.
pub(super) fn check(set: &ClaimSet) -> Result<(), Rejection> {
    let submods = set
        .cbor
        .as_ref()
        .and_then(|cbor| get(cbor, SUBMODS))
        .ok_or_else(|| missing("submods"))?
        .as_map()
        .ok_or_else(|| malformed("submods"))?;
    for (name, submodule) in submods {
        if !name.as_text().is_some_and(|name| name.starts_with("spdm:")) {
            continue;
        }
        let blocks = get(submodule, MEASUREMENTS)
            .ok_or_else(|| missing("spdm_measurements"))?
            .as_map()
            .ok_or_else(|| malformed("spdm_measurements"))?;
        for (_, block) in blocks {
            measurement(block)?;
        }
        let slots = get(submodule, CERTIFICATES)
            .ok_or_else(|| missing("spdm_certificates"))?
            .as_map()
            .ok_or_else(|| malformed("spdm_certificates"))?;
        for (_, chain) in slots {
            let chain = chain
                .as_bytes()
                .ok_or_else(|| malformed("spdm_certificates"))?;
            certificates(chain)?;
        }
    }
    Ok(())
}

fn measurement(block: &Cbor) -> Result<(), Rejection> {
    let Some(digest) = get(block, 2) else {
        return match get(block, 3) {
            Some(Cbor::Bytes(_)) => Ok(()),
            _ => Err(malformed("spdm_measurements")),
        };
    };
    let parts = digest.as_array().map(Vec::as_slice).unwrap_or_default();
    let [Cbor::Integer(alg), Cbor::Bytes(value)] = parts else {
        return Err(malformed("spdm_measurements"));
    };
    let known = DIGESTS
        .iter()
        .find(|(number, _)| *number == i128::from(*alg));
    match known {
        Some((_, length)) if *length == value.len() => Ok(()),
        Some((number, length)) => Err(Rejection::new(
            "eat.digest_length",
            format!(
                "a digest by the algorithm {number} has {} bytes, not {length}",
                value.len()
            ),
        )),
        None => Err(malformed("spdm_measurements")),
    }
}

/// One certificate after the other.
fn certificates(mut bytes: &[u8]) -> Result<(), Rejection> {
    if bytes.is_empty() {
        return Err(malformed("spdm_certificates"));
    }
    while !bytes.is_empty() {
        let (one, rest) = der_element(bytes).ok_or_else(|| malformed("spdm_certificates"))?;
        Certificate::parse(one)?;
        bytes = rest;
    }
    Ok(())
}

fn get(of: &Cbor, label: i64) -> Option<&Cbor> {
    let label = Cbor::from(label);
    of.as_map()?
        .iter()
        .find(|(found, _)| *found == label)
        .map(|(_, value)| value)
}
