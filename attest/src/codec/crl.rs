//! Certificate revocation lists (RFC 5280, 5): complete lists of one issuer, bounded.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{Element, Walk, context, context_primitive, malformed, single};
use super::spki;
use super::x509::{self, Extension};
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;

const WHAT: &str = "revocation list";

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const DELTA: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
const DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");

/// CRLReason (RFC 5280, 5.3.1), as far as it changes what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Revoked for good, with the reason's number; 0 where none is given.
    Revoked(u8),
    /// certificateHold: may be lifted.
    Hold,
}

impl Reason {
    /// `None` for removeFromCRL and for numbers that do not exist.
    pub(crate) const fn of(number: u8) -> Option<Self> {
        match number {
            0..=5 | 9 | 10 => Some(Self::Revoked(number)),
            6 => Some(Self::Hold),
            _ => None,
        }
    }

    /// The name that RFC 5280 gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "certificate-hold",
            Self::Revoked(1) => "key-compromise",
            Self::Revoked(2) => "ca-compromise",
            Self::Revoked(3) => "affiliation-changed",
            Self::Revoked(4) => "superseded",
            Self::Revoked(5) => "cessation-of-operation",
            Self::Revoked(9) => "privilege-withdrawn",
            Self::Revoked(10) => "aa-compromise",
            Self::Revoked(_) => "unspecified",
        }
    }
}

/// One list, parsed and not yet trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    tbs: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    number: Vec<u8>,
    entries: Vec<(Vec<u8>, Reason)>,
    scope: Scope,
    scheme: Scheme,
    signature: Vec<u8>,
}

/// What an issuingDistributionPoint leaves of the issuer's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Leaves,
    Authorities,
}

impl Crl {
    /// Parses one DER list of at most [`limits::CRL_BYTES`] and [`limits::CRL_ENTRIES`]. Delta lists, indirect lists and those for
    /// some reasons only are refused: what they leave out would pass for good.
    ///
    /// # Errors
    /// The shape's refusals, `evidence.unsupported`, `algorithm.unsupported`.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > limits::CRL_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::CRL_BYTES,
            });
        }
        let mut outer = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
        let tbs = outer.expect(Tag::Sequence)?;
        let algorithm = outer.expect(Tag::Sequence)?;
        let signature = outer.octets_in_bits()?;
        outer.end()?;
        let scheme = spki::signature_scheme(WHAT, algorithm.raw)?;
        let mut fields = outer.inside(tbs)?;
        if let Some(version) = fields.optional(Tag::Integer)?
            && version.value != [1]
        {
            return Err(malformed(WHAT, "only versions 1 and 2 are accepted"));
        }
        if fields.expect(Tag::Sequence)?.raw != algorithm.raw {
            return Err(malformed(
                WHAT,
                "the signature algorithm inside and outside differ",
            ));
        }
        let issuer = fields.expect(Tag::Sequence)?.raw.to_vec();
        let this_update = x509::date(WHAT, fields.next()?)?;
        let next_update = match fields.peek()? {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => Some(x509::date(WHAT, fields.next()?)?),
            _ => None,
        };
        let entries = match fields.optional(Tag::Sequence)? {
            Some(list) => entries(fields.inside(list)?)?,
            None => Vec::new(),
        };
        let extensions = match fields.optional(context(0))? {
            Some(explicit) => x509::extensions(WHAT, &fields, explicit)?,
            None => Vec::new(),
        };
        fields.end()?;
        let (number, scope) = understood(&extensions)?;
        Ok(Self {
            tbs: tbs.raw.to_vec(),
            issuer,
            this_update,
            next_update,
            number,
            entries,
            scope,
            scheme,
            signature: spki::signature_value(WHAT, scheme, signature)?.to_vec(),
        })
    }

    /// The issuer's Name, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// When it was made.
    #[must_use]
    pub const fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// When the next one is due, where stated.
    #[must_use]
    pub const fn next_update(&self) -> Option<Timestamp> {
        self.next_update
    }

    /// cRLNumber, big-endian; empty where there is none.
    #[must_use]
    pub fn number(&self) -> &[u8] {
        &self.number
    }

    /// How many certificates it lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it lists none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it speaks of authorities (`ca`) or of others.
    #[must_use]
    pub fn covers(&self, ca: bool) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Leaves => !ca,
            Scope::Authorities => ca,
        }
    }

    /// What it says of a serial number (as [`x509::Certificate::serial`] has it); `None` where it lists it not.
    #[must_use]
    pub fn reason(&self, serial: &[u8]) -> Option<Reason> {
        self.entries
            .binary_search_by(|(listed, _)| listed.as_slice().cmp(serial))
            .ok()
            .and_then(|at| self.entries.get(at))
            .map(|(_, reason)| *reason)
    }

    /// Whether `key` signed the list.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn is_signed_by(
        &self,
        key: &PublicKey,
        check: &dyn CheckSignature,
    ) -> Result<(), BadSignature> {
        spki::check(key, self.scheme, &self.tbs, &self.signature, check)
    }
}

