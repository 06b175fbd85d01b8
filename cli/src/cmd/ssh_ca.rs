//! SSH certificate authorities.

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use super::words::TenantArg;
use crate::app::Cx;
use crate::fault::Fault;
use crate::out::{Card, Row};
use crate::session::Session;

/// What can be done with SSH CAs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an SSH CA: a user key and a host key, made and kept by the nexus.
    Create {
        /// Name in the tenant: 1 to 63 characters of a-z, 0-9 and `-`.
        name: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// List SSH CAs.
    List(TenantArg),
    /// Show an SSH CA with its keys.
    Show {
        /// Name or id.
        ca: String,
    },
    /// Rotate an SSH CA, one step at a time.
    #[command(subcommand)]
    Rotate(Step),
}

/// The steps of a rotation; each needs the one before.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Step {
    /// Make the successor and have it trusted everywhere; it does not sign yet.
    Prepare {
        /// Name or id.
        ca: String,
    },
    /// Let the successor sign; the predecessor stays trusted.
    Activate {
        /// Name or id.
        ca: String,
    },
    /// Trust the predecessor no more: when every host has its successor, and its certificates have run out.
    Retire {
        /// Name or id.
        ca: String,
        /// Retire it at once, as when it was stolen: why. For super:admins.
        #[arg(long, value_name = "REASON")]
        force: Option<String>,
    },
}

impl Row for SshCa {
    const HEAD: &'static [&'static str] = &["NAME", "ID", "USER KEY", "HOST KEY", "CREATED"];
    fn cells(&self) -> Vec<String> {
        let active = |purpose: &str| {
            self.keys
                .iter()
                .find(|k| k.purpose == purpose && k.state == "active")
                .map(|k| k.fingerprint.clone())
                .unwrap_or_default()
        };
        vec![
            self.name.clone(),
            self.id.to_string(),
            active("user"),
            active("host"),
            self.created_at.to_string(),
        ]
    }
}

impl Card for SshCa {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let key = |k: &SshCaKey| {
            format!(
                "{}  {}  {}\n{}",
                k.purpose, k.state, k.fingerprint, k.public_key
            )
        };
        vec![
            ("name", self.name.clone()),
            ("id", self.id.to_string()),
            ("tenant", self.tenant_id.to_string()),
            ("created", self.created_at.to_string()),
            (
                "keys",
                self.keys.iter().map(key).collect::<Vec<_>>().join("\n"),
            ),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Create { name, tenant } => {
            let ask = SshCaCreate {
                tenant: tenant.tenant,
                name,
            };
            let ca = session.call::<call::create_ssh_ca>(None, &ask).await?;
            cx.out
                .done(&format!("ssh ca `{}` is created: {}", ca.name, ca.id), &ca)
        }
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_ssh_cas>(arg.tenant.as_deref())
                .await?,
        ),
        Command::Show { ca } => cx.out.card(
            &session
                .call::<call::show_ssh_ca>(Some(&ca), &Empty {})
                .await?,
        ),
        Command::Rotate(step) => rotate(cx, &session, step).await,
    }
}

async fn rotate(cx: &Cx, session: &Session, step: Step) -> Result<(), Fault> {
    let mut why = None;
    let (ca, step, done) = match step {
        Step::Prepare { ca } => (
            ca,
            RotationStep::Prepare,
            "has a successor, which is trusted and does not sign yet: next `activate`, when every host has it",
        ),
        Step::Activate { ca } => (
            ca,
            RotationStep::Activate,
            "signs with its successor; the predecessor stays trusted: next `retire`, when every host has the new key and certificates of the old one have run out",
        ),
        Step::Retire { ca, force } => {
            why = force;
            cx.confirm(
                &format!(
                    "retire the old keys of ssh ca `{ca}`: certificates under them stop working"
                ),
                &ca,
            )?;
            (ca, RotationStep::Retire, "trusts its predecessor no more")
        }
    };
    let ca = session
        .call::<call::rotate_ssh_ca>(Some(&ca), &SshCaRotate { step, force: why })
        .await?;
    cx.out.done(&format!("ssh ca `{}` {done}", ca.name), &ca)
}
