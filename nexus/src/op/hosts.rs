//! Hosts, pairings, manifests.

use assay_api::id::{DeviceId, HostId};
use assay_api::pairing::{Pairing, PairingRequest};
use assay_api::routes::On;
use assay_api::signed::Unverified;
use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::caller::Caller;
use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::target::{Found, Target};
use super::words;
use crate::delivery;
use crate::manifest::{self, Need, Plan, hosts_behind};
use crate::problem::{Fault, Problem};
use crate::release::{Class, Permit, refuse};
use crate::ssh::ca;
use crate::ssh::certificate::read_public_key;
use crate::store::devices::{Device, Lifecycle, Words};
use crate::store::people::GrantRow;
use crate::store::ssh::{CertificateRow, CertificateState, HostRow, HostState, ManifestRow};
use crate::store::{Change, Rows, StoreFault, Tx, Writes};

/// Pairs a host with a device. The principals are approved here, by an admin; the request only says what the host has.
pub(crate) async fn pair_host(ctx: Ctx, ask: HostPair) -> Result<Changed<HostPaired>, Problem> {
    let name = words::name("`name`", &ask.name)?;
    let principals = principals(&ask.principals)?;
    let request = Unverified::<PairingRequest>::parse(&ask.request.0)
        .and_then(|r| r.verify(&ctx.app.checks))
        .map_err(|e| Fault::Value {
            what: "`request`",
            why: e.to_string(),
        })?
        .into_content();
    read_public_key(&request.sshd_host_key)?;
    read_public_key(&request.trial_key)?;
    ctx.change(Target::Named(ask.dpu.clone()), move |tx, act| {
        pair(tx, act, &name, &principals, &request)
    })
    .await
}

fn pair(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    name: &str,
    principals: &[String],
    request: &PairingRequest,
) -> Result<HostPaired, Problem> {
    let device: Device = tx
        .get(act.target.id.as_str())?
        .ok_or(Fault::NotFound { what: "dpu" })?;
    if device.lifecycle == Lifecycle::Decommissioned {
        return Err(Fault::Decommissioned { device: device.id }.into());
    }
    let why =
        "the dpu has not stated the key of its channel yet: it does with its first good proof"
            .to_owned();
    let channel_key = device.channel_key.ok_or(Fault::Conflict { why })?;
    let app = &act.ctx.app;
    let id = HostId::from_random(&app.random.bytes()?);
    let named: Vec<HostRow> = tx.find("name", name)?;
    let mut old = named
        .into_iter()
        .find(|h| h.tenant == device.tenant && h.state == HostState::Paired);
    if old.as_ref().is_some_and(|h| h.device != device.id) {
        return Err(Fault::Taken {
            what: "host",
            name: name.to_owned(),
        }
        .into());
    }
    let now = tx.now();
    let pairing = Pairing {
        host_id: id.clone(),
        name: name.to_owned(),
        device_id: device.id.clone(),
        channel_key,
        request: request.clone(),
        principals: principals.to_vec(),
        delivery_keys: delivery::keys(tx)?,
        nexus_id: app.nexus_id,
        transport: None,
        issued: now,
    };
    let signed = delivery::sign(tx, &pairing)?;
    let row = HostRow {
        id,
        tenant: device.tenant.clone(),
        name: name.to_owned(),
        device: device.id.clone(),
        principals: Words::of(principals),
        logins: Words::of(&request.logins),
        sshd_key: request.sshd_host_key.clone(),
        trial_key: request.trial_key.clone(),
        host_key: request.host_key,
        pairing: signed.clone(),
        state: HostState::Paired,
        created: now,
    };
    let entry = act
        .entry()
        .target(row.id.as_str())
        .detail("dpu", device.id.as_str())
        .detail("principals", principals.join(" "));
    tx.change(entry, |c| {
        // A reinstalled host pairs anew under its old name: the old id is never used again, and its certificate goes.
        if let Some(old) = &mut old {
            old.state = HostState::Unpaired;
            c.update(old)?;
            revoke_of_host(c, &old.device, &old.id)?;
        }
        c.insert(&row)
    })?;
    app.wake.ring(&device.id);
    Ok(HostPaired {
        host: shown(tx, &row, now)?,
        pairing: B64(signed),
    })
}

