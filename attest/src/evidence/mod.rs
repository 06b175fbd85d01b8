//! Evidence (RFC 9334, 8): what every kind of member has in common.
//!
//! To add a kind: one file here with a [`Format`] and its [`Member`], one row in [`table`]. A kind imports this file,
//! `codec` and the identity behind a chain ([`dice::DiceIdentity`]), never another kind and never the table.

pub mod dice;
pub mod envelope;
pub mod ima_log;
pub mod spdm;
pub mod table;
pub mod tpm;
pub mod uefi_log;

use crate::claims::Claims;
use crate::expected::Expected;
use crate::key::CheckSignature;
use crate::refusal::Refusal;
use crate::session::{Binding, Label};
use alloc::boxed::Box;
use core::fmt;

/// One kind of evidence member.
pub trait Format: Sync + fmt::Debug {
    /// The media type in the member's wrapper (CMW record, RFC 9999), compared byte for byte.
    fn media_type(&self) -> &'static str;

    /// Whether such a member may stand under `label`.
    fn stands_under(&self, label: Label) -> bool;

    /// Parses the wrapper value: bounded, total, no opinion about trust.
    ///
    /// # Errors
    /// What the shape offends against.
    fn parse(&self, label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal>;
}

/// A parsed member that nobody has verified yet.
pub trait Member: Send + Sync + fmt::Debug {
    /// Checks every signature and link, and that they cover `context.binding`; adds what is proved to `claims`.
    ///
    /// # Errors
    /// What is not as it must be. A member that proves nothing fresh is refused, never skipped.
    fn verify(&self, context: &Context<'_>, claims: &mut Claims) -> Result<(), Refusal>;

    /// Called once every member is verified: a member that signs nothing, and is covered by what another one signed, is
    /// held against that here and adds its claims only now.
    ///
    /// # Errors
    /// Where nothing covers it.
    fn conclude(&self, _expected: &Expected<'_>, _claims: &mut Claims) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What a member is verified against.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What the root behind this member must have signed.
    pub binding: &'a Binding,
    /// The label that the member stands under.
    pub label: Label,
    /// What the Verifier expects.
    pub expected: &'a Expected<'a>,
    /// The signature checks.
    pub check: &'a dyn CheckSignature,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}
