//! Enrolment, first call: the claim's secret, EK, AK and request key; the answer holds a nonce and a secret that only the TPM
//! with both EK and AK gives back. The second call is in [`first_proof`](super::first_proof).

use assay_api::id::ClaimId;
use assay_api::types::*;
use assay_attest::codec::spki;
use assay_attest::codec::tpm::Public;
use assay_attest::digest::sha256;
use assay_attest::expected::Name;
use assay_attest::session::Purpose;
use assay_attest::time::Timestamp;
use assay_checks::tpm_credential::{CredentialError, EndorsementKey, make_credential};
use zeroize::Zeroizing;

use super::caller::refused;
use super::ctx::{Act, Changed, Ctx};
use super::evidence::off_thread;
use super::target::Target;
use crate::keys::SealedAs;
use crate::problem::{Fault, Problem};
use crate::store::claims::{Claim as ClaimRow, Enrolment};
use crate::store::devices::{Device, RootLevel, Words};
use crate::store::token::{self, TokenFault, TokenKind};
use crate::store::{Rows, StoreFault, Tx, nonce};
use crate::verifier;

/// Whose nonce a claim's is.
pub(super) fn nonce_owner(claim: &ClaimId) -> String {
    format!("claim/{claim}")
}

/// The open claim with this secret. Everything that is wrong with it is one answer outside.
pub(super) fn claim_of(
    rows: &impl Rows,
    secret: &SecretB64,
    now: Timestamp,
) -> Result<ClaimRow, Problem> {
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

pub(super) fn token_problem(fault: TokenFault) -> Problem {
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
        // Strangers are turned away before anything is computed for them, or waits in the queue of those who write.
        let now = ctx.app.store.clock().now();
        ctx.app
            .store
            .read_now(|rows| claim_of(rows, &ask.secret, now).map(drop))?;
        keys(ctx, &ask, now)
    })
    .await??;
    ctx.change(Target::Route, move |tx, act| begin(tx, act, &secret, keys))
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
    let shown = match &claim.rekey {
        Some(id) => tx.get::<Device>(id)?.map(|d| d.pcrs).unwrap_or_default(),
        None => Words::default(),
    };
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
            verifier::pcrs_to_quote(&shown, &sets)
        } else {
            Vec::new()
        },
    })
}

/// Where the activation secret is sealed.
pub(super) fn place<'a>(row: &'a str, claim: &'a ClaimRow) -> SealedAs<'a> {
    SealedAs {
        table: "enrolment",
        row,
        tenant: claim.tenant.as_str(),
        purpose: "activation",
        version: 1,
        public: &[],
    }
}
