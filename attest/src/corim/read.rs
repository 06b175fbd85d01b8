//! The outermost maps: what kind of file it is, and the manifest in it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::WHAT;
use super::comid::{Reader, profile, tag_identity};
use super::model::*;
use super::profile::check;
use super::scalar::{entity, items, list, locator, malformed, tag_id, text, validity};
use super::signed::SignedCorim;
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::limits;
use crate::refusal::Refusal;

/// manifest-creator, manifest-signer; 0 is what files of before draft 03 say.
const ROLES: [u64; 3] = [0, 1, 2];

/// A file, by what it holds.
#[derive(Clone, Debug)]
pub enum Document {
    /// COSE_Sign1 around a manifest.
    Signed(Box<SignedCorim>),
    /// A manifest that nobody signed.
    Unsigned(Box<Corim>),
    /// One CoMID.
    Comid(Box<Comid>, BTreeSet<Relaxed>),
}

impl Document {
    /// Reads a file: `#6.18`, `#6.501`, `#6.506`, each in the older `#6.500(#6.502(..))` too, a bare corim-map or a bare
    /// concise-mid-tag. Maps may be in any order.
    ///
    /// # Errors
    /// `evidence.*` for what is not well-formed or breaks a bound, `corim.*` for the rest.
    pub fn parse(file: &[u8]) -> Result<Self, Refusal> {
        let value = cbor::decode(WHAT, file, limits::CORIM_BYTES, Form::WellFormed)?;
        let mut relaxed = BTreeSet::new();
        match peel(value, &mut relaxed) {
            Value::Tag(18, inner) => {
                SignedCorim::of_value(*inner, file, relaxed).map(|s| Self::Signed(Box::new(s)))
            }
            Value::Tag(501, inner) => {
                corim(*inner, relaxed).map(|corim| Self::Unsigned(Box::new(corim)))
            }
            Value::Tag(506, inner) => comid_alone(*inner, relaxed),
            // key 4 (triples) stands in every CoMID, and nowhere in a manifest holds a map with these keys.
            map @ Value::Map(_) if is_comid(&map) => comid_alone(map, relaxed),
            map @ Value::Map(_) => {
                relaxed.insert(Relaxed::BareMap);
                corim(map, relaxed).map(|corim| Self::Unsigned(Box::new(corim)))
            }
            _ => Err(malformed("it is neither manifest nor tag")),
        }
    }

    /// The manifest, trusted or not, if it is one.
    #[must_use]
    pub fn corim(&self) -> Option<&Corim> {
        match self {
            Self::Signed(signed) => Some(signed.corim_unverified()),
            Self::Unsigned(corim) => Some(corim),
            Self::Comid(..) => None,
        }
    }

    /// Its CoMIDs that are in force.
    #[must_use]
    pub fn comids(&self) -> Vec<&Comid> {
        match self {
            Self::Comid(comid, _) => alloc::vec![&**comid],
            Self::Signed(_) | Self::Unsigned(_) => {
                self.corim().into_iter().flat_map(Corim::comids).collect()
            }
        }
    }
}

pub(super) fn peel(mut value: Value, relaxed: &mut BTreeSet<Relaxed>) -> Value {
    for old in [500, 502] {
        if let Value::Tag(tag, inner) = value {
            if tag == old {
                relaxed.insert(Relaxed::OldWrapping);
                value = *inner;
            } else {
                value = Value::Tag(tag, inner);
            }
        }
    }
    value
}

