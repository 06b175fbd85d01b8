//! Keys of people.

use assay_api::routes::call;
use clap::Subcommand;

use super::words::ReasonArg;
use crate::app::Cx;
use crate::fault::Fault;
use crate::session::Session;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Revoke a key for good.
    Revoke {
        /// The key's id (`k-...`), as `assay operator show` lists it.
        key: String,
        #[command(flatten)]
        why: ReasonArg,
    },
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Revoke { key, why } => {
            cx.confirm(&format!("revoke key `{key}` for good"), &key)?;
            let person = session
                .call::<call::revoke_key>(Some(&key), &why.body())
                .await?;
            cx.out.done(
                &format!("key `{key}` of {} is revoked", person.name),
                &person,
            )
        }
    }
}
