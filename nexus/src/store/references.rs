//! Sets of reference values.

use assay_api::id::{DeviceId, ReferenceId, TenantId};
use assay_attest::time::Timestamp;

use super::devices::Words;

crate::column_enum! {
    /// Whether a set judges.
    pub enum ReferenceState {
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
            /// From whom.
            taken_from: DeviceId,
            /// Ids of the devices that it judges; every device of the tenant where empty.
            applies_to: Words,
        }
        index { tenant, name }
    }
}