fn is_comid(value: &Value) -> bool {
    let entry = |key: u8| {
        let key = Value::from(key);
        let mut entries = value.as_map().into_iter().flatten();
        entries
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    entry(1).is_some_and(Value::is_map) && entry(4).is_some_and(Value::is_map)
}

fn comid_alone(value: Value, mut relaxed: BTreeSet<Relaxed>) -> Result<Document, Refusal> {
    let map = match value {
        Value::Bytes(inner) => cbor::decode(WHAT, &inner, limits::CORIM_BYTES, Form::WellFormed)?,
        other => other,
    };
    let comid = Reader {
        profile: None,
        relaxed: &mut relaxed,
    }
    .comid(map)?;
    Ok(Document::Comid(Box::new(comid), relaxed))
}

/// A payload: `#6.501(corim-map)`, or the bare map.
pub(super) fn payload(payload: &[u8], mut relaxed: BTreeSet<Relaxed>) -> Result<Corim, Refusal> {
    let value = cbor::decode(WHAT, payload, limits::CORIM_BYTES, Form::WellFormed)?;
    match peel(value, &mut relaxed) {
        Value::Tag(501, inner) => corim(*inner, relaxed),
        map @ Value::Map(_) => {
            relaxed.insert(Relaxed::BareMap);
            corim(map, relaxed)
        }
        _ => Err(malformed("the payload is no manifest")),
    }
}

pub(super) fn corim(value: Value, mut relaxed: BTreeSet<Relaxed>) -> Result<Corim, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    // An empty map is signed as well as any: it says nothing, and nothing may rest on it.
    let id = tag_id(fields.required(0)?)?;
    let raw_tags = list(fields.required(1)?, "the list of tags")?;
    let dependent = items(fields.optional(2), "the dependent manifests", locator)?;
    let profile = fields.optional(3).map(profile).transpose()?;
    let valid = fields
        .optional(4)
        .map(|value| validity(value, &mut relaxed))
        .transpose()?;
    let entities = items(fields.optional(5), "the entities", |e| entity(e, &ROLES))?;
    fields.finish()?;
    let tags = raw_tags
        .into_iter()
        .map(|value| tag(value, profile.as_ref(), &mut relaxed))
        .collect::<Result<Vec<_>, _>>()?;
    let corim = Corim {
        id,
        tags,
        dependent,
        profile,
        validity: valid,
        entities,
        relaxed,
    };
    lists_are_whole(&corim)?;
    check(&corim)?;
    Ok(corim)
}

fn tag(
    value: Value,
    profile: Option<&super::Profile>,
    relaxed: &mut BTreeSet<Relaxed>,
) -> Result<Tag, Refusal> {
    let (number, inner) = match value {
        Value::Tag(number, inner) => {
            let inner = bytes_of(*inner)?;
            (
                number,
                cbor::decode(WHAT, &inner, limits::CORIM_BYTES, Form::WellFormed)?,
            )
        }
        Value::Bytes(inner) => {
            match cbor::decode(WHAT, &inner, limits::CORIM_BYTES, Form::WellFormed)? {
                Value::Tag(number, inner) => {
                    relaxed.insert(Relaxed::SwappedTag);
                    (number, *inner)
                }
                _ => return Err(malformed("a tag has no tag")),
            }
        }
        _ => return Err(malformed("a tag is no tag")),
    };
    match number {
        505 => coswid(inner).map(Tag::Coswid),
        506 => Reader { profile, relaxed }
            .comid(inner)
            .map(|comid| Tag::Comid(Box::new(comid))),
        508 => cotl(inner, relaxed).map(Tag::Cotl),
        other => Err(Refusal::Unsupported {
            what: "the corim tag",
            found: alloc::format!("{other}"),
        }),
    }
}

fn bytes_of(value: Value) -> Result<Vec<u8>, Refusal> {
    cbor::bytes(WHAT, value, limits::CORIM_BYTES)
}

/// RFC 9393, 2.3: tag-id 0, software-name 1, entity 2, tag-version 12, software-version 13. The rest is not judged by.
fn coswid(value: Value) -> Result<Coswid, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let id = tag_id(fields.required(0)?)?;
    let name = text(fields.required(1)?)?;
    fields.required(2)?;
    let version = fields.optional(13).map(text).transpose()?;
    Ok(Coswid { id, name, version })
}

fn cotl(value: Value, relaxed: &mut BTreeSet<Relaxed>) -> Result<Cotl, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let (id, _) = tag_identity(fields.required(0)?)?;
    let tags = items(Some(fields.required(1)?), "a tag list", tag_identity)?;
    let validity = validity(fields.required(2)?, relaxed)?;
    fields.finish()?;
    Ok(Cotl { id, tags, validity })
}

/// A tag list activates all of its tags or none; one that is not here can't be.
fn lists_are_whole(corim: &Corim) -> Result<(), Refusal> {
    let here = |id: &TagId| {
        corim.tags.iter().any(|tag| match tag {
            Tag::Comid(comid) => comid.id == *id,
            Tag::Coswid(coswid) => coswid.id == *id,
            Tag::Cotl(_) => false,
        })
    };
    let mut listed = corim.tags.iter().filter_map(|tag| match tag {
        Tag::Cotl(list) => Some(list),
        Tag::Comid(_) | Tag::Coswid(_) => None,
    });
    match listed.find_map(|list| list.tags.iter().find(|(id, _)| !here(id))) {
        Some((id, _)) => Err(Refusal::CorimTagList {
            id: alloc::format!("{id}"),
        }),
        None => Ok(()),
    }
}
