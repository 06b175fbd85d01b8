//! SSH CAs in the store: their keys, serials and lists of what is revoked.

use assay_api::id::{DeviceId, OperatorId, SshCaId};
use assay_attest::key::PublicKey;
use assay_attest::time::Timestamp;

use super::certificate::{CertificateFault, ca_public_line};
use super::krl::Revoked;
use crate::keys::SoftwareSigner;
use crate::problem::{Fault, Problem};
use crate::store::signing_key::{self, KeyState, SigningKey};
use crate::store::ssh::{
    CertificateKind, CertificateRow, CertificateState, KrlKind, KrlRow, PushRow, SshCaRow,
    certificate_key,
};
use crate::store::{Change, Rows, StoreFault, Writes};

/// Bytes of an entry of a [`KrlRow`].
const ENTRY: usize = 48;
/// Seconds that a revoked certificate stays listed past its end, for hosts and clients whose clock is behind.
const SKEW: u64 = 3_600;

impl From<CertificateFault> for Problem {
    fn from(fault: CertificateFault) -> Self {
        match fault {
            CertificateFault::Encode(why) => Self::from(Fault::Internal).step(why),
            other => Fault::Value {
                what: "`public_key`",
                why: other.to_string(),
            }
            .into(),
        }
    }
}

/// The purpose of a CA's keys in the table of signing keys.
pub(crate) fn purpose(ca: &SshCaId, kind: KrlKind) -> String {
    format!("ssh-{}/{ca}", kind.as_str())
}

/// Keys that are trusted: prepared, active and retiring ones, the active one first.
pub(crate) fn trusted(
    rows: &impl Rows,
    ca: &SshCaRow,
    kind: KrlKind,
) -> Result<Vec<SigningKey>, StoreFault> {
    let mut keys = signing_key::published(rows, ca.tenant.as_str(), &purpose(&ca.id, kind))?;
    keys.sort_by_key(|k| (k.state != KeyState::Active, k.version));
    Ok(keys)
}

/// The key that signs.
pub(crate) fn signer(
    rows: &impl Rows,
    ca: &SshCaRow,
    kind: KrlKind,
) -> Result<SoftwareSigner, Problem> {
    let key = signing_key::active(rows, ca.tenant.as_str(), &purpose(&ca.id, kind))?;
    let key = key.ok_or_else(|| Problem::from(Fault::Internal).step("ssh_ca.no_key"))?;
    key.signer(rows.keys().at_rest())
        .map_err(|e| Problem::from(Fault::Internal).step(e.code()))
}

/// 32 bytes of an Ed25519 CA key.
pub(crate) fn raw(key: &PublicKey) -> Result<[u8; 32], Problem> {
    match key {
        PublicKey::Ed25519(raw) => Ok(*raw),
        _ => Err(Problem::from(Fault::Internal).step("ssh_ca.key_kind")),
    }
}

/// The public key line of a CA key, without a comment.
pub(crate) fn line(key: &SigningKey) -> Result<String, Problem> {
    let public = key
        .public()
        .map_err(|e| Problem::from(Fault::Internal).step(e.code()))?;
    Ok(ca_public_line(&raw(&public)?, "")?.trim().to_owned())
}

/// Takes the next serial.
pub(crate) fn take_serial(c: &mut Change<'_, '_>, ca: &SshCaId) -> Result<u64, Problem> {
    let mut row: SshCaRow = c.get(ca)?.ok_or(Fault::NotFound { what: "ssh ca" })?;
    let serial = row.next_serial;
    row.next_serial = serial
        .checked_add(1)
        .ok_or_else(|| Problem::from(Fault::Internal).step("ssh_ca.serials"))?;
    c.update(&row)?;
    Ok(serial)
}

/// Puts a certificate into its CA's list. `counts`: whether hosts or clients must hear of it by a new list; not so for the
/// trial login's own, which travels in the manifest that makes it.
pub(crate) fn revoke(
    c: &mut Change<'_, '_>,
    row: &CertificateRow,
    counts: bool,
) -> Result<(), StoreFault> {
    revoke_all(c, std::slice::from_ref(row), counts)
}

/// As [`revoke`], for many: each list is written once.
fn revoke_all(
    c: &mut Change<'_, '_>,
    rows: &[CertificateRow],
    counts: bool,
) -> Result<(), StoreFault> {
    let kind_of = |row: &CertificateRow| match row.kind {
        CertificateKind::User | CertificateKind::Trial => KrlKind::User,
        CertificateKind::Host => KrlKind::Host,
    };
    let mut lists: Vec<(&SshCaId, KrlKind)> = Vec::new();
    for row in rows {
        let list = (&row.ca, kind_of(row));
        if !lists.contains(&list) {
            lists.push(list);
        }
    }
    let now = c.now();
    for (ca, kind) in lists {
        let there: Option<KrlRow> = c.get((ca, &kind))?;
        let is_new = there.is_none();
        let mut list = there.unwrap_or(KrlRow {
            ca: ca.clone(),
            kind,
            version: 0,
            epoch: 0,
            entries: Vec::new(),
        });
        // What has long run out is refused by sshd itself, so the list stays as short as what can still be used.
        let mut entries: Vec<u8> = live(&list.entries, now)
            .flat_map(|e| e.iter().copied())
            .collect();
        for row in rows.iter().filter(|r| r.ca == *ca && kind_of(r) == kind) {
            entries.extend_from_slice(&row.signer);
            entries.extend_from_slice(&row.serial.to_be_bytes());
            entries.extend_from_slice(&row.valid_before.as_secs().to_be_bytes());
        }
        list.entries = entries;
        list.version = list.version.saturating_add(1);
        list.epoch = list.epoch.saturating_add(u64::from(counts));
        if is_new {
            c.insert(&list)?;
        } else {
            c.update(&list)?;
        }
    }
    Ok(())
}

