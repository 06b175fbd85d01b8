//! Appraisal (RFC 9334, 8.2): claims x reference values x policy x what was seen before -> Attestation Result.
//!
//! Takes verified evidence only. Whatever is missing is a failed check, never a skipped one.

mod logs;

use crate::chain::AnchorKind;
use crate::claims::{Claims, TpmClock};
use crate::digest::Digest;
use crate::expected::Name;
use crate::policy::AppraisalPolicy;
use crate::reference::{
    Component, Condition, Entry, Need, ReferenceValues, Root, Stated, measured, stated,
};
use crate::result::{
    AttestationResult, Check, Outcome, Rested, RootLevel, RuntimeLevel, Submodule, TrustVector,
};
use crate::time::Timestamp;
use crate::verify::{Evidence, Verified};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// By how much a TPM's clock may fall back over an unorderly shutdown, milliseconds (TPM 2.0 Part 1, 36.3).
pub const CLOCK_SLACK_MILLIS: u64 = 1 << 22;

/// The reference values for a device.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// There are none: the verdict is `failed`, and its checks say what to take.
    Missing,
    /// These.
    Known(&'a ReferenceValues),
}

/// What the device's last proof said of its TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There was none.
    Nothing,
    /// This clock, under this AK; clocks of two AKs are not comparable.
    Tpm {
        /// The AK.
        ak: Name,
        /// Its clock then.
        clock: TpmClock,
    },
}

/// What evidence is appraised against.
#[derive(Clone, Copy, Debug)]
pub struct Appraisal<'a> {
    /// The reference values.
    pub reference: Reference<'a>,
    /// The policy.
    pub policy: &'a AppraisalPolicy,
    /// What the identity is rooted in, as enrolment and anchors have it.
    pub root: RootLevel,
    /// What was seen before.
    pub previous: &'a Previous,
    /// The Verifier's time.
    pub now: Timestamp,
}

/// Appraises.
#[must_use]
pub fn appraise(evidence: &Evidence<Verified>, appraisal: &Appraisal<'_>) -> AttestationResult {
    let claims = evidence.claims();
    let seen = measured(claims);
    let stated = stated(claims);
    let mut checks = Vec::new();
    let key = claims.key_level();
    let policy = appraisal.policy;

    checks.push(level(
        "appraisal.key",
        policy.key.as_str(),
        key.as_str(),
        policy.key.accepts(key),
    ));
    checks.push(level(
        "appraisal.root",
        &policy.roots.names().join(" or "),
        appraisal.root.as_str(),
        policy.roots.accepts(appraisal.root),
    ));
    let components = check_components(appraisal, claims, &seen, &stated, &mut checks);
    let runtime = runtime_level(appraisal.reference, &components);
    checks.push(level(
        "appraisal.runtime",
        policy.runtime.as_str(),
        runtime.as_str(),
        policy.runtime.accepts(runtime),
    ));
    logs::check_logs(claims, appraisal, &mut checks);
    check_roots(claims, &mut checks);
    check_modes(claims, &mut checks);
    let clock = check_clock(claims, appraisal.previous);
    checks.extend(clock.clone());

    let (reference, reference_ends) = match appraisal.reference {
        Reference::Missing => (None, Timestamp::MAX),
        Reference::Known(values) => {
            let (id, version, digest) =
                (values.id().to_string(), values.version(), values.digest());
            (
                Some(Rested {
                    id,
                    version,
                    digest,
                }),
                values.ends(),
            )
        }
    };
    let submodule = Submodule {
        name: "device",
        vector: overall(&checks),
    };
    let mut submodules = alloc::vec![submodule];
    submodules.extend(parts(claims, &components, clock.as_ref()));
    let ends = claims.collateral_ends().min(reference_ends);
    AttestationResult {
        root: appraisal.root,
        key,
        runtime,
        submodules,
        checks,
        evidence: evidence.digest(),
        reference,
        policy: Rested {
            id: policy.id.clone(),
            version: policy.version,
            digest: policy.digest(),
        },
        ends,
    }
}

/// What was found of each component that was measured, or should have been.
type Found = BTreeMap<Component, Outcome>;

