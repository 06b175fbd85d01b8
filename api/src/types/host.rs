//! Pairings, hosts, manifests, delivery.

use super::basic::{B64, Time};
use crate::id::{DeviceId, HostId, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pair a host with a DPU.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostPair {
    /// DPU id or name.
    pub dpu: String,
    /// Name in the tenant: 1 to 63 characters of a-z, 0-9 and `-`.
    pub name: String,
    /// Host-certificate principals (FQDNs), 1 to 16.
    pub principals: Vec<String>,
    /// The request that `assay-host init` printed (COSE_Sign1 by the host key).
    pub request: B64,
}

/// A pairing, signed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostPaired {
    /// The host.
    pub host: Host,
    /// The pairing (COSE_Sign1 by the delivery key), to be taken to the host by hand.
    pub pairing: B64,
}

/// A host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Id.
    pub id: HostId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Name in the tenant.
    pub name: String,
    /// The DPU in front of it.
    pub device_id: DeviceId,
    /// Host-certificate principals.
    pub principals: Vec<String>,
    /// Managed logins.
    pub logins: Vec<String>,
    /// `paired` or `unpaired`.
    pub state: String,
    /// Sequence of the newest manifest.
    pub sequence: u64,
    /// Sequence that the host last reported as installed.
    pub installed: u64,
    /// What the host last reported: `ok`, or a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// When it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Time>,
    /// `verified`, `stale`, ... of the DPU in front of it.
    pub attestation: String,
    /// End of the host certificate in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Time>,
}

/// One host behind the calling device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgentHost {
    /// Id.
    pub host_id: HostId,
    /// The signed pairing.
    pub pairing: B64,
    /// Sequence of the newest manifest; 0 where there is none yet.
    pub sequence: u64,
}

/// The hosts behind the calling device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgentHosts {
    /// Rows.
    pub items: Vec<AgentHost>,
}

/// Pull a manifest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestAsk {
    /// The host.
    pub host_id: HostId,
    /// Sequence that the host has; 0 for none.
    pub have: u64,
}

/// A manifest, or that there is nothing newer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ManifestOut {
    /// The manifest (COSE_Sign1 by the delivery key); absent where `have` is the newest and need not be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<B64>,
    /// When to ask again, in seconds.
    pub renew_in: u32,
}

/// What a host made of a manifest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryReport {
    /// The host.
    pub host_id: HostId,
    /// The manifest's sequence.
    pub sequence: u64,
    /// `ok`, or a stable code of what went wrong.
    pub outcome: String,
    /// In words, at most 512 characters.
    #[serde(default)]
    pub detail: String,
}
