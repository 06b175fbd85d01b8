//! Claims, and enrolment in two calls.
//!
//! First call: the claim's secret, EK, AK and request key; the answer holds a nonce and a secret that only the TPM with both
//! EK and AK gives back. Second call: the evidence, whose session holds that secret. Claim, identity, key and first verdict
//! are one transaction; a claim has one winner (I3).

use assay_api::id::{ClaimId, DeviceId, KeyId, TenantId};
use assay_api::token::{Token as TokenWords, TokenKind as Word};
use assay_api::types::*;
use assay_attest::codec::spki;
use assay_attest::codec::tpm::Public;
use assay_attest::digest::sha256;
use assay_attest::expected::{Name, RequestKey};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose};
use assay_attest::standing::State;
use assay_attest::time::Timestamp;
use assay_checks::tpm_credential::{CredentialError, EndorsementKey, make_credential};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::caller::{NewKey, refused};
use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::evidence::{MAX_EVIDENCE, no_nonce, off_thread};
use super::target::{self, Target};
use super::{dpus, words};
use crate::keys::SealedAs;
use crate::problem::{Fault, Problem};
use crate::store::claims::{Claim as ClaimRow, Enrolment};
use crate::store::devices::{
    Device, DeviceKey, Effects, KeyHeld, Lifecycle, RootLevel, Runtime, Words,
};
use crate::store::people::{KeyState, OperatorKey, RequestAlgorithm};
use crate::store::token::{self, Token, TokenFault, TokenKind, TokenState};
use crate::store::{Change, Reader, Rows, StoreFault, Tx, Writes, nonce};
use crate::verdict::{self, Proof};
use crate::verifier::{self, Against, PCRS, Pinned};

/// How long a claim lives, in milliseconds.
const CLAIM_MILLIS: u64 = 86_400_000;
/// Claims made by one call.
const CLAIMS: std::ops::RangeInclusive<usize> = 1..=500;
/// Claims under one audit entry, so that the entry stays below its bound.
const PER_ENTRY: usize = 200;

pub(crate) async fn create_claims(
    ctx: Ctx,
    ask: ClaimsCreate,
) -> Result<Changed<ClaimsCreated>, Problem> {
    if !CLAIMS.contains(&ask.items.len()) {
        return Err(Fault::Value {
            what: "`items`",
            why: "name 1 to 500 dpus".into(),
        }
        .into());
    }
    let items = ask
        .items
        .iter()
        .map(Wanted::parse)
        .collect::<Result<Vec<_>, _>>()?;
    ctx.change(Target::Tenant(ask.tenant), move |tx, act| {
        let tenant = act.target.tenant()?.clone();
        let mut made = Vec::new();
        for some in items.chunks(PER_ENTRY) {
            let entry = act.entry().detail("count", some.len().to_string());
            let part = tx.change(entry, |c| {
                some.iter()
                    .map(|item| create(c, act, &tenant, item))
                    .collect::<Result<Vec<_>, Problem>>()
            })?;
            made.extend(part);
        }
        Ok(ClaimsCreated { items: made })
    })
    .await
}

/// An item of a request, read.
struct Wanted {
    name: String,
    serial: String,
    ek: Option<[u8; 32]>,
    dice: Option<[u8; 32]>,
    rekey: Option<String>,
}

impl Wanted {
    fn parse(item: &ClaimItem) -> Result<Self, Problem> {
        let digest = |what, bytes: &Option<B64>| -> Result<Option<[u8; 32]>, Problem> {
            let read = bytes
                .as_ref()
                .map(|b| b.0.as_slice().try_into())
                .transpose();
            read.map_err(|_| {
                Fault::Value {
                    what,
                    why: "it is no SHA-256: 32 bytes".into(),
                }
                .into()
            })
        };
        let printable = item.serial.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if !printable || !(1..=64).contains(&item.serial.len()) {
            let why = "write 1 to 64 printable characters without spaces".into();
            return Err(Fault::Value {
                what: "`serial`",
                why,
            }
            .into());
        }
        Ok(Self {
            name: dpus::name(&item.name)?,
            serial: item.serial.clone(),
            ek: digest("`ek`", &item.ek)?,
            dice: digest("`dice`", &item.dice)?,
            rekey: item.rekey.clone(),
        })
    }
}

