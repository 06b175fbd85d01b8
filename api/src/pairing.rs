//! Who is behind what: a host asks with its own key, the nexus answers with the pairing (design section 6).

use assay_attest::key::CheckSignature;
use assay_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, HostId};
use crate::signed::rules::{KEYS, demand, login, ssh_line};
use crate::signed::{DeliveryKeys, Document, SignedFault, Unverified, Verified, bytes};

const REQUEST: &str = "pairing request";
const PAIRING: &str = "pairing";
const LIMIT: usize = 64 * 1024;

/// What `assay-host init` prints: signed by the host key that it states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairingRequest {
    /// The host key, Ed25519: for the channel, posture and statements.
    #[serde(with = "bytes")]
    pub host_key: [u8; 32],
    /// The public key line of sshd's host key.
    pub sshd_host_key: String,
    /// The public key line of the trial key, which never leaves the host's root.
    pub trial_key: String,
    /// The logins that Assay manages, the one for trials first.
    pub logins: Vec<String>,
}

/// What the nexus signed: taken to the host by hand, fetched by the DPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairing {
    /// The host's id, made by the nexus, never reused.
    pub host_id: HostId,
    /// Its name in the tenant.
    pub name: String,
    /// The DPU in front of it.
    pub device_id: DeviceId,
    /// The DPU's channel key, Ed25519, as its proof stated it.
    #[serde(with = "bytes")]
    pub channel_key: [u8; 32],
    /// What the host asked for.
    pub request: PairingRequest,
    /// Principals of its host certificate (FQDNs).
    pub principals: Vec<String>,
    /// The keys that sign manifests.
    pub delivery_keys: DeliveryKeys,
    /// The nexus: SHA-256 of its root's SubjectPublicKeyInfo.
    #[serde(with = "bytes")]
    pub nexus_id: [u8; 32],
    /// How host and DPU reach each other: `unix:PATH` or `tcp:ADDRESS:PORT`; absent where either is configured by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// When it was signed.
    pub issued: Timestamp,
}

impl Document for PairingRequest {
    const WHAT: &'static str = REQUEST;
    const CONTENT_TYPE: &'static str = "application/vnd.assay.pairing-request+cbor";
    const DOMAIN: &'static str = "assay/pairing-request/1";
    const LIMIT: usize = LIMIT;

    fn check(&self) -> Result<(), SignedFault> {
        self.check_as(REQUEST)
    }
}

impl PairingRequest {
    fn check_as(&self, what: &'static str) -> Result<(), SignedFault> {
        ssh_line(what, &self.sshd_host_key, KEYS)?;
        ssh_line(what, &self.trial_key, KEYS)?;
        demand(
            what,
            self.sshd_host_key != self.trial_key,
            "its trial key is the sshd host key",
        )?;
        demand(
            what,
            (1..=64).contains(&self.logins.len()),
            "it has no login, or more than 64",
        )?;
        for (at, name) in self.logins.iter().enumerate() {
            login(what, name)?;
            demand(
                what,
                !self.logins.iter().take(at).any(|l| l == name),
                "a login occurs twice",
            )?;
        }
        Ok(())
    }
}

impl Document for Pairing {
    const WHAT: &'static str = PAIRING;
    const CONTENT_TYPE: &'static str = "application/vnd.assay.pairing+cbor";
    const DOMAIN: &'static str = "assay/pairing/1";
    const LIMIT: usize = LIMIT;

    fn check(&self) -> Result<(), SignedFault> {
        self.request.check_as(PAIRING)?;
        let label =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let named =
            |name: &str, max: usize| (1..=max).contains(&name.len()) && name.bytes().all(label);
        demand(
            PAIRING,
            named(&self.name, 63),
            "its name is not 1 to 63 of a-z, 0-9, `-` and `.`",
        )?;
        demand(
            PAIRING,
            (1..=16).contains(&self.principals.len()),
            "it has no principal, or more than 16",
        )?;
        let fqdns = self.principals.iter().all(|p| named(p, 253));
        demand(
            PAIRING,
            fqdns,
            "a principal is no host name in lower-case ascii",
        )?;
        let transport = self.transport.as_deref().is_none_or(|t| {
            let known = t
                .strip_prefix("unix:/")
                .or_else(|| t.strip_prefix("tcp:"))
                .is_some_and(|rest| !rest.is_empty());
            known && t.len() <= 256 && t.bytes().all(|b| b.is_ascii_graphic())
        });
        demand(
            PAIRING,
            transport,
            "its transport is neither `unix:PATH` nor `tcp:ADDRESS:PORT`",
        )?;
        demand(
            PAIRING,
            self.channel_key != self.request.host_key,
            "dpu and host have one key",
        )
    }
}

impl Unverified<PairingRequest> {
    /// Checks that the host key that the request states signed it: whoever sent it holds that key.
    ///
    /// # Errors
    /// [`SignedFault::Signature`].
    pub fn verify(
        self,
        checks: &dyn CheckSignature,
    ) -> Result<Verified<PairingRequest>, SignedFault> {
        let key = self.claimed().host_key;
        self.verify_by([&key], checks)
    }
}

impl Unverified<Pairing> {
    /// The DPU's side: checks that a pinned delivery key signed it, and that it is about this DPU and its channel key.
    ///
    /// # Errors
    /// [`SignedFault::Signature`], [`SignedFault::Content`].
    pub fn verify_for_dpu(
        self,
        pinned: &DeliveryKeys,
        device: &DeviceId,
        channel_key: &[u8; 32],
        checks: &dyn CheckSignature,
    ) -> Result<Verified<Pairing>, SignedFault> {
        let verified = self.verify_by(pinned.iter(), checks)?;
        let pairing = verified.content();
        let ours = pairing.device_id == *device && pairing.channel_key == *channel_key;
        demand(
            PAIRING,
            ours,
            "it is about another dpu or another channel key; pair the host again",
        )?;
        Ok(verified)
    }

    /// The host's side, once, by hand: root brings the file, and by that trusts the keys in it. Checks that it is whole
    /// (signed by the delivery key that it states) and answers this host's own request.
    ///
    /// # Errors
    /// [`SignedFault::Signature`], [`SignedFault::OtherHost`].
    pub fn accept_by_hand(
        self,
        own: &PairingRequest,
        checks: &dyn CheckSignature,
    ) -> Result<Verified<Pairing>, SignedFault> {
        let key = self.claimed().delivery_keys.current;
        let verified = self.verify_by([&key], checks)?;
        if verified.content().request == *own {
            Ok(verified)
        } else {
            Err(SignedFault::OtherHost { what: PAIRING })
        }
    }
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
