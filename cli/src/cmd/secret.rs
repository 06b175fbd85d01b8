//! Secrets for DPUs: kept by the nexus, released sealed, to a device that has just proved itself.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use super::words::{ReasonArg, TenantArg, maybe};
use crate::app::Cx;
use crate::fault::Fault;
use crate::out::Row;
use crate::session::Session;
use crate::{files, prompt};

/// The longest secret, in bytes.
const LIMIT: usize = 64 * 1024;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep a secret for a DPU; a second one under the same name replaces it.
    Put {
        /// The DPU, by name or id.
        #[arg(long, value_name = "DPU")]
        dpu: String,
        /// Name: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The file with the value, byte for byte; `-` reads standard input, and at a terminal asks without showing it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List secrets, without their values.
    List(TenantArg),
    /// Withdraw a secret: it is scrubbed, and the DPU is told to wipe it.
    Withdraw {
        /// The secret's id (`s-...`).
        secret: String,
        #[command(flatten)]
        why: ReasonArg,
    },
}

impl Row for Secret {
    const HEAD: &'static [&'static str] = &[
        "NAME", "VERSION", "ID", "DPU", "STATE", "BYTES", "PUT", "RELEASED",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.to_string(),
            self.id.to_string(),
            self.device_id.to_string(),
            self.state.clone(),
            self.size.to_string(),
            self.put_at.to_string(),
            maybe(self.released_at.as_ref()),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    match command {
        Command::Put { dpu, name, file } => {
            let value = SecretB64(read(&file)?);
            let session = Session::open(cx).await?;
            let secret = session
                .call::<call::put_secret>(None, &SecretPut { dpu, name, value })
                .await?;
            cx.out.done(
                &format!(
                    "secret `{}` version {} for dpu {}: {}",
                    secret.name, secret.version, secret.device_id, secret.id
                ),
                &secret,
            )
        }
        Command::List(arg) => {
            let session = Session::open(cx).await?;
            cx.out.list(
                &session
                    .all::<call::list_secrets>(arg.tenant.as_deref())
                    .await?,
            )
        }
        Command::Withdraw { secret, why } => {
            cx.confirm(
                &format!("withdraw secret `{secret}`: it is scrubbed for good"),
                &secret,
            )?;
            let session = Session::open(cx).await?;
            let secret = session
                .call::<call::withdraw_secret>(Some(&secret), &why.body())
                .await?;
            cx.out.done(
                &format!("secret `{}` is {}", secret.name, secret.state),
                &secret,
            )
        }
    }
}

fn read(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
    let value = if file != Path::new("-") {
        files::read(file, LIMIT)?
    } else if std::io::stdin().is_terminal() {
        zeroize::Zeroizing::new(prompt::secret("value: ")?.as_bytes().to_vec())
    } else {
        files::read_stdin(LIMIT)?
    };
    if value.is_empty() {
        return Err(Fault::new("secret.empty", "the secret is empty"));
    }
    Ok(value)
}
