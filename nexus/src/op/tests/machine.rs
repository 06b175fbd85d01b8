//! A DPU with a software TPM, and all that it can send.

use std::sync::Arc;

use assay_api::id::{DeviceId, KeyId};
use assay_api::jose::Jwk;
use assay_api::seal;
use assay_api::types::*;
use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::spdm::{BlueField, Responder, record};
use assay_attest::attester::tpm::{CertifiedKeyParts, TpmParts, member};
use assay_attest::attester::{Draft, Statement};
use assay_attest::claims::PcrBanks;
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::codec::tpm::{Attributes, Public};
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::spdm::SpdmEvidence;
use assay_attest::evidence::tpm::MEDIA_TYPE;
use assay_attest::expected::RequestKey;
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::key::PublicKey;
use assay_attest::refusal::Refusal;
use assay_attest::session::{Binding, Label, Purpose, SessionInput};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

use super::soft_tpm::{self, KEY_ATTRIBUTES, SoftTpm};
use super::world::World;
use crate::op::Caller;
use crate::op::caller::{Device as DeviceCaller, NewKey};
use crate::random::{OsRandom, Random};

/// What a proof answers.
pub(super) struct Asked {
    pub(super) nexus_id: [u8; 32],
    pub(super) subject: String,
    pub(super) purpose: Purpose,
    pub(super) nonce: [u8; 32],
    pub(super) secret: Vec<u8>,
}

/// Signs a binding, and is the member's value.
pub(super) type MakesMember = Arc<dyn Fn(&Binding) -> Vec<u8> + Send + Sync>;

/// A root of trust that speaks SPDM, and the firmware that it measures.
pub(super) type Measured = (Arc<SoftwareDice>, &'static [u8]);

/// A DPU with a software TPM.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) tpm: SoftTpm,
    pub(super) request: SigningKey,
    pub(super) ek: SigningKey,
    /// The authPolicy that its EK's public area states.
    pub(super) ek_policy: Vec<u8>,
    pub(super) serial: String,
    pub(super) hpke: HpkeKey,
    pub(super) hpke_private: Zeroizing<[u8; 32]>,
    /// Makes its DICE member for a binding.
    pub(super) dice: Option<MakesMember>,
    /// An accelerator of its host.
    pub(super) accelerator: Option<Measured>,
    /// The roots of trust that its management controller asks for signed measurements: without a DICE member.
    pub(super) erot: Option<Measured>,
    pub(super) irot: Option<Measured>,
    /// Whether it sends a quote of its TPM.
    pub(super) quotes: bool,
    /// Whether its TPM says that it holds the request key.
    pub(super) certifies: bool,
    pub(super) enrolled: Option<(DeviceId, KeyId)>,
}

impl Machine {
    pub(super) fn new(seed: u8) -> Self {
        let mut tpm = SoftTpm::new(seed);
        let bank = (0..16).map(|pcr| (pcr, HashAlg::Sha256.hash(&[&[seed, pcr]])));
        tpm.pcrs = PcrBanks::from([(HashAlg::Sha256, bank.collect())]);
        let mut machine = Self {
            tpm,
            request: soft_tpm::signing_key(seed + 100),
            ek: soft_tpm::signing_key(seed + 50),
            ek_policy: Vec::new(),
            serial: format!("SN{seed:04}"),
            hpke: HpkeKey::new(Kem::X25519, &[1; 32]).unwrap(),
            hpke_private: Zeroizing::new([0; 32]),
            dice: None,
            accelerator: None,
            erot: None,
            irot: None,
            quotes: true,
            certifies: true,
            enrolled: None,
        };
        machine.new_hpke();
        machine
    }

    /// Each proof has its own.
    pub(super) fn new_hpke(&mut self) {
        let random: &dyn Random = &OsRandom;
        let (private, public) = seal::key_pair(&Zeroizing::new(random.bytes().unwrap()));
        self.hpke = HpkeKey::new(Kem::X25519, &public).unwrap();
        self.hpke_private = private;
    }

    pub(super) fn id(&self) -> &DeviceId {
        &self.enrolled.as_ref().unwrap().0
    }

    pub(super) fn jwk(&self) -> Jwk {
        Jwk::p256(&soft_tpm::point(&self.request)).unwrap()
    }

    pub(super) fn new_key(&self) -> Caller {
        let jwk = self.jwk();
        Caller::NewKey(NewKey {
            thumbprint: jwk.thumbprint(),
            jwk,
        })
    }

    pub(super) fn caller(&self, world: &World) -> Caller {
        let (id, key) = self.enrolled.clone().unwrap();
        Caller::Device(DeviceCaller {
            id,
            key,
            tenant: world.acme.id.clone(),
        })
    }

