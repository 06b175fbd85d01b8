//! The `irot` and `erot` members: a DICE chain of X.509 certificates and the leaf's signature over the binding.
//!
//! A CBOR map, deterministic: 1 chain (array of DER certificates, root first), 2 signature over the 32 bytes of the
//! binding by the leaf's key (r and s for ECDSA, as [`CheckSignature`] takes it).
//!
//! Two types keep apart what must not be mixed up: [`DiceIdentity`] says who a chain speaks of, and anybody can replay it;
//! [`DiceProof`] says that this device signed this session. Claims come out of a proof only.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::{Context, Format, Member};
use crate::chain::{AnchorKind, Chain, Order, TrustAnchors, Usage, VerifiedChain};
use crate::claims::{Claims, DiceClaims, DiceLayer};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::dice::{self, LayerInfo};
use crate::key::{CheckSignature, PublicKey};
use crate::limits;
use crate::refusal::Refusal;
use crate::session::{Binding, Label};
use crate::time::Timestamp;

/// Media type of the member.
pub const MEDIA_TYPE: &str = "application/vnd.assay.dice+cbor";

const WHAT: &str = "the dice member";
/// The longest signature: RSA does not sign here, so r and s of P-521.
const SIGNATURE_BYTES: usize = 132;
/// Where the device's own key stands on a full chain, counted from the root: root, model, provisioner, device.
const DEVICE: usize = 3;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Dice;

impl Format for Dice {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn stands_under(&self, label: Label) -> bool {
        matches!(label, Label::Irot | Label::Erot)
    }

    fn parse(&self, _label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal> {
        DiceEvidence::parse(value).map(|parsed| -> Box<dyn Member> { Box::new(parsed) })
    }
}

/// The parsed member.
#[derive(Clone, Debug)]
pub struct DiceEvidence {
    chain: Chain,
    signature: Vec<u8>,
}

impl DiceEvidence {
    /// Parses the wrapper value.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let map = cbor::decode(WHAT, value, limits::DICE_BYTES, Form::Deterministic)?;
        let mut fields = Fields::new(WHAT, map)?;
        let Value::Array(items) = fields.required(1)? else {
            return Err(Refusal::Malformed {
                what: WHAT,
                why: "the chain is not an array".to_string(),
            });
        };
        let signature = fields.bytes(2, SIGNATURE_BYTES)?;
        fields.finish()?;
        if items.len() > limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        let certificates = items
            .into_iter()
            .map(|item| cbor::bytes(WHAT, item, limits::CERTIFICATE_BYTES))
            .collect::<Result<Vec<_>, _>>()?;
        let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
        Ok(Self { chain, signature })
    }

    /// The chain, not yet verified.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The leaf's signature, not yet verified.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Writes a member: certificates as DER, root first, and the leaf's signature.
    #[must_use]
    pub fn write(certificates: &[Vec<u8>], signature: &[u8]) -> Vec<u8> {
        let chain = certificates.iter().cloned().map(Value::Bytes).collect();
        cbor::encode(Value::Map(alloc::vec![
            (Value::from(1), Value::Array(chain)),
            (Value::from(2), Value::Bytes(signature.to_vec())),
        ]))
    }
}

impl Member for DiceEvidence {
    fn verify(&self, context: &Context<'_>, claims: &mut Claims) -> Result<(), Refusal> {
        let root = context
            .expected
            .dice
            .root(context.label)
            .ok_or(Refusal::DiceUnexpected)?;
        let identity = DiceIdentity::verify(
            &self.chain,
            &root.anchors,
            context.expected.now,
            context.check,
        )?;
        let proof = identity.prove(context.binding, &self.signature, context.check)?;
        // Only now: that another device answers is worth knowing only of one that is really there.
        if root
            .device_key
            .is_some_and(|pinned| pinned != proof.identity().device_key())
        {
            return Err(Refusal::DiceOtherDevice);
        }
        claims.dice.push(proof.claims(context.label)?);
        Ok(())
    }
}

/// One layer of a verified chain, from the root's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// What it says of its firmware.
    pub info: Option<LayerInfo>,
    /// Universal Entity ID, where stated.
    pub ueid: Option<Vec<u8>>,
}

/// Whom a chain speaks of. It is no proof: whoever has seen the chain can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceIdentity {
    device_key: [u8; 32],
    anchor: String,
    anchor_kind: AnchorKind,
    layers: Vec<Layer>,
    leaf: PublicKey,
    ends: Timestamp,
}

