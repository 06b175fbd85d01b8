//! Reference Values that come as signed manifests (CoRIM): who may sign them, taking them in, and putting them in force.
//!
//! What is taken in judges nobody. Before a set comes into force, or goes out of it, the fleet's last evidence is appraised as it would
//! be then; whoever does it says how many devices may fail. What follows for those that do is paced (see [`crate::fall`]).

use assay_api::id::{DeviceId, ReferenceId};
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::chain::{Anchor, AnchorKind, TrustAnchors};
use assay_attest::codec::spki;
use assay_attest::codec::x509::Certificate;
use assay_attest::corim::{self, Choice, Document, Scope, Signer};
use assay_attest::limits;
use assay_attest::reference::{Component, ReferenceValues};
use assay_attest::refusal::Refusal;
use assay_attest::result::Verdict as Outcome;
use assay_attest::standing::State;
use assay_attest::time::Timestamp;
use std::collections::BTreeSet;

use super::ctx::{Changed, Ctx, Shown};
use super::references::{self, shown};
use super::target::{self, Found, Target};
use super::{dpus, evidence, words};
use crate::app::App;
use crate::problem::{Fault, Problem};
use crate::store::Rows;
use crate::store::devices::{Device, Lifecycle, Words};
use crate::store::references::{
    Reference as Row, ReferenceSigner as SignerRow, ReferenceState, SignerKind, SignerState,
};
use crate::{verdict, verifier};

/// Devices that a look ahead appraises; what lies beyond counts as failing.
const LOOKED_AT: usize = 2000;
/// Devices that an answer names.
const NAMED: usize = 100;
/// Components that a choice may name.
const CHOSEN: usize = 256;

pub(crate) async fn pin_reference_signer(
    ctx: Ctx,
    ask: ReferenceSignerPin,
) -> Result<Changed<ReferenceSigner>, Problem> {
    let name = dpus::name(&ask.name)?;
    let kind = match ask.kind.as_str() {
        "key" => SignerKind::Key,
        "certificate" => SignerKind::Certificate,
        "root" => SignerKind::Root,
        _ => {
            return Err(Fault::Value {
                what: "`kind`",
                why: "it is none of key, certificate, root".into(),
            }
            .into());
        }
    };
    let der = ask.der.0;
    // Whoever can't sign is not pinned.
    signer(kind, &name, &der)?;
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        let before: Option<SignerRow> = tx.get((tenant.as_str(), name.as_str()))?;
        let row = SignerRow {
            tenant,
            name: name.clone(),
            kind,
            der,
            state: SignerState::Active,
            pinned: act.now,
        };
        if before
            .as_ref()
            .is_some_and(|b| matches!(b.state, SignerState::Active))
        {
            return Err(Fault::Taken {
                what: "signer",
                name,
            }
            .into());
        }
        let entry = act
            .entry()
            .detail("signer", &row.name)
            .detail("kind", row.kind.as_str())
            .detail("sha256", hex(&sha256(&row.der)));
        tx.change(entry, |c| match before {
            Some(_) => c.update(&row),
            None => c.insert(&row),
        })?;
        Ok(told(&row))
    })
    .await
}

pub(crate) async fn list_reference_signers(
    ctx: Ctx,
    ask: InTenant,
) -> Result<Shown<ReferenceSigners>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let tenant = act.target.tenant()?;
        let all: Vec<SignerRow> = rows.find("tenant", tenant)?;
        let after = ask.after.as_deref().unwrap_or_default();
        let full = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let mut page: Vec<&SignerRow> =
            all.iter().filter(|row| row.name.as_str() > after).collect();
        page.sort_by(|a, b| a.name.cmp(&b.name));
        let next = page
            .get(full)
            .and(page.get(full.saturating_sub(1)))
            .map(|row| row.name.clone());
        page.truncate(full);
        Ok(ReferenceSigners {
            items: page.into_iter().map(told).collect(),
            next,
        })
    })
    .await
}

pub(crate) async fn retire_reference_signer(
    ctx: Ctx,
    ask: ReferenceSignerRetire,
) -> Result<Changed<ReferenceSigner>, Problem> {
    ctx.revoke(Target::Tenant(ask.tenant), move |tx, act| {
        let none = || Problem::from(Fault::NotFound { what: "signer" });
        let tenant = act.target.tenant()?.clone();
        let mut row: SignerRow = tx
            .get((tenant.as_str(), ask.name.as_str()))?
            .ok_or_else(none)?;
        if matches!(row.state, SignerState::Active) {
            row.state = SignerState::Retired;
            tx.change(act.entry().detail("signer", &row.name), |c| c.update(&row))?;
        }
        Ok(told(&row))
    })
    .await
}