    pub(super) fn ek_public(&self) -> Vec<u8> {
        let attributes = Attributes::FIXED_TPM
            | Attributes::FIXED_PARENT
            | Attributes::SENSITIVE_DATA_ORIGIN
            | Attributes::RESTRICTED
            | Attributes::DECRYPT;
        let point = soft_tpm::point(&self.ek);
        let head = [
            &[0, 0x23, 0, 0x0b][..],
            &attributes.to_be_bytes(),
            &[0, u8::try_from(self.ek_policy.len()).unwrap()],
            &self.ek_policy,
            &[0, 6, 0, 0x80, 0, 0x43],
        ]
        .concat();
        let tail = [
            &[0, 0x10, 0, 3, 0, 0x10, 0, 32][..],
            &point[1..33],
            &[0, 32],
            &point[33..],
        ]
        .concat();
        [head, tail].concat()
    }

    pub(super) fn ek_spki(&self) -> [u8; 32] {
        let key = Public::parse(&self.ek_public()).unwrap().key;
        assay_attest::digest::sha256(&[&assay_attest::codec::spki::write(&key)])
    }

    fn request_public(&self) -> Vec<u8> {
        soft_tpm::public_area(&self.request, KEY_ATTRIBUTES, None)
    }

    pub(super) fn begin(&self, secret: &[u8; 32]) -> EnrolBegin {
        EnrolBegin {
            secret: SecretB64(Zeroizing::new(secret.to_vec())),
            ek_public: self.quotes.then(|| B64(self.ek_public())),
            ek_certificate: None,
            ak_public: self.quotes.then(|| B64(self.tpm.ak_public())),
            request_key_public: self.quotes.then(|| B64(self.request_public())),
        }
    }

    pub(super) fn extend(&mut self, pcr: u8) {
        let bank = self.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
        let before: &Digest = &bank[&pcr];
        let after = HashAlg::Sha256.hash(&[before.bytes(), b"something else"]);
        bank.insert(pcr, after);
    }

    pub(super) fn prove(&self, asked: &Asked) -> Vec<u8> {
        let request_key =
            RequestKey::new(PublicKey::P256(Box::new(soft_tpm::point(&self.request)))).unwrap();
        let input = SessionInput {
            nexus_id: asked.nexus_id,
            subject: &asked.subject,
            purpose: asked.purpose,
            nonce: asked.nonce,
            request_key_thumbprint: *request_key.thumbprint(),
            hpke: &self.hpke,
            activation_secret: &asked.secret,
        };
        let statement = Statement {
            ueid: None,
            serial: Some(self.serial.clone()),
            channel_key: [9; 32],
            agent_version: "0.1.0".into(),
            boot_count: Some(3),
            uptime: 77,
            hostname: "dpu".into(),
            hwmodel: "BlueField-3".into(),
        };
        let mut draft = Draft::begin(&input, &statement).unwrap();
        let binding = draft.binding(Label::Tpm).unwrap();
        let public = self.request_public();
        let (quote, quote_signature) = self.tpm.quote(binding.as_bytes());
        let (certification, signature) = self.tpm.certify(&public, binding.as_bytes());
        let parts = TpmParts {
            quote,
            quote_signature,
            pcrs: self.tpm.pcrs.clone(),
            ak: self.tpm.ak_public(),
            ak_parent: self.tpm.parent.clone(),
            request_key: self.certifies.then_some(CertifiedKeyParts {
                public,
                certification,
                signature,
            }),
        };
        if self.quotes {
            let value = member(&parts).unwrap();
            draft.add(Label::Tpm, MEDIA_TYPE, value).unwrap();
        }
        let measured = [
            (Label::Accel(0), &self.accelerator),
            (Label::Erot, &self.erot),
            (Label::Irot, &self.irot),
        ];
        for (label, root) in measured {
            let Some((dice, firmware)) = root else {
                continue;
            };
            let binding = draft.binding(label).unwrap();
            let measured = BlueField {
                psc: firmware,
                nic: b"",
                arm: b"",
                configuration: b"",
            };
            let mut responder = Responder::new(dice, Version::V11, measured.blocks());
            let transcript = record(
                Version::V11,
                binding.as_bytes(),
                &[Operation::All],
                |request| Ok::<_, Refusal>(responder.respond(request, &[1; 32])),
            )
            .unwrap();
            let value = SpdmEvidence::write(dice.certificates(), &transcript);
            let kind = assay_attest::evidence::spdm::MEDIA_TYPE;
            draft.add(label, kind, value).unwrap();
        }
        if let Some(dice) = &self.dice {
            let binding = draft.binding(Label::Irot).unwrap();
            draft
                .add(
                    Label::Irot,
                    assay_attest::evidence::dice::MEDIA_TYPE,
                    dice(&binding),
                )
                .unwrap();
        }
        let sign = |message: &[u8]| {
            let signature: Signature = self.request.sign(message);
            Ok::<_, Refusal>(signature.to_bytes().to_vec())
        };
        draft.seal(&request_key, sign).unwrap()
    }
}
