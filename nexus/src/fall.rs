//! What follows when trust dies (I10): new releases stop by the device's state, at once; here, what can be revoked is, what
//! the device held is listed as exposed, and it is told to wipe. Wiping is courtesy; expiry and revocation are the control.
//!
//! Mass effects are paced: where more devices of a tenant fall by themselves within an hour than [`allowed`], revoking and
//! wiping wait for a super:admin, who quarantines by hand what has really fallen. Refusing never waits.

use assay_api::id::TenantId;
use assay_attest::time::Timestamp;
use rusqlite::params;

use crate::app::App;
use crate::problem::Problem;
use crate::ssh::ca;
use crate::store::devices::{Device, Effects, Lifecycle};
use crate::store::{AsSql, Change, Rows, StoreFault, Writes};

/// The hour over which falls are counted, in milliseconds.
pub(crate) const WINDOW_MILLIS: u64 = 3_600_000;

/// How a device lost its trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A verdict or a rollback: paced.
    Automatic,
    /// A person said so.
    Person,
}

/// Trust in this device died. Writes what follows; the caller writes the row.
///
/// # Errors
/// The store's faults.
pub(crate) fn trust_died(
    c: &mut Change<'_, '_>,
    app: &App,
    row: &mut Device,
    cause: Cause,
) -> Result<(), Problem> {
    if cause == Cause::Automatic {
        c.sql()
            .prepare_cached(
                "INSERT OR IGNORE INTO device_fall (device, tenant, at) VALUES (?1, ?2, ?3)",
            )
            .map_err(StoreFault::from)?
            .execute(params![AsSql(&row.id), AsSql(&row.tenant), AsSql(&c.now())])
            .map_err(StoreFault::from)?;
        forget(c, row)?;
        let (fallen, allowed) = (fallen(c, &row.tenant, c.now())?, allowed(c, &row.tenant)?);
        if fallen > allowed {
            row.effects = Effects::Waiting;
            app.metrics.paced_falls.inc();
            let words = format!(
                "{fallen} devices fell within an hour, over {allowed}: revoking and wiping wait"
            );
            tracing::error!(
                tenant = row.tenant.as_str(),
                fallen,
                allowed,
                "mass loss of trust: effects wait"
            );
            c.entry().details.insert("alarm".into(), words);
            return Ok(());
        }
    }
    row.effects = Effects::Done;
    let mut exposed = leases(c, row)?;
    let why = row
        .reasons
        .iter()
        .next()
        .unwrap_or("device.decommissioned")
        .to_owned();
    let revoked = ca::revoke_behind(c, &row.id, &why)?;
    exposed.extend(
        revoked
            .into_iter()
            .map(|id| format!("certificate/{id} (revoked)")),
    );
    for what in &exposed {
        c.sql()
            .prepare_cached("INSERT OR REPLACE INTO exposed (device, what, at) VALUES (?1, ?2, ?3)")
            .map_err(StoreFault::from)?
            .execute(params![AsSql(&row.id), what, AsSql(&c.now())])
            .map_err(StoreFault::from)?;
    }
    c.entry()
        .details
        .insert("exposed".into(), exposed.len().to_string());
    Ok(())
}

/// Falls of over a day ago, and of what was exposed all but the newest, which a page shows.
fn forget(c: &Change<'_, '_>, row: &Device) -> Result<(), StoreFault> {
    c.sql()
        .prepare_cached("DELETE FROM device_fall WHERE device = ?1 AND at < ?2")?
        .execute(params![
            AsSql(&row.id),
            AsSql(&c.now().minus_millis(24 * WINDOW_MILLIS))
        ])?;
    c.sql()
        .prepare_cached(
            "DELETE FROM exposed WHERE device = ?1 AND what IN \
             (SELECT what FROM exposed WHERE device = ?1 ORDER BY at DESC, what LIMIT -1 OFFSET 500)",
        )?
        .execute(params![AsSql(&row.id)])?;
    Ok(())
}

/// Leases that run: their bytes go, the agent is told to wipe them, what they held is exposed until they end.
fn leases(c: &Change<'_, '_>, row: &Device) -> Result<Vec<String>, StoreFault> {
    let now = c.now();
    let sql = "UPDATE lease SET state = 'wipe', sealed = x'' WHERE device = ?1 AND state <> 'wiped' AND expires > ?2 \
               RETURNING name, version, id";
    let mut statement = c.sql().prepare_cached(sql)?;
    let held = statement.query_map(params![AsSql(&row.id), AsSql(&now)], |r| {
        Ok(format!(
            "secret/{} version {} (lease {})",
            r.get::<_, String>(0)?,
            r.get::<_, u32>(1)?,
            r.get::<_, String>(2)?
        ))
    })?;
    held.collect::<Result<_, _>>().map_err(StoreFault::from)
}

/// How many devices of a tenant fell by themselves within the last hour.
fn fallen(rows: &impl Rows, tenant: &TenantId, now: Timestamp) -> Result<i64, StoreFault> {
    let since = now.minus_millis(WINDOW_MILLIS);
    Ok(rows
        .sql()
        .prepare_cached(
            "SELECT count(DISTINCT device) FROM device_fall WHERE tenant = ?1 AND at > ?2",
        )?
        .query_row(params![AsSql(tenant), AsSql(&since)], |r| r.get(0))?)
}

/// How many may: five, or 2 % of the tenant's devices where that is more.
fn allowed(rows: &impl Rows, tenant: &TenantId) -> Result<i64, StoreFault> {
    let devices: i64 = rows
        .sql()
        .prepare_cached("SELECT count(*) FROM device WHERE tenant = ?1 AND lifecycle = ?2")?
        .query_row(params![AsSql(tenant), Lifecycle::Active.as_str()], |r| {
            r.get(0)
        })?;
    Ok((devices / 50).max(5))
}
