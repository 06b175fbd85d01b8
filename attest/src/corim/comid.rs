//! Concise module identifiers (draft-ietf-rats-corim-11, 5): environments, measurements, triples.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::WHAT;
use super::environment::{environment, oid, unsupported};
use super::model::*;
use super::profile::Profile;
use super::scalar::{
    bytes, crypto_keys, digests, entity, items, list, malformed, sized, tag, tag_id, text, ueid,
    unsigned, uri, uuid,
};
use super::values::*;
use crate::codec::cbor::{Fields, Value};
use crate::reference::Need;
use crate::refusal::Refusal;

/// tag-creator, creator, maintainer.
const ROLES: [u64; 3] = [0, 1, 2];

/// What reading keeps in mind.
pub(super) struct Reader<'a> {
    pub(super) profile: Option<&'a Profile>,
    pub(super) relaxed: &'a mut BTreeSet<Relaxed>,
}

impl Reader<'_> {
    pub(super) fn comid(&mut self, value: Value) -> Result<Comid, Refusal> {
        let mut fields = Fields::new(WHAT, value)?;
        let language = fields.optional(0).map(text).transpose()?;
        let (id, version) = tag_identity(fields.required(1)?)?;
        let entities = items(fields.optional(2), "the entities", |e| entity(e, &ROLES))?;
        let linked = items(fields.optional(3), "the linked tags", linked)?;
        let triples = self.triples(fields.required(4)?)?;
        fields.finish()?;
        Ok(Comid {
            language,
            id,
            version,
            entities,
            linked,
            triples,
        })
    }

    fn triples(&mut self, value: Value) -> Result<Triples, Refusal> {
        let mut fields = Fields::new(WHAT, value)?;
        let triples = Triples {
            reference: items(fields.optional(0), "reference triples", |v| {
                self.values_of(v)
            })?,
            endorsed: items(fields.optional(1), "endorsed triples", |v| {
                self.values_of(v)
            })?,
            identity: items(fields.optional(2), "identity triples", |v| self.keys_of(v))?,
            attest_key: items(fields.optional(3), "attest key triples", |v| {
                self.keys_of(v)
            })?,
            dependency: items(fields.optional(4), "dependency triples", domains)?,
            membership: items(fields.optional(5), "membership triples", domains)?,
            coswid: items(fields.optional(6), "coswid triples", coswid)?,
            series: items(fields.optional(8), "endorsement series", |v| self.series(v))?,
            conditional: items(fields.optional(10), "conditional endorsements", |v| {
                self.conditional(v)
            })?,
        };
        fields.finish()?;
        if triples == Triples::default() {
            return Err(malformed("there are no triples"));
        }
        Ok(triples)
    }

    fn values_of(&mut self, value: Value) -> Result<ValueTriple, Refusal> {
        let [environment_map, claims] = parts(value, "a triple")?;
        Ok(ValueTriple {
            environment: environment(environment_map)?,
            measurements: self.measurements(claims, "the measurements of a triple")?,
        })
    }

    fn measurements(&mut self, value: Value, what: &str) -> Result<Vec<Measurement>, Refusal> {
        match value {
            one @ Value::Map(_) => {
                self.relaxed.insert(Relaxed::SingleMeasurement);
                Ok(alloc::vec![self.measurement(one)?])
            }
            many => list(many, what)?
                .into_iter()
                .map(|m| self.measurement(m))
                .collect(),
        }
    }

    fn keys_of(&mut self, value: Value) -> Result<KeyTriple, Refusal> {
        let mut items = list(value, "a key triple")?.into_iter();
        let (Some(environment_map), Some(keys)) = (items.next(), items.next()) else {
            return Err(malformed("a key triple has too few parts"));
        };
        if let Some(conditions) = items.next() {
            let mut fields = Fields::new(WHAT, conditions)?;
            fields.optional(0).map(mkey).transpose()?;
            crypto_keys(fields.optional(1))?;
            fields.finish()?;
        }
        if items.next().is_some() {
            return Err(malformed("a key triple has too many parts"));
        }
        Ok(KeyTriple {
            environment: environment(environment_map)?,
            keys: crypto_keys(Some(keys))?,
        })
    }

    fn series(&mut self, value: Value) -> Result<Series, Refusal> {
        let [condition, records] = parts(value, "an endorsement series")?;
        let mut condition = list(condition, "the condition of a series")?.into_iter();
        let (Some(environment_map), Some(claims)) = (condition.next(), condition.next()) else {
            return Err(malformed("the condition of a series has too few parts"));
        };
        let measurements = match claims {
            Value::Array(none) if none.is_empty() => Vec::new(),
            some => self.measurements(some, "the condition of a series")?,
        };
        crypto_keys(condition.next())?;
        if condition.next().is_some() {
            return Err(malformed("the condition of a series has too many parts"));
        }
        let records = list(records, "the records of a series")?
            .into_iter()
            .map(|record| {
                let [selection, addition] = parts(record, "a record of a series")?;
                Ok((
                    self.measurements(selection, "a selection")?,
                    self.measurements(addition, "an addition")?,
                ))
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Series {
            condition: ValueTriple {
                environment: environment(environment_map)?,
                measurements,
            },
            records,
        })
    }

    fn conditional(&mut self, value: Value) -> Result<Conditional, Refusal> {
        let [conditions, endorsements] = parts(value, "a conditional endorsement")?;
        let conditions = list(conditions, "the conditions")?;
        let endorsements = list(endorsements, "the endorsements")?;
        Ok(Conditional {
            conditions: conditions
                .into_iter()
                .map(|v| self.values_of(v))
                .collect::<Result<_, _>>()?,
            endorsements: endorsements
                .into_iter()
                .map(|v| self.values_of(v))
                .collect::<Result<_, _>>()?,
        })
    }

    fn measurement(&mut self, value: Value) -> Result<Measurement, Refusal> {
        let mut fields = Fields::new(WHAT, value)?;
        let key = fields.optional(0).map(mkey).transpose()?;
        let values = self.values(fields.required(1)?)?;
        let authorized_by = crypto_keys(fields.optional(2))?;
        fields.finish()?;
        Ok(Measurement {
            key,
            values,
            authorized_by,
        })
    }

    fn values(&mut self, value: Value) -> Result<Values, Refusal> {
        if value.as_map().is_some_and(Vec::is_empty) {
            return Err(malformed("a measurement has no values"));
        }
        let mut fields = Fields::new(WHAT, value)?;
        let raw = self.raw(fields.optional(4), fields.optional(5))?;
        let mut values = Values {
            version: fields.optional(0).map(version).transpose()?,
            svn: fields.optional(1).map(svn).transpose()?,
            digests: fields
                .optional(2)
                .map(digests)
                .transpose()?
                .unwrap_or_default(),
            flags: fields.optional(3).map(flags).transpose()?,
            raw,
            mac: fields
                .optional(6)
                .map(|v| sized(v, &[6, 8], "a mac address"))
                .transpose()?,
            ip: fields.optional(7).map(ip).transpose()?,
            serial: fields.optional(8).map(text).transpose()?,
            ueid: fields
                .optional(9)
                .map(|v| ueid(untag(v, tag::UEID)))
                .transpose()?,
            uuid: fields
                .optional(10)
                .map(|v| uuid(untag(v, tag::UUID)))
                .transpose()?,
            name: fields.optional(11).map(text).transpose()?,
            keys: crypto_keys(fields.optional(13))?,
            registers: fields
                .optional(14)
                .map(registers)
                .transpose()?
                .unwrap_or_default(),
            range: fields.optional(15).map(range).transpose()?,
            ..Values::default()
        };
        match self.profile {
            Some(Profile::Psa) => values.psa_cert = fields.optional(100).map(text).transpose()?,
            Some(Profile::Assay) => {
                values.need = fields
                    .optional(-1)
                    .map(|need| Need::parse(&text(need)?))
                    .transpose()?;
            }
            Some(_) | None => {}
        }
        fields.finish()?;
        Ok(values)
    }

    fn raw(&mut self, raw: Option<Value>, mask: Option<Value>) -> Result<Option<Raw>, Refusal> {
        let Some(raw) = raw else {
            return match mask {
                None => Ok(None),
                Some(_) => Err(malformed("a raw value mask stands alone")),
            };
        };
        let (value, own_mask) = match raw {
            Value::Tag(tag::BYTES, inner) => (bytes(*inner)?, None),
            Value::Tag(tag::MASKED, inner) => {
                let [value, mask] = parts(*inner, "a masked raw value")?;
                (bytes(value)?, Some(bytes(mask)?))
            }
            _ => return Err(malformed("a raw value has no tag 560 or 563")),
        };
        let mask = match (own_mask, mask) {
            (Some(_), Some(_)) => return Err(malformed("a raw value has two masks")),
            (own, None) => own,
            (None, Some(mask)) => {
                self.relaxed.insert(Relaxed::RawValueMask);
                Some(bytes(mask)?)
            }
        };
        if mask.as_ref().is_some_and(|mask| mask.len() != value.len()) {
            return Err(malformed("a raw value and its mask differ in length"));
        }
        Ok(Some(Raw { value, mask }))
    }
}

