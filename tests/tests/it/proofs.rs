//! Evidence in the wrong hands: made by real TPMs, sent by whoever wants to, to a running nexus.

use std::sync::Arc;

use assay_agent::boot::Boot;
use assay_agent::config::Config;
use assay_agent::source::roots::{Proof, Roots};
use assay_agent::state::State;
use assay_agent::vault::Vault;
use assay_agent::{about, enrol, link};
use assay_api::routes::call;
use assay_api::types::*;
use assay_attest::session::Purpose;
use assay_client::{CallError, Client};
use assay_tests::lab::{Device, Lab};
use assay_tests::person::block_on;
use assay_tls::Pins;

use crate::ready;

/// An agent's keys in the hands of the test, which plays the agent.
struct Puppet {
    roots: Roots,
    client: Arc<Client>,
    config: Config,
    state: State,
    id: String,
}

impl Puppet {
    fn new(lab: &Lab, device: &mut Device) -> Self {
        device.agent.stop();
        let config = Config::load(&device.agent.dir().join("agent.toml")).unwrap();
        let state = State::open(&config.state).unwrap();
        let identity = state.identity().unwrap();
        let roots = Roots::open(config.sources()).unwrap();
        let pins = Pins {
            current: lab.nexus.pin(),
            next: None,
        };
        let client =
            link::client(lab.nexus.url().clone(), pins, &roots, Some(identity.key_id)).unwrap();
        Self {
            roots,
            client,
            config,
            state,
            id: identity.device_id.to_string(),
        }
    }

    fn nonce(&self) -> Nonce {
        block_on(self.client.call::<call::new_nonce>(None, &Empty {}))
            .unwrap()
            .body
    }

    /// Evidence of this machine for a session of anybody's.
    fn prove(&self, lab: &Lab, subject: &str, nonce: &Nonce) -> Vec<u8> {
        let (_, channel_key) = self.state.channel_key().unwrap();
        let statement = about::statement(
            &self.config,
            channel_key,
            self.roots.request_key().thumbprint(),
        );
        let proof = Proof {
            nexus_id: lab.nexus.pin(),
            subject: subject.to_owned(),
            purpose: Purpose::Attest,
            nonce: enrol::nonce(&nonce.nonce).unwrap(),
            hpke: enrol::fresh_key(&mut Vault::new()).unwrap(),
            activation_secret: Vec::new(),
            pcrs: nonce.pcrs.clone(),
            statement: about::now(&statement, Boot::now().unwrap()),
        };
        block_on(self.roots.prove(proof)).unwrap()
    }

    fn submit(&self, evidence: &[u8]) -> Result<Verdict, CallError> {
        let ask = EvidenceIn {
            evidence: B64(evidence.to_vec()),
        };
        block_on(self.client.call::<call::submit_evidence>(None, &ask)).map(|answer| answer.body)
    }

    #[track_caller]
    fn refused(&self, evidence: &[u8]) -> String {
        match self.submit(evidence) {
            Ok(verdict) => panic!("taken: {verdict:?}"),
            Err(error) => {
                assert!(
                    matches!(error.status(), Some(400..=422)),
                    "{} {error}",
                    error.code()
                );
                error.code().to_owned()
            }
        }
    }
}

#[test]
fn i4_relayed_and_replayed_evidence_fails_and_costs_its_owner_nothing() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let (mut a, mut b) = (lab.dpu("dpu-a"), lab.dpu("dpu-b"));
    lab.good(&a);
    lab.good(&b);
    let (at_a, at_b) = (Puppet::new(&lab, &mut a), Puppet::new(&lab, &mut b));
    let stands = |device: &Device| {
        let shown = lab.show(device);
        (shown.attestation, shown.result_id.map(|r| r.to_string()))
    };
    let before = stands(&a);

    // B hands in what A made; the nonce stays A's, who then hands it in itself, once.
    let (nonce_a, nonce_b) = (at_a.nonce(), at_b.nonce());
    let evidence = at_a.prove(&lab, &at_a.id, &nonce_a);
    let relayed = at_b.refused(&evidence);
    // A's machine answers B's challenge: what a thief of B's key would have to do without B's TPM.
    let borrowed = at_b.refused(&at_a.prove(&lab, &at_b.id, &nonce_b));
    // A answers with the nonce that B was given, and with one that nobody was given.
    let foreign = at_a.refused(&at_a.prove(&lab, &at_a.id, &nonce_b));
    let invented = Nonce {
        nonce: B64(vec![7; 32]),
        ..nonce_b.clone()
    };
    let made_up = at_a.refused(&at_a.prove(&lab, &at_a.id, &invented));
    println!("relayed {relayed}, borrowed {borrowed}, foreign {foreign}, made up {made_up}");
    assert_eq!(stands(&a), before);
    assert_eq!(lab.show(&a).rejected, 2);
    assert_eq!(lab.show(&b).rejected, 2);
    assert_eq!(at_a.submit(&evidence).unwrap().verdict, "verified");
    let replayed = at_a.refused(&evidence);
    println!("replayed {replayed}");

    // A newer nonce voids the one before.
    let old = at_a.nonce();
    let evidence = at_a.prove(&lab, &at_a.id, &old);
    let new = at_a.nonce();
    at_a.refused(&evidence);
    assert_eq!(
        at_a.submit(&at_a.prove(&lab, &at_a.id, &new))
            .unwrap()
            .verdict,
        "verified"
    );
    assert_eq!(stands(&b).0, "verified");
}

#[test]
fn i2_no_byte_of_evidence_can_be_changed() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let mut device = lab.dpu("dpu-a");
    lab.good(&device);
    let puppet = Puppet::new(&lab, &mut device);
    let mut nonce = puppet.nonce();
    let mut evidence = puppet.prove(&lab, &puppet.id, &nonce);
    let before = lab.show(&device).result_id;
    for step in 0..35 {
        // Seven rejections, then a new nonce: eight would void it.
        if step % 7 == 6 {
            nonce = puppet.nonce();
            evidence = puppet.prove(&lab, &puppet.id, &nonce);
        }
        let at = evidence.len() * step / 35;
        let mut changed = evidence.clone();
        changed[at] ^= 1 << (step % 8);
        puppet.refused(&changed);
    }
    puppet.refused(&evidence[..evidence.len() - 1]);
    assert_eq!(
        lab.show(&device).result_id,
        before,
        "none of it gave a verdict"
    );
    nonce = puppet.nonce();
    assert_eq!(
        puppet
            .submit(&puppet.prove(&lab, &puppet.id, &nonce))
            .unwrap()
            .verdict,
        "verified"
    );
}
