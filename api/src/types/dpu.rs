//! Claims, enrolment, proofs, DPUs, results, Reference Values, secrets, leases.

use super::basic::{B64, SecretB64, Time, TokenText};
use crate::id::{
    ClaimId, DemandId, DeviceId, HostId, KeyId, LeaseId, ReferenceId, ResultId, SecretId, TenantId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One DPU that shall join.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimItem {
    /// Name in the tenant: 1 to 63 characters of a-z, 0-9, `-` and `.`.
    pub name: String,
    /// Serial number from the inventory: 1 to 64 printable characters.
    pub serial: String,
    /// SHA-256 of the EK's SubjectPublicKeyInfo, from a signed inventory (32 bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek: Option<B64>,
    /// Stable DICE identity: SHA-256 of the SubjectPublicKeyInfo of the device key (32 bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice: Option<B64>,
    /// Re-key this DPU instead of creating one (its id or name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekey: Option<String>,
}

/// Make claims; all or none.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimsCreate {
    /// Tenant id or name; the caller's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// 1 to 500 DPUs.
    pub items: Vec<ClaimItem>,
}

/// A claim with its token: shown once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClaimCreated {
    /// The claim.
    pub claim: Claim,
    /// The token for the agent.
    pub token: TokenText,
}

/// Claims with tokens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClaimsCreated {
    /// In the order of the request.
    pub items: Vec<ClaimCreated>,
}

/// A claim.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Id.
    pub id: ClaimId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// The DPU's name.
    pub name: String,
    /// The DPU's serial number.
    pub serial: String,
    /// Whether the claim names a hardware identity; without one the DPU stays pending until it is confirmed.
    pub identity_known: bool,
    /// `open`, `used` or `expired`.
    pub state: String,
    /// The claim's end, 24 hours on.
    pub expires_at: Time,
}

/// First call of enrolment. The proof carries the request key as `jwk`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolBegin {
    /// The claim token's secret (32 bytes).
    pub secret: SecretB64,
    /// EK as TPMT_PUBLIC (TPM 2.0 Part 2, 12.2.4); absent on a device without a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_public: Option<B64>,
    /// EK certificate (DER), where the TPM has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_certificate: Option<B64>,
    /// AK as TPMT_PUBLIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ak_public: Option<B64>,
    /// Request key as TPMT_PUBLIC, where it lives in the TPM; it must be the proof's `jwk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_key_public: Option<B64>,
}

/// What TPM2_ActivateCredential takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CredentialBlob {
    /// TPM2B_ID_OBJECT, size included.
    pub id_object: B64,
    /// TPM2B_ENCRYPTED_SECRET, size included.
    pub encrypted_secret: B64,
}

/// Answer to the first call of enrolment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnrolChallenge {
    /// The claim: subject of the session.
    pub claim_id: ClaimId,
    /// 32 random bytes.
    pub nonce: B64,
    /// Activation secret for the AK, encrypted to the EK; absent without a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialBlob>,
    /// The nonce's end, five minutes on.
    pub expires_at: Time,
    /// PCRs of the SHA-256 bank that the quote must hold.
    pub pcrs: Vec<u8>,
}

/// Second call of enrolment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolComplete {
    /// The claim.
    pub claim_id: ClaimId,
    /// The claim token's secret once more: only its holder can spend it.
    pub secret: SecretB64,
    /// The Evidence message (COSE_Sign1), session purpose `enrol`; at most 256 KiB.
    pub evidence: B64,
}

/// Answer to the second call of enrolment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Enrolled {
    /// The device.
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The `kid` of later proofs.
    pub key_id: KeyId,
    /// `active` or `pending`.
    pub lifecycle: String,
    /// The first verdict.
    pub verdict: Verdict,
}

/// A nonce for the next proof.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Nonce {
    /// 32 random bytes.
    pub nonce: B64,
    /// Its end, five minutes on.
    pub expires_at: Time,
    /// PCRs of the SHA-256 bank that the quote must hold.
    pub pcrs: Vec<u8>,
}

/// Evidence for the outstanding nonce.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceIn {
    /// The Evidence message (COSE_Sign1), session purpose `attest`; at most 256 KiB.
    pub evidence: B64,
}

