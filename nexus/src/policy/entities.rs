//! Rows as Cedar entities.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use assay_api::cedar;
use assay_api::routes::On;
use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use super::Question;
use crate::op::{Caller, Found};

/// The entity types, parsed once.
static TYPES: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
    let all = [
        On::Nexus,
        On::Tenant,
        On::Operator,
        On::Key,
        On::Grant,
        On::Device,
        On::Host,
        On::Reference,
        On::SshCa,
    ];
    let names = all
        .into_iter()
        .chain([On::Certificate, On::Secret])
        .map(cedar::resource)
        .chain(["NewKey", "Action"]);
    names
        .filter_map(|name| Some((name, name.parse().ok()?)))
        .collect()
});

/// The uid of an entity.
pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = TYPES
        .get(kind)
        .ok_or_else(|| format!("no entity type `{kind}`"))?;
    Ok(EntityUid::from_type_name_and_id(
        kind.clone(),
        EntityId::new(id),
    ))
}

/// The principal, the resource, and the entities that they are: one where a caller asks about themselves.
pub(super) fn of(question: &Question<'_>) -> Result<(EntityUid, EntityUid, Vec<Entity>), String> {
    let principal = principal(question.caller)?;
    let resource = resource(question.target)?;
    let uids = (principal.uid(), resource.uid());
    let both = if uids.0 == uids.1 {
        vec![resource]
    } else {
        vec![principal, resource]
    };
    Ok((uids.0, uids.1, both))
}

fn principal(caller: &Caller) -> Result<Entity, String> {
    match caller {
        Caller::Anyone => Err("nobody asks on an open route".into()),
        Caller::NewKey(key) => entity(uid("NewKey", &key.thumbprint.to_string())?, HashMap::new()),
        Caller::Person(person) => {
            let mut found = Found::new(On::Operator, person.id.as_str(), person.tenant.clone());
            found.role = Some(person.role);
            found.owner = Some(person.id.clone());
            resource(&found)
        }
        Caller::Device(device) => resource(&Found::new(
            On::Device,
            device.id.as_str(),
            Some(device.tenant.clone()),
        )),
    }
}

fn resource(found: &Found) -> Result<Entity, String> {
    let mut attributes = HashMap::new();
    let mut link = |name: &str, kind: &str, id: &str| -> Result<(), String> {
        attributes.insert(
            name.to_owned(),
            RestrictedExpression::new_entity_uid(uid(kind, id)?),
        );
        Ok(())
    };
    if let Some(tenant) = &found.tenant {
        link("tenant", "Tenant", tenant.as_str())?;
    }
    if let (Some(owner), On::Operator | On::Key | On::Grant | On::Certificate) =
        (&found.owner, found.on)
    {
        link("owner", "Operator", owner.as_str())?;
    }
    if let Some(role) = found.role {
        attributes.insert(
            "role".to_owned(),
            RestrictedExpression::new_string(role.as_str().to_owned()),
        );
    }
    entity(uid(cedar::resource(found.on), &found.id)?, attributes)
}

fn entity(
    uid: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
) -> Result<Entity, String> {
    Entity::new(uid, attributes, HashSet::new()).map_err(|e| e.to_string())
}
