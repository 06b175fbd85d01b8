//! Reference Values: taken from the last evidence of a machine that an admin knows to be good.
//!
//! Without a set in force every verdict is `failed` (I6); the evidence is verified and kept all the same, so that the first
//! set can be taken from it. A newer version of a name retires the one before: what rested on it is stale, and the devices
//! concerned are asked for a proof.

use assay_api::id::{DemandId, DeviceId, ReferenceId, TenantId};
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::claims::Claims as Measured;
use assay_attest::digest::HashAlg;
use assay_attest::reference::ReferenceValues;
use assay_attest::standing::State;
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use std::collections::BTreeSet;

use super::ctx::{Act, Changed, Ctx, Shown};
use super::target::{self, Found, Target};
use super::{dpus, evidence, words};
use crate::problem::{Fault, Problem};
use crate::release;
use crate::store::devices::{Demand as DemandRow, Device, Lifecycle, Words};
use crate::store::references::{Reference as Row, ReferenceState};
use crate::store::{EntryDraft, Rows, StoreFault, Tx, Writes};

/// Devices that are asked for a proof by one taking; the others prove themselves within half of `stale_after`.
const DEMANDS: usize = 200;
/// Devices that a set may name.
pub(super) const NAMED: usize = 500;

pub(crate) async fn take_reference(
    ctx: Ctx,
    ask: ReferenceTake,
) -> Result<Changed<Reference>, Problem> {
    let name = dpus::name(&ask.name)?;
    if ask.applies_to.len() > NAMED || ask.pcrs.len() > 24 {
        return Err(Fault::Value {
            what: "`applies_to`",
            why: "name at most 500 dpus".into(),
        }
        .into());
    }
    let done = ctx
        .change(Target::Named(ask.dpu), move |tx, act| {
            take(tx, act, &name, &ask.pcrs, &ask.applies_to)
        })
        .await?;
    let (answer, asked) = done.get();
    for device in asked {
        ctx.app.wake.ring(device);
    }
    tracing::info!(reference = answer.id.as_str(), "reference values taken");
    Ok(done.map(|(answer, _)| answer))
}

fn take(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    name: &str,
    pcrs: &[u8],
    applies_to: &[String],
) -> Result<(Reference, Vec<DeviceId>), Problem> {
    let app = &act.ctx.app;
    let source = dpus::named(tx, &act.target)?;
    match (source.lifecycle, source.attestation) {
        (Lifecycle::Decommissioned, _) => {
            return Err(Fault::Decommissioned { device: source.id }.into());
        }
        (_, State::Quarantined) => {
            return Err(Fault::NoSource {
                why: "it is quarantined",
            }
            .into());
        }
        _ => {}
    }
    let evidence = evidence::kept(app, tx, &source, act.now)?;
    let named = names(tx, act, &source.tenant, applies_to)?;
    let of_tenant: Vec<Row> = tx.find("tenant", &source.tenant)?;
    let version = next_version(tx, &source.tenant, name)?;
    let id = ReferenceId::from_random(&app.random.bytes()?);
    let values = values(&evidence, &id, version, pcrs)?;
    let row = Row {
        id,
        tenant: source.tenant.clone(),
        name: name.to_owned(),
        version,
        digest: values.digest(),
        body: values.to_bytes(),
        state: ReferenceState::Active,
        taken: act.now,
        taken_from: Some(source.id.clone()),
        applies_to: Words::of(named.iter().map(DeviceId::as_str)),
        manifest: None,
        signer: None,
    };
    let retired: Vec<Row> = of_tenant
        .into_iter()
        .filter(|r| r.name == name && matches!(r.state, ReferenceState::Active))
        .map(|r| Row {
            state: ReferenceState::Retired,
            ..r
        })
        .collect();
    let entry = act
        .entry()
        .detail("reference", row.id.as_str())
        .detail("name", name)
        .detail("version", version.to_string())
        .detail("digest", base16ct::lower::encode_string(&row.digest));
    let asked = put(tx, act, entry, &row, &retired, Some(&source.id))?;
    Ok((shown(&row, Some(&values)), asked))
}

