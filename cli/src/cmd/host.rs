//! Hosts and the DPUs in front of them.

use std::path::{Path, PathBuf};

use assay_api::armor;
use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;
use serde::Serialize;

use super::words::{TenantArg, joined};
use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Mode};
use crate::out::{Card, Row, ago, until};
use crate::session::Session;

/// The longest pairing request, in bytes, as text.
const LIMIT: usize = 128 * 1024;

/// What can be done with hosts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pair a host with a DPU: the nexus signs who is behind what.
    Pair {
        /// The DPU in front of it, by name or id.
        #[arg(long, value_name = "DPU")]
        dpu: String,
        /// Name in the tenant: 1 to 63 characters of a-z, 0-9, `-` and `.`.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Names that its host certificate carries (FQDNs), as ssh clients type them.
        #[arg(long, value_name = "FQDN", required = true, value_delimiter = ',')]
        principal: Vec<String>,
        /// Write the pairing into this new file, rather than to standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// What `assay-host init` printed; `-` reads standard input.
        #[arg(value_name = "REQUESTFILE")]
        request: PathBuf,
    },
    /// List the hosts that you may reach.
    List(TenantArg),
    /// Show a host.
    Show {
        /// Name or id.
        host: String,
    },
}

impl Row for Host {
    const HEAD: &'static [&'static str] = &[
        "NAME",
        "ID",
        "DPU",
        "ATTESTATION",
        "INSTALLED",
        "REPORT",
        "LOGINS",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.id.to_string(),
            self.device_id.to_string(),
            self.attestation.clone(),
            format!("{} of {}", self.installed, self.sequence),
            self.report.clone().unwrap_or_default(),
            joined(&self.logins),
        ]
    }
}

impl Card for Host {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let now = clock::now();
        vec![
            ("name", self.name.clone()),
            ("id", self.id.to_string()),
            ("tenant", self.tenant_id.to_string()),
            ("dpu", self.device_id.to_string()),
            ("attestation", self.attestation.clone()),
            ("state", self.state.clone()),
            ("principals", joined(&self.principals)),
            ("logins", joined(&self.logins)),
            (
                "manifest",
                format!("{} of {} installed", self.installed, self.sequence),
            ),
            ("report", self.report.clone().unwrap_or_default()),
            ("reported", ago(self.reported_at, now)),
            (
                "certificate until",
                self.certificate_until
                    .map(|t| until(t, now))
                    .unwrap_or_default(),
            ),
        ]
    }
}

/// A pairing that went into a file.
#[derive(Serialize)]
struct InFile<'a> {
    host: &'a Host,
    pairing_file: String,
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    match command {
        Command::Pair {
            dpu,
            name,
            principal,
            out,
            request,
        } => {
            if let Some(path) = &out {
                files::check_free(path)?;
            }
            let request = read_request(&request)?;
            let session = Session::open(cx).await?;
            let ask = HostPair {
                dpu,
                name,
                principals: principal,
                request: B64(request),
            };
            let paired = session.call::<call::pair_host>(None, &ask).await?;
            hand_over(cx, &paired, out.as_deref())
        }
        Command::List(arg) => {
            let session = Session::open(cx).await?;
            cx.out.list(
                &session
                    .all::<call::list_hosts>(arg.tenant.as_deref())
                    .await?,
            )
        }
        Command::Show { host } => {
            let session = Session::open(cx).await?;
            cx.out.card(
                &session
                    .call::<call::show_host>(Some(&host), &Empty {})
                    .await?,
            )
        }
    }
}

fn read_request(path: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = if path == Path::new("-") {
        files::read_stdin(LIMIT)?
    } else {
        files::read(path, LIMIT)?
    };
    armor::read(&bytes).ok_or_else(|| {
        Fault::new(
            "host.request",
            format!("`{}` is no pairing request", path.display()),
        )
        .hint("take the line that `assay-host init` printed on the host, whole")
    })
}

fn hand_over(cx: &Cx, paired: &HostPaired, out: Option<&Path>) -> Result<(), Fault> {
    let line = armor::write(&paired.pairing.0);
    let host = &paired.host;
    match out {
        Some(path) => {
            files::create(path, line.as_bytes(), Mode::Public)?;
            cx.out.done(
                &format!(
                    "host `{}` ({}) is paired with dpu {}; take {} to it",
                    host.name,
                    host.id,
                    host.device_id,
                    path.display()
                ),
                &InFile {
                    host,
                    pairing_file: path.display().to_string(),
                },
            )
        }
        None => {
            cx.out.note(&format!(
                "host `{}` ({}) is paired with dpu {}; take this line to it, for `assay-host pair`:",
                host.name, host.id, host.device_id
            ));
            cx.out.raw(&line, paired)
        }
    }
}
