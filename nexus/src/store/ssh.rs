//! SSH: authorities, what was pushed where, hosts and their manifests, certificates.

use assay_api::id::{DeviceId, HostId, OperatorId, SshCaId, TenantId};
use assay_attest::time::Timestamp;

use super::devices::Words;

crate::trust_row! {
    /// An SSH CA: two signing keys (`ssh-user/<id>` and `ssh-host/<id>`) and their counters.
    pub struct SshCaRow in "ssh_ca" {
        key {
            /// Its id.
            id: SshCaId,
        }
        columns {
            /// Whose.
            tenant: TenantId,
            /// What people call it; unique in the tenant.
            name: String,
            /// When it was made.
            created: Timestamp,
            /// The serial of the next certificate, whichever key signs it.
            next_serial: u64,
        }
        index { tenant, name }
    }
}

crate::column_enum! {
    /// Which list of revoked certificates.
    pub enum KrlKind {
        /// The one that hosts get: user certificates.
        User = "user",
        /// The one that clients get: host certificates.
        Host = "host",
    }
}

crate::trust_row! {
    /// What is revoked of one CA and has not run out. One row, so that no entry can be hidden from it unnoticed (I12).
    pub struct KrlRow in "ssh_krl" {
        key {
            /// The CA.
            ca: SshCaId,
            /// Which list.
            kind: KrlKind,
        }
        columns {
            /// Grows with each change.
            version: u64,
            /// Grows with each revocation, but not with the trial login's own: what makes a new manifest.
            epoch: u64,
            /// 48 bytes each: signer (32), serial and end of the certificate in seconds, 8 bytes each, big-endian.
            entries: Vec<u8>,
        }
        index { ca }
    }
}

crate::column_enum! {
    /// Whether the hosts behind a device shall trust a CA.
    pub enum PushState {
        /// They shall.
        Pushed = "pushed",
        /// They shall no more.
        Withdrawn = "withdrawn",
    }
}

crate::trust_row! {
    /// An SSH CA and a device: what the hosts behind it shall trust.
    pub struct PushRow in "ssh_push" {
        key {
            /// The device.
            device: DeviceId,
            /// The CA.
            ca: SshCaId,
        }
        columns {
            /// Whether they shall.
            state: PushState,
            /// Since when.
            since: Timestamp,
        }
        index { device, ca }
    }
}

crate::column_enum! {
    /// Whether a pairing stands.
    pub enum HostState {
        /// It does.
        Paired = "paired",
        /// It does not; the row stays, its id is never used again.
        Unpaired = "unpaired",
    }
}

crate::trust_row! {
    /// A host, paired with the device in front of it.
    pub struct HostRow in "host" {
        key {
            /// Its id: what certificates name.
            id: HostId,
        }
        columns {
            /// Whose.
            tenant: TenantId,
            /// What people call it; unique among the paired hosts of the tenant.
            name: String,
            /// The device in front of it.
            device: DeviceId,
            /// Host-certificate principals, approved with the pairing.
            principals: Words,
            /// Managed logins.
            logins: Words,
            /// sshd's host public key, as an OpenSSH line.
            sshd_key: String,
            /// The key of the trial login, as an OpenSSH line.
            trial_key: String,
            /// The host key (Ed25519): TLS, statements.
            host_key: [u8; 32],
            /// The signed pairing.
            pairing: Vec<u8>,
            /// Whether it stands.
            state: HostState,
            /// Since when.
            created: Timestamp,
        }
        index { tenant, name, device }
    }
}

crate::trust_row! {
    /// The newest manifest of a host.
    pub struct ManifestRow in "manifest" {
        key {
            /// The host.
            host: HostId,
        }
        columns {
            /// Its sequence, from 1.
            sequence: u64,
            /// SHA-256 of what it makes the host trust: see `crate::manifest::Content`.
            content: [u8; 32],
            /// The signed manifest.
            signed: Vec<u8>,
            /// Its end.
            not_after: Timestamp,
            /// When it was signed.
            issued: Timestamp,
            /// The id of the host certificate in it; empty where there is none.
            certificate: String,
            /// Whether it only took away from the one before, and so passes no gate.
            removes: bool,
        }
        index { }
    }
}

crate::column_enum! {
    /// Whose a certificate is.
    pub enum CertificateKind {
        /// A person's.
        User = "user",
        /// A host's.
        Host = "host",
        /// The trial login's, five minutes.
        Trial = "trial",
    }
}

crate::column_enum! {
    /// Whether a certificate counts until its end.
    pub enum CertificateState {
        /// It does.
        Valid = "valid",
        /// It is in the list of revoked ones.
        Revoked = "revoked",
    }
}

crate::trust_row! {
    /// A certificate that was signed.
    pub struct CertificateRow in "certificate" {
        key {
            /// CA id, `.`, serial in 20 digits.
            id: String,
        }
        columns {
            /// Whose.
            tenant: TenantId,
            /// The CA.
            ca: SshCaId,
            /// The serial, unique in the CA.
            serial: u64,
            /// User, host or trial.
            kind: CertificateKind,
            /// The CA key that signed it (Ed25519).
            signer: [u8; 32],
            /// The key id in it.
            key_id: String,
            /// Its principals.
            principals: Words,
            /// The hosts that it opens, or names.
            hosts: Words,
            /// The one device in front of all of those hosts; absent where there are several.
            device: Option<DeviceId>,
            /// Who asked for it; absent for host and trial certificates.
            operator: Option<OperatorId>,
            /// Who asked, and by which idempotency key; unique where not empty.
            request: String,
            /// From when.
            valid_after: Timestamp,
            /// Until when.
            valid_before: Timestamp,
            /// Whether it counts.
            state: CertificateState,
            /// Why it was revoked.
            reason: Option<String>,
            /// The certificate, as an OpenSSH line.
            line: String,
        }
        index { tenant, ca, device, operator, request }
    }
}

/// The key of a certificate's row.
#[must_use]
pub fn certificate_key(ca: &SshCaId, serial: u64) -> String {
    format!("{ca}.{serial:020}")
}

/// A certificate's id as people write it, as the key of its row.
#[must_use]
pub fn parse_certificate_id(text: &str) -> Option<String> {
    let (ca, serial) = text.split_once('.')?;
    let plain =
        !serial.is_empty() && serial.len() <= 20 && serial.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(())?;
    Some(certificate_key(
        &SshCaId::parse(ca).ok()?,
        serial.parse().ok()?,
    ))
}
