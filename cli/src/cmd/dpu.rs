//! DPUs.

use std::path::PathBuf;

use assay_api::jose::Jwk;
use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use super::words::{ReasonArg, TenantArg, hex, joined, maybe};
use super::{claim, demand};
use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Mode};
use crate::out::{Card, Row, ago, until};
use crate::session::Session;

/// What can be done with DPUs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Claim one DPU, or many from an inventory; the tokens are shown once.
    Claim(claim::Args),
    /// List claims.
    Claims(TenantArg),
    /// List DPUs with state and freshness.
    List(TenantArg),
    /// Show a DPU.
    Show {
        /// Name or id.
        dpu: String,
    },
    /// Confirm that a pending DPU is the hardware it should be; from then on it may receive.
    Confirm(Verb),
    /// Demand a proof now.
    Demand(demand::Args),
    /// Decommission a DPU: it receives nothing any more, what it holds is revoked.
    Decommission(Verb),
    /// Quarantine a DPU.
    Quarantine(Verb),
    /// Release a DPU from quarantine (super:admin); it must then prove itself anew.
    Release(Verb),
    /// Show the last Attestation Result, with every check.
    Result(ResultArgs),
}

/// Whose result, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ResultArgs {
    /// Name or id.
    dpu: String,
    /// Write it with the Evidence and all else that it rests on, for `assay evidence verify --kind bundle`.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Write the key that signs the results of this nexus, as JWK.
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
}

/// A DPU and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// Name or id.
    dpu: String,
    #[command(flatten)]
    why: ReasonArg,
}

impl Row for Dpu {
    const HEAD: &'static [&'static str] = &[
        "NAME",
        "ID",
        "LIFECYCLE",
        "ATTESTATION",
        "PROVED",
        "ROOT",
        "KEY",
        "HOSTS",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.id.to_string(),
            self.lifecycle.clone(),
            self.attestation.clone(),
            ago(self.proved_at, clock::now()),
            self.root.clone(),
            self.key.clone(),
            self.hosts.len().to_string(),
        ]
    }
}

impl Card for Dpu {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let now = clock::now();
        let when = |t: Option<Time>| t.map(|t| until(t, now)).unwrap_or_default();
        let mut lines = vec![
            ("name", self.name.clone()),
            ("id", self.id.to_string()),
            ("tenant", self.tenant_id.to_string()),
            ("serial", self.serial.clone()),
            ("lifecycle", self.lifecycle.clone()),
            ("attestation", self.attestation.clone()),
            ("reasons", self.reasons.join("\n")),
            ("fresh until", when(self.fresh_until)),
            ("proved", when(self.proved_at)),
            ("seen", when(self.seen_at)),
            ("root", self.root.clone()),
            ("key", self.key.clone()),
            ("runtime", self.runtime.clone()),
            ("dice", self.dice.as_ref().map(hex).unwrap_or_default()),
            (
                "ek name",
                self.ek_name.as_ref().map(hex).unwrap_or_default(),
            ),
            ("result", maybe(self.result_id.as_ref())),
            ("references", maybe(self.reference_id.as_ref())),
            ("hosts", joined(&self.hosts)),
        ];
        if self.rejected > 0 {
            let last = self.last_rejection.as_deref().unwrap_or_default();
            lines.push((
                "rejected",
                format!("{} since the last verdict, last: {last}", self.rejected),
            ));
        }
        if !self.exposed.is_empty() {
            lines.push(("exposed", self.exposed.join("\n")));
        }
        lines
    }
}

