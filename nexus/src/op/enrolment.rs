//! Claims, and enrolment in two calls.

use assay_api::types::*;

use super::ctx::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn create_claims(
    _: Ctx,
    _: ClaimsCreate,
) -> Result<Changed<ClaimsCreated>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn list_claims(_: Ctx, _: InTenant) -> Result<Shown<Claims>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn begin_enrolment(
    _: Ctx,
    _: EnrolBegin,
) -> Result<Changed<EnrolChallenge>, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn complete_enrolment(
    _: Ctx,
    _: EnrolComplete,
) -> Result<Changed<Enrolled>, Problem> {
    Err(Fault::NotBuilt.into())
}
