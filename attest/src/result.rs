//! The Attestation Result (RFC 9334, 8.4): the verdict, three statements that are never folded into one rank, and why.

use crate::claims::KeyLevel;
use crate::reference::Component;
use crate::standing::Event;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;

/// The outcome of an appraisal. There is no order between verdicts: they are matched, never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every check passed.
    Verified,
    /// Authentic, and contraindicated by at least one check.
    Failed,
}

impl Verdict {
    /// `verified` or `failed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// What the device's identity is rooted in. The nexus knows: it holds the anchors and the enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RootLevel {
    /// A vendor's root (NVIDIA's device CA, a TPM maker's EK CA).
    Vendor,
    /// The operator's own root.
    Operator,
    /// Trust on first use, confirmed by an admin.
    Tofu,
    /// Nothing.
    None,
}

impl RootLevel {
    /// `vendor`, `operator`, `tofu`, `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Operator => "operator",
            Self::Tofu => "tofu",
            Self::None => "none",
        }
    }
}

/// Whether the operating system is measured, and was found as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuntimeLevel {
    /// Reference values require PCRs that hold the operating system, and they match.
    Measured,
    /// They do not.
    Unmeasured,
}

impl RuntimeLevel {
    /// `measured` or `unmeasured`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Unmeasured => "unmeasured",
        }
    }
}

/// Whether a check passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did.
    Pass,
    /// It did not: the verdict is `failed`.
    Fail,
    /// It did not, and the device goes to quarantine.
    Quarantine,
}

impl Outcome {
    /// `pass`, `fail`, `quarantine`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Quarantine => "quarantine",
        }
    }
}

/// One check, for people and machines: what was looked at, what was due, what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name: `appraisal.component`, `appraisal.key` and so on.
    pub code: &'static str,
    /// The component, where the check is about one.
    pub component: Option<Component>,
    /// What would have passed.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// A tier of AR4SI (draft-ietf-rats-ar4si). Matched, never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Nothing can be said.
    None,
    /// Trust is supported.
    Affirming,
    /// Trust is in doubt.
    Warning,
    /// Trust is contradicted.
    Contraindicated,
}

impl Tier {
    /// `none`, `affirming`, `warning`, `contraindicated`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// Its number: the least value of its range (draft-ietf-rats-ear, 3.2).
    #[must_use]
    pub const fn value(self) -> i8 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The tier of a claim's value (AR4SI, 2.3.2).
    #[must_use]
    pub const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            -32..=-2 | 2..=31 => Self::Affirming,
            -96..=-33 | 32..=95 => Self::Warning,
            i8::MIN..=-97 | 96..=i8::MAX => Self::Contraindicated,
        }
    }

    /// The overall status of several: the worst that any of them says.
    #[must_use]
    pub fn overall(tiers: &[Self]) -> Self {
        let any = |tier| tiers.contains(&tier);
        match (
            any(Self::Contraindicated),
            any(Self::Warning),
            any(Self::Affirming),
        ) {
            (true, _, _) => Self::Contraindicated,
            (false, true, _) => Self::Warning,
            (false, false, true) => Self::Affirming,
            (false, false, false) => Self::None,
        }
    }
}

/// The trustworthiness vector of AR4SI; 0 is no claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrustVector {
    /// instance-identity: 2 trustworthy instance, 96 untrustworthy instance.
    pub instance_identity: i8,
    /// configuration: 2 approved, 96 unacceptable.
    pub configuration: i8,
    /// executables: 3 approved at boot, 96 contraindicated.
    pub executables: i8,
    /// file-system.
    pub file_system: i8,
    /// hardware: 2 genuine.
    pub hardware: i8,
    /// runtime-opaque.
    pub runtime_opaque: i8,
    /// storage-opaque.
    pub storage_opaque: i8,
    /// sourced-data.
    pub sourced_data: i8,
}

impl TrustVector {
    /// Name and value of each claim, in the order of AR4SI.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, i8); 8] {
        [
            ("instance-identity", self.instance_identity),
            ("configuration", self.configuration),
            ("executables", self.executables),
            ("file-system", self.file_system),
            ("hardware", self.hardware),
            ("runtime-opaque", self.runtime_opaque),
            ("storage-opaque", self.storage_opaque),
            ("sourced-data", self.sourced_data),
        ]
    }

    /// The worst of its claims.
    #[must_use]
    pub fn tier(&self) -> Tier {
        Tier::overall(&self.named().map(|(_, value)| Tier::of(value)))
    }
}

/// The vector of one part of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// `device`, `tpm`, `erot`, `irot`, `accel.0` and so on.
    pub name: &'static str,
    /// Its claims.
    pub vector: TrustVector,
}

/// A named, versioned document that an appraisal rested on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rested {
    /// Its name.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its canonical bytes.
    pub digest: [u8; 32],
}

/// What an appraisal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    pub(crate) root: RootLevel,
    pub(crate) key: KeyLevel,
    pub(crate) runtime: RuntimeLevel,
    pub(crate) submodules: Vec<Submodule>,
    pub(crate) checks: Vec<Check>,
    pub(crate) evidence: [u8; 32],
    pub(crate) reference: Option<Rested>,
    pub(crate) policy: Rested,
    pub(crate) ends: Timestamp,
}

impl AttestationResult {
    /// Verified where every check passed, and there was one.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let pass = |check: &Check| match check.outcome {
            Outcome::Pass => true,
            Outcome::Fail | Outcome::Quarantine => false,
        };
        if !self.checks.is_empty() && self.checks.iter().all(pass) {
            Verdict::Verified
        } else {
            Verdict::Failed
        }
    }

    /// What happens to the device's standing.
    #[must_use]
    pub fn event(&self) -> Event {
        let quarantines = self
            .checks
            .iter()
            .any(|check| matches!(check.outcome, Outcome::Quarantine));
        match self.verdict() {
            Verdict::Verified => Event::ProofVerified,
            Verdict::Failed if quarantines => Event::Quarantine,
            Verdict::Failed => Event::ProofFailed,
        }
    }

    /// What the identity is rooted in.
    #[must_use]
    pub const fn root(&self) -> RootLevel {
        self.root
    }

    /// How the request key is held.
    #[must_use]
    pub const fn key(&self) -> KeyLevel {
        self.key
    }

    /// Whether the operating system is measured.
    #[must_use]
    pub const fn runtime(&self) -> RuntimeLevel {
        self.runtime
    }

    /// The vectors.
    #[must_use]
    pub fn submodules(&self) -> &[Submodule] {
        &self.submodules
    }

    /// Every check, passed ones too.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// SHA-256 of the evidence.
    #[must_use]
    pub const fn evidence_digest(&self) -> &[u8; 32] {
        &self.evidence
    }

    /// The reference values, where there were any.
    #[must_use]
    pub const fn reference(&self) -> Option<&Rested> {
        self.reference.as_ref()
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Rested {
        &self.policy
    }

    /// The earliest end of what the verdict rests on: the bound for `fresh_until`.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The overall status (AR4SI).
    #[must_use]
    pub fn tier(&self) -> Tier {
        Tier::overall(
            &self
                .submodules
                .iter()
                .map(|submodule| submodule.vector.tier())
                .collect::<Vec<_>>(),
        )
    }
}
