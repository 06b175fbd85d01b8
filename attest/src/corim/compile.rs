//! From a manifest to the set that evidence is appraised against: which element of the manifest is which component.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::model::*;
use super::profile::Profile;
use super::values::*;
use super::write::Draft;
use crate::digest::{Digest, HashAlg};
use crate::limits;
use crate::reference::{Component, Condition, Entry, Need, ReferenceValues, Root};
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Which part of a device a manifest speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Its measurement keys are names of components: our own manifests.
    Named,
    /// A TPM: numbers are PCRs.
    Tpm,
    /// A root of trust or accelerator: numbers are SPDM measurement indices, layers are those of its DICE chain.
    Root(Root),
}

impl Scope {
    /// The scope that the profile decides; `None` where whoever takes the manifest must say it.
    #[must_use]
    pub fn of(corim: &Corim) -> Option<Self> {
        match corim.profile {
            Some(Profile::Assay) => Some(Self::Named),
            Some(Profile::ParsecTpm | Profile::EnactTrust) => Some(Self::Tpm),
            Some(_) | None => None,
        }
    }

    /// `named`, `tpm`, `irot`, `erot`, `accel.0` and so on.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "named" => Some(Self::Named),
            "tpm" => Some(Self::Tpm),
            "irot" => Some(Self::Root(Root::Irot)),
            "erot" => Some(Self::Root(Root::Erot)),
            other => {
                let number = other.strip_prefix("accel.")?.parse().ok()?;
                let known = number < limits::ACCELERATORS && format!("accel.{number}") == other;
                known.then_some(Self::Root(Root::Accel(number)))
            }
        }
    }
}

/// Which components are no longer what the manifest makes them (required): an operator's choice, part of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// They may be missing.
    pub optional: BTreeSet<Component>,
    /// They are not looked at.
    pub ignored: BTreeSet<Component>,
    /// They must not be measured.
    pub forbidden: BTreeSet<Component>,
}

/// The set that a manifest makes: all that its CoMIDs in force give as reference values.
///
/// # Errors
/// [`Refusal::CorimCompile`] for what can't be said of a component; what [`ReferenceValues::new`] says.
pub fn reference_values(
    corim: &Corim,
    scope: Scope,
    choice: &Choice,
    id: &str,
    version: u64,
    ends: Timestamp,
) -> Result<ReferenceValues, Refusal> {
    let mut parts: BTreeMap<Component, Part> = BTreeMap::new();
    for triple in corim.comids().flat_map(|comid| &comid.triples.reference) {
        for measurement in &triple.measurements {
            add(&mut parts, scope, &triple.environment, measurement)?;
        }
    }
    for component in &choice.ignored {
        parts.remove(component);
    }
    for component in &choice.forbidden {
        let forbidden = Part {
            need: Some(Need::Forbidden),
            ..Part::default()
        };
        parts.insert(*component, forbidden);
    }
    let entries = parts
        .into_iter()
        .map(|(component, part)| {
            let chosen = choice
                .optional
                .contains(&component)
                .then_some(Need::Optional);
            let nothing = part.digests.is_empty() && part.conditions.is_empty();
            let stated = match (part.unused, nothing) {
                (true, true) => Some(Need::Forbidden),
                (true, false) => Some(Need::Optional),
                (false, _) => None,
            };
            let need = stated.or(chosen).or(part.need).unwrap_or(Need::Required);
            let entry = Entry::with(need, part.digests, part.conditions)?;
            Ok((component, entry))
        })
        .collect::<Result<_, Refusal>>()?;
    ReferenceValues::new(id, version, entries, ends)
}

#[derive(Default)]
struct Part {
    need: Option<Need>,
    digests: BTreeSet<Digest>,
    conditions: BTreeSet<Condition>,
    /// All zero is what a device gives for a place that it does not use.
    unused: bool,
}

