//! SSH CAs, certificates, the client's trust.

use super::basic::{B64, Time};
use crate::id::{BypassId, DeviceId, HostId, OperatorId, SshCaId, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Create an SSH CA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshCaCreate {
    /// Tenant id or name; the caller's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Name in the tenant: 1 to 63 characters of a-z, 0-9 and `-`.
    pub name: String,
}

/// A public key of an SSH CA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SshCaKey {
    /// `user` or `host`.
    pub purpose: String,
    /// `prepared` (trusted, does not sign), `active` (trusted, signs), `outgoing` (trusted, signs no more) or `retired`.
    pub state: String,
    /// OpenSSH public key line.
    pub public_key: String,
    /// `SHA256:...` as ssh-keygen prints it.
    pub fingerprint: String,
}

/// An SSH CA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SshCa {
    /// Id.
    pub id: SshCaId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Name in the tenant.
    pub name: String,
    /// Keys, newest first.
    pub keys: Vec<SshCaKey>,
    /// Since when.
    pub created_at: Time,
}

/// A step of rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationStep {
    /// Make the successor and have it trusted everywhere; it does not sign yet.
    Prepare,
    /// The successor signs; the predecessor stays trusted.
    Activate,
    /// The predecessor is trusted no more.
    Retire,
}

/// Rotate an SSH CA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshCaRotate {
    /// The step. Each needs the one before.
    pub step: RotationStep,
    /// For `retire`, by a super:admin: why the predecessor goes at once, though hosts don't have its successor yet or
    /// certificates of it still run. 1 to 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<String>,
}

/// The ssh client's side of trust.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SshTrust {
    /// Lines for known_hosts: `@cert-authority PATTERN KEY`.
    pub known_hosts: Vec<String>,
    /// KRL of revoked host certificates and keys, for `RevokedHostKeys`.
    pub revoked_host_keys: B64,
    /// Ask again after this many seconds.
    pub refresh_in: u32,
}

/// Sign a user certificate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateAsk {
    /// OpenSSH public key line (Ed25519, ECDSA P-256).
    pub public_key: String,
    /// Hosts (ids or names), 1 to 16: each must stand behind a fresh DPU.
    pub hosts: Vec<String>,
    /// Logins, 1 to 16.
    pub logins: Vec<String>,
    /// Seconds; at most 8 hours. The most that is allowed where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u32>,
    /// The same key gets the same certificate: 16 to 64 characters of a-z, 0-9.
    pub idempotency_key: String,
}

/// A signed certificate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// What is known of it.
    pub info: CertificateInfo,
    /// OpenSSH certificate line.
    pub certificate: String,
    /// Set where a bypass let it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass_id: Option<BypassId>,
}

/// What is known of a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CertificateInfo {
    /// Id: CA id, `.`, serial in decimal.
    pub id: String,
    /// Tenant.
    pub tenant_id: TenantId,
    /// SSH CA.
    pub ssh_ca_id: SshCaId,
    /// Serial, unique in the CA.
    pub serial: u64,
    /// `user` or `host`.
    pub kind: String,
    /// Key id as the certificate states it.
    pub key_id: String,
    /// Principals.
    pub principals: Vec<String>,
    /// Hosts it opens, or the host it names.
    pub hosts: Vec<HostId>,
    /// Who asked; absent for host certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// The device in front of the host, for host certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// From when.
    pub valid_after: Time,
    /// Until when.
    pub valid_before: Time,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_reason: Option<String>,
}

/// Push or withdraw an SSH CA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushAsk {
    /// SSH CA id or name.
    pub ssh_ca: String,
}

/// A push: the manifests that carry it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Pushed {
    /// Each host behind the DPU with the sequence of its manifest; `show_host` tells when it is installed.
    pub manifests: Vec<PushedManifest>,
    /// Set where a bypass let it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass_id: Option<BypassId>,
}

/// A host and the sequence of its manifest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PushedManifest {
    /// The host.
    pub host_id: HostId,
    /// The sequence to wait for.
    pub sequence: u64,
}
