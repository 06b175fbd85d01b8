//! Reference Values that are no digests: security version numbers, exact or at least; values as they are, under a mask.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::{Component, Root, WHAT, malformed};
use crate::claims::Claims;
use crate::codec::cbor::{self, Value};
use crate::codec::spdm::block;
use crate::corim::{Raw, Svn};
use crate::limits;
use crate::refusal::Refusal;

/// What a component may be beside a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// A security version number.
    Svn(Svn),
    /// A value as it is, in the bits of its mask.
    Raw(Raw),
}

/// What a component states, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Its security version number.
    pub svn: Option<u64>,
    /// Its value.
    pub raw: Option<Vec<u8>>,
}

impl Condition {
    /// Whether a component that states this is one that is meant.
    #[must_use]
    pub fn accepts(&self, stated: &Stated) -> bool {
        match self {
            Self::Svn(due) => stated.svn.is_some_and(|seen| due.accepts(seen)),
            Self::Raw(due) => stated.raw.as_ref().is_some_and(|seen| due.accepts(seen)),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let parts = match self {
            Self::Svn(Svn::Exact(number)) => alloc::vec![1.into(), (*number).into()],
            Self::Svn(Svn::Min(least)) => alloc::vec![2.into(), (*least).into()],
            Self::Raw(raw) => {
                let value = Value::Bytes(raw.value.clone());
                let mask = raw.mask.clone().map(Value::Bytes);
                [Value::from(3), value].into_iter().chain(mask).collect()
            }
        };
        Value::Array(parts)
    }

    pub(super) fn parse(value: Value) -> Result<Self, Refusal> {
        let bytes = |value| cbor::bytes(WHAT, value, limits::REFERENCE_RAW);
        let mut parts = value.into_array().unwrap_or_default().into_iter();
        let (kind, first, second) = (parts.next(), parts.next(), parts.next());
        let (Some(kind), Some(first), None) = (kind, first, parts.next()) else {
            return Err(malformed("a condition has not its parts"));
        };
        match (cbor::unsigned(WHAT, &kind)?, second) {
            (1, None) => Ok(Self::Svn(Svn::Exact(cbor::unsigned(WHAT, &first)?))),
            (2, None) => Ok(Self::Svn(Svn::Min(cbor::unsigned(WHAT, &first)?))),
            (3, mask) => {
                let (value, mask) = (bytes(first)?, mask.map(bytes).transpose()?);
                if mask.as_ref().is_some_and(|mask| mask.len() != value.len()) {
                    return Err(malformed("a value and its mask differ in length"));
                }
                Ok(Self::Raw(Raw { value, mask }))
            }
            _ => Err(malformed("there is no such condition")),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Svn(svn) => svn.fmt(f),
            Self::Raw(raw) => raw.fmt(f),
        }
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = self.raw.as_ref().map(|raw| Raw {
            value: raw.clone(),
            mask: None,
        });
        match (self.svn, raw) {
            (Some(svn), _) => Svn::Exact(svn).fmt(f),
            (None, Some(raw)) => raw.fmt(f),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// What verified claims state as it is, by component.
#[must_use]
pub fn stated(claims: &Claims) -> BTreeMap<Component, Vec<Stated>> {
    let mut all: BTreeMap<Component, Vec<Stated>> = BTreeMap::new();
    for dice in claims.identities() {
        let Some(root) = Root::of(dice.label) else {
            continue;
        };
        for (layer, found) in (0_u8..).zip(&dice.layers) {
            for svn in &found.svns {
                let stated = Stated {
                    svn: Some(*svn),
                    raw: None,
                };
                all.entry(Component::Svn(root, layer))
                    .or_default()
                    .push(stated);
            }
        }
    }
    for spdm in &claims.spdm {
        let Some(root) = Root::of(spdm.label) else {
            continue;
        };
        for (index, found) in &spdm.measurements {
            let block::Value::Raw(raw) = &found.value else {
                continue;
            };
            let stated = Stated {
                svn: found.svn(),
                raw: Some(raw.clone()),
            };
            all.entry(Component::Block(root, *index))
                .or_default()
                .push(stated);
        }
    }
    all
}
