//! Secrets kept for devices, and force bypasses.

use assay_api::id::{BypassId, DeviceId, SecretId, TenantId};
use assay_attest::time::Timestamp;

crate::column_enum! {
    /// Whether a secret is released.
    pub enum SecretState {
        /// It is, while its device is verified and fresh.
        Active = "active",
        /// It was withdrawn; its bytes are gone.
        Withdrawn = "withdrawn",
    }
}

crate::trust_row! {
    /// An opaque secret for one device.
    pub struct Secret in "secret" {
        key {
            /// Its id.
            id: SecretId,
        }
        columns {
            /// Its tenant.
            tenant: TenantId,
            /// For whom.
            device: DeviceId,
            /// What it is called there.
            name: String,
            /// Grows with each put.
            version: u32,
            /// Whether it is released.
            state: SecretState,
            /// Bytes of the value.
            size: u32,
            /// When it was put.
            put: Timestamp,
            /// The value, sealed at rest; empty once withdrawn.
            sealed: Vec<u8>,
        }
        index { tenant, device }
    }
}

crate::column_enum! {
    /// Whether a bypass may still be used.
    pub enum BypassState {
        /// It was used.
        Used = "used",
    }
}

crate::trust_row! {
    /// A force bypass: who let what go to whom without a fresh proof, and why. It is made and consumed in the transaction of
    /// the release that it lets through, so it can't be used twice.
    pub struct Bypass in "bypass" {
        key {
            /// Its id.
            id: BypassId,
        }
        columns {
            /// The device whose freshness was waived.
            device: DeviceId,
            /// What was released: the name of the route.
            action: String,
            /// By whom.
            actor: String,
            /// Why: 10 to 512 characters.
            reason: String,
            /// When.
            made: Timestamp,
            /// The end of what was released, at the latest.
            expires: Timestamp,
            /// Used.
            state: BypassState,
        }
        index { device }
    }
}
