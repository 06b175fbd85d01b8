//! Grants: this person, this SSH CA, these hosts, these logins, until then.

use assay_api::routes::call;
use assay_api::types::*;
use clap::{ArgGroup, Subcommand};

use super::words::{ReasonArg, TenantArg, joined, operator_id, span};
use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::out::{Row, until};
use crate::session::Session;

/// What can be done with grants.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Grant logins on a host, or on every host behind a DPU.
    #[command(group(ArgGroup::new("where").required(true).args(["host", "dpu"])))]
    Create {
        /// The person, by name or id.
        #[arg(long, value_name = "OPERATOR")]
        operator: String,
        /// SSH CA, by name or id.
        #[arg(long, value_name = "CA")]
        ca: String,
        /// One host, by name or id.
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// Every host behind this DPU, later ones too.
        #[arg(long, value_name = "DPU")]
        dpu: Option<String>,
        /// Logins; no wildcard.
        #[arg(long, value_name = "LOGIN", required = true, value_delimiter = ',')]
        login: Vec<String>,
        /// The grant's end: a span (30d) or a time (2026-12-31T00:00:00Z); at most a year away.
        #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = parse_end)]
        expires: End,
    },
    /// List grants.
    List(TenantArg),
    /// Revoke a grant.
    Revoke {
        /// The grant's id (`g-...`).
        grant: String,
        #[command(flatten)]
        why: ReasonArg,
    },
}

/// When a grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This long from now.
    In(std::time::Duration),
    /// Then.
    At(Time),
}

fn parse_end(text: &str) -> Result<End, String> {
    match span(text) {
        Ok(span) => Ok(End::In(span)),
        Err(_) => text.parse().map(End::At).map_err(|_| {
            format!("`{text}` is neither a span (30d) nor a time (2026-12-31T00:00:00Z)")
        }),
    }
}

impl Row for Grant {
    const HEAD: &'static [&'static str] = &[
        "ID",
        "OPERATOR",
        "CA",
        "HOST OR DPU",
        "LOGINS",
        "STATE",
        "EXPIRES",
    ];
    fn cells(&self) -> Vec<String> {
        let target = match (&self.host_id, &self.dpu_id) {
            (Some(host), _) => host.to_string(),
            (None, Some(dpu)) => format!("behind {dpu}"),
            (None, None) => String::new(),
        };
        vec![
            self.id.to_string(),
            self.operator_id.to_string(),
            self.ssh_ca_id.to_string(),
            target,
            joined(&self.logins),
            self.state.clone(),
            until(self.expires_at, clock::now()),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Create {
            operator,
            ca,
            host,
            dpu,
            login,
            expires,
        } => {
            let expires_at = match expires {
                End::At(time) => time,
                End::In(span) => {
                    // The nexus judges by its own clock, so the span is counted from there.
                    let now = session.call::<call::whoami>(None, &Empty {}).await?.time;
                    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                    Time(now.0.plus_millis(millis))
                }
            };
            let ask = GrantCreate {
                operator: operator_id(&session, &operator).await?,
                ssh_ca: ca,
                host,
                dpu,
                logins: login,
                expires_at,
            };
            let grant = session.call::<call::create_grant>(None, &ask).await?;
            let logins = joined(&grant.logins);
            cx.out.done(
                &format!(
                    "grant {}: {operator} may log in as {logins} until {}",
                    grant.id,
                    until(grant.expires_at, clock::now())
                ),
                &grant,
            )
        }
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_grants>(arg.tenant.as_deref())
                .await?,
        ),
        Command::Revoke { grant, why } => {
            cx.confirm(&format!("revoke grant `{grant}`"), &grant)?;
            let grant = session
                .call::<call::revoke_grant>(Some(&grant), &why.body())
                .await?;
            cx.out
                .done(&format!("grant {} is {}", grant.id, grant.state), &grant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_span_or_a_time() {
        assert_eq!(
            parse_end("7d"),
            Ok(End::In(std::time::Duration::from_secs(604_800)))
        );
        assert!(matches!(parse_end("2026-12-31T00:00:00Z"), Ok(End::At(_))));
        assert!(parse_end("tomorrow").is_err());
    }
}