impl Card for AttestationResultOut {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let now = clock::now();
        let checks = self.checks.iter().map(|c| {
            let seen = match (&c.expected, &c.seen) {
                (Some(expected), Some(seen)) if expected != seen => {
                    format!("  expected {expected}, saw {seen}")
                }
                (_, Some(seen)) => format!("  {seen}"),
                (Some(expected), None) => format!("  expected {expected}, saw nothing"),
                (None, None) => String::new(),
            };
            format!("{:<7}  {}  {}{seen}", c.outcome, c.code, c.component)
        });
        vec![
            ("result", self.id.to_string()),
            ("dpu", self.device_id.to_string()),
            ("verdict", self.verdict.clone()),
            ("appraised", until(self.appraised_at, now)),
            ("fresh until", until(self.fresh_until, now)),
            ("references", maybe(self.reference_id.as_ref())),
            ("evidence", hex(&self.evidence_digest)),
            ("policy", hex(&self.policy_digest)),
            ("checks", checks.collect::<Vec<_>>().join("\n")),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    if let Command::Claim(args) = command {
        return claim::run(cx, args).await;
    }
    let session = Session::open(cx).await?;
    match command {
        Command::Claim(_) => Ok(()),
        Command::Claims(arg) => cx.out.list(
            &session
                .all::<call::list_claims>(arg.tenant.as_deref())
                .await?,
        ),
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_dpus>(arg.tenant.as_deref())
                .await?,
        ),
        Command::Show { dpu } => cx.out.card(
            &session
                .call::<call::show_dpu>(Some(&dpu), &Empty {})
                .await?,
        ),
        Command::Confirm(v) => {
            let dpu = session
                .call::<call::confirm_dpu>(Some(&v.dpu), &v.why.body())
                .await?;
            cx.out.done(
                &format!("dpu `{}` is confirmed: {}", dpu.name, dpu.lifecycle),
                &dpu,
            )
        }
        Command::Demand(args) => demand::run(cx, &session, args).await,
        Command::Decommission(v) => {
            cx.confirm(
                &format!("decommission dpu `{}`: what it holds is revoked", v.dpu),
                &v.dpu,
            )?;
            let dpu = session
                .call::<call::decommission_dpu>(Some(&v.dpu), &v.why.body())
                .await?;
            cx.out
                .done(&format!("dpu `{}` is {}", dpu.name, dpu.lifecycle), &dpu)
        }
        Command::Quarantine(v) => {
            cx.confirm(
                &format!(
                    "quarantine dpu `{}`: it receives nothing until it is released",
                    v.dpu
                ),
                &v.dpu,
            )?;
            let dpu = session
                .call::<call::quarantine_dpu>(Some(&v.dpu), &v.why.body())
                .await?;
            cx.out
                .done(&format!("dpu `{}` is {}", dpu.name, dpu.attestation), &dpu)
        }
        Command::Release(v) => {
            let dpu = session
                .call::<call::release_dpu>(Some(&v.dpu), &v.why.body())
                .await?;
            cx.out.done(
                &format!(
                    "dpu `{}` is released from quarantine: {}; it must prove itself anew",
                    dpu.name, dpu.attestation
                ),
                &dpu,
            )
        }
        Command::Result(args) => result(cx, &session, &args).await,
    }
}

async fn result(cx: &Cx, session: &Session, args: &ResultArgs) -> Result<(), Fault> {
    let dpu = Some(args.dpu.as_str());
    if let Some(path) = &args.key_out {
        let trust = session.call::<call::trust>(None, &Empty {}).await?;
        let key = <[u8; 32]>::try_from(trust.result_key.0.as_slice())
            .map_err(|_| Fault::new("result.key", "the nexus gives no key that signs results"))?;
        let jwk = serde_json::to_string(&Jwk::ed25519(key))
            .map_err(|e| Fault::new("output", format!("the key can't be written: {e}")))?;
        files::replace(path, format!("{jwk}\n").as_bytes(), Mode::Public)?;
        cx.out.note(&format!("the key is in {}", path.display()));
    }
    let Some(path) = &args.bundle else {
        return cx
            .out
            .card(&session.call::<call::show_result>(dpu, &Empty {}).await?);
    };
    let bundle = session.call::<call::show_evidence>(dpu, &Empty {}).await?;
    let text = serde_json::to_string(&bundle)
        .map_err(|e| Fault::new("output", format!("the bundle can't be written: {e}")))?;
    files::replace(path, format!("{text}\n").as_bytes(), Mode::Private)?;
    cx.out.note(&format!(
        "the bundle is in {}: `assay evidence verify --kind bundle` verifies it",
        path.display()
    ));
    cx.out.card(&bundle.result)
}
