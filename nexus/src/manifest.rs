//! What a host is to trust, and the manifest that tells it (design, section 9).
//!
//! [`plan`] reads what is wanted; [`make`] signs it under the next sequence. What would add anything, or make what is there
//! last longer, is a release and takes a [`Permit`]; what only removes takes none, whatever the device's state.

use std::collections::BTreeMap;

use assay_api::id::{DeviceId, HostId, SshCaId};
use assay_api::manifest::{Files, Manifest, Trial};
use assay_api::signed::Unverified;
use assay_attest::standing::State;
use assay_attest::time::Timestamp;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::problem::{Fault, Problem};
use crate::release::{Clearance, Permit};
use crate::ssh::ca;
use crate::ssh::certificate::{self, Template, UserOptions, read_public_key};
use crate::store::devices::{Device, Effects, Lifecycle, Words};
use crate::store::signing_key::KeyState;
use crate::store::ssh::{
    CertificateKind, CertificateRow, CertificateState, HostRow, HostState, KrlKind, ManifestRow,
    PushRow, PushState, SshCaRow,
};
use crate::store::{Change, Rows, StoreFault, Writes};

/// A host certificate's lifetime, in milliseconds; it is renewed at half.
const HOST_CERTIFICATE_MILLIS: u64 = 24 * 3_600_000;
/// The trial certificates' lifetime.
const TRIAL_MILLIS: u64 = 5 * 60_000;
/// Certificates begin this much earlier, for clocks that are behind.
const BACKDATE_MILLIS: u64 = 60_000;

/// What a host is to trust now.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    host: HostRow,
    /// CAs whose users may come in.
    cas: Vec<SshCaRow>,
    user_cas: Vec<String>,
    principals: BTreeMap<String, Vec<String>>,
    /// The host certificate in force that is kept, if one is.
    certificate: Option<CertificateRow>,
    /// Whether a new host certificate is due. It needs a permit.
    certificate_due: bool,
    epochs: Vec<(SshCaId, u64)>,
    before: Option<ManifestRow>,
    report: Report,
}

/// What the host last said of the newest manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// Nothing yet.
    None,
    /// It is in force.
    Installed,
    /// It is not, said at this time.
    Failed(Timestamp),
}

/// What a host last reported of any of its manifests: sequence, outcome, time.
pub(crate) fn reported(
    rows: &impl Rows,
    host: &HostId,
) -> Result<Option<(u64, String, Timestamp)>, StoreFault> {
    let sql = "SELECT sequence, outcome, at FROM host_report WHERE host = ?1";
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let found = rows
        .sql()
        .prepare_cached(sql)?
        .query_row([host.as_str()], |r| {
            Ok((
                number(r.get(0)?),
                r.get(1)?,
                Timestamp::from_millis(number(r.get(2)?)),
            ))
        });
    Ok(found.optional()?)
}

/// How long after a host said that a manifest did not work a new one, with a new trial, is made for it.
const RETRY_MILLIS: u64 = 15_000;

/// What a pull comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The newest manifest says it all.
    Nothing,
    /// Something is to be taken away, and nothing else.
    Remove,
    /// Something is to be given, or to last longer: a release.
    Give,
}

/// The hosts behind a device whose pairing stands.
pub(crate) fn hosts_behind(
    rows: &impl Rows,
    device: &DeviceId,
) -> Result<Vec<HostRow>, StoreFault> {
    let mut hosts: Vec<HostRow> = rows.find("device", device)?;
    hosts.retain(|h| h.state == HostState::Paired);
    Ok(hosts)
}

/// The CAs that were pushed to a device.
pub(crate) fn pushed(rows: &impl Rows, device: &DeviceId) -> Result<Vec<SshCaRow>, StoreFault> {
    let mut pushes: Vec<PushRow> = rows.find("device", device)?;
    pushes.retain(|p| p.state == PushState::Pushed);
    pushes.sort_by_key(|p| p.since);
    let mut cas = Vec::new();
    for push in pushes {
        cas.extend(rows.get::<SshCaRow>(&push.ca)?);
    }
    Ok(cas)
}