pub(crate) async fn import_reference(
    ctx: Ctx,
    ask: ReferenceImport,
) -> Result<Changed<Reference>, Problem> {
    let name = dpus::name(&ask.name)?;
    let choice = choice(&ask)?;
    if ask.applies_to.len() > references::NAMED {
        return Err(Fault::Value {
            what: "`applies_to`",
            why: "name at most 500 dpus".into(),
        }
        .into());
    }
    let (manifest, tenant) = (ask.manifest.0.clone(), ask.tenant.clone());
    let trusted =
        evidence::off_thread(&ctx, move |ctx| trust(ctx, tenant.as_deref(), &manifest)).await??;
    let scope = match ask.scope.as_deref() {
        Some(text) => Scope::parse(text),
        None => Scope::of(&trusted.corim),
    };
    let scope = scope.ok_or_else(|| Fault::Value {
        what: "`scope`",
        why: "say which part of a device the manifest speaks of: tpm, irot, erot, accel.0 to accel.15, named".into(),
    })?;
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        // The signer was read before: it must be the same still.
        let now: Option<SignerRow> = tx.get((tenant.as_str(), trusted.signer.name.as_str()))?;
        if now.as_ref() != Some(&trusted.signer) {
            return Err(Refusal::CorimNoSigner.into());
        }
        let app = &act.ctx.app;
        let id = ReferenceId::from_random(&app.random.bytes()?);
        let version = references::next_version(tx, &tenant, &name)?;
        let values = corim::reference_values(
            &trusted.corim,
            scope,
            &choice,
            id.as_str(),
            u64::from(version),
            trusted.ends,
        )?;
        let named = references::names(tx, act, &tenant, &ask.applies_to)?;
        let row = Row {
            id,
            tenant,
            name,
            version,
            digest: values.digest(),
            body: values.to_bytes(),
            state: ReferenceState::Draft,
            taken: act.now,
            taken_from: None,
            applies_to: Words::of(named.iter().map(DeviceId::as_str)),
            manifest: Some(ask.manifest.0),
            signer: Some(trusted.signer.name),
        };
        let entry = act
            .entry()
            .detail("reference", row.id.as_str())
            .detail("name", &row.name)
            .detail("version", row.version.to_string())
            .detail("digest", hex(&row.digest))
            .detail("manifest", hex(&trusted.sha256))
            .detail("signer", row.signer.as_deref().unwrap_or_default());
        tx.change(entry, |c| c.insert(&row))?;
        Ok(shown(&row, Some(&values)))
    })
    .await
}

pub(crate) async fn show_reference_impact(
    ctx: Ctx,
    _: Empty,
) -> Result<Shown<ReferenceImpact>, Problem> {
    ctx.read_long(Target::Route, |rows, act| {
        let row = named(rows, &act.target)?;
        let to = match row.state {
            ReferenceState::Active => ReferenceState::Retired,
            ReferenceState::Draft | ReferenceState::Retired => ReferenceState::Active,
        };
        let ahead = look_ahead(&act.ctx.app, rows, &row, to, act.now)?;
        Ok(ahead.told(&row, to))
    })
    .await
}

pub(crate) async fn activate_reference(
    ctx: Ctx,
    ask: ReferenceChange,
) -> Result<Changed<Reference>, Problem> {
    change(ctx, ask, ReferenceState::Active).await
}

pub(crate) async fn retire_reference(
    ctx: Ctx,
    ask: ReferenceChange,
) -> Result<Changed<Reference>, Problem> {
    change(ctx, ask, ReferenceState::Retired).await
}

