//! What an operation is given, and the only ways in which it may answer.
//!
//! # The contract
//! A row of the route table is one function of the same name: `async fn show_dpu(ctx: Ctx, ask: Empty) -> Result<Shown<Dpu>, Problem>`.
//!
//! - A `read` answers [`Shown`], which only [`Ctx::read`] and [`Ctx::read_long`] make.
//! - A `change` or `release` answers [`Changed`], which only [`Ctx::change`], [`Ctx::settle`] and [`Ctx::revoke`] make.
//!
//! Each of them does, in one transaction (for reads: on one snapshot) and in this order:
//!
//! 1. the replay row of the proof (thumbprint, jti) is inserted: a second use is `auth.failed` (I3),
//! 2. key, person or device, and tenant are read again: who was suspended a moment ago is refused now (I5),
//! 3. the target is found in the store, within the caller's tenant: absent and another's are both 404 (I11),
//! 4. Cedar decides with entities from the store (I6),
//! 5. the deed runs, with [`Act`]: what it changes commits with its audit entry (`tx.change(act.entry(), ..)`), or not at all.
//!
//! Where the deed refuses, all that it did is undone; the replay row and an audit entry of the denial stay. A deed whose
//! refusal must leave something behind (a counted rejection, a demand) goes through [`Ctx::settle`] and returns
//! [`Settled::Refused`]. What takes trust away goes through [`Ctx::revoke`]: it passes on a full disk, and so may run twice.
//!
//! The deed runs on the store's one writing thread: verify signatures and evidence before, not inside; inside, compare what was
//! verified with the rows. `now` is [`Act::now`]: the transaction's time, never before the log's last entry. A release also asks
//! `tx.clock()?`. After the commit ring [`WakeHub`](crate::wake::WakeHub).
//!
//! ```ignore
//! pub(crate) async fn confirm_dpu(ctx: Ctx, ask: Reason) -> Result<Changed<Dpu>, Problem> {
//!     let reason = reason(&ask.reason)?;
//!     ctx.change(Target::Route, move |tx, act| {
//!         let mut row: DeviceRow = tx.get(&*act.target.id)?.ok_or(Fault::NotFound { what: "dpu" })?;
//!         row.lifecycle = Lifecycle::Active;
//!         tx.change(act.entry().reason(reason), |c| c.update(&row))?;
//!         Ok(shown(&row))
//!     })
//!     .await
//! }
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use assay_api::routes::{Does, Route};
use assay_attest::time::Timestamp;

use super::caller::Caller;
use super::grants;
use super::target::{Found, Target};
use crate::app::App;
use crate::http::replay::SeenProof;
use crate::policy::Question;
use crate::problem::{Fault, Problem};
use crate::store::{EntryDraft, Reader, Rows, StoreFault, Tx, Writes};

/// One request, after the gate. Cheap enough to clone into a deed.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// Everything else.
    pub app: Arc<App>,
    /// Who asks, as of the gate. Inside a deed use [`Act::caller`].
    pub caller: Caller,
    /// The row.
    pub route: &'static Route,
    /// The `{id}` of the path, as sent: an id or a name, of characters that need no escape, at most 128.
    pub path_id: Option<String>,
    /// Name of this request in logs and audit.
    pub request: String,
    /// Where it came from.
    pub client: IpAddr,
    /// The reason in `X-Force-Bypass`, covered by the proof: 10 to 512 characters, from a super:admin, on a release.
    pub bypass: Option<String>,
    /// The time that was read at the gate.
    pub now: Timestamp,
    /// What must not be seen twice.
    pub(crate) proof: Option<SeenProof>,
}

/// What a deed is told.
#[derive(Debug)]
pub struct Act<'a> {
    /// The request.
    pub ctx: &'a Ctx,
    /// The caller, as the store has it in this transaction.
    pub caller: Caller,
    /// What it is about, as the store has it in this transaction. The caller may do this to it.
    pub target: Found,
    /// The time of this transaction.
    pub now: Timestamp,
}

