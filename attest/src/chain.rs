//! Certificate chains to pinned roots (RFC 5280, 6, and all of it that DICE and EK chains use).
//!
//! No path is searched for: the chain comes in exact order, and every link is checked. What is left out on purpose:
//! policy processing and name constraints (a critical one is refused), fetching anything. Revocation is judged on what was
//! verified here: [`crate::revocation`].

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use der::asn1::ObjectIdentifier;

pub use self::anchor::{Anchor, AnchorKind, TrustAnchors};
use crate::codec::open_dice;
use crate::codec::spdm::slot::SPDM_EXTENSION;
use crate::codec::x509::{self, Certificate, KeyUsage};
use crate::key::{CheckSignature, PublicKey};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

mod anchor;

/// tcg-kp-EKCertificate and tcg-kp-AIKCertificate (TCG EK Credential Profile 2.5, 3.2).
const KP_EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
const KP_AK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");
/// anyExtendedKeyUsage (RFC 5280, 4.2.1.12).
const KP_ANY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// id-DMTF-eku-responder-auth and -requester-auth (DSP0274, 10.9.1).
const KP_SPDM_RESPONDER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.3");
const KP_SPDM_REQUESTER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.4");

/// Critical extensions that this crate understands: read here, or (policies) without a bearing on any check.
const CRITICAL: [ObjectIdentifier; 5] = [
    x509::BASIC_CONSTRAINTS,
    x509::KEY_USAGE,
    x509::EXTENDED_KEY_USAGE,
    x509::CERTIFICATE_POLICIES,
    x509::SUBJECT_ALT_NAME,
];
/// The same for DICE and SPDM: TcbInfo and RIoT, NVIDIA's child arc, UEID, MultiTcbInfo, SPDM's own, the Open Profile's inputs.
const CRITICAL_DICE: [ObjectIdentifier; 6] = [
    ObjectIdentifier::new_unwrap("2.23.133.5.4.1"),
    ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1"),
    ObjectIdentifier::new_unwrap("2.23.133.5.4.4"),
    ObjectIdentifier::new_unwrap("2.23.133.5.4.5"),
    SPDM_EXTENSION,
    open_dice::INPUTS,
];

/// How the caller says that its certificates are ordered. Never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As SPDM and Assay's members have them.
    RootFirst,
    /// As TLS and PEM files have them.
    LeafFirst,
}

/// What a chain is for; it decides what the leaf must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// DICE: the chain includes its root, the leaf signs evidence.
    Dice,
    /// SPDM without DICE (DSP0274, 10.7): as DICE, but that the pinned root need not state the usage of its key.
    Spdm,
    /// TPM endorsement key: the leaf receives secrets (keyEncipherment for RSA, keyAgreement for ECC) and never signs; the
    /// root may be left out, as the TPM's own storage leaves it out.
    EndorsementKey,
    /// A signer of files (reference values): the leaf signs; the root may be left out (RFC 9360, 2).
    Signer,
    /// DICE layers as far as a file has them: the last may be a CA that hands on, and the root may be left out. An identity,
    /// never a proof.
    Layers,
    /// TPM attestation key: the leaf signs and receives no secrets (GCE certifies its AKs under the CA of its EKs).
    AttestationKey,
    /// A CA of endorsement keys.
    EndorsementAuthority,
}

/// Certificates in order, parsed and not yet trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    root_first: Vec<Certificate>,
}

/// A chain of which every link was checked up to a pinned root.
#[derive(Clone, Copy)]
pub struct VerifiedChain<'a> {
    certificates: &'a [Certificate],
    anchor: &'a Anchor,
    leaf: &'a Certificate,
    ends: Timestamp,
}

