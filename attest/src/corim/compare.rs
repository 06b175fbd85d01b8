//! Measured values against Reference Values (draft-ietf-rats-corim-11, 9.4): what can't be compared does not match.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::model::*;
use super::values::*;

/// How one measured element compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// One of its reference values matches.
    Match,
    /// None does.
    Mismatch,
    /// It has reference values and is not measured.
    Missing,
    /// It is measured and has no reference values.
    Unlisted,
}

impl Found {
    /// `match`, `mismatch`, `missing`, `unlisted`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::Missing => "missing",
            Self::Unlisted => "unlisted",
        }
    }
}

/// One measured element, and what was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The element; `None` for the one element of an environment that names none.
    pub key: Option<Mkey>,
    /// How it compares.
    pub found: Found,
    /// What would have matched.
    pub expected: String,
    /// What was measured.
    pub seen: String,
}

/// Compares each element that is measured or has reference values. Of several reference values of one element, one must
/// match, whole; every value that was measured of it must be matched.
#[must_use]
pub fn compare<'a>(
    reference: impl IntoIterator<Item = &'a ValueTriple>,
    measured: &[Measurement],
) -> Vec<Comparison> {
    let reference: Vec<&Measurement> = reference
        .into_iter()
        .flat_map(|triple| &triple.measurements)
        .collect();
    let mut keys: Vec<&Option<Mkey>> = Vec::new();
    for measurement in reference.iter().copied().chain(measured) {
        if !keys.contains(&&measurement.key) {
            keys.push(&measurement.key);
        }
    }
    keys.sort();
    let one = |key: &Option<Mkey>| {
        let due: Vec<&Measurement> = reference
            .iter()
            .filter(|m| m.key == *key)
            .copied()
            .collect();
        let seen: Vec<&Measurement> = measured.iter().filter(|m| m.key == *key).collect();
        let found = match (due.is_empty(), seen.is_empty()) {
            (true, _) => Found::Unlisted,
            (false, true) => Found::Missing,
            (false, false) => {
                let good = |seen: &&Measurement| due.iter().any(|d| d.values.accepts(&seen.values));
                if seen.iter().all(good) {
                    Found::Match
                } else {
                    Found::Mismatch
                }
            }
        };
        let join = |all: &[&Measurement]| {
            let texts: Vec<String> = all.iter().map(|m| m.values.to_string()).collect();
            texts.join(" or ")
        };
        Comparison {
            key: key.clone(),
            found,
            expected: join(&due),
            seen: join(&seen),
        }
    };
    keys.into_iter().map(one).collect()
}

impl Values {
    /// Whether every value that is stated here is matched by one measured there.
    #[must_use]
    pub fn accepts(&self, seen: &Self) -> bool {
        fn equal<T: PartialEq>(due: Option<&T>, seen: Option<&T>) -> bool {
            due.is_none_or(|due| seen == Some(due))
        }
        let svn = self.svn.is_none_or(|due| match seen.svn {
            Some(Svn::Exact(number)) => due.accepts(number),
            Some(Svn::Min(_)) | None => false,
        });
        let version = self
            .version
            .as_ref()
            .is_none_or(|(due, _)| seen.version.as_ref().is_some_and(|(found, _)| found == due));
        let raw = self.raw.as_ref().is_none_or(|due| {
            seen.raw
                .as_ref()
                .is_some_and(|found| due.accepts(&found.value))
        });
        let flags = self
            .flags
            .is_none_or(|due| seen.flags.is_some_and(|found| due.accepts(found)));
        let registers = self.registers.iter().all(|(id, due)| {
            seen.registers
                .get(id)
                .is_some_and(|found| same_digests(due, found))
        });
        let range = self.range.is_none_or(|(least, greatest)| match seen.range {
            Some((Some(from), Some(to))) => {
                least.is_none_or(|least| from >= least)
                    && greatest.is_none_or(|greatest| to <= greatest)
            }
            Some(_) | None => false,
        });
        let keys = self.keys.iter().all(|key| seen.keys.contains(key));
        let digests = self.digests.is_empty() || same_digests(&self.digests, &seen.digests);
        svn && version
            && raw
            && flags
            && registers
            && range
            && keys
            && digests
            && equal(self.mac.as_ref(), seen.mac.as_ref())
            && equal(self.ip.as_ref(), seen.ip.as_ref())
            && equal(self.serial.as_ref(), seen.serial.as_ref())
            && equal(self.ueid.as_ref(), seen.ueid.as_ref())
            && equal(self.uuid.as_ref(), seen.uuid.as_ref())
            && self.compares()
    }