impl DiceIdentity {
    /// Verifies a chain to a pinned root and reads its layers.
    ///
    /// The device's key is the last one whose certificate names no firmware, so that it outlasts updates; every
    /// certificate below it must name its firmware. On a chain of five or more that key is the fourth from the root (root,
    /// model, provisioner, device ROM: BlueField-3, GH100, LS10, GB100, the lab's software root); any other place is
    /// refused, since a model's key would make one device of many. On a shorter chain it lies below the root, for the
    /// same reason.
    ///
    /// # Errors
    /// `chain.*` and `dice.*`.
    pub fn verify(
        chain: &Chain,
        anchors: &TrustAnchors,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<Self, Refusal> {
        let verified = chain.verify(anchors, Usage::Dice, now, check)?;
        let layers = layers(&verified)?;
        let first_measured = layers.iter().position(|layer| layer.info.is_some());
        let Some(first_measured) = first_measured else {
            return Err(Refusal::DiceNoFwid {
                index: layers.len().saturating_sub(1),
            });
        };
        let device = first_measured
            .checked_sub(1)
            .filter(|device| *device > 0)
            .ok_or(Refusal::DiceNoDeviceKey)?;
        if layers.len() > DEVICE.saturating_add(1) && device != DEVICE {
            return Err(Refusal::DiceNoDeviceKey);
        }
        let device_key = layers.get(device).ok_or(Refusal::DiceNoDeviceKey)?.key;
        Ok(Self {
            device_key,
            anchor: verified.anchor().name().to_string(),
            anchor_kind: verified.anchor().kind(),
            layers,
            leaf: verified.leaf().key().clone(),
            ends: verified.ends(),
        })
    }

    /// Makes a proof of the identity: the leaf's key signed these 32 bytes, so the device was there for this session.
    ///
    /// # Errors
    /// `dice.signature`.
    pub fn prove(
        self,
        binding: &Binding,
        signature: &[u8],
        check: &dyn CheckSignature,
    ) -> Result<DiceProof, Refusal> {
        // RSA does not sign here.
        let scheme = self.leaf.scheme().ok_or(Refusal::DiceSignature)?;
        check
            .check(&self.leaf, scheme, binding.as_bytes(), signature)
            .map_err(|_| Refusal::DiceSignature)?;
        Ok(DiceProof { identity: self })
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the device's stable key.
    #[must_use]
    pub const fn device_key(&self) -> [u8; 32] {
        self.device_key
    }

    /// Name of the pinned root.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// What stands behind the pinned root.
    #[must_use]
    pub const fn anchor_kind(&self) -> AnchorKind {
        self.anchor_kind
    }

    /// All layers, root first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The leaf's key, which signs evidence.
    #[must_use]
    pub const fn leaf(&self) -> &PublicKey {
        &self.leaf
    }

    /// The earliest notAfter of the chain.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// What a proof by this identity says. Only what checked such a proof may call this.
    pub(crate) fn claims(&self, label: Label) -> Result<DiceClaims, Refusal> {
        Ok(DiceClaims {
            label,
            device_key: self.device_key,
            anchor: self.anchor.clone(),
            anchor_kind: self.anchor_kind,
            layers: self
                .layers
                .iter()
                .map(layer_claims)
                .collect::<Result<_, _>>()?,
            ends: self.ends,
        })
    }
}

/// An identity whose leaf signed this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceProof {
    identity: DiceIdentity,
}

impl DiceProof {
    /// Who proved itself.
    #[must_use]
    pub const fn identity(&self) -> &DiceIdentity {
        &self.identity
    }

    /// What the proof says, for appraisal.
    ///
    /// # Errors
    /// `evidence.unsupported` for firmware digests that no reference value can be compared with (SHA-3).
    pub fn claims(&self, label: Label) -> Result<DiceClaims, Refusal> {
        self.identity.claims(label)
    }
}

fn layer_claims(layer: &Layer) -> Result<DiceLayer, Refusal> {
    let tcb = || layer.info.iter().flat_map(|info| &info.tcb);
    Ok(DiceLayer {
        key: layer.key,
        layout: layer.info.as_ref().map(|info| info.layout),
        fwids: tcb()
            .flat_map(|tcb| &tcb.fwids)
            .filter(|fwid| !fwid.is_zero())
            .map(dice::Fwid::to_digest)
            .collect::<Result<_, _>>()?,
        svns: tcb().filter_map(|tcb| tcb.svn).collect(),
        flags: tcb().fold(0, |flags, tcb| flags | tcb.flags),
    })
}

/// Reads every certificate and checks what DICE adds to X.509: the device key that a layer names is its issuer's, and below a
/// layer that names its firmware each does.
///
/// # Errors
/// `dice.*` and the shape's refusals.
pub fn layers(chain: &VerifiedChain<'_>) -> Result<Vec<Layer>, Refusal> {
    let mut layers = Vec::new();
    let mut issuer: Option<&[u8]> = None;
    for (index, certificate) in chain.certificates().iter().enumerate() {
        let info = LayerInfo::of(index, certificate)?;
        if let Some(named) = info.as_ref().and_then(|info| info.device_spki.as_deref())
            && issuer != Some(named)
        {
            return Err(Refusal::DiceDeviceKey { index });
        }
        issuer = Some(certificate.spki());
        layers.push(Layer {
            key: certificate.spki_sha256(),
            info,
            ueid: dice::ueid(certificate)?,
        });
    }
    let named = |layer: &Layer| {
        let info = layer.info.as_ref();
        // All zero is a place that is not used (Blackwell's second one): it names no firmware.
        info.is_some_and(|info| !info.fwids().all(dice::Fwid::is_zero))
    };
    let first = layers.iter().position(|layer| layer.info.is_some());
    let unnamed = |(_, layer): &(usize, &Layer)| !named(layer);
    match first.and_then(|first| layers.iter().enumerate().skip(first).find(unnamed)) {
        Some((index, _)) => Err(Refusal::DiceNoFwid { index }),
        None => Ok(layers),
    }
}
