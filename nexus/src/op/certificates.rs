//! User certificates: signed for named hosts, each behind a fresh DPU; revoked whatever the state of anything.

use assay_api::id::{DeviceId, HostId, OperatorId, SshCaId};
use assay_api::routes::On;
use assay_api::types::*;
use assay_attest::time::Timestamp;
use rusqlite::params;

use super::ctx::{Act, Changed, Ctx, Settled, Shown};
use super::grants;
use super::hosts::may_see;
use super::ssh_cas::paired;
use super::target::{Found, Target, find};
use super::words;
use crate::manifest;
use crate::problem::{Fault, Problem};
use crate::release::{Class, Permit, refuse};
use crate::ssh::ca;
use crate::ssh::certificate::{self, Template, UserOptions, read_public_key};
use crate::store::devices::Words;
use crate::store::ssh::{
    CertificateKind, CertificateRow, CertificateState, HostRow, KrlKind, SshCaRow,
    parse_certificate_id,
};
use crate::store::{AsSql, Rows, StoreFault, Tx, Writes};

/// The longest lifetime of a user certificate, in milliseconds.
const MAX_MILLIS: u64 = 8 * 3_600_000;
/// The shortest.
const MIN_MILLIS: u64 = 60_000;
/// Certificates begin this much earlier, for clocks that are behind.
const BACKDATE_MILLIS: u64 = 60_000;
/// Certificates of one person that run at a time.
const RUNNING: i64 = 2048;

/// What was asked, parsed.
struct Wanted {
    key: ssh_key::PublicKey,
    hosts: Vec<String>,
    logins: Vec<String>,
    millis: u64,
    request: String,
}

pub(crate) async fn sign_certificate(
    ctx: Ctx,
    ask: CertificateAsk,
) -> Result<Changed<Certificate>, Problem> {
    let wanted = parse(&ctx, &ask)?;
    ctx.settle(Target::Route, move |tx, act| sign(tx, act, &wanted))
        .await
}

fn parse(ctx: &Ctx, ask: &CertificateAsk) -> Result<Wanted, Problem> {
    let key = read_public_key(&ask.public_key)?;
    let count = |what: &'static str, n: usize| {
        if (1..=16).contains(&n) {
            Ok(())
        } else {
            Err(Problem::from(Fault::Value {
                what,
                why: "give 1 to 16".to_owned(),
            }))
        }
    };
    count("`hosts`", ask.hosts.len())?;
    count("`logins`", ask.logins.len())?;
    let mut logins = ask
        .logins
        .iter()
        .map(|l| words::login(l))
        .collect::<Result<Vec<_>, _>>()?;
    logins.sort_unstable();
    logins.dedup();
    let millis = ask
        .lifetime
        .map_or(MAX_MILLIS, |s| u64::from(s).saturating_mul(1000));
    if !(MIN_MILLIS..=MAX_MILLIS).contains(&millis) {
        return Err(Fault::Value {
            what: "`lifetime`",
            why: "give 60 to 28800 seconds".to_owned(),
        }
        .into());
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(16..=64).contains(&ask.idempotency_key.len()) || !ask.idempotency_key.bytes().all(plain) {
        return Err(Fault::Value {
            what: "`idempotency_key`",
            why: "write 16 to 64 characters of a-z, 0-9".to_owned(),
        }
        .into());
    }
    let request = format!("{}/{}", ctx.caller.person()?.id, ask.idempotency_key);
    Ok(Wanted {
        key,
        hosts: ask.hosts.clone(),
        logins,
        millis,
        request,
    })
}

