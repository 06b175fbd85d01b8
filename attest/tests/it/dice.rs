//! DICE: identities out of real chains, proofs out of the lab's software root, and what must not pass for either.

mod members;
mod shapes;
mod software;

use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors};
use assay_attest::codec::dice::{DiceLayout, Fwid, FwidAlg, LayerInfo, ueid};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::HashAlg;
use assay_attest::evidence::dice::DiceIdentity;
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Binding, BindingChain, Label, Purpose, Session, SessionInput};
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use crate::chain::bluefield;
use crate::vectors::{folder, pem, unhex};

/// 2026-11-22.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);
pub(crate) const MADE: Timestamp = Timestamp::from_secs(1_767_225_600);

pub(crate) fn identify(
    certificates: &[Vec<u8>],
    anchors: &TrustAnchors,
) -> Result<DiceIdentity, Refusal> {
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
    DiceIdentity::verify(&chain, anchors, NOW, &AwsLc)
}

pub(crate) fn nvidia() -> TrustAnchors {
    TrustAnchors::new(Anchor::nvidia_device_identity(), Vec::new())
}

fn sha384(digest: &str) -> Fwid {
    Fwid {
        alg: FwidAlg::Sha2(HashAlg::Sha384),
        digest: unhex(digest),
    }
}

pub(crate) fn binding(of: u8) -> Binding {
    let hpke = HpkeKey::new(Kem::X25519, &[9; 32]).unwrap();
    let input = SessionInput {
        nexus_id: [1; 32],
        subject: "device",
        purpose: Purpose::Attest,
        nonce: [of; 32],
        request_key_thumbprint: [3; 32],
        hpke: &hpke,
        activation_secret: &[],
    };
    BindingChain::new(Session::new(&input))
        .binding(Label::Irot)
        .unwrap()
}

/// The lab: one operator, its devices.
pub(crate) struct Lab {
    pub(crate) factory: SoftwareFactory,
    pub(crate) anchors: TrustAnchors,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let factory = SoftwareFactory::new(&[7; 32], MADE).unwrap();
        let anchors = TrustAnchors::new(factory.anchor("lab").unwrap(), Vec::new());
        Self { factory, anchors }
    }

    pub(crate) fn boot(&self, uds: u8, firmware: [u8; 2]) -> SoftwareDice {
        let provisioned = self
            .factory
            .provision(&SoftwareDice::rom_key(&[uds; 32]).unwrap())
            .unwrap();
        SoftwareDice::boot(
            &[uds; 32],
            &provisioned,
            &firmware.map(|byte| HashAlg::Sha384.hash(&[&[byte]])),
        )
        .unwrap()
    }

    pub(crate) fn identity(&self, device: &SoftwareDice) -> DiceIdentity {
        identify(device.certificates(), &self.anchors).unwrap()
    }
}

#[test]
fn the_real_bluefield_is_its_rom_key() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let identity = identify(&certificates, &nvidia()).unwrap();
    let rom = "9c75556476a7c9197f613649b85ee582727ff9423538ec7bbee263a3ba671c9f";
    assert_eq!(identity.device_key().to_vec(), unhex(rom));
    assert_eq!(
        (identity.anchor(), identity.anchor_kind()),
        ("nvidia-device-identity", AnchorKind::Vendor)
    );

    let layouts: Vec<_> = identity
        .layers()
        .iter()
        .map(|layer| layer.info.as_ref().map(|info| info.layout))
        .collect();
    assert_eq!(
        layouts,
        [
            None,
            None,
            None,
            None,
            Some(DiceLayout::Riot),
            Some(DiceLayout::Riot)
        ]
    );
    let fwids: Vec<_> = identity
        .layers()
        .iter()
        .flat_map(|layer| &layer.info)
        .flat_map(LayerInfo::fwids)
        .cloned()
        .collect();
    assert_eq!(
        fwids,
        [
            sha384(
                "148ce154f3da232994d870bab5b452e830562e74d5b36eb9b1d8c55614f24a314828ace2260349ab7bf69176ba450930"
            ),
            sha384(
                "97c1b6f3fc7f2f025891e868b15e1844e6c3ac8f4f5beac42d1f67e09eb6865c33b463de9d080e2b1ea8abb6e35339cd"
            ),
        ]
    );
}

