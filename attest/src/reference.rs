//! Reference Values (RFC 9334, 4.1): what a device of a class is expected to measure.
//!
//! One canonical CBOR encoding, so one digest: `{1: id, 2: version, 3: {component: [need, [[alg, digest]...], ?[condition...]]}, ?4: end}`.

use crate::claims::Claims;
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::digest::{Digest, HashAlg, sha256};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::verify::{Evidence, Verified};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

pub use self::component::{Component, Root};
pub use self::condition::{Condition, Stated, stated};

mod component;
mod condition;

const WHAT: &str = "the reference values";

/// What must hold of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// It must be measured, and be accepted.
    Required,
    /// Where it is measured, it must be accepted.
    Optional,
    /// It must not be measured.
    Forbidden,
}

impl Need {
    /// `required`, `optional` or `forbidden`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Forbidden => "forbidden",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        [Self::Required, Self::Optional, Self::Forbidden]
            .into_iter()
            .find(|need| need.as_str() == text)
            .ok_or_else(|| malformed(&format!("there is no need `{text}`")))
    }
}

/// A component's entry: the need, and the digests that are accepted (none where it is forbidden).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    need: Need,
    accepted: BTreeSet<Digest>,
    conditions: BTreeSet<Condition>,
}

impl Entry {
    /// An entry that says something: digests where they are needed, and only there.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`].
    pub fn new(need: Need, accepted: BTreeSet<Digest>) -> Result<Self, Refusal> {
        Self::with(need, accepted, BTreeSet::new())
    }

    /// An entry that accepts these digests, and what meets one of these conditions.
    ///
    /// # Errors
    /// As [`Entry::new`].
    pub fn with(
        need: Need,
        accepted: BTreeSet<Digest>,
        conditions: BTreeSet<Condition>,
    ) -> Result<Self, Refusal> {
        let none = accepted.is_empty() && conditions.is_empty();
        if accepted.len().saturating_add(conditions.len()) > limits::REFERENCE_DIGESTS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::REFERENCE_DIGESTS,
            });
        }
        match need {
            Need::Forbidden if !none => Err(malformed("a forbidden component accepts digests")),
            Need::Required | Need::Optional if none => {
                Err(malformed("a component accepts nothing"))
            }
            Need::Forbidden | Need::Required | Need::Optional => Ok(Self {
                need,
                accepted,
                conditions,
            }),
        }
    }

    /// What must hold.
    #[must_use]
    pub const fn need(&self) -> Need {
        self.need
    }

    /// The accepted digests.
    #[must_use]
    pub const fn accepted(&self) -> &BTreeSet<Digest> {
        &self.accepted
    }

    /// What is accepted beside digests.
    #[must_use]
    pub const fn conditions(&self) -> &BTreeSet<Condition> {
        &self.conditions
    }
}

/// One set of reference values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceValues {
    id: String,
    version: u64,
    entries: BTreeMap<Component, Entry>,
    ends: Timestamp,
    bytes: Vec<u8>,
    digest: [u8; 32],
}