impl Chain {
    /// Parses one to [`limits::CHAIN_CERTIFICATES`] DER certificates.
    ///
    /// # Errors
    /// `chain.too_short`, `chain.too_long`, and what [`Certificate::parse`] says.
    pub fn parse<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
        order: Order,
    ) -> Result<Self, Refusal> {
        let mut root_first = Vec::new();
        for der in certificates {
            if root_first.len() >= limits::CHAIN_CERTIFICATES {
                return Err(Refusal::ChainTooLong {
                    limit: limits::CHAIN_CERTIFICATES,
                });
            }
            root_first.push(Certificate::parse(der)?);
        }
        if root_first.is_empty() {
            return Err(Refusal::ChainTooShort { limit: 1 });
        }
        match order {
            Order::RootFirst => {}
            Order::LeafFirst => root_first.reverse(),
        }
        Ok(Self { root_first })
    }

    /// The certificates, root first.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.root_first
    }

    /// What the last certificate says of itself at `now`: dates, critical extensions, usage. Who signed it is not asked, so
    /// this is for a leaf that is pinned as it is, and for nothing else.
    ///
    /// # Errors
    /// `chain.*`.
    pub fn check_leaf(&self, usage: Usage, now: Timestamp) -> Result<(), Refusal> {
        let Some((leaf, authorities)) = self.root_first.split_last() else {
            return Err(Refusal::ChainTooShort { limit: 1 });
        };
        let index = authorities.len();
        in_time(index, leaf, now)?;
        understood(index, leaf, usage)?;
        is_leaf(index, leaf, usage)
    }

    /// Checks the whole chain at `now`: the pinned root, order and names, every signature, then what each certificate allows.
    ///
    /// # Errors
    /// `chain.*`; indices count from the root's side, 0 being the first certificate of the chain.
    pub fn verify<'a>(
        &'a self,
        anchors: &'a TrustAnchors,
        usage: Usage,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<VerifiedChain<'a>, Refusal> {
        let certificates = self.root_first.as_slice();
        let Some((leaf, authorities)) = certificates.split_last() else {
            return Err(Refusal::ChainTooShort { limit: 1 });
        };
        each_key_once(certificates)?;
        let anchor = find_anchor(certificates, anchors, usage, check)?;
        links(certificates, check)?;

        let mut ends = Timestamp::MAX;
        for (index, certificate) in certificates.iter().enumerate() {
            in_time(index, certificate, now)?;
            understood(index, certificate, usage)?;
            ends = ends.min(certificate.not_after());
        }
        // The CAs that stand between a certificate and the leaf are what its pathLenConstraint counts.
        if anchor
            .path_len()
            .is_some_and(|limit| limit < count(authorities.len()))
            && !anchor.is(certificates.first())
        {
            return Err(Refusal::ChainPathLen { index: 0 });
        }
        for (index, authority) in authorities.iter().enumerate() {
            let below = authorities.len().saturating_sub(index.saturating_add(1));
            may_issue(index, authority, count(below), usage)?;
        }
        is_leaf(authorities.len(), leaf, usage)?;
        Ok(VerifiedChain {
            certificates,
            anchor,
            leaf,
            ends,
        })
    }
}

impl<'a> VerifiedChain<'a> {
    /// The certificates, root first.
    #[must_use]
    pub const fn certificates(&self) -> &'a [Certificate] {
        self.certificates
    }

    /// The pinned root that the chain ends in.
    #[must_use]
    pub const fn anchor(&self) -> &'a Anchor {
        self.anchor
    }

    /// The last certificate.
    #[must_use]
    pub const fn leaf(&self) -> &'a Certificate {
        self.leaf
    }

    /// The earliest notAfter.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }
}

impl fmt::Debug for VerifiedChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedChain")
            .field("certificates", &self.certificates.len())
            .field("anchor", &self.anchor.name())
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

fn count(certificates: usize) -> u32 {
    u32::try_from(certificates).unwrap_or(u32::MAX)
}

fn each_key_once(certificates: &[Certificate]) -> Result<(), Refusal> {
    let mut earlier: Vec<&[u8]> = Vec::new();
    for (index, certificate) in certificates.iter().enumerate() {
        if earlier.contains(&certificate.spki()) {
            return Err(Refusal::ChainDuplicate { index });
        }
        earlier.push(certificate.spki());
    }
    Ok(())
}

