//! Manifests in words: the claims of the kinds `corim` and `comid`.

use assay_attest::corim::*;
use assay_attest::digest::sha256;
use serde_json::{Map, Value, json};

use super::Claims;
use super::kind::{hex, time};

/// What a file says; `bytes` are its own.
#[must_use]
pub(crate) fn document(document: &Document, bytes: &[u8]) -> Claims {
    let mut claims = Claims::new();
    claims.insert("sha256".into(), hex(&sha256(&[bytes])).into());
    match document {
        Document::Comid(one, relaxed) => {
            claims.insert("form".into(), "comid".into());
            claims.insert("relaxed".into(), names(relaxed.iter().copied()));
            claims.insert("tags".into(), json!([comid(one)]));
        }
        Document::Unsigned(manifest) => {
            claims.insert("form".into(), "unsigned".into());
            corim(manifest, &mut claims);
        }
        Document::Signed(signed) => {
            claims.insert("form".into(), "signed".into());
            let meta = signed.meta();
            claims.insert("signer".into(), meta.signer.clone().into());
            if let Some(uri) = &meta.uri {
                claims.insert("signer_uri".into(), uri.clone().into());
            }
            if !signed.key_id().is_empty() {
                claims.insert("key_id".into(), hex(signed.key_id()).into());
            }
            if let Some(validity) = meta.validity {
                claims.insert("signature_validity".into(), times(validity));
            }
            if !signed.chain().is_empty() {
                claims.insert("signers".into(), signed.chain().len().into());
            }
            corim(signed.corim_unverified(), &mut claims);
        }
    }
    claims
}

fn corim(manifest: &Corim, claims: &mut Claims) {
    claims.insert("id".into(), manifest.id.to_string().into());
    if let Some(profile) = manifest.profile {
        claims.insert("profile".into(), profile.to_string().into());
    }
    if let Some(validity) = manifest.validity {
        claims.insert("validity".into(), times(validity));
    }
    if !manifest.entities.is_empty() {
        claims.insert("entities".into(), entities(&manifest.entities));
    }
    if !manifest.dependent.is_empty() {
        let all = manifest.dependent.iter().map(|locator| {
            let digests: Vec<String> = locator.thumbprint.iter().map(ToString::to_string).collect();
            json!({"href": locator.href, "thumbprint": digests})
        });
        claims.insert("dependent_rims".into(), all.collect());
    }
    claims.insert("relaxed".into(), names(manifest.relaxed.iter().copied()));
    let tags = manifest.tags.iter().map(|tag| match tag {
        Tag::Comid(one) => comid(one),
        Tag::Coswid(coswid) => json!({
            "type": "coswid", "id": coswid.id.to_string(), "name": coswid.name, "version": coswid.version,
        }),
        Tag::Cotl(list) => {
            let tags: Vec<String> = list.tags.iter().map(|(id, _)| id.to_string()).collect();
            json!({"type": "cotl", "id": list.id.to_string(), "tags": tags, "validity": times(list.validity)})
        }
    });
    claims.insert("tags".into(), tags.collect());
}

fn names(relaxed: impl Iterator<Item = Relaxed>) -> Value {
    relaxed.map(|r| Value::from(r.as_str())).collect()
}

fn times(validity: Validity) -> Value {
    json!({"not_before": validity.not_before.map(time), "not_after": time(validity.not_after)})
}

fn entities(all: &[Entity]) -> Value {
    all.iter()
        .map(|e| json!({"name": e.name, "uri": e.reg_id, "roles": e.roles}))
        .collect()
}

fn comid(comid: &Comid) -> Value {
    let triples = &comid.triples;
    let mut out = Map::new();
    out.insert("type".into(), "comid".into());
    out.insert("id".into(), comid.id.to_string().into());
    out.insert("version".into(), comid.version.into());
    if !comid.entities.is_empty() {
        out.insert("entities".into(), entities(&comid.entities));
    }
    if !comid.linked.is_empty() {
        let linked = comid.linked.iter().map(|(id, relation)| {
            let relation = match relation {
                Relation::Supplements => "supplements",
                Relation::Replaces => "replaces",
            };
            json!({"id": id.to_string(), "relation": relation})
        });
        out.insert("linked_tags".into(), linked.collect());
    }
    let mut values = |name: &str, all: &[ValueTriple]| {
        if !all.is_empty() {
            out.insert(name.into(), all.iter().map(triple).collect());
        }
    };
    values("reference_values", &triples.reference);
    values("endorsed_values", &triples.endorsed);
    for (name, all) in [
        ("attest_keys", &triples.attest_key),
        ("identity_keys", &triples.identity),
    ] {
        if !all.is_empty() {
            let keys = all.iter().map(|triple| {
                let keys: Vec<Value> = triple.keys.iter().map(key).collect();
                json!({"environment": environment(&triple.environment), "keys": keys})
            });
            out.insert(name.into(), keys.collect());
        }
    }
    for (name, count) in [
        ("dependencies", triples.dependency.len()),
        ("memberships", triples.membership.len()),
        ("coswids", triples.coswid.len()),
        ("endorsement_series", triples.series.len()),
        ("conditional_endorsements", triples.conditional.len()),
    ] {
        if count > 0 {
            out.insert(name.into(), count.into());
        }
    }
    Value::Object(out)
}

