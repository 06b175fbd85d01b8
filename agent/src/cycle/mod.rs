//! The agent's round, without a socket, a clock, a TPM or chance: inputs and the time go in, effects come out.
//!
//! It proves at half of what is left of the last proof, pulls what waits, wipes leases at their end, when trust dies and on
//! demand, and backs off when the nexus is away. Only the nexus gives verdicts: nothing here believes the device.

mod lane;
#[cfg(test)]
mod tests;
mod words;

use crate::boot::Boot;
use assay_api::id::{HostId, LeaseId};
use lane::Lane;
use std::collections::{BTreeMap, BTreeSet};
pub use words::{Call, Challenge, Effect, Errands, Input, Judged, Status};

/// The share of the time to the next proof that jitter may take off.
const JITTER_PARTS: u64 = 10;
/// Proofs cost the TPM and the nexus something.
const PROOF_PAUSE_MS: u64 = 2000;
const PAUSE_MS: u64 = 250;

/// The round.
#[derive(Debug)]
pub struct Cycle {
    now: Boot,
    status: Status,
    shown: Option<Status>,
    fresh_until: Option<Boot>,
    /// The log grew out of what this agent has seen. Until that is known, no lease is asked for.
    log_good: bool,
    proof: Lane,
    wake: Lane,
    pull: Lane,
    manifests: Lane,
    log: Lane,
    reports: Lane,
    hosts: BTreeSet<HostId>,
    every_host_at: Boot,
    leases: BTreeMap<LeaseId, Boot>,
    /// Whether the key of the last proof is still there to open leases.
    key: bool,
    /// Leases that are on their way were wiped before they came.
    void_pull: bool,
    /// The key of the proof under way was wiped.
    void_proof: bool,
    stopped: bool,
}

impl Cycle {
    /// At the start: proves, asks what there is to do, and looks for manifests, which need no proof to be withdrawn.
    #[must_use]
    pub fn new(now: Boot) -> Self {
        let mut cycle = Self {
            now,
            status: Status::Starting,
            shown: None,
            fresh_until: None,
            log_good: false,
            proof: Lane::new(PROOF_PAUSE_MS),
            wake: Lane::new(PAUSE_MS),
            pull: Lane::new(PAUSE_MS),
            manifests: Lane::new(PAUSE_MS),
            log: Lane::new(PROOF_PAUSE_MS),
            reports: Lane::new(PAUSE_MS),
            hosts: BTreeSet::new(),
            every_host_at: now,
            leases: BTreeMap::new(),
            key: false,
            void_pull: false,
            void_proof: false,
            stopped: false,
        };
        cycle.proof.want(now);
        cycle.wake.want(now);
        cycle.manifests.want(now);
        cycle
    }

    /// Takes one input. `chance` is a fresh uniform number. Pure: the same inputs at the same times give the same effects.
    pub fn step(&mut self, input: Input, now: Boot, chance: u64) -> Vec<Effect> {
        // The clock does not run backwards; a caller that does must not make a lease live longer.
        self.now = self.now.max(now);
        let mut out = Vec::new();
        if self.stopped {
            return out;
        }
        self.take(input, chance, &mut out);
        if self.stopped {
            return out;
        }
        self.expire(&mut out);
        self.start_what_is_due(&mut out);
        if self.shown.as_ref() != Some(&self.status) {
            self.shown = Some(self.status.clone());
            out.push(Effect::SetStatus(self.status.clone()));
        }
        out.push(Effect::SleepUntil(self.next()));
        out
    }

