//! Nonce, evidence, verdict.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn new_nonce(_: Ctx, _: Empty) -> Result<Changed<Nonce>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn submit_evidence(_: Ctx, _: EvidenceIn) -> Result<Changed<Verdict>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn show_result(_: Ctx, _: Empty) -> Result<Shown<AttestationResultOut>, Problem> {
    Err(Fault::NotBuilt.into())
}
