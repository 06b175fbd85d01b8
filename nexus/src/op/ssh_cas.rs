//! SSH certificate authorities: made, rotated in steps, pushed to hosts through their DPU, shown to clients.

use assay_api::id::{DeviceId, SshCaId};
use assay_api::routes::On;
use assay_api::types::*;
use ssh_key::HashAlg;

use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::grants::is_active;
use super::retire::still_needed;
use super::target::{Found, Target, find};
use super::words;
use crate::manifest::{hosts_behind, plan};
use crate::problem::{Fault, Problem};
use crate::release::{Class, Permit, refuse};
use crate::ssh::ca;
use crate::ssh::certificate::read_public_key;
use crate::store::people::GrantRow;
use crate::store::signing_key::{self, KeyAlgorithm, KeyState};
use crate::store::ssh::{HostRow, HostState, KrlKind, PushRow, PushState, SshCaRow};
use crate::store::{Rows, StoreFault, Tx, Writes};

const KINDS: [KrlKind; 2] = [KrlKind::User, KrlKind::Host];
/// SSH CAs that the hosts behind one DPU trust: a manifest names 16 keys, and a CA that rotates has two.
const CAS: usize = 8;

pub(crate) async fn create_ssh_ca(ctx: Ctx, ask: SshCaCreate) -> Result<Changed<SshCa>, Problem> {
    let name = words::name("`name`", &ask.name)?;
    let id = SshCaId::from_random(&ctx.app.random.bytes()?);
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        let there: Vec<SshCaRow> = tx.find("name", name.as_str())?;
        if there.iter().any(|c| c.tenant == tenant) {
            return Err(Fault::Taken {
                what: "ssh ca",
                name,
            }
            .into());
        }
        let row = SshCaRow {
            id,
            tenant,
            name,
            created: tx.now(),
            next_serial: 1,
        };
        tx.change(
            act.entry()
                .target(row.id.as_str())
                .detail("name", row.name.clone()),
            |c| {
                c.insert(&row)?;
                for kind in KINDS {
                    signing_key::ensure(
                        c,
                        row.tenant.as_str(),
                        &ca::purpose(&row.id, kind),
                        KeyAlgorithm::Ed25519,
                    )?;
                }
                Ok::<_, Problem>(())
            },
        )?;
        shown(tx, &row)
    })
    .await
}

pub(crate) async fn list_ssh_cas(ctx: Ctx, ask: InTenant) -> Result<Shown<SshCas>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<SshCaRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let full = page.len() >= usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = page.last().filter(|_| full).map(|c| c.id.to_string());
        let items = page
            .iter()
            .map(|row| shown(rows, row))
            .collect::<Result<_, _>>()?;
        Ok(SshCas { items, next })
    })
    .await
}

pub(crate) async fn show_ssh_ca(ctx: Ctx, _: Empty) -> Result<Shown<SshCa>, Problem> {
    ctx.read(Target::Route, |rows, act| shown(rows, &target(rows, act)?))
        .await
}

/// One step of rotation, for both keys at once. The last waits until nothing needs the predecessor any more.
pub(crate) async fn rotate_ssh_ca(ctx: Ctx, ask: SshCaRotate) -> Result<Changed<SshCa>, Problem> {
    let force = ask.force.as_deref().map(words::reason).transpose()?;
    if force.is_some() && ask.step != RotationStep::Retire {
        return Err(Fault::Value {
            what: "`force`",
            why: "only `retire` can be forced".to_owned(),
        }
        .into());
    }
    let app = ctx.app.clone();
    let done = ctx
        .change(Target::Route, move |tx, act| {
            let row = target(tx, act)?;
            let tenant = row.tenant.as_str();
            let step = match ask.step {
                RotationStep::Prepare => "prepare",
                RotationStep::Activate => "activate",
                RotationStep::Retire => "retire",
            };
            if force.is_some() && !act.caller.is_super() {
                return Err(Problem::from(Fault::Forbidden).step("ssh_ca.force"));
            }
            let mut entry = act.entry().detail("step", step);
            if ask.step == RotationStep::Retire
                && let Some(why) = still_needed(tx, &row, act.now)?
            {
                let reason = force.ok_or_else(|| out_of_step(&why))?;
                entry = entry.reason(reason).detail("forced", why);
            }
            tx.change(entry, |c| {
                for kind in KINDS {
                    let purpose = ca::purpose(&row.id, kind);
                    let keys = signing_key::published(c, tenant, &purpose)?;
                    let version_in =
                        |state| keys.iter().find(|k| k.state == state).map(|k| k.version);
                    match ask.step {
                        RotationStep::Prepare if version_in(KeyState::Prepared).is_some() => {
                            return Err(out_of_step(
                                "a successor is prepared already: activate it",
                            ));
                        }
                        RotationStep::Prepare if version_in(KeyState::Retiring).is_some() => {
                            return Err(out_of_step(
                                "the predecessor is still trusted: retire it first",
                            ));
                        }
                        RotationStep::Prepare => drop(signing_key::prepare(
                            c,
                            tenant,
                            &purpose,
                            KeyAlgorithm::Ed25519,
                        )?),
                        RotationStep::Activate if version_in(KeyState::Prepared).is_none() => {
                            return Err(out_of_step("no successor is prepared: prepare one first"));
                        }
                        RotationStep::Activate => drop(signing_key::activate(c, tenant, &purpose)?),
                        RotationStep::Retire => match version_in(KeyState::Retiring) {
                            Some(version) => {
                                drop(signing_key::retire(c, tenant, &purpose, version)?)
                            }
                            None => {
                                return Err(out_of_step(
                                    "no predecessor is outgoing: activate a successor first",
                                ));
                            }
                        },
                    }
                }
                Ok::<_, Problem>(())
            })?;
            let pushes: Vec<PushRow> = tx.find("ca", &row.id)?;
            let devices: Vec<DeviceId> = pushes
                .into_iter()
                .filter(|p| p.state == PushState::Pushed)
                .map(|p| p.device)
                .collect();
            Ok((shown(tx, &row)?, devices))
        })
        .await?;
    done.get().1.iter().for_each(|device| app.wake.ring(device));
    Ok(done.map(|(shown, _)| shown))
}

