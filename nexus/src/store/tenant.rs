//! Tenants: the example of a row that decides trust.

use assay_attest::time::Timestamp;

crate::column_enum! {
    /// Whether anything of a tenant still counts.
    pub enum TenantState {
        /// It does.
        Active = "active",
        /// It does not; the row stays.
        Removed = "removed",
    }
}

crate::trust_row! {
    /// A tenant: whose devices, people and policies stand apart from all others'.
    pub struct Tenant in "tenant" {
        key {
            /// Made by the nexus, never reused.
            id: String,
        }
        columns {
            /// What people call it; unique.
            name: String,
            /// Whether it counts.
            state: TenantState,
            /// Since when.
            created: Timestamp,
        }
        index { name }
    }
}
