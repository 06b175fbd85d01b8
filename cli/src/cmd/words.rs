//! What several commands need: reasons, people by name, spans of time; and the two smallest commands.

use std::time::Duration;

use assay_api::id::OperatorId;
use assay_api::routes::call;
use assay_api::types::*;
use serde::Serialize;

use crate::app::Cx;
use crate::fault::{Exit, Fault};
use crate::out::Card;
use crate::session::{self, Session};

/// `--tenant`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenantArg {
    /// Tenant, by name or id; your own where absent.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
}

/// `--reason`, where the audit log wants one.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReasonArg {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

impl ReasonArg {
    /// As the API takes it.
    pub(super) fn body(&self) -> Reason {
        Reason {
            reason: self.reason.clone(),
        }
    }
}

/// `--force-bypass`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BypassArg {
    /// Release although the proof is not fresh: super:admin only, one use, loud in the audit log. 10 to 512 characters.
    #[arg(long, value_name = "REASON")]
    pub(crate) force_bypass: Option<String>,
}

impl BypassArg {
    pub(super) fn reason(&self) -> Result<Option<&str>, Fault> {
        match self.force_bypass.as_deref() {
            Some(reason) if !(10..=512).contains(&reason.len()) || !reason.is_ascii() => Err(
                Fault::usage("the reason of a bypass has 10 to 512 ASCII characters"),
            ),
            reason => Ok(reason),
        }
    }
}

/// A person by id or by name.
///
/// # Errors
/// `not_found`, `name.ambiguous`.
pub(super) async fn operator_id(session: &Session, given: &str) -> Result<OperatorId, Fault> {
    if let Ok(id) = OperatorId::parse(given) {
        return Ok(id);
    }
    let all = session.all::<call::list_operators>(None).await?;
    let mut named = all.into_iter().filter(|o| o.name == given);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => Err(
            Fault::new("not_found", format!("there is no operator `{given}`"))
                .exit(Exit::NotFound)
                .hint("`assay operator list` shows who there is"),
        ),
        (Some(_), Some(_)) => Err(Fault::new(
            "name.ambiguous",
            format!("several operators are called `{given}`"),
        )
        .hint("use the id, as `assay operator list` shows it")),
    }
}

/// Reads a span: `8h`, `90m`, `1h30m`, `7d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no span of time: write it as 8h, 90m, 1h30m, 7d");
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let count: u64 = digits.parse().map_err(|_| bad())?;
        total = count
            .checked_mul(unit)
            .and_then(|s| total.checked_add(s))
            .ok_or_else(bad)?;
        digits.clear();
    }
    if total == 0 || !digits.is_empty() {
        return Err(bad());
    }
    Ok(Duration::from_secs(total))
}

/// A key under which a repeated request gets the same answer: 32 characters of 0-9 and a-f.
pub(super) fn idempotency_key() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Fault::new("random", format!("the system gives no random bytes: {e}")))?;
    Ok(base16ct::lower::encode_string(&bytes))
}

/// Hexadecimal, as fingerprints are shown.
pub(super) fn hex(bytes: &B64) -> String {
    base16ct::lower::encode_string(&bytes.0)
}

/// Ids or names in one cell.
pub(super) fn joined<T: std::fmt::Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// An optional value in a cell; empty where absent.
pub(super) fn maybe(value: Option<&impl std::fmt::Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

impl Card for Me {
    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("name", self.name.clone()),
            ("role", self.role.as_str().to_owned()),
            ("tenant", maybe(self.tenant_id.as_ref())),
            ("operator", self.operator_id.to_string()),
            ("key", self.key_id.to_string()),
            ("nexus time", self.time.to_string()),
        ]
    }
}

pub(super) async fn whoami(cx: &Cx) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    let me = session.call::<call::whoami>(None, &Empty {}).await?;
    cx.out.card(&me)?;
    cx.out.note(&format!(
        "context `{}` at {}",
        session.name, session.context.url
    ));
    Ok(())
}

#[derive(Serialize)]
struct Version {
    assay: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nexus: Option<String>,
}

impl Card for Version {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("assay", self.assay.to_owned())];
        lines.extend(self.nexus.clone().map(|v| ("nexus", v)));
        lines
    }
}

pub(super) async fn version(cx: &Cx) -> Result<(), Fault> {
    let nexus = match cx.home.pick(cx.context.as_deref()) {
        Ok(name) => {
            let context = cx.home.load(&name)?;
            let client = session::client(cx, &context, context.pins(), None)?;
            match client.call::<call::ready>(None, &Empty {}).await {
                Ok(answer) => Some(answer.body.version),
                Err(error) => {
                    cx.out
                        .note(&format!("the version of the nexus is not known: {error}"));
                    None
                }
            }
        }
        Err(_) => None,
    };
    cx.out.card(&Version {
        assay: env!("CARGO_PKG_VERSION"),
        nexus,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, seconds) in [
            ("8h", 28_800),
            ("90m", 5_400),
            ("1h30m", 5_400),
            ("7d", 604_800),
            ("45s", 45),
        ] {
            assert_eq!(span(text).unwrap().as_secs(), seconds, "{text}");
        }
        for bad in [
            "",
            "8",
            "h",
            "8x",
            "-1h",
            "0h",
            "1h30",
            "99999999999999999999h",
            "1 h",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bypass_has_a_reason_of_the_right_length() {
        let with = |r: &str| BypassArg {
            force_bypass: Some(r.into()),
        };
        assert!(with("too short").reason().is_err());
        assert!(with(&"x".repeat(513)).reason().is_err());
        assert!(with("caf\u{e9} burnt down").reason().is_err());
        assert!(with("fire in rack 7").reason().unwrap().is_some());
        assert!(BypassArg { force_bypass: None }.reason().unwrap().is_none());
    }
}
