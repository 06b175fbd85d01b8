//! Enrolment, second call: the evidence, whose session holds the activation secret. Claim, identity, key and first verdict are
//! one transaction; a claim has one winner (I3).

use assay_api::id::{DeviceId, KeyId};
use assay_api::types::*;
use assay_attest::appraise::Previous;
use assay_attest::expected::{Name, RequestKey};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose};
use assay_attest::standing::State;
use assay_attest::time::Timestamp;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::caller::{NewKey, refused};
use super::ctx::{Act, Changed, Ctx, Settled};
use super::enrolment::{claim_of, nonce_owner, place, token_problem};
use super::evidence::{MAX_EVIDENCE, no_nonce, off_thread};
use super::target::Target;
use crate::problem::{Fault, Problem};
use crate::store::claims::{Claim as ClaimRow, Enrolment};
use crate::store::devices::{
    Device, DeviceKey, Effects, KeyHeld, Lifecycle, RootLevel, Runtime, Words,
};
use crate::store::people::{KeyState, OperatorKey, RequestAlgorithm};
use crate::store::token::{self, TokenKind};
use crate::store::{Reader, Rows, StoreFault, Tx, nonce};
use crate::verdict::{self, Proof};
use crate::verifier::{self, Against, PCRS, Roots};

pub(crate) async fn complete_enrolment(
    ctx: Ctx,
    ask: EnrolComplete,
) -> Result<Changed<Enrolled>, Problem> {
    if ask.evidence.0.len() > MAX_EVIDENCE {
        return Err(Fault::TooLarge {
            limit: MAX_EVIDENCE,
        }
        .into());
    }
    let secret = SecretB64(ask.secret.0.clone());
    // Strangers are turned away here: they take no place in the queue of those who write.
    let looked = off_thread(&ctx, move |ctx| look(ctx, &ask)).await??;
    ctx.settle(Target::Route, move |tx, act| {
        complete(tx, act, &secret, looked)
    })
    .await
}

/// What the claim, the first call and the evidence came to, before the transaction.
struct Looked {
    claim: ClaimRow,
    enrolment: Enrolment,
    nonce: [u8; 32],
    proof: Result<Box<Proof>, Refusal>,
    root: RootLevel,
}

fn look(ctx: &Ctx, ask: &EnrolComplete) -> Result<Looked, Problem> {
    let app = &*ctx.app;
    let caller = ctx.caller.new_key()?;
    let now = app.store.clock().now();
    let (claim, enrolment, nonce, issued, sets, old) =
        app.store.read_now(|rows| begun(rows, ask, caller, now))?;
    let activation = match &enrolment.ak_name {
        Some(_) => app
            .store
            .keys()
            .at_rest()
            .open(&place(claim.id.as_str(), &claim), &enrolment.activation)
            .map_err(StoreFault::from)?,
        None => Zeroizing::default(),
    };
    let roots = old.as_ref().map_or(Roots::OPEN, Roots::of);
    let request = RequestKey::new(caller.jwk.public_key().clone()).ok_or(Fault::Auth)?;
    let ak = enrolment.ak_name.as_deref().and_then(Name::parse);
    // What a machine has ever shown it still shows after it was re-imaged.
    let shown = old
        .as_ref()
        .map(|o| verifier::indices(&o.pcrs))
        .unwrap_or_default();
    let pcrs = if ak.is_some() {
        PCRS.into_iter().chain(shown).collect()
    } else {
        Vec::new()
    };
    let subject = claim.id.to_string();
    let against = Against {
        nexus_id: app.nexus_id,
        subject,
        purpose: Purpose::Enrol,
        nonce,
        activation,
        request,
        ak,
        roots,
        pcrs,
    };
    let mut root = RootLevel::None;
    let proof = app
        .verifier
        .verify(&ask.evidence.0, &against, now, &app.checks)
        .map(|evidence| {
            root = match &old {
                Some(old) => old.root,
                None => rooted(&claim, &enrolment, &evidence),
            };
            // A re-key is for a machine that was re-imaged: its TPM may have been cleared, so clocks begin anew with the AK.
            let previous = old
                .as_ref()
                .filter(|o| o.ak_name == enrolment.ak_name)
                .map_or(Previous::Nothing, verifier::previous);
            let judged = app.verifier.judge(&evidence, &sets, root, &previous, now);
            Box::new(Proof {
                evidence,
                judged,
                against,
                issued,
            })
        });
    Ok(Looked {
        claim,
        enrolment,
        nonce,
        proof,
        root,
    })
}