/// The anchor above or at the first certificate. The anchor's own certificate must be self-issued, or the very one that was
/// pinned: another one of its key, cross-signed by somebody nobody pinned, could say anything. A DICE proof's chain has its root,
/// from which its device layer is counted.
fn find_anchor<'a>(
    certificates: &[Certificate],
    anchors: &'a TrustAnchors,
    usage: Usage,
    check: &dyn CheckSignature,
) -> Result<&'a Anchor, Refusal> {
    let Some(first) = certificates.first() else {
        return Err(Refusal::ChainNoAnchor);
    };
    if let Some(anchor) = anchors.iter().find(|anchor| anchor.is(Some(first))) {
        if !first.is_self_issued() {
            return if usage != Usage::Dice && anchor.pins(first) {
                Ok(anchor)
            } else {
                Err(Refusal::ChainNoAnchor)
            };
        }
        return signed_by(0, first, anchor.key(), check).map(|()| anchor);
    }
    if certificates
        .iter()
        .any(|certificate| anchors.iter().any(|anchor| anchor.is(Some(certificate))))
    {
        return Err(Refusal::ChainOrder { index: 0 });
    }
    match usage {
        Usage::Dice | Usage::Spdm => Err(Refusal::ChainNoAnchor),
        Usage::EndorsementKey
        | Usage::Signer
        | Usage::Layers
        | Usage::AttestationKey
        | Usage::EndorsementAuthority => {
            let mut named = anchors
                .iter()
                .filter(|anchor| anchor.subject() == Some(first.issuer()))
                .peekable();
            if named.peek().is_none() {
                return Err(Refusal::ChainNoAnchor);
            }
            // Two anchors of one name: a CA that rolled its key.
            named
                .find(|anchor| signed_by(0, first, anchor.key(), check).is_ok())
                .ok_or(Refusal::ChainSignature { index: 0 })
        }
    }
}

/// Names first (they say what is wrong with an order), then signatures, both from the root downwards.
fn links(certificates: &[Certificate], check: &dyn CheckSignature) -> Result<(), Refusal> {
    let pairs = || {
        certificates
            .iter()
            .zip(certificates.iter().skip(1))
            .enumerate()
    };
    for (above, (issuer, subject)) in pairs() {
        let index = above.saturating_add(1);
        if subject.issuer() != issuer.subject() {
            let elsewhere = certificates
                .iter()
                .any(|other| other.subject() == subject.issuer());
            return Err(if elsewhere {
                Refusal::ChainOrder { index }
            } else {
                Refusal::ChainName { index }
            });
        }
    }
    for (above, (issuer, subject)) in pairs() {
        signed_by(above.saturating_add(1), subject, issuer.key(), check)?;
    }
    Ok(())
}

/// The issuer's key decides the family of schemes; a certificate that states one of another family is not signed by it.
fn signed_by(
    index: usize,
    certificate: &Certificate,
    key: &PublicKey,
    check: &dyn CheckSignature,
) -> Result<(), Refusal> {
    certificate
        .is_signed_by(key, check)
        .map_err(|_| Refusal::ChainSignature { index })
}

fn in_time(index: usize, certificate: &Certificate, now: Timestamp) -> Result<(), Refusal> {
    if now < certificate.not_before() {
        return Err(Refusal::ChainNotYetValid { index });
    }
    // RFC 5280, 4.1.2.5: the second that is named is still valid, all of it.
    if now.as_secs() > certificate.not_after().as_secs() {
        return Err(Refusal::ChainExpired { index });
    }
    Ok(())
}

fn understood(index: usize, certificate: &Certificate, usage: Usage) -> Result<(), Refusal> {
    let dice = matches!(usage, Usage::Dice | Usage::Spdm | Usage::Layers);
    let known = |oid| CRITICAL.contains(&oid) || (dice && CRITICAL_DICE.contains(&oid));
    match certificate
        .extensions()
        .iter()
        .find(|extension| extension.critical && !known(extension.oid))
    {
        Some(extension) => Err(Refusal::ChainCritical {
            index,
            oid: extension.oid.to_string(),
        }),
        None => Ok(()),
    }
}