fn out_of_step(why: &str) -> Problem {
    Fault::Conflict {
        why: why.to_owned(),
    }
    .into()
}

/// What an ssh client needs to trust the hosts of this CA, and to refuse those that it must not.
pub(crate) async fn ssh_trust(ctx: Ctx, _: Empty) -> Result<Shown<SshTrust>, Problem> {
    ctx.read_long(Target::Route, |rows, act| {
        let row = target(rows, act)?;
        let patterns = patterns(rows, &row)?;
        let mut known_hosts = Vec::new();
        if !patterns.is_empty() {
            for key in ca::trusted(rows, &row, KrlKind::Host)? {
                known_hosts.push(format!("@cert-authority {patterns} {}", ca::line(&key)?));
            }
        }
        let revoked = ca::krl(rows, std::slice::from_ref(&row.id), KrlKind::Host, act.now)?;
        Ok(SshTrust {
            known_hosts,
            revoked_host_keys: B64(revoked),
            refresh_in: 15,
        })
    })
    .await
}

/// The names of the hosts that trust this CA, with and without a port, as known_hosts matches them.
fn patterns(rows: &impl Rows, row: &SshCaRow) -> Result<String, Problem> {
    let pushes: Vec<PushRow> = rows.find("ca", &row.id)?;
    let mut names = Vec::new();
    for push in pushes.into_iter().filter(|p| p.state == PushState::Pushed) {
        for host in hosts_behind(rows, &push.device)? {
            names.extend(host.principals.to_vec());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names
        .iter()
        .map(|n| format!("{n},[{n}]:*"))
        .collect::<Vec<_>>()
        .join(","))
}

/// Has the hosts behind a DPU trust a CA. Judged now, and again when the DPU picks the manifests up.
pub(crate) async fn push(ctx: Ctx, ask: PushAsk) -> Result<Changed<Pushed>, Problem> {
    let app = ctx.app.clone();
    let done = ctx
        .settle(Target::Route, move |tx, act| {
            let device = device(act)?;
            let ca = find(tx, &act.caller, On::SshCa, &ask.ssh_ca)?;
            if ca.tenant != act.target.tenant {
                return Err(Fault::NotFound { what: "ssh ca" }.into());
            }
            granted(tx, act, &device, &ca)?;
            room(tx, &device, &ca)?;
            let permit = match Permit::judge(tx, act, Class::Public, std::slice::from_ref(&device))
            {
                Ok(permit) => permit,
                Err(problem) => return refuse(tx, act, problem),
            };
            let mut entry = act.entry().detail("ssh_ca", ca.id.clone());
            permit.describe(&mut entry);
            let bypass_id = permit.bypass().cloned();
            tx.change(entry, |c| set(c, &device, &ca, PushState::Pushed))?;
            Ok(Settled::Done((pushed(tx, &device, bypass_id)?, device)))
        })
        .await?;
    app.wake.ring(&done.get().1);
    Ok(done.map(|(pushed, _)| pushed))
}

/// An operator's grant must name both the DPU and the CA: one for another CA of the tenant's does not extend whom hosts trust.
fn granted(rows: &impl Rows, act: &Act<'_>, device: &DeviceId, ca: &Found) -> Result<(), Problem> {
    let person = act.caller.person()?;
    if person.role != PersonRole::Operator {
        return Ok(());
    }
    let grants: Vec<GrantRow> = rows.find("operator", &person.id)?;
    let names =
        |g: &GrantRow| g.dpu.as_ref() == Some(device) && g.ssh_ca.as_str() == ca.id.as_str();
    if grants.iter().any(|g| is_active(g, act.now) && names(g)) {
        return Ok(());
    }
    Err(Problem::from(Fault::Forbidden).step("grant.none"))
}

/// A manifest is bounded: with more CAs than it holds, no revocation would reach the hosts either.
fn room(rows: &impl Rows, device: &DeviceId, ca: &Found) -> Result<(), Problem> {
    let pushed = crate::manifest::pushed(rows, device)?;
    let others = pushed.iter().filter(|p| p.id.as_str() != ca.id.as_str());
    if others.count() < CAS {
        return Ok(());
    }
    let why = format!("the hosts behind this dpu trust {CAS} ssh cas already: withdraw one first");
    Err(Fault::Conflict { why }.into())
}

/// Has the hosts behind a DPU trust a CA no more. Never gated.
pub(crate) async fn withdraw(ctx: Ctx, ask: PushAsk) -> Result<Changed<Pushed>, Problem> {
    let app = ctx.app.clone();
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let device = device(act)?;
            let ca = find(tx, &act.caller, On::SshCa, &ask.ssh_ca)?;
            tx.change(act.entry().detail("ssh_ca", ca.id.clone()), |c| {
                set(c, &device, &ca, PushState::Withdrawn)
            })?;
            Ok((pushed(tx, &device, None)?, device))
        })
        .await?;
    app.wake.ring(&done.get().1);
    Ok(done.map(|(pushed, _)| pushed))
}

