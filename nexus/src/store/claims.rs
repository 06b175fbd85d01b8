//! Claims, and enrolments between their two calls.

use assay_api::id::{ClaimId, DeviceId, OperatorId, TenantId};
use assay_attest::time::Timestamp;

use super::devices::RootLevel;

crate::trust_row! {
    /// The right of one DPU to enrol, or to re-key.
    pub struct Claim in "claim" {
        key {
            /// Its id: the subject of the enrolment's session.
            id: ClaimId,
        }
        columns {
            /// Where the device will belong.
            tenant: TenantId,
            /// What it will be called.
            name: String,
            /// Its serial number, from the inventory.
            serial: String,
            /// SHA-256 of the EK's SubjectPublicKeyInfo, where the inventory knows it.
            ek: Option<[u8; 32]>,
            /// Its stable DICE identity, where the inventory knows it.
            dice: Option<[u8; 32]>,
            /// The device that shall get a new key, instead of a new device.
            rekey: Option<DeviceId>,
            /// The token's id; its hash, its end and whether it was used stand in `token`.
            token: [u8; 16],
            /// Who made it; absent for claims from before that was kept.
            by: Option<OperatorId>,
        }
        index { tenant, token, by }
    }
}

crate::trust_row! {
    /// The first call of an enrolment, waiting for its second. A new first call replaces it. Its nonce is the claim's in `nonce`.
    pub struct Enrolment in "enrolment" {
        key {
            /// The claim.
            claim: ClaimId,
        }
        columns {
            /// Thumbprint of the request key.
            thumbprint: [u8; 32],
            /// Name of the EK that was challenged.
            ek_name: Option<Vec<u8>>,
            /// SHA-256 of its SubjectPublicKeyInfo.
            ek_spki: Option<[u8; 32]>,
            /// What stands behind its certificate; `tofu` where it has none that chains to a pinned root.
            ek_root: RootLevel,
            /// The end of that chain.
            ek_ends: Option<Timestamp>,
            /// Name of the AK that was challenged.
            ak_name: Option<Vec<u8>>,
            /// The activation secret, sealed at rest; empty once spent.
            activation: Vec<u8>,
        }
        index {}
    }
}