/// Puts a set in force, or out of it.
async fn change(
    ctx: Ctx,
    ask: ReferenceChange,
    to: ReferenceState,
) -> Result<Changed<Reference>, Problem> {
    let ahead = evidence::off_thread(&ctx, move |ctx| {
        if ctx.caller.person()?.role == PersonRole::Operator {
            return Err(Fault::Forbidden.into());
        }
        let id = ctx.path_id.clone().unwrap_or_default();
        let now = ctx.app.store.clock().now();
        ctx.app.store.read_now(|rows| {
            let found = target::find(rows, &ctx.caller, On::Reference, &id)?;
            look_ahead(&ctx.app, rows, &named(rows, &found)?, to, now)
        })
    })
    .await??;
    let done = ctx
        .change(Target::Route, move |tx, act| {
            let row = named(tx, &act.target)?;
            let all: Vec<Row> = tx.find("tenant", &row.tenant)?;
            if states(&all) != ahead.states {
                return Err(Fault::Conflict {
                    why: "the reference values changed meanwhile: look at the impact again".into(),
                }
                .into());
            }
            if row.state == to {
                return Err(Fault::Conflict {
                    why: format!("the set is {} already", to.as_str()),
                }
                .into());
            }
            let failures = ahead.failures();
            if failures > ask.accept_failures {
                return Err(Fault::Impact {
                    failures,
                    accepted: ask.accept_failures,
                }
                .into());
            }
            let values = ReferenceValues::parse(&row.body)?;
            if to == ReferenceState::Active && act.now >= values.ends() {
                return Err(Fault::Conflict {
                    why: "the set's time has run out".into(),
                }
                .into());
            }
            let retired: Vec<Row> = after(all, &row, to)
                .1
                .into_iter()
                .filter(|old| old.id != row.id)
                .collect();
            let row = Row {
                state: to,
                taken: if to == ReferenceState::Active {
                    act.now
                } else {
                    row.taken
                },
                ..row
            };
            let entry = act
                .entry()
                .detail("reference", row.id.as_str())
                .detail("name", &row.name)
                .detail("version", row.version.to_string())
                .detail("digest", hex(&row.digest))
                .detail("would_fail", failures.to_string());
            let asked = references::put(tx, act, entry, &row, &retired, None)?;
            Ok((shown(&row, Some(&values)), asked))
        })
        .await?;
    let (_, asked) = done.get();
    for device in asked {
        ctx.app.wake.ring(device);
    }
    Ok(done.map(|(answer, _)| answer))
}

/// A manifest under a pinned signer's signature.
struct Trusted {
    corim: corim::Corim,
    signer: SignerRow,
    ends: Timestamp,
    sha256: [u8; 32],
}

fn trust(ctx: &Ctx, tenant: Option<&str>, manifest: &[u8]) -> Result<Trusted, Problem> {
    let app = &*ctx.app;
    let now = app.store.clock().now();
    if manifest.len() > limits::CORIM_BYTES {
        return Err(Fault::TooLarge {
            limit: limits::CORIM_BYTES,
        }
        .into());
    }
    let pinned: Vec<SignerRow> = app.store.read_now(|rows| {
        let tenant = match (tenant, ctx.caller.tenant()) {
            (Some(name), _) => {
                let found = target::find(rows, &ctx.caller, On::Tenant, name)?;
                found.tenant()?.clone()
            }
            (None, Some(own)) => own.clone(),
            (None, None) => Found::new(On::Tenant, "*", None).tenant()?.clone(),
        };
        Ok::<_, Problem>(rows.find("tenant", &tenant)?)
    })?;
    let Document::Signed(signed) = Document::parse(manifest)? else {
        return Err(Refusal::CorimUnsigned.into());
    };
    let mut last = Refusal::CorimNoSigner;
    for row in pinned {
        if !matches!(row.state, SignerState::Active) {
            continue;
        }
        let Ok(signer) = signer(row.kind, &row.name, &row.der) else {
            continue;
        };
        match signed.verify(&signer, now, &app.checks) {
            Ok(trusted) => {
                return Ok(Trusted {
                    corim: trusted.corim.clone(),
                    ends: trusted.ends,
                    sha256: trusted.digest,
                    signer: row,
                });
            }
            // It is this signer's, and does not count: that is what to say.
            Err(
                found @ (Refusal::CorimExpired { .. }
                | Refusal::CorimNotYetValid { .. }
                | Refusal::ChainExpired { .. }
                | Refusal::ChainNotYetValid { .. }),
            ) => last = found,
            Err(_) => {}
        }
    }
    Err(last.into())
}

fn signer(kind: SignerKind, name: &str, der: &[u8]) -> Result<Signer, Problem> {
    Ok(match kind {
        SignerKind::Key => Signer::Key(spki::parse("the signer's key", der)?),
        SignerKind::Certificate => Signer::Certificate(Box::new(Certificate::parse(der)?)),
        SignerKind::Root => {
            let certificate = Certificate::parse(der)?;
            let anchor = Anchor::from_certificate(name, AnchorKind::Operator, &certificate)?;
            Signer::Roots(TrustAnchors::new(anchor, Vec::new()))
        }
    })
}

fn choice(ask: &ReferenceImport) -> Result<Choice, Problem> {
    let read = |names: &[String]| -> Result<BTreeSet<Component>, Problem> {
        if names.len() > CHOSEN {
            return Err(Fault::Value {
                what: "the components",
                why: format!("name at most {CHOSEN}"),
            }
            .into());
        }
        names
            .iter()
            .map(|name| name.parse().map_err(Problem::from))
            .collect()
    };
    Ok(Choice {
        optional: read(&ask.optional)?,
        ignored: read(&ask.ignored)?,
        forbidden: read(&ask.forbidden)?,
    })
}