fn revoke_of_host(
    c: &mut Change<'_, '_>,
    device: &DeviceId,
    host: &HostId,
) -> Result<(), StoreFault> {
    for mut row in c.find::<CertificateRow>("device", device)? {
        if row.state == CertificateState::Valid && row.hosts.to_vec() == [host.as_str()] {
            row.state = CertificateState::Revoked;
            row.reason = Some("the host was paired anew".to_owned());
            ca::revoke(c, &row, true)?;
            c.update(&row)?;
        }
    }
    Ok(())
}

/// Host names that a host certificate may state: 1 to 16, lower-case ASCII, no wildcard.
fn principals(asked: &[String]) -> Result<Vec<String>, Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let is_name = |p: &String| {
        (1..=253).contains(&p.len())
            && p.bytes().all(plain)
            && !p.starts_with(['.', '-'])
            && !p.ends_with(['.', '-'])
    };
    if !(1..=16).contains(&asked.len()) || !asked.iter().all(is_name) {
        let why = "give 1 to 16 host names in lower-case ASCII, without wildcards".to_owned();
        return Err(Fault::Value {
            what: "`principals`",
            why,
        }
        .into());
    }
    Ok(asked.to_vec())
}

pub(crate) async fn list_hosts(ctx: Ctx, ask: InTenant) -> Result<Shown<Hosts>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<HostRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let next = (page.len() >= usize::try_from(limit.get()).unwrap_or(usize::MAX))
            .then(|| page.last().map(|h| h.id.to_string()))
            .flatten();
        let mut items = Vec::new();
        for row in page.into_iter().filter(|h| h.state == HostState::Paired) {
            if may_see(rows, &act.caller, &row, act.now)? {
                items.push(shown(rows, &row, act.now)?);
            }
        }
        Ok(Hosts { items, next })
    })
    .await
}

pub(crate) async fn show_host(ctx: Ctx, _: Empty) -> Result<Shown<Host>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        let row: HostRow = rows
            .get(act.target.id.as_str())?
            .ok_or(Fault::NotFound { what: "host" })?;
        if !may_see(rows, &act.caller, &row, act.now)? {
            return Err(Fault::NotFound { what: "host" }.into());
        }
        shown(rows, &row, act.now)
    })
    .await
}

/// Operators see what an active grant of theirs names; admins see all of their tenant.
pub(super) fn may_see(
    rows: &impl Rows,
    caller: &Caller,
    host: &HostRow,
    now: Timestamp,
) -> Result<bool, Problem> {
    let person = caller.person()?;
    if person.role != PersonRole::Operator {
        return Ok(true);
    }
    let grants: Vec<GrantRow> = rows.find("operator", &person.id)?;
    let reaches =
        |g: &GrantRow| g.host.as_ref() == Some(&host.id) || g.dpu.as_ref() == Some(&host.device);
    Ok(grants
        .iter()
        .any(|g| super::grants::is_active(g, now) && reaches(g)))
}

pub(crate) async fn agent_hosts(ctx: Ctx, _: Empty) -> Result<Shown<AgentHosts>, Problem> {
    let grace = ctx.app.config.outage_grace;
    ctx.read(Target::Route, move |rows, act| {
        let mut items = Vec::new();
        for host in hosts_behind(rows, &act.caller.device()?.id)? {
            let pairing = B64(host.pairing.clone());
            let plan = manifest::plan(rows, host, act.now)?;
            let more = u64::from(plan.need(act.now, grace) != Need::Nothing);
            let sequence = plan.sequence().saturating_add(more);
            items.push(AgentHost {
                host_id: plan.host().id.clone(),
                pairing,
                sequence,
            });
        }
        Ok(AgentHosts { items })
    })
    .await
}

