//! Reference Values as signed manifests, and their signers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{B64, Time};
use crate::id::{DeviceId, ReferenceId, TenantId};

/// Take a manifest in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceImport {
    /// Tenant id or name; absent for the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What the set is called: 1 to 63 characters of a-z, 0-9, `-` and `.`.
    pub name: String,
    /// The signed CoRIM, at most 512 KiB.
    pub manifest: B64,
    /// Which part of a device it speaks of: `tpm`, `irot`, `erot`, `accel.<n>`, `named`; absent where its profile says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// DPUs (ids or names) that the set is for; every DPU of the tenant where empty.
    #[serde(default)]
    pub applies_to: Vec<String>,
    /// Components that may be missing.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Components that are not looked at.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// Components that must not be measured.
    #[serde(default)]
    pub forbidden: Vec<String>,
}

/// Put a set in force, or out of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceChange {
    /// How many DPUs that are good now may fail by it.
    #[serde(default)]
    pub accept_failures: u32,
}

/// What a change of the sets in force would do, as the fleet's last evidence says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceImpact {
    /// The set.
    pub reference_id: ReferenceId,
    /// What it would become: `active` or `retired`.
    pub becomes: String,
    /// DPUs whose last evidence was appraised anew.
    pub looked_at: u32,
    /// DPUs that are good now and could not be appraised anew; they count as failing.
    pub not_looked_at: u32,
    /// DPUs that are good now and would fail.
    pub would_fail: u32,
    /// DPUs that have failed and would be good with their next proof.
    pub would_clear: u32,
    /// The first hundred that would fail.
    pub failing: Vec<ReferenceImpactOn>,
    /// The first hundred that would be good.
    pub clearing: Vec<DeviceId>,
}

/// One DPU that would fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceImpactOn {
    /// The DPU.
    pub device_id: DeviceId,
    /// What would fail: `appraisal.component:pcr.sha256.7`.
    pub reasons: Vec<String>,
}

/// Pin who may sign manifests.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSignerPin {
    /// Tenant id or name; absent for the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What the signer is called: 1 to 63 characters of a-z, 0-9, `-` and `.`.
    pub name: String,
    /// `key`, `certificate` (counts while it is valid), or `root` (of the chains that manifests bring).
    pub kind: String,
    /// DER: SubjectPublicKeyInfo of a key, else the certificate.
    pub der: B64,
}

/// Take no more manifests of a signer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSignerRetire {
    /// Tenant id or name; absent for the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The signer.
    pub name: String,
}

/// Who may sign manifests of Reference Values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceSigner {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Name.
    pub name: String,
    /// `key`, `certificate` or `root`.
    pub kind: String,
    /// SHA-256 of what is pinned.
    pub sha256: B64,
    /// `active` or `retired`.
    pub state: String,
    /// Since when.
    pub pinned_at: Time,
}
