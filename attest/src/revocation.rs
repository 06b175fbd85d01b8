//! Whether certificates of a verified chain were revoked, by lists and answers that somebody brought as files.
//!
//! Nothing is fetched: [`Revocation`] holds what there is, and [`Revocation::judge`] says what it says of a chain. A hold is
//! not a revocation and has its own code: it may be lifted. What is too old counts as nothing; how old that is has two limits,
//! both from nextUpdate on: past the soft one somebody is told, past the hard one the file is refused.

use alloc::vec::Vec;

use crate::chain::VerifiedChain;
use crate::codec::crl::{Crl, Reason};
use crate::codec::ocsp::{Answer, Status};
use crate::codec::x509::Certificate;
use crate::key::{CheckSignature, PublicKey};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// How long after its nextUpdate a file still counts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// From here on it counts, and is reported as old.
    pub soft: u64,
    /// From here on it is refused.
    pub hard: u64,
    /// What stands for nextUpdate where a file has none, counted from thisUpdate.
    pub unstated: u64,
}

impl Default for Ages {
    /// Old at once, refused after a week; a file without nextUpdate is due after a week.
    fn default() -> Self {
        Self {
            soft: 0,
            hard: DAY.saturating_mul(7),
            unstated: DAY.saturating_mul(7),
        }
    }
}

/// Lists and answers, and how old they may be.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    crls: Vec<Crl>,
    answers: Vec<Answer>,
    ages: Ages,
    required: bool,
}

/// What is known of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A list or answer in force speaks for it.
    Good {
        /// Until when that may be relied on.
        ends: Timestamp,
        /// Past its soft limit: somebody should look after the mirror.
        old: bool,
    },
    /// Nothing speaks of it.
    Unknown,
}

/// What is known of a chain, none of it revoked or on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    known: Vec<Known>,
}

impl Revocation {
    /// These files, at most [`limits::REVOCATION_FILES`] of each kind. With `required`, each certificate but a root must be
    /// spoken of.
    ///
    /// # Errors
    /// `evidence.too_large`.
    pub fn new(
        crls: Vec<Crl>,
        answers: Vec<Answer>,
        ages: Ages,
        required: bool,
    ) -> Result<Self, Refusal> {
        if crls.len() > limits::REVOCATION_FILES || answers.len() > limits::REVOCATION_FILES {
            return Err(Refusal::TooLarge {
                what: "revocation files",
                limit: limits::REVOCATION_FILES,
            });
        }
        Ok(Self {
            crls,
            answers,
            ages,
            required,
        })
    }

    /// What the files say of every certificate below the anchor.
    ///
    /// # Errors
    /// `chain.revoked`, `chain.on_hold`; `revocation.signature`, `revocation.responder` for a file in an issuer's name that it did
    /// not sign; `revocation.not_yet_valid`, `revocation.expired`; `revocation.missing` where each must be spoken of. Indices
    /// count as in the chain.
    pub fn judge(
        &self,
        chain: &VerifiedChain<'_>,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<Judged, Refusal> {
        let mut known = Vec::new();
        let mut above: Option<&Certificate> = None;
        for (index, certificate) in chain.certificates().iter().enumerate() {
            let issuer = match above {
                Some(issuer) => Some((issuer.subject(), issuer.spki(), issuer.key())),
                None if chain.anchor().spki() == certificate.spki() => None,
                None => Some((
                    certificate.issuer(),
                    chain.anchor().spki(),
                    chain.anchor().key(),
                )),
            };
            above = Some(certificate);
            let Some(issuer) = issuer else {
                continue;
            };
            let status = self.certificate(index, certificate, issuer, now, check)?;
            if self.required && status == Known::Unknown {
                return Err(Refusal::RevocationMissing { index });
            }
            known.push(status);
        }
        Ok(Judged { known })
    }

    fn certificate(
        &self,
        index: usize,
        certificate: &Certificate,
        (name, spki, key): (&[u8], &[u8], &PublicKey),
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<Known, Refusal> {
        let ca = certificate
            .basic_constraints()
            .is_some_and(|constraints| constraints.ca);
        // The newest that speaks of it; its signature is checked before anything in it is believed.
        let mut newest: Option<(Timestamp, Option<Timestamp>, Option<Reason>)> = None;
        let mut said = |this, next, reason| {
            if newest.is_none_or(|(at, _, _)| at < this) {
                newest = Some((this, next, reason));
            }
        };
        for crl in &self.crls {
            if crl.issuer() != name || !crl.covers(ca) {
                continue;
            }
            if crl.is_signed_by(key, check).is_err() {
                return Err(Refusal::RevocationSignature {
                    what: "revocation list",
                });
            }
            let reason = crl.reason(certificate.serial());
            self.in_time(crl.this_update(), crl.next_update(), reason, now)?;
            said(crl.this_update(), crl.next_update(), reason);
        }
        for answer in &self.answers {
            let Some(single) = answer.about(name, spki, certificate.serial())? else {
                continue;
            };
            answer.verify(name, key, now, check)?;
            let reason = match single.status {
                Status::Good => None,
                Status::Revoked(reason) => Some(reason),
                Status::Unknown => continue,
            };
            self.in_time(single.this_update, single.next_update, reason, now)?;
            said(single.this_update, single.next_update, reason);
        }
        match newest {
            None => Ok(Known::Unknown),
            Some((_, _, Some(Reason::Hold))) => Err(Refusal::ChainOnHold { index }),
            Some((_, _, Some(reason))) => Err(Refusal::ChainRevoked {
                index,
                reason: reason.as_str(),
            }),
            Some((this, next, None)) => {
                let due = self.due(this, next);
                Ok(Known::Good {
                    ends: due.plus_millis(self.ages.hard),
                    old: now > due.plus_millis(self.ages.soft),
                })
            }
        }
    }

    fn due(&self, this: Timestamp, next: Option<Timestamp>) -> Timestamp {
        next.unwrap_or_else(|| this.plus_millis(self.ages.unstated))
    }

    /// That something was revoked stays true when the file is old; that it was not does not.
    fn in_time(
        &self,
        this: Timestamp,
        next: Option<Timestamp>,
        reason: Option<Reason>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if now < this {
            return Err(Refusal::RevocationNotYetValid);
        }
        let end = self.due(this, next).plus_millis(self.ages.hard);
        if now > end && !matches!(reason, Some(Reason::Revoked(_))) {
            return Err(Refusal::RevocationExpired);
        }
        Ok(())
    }
}

impl Judged {
    /// What is known, certificate by certificate from the root's side, the anchor's own left out.
    #[must_use]
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// When the first of what was relied on ends.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        let ends = self.known.iter().filter_map(|known| match known {
            Known::Good { ends, .. } => Some(*ends),
            Known::Unknown => None,
        });
        ends.min().unwrap_or(Timestamp::MAX)
    }

    /// Whether a file is past its soft limit.
    #[must_use]
    pub fn old(&self) -> bool {
        self.known
            .iter()
            .any(|known| matches!(known, Known::Good { old: true, .. }))
    }
}
