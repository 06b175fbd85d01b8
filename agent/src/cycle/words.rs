//! What goes into the round, and what comes out.

use crate::boot::Boot;
use assay_api::id::{HostId, LeaseId};
use std::collections::BTreeSet;

/// What happened. Every effect that asks for something is answered by exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The time asked for by [`Effect::SleepUntil`] has come, or nothing in particular.
    Tick,
    /// The nexus gave a nonce.
    Nonce(Challenge),
    /// The roots of trust have signed.
    EvidenceReady(Vec<u8>),
    /// The roots of trust could not sign.
    SourceFailed {
        /// Stable code.
        code: String,
    },
    /// The nexus judged the evidence.
    Verdict(Judged),
    /// The nexus refused a call.
    Refused {
        /// Which.
        call: Call,
        /// Its stable code.
        code: String,
    },
    /// The nexus could not be asked, or did not answer.
    NexusAway {
        /// Which call.
        call: Call,
    },
    /// The nexus has something to do, or nothing.
    Wake(Errands),
    /// Leases came and lie in the vault.
    LeasesIn {
        /// When they were asked for: their time runs from then.
        sent: Boot,
        /// Which, and for how many milliseconds.
        items: Vec<(LeaseId, u64)>,
        /// Seconds until it makes sense to ask again.
        renew_in: u32,
    },
    /// Manifests were pulled.
    ManifestsIn {
        /// Seconds until it makes sense to ask again.
        renew_in: u32,
    },
    /// The nexus's log was held against the head that this agent keeps.
    Log {
        /// `log.forked`, `log.rolled_back`; `None` where it extends it.
        fault: Option<String>,
    },
    /// A host asks for a newer manifest.
    HostAsks(HostId),
    /// A host has said what it made of a manifest.
    ReportWaits,
    /// The nexus has all reports.
    ReportsSent,
    /// Somebody on this machine says: wipe.
    WipeAsked,
    /// The process is told to end.
    Stop,
}

/// Calls to the nexus that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `new_nonce` or `submit_evidence`.
    Proof,
    /// `wake`.
    Wake,
    /// `pull_leases`.
    Leases,
    /// `agent_hosts`, `pull_manifest`.
    Manifests,
    /// `trust`, `audit_head`, `audit_consistency`.
    Log,
    /// `report_delivery`.
    Reports,
}

/// A nonce and what must be quoted under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// 32 random bytes of the nexus.
    pub nonce: [u8; 32],
    /// PCRs of the SHA-256 bank.
    pub pcrs: Vec<u8>,
}

/// A verdict, as far as the round needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Whether it is `verified`.
    pub verified: bool,
    /// Codes of what is wrong.
    pub reasons: Vec<String>,
    /// When the evidence was sent.
    pub sent: Boot,
    /// Milliseconds that the proof counts from then.
    pub fresh_for: u64,
    /// Milliseconds to the next proof, from then, before jitter.
    pub next_in: u64,
}

/// What the nexus wants done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errands {
    /// Prove now.
    pub attest: bool,
    /// Newer manifests wait for these hosts.
    pub manifests: Vec<HostId>,
    /// Leases wait.
    pub leases: bool,
    /// Wipe everything.
    pub wipe: bool,
    /// Wipe these.
    pub wipe_leases: Vec<LeaseId>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask for a nonce.
    AskNonce,
    /// Have the roots of trust sign.
    Collect(Challenge),
    /// Hand the evidence in.
    Submit(Vec<u8>),
    /// Ask what there is to do, and wait there.
    AskWake,
    /// Pull leases.
    PullLeases,
    /// Pull manifests of these hosts; of every host where empty.
    PullManifests(BTreeSet<HostId>),
    /// Hold the nexus's log against the head that is kept.
    CheckLog,
    /// Pass on what hosts have said.
    SendReports,
    /// Wipe every lease and every key that could open one.
    WipeAll,
    /// Wipe these leases.
    WipeLeases(Vec<LeaseId>),
    /// Say how things stand.
    SetStatus(Status),
    /// Wake this machine at that time at the latest. Stands for all earlier ones.
    SleepUntil(Boot),
    /// End.
    Exit,
}

/// How things stand, for people. No verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No proof yet since the start.
    Starting,
    /// The last proof was good and counts until then.
    Verified {
        /// Its end.
        until: Boot,
    },
    /// The last good proof has run out.
    Stale,
    /// The nexus found the evidence authentic and wrong.
    Failed {
        /// Codes.
        reasons: Vec<String>,
    },
    /// The nexus refuses this device (quarantined, decommissioned, unknown).
    Refused {
        /// Code.
        code: String,
    },
}