fn sign(tx: &mut Tx<'_>, act: &Act<'_>, wanted: &Wanted) -> Result<Settled<Certificate>, Problem> {
    let person = act.caller.person()?;
    let ca: SshCaRow = tx
        .get(act.target.id.as_str())?
        .ok_or(Fault::NotFound { what: "ssh ca" })?;
    let (hosts, granted_until) = hosts(tx, act, &ca, wanted)?;
    let mut devices: Vec<DeviceId> = hosts.iter().map(|h| h.device.clone()).collect();
    devices.sort_unstable();
    devices.dedup();
    let permit = match Permit::judge(tx, act, Class::Certificate, &devices) {
        Ok(permit) => permit,
        Err(problem) => return refuse(tx, act, problem),
    };
    let principals: Vec<String> = hosts
        .iter()
        .flat_map(|h| {
            wanted
                .logins
                .iter()
                .map(move |login| format!("{login}@{}", h.id))
        })
        .collect();
    let bypass_id = permit.bypass().cloned();
    let now = tx.now();
    if let Some(row) = tx
        .find::<CertificateRow>("request", wanted.request.as_str())?
        .into_iter()
        .next()
    {
        let end = permit.limit(granted_until.unwrap_or(Timestamp::MAX));
        return again(tx, act, wanted, &principals, row, &permit, end).map(Settled::Done);
    }
    bounded(tx, &person.id, now)?;
    let valid_after = now.minus_millis(BACKDATE_MILLIS);
    let wanted_until = now.plus_millis(wanted.millis);
    let valid_before =
        permit.limit(granted_until.map_or(wanted_until, |end| end.min(wanted_until)));
    let signer = ca::signer(tx, &ca, KrlKind::User)?;
    let mut entry = act
        .entry()
        .detail("principals", principals.join(" "))
        .detail("until", Time(valid_before).to_string());
    permit.describe(&mut entry);
    let row = tx.change(entry, |c| {
        let serial = ca::take_serial(c, &ca.id)?;
        let key_id = format!("{}/{}.{serial}", person.id, ca.id);
        let template = Template {
            serial,
            key_id: &key_id,
            principals: &principals,
            valid_after: valid_after.as_secs(),
            valid_before: valid_before.as_secs(),
        };
        let nonce = act.ctx.app.random.bytes()?;
        let line = certificate::user(
            &signer,
            wanted.key.key_data(),
            &template,
            &UserOptions::Interactive,
            nonce,
        )?;
        let row = CertificateRow {
            id: String::new(),
            tenant: ca.tenant.clone(),
            ca: ca.id.clone(),
            serial,
            kind: CertificateKind::User,
            signer: ca::raw(crate::keys::Signer::public(&signer))?,
            key_id,
            principals: Words::of(&principals),
            hosts: Words::of(hosts.iter().map(|h| h.id.as_str())),
            device: if let [one] = devices.as_slice() {
                Some(one.clone())
            } else {
                None
            },
            operator: Some(person.id.clone()),
            request: wanted.request.clone(),
            valid_after,
            valid_before,
            state: CertificateState::Valid,
            reason: None,
            line,
        };
        c.entry()
            .details
            .insert("serial".to_owned(), serial.to_string());
        Ok::<_, Problem>(ca::keep(c, row)?)
    })?;
    Ok(Settled::Done(Certificate {
        certificate: row.line.clone(),
        info: info(&row, now)?,
        bypass_id,
    }))
}

/// A list of what is revoked is bounded, and so is what one person may have to have revoked.
fn bounded(rows: &impl Rows, person: &OperatorId, now: Timestamp) -> Result<(), Problem> {
    let sql = "SELECT count(*) FROM certificate WHERE operator = ?1 AND valid_before > ?2";
    let running: i64 = rows
        .sql()
        .prepare_cached(sql)
        .map_err(StoreFault::from)?
        .query_row(params![AsSql(person), AsSql(&now)], |r| r.get(0))
        .map_err(StoreFault::from)?;
    if running < RUNNING {
        return Ok(());
    }
    let why = format!("{RUNNING} certificates of yours run already: ask for shorter lifetimes");
    Err(Fault::Conflict { why }.into())
}