/// The manifest of one host. What gives anything is judged now, in this transaction; what only takes away is not.
pub(crate) async fn pull_manifest(
    ctx: Ctx,
    ask: ManifestAsk,
) -> Result<Changed<ManifestOut>, Problem> {
    let device = ctx.caller.device()?.id.clone();
    let (caller, again) = (device.clone(), ask.clone());
    let mut done = ctx
        .settle(Target::Route, move |tx, act| {
            let host = own(tx, &device, &ask.host_id)?;
            let (now, grace) = (tx.now(), act.ctx.app.config.outage_grace);
            let plan = manifest::plan(tx, host, now)?;
            let newest = plan.newest().cloned();
            let again = newest.as_ref().is_some_and(|m| m.sequence > ask.have);
            let row = match plan.need(now, grace) {
                // Whatever the device's state; where it is fresh, with a trial and a new end.
                Need::Remove => {
                    let permit = judge(tx, act, &device)?.ok();
                    Some(sign(tx, act, plan.clone(), permit.as_ref())?)
                }
                Need::Nothing if !again || newest.as_ref().is_some_and(|m| m.removes) => newest,
                need => match judge(tx, act, &device)? {
                    Ok(_) if need == Need::Nothing => newest,
                    Ok(permit) => Some(sign(tx, act, plan.clone(), Some(&permit))?),
                    Err(_) if plan.clone().only_removing().removes() => {
                        Some(sign(tx, act, plan.clone(), None)?)
                    }
                    Err(problem) => return refuse(tx, act, problem),
                },
            };
            let renew_in = plan.renew_in(row.as_ref(), now, grace);
            let manifest = row.filter(|m| m.sequence > ask.have).map(|m| B64(m.signed));
            Ok(Settled::Done(ManifestOut { manifest, renew_in }))
        })
        .await;
    if matches!(&done, Err(problem) if *problem.fault() == Fault::Store(StoreFault::Full)) {
        // Releases stop; what takes away goes on, from the reserve.
        let device = caller.clone();
        done = ctx
            .revoke(Target::Route, move |tx, act| {
                take_away(tx, act, &device, &again)
            })
            .await;
    }
    // Whoever waits for this device sees that this is done, so that the same once more is news.
    ctx.app.wake.ring(&caller);
    done
}

/// The host behind this device whose pairing stands.
fn own(rows: &impl Rows, device: &DeviceId, host: &HostId) -> Result<HostRow, Problem> {
    let host: Option<HostRow> = rows.get(host)?;
    host.filter(|h| h.device == *device && h.state == HostState::Paired)
        .ok_or_else(|| Fault::NotFound { what: "host" }.into())
}

/// What a pull comes to on a full disk: a manifest that only removes, or nothing.
fn take_away(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
    ask: &ManifestAsk,
) -> Result<ManifestOut, Problem> {
    let (now, grace) = (tx.now(), act.ctx.app.config.outage_grace);
    let plan = manifest::plan(tx, own(tx, device, &ask.host_id)?, now)?;
    let row = if plan.clone().only_removing().removes() {
        sign(tx, act, plan.clone(), None)?
    } else {
        let newest = plan.newest().cloned();
        newest
            .filter(|m| m.removes && m.sequence > ask.have)
            .ok_or(StoreFault::Full)?
    };
    let renew_in = plan.renew_in(Some(&row), now, grace);
    let manifest = Some(B64(row.signed));
    Ok(ManifestOut { manifest, renew_in })
}

/// The gate's word, inside; outside, what kept it from speaking: a store that can't be believed is no denial, and what only
/// removes does not pass it in silence.
fn judge(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    device: &DeviceId,
) -> Result<Result<Permit, Problem>, Problem> {
    match Permit::judge(tx, act, Class::Public, std::slice::from_ref(device)) {
        Err(problem) if !problem.is_denial() && !matches!(problem.fault(), Fault::Clock(_)) => {
            Err(problem)
        }
        judged => Ok(judged),
    }
}

fn sign(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    plan: Plan,
    permit: Option<&Permit>,
) -> Result<ManifestRow, Problem> {
    let host = plan.host().id.clone();
    let mut entry = act
        .entry()
        .detail("host", host.as_str())
        .detail("gives", if permit.is_some() { "yes" } else { "no" });
    if let Some(permit) = permit {
        permit.describe(&mut entry);
    }
    tx.change(entry, |c| {
        let row = manifest::make(c, &act.ctx.app, plan, permit)?;
        c.entry()
            .details
            .insert("sequence".to_owned(), row.sequence.to_string());
        Ok(row)
    })
}

