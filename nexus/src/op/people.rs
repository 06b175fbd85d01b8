//! People and their keys: shown, suspended, revoked. Nothing here leaves the nexus without a super:admin (I9).

use assay_api::id::{DeviceId, KeyId, OperatorId};
use assay_api::types::*;

use super::claims;
use super::ctx::{Act, Changed, Ctx, Shown};
use super::invites::void_all_by;
use super::target::Target;
use super::words;
use crate::problem::{Fault, Problem};
use crate::ssh::ca;
use crate::store::people::{KeyState, OperatorKey, OperatorRow, OperatorState};
use crate::store::{Change, EntryDraft, Rows, Tx};

pub(crate) async fn whoami(ctx: Ctx, _: Empty) -> Result<Shown<Me>, Problem> {
    ctx.read(Target::Route, |_, act| {
        let person = act.caller.person()?.clone();
        Ok(Me {
            operator_id: person.id,
            key_id: person.key,
            role: person.role,
            tenant_id: person.tenant,
            name: person.name,
            time: Time(act.now),
        })
    })
    .await
}

pub(crate) async fn list_operators(ctx: Ctx, ask: InTenant) -> Result<Shown<Operators>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<OperatorRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let next = words::next(&page, limit, |o| o.id.to_string());
        let items = page.into_iter().map(|row| shown(rows, row));
        Ok(Operators {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    })
    .await
}

pub(crate) async fn show_operator(ctx: Ctx, _: Empty) -> Result<Shown<Operator>, Problem> {
    ctx.read(Target::Route, |rows, act| shown(rows, target(rows, act)?))
        .await
}

/// Stops every key of a person at once. What they were signed for is revoked, what they invited is void.
pub(crate) async fn suspend_operator(ctx: Ctx, ask: Reason) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let app = ctx.app.clone();
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let mut person = target(tx, act)?;
            if person.id == act.caller.person()?.id {
                return Err(Fault::OwnKey.into());
            }
            if person.state == OperatorState::Suspended {
                return Err(conflict("this person is suspended already"));
            }
            keep_a_super_admin(tx, |holder, _| holder.id == person.id)?;
            person.state = OperatorState::Suspended;
            let devices = tx.change(act.entry().reason(reason.clone()), |c| {
                c.update(&person)?;
                take_back(c, &person, &reason)
            })?;
            Ok((shown(tx, person)?, devices))
        })
        .await?;
    done.get().1.iter().for_each(|device| app.wake.ring(device));
    Ok(done.map(|(shown, _)| shown))
}

pub(crate) async fn unsuspend_operator(
    ctx: Ctx,
    ask: Reason,
) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    ctx.change(Target::Route, move |tx, act| {
        let mut person = target(tx, act)?;
        if person.state == OperatorState::Active {
            return Err(conflict("this person is not suspended"));
        }
        person.state = OperatorState::Active;
        tx.change(act.entry().reason(reason), |c| c.update(&person))?;
        shown(tx, person)
    })
    .await
}

/// Ends a key for good, and with it all certificates that its person still holds: nobody can tell which of them the key asked
/// for in other hands. The person asks for new ones by another key.
pub(crate) async fn revoke_key(ctx: Ctx, ask: Reason) -> Result<Changed<Operator>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let app = ctx.app.clone();
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let no_key = || Fault::NotFound { what: "key" };
            let id = KeyId::parse(&act.target.id).map_err(|_| no_key())?;
            let mut key: OperatorKey = tx.get(&id)?.ok_or_else(no_key)?;
            if key.id == act.caller.person()?.key {
                return Err(Fault::OwnKey.into());
            }
            if key.state == KeyState::Revoked {
                return Err(conflict("this key is revoked already"));
            }
            keep_a_super_admin(tx, |_, held| held.id == key.id)?;
            let person: OperatorRow = tx.get(&key.operator)?.ok_or_else(no_key)?;
            key.state = KeyState::Revoked;
            let entry = act
                .entry()
                .reason(reason.clone())
                .detail("operator", person.id.as_str());
            let devices = tx.change::<_, Problem>(entry, |c| {
                c.update(&key)?;
                take_back(c, &person, &reason)
            })?;
            Ok((shown(tx, person)?, devices))
        })
        .await?;
    done.get().1.iter().for_each(|device| app.wake.ring(device));
    Ok(done.map(|(shown, _)| shown))
}

/// What goes with a person's trust: open invites and claims, and certificates that still run. Gives the devices that must hear of it.
fn take_back(
    c: &mut Change<'_, '_>,
    person: &OperatorRow,
    reason: &str,
) -> Result<Vec<DeviceId>, Problem> {
    let invites = void_all_by(c, person)?;
    let claims = claims::void_all_by(c, &person.id)?;
    if claims > 0 {
        let voided = ("claims_voided".to_owned(), claims.to_string());
        c.entry().details.extend([voided]);
    }
    let revoked = ca::revoke_of_person(c, &person.id, reason, |_, _| Ok::<_, Problem>(true))?;
    note(c.entry(), invites, &revoked.certificates);
    Ok(revoked.devices)
}

/// Says in the entry what else went.
pub(crate) fn note(entry: &mut EntryDraft, invites: usize, certificates: &[String]) {
    if invites > 0 {
        entry
            .details
            .insert("invites_voided".into(), invites.to_string());
    }
    if !certificates.is_empty() {
        // An entry is bounded; the rows that it names say which.
        entry.details.insert(
            "certificates_revoked".into(),
            certificates.len().to_string(),
        );
    }
}

/// Refuses where nobody would be left who is super:admin, active, and has a key that signs, once what `gone` names is gone.
///
/// # Errors
/// [`Fault::LastAdmin`], the store's faults.
fn keep_a_super_admin(
    tx: &Tx<'_>,
    gone: impl Fn(&OperatorRow, &OperatorKey) -> bool,
) -> Result<(), Problem> {
    let mut had_one = false;
    for person in tx.find::<OperatorRow>("role", &PersonRole::SuperAdmin)? {
        if person.state != OperatorState::Active {
            continue;
        }
        for key in tx.find::<OperatorKey>("operator", &person.id)? {
            if key.state != KeyState::Active {
                continue;
            }
            if !gone(&person, &key) {
                return Ok(());
            }
            had_one = true;
        }
    }
    if had_one {
        Err(Fault::LastAdmin.into())
    } else {
        Ok(())
    }
}

fn target(rows: &impl Rows, act: &Act<'_>) -> Result<OperatorRow, Problem> {
    let none = || Fault::NotFound { what: "operator" };
    let id = OperatorId::parse(&act.target.id).map_err(|_| none())?;
    Ok(rows.get(&id)?.ok_or_else(none)?)
}

fn conflict(why: &str) -> Problem {
    Fault::Conflict {
        why: why.to_owned(),
    }
    .into()
}

fn shown(rows: &impl Rows, person: OperatorRow) -> Result<Operator, Problem> {
    let keys: Vec<OperatorKey> = rows.find("operator", &person.id)?;
    let keys = keys.into_iter().map(|key| KeyInfo {
        id: key.id,
        label: key.label,
        algorithm: key.algorithm.as_str().to_owned(),
        thumbprint: B64(key.thumbprint.to_vec()),
        state: key.state.as_str().to_owned(),
    });
    Ok(Operator {
        id: person.id,
        name: person.name,
        role: person.role,
        tenant_id: person.tenant,
        state: person.state.as_str().to_owned(),
        keys: keys.collect(),
    })
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
