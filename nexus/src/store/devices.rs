//! Devices, their request keys, and demands for a proof.

use assay_api::id::{DemandId, DeviceId, KeyId, ReferenceId, ResultId, TenantId};
use assay_attest::standing::State;
use assay_attest::time::Timestamp;

use super::people::{KeyState, RequestAlgorithm};
use super::{Cell, Column};

crate::column_enum! {
    /// Whether a device belongs; not the same as whether it is trusted now.
    pub enum Lifecycle {
        /// It proved an identity that nobody has confirmed: it receives nothing.
        Pending = "pending",
        /// It belongs.
        Active = "active",
        /// It belongs no more, for good.
        Decommissioned = "decommissioned",
    }
}

crate::column_enum! {
    /// What the identity rests on.
    pub enum RootLevel {
        /// A vendor's pinned root.
        Vendor = "vendor",
        /// The operator's own pinned root, or an identity that a signed inventory names.
        Operator = "operator",
        /// What was seen first, confirmed by an admin or not yet.
        Tofu = "tofu",
        /// Nothing.
        None = "none",
    }
}

crate::column_enum! {
    /// How the request key is held.
    pub enum KeyHeld {
        /// In the TPM, certified by the pinned AK.
        Tpm = "tpm",
        /// Vouched for through a nonce only.
        Nonce = "nonce",
    }
}

crate::column_enum! {
    /// Whether the operating system is measured.
    pub enum Runtime {
        /// It is.
        Measured = "measured",
        /// It is not.
        Unmeasured = "unmeasured",
    }
}

crate::column_enum! {
    /// What became of the consequences of a loss of trust.
    pub enum Effects {
        /// There are none.
        None = "none",
        /// They wait for a super:admin: too many devices fell at once.
        Waiting = "waiting",
        /// The device was told to wipe, and what could be revoked is.
        Done = "done",
    }
}

/// `unavailable`, `verified`, `failed`, `quarantined`.
impl Column for State {
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

/// Words without spaces, in order: reasons, PCR indices, ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    /// Joins words; one that holds a space would read back as two.
    pub fn of<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        let words: Vec<String> = words.into_iter().map(|w| w.as_ref().to_owned()).collect();
        Self(words.join(" "))
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    /// The words, to keep.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

impl Column for Words {
    const SQL: &'static str = "TEXT";

    fn cell(&self) -> Cell<'_> {
        Cell::Text(&self.0)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        String::read(cell).map(Self)
    }
}

crate::trust_row! {
    /// A DPU: who it is, what its last verdict said, and since and until when that counts.
    pub struct Device in "device" {
        key {
            /// For good: it outlives keys and re-imaging.
            id: DeviceId,
        }
        columns {
            /// Its tenant.
            tenant: TenantId,
            /// Its name, unique in the tenant.
            name: String,
            /// Its serial number, from the inventory.
            serial: String,
            /// Whether it belongs.
            lifecycle: Lifecycle,
            /// What outranks its last verdict, or that verdict.
            attestation: State,
            /// Codes: what the last verdict found wrong, why it is quarantined.
            reasons: Words,
            /// When the nonce of the last good proof was issued; the epoch where there is none.
            fresh_from: Timestamp,
            /// Until when that proof counts.
            fresh_until: Timestamp,
            /// The time of the last verdict.
            proved_at: Option<Timestamp>,
            /// The last verdict, demand or release from quarantine: a nonce issued before it clears nothing.
            barrier: Timestamp,
            /// The deadline of the open demand; past it, the device is not fresh.
            demand_until: Option<Timestamp>,
            /// The last result.
            result: Option<ResultId>,
            /// SHA-256 of the evidence behind it.
            evidence: Option<[u8; 32]>,
            /// The reference values that judged it.
            reference: Option<ReferenceId>,
            /// Pinned: SHA-256 of the SubjectPublicKeyInfo of the stable DICE layer.
            dice: Option<[u8; 32]>,
            /// Pinned: the same of its external root of trust (eRoT), once a good proof has shown one.
            erot: Option<[u8; 32]>,
            /// Pinned: the EK's name, as its TPM's public area was stated at enrolment.
            ek_name: Option<Vec<u8>>,
            /// Pinned: SHA-256 of the EK's SubjectPublicKeyInfo: what activation proved, and so what must be nobody else's.
            ek_spki: Option<[u8; 32]>,
            /// Pinned: the AK's name.
            ak_name: Option<Vec<u8>>,
            /// The end of the chain that certifies the EK, where one does.
            ek_ends: Option<Timestamp>,
            /// PCRs of the SHA-256 bank that each proof must hold; only grows.
            pcrs: Words,
            /// resetCount of the last verdict's quote.
            tpm_reset: Option<u32>,
            /// restartCount.
            tpm_restart: Option<u32>,
            /// The TPM's clock, in milliseconds.
            tpm_clock: Option<u64>,
            /// What the identity rests on.
            root: RootLevel,
            /// How the request key is held, by the last verdict.
            key_level: KeyHeld,
            /// Whether the operating system is measured, by the last verdict.
            runtime: Runtime,
            /// Suite and key of the last good proof: what is released is sealed to it.
            hpke: Option<Vec<u8>>,
            /// Ed25519 key of its channel to hosts, as its last good proof states it.
            channel_key: Option<[u8; 32]>,
            /// Grows with each re-keying.
            epoch: u32,
            /// What became of the consequences of its loss of trust.
            effects: Effects,
        }
        index { tenant, name, dice, erot, ek_spki, ak_name }
    }
}

crate::trust_row! {
    /// A request key of a device.
    pub struct DeviceKey in "device_key" {
        key {
            /// The `kid` of its proofs.
            id: KeyId,
        }
        columns {
            /// Whose.
            device: DeviceId,
            /// SHA-256 thumbprint of the key as JWK (RFC 7638).
            thumbprint: [u8; 32],
            /// Its kind.
            algorithm: RequestAlgorithm,
            /// 32 bytes, or the uncompressed point of 65.
            public: Vec<u8>,
            /// Whether it counts.
            state: KeyState,
        }
        index { device, thumbprint }
    }
}

crate::trust_row! {
    /// The last demand for a proof of a device.
    pub struct Demand in "demand" {
        key {
            /// Of whom.
            device: DeviceId,
        }
        columns {
            /// Its id.
            id: DemandId,
            /// When it was made.
            made: Timestamp,
            /// When freshness ends unless it is answered.
            deadline: Timestamp,
            /// When it was answered.
            answered: Option<Timestamp>,
        }
        index { id }
    }
}

impl Demand {
    /// Whether it is still to be answered; past its deadline it is not open any more, but still unanswered.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.answered.is_none() && now < self.deadline
    }

    /// `open`, `answered`, `unanswered`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        match self.answered {
            Some(_) => "answered",
            None if now < self.deadline => "open",
            None => "unanswered",
        }
    }
}
