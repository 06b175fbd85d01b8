//! What a request is about: named by the caller, found in the store, never believed before that.

use assay_api::id::{KeyId, OperatorId, TenantId};
use assay_api::routes::On;
use assay_api::types::PersonRole;

use super::caller::Caller;
use crate::problem::{Fault, Problem};
use crate::store::people::{GrantRow, OperatorKey, OperatorRow};
use crate::store::tenant::{Tenant, TenantState};
use crate::store::{Rows, StoreFault};

/// How the caller names it. The kind is always the one in the route's row (`on`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What the row says: the nexus for `on Nexus`, the `{id}` of the path, the calling device for `for [device]`.
    Route,
    /// The tenant of a list or of something new, by id or name. `None`: the caller's own; for a super:admin, all of them.
    Tenant(Option<String>),
    /// Named in body or query, by id or name.
    Named(String),
}

/// What was found, as policy sees it. Comes from rows only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub on: On,
    /// Its id. For [`On::Nexus`] `nexus`; for all tenants at once `*`.
    pub id: String,
    /// Its tenant; `None` for what is global. A tenant is its own.
    pub tenant: Option<TenantId>,
    /// The person that it belongs to: a grant's, a key's, a certificate's.
    pub owner: Option<OperatorId>,
    /// The role, of a person.
    pub role: Option<PersonRole>,
    /// `verified`, `stale`, `unavailable`, `failed` or `quarantined`, for devices.
    pub attestation: Option<&'static str>,
}

impl Found {
    /// Something of a tenant's.
    #[must_use]
    pub fn new(on: On, id: impl Into<String>, tenant: Option<TenantId>) -> Self {
        Self {
            on,
            id: id.into(),
            tenant,
            owner: None,
            role: None,
            attestation: None,
        }
    }

    /// The tenant.
    ///
    /// # Errors
    /// [`Fault::Value`] where a super:admin named none and one is needed.
    pub fn tenant(&self) -> Result<&TenantId, Problem> {
        let why = "name one: a super:admin has no tenant of their own".to_owned();
        self.tenant.as_ref().ok_or_else(|| {
            Fault::Value {
                what: "`tenant`",
                why,
            }
            .into()
        })
    }
}

/// How a kind is called in answers.
pub(crate) const fn word(on: On) -> &'static str {
    match on {
        On::Nexus => "nexus",
        On::Tenant => "tenant",
        On::Operator => "operator",
        On::Key => "key",
        On::Grant => "grant",
        On::Device => "dpu",
        On::Host => "host",
        On::Reference => "reference value set",
        On::SshCa => "ssh ca",
        On::Certificate => "certificate",
        On::Secret => "secret",
    }
}

/// Every thing of this kind with this id or name, whoever it belongs to.
fn candidates(rows: &impl Rows, on: On, name: &str) -> Result<Vec<Found>, StoreFault> {
    match on {
        On::Nexus => Ok(Vec::new()),
        On::Tenant => Ok(tenant(rows, name)?.into_iter().collect()),
        On::Operator => operator(rows, name),
        On::Key => key(rows, name),
        On::Grant => grant(rows, name),
        On::Device => super::dpus::candidates(rows, name),
        On::Host => super::hosts::candidates(rows, name),
        On::Reference => super::references::candidates(rows, name),
        On::SshCa => super::ssh_cas::candidates(rows, name),
        On::Certificate => super::certificates::candidates(rows, name),
        On::Secret => super::secrets::candidates(rows, name),
    }
}

/// The one thing of this kind with this id or name that the caller may know of. Absent and another tenant's are the same
/// outside (I11).
///
/// # Errors
/// [`Fault::NotFound`], [`Fault::Ambiguous`], the store's faults.
pub fn find(rows: &impl Rows, caller: &Caller, on: On, name: &str) -> Result<Found, Problem> {
    let all = candidates(rows, on, name)?;
    let any = !all.is_empty();
    let mut known = all.into_iter().filter(|found| may_know(caller, found));
    let what = word(on);
    match (known.next(), known.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(Fault::Ambiguous { what }.into()),
        (None, _) => {
            let step = if any {
                "not_found.other_tenant"
            } else {
                "not_found"
            };
            Err(Problem::from(Fault::NotFound { what }).step(step))
        }
    }
}