/// The verdict on a proof.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The Attestation Result.
    pub result_id: ResultId,
    /// `verified` or `failed`.
    pub verdict: String,
    /// `vendor`, `operator`, `tofu` or `none`.
    pub root: String,
    /// `tpm` or `nonce`.
    pub key: String,
    /// `measured` or `unmeasured`.
    pub runtime: String,
    /// Until when the proof counts.
    pub fresh_until: Time,
    /// Codes of the checks that failed.
    pub reasons: Vec<String>,
    /// When to prove again, in seconds: half of what is left, before jitter.
    pub next_proof_in: u32,
    /// The clock of the nexus.
    pub time: Time,
    /// The signed result (EAR as JWT).
    pub ear: String,
}

/// An Attestation Result with all that it rests on: to be verified again by anybody who has the nexus's result key. See
/// [`crate::bundle`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceBundle {
    /// `assay/bundle/1`.
    pub format: String,
    /// The result.
    pub result: AttestationResultOut,
    /// The Evidence, as it came.
    pub evidence: B64,
    /// The nexus id that the session covers.
    pub nexus_id: B64,
    /// Whom the session names: the device, at enrolment the claim.
    pub subject: String,
    /// `attest` or `enrol`.
    pub purpose: String,
    /// The nonce that was answered, spent.
    pub nonce: B64,
    /// The request key: 32 bytes of Ed25519, or 65 of an uncompressed point of P-256.
    pub request_key: B64,
    /// The activation secret of an enrolment with a TPM, spent; else empty.
    #[serde(default)]
    pub activation: B64,
    /// The pinned AK's name, where the device has a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ak_name: Option<B64>,
    /// SHA-256 of the pinned DICE key, where the device has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice_key: Option<B64>,
    /// The same of the pinned external root of trust (eRoT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erot_key: Option<B64>,
    /// The Reference Values that judged it, in canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_values: Option<B64>,
}

/// One check of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckOut {
    /// Stable code.
    pub code: String,
    /// Component that was checked (`pcr.sha256.7`).
    pub component: String,
    /// `pass`, `fail`, `warning` or `info`.
    pub outcome: String,
    /// What was expected, in hex or words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// An Attestation Result, whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttestationResultOut {
    /// Id.
    pub id: ResultId,
    /// The device.
    pub device_id: DeviceId,
    /// `verified` or `failed`.
    pub verdict: String,
    /// When it was appraised.
    pub appraised_at: Time,
    /// Until when it counts.
    pub fresh_until: Time,
    /// Every check.
    pub checks: Vec<CheckOut>,
    /// SHA-256 of the Evidence.
    pub evidence_digest: B64,
    /// Reference Values that judged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<ReferenceId>,
    /// SHA-256 of those Reference Values in canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_digest: Option<B64>,
    /// SHA-256 of the Appraisal Policy.
    pub policy_digest: B64,
    /// The signed result (EAR as JWT).
    pub ear: String,
    /// The same as CWT (COSE_Sign1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ear_cwt: Option<B64>,
}

/// A DPU.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Dpu {
    /// Id.
    pub id: DeviceId,
    /// Name in the tenant.
    pub name: String,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Serial number.
    pub serial: String,
    /// `pending`, `active` or `decommissioned`.
    pub lifecycle: String,
    /// `unavailable`, `verified`, `failed` or `quarantined`; `stale` where a verified proof has run out.
    pub attestation: String,
    /// Codes of what the last verdict found wrong, and why it is quarantined.
    pub reasons: Vec<String>,
    /// Until when the last proof counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Time>,
    /// The last verdict's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<Time>,
    /// When the device was last heard of at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Time>,
    /// Proofs rejected since the last verdict (garbled or not authentic).
    pub rejected: u32,
    /// Code of the last rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rejection: Option<String>,
    /// `vendor`, `operator`, `tofu` or `none`.
    pub root: String,
    /// `tpm` or `nonce`.
    pub key: String,
    /// `measured` or `unmeasured`.
    pub runtime: String,
    /// Stable DICE identity (32 bytes), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice: Option<B64>,
    /// EK name, where it has a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_name: Option<B64>,
    /// Last result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_id: Option<ResultId>,
    /// Reference Values in force for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<ReferenceId>,
    /// Hosts behind it.
    pub hosts: Vec<HostId>,
    /// What it held when its trust died: certificates, secrets and leases counted as exposed.
    pub exposed: Vec<String>,
}

/// A demand for a proof.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Demand {
    /// Id.
    pub id: DemandId,
    /// The device.
    pub device_id: DeviceId,
    /// `open`, `answered` or `unanswered`.
    pub state: String,
    /// When it was made.
    pub made_at: Time,
    /// Its end.
    pub deadline: Time,
}

