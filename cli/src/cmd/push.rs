//! Pushing an SSH CA through a DPU to its hosts, and withdrawing it.

use assay_api::routes::call;
use assay_api::types::*;
use serde::Serialize;

use super::words::BypassArg;
use crate::app::Cx;
use crate::fault::Fault;
use crate::session::Session;
use crate::wait::{self, Deadline, WaitArg};

/// Push an SSH CA to the hosts behind a DPU.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArgs {
    /// The DPU, by name or id.
    dpu: String,
    /// SSH CA, by name or id.
    #[arg(long, value_name = "CA")]
    ca: String,
    #[command(flatten)]
    wait: WaitArg,
    #[command(flatten)]
    bypass: BypassArg,
}

/// Withdraw an SSH CA from the hosts behind a DPU.
#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    /// The DPU, by name or id.
    dpu: String,
    /// SSH CA, by name or id.
    #[arg(long, value_name = "CA")]
    ca: String,
    #[command(flatten)]
    wait: WaitArg,
}

/// What came of it, host by host.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    pushed: Pushed,
    /// As the hosts report; empty where nobody waited.
    hosts: Vec<Host>,
}

pub(super) async fn push(cx: &Cx, args: PushArgs) -> Result<(), Fault> {
    let bypass = args.bypass.reason()?;
    let session = Session::open(cx).await?;
    let deadline = args.wait.deadline();
    let ask = PushAsk {
        ssh_ca: args.ca.clone(),
    };
    let pushed = wait::release(
        cx,
        &session,
        deadline,
        async || Ok(vec![args.dpu.clone()]),
        async || {
            session
                .release::<call::push>(Some(&args.dpu), &ask, bypass)
                .await
        },
    )
    .await?;
    if let Some(bypass) = &pushed.bypass_id {
        cx.out.warn(&format!(
            "the gate was bypassed: {bypass} is in the audit log"
        ));
    }
    report(
        cx,
        &session,
        pushed,
        deadline,
        &format!("ssh ca `{}`", args.ca),
        "pushed",
    )
    .await
}

pub(super) async fn withdraw(cx: &Cx, args: WithdrawArgs) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    cx.confirm(&format!("withdraw ssh ca `{}` from the hosts behind dpu `{}`: its certificates open them no more", args.ca, args.dpu), &args.ca)?;
    let ask = PushAsk {
        ssh_ca: args.ca.clone(),
    };
    let pushed = session
        .call::<call::withdraw>(Some(&args.dpu), &ask)
        .await?;
    report(
        cx,
        &session,
        pushed,
        args.wait.deadline(),
        &format!("ssh ca `{}`", args.ca),
        "withdrawn",
    )
    .await
}

async fn report(
    cx: &Cx,
    session: &Session,
    pushed: Pushed,
    deadline: Option<Deadline>,
    what: &str,
    done: &str,
) -> Result<(), Fault> {
    let count = pushed.manifests.len();
    if count == 0 {
        cx.out
            .warn("there is no host behind this dpu yet: pair one with `assay host pair`");
    }
    let Some(deadline) = deadline else {
        let said = format!(
            "{what} is {done}: {count} manifests are on their way; `assay host list` shows when they are installed"
        );
        return cx.out.done(
            &said,
            &Outcome {
                pushed,
                hosts: Vec::new(),
            },
        );
    };
    let mut hosts = Vec::new();
    for manifest in &pushed.manifests {
        hosts.push(installed(cx, session, manifest, deadline).await?);
    }
    let names: Vec<String> = hosts.iter().map(|h| format!("`{}`", h.name)).collect();
    cx.out.done(
        &format!(
            "{what} is {done}: installed and tried on {}",
            names.join(", ")
        ),
        &Outcome { pushed, hosts },
    )
}

/// Waits until the host reports that the manifest is in place and a trial login went through.
async fn installed(
    cx: &Cx,
    session: &Session,
    manifest: &PushedManifest,
    deadline: Deadline,
) -> Result<Host, Fault> {
    let id = manifest.host_id.as_str();
    let mut last = None;
    let done = wait::until(
        cx,
        &format!(
            "waiting for host {id} to install manifest {}",
            manifest.sequence
        ),
        deadline,
        async || {
            let host = session.call::<call::show_host>(Some(id), &Empty {}).await?;
            if host.installed >= manifest.sequence {
                return Ok(Some(host));
            }
            last = Some(host);
            Ok(None)
        },
    )
    .await?;
    done.ok_or_else(|| {
        let (name, report) = last.map_or_else(|| (id.to_owned(), None), |h| (h.name, h.report));
        let report = report.filter(|r| r != "ok");
        let said = report.map_or_else(
            || "it has not reported".to_owned(),
            |r| format!("it last reported `{r}`"),
        );
        let mut fault = Fault::new(
            "push.not_installed",
            format!(
                "host `{name}` has not installed manifest {} in time: {said}",
                manifest.sequence
            ),
        )
        .hint("`assay-host status` on the host says why; the push stands and is tried again");
        fault.retryable = true;
        fault
    })
}