/// The version that a set of that name gets next.
pub(super) fn next_version(
    rows: &impl Rows,
    tenant: &TenantId,
    name: &str,
) -> Result<u32, Problem> {
    let of_tenant: Vec<Row> = rows.find("tenant", tenant)?;
    let versions = of_tenant.iter().filter(|r| r.name == name);
    let last = versions.map(|r| r.version).max().unwrap_or(0);
    Ok(last.saturating_add(1))
}

/// Writes a set and those that it takes out of force, and asks for proofs those whose verdict it changes. Gives these.
pub(super) fn put(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    entry: EntryDraft,
    row: &Row,
    retired: &[Row],
    source: Option<&DeviceId>,
) -> Result<Vec<DeviceId>, Problem> {
    let known = tx.get::<Row>(&row.id)?.is_some();
    let mut gone = retired.to_vec();
    if matches!(row.state, ReferenceState::Retired) {
        gone.push(row.clone());
    }
    let concerned = concerned(tx, source, row, &gone)?;
    let ids = concerned
        .iter()
        .map(|_| {
            act.ctx
                .app
                .random
                .bytes()
                .map(|b| DemandId::from_random(&b))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let entry = entry.detail("demands", concerned.len().to_string());
    let asked = concerned.iter().map(|d| d.id.clone()).collect();
    tx.change(entry, |c| {
        for old in retired {
            c.update(old)?;
        }
        if known {
            c.update(row)?;
        } else {
            c.insert(row)?;
        }
        for (device, id) in concerned.into_iter().zip(ids) {
            release::demand_in(c, id, device)?;
        }
        Ok::<_, Problem>(())
    })?;
    Ok(asked)
}

/// The devices that a set is for, all of one tenant.
pub(super) fn names(
    tx: &Tx<'_>,
    act: &Act<'_>,
    tenant: &TenantId,
    applies_to: &[String],
) -> Result<Vec<DeviceId>, Problem> {
    let mut ids = BTreeSet::new();
    for name in applies_to {
        let row = dpus::named(tx, &target::find(tx, &act.caller, On::Device, name)?)?;
        if row.tenant != *tenant {
            return Err(Fault::NotFound { what: "dpu" }.into());
        }
        ids.insert(row.id);
    }
    Ok(ids.into_iter().collect())
}

fn values(
    evidence: &Evidence<Verified>,
    id: &ReferenceId,
    version: u32,
    pcrs: &[u8],
) -> Result<ReferenceValues, Problem> {
    let chosen = if pcrs.is_empty() {
        quoted(evidence.claims())
    } else {
        pcrs.to_vec()
    };
    let values = ReferenceValues::taken_from(
        evidence,
        id.as_str(),
        u64::from(version),
        &chosen,
        Timestamp::MAX,
    )?;
    Ok(values)
}

fn quoted(claims: &Measured) -> Vec<u8> {
    let banks = claims
        .tpm
        .iter()
        .filter_map(|tpm| tpm.pcrs.get(&HashAlg::Sha256));
    banks.flat_map(|bank| bank.keys().copied()).collect()
}

/// Devices whose verdict changes with this set: the source, those whose last verdict rests on a version that is retired now,
/// and those that failed and are meant. Only such as have no open demand.
fn concerned(
    tx: &Tx<'_>,
    source: Option<&DeviceId>,
    row: &Row,
    retired: &[Row],
) -> Result<Vec<Device>, Problem> {
    let now = tx.now();
    let all: Vec<Device> = tx.find("tenant", &row.tenant)?;
    let meant = |d: &Device| {
        let mut named = row.applies_to.iter().peekable();
        named.peek().is_none() || named.any(|id| id == d.id.as_str())
    };
    let rested = |d: &Device| {
        d.reference
            .as_ref()
            .is_some_and(|id| retired.iter().any(|r| r.id == *id))
    };
    let mut out = Vec::new();
    for device in all {
        let belongs = !matches!(device.lifecycle, Lifecycle::Decommissioned);
        let changes = Some(&device.id) == source
            || rested(&device)
            || (meant(&device) && device.attestation == State::Failed);
        if belongs
            && changes
            && tx
                .get::<DemandRow>(&device.id)?
                .is_none_or(|d| !d.is_open(now))
        {
            out.push(device);
        }
        if out.len() >= DEMANDS {
            break;
        }
    }
    Ok(out)
}

pub(crate) async fn list_references(ctx: Ctx, ask: InTenant) -> Result<Shown<References>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let filter = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<Row> = rows.page(filter, ask.after.as_deref(), limit)?;
        let full = page.len() == usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = page.last().filter(|_| full).map(|row| row.id.to_string());
        Ok(References {
            items: page.iter().map(|row| shown(row, None)).collect(),
            next,
        })
    })
    .await
}

