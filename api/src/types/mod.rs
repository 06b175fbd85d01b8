//! Requests and answers, as JSON. Requests refuse members that they don't know; answers may grow.

mod audit;
mod basic;
mod dpu;
mod host;
mod people;
mod reference;
mod ssh;

pub use audit::*;
pub use basic::*;
pub use dpu::*;
pub use host::*;
pub use people::*;
pub use reference::*;
pub use ssh::*;

/// A list: its rows and where the next page starts.
macro_rules! list {
    ($($(#[$doc:meta])* $name:ident of $row:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $name {
            /// Rows.
            pub items: Vec<$row>,
            /// Where the next page starts; absent on the last.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub next: Option<String>,
        }
    )* };
}

list! {
    /// Tenants.
    Tenants of Tenant;
    /// Invites.
    Invites of Invite;
    /// People.
    Operators of Operator;
    /// Grants.
    Grants of Grant;
    /// Claims.
    Claims of Claim;
    /// DPUs.
    Dpus of Dpu;
    /// Sets of Reference Values, without their components.
    References of Reference;
    /// Signers of Reference Values.
    ReferenceSigners of ReferenceSigner;
    /// Secrets, without their values.
    Secrets of Secret;
    /// Hosts.
    Hosts of Host;
    /// SSH CAs.
    SshCas of SshCa;
    /// Certificates.
    Certificates of CertificateInfo;
}