/// Whether what a device brings to its hosts is to be withdrawn: its trust has died (I10). Where too many died at once, the
/// hosts keep what they have, and get nothing new, until a super:admin has looked.
pub(crate) fn is_dead(device: &Device) -> bool {
    let fallen = match device.attestation {
        State::Failed | State::Quarantined => device.effects != Effects::Waiting,
        State::Unavailable | State::Verified => false,
    };
    fallen || device.lifecycle == Lifecycle::Decommissioned
}

/// Reads what `host` is to trust at `now`.
pub(crate) fn plan(rows: &impl Rows, host: HostRow, now: Timestamp) -> Result<Plan, Problem> {
    let device: Device = rows
        .get(&host.device)?
        .ok_or(Fault::NotFound { what: "dpu" })?;
    let before: Option<ManifestRow> = rows.get(&host.id)?;
    let cas = if is_dead(&device) {
        Vec::new()
    } else {
        pushed(rows, &host.device)?
    };
    let mut user_cas = Vec::new();
    for row in &cas {
        for key in ca::trusted(rows, row, KrlKind::User)? {
            user_cas.push(ca::line(&key)?);
        }
    }
    let principals = host
        .logins
        .iter()
        .map(|login| {
            let own = if cas.is_empty() {
                Vec::new()
            } else {
                vec![format!("{login}@{}", host.id)]
            };
            (login.to_owned(), own)
        })
        .collect();
    let held = match before.as_ref().map(|m| m.certificate.as_str()) {
        Some(id) if !id.is_empty() => rows.get::<CertificateRow>(id)?,
        _ => None,
    };
    let stands = |c: &CertificateRow| {
        c.state == CertificateState::Valid
            && c.valid_before > now
            && cas.iter().any(|ca| ca.id == c.ca)
    };
    let certificate = held.filter(stands);
    let half = HOST_CERTIFICATE_MILLIS / 2;
    let certificate_due = match &certificate {
        Some(c) => c.valid_before <= now.plus_millis(half) || signer_is_old(rows, &cas, c)?,
        None => !cas.is_empty(),
    };
    // Of every CA that was ever pushed here: the host replaces its list before its CA keys, and until those are gone, too, a
    // list without a withdrawn CA's revocations would let its revoked certificates in.
    let mut ids: Vec<SshCaId> = rows
        .find::<PushRow>("device", &host.device)?
        .into_iter()
        .map(|push| push.ca)
        .collect();
    ids.sort_unstable();
    let report = match (&before, reported(rows, &host.id)?) {
        (Some(m), Some((sequence, outcome, _))) if sequence == m.sequence && outcome == "ok" => {
            Report::Installed
        }
        (Some(m), Some((sequence, _, at))) if sequence == m.sequence => Report::Failed(at),
        _ => Report::None,
    };
    let epochs = ca::epochs(rows, &ids)?;
    Ok(Plan {
        host,
        cas,
        user_cas,
        principals,
        certificate,
        certificate_due,
        epochs,
        before,
        report,
    })
}

/// Whether a host certificate is by a key that signs no more: it is renewed while both are trusted.
fn signer_is_old(
    rows: &impl Rows,
    cas: &[SshCaRow],
    certificate: &CertificateRow,
) -> Result<bool, Problem> {
    let Some(row) = cas.iter().find(|c| c.id == certificate.ca) else {
        return Ok(true);
    };
    for key in ca::trusted(rows, row, KrlKind::Host)? {
        if key.state == KeyState::Active {
            return Ok(key.public.as_slice() != certificate.signer.as_slice());
        }
    }
    Ok(true)
}

