//! Reference Values: what good machines look like.

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;
use std::path::PathBuf;

use super::manifest;
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
    /// Take a set in from a manifest that a pinned signer signed. It judges nobody until it is activated.
    Import(manifest::ImportArgs),
    /// Show what activating a set, or retiring one in force, would do to the fleet.
    Impact {
        /// Id, or the name of the one in force.
        reference: String,
    },
    /// Put a set in force, in the place of the one of its name.
    Activate {
        /// Its id.
        reference: String,
        /// How many DPUs that are good now may fail by it.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        accept_failures: u32,
    },
    /// Take a set out of force.
    Retire {
        /// Id, or the name of the one in force.
        reference: String,
        /// How many DPUs that are good now may fail by it.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        accept_failures: u32,
    },
    /// Show what differs between two sets.
    Diff {
        /// Name or id of the one.
        from: String,
        /// Name or id of the other.
        to: String,
    },
    /// Write a set to a file, as a manifest that nobody has signed.
    Export {
        /// Name or id.
        reference: String,
        /// Where it goes.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a manifest with your own key: who pins that key takes it in.
    Sign {
        /// The unsigned manifest.
        file: PathBuf,
        /// Where the signed one goes.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// When the signature ends (2027-11-22T21:00:00Z); never where absent.
        #[arg(long, value_name = "TIME")]
        ends: Option<Time>,
    },
    /// Convert a vendor's manifest, once its signature holds, into one to be signed by you.
    Convert(manifest::ConvertArgs),
    /// Pin who may sign manifests.
    Pin {
        /// What the signer is called.
        name: String,
        #[command(flatten)]
        signer: manifest::SignerFile,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// List the signers that are pinned.
    Signers(TenantArg),
    /// Take no more manifests of a signer.
    Unpin {
        /// The signer.
        name: String,
        #[command(flatten)]
        tenant: TenantArg,
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
            source(self),
            applies(self),
        ]
    }
}

fn source(set: &Reference) -> String {
    match (&set.taken_from, &set.signer) {
        (Some(device), _) => device.to_string(),
        (None, Some(signer)) => format!("signed by {signer}"),
        (None, None) => "-".to_owned(),
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
            let digests = c.digests.iter().map(hex);
            let accepted: Vec<String> = digests.chain(c.conditions.iter().cloned()).collect();
            format!("{}  {}  {}", c.name, c.rule, accepted.join(" or "))
        };
        vec![
            ("name", self.name.clone()),
            ("version", self.version.to_string()),
            ("id", self.id.to_string()),
            ("state", self.state.clone()),
            ("taken", self.taken_at.to_string()),
            ("from", source(self)),
            ("for", applies(self)),
            (
                "ends",
                self.ends_at.map(|t| t.to_string()).unwrap_or_default(),
            ),
            (
                "manifest",
                self.manifest_sha256.as_ref().map(hex).unwrap_or_default(),
            ),
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
    match command {
        Command::Import(args) => manifest::import(cx, args).await,
        Command::Impact { reference } => manifest::impact(cx, &reference).await,
        Command::Activate {
            reference,
            accept_failures,
        } => manifest::activate(cx, &reference, accept_failures).await,
        Command::Retire {
            reference,
            accept_failures,
        } => manifest::retire(cx, &reference, accept_failures).await,
        Command::Diff { from, to } => manifest::diff(cx, &from, &to).await,
        Command::Export { reference, out } => manifest::export(cx, &reference, &out).await,
        Command::Sign { file, out, ends } => manifest::sign(cx, &file, &out, ends),
        Command::Convert(args) => manifest::convert(cx, &args),
        Command::Pin {
            name,
            signer,
            tenant,
        } => manifest::pin(cx, name, signer, tenant).await,
        Command::Signers(tenant) => manifest::signers(cx, tenant).await,
        Command::Unpin { name, tenant } => manifest::unpin(cx, name, tenant).await,
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
            let session = Session::open(cx).await?;
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
        Command::List(arg) => {
            let session = Session::open(cx).await?;
            let all = session
                .all::<call::list_references>(arg.tenant.as_deref())
                .await?;
            cx.out.list(&all)
        }
        Command::Show { reference } => {
            let session = Session::open(cx).await?;
            let set = session
                .call::<call::show_reference>(Some(&reference), &Empty {})
                .await?;
            cx.out.card(&set)
        }
    }
}