pub(crate) async fn show_reference(ctx: Ctx, _: Empty) -> Result<Shown<Reference>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        let id = ReferenceId::parse(&act.target.id).map_err(|_| Fault::NotFound {
            what: "reference value set",
        })?;
        let row: Row = rows.get(&id)?.ok_or(Fault::NotFound {
            what: "reference value set",
        })?;
        let values = ReferenceValues::parse(&row.body)?;
        Ok(shown(&row, Some(&values)))
    })
    .await
}

pub(super) fn shown(row: &Row, values: Option<&ReferenceValues>) -> Reference {
    let components = values
        .into_iter()
        .flat_map(|v| v.entries())
        .map(|(component, entry)| ReferenceComponent {
            name: component.to_string(),
            rule: entry.need().as_str().into(),
            digests: entry
                .accepted()
                .iter()
                .map(|d| B64(d.bytes().to_vec()))
                .collect(),
            algorithms: entry
                .accepted()
                .iter()
                .map(|d| d.alg().name().to_owned())
                .collect(),
            conditions: entry.conditions().iter().map(ToString::to_string).collect(),
        });
    Reference {
        id: row.id.clone(),
        tenant_id: row.tenant.clone(),
        name: row.name.clone(),
        version: row.version,
        digest: B64(row.digest.to_vec()),
        state: row.state.as_str().into(),
        taken_at: Time(row.taken),
        taken_from: row.taken_from.clone(),
        applies_to: row
            .applies_to
            .iter()
            .filter_map(|id| DeviceId::parse(id).ok())
            .collect(),
        signer: row.signer.clone(),
        manifest_sha256: row
            .manifest
            .as_ref()
            .map(|m| B64(assay_attest::digest::sha256(&[m]).to_vec())),
        ends_at: values
            .map(ReferenceValues::ends)
            .filter(|ends| *ends != Timestamp::MAX)
            .map(Time),
        body: values.map(|v| B64(v.to_bytes())),
        components: components.collect(),
    }
}

/// Every one with this id or name, of whatever tenant: [`target`](super::target) picks those that the caller may know of. Of
/// a name, the version in force.
pub(crate) fn candidates(rows: &impl Rows, id_or_name: &str) -> Result<Vec<Found>, StoreFault> {
    let all: Vec<Row> = match ReferenceId::parse(id_or_name) {
        Ok(id) => rows.get(&id)?.into_iter().collect(),
        Err(_) => rows
            .find::<Row>("name", id_or_name)?
            .into_iter()
            .filter(|r| matches!(r.state, ReferenceState::Active))
            .collect(),
    };
    Ok(all
        .into_iter()
        .map(|row| Found::new(On::Reference, row.id.as_str(), Some(row.tenant)))
        .collect())
}