/// The same key asks again: the same certificate, judged again, as long as it is what is asked for and lives no longer than
/// what could be signed now: under a bypass, a minute.
fn again(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    wanted: &Wanted,
    principals: &[String],
    row: CertificateRow,
    permit: &Permit,
    end: Timestamp,
) -> Result<Certificate, Problem> {
    let now = tx.now();
    let same_key = read_public_key_of(&row).is_some_and(|key| key == *wanted.key.key_data());
    if !same_key || row.principals.to_vec() != principals || row.ca.as_str() != act.target.id {
        let why = "this idempotency key was used for another certificate".to_owned();
        return Err(Fault::Conflict { why }.into());
    }
    if row.state == CertificateState::Revoked || row.valid_before <= now {
        let why =
            "the certificate of this idempotency key is revoked or has run out; use a new key"
                .to_owned();
        return Err(Fault::Conflict { why }.into());
    }
    if row.valid_before > end {
        let why = "the certificate of this idempotency key lives longer than one that could be signed now; use a new key"
            .to_owned();
        return Err(Fault::Conflict { why }.into());
    }
    let mut entry = act
        .entry()
        .detail("serial", row.serial.to_string())
        .detail("again", "yes");
    permit.describe(&mut entry);
    tx.audit(entry)?;
    Ok(Certificate {
        certificate: row.line.clone(),
        info: info(&row, now)?,
        bypass_id: permit.bypass().cloned(),
    })
}

fn read_public_key_of(row: &CertificateRow) -> Option<ssh_key::public::KeyData> {
    ssh_key::Certificate::from_openssh(&row.line)
        .ok()
        .map(|c| c.public_key().clone())
}

/// The hosts, found in the caller's tenant, each of which trusts the CA, knows the logins, and is granted; for operators with the
/// end of the grant that ends first.
fn hosts(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ca: &SshCaRow,
    wanted: &Wanted,
) -> Result<(Vec<HostRow>, Option<Timestamp>), Problem> {
    let person = act.caller.person()?;
    let now = tx.now();
    let mut hosts: Vec<HostRow> = Vec::new();
    let mut granted_until: Option<Timestamp> = None;
    for name in &wanted.hosts {
        let host = paired(tx, &find(tx, &act.caller, On::Host, name)?)?;
        // What an operator may not see is not there, whatever else would be wrong with asking for it.
        if host.tenant != ca.tenant || !may_see(tx, &act.caller, &host, now)? {
            return Err(Fault::NotFound { what: "host" }.into());
        }
        if !manifest::pushed(tx, &host.device)?
            .iter()
            .any(|c| c.id == ca.id)
        {
            let why = format!(
                "host `{}` does not trust ssh ca `{}`: push it first",
                host.name, ca.name
            );
            return Err(Fault::Conflict { why }.into());
        }
        for login in &wanted.logins {
            if !host.logins.iter().any(|l| l == login) {
                let why = format!("`{login}` is not a managed login of host `{}`", host.name);
                return Err(Fault::Value {
                    what: "`logins`",
                    why,
                }
                .into());
            }
            if person.role == PersonRole::Operator {
                let (person, ca) = (&person.id, &ca.id);
                let end =
                    grants::covered_until(tx, person, ca, &host.id, &host.device, login, now)?
                        .ok_or_else(|| Problem::from(Fault::Forbidden).step("grant.none"))?;
                granted_until = Some(granted_until.map_or(end, |g| g.min(end)));
            }
        }
        hosts.push(host);
    }
    hosts.sort_by(|a, b| a.id.cmp(&b.id));
    hosts.dedup_by(|a, b| a.id == b.id);
    Ok((hosts, granted_until))
}

