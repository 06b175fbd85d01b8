//! Carries the round's effects out: asks the nexus, the roots of trust and the clock, and hands back what came of it. No decision
//! about trust is made here.

mod calls;
mod event;
mod leases;
mod show;

use crate::boot::Boot;
use crate::config::Config;
use crate::cycle::{Call, Cycle, Effect, Input, Judged};
use crate::deliver::{Hub, HubEvent};
use crate::enrol::{EnrolError, fresh_key};
use crate::local::{Answer, Ask, Asked, no};
use crate::source::roots::{Proof, Roots};
use crate::state::{Identity, State, StateError};
use crate::sys::Locked;
use crate::timer::Timer;
use crate::vault::Vault;
use crate::{about, link, notify, sys};
use assay_api::id::HostId;
use assay_api::log::{Checkpoint, LogKey};
use assay_api::signed::DeliveryKeys;
use assay_api::types::{DeliveryReport, Trust, Verdict};
use assay_attest::attester::Statement;
use assay_attest::session::Purpose;
use assay_client::{CallError, Client};
use assay_tls::NexusId;
use event::Event;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How long after a waking call was begun it is taken for waiting.
const QUIET: std::time::Duration = std::time::Duration::from_secs(2);

/// The agent could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The clock, a timer or a signal.
    #[error("this machine lacks what the agent needs: {0}")]
    System(#[from] io::Error),
    /// State.
    #[error(transparent)]
    State(#[from] StateError),
    /// The client could not be made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The channel to hosts could not be set up.
    #[error("the channel to hosts: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the driver is made of.
#[derive(Debug)]
pub struct Parts {
    /// Configuration.
    pub config: Config,
    /// State directory.
    pub state: State,
    /// Roots of trust, open.
    pub roots: Roots,
    /// Questions from this machine.
    pub questions: mpsc::Receiver<Asked>,
    /// Told once when the agent is to end.
    pub stop: mpsc::Receiver<()>,
}

/// The driver.
pub struct Driver {
    cycle: Cycle,
    vault: Vault,
    hub: Hub,
    state: State,
    identity: Identity,
    keys: Keys,
    roots: Roots,
    client: Arc<Client>,
    statement: Statement,
    nexus_id: NexusId,
    head: Option<Checkpoint>,
    cursor: Option<u64>,
    /// The same until leases have come: a pull that was lost on the way gives the same leases.
    pull_key: String,
    reports: BTreeMap<HostId, DeliveryReport>,
    faults: BTreeMap<&'static str, (String, String)>,
    timer: Timer,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    hosts: mpsc::Receiver<HubEvent>,
    questions: mpsc::Receiver<Asked>,
    stop: mpsc::Receiver<()>,
    ended: bool,
}

/// What signatures are checked with, read once.
#[derive(Clone)]
pub(crate) struct Keys {
    delivery: DeliveryKeys,
    log: LogKey,
    channel: [u8; 32],
}

fn keys(identity: &Identity, channel: [u8; 32]) -> Result<Keys, StateError> {
    let damaged = || StateError::Damaged {
        path: "agent.json".into(),
        why: "a key can't be read".into(),
    };
    Ok(Keys {
        delivery: identity.delivery_keys().ok_or_else(damaged)?,
        log: identity.log_key().ok_or_else(damaged)?,
        channel,
    })
}

fn connect(identity: &Identity, roots: &Roots) -> Result<Arc<Client>, DriveError> {
    let damaged = || StateError::Damaged {
        path: "agent.json".into(),
        why: "the url or a pin can't be read".into(),
    };
    Ok(link::client(
        identity.url().ok_or_else(damaged)?,
        identity.pins().ok_or_else(damaged)?,
        roots,
        Some(identity.key_id.clone()),
    )?)
}

impl Driver {
    /// Sets everything up; nothing is sent yet. To be called on a `LocalSet`.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn new(parts: Parts) -> Result<Self, DriveError> {
        let Parts {
            config,
            state,
            roots,
            questions,
            stop,
        } = parts;
        let identity = state.identity()?;
        let (channel, public) = state.channel_key()?;
        let keys = keys(&identity, public)?;
        let head = state.head(&keys.log)?;
        let client = connect(&identity, &roots)?;
        let (host_events, hosts) = mpsc::channel(16);
        let hub = Hub::new(channel, host_events)?;
        for at in &config.hosts.listen {
            let listener = crate::deliver::table::listen(at).await?;
            tracing::info!(at = listener.address(), "hosts may connect");
            tokio::task::spawn_local(hub.clone().serve(listener));
        }
        let (events, inbox) = mpsc::channel(64);
        for warning in roots.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            cycle: Cycle::new(Boot::now()?),
            vault: Vault::new(),
            hub,
            statement: about::statement(&config, public, roots.request_key().thumbprint()),
            nexus_id: client.pins().current,
            state,
            identity,
            keys,
            roots,
            client,
            head,
            cursor: None,
            pull_key: String::new(),
            reports: BTreeMap::new(),
            faults: BTreeMap::new(),
            timer: Timer::new()?,
            events,
            inbox,
            hosts,
            questions,
            stop,
            ended: false,
        })
    }

    /// Runs until it is told to end; every lease is wiped then.
    ///
    /// # Errors
    /// [`DriveError::System`]: leases are wiped then too.
    pub async fn run(mut self) -> Result<(), DriveError> {
        let mut watchdog = notify::watchdog().map(tokio::time::interval);
        notify::ready();
        self.step(Input::Tick)?;
        while !self.ended {
            tokio::select! {
                Some(event) = self.inbox.recv() => self.happened(event)?,
                Some(event) = self.hosts.recv() => self.heard(event)?,
                Some(asked) = self.questions.recv() => self.asked(asked)?,
                _ = self.stop.recv() => self.step(Input::Stop)?,
                rang = self.timer.wait() => {
                    rang?;
                    self.step(Input::Tick)?;
                }
                () = tick(&mut watchdog) => notify::alive(),
            }
        }
        notify::stopping();
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), DriveError> {
        let now = Boot::now()?;
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(io::Error::other)?;
        let effects = self.cycle.step(input, now, u64::from_ne_bytes(chance));
        for effect in effects {
            self.carry(effect, now)?;
        }
        // Whatever the round says, nothing that has ended stays.
        self.vault.expire(now);
        Ok(())
    }

    fn carry(&mut self, effect: Effect, now: Boot) -> Result<(), DriveError> {
        match effect {
            Effect::AskNonce => self.spawn(calls::nonce(Arc::clone(&self.client))),
            Effect::Collect(challenge) => self.collect(challenge, now),
            Effect::Submit(evidence) => {
                self.spawn(calls::submit(Arc::clone(&self.client), evidence, now));
            }
            Effect::AskWake => {
                self.spawn(calls::wake(Arc::clone(&self.client), self.cursor));
                tokio::task::spawn_local(rest());
            }
            Effect::PullLeases => {
                if self.pull_key.is_empty() {
                    self.pull_key = calls::random_key()?;
                }
                let key = self.pull_key.clone();
                self.spawn(calls::leases(Arc::clone(&self.client), key, now));
            }
            Effect::PullManifests(hosts) => {
                let pull = calls::Manifests {
                    client: Arc::clone(&self.client),
                    hub: self.hub.clone(),
                    keys: self.keys.clone(),
                    device: self.identity.device_id.clone(),
                    hosts,
                };
                self.spawn(pull.run());
            }
            Effect::CheckLog => {
                let head = self.head.as_ref().map(|head| head.head().clone());
                let (client, key) = (Arc::clone(&self.client), self.keys.log.clone());
                let events = self.events.clone();
                self.spawn(calls::log(client, key, head, events));
            }
            Effect::SendReports => {
                let reports = self.reports.values().cloned().collect();
                self.spawn(calls::reports(Arc::clone(&self.client), reports));
            }
            Effect::WipeAll => {
                tracing::info!("every lease is wiped");
                self.vault.wipe_all();
            }
            Effect::WipeLeases(leases) => self.vault.wipe(&leases),
            Effect::SetStatus(status) => self.show(&status, now),
            Effect::SleepUntil(at) => self.timer.set(at)?,
            Effect::Exit => self.ended = true,
        }
        Ok(())
    }

    fn spawn(&self, work: impl Future<Output = Event> + 'static) {
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            // Nobody listens any more: the agent is ending.
            let _ended = events.send(work.await).await;
        });
    }

    fn collect(&mut self, challenge: crate::cycle::Challenge, now: Boot) {
        let hpke = match fresh_key(&mut self.vault) {
            Ok(hpke) => hpke,
            Err(error) => return self.spawn(async move { source_fault(&error) }),
        };
        let proof = Proof {
            nexus_id: self.nexus_id,
            subject: self.identity.device_id.to_string(),
            purpose: Purpose::Attest,
            nonce: challenge.nonce,
            hpke,
            activation_secret: Vec::new(),
            pcrs: challenge.pcrs,
            statement: about::now(&self.statement, now),
        };
        let roots = self.roots.clone();
        self.spawn(async move {
            match roots.prove(proof).await {
                Ok(evidence) => Event::Input(Input::EvidenceReady(evidence)),
                Err(error) => source_fault(&error.into()),
            }
        });
    }

    fn happened(&mut self, event: Event) -> Result<(), DriveError> {
        match event {
            Event::Input(input) => {
                if matches!(input, Input::ManifestsIn { .. }) {
                    self.faults.remove("manifests");
                }
                self.step(input)
            }
            Event::Nonce(challenge, nexus_id) => {
                self.nexus_id = nexus_id;
                self.step(Input::Nonce(challenge))
            }
            Event::Failed(call, error) => self.failed(call, &error),
            Event::Fault { call, code, detail } => self.fault(call, code, detail),
            Event::Judged(verdict, sent) => self.judged(*verdict, sent),
            Event::Leases(leases, sent) => {
                self.faults.remove("leases");
                self.leases_in(leases, sent)
            }
            Event::Wake(errands, cursor) => {
                self.faults.remove("wake");
                self.cursor = Some(cursor);
                self.step(Input::Wake(errands))
            }
            Event::Trust(trust, seen) => self.learn(&trust, &seen),
            Event::Head(head) => {
                self.faults.remove("log");
                self.state.save_head(&head)?;
                self.head = Some(head);
                self.step(Input::Log { fault: None })
            }
            Event::Sent(reports) => {
                self.faults.remove("reports");
                for report in reports {
                    let same = |waiting: &DeliveryReport| {
                        (waiting.sequence, &waiting.outcome) == (report.sequence, &report.outcome)
                    };
                    if self.reports.get(&report.host_id).is_some_and(same) {
                        self.reports.remove(&report.host_id);
                    }
                }
                self.step(Input::ReportsSent)?;
                if self.reports.is_empty() {
                    Ok(())
                } else {
                    self.step(Input::ReportWaits)
                }
            }
        }
    }

    fn judged(&mut self, verdict: Verdict, sent: Boot) -> Result<(), DriveError> {
        self.faults.remove("proof");
        let verified = verdict.verdict == "verified";
        if verified {
            self.vault.keep_key(verdict.result_id);
        } else {
            self.vault.drop_key();
        }
        let fresh_for = verdict.fresh_until.0.millis_since(verdict.time.0);
        self.step(Input::Verdict(Judged {
            verified,
            reasons: verdict.reasons,
            sent,
            fresh_for: fresh_for.unwrap_or(0),
            next_in: u64::from(verdict.next_proof_in).saturating_mul(1000),
        }))
    }

    fn learn(&mut self, trust: &Trust, seen: &NexusId) -> Result<(), DriveError> {
        match self.identity.learn(trust, seen) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the nexus has announced keys, or taken announced ones in use");
                self.state.save(&self.identity)?;
                self.keys = keys(&self.identity, self.keys.channel)?;
                self.client = connect(&self.identity, &self.roots)?;
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the nexus's keys are not taken");
                let fault = (error.code().to_owned(), error.to_string());
                self.faults.insert("trust", fault);
            }
        }
        Ok(())
    }

    fn failed(&mut self, call: Call, error: &CallError) -> Result<(), DriveError> {
        let (code, detail) = (error.code().to_owned(), error.to_string());
        self.note(call, &code, &detail);
        if call == Call::Proof {
            self.vault.drop_key();
        }
        self.step(if error.problem().is_some() {
            Input::Refused { call, code }
        } else {
            Input::NexusAway { call }
        })
    }

    fn fault(&mut self, call: Call, code: String, detail: String) -> Result<(), DriveError> {
        self.note(call, &code, &detail);
        let input = match call {
            Call::Log => Input::Log { fault: Some(code) },
            Call::Proof => {
                self.vault.drop_key();
                Input::SourceFailed { code }
            }
            Call::Wake | Call::Leases | Call::Manifests | Call::Reports => {
                Input::NexusAway { call }
            }
        };
        self.step(input)
    }

    fn heard(&mut self, event: HubEvent) -> Result<(), DriveError> {
        match event {
            HubEvent::Asks { host, .. } => self.step(Input::HostAsks(host)),
            HubEvent::Report {
                host,
                sequence,
                outcome,
                detail,
            } => {
                tracing::info!(%host, sequence, outcome, "a host reports");
                let report = DeliveryReport {
                    host_id: host.clone(),
                    sequence,
                    outcome,
                    detail,
                };
                self.reports.insert(host, report);
                self.step(Input::ReportWaits)
            }
        }
    }

    fn asked(&mut self, asked: Asked) -> Result<(), DriveError> {
        let now = Boot::now()?;
        let answer = match asked.ask {
            Ask::Status => Answer::Status(Box::new(self.report(now))),
            Ask::Secret { name } => match self.vault.secret(&name, now).map(Locked::copy_of) {
                Some(Ok(secret)) => Answer::Secret(secret),
                Some(Err(error)) => no("vault.memory", &error.to_string()),
                None => no(
                    "secret.none",
                    &format!("this dpu holds no secret `{name}` now: see `assay-agent status`"),
                ),
            },
            Ask::Wipe => {
                self.step(Input::WipeAsked)?;
                Answer::Done
            }
        };
        // Whoever asked may have gone.
        drop(asked.answer.send(answer));
        Ok(())
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("device", &self.identity.device_id)
            .finish_non_exhaustive()
    }
}

/// While the waking call waits there is little to do, and a DPU has other uses for its memory.
async fn rest() {
    tokio::time::sleep(QUIET).await;
    if let Err(error) = sys::give_code_back() {
        tracing::debug!(%error, "code is kept in memory");
    }
}

fn source_fault(error: &EnrolError) -> Event {
    Event::Fault {
        call: Call::Proof,
        code: error.code().to_owned(),
        detail: error.to_string(),
    }
}

pub(crate) async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
