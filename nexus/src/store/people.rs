//! People: operators, their keys, invites, grants, and the door that the first admin comes through.

use assay_api::id::{DeviceId, GrantId, HostId, InviteId, KeyId, OperatorId, SshCaId, TenantId};
use assay_api::jose::Jwk;
use assay_api::types::PersonRole;
use assay_attest::time::Timestamp;

use super::column::{Cell, Column};

impl Column for PersonRole {
    const SQL: &'static str = "TEXT";

    fn cell(&self) -> Cell<'_> {
        Cell::Text(self.as_str())
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Text(text) = cell {
            Self::parse(text)
        } else {
            None
        }
    }
}

crate::column_enum! {
    /// Whether a person may ask for anything.
    pub enum OperatorState {
        /// They may.
        Active = "active",
        /// Not now; all keys stand still.
        Suspended = "suspended",
    }
}

crate::trust_row! {
    /// A person.
    pub struct OperatorRow in "operator" {
        key {
            /// Made by the nexus.
            id: OperatorId,
        }
        columns {
            /// What people call them.
            name: String,
            /// What they may do.
            role: PersonRole,
            /// Where; `None` for a super:admin and only for them.
            tenant: Option<TenantId>,
            /// Whether they may do it now.
            state: OperatorState,
            /// Since when.
            created: Timestamp,
        }
        index { tenant, role }
    }
}

crate::column_enum! {
    /// Whether a key still signs for its person.
    pub enum KeyState {
        /// It does.
        Active = "active",
        /// It does not, for good.
        Revoked = "revoked",
    }
}

crate::column_enum! {
    /// The kind of a request key.
    pub enum RequestAlgorithm {
        /// Ed25519; the public half is 32 bytes.
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256; the public half is the uncompressed point, 65 bytes.
        Es256 = "ES256",
    }
}

crate::trust_row! {
    /// A request key of a person.
    pub struct OperatorKey in "operator_key" {
        key {
            /// The `kid`.
            id: KeyId,
        }
        columns {
            /// Whose it is.
            operator: OperatorId,
            /// RFC 7638; unique.
            thumbprint: [u8; 32],
            /// Its kind.
            algorithm: RequestAlgorithm,
            /// The public half.
            public: Vec<u8>,
            /// What it is called.
            label: String,
            /// Whether it signs.
            state: KeyState,
            /// Since when.
            created: Timestamp,
        }
        index { operator, thumbprint }
    }
}

impl RequestAlgorithm {
    /// A key as it is stored: its kind and its public half.
    #[must_use]
    pub fn of(jwk: &Jwk) -> Option<(Self, Vec<u8>)> {
        use assay_attest::key::PublicKey;
        match jwk.public_key() {
            PublicKey::Ed25519(key) => Some((Self::EdDsa, key.to_vec())),
            PublicKey::P256(point) => Some((Self::Es256, point.to_vec())),
            PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => None,
        }
    }

    /// The key that was stored; `None` where the bytes are none.
    #[must_use]
    pub fn jwk(self, public: &[u8]) -> Option<Jwk> {
        match self {
            Self::EdDsa => Some(Jwk::ed25519(public.try_into().ok()?)),
            Self::Es256 => Jwk::p256(public.try_into().ok()?).ok(),
        }
    }
}

impl OperatorKey {
    /// The key.
    #[must_use]
    pub fn jwk(&self) -> Option<Jwk> {
        self.algorithm.jwk(&self.public)
    }
}

crate::trust_row! {
    /// An invite. Its secret's hash, its end and whether it was used stand in `token`.
    pub struct InviteRow in "invite" {
        key {
            /// Made by the nexus.
            id: InviteId,
        }
        columns {
            /// Where the person will be; `None` for a super:admin.
            tenant: Option<TenantId>,
            /// The person's name.
            name: String,
            /// The person's role.
            role: PersonRole,
            /// Who invited.
            by: OperatorId,
            /// The token's id.
            token: [u8; 16],
        }
        index { tenant, token, by }
    }
}

crate::column_enum! {
    /// Whether a grant was taken back.
    pub enum GrantState {
        /// It was not; it may have expired.
        Active = "active",
        /// It was.
        Revoked = "revoked",
    }
}

crate::trust_row! {
    /// A grant: this person, this SSH CA, this host or every host of this DPU, these logins, until then.
    pub struct GrantRow in "grant_row" {
        key {
            /// Made by the nexus.
            id: GrantId,
        }
        columns {
            /// Where.
            tenant: TenantId,
            /// Who.
            operator: OperatorId,
            /// By which CA.
            ssh_ca: SshCaId,
            /// On which host; exactly one of `host` and `dpu`.
            host: Option<HostId>,
            /// On every host of which DPU.
            dpu: Option<DeviceId>,
            /// As whom: logins, separated by commas, none of them a wildcard.
            logins: String,
            /// Until when.
            expires: Timestamp,
            /// Whether it was taken back.
            state: GrantState,
        }
        index { tenant, operator }
    }
}

crate::column_enum! {
    /// Whether the first admin is still to come.
    pub enum DoorState {
        /// A bootstrap token opens it.
        Open = "open",
        /// Nothing does, for good.
        Shut = "shut",
    }
}

crate::trust_row! {
    /// The door that the first admin comes through.
    pub struct Door in "door" {
        key {
            /// Always `bootstrap`.
            name: String,
        }
        columns {
            /// Open or shut.
            state: DoorState,
        }
        index { }
    }
}