pub(super) fn tag_identity(value: Value) -> Result<(TagId, u64), Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let id = tag_id(fields.required(0)?)?;
    let version = fields.optional(1).as_ref().map(unsigned).transpose()?;
    fields.finish()?;
    Ok((id, version.unwrap_or(0)))
}

fn linked(value: Value) -> Result<(TagId, Relation), Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let id = tag_id(fields.required(0)?)?;
    let relation = match unsigned(&fields.required(1)?)? {
        0 => Relation::Supplements,
        1 => Relation::Replaces,
        _ => return Err(malformed("a linked tag has a relation that does not exist")),
    };
    fields.finish()?;
    Ok((id, relation))
}

fn domains(value: Value) -> Result<DomainTriple, Refusal> {
    let [domain, others] = parts(value, "a domain triple")?;
    Ok(DomainTriple {
        domain: environment(domain)?,
        others: items(Some(others), "the members of a domain", environment)?,
    })
}

fn coswid(value: Value) -> Result<(Environment, Vec<TagId>), Refusal> {
    let [environment_map, tags] = parts(value, "a coswid triple")?;
    Ok((
        environment(environment_map)?,
        items(Some(tags), "the tags of a coswid triple", tag_id)?,
    ))
}

fn parts(value: Value, what: &str) -> Result<[Value; 2], Refusal> {
    value
        .into_array()
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| malformed(&format!("{what} is no pair")))
}