fn check_components(
    appraisal: &Appraisal<'_>,
    claims: &Claims,
    seen: &BTreeMap<Component, BTreeSet<Digest>>,
    stated: &BTreeMap<Component, Vec<Stated>>,
    checks: &mut Vec<Check>,
) -> Found {
    let mut found = Found::new();
    let Reference::Known(values) = appraisal.reference else {
        checks.push(level(
            "appraisal.reference",
            "reference values",
            "none",
            false,
        ));
        return found;
    };
    let in_force = appraisal.now < values.ends();
    checks.push(level(
        "appraisal.reference",
        "in force",
        if in_force { "in force" } else { "ended" },
        in_force,
    ));
    let required = |entry: &Entry| matches!(entry.need(), Need::Required);
    if !values.entries().values().any(required) {
        checks.push(level(
            "appraisal.reference",
            "a required component",
            "none",
            false,
        ));
    }
    for component in &appraisal.policy.required {
        if !values.entries().get(component).is_some_and(required) {
            checks.push(Check {
                component: Some(*component),
                ..level(
                    "appraisal.required_component",
                    "required by the reference values",
                    "not so",
                    false,
                )
            });
        }
    }
    for (component, entry) in values.entries() {
        let measured = seen.get(component);
        let stated = stated.get(component).map_or(&[][..], Vec::as_slice);
        let outcome = check_component(*component, entry, measured, (claims, stated), checks);
        // What need not be measured, and is not, says nothing of what runs.
        if required(entry) || measured.is_some() || !stated.is_empty() {
            found.insert(*component, outcome);
        }
    }
    found.extend(logs::check_stated(values, claims, &found, checks));
    // A layer beside the listed ones is code that nobody vouches for. PCRs beside them are only quoted too.
    let listed = |root| {
        values
            .entries()
            .keys()
            .any(|component| matches!(component, Component::Fwid(of, _) if *of == root))
    };
    for (component, digests) in seen {
        let Component::Fwid(root, _) = component else {
            continue;
        };
        if listed(*root) && !values.entries().contains_key(component) {
            checks.push(Check {
                code: "appraisal.unlisted_layer",
                component: Some(*component),
                expected: "no such layer".to_string(),
                seen: join(digests),
                outcome: Outcome::Fail,
            });
            found.insert(*component, Outcome::Fail);
        }
    }
    found
}

fn check_component(
    component: Component,
    entry: &Entry,
    seen: Option<&BTreeSet<Digest>>,
    (claims, stated): (&Claims, &[Stated]),
    checks: &mut Vec<Check>,
) -> Outcome {
    let accepted = |digest: &Digest| entry.accepted().iter().any(|good| good.same(digest));
    let meets = |stated: &Stated| entry.conditions().iter().any(|good| good.accepts(stated));
    let by_digest = seen.is_some_and(|seen| !seen.is_empty() && seen.iter().all(accepted));
    let as_it_is = !stated.is_empty() && stated.iter().all(meets);
    let there = seen.is_some() || !stated.is_empty();
    let good = match (entry.need(), there) {
        (Need::Required | Need::Optional, true) => by_digest || as_it_is,
        (Need::Required, false) | (Need::Forbidden, true) => false,
        (Need::Optional | Need::Forbidden, false) => true,
    };
    let due = || {
        let digests = entry.accepted().iter().map(ToString::to_string);
        let conditions = entry.conditions().iter().map(Condition::to_string);
        digests.chain(conditions).collect::<Vec<_>>().join(" or ")
    };
    let shown = match (seen, stated) {
        (_, stated) if !stated.is_empty() && !entry.conditions().is_empty() => {
            let all = stated.iter().map(ToString::to_string);
            all.collect::<Vec<_>>().join(" or ")
        }
        (Some(digests), _) => match component {
            Component::Uefi(what) => logs::events(claims, |measured| measured.what == what),
            Component::Pcr(..)
            | Component::Fwid(..)
            | Component::Svn(..)
            | Component::Block(..) => join(digests),
        },
        (None, _) if there => "a value as it is".to_string(),
        (None, _) => "not measured".to_string(),
    };
    let outcome = if good { Outcome::Pass } else { Outcome::Fail };
    checks.push(Check {
        code: "appraisal.component",
        component: Some(component),
        expected: match entry.need() {
            Need::Forbidden => "not measured".to_string(),
            Need::Required => due(),
            Need::Optional => format!("{}, or not measured", due()),
        },
        seen: shown,
        outcome,
    });
    outcome
}

/// C11: a root that is open for debug or recovery, or hangs on an engineering key, vouches for nothing.
fn check_roots(claims: &Claims, checks: &mut Vec<Check>) {
    for dice in claims.identities() {
        let label = dice.label;
        let kind = dice.anchor_kind;
        checks.push(level(
            "appraisal.anchor",
            &format!("{label} under a vendor or operator root"),
            &format!("{label} under `{}` ({})", dice.anchor, kind.as_str()),
            match kind {
                AnchorKind::Vendor | AnchorKind::Operator => true,
                AnchorKind::Engineering => false,
            },
        ));
        let flags = dice.layers.iter().fold(0, |all, layer| all | layer.flags);
        let open: Vec<&str> = OPEN_FLAGS
            .into_iter()
            .filter(|(bit, _)| flags & (1 << bit) != 0)
            .map(|(_, name)| name)
            .collect();
        let seen = if open.is_empty() {
            "none".to_string()
        } else {
            open.join(", ")
        };
        checks.push(level(
            "appraisal.dice_flags",
            &format!("{label} without notConfigured, notSecure, recovery, debug"),
            &seen,
            open.is_empty(),
        ));
    }
}