impl Act<'_> {
    /// The audit entry of this deed: event of the row, caller, tenant, target, request and address are filled in.
    #[must_use]
    pub fn entry(&self) -> EntryDraft {
        self.ctx.entry(&self.caller, Some(&self.target))
    }
}

/// The answer of a change, which is on disk together with its audit entry.
#[derive(Debug)]
pub struct Changed<T>(T);

/// The answer of a read by a caller that policy allowed it to.
#[derive(Debug)]
pub struct Shown<T>(T);

impl<T> Changed<T> {
    /// The answer, made out of what was committed.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Changed<U> {
        Changed(f(self.0))
    }

    /// The answer.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Shown<T> {
    /// The answer, made out of what was read.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Shown<U> {
        Shown(f(self.0))
    }

    /// The answer.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// How a deed ended whose refusal leaves something behind.
#[derive(Debug)]
pub enum Settled<T> {
    /// As asked.
    Done(T),
    /// Refused; what the deed wrote stays, its audit entries included. The frame adds none.
    Refused(Problem),
}

impl Ctx {
    /// Changes something. See the module's page.
    ///
    /// # Errors
    /// The deed's refusal and everything that comes before it.
    pub async fn change<T, F>(&self, target: Target, deed: F) -> Result<Changed<T>, Problem>
    where
        F: FnOnce(&mut Tx<'_>, &Act<'_>) -> Result<T, Problem> + Send + 'static,
        T: Send + 'static,
    {
        self.settle(target, |tx, act| deed(tx, act).map(Settled::Done))
            .await
    }

    /// As [`Ctx::change`], for a deed that may refuse and leave something behind.
    ///
    /// # Errors
    /// As [`Ctx::change`].
    pub async fn settle<T, F>(&self, target: Target, deed: F) -> Result<Changed<T>, Problem>
    where
        F: FnOnce(&mut Tx<'_>, &Act<'_>) -> Result<Settled<T>, Problem> + Send + 'static,
        T: Send + 'static,
    {
        let ctx = self.clone();
        let done = self
            .app
            .store
            .write(move |tx| ctx.run(tx, &target, deed))
            .await?;
        self.end(done)
    }

    /// Takes trust away: passes on a full disk. The deed may run twice; the first run is undone then.
    ///
    /// # Errors
    /// As [`Ctx::change`].
    pub async fn revoke<T, F>(&self, target: Target, mut deed: F) -> Result<Changed<T>, Problem>
    where
        F: FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, Problem> + Send + 'static,
        T: Send + 'static,
    {
        let ctx = self.clone();
        let done = self
            .app
            .store
            .write_reserved(move |tx| {
                ctx.run(tx, &target, |tx, act| deed(tx, act).map(Settled::Done))
            })
            .await?;
        self.end(done)
    }

    /// Reads, on this thread: points and short lists. The question may be asked twice.
    ///
    /// # Errors
    /// The question's refusal and everything that comes before it.
    pub async fn read<T, F>(&self, target: Target, question: F) -> Result<Shown<T>, Problem>
    where
        F: Fn(&Reader<'_>, &Act<'_>) -> Result<T, Problem>,
    {
        let asked = self
            .app
            .store
            .read_now(|rows| self.ask(rows, &target, &question));
        self.told(asked).await
    }

    /// As [`Ctx::read`], off the request threads: long lists.
    ///
    /// # Errors
    /// As [`Ctx::read`].
    pub async fn read_long<T, F>(&self, target: Target, question: F) -> Result<Shown<T>, Problem>
    where
        F: Fn(&Reader<'_>, &Act<'_>) -> Result<T, Problem> + Send + 'static,
        T: Send + 'static,
    {
        let ctx = self.clone();
        let asked = self
            .app
            .store
            .read(move |rows| ctx.ask(rows, &target, &question))
            .await;
        self.told(asked).await
    }