impl Plan {
    /// What is needed; `grace` is how long a host keeps what it has beyond `fresh_until`.
    pub(crate) fn need(&self, now: Timestamp, grace: u64) -> Need {
        let Some(before) = &self.before else {
            return if self.cas.is_empty() {
                Need::Nothing
            } else {
                Need::Give
            };
        };
        let had = files_of(before).unwrap_or_else(empty_files);
        let adds = self.certificate_due
            || self.user_cas.iter().any(|ca| !had.user_cas.contains(ca))
            || self.principals.iter().any(|(login, own)| {
                own.iter()
                    .any(|p| !had.principals.get(login).is_some_and(|h| h.contains(p)))
            });
        let is_old = before.not_after <= now.plus_millis(grace / 2);
        let again =
            matches!(self.report, Report::Failed(at) if now >= at.plus_millis(RETRY_MILLIS));
        if adds || ((is_old || again) && !self.cas.is_empty()) {
            Need::Give
        } else if self.digest() == before.content {
            Need::Nothing
        } else {
            Need::Remove
        }
    }

    /// SHA-256 over what the manifest is to say, but for its lists' bytes: those count by how often they have grown.
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        for line in &self.user_cas {
            part("ca");
            part(line);
        }
        for (login, own) in &self.principals {
            part("login");
            part(login);
            own.iter().for_each(|p| part(p));
        }
        for (id, epoch) in &self.epochs {
            part("epoch");
            part(id.as_str());
            part(&epoch.to_string());
        }
        part("certificate");
        part(self.certificate.as_ref().map_or("", |c| c.id.as_str()));
        hash.finalize().into()
    }

    /// Without what would be given: what may go to a device that is not fresh.
    pub(crate) fn only_removing(mut self) -> Self {
        let had = self
            .before
            .as_ref()
            .and_then(files_of)
            .unwrap_or_else(empty_files);
        self.user_cas.retain(|ca| had.user_cas.contains(ca));
        for (login, own) in &mut self.principals {
            own.retain(|p| had.principals.get(login).is_some_and(|h| h.contains(p)));
        }
        self.certificate_due = false;
        self
    }

    /// The sequence of the newest manifest; 0 where there is none.
    pub(crate) fn sequence(&self) -> u64 {
        self.before.as_ref().map_or(0, |m| m.sequence)
    }

    /// The newest manifest, as it was signed.
    pub(crate) fn newest(&self) -> Option<&ManifestRow> {
        self.before.as_ref()
    }
}

/// Signs the next manifest. `permit` is there where something is given; without one it lasts no longer than the one before.
pub(crate) fn make(
    c: &mut Change<'_, '_>,
    app: &App,
    mut plan: Plan,
    permit: Option<&Permit>,
) -> Result<ManifestRow, Problem> {
    let now = c.now();
    if permit.is_none() {
        plan = plan.only_removing();
    }
    if plan.certificate_due && permit.is_some() {
        plan.certificate = sign_host(c, app, &plan)?.or(plan.certificate);
    }
    let had = plan
        .before
        .as_ref()
        .and_then(files_of)
        .unwrap_or_else(empty_files);
    let changed = plan
        .before
        .as_ref()
        .is_none_or(|b| b.content != plan.digest());
    // A trial proves what a host was given; it is a certificate, so it needs the permit. Where the host has not said that it has
    // the manifest before this one, this one is new to it, too.
    let trial = match permit {
        Some(_) if changed || plan.report != Report::Installed => trial(c, app, &plan)?,
        _ => None,
    };
    let fresh_list = changed || trial.is_some();
    let files = Files {
        user_cas: plan.user_cas.clone(),
        krl: if fresh_list {
            ca::krl(
                c,
                &plan.epochs.iter().map(|e| e.0.clone()).collect::<Vec<_>>(),
                KrlKind::User,
                now,
            )?
        } else {
            had.krl
        },
        principals: plan.principals.clone(),
        host_certificate: plan.certificate.as_ref().map(|r| r.line.clone()),
    };
    let not_after = match permit {
        Some(permit) => permit.limit(fresh_end(permit, now).plus_millis(app.config.outage_grace)),
        // What only removes ends no later than what is there; a host that had none, or whose had run out, is shut at once.
        None => plan
            .before
            .as_ref()
            .map_or(now, |b| b.not_after)
            .max(now.plus_millis(1)),
    };
    let sequence = plan
        .sequence()
        .checked_add(1)
        .ok_or_else(|| Problem::from(Fault::Internal).step("manifest.sequence"))?;
    let delivery_keys = crate::delivery::keys(c)?;
    let host_id: HostId = plan.host.id.clone();
    let manifest = Manifest {
        host_id: host_id.clone(),
        sequence,
        issued: now,
        not_after,
        delivery_keys,
        files,
        trial,
    };
    let signed = crate::delivery::sign(c, &manifest)?;
    let row = ManifestRow {
        host: host_id,
        sequence,
        content: plan.digest(),
        signed,
        not_after,
        issued: now,
        certificate: plan
            .certificate
            .as_ref()
            .map(|r| r.id.clone())
            .unwrap_or_default(),
        removes: permit.is_none(),
    };
    if plan.before.is_some() {
        c.update(&row)?
    } else {
        c.insert(&row)?
    }
    Ok(row)
}

