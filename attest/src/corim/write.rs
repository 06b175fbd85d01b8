//! Manifests of our own: Reference Values taken from a machine, or converted from a vendor's format.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::model::*;
use super::profile::Profile;
use super::scalar::tag;
use super::values::*;
use crate::codec::cbor::{self, Value};
use crate::codec::cose::{self, BuildError, Protected};
use crate::key::PublicKey;
use crate::time::Timestamp;

/// A manifest to write: one CoMID with reference triples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Name of the manifest and of its tag.
    pub id: alloc::string::String,
    /// The tag's version.
    pub version: u64,
    /// Its profile.
    pub profile: Option<Profile>,
    /// Its end.
    pub ends: Option<Timestamp>,
    /// Reference Values; of an environment class and instance by UEID, UUID or bytes are written.
    pub reference: Vec<ValueTriple>,
}

impl Draft {
    /// The unsigned manifest, `#6.501`, in deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let triples = self.reference.iter().map(triple).collect();
        let comid = map([
            (
                1,
                Some(map([
                    (0, Some(text(&self.id))),
                    (1, Some(self.version.into())),
                ])),
            ),
            (4, Some(map([(0, Some(Value::Array(triples)))]))),
        ]);
        let comid = Value::Tag(506, Value::Bytes(cbor::encode(comid)).into());
        let corim = map([
            (0, Some(text(&self.id))),
            (1, Some(Value::Array(alloc::vec![comid]))),
            (
                3,
                self.profile
                    .map(|profile| Value::Tag(tag::URI, text(profile.uri()).into())),
            ),
            (4, self.ends.map(validity)),
        ]);
        cbor::encode(Value::Tag(501, corim.into()))
    }
}

/// Signs an unsigned manifest (`#6.501`, its bytes). `ends` limits the signature; `sign` gets the bytes to be signed.
///
/// # Errors
/// [`BuildError`].
pub fn sign<E>(
    manifest: Vec<u8>,
    key: &PublicKey,
    key_id: &[u8],
    signer: &str,
    ends: Option<Timestamp>,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, BuildError<E>> {
    let meta = map([
        (0, Some(map([(0, Some(text(signer)))]))),
        (1, ends.map(validity)),
    ]);
    let protected = Protected {
        key,
        key_id,
        content_type: "application/rim+cbor",
    };
    let meta = Value::Bytes(cbor::encode(meta));
    cose::build_with(&protected, alloc::vec![(8, meta)], manifest, &[], sign)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_string())
}

fn map<const N: usize>(fields: [(i64, Option<Value>); N]) -> Value {
    let present = fields
        .into_iter()
        .filter_map(|(key, value)| Some((Value::Integer(key.into()), value?)));
    Value::Map(present.collect())
}

fn tagged(number: u64, bytes: &[u8]) -> Value {
    Value::Tag(number, Value::Bytes(bytes.to_vec()).into())
}

fn validity(ends: Timestamp) -> Value {
    let seconds = Value::Tag(tag::TIME, Value::Integer(ends.as_secs().into()).into());
    map([(1, Some(seconds))])
}

fn triple(triple: &ValueTriple) -> Value {
    let measurements = triple.measurements.iter().map(measurement).collect();
    Value::Array(alloc::vec![
        environment(&triple.environment),
        Value::Array(measurements)
    ])
}

fn environment(environment: &Environment) -> Value {
    let class = environment.class.as_ref().map(|class| {
        let id = class.id.as_ref().map(|id| match id {
            ClassId::Oid(oid) => tagged(tag::OID, oid),
            ClassId::Uuid(uuid) => tagged(tag::UUID, uuid),
            ClassId::Bytes(bytes) => tagged(tag::BYTES, bytes),
            ClassId::ImplementationId(id) => tagged(tag::PSA_IMPLEMENTATION, id),
        });
        map([
            (0, id),
            (1, class.vendor.as_deref().map(text)),
            (2, class.model.as_deref().map(text)),
            (3, class.layer.map(Value::from)),
            (4, class.index.map(Value::from)),
        ])
    });
    let instance = environment
        .instance
        .as_ref()
        .and_then(|instance| match instance {
            Instance::Ueid(ueid) => Some(tagged(tag::UEID, ueid)),
            Instance::Uuid(uuid) => Some(tagged(tag::UUID, uuid)),
            Instance::Bytes(bytes) => Some(tagged(tag::BYTES, bytes)),
            Instance::Key(_) => None,
        });
    map([(0, class), (1, instance)])
}

fn measurement(measurement: &Measurement) -> Value {
    let key = measurement.key.as_ref().map(|key| match key {
        Mkey::Uint(number) => Value::from(*number),
        Mkey::Text(name) => text(name),
        Mkey::Oid(oid) => tagged(tag::OID, oid),
        Mkey::Uuid(uuid) => tagged(tag::UUID, uuid),
        // No manifest of ours has the old tags of others: what they stand for is named.
        other @ (Mkey::PsaComponent(..) | Mkey::CcaConfig(_)) => text(&other.to_string()),
    });
    map([(0, key), (1, Some(values(&measurement.values)))])
}

fn values(values: &Values) -> Value {
    let svn = values.svn.map(|svn| match svn {
        Svn::Exact(number) => Value::Tag(tag::SVN, Value::from(number).into()),
        Svn::Min(least) => Value::Tag(tag::MIN_SVN, Value::from(least).into()),
    });
    let flags = values.flags.map(|flags| {
        let stated = (0_u8..11).filter(|bit| flags.stated >> bit & 1 == 1);
        let pair = |bit: u8| (Value::from(bit), Value::Bool(flags.set >> bit & 1 == 1));
        Value::Map(stated.map(pair).collect())
    });
    let raw = values.raw.as_ref().map(|raw| match &raw.mask {
        None => tagged(tag::BYTES, &raw.value),
        Some(mask) => {
            let pair = [Value::Bytes(raw.value.clone()), Value::Bytes(mask.clone())];
            Value::Tag(tag::MASKED, Value::Array(pair.to_vec()).into())
        }
    });
    let registers = (!values.registers.is_empty()).then(|| {
        let pair = |(id, list): (&RegisterId, &Vec<AlgDigest>)| {
            let id = match id {
                RegisterId::Uint(number) => Value::from(*number),
                RegisterId::Text(name) => text(name),
            };
            (id, digests(list))
        };
        Value::Map(values.registers.iter().map(pair).collect())
    });
    let version = values
        .version
        .as_ref()
        .map(|(version, _)| map([(0, Some(text(version)))]));
    map([
        (0, version),
        (1, svn),
        (
            2,
            (!values.digests.is_empty()).then(|| digests(&values.digests)),
        ),
        (3, flags),
        (4, raw),
        (8, values.serial.as_deref().map(text)),
        (
            9,
            values.ueid.as_ref().map(|ueid| Value::Bytes(ueid.clone())),
        ),
        (
            10,
            values.uuid.as_ref().map(|uuid| Value::Bytes(uuid.to_vec())),
        ),
        (11, values.name.as_deref().map(text)),
        (14, registers),
        (-1, values.need.map(|need| text(need.as_str()))),
    ])
}

fn digests(list: &[AlgDigest]) -> Value {
    let pair = |digest: &AlgDigest| {
        let alg = match &digest.alg {
            AlgId::Number(number) => Value::from(*number),
            AlgId::Name(name) => text(name),
        };
        Value::Array(alloc::vec![alg, Value::Bytes(digest.bytes.clone())])
    };
    Value::Array(list.iter().map(pair).collect())
}