    /// How things stand.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Whether the last proof was good and still counts.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh_until.is_some_and(|until| self.now < until)
    }

    /// Until when the last good proof counts; no lease ends later.
    #[must_use]
    pub const fn fresh_until(&self) -> Option<Boot> {
        self.fresh_until
    }

    /// Ends of the leases that are held.
    #[must_use]
    pub const fn leases(&self) -> &BTreeMap<LeaseId, Boot> {
        &self.leases
    }

    fn take(&mut self, input: Input, chance: u64, out: &mut Vec<Effect>) {
        let now = self.now;
        match input {
            Input::Tick => {}
            // An answer that nobody waits for is no reason to do anything.
            Input::Nonce(challenge) if self.proof.busy() => out.push(Effect::Collect(challenge)),
            Input::EvidenceReady(bytes) if self.proof.busy() => out.push(Effect::Submit(bytes)),
            Input::Verdict(judged) if self.proof.busy() => self.judged(judged, chance, out),
            Input::Nonce(_) | Input::EvidenceReady(_) | Input::Verdict(_) => {}
            Input::SourceFailed { code: _ } => self.failed(Call::Proof, chance),
            Input::NexusAway { call } => self.failed(call, chance),
            Input::Refused { call, code } => self.refused(call, code, chance, out),
            Input::Wake(errands) => self.woken(errands, out),
            Input::LeasesIn {
                sent,
                items,
                renew_in,
            } => self.leases_in(sent, items, renew_in, out),
            Input::ManifestsIn { renew_in } => {
                self.manifests.done(now);
                self.every_host_at = self.every_host_at.min(now.plus_millis(seconds(renew_in)));
                self.manifests.want(self.every_host_at);
            }
            Input::Log { fault } => {
                self.log.done(now);
                self.log_good = fault.is_none();
                self.pull.want(now);
            }
            Input::HostAsks(host) => {
                self.hosts.insert(host);
                self.manifests.want(now);
            }
            Input::ReportWaits => self.reports.want(now),
            Input::ReportsSent => self.reports.done(now),
            Input::WipeAsked => self.wipe(out),
            Input::Stop => {
                self.stopped = true;
                self.wipe(out);
                out.push(Effect::Exit);
            }
        }
    }

    fn judged(&mut self, judged: Judged, chance: u64, out: &mut Vec<Effect>) {
        // Whatever the verdict: a head that is kept here shows later whether the log was rewritten (I8).
        self.log.try_again(self.now);
        self.log.want(self.now);
        if !judged.verified {
            self.fresh_until = None;
            self.status = Status::Failed {
                reasons: judged.reasons,
            };
            self.wipe(out);
            self.failed(Call::Proof, chance);
            return;
        }
        let until = judged.sent.plus_millis(judged.fresh_for);
        self.proof.done(self.now);
        // Early by a jitter, so that a fleet started together does not prove together. Never after half.
        let next = judged.next_in.min(judged.fresh_for / 2);
        let early = (next / JITTER_PARTS)
            .checked_add(1)
            .map_or(0, |parts| chance % parts);
        self.proof
            .want(judged.sent.plus_millis(next.saturating_sub(early)));
        self.fresh_until = Some(until);
        self.status = Status::Verified { until };
        self.key = !std::mem::take(&mut self.void_proof);
        if !self.key {
            self.proof.want(self.now);
        }
        // What the gate held back while the proof was old may be had now.
        self.pull.try_again(self.now);
        self.pull.want(self.now);
        self.manifests.try_again(self.now);
    }

    fn refused(&mut self, call: Call, code: String, chance: u64, out: &mut Vec<Effect>) {
        self.failed(call, chance);
        match class(&code) {
            Class::TrustDied => {
                self.fresh_until = None;
                self.status = Status::Refused { code };
                self.wipe(out);
            }
            Class::ProveAgain => {
                self.fresh_until = None;
                if matches!(self.status, Status::Verified { .. }) {
                    self.status = Status::Stale;
                }
                self.proof.want(self.now);
            }
            Class::Other => {}
        }
    }

    fn failed(&mut self, call: Call, chance: u64) {
        let now = self.now;
        self.lane(call).failed(now, chance);
        match call {
            Call::Manifests => self.every_host_at = now,
            Call::Leases => self.void_pull = false,
            Call::Proof => self.void_proof = false,
            Call::Wake | Call::Log | Call::Reports => {}
        }
    }

    fn woken(&mut self, errands: Errands, out: &mut Vec<Effect>) {
        let now = self.now;
        if self.wake.failures() > 0 {
            // The nexus is back, and this call had its jitter: the others need not wait out theirs.
            self.proof.try_again(now);
            self.pull.try_again(now);
            self.manifests.try_again(now);
            self.log.try_again(now);
            self.reports.try_again(now);
        }
        self.wake.done(now);
        self.wake.want(now);
        if errands.wipe {
            self.wipe(out);
        }
        let gone: Vec<LeaseId> = errands
            .wipe_leases
            .into_iter()
            .filter(|lease| self.leases.remove(lease).is_some())
            .collect();
        if !gone.is_empty() {
            out.push(Effect::WipeLeases(gone));
        }
        if errands.attest || (errands.leases && !(self.is_fresh() && self.key)) {
            self.proof.want(now);
        }
        if errands.leases {
            self.pull.try_again(now);
            self.pull.want(now);
        }
        if !errands.manifests.is_empty() {
            self.hosts.extend(errands.manifests);
            self.manifests.try_again(now);
            self.manifests.want(now);
        }
    }

    fn leases_in(
        &mut self,
        sent: Boot,
        items: Vec<(LeaseId, u64)>,
        renew_in: u32,
        out: &mut Vec<Effect>,
    ) {
        self.pull.done(self.now);
        if std::mem::take(&mut self.void_pull) {
            let gone = items.into_iter().map(|(lease, _)| lease).collect();
            out.push(Effect::WipeLeases(gone));
            return;
        }
        // No lease outlives the proof that earned it, whatever its own time says.
        let until = self.fresh_until.unwrap_or(self.now);
        for (lease, millis) in items {
            self.leases
                .insert(lease, sent.plus_millis(millis).min(until));
        }
        self.pull.want(self.now.plus_millis(seconds(renew_in)));
    }

    fn expire(&mut self, out: &mut Vec<Effect>) {
        let now = self.now;
        if self.fresh_until.is_some_and(|until| until <= now) {
            self.fresh_until = None;
            if matches!(self.status, Status::Verified { .. }) {
                self.status = Status::Stale;
            }
            self.proof.want(now);
        }
        let gone: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, end)| **end <= now)
            .map(|(lease, _)| lease.clone())
            .collect();
        for lease in &gone {
            self.leases.remove(lease);
        }
        if !gone.is_empty() {
            out.push(Effect::WipeLeases(gone));
        }
    }

    fn start_what_is_due(&mut self, out: &mut Vec<Effect>) {
        let now = self.now;
        if self.proof.start(now) {
            out.push(Effect::AskNonce);
        }
        if self.wake.start(now) {
            out.push(Effect::AskWake);
        }
        if self.log.start(now) {
            out.push(Effect::CheckLog);
        }
        if self.reports.start(now) {
            out.push(Effect::SendReports);
        }
        // A wish that may not be had now is not kept: what makes it possible brings it back.
        if !self.may_pull() {
            self.pull.drop_wish();
        }
        if self.pull.start(now) {
            out.push(Effect::PullLeases);
        }
        if self.manifests.start(now) {
            let mut hosts = std::mem::take(&mut self.hosts);
            if self.every_host_at <= now {
                self.every_host_at = Boot::NEVER;
                hosts.clear();
            }
            out.push(Effect::PullManifests(hosts));
        }
    }

    fn may_pull(&self) -> bool {
        self.is_fresh() && self.key && self.log_good
    }

    fn wipe(&mut self, out: &mut Vec<Effect>) {
        self.leases.clear();
        self.key = false;
        self.void_pull = self.pull.busy();
        self.void_proof = self.proof.busy();
        out.push(Effect::WipeAll);
    }

    fn next(&self) -> Boot {
        [
            &self.proof,
            &self.wake,
            &self.pull,
            &self.manifests,
            &self.log,
            &self.reports,
        ]
        .into_iter()
        .filter_map(Lane::next)
        .chain(self.leases.values().copied())
        .chain(self.fresh_until)
        .min()
        .unwrap_or(Boot::NEVER)
    }

    const fn lane(&mut self, call: Call) -> &mut Lane {
        match call {
            Call::Proof => &mut self.proof,
            Call::Wake => &mut self.wake,
            Call::Leases => &mut self.pull,
            Call::Manifests => &mut self.manifests,
            Call::Log => &mut self.log,
            Call::Reports => &mut self.reports,
        }
    }
}

enum Class {
    /// This device gets nothing any more: what it holds goes.
    TrustDied,
    /// Its proof is too old.
    ProveAgain,
    /// Anything else: try again later; leases run out by themselves.
    Other,
}

fn class(code: &str) -> Class {
    match code {
        "attestation.failed" | "attestation.quarantined" | "auth.failed" | "dpu.decommissioned" => {
            Class::TrustDied
        }
        "attestation.stale" | "attestation.unavailable" => Class::ProveAgain,
        _ => Class::Other,
    }
}

fn seconds(count: u32) -> u64 {
    u64::from(count).saturating_mul(1000)
}
