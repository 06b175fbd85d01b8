//! The Verifier's side of a proof: what the nexus knows and checks, with the real checks.

use assay_agent::source::roots::{Proof, Roots};
use assay_agent::source::table::Settings;
use assay_attest::attester::Statement;
use assay_attest::claims::Claims;
use assay_attest::codec::tpm::Public;
use assay_attest::expected::{DiceExpectation, Expected, RequestKey, TpmExpectation};
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Label, Purpose};
use assay_attest::time::Timestamp;
use assay_attest::verify::Evidence;
use assay_checks::AwsLc;
use std::path::Path;

/// What the nexus holds of one enrolled device.
pub(crate) struct Known {
    pub(crate) request_key: RequestKey,
    pub(crate) tpm: TpmExpectation,
    pub(crate) dice: DiceExpectation,
    pub(crate) required: Vec<Label>,
}

pub(crate) fn settings(state: &Path, tcti: Option<String>) -> Settings {
    Settings {
        state: state.to_owned(),
        tcti,
        uefi_log: None,
        ima_log: None,
        software_dice: None,
        bmc: None,
    }
}

impl Known {
    pub(crate) fn of(roots: &Roots) -> Self {
        let ak = roots
            .identity()
            .map(|tpm| Public::parse(&tpm.ak_public).unwrap().name().unwrap());
        Self {
            request_key: roots.request_key().clone(),
            required: ak.iter().map(|_| Label::Tpm).collect(),
            tpm: ak.map_or(TpmExpectation::NoTpm, TpmExpectation::Pinned),
            dice: DiceExpectation::NotRequired,
        }
    }

    pub(crate) fn verify(&self, proof: &Proof, bytes: &[u8]) -> Result<Claims, Refusal> {
        let expected = Expected {
            nexus_id: proof.nexus_id,
            subject: &proof.subject,
            purpose: proof.purpose,
            nonce: proof.nonce,
            activation_secret: &proof.activation_secret,
            request_key: &self.request_key,
            tpm: self.tpm.clone(),
            dice: self.dice.clone(),
            ima: None,
            required: &self.required,
            now: Timestamp::from_secs(1_800_000_000),
        };
        let verified = Evidence::parse(bytes)?.verify(&expected, &AwsLc)?;
        Ok(verified.claims().clone())
    }
}

pub(crate) fn proof(nonce: u8) -> Proof {
    Proof {
        nexus_id: [1; 32],
        subject: "d-h7777777777777777777777777".into(),
        purpose: Purpose::Attest,
        nonce: [nonce; 32],
        hpke: HpkeKey::new(Kem::X25519, &[7; 32]).unwrap(),
        activation_secret: Vec::new(),
        pcrs: (0..12).chain([16, 23]).collect(),
        statement: Statement {
            ueid: None,
            serial: Some("MT2334X00001".into()),
            channel_key: [9; 32],
            agent_version: "0.1.0".into(),
            boot_count: None,
            uptime: 7,
            hostname: "dpu-1".into(),
            hwmodel: "BlueField-3".into(),
        },
    }
}

/// Runs one future on a runtime like the agent's.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
