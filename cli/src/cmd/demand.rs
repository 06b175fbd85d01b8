//! Demanding a proof.

use assay_api::routes::call;
use assay_api::types::*;

use super::words::ReasonArg;
use crate::app::Cx;
use crate::clock;
use crate::fault::{Exit, Fault};
use crate::out::until;
use crate::session::Session;
use crate::wait::{self, WaitArg};

/// Demand a proof now.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id.
    dpu: String,
    #[command(flatten)]
    why: ReasonArg,
    #[command(flatten)]
    wait: WaitArg,
}

pub(super) async fn run(cx: &Cx, session: &Session, args: Args) -> Result<(), Fault> {
    let deadline = args.wait.deadline();
    let demand = session
        .call::<call::demand_proof>(Some(&args.dpu), &args.why.body())
        .await?;
    let Some(deadline) = deadline else {
        let by = until(demand.deadline, clock::now());
        return cx.out.done(
            &format!("demand {}: dpu `{}` has until {by}", demand.id, args.dpu),
            &demand,
        );
    };
    wait::proofs(cx, session, std::slice::from_ref(&args.dpu), deadline).await?;
    let dpu = session
        .call::<call::show_dpu>(Some(&args.dpu), &Empty {})
        .await?;
    if dpu.attestation == "verified" {
        let fresh = dpu
            .fresh_until
            .map(|t| format!(" until {}", until(t, clock::now())));
        return cx.out.done(
            &format!(
                "dpu `{}` has proved itself: fresh{}",
                dpu.name,
                fresh.unwrap_or_default()
            ),
            &dpu,
        );
    }
    let reasons = dpu.reasons.join(", ");
    Err(Fault::new(
        &format!("attestation.{}", dpu.attestation),
        format!(
            "dpu `{}` is {} after its proof: {reasons}",
            dpu.name, dpu.attestation
        ),
    )
    .exit(Exit::Attestation)
    .hint(format!(
        "`assay status {}` says what it means and what to do",
        args.dpu
    )))
}
