//! The lab's root of trust in software: layers, keys and certificates as BlueField-3 has them, without its hardware.
//!
//! **It proves nothing about hardware.** Whoever reads the unique device secret is the device. Its root is an operator's
//! ([`crate::chain::AnchorKind::Operator`]), and no result under it may say more than that. It is here so that the whole path runs, formats and
//! all, where there is no card.
//!
//! Everything follows from its inputs: no clock, no randomness. A boot with the same secret and firmware gives the same
//! certificates byte for byte; other firmware gives other keys, from the layer that it changed downwards.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;

use hkdf::Hkdf;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::Sha384;
use zeroize::Zeroizing;

use self::certificate::{Role, Subject, issue};
use crate::chain::{Anchor, AnchorKind};
use crate::codec::spki;
use crate::codec::x509::Certificate;
use crate::digest::{Digest, hex};
use crate::evidence::dice::DiceEvidence;
use crate::key::PublicKey;
use crate::refusal::Refusal;
use crate::session::Binding;
use crate::time::Timestamp;

mod certificate;

/// The common names of the six certificates.
const ROOT: &str = "Assay Lab Device Identity CA";
const MODEL: &str = "Assay Lab SoftwareDice Identity";
const PROVISIONER: &str = "Assay Lab Provisioner CA";
const ROM: &str = "Software ROT PSC ROM";
const FMC: &str = "Software ROT PSC FMC CA";
const LEAF: &str = "Software ROT PSC FMC LF";

/// The public key of a layer: an uncompressed P-384 point.
pub type Point = [u8; 97];

/// Who makes the lab's devices: root, model CA and provisioner. Its seed stays with the operator; no device has it.
pub struct SoftwareFactory {
    root: Key,
    model: Key,
    provisioner: Key,
    since: Timestamp,
}

impl SoftwareFactory {
    /// All three keys follow from `seed`; certificates are valid from `since` (whole seconds) to the end of 9999.
    ///
    /// # Errors
    /// `evidence.malformed` for a date after 9999.
    pub fn new(seed: &[u8; 32], since: Timestamp) -> Result<Self, Refusal> {
        let factory = Self {
            root: Key::derive(seed, "root")?,
            model: Key::derive(seed, "model")?,
            provisioner: Key::derive(seed, "provisioner")?,
            since,
        };
        factory.root_certificate()?;
        Ok(factory)
    }

    /// The root to pin. An operator's, whatever its devices look like.
    ///
    /// # Errors
    /// None for a factory that was made; the type says so because parsing can fail.
    pub fn anchor(&self, name: &str) -> Result<Anchor, Refusal> {
        Anchor::pin(name, AnchorKind::Operator, &spki::p384(&self.root.point))
    }

    /// Certifies a device's ROM key ([`SoftwareDice::rom_key`]): the four certificates that it keeps, root first.
    ///
    /// # Errors
    /// As [`SoftwareFactory::new`].
    pub fn provision(&self, rom_key: &Point) -> Result<Vec<Vec<u8>>, Refusal> {
        let root = Subject::authority(ROOT, &self.root.point);
        let model = Subject::authority(MODEL, &self.model.point);
        let provisioner = Subject::authority(PROVISIONER, &self.provisioner.point);
        let rom = Subject::authority(ROM, rom_key);
        Ok(alloc::vec![
            self.root_certificate()?,
            issue(&model, &root, self.since, |tbs| self.root.sign(tbs))?,
            issue(&provisioner, &model, self.since, |tbs| self.model.sign(tbs))?,
            issue(&rom, &provisioner, self.since, |tbs| self
                .provisioner
                .sign(tbs))?,
        ])
    }

    fn root_certificate(&self) -> Result<Vec<u8>, Refusal> {
        let root = Subject::authority(ROOT, &self.root.point);
        issue(&root, &root, self.since, |tbs| self.root.sign(tbs))
    }
}

impl fmt::Debug for SoftwareFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareFactory")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// One device of the lab, booted.
pub struct SoftwareDice {
    certificates: Vec<Vec<u8>>,
    leaf: Key,
}

impl SoftwareDice {
    /// The public key of the ROM layer, for [`SoftwareFactory::provision`]. It follows from the unique device secret alone, so
    /// it outlasts every firmware: it is the device's identity.
    ///
    /// # Errors
    /// `evidence.malformed` where no key can be derived (once in 2^190 secrets).
    pub fn rom_key(uds: &[u8; 32]) -> Result<Point, Refusal> {
        Key::derive(uds, "rom").map(|key| key.point)
    }

