//! Claims: what evidence says of a device, once verified. Reached only through `Evidence<Verified>`.

use crate::boot::MeasuredBoot;
use crate::chain::AnchorKind;
use crate::codec::dice::DiceLayout;
use crate::codec::spdm::Version;
use crate::codec::spdm::block::Block;
use crate::codec::spdm::opaque::Opaque;
use crate::digest::{Digest, HashAlg};
use crate::expected::Name;
use crate::hpke::HpkeKey;
use crate::session::Label;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// All claims of one proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What the agent states of itself: covered by every root's signature, and still only its word.
    pub stated: StatedClaims,
    /// What the TPM signed.
    pub tpm: Option<TpmClaims>,
    /// What the DICE roots of the machine itself signed, in the order of their labels.
    pub dice: Vec<DiceClaims>,
    /// What SPDM responders measured and signed, accelerators first.
    pub spdm: Vec<SpdmClaims>,
    /// What the log of measured boot says, where it replays to the quoted PCRs.
    pub uefi: Option<MeasuredBoot>,
    /// What the IMA log says, where it replays to the quoted PCRs.
    pub ima: Option<ImaClaims>,
}

impl Claims {
    /// How the request key is held.
    #[must_use]
    pub fn key_level(&self) -> KeyLevel {
        match &self.tpm {
            Some(tpm) if tpm.request_key_certified => KeyLevel::Tpm,
            Some(_) | None => KeyLevel::Nonce,
        }
    }

    /// SHA-256 of the stable key that the machine's own root under this label proved.
    #[must_use]
    pub fn device_key(&self, label: Label) -> Option<[u8; 32]> {
        let root = self.dice.iter().find(|dice| dice.label == label);
        root.map(|dice| dice.device_key)
    }

    /// Every DICE identity that proved itself: the machine's own roots, and its accelerators'.
    pub fn identities(&self) -> impl Iterator<Item = &DiceClaims> {
        let accelerators = self
            .spdm
            .iter()
            .filter(|spdm| matches!(spdm.label, Label::Accel(_)))
            .map(|spdm| &spdm.identity);
        self.dice.iter().chain(accelerators)
    }

    /// The earliest end of a certificate or other collateral that these claims rest on.
    #[must_use]
    pub fn collateral_ends(&self) -> Timestamp {
        self.identities()
            .map(|dice| dice.ends)
            .min()
            .unwrap_or(Timestamp::MAX)
    }
}

/// How the request key is held (design, section 2, item 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyLevel {
    /// The pinned AK certified it: it lives in this device's TPM.
    Tpm,
    /// Vouched for through a nonce only: a live device, but not that its requester runs on it.
    Nonce,
}

impl KeyLevel {
    /// `tpm` or `nonce`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::Nonce => "nonce",
        }
    }
}

/// The EAT claims of the agent (RFC 9711). The reporter's word: it may lower trust, never raise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedClaims {
    /// The session that the proof answers (`eat_nonce`, 10).
    pub session: [u8; 32],
    /// Universal Entity ID (256), 7 to 33 bytes.
    pub ueid: Option<Vec<u8>>,
    /// The serial number that the machine states.
    pub serial: Option<String>,
    /// Where released secrets are sealed to.
    pub hpke: HpkeKey,
    /// Raw JWK thumbprint of the request key.
    pub request_key_thumbprint: [u8; 32],
    /// The Ed25519 key of the agent's channel to hosts, for pairing.
    pub channel_key: [u8; 32],
    /// Version of the agent (`swversion`, 271).
    pub agent_version: String,
    /// Boots so far (`bootcount`, 267), where the platform counts them.
    pub boot_count: Option<u64>,
    /// Seconds since boot (`uptime`, 261).
    pub uptime: u64,
    /// Host name of the DPU.
    pub hostname: String,
    /// Hardware model (`hwmodel`, 259).
    pub hwmodel: String,
}

