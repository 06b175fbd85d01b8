//! Environments (draft-ietf-rats-corim-11, 5.1.4.2): which part of which machine.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::WHAT;
use super::model::*;
use super::scalar::{bytes, crypto_key, malformed, sized, tag, text, ueid, unsigned, uuid};
use crate::codec::cbor::{Fields, Value};
use crate::refusal::Refusal;

pub(super) fn environment(value: Value) -> Result<Environment, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let environment = Environment {
        class: fields.optional(0).map(class).transpose()?,
        instance: fields.optional(1).map(instance).transpose()?,
        group: fields.optional(2).map(group).transpose()?,
    };
    fields.finish()?;
    if environment == Environment::default() {
        return Err(malformed("an environment is empty"));
    }
    Ok(environment)
}

fn class(value: Value) -> Result<Class, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let class = Class {
        id: fields.optional(0).map(class_id).transpose()?,
        vendor: fields.optional(1).map(text).transpose()?,
        model: fields.optional(2).map(text).transpose()?,
        layer: fields.optional(3).as_ref().map(unsigned).transpose()?,
        index: fields.optional(4).as_ref().map(unsigned).transpose()?,
    };
    fields.finish()?;
    if class == Class::default() {
        return Err(malformed("a class is empty"));
    }
    Ok(class)
}

fn class_id(value: Value) -> Result<ClassId, Refusal> {
    match value {
        Value::Tag(tag::OID, inner) => oid(*inner).map(ClassId::Oid),
        Value::Tag(tag::UUID, inner) => uuid(*inner).map(ClassId::Uuid),
        Value::Tag(tag::BYTES, inner) => bytes(*inner).map(ClassId::Bytes),
        Value::Tag(tag::PSA_IMPLEMENTATION, inner) => {
            sized(*inner, &[32], "an implementation id").map(ClassId::ImplementationId)
        }
        other => Err(unsupported("the class id", &other)),
    }
}

fn instance(value: Value) -> Result<Instance, Refusal> {
    match value {
        Value::Tag(tag::UEID, inner) => ueid(*inner).map(Instance::Ueid),
        Value::Tag(tag::UUID, inner) => uuid(*inner).map(Instance::Uuid),
        Value::Tag(tag::BYTES, inner) => bytes(*inner).map(Instance::Bytes),
        key @ Value::Tag(554 | 555 | 557 | 558 | 559 | 562, _) => {
            crypto_key(key).map(Instance::Key)
        }
        other => Err(unsupported("the instance id", &other)),
    }
}

fn group(value: Value) -> Result<Group, Refusal> {
    match value {
        Value::Tag(tag::UUID, inner) => uuid(*inner).map(Group::Uuid),
        Value::Tag(tag::BYTES, inner) => bytes(*inner).map(Group::Bytes),
        other => Err(unsupported("the group id", &other)),
    }
}

pub(super) fn oid(value: Value) -> Result<Vec<u8>, Refusal> {
    match bytes(value)? {
        empty if empty.is_empty() => Err(malformed("an object identifier is empty")),
        found => Ok(found),
    }
}

pub(super) fn unsupported(what: &'static str, value: &Value) -> Refusal {
    let found = match value {
        Value::Tag(tag, _) => format!("tag {tag}"),
        Value::Bytes(_) => "bytes without a tag".to_string(),
        Value::Text(_) => "text without a tag".to_string(),
        _ => "another type".to_string(),
    };
    Refusal::Unsupported { what, found }
}