    /// Whether there is anything here that a measurement could be held against; names alone are not.
    fn compares(&self) -> bool {
        let unnamed = Self {
            name: None,
            psa_cert: None,
            need: None,
            ..self.clone()
        };
        unnamed != Self::default()
    }
}

/// Every algorithm that both have gives the same digest, and there is one; an algorithm twice in a list matches nothing.
fn same_digests(due: &[AlgDigest], seen: &[AlgDigest]) -> bool {
    let alg = |digest: &AlgDigest| {
        digest.alg.known().map_or_else(
            || digest.alg.clone(),
            |alg| AlgId::Number(alg.iana().into()),
        )
    };
    let once = |list: &[AlgDigest]| {
        let mut all: Vec<AlgId> = list.iter().map(alg).collect();
        all.sort();
        all.windows(2).all(|pair| pair.first() != pair.last())
    };
    let common: Vec<bool> = due
        .iter()
        .flat_map(|due| {
            seen.iter()
                .filter(|s| alg(s) == alg(due))
                .map(|s| s.bytes == due.bytes)
        })
        .collect();
    once(due) && once(seen) && !common.is_empty() && common.into_iter().all(|same| same)
}

impl Environment {
    /// Whether every part that is stated here is stated alike there.
    #[must_use]
    pub fn accepts(&self, other: &Self) -> bool {
        fn part<T: PartialEq>(due: Option<&T>, found: Option<&T>) -> bool {
            due.is_none_or(|due| found == Some(due))
        }
        let class = self.class.as_ref().is_none_or(|due| {
            other.class.as_ref().is_some_and(|found| {
                part(due.id.as_ref(), found.id.as_ref())
                    && part(due.vendor.as_ref(), found.vendor.as_ref())
                    && part(due.model.as_ref(), found.model.as_ref())
                    && part(due.layer.as_ref(), found.layer.as_ref())
                    && part(due.index.as_ref(), found.index.as_ref())
            })
        });
        class
            && part(self.instance.as_ref(), other.instance.as_ref())
            && part(self.group.as_ref(), other.group.as_ref())
    }
}

/// What follows from a set of accepted claims: the endorsed values of their environments, and those of every conditional
/// endorsement and series whose conditions hold, over again until nothing is added.
#[must_use]
pub fn endorsed<'a>(
    triples: impl IntoIterator<Item = &'a Triples> + Clone,
    accepted: &[ValueTriple],
) -> Vec<ValueTriple> {
    let mut known = accepted.to_vec();
    loop {
        let mut added: Vec<ValueTriple> = Vec::new();
        for triples in triples.clone() {
            let here = |triple: &&ValueTriple| {
                known
                    .iter()
                    .any(|known| triple.environment.accepts(&known.environment))
            };
            added.extend(triples.endorsed.iter().filter(here).cloned());
            for conditional in &triples.conditional {
                if conditional.conditions.iter().all(|c| holds(c, &known)) {
                    added.extend(conditional.endorsements.iter().cloned());
                }
            }
            for series in &triples.series {
                if holds(&series.condition, &known) {
                    let environment = &series.condition.environment;
                    let of = |measurements: &[Measurement]| ValueTriple {
                        environment: environment.clone(),
                        measurements: measurements.to_vec(),
                    };
                    let first = series.records.iter().find(|(s, _)| holds(&of(s), &known));
                    added.extend(first.map(|(_, addition)| of(addition)));
                }
            }
        }
        // Each round adds at least one of the finitely many values that the files hold, or ends.
        added.retain(|triple| !known.contains(triple));
        if added.is_empty() {
            let before = accepted.len();
            return known.into_iter().skip(before).collect();
        }
        for triple in added {
            if !known.contains(&triple) {
                known.push(triple);
            }
        }
    }
}

/// Whether each claim of a condition is among those that are known of its environment.
fn holds(condition: &ValueTriple, known: &[ValueTriple]) -> bool {
    let here: Vec<&ValueTriple> = known
        .iter()
        .filter(|k| condition.environment.accepts(&k.environment))
        .collect();
    let met = |due: &Measurement| {
        let mut seen = here.iter().flat_map(|known| &known.measurements);
        seen.any(|seen| seen.key == due.key && due.values.accepts(&seen.values))
    };
    !here.is_empty() && condition.measurements.iter().all(met)
}
