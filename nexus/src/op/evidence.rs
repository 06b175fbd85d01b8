//! Nonce, evidence, verdict.
//!
//! Evidence is verified and appraised before the transaction; inside it, what that rested on is read again: the nonce, the
//! pinned keys, the TPM's last clock, the reference values in force. What differs is a conflict, and nothing is stored.

use assay_api::types::*;
use assay_attest::expected::{Name, RequestKey};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose};
use assay_attest::standing::{Event, State};
use assay_attest::time::Timestamp;
use zeroize::Zeroizing;

use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::dpus;
use super::first_proof::nobodys;
use super::target::Target;
use crate::app::App;
use crate::fall::{self, Cause};
use crate::problem::{Fault, Problem};
use crate::release::nonce_owner;
use crate::store::devices::{Device, DeviceKey, Lifecycle, Words};
use crate::store::nonce::{self, NonceFault};
use crate::store::{Change, Rows, Tx, Writes};
use crate::verdict::{self, Proof};
use crate::verifier::{self, Against, Roots};

/// The most that a message of evidence may take, in bytes.
pub(crate) const MAX_EVIDENCE: usize = 256 * 1024;

pub(crate) async fn new_nonce(ctx: Ctx, _: Empty) -> Result<Changed<Nonce>, Problem> {
    ctx.change(Target::Route, |tx, act| {
        let row = own(tx, act)?;
        let value = nonce::issue(tx, &nonce_owner(&row.id), Purpose::Attest.as_str())?;
        verdict::heard(tx, &row.id, None)?;
        let sets = verifier::in_force(tx, &row.tenant, Some(&row.id))?;
        let pcrs = if row.ak_name.is_some() {
            verifier::pcrs_to_quote(&row.pcrs, &sets)
        } else {
            Vec::new()
        };
        Ok(Nonce {
            nonce: B64(value.to_vec()),
            expires_at: Time(act.now.plus_millis(nonce::LIFETIME)),
            pcrs,
        })
    })
    .await
}

pub(crate) async fn submit_evidence(
    ctx: Ctx,
    ask: EvidenceIn,
) -> Result<Changed<Verdict>, Problem> {
    if ask.evidence.0.len() > MAX_EVIDENCE {
        return Err(Fault::TooLarge {
            limit: MAX_EVIDENCE,
        }
        .into());
    }
    let looked = off_thread(&ctx, move |ctx| look(ctx, &ask.evidence.0)).await?;
    ctx.settle(Target::Route, move |tx, act| settle(tx, act, looked?))
        .await
}

pub(crate) async fn show_result(
    ctx: Ctx,
    _: Empty,
) -> Result<Shown<AttestationResultOut>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        let row = dpus::named(rows, &act.target)?;
        let found = row
            .result
            .map(|id| verdict::result(rows, &id))
            .transpose()?;
        found
            .flatten()
            .ok_or_else(|| Fault::NotFound { what: "result" }.into())
    })
    .await
}

pub(crate) async fn show_evidence(ctx: Ctx, _: Empty) -> Result<Shown<EvidenceBundle>, Problem> {
    ctx.read(Target::Route, |rows, act| {
        let row = dpus::named(rows, &act.target)?;
        let none = || Problem::from(Fault::NotFound { what: "result" });
        let id = row.result.clone().ok_or_else(none)?;
        let result = verdict::result(rows, &id)?.ok_or_else(none)?;
        let kept = stored(rows, &id)?.ok_or_else(none)?;
        let reference = result
            .reference_id
            .as_ref()
            .map(|id| rows.get::<crate::store::references::Reference>(id))
            .transpose()?
            .flatten();
        Ok(EvidenceBundle {
            format: assay_api::bundle::FORMAT.into(),
            result,
            evidence: B64(kept.bytes),
            nexus_id: B64(act.ctx.app.nexus_id.to_vec()),
            subject: kept.subject,
            purpose: kept.purpose,
            nonce: B64(kept.nonce.to_vec()),
            request_key: B64(kept.request),
            activation: B64(kept.activation),
            ak_name: row.ak_name.as_deref().map(|name| B64(name.to_vec())),
            dice_key: row.dice.map(|key| B64(key.to_vec())),
            erot_key: row.erot.map(|key| B64(key.to_vec())),
            reference_values: reference.map(|set| B64(set.body.to_vec())),
        })
    })
    .await
}

