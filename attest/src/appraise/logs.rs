//! What policy and reference values ask of logs.

use super::{Appraisal, Found, level};
use crate::boot::{Measured, Measurement};
use crate::claims::Claims;
use crate::policy::{SecureBootPolicy, ViolationPolicy};
use crate::reference::{Component, Entry, ReferenceValues};
use crate::result::{Check, Outcome};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// I2: what an event is called is the log's word. So where a component is told from others of its register by that word alone,
/// every other event of the register must be accepted too; else the one that counts could hide under another name.
pub(super) fn check_stated(
    values: &ReferenceValues,
    claims: &Claims,
    found: &Found,
    checks: &mut Vec<Check>,
) -> Found {
    let mut unlisted = Found::new();
    let stated: Vec<(Measurement, &Entry)> = values
        .entries()
        .iter()
        .filter_map(|(component, entry)| match component {
            Component::Uefi(what) if what.is_stated() => Some((*what, entry)),
            Component::Uefi(_)
            | Component::Pcr(..)
            | Component::Fwid(..)
            | Component::Svn(..)
            | Component::Block(..) => None,
        })
        .collect();
    let exact = |pcr: u8| {
        found.iter().any(|(component, outcome)| {
            matches!(component, Component::Pcr(_, index) if *index == pcr)
                && matches!(outcome, Outcome::Pass)
        })
    };
    for measured in claims.uefi.iter().flat_map(|boot| &boot.measured) {
        let asked = stated.iter().any(|(what, _)| what.may_be_in(measured.pcr));
        let accepted = |(_, entry): &(Measurement, &Entry)| {
            entry
                .accepted()
                .iter()
                .any(|good| good.same(&measured.digest))
        };
        if !asked || exact(measured.pcr) || stated.iter().any(accepted) {
            continue;
        }
        let component = Component::Uefi(measured.what);
        // Where the event's own component is listed, that check has failed and says so.
        if !values.entries().contains_key(&component) {
            checks.push(Check {
                code: "appraisal.unlisted_event",
                component: Some(component),
                expected: format!("nothing else in pcr {}", measured.pcr),
                seen: events(claims, |other| other.event == measured.event),
                outcome: Outcome::Fail,
            });
        }
        unlisted.insert(component, Outcome::Fail);
    }
    unlisted
}

/// Measured events for people: digest, what was hashed, where it stands in the log.
pub(super) fn events(claims: &Claims, wanted: impl Fn(&Measured) -> bool) -> String {
    let all = claims.uefi.iter().flat_map(|boot| &boot.measured);
    all.filter(|measured| wanted(measured))
        .map(|measured| match &measured.text {
            Some(text) => format!("{} `{text}` (event {})", measured.digest, measured.event),
            None => format!("{} (event {})", measured.digest, measured.event),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Secure Boot and IMA, as far as policy asks.
pub(super) fn check_logs(claims: &Claims, appraisal: &Appraisal<'_>, checks: &mut Vec<Check>) {
    let secure_boot = claims.uefi.as_ref().and_then(|boot| boot.secure_boot);
    match appraisal.policy.secure_boot {
        SecureBootPolicy::Any => {}
        SecureBootPolicy::Required => checks.push(level(
            "appraisal.secure_boot",
            "on",
            match secure_boot {
                Some(true) => "on",
                Some(false) => "off",
                None => "not proved",
            },
            secure_boot == Some(true),
        )),
    }
    let Some(ima) = &claims.ima else {
        return;
    };
    let violations = ima.state.violations;
    checks.push(level(
        "appraisal.ima_violations",
        "0",
        &violations.to_string(),
        match appraisal.policy.ima_violations {
            ViolationPolicy::Refused => violations == 0,
            ViolationPolicy::Reported => true,
        },
    ));
    if let Some(good) = ima.state.boot_aggregate {
        let seen = if good { "them" } else { "another boot" };
        checks.push(level(
            "appraisal.boot_aggregate",
            "the quoted pcrs of this boot",
            seen,
            good,
        ));
    }
}
