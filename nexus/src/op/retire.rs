//! When the outgoing keys of an SSH CA may go: not while a host would refuse what their successor signs, nor while a
//! certificate of theirs still runs.

use assay_attest::time::Timestamp;
use rusqlite::params;

use crate::manifest::{carried, hosts_behind, is_dead, reported};
use crate::problem::Problem;
use crate::ssh::ca;
use crate::store::devices::Device;
use crate::store::signing_key::{KeyState, SigningKey};
use crate::store::ssh::{HostRow, KrlKind, PushRow, PushState, SshCaRow};
use crate::store::{AsSql, Rows, StoreFault};

/// What still needs the outgoing keys, in words; `None` where nothing does.
///
/// A host counts as done once it has reported its newest manifest as installed, and that names the successor and holds no
/// host certificate of the predecessor. Hosts behind a device whose trust has died get neither, and keep nobody waiting.
///
/// # Errors
/// The store's faults.
pub(super) fn still_needed(
    rows: &impl Rows,
    row: &SshCaRow,
    now: Timestamp,
) -> Result<Option<String>, Problem> {
    let user = Pair::of(rows, row, KrlKind::User)?;
    let host = Pair::of(rows, row, KrlKind::Host)?;
    for push in rows.find::<PushRow>("ca", &row.id)? {
        let device: Option<Device> = rows.get(&push.device)?;
        if push.state != PushState::Pushed || device.is_none_or(|d| is_dead(&d)) {
            continue;
        }
        for paired in hosts_behind(rows, &push.device)? {
            if !has_successor(rows, &paired, &user, &host)? {
                let why = format!("host `{}` does not have the successor yet", paired.name);
                return Ok(Some(why));
            }
        }
    }
    let sql = "SELECT count(*) FROM certificate WHERE ca = ?1 AND signer = ?2 AND valid_before > ?3 \
               AND kind = 'user' AND state = 'valid'";
    let running: i64 = rows
        .sql()
        .prepare_cached(sql)
        .map_err(StoreFault::from)?
        .query_row(
            params![AsSql(&row.id), user.outgoing_raw(), AsSql(&now)],
            |r| r.get(0),
        )
        .map_err(StoreFault::from)?;
    Ok((running > 0).then(|| format!("{running} certificates of the predecessor still run")))
}

/// The key that goes and the one that signs.
struct Pair {
    outgoing: Option<SigningKey>,
    active: Option<SigningKey>,
}

impl Pair {
    fn of(rows: &impl Rows, row: &SshCaRow, kind: KrlKind) -> Result<Self, StoreFault> {
        let keys = ca::trusted(rows, row, kind)?;
        let of = |state| keys.iter().find(|k| k.state == state).cloned();
        Ok(Self {
            outgoing: of(KeyState::Retiring),
            active: of(KeyState::Active),
        })
    }

    fn outgoing_raw(&self) -> &[u8] {
        self.outgoing.as_ref().map_or(&[], |k| k.public.as_slice())
    }

    fn line(key: Option<&SigningKey>) -> Result<Option<String>, Problem> {
        key.map(ca::line).transpose()
    }
}

fn has_successor(
    rows: &impl Rows,
    paired: &HostRow,
    user: &Pair,
    host: &Pair,
) -> Result<bool, Problem> {
    let Some((sequence, files, certificate)) = carried(rows, &paired.id)? else {
        // It was never given anything of this CA.
        return Ok(true);
    };
    let names = |line: Option<String>| line.is_some_and(|l| files.user_cas.contains(&l));
    let old_certificate = certificate
        .zip(host.outgoing.as_ref())
        .is_some_and(|(c, old)| c.signer.as_slice() == old.public.as_slice());
    if !names(Pair::line(user.outgoing.as_ref())?) && !old_certificate {
        return Ok(true);
    }
    let installed = reported(rows, &paired.id)?
        .is_some_and(|(of, outcome, _)| of == sequence && outcome == "ok");
    Ok(installed && names(Pair::line(user.active.as_ref())?) && !old_certificate)
}
