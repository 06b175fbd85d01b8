//! Storing a verdict: device, result, evidence and audit entry change together, and the nonce is spent with them.

use assay_api::id::{DemandId, DeviceId, ReferenceId, ResultId};
use assay_api::types::{AttestationResultOut, B64, CheckOut, Time, Verdict as Told};
use assay_attest::claims::KeyLevel;
use assay_attest::digest::HashAlg;
use assay_attest::ear::EarHead;
use assay_attest::result::{AttestationResult, Outcome, RuntimeLevel, Verdict};
use assay_attest::session::Label;
use assay_attest::standing::{Event, State, Window};
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use rusqlite::{OptionalExtension as _, params};
use std::collections::BTreeSet;

use crate::app::App;
use crate::fall::{self, Cause};
use crate::keys::Signer;
use crate::problem::{Fault, Problem};
use crate::store::devices::{Demand, Device, Effects, KeyHeld, Runtime, Words};
use crate::store::signing_key::{self, KeyAlgorithm};
use crate::store::{AsSql, Change, Rows, StoreFault, Writes};
use crate::verifier::{self, Against, Judged, RESULT_KEY};

/// Results and evidence that are kept of one device, at most: the newest.
const KEPT: i64 = 64;

/// A proof that was verified and appraised, outside of any transaction.
pub(crate) struct Proof {
    pub(crate) evidence: Evidence<Verified>,
    pub(crate) judged: Judged,
    pub(crate) against: Against,
    pub(crate) issued: Timestamp,
}

/// Whether the rows that a proof was judged by are still the same: the sets in force.
pub(crate) fn still_in_force(
    rows: &impl Rows,
    row: &Device,
    known: Option<&DeviceId>,
    judged: &Judged,
) -> Result<(), Problem> {
    let now: Vec<ReferenceId> = verifier::in_force(rows, &row.tenant, known)?
        .into_iter()
        .map(|r| r.id)
        .collect();
    if now == judged.in_force {
        return Ok(());
    }
    Err(Fault::Conflict {
        why: "the reference values changed meanwhile: ask for a nonce and prove again".into(),
    }
    .into())
}

/// Writes the verdict into `row`, which the caller then inserts or updates, and stores result and evidence beside it.
///
/// # Errors
/// The faults of store and keys.
pub(crate) fn record(
    c: &mut Change<'_, '_>,
    app: &App,
    row: &mut Device,
    proof: &Proof,
) -> Result<Told, Problem> {
    let now = c.now();
    let result = &proof.judged.result;
    let id = ResultId::from_random(&app.random.bytes()?);
    let before = row.attestation;
    let event = result.event();
    // INVARIANT: the table has a state for every verdict; the worst stands in where it should not.
    row.attestation = before.on(event).unwrap_or(State::Quarantined);
    let good = matches!(
        (event, row.attestation),
        (Event::ProofVerified, State::Verified)
    );

    let ends = result.ends().min(row.ek_ends.unwrap_or(Timestamp::MAX));
    let window = Window::new(proof.issued, app.verifier.stale_after(), ends);
    let claims = proof.evidence.claims();
    (row.fresh_from, row.fresh_until, row.hpke) = if good {
        (
            window.from(),
            window.until(),
            Some(claims.stated.hpke.to_bytes()),
        )
    } else {
        (Timestamp::from_millis(0), Timestamp::from_millis(0), None)
    };
    if good || row.channel_key.is_none() {
        row.channel_key = Some(claims.stated.channel_key);
    }
    // From a good proof on it is required.
    if good && row.erot.is_none() {
        row.erot = claims.device_key(Label::Erot);
    }
    let failing = reasons(result);
    row.reasons = match (before, row.attestation) {
        // Why it was quarantined stays to be read.
        (State::Quarantined, State::Quarantined) => Words::of(
            row.reasons
                .iter()
                .chain(failing.iter().map(String::as_str))
                .collect::<BTreeSet<_>>(),
        ),
        _ => Words::of(&failing),
    };
    row.key_level = match result.key() {
        KeyLevel::Tpm => KeyHeld::Tpm,
        KeyLevel::Nonce => KeyHeld::Nonce,
    };
    row.runtime = match result.runtime() {
        RuntimeLevel::Measured => Runtime::Measured,
        RuntimeLevel::Unmeasured => Runtime::Unmeasured,
    };
    row.reference = proof.judged.reference.clone();
    row.evidence = Some(proof.evidence.digest());
    row.result = Some(id.clone());
    row.proved_at = Some(now);
    row.barrier = now;
    row.demand_until = None;
    if let Some(tpm) = &claims.tpm {
        let shown = tpm
            .pcrs
            .get(&HashAlg::Sha256)
            .into_iter()
            .flat_map(|bank| bank.keys().copied());
        let all: BTreeSet<u8> = verifier::indices(&row.pcrs)
            .into_iter()
            .chain(shown)
            .collect();
        row.pcrs = Words::of(all.iter().map(ToString::to_string));
        // A clock that ran backwards is not taken over: the next proof is held against the later one.
        if !matches!(event, Event::Quarantine) {
            row.tpm_reset = Some(tpm.clock.reset_count);
            row.tpm_restart = Some(tpm.clock.restart_count);
            row.tpm_clock = Some(tpm.clock.clock);
        }
    }
    answer_demand(c, &row.id)?;

    let until = if good { row.fresh_until } else { now };
    let signer = signing_key::ensure(c, "", RESULT_KEY, KeyAlgorithm::Ed25519)?
        .signer(c.keys().at_rest())
        .map_err(StoreFault::from)?;
    let signed = ear(app, result, &signer, &id, row, proof, now, until)?;
    store(
        c,
        row,
        proof,
        &id,
        &signed,
        now,
        until,
        before != row.attestation,
    )?;

    match row.attestation {
        State::Failed | State::Quarantined if before == State::Verified => {
            fall::trust_died(c, app, row, Cause::Automatic)?;
        }
        State::Verified => row.effects = Effects::None,
        State::Failed | State::Quarantined | State::Unavailable => {}
    }
    app.metrics.proved(row.attestation.as_str());
    describe(c, row, result, &id);
    Ok(Told {
        result_id: id,
        verdict: result.verdict().as_str().into(),
        root: row.root.as_str().into(),
        key: row.key_level.as_str().into(),
        runtime: row.runtime.as_str().into(),
        fresh_until: Time(until),
        reasons: row.reasons.to_vec(),
        next_proof_in: next_proof_in(app, now, until, good),
        time: Time(now),
        ear: signed.jwt,
    })
}