/// Sorted by serial number; a serial that is listed twice keeps its worst reason.
fn entries(mut list: Walk<'_>) -> Result<Vec<(Vec<u8>, Reason)>, Refusal> {
    let mut all: Vec<(Vec<u8>, Reason)> = Vec::new();
    while !list.is_empty() {
        if all.len() >= limits::CRL_ENTRIES {
            return Err(Refusal::TooLarge {
                what: "revocation list entries",
                limit: limits::CRL_ENTRIES,
            });
        }
        let mut entry = list.sequence()?;
        let serial = entry.unsigned()?.to_vec();
        x509::date(WHAT, entry.next()?)?;
        let extensions = match entry.optional(Tag::Sequence)? {
            Some(list) => x509::extension_list(WHAT, entry.inside(list)?)?,
            None => Vec::new(),
        };
        entry.end()?;
        let mut reason = Some(Reason::Revoked(0));
        for extension in &extensions {
            if extension.oid == REASON_CODE {
                let number = single(WHAT, Tag::Enumerated, &extension.value)?.value;
                reason = match number {
                    [8] => None,
                    [number] => {
                        Some(Reason::of(*number).ok_or_else(|| malformed(WHAT, "no such reason"))?)
                    }
                    _ => return Err(malformed(WHAT, "no such reason")),
                };
            } else if extension.critical {
                return Err(unsupported(extension));
            }
        }
        // removeFromCRL stands in delta lists only; here it says that a hold was lifted.
        if let Some(reason) = reason {
            all.push((serial, reason));
        }
    }
    all.sort_unstable_by(|(a, x), (b, y)| {
        a.cmp(b)
            .then((*x == Reason::Hold).cmp(&(*y == Reason::Hold)))
    });
    all.dedup_by(|later, earlier| later.0 == earlier.0);
    Ok(all)
}

fn understood(extensions: &[Extension]) -> Result<(Vec<u8>, Scope), Refusal> {
    let (mut number, mut scope) = (Vec::new(), Scope::All);
    for extension in extensions {
        if extension.oid == CRL_NUMBER {
            let value = single(WHAT, Tag::Integer, &extension.value)?.value;
            number = super::der::unsigned(WHAT, value)?.to_vec();
        } else if extension.oid == DISTRIBUTION_POINT {
            scope = distribution_point(&extension.value)?;
        } else if extension.oid == DELTA || extension.critical {
            return Err(unsupported(extension));
        }
    }
    Ok((number, scope))
}

/// `SEQUENCE { distributionPoint [0], onlyContainsUserCerts [1], onlyContainsCACerts [2], onlySomeReasons [3], indirectCRL [4],
/// onlyContainsAttributeCerts [5] }` (RFC 5280, 5.2.5).
fn distribution_point(der: &[u8]) -> Result<Scope, Refusal> {
    let mut fields = Walk::new(WHAT, single(WHAT, Tag::Sequence, der)?.value)?;
    fields.optional(context(0))?;
    let yes = |element: Option<Element<'_>>| match element.map(|element| element.value) {
        None | Some([0]) => Ok(false),
        Some([0xff]) => Ok(true),
        Some(_) => Err(malformed(WHAT, "a flag is not DER")),
    };
    let leaves = yes(fields.optional(context_primitive(1))?)?;
    let authorities = yes(fields.optional(context_primitive(2))?)?;
    if !fields.is_empty() {
        return Err(Refusal::Unsupported {
            what: "revocation list",
            found: "for some reasons, indirect or for attribute certificates".to_string(),
        });
    }
    match (leaves, authorities) {
        (false, false) => Ok(Scope::All),
        (true, false) => Ok(Scope::Leaves),
        (false, true) => Ok(Scope::Authorities),
        (true, true) => Err(malformed(WHAT, "it is for leaves only and for CAs only")),
    }
}

fn unsupported(extension: &Extension) -> Refusal {
    Refusal::Unsupported {
        what: "revocation list extension",
        found: format!("{}", extension.oid),
    }
}