/// Evidence as it is kept: the bytes, and what they were verified against.
struct Stored {
    bytes: Vec<u8>,
    purpose: String,
    subject: String,
    nonce: [u8; 32],
    request: Vec<u8>,
    activation: Vec<u8>,
}

fn stored(
    rows: &impl Rows,
    result: &assay_api::id::ResultId,
) -> Result<Option<Stored>, crate::store::StoreFault> {
    use rusqlite::OptionalExtension as _;
    let sql = "SELECT bytes, purpose, subject, nonce, request, activation FROM evidence WHERE result = ?1";
    let found = rows
        .sql()
        .prepare_cached(sql)?
        .query_row([result.as_str()], |r| {
            Ok(Stored {
                bytes: r.get(0)?,
                purpose: r.get(1)?,
                subject: r.get(2)?,
                nonce: r.get(3)?,
                request: r.get(4)?,
                activation: r.get(5)?,
            })
        });
    Ok(found.optional()?)
}

/// Runs what takes milliseconds beside the threads that serve requests.
pub(super) async fn off_thread<T, F>(ctx: &Ctx, work: F) -> Result<Result<T, Problem>, Problem>
where
    F: FnOnce(&Ctx) -> Result<T, Problem> + Send + 'static,
    T: Send + 'static,
{
    let ctx = ctx.clone();
    let done = tokio::task::spawn_blocking(move || work(&ctx)).await;
    done.map_err(|_| Problem::from(Fault::Internal).step("evidence.panicked"))
}

/// The calling device, which may still be asked for proofs.
fn own(rows: &impl Rows, act: &Act<'_>) -> Result<Device, Problem> {
    let row: Device = rows
        .get(&act.caller.device()?.id)?
        .ok_or(Fault::NotFound { what: "dpu" })?;
    match row.lifecycle {
        Lifecycle::Pending | Lifecycle::Active => Ok(row),
        Lifecycle::Decommissioned => Err(Fault::Decommissioned { device: row.id }.into()),
    }
}

/// What evidence turned out to be.
enum Found {
    /// Verified, and appraised.
    Proof(Box<Proof>),
    /// Not authentic, or garbled.
    Rejected(Refusal),
    /// Signed by the device's own request key in this session, and from other hardware than is pinned.
    Moved(Refusal),
}

struct Looked {
    found: Found,
    /// The device as it was then.
    row: Device,
    nonce: [u8; 32],
    issued: Timestamp,
}

fn look(ctx: &Ctx, bytes: &[u8]) -> Result<Looked, Problem> {
    let caller = ctx.caller.device()?;
    let app = &*ctx.app;
    let now = app.store.clock().now();
    let (row, key, nonce, issued, sets) = app.store.read_now(|rows| {
        let row: Device = rows
            .get(&caller.id)?
            .ok_or(Fault::NotFound { what: "dpu" })?;
        let key: DeviceKey = rows.get(&caller.key)?.ok_or(Fault::Auth)?;
        let (nonce, issued) =
            nonce::outstanding(rows, &nonce_owner(&row.id), Purpose::Attest.as_str(), now)
                .map_err(no_nonce)?;
        let sets = verifier::in_force(rows, &row.tenant, Some(&row.id))?;
        Ok::<_, Problem>((row, key, nonce, issued, sets))
    })?;
    let against = Against {
        nexus_id: app.nexus_id,
        subject: row.id.to_string(),
        purpose: Purpose::Attest,
        nonce,
        activation: Zeroizing::default(),
        request: request_key(&key)?,
        ak: row.ak_name.as_deref().and_then(Name::parse),
        roots: Roots::of(&row),
        pcrs: verifier::indices(&row.pcrs),
    };
    let found = match app.verifier.verify(bytes, &against, now, &app.checks) {
        Ok(evidence) => {
            let judged =
                app.verifier
                    .judge(&evidence, &sets, row.root, &verifier::previous(&row), now);
            Found::Proof(Box::new(Proof {
                evidence,
                judged,
                against,
                issued,
            }))
        }
        // Both are found only after envelope, nonce and session have been verified under the device's own request key.
        Err(refusal @ (Refusal::TpmOtherAk | Refusal::DiceOtherDevice)) => Found::Moved(refusal),
        Err(refusal) => Found::Rejected(refusal),
    };
    Ok(Looked {
        found,
        row,
        nonce,
        issued,
    })
}