fn triple(triple: &ValueTriple) -> Value {
    let measurements: Vec<Value> = triple.measurements.iter().map(measurement).collect();
    json!({"environment": environment(&triple.environment), "measurements": measurements})
}

fn environment(environment: &Environment) -> Value {
    let mut out = Map::new();
    if let Some(class) = &environment.class {
        let id = class.id.as_ref().map(|id| match id {
            ClassId::Oid(bytes) => format!("oid:{}", hex(bytes)),
            ClassId::Uuid(bytes) => TagId::Uuid(*bytes).to_string(),
            ClassId::Bytes(bytes) | ClassId::ImplementationId(bytes) => hex(bytes),
        });
        let fields = [
            ("class_id", id.map(Value::from)),
            ("vendor", class.vendor.clone().map(Value::from)),
            ("model", class.model.clone().map(Value::from)),
            ("layer", class.layer.map(Value::from)),
            ("index", class.index.map(Value::from)),
        ];
        let stated = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        out.extend(stated);
    }
    if let Some(instance) = &environment.instance {
        let instance = match instance {
            Instance::Ueid(bytes) | Instance::Bytes(bytes) => hex(bytes).into(),
            Instance::Uuid(bytes) => TagId::Uuid(*bytes).to_string().into(),
            Instance::Key(one) => key(one),
        };
        out.insert("instance".into(), instance);
    }
    if let Some(group) = &environment.group {
        let group = match group {
            Group::Uuid(bytes) => TagId::Uuid(*bytes).to_string(),
            Group::Bytes(bytes) => hex(bytes),
        };
        out.insert("group".into(), group.into());
    }
    Value::Object(out)
}

fn measurement(measurement: &Measurement) -> Value {
    let values = &measurement.values;
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.into(), value);
        }
    };
    let digests =
        |list: &[AlgDigest]| -> Value { list.iter().map(|d| Value::from(d.to_string())).collect() };
    put(
        "key",
        measurement.key.as_ref().map(|key| key.to_string().into()),
    );
    put(
        "version",
        values
            .version
            .as_ref()
            .map(|(version, _)| version.clone().into()),
    );
    put(
        "svn",
        values.svn.map(|svn| match svn {
            Svn::Exact(number) => json!({"exact": number}),
            Svn::Min(least) => json!({"min": least}),
        }),
    );
    put(
        "digests",
        (!values.digests.is_empty()).then(|| digests(&values.digests)),
    );
    put(
        "flags",
        values.flags.map(|flags| {
            let stated = FLAGS
                .iter()
                .enumerate()
                .filter(|(bit, _)| flags.stated >> bit & 1 == 1);
            let pairs =
                stated.map(|(bit, name)| ((*name).to_owned(), (flags.set >> bit & 1 == 1).into()));
            Value::Object(pairs.collect())
        }),
    );
    put("raw", values.raw.as_ref().map(|raw| hex(&raw.value).into()));
    let mask = values.raw.as_ref().and_then(|raw| raw.mask.as_ref());
    put("raw_mask", mask.map(|mask| hex(mask).into()));
    put("mac", values.mac.as_ref().map(|mac| hex(mac).into()));
    put("ip", values.ip.as_ref().map(|ip| hex(ip).into()));
    put("serial", values.serial.clone().map(Value::from));
    put("ueid", values.ueid.as_ref().map(|ueid| hex(ueid).into()));
    put(
        "uuid",
        values.uuid.map(|uuid| TagId::Uuid(uuid).to_string().into()),
    );
    put("name", values.name.clone().map(Value::from));
    put(
        "keys",
        (!values.keys.is_empty()).then(|| values.keys.iter().map(key).collect()),
    );
    put(
        "integrity_registers",
        (!values.registers.is_empty()).then(|| {
            let pairs = values
                .registers
                .iter()
                .map(|(id, list)| (id.to_string(), digests(list)));
            Value::Object(pairs.collect())
        }),
    );
    put(
        "range",
        values.range.map(|(least, greatest)| {
            let text = |bound: Option<i128>| bound.map(|bound| bound.to_string());
            json!({"from": text(least), "to": text(greatest)})
        }),
    );
    put("psa_certificate", values.psa_cert.clone().map(Value::from));
    put("need", values.need.map(|need| need.as_str().into()));
    Value::Object(out)
}

fn key(key: &CryptoKey) -> Value {
    let value = match key {
        CryptoKey::PkixKey(text) | CryptoKey::PkixCert(text) | CryptoKey::PkixPath(text) => {
            text.clone()
        }
        CryptoKey::KeyThumbprint(digest)
        | CryptoKey::CertThumbprint(digest)
        | CryptoKey::PathThumbprint(digest) => digest.to_string(),
        CryptoKey::CoseKey(bytes) | CryptoKey::Der(bytes) | CryptoKey::Bytes(bytes) => hex(bytes),
    };
    json!({"type": key.kind(), "value": value})
}