type Begun = (
    ClaimRow,
    Enrolment,
    [u8; 32],
    Timestamp,
    Vec<crate::store::references::Reference>,
    Option<Device>,
);

fn begun(
    rows: &Reader<'_>,
    ask: &EnrolComplete,
    caller: &NewKey,
    now: Timestamp,
) -> Result<Begun, Problem> {
    let (claim, enrolment) = open(rows, &ask.secret, caller, now)?;
    if claim.id != ask.claim_id {
        return Err(refused("claim.other"));
    }
    let (value, issued) =
        nonce::outstanding(rows, &nonce_owner(&claim.id), Purpose::Enrol.as_str(), now)
            .map_err(no_nonce)?;
    let sets = verifier::in_force(rows, &claim.tenant, claim.rekey.as_ref())?;
    let old = match &claim.rekey {
        Some(id) => Some(
            rows.get::<Device>(id)?
                .ok_or_else(|| refused("claim.rekey"))?,
        ),
        None => None,
    };
    Ok((claim, enrolment, value, issued, sets, old))
}

/// The claim with this secret and its first call, by this very key.
fn open(
    rows: &impl Rows,
    secret: &SecretB64,
    caller: &NewKey,
    now: Timestamp,
) -> Result<(ClaimRow, Enrolment), Problem> {
    let claim = claim_of(rows, secret, now)?;
    let enrolment: Enrolment = rows
        .get(&claim.id)?
        .ok_or_else(|| refused("enrol.not_begun"))?;
    if !bool::from(enrolment.thumbprint.ct_eq(caller.thumbprint.as_bytes())) {
        return Err(refused("enrol.other_key"));
    }
    Ok((claim, enrolment))
}

/// What a new device's identity rests on: its DICE root, its EK's root, the inventory that named it, or first use.
fn rooted(
    claim: &ClaimRow,
    enrolment: &Enrolment,
    evidence: &assay_attest::verify::Evidence<assay_attest::verify::Verified>,
) -> RootLevel {
    let dice = evidence
        .claims()
        .dice
        .iter()
        .find(|d| d.label == Label::Irot)
        .map(|d| verifier::root_of_kind(d.anchor_kind));
    match (dice, enrolment.ek_root) {
        (Some(root), _) => root,
        (None, RootLevel::Tofu) if claim.ek.is_some() => RootLevel::Operator,
        (None, root) => root,
    }
}

