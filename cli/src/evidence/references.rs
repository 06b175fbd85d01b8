//! `--reference FILE`: what an artefact measured, held against manifests. For every kind that measures.

use assay_attest::corim::{AlgDigest, Environment, Raw, Svn};
use assay_attest::corim::{
    Comparison, Document, Found, Measurement, Mkey, RegisterId, ValueTriple, Values, compare,
    endorsed,
};
use assay_attest::digest::{Digest, HashAlg};
use serde_json::{Value, json};

use super::corim;
use super::rim_xml;
use super::{Artefact, Claims, Rejection};

/// What was measured: elements by number or name, each with what is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Components {
    all: Vec<Measurement>,
}

impl Components {
    fn push(&mut self, key: Mkey, values: Values) {
        let known = self.all.iter_mut().find(|m| m.key.as_ref() == Some(&key));
        // A digest by another algorithm is one more of the same element.
        if let Some(known) = known
            && values.raw.is_none()
            && known.values.raw.is_none()
        {
            known.values.digests.extend(values.digests);
            return;
        }
        self.all.push(Measurement {
            key: Some(key),
            values,
            authorized_by: Vec::new(),
        });
    }

    /// A digest of element `index`: an SPDM measurement, a PCR.
    pub(crate) fn digest(&mut self, index: u64, digest: &Digest) {
        let values = Values {
            digests: vec![AlgDigest::from(digest)],
            ..Values::default()
        };
        self.push(Mkey::Uint(index), values);
    }

    /// A value of element `index` as it is, not hashed, and the security version number that it is, where it is one.
    pub(crate) fn raw(&mut self, index: u64, value: &[u8], svn: Option<u64>) {
        let raw = Raw {
            value: value.to_vec(),
            mask: None,
        };
        let values = Values {
            raw: Some(raw),
            svn: svn.map(Svn::Exact),
            ..Values::default()
        };
        self.push(Mkey::Uint(index), values);
    }

    /// The PCRs of a bank, as elements by number, by the names of our own sets, and as integrity registers.
    pub(crate) fn pcrs<'a>(&mut self, bank: impl IntoIterator<Item = (u8, &'a Digest)>) {
        for (pcr, digest) in bank {
            self.digest(pcr.into(), digest);
            let values = Values {
                digests: vec![AlgDigest::from(digest)],
                ..Values::default()
            };
            let name = format!("pcr.{}.{pcr}", digest.alg().name());
            self.push(Mkey::Text(name), values);
        }
    }

    /// The PCRs that claims show, bank by bank.
    #[must_use]
    pub(crate) fn of_pcr_claims(claims: &Claims) -> Self {
        let mut measured = Self::default();
        let banks = claims.get("pcrs").and_then(Value::as_object);
        for (bank, values) in banks.into_iter().flatten() {
            let alg = HashAlg::ALL
                .into_iter()
                .find(|alg| alg.name() == bank.as_str());
            for (pcr, value) in values.as_object().into_iter().flatten() {
                let hex = value.as_str().and_then(|text| text.rsplit(':').next());
                let bytes = hex.and_then(|hex| base16ct::mixed::decode_vec(hex).ok());
                let digest = alg
                    .zip(bytes)
                    .and_then(|(alg, bytes)| Digest::new(alg, &bytes));
                if let (Some(digest), Ok(pcr)) = (digest, pcr.parse()) {
                    measured.pcrs([(pcr, &digest)]);
                }
            }
        }
        measured
    }

    /// The same, as the registers of an element that has no key.
    fn registers(&self) -> Measurement {
        let mut values = Values::default();
        for measurement in &self.all {
            if let Some(Mkey::Uint(number)) = measurement.key
                && !measurement.values.digests.is_empty()
            {
                let digests = measurement.values.digests.clone();
                values.registers.insert(RegisterId::Uint(number), digests);
            }
        }
        Measurement {
            values,
            ..Measurement::default()
        }
    }
}

