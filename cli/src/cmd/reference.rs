//! Reference Values: what good machines look like.

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use super::words::{TenantArg, hex, joined};
use crate::app::Cx;
use crate::fault::Fault;
use crate::out::{Card, Row};
use crate::session::Session;

/// What can be done with Reference Values.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take them from the last proof of a DPU known to be good.
    Take {
        /// The DPU, by name or id.
        #[arg(long, value_name = "DPU")]
        dpu: String,
        /// What the set is called; taken again under one name, it gets a new version.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// PCRs to pin; every quoted one where absent.
        #[arg(long, value_name = "PCR", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..24))]
        pcr: Vec<u8>,
        /// DPUs that the set is for; every DPU of the tenant where absent.
        #[arg(long = "for", value_name = "DPU", value_delimiter = ',')]
        applies_to: Vec<String>,
    },
    /// List sets.
    List(TenantArg),
    /// Show a set with its components.
    Show {
        /// Name or id.
        reference: String,
    },
}

impl Row for Reference {
    const HEAD: &'static [&'static str] =
        &["NAME", "VERSION", "ID", "STATE", "TAKEN", "FROM", "FOR"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.to_string(),
            self.id.to_string(),
            self.state.clone(),
            self.taken_at.to_string(),
            self.taken_from.to_string(),
            applies(self),
        ]
    }
}

fn applies(set: &Reference) -> String {
    if set.applies_to.is_empty() {
        "all".to_owned()
    } else {
        joined(&set.applies_to)
    }
}

impl Card for Reference {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let component = |c: &ReferenceComponent| {
            let digests: Vec<String> = c.digests.iter().map(hex).collect();
            format!("{}  {}  {}", c.name, c.rule, digests.join(" or "))
        };
        vec![
            ("name", self.name.clone()),
            ("version", self.version.to_string()),
            ("id", self.id.to_string()),
            ("state", self.state.clone()),
            ("taken", self.taken_at.to_string()),
            ("from", self.taken_from.to_string()),
            ("for", applies(self)),
            ("digest", hex(&self.digest)),
            (
                "components",
                self.components
                    .iter()
                    .map(component)
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Take {
            dpu,
            name,
            pcr,
            applies_to,
        } => {
            let ask = ReferenceTake {
                dpu,
                name,
                pcrs: pcr,
                applies_to,
            };
            let set = session.call::<call::take_reference>(None, &ask).await?;
            let count = set.components.len();
            cx.out.done(
                &format!(
                    "reference values `{}` version {} ({}): {count} components, for {}",
                    set.name,
                    set.version,
                    set.id,
                    applies(&set)
                ),
                &set,
            )
        }
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_references>(arg.tenant.as_deref())
                .await?,
        ),
        Command::Show { reference } => cx.out.card(
            &session
                .call::<call::show_reference>(Some(&reference), &Empty {})
                .await?,
        ),
    }
}
