//! A nexus to test operations with: a real store in a directory that goes away, a clock that stands still until told, chance
//! from a seed, the default policies. Requests come in as [`Ctx`], as the gate would make them.

use std::net::IpAddr;
use std::sync::Arc;

use assay_api::id::{OperatorId, TenantId};
use assay_api::join::challenge_bytes;
use assay_api::log::Entry;
use assay_api::routes::Route;
use assay_api::signer::{Ed25519Signer, RequestSigner};
use assay_api::token::{Token, TokenKind};
use assay_api::types::*;
use assay_attest::time::Timestamp;
use zeroize::Zeroizing;

use crate::app::App;
use crate::bootstrap;
use crate::clock::ManualClock;
use crate::config::Config;
use crate::op::caller::{NewKey, caller_of_key};
use crate::op::{self, Caller, Ctx};
use crate::problem::Problem;
use crate::random::SeededRandom;
use crate::start;
use crate::store::audit::AuditFilter;
use crate::store::testing::Scratch;

/// A nexus without its HTTP.
pub(crate) struct Lab {
    pub(crate) app: Arc<App>,
    pub(crate) scratch: Scratch,
    seed: u64,
}

/// Somebody with a key.
#[derive(Debug)]
pub(crate) struct Someone {
    pub(crate) joined: Joined,
}

impl Someone {
    pub(crate) fn id(&self) -> &OperatorId {
        &self.joined.operator_id
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let app = app(&scratch, 1);
        Self {
            app,
            scratch,
            seed: 1,
        }
    }

    /// Stops the nexus and starts it again on the same disk.
    pub(crate) fn restart(self) -> Self {
        let Self { app, scratch, seed } = self;
        assert_eq!(Arc::strong_count(&app), 1, "somebody still holds the app");
        drop(app);
        let seed = seed + 1;
        let app = self::app(&scratch, seed);
        Self { app, scratch, seed }
    }

    pub(crate) fn clock(&self) -> &ManualClock {
        &self.scratch.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.store.clock().now()
    }

    /// A request by this caller, as the gate hands it on.
    pub(crate) fn ctx(&self, caller: Caller, route: &'static Route, path_id: Option<&str>) -> Ctx {
        Ctx {
            app: self.app.clone(),
            caller,
            route,
            path_id: path_id.map(str::to_owned),
            request: "req-1".into(),
            client: IpAddr::from([127, 0, 0, 1]),
            bypass: None,
            now: self.now(),
            proof: None,
        }
    }

    /// A request by a person, whose key is looked up as the gate does.
    pub(crate) fn by(
        &self,
        who: &Someone,
        route: &'static Route,
        path_id: Option<&str>,
    ) -> Result<Ctx, Problem> {
        let kid = who.joined.key_id.as_str();
        let (_, caller) = self.app.store.read_now(|rows| caller_of_key(rows, kid))?;
        Ok(self.ctx(caller, route, path_id))
    }

    /// The token in the file that `serve` makes at start.
    pub(crate) fn bootstrap_token(&self) -> Option<Token> {
        let path = off_runtime(|| bootstrap::ensure(&self.app).unwrap())?;
        let text = std::fs::read_to_string(path).unwrap();
        Some(Token::parse(text.trim(), TokenKind::Bootstrap).unwrap())
    }

    /// Joins, both calls.
    pub(crate) async fn join(
        &self,
        secret: &[u8; 32],
        seed: u8,
        name: Option<&str>,
    ) -> Result<Someone, Problem> {
        let signer = Ed25519Signer::from_seed(&[seed; 32], None);
        let challenge = self.begin(secret, &signer).await?;
        let signature = answer(self, &signer, &challenge);
        let joined = self
            .complete(secret, &signer, &challenge, signature, name)
            .await?;
        Ok(Someone { joined })
    }

    pub(crate) async fn begin(
        &self,
        secret: &[u8; 32],
        signer: &Ed25519Signer,
    ) -> Result<JoinChallenge, Problem> {
        let ctx = self.ctx(new_key(signer), route("begin_join"), None);
        Ok(op::begin_join(
            ctx,
            JoinBegin {
                secret: sent(secret),
            },
        )
        .await?
        .into_inner())
    }