pub(crate) async fn list_certificates(
    ctx: Ctx,
    ask: InTenant,
) -> Result<Shown<Certificates>, Problem> {
    let limit = words::limit(ask.limit)?;
    ctx.read_long(Target::Tenant(ask.tenant.clone()), move |rows, act| {
        let person = act.caller.person()?;
        let tenant = act.target.tenant.as_ref().map(|t| ("tenant", t.as_str()));
        let page: Vec<CertificateRow> = rows.page(tenant, ask.after.as_deref(), limit)?;
        let full = page.len() >= usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = page.last().filter(|_| full).map(|c| c.id.clone());
        let own = |c: &&CertificateRow| {
            person.role != PersonRole::Operator || c.operator.as_ref() == Some(&person.id)
        };
        let items = page
            .iter()
            .filter(own)
            .filter(|c| c.kind != CertificateKind::Trial)
            .map(|c| info(c, act.now));
        Ok(Certificates {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    })
    .await
}

pub(crate) async fn revoke_certificate(
    ctx: Ctx,
    ask: Reason,
) -> Result<Changed<CertificateInfo>, Problem> {
    let reason = words::reason(&ask.reason)?;
    let app = ctx.app.clone();
    let done = ctx
        .revoke(Target::Route, move |tx, act| {
            let mut row: CertificateRow =
                tx.get(act.target.id.as_str())?.ok_or(Fault::NotFound {
                    what: "certificate",
                })?;
            if row.state == CertificateState::Revoked {
                return Err(Fault::Conflict {
                    why: "it is revoked already".to_owned(),
                }
                .into());
            }
            row.state = CertificateState::Revoked;
            row.reason = Some(reason.clone());
            tx.change(act.entry().reason(reason.clone()), |c| {
                ca::revoke(c, &row, true)?;
                c.update(&row)
            })?;
            // Every host that trusts this CA hears of it.
            let pushes: Vec<crate::store::ssh::PushRow> = tx.find("ca", &row.ca)?;
            let devices: Vec<DeviceId> = pushes.into_iter().map(|p| p.device).collect();
            Ok((info(&row, tx.now())?, devices))
        })
        .await?;
    done.get().1.iter().for_each(|device| app.wake.ring(device));
    Ok(done.map(|(info, _)| info))
}

fn info(row: &CertificateRow, now: Timestamp) -> Result<CertificateInfo, Problem> {
    let state = match row.state {
        CertificateState::Revoked => "revoked",
        CertificateState::Valid if row.valid_before <= now => "expired",
        CertificateState::Valid => "valid",
    };
    let kind = match row.kind {
        CertificateKind::Host => "host",
        CertificateKind::User | CertificateKind::Trial => "user",
    };
    let hosts = row
        .hosts
        .iter()
        .map(HostId::parse)
        .collect::<Result<_, _>>();
    Ok(CertificateInfo {
        id: format!("{}.{}", row.ca, row.serial),
        tenant_id: row.tenant.clone(),
        ssh_ca_id: SshCaId::clone(&row.ca),
        serial: row.serial,
        kind: kind.to_owned(),
        key_id: row.key_id.clone(),
        principals: row.principals.to_vec(),
        hosts: hosts.map_err(|_| Problem::from(Fault::Internal).step("certificate.hosts"))?,
        operator_id: row.operator.clone(),
        device_id: row
            .device
            .clone()
            .filter(|_| row.kind == CertificateKind::Host),
        valid_after: Time(row.valid_after),
        valid_before: Time(row.valid_before),
        state: state.to_owned(),
        revoked_reason: row.reason.clone(),
    })
}

/// Every one with this id, of whatever tenant: [`target`](super::target) picks those that the caller may know of.
pub(crate) fn candidates(rows: &impl Rows, id: &str) -> Result<Vec<Found>, StoreFault> {
    let Some(key) = parse_certificate_id(id) else {
        return Ok(Vec::new());
    };
    let row: Option<CertificateRow> = rows.get(key.as_str())?;
    Ok(row
        .map(|c| Found {
            owner: c.operator,
            ..Found::new(On::Certificate, c.id, Some(c.tenant))
        })
        .into_iter()
        .collect())
}