impl ReferenceValues {
    /// A set with at least one entry; [`Timestamp::MAX`] where it has no end.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`].
    pub fn new(
        id: &str,
        version: u64,
        entries: BTreeMap<Component, Entry>,
        ends: Timestamp,
    ) -> Result<Self, Refusal> {
        if entries.is_empty() {
            return Err(malformed("there is no component"));
        }
        if entries.len() > limits::REFERENCE_COMPONENTS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::REFERENCE_COMPONENTS,
            });
        }
        for (component, entry) in &entries {
            let fits = |digest: &Digest| match component {
                Component::Pcr(alg, _) => digest.alg() == *alg,
                // All zero is a place that is not used; nothing may match it.
                Component::Fwid(..) | Component::Block(..) | Component::Uefi(_) => {
                    !digest.is_zero()
                }
                Component::Svn(..) => false,
            };
            let may_be = |condition: &Condition| match component {
                Component::Pcr(..) | Component::Fwid(..) | Component::Uefi(_) => false,
                Component::Svn(..) => matches!(condition, Condition::Svn(_)),
                Component::Block(..) => true,
            };
            // Nothing would keep the log from calling it something else.
            let hidden = matches!(component, Component::Uefi(what) if what.is_stated());
            if hidden && matches!(entry.need, Need::Forbidden) {
                return Err(malformed(&format!(
                    "`{component}` can't be forbidden by its name"
                )));
            }
            if !entry.accepted.iter().all(fits) || !entry.conditions.iter().all(may_be) {
                return Err(malformed(&format!(
                    "`{component}` can't have such a digest"
                )));
            }
        }
        let id = cbor::text(WHAT, Value::Text(id.to_string()), limits::TEXT_BYTES)?;
        let bytes = write(&id, version, &entries, ends);
        let digest = sha256(&[&bytes]);
        Ok(Self {
            id,
            version,
            entries,
            ends,
            bytes,
            digest,
        })
    }

    /// Takes the values of a machine that is known to be good: the PCRs in `pcrs` (of every bank that was quoted) and
    /// every DICE layer, all required.
    ///
    /// # Errors
    /// [`Refusal::ReferencePcr`] where a chosen PCR was not quoted.
    pub fn taken_from(
        evidence: &Evidence<Verified>,
        id: &str,
        version: u64,
        pcrs: &[u8],
        ends: Timestamp,
    ) -> Result<Self, Refusal> {
        let seen = measured(evidence.claims());
        for index in pcrs {
            let quoted =
                |component: &Component| matches!(component, Component::Pcr(_, at) if at == index);
            if !seen.keys().any(quoted) {
                return Err(Refusal::ReferencePcr { index: *index });
            }
        }
        let chosen = |component: &Component| match component {
            Component::Pcr(_, index) => pcrs.contains(index),
            Component::Fwid(..) | Component::Svn(..) | Component::Block(..) => true,
            // What these PCRs hold, by name, so that a change says what changed; the PCR itself has the last word.
            Component::Uefi(what) => evidence.claims().uefi.iter().any(|boot| {
                let mut all = boot.of(*what).peekable();
                all.peek().is_some() && all.all(|measured| pcrs.contains(&measured.pcr))
            }),
        };
        let entries = seen
            .into_iter()
            .filter(|(component, digests)| {
                chosen(component) && digests.len() <= limits::REFERENCE_DIGESTS
            })
            .map(|(component, digests)| Ok((component, Entry::new(Need::Required, digests)?)))
            .collect::<Result<_, Refusal>>()?;
        Self::new(id, version, entries, ends)
    }

    /// Parses the canonical encoding; no other is accepted.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let map = cbor::decode(WHAT, bytes, limits::REFERENCE_BYTES, Form::Deterministic)?;
        let mut fields = Fields::new(WHAT, map)?;
        let id = fields.text(1, limits::TEXT_BYTES)?;
        let version = fields.unsigned(2)?;
        let Value::Map(raw) = fields.required(3)? else {
            return Err(malformed("the components are no map"));
        };
        let ends = match fields.optional(4) {
            None => Timestamp::MAX,
            Some(millis) => Timestamp::from_millis(cbor::unsigned(WHAT, &millis)?),
        };
        fields.finish()?;
        let entries = raw
            .into_iter()
            .map(|(name, entry)| {
                Ok((
                    cbor::text(WHAT, name, limits::TEXT_BYTES)?.parse()?,
                    parse_entry(entry)?,
                ))
            })
            .collect::<Result<_, Refusal>>()?;
        let parsed = Self::new(&id, version, entries, ends)?;
        if parsed.bytes == bytes {
            Ok(parsed)
        } else {
            Err(malformed("it is not in its one encoding"))
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// SHA-256 of the canonical encoding.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The name of this set.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// When it stops to count; a verdict that rests on it is not fresh beyond.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The entries by component.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<Component, Entry> {
        &self.entries
    }
}

