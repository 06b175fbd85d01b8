//! Who may do what: Cedar, after the gate, which it can only narrow.

use assay_api::routes::Route;

use crate::op::{Caller, Found};
use crate::problem::{Fault, Problem};

/// The policies.
#[derive(Debug)]
pub struct Policy {}

/// What is asked of them. Everything in it comes from rows and from the route table.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// What.
    pub route: &'static Route,
    /// On what.
    pub target: &'a Found,
    /// Whether the gate's freshness shall be bypassed.
    pub bypass: bool,
    /// Whether an active grant of the caller's names the target.
    pub granted: bool,
}

impl Policy {
    /// Decides.
    ///
    /// # Errors
    /// [`Fault::Forbidden`]; [`Fault::Policy`] where a policy can't be evaluated.
    pub fn decide(&self, _question: &Question<'_>) -> Result<(), Problem> {
        Err(Fault::Forbidden.into())
    }
}