pub(super) fn request_key(key: &DeviceKey) -> Result<RequestKey, Problem> {
    let jwk = key.algorithm.jwk(&key.public);
    jwk.and_then(|jwk| RequestKey::new(jwk.public_key().clone()))
        .ok_or_else(|| Fault::Internal.into())
}

pub(super) fn no_nonce(fault: NonceFault) -> Problem {
    match fault {
        NonceFault::Unknown | NonceFault::Expired => Fault::NoNonce.into(),
        NonceFault::Store(fault) => fault.into(),
    }
}

fn settle(tx: &mut Tx<'_>, act: &Act<'_>, looked: Looked) -> Result<Settled<Verdict>, Problem> {
    let Looked {
        found,
        row: then,
        nonce: value,
        issued,
    } = looked;
    let row = own(tx, act)?;
    let owner = nonce_owner(&row.id);
    // Voided or replaced meanwhile: a demand, another verdict, a release from quarantine.
    nonce::check(tx, &owner, Purpose::Attest.as_str(), &value, act.now).map_err(no_nonce)?;
    let proof = match found {
        Found::Rejected(refusal) => return reject(tx, act, &row, &value, refusal),
        Found::Moved(refusal) => {
            nonce::void(tx, &owner)?;
            return moved(tx, act, row, refusal);
        }
        Found::Proof(proof) => proof,
    };
    if issued < row.barrier {
        return Err(Problem::from(Fault::NoNonce).step("evidence.stored_up"));
    }
    let same = |a: &Device, b: &Device| {
        (
            &a.ak_name,
            (&a.dice, &a.erot),
            a.tpm_reset,
            a.tpm_restart,
            a.tpm_clock,
            &a.pcrs,
        ) == (
            &b.ak_name,
            (&b.dice, &b.erot),
            b.tpm_reset,
            b.tpm_restart,
            b.tpm_clock,
            &b.pcrs,
        )
    };
    if !same(&row, &then) {
        return Err(Fault::Conflict {
            why: "the device changed meanwhile: ask for a nonce and prove again".into(),
        }
        .into());
    }
    let erot = proof.evidence.claims().device_key(Label::Erot);
    if row.erot.is_none() {
        nobodys::<Device>(tx, "erot", erot.as_ref())?;
    }
    verdict::still_in_force(tx, &row, Some(&row.id), &proof.judged)?;
    nonce::spend(tx, &owner, Purpose::Attest.as_str(), &value).map_err(no_nonce)?;
    let app = act.ctx.app.clone();
    let told = tx.change(act.entry(), |c| {
        let mut row = row;
        let told = verdict::record(c, &app, &mut row, &proof)?;
        c.update(&row)?;
        verdict::heard_well(c, &row.id)?;
        Ok::<_, Problem>(told)
    })?;
    Ok(Settled::Done(told))
}

/// Counted and logged; no state changes, and the nonce can be answered again, seven times.
fn reject(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    row: &Device,
    value: &[u8; 32],
    refusal: Refusal,
) -> Result<Settled<Verdict>, Problem> {
    let void = nonce::reject(tx, &nonce_owner(&row.id), value)?;
    verdict::heard(tx, &row.id, Some(refusal.code()))?;
    let entry = act
        .entry()
        .denied(refusal.code())
        .detail("nonce", if void { "void" } else { "kept" });
    tx.audit(entry)?;
    tracing::warn!(
        dpu = row.id.as_str(),
        code = refusal.code(),
        "evidence rejected"
    );
    Ok(Settled::Refused(refusal.into()))
}