fn add(
    parts: &mut BTreeMap<Component, Part>,
    scope: Scope,
    environment: &Environment,
    measurement: &Measurement,
) -> Result<(), Refusal> {
    let values = &measurement.values;
    let name = || {
        measurement
            .key
            .as_ref()
            .map_or_else(|| "-".to_string(), ToString::to_string)
    };
    let refuse = |why| Refusal::CorimCompile { key: name(), why };
    let digests: Vec<Digest> = values.digests.iter().filter_map(AlgDigest::known).collect();
    if digests.len() != values.digests.len() {
        return Err(refuse("a digest has an algorithm that is not accepted"));
    }
    if !values.plain() {
        return Err(refuse(
            "only digests, security versions, raw values and registers can be appraised",
        ));
    }
    let algorithms: BTreeSet<HashAlg> = digests.iter().map(Digest::alg).collect();
    if algorithms.len() != digests.len() {
        return Err(refuse("one algorithm is there twice"));
    }
    // Each kind of value is a component of its own, or any would do where all are due.
    let kinds = [
        !digests.is_empty(),
        values.svn.is_some(),
        values.raw.is_some(),
        !values.registers.is_empty(),
    ];
    let several = kinds.into_iter().filter(|there| *there).count() > 1;
    let mut put = |component: Component, digests: &[Digest], condition: Option<Condition>| {
        let two = parts
            .get(&component)
            .is_some_and(|part| part.need != values.need);
        if two {
            return Err(refuse("one element has two needs"));
        }
        let part = parts.entry(component).or_default();
        part.need = values.need;
        let zero = |digest: &&Digest| matches!(component, Component::Block(..)) && digest.is_zero();
        part.unused |= digests.iter().any(|digest| zero(&digest));
        part.digests
            .extend(digests.iter().filter(|digest| !zero(digest)).cloned());
        part.conditions.extend(condition);
        Ok(())
    };
    let condition = match (&values.svn, &values.raw) {
        (Some(svn), None) => Some(Condition::Svn(*svn)),
        (None, Some(raw)) => Some(Condition::Raw(raw.clone())),
        _ => None,
    };
    match (scope, &measurement.key) {
        (Scope::Named, Some(Mkey::Text(text))) if !several => {
            put(text.parse()?, &digests, condition)
        }
        (Scope::Tpm, Some(Mkey::Uint(pcr))) if kinds == [true, false, false, false] => {
            let pcr = u8::try_from(*pcr).ok().filter(|pcr| *pcr < limits::PCRS);
            let pcr = pcr.ok_or_else(|| refuse("there is no such pcr"))?;
            digests.iter().try_for_each(|digest| {
                put(
                    Component::Pcr(digest.alg(), pcr),
                    core::slice::from_ref(digest),
                    None,
                )
            })
        }
        (Scope::Tpm, _) if kinds == [false, false, false, true] => {
            for (id, list) in &values.registers {
                let RegisterId::Uint(pcr) = id else {
                    return Err(refuse("a register is no pcr"));
                };
                let pcr = u8::try_from(*pcr).ok().filter(|pcr| *pcr < limits::PCRS);
                let pcr = pcr.ok_or_else(|| refuse("there is no such pcr"))?;
                for digest in list.iter().filter_map(AlgDigest::known) {
                    put(
                        Component::Pcr(digest.alg(), pcr),
                        core::slice::from_ref(&digest),
                        None,
                    )?;
                }
            }
            Ok(())
        }
        (Scope::Root(root), Some(Mkey::Uint(index))) if !several => {
            let index = u8::try_from(*index)
                .ok()
                .filter(|index| (1..=254).contains(index));
            let index = index.ok_or_else(|| refuse("there is no such index"))?;
            put(Component::Block(root, index), &digests, condition)
        }
        (Scope::Root(root), None) => {
            let layer = environment.class.as_ref().and_then(|class| class.layer);
            let layer = layer
                .and_then(|layer| u8::try_from(layer).ok())
                .ok_or_else(|| refuse("it names neither an index nor a layer"))?;
            match (values.svn, &values.raw) {
                (Some(_), _) if !digests.is_empty() => Err(refuse(
                    "digest and security version of one layer must be two measurements",
                )),
                (Some(_), None) => put(Component::Svn(root, layer), &[], condition),
                (None, None) => put(Component::Fwid(root, layer), &digests, None),
                (_, Some(_)) => Err(refuse("a layer has no raw value")),
            }
        }
        _ => Err(refuse("its key is not one of this part of the device")),
    }
}

impl Values {
    /// Whether there is nothing in it that an appraisal could not look at.
    fn plain(&self) -> bool {
        let known = Self {
            svn: self.svn,
            digests: self.digests.clone(),
            raw: self.raw.clone(),
            registers: self.registers.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            need: self.need,
            ..Self::default()
        };
        known == *self
    }
}

impl Draft {
    /// A set as a manifest of our own, to be signed by whoever vouches for it.
    #[must_use]
    pub fn of(values: &ReferenceValues) -> Self {
        let measurements = values.entries().iter().flat_map(|(component, entry)| {
            let key = Mkey::Text(component.to_string());
            let need = match entry.need() {
                Need::Required => None,
                other => Some(other),
            };
            let one = move |values: Values| Measurement {
                key: Some(key.clone()),
                values: Values { need, ..values },
                authorized_by: Vec::new(),
            };
            let digests = entry.accepted().iter().map(|digest| Values {
                digests: alloc::vec![AlgDigest::from(digest)],
                ..Values::default()
            });
            let conditions = entry.conditions().iter().map(|condition| match condition {
                Condition::Svn(svn) => Values {
                    svn: Some(*svn),
                    ..Values::default()
                },
                Condition::Raw(raw) => Values {
                    raw: Some(raw.clone()),
                    ..Values::default()
                },
            });
            let mut all: Vec<Values> = digests.chain(conditions).collect();
            if all.is_empty() {
                all.push(Values::default());
            }
            all.into_iter().map(one).collect::<Vec<_>>()
        });
        let class = Class {
            vendor: Some("assay".to_string()),
            ..Class::default()
        };
        let ends = values.ends();
        Self {
            id: values.id().to_string(),
            version: values.version(),
            profile: Some(Profile::Assay),
            ends: (ends != Timestamp::MAX).then_some(ends),
            reference: alloc::vec![ValueTriple {
                environment: Environment {
                    class: Some(class),
                    ..Environment::default()
                },
                measurements: measurements.collect(),
            }],
        }
    }
}