fn complete(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    secret: &SecretB64,
    looked: Looked,
) -> Result<Settled<Enrolled>, Problem> {
    let Looked {
        claim: then,
        enrolment: began,
        nonce: value,
        proof,
        root,
    } = looked;
    let caller = act.caller.new_key()?;
    let (claim, enrolment) = open(tx, secret, caller, act.now)?;
    let owner = nonce_owner(&claim.id);
    nonce::check(tx, &owner, Purpose::Enrol.as_str(), &value, act.now).map_err(no_nonce)?;
    if (&claim, &enrolment) != (&then, &began) {
        return Err(Problem::from(Fault::NoNonce).step("enrol.begun_again"));
    }
    let entry = act
        .entry()
        .tenant(claim.tenant.as_str())
        .detail("claim", claim.id.as_str());
    let proof = match proof {
        Ok(proof) => proof,
        Err(refusal) => {
            let void = nonce::reject(tx, &owner, &value)?;
            tx.audit(
                entry
                    .denied(refusal.code())
                    .detail("nonce", if void { "void" } else { "kept" }),
            )?;
            return Ok(Settled::Refused(refusal.into()));
        }
    };
    let proved = identity(&claim, &enrolment, &proof)?;
    let known = claim.rekey.as_ref();
    let mut row = match known {
        Some(id) => rekeyed(tx, id, &enrolment, &proved, proof.issued)?,
        None => fresh(tx, act, &claim, &enrolment, &proved, root)?,
    };
    verdict::still_in_force(tx, &row, known, &proof.judged)?;
    nonce::spend(tx, &owner, Purpose::Enrol.as_str(), &value).map_err(no_nonce)?;
    let (key, old_keys) = keys_of(tx, act, caller, &row.id)?;
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(
        secret
            .0
            .as_slice()
            .try_into()
            .map_err(|_| refused("claim.length"))?,
    );
    let app = act.ctx.app.clone();
    let told = tx.change(entry.target(row.id.as_str()), |c| {
        token::spend(c, TokenKind::Claim, &secret).map_err(token_problem)?;
        for mut old in old_keys {
            old.state = KeyState::Revoked;
            c.update(&old)?;
        }
        let told = verdict::record(c, &app, &mut row, &proof)?;
        match known {
            Some(_) => c.update(&row)?,
            None => c.insert(&row).map_err(|fault| taken(fault, &row))?,
        }
        c.put(&key)?;
        c.put(&Enrolment {
            activation: Vec::new(),
            ..enrolment
        })?;
        c.entry()
            .details
            .insert("lifecycle".into(), row.lifecycle.as_str().into());
        verdict::heard_well(c, &row.id)?;
        Ok::<_, Problem>(told)
    })?;
    Ok(Settled::Done(Enrolled {
        device_id: row.id,
        name: row.name,
        tenant_id: row.tenant,
        key_id: key.id,
        lifecycle: row.lifecycle.as_str().into(),
        verdict: told,
    }))
}

fn taken(fault: StoreFault, row: &Device) -> Problem {
    match fault {
        StoreFault::Conflict { .. } => Fault::Taken {
            what: "dpu",
            name: row.name.clone(),
        }
        .into(),
        other => other.into(),
    }
}

/// What the first evidence proves of who this is.
struct Proved {
    dice: Option<[u8; 32]>,
    erot: Option<[u8; 32]>,
    /// Whether a hardware identity that the claim names was proved.
    named: bool,
}

/// The identity that the evidence proves must be the claim's.
fn identity(claim: &ClaimRow, enrolment: &Enrolment, proof: &Proof) -> Result<Proved, Problem> {
    let no = |why| Err(Fault::Identity { why }.into());
    let claims = proof.evidence.claims();
    let dice = claims.device_key(Label::Irot);
    // What sits beside the device does not identify it.
    if dice.is_none() && claims.tpm.is_none() {
        return no("it shows neither a tpm nor a root of trust of its own");
    }
    if claim.ek.is_some() && claim.ek != enrolment.ek_spki {
        return no("its endorsement key is not the claim's");
    }
    if claim.dice.is_some() && claim.dice != dice {
        return no("its dice identity is not the claim's");
    }
    // The serial is the machine's word: it can only speak against it.
    if claims
        .stated
        .serial
        .as_ref()
        .is_some_and(|serial| *serial != claim.serial)
    {
        return no("it states another serial number than the claim's");
    }
    if claims
        .tpm
        .as_ref()
        .is_some_and(|tpm| !tpm.request_key_certified)
    {
        return no("its tpm does not certify the request key");
    }
    Ok(Proved {
        dice,
        erot: claims.device_key(Label::Erot),
        named: claim.ek.is_some() || claim.dice.is_some(),
    })
}

/// A device that is re-imaged keeps its hardware: same DICE key, same EK. AK and request key may be new. Its proof was asked
/// for after its last verdict, demand or release from quarantine, as every proof; so what it was held against is still so.
fn rekeyed(
    tx: &Tx<'_>,
    id: &DeviceId,
    enrolment: &Enrolment,
    proved: &Proved,
    issued: Timestamp,
) -> Result<Device, Problem> {
    let mut row: Device = tx.get(id)?.ok_or_else(|| refused("claim.rekey"))?;
    if matches!(row.lifecycle, Lifecycle::Decommissioned) {
        return Err(Fault::Decommissioned { device: row.id }.into());
    }
    if issued < row.barrier {
        return Err(Problem::from(Fault::NoNonce).step("evidence.stored_up"));
    }
    if row.ek_spki != enrolment.ek_spki || row.dice != proved.dice {
        return Err(Fault::Identity {
            why: "its hardware is not that of the dpu to re-key",
        }
        .into());
    }
    if row.ak_name != enrolment.ak_name {
        nobodys::<Device>(tx, "ak_name", enrolment.ak_name.as_ref())?;
        (row.tpm_reset, row.tpm_restart, row.tpm_clock) = (None, None, None);
        row.ak_name.clone_from(&enrolment.ak_name);
    }
    row.epoch = row.epoch.saturating_add(1);
    Ok(row)
}