/// C11: a device that is open for debug, or runs otherwise than it was sold, measures what somebody may have put there.
fn check_modes(claims: &Claims, checks: &mut Vec<Check>) {
    for spdm in &claims.spdm {
        for (index, block) in &spdm.measurements {
            let (Some(mode), Some(root)) = (block.device_mode(), Root::of(spdm.label)) else {
                continue;
            };
            let mut seen = alloc::vec![mode.operational()];
            seen.extend(mode.debug());
            checks.push(Check {
                component: Some(Component::Block(root, *index)),
                ..level(
                    "appraisal.device_mode",
                    "normal, never open for debug",
                    &seen.join(", "),
                    mode.is_closed(),
                )
            });
        }
    }
}

/// OperationalFlags of DiceTcbInfo that say a layer is open (TCG DICE Attestation Architecture, 6.1.1).
pub const OPEN_FLAGS: [(u32, &str); 4] = [
    (0, "notConfigured"),
    (1, "notSecure"),
    (2, "recovery"),
    (3, "debug"),
];

/// PCRs that hold the operating system: boot loader and what it starts (TCG PC Client Platform Firmware Profile, 3.3.4:
/// 4 and 8 to 15); the others hold firmware, its configuration and debug.
const fn holds_operating_system(pcr: u8) -> bool {
    matches!(pcr, 4 | 8..=15)
}

/// Measured where the values require PCRs of the operating system, all that were found match, and one of them was ever
/// extended: all zero is what a PCR holds before anything is measured into it.
fn runtime_level(reference: Reference<'_>, found: &Found) -> RuntimeLevel {
    let Reference::Known(values) = reference else {
        return RuntimeLevel::Unmeasured;
    };
    let of_system = |component: &Component| matches!(component, Component::Pcr(_, pcr) if holds_operating_system(*pcr));
    let required = values.entries().iter().any(|(component, entry)| {
        of_system(component)
            && matches!(entry.need(), Need::Required)
            && !entry.accepted().iter().any(Digest::is_zero)
    });
    let good = found
        .iter()
        .filter(|(component, _)| of_system(component))
        .all(|(_, outcome)| matches!(outcome, Outcome::Pass));
    if required && good {
        RuntimeLevel::Measured
    } else {
        RuntimeLevel::Unmeasured
    }
}

/// C15: (reset, restart) in lexicographic order, the clock never back beyond what an unorderly shutdown explains.
fn check_clock(claims: &Claims, previous: &Previous) -> Option<Check> {
    let tpm = claims.tpm.as_ref()?;
    let Previous::Tpm { ak, clock: before } = previous else {
        return None;
    };
    if *ak != tpm.ak_name {
        return None;
    }
    let now = tpm.clock;
    let counters = |clock: &TpmClock| (clock.reset_count, clock.restart_count);
    let (same_boot, ahead) = (
        counters(&now) == counters(before),
        counters(&now) > counters(before),
    );
    let slack = if ahead && !now.safe {
        CLOCK_SLACK_MILLIS
    } else {
        0
    };
    let good = (same_boot || ahead) && now.clock.saturating_add(slack) >= before.clock;
    let text = |clock: &TpmClock| {
        format!(
            "reset {}, restart {}, clock {}",
            clock.reset_count, clock.restart_count, clock.clock
        )
    };
    Some(Check {
        code: "appraisal.tpm_clock",
        component: None,
        expected: format!("not before {}", text(before)),
        seen: text(&now),
        outcome: if good {
            Outcome::Pass
        } else {
            Outcome::Quarantine
        },
    })
}

/// The device as a whole: every failed check shows in one of its claims, so `failed` is never `affirming`.
fn overall(checks: &[Check]) -> TrustVector {
    let fails = |about: &dyn Fn(&str) -> bool| {
        checks
            .iter()
            .any(|check| !passed(check) && about(check.code))
    };
    let identity = |code: &str| matches!(code, "appraisal.root" | "appraisal.tpm_clock");
    let executables = |code: &str| {
        matches!(
            code,
            "appraisal.component"
                | "appraisal.unlisted_layer"
                | "appraisal.unlisted_event"
                | "appraisal.ima_violations"
        )
    };
    TrustVector {
        instance_identity: if fails(&identity) { 96 } else { 2 },
        configuration: if fails(&|code| !identity(code) && !executables(code)) {
            96
        } else {
            2
        },
        executables: if fails(&executables) { 96 } else { 0 },
        ..TrustVector::default()
    }
}