    /// An audit entry about this request.
    #[must_use]
    pub fn entry(&self, caller: &Caller, target: Option<&Found>) -> EntryDraft {
        let event = if self.route.event.is_empty() {
            self.route.name
        } else {
            self.route.event
        };
        let mut entry = EntryDraft::new(event, caller.actor())
            .request(self.request.clone())
            .client(self.client.to_string());
        entry.tenant = target
            .and_then(|t| t.tenant.as_ref())
            .or(caller.tenant())
            .map(ToString::to_string);
        entry.target = target
            .filter(|t| t.id != "*" && t.id != "nexus")
            .map(|t| t.id.clone());
        entry
    }

    fn run<T>(
        &self,
        tx: &mut Tx<'_>,
        target: &Target,
        deed: impl FnOnce(&mut Tx<'_>, &Act<'_>) -> Result<Settled<T>, Problem>,
    ) -> Result<Settled<T>, Problem> {
        if let Some(proof) = &self.proof {
            proof.spend(tx)?;
        }
        let caller = self.caller.refresh(tx)?;
        let mut found = None;
        let done = tx.attempt(|tx| {
            let now = tx.now();
            let target = self.permit(tx, &caller, target, now)?;
            found = Some(target.clone());
            deed(
                tx,
                &Act {
                    ctx: self,
                    caller: caller.clone(),
                    target,
                    now,
                },
            )
        });
        match done {
            // Refusals of callers that nobody knows are added up by the gate, and leave nothing behind.
            Err(problem) if problem.is_denial() && !matches!(caller, Caller::NewKey(_)) => {
                tx.audit(self.denial(&caller, found.as_ref(), &problem))?;
                Ok(Settled::Refused(problem))
            }
            done => done,
        }
    }

    fn end<T>(&self, done: Settled<T>) -> Result<Changed<T>, Problem> {
        match done {
            Settled::Done(done) => Ok(Changed(done)),
            Settled::Refused(problem) => {
                if let Some(device) = crate::release::asked_by(&problem) {
                    self.app.wake.ring(device);
                }
                Err(problem)
            }
        }
    }

    fn ask<T>(
        &self,
        rows: &Reader<'_>,
        target: &Target,
        question: &impl Fn(&Reader<'_>, &Act<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let caller = self.caller.refresh(rows)?;
        let now = self.app.store.clock().now();
        let target = self.permit(rows, &caller, target, now)?;
        question(
            rows,
            &Act {
                ctx: self,
                caller,
                target,
                now,
            },
        )
    }

    /// A read that was denied stands in the audit log, too; one that found nothing does not.
    async fn told<T>(&self, asked: Result<T, Problem>) -> Result<Shown<T>, Problem> {
        match asked {
            Ok(told) => Ok(Shown(told)),
            Err(problem) => {
                if matches!(problem.fault().status(), 403)
                    || problem.exact() == "not_found.other_tenant"
                {
                    let entry = self.denial(&self.caller, None, &problem);
                    let written = self.app.store.write(move |tx| tx.audit(entry)).await;
                    if let Err(fault) = written {
                        tracing::error!(
                            code = StoreFault::code(&fault),
                            "a denial could not be logged"
                        );
                    }
                }
                Err(problem)
            }
        }
    }

    fn permit(
        &self,
        rows: &impl Rows,
        caller: &Caller,
        target: &Target,
        now: Timestamp,
    ) -> Result<Found, Problem> {
        let target = target.resolve(rows, caller, self.route.on, self.path_id.as_deref())?;
        let granted = match self.route.does {
            Does::Release => grants::names(rows, caller, &target, now)?,
            Does::Read | Does::Change => false,
        };
        let bypass = self.bypass.is_some();
        if bypass && !caller.is_super() {
            return Err(Fault::BypassForbidden.into());
        }
        self.app.policy.decide(&Question {
            caller,
            route: self.route,
            target: &target,
            bypass,
            granted,
        })?;
        Ok(target)
    }

    fn denial(&self, caller: &Caller, target: Option<&Found>, problem: &Problem) -> EntryDraft {
        let mut entry = self.entry(caller, target).denied(problem.exact());
        if target.is_none()
            && let Some(id) = &self.path_id
        {
            entry = entry.detail("asked", id.clone());
        }
        if let Some(reason) = &self.bypass {
            entry = entry.reason(reason.clone()).detail("bypass", "asked");
        }
        entry
    }
}