fn fresh(
    tx: &Tx<'_>,
    act: &Act<'_>,
    claim: &ClaimRow,
    enrolment: &Enrolment,
    proved: &Proved,
    root: RootLevel,
) -> Result<Device, Problem> {
    nobodys::<Device>(tx, "ak_name", enrolment.ak_name.as_ref())?;
    // By the key, not by the name: of a public area, activation proves the key alone.
    nobodys::<Device>(tx, "ek_spki", enrolment.ek_spki.as_ref())?;
    nobodys::<Device>(tx, "dice", proved.dice.as_ref())?;
    nobodys::<Device>(tx, "erot", proved.erot.as_ref())?;
    let never = Timestamp::from_millis(0);
    Ok(Device {
        id: DeviceId::from_random(&act.ctx.app.random.bytes()?),
        tenant: claim.tenant.clone(),
        name: claim.name.clone(),
        serial: claim.serial.clone(),
        lifecycle: if proved.named {
            Lifecycle::Active
        } else {
            Lifecycle::Pending
        },
        attestation: State::Unavailable,
        reasons: Words::default(),
        fresh_from: never,
        fresh_until: never,
        proved_at: None,
        barrier: never,
        demand_until: None,
        result: None,
        evidence: None,
        reference: None,
        dice: proved.dice,
        erot: proved.erot,
        ek_name: enrolment.ek_name.clone(),
        ek_spki: enrolment.ek_spki,
        ak_name: enrolment.ak_name.clone(),
        ek_ends: enrolment.ek_ends,
        pcrs: Words::default(),
        tpm_reset: None,
        tpm_restart: None,
        tpm_clock: None,
        root,
        key_level: KeyHeld::Nonce,
        runtime: Runtime::Unmeasured,
        hpke: None,
        channel_key: None,
        epoch: 1,
        effects: Effects::None,
    })
}

/// An identity belongs to one device, over all tenants, for good: one that is decommissioned keeps its own.
pub(super) fn nobodys<R: crate::store::TrustRow>(
    rows: &impl Rows,
    column: &str,
    value: Option<&impl crate::store::Column>,
) -> Result<(), Problem> {
    let Some(value) = value else { return Ok(()) };
    if rows.find::<R>(column, value)?.is_empty() {
        return Ok(());
    }
    Err(Problem::from(Fault::Identity {
        why: "its hardware is enrolled already",
    })
    .step("enrol.identity_taken"))
}

/// The device's key from now on, and those that it had: they are revoked. A re-imaged machine may have kept its key.
fn keys_of(
    tx: &Tx<'_>,
    act: &Act<'_>,
    caller: &NewKey,
    device: &DeviceId,
) -> Result<(DeviceKey, Vec<DeviceKey>), Problem> {
    let thumbprint = *caller.thumbprint.as_bytes();
    let mut old: Vec<DeviceKey> = tx.find("device", device)?;
    let is_kept =
        |key: &DeviceKey| key.thumbprint == thumbprint && matches!(key.state, KeyState::Active);
    if let Some(at) = old.iter().position(is_kept) {
        let kept = old.remove(at);
        return Ok((kept, old));
    }
    nobodys::<OperatorKey>(tx, "thumbprint", Some(&thumbprint))?;
    nobodys::<DeviceKey>(tx, "thumbprint", Some(&thumbprint))?;
    let (algorithm, public) = RequestAlgorithm::of(&caller.jwk).ok_or(Fault::Auth)?;
    let id = KeyId::from_random(&act.ctx.app.random.bytes()?);
    let key = DeviceKey {
        id,
        device: device.clone(),
        thumbprint,
        algorithm,
        public,
        state: KeyState::Active,
    };
    Ok((key, old))
}