/// What verified claims measure, by component.
#[must_use]
pub fn measured(claims: &Claims) -> BTreeMap<Component, BTreeSet<Digest>> {
    let mut seen: BTreeMap<Component, BTreeSet<Digest>> = BTreeMap::new();
    for (alg, values) in claims.tpm.iter().flat_map(|tpm| &tpm.pcrs) {
        for (index, digest) in values {
            seen.entry(Component::Pcr(*alg, *index))
                .or_default()
                .insert(digest.clone());
        }
    }
    for measured in claims.uefi.iter().flat_map(|boot| &boot.measured) {
        seen.entry(Component::Uefi(measured.what))
            .or_default()
            .insert(measured.digest.clone());
    }
    for dice in claims.identities() {
        let Some(root) = Root::of(dice.label) else {
            continue;
        };
        for (layer, fwids) in (0_u8..).zip(dice.layers.iter().map(|layer| &layer.fwids)) {
            for fwid in fwids {
                seen.entry(Component::Fwid(root, layer))
                    .or_default()
                    .insert(fwid.clone());
            }
        }
    }
    for spdm in &claims.spdm {
        let Some(root) = Root::of(spdm.label) else {
            continue;
        };
        for (index, block) in &spdm.measurements {
            if let Some(digest) = block.comparable() {
                seen.entry(Component::Block(root, *index))
                    .or_default()
                    .insert(digest);
            }
        }
    }
    seen
}

fn write(id: &str, version: u64, entries: &BTreeMap<Component, Entry>, ends: Timestamp) -> Vec<u8> {
    let entries = entries.iter().map(|(name, entry)| {
        let digests = entry.accepted.iter().map(|digest| {
            let pair = [
                Value::Integer(digest.alg().iana().into()),
                Value::Bytes(digest.bytes().to_vec()),
            ];
            Value::Array(pair.to_vec())
        });
        let need = Value::Text(entry.need.as_str().to_string());
        let mut parts = alloc::vec![need, Value::Array(digests.collect())];
        if !entry.conditions.is_empty() {
            let conditions = entry.conditions.iter().map(Condition::to_value);
            parts.push(Value::Array(conditions.collect()));
        }
        (Value::Text(name.to_string()), Value::Array(parts))
    });
    let mut map = alloc::vec![
        (Value::Integer(1.into()), Value::Text(id.to_string())),
        (Value::Integer(2.into()), Value::Integer(version.into())),
        (Value::Integer(3.into()), Value::Map(entries.collect())),
    ];
    if ends != Timestamp::MAX {
        map.push((
            Value::Integer(4.into()),
            Value::Integer(ends.as_millis().into()),
        ));
    }
    cbor::encode(Value::Map(map))
}

fn parse_entry(value: Value) -> Result<Entry, Refusal> {
    let mut parts = value.into_array().unwrap_or_default().into_iter();
    let (need, digests, conditions) = (parts.next(), parts.next(), parts.next());
    let (Some(need), Some(Value::Array(digests)), None) = (need, digests, parts.next()) else {
        return Err(malformed("a component has not need and digests"));
    };
    let need = Need::parse(&cbor::text(WHAT, need, limits::TEXT_BYTES)?)?;
    let accepted = digests
        .into_iter()
        .map(parse_digest)
        .collect::<Result<_, Refusal>>()?;
    let conditions = match conditions {
        None => Vec::new(),
        Some(Value::Array(some)) => some,
        Some(_) => return Err(malformed("the conditions of a component are no list")),
    };
    let conditions = conditions
        .into_iter()
        .map(Condition::parse)
        .collect::<Result<_, Refusal>>()?;
    Entry::with(need, accepted, conditions)
}

fn parse_digest(value: Value) -> Result<Digest, Refusal> {
    let parts = value
        .into_array()
        .ok()
        .and_then(|parts| <[Value; 2]>::try_from(parts).ok());
    let Some([alg, bytes]) = parts else {
        return Err(malformed("a digest is no pair of algorithm and bytes"));
    };
    let alg = u8::try_from(cbor::unsigned(WHAT, &alg)?)
        .ok()
        .and_then(HashAlg::from_iana);
    let alg = alg.ok_or_else(|| malformed("a digest has an algorithm that is not accepted"))?;
    let bytes = cbor::bytes(WHAT, bytes, 64)?;
    Digest::new(alg, &bytes)
        .ok_or_else(|| malformed("a digest has not the length of its algorithm"))
}

fn malformed(why: &str) -> Refusal {
    Refusal::Malformed {
        what: WHAT,
        why: why.to_string(),
    }
}
