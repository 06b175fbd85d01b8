//! Who asks. Found out at the gate, and read again from the store inside every change.

use std::fmt;

use assay_api::id::{DeviceId, KeyId, OperatorId, TenantId};
use assay_api::jose::{Jwk, Thumbprint};
use assay_api::log::{Actor, ActorKind};
use assay_api::types::PersonRole;

use crate::problem::{Fault, Problem};
use crate::store::Rows;
use crate::store::people::{KeyState, OperatorKey, OperatorRow, OperatorState};
use crate::store::tenant::{Tenant, TenantState};

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An open route.
    Anyone,
    /// A key that nobody knows yet: joining or enrolling. It proves possession of itself and nothing else.
    NewKey(NewKey),
    /// A person, active at the time of asking.
    Person(Person),
    /// A DPU, enrolled and not decommissioned, for itself.
    Device(Device),
}

/// A key without an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub jwk: Jwk,
    /// Its RFC 7638 thumbprint.
    pub thumbprint: Thumbprint,
}

/// A person and the key that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person.
    pub id: OperatorId,
    /// The key that signed this request.
    pub key: KeyId,
    /// Role.
    pub role: PersonRole,
    /// Tenant; `None` for a super:admin.
    pub tenant: Option<TenantId>,
    /// Name.
    pub name: String,
}

/// A device and the key that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The device.
    pub id: DeviceId,
    /// The key that signed this request.
    pub key: KeyId,
    /// Its tenant.
    pub tenant: TenantId,
}

impl Caller {
    /// The tenant that the caller is confined to; `None` for super:admins and for who has none yet.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Person(person) => person.tenant.as_ref(),
            Self::Device(device) => Some(&device.tenant),
            Self::Anyone | Self::NewKey(_) => None,
        }
    }

    /// Whether this is a super:admin.
    #[must_use]
    pub const fn is_super(&self) -> bool {
        matches!(
            self,
            Self::Person(Person {
                role: PersonRole::SuperAdmin,
                ..
            })
        )
    }

    /// The person.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for everybody else.
    pub fn person(&self) -> Result<&Person, Problem> {
        match self {
            Self::Person(person) => Ok(person),
            _ => Err(Fault::Forbidden.into()),
        }
    }

    /// The device.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for everybody else.
    pub fn device(&self) -> Result<&Device, Problem> {
        match self {
            Self::Device(device) => Ok(device),
            _ => Err(Fault::Forbidden.into()),
        }
    }

    /// The new key.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for everybody else.
    pub fn new_key(&self) -> Result<&NewKey, Problem> {
        match self {
            Self::NewKey(key) => Ok(key),
            _ => Err(Fault::Forbidden.into()),
        }
    }

    /// As the audit log names the caller.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let (kind, id, kid) = match self {
            Self::Anyone => (ActorKind::Anonymous, "anyone".to_owned(), None),
            Self::NewKey(key) => (ActorKind::Anonymous, key.thumbprint.to_string(), None),
            Self::Person(p) => (
                ActorKind::Operator,
                p.id.to_string(),
                Some(p.key.to_string()),
            ),
            Self::Device(d) => (ActorKind::Device, d.id.to_string(), Some(d.key.to_string())),
        };
        Actor { kind, id, kid }
    }

    /// The caller as the store has it at this moment: role and status are never older than the rows of this very
    /// transaction (I5).
    ///
    /// # Errors
    /// [`Fault::Auth`] where key, person, device or tenant is active no longer.
    pub(crate) fn refresh(&self, rows: &impl Rows) -> Result<Self, Problem> {
        match self {
            Self::Anyone | Self::NewKey(_) => Ok(self.clone()),
            Self::Person(person) => Ok(Self::Person(person_of_key(rows, &person.key)?.1)),
            Self::Device(device) => {
                let (_, found) = super::dpus::device_of_key(rows, &device.key)?
                    .ok_or_else(|| refused("key.unknown"))?;
                if found == *device {
                    Ok(Self::Device(found))
                } else {
                    Err(refused("key.moved"))
                }
            }
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.actor().id)
    }
}

/// Whose key this is: looked up at the gate, by `kid`.
///
/// # Errors
/// [`Fault::Auth`] with the exact step: unknown, revoked, suspended, tenant removed.
pub(crate) fn caller_of_key(rows: &impl Rows, kid: &str) -> Result<(Jwk, Caller), Problem> {
    let key = KeyId::parse(kid).map_err(|_| refused("key.unknown"))?;
    if let Some((jwk, device)) = super::dpus::device_of_key(rows, &key)? {
        return Ok((jwk, Caller::Device(device)));
    }
    person_of_key(rows, &key).map(|(jwk, person)| (jwk, Caller::Person(person)))
}

fn person_of_key(rows: &impl Rows, key: &KeyId) -> Result<(Jwk, Person), Problem> {
    let row: OperatorKey = rows.get(key)?.ok_or_else(|| refused("key.unknown"))?;
    match row.state {
        KeyState::Active => {}
        KeyState::Revoked => return Err(refused("key.revoked")),
    }
    let person: OperatorRow = rows
        .get(&row.operator)?
        .ok_or_else(|| refused("operator.unknown"))?;
    match person.state {
        OperatorState::Active => {}
        OperatorState::Suspended => return Err(refused("operator.suspended")),
    }
    if let Some(tenant) = &person.tenant {
        tenant_is_active(rows, tenant)?;
    }
    let jwk = row
        .jwk()
        .ok_or_else(|| Problem::from(Fault::Internal).step("key.unreadable"))?;
    let OperatorRow {
        id,
        role,
        tenant,
        name,
        ..
    } = person;
    Ok((
        jwk,
        Person {
            id,
            key: row.id,
            role,
            tenant,
            name,
        },
    ))
}

/// # Errors
/// [`Fault::Auth`] where the tenant is removed or unknown.
pub(crate) fn tenant_is_active(rows: &impl Rows, tenant: &TenantId) -> Result<(), Problem> {
    match rows.get::<Tenant>(tenant.as_str())?.map(|t| t.state) {
        Some(TenantState::Active) => Ok(()),
        Some(TenantState::Removed) | None => Err(refused("tenant.removed")),
    }
}

/// The one answer for whoever is not who they should be; the audit log learns which step it was.
pub(crate) fn refused(step: &'static str) -> Problem {
    Problem::from(Fault::Auth).step(step)
}