/// The hardware behind a request key is not the pinned one any more.
fn moved(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    row: Device,
    refusal: Refusal,
) -> Result<Settled<Verdict>, Problem> {
    verdict::heard(tx, &row.id, Some(refusal.code()))?;
    tx.change(act.entry().denied(refusal.code()), |c| {
        let mut row = row;
        quarantine(c, &act.ctx.app, &mut row, refusal.code(), Cause::Automatic)?;
        c.update(&row)?;
        Ok::<_, Problem>(())
    })?;
    Ok(Settled::Refused(refusal.into()))
}

/// Into quarantine, with what follows from it. The caller writes the row.
pub(super) fn quarantine(
    c: &mut Change<'_, '_>,
    app: &App,
    row: &mut Device,
    reason: &str,
    cause: Cause,
) -> Result<(), Problem> {
    let before = row.attestation;
    row.attestation = before.on(Event::Quarantine).unwrap_or(State::Quarantined);
    let mut reasons = row.reasons.to_vec();
    if !reasons.iter().any(|known| known == reason) {
        reasons.push(reason.to_owned());
    }
    row.reasons = Words::of(reasons);
    distrust(row, c.now());
    c.entry()
        .details
        .insert("attestation".into(), row.attestation.as_str().into());
    match cause {
        Cause::Automatic if before != State::Verified => Ok(()),
        Cause::Automatic | Cause::Person => fall::trust_died(c, app, row, cause),
    }
}

/// Whatever its proof was worth, it is worth nothing now; nor is one that is on its way.
pub(super) fn distrust(row: &mut Device, now: Timestamp) {
    row.fresh_from = Timestamp::from_millis(0);
    row.fresh_until = Timestamp::from_millis(0);
    row.hpke = None;
    row.barrier = now;
}

/// Verifies a device's last evidence once more, from what is kept of it: its digest stands in the device's row.
pub(super) fn kept(
    app: &App,
    rows: &impl Rows,
    row: &Device,
    now: Timestamp,
) -> Result<assay_attest::verify::Evidence<assay_attest::verify::Verified>, Problem> {
    use assay_api::jose::Jwk;
    let none = || {
        Problem::from(Fault::NoSource {
            why: "it has not proved itself yet",
        })
    };
    let (Some(result), Some(digest)) = (&row.result, &row.evidence) else {
        return Err(none());
    };
    let Stored {
        bytes,
        purpose,
        subject,
        nonce,
        request,
        activation,
    } = stored(rows, result)?.ok_or_else(none)?;
    let purpose = [Purpose::Enrol, Purpose::Attest]
        .into_iter()
        .find(|p| p.as_str() == purpose);
    let jwk = match request.len() {
        32 => request.as_slice().try_into().ok().map(Jwk::ed25519),
        _ => request
            .as_slice()
            .try_into()
            .ok()
            .and_then(|point| Jwk::p256(point).ok()),
    };
    let request = jwk.and_then(|jwk| RequestKey::new(jwk.public_key().clone()));
    let (Some(purpose), Some(request)) = (purpose, request) else {
        return Err(none());
    };
    let against = Against {
        nexus_id: app.nexus_id,
        subject,
        purpose,
        nonce,
        activation: Zeroizing::new(activation),
        request,
        ak: row.ak_name.as_deref().and_then(Name::parse),
        roots: Roots::of(row),
        pcrs: Vec::new(),
    };
    let evidence = app.verifier.verify(&bytes, &against, now, &app.checks)?;
    if evidence.digest() == *digest {
        return Ok(evidence);
    }
    Err(Problem::from(Fault::NoSource {
        why: "its kept evidence is not what was judged",
    })
    .step("evidence.replaced"))
}