/// The values of the quoted PCRs of each bank: index to digest.
pub type PcrBanks = BTreeMap<HashAlg, BTreeMap<u8, Digest>>;

/// What a verified TPM quote says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmClaims {
    /// The pinned AK that signed.
    pub ak_name: Name,
    /// Its parent, where it is the child of a primary of the endorsement hierarchy; `None` where it is a primary itself.
    pub ak_parent: Option<Name>,
    /// Whether that AK certified the request key under the same binding.
    pub request_key_certified: bool,
    /// The quoted PCRs.
    pub pcrs: PcrBanks,
    /// The TPM's clock at the quote.
    pub clock: TpmClock,
    /// Vendor-specific firmware version, obfuscated the same way for one AK.
    pub firmware_version: u64,
}

/// TPMS_CLOCK_INFO (TPM 2.0 Part 2, 10.11.1). Comparable for one AK only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TpmClock {
    /// Milliseconds that the TPM has been powered.
    pub clock: u64,
    /// TPM Resets since the last TPM2_Clear.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether no greater clock value has been reported before.
    pub safe: bool,
}

/// What an IMA log says, replayed to the quoted PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaClaims {
    /// Entries in this evidence; those before them were in earlier evidence.
    pub sent: u64,
    /// How far the log has been followed.
    pub state: ImaState,
}

/// How far a device's IMA log has been followed in one boot. The Verifier keeps it, so that the next proof sends only what is
/// new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaState {
    /// The AK that quoted.
    pub ak: Name,
    /// Its TPM's reset and restart counters: they name the boot.
    pub boot: (u32, u32),
    /// Entries followed.
    pub entries: u64,
    /// Violations among them.
    pub violations: u64,
    /// Whether the log began with the digest of the quoted boot PCRs; `None` where they were not quoted.
    pub boot_aggregate: Option<bool>,
    /// PCR 10 after these entries.
    pub value: Digest,
}

impl ImaState {
    /// Whether it is of the boot that the TPM quotes from now.
    #[must_use]
    pub fn is_of(&self, tpm: &TpmClaims) -> bool {
        let TpmClock {
            reset_count,
            restart_count,
            ..
        } = tpm.clock;
        self.ak == tpm.ak_name && self.boot == (reset_count, restart_count)
    }
}

/// What a verified DICE chain with a fresh signature over the binding says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceClaims {
    /// `erot` or `irot`; `accel.<n>` within [`SpdmClaims`].
    pub label: Label,
    /// SHA-256 of the SubjectPublicKeyInfo of the stable layer: who this device is.
    pub device_key: [u8; 32],
    /// Name of the pinned root that the chain ends in.
    pub anchor: String,
    /// What stands behind that root: it decides the `root` of the result.
    pub anchor_kind: AnchorKind,
    /// Layers from the root's side to the leaf.
    pub layers: Vec<DiceLayer>,
    /// The earliest notAfter of the chain.
    pub ends: Timestamp,
}

/// What an SPDM responder measured, signed under the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpdmClaims {
    /// `irot`, `erot` or `accel.<n>`.
    pub label: Label,
    /// The chain of the key that signed.
    pub identity: DiceClaims,
    /// The version of the connection.
    pub version: Version,
    /// The measurement blocks by index.
    pub measurements: BTreeMap<u8, Block>,
    /// Opaque data.
    pub opaque: Opaque,
}

/// One layer of a DICE chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceLayer {
    /// SHA-256 of the layer's SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// Where the certificate says so; `None` for a layer above the firmware, which measures none.
    pub layout: Option<DiceLayout>,
    /// Digests of the firmware that the layer vouches for, in their order, without places that are not used (all zero);
    /// empty only where `layout` is `None`.
    pub fwids: Vec<Digest>,
    /// Security version numbers, where DiceTcbInfo states them.
    pub svns: Vec<u64>,
    /// Operational flags that count, over all components (bit 0 notConfigured, 1 notSecure, 2 recovery, 3 debug).
    pub flags: u32,
}