fn untag(value: Value, tag: u64) -> Value {
    match value {
        Value::Tag(found, inner) if found == tag => *inner,
        other => other,
    }
}

fn mkey(value: Value) -> Result<Mkey, Refusal> {
    match value {
        Value::Integer(_) => unsigned(&value).map(Mkey::Uint),
        Value::Text(_) => text(value).map(Mkey::Text),
        Value::Tag(tag::OID, inner) => oid(*inner).map(Mkey::Oid),
        Value::Tag(tag::UUID, inner) => uuid(*inner).map(Mkey::Uuid),
        Value::Tag(tag::PSA_COMPONENT, inner) => {
            let mut fields = Fields::new(WHAT, *inner)?;
            let label = fields.optional(1).map(text).transpose()?;
            let version = fields.optional(4).map(text).transpose()?;
            let signer = sized(fields.required(5)?, &[32, 48, 64], "a signer id")?;
            fields.finish()?;
            Ok(Mkey::PsaComponent(label, version, signer))
        }
        Value::Tag(tag::CCA_CONFIG, inner) => text(*inner).map(Mkey::CcaConfig),
        other => Err(unsupported("the measurement key", &other)),
    }
}

fn version(
    value: Value,
) -> Result<(alloc::string::String, Option<alloc::string::String>), Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let version = text(fields.required(0)?)?;
    let scheme = match fields.optional(1) {
        None => None,
        Some(Value::Integer(number)) => Some(i128::from(number).to_string()),
        Some(name) => Some(text(name)?),
    };
    fields.finish()?;
    Ok((version, scheme))
}

fn svn(value: Value) -> Result<Svn, Refusal> {
    match value {
        Value::Tag(tag::SVN, inner) => unsigned(&inner).map(Svn::Exact),
        Value::Tag(tag::MIN_SVN, inner) => unsigned(&inner).map(Svn::Min),
        bare => unsigned(&bare).map(Svn::Exact),
    }
}

fn flags(value: Value) -> Result<Flags, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let mut flags = Flags::default();
    for (key, bit) in (0_i64..).zip((0..FLAGS.len()).map(|bit| 1_u16 << bit)) {
        match fields.optional(key) {
            None => {}
            Some(Value::Bool(set)) => {
                flags.stated |= bit;
                flags.set |= if set { bit } else { 0 };
            }
            Some(_) => return Err(malformed("a flag is neither true nor false")),
        }
    }
    fields.finish()?;
    if flags.stated == 0 {
        return Err(malformed("there are no flags"));
    }
    Ok(flags)
}

/// An address: bytes, or as RFC 9164 tags it.
fn ip(value: Value) -> Result<Vec<u8>, Refusal> {
    let bare = match value {
        Value::Tag(52 | 54, inner) => *inner,
        other => other,
    };
    sized(bare, &[4, 16], "an ip address")
}

fn registers(value: Value) -> Result<BTreeMap<RegisterId, Vec<AlgDigest>>, Refusal> {
    let Value::Map(entries) = value else {
        return Err(malformed("the integrity registers are no map"));
    };
    if entries.is_empty() {
        return Err(malformed("there are no integrity registers"));
    }
    entries
        .into_iter()
        .map(|(id, value)| {
            let id = match id {
                Value::Integer(_) => RegisterId::Uint(unsigned(&id)?),
                name => RegisterId::Text(text(name)?),
            };
            Ok((id, digests(value)?))
        })
        .collect()
}

fn range(value: Value) -> Result<(Option<i128>, Option<i128>), Refusal> {
    let number = |value: Value| match value {
        Value::Integer(number) => Ok(Some(i128::from(number))),
        Value::Null => Ok(None),
        _ => Err(malformed("a range is not of integers")),
    };
    let (least, greatest) = match value {
        Value::Tag(tag::INT_RANGE, inner) => {
            let [least, greatest] = parts(*inner, "a range")?;
            (number(least)?, number(greatest)?)
        }
        Value::Integer(only) => (Some(only.into()), Some(only.into())),
        _ => return Err(malformed("a range has no tag 564")),
    };
    if least
        .zip(greatest)
        .is_some_and(|(least, greatest)| least > greatest)
    {
        return Err(malformed("a range is empty"));
    }
    Ok((least, greatest))
}

/// A URI or object identifier.
pub(super) fn profile(value: Value) -> Result<Profile, Refusal> {
    match value {
        Value::Tag(tag::OID, inner) => Profile::of_oid(&oid(*inner)?),
        other => Profile::of_uri(&uri(other)?),
    }
}
