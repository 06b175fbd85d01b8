//! A host for tests: paired by the nexus's signature, speaking the real channel.

use crate::nexus::{World, device};
use assay_api::channel::{FromAgent, FromHost, Inbox, VERSION, frame};
use assay_api::checks::SoftwareChecks;
use assay_api::id::HostId;
use assay_api::manifest::{Files, Manifest};
use assay_api::pairing::{Pairing, PairingRequest};
use assay_api::signed::{DeliveryKeys, Document, Unverified, sign_document};
use assay_api::types::{AgentHost, B64};
use assay_attest::time::Timestamp;
use assay_tls::{CertKey, channel_client};
use ed25519_dalek::{Signer as _, SigningKey};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SEED: [u8; 32] = [51; 32];

pub(crate) struct Paired {
    pub(crate) id: HostId,
    agent: [u8; 32],
    delivery: DeliveryKeys,
}

fn sign<T: Document>(content: &T, seed: &[u8; 32]) -> Vec<u8> {
    let key = SigningKey::from_bytes(seed);
    sign_document(content, &key.verifying_key().to_bytes(), |message| {
        Ok::<_, std::convert::Infallible>(key.sign(message).to_bytes())
    })
    .unwrap()
}

fn public(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

fn keys(delivery: &[u8; 32]) -> DeliveryKeys {
    DeliveryKeys {
        current: public(delivery),
        next: None,
    }
}

/// A newer manifest for the host.
pub(crate) fn publish(world: &mut World, delivery: &[u8; 32], id: &HostId, sequence: u64) {
    let manifest = Manifest {
        host_id: id.clone(),
        sequence,
        issued: Timestamp::from_secs(1_000),
        not_after: Timestamp::from_secs(3_000_000_000),
        delivery_keys: keys(delivery),
        files: Files {
            user_cas: vec!["ssh-ed25519 AAAAC3Nz".into()],
            krl: b"SSHKRL\n\0rest".to_vec(),
            principals: [("root".into(), vec![format!("root@{id}")])].into(),
            host_certificate: None,
        },
        trial: None,
    };
    world
        .manifests
        .insert(id.clone(), (sequence, sign(&manifest, delivery)));
}

impl Paired {
    /// Pairs a host with the agent that enrolled, and publishes its first manifest. A second pairing, by another key than the
    /// nexus's, lies beside it.
    pub(crate) fn new(world: &mut World, delivery: &[u8; 32], sequence: u64) -> Self {
        let id = HostId::from_random(&[61; 16]);
        let agent = world.channel_key.unwrap();
        let pairing = |id: &HostId| Pairing {
            host_id: id.clone(),
            name: "node-1".into(),
            device_id: device(),
            channel_key: agent,
            request: PairingRequest {
                host_key: public(&SEED),
                sshd_host_key: "ssh-ed25519 AAAAC3Nz".into(),
                trial_key: "ssh-ed25519 AAAAC3Nx".into(),
                logins: vec!["root".into()],
            },
            principals: vec!["node-1.example".into()],
            delivery_keys: keys(delivery),
            nexus_id: [5; 32],
            transport: None,
            issued: Timestamp::from_secs(1_000),
        };
        let forged = HostId::from_random(&[62; 16]);
        for (id, signer) in [(&forged, &[99; 32]), (&id, delivery)] {
            world.hosts.push(AgentHost {
                host_id: id.clone(),
                pairing: B64(sign(&pairing(id), signer)),
                sequence,
            });
        }
        publish(world, delivery, &id, sequence);
        Self {
            id,
            agent,
            delivery: keys(delivery),
        }
    }

    /// Connects, takes a manifest, reports it, lets `then` happen, takes the next, reports it: their sequences.
    pub(crate) async fn meet(&self, at: &Path, then: impl FnOnce()) -> (u64, u64) {
        let config = channel_client(&CertKey::ed25519(&SEED), self.agent).unwrap();
        let stream = tokio::net::UnixStream::connect(at).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect("agent".try_into().unwrap(), stream)
            .await
            .unwrap();
        let mut channel = Channel {
            stream,
            inbox: Inbox::default(),
        };
        channel
            .say(&FromHost::Hello {
                version: VERSION,
                host_id: self.id.clone(),
                sequence: 0,
                not_after: None,
            })
            .await;
        let first = self.take(&mut channel).await;
        then();
        let second = self.take(&mut channel).await;
        (first, second)
    }

    async fn take(&self, channel: &mut Channel) -> u64 {
        loop {
            let FromAgent::Manifest { manifest } = channel.hear().await else {
                continue;
            };
            let verified = Unverified::<Manifest>::parse(&manifest)
                .unwrap()
                .verify(&self.delivery, &self.id, None, &SoftwareChecks)
                .unwrap();
            let sequence = verified.content().sequence;
            channel
                .say(&FromHost::Report {
                    sequence,
                    outcome: "ok".into(),
                    detail: String::new(),
                })
                .await;
            return sequence;
        }
    }
}

struct Channel {
    stream: tokio_rustls::client::TlsStream<tokio::net::UnixStream>,
    inbox: Inbox,
}

impl Channel {
    async fn say(&mut self, message: &FromHost) {
        let bytes = frame(message).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> FromAgent {
        loop {
            if let Some(message) = self.inbox.take().unwrap() {
                return message;
            }
            let mut buffer = [0; 1024];
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "the agent hung up");
            self.inbox.push(&buffer[..read]);
        }
    }
}
