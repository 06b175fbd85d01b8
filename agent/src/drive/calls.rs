//! The calls to the nexus, each a future that ends in one event.

use super::Keys;
use super::event::Event;
use crate::boot::Boot;
use crate::cycle::{Call, Challenge, Errands, Input};
use crate::deliver::Hub;
use crate::deliver::hub::Signed;
use crate::head::{self, HeadError};
use assay_api::checks::SoftwareChecks;
use assay_api::id::{DeviceId, HostId, LeaseId};
use assay_api::log::{Head, LogKey};
use assay_api::manifest::Manifest;
use assay_api::pairing::Pairing;
use assay_api::routes::call;
use assay_api::signed::{SignedFault, Unverified};
use assay_api::types::{
    AgentHost, B64, DeliveryReport, Empty, EvidenceIn, LeasesAsk, ManifestAsk, WakeAsk,
};
use assay_client::{CallError, Client, Extra};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the nexus may hold the waking call.
const WAIT_SECONDS: u32 = 55;
/// When there is no host: pairings are looked at again, should the waking call have missed one.
const NO_HOSTS_SECONDS: u32 = 3600;

/// What a call failed with, as an event.
fn event(call: Call, result: Result<Event, CallError>) -> Event {
    result.unwrap_or_else(|error| Event::Failed(call, error))
}

pub(super) async fn nonce(client: Arc<Client>) -> Event {
    let asked = client.call::<call::new_nonce>(None, &Empty {}).await;
    let result = asked.map(|answer| match answer.body.nonce.0.as_slice().try_into() {
        Ok(nonce) => {
            let pcrs = answer.body.pcrs;
            Event::Nonce(Challenge { nonce, pcrs }, answer.nexus_id)
        }
        Err(_length) => Event::Fault {
            call: Call::Proof,
            code: "nexus.answer".into(),
            detail: "the nonce has not 32 bytes".into(),
        },
    });
    event(Call::Proof, result)
}

pub(super) async fn submit(client: Arc<Client>, evidence: Vec<u8>, sent: Boot) -> Event {
    let evidence = EvidenceIn {
        evidence: B64(evidence),
    };
    let judged = client.call::<call::submit_evidence>(None, &evidence).await;
    let result = judged.map(|answer| Event::Judged(Box::new(answer.body), sent));
    event(Call::Proof, result)
}

pub(super) async fn wake(client: Arc<Client>, cursor: Option<u64>) -> Event {
    let ask = WakeAsk {
        cursor,
        // The first call is to say what there is already.
        wait: Some(if cursor.is_some() { WAIT_SECONDS } else { 0 }),
    };
    let extra = Extra {
        wait: Duration::from_secs(u64::from(WAIT_SECONDS)),
        ..Extra::default()
    };
    let woken = client.call_with::<call::wake>(None, &ask, extra).await;
    let result = woken.map(|answer| {
        let wake = answer.body;
        let errands = Errands {
            attest: wake.attest_now.is_some(),
            manifests: wake.manifests,
            leases: wake.leases,
            wipe: wake.wipe,
            wipe_leases: wake.wipe_leases,
        };
        Event::Wake(errands, wake.cursor)
    });
    event(Call::Wake, result)
}

pub(super) async fn leases(client: Arc<Client>, key: String, sent: Boot) -> Event {
    let ask = LeasesAsk {
        idempotency_key: key,
    };
    let pulled = client.call::<call::pull_leases>(None, &ask).await;
    let result = pulled.map(|answer| Event::Leases(answer.body, sent));
    event(Call::Leases, result)
}

/// Says which leases have come. One that can't be said comes again, which does no harm.
pub(super) async fn acknowledge(client: Arc<Client>, leases: Vec<LeaseId>) {
    for lease in leases {
        let said = client
            .call::<call::acknowledge_lease>(Some(lease.as_str()), &Empty {})
            .await;
        if let Err(error) = said {
            tracing::warn!(%lease, code = error.code(), "a lease was not acknowledged");
        }
    }
}

/// 32 characters of a-z and 2-7.
pub(super) fn random_key() -> io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |byte: u8| {
        let letter = alphabet.get(usize::from(byte & 31)).copied();
        char::from(letter.unwrap_or(b'a'))
    };
    Ok(random.into_iter().map(letter).collect())
}

