//! THE door: nothing that is gated leaves the nexus without a [`Permit`], and a permit is made here alone, inside the
//! transaction of the release (I1; design, section 5).
//!
//! [`decide`] is the table, as a pure function; [`Permit::judge`] asks the store and applies it. Policy comes before it: a
//! permit takes an [`Act`], which exists only where policy has said yes.
//!
//! ```ignore
//! ctx.settle(target, move |tx, act| {
//!     let permit = match Permit::judge(tx, act, Class::Certificate, &devices) {
//!         Ok(permit) => permit,
//!         Err(problem) => return release::refuse(tx, act, problem),     // stale: leaves a demand and names it
//!     };
//!     let end = permit.limit(act.now.plus_millis(asked));
//!     let mut entry = act.entry();
//!     permit.describe(&mut entry);
//!     tx.change(entry, |c| ..).map(Settled::Done)
//! })
//! ```

mod table;

use assay_api::id::{BypassId, DemandId, DeviceId, LeaseId, ResultId};
use assay_api::log::Decision as Logged;
use assay_attest::hpke::HpkeKey;
use assay_attest::standing::{Fresh as Standing, NotFresh, Window};
use assay_attest::time::Timestamp;

use crate::app::App;
use crate::op::{Act, Settled};
use crate::problem::{Fault, Problem};
use crate::store::devices::{Demand, Device, Lifecycle};
use crate::store::references::{Reference, ReferenceState};
use crate::store::secrets::{Bypass, BypassState};
use crate::store::{Change, EntryDraft, Rows, StoreFault, Tx, Writes, nonce};

pub use table::{BYPASS_MILLIS, BYPASS_REASON, Class, Decision, Tier, Wish, decide};

/// How long a demand waits for its proof, in milliseconds.
pub const DEMAND_MILLIS: u64 = 120_000;

/// Leave to release something to, or behind, one device, now. Not to be kept: it is worth nothing after its transaction.
#[must_use]
#[derive(Debug)]
pub enum Clearance {
    /// The device is verified and fresh.
    Fresh(Fresh),
    /// A super:admin answers for it.
    Bypassed(Bypassed),
}

/// The device was verified and fresh in this transaction.
#[derive(Debug)]
pub struct Fresh {
    device: DeviceId,
    until: Timestamp,
    result: ResultId,
    hpke: HpkeKey,
}

impl Fresh {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The end of its freshness: nothing that runs out by itself outlives it.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// The result that it rests on.
    #[must_use]
    pub const fn result(&self) -> &ResultId {
        &self.result
    }

    /// The key that this result vouches for: what is sealed is sealed to it.
    #[must_use]
    pub const fn hpke(&self) -> &HpkeKey {
        &self.hpke
    }
}

/// Let through by a super:admin, with a reason that stands in the log. Freshness was waived, and nothing else.
#[derive(Debug)]
pub struct Bypassed {
    device: DeviceId,
    bypass: BypassId,
    end: Timestamp,
}

impl Bypassed {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The bypass that was used up.
    #[must_use]
    pub const fn bypass(&self) -> &BypassId {
        &self.bypass
    }

    /// What leaves by it ends here, at the latest.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }
}

impl Clearance {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        match self {
            Self::Fresh(fresh) => fresh.device(),
            Self::Bypassed(bypassed) => bypassed.device(),
        }
    }
}

/// Leave to release one thing, judged on every device that it concerns, in this transaction. Not to be kept: it is worth
/// nothing after that.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    clearances: Vec<Clearance>,
    at: Timestamp,
}

/// The terms of a credential that runs out by itself.
#[derive(Debug)]
pub struct Lease {
    id: LeaseId,
    end: Timestamp,
}

impl Lease {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &LeaseId {
        &self.id
    }

    /// Its end.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }
}

/// A device as it was read, and what the table says of it.
struct Judged {
    row: Device,
    decision: Decision,
}

impl Permit {
    /// Judges every device as it stands in this transaction; one that does not pass refuses the whole. Where a bypass lets
    /// one through, that is recorded and used up here, once all have been judged.
    ///
    /// # Errors
    /// `clock.*` (503), `dpu.pending`, `dpu.decommissioned` (409), `attestation.stale|unavailable|failed|quarantined` (412),
    /// `auth.bypass_forbidden`, `request.bypass`; [`Fault::NotFound`] for no device at all. Hand them to [`refuse`].
    pub fn judge(
        tx: &mut Tx<'_>,
        act: &Act<'_>,
        class: Class,
        devices: &[DeviceId],
    ) -> Result<Self, Problem> {
        tx.clock()?;
        let now = tx.now();
        let reason = act.ctx.bypass.as_deref();
        let wish = reason.map(|reason| Wish {
            reason,
            is_super: act.caller.is_super(),
        });
        let mut judged = Vec::new();
        for device in devices {
            let row: Device = tx.get(device)?.ok_or(Fault::NotFound { what: "dpu" })?;
            let standing = standing(tx, &row, now)?;
            let decision = decide(row.lifecycle, standing, class, wish.as_ref());
            refusal(decision, device)?;
            judged.push(Judged { row, decision });
        }
        if judged.is_empty() {
            // A release that concerns no device is judged on nothing, and so refused.
            return Err(Fault::NotFound { what: "dpu" }.into());
        }
        let mut clearances = Vec::new();
        for Judged { row, decision } in judged {
            clearances.push(match decision {
                Decision::Pass => fresh(row)?,
                Decision::Bypass => bypassed(tx, act, &row, reason.unwrap_or_default(), now)?,
                other => {
                    return Err(refusal(other, &row.id)
                        .err()
                        .unwrap_or_else(|| Fault::Internal.into()));
                }
            });
        }
        Ok(Self {
            clearances,
            at: now,
        })
    }

