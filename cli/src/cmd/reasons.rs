//! What the codes of a verdict mean, in words, and what to do about them.

/// A code, or the beginning of several.
struct Meaning {
    code: &'static str,
    means: &'static str,
    todo: &'static str,
}

const fn row(code: &'static str, means: &'static str, todo: &'static str) -> Meaning {
    Meaning { code, means, todo }
}

/// The longest code that fits counts.
const MEANINGS: &[Meaning] = &[
    row(
        "appraisal.component:uefi.cmdline",
        "the kernel command line changed",
        "see `assay dpu result` for what was booted; if it was meant, take new Reference Values",
    ),
    row(
        "appraisal.component:uefi.secure_boot",
        "the state of Secure Boot changed",
        "look at the firmware's settings; if it was meant, take new Reference Values",
    ),
    row(
        "appraisal.component:uefi.image",
        "another boot loader or kernel was started",
        "if the system was updated on purpose, take new Reference Values; else treat the machine as taken over",
    ),
    row(
        "appraisal.component:uefi.initrd",
        "another initrd was loaded",
        "if it was rebuilt on purpose, take new Reference Values",
    ),
    row(
        "appraisal.component:uefi.",
        "boot measured something that the Reference Values do not list",
        "see `assay dpu result` for the event; if it was meant, take new Reference Values",
    ),
    row(
        "appraisal.unlisted_event",
        "boot measured an event beside those that the Reference Values list",
        "see `assay dpu result` for the event; a register counts as a whole, so all of it has to be listed",
    ),
    row(
        "appraisal.secure_boot",
        "Secure Boot is not proved to be on, as is required",
        "turn it on; let the agent send the log of measured boot and quote pcr 7",
    ),
    row(
        "appraisal.ima_violations",
        "files changed while they were in use, so what ran is not known",
        "find out which (the ima log of the DPU names them); see the policy",
    ),
    row(
        "appraisal.boot_aggregate",
        "the ima log does not belong to the boot that was quoted",
        "look at what feeds the agent its logs",
    ),
    row(
        "log.replay",
        "a log does not replay to what the TPM holds",
        "look at the agent's `[logs]`: the files must be the kernel's own, and their pcrs be quoted",
    ),
    row(
        "log.",
        "a log is not covered by the TPM's quote",
        "look at the agent's `[logs]`, and at the pcrs that the nexus asks for",
    ),
    row(
        "ima.",
        "the ima log does not go on from the last proof",
        "the agent sends all of it next time",
    ),
    row(
        "appraisal.component",
        "a measured component is not one of the Reference Values",
        "if the change was meant (an update), take new Reference Values from a machine known to be good; else treat the machine as taken over",
    ),
    row(
        "appraisal.required_component",
        "a component that the Reference Values require was not measured",
        "look at what boots on the DPU, and at the PCRs that its agent quotes",
    ),
    row(
        "appraisal.unlisted_layer",
        "a firmware layer is there that the Reference Values do not list",
        "if the firmware was updated on purpose, take new Reference Values",
    ),
    row(
        "appraisal.reference",
        "no Reference Values judge this device",
        "take some from a machine known to be good: `assay reference take`",
    ),
    row(
        "appraisal.root",
        "its root of trust is not of the kind that is required",
        "compare its certificates with the vendor's; see the policy",
    ),
    row(
        "appraisal.key",
        "its request key is not held by its TPM, as is required",
        "give the agent access to the TPM and re-key the device",
    ),
    row(
        "appraisal.runtime",
        "its runtime is not measured, as is required",
        "see the policy, and what the agent can measure",
    ),
    row(
        "appraisal.anchor",
        "its certificates lead to a root that is not accepted any more",
        "see the pinned roots of the nexus",
    ),
    row(
        "appraisal.dice_flags",
        "its firmware runs in a mode that is not accepted, such as debug",
        "boot it in production mode",
    ),
    row(
        "appraisal.tpm_clock",
        "the TPM's clock or its counters of resets went backwards",
        "find out whether the TPM was cleared, replaced or restored",
    ),
    row(
        "dice.other_device",
        "the chain belongs to another device",
        "find out who moved which card; a new card is a new device",
    ),
    row(
        "dice.",
        "its DICE chain does not hold",
        "see `assay dpu result`; compare the chain with the vendor's",
    ),
    row(
        "chain.expired",
        "a certificate of its chain has expired",
        "renew the device's certificates",
    ),
    row(
        "chain.",
        "its certificate chain does not hold",
        "see `assay dpu result`; compare the chain with the vendor's",
    ),
    row(
        "tpm.other_ak",
        "another attestation key than the one enrolled signed",
        "if the DPU was re-imaged, re-key it: `assay dpu claim --rekey`",
    ),
    row(
        "tpm.",
        "its TPM quote does not hold",
        "see `assay dpu result`, and the log of its agent",
    ),
    row(
        "evidence.session",
        "its evidence answered another challenge",
        "look at the log of its agent; a replayed proof looks the same",
    ),
    row(
        "evidence.required_missing",
        "a part of the evidence that is required was missing",
        "look at the log of its agent, and at what its configuration turns off",
    ),
    row(
        "evidence.",
        "its evidence can't be used",
        "look at the log of its agent, and whether it is as new as the nexus",
    ),
    row(
        "envelope.",
        "its evidence is not signed by its own request key",
        "if the DPU was re-imaged, re-key it: `assay dpu claim --rekey`",
    ),
    row(
        "claims.",
        "its claims contradict its signature",
        "look at the log of its agent",
    ),
    row(
        "cose.",
        "the signature of its message does not hold",
        "look at the log of its agent, and what stands between it and the nexus",
    ),
    row(
        "quarantine.",
        "it was put into quarantine",
        "find out why with `assay audit list`, then `assay dpu release`",
    ),
    row(
        "identity.",
        "its hardware identity changed",
        "find out who moved which card; a new card is a new device",
    ),
];

