//! The nexus's signing keys: sealed at rest, made and retired in steps.

use assay_attest::time::Timestamp;

crate::column_enum! {
    /// Where a signing key is in its life. Each purpose has at most one that is prepared and one that is active.
    pub enum KeyState {
        /// Published, so that everybody knows it before it signs.
        Prepared = "prepared",
        /// Signs.
        Active = "active",
        /// Signs no more; what it signed still counts.
        Retiring = "retiring",
        /// Counts no more. The row stays; its private half is gone.
        Retired = "retired",
    }
}

crate::column_enum! {
    /// What a key signs with, as stored.
    pub enum KeyAlgorithm {
        /// Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// ECDSA on P-256 with SHA-256.
        P256 = "p256",
    }
}

crate::trust_row! {
    /// A signing key.
    pub struct SigningKey in "signing_key" {
        key {
            /// The tenant; empty for what is global.
            tenant: String,
            /// What it signs, as `purpose` of a table of the caller: `delivery`, `result`, `ssh-user/<ca id>`.
            purpose: String,
            /// Counted from 1 for each tenant and purpose.
            version: u64,
        }
        columns {
            /// What it signs with.
            algorithm: KeyAlgorithm,
            /// Where it is in its life.
            state: KeyState,
            /// The public half: 32 bytes, or the uncompressed point of 65.
            public: Vec<u8>,
            /// The private half, PKCS#8, sealed; empty once retired.
            sealed: Vec<u8>,
            /// When it was made.
            created: Timestamp,
        }
        index { purpose }
    }
}
