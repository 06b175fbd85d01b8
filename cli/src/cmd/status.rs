//! The state of a DPU: what there is to know before asking anybody.

use assay_api::routes::call;
use assay_api::types::*;
use serde::Serialize;

use super::reasons;
use crate::app::Cx;
use crate::clock;
use crate::fault::{Exit, Fault};
use crate::out::{Card, ago, until};
use crate::session::Session;

/// Show the state of a DPU.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id.
    dpu: String,
}

/// What a reason means.
#[derive(Serialize)]
struct Advice {
    code: String,
    means: &'static str,
    todo: String,
    /// What was expected and seen, by component.
    checks: Vec<CheckOut>,
}

#[derive(Serialize)]
struct Status {
    dpu: Dpu,
    means: &'static str,
    todo: String,
    advice: Vec<Advice>,
    hosts: Vec<Host>,
}

impl Card for Status {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let now = clock::now();
        let dpu = &self.dpu;
        let mut lines = vec![
            ("dpu", format!("{} ({})", dpu.name, dpu.id)),
            ("lifecycle", dpu.lifecycle.clone()),
            ("attestation", dpu.attestation.clone()),
            ("means", self.means.to_owned()),
            (
                "fresh until",
                dpu.fresh_until.map(|t| until(t, now)).unwrap_or_default(),
            ),
            ("proved", ago(dpu.proved_at, now)),
            ("seen", ago(dpu.seen_at, now)),
        ];
        for advice in &self.advice {
            let mut text = format!("{}: {}", advice.code, advice.means);
            for check in &advice.checks {
                let expected = check.expected.as_deref().unwrap_or("nothing");
                let seen = check.seen.as_deref().unwrap_or("nothing");
                text.push_str(&format!(
                    "\n{}: expected {expected}\n{}  saw {seen}",
                    check.component,
                    " ".repeat(check.component.len())
                ));
            }
            if !advice.todo.is_empty() {
                text.push_str(&format!("\n-> {}", advice.todo));
            }
            lines.push(("reason", text));
        }
        if dpu.rejected > 0 {
            let last = dpu.last_rejection.as_deref().unwrap_or_default();
            let (means, todo) = reasons::meaning(last);
            lines.push((
                "rejected",
                format!(
                    "{} since the last verdict, last: {last}: {means}\n-> {todo}",
                    dpu.rejected
                ),
            ));
        }
        for host in &self.hosts {
            let report = host.report.as_deref().unwrap_or("no report yet");
            lines.push((
                "host",
                format!(
                    "{}: manifest {} of {} installed, {report}, {}",
                    host.name,
                    host.installed,
                    host.sequence,
                    ago(host.reported_at, now)
                ),
            ));
        }
        if !dpu.exposed.is_empty() {
            lines.push(("exposed", dpu.exposed.join("\n")));
        }
        if !self.todo.is_empty() {
            lines.push(("to do", self.todo.clone()));
        }
        lines
    }
}

pub(super) async fn run(cx: &Cx, args: Args) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    let dpu = session
        .call::<call::show_dpu>(Some(&args.dpu), &Empty {})
        .await?;
    let result = match session
        .call::<call::show_result>(Some(dpu.id.as_str()), &Empty {})
        .await
    {
        Ok(result) => Some(result),
        Err(fault) if fault.exit == Exit::NotFound => None,
        Err(fault) => return Err(fault),
    };
    let mut hosts = Vec::new();
    for id in &dpu.hosts {
        hosts.push(
            session
                .call::<call::show_host>(Some(id.as_str()), &Empty {})
                .await?,
        );
    }
    let (means, todo) = reasons::state(&dpu.lifecycle, &dpu.attestation, &args.dpu);
    let advice = dpu
        .reasons
        .iter()
        .map(|code| advice(code, result.as_ref()))
        .collect();
    cx.out.card(&Status {
        means,
        todo,
        advice,
        hosts,
        dpu,
    })
}

/// What a reason means, with what was expected and seen. A reason is a code, or a code, `:` and the component.
fn advice(reason: &str, result: Option<&AttestationResultOut>) -> Advice {
    let (code, component) = match reason.split_once(':') {
        Some((code, component)) => (code, Some(component)),
        None => (reason, None),
    };
    let (means, todo) = reasons::meaning(code);
    let fits = |c: &&CheckOut| {
        c.outcome == "fail" && c.code == code && component.is_none_or(|name| c.component == name)
    };
    Advice {
        code: reason.to_owned(),
        means,
        todo: todo.to_owned(),
        checks: result
            .into_iter()
            .flat_map(|r| &r.checks)
            .filter(fits)
            .cloned()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_the_check_of_its_own_component() {
        let check = |component: &str, outcome: &str| {
            serde_json::json!({"code": "appraisal.component", "component": component, "outcome": outcome,
                "expected": "aa", "seen": "bb"})
        };
        let result: AttestationResultOut = serde_json::from_value(serde_json::json!({
            "id": "r-aaaaaaaaaaaaaaaaaaaaaaaaaa", "device_id": "d-aaaaaaaaaaaaaaaaaaaaaaaaaa", "verdict": "failed",
            "appraised_at": "2026-01-01T00:00:00Z", "fresh_until": "2026-01-01T00:00:00Z",
            "checks": [check("pcr.sha256.4", "pass"), check("pcr.sha256.7", "fail"), check("pcr.sha256.8", "fail")],
            "evidence_digest": "", "policy_digest": "", "ear": ""
        }))
        .unwrap();
        let components = |reason: &str| -> Vec<String> {
            let advice = advice(reason, Some(&result));
            assert!(!advice.means.is_empty());
            advice.checks.into_iter().map(|c| c.component).collect()
        };
        assert_eq!(
            components("appraisal.component:pcr.sha256.7"),
            ["pcr.sha256.7"]
        );
        assert_eq!(
            components("appraisal.component"),
            ["pcr.sha256.7", "pcr.sha256.8"]
        );
    }
}
