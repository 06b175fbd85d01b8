//! Tenants, people, keys, grants.

use super::basic::{B64, SecretB64, Time, TokenText};
use crate::id::{
    ChallengeId, DeviceId, GrantId, HostId, InviteId, KeyId, OperatorId, SshCaId, TenantId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PersonRole {
    /// Explicit grants only.
    #[serde(rename = "operator")]
    Operator,
    /// All of one tenant.
    #[serde(rename = "tenant:admin")]
    TenantAdmin,
    /// All tenants, and what is global.
    #[serde(rename = "super:admin")]
    SuperAdmin,
}

impl PersonRole {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::TenantAdmin => "tenant:admin",
            Self::SuperAdmin => "super:admin",
        }
    }

    /// Reads a role.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Operator, Self::TenantAdmin, Self::SuperAdmin]
            .into_iter()
            .find(|r| r.as_str() == text)
    }
}

/// First call of joining. The proof carries the new key as `jwk`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinBegin {
    /// The token's secret (32 bytes). It is sent only over the pinned connection.
    pub secret: SecretB64,
}

/// What to sign: see [`crate::join::challenge_bytes`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinChallenge {
    /// Name of the challenge.
    pub challenge_id: ChallengeId,
    /// 32 random bytes.
    pub challenge: B64,
    /// `bootstrap` or `invite`.
    pub purpose: String,
    /// The challenge's end, five minutes on.
    pub expires_at: Time,
}

/// Second call of joining.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinComplete {
    /// The challenge that is answered.
    pub challenge_id: ChallengeId,
    /// The token's secret once more: only its holder can spend it.
    pub secret: SecretB64,
    /// Signature by the new key over purpose, server, challenge and key.
    pub signature: B64,
    /// The person's name, where the token does not fix it (bootstrap): 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the key is called in lists ("laptop"): 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Who one has become.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// The person.
    pub operator_id: OperatorId,
    /// The `kid` of later proofs.
    pub key_id: KeyId,
    /// Role.
    pub role: PersonRole,
    /// Tenant; absent for a super:admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Name.
    pub name: String,
}

/// The caller.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The person.
    pub operator_id: OperatorId,
    /// The key of this request.
    pub key_id: KeyId,
    /// Role.
    pub role: PersonRole,
    /// Tenant; absent for a super:admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Name.
    pub name: String,
    /// The clock of the nexus.
    pub time: Time,
}

/// Make a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantCreate {
    /// Unique name: 1 to 63 characters of a-z, 0-9 and `-`.
    pub name: String,
}

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tenant {
    /// Id.
    pub id: TenantId,
    /// Unique name.
    pub name: String,
    /// Since when.
    pub created_at: Time,
}

/// Invite a person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteCreate {
    /// Tenant id or name; absent for a super:admin invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The person's name: 1 to 128 characters.
    pub name: String,
    /// Role.
    pub role: PersonRole,
}

/// An invite with its token: shown once, kept by nobody.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InviteCreated {
    /// The invite.
    pub invite: Invite,
    /// The token to hand to the person.
    pub token: TokenText,
}

/// An invite.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Invite {
    /// Id.
    pub id: InviteId,
    /// Tenant; absent for a super:admin invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// The person's name.
    pub name: String,
    /// Role.
    pub role: PersonRole,
    /// `open`, `used` or `expired`.
    pub state: String,
    /// The invite's end, one hour on.
    pub expires_at: Time,
}

/// A key of a person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyInfo {
    /// Id: the `kid`.
    pub id: KeyId,
    /// What it is called.
    pub label: String,
    /// `EdDSA` or `ES256`.
    pub algorithm: String,
    /// RFC 7638 thumbprint (32 bytes).
    pub thumbprint: B64,
    /// `active` or `revoked`.
    pub state: String,
}

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Operator {
    /// Id.
    pub id: OperatorId,
    /// Name.
    pub name: String,
    /// Role.
    pub role: PersonRole,
    /// Tenant; absent for a super:admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// `active` or `suspended`.
    pub state: String,
    /// Keys, revoked ones included.
    pub keys: Vec<KeyInfo>,
}

/// Grant logins on hosts under an SSH CA to an operator. Exactly one of `host` and `dpu`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantCreate {
    /// The person (id).
    pub operator: OperatorId,
    /// SSH CA id or name.
    pub ssh_ca: String,
    /// Host id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// DPU id or name: every host behind it, later ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpu: Option<String>,
    /// Logins, 1 to 16; no wildcard.
    pub logins: Vec<String>,
    /// The grant's end; at most a year away.
    pub expires_at: Time,
}

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Id.
    pub id: GrantId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// The person.
    pub operator_id: OperatorId,
    /// SSH CA.
    pub ssh_ca_id: SshCaId,
    /// Host, where the grant names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// DPU, where the grant is for every host behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpu_id: Option<DeviceId>,
    /// Logins.
    pub logins: Vec<String>,
    /// The grant's end.
    pub expires_at: Time,
    /// `active`, `expired` or `revoked`.
    pub state: String,
}