fn live(entries: &[u8], now: Timestamp) -> impl Iterator<Item = &[u8]> {
    entries.chunks_exact(ENTRY).filter(move |e| {
        let end = e
            .get(40..)
            .and_then(|b| <[u8; 8]>::try_from(b).ok())
            .map(u64::from_be_bytes);
        end.is_none_or(|end| end.saturating_add(SKEW) >= now.as_secs())
    })
}

/// The lists of some CAs as one KRL. Valid also where nothing is revoked.
pub(crate) fn krl(
    rows: &impl Rows,
    cas: &[SshCaId],
    kind: KrlKind,
    now: Timestamp,
) -> Result<Vec<u8>, Problem> {
    let mut revoked = Revoked::default();
    let mut version = 1u64;
    for ca in cas {
        let Some(list) = rows.get::<KrlRow>((ca, &kind))? else {
            continue;
        };
        version = version.saturating_add(list.version);
        for entry in live(&list.entries, now) {
            let (signer, rest) = entry.split_at_checked(32).unwrap_or_default();
            let serial = rest
                .get(..8)
                .and_then(|b| <[u8; 8]>::try_from(b).ok())
                .map(u64::from_be_bytes);
            let signer = <[u8; 32]>::try_from(signer).ok();
            if let (Some(signer), Some(serial)) = (signer, serial) {
                revoked.certificate(&blob(&signer)?, serial);
            }
        }
    }
    Ok(revoked.encode(version, now.as_secs(), "assay"))
}

/// The wire form of an Ed25519 public key (RFC 8709, section 4).
fn blob(key: &[u8; 32]) -> Result<Vec<u8>, Problem> {
    let key = ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(*key));
    key.to_bytes()
        .map_err(|e| Problem::from(Fault::Internal).step(e.to_string()))
}

/// How often each of these CAs has revoked a user certificate: part of what a manifest says.
pub(crate) fn epochs(rows: &impl Rows, cas: &[SshCaId]) -> Result<Vec<(SshCaId, u64)>, StoreFault> {
    let epoch = |ca: &SshCaId| {
        let list: Option<KrlRow> = rows.get((ca, &KrlKind::User))?;
        Ok((ca.clone(), list.map_or(0, |l| l.epoch)))
    };
    cas.iter().map(epoch).collect()
}

/// Revokes what a device's loss of trust takes with it (I10): certificates that name only hosts behind it, and those hosts'
/// own. Gives the ids of what was revoked.
///
/// # Errors
/// The store's faults.
pub(crate) fn revoke_behind(
    c: &mut Change<'_, '_>,
    device: &DeviceId,
    reason: &str,
) -> Result<Vec<String>, StoreFault> {
    let now = c.now();
    let mut revoked: Vec<CertificateRow> = c.find("device", device)?;
    revoked.retain(|row| {
        let dead = row.state == CertificateState::Revoked || row.valid_before <= now;
        !dead && row.kind != CertificateKind::Trial
    });
    end_all(c, &mut revoked, reason)?;
    Ok(revoked.iter().map(id).collect())
}

fn id(row: &CertificateRow) -> String {
    format!("{}.{}", row.ca, row.serial)
}

/// Revokes each of these, and puts them into their lists.
fn end_all(
    c: &mut Change<'_, '_>,
    rows: &mut [CertificateRow],
    reason: &str,
) -> Result<(), StoreFault> {
    for row in rows.iter_mut() {
        row.state = CertificateState::Revoked;
        row.reason = Some(reason.to_owned());
        c.update(row)?;
    }
    revoke_all(c, rows, true)
}

/// What was revoked of a person's.
#[derive(Debug, Default)]
pub(crate) struct RevokedOf {
    /// The certificates' ids.
    pub(crate) certificates: Vec<String>,
    /// The devices in front of hosts that must hear of it.
    pub(crate) devices: Vec<DeviceId>,
}

/// Revokes the user certificates of a person that still run, where `picks` says so.
///
/// # Errors
/// What `picks` returns, and the store's faults.
pub(crate) fn revoke_of_person<E: From<StoreFault>>(
    c: &mut Change<'_, '_>,
    person: &OperatorId,
    reason: &str,
    picks: impl Fn(&CertificateRow, &Change<'_, '_>) -> Result<bool, E>,
) -> Result<RevokedOf, E> {
    let now = c.now();
    let mut revoked = Vec::new();
    for row in c.find::<CertificateRow>("operator", person)? {
        let dead = row.state == CertificateState::Revoked || row.valid_before <= now;
        if !dead && picks(&row, c)? {
            revoked.push(row);
        }
    }
    end_all(c, &mut revoked, reason)?;
    let mut done = RevokedOf {
        certificates: revoked.iter().map(id).collect(),
        devices: Vec::new(),
    };
    let mut cas: Vec<SshCaId> = revoked.into_iter().map(|row| row.ca).collect();
    cas.sort_unstable();
    cas.dedup();
    for ca in &cas {
        let pushes: Vec<PushRow> = c.find("ca", ca)?;
        done.devices.extend(pushes.into_iter().map(|p| p.device));
    }
    done.devices.sort_unstable();
    done.devices.dedup();
    Ok(done)
}

/// Keeps a certificate that was just signed.
pub(crate) fn keep(
    c: &mut Change<'_, '_>,
    row: CertificateRow,
) -> Result<CertificateRow, StoreFault> {
    let row = CertificateRow {
        id: certificate_key(&row.ca, row.serial),
        ..row
    };
    c.insert(&row)?;
    if row.state == CertificateState::Revoked {
        revoke(c, &row, false)?;
    }
    Ok(row)
}
