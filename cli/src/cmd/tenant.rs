//! Tenants.

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;

use crate::app::Cx;
use crate::fault::Fault;
use crate::out::Row;
use crate::session::Session;

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a tenant (super:admin).
    Create {
        /// Unique name: 1 to 63 characters of a-z, 0-9 and `-`.
        name: String,
    },
    /// List the tenants that you belong to; all of them for a super:admin.
    List,
}

impl Row for Tenant {
    const HEAD: &'static [&'static str] = &["NAME", "ID", "CREATED"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.id.to_string(),
            self.created_at.to_string(),
        ]
    }
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let session = Session::open(cx).await?;
    match command {
        Command::Create { name } => {
            let tenant = session
                .call::<call::create_tenant>(None, &TenantCreate { name })
                .await?;
            cx.out.done(
                &format!("tenant `{}` is created: {}", tenant.name, tenant.id),
                &tenant,
            )
        }
        Command::List => cx.out.list(&session.all::<call::list_tenants>(None).await?),
    }
}