fn create(
    c: &mut Change<'_, '_>,
    act: &Act<'_>,
    tenant: &TenantId,
    item: &Wanted,
) -> Result<ClaimCreated, Problem> {
    let app = &act.ctx.app;
    let rekey = match &item.rekey {
        None => {
            let taken: Vec<Device> = c.find("name", item.name.as_str())?;
            if taken.iter().any(|d| d.tenant == *tenant) {
                return Err(Fault::Taken {
                    what: "dpu",
                    name: item.name.clone(),
                }
                .into());
            }
            None
        }
        Some(name) => {
            let found = target::find(c, &act.caller, assay_api::routes::On::Device, name)?;
            let row = dpus::named(c, &found)?;
            let same = row.tenant == *tenant && row.name == item.name && row.serial == item.serial;
            if !same || matches!(row.lifecycle, Lifecycle::Decommissioned) {
                let why = "`rekey` names a dpu of another tenant, name or serial, or one that is decommissioned".into();
                return Err(Fault::Conflict { why }.into());
            }
            Some(row.id)
        }
    };
    let id = ClaimId::from_random(&app.random.bytes()?);
    let expires = c.now().plus_millis(CLAIM_MILLIS);
    let secret = token::issue(c, TokenKind::Claim, tenant.as_str(), id.as_str(), expires)?;
    let row = ClaimRow {
        id,
        tenant: tenant.clone(),
        name: item.name.clone(),
        serial: item.serial.clone(),
        ek: item.ek,
        dice: item.dice,
        rekey,
        token: token::id(&secret),
    };
    c.insert(&row)?;
    let url = app
        .config
        .public_url()
        .cloned()
        .ok_or_else(|| Problem::from(Fault::Internal).step("config.url"))?;
    let words = TokenWords::new(Word::Claim, secret, url, app.nexus_id)
        .map_err(|_| Problem::from(Fault::Internal).step("config.url"))?;
    Ok(ClaimCreated {
        claim: shown(row, "open", expires),
        token: TokenText(words.expose()),
    })
}

fn shown(row: ClaimRow, state: &str, expires: Timestamp) -> Claim {
    Claim {
        identity_known: row.ek.is_some() || row.dice.is_some() || row.rekey.is_some(),
        id: row.id,
        tenant_id: row.tenant,
        name: row.name,
        serial: row.serial,
        state: state.into(),
        expires_at: Time(expires),
    }
}

pub(crate) async fn list_claims(ctx: Ctx, ask: InTenant) -> Result<Shown<Claims>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let filter = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<ClaimRow> = rows.page(filter, ask.after.as_deref(), limit)?;
        let next = (page.len() == usize::try_from(limit.get()).unwrap_or(usize::MAX))
            .then(|| page.last().map(|c| c.id.to_string()))
            .flatten();
        let mut items = Vec::new();
        for row in page {
            let Some(token) = rows.get::<Token>((&TokenKind::Claim, &row.token))? else {
                continue;
            };
            match token.state {
                TokenState::Open if act.now < token.expires => {
                    items.push(shown(row, "open", token.expires))
                }
                TokenState::Open | TokenState::Spent | TokenState::Void => {}
            }
        }
        Ok(Claims { items, next })
    })
    .await
}

/// Whose nonce a claim's is.
fn nonce_owner(claim: &ClaimId) -> String {
    format!("claim/{claim}")
}

/// The open claim with this secret. Everything that is wrong with it is one answer outside.
fn claim_of(rows: &impl Rows, secret: &SecretB64, now: Timestamp) -> Result<ClaimRow, Problem> {
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(
        secret
            .0
            .as_slice()
            .try_into()
            .map_err(|_| refused("claim.length"))?,
    );
    let token = token::look(rows, TokenKind::Claim, &secret, now).map_err(token_problem)?;
    let id = ClaimId::parse(&token.subject).map_err(|_| refused("claim.subject"))?;
    rows.get::<ClaimRow>(&id)?
        .ok_or_else(|| refused("claim.missing"))
}