fn may_issue(
    index: usize,
    authority: &Certificate,
    below: u32,
    usage: Usage,
) -> Result<(), Refusal> {
    let constraints = authority
        .basic_constraints()
        .filter(|constraints| constraints.ca);
    let Some(constraints) = constraints else {
        return Err(Refusal::ChainBasicConstraints { index });
    };
    if constraints.path_len.is_some_and(|limit| limit < below) {
        return Err(Refusal::ChainPathLen { index });
    }
    // Absent is unrestricted (RFC 5280, 4.2.1.3); that is for whoever pinned the root to allow, and only there.
    let unstated = usage == Usage::Spdm && index == 0;
    if !authority
        .key_usage()
        .map_or(unstated, |usage| usage.allows(KeyUsage::KEY_CERT_SIGN))
    {
        return Err(Refusal::ChainKeyUsage { index });
    }
    // A CA that names its purposes issues for those only.
    match (usage, authority.extended_key_usage()?) {
        (Usage::EndorsementKey | Usage::EndorsementAuthority, Some(purposes))
            if !is_for_ek(&purposes) =>
        {
            Err(Refusal::ChainExtendedKeyUsage { index })
        }
        (Usage::AttestationKey, Some(purposes))
            if !is_for_ek(&purposes) && !purposes.contains(&KP_AK_CERTIFICATE) =>
        {
            Err(Refusal::ChainExtendedKeyUsage { index })
        }
        _ => Ok(()),
    }
}

fn is_leaf(index: usize, leaf: &Certificate, usage: Usage) -> Result<(), Refusal> {
    let ca = leaf
        .basic_constraints()
        .is_some_and(|constraints| constraints.ca);
    match usage {
        Usage::EndorsementAuthority => return may_issue(index, leaf, 0, usage),
        Usage::Layers if ca => return may_issue(index, leaf, 0, usage),
        _ if ca => return Err(Refusal::ChainBasicConstraints { index }),
        _ => {}
    }
    let wanted = match (usage, leaf.key()) {
        (Usage::AttestationKey, PublicKey::Ed25519(_)) => {
            return Err(Refusal::ChainKeyUsage { index });
        }
        (Usage::Dice | Usage::Spdm | Usage::Signer | Usage::Layers | Usage::AttestationKey, _) => {
            KeyUsage::DIGITAL_SIGNATURE
        }
        (Usage::EndorsementAuthority, _) => KeyUsage::KEY_CERT_SIGN,
        (Usage::EndorsementKey, PublicKey::Rsa { .. }) => KeyUsage::KEY_ENCIPHERMENT,
        (Usage::EndorsementKey, PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_)) => {
            KeyUsage::KEY_AGREEMENT
        }
        (Usage::EndorsementKey, PublicKey::Ed25519(_)) => {
            return Err(Refusal::ChainKeyUsage { index });
        }
    };
    let never = match usage {
        Usage::Dice | Usage::Spdm | Usage::Signer | Usage::Layers | Usage::EndorsementAuthority => {
            KeyUsage::KEY_CERT_SIGN
        }
        Usage::EndorsementKey => KeyUsage::DIGITAL_SIGNATURE,
        Usage::AttestationKey => KeyUsage::KEY_ENCIPHERMENT,
    };
    if !leaf
        .key_usage()
        .is_some_and(|usage| usage.allows(wanted) && !usage.allows(never))
    {
        return Err(Refusal::ChainKeyUsage { index });
    }
    let fits = match (usage, leaf.extended_key_usage()?) {
        (_, None) => true,
        (Usage::EndorsementKey, Some(purposes)) => is_for_ek(&purposes),
        // A signer of files is pinned by whoever trusts it; no purpose is registered for reference values.
        (Usage::Signer | Usage::EndorsementAuthority, Some(_)) => true,
        (Usage::AttestationKey, Some(purposes)) => {
            purposes.contains(&KP_AK_CERTIFICATE) || purposes.contains(&KP_ANY)
        }
        (Usage::Dice | Usage::Spdm | Usage::Layers, Some(purposes)) => {
            !purposes.contains(&KP_SPDM_REQUESTER) || purposes.contains(&KP_SPDM_RESPONDER)
        }
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::ChainExtendedKeyUsage { index })
    }
}

fn is_for_ek(purposes: &[ObjectIdentifier]) -> bool {
    purposes.contains(&KP_EK_CERTIFICATE) || purposes.contains(&KP_ANY)
}