/// What a code means and what to do. Behind a `:` stands the component that it is about; a row may name it too.
pub(super) fn meaning(code: &str) -> (&'static str, &'static str) {
    let bare = code.split_once(':').map_or(code, |(code, _)| code);
    MEANINGS
        .iter()
        .filter(|m| {
            code == m.code || bare == m.code || (m.code.ends_with('.') && code.starts_with(m.code))
        })
        .max_by_key(|m| m.code.len())
        .map_or(("", "see `assay dpu result`"), |m| (m.means, m.todo))
}

/// What a state means for whoever wants something released, and what to do.
pub(super) fn state(lifecycle: &str, attestation: &str, dpu: &str) -> (&'static str, String) {
    match (lifecycle, attestation) {
        ("pending", _) => (
            "it may prove itself, and receives nothing until its identity is confirmed",
            format!("compare serial, EK and DICE identity with the hardware, then `assay dpu confirm {dpu} --reason ...`"),
        ),
        ("decommissioned", _) => ("it belongs no more", String::new()),
        (_, "verified") => ("its last proof is good and fresh: releases are open", String::new()),
        (_, "stale") => (
            "its last proof was good and no longer counts: releases are refused",
            format!("`assay dpu demand {dpu} --reason ... --wait`; if it stays silent, look at its agent"),
        ),
        (_, "unavailable") => (
            "it has never proved itself: releases are refused",
            format!("`assay dpu demand {dpu} --reason ... --wait`; if it stays silent, look at its agent"),
        ),
        (_, "failed") => (
            "its last proof is authentic and bad: releases are refused, and no bypass exists",
            "only a good proof clears this: mend the machine, or take new Reference Values if the change was meant".to_owned(),
        ),
        (_, "quarantined") => (
            "it is set apart: releases are refused, and no bypass exists",
            format!("when you know why, a super:admin says `assay dpu release {dpu} --reason ...`, then it must prove itself"),
        ),
        _ => ("", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_code_counts_and_every_code_says_something_to_do() {
        let (means, _) = meaning("appraisal.component:pcr.sha256.7");
        assert_eq!(
            means,
            "a measured component is not one of the Reference Values"
        );
        let (means, _) = meaning("appraisal.component:uefi.cmdline");
        assert_eq!(means, "the kernel command line changed");
        let (means, _) = meaning("appraisal.component:uefi.event.8");
        assert!(means.starts_with("boot measured"));
        assert!(meaning("tpm.other_ak").0.contains("attestation key"));
        assert!(meaning("tpm.pcr_digest").0.contains("quote"));
        assert!(
            meaning("appraisal.component")
                .1
                .contains("Reference Values")
        );
        // A code is not the beginning of another.
        assert_eq!(meaning("appraisal.component_x").0, "");
        assert_eq!(meaning("new.code"), ("", "see `assay dpu result`"));
        for m in MEANINGS {
            assert!(!m.means.is_empty() && !m.todo.is_empty(), "{}", m.code);
        }
    }

    #[test]
    fn every_state_has_words() {
        for attestation in ["verified", "stale", "unavailable", "failed", "quarantined"] {
            assert!(
                !state("active", attestation, "x").0.is_empty(),
                "{attestation}"
            );
        }
        assert!(!state("pending", "verified", "x").1.is_empty());
    }
}