fn token_problem(fault: TokenFault) -> Problem {
    match fault {
        TokenFault::Store(fault) => fault.into(),
        TokenFault::Unknown => refused("claim.unknown"),
        TokenFault::Spent => refused("claim.spent"),
        TokenFault::Void => refused("claim.void"),
        TokenFault::Expired => refused("claim.expired"),
    }
}

/// The TPM's keys as the first call sends them, with what was found out about them.
struct Keys {
    ek: Public,
    ak_name: Name,
    ek_root: RootLevel,
    ek_ends: Option<Timestamp>,
}

pub(crate) async fn begin_enrolment(
    ctx: Ctx,
    ask: EnrolBegin,
) -> Result<Changed<EnrolChallenge>, Problem> {
    let secret = SecretB64(ask.secret.0.clone());
    let keys = off_thread(&ctx, move |ctx| {
        // Strangers are turned away before anything is computed for them.
        let now = ctx.app.store.clock().now();
        ctx.app
            .store
            .read_now(|rows| claim_of(rows, &ask.secret, now).map(drop))?;
        keys(ctx, &ask, now)
    })
    .await?;
    ctx.change(Target::Route, move |tx, act| begin(tx, act, &secret, keys?))
        .await
}

fn keys(ctx: &Ctx, ask: &EnrolBegin, now: Timestamp) -> Result<Option<Keys>, Problem> {
    let caller = ctx.caller.new_key()?;
    let (ek, ak, request) = match (&ask.ek_public, &ask.ak_public, &ask.request_key_public) {
        (None, None, None) if ask.ek_certificate.is_none() => return Ok(None),
        (Some(ek), Some(ak), Some(request)) => (
            Public::parse(&ek.0)?,
            Public::parse(&ak.0)?,
            Public::parse(&request.0)?,
        ),
        _ => return Err(challenge("send ek, ak and request key, or none of them")),
    };
    if !ak.attributes.is_attestation_key() {
        return Err(challenge(
            "the ak must be restricted, sign, not decrypt, and be fixed to its tpm",
        ));
    }
    if !request.attributes.is_request_key() || request.key != *caller.jwk.public_key() {
        return Err(challenge(
            "the request key must be the one that signs this request, and be fixed to its tpm",
        ));
    }
    let certificate = ask.ek_certificate.as_ref().map(|c| c.0.as_slice());
    let (ek_root, ek_ends) =
        ctx.app
            .verifier
            .endorse(&ek.key, certificate, now, &ctx.app.checks)?;
    Ok(Some(Keys {
        ak_name: ak.name()?,
        ek,
        ek_root,
        ek_ends,
    }))
}

fn challenge(why: &str) -> Problem {
    Fault::Challenge { why: why.into() }.into()
}

