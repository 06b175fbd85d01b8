//! How things stand, for the log, for systemd, and for whoever asks.

use super::Driver;
use crate::boot::Boot;
use crate::cycle::{Call, Status};
use crate::local::{FaultInfo, Report};
use crate::notify;

impl Driver {
    pub(super) fn show(&self, status: &Status, now: Boot) {
        match status {
            Status::Starting => tracing::info!("no proof yet"),
            Status::Verified { until } => {
                tracing::info!(fresh_for = until.since(now).as_secs(), "verified");
            }
            Status::Stale => tracing::warn!("the last proof has run out"),
            Status::Failed { reasons } => tracing::error!(?reasons, "the proof failed"),
            Status::Refused { code } => {
                tracing::error!(code, "the nexus refuses this dpu: what it held is wiped");
            }
        }
        self.say();
    }

    /// One line for systemd.
    fn say(&self) {
        let (state, reasons) = words(self.cycle.status());
        let mut line = format!("{} is {state}", self.identity.name);
        for reason in reasons
            .iter()
            .chain(self.faults.values().map(|(code, _)| code))
        {
            line.push_str(", ");
            line.push_str(reason);
        }
        notify::status(&line);
    }

    pub(super) fn report(&self, now: Boot) -> Report {
        let (state, reasons) = words(self.cycle.status());
        Report {
            state: state.into(),
            reasons,
            fresh_for: self
                .cycle
                .fresh_until()
                .map(|until| until.since(now).as_secs()),
            device: self.identity.device_id.to_string(),
            name: self.identity.name.clone(),
            nexus: self.identity.url.clone(),
            audit_size: self.head.as_ref().map(|head| head.head().size),
            faults: self
                .faults
                .iter()
                .map(|(what, (code, detail))| FaultInfo {
                    what: (*what).to_owned(),
                    code: code.clone(),
                    detail: detail.clone(),
                })
                .collect(),
            warnings: self
                .roots
                .warnings()
                .iter()
                .map(|w| (*w).to_owned())
                .collect(),
            leases: self.vault.list(now),
            hosts: self.hub.list(),
        }
    }

    /// Says it once: a fault that stays the same is not said again.
    pub(super) fn note(&mut self, call: Call, code: &str, detail: &str) {
        let what = name(call);
        let fault = (code.to_owned(), detail.to_owned());
        if self.faults.get(what) != Some(&fault) {
            tracing::warn!(what, code, "{detail}");
            self.faults.insert(what, fault);
        }
        self.say();
    }
}

fn words(status: &Status) -> (&'static str, Vec<String>) {
    match status {
        Status::Starting => ("starting", Vec::new()),
        Status::Verified { .. } => ("verified", Vec::new()),
        Status::Stale => ("stale", Vec::new()),
        Status::Failed { reasons } => ("failed", reasons.clone()),
        Status::Refused { code } => ("refused", vec![code.clone()]),
    }
}

const fn name(call: Call) -> &'static str {
    match call {
        Call::Proof => "proof",
        Call::Wake => "wake",
        Call::Leases => "leases",
        Call::Manifests => "manifests",
        Call::Log => "log",
        Call::Reports => "reports",
    }
}
