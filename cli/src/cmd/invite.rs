//! Invites: how people get in.

use std::path::PathBuf;

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;
use serde::Serialize;

use super::words::{TenantArg, maybe};
use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Mode};
use crate::out::{Row, until};
use crate::session::Session;

/// What can be done with invites.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Invite a person; the token is good once, for one hour.
    Create {
        /// The person's name.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What the person may be.
        #[arg(long, value_parser = role, value_name = "operator|tenant:admin|super:admin")]
        role: PersonRole,
        /// Tenant, by name or id; your own where absent, none for a super:admin.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Write the token into a new file of mode 0600, rather than to standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List invites.
    List(TenantArg),
}

fn role(text: &str) -> Result<PersonRole, String> {
    PersonRole::parse(text)
        .ok_or_else(|| "roles are operator, tenant:admin, super:admin".to_owned())
}

impl Row for Invite {
    const HEAD: &'static [&'static str] = &["ID", "NAME", "ROLE", "TENANT", "STATE", "EXPIRES"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.role.as_str().to_owned(),
            maybe(self.tenant_id.as_ref()),
            self.state.clone(),
            until(self.expires_at, clock::now()),
        ]
    }
}

/// An invite whose token went into a file.
#[derive(Serialize)]
struct InFile<'a> {
    invite: &'a Invite,
    token_file: String,
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    if let Command::Create {
        out: Some(path), ..
    } = &command
    {
        files::check_free(path)?;
    }
    let session = Session::open(cx).await?;
    match command {
        Command::Create {
            name,
            role,
            tenant,
            out,
        } => {
            let ask = InviteCreate { tenant, name, role };
            let created = session.call::<call::create_invite>(None, &ask).await?;
            let invite = &created.invite;
            let what = format!(
                "invite {} for {} ({}), good once, until {}",
                invite.id,
                invite.name,
                invite.role.as_str(),
                until(invite.expires_at, clock::now())
            );
            match out {
                Some(path) => {
                    write_token(&path, &created.token)?;
                    cx.out.done(
                        &format!("{what}; token in {}", path.display()),
                        &InFile {
                            invite,
                            token_file: path.display().to_string(),
                        },
                    )
                }
                None => {
                    cx.out.note(&format!(
                        "{what}; hand over this token by a way that only {} reads:",
                        invite.name
                    ));
                    cx.out.raw(&created.token.0, &created)
                }
            }
        }
        Command::List(arg) => cx.out.list(
            &session
                .all::<call::list_invites>(arg.tenant.as_deref())
                .await?,
        ),
    }
}

/// Writes a token into a file of its own.
pub(super) fn write_token(path: &std::path::Path, token: &TokenText) -> Result<(), Fault> {
    let line = zeroize::Zeroizing::new(format!("{}\n", *token.0));
    files::create(path, line.as_bytes(), Mode::Private).map_err(|fault| {
        // Lost here, the token is lost for good.
        fault.hint("the token was made but not kept: let it expire and make another")
    })
}