/// Holds what was measured against every manifest, CoRIM, CoMID or XML, that was given; with none, nothing is compared.
///
/// A manifest is believed because it was named on the command line: its own signature is the kind `corim`'s matter. Each element that
/// any manifest speaks of must be measured and match one of them; an element that none speaks of is only counted.
///
/// Gives the claims `references` (id and SHA-256 of each file), `reference_matches` (one for each element: `key`,
/// `outcome` match, mismatch, missing; `expected`, `seen`), `unlisted` (elements that no manifest knows) and `endorsements`.
///
/// # Errors
/// `reference.mismatch` with these claims, `reference.nothing` where no manifest has reference values, and what is wrong with a file.
pub(crate) fn match_references(
    references: &[Artefact],
    measured: &Components,
) -> Result<Claims, Rejection> {
    let mut claims = Claims::new();
    if references.is_empty() {
        return Ok(claims);
    }
    let mut triples = Vec::new();
    let mut files = Vec::new();
    for file in references {
        let (id, mut found) = read(file)?;
        files.push(json!({"id": id, "sha256": super::kind::hex(&assay_attest::digest::sha256(&[file.raw()]))}));
        triples.append(&mut found);
    }
    claims.insert("references".into(), files.into());
    let reference: Vec<ValueTriple> = triples.iter().flat_map(|t| t.reference.clone()).collect();
    if reference.is_empty() {
        return Err(Rejection::new(
            "reference.nothing",
            "the manifests hold no reference values",
        )
        .claims(&claims));
    }
    let of_registers = reference
        .iter()
        .flat_map(|triple| &triple.measurements)
        .any(|m| m.key.is_none() && !m.values.registers.is_empty());
    let mut seen = measured.all.clone();
    if of_registers {
        seen.push(measured.registers());
    }
    let all = compare(&reference, &seen);
    let listed = all.iter().filter(|c| c.found != Found::Unlisted);
    claims.insert(
        "reference_matches".into(),
        listed.clone().map(shown).collect(),
    );
    let unlisted = all.iter().filter(|c| c.found == Found::Unlisted);
    claims.insert(
        "unlisted".into(),
        unlisted.map(|c| Value::from(key(c))).collect(),
    );
    let bad: Vec<String> = listed
        .filter(|c| c.found != Found::Match)
        .map(key)
        .collect();
    if bad.is_empty() {
        let followed = endorsed(&triples, &accepted(&reference, &seen));
        if !followed.is_empty() {
            let words = followed
                .iter()
                .flat_map(|t| &t.measurements)
                .map(|m| m.values.to_string());
            claims.insert("endorsements".into(), words.collect());
        }
        return Ok(claims);
    }
    Err(Rejection::new(
        "reference.mismatch",
        format!(
            "these are not as the reference values say: {}",
            bad.join(", ")
        ),
    )
    .claims(&claims))
}

/// The reference triples that hold, with what was measured in their environments.
fn accepted(reference: &[ValueTriple], seen: &[Measurement]) -> Vec<ValueTriple> {
    let mut accepted: Vec<ValueTriple> = Vec::new();
    for triple in reference {
        let measurements: Vec<Measurement> = triple
            .measurements
            .iter()
            .filter_map(|due| {
                seen.iter()
                    .find(|s| s.key == due.key && due.values.accepts(&s.values))
            })
            .cloned()
            .collect();
        if !measurements.is_empty() {
            let environment: Environment = triple.environment.clone();
            accepted.push(ValueTriple {
                environment,
                measurements,
            });
        }
    }
    accepted
}

fn key(comparison: &Comparison) -> String {
    comparison
        .key
        .as_ref()
        .map_or_else(|| "integrity registers".to_owned(), ToString::to_string)
}

fn shown(comparison: &Comparison) -> Value {
    json!({
        "key": key(comparison),
        "outcome": comparison.found.as_str(),
        "expected": comparison.expected,
        "seen": comparison.seen,
    })
}

/// Name and triples of a manifest in any form.
fn read(file: &Artefact) -> Result<(String, Vec<assay_attest::corim::Triples>), Rejection> {
    use super::Kind as _;
    if rim_xml::RimXml.detect(file) {
        let draft = rim_xml::read(file)?.0.to_draft(None);
        let triples = assay_attest::corim::Triples {
            reference: draft.reference,
            ..Default::default()
        };
        return Ok((draft.id, vec![triples]));
    }
    let document = Document::parse(&corim::read(file)?)?;
    let comids = document.comids();
    let id = match document.corim() {
        Some(corim) => corim.id.to_string(),
        None => comids
            .first()
            .map(|comid| comid.id.to_string())
            .unwrap_or_default(),
    };
    Ok((
        id,
        comids
            .into_iter()
            .map(|comid| comid.triples.clone())
            .collect(),
    ))
}