/// Half of what is left; after a bad verdict, as if it had been good: proving more often changes nothing.
fn next_proof_in(app: &App, now: Timestamp, until: Timestamp, good: bool) -> u32 {
    let left = if good {
        until.millis_since(now).unwrap_or(0)
    } else {
        app.verifier.stale_after().as_millis()
    };
    u32::try_from(left / 2000).unwrap_or(u32::MAX)
}

fn answer_demand(
    c: &mut Change<'_, '_>,
    device: &DeviceId,
) -> Result<Option<DemandId>, StoreFault> {
    let Some(mut demand) = c.get::<Demand>(device)?.filter(|d| d.answered.is_none()) else {
        return Ok(None);
    };
    demand.answered = Some(c.now());
    c.update(&demand)?;
    Ok(Some(demand.id))
}

/// The codes of what failed, each with its component where it has one: `appraisal.component:pcr.sha256.7`.
pub(crate) fn reasons(result: &AttestationResult) -> Vec<String> {
    let failed = result
        .checks()
        .iter()
        .filter(|check| !matches!(check.outcome, Outcome::Pass));
    let words = failed.map(|check| match check.component {
        Some(component) => format!("{}:{component}", check.code),
        None => check.code.to_owned(),
    });
    words.collect::<BTreeSet<_>>().into_iter().collect()
}

fn describe(c: &mut Change<'_, '_>, row: &Device, result: &AttestationResult, id: &ResultId) {
    let hex = |bytes: &[u8; 32]| base16ct::lower::encode_string(bytes);
    let details = &mut c.entry().details;
    details.insert("result".into(), id.to_string());
    details.insert("verdict".into(), result.verdict().as_str().into());
    details.insert("attestation".into(), row.attestation.as_str().into());
    details.insert("evidence".into(), hex(result.evidence_digest()));
    details.insert("policy".into(), hex(&result.policy().digest));
    if let Some(reference) = result.reference() {
        details.insert("reference".into(), hex(&reference.digest));
    }
    let reasons: Vec<&str> = row.reasons.iter().take(32).collect();
    if !reasons.is_empty() {
        details.insert("reasons".into(), reasons.join(" "));
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a JWT's head has that many fields"
)]
fn ear(
    app: &App,
    result: &AttestationResult,
    signer: &dyn Signer,
    id: &ResultId,
    row: &Device,
    proof: &Proof,
    now: Timestamp,
    until: Timestamp,
) -> Result<verifier::SignedEar, Problem> {
    let issuer = Base64UrlUnpadded::encode_string(&app.nexus_id);
    let head = EarHead {
        issuer: &issuer,
        subject: row.id.as_str(),
        result_id: id.as_str(),
        issued: now,
        fresh_until: until,
        nonce: &proof.against.nonce,
        developer: "assay",
        build: env!("CARGO_PKG_VERSION"),
    };
    verifier::sign_ear(result, &head, signer)
}