/// The names of the accelerators' submodules: as many as there may be.
const ACCELERATORS: [&str; 16] = [
    "accel.0", "accel.1", "accel.2", "accel.3", "accel.4", "accel.5", "accel.6", "accel.7",
    "accel.8", "accel.9", "accel.10", "accel.11", "accel.12", "accel.13", "accel.14", "accel.15",
];

fn parts(claims: &Claims, found: &Found, clock: Option<&Check>) -> Vec<Submodule> {
    let executables = |mine: &dyn Fn(&Component) -> bool| {
        let outcomes = found
            .iter()
            .filter(|(component, _)| mine(component))
            .map(|(_, outcome)| outcome);
        let outcomes: Vec<&Outcome> = outcomes.collect();
        match outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Pass))
        {
            true if outcomes.is_empty() => 0,
            true => 3,
            false => 96,
        }
    };
    let tpm = claims.tpm.as_ref().map(|_| Submodule {
        name: "tpm",
        vector: TrustVector {
            instance_identity: if clock.is_none_or(passed) { 2 } else { 96 },
            executables: executables(&|component| {
                matches!(component, Component::Pcr(..) | Component::Uefi(_))
            }),
            ..TrustVector::default()
        },
    });
    let dice = claims.identities().filter_map(|dice| {
        let root = Root::of(dice.label)?;
        let name = match root {
            Root::Erot => "erot",
            Root::Irot => "irot",
            Root::Accel(number) => ACCELERATORS.get(usize::from(number))?,
        };
        let vector = TrustVector {
            instance_identity: 2,
            hardware: 2,
            executables: executables(
                &|component| matches!(component, Component::Fwid(of, _) | Component::Svn(of, _) | Component::Block(of, _) if *of == root),
            ),
            ..TrustVector::default()
        };
        Some(Submodule { name, vector })
    });
    tpm.into_iter().chain(dice).collect()
}

fn level(code: &'static str, expected: &str, seen: &str, good: bool) -> Check {
    Check {
        code,
        component: None,
        expected: expected.to_string(),
        seen: seen.to_string(),
        outcome: if good { Outcome::Pass } else { Outcome::Fail },
    }
}

const fn passed(check: &Check) -> bool {
    matches!(check.outcome, Outcome::Pass)
}

fn join(digests: &BTreeSet<Digest>) -> String {
    digests
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{DiceClaims, DiceLayer, StatedClaims};
    use crate::hpke::{HpkeKey, Kem};
    use crate::session::Label;

    fn with_flags(flags: u32) -> Claims {
        let layer = |flags| DiceLayer {
            key: [0; 32],
            layout: None,
            fwids: Vec::new(),
            svns: Vec::new(),
            flags,
        };
        let dice = DiceClaims {
            label: Label::Irot,
            device_key: [0; 32],
            anchor: "root".to_string(),
            anchor_kind: AnchorKind::Vendor,
            layers: alloc::vec![layer(0), layer(flags)],
            ends: Timestamp::MAX,
        };
        let stated = StatedClaims {
            session: [0; 32],
            ueid: None,
            serial: None,
            hpke: HpkeKey::new(Kem::X25519, &[0; 32]).unwrap(),
            request_key_thumbprint: [0; 32],
            channel_key: [0; 32],
            agent_version: String::new(),
            boot_count: None,
            uptime: 0,
            hostname: String::new(),
            hwmodel: String::new(),
        };
        Claims {
            stated,
            tpm: None,
            dice: alloc::vec![dice],
            spdm: Vec::new(),
            uefi: None,
            ima: None,
        }
    }

    #[test]
    fn an_open_layer_fails_by_name() {
        let failed = |flags| {
            let mut checks = Vec::new();
            check_roots(&with_flags(flags), &mut checks);
            let failed: Vec<String> = checks
                .into_iter()
                .filter(|check| !passed(check))
                .map(|check| check.seen)
                .collect();
            failed
        };
        assert!(failed(0).is_empty());
        assert!(
            failed(0x1f0).is_empty(),
            "these say what is not protected, not what is open"
        );
        assert_eq!(failed(1), ["notConfigured"]);
        assert_eq!(failed(1 << 2), ["recovery"]);
        assert_eq!(failed(0b1010), ["notSecure, debug"]);
    }
}
