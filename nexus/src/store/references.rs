//! Sets of reference values.

use assay_api::id::{DeviceId, ReferenceId, TenantId};
use assay_attest::time::Timestamp;

use super::devices::Words;

crate::column_enum! {
    /// Whether a set judges.
    pub enum ReferenceState {
        /// It was taken in and is not in force.
        Draft = "draft",
        /// It does.
        Active = "active",
        /// A newer version does.
        Retired = "retired",
    }
}

crate::trust_row! {
    /// One version of a set of reference values.
    pub struct Reference in "reference" {
        key {
            /// Its id.
            id: ReferenceId,
        }
        columns {
            /// Whose devices it judges.
            tenant: TenantId,
            /// What the set is called.
            name: String,
            /// Grows with each taking under that name.
            version: u32,
            /// SHA-256 of the body.
            digest: [u8; 32],
            /// The canonical encoding ([`assay_attest::reference`]).
            body: Vec<u8>,
            /// Whether it judges.
            state: ReferenceState,
            /// When it was taken.
            taken: Timestamp,
            /// From whom; `None` where it came as a manifest.
            taken_from: Option<DeviceId>,
            /// Ids of the devices that it judges; every device of the tenant where empty.
            applies_to: Words,
            /// The signed manifest (CoRIM) that it was made of, as it came.
            manifest: Option<Vec<u8>>,
            /// Which pinned signer's it was.
            signer: Option<String>,
        }
        index { tenant, name }
    }
}

crate::column_enum! {
    /// What is pinned of a signer.
    pub enum SignerKind {
        /// A public key.
        Key = "key",
        /// A certificate, while it is valid.
        Certificate = "certificate",
        /// The root of its chain.
        Root = "root",
    }
}

crate::column_enum! {
    /// Whether a signer's manifests are taken.
    pub enum SignerState {
        /// They are.
        Active = "active",
        /// No longer.
        Retired = "retired",
    }
}

crate::trust_row! {
    /// Who may sign manifests of reference values for a tenant.
    pub struct ReferenceSigner in "reference_signer" {
        key {
            /// Whose.
            tenant: TenantId,
            /// What people call it.
            name: String,
        }
        columns {
            /// What is pinned.
            kind: SignerKind,
            /// SubjectPublicKeyInfo of a key, else the certificate; DER.
            der: Vec<u8>,
            /// Whether it counts.
            state: SignerState,
            /// Since when.
            pinned: Timestamp,
        }
        index { tenant }
    }
}