fn named(rows: &impl Rows, found: &Found) -> Result<Row, Problem> {
    let none = || {
        Problem::from(Fault::NotFound {
            what: "reference value set",
        })
    };
    let id = ReferenceId::parse(&found.id).map_err(|_| none())?;
    rows.get(&id)?.ok_or_else(none)
}

/// What a change would do to the fleet.
struct Ahead {
    states: Vec<(ReferenceId, ReferenceState)>,
    looked_at: u32,
    unknown: u32,
    /// Good now, bad then; and why.
    fails: Vec<(DeviceId, Vec<String>)>,
    /// Bad now, good then.
    clears: Vec<DeviceId>,
}

impl Ahead {
    fn failures(&self) -> u32 {
        let known = u32::try_from(self.fails.len()).unwrap_or(u32::MAX);
        known.saturating_add(self.unknown)
    }

    fn told(self, row: &Row, to: ReferenceState) -> ReferenceImpact {
        let failures = self.failures();
        ReferenceImpact {
            reference_id: row.id.clone(),
            becomes: to.as_str().into(),
            looked_at: self.looked_at,
            not_looked_at: self.unknown,
            would_fail: failures,
            would_clear: u32::try_from(self.clears.len()).unwrap_or(u32::MAX),
            failing: self
                .fails
                .into_iter()
                .take(NAMED)
                .map(|(device_id, reasons)| ReferenceImpactOn { device_id, reasons })
                .collect(),
            clearing: self.clears.into_iter().take(NAMED).collect(),
        }
    }
}

fn states(all: &[Row]) -> Vec<(ReferenceId, ReferenceState)> {
    let mut states: Vec<_> = all.iter().map(|row| (row.id.clone(), row.state)).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

/// The sets as they are once `row` is `to`, and those of them that go out of force by it.
fn after(all: Vec<Row>, row: &Row, to: ReferenceState) -> (Vec<Row>, Vec<Row>) {
    let mut retired = Vec::new();
    let mut sets = Vec::new();
    for set in all {
        let state = if set.id == row.id {
            to
        } else if to == ReferenceState::Active
            && set.name == row.name
            && set.state == ReferenceState::Active
        {
            ReferenceState::Retired
        } else {
            set.state
        };
        let gone = set.state == ReferenceState::Active && state == ReferenceState::Retired;
        let set = Row { state, ..set };
        if gone {
            retired.push(set.clone());
        }
        sets.push(set);
    }
    (sets, retired)
}

/// Appraises the last evidence of each device as it would be.
fn look_ahead(
    app: &App,
    rows: &impl Rows,
    row: &Row,
    to: ReferenceState,
    now: Timestamp,
) -> Result<Ahead, Problem> {
    let all: Vec<Row> = rows.find("tenant", &row.tenant)?;
    let mut ahead = Ahead {
        states: states(&all),
        looked_at: 0,
        unknown: 0,
        fails: Vec::new(),
        clears: Vec::new(),
    };
    let (sets, _) = after(all, row, to);
    let devices: Vec<Device> = rows.find("tenant", &row.tenant)?;
    for device in devices {
        let good = device.attestation == State::Verified;
        let counts = good || device.attestation == State::Failed;
        if !counts || matches!(device.lifecycle, Lifecycle::Decommissioned) {
            continue;
        }
        let looked = usize::try_from(ahead.looked_at).unwrap_or(usize::MAX);
        let kept = if looked < LOOKED_AT {
            evidence::kept(app, rows, &device, now)
        } else {
            Err(Fault::Internal.into())
        };
        // What can't be appraised anew may fail: who changes the sets is to know of it.
        let Ok(kept) = kept else {
            ahead.unknown = ahead.unknown.saturating_add(u32::from(good));
            continue;
        };
        ahead.looked_at = ahead.looked_at.saturating_add(1);
        let in_force = verifier::choose(sets.clone(), Some(&device.id));
        let previous = verifier::previous(&device);
        let judged = app
            .verifier
            .judge(&kept, &in_force, device.root, &previous, now);
        match (good, judged.result.verdict()) {
            (true, Outcome::Failed) => {
                ahead
                    .fails
                    .push((device.id, verdict::reasons(&judged.result)));
            }
            (false, Outcome::Verified) => ahead.clears.push(device.id),
            (true, Outcome::Verified) | (false, Outcome::Failed) => {}
        }
    }
    Ok(ahead)
}

fn told(row: &SignerRow) -> ReferenceSigner {
    ReferenceSigner {
        tenant_id: row.tenant.clone(),
        name: row.name.clone(),
        kind: row.kind.as_str().into(),
        sha256: B64(sha256(&row.der).to_vec()),
        state: row.state.as_str().into(),
        pinned_at: Time(row.pinned),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    assay_attest::digest::sha256(&[bytes])
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