fn begin(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    secret: &SecretB64,
    keys: Option<Keys>,
) -> Result<EnrolChallenge, Problem> {
    let app = &act.ctx.app;
    let claim = claim_of(tx, secret, act.now)?;
    let mut row = Enrolment {
        claim: claim.id.clone(),
        thumbprint: *act.caller.new_key()?.thumbprint.as_bytes(),
        ek_name: None,
        ek_spki: None,
        ek_root: RootLevel::Tofu,
        ek_ends: None,
        ak_name: None,
        activation: Vec::new(),
    };
    let mut credential = None;
    if let Some(keys) = &keys {
        let secret = Zeroizing::new(app.random.bytes::<32>()?);
        let mut random = |out: &mut [u8]| {
            app.random
                .fill(out)
                .map_err(|_| CredentialError::NoRandomness)
        };
        let made = EndorsementKey::of(&keys.ek)
            .and_then(|ek| make_credential(ek, keys.ak_name.as_bytes(), &secret, &mut random))
            .map_err(|fault| challenge(&fault.to_string()))?;
        credential = Some(CredentialBlob {
            id_object: B64(made.id_object),
            encrypted_secret: B64(made.encrypted_secret),
        });
        row.ek_name = Some(keys.ek.name()?.as_bytes().to_vec());
        row.ek_spki = Some(sha256(&[&spki::write(&keys.ek.key)]));
        row.ek_root = keys.ek_root;
        row.ek_ends = keys.ek_ends;
        row.ak_name = Some(keys.ak_name.as_bytes().to_vec());
        row.activation = tx
            .keys()
            .at_rest()
            .seal(&place(claim.id.as_str(), &claim), secret.as_slice())
            .map_err(StoreFault::from)?;
    }
    let value = nonce::issue(tx, &nonce_owner(&claim.id), Purpose::Enrol.as_str())?;
    let sets = verifier::in_force(tx, &claim.tenant, claim.rekey.as_ref())?;
    let entry = act
        .entry()
        .tenant(claim.tenant.as_str())
        .target(claim.id.as_str());
    tx.change(entry, |c| c.put(&row))?;
    Ok(EnrolChallenge {
        claim_id: claim.id,
        nonce: B64(value.to_vec()),
        credential,
        expires_at: Time(act.now.plus_millis(nonce::LIFETIME)),
        pcrs: if keys.is_some() {
            verifier::pcrs_to_quote(&Words::default(), &sets)
        } else {
            Vec::new()
        },
    })
}

/// Where the activation secret is sealed.
fn place<'a>(row: &'a str, claim: &'a ClaimRow) -> SealedAs<'a> {
    SealedAs {
        table: "enrolment",
        row,
        tenant: claim.tenant.as_str(),
        purpose: "activation",
        version: 1,
        public: &[],
    }
}

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
    let looked = off_thread(&ctx, move |ctx| look(ctx, &ask)).await?;
    ctx.settle(Target::Route, move |tx, act| {
        complete(tx, act, &secret, looked?)
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
            .map_err(StoreFault::from)?
            .to_vec(),
        None => Vec::new(),
    };
    let dice = match &old {
        Some(old) => old.dice.map_or(Pinned::Absent, Pinned::Known),
        None if app.verifier.knows_dice() => Pinned::Open,
        None => Pinned::Absent,
    };
    let request = RequestKey::new(caller.jwk.public_key().clone()).ok_or(Fault::Auth)?;
    let ak = enrolment.ak_name.as_deref().and_then(Name::parse);
    let pcrs = if ak.is_some() {
        PCRS.to_vec()
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
        dice,
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
                .map_or(
                    assay_attest::appraise::Previous::Nothing,
                    verifier::previous,
                );
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
        .first()
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
        Some(id) => rekeyed(tx, id, &enrolment, &proved)?,
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
    /// Whether a hardware identity that the claim names was proved.
    named: bool,
}

/// The identity that the evidence proves must be the claim's.
fn identity(claim: &ClaimRow, enrolment: &Enrolment, proof: &Proof) -> Result<Proved, Problem> {
    let no = |why| Err(Fault::Identity { why }.into());
    let claims = proof.evidence.claims();
    let dice = claims
        .dice
        .iter()
        .find(|d| d.label == Label::Irot)
        .map(|d| d.device_key);
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
        named: claim.ek.is_some() || claim.dice.is_some(),
    })
}

/// A device that is re-imaged keeps its hardware: same DICE key, same EK. AK and request key may be new.
fn rekeyed(
    tx: &Tx<'_>,
    id: &DeviceId,
    enrolment: &Enrolment,
    proved: &Proved,
) -> Result<Device, Problem> {
    let mut row: Device = tx.get(id)?.ok_or_else(|| refused("claim.rekey"))?;
    if matches!(row.lifecycle, Lifecycle::Decommissioned) {
        return Err(Fault::Decommissioned { device: row.id }.into());
    }
    if row.ek_name != enrolment.ek_name || row.dice != proved.dice {
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
    nobodys::<Device>(tx, "ek_name", enrolment.ek_name.as_ref())?;
    nobodys::<Device>(tx, "dice", proved.dice.as_ref())?;
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
        ek_name: enrolment.ek_name.clone(),
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
fn nobodys<R: crate::store::TrustRow>(
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