fn device(act: &Act<'_>) -> Result<DeviceId, Problem> {
    DeviceId::parse(&act.target.id).map_err(|_| Problem::from(Fault::Internal).step("target.kind"))
}

fn set(
    c: &mut crate::store::Change<'_, '_>,
    device: &DeviceId,
    ca: &Found,
    state: PushState,
) -> Result<(), Problem> {
    let id =
        SshCaId::parse(&ca.id).map_err(|_| Problem::from(Fault::Internal).step("target.kind"))?;
    let there: Option<PushRow> = c.get((device, &id))?;
    let since = c.now();
    match there {
        Some(row) if row.state == state => Ok(c.update(&row)?),
        Some(row) => Ok(c.update(&PushRow {
            state,
            since,
            ..row
        })?),
        None => Ok(c.insert(&PushRow {
            device: device.clone(),
            ca: id,
            state,
            since,
        })?),
    }
}

/// Each host behind the device and the sequence that will carry the change.
fn pushed(
    tx: &mut Tx<'_>,
    device: &DeviceId,
    bypass_id: Option<assay_api::id::BypassId>,
) -> Result<Pushed, Problem> {
    let (now, grace) = (tx.now(), 0);
    let mut manifests = Vec::new();
    for host in hosts_behind(tx, device)? {
        let plan = plan(tx, host, now)?;
        let more = u64::from(plan.need(now, grace) != crate::manifest::Need::Nothing);
        let sequence = plan.sequence().saturating_add(more);
        manifests.push(PushedManifest {
            host_id: plan.host().id.clone(),
            sequence,
        });
    }
    Ok(Pushed {
        manifests,
        bypass_id,
    })
}

fn target(rows: &impl Rows, act: &Act<'_>) -> Result<SshCaRow, Problem> {
    Ok(rows
        .get(act.target.id.as_str())?
        .ok_or(Fault::NotFound { what: "ssh ca" })?)
}

fn shown(rows: &impl Rows, row: &SshCaRow) -> Result<SshCa, Problem> {
    let mut keys = Vec::new();
    for kind in KINDS {
        for key in signing_key::all(rows, row.tenant.as_str(), &ca::purpose(&row.id, kind))?
            .into_iter()
            .rev()
        {
            let public_key = ca::line(&key)?;
            let fingerprint = read_public_key(&public_key)?
                .fingerprint(HashAlg::Sha256)
                .to_string();
            let state = match key.state {
                KeyState::Prepared => "prepared",
                KeyState::Active => "active",
                KeyState::Retiring => "outgoing",
                KeyState::Retired => "retired",
            };
            keys.push(SshCaKey {
                purpose: kind.as_str().to_owned(),
                state: state.to_owned(),
                public_key,
                fingerprint,
            });
        }
    }
    let (id, tenant_id, name) = (row.id.clone(), row.tenant.clone(), row.name.clone());
    Ok(SshCa {
        id,
        tenant_id,
        name,
        keys,
        created_at: Time(row.created),
    })
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(rows: &impl Rows, id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    let found: Vec<SshCaRow> = match SshCaId::parse(id_or_name) {
        Ok(id) => rows.get(&id)?.into_iter().collect(),
        Err(_) => rows.find("name", id_or_name)?,
    };
    Ok(found
        .into_iter()
        .map(|c| Found::new(On::SshCa, c.id.as_str(), Some(c.tenant)))
        .collect())
}

/// Whether a host's pairing stands: for whoever names one.
pub(crate) fn paired(rows: &impl Rows, found: &Found) -> Result<HostRow, Problem> {
    let row: Option<HostRow> = rows.get(found.id.as_str())?;
    row.filter(|h| h.state == HostState::Paired)
        .ok_or_else(|| Fault::NotFound { what: "host" }.into())
}
