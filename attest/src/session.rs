//! The session of one proof, and what each root of trust signs (design, section 2, items 2 and 3).
//!
//! `lp(x)` is a 4-byte big-endian length followed by `x`; every hash here is SHA-256 over such pieces, so no two inputs
//! share an image.

use crate::digest::sha256;
use crate::hpke::HpkeKey;
use crate::limits;
use crate::refusal::Refusal;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use subtle::ConstantTimeEq as _;

/// What a proof is for. It is part of the session, so a proof for one purpose is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The first proof of a device, or of one that re-keys.
    Enrol,
    /// Every later one.
    Attest,
}

impl Purpose {
    /// `enrol` or `attest`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Attest => "attest",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that a session is made of.
#[derive(Clone, Copy)]
pub struct SessionInput<'a> {
    /// SHA-256 of the SubjectPublicKeyInfo of the root that the nexus's TLS chain ends in.
    pub nexus_id: [u8; 32],
    /// The device id; at enrolment the claim id. UTF-8.
    pub subject: &'a str,
    /// Enrolment or a later proof.
    pub purpose: Purpose,
    /// The nonce that the nexus issued for this device and purpose.
    pub nonce: [u8; 32],
    /// Raw SHA-256 JWK thumbprint (RFC 7638) of the request (DPoP) key.
    pub request_key_thumbprint: [u8; 32],
    /// The key, fresh for this proof, that opens what is released under it.
    pub hpke: &'a HpkeKey,
    /// What TPM2_ActivateCredential gave: 32 bytes at an enrolment with a TPM, else empty.
    pub activation_secret: &'a [u8],
}

impl fmt::Debug for SessionInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionInput")
            .field("subject", &self.subject)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// The hash that ties one proof to nexus, device, purpose, nonce and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session([u8; 32]);

impl Session {
    /// Computes the session.
    #[must_use]
    pub fn new(input: &SessionInput<'_>) -> Self {
        Self(hash_lp(&[
            b"assay/session/1",
            &input.nexus_id,
            input.subject.as_bytes(),
            input.purpose.as_str().as_bytes(),
            &input.nonce,
            &input.request_key_thumbprint,
            &input.hpke.to_bytes(),
            input.activation_secret,
        ]))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `other` is this session, in constant time.
    #[must_use]
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

/// The members of evidence. Their order here is the order in which they are collected, sent and bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// `claims`: what the agent states (EAT, RFC 9711).
    Claims,
    /// `log.uefi`: the TCG event log.
    LogUefi,
    /// `log.ima`: the Linux IMA log.
    LogIma,
    /// `posture`: the host's report.
    Posture,
    /// `tpm`: quote, PCR values, certified request key.
    Tpm,
    /// `accel.<n>`: an accelerator, 0 to 15.
    Accel(u16),
    /// `erot`: the external root of trust.
    Erot,
    /// `irot`: the internal root of trust.
    Irot,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims => f.write_str("claims"),
            Self::LogUefi => f.write_str("log.uefi"),
            Self::LogIma => f.write_str("log.ima"),
            Self::Posture => f.write_str("posture"),
            Self::Tpm => f.write_str("tpm"),
            Self::Accel(n) => write!(f, "accel.{n}"),
            Self::Erot => f.write_str("erot"),
            Self::Irot => f.write_str("irot"),
        }
    }
}

impl FromStr for Label {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let label = match text {
            "claims" => Self::Claims,
            "log.uefi" => Self::LogUefi,
            "log.ima" => Self::LogIma,
            "posture" => Self::Posture,
            "tpm" => Self::Tpm,
            "erot" => Self::Erot,
            "irot" => Self::Irot,
            other => other
                .strip_prefix("accel.")
                .and_then(|n| n.parse().ok())
                .filter(|n| *n < limits::ACCELERATORS)
                .map(Self::Accel)
                // One spelling each: `accel.01` and `accel.+1` are not labels.
                .filter(|label| label.to_string() == other)
                .ok_or_else(|| Refusal::LabelUnknown {
                    label: text.chars().take(64).collect(),
                })?,
        };
        Ok(label)
    }
}

/// What the root behind one label signs: 32 bytes, an SPDM nonce or a TPM's qualifying data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding([u8; 32]);

impl Binding {
    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `other` is this binding, in constant time.
    #[must_use]
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

/// Collects members in order, and says what the next root signs.
#[derive(Clone, Debug)]
pub struct BindingChain {
    session: Session,
    members: Vec<[u8; 32]>,
    last: Option<Label>,
}

impl BindingChain {
    /// Nothing collected yet.
    #[must_use]
    pub const fn new(session: Session) -> Self {
        Self {
            session,
            members: Vec::new(),
            last: None,
        }
    }

    /// What the root behind `label` signs: the session and all members collected before it.
    ///
    /// # Errors
    /// [`Refusal::MemberOrder`] where a member at or after `label` has been collected.
    pub fn binding(&self, label: Label) -> Result<Binding, Refusal> {
        self.in_order(label)?;
        let name = label.to_string();
        let mut pieces: Vec<&[u8]> = Vec::new();
        pieces.push(b"assay/bind/1");
        pieces.push(name.as_bytes());
        pieces.push(self.session.as_bytes());
        pieces.extend(self.members.iter().map(<[u8; 32]>::as_slice));
        Ok(Binding(hash_lp(&pieces)))
    }

    /// Adds the member under `label`; `value` is its wrapper value as sent.
    ///
    /// # Errors
    /// [`Refusal::MemberOrder`], [`Refusal::MemberTwice`]; nothing is added then.
    pub fn push(&mut self, label: Label, value: &[u8]) -> Result<(), Refusal> {
        self.in_order(label)?;
        self.members.push(sha256(&[value]));
        self.last = Some(label);
        Ok(())
    }

    fn in_order(&self, label: Label) -> Result<(), Refusal> {
        match self.last {
            Some(last) if last == label => Err(Refusal::MemberTwice {
                label: label.to_string(),
            }),
            Some(last) if last > label => Err(Refusal::MemberOrder {
                label: label.to_string(),
                after: last.to_string(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// SHA-256 over `lp(x)` of each piece.
#[must_use]
pub fn hash_lp(pieces: &[&[u8]]) -> [u8; 32] {
    let mut all = zeroize::Zeroizing::new(Vec::new());
    for piece in pieces {
        // A piece over 4 GiB can't be held by any caller: evidence is bounded far below.
        all.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(piece);
    }
    sha256(&[&all])
}

#[cfg(test)]
mod tests;