    /// Boots: measures two layers of firmware (the first mutable code, then the run-time firmware), derives their secrets
    /// and keys, and has each layer certify the next. `provisioned` are the factory's four certificates, root first.
    ///
    /// # Errors
    /// `dice.other_device` for another device's certificates, `chain.too_short` for another number than four, and the
    /// shape's refusals.
    pub fn boot(
        uds: &[u8; 32],
        provisioned: &[Vec<u8>],
        firmware: &[Digest; 2],
    ) -> Result<Self, Refusal> {
        let [_, _, _, rom_certificate] = provisioned else {
            return Err(Refusal::ChainTooShort { limit: 4 });
        };
        let rom_certificate = Certificate::parse(rom_certificate)?;
        let rom = Key::derive(uds, "rom")?;
        if *rom_certificate.key() != PublicKey::P384(Box::new(rom.point)) {
            return Err(Refusal::DiceOtherDevice);
        }

        // A compound device identifier holds the secret above and the measurement of what runs next (TCG DICE Layering, 5.1).
        let [first_code, runtime] = firmware;
        let first_cdi = cdi(uds, first_code)?;
        let runtime_cdi = cdi(&*first_cdi, runtime)?;
        let fmc = Key::derive(&*first_cdi, "fmc")?;
        let leaf = Key::derive(&*runtime_cdi, "leaf")?;

        let since = rom_certificate.not_before();
        let above = Subject::authority(ROM, &rom.point);
        let fmc_subject = Subject {
            role: Role::Layer { fwid: first_code },
            ..Subject::authority(FMC, &fmc.point)
        };
        let id = hex(rom_certificate.spki_sha256().get(..8).unwrap_or_default());
        let leaf_subject = Subject {
            role: Role::Leaf {
                fwid: runtime,
                id: &id,
            },
            ..Subject::authority(LEAF, &leaf.point)
        };
        let mut certificates = provisioned.to_vec();
        certificates.push(issue(&fmc_subject, &above, since, |tbs| rom.sign(tbs))?);
        certificates.push(issue(&leaf_subject, &fmc_subject, since, |tbs| {
            fmc.sign(tbs)
        })?);
        Ok(Self { certificates, leaf })
    }

    /// The six certificates, root first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Signs the binding with the leaf's key: r and s, 96 bytes, deterministic (RFC 6979).
    #[must_use]
    pub fn sign(&self, binding: &Binding) -> Vec<u8> {
        self.sign_message(binding.as_bytes())
    }

    /// Signs what the SPDM responder has to.
    pub(super) fn sign_message(&self, message: &[u8]) -> Vec<u8> {
        self.leaf.sign(message)
    }

    /// The member's value for this binding; its media type is [`crate::evidence::dice::MEDIA_TYPE`].
    #[must_use]
    pub fn member(&self, binding: &Binding) -> Vec<u8> {
        DiceEvidence::write(&self.certificates, &self.sign(binding))
    }
}

impl fmt::Debug for SoftwareDice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareDice")
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

/// A layer's signing key; zeroised on drop by its type.
struct Key {
    signing: SigningKey,
    point: Point,
}

impl Key {
    /// A key pair from a secret: HKDF with a label and a counter until the number is one of the group's (FIPS 186-5, A.2.2).
    fn derive(secret: &[u8], label: &str) -> Result<Self, Refusal> {
        let no_key = || Refusal::Malformed {
            what: "the device secret",
            why: "no key can be derived from it".to_string(),
        };
        for counter in 0..4u8 {
            let scalar = expand(
                None,
                secret,
                &[b"assay/software-dice/key/1", label.as_bytes(), &[counter]],
            )?;
            if let Ok(signing) = SigningKey::from_slice(&*scalar) {
                let point = signing.verifying_key().to_sec1_point(false);
                let point = Point::try_from(point.as_bytes()).map_err(|_| no_key())?;
                return Ok(Self { signing, point });
            }
        }
        Err(no_key())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.signing.sign(message);
        signature.to_bytes().to_vec()
    }
}

fn cdi(secret: &[u8], firmware: &Digest) -> Result<Zeroizing<[u8; 48]>, Refusal> {
    expand(
        Some(firmware.bytes()),
        secret,
        &[
            b"assay/software-dice/cdi/1",
            firmware.alg().name().as_bytes(),
        ],
    )
}

/// HKDF-SHA384 (RFC 5869) to 48 bytes; each piece of `info` is preceded by its length.
fn expand(
    salt: Option<&[u8]>,
    secret: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; 48]>, Refusal> {
    let mut pieces = Vec::new();
    for piece in info {
        pieces.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes());
        pieces.extend_from_slice(piece);
    }
    let mut out = Zeroizing::new([0; 48]);
    Hkdf::<Sha384>::new(salt, secret)
        .expand(&pieces, &mut *out)
        .map_err(|error| Refusal::Malformed {
            what: "the device secret",
            why: error.to_string(),
        })?;
    Ok(out)
}
