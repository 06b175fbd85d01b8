//! People.

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use super::words::{ReasonArg, TenantArg, maybe, operator_id};
use crate::app::Cx;
use crate::fault::Fault;
use crate::out::{Card, Row};
use crate::session::Session;

/// What can be done with people.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List people.
    List(TenantArg),
    /// Show a person with keys.
    Show {
        /// Name or id.
        operator: String,
    },
    /// Suspend a person: every key stops at once.
    Suspend {
        /// Name or id.
        operator: String,
        #[command(flatten)]
        why: ReasonArg,
    },
    /// Lift a suspension.
    Unsuspend {
        /// Name or id.
        operator: String,
        #[command(flatten)]
        why: ReasonArg,
    },
}

impl Row for Operator {
    const HEAD: &'static [&'static str] = &["NAME", "ID", "ROLE", "TENANT", "STATE", "KEYS"];
    fn cells(&self) -> Vec<String> {
        let active = self.keys.iter().filter(|k| k.state == "active").count();
        vec![
            self.name.clone(),
            self.id.to_string(),
            self.role.as_str().to_owned(),
            maybe(self.tenant_id.as_ref()),
            self.state.clone(),
            active.to_string(),
        ]
    }
}

impl Card for Operator {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("name", self.name.clone()),
            ("id", self.id.to_string()),
            ("role", self.role.as_str().to_owned()),
            ("tenant", maybe(self.tenant_id.as_ref())),
            ("state", self.state.clone()),
        ];
        lines.extend(self.keys.iter().map(|k| {
            (
                "key",
                format!("{}  {}  {}  {}", k.id, k.algorithm, k.state, k.label),
            )
        }));
        lines
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_operators>(arg.tenant.as_deref())
                .await?,
        ),
        Command::Show { operator } => {
            let id = operator_id(&session, &operator).await?;
            cx.out.card(
                &session
                    .call::<call::show_operator>(Some(id.as_str()), &Empty {})
                    .await?,
            )
        }
        Command::Suspend { operator, why } => {
            let id = operator_id(&session, &operator).await?;
            cx.confirm(
                &format!("suspend operator `{operator}`: every key stops at once"),
                &operator,
            )?;
            let person = session
                .call::<call::suspend_operator>(Some(id.as_str()), &why.body())
                .await?;
            cx.out.done(
                &format!("operator `{}` is {}", person.name, person.state),
                &person,
            )
        }
        Command::Unsuspend { operator, why } => {
            let id = operator_id(&session, &operator).await?;
            let person = session
                .call::<call::unsuspend_operator>(Some(id.as_str()), &why.body())
                .await?;
            cx.out.done(
                &format!("operator `{}` is {}", person.name, person.state),
                &person,
            )
        }
    }
}