/// Ask for something to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WakeAsk {
    /// The `cursor` of the last answer; absent at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Wait at most this many seconds, 0 to 60; 0 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// What there is to do. The agent acts on each; what it then gets is judged anew.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Wake {
    /// To be sent with the next call.
    pub cursor: u64,
    /// An open demand for a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attest_now: Option<DemandId>,
    /// Hosts for which a newer manifest waits.
    pub manifests: Vec<HostId>,
    /// Whether leases wait.
    pub leases: bool,
    /// Wipe every lease now.
    pub wipe: bool,
    /// Leases to wipe (withdrawn secrets).
    pub wipe_leases: Vec<LeaseId>,
}

/// Take Reference Values from a DPU's last proof.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceTake {
    /// DPU id or name: a machine known to be good.
    pub dpu: String,
    /// What the set is called: 1 to 63 characters of a-z, 0-9, `-` and `.`.
    pub name: String,
    /// PCRs of the SHA-256 bank to pin; every quoted one where empty.
    #[serde(default)]
    pub pcrs: Vec<u8>,
    /// DPUs (ids or names) that the set is for; every DPU of the tenant where empty.
    #[serde(default)]
    pub applies_to: Vec<String>,
}

/// One component of a set of Reference Values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceComponent {
    /// Component (`pcr.sha256.7`, `dice.layer.5.fwid`).
    pub name: String,
    /// `required`, `optional` or `forbidden`.
    pub rule: String,
    /// Accepted digests.
    pub digests: Vec<B64>,
    /// The algorithm of each: `sha256`, `sha384`, `sha512`.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// What is accepted beside digests, in words: `svn 3 or later`, `raw:0102/ff00`.
    #[serde(default)]
    pub conditions: Vec<String>,
}

/// A set of Reference Values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Id.
    pub id: ReferenceId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Name.
    pub name: String,
    /// Version: grows with each taking under the same name.
    pub version: u32,
    /// SHA-256 of the canonical form.
    pub digest: B64,
    /// `draft`, `active` or `retired`.
    pub state: String,
    /// When it was taken, taken in or put in force.
    pub taken_at: Time,
    /// The device it was taken from; absent where it came as a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_from: Option<DeviceId>,
    /// The pinned signer of the manifest that it came as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// SHA-256 of that manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<B64>,
    /// When it stops to count; left out in lists, and where it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,
    /// The canonical form; left out in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<B64>,
    /// The devices it is for; every device of the tenant where empty.
    pub applies_to: Vec<DeviceId>,
    /// Components; left out in lists.
    #[serde(default)]
    pub components: Vec<ReferenceComponent>,
}

/// Keep a secret for a DPU.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPut {
    /// DPU id or name.
    pub dpu: String,
    /// Name for the DPU: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`. A second put under one name replaces it.
    pub name: String,
    /// The value, 1 byte to 64 KiB.
    pub value: SecretB64,
}

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// Id.
    pub id: SecretId,
    /// Tenant.
    pub tenant_id: TenantId,
    /// The device it is for.
    pub device_id: DeviceId,
    /// Name.
    pub name: String,
    /// Grows with each put.
    pub version: u32,
    /// `active` or `withdrawn`.
    pub state: String,
    /// Bytes.
    pub size: u32,
    /// When it was put.
    pub put_at: Time,
    /// When it was last released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
}

/// Pull leases.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeasesAsk {
    /// The same key gets the same leases until they are acknowledged or have run out: 16 to 64 characters of a-z, 0-9.
    pub idempotency_key: String,
}

/// A lease: a credential, sealed to the HPKE key of the result it was judged on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// Id.
    pub id: LeaseId,
    /// Kind: `secret`.
    pub kind: String,
    /// Name of what it holds.
    pub name: String,
    /// Version of what it holds.
    pub version: u32,
    /// The result whose HPKE key it is sealed to.
    pub result_id: ResultId,
    /// HPKE encapsulated key and ciphertext; see [`crate::seal`].
    pub sealed: B64,
    /// Its end on the nexus's clock.
    pub expires_at: Time,
    /// Milliseconds it has left, to be counted from the sending of the request on the boot-time clock.
    pub expires_in_ms: u64,
}

/// Leases.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Leases {
    /// Rows.
    pub items: Vec<Lease>,
    /// When to ask again, in seconds.
    pub renew_in: u32,
}