fn fresh_end(permit: &Permit, now: Timestamp) -> Timestamp {
    let ends = permit.clearances().iter().map(|c| match c {
        Clearance::Fresh(fresh) => fresh.until(),
        Clearance::Bypassed(bypassed) => bypassed.end(),
    });
    ends.min().unwrap_or(now)
}

fn sign_host(
    c: &mut Change<'_, '_>,
    app: &App,
    plan: &Plan,
) -> Result<Option<CertificateRow>, Problem> {
    let Some(row) = plan.cas.first() else {
        return Ok(None);
    };
    let key = read_public_key(&plan.host.sshd_key)?;
    let signer = ca::signer(c, row, KrlKind::Host)?;
    let serial = ca::take_serial(c, &row.id)?;
    let now = c.now();
    let (valid_after, valid_before) = (
        now.minus_millis(BACKDATE_MILLIS),
        now.plus_millis(HOST_CERTIFICATE_MILLIS),
    );
    let key_id = format!("{}/{serial}", plan.host.id);
    let principals = plan.host.principals.to_vec();
    let template = Template {
        serial,
        key_id: &key_id,
        principals: &principals,
        valid_after: valid_after.as_secs(),
        valid_before: valid_before.as_secs(),
    };
    let line = certificate::host(&signer, key.key_data(), &template, app.random.bytes()?)?;
    let made = CertificateRow {
        id: String::new(),
        tenant: plan.host.tenant.clone(),
        ca: row.id.clone(),
        serial,
        kind: CertificateKind::Host,
        signer: ca::raw(crate::keys::Signer::public(&signer))?,
        key_id,
        principals: plan.host.principals.clone(),
        hosts: Words::of([plan.host.id.as_str()]),
        device: Some(plan.host.device.clone()),
        operator: None,
        request: String::new(),
        valid_after,
        valid_before,
        state: CertificateState::Valid,
        reason: None,
        line,
    };
    Ok(Some(ca::keep(c, made)?))
}

/// Two certificates for the trial key: one that must open the door, and one that is in the list already.
fn trial(c: &mut Change<'_, '_>, app: &App, plan: &Plan) -> Result<Option<Trial>, Problem> {
    let (Some(row), Some(login)) = (plan.cas.first(), plan.host.logins.iter().next()) else {
        return Ok(None);
    };
    let key = read_public_key(&plan.host.trial_key)?;
    let signer = ca::signer(c, row, KrlKind::User)?;
    let now = c.now();
    let principals = vec![format!("{login}@{}", plan.host.id)];
    let mut lines = Vec::new();
    for state in [CertificateState::Valid, CertificateState::Revoked] {
        let serial = ca::take_serial(c, &row.id)?;
        let key_id = format!("trial/{}/{serial}", plan.host.id);
        let (valid_after, valid_before) = (
            now.minus_millis(BACKDATE_MILLIS),
            now.plus_millis(TRIAL_MILLIS),
        );
        let template = Template {
            serial,
            key_id: &key_id,
            principals: &principals,
            valid_after: valid_after.as_secs(),
            valid_before: valid_before.as_secs(),
        };
        let line = certificate::user(
            &signer,
            key.key_data(),
            &template,
            &UserOptions::Trial,
            app.random.bytes()?,
        )?;
        lines.push(line.clone());
        let made = CertificateRow {
            id: String::new(),
            tenant: plan.host.tenant.clone(),
            ca: row.id.clone(),
            serial,
            kind: CertificateKind::Trial,
            signer: ca::raw(crate::keys::Signer::public(&signer))?,
            key_id,
            principals: Words::of(&principals),
            hosts: Words::of([plan.host.id.as_str()]),
            // Of no device: they run five minutes, and whoever ends what a device's hosts hold need not read all there ever were.
            device: None,
            operator: None,
            request: String::new(),
            valid_after,
            valid_before,
            state,
            reason: (state == CertificateState::Revoked).then(|| "trial".to_owned()),
            line,
        };
        ca::keep(c, made)?;
    }
    let [good, revoked] = <[String; 2]>::try_from(lines).map_err(|_| Fault::Internal)?;
    Ok(Some(Trial {
        key: plan.host.trial_key.clone(),
        good,
        revoked,
    }))
}