#[test]
fn gpus_are_their_boot_rom_key() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    for (name, layout, fwids) in [
        ("gh100-a", DiceLayout::Riot, 1),
        ("ls10-a", DiceLayout::Riot, 1),
        ("gb100-a", DiceLayout::NvidiaTcbInfo, 2),
    ] {
        let mut certificates = pem(&folder.join(format!("{name}.chain.pem")));
        certificates.reverse();
        let identity = identify(&certificates, &nvidia()).unwrap();
        assert_eq!(identity.device_key(), identity.layers()[3].key, "{name}");
        let info = identity.layers()[4].info.as_ref().unwrap();
        assert_eq!(
            (info.layout, info.fwids().count()),
            (layout, fwids),
            "{name}"
        );
        if fwids == 2 {
            assert_eq!(info.tcb[0].model.as_deref(), Some("GB100 A01 GSP"));
            assert!(
                info.fwids().nth(1).unwrap().to_digest().unwrap().is_zero(),
                "present and unused"
            );
        }
    }
}

#[test]
fn other_layouts_are_read() {
    let Some(folder_) = folder("caliptra") else {
        return;
    };
    let parse = |folder: &std::path::Path, name: &str| {
        Certificate::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let fmc = parse(&folder_, "fmc_alias_cert_ecc.der");
    let info = LayerInfo::of(0, &fmc).unwrap().unwrap();
    assert_eq!(info.layout, DiceLayout::MultiTcbInfo);
    let fwids: Vec<_> = info.fwids().cloned().collect();
    assert_eq!(
        fwids,
        [
            sha384(
                "89174d323270f9d456b0862335949437959be8a134458df89821cb50e2ac11843daa5b5a5a6bacf74ef8bdffd422e20b"
            ),
            sha384(
                "83ffe184760328cf1263026aacbc9d81e5d143d4fdc6253afcee3210f7c25bfcad4cae405b8b2811403bb3f1e3e85c19"
            ),
        ]
    );
    // Bits count from the left (X.680, 22.1): what is set in 00000001 is bit 31, which says only that the length is fixed.
    assert!(info.tcb.iter().all(|tcb| tcb.flags == 0));
    assert_eq!(info.tcb[0].kind, b"DEVICE_INFO");
    assert!(ueid(&fmc).unwrap().is_some());
    let ldevid = parse(&folder_, "ldevid_cert_ecc.der");
    assert_eq!(LayerInfo::of(0, &ldevid).unwrap(), None);
    assert!(ueid(&ldevid).unwrap().is_some());

    let alias = parse(&folder("oxide").unwrap(), "alias.cert.der");
    let info = LayerInfo::of(0, &alias).unwrap().unwrap();
    assert_eq!(
        (info.layout, info.fwids().next().unwrap().alg),
        (DiceLayout::TcbInfo, FwidAlg::Sha3(32))
    );

    let san = std::fs::read(folder("riot").unwrap().join("riot-ext.der")).unwrap();
    let info = LayerInfo::alt_name(&san).unwrap().unwrap();
    let digest = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(info.layout, DiceLayout::RiotAltName);
    assert_eq!(info.fwids().next().unwrap().digest, unhex(digest));
}

/// A chain shown by somebody who has only seen it: identity, and no proof of it.
#[test]
fn i4_a_chain_without_a_fresh_signature_proves_nothing() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let identity = identify(&certificates, &nvidia()).unwrap();
    for signature in [&[][..], &[0; 96], &[1; 96], &[0xff; 96]] {
        assert_eq!(
            identity
                .clone()
                .prove(&binding(1), signature, &AwsLc)
                .unwrap_err(),
            Refusal::DiceSignature
        );
    }
}