/// The keys of the nexus and its log; the keys go out as an event of their own.
pub(super) async fn log(
    client: Arc<Client>,
    key: LogKey,
    kept: Option<Head>,
    events: mpsc::Sender<Event>,
) -> Event {
    match client.call::<call::trust>(None, &Empty {}).await {
        Ok(trust) => {
            let said = Event::Trust(Box::new(trust.body), trust.nexus_id);
            // Nobody listens any more: the agent is ending.
            let _ended = events.send(said).await;
        }
        Err(error) => return Event::Failed(Call::Log, error),
    }
    match head::check(&client, &key, kept.as_ref()).await {
        Ok(head) => Event::Head(head),
        Err(HeadError::Call(error)) => Event::Failed(Call::Log, error),
        Err(HeadError::Bad { code, why }) => Event::Fault {
            call: Call::Log,
            code: code.into(),
            detail: why,
        },
    }
}

pub(super) async fn reports(client: Arc<Client>, reports: Vec<DeliveryReport>) -> Event {
    let mut sent = Vec::new();
    for report in reports {
        match client.call::<call::report_delivery>(None, &report).await {
            Ok(_) => sent.push(report),
            // A report that the nexus will never take must not hold the others back.
            Err(error) if error.problem().is_some() && !error.is_retryable() => {
                tracing::warn!(host = %report.host_id, code = error.code(), "a report was refused");
                sent.push(report);
            }
            Err(error) => return Event::Failed(Call::Reports, error),
        }
    }
    Event::Sent(sent)
}

/// Pairings and manifests.
pub(super) struct Manifests {
    pub(super) client: Arc<Client>,
    pub(super) hub: Hub,
    pub(super) keys: Keys,
    pub(super) device: DeviceId,
    /// Every host where empty.
    pub(super) hosts: BTreeSet<HostId>,
}

/// Why a document of the nexus was not taken.
enum Refused {
    Call(CallError),
    Signed(SignedFault),
}

impl Manifests {
    pub(super) async fn run(self) -> Event {
        let known = self.hub.have();
        let all_known = self.hosts.iter().all(|host| known.contains_key(host));
        if self.hosts.is_empty() || !all_known {
            match self.pairings().await {
                Ok(()) => {}
                Err(error) => return Event::Failed(Call::Manifests, error),
            }
        }
        let mut renew_in = NO_HOSTS_SECONDS;
        let mut failed = None;
        for (host, have) in self.hub.have() {
            if !self.hosts.is_empty() && !self.hosts.contains(&host) {
                continue;
            }
            match self.pull(&host, have).await {
                Ok(renew) => renew_in = renew_in.min(renew),
                // The others are served all the same.
                Err(refused) => failed = Some(refused),
            }
        }
        match failed {
            None => Event::Input(Input::ManifestsIn { renew_in }),
            Some(Refused::Call(error)) => Event::Failed(Call::Manifests, error),
            Some(Refused::Signed(fault)) => Event::Fault {
                call: Call::Manifests,
                code: fault.code().into(),
                detail: fault.to_string(),
            },
        }
    }

    async fn pairings(&self) -> Result<(), CallError> {
        let hosts = self
            .client
            .call::<call::agent_hosts>(None, &Empty {})
            .await?;
        let mut peers = BTreeMap::new();
        for host in hosts.body.items {
            match self.pairing(&host) {
                Ok(pairing) => {
                    peers.insert(pairing.request.host_key, pairing.host_id);
                }
                Err(fault) => {
                    tracing::warn!(host = %host.host_id, code = fault.code(), "a pairing is not taken: {fault}");
                }
            }
        }
        self.hub
            .pair(peers)
            .map_err(|error| CallError::Setup(error.to_string()))
    }

    fn pairing(&self, host: &AgentHost) -> Result<Pairing, SignedFault> {
        let pairing = Unverified::<Pairing>::parse(&host.pairing.0)?
            .verify_for_dpu(
                &self.keys.delivery,
                &self.device,
                &self.keys.channel,
                &SoftwareChecks,
            )?
            .into_content();
        if pairing.host_id == host.host_id {
            Ok(pairing)
        } else {
            Err(SignedFault::OtherHost { what: "pairing" })
        }
    }

    async fn pull(&self, host: &HostId, have: u64) -> Result<u32, Refused> {
        let ask = ManifestAsk {
            host_id: host.clone(),
            have,
        };
        let pulled = self.client.call::<call::pull_manifest>(None, &ask).await;
        let out = pulled.map_err(Refused::Call)?.body;
        if let Some(manifest) = out.manifest {
            // The host checks it itself; here, so that a bad one is told apart from a bad host.
            let verified = Unverified::<Manifest>::parse(&manifest.0)
                .and_then(|m| m.verify(&self.keys.delivery, host, None, &SoftwareChecks))
                .map_err(Refused::Signed)?;
            let sequence = verified.content().sequence;
            tracing::info!(%host, sequence, "a manifest has come");
            let bytes = verified.bytes().to_vec();
            self.hub.offer(host, Signed { sequence, bytes });
        }
        Ok(out.renew_in)
    }
}