/// What a host's newest manifest gives it: its sequence, its files, its host certificate.
pub(crate) fn carried(
    rows: &impl Rows,
    host: &HostId,
) -> Result<Option<(u64, Files, Option<CertificateRow>)>, Problem> {
    let Some(row) = rows.get::<ManifestRow>(host)? else {
        return Ok(None);
    };
    let files =
        files_of(&row).ok_or_else(|| Problem::from(Fault::Internal).step("manifest.read"))?;
    let certificate = match row.certificate.as_str() {
        "" => None,
        id => rows.get::<CertificateRow>(id)?,
    };
    Ok(Some((row.sequence, files, certificate)))
}

fn files_of(row: &ManifestRow) -> Option<Files> {
    // Signed here, and kept in a row that only this nexus writes.
    let manifest = Unverified::<Manifest>::parse(&row.signed).ok()?;
    Some(manifest.claimed().files.clone())
}

fn empty_files() -> Files {
    Files {
        user_cas: Vec::new(),
        krl: Vec::new(),
        principals: BTreeMap::new(),
        host_certificate: None,
    }
}

/// The hosts behind a device for which something waits that may leave now: for whoever wakes its agent. Beside each
/// stands a digest of what it is to have, so that another change for the same host is told from the one before.
pub(crate) fn waiting(
    rows: &impl Rows,
    device: &Device,
    now: Timestamp,
    grace: u64,
) -> Result<Vec<(HostId, [u8; 32])>, Problem> {
    let fresh = device.lifecycle == Lifecycle::Active
        && crate::release::standing(rows, device, now)?.is_ok();
    let mut waiting = Vec::new();
    for host in hosts_behind(rows, &device.id)? {
        let plan = plan(rows, host, now)?;
        let needed = match plan.need(now, grace) {
            Need::Nothing => false,
            Need::Remove => true,
            Need::Give => fresh || plan.clone().only_removing().removes(),
        };
        if needed {
            waiting.push((plan.host.id.clone(), plan.digest()));
        }
    }
    Ok(waiting)
}

impl Plan {
    /// Whether it takes anything away from what the host has; of a plan that gives nothing.
    pub(crate) fn removes(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|b| b.content != self.digest())
    }

    /// The host.
    pub(crate) const fn host(&self) -> &HostRow {
        &self.host
    }

    /// Seconds until the agent should ask again.
    pub(crate) fn renew_in(&self, row: Option<&ManifestRow>, now: Timestamp, grace: u64) -> u32 {
        let manifest = row.map(|r| r.not_after.minus_millis(grace / 2));
        let certificate = self
            .certificate
            .as_ref()
            .map(|c| c.valid_before.minus_millis(HOST_CERTIFICATE_MILLIS / 2));
        let at = [manifest, certificate].into_iter().flatten().min();
        let millis = at
            .and_then(|at| at.millis_since(now))
            .unwrap_or(0)
            .clamp(60_000, 3_600_000);
        u32::try_from(millis / 1000).unwrap_or(3600)
    }
}