/// What a host made of its manifest: its word, shown and logged, believed by nothing.
pub(crate) async fn report_delivery(
    ctx: Ctx,
    ask: DeliveryReport,
) -> Result<Changed<Empty>, Problem> {
    let outcome = ask.outcome.as_str();
    if !(1..=64).contains(&outcome.len())
        || !outcome
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
    {
        return Err(Fault::Value {
            what: "`outcome`",
            why: "write `ok` or a dotted code".to_owned(),
        }
        .into());
    }
    let detail: String = ask
        .detail
        .chars()
        .filter(|c| !c.is_control())
        .take(512)
        .collect();
    ctx.change(Target::Route, move |tx, act| {
        let device = act.caller.device()?.id.clone();
        let host: Option<HostRow> = tx.get(&ask.host_id)?;
        let host = host.filter(|h| h.device == device).ok_or(Fault::NotFound { what: "host" })?;
        let newest: Option<ManifestRow> = tx.get(&host.id)?;
        if newest.is_none_or(|m| ask.sequence > m.sequence) {
            return Err(Fault::Value { what: "`sequence`", why: "there is no such manifest".to_owned() }.into());
        }
        let cell = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        tx.sql()
            .prepare_cached(
                "INSERT INTO host_report (host, sequence, outcome, detail, at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (host) DO UPDATE SET sequence = ?2, outcome = ?3, detail = ?4, at = ?5",
            )
            .and_then(|mut s| s.execute((host.id.as_str(), cell(ask.sequence), &ask.outcome, &detail, cell(tx.now().as_millis()))))
            .map_err(StoreFault::from)?;
        let entry = act.entry().target(host.id.as_str()).detail("sequence", ask.sequence.to_string());
        tx.audit(entry.detail("outcome", ask.outcome.clone()).detail("detail", detail.clone()))?;
        Ok(Empty {})
    })
    .await
}

/// A host as people see it.
pub(crate) fn shown(rows: &impl Rows, row: &HostRow, now: Timestamp) -> Result<Host, Problem> {
    let newest: Option<ManifestRow> = rows.get(&row.id)?;
    let certificate = match newest.as_ref().map(|m| m.certificate.as_str()) {
        Some(id) if !id.is_empty() => rows.get::<CertificateRow>(id)?,
        _ => None,
    };
    let report = manifest::reported(rows, &row.id)?;
    let installed = report
        .as_ref()
        .filter(|(_, outcome, _)| outcome == "ok")
        .map_or(0, |(sequence, _, _)| *sequence);
    Ok(Host {
        id: row.id.clone(),
        tenant_id: row.tenant.clone(),
        name: row.name.clone(),
        device_id: row.device.clone(),
        principals: row.principals.to_vec(),
        logins: row.logins.to_vec(),
        state: row.state.as_str().to_owned(),
        sequence: newest.as_ref().map_or(0, |m| m.sequence),
        installed,
        report: report.as_ref().map(|r| r.1.clone()),
        reported_at: report.as_ref().map(|r| Time(r.2)),
        attestation: attestation(rows, &row.device, now)?.to_owned(),
        certificate_until: certificate
            .filter(|c| c.state == CertificateState::Valid)
            .map(|c| Time(c.valid_before)),
    })
}

fn attestation(
    rows: &impl Rows,
    device: &DeviceId,
    now: Timestamp,
) -> Result<&'static str, Problem> {
    use assay_attest::standing::NotFresh;
    let Some(device) = rows.get::<Device>(device)? else {
        return Ok("unavailable");
    };
    Ok(match crate::release::standing(rows, &device, now)? {
        Ok(_) => "verified",
        Err(NotFresh::Stale) => "stale",
        Err(NotFresh::Unavailable) => "unavailable",
        Err(NotFresh::Failed) => "failed",
        Err(NotFresh::Quarantined) => "quarantined",
    })
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(rows: &impl Rows, id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    let found: Vec<HostRow> = match HostId::parse(id_or_name) {
        Ok(id) => rows.get(&id)?.into_iter().collect(),
        Err(_) => rows.find("name", id_or_name)?,
    };
    let paired = found.into_iter().filter(|h| h.state == HostState::Paired);
    Ok(paired
        .map(|h| Found::new(On::Host, h.id.as_str(), Some(h.tenant)))
        .collect())
}