    /// The clearances, in the order of the devices.
    pub fn clearances(&self) -> &[Clearance] {
        &self.clearances
    }

    /// The end of something that would end at `end`: a bypass gives the shortest lifetime only.
    #[must_use]
    pub fn limit(&self, end: Timestamp) -> Timestamp {
        self.clearances
            .iter()
            .fold(end, |end, clearance| match clearance {
                Clearance::Fresh(_) => end,
                Clearance::Bypassed(bypassed) => end.min(bypassed.end),
            })
    }

    /// Terms of a lease: it ends with the least of tier, freshness and what was asked for.
    ///
    /// # Errors
    /// [`Fault::Random`].
    pub fn lease(
        &self,
        app: &App,
        tier: Tier,
        asked_millis: Option<u64>,
    ) -> Result<Lease, Problem> {
        let millis = asked_millis.map_or(tier.millis(), |asked| asked.min(tier.millis()));
        let end = self
            .clearances
            .iter()
            .fold(
                self.at.plus_millis(millis),
                |end, clearance| match clearance {
                    Clearance::Fresh(fresh) => end.min(fresh.until),
                    Clearance::Bypassed(bypassed) => end.min(bypassed.end),
                },
            );
        Ok(Lease {
            id: LeaseId::from_random(&app.random.bytes()?),
            end,
        })
    }

    /// The bypass that it rests on: of several, the first.
    #[must_use]
    pub fn bypass(&self) -> Option<&BypassId> {
        self.clearances.iter().find_map(|c| match c {
            Clearance::Bypassed(bypassed) => Some(bypassed.bypass()),
            Clearance::Fresh(_) => None,
        })
    }

    /// For the audit entry of the release: the results and bypasses that it rests on. With a bypass among them, its decision
    /// is no plain yes.
    pub fn describe(&self, entry: &mut EntryDraft) {
        if self.bypass().is_some() {
            entry.decision = Logged::Bypassed;
        }
        for clearance in &self.clearances {
            let (name, value) = match clearance {
                Clearance::Fresh(fresh) => ("result", fresh.result.as_str()),
                Clearance::Bypassed(bypassed) => ("bypass", bypassed.bypass.as_str()),
            };
            entry
                .details
                .insert(format!("{name}/{}", clearance.device()), value.to_owned());
        }
    }
}

fn fresh(row: Device) -> Result<Clearance, Problem> {
    // INVARIANT: a verified device has a result and the key that it vouched for; a row without them is not ours.
    let (Some(result), Some(hpke)) = (row.result, row.hpke) else {
        return Err(Problem::from(Fault::Internal).step("gate.no_result"));
    };
    let hpke = HpkeKey::parse(&hpke)?;
    Ok(Clearance::Fresh(Fresh {
        device: row.id,
        until: row.fresh_until,
        result,
        hpke,
    }))
}

fn bypassed(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    row: &Device,
    reason: &str,
    now: Timestamp,
) -> Result<Clearance, Problem> {
    let id = BypassId::from_random(&act.ctx.app.random.bytes()?);
    let end = now.plus_millis(BYPASS_MILLIS);
    let actor = act.caller.actor();
    let entry = EntryDraft::new("gate.bypass", actor.clone())
        .tenant(row.tenant.as_str())
        .target(row.id.as_str())
        .reason(reason)
        .request(act.ctx.request.as_str())
        .client(act.ctx.client.to_string())
        .decision(Logged::Bypassed)
        .detail("severity", "warning")
        .detail("action", act.ctx.route.name)
        .detail("attestation", row.attestation.as_str());
    let bypass = Bypass {
        id: id.clone(),
        device: row.id.clone(),
        action: act.ctx.route.name.to_owned(),
        actor: actor.id,
        reason: reason.to_owned(),
        made: now,
        expires: end,
        state: BypassState::Used,
    };
    tx.change(entry, |c| c.insert(&bypass))?;
    act.ctx.app.metrics.bypasses.inc();
    Ok(Clearance::Bypassed(Bypassed {
        device: row.id.clone(),
        bypass: id,
        end,
    }))
}