fn may_know(caller: &Caller, found: &Found) -> bool {
    caller.is_super() || (caller.tenant().is_some() && caller.tenant() == found.tenant.as_ref())
}

impl Target {
    /// # Errors
    /// As [`find`].
    pub(super) fn resolve(
        &self,
        rows: &impl Rows,
        caller: &Caller,
        on: On,
        path: Option<&str>,
    ) -> Result<Found, Problem> {
        match (self, on, path) {
            (Self::Route, On::Nexus, None) => Ok(Found::new(On::Nexus, "nexus", None)),
            (Self::Route, On::Device, _) if matches!(caller, Caller::Device(_)) => {
                find(rows, caller, On::Device, caller.device()?.id.as_str())
            }
            (Self::Route, on, Some(id)) => find(rows, caller, on, id),
            (Self::Tenant(Some(name)), On::Tenant, None) => find(rows, caller, On::Tenant, name),
            (Self::Tenant(None), On::Tenant, None) => match caller.tenant() {
                Some(own) => find(rows, caller, On::Tenant, own.as_str()),
                None => Ok(Found::new(On::Tenant, "*", None)),
            },
            // A row for DPUs, asked for by somebody else.
            (Self::Route, On::Device, None) => Err(Fault::Forbidden.into()),
            (Self::Named(name), on, None) => find(rows, caller, on, name),
            _ => Err(Problem::from(Fault::Internal).step("target.mismatch")),
        }
    }
}

/// The tenant with this id or name.
///
/// # Errors
/// The store's faults.
pub fn tenant(rows: &impl Rows, id_or_name: &str) -> Result<Option<Found>, StoreFault> {
    let row: Option<Tenant> = match TenantId::parse(id_or_name) {
        Ok(id) => rows.get(id.as_str())?,
        Err(_) => rows.find("name", id_or_name)?.into_iter().next(),
    };
    Ok(row
        .filter(|t| t.state == TenantState::Active)
        .and_then(|t| {
            let id = TenantId::parse(&t.id).ok()?;
            Some(Found::new(On::Tenant, t.id, Some(id)))
        }))
}

fn operator(rows: &impl Rows, name: &str) -> Result<Vec<Found>, StoreFault> {
    let row: Option<OperatorRow> = match OperatorId::parse(name) {
        Ok(id) => rows.get(&id)?,
        Err(_) => None,
    };
    let found = |o: OperatorRow| Found {
        owner: Some(o.id.clone()),
        role: Some(o.role),
        ..Found::new(On::Operator, o.id.as_str(), o.tenant)
    };
    Ok(row.map(found).into_iter().collect())
}

fn key(rows: &impl Rows, name: &str) -> Result<Vec<Found>, StoreFault> {
    let Ok(id) = KeyId::parse(name) else {
        return Ok(Vec::new());
    };
    let Some(key) = rows.get::<OperatorKey>(&id)? else {
        return Ok(Vec::new());
    };
    let owner: Option<OperatorRow> = rows.get(&key.operator)?;
    let tenant = owner.and_then(|o| o.tenant);
    Ok(vec![Found {
        owner: Some(key.operator),
        ..Found::new(On::Key, name, tenant)
    }])
}

fn grant(rows: &impl Rows, name: &str) -> Result<Vec<Found>, StoreFault> {
    let Ok(id) = assay_api::id::GrantId::parse(name) else {
        return Ok(Vec::new());
    };
    let row: Option<GrantRow> = rows.get(&id)?;
    let found = |g: GrantRow| Found {
        owner: Some(g.operator),
        ..Found::new(On::Grant, name, Some(g.tenant))
    };
    Ok(row.map(found).into_iter().collect())
}