/// Keeps result and evidence: those that changed a state for good, of the others the latest (design, section 10).
#[expect(clippy::too_many_arguments, reason = "one row each of two tables")]
fn store(
    c: &Change<'_, '_>,
    row: &Device,
    proof: &Proof,
    id: &ResultId,
    ear: &verifier::SignedEar,
    now: Timestamp,
    until: Timestamp,
    keep: bool,
) -> Result<(), Problem> {
    let result = &proof.judged.result;
    let out = AttestationResultOut {
        id: id.clone(),
        device_id: row.id.clone(),
        verdict: match result.verdict() {
            Verdict::Verified => "verified".into(),
            Verdict::Failed => "failed".into(),
        },
        appraised_at: Time(now),
        fresh_until: Time(until),
        checks: result.checks().iter().map(shown).collect(),
        evidence_digest: B64(result.evidence_digest().to_vec()),
        reference_id: proof.judged.reference.clone(),
        reference_digest: result.reference().map(|r| B64(r.digest.to_vec())),
        policy_digest: B64(result.policy().digest.to_vec()),
        ear: ear.jwt.clone(),
        ear_cwt: Some(B64(ear.cwt.clone())),
    };
    let body =
        serde_json::to_vec(&out).map_err(|_| Problem::from(Fault::Internal).step("result.json"))?;
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), StoreFault> {
        c.sql().prepare_cached(sql)?.execute(values)?;
        Ok(())
    };
    let device = &AsSql(&row.id);
    run(
        "DELETE FROM result WHERE device = ?1 AND id IN (SELECT result FROM evidence WHERE device = ?1 AND keep = 0)",
        &[device],
    )?;
    run(
        "DELETE FROM evidence WHERE device = ?1 AND keep = 0",
        &[device],
    )?;
    // A device that swings to and fro by itself fills no disk.
    let older =
        "SELECT id FROM result WHERE device = ?1 ORDER BY appraised DESC, id LIMIT -1 OFFSET ?2";
    run(
        &format!("DELETE FROM evidence WHERE result IN ({older})"),
        &[device, &KEPT],
    )?;
    run(
        &format!("DELETE FROM result WHERE id IN ({older})"),
        &[device, &KEPT],
    )?;
    run(
        "INSERT INTO result (id, device, appraised, body) VALUES (?1, ?2, ?3, ?4)",
        &[&AsSql(id), device, &AsSql(&now), &body],
    )?;
    let against = &proof.against;
    let request = request_bytes(against)?;
    run(
        "INSERT INTO evidence (result, device, keep, bytes, purpose, subject, nonce, request, activation) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &[
            &AsSql(id),
            device,
            &keep,
            &proof.evidence.as_bytes(),
            &against.purpose.as_str(),
            &against.subject,
            &against.nonce,
            &request,
            &against.activation.as_slice(),
        ],
    )?;
    Ok(())
}

/// The request key as JWK, to verify the evidence again.
fn request_bytes(against: &Against) -> Result<Vec<u8>, Problem> {
    use assay_attest::key::PublicKey;
    match against.request.key() {
        PublicKey::Ed25519(key) => Ok(key.to_vec()),
        PublicKey::P256(point) => Ok(point.to_vec()),
        PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => {
            Err(Fault::Internal.into())
        }
    }
}

fn shown(check: &assay_attest::result::Check) -> CheckOut {
    CheckOut {
        code: check.code.into(),
        component: check
            .component
            .map_or_else(|| "device".into(), |c| c.to_string()),
        outcome: match check.outcome {
            Outcome::Pass => "pass".into(),
            Outcome::Fail | Outcome::Quarantine => "fail".into(),
        },
        expected: Some(check.expected.clone()),
        seen: Some(check.seen.clone()),
    }
}

/// A stored result.
pub(crate) fn result(
    rows: &impl Rows,
    id: &ResultId,
) -> Result<Option<AttestationResultOut>, Problem> {
    let body: Option<Vec<u8>> = rows
        .sql()
        .prepare_cached("SELECT body FROM result WHERE id = ?1")
        .map_err(StoreFault::from)?
        .query_row([id.as_str()], |r| r.get(0))
        .optional()
        .map_err(StoreFault::from)?;
    let read = body.map(|body| serde_json::from_slice(&body)).transpose();
    read.map_err(|_| Problem::from(Fault::Internal).step("result.unreadable"))
}

/// Heard from a device: when, and what was wrong with its evidence where it was rejected.
pub(crate) fn heard(
    w: &impl Writes,
    device: &DeviceId,
    rejection: Option<&str>,
) -> Result<(), StoreFault> {
    let sql = "INSERT INTO device_heard (device, seen, rejected, last_rejection) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (device) DO UPDATE SET seen = ?2, rejected = rejected + ?3, \
               last_rejection = coalesce(?4, last_rejection)";
    w.sql().prepare_cached(sql)?.execute(params![
        AsSql(device),
        AsSql(&w.now()),
        i64::from(rejection.is_some()),
        rejection
    ])?;
    Ok(())
}

/// A verdict was given: nothing is rejected since.
pub(crate) fn heard_well(w: &impl Writes, device: &DeviceId) -> Result<(), StoreFault> {
    let sql = "INSERT INTO device_heard (device, seen, rejected) VALUES (?1, ?2, 0) \
               ON CONFLICT (device) DO UPDATE SET seen = ?2, rejected = 0, last_rejection = NULL";
    w.sql()
        .prepare_cached(sql)?
        .execute(params![AsSql(device), AsSql(&w.now())])?;
    Ok(())
}