fn refusal(decision: Decision, device: &DeviceId) -> Result<(), Problem> {
    let device = device.clone();
    let fault = match decision {
        Decision::Pass | Decision::Bypass => return Ok(()),
        Decision::Refuse(NotFresh::Unavailable) => Fault::Unavailable { device },
        Decision::Refuse(NotFresh::Stale) => Fault::Stale { device },
        Decision::Refuse(NotFresh::Failed) => Fault::Failed { device },
        Decision::Refuse(NotFresh::Quarantined) => Fault::Quarantined { device },
        Decision::NotActive(Lifecycle::Decommissioned) => Fault::Decommissioned { device },
        Decision::NotActive(Lifecycle::Pending | Lifecycle::Active) => Fault::Pending { device },
        Decision::NotSuper => Fault::BypassForbidden,
        Decision::Reason => Fault::Bypass {
            why: "its reason has 10 to 512 characters",
        },
        Decision::NotSealed => Fault::Bypass {
            why: "it never lets out what is sealed",
        },
    };
    Err(fault.into())
}

/// How a release ends that was refused: the denial stands in the log, and where it was for want of a fresh proof, the device
/// is asked for one and the answer names the demand. Call it before the deed has written anything.
///
/// # Errors
/// The store's faults, and every problem that is no denial.
pub fn refuse<T>(tx: &mut Tx<'_>, act: &Act<'_>, problem: Problem) -> Result<Settled<T>, Problem> {
    let device = match problem.fault() {
        Fault::Stale { device } | Fault::Unavailable { device } => device.clone(),
        _ => return Err(problem),
    };
    tx.audit(
        act.entry()
            .denied(problem.exact())
            .detail("dpu", device.as_str()),
    )?;
    let Some(row) = tx.get::<Device>(&device)? else {
        return Ok(Settled::Refused(problem));
    };
    let made = demand(
        tx,
        &act.ctx.app,
        EntryDraft::new("dpu.demand", act.caller.actor()),
        row,
    )?;
    Ok(Settled::Refused(problem.demand(made.id)))
}

/// Where a device stands at `now`, by what the store says: its state, the window of its proof, a demand that it left
/// unanswered, and whether the reference values that judged it still judge.
///
/// # Errors
/// The store's faults.
pub fn standing(
    rows: &impl Rows,
    row: &Device,
    now: Timestamp,
) -> Result<Result<Standing, NotFresh>, StoreFault> {
    let window = Window::from_parts(row.fresh_from, row.fresh_until);
    let fresh = match Standing::check(row.attestation, &window, now) {
        Ok(fresh) => fresh,
        Err(why) => return Ok(Err(why)),
    };
    if row.demand_until.is_some_and(|deadline| now >= deadline) {
        return Ok(Err(NotFresh::Stale));
    }
    if let Some(id) = &row.reference {
        let judged_by = rows.get::<Reference>(id)?;
        if judged_by.is_none_or(|r| !matches!(r.state, ReferenceState::Active)) {
            return Ok(Err(NotFresh::Stale));
        }
    }
    Ok(Ok(fresh))
}

/// The open demand of a device; makes one under `entry` where there is none. Ring the device's bell after the transaction.
///
/// # Errors
/// The store's faults.
pub fn demand(
    tx: &mut Tx<'_>,
    app: &App,
    entry: EntryDraft,
    row: Device,
) -> Result<Demand, Problem> {
    let now = tx.now();
    if let Some(open) = tx.get::<Demand>(&row.id)?.filter(|d| d.is_open(now)) {
        return Ok(open);
    }
    let id = DemandId::from_random(&app.random.bytes()?);
    let entry = entry.tenant(row.tenant.as_str()).target(row.id.as_str());
    tx.change(entry, |c| demand_in(c, id, row))
}

/// As [`demand`], under an entry that is being written already; the device has no open demand.
///
/// # Errors
/// The store's faults.
pub fn demand_in(c: &mut Change<'_, '_>, id: DemandId, mut row: Device) -> Result<Demand, Problem> {
    let now = c.now();
    let deadline = now.plus_millis(DEMAND_MILLIS);
    let demand = Demand {
        device: row.id.clone(),
        id,
        made: now,
        deadline,
        answered: None,
    };
    // An earlier demand that was never answered keeps its deadline: a new one does not make the device fresh again.
    row.demand_until = Some(
        row.demand_until
            .map_or(deadline, |earlier| earlier.min(deadline)),
    );
    row.barrier = now;
    nonce::void(c, &nonce_owner(&row.id))?;
    c.put(&demand)?;
    c.update(&row)?;
    Ok(demand)
}

/// The device that a refusal asks for a proof; the frame rings its bell after the commit.
#[must_use]
pub fn asked_by(problem: &Problem) -> Option<&DeviceId> {
    match problem.fault() {
        Fault::Stale { device } | Fault::Unavailable { device } => {
            problem.demand_id().map(|_| device)
        }
        _ => None,
    }
}

/// Whose nonce a device's is.
#[must_use]
pub fn nonce_owner(device: &DeviceId) -> String {
    format!("dpu/{device}")
}
