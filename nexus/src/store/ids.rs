//! Ids as columns.

use assay_api::id::{
    BypassId, ChallengeId, ClaimId, DemandId, DeviceId, GrantId, HostId, InviteId, KeyId, LeaseId,
    OperatorId, ReferenceId, ResultId, SecretId, SshCaId, TenantId,
};

crate::column_text!(
    BypassId,
    ChallengeId,
    ClaimId,
    DemandId,
    DeviceId,
    GrantId,
    HostId,
    InviteId,
    KeyId,
    LeaseId,
    OperatorId,
    ReferenceId,
    ResultId,
    SecretId,
    SshCaId,
    TenantId,
);
