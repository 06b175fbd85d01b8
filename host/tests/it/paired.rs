//! A host with keys, paired with a nexus that the test plays.

use crate::world::{World, now};
use assay_api::id::{DeviceId, HostId};
use assay_api::manifest::{Files, Manifest, Trial};
use assay_api::pairing::{Pairing, PairingRequest};
use assay_api::signed::{DeliveryKeys, Unverified, sign_document};
use assay_host::config::{Config, Dpu};
use assay_host::host::Host;
use assay_host::login::Login;
use ed25519_dalek::{Signer, SigningKey};
use std::convert::Infallible;
use std::path::Path;
use zeroize::Zeroizing;

pub(crate) const CHANNEL: [u8; 32] = [21; 32];

pub(crate) struct Paired {
    pub(crate) world: World,
    pub(crate) host: Host,
    pub(crate) delivery: SigningKey,
    pub(crate) keys: DeliveryKeys,
    pub(crate) request: PairingRequest,
    pub(crate) sequence: u64,
}

pub(crate) fn public(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

pub(crate) fn config(world: &World) -> Config {
    Config {
        state: world.at("state"),
        dpu: Dpu::default(),
        sshd: world.sshd.clone(),
    }
}

impl Paired {
    pub(crate) fn new(world: World) -> Self {
        let host = Host::new(config(&world), now);
        let logins = [Login::parse("root").unwrap(), Login::parse("ops").unwrap()];
        let mut random = Zeroizing::new([0; 64]);
        getrandom::fill(random.as_mut_slice()).unwrap();
        let request = host.init(&logins, false, &random).unwrap();
        let request = Unverified::<PairingRequest>::parse(&request).unwrap();
        let delivery = SigningKey::from_bytes(&[9; 32]);
        let keys = DeliveryKeys {
            current: public(&delivery),
            next: None,
        };
        let paired = Self {
            request: request.claimed().clone(),
            world,
            host,
            delivery,
            keys,
            sequence: 0,
        };
        let pairing = paired.pairing();
        paired
            .host
            .pair(&paired.sign_pairing(&pairing), None)
            .unwrap();
        paired
    }

    pub(crate) fn pairing(&self) -> Pairing {
        Pairing {
            host_id: self.world.host.clone(),
            name: "a".to_owned(),
            device_id: DeviceId::from_random(&[1; 16]),
            channel_key: public(&SigningKey::from_bytes(&CHANNEL)),
            request: self.request.clone(),
            principals: vec!["a.example".to_owned()],
            delivery_keys: self.keys.clone(),
            nexus_id: [5; 32],
            transport: None,
            issued: now(),
        }
    }

    pub(crate) fn sign_pairing(&self, pairing: &Pairing) -> Vec<u8> {
        sign(pairing, &self.delivery)
    }

    /// The next manifest: for root, with a new trial, and a list that revokes `revoked`.
    pub(crate) fn manifest(&mut self, lasts: u64, revoked: &[&Path]) -> Manifest {
        let trust = self.world.trust(&["root"], lasts, revoked);
        self.sequence += 1;
        let trial = trust.trial.unwrap();
        let host_id: HostId = self.world.host.clone();
        Manifest {
            sequence: self.sequence,
            issued: now(),
            not_after: trust.not_after,
            delivery_keys: self.keys.clone(),
            files: Files {
                user_cas: vec![bare(&trust.user_ca[0].to_openssh().unwrap())],
                krl: trust.krl,
                principals: [("root".to_owned(), vec![format!("root@{host_id}")])].into(),
                host_certificate: Some(bare(
                    &trust.host_certificate.unwrap().to_openssh().unwrap(),
                )),
            },
            trial: Some(Trial {
                key: self.request.trial_key.clone(),
                good: bare(&trial.certificate.to_openssh().unwrap()),
                revoked: bare(&trial.revoked.to_openssh().unwrap()),
            }),
            host_id,
        }
    }

    pub(crate) fn sign(&self, manifest: &Manifest) -> Vec<u8> {
        sign(manifest, &self.delivery)
    }

    /// Installs, or gives the code.
    pub(crate) fn install(&self, manifest: &Manifest) -> Result<u64, &'static str> {
        let done = self.host.install(&self.sign(manifest));
        done.map(|done| done.sequence).map_err(|fault| {
            eprintln!("{fault}");
            fault.code()
        })
    }

    pub(crate) fn installed(&self) -> u64 {
        let record = self.host.record(&self.pairing()).unwrap();
        record.map_or(0, |record| record.sequence)
    }
}

pub(crate) fn sign<T: assay_api::signed::Document>(document: &T, key: &SigningKey) -> Vec<u8> {
    let sign = |m: &[u8]| Ok::<_, Infallible>(key.sign(m).to_bytes());
    sign_document(document, &public(key), sign).unwrap()
}

fn bare(line: &str) -> String {
    let mut words = line.split_whitespace();
    format!("{} {}", words.next().unwrap(), words.next().unwrap())
}