    pub(crate) async fn complete(
        &self,
        secret: &[u8; 32],
        signer: &Ed25519Signer,
        challenge: &JoinChallenge,
        signature: Vec<u8>,
        name: Option<&str>,
    ) -> Result<Joined, Problem> {
        let ctx = self.ctx(new_key(signer), route("complete_join"), None);
        let ask = JoinComplete {
            challenge_id: challenge.challenge_id.clone(),
            secret: sent(secret),
            signature: B64(signature),
            name: name.map(str::to_owned),
            label: None,
        };
        Ok(op::complete_join(ctx, ask).await?.into_inner())
    }

    /// The first admin.
    pub(crate) async fn first_admin(&self) -> Someone {
        let token = self.bootstrap_token().unwrap();
        self.join(token.secret(), 1, Some("root")).await.unwrap()
    }

    /// A tenant of this name.
    pub(crate) async fn tenant(&self, admin: &Someone, name: &str) -> TenantId {
        let ctx = self.by(admin, route("create_tenant"), None).unwrap();
        let made = op::create_tenant(ctx, TenantCreate { name: name.into() })
            .await
            .unwrap();
        made.into_inner().id
    }

    /// An invite's token.
    pub(crate) async fn invite(
        &self,
        by: &Someone,
        tenant: Option<&TenantId>,
        role: PersonRole,
    ) -> Result<InviteCreated, Problem> {
        let ctx = self.by(by, route("create_invite"), None)?;
        let ask = InviteCreate {
            tenant: tenant.map(ToString::to_string),
            name: "p".into(),
            role,
        };
        Ok(op::create_invite(ctx, ask).await?.into_inner())
    }

    /// A person who was invited and joined. Seeds of keys must differ.
    pub(crate) async fn person(
        &self,
        by: &Someone,
        tenant: Option<&TenantId>,
        role: PersonRole,
        seed: u8,
    ) -> Someone {
        let invite = self.invite(by, tenant, role).await.unwrap();
        self.join(&secret_of(&invite), seed, None).await.unwrap()
    }

    /// Entries of the audit log, oldest first.
    pub(crate) fn log(&self) -> Vec<Entry> {
        let most = std::num::NonZeroU32::new(1000).unwrap();
        let list = self
            .app
            .store
            .read_now(|r| r.audit().list(&AuditFilter::default(), most));
        list.unwrap().into_iter().map(|e| e.entry).collect()
    }

    /// The entries of this event.
    pub(crate) fn events(&self, event: &str) -> Vec<Entry> {
        self.log()
            .into_iter()
            .filter(|e| e.event == event)
            .collect()
    }
}

fn app(scratch: &Scratch, seed: u64) -> Arc<App> {
    let data_dir = scratch.path().parent().unwrap().to_owned();
    let text = format!(
        "data_dir = {data_dir:?}\nlisten = [\"127.0.0.1:0\"]\npublic_urls = [\"https://nexus.test/\"]\n"
    );
    let config = Config::parse(&text).unwrap();
    let random = Arc::new(SeededRandom::new(seed));
    // A nexus starts before its runtime, and so on a thread without one.
    off_runtime(|| Arc::new(start::app(config, scratch.open(), random).unwrap()))
}

/// Runs what blocks.
pub(crate) fn off_runtime<T: Send>(blocks: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| threads.spawn(blocks).join().unwrap())
}

/// The row of the route table.
pub(crate) fn route(name: &str) -> &'static Route {
    Route::by_name(name).unwrap()
}

/// A key that nobody knows yet.
pub(crate) fn new_key(signer: &Ed25519Signer) -> Caller {
    let jwk = signer.jwk().clone();
    Caller::NewKey(NewKey {
        thumbprint: jwk.thumbprint(),
        jwk,
    })
}

/// The right answer to a challenge.
pub(crate) fn answer(lab: &Lab, signer: &Ed25519Signer, challenge: &JoinChallenge) -> Vec<u8> {
    let thumbprint = signer.jwk().thumbprint();
    let bytes = challenge_bytes(
        &challenge.purpose,
        &lab.app.nexus_id,
        &challenge.challenge.0,
        thumbprint.as_bytes(),
    );
    signer.sign(&bytes).unwrap().to_vec()
}

/// The secret in an invite's token.
pub(crate) fn secret_of(invite: &InviteCreated) -> Zeroizing<[u8; 32]> {
    Token::parse(&invite.token.0, TokenKind::Invite)
        .unwrap()
        .secret()
        .clone()
}

fn sent(secret: &[u8; 32]) -> SecretB64 {
    SecretB64(Zeroizing::new(secret.to_vec()))
}
