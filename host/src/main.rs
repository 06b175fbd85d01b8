//! `assay-host`.

use anyhow::Context as _;
use assay_api::armor;
use assay_attest::time::Timestamp;
use assay_host::config::Config;
use assay_host::fault::Fault;
use assay_host::files;
use assay_host::host::{Host, hex};
use assay_host::login::Login;
use assay_host::{service, sshd::Outcome};
use clap::{Parser, Subcommand};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The host side of Assay: makes sshd trust what the nexus signed, through the DPU.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The configuration; the defaults stand where it is not there.
    #[arg(long, global = true, default_value = "/etc/assay/host.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this host's keys and print the pairing request for `assay host pair`.
    Init {
        /// A login that Assay manages; repeat it. Trial logins go to the first.
        #[arg(long = "login", required = true, value_name = "LOGIN")]
        logins: Vec<Login>,
        /// Write the request here instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Make new keys although there are some: the host must then be paired anew.
        #[arg(long)]
        force: bool,
    },
    /// Pin the pairing that the nexus signed.
    Pair {
        /// What `assay host pair` wrote.
        file: PathBuf,
        /// The nexus id that it must have: 64 hex digits, from whoever runs it.
        #[arg(long, value_name = "HEX", value_parser = nexus_id)]
        nexus_id: Option<[u8; 32]>,
    },
    /// Stay connected to the DPU and install what comes.
    Run,
    /// Say what is pinned, what is installed and whether it is in force.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Install a manifest from a file.
    Install {
        /// The manifest.
        file: PathBuf,
    },
    /// Take everything of ours out of sshd. Local keys, our keys and the pairing stay.
    Purge,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _unheard = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .init();
    match act(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.downcast_ref::<Fault>().map_or("host.io", Fault::code);
            eprintln!("error: {error:#} [{code}]");
            ExitCode::from(1)
        }
    }
}

fn act(cli: Cli) -> anyhow::Result<()> {
    let config = Config::load(&cli.config)
        .map_err(Fault::Config)
        .with_context(|| format!("`{}`", cli.config.display()))?;
    let host = Host::new(config, now);
    let mut out = std::io::stdout();
    match cli.command {
        Command::Init { logins, out, force } => init(&host, &logins, out.as_deref(), force)?,
        Command::Pair { file, nexus_id } => {
            let pairing = host.pair(&document(&file)?, nexus_id)?.into_content();
            let keys = &pairing.delivery_keys;
            writeln!(out, "host           {} ({})", pairing.host_id, pairing.name)?;
            writeln!(out, "dpu            {}", pairing.device_id)?;
            writeln!(out, "dpu channel    {}", hex(&pairing.channel_key))?;
            writeln!(out, "delivery key   {}", hex(&keys.current))?;
            if let Some(next) = &keys.next {
                writeln!(out, "delivery next  {}", hex(next))?;
            }
            writeln!(out, "nexus          {}", hex(&pairing.nexus_id))?;
            writeln!(out, "names          {}", pairing.principals.join(", "))?;
            writeln!(out, "logins         {}", pairing.request.logins.join(", "))?;
            if nexus_id.is_none() {
                writeln!(
                    out,
                    "Compare the nexus id with what whoever runs the nexus says, then start assay-host."
                )?;
            }
        }
        Command::Run => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(service::run(Arc::new(host)))?,
        Command::Status { json } => status(&host, json)?,
        Command::Install { file } => {
            let done = host.install(&document(&file)?)?;
            let how = match done.outcome {
                Outcome::Installed => "is in force, a trial login has shown it",
                Outcome::Renewed => "is in force with the content that was there",
                Outcome::Withdrawn => "is in force; it only took away",
            };
            writeln!(out, "manifest {} {how}", done.sequence)?;
        }
        Command::Purge => {
            host.purge()?;
            writeln!(
                out,
                "sshd is as it was before Assay. Stop assay-host, or the next manifest is installed again."
            )?;
        }
    }
    Ok(())
}

fn init(host: &Host, logins: &[Login], out: Option<&Path>, force: bool) -> anyhow::Result<()> {
    let mut random = Zeroizing::new([0_u8; 64]);
    getrandom::fill(random.as_mut_slice())
        .map_err(|_none| Fault::Key(assay_host::keys::KeyFault::Random))?;
    let text = armor::write(&host.init(logins, force, &random)?);
    match out {
        Some(path) => files::replace(path, text.as_bytes(), 0o644)?,
        None => {
            let mut stdout = std::io::stdout();
            stdout.write_all(text.as_bytes())?;
            if stdout.is_terminal() {
                eprintln!(
                    "Save this line in a file and have it signed: assay host pair --dpu DPU --name NAME --principal FQDN FILE"
                );
            }
        }
    }
    Ok(())
}

fn status(host: &Host, json: bool) -> anyhow::Result<()> {
    let pairing = host.pairing()?.into_content();
    let record = host.record(&pairing)?;
    let installed = match &record {
        Some(record) if !record.is_purged() => Some(record),
        _ => None,
    };
    let in_force = match installed {
        Some(record) => host.in_force(&pairing, record)?,
        None => false,
    };
    let ended = installed.is_some_and(|record| record.not_after <= host.now());
    let state = match (installed.is_some(), in_force, ended) {
        (false, _, _) => "nothing installed",
        (true, false, _) => "changed by somebody else",
        (true, true, true) => "ended",
        (true, true, false) => "in force",
    };
    let not_after = record
        .as_ref()
        .map(|record| assay_api::types::Time(record.not_after).to_string());
    let sequence = record.as_ref().map_or(0, |record| record.sequence);
    let newer_list = record.as_ref().and_then(|record| record.newer_list());
    let mut out = std::io::stdout();
    if json {
        let value = serde_json::json!({
            "host_id": pairing.host_id,
            "name": pairing.name,
            "device_id": pairing.device_id,
            "nexus_id": hex(&pairing.nexus_id),
            "logins": pairing.request.logins,
            "state": state,
            "sequence": sequence,
            "revoked_by": newer_list,
            "not_after": not_after,
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(out, "host      {} ({})", pairing.host_id, pairing.name)?;
    writeln!(out, "dpu       {}", pairing.device_id)?;
    writeln!(out, "nexus     {}", hex(&pairing.nexus_id))?;
    writeln!(out, "logins    {}", pairing.request.logins.join(", "))?;
    writeln!(out, "manifest  {sequence}: {state}")?;
    if let Some(newer) = newer_list {
        writeln!(
            out,
            "revoked   by manifest {newer}, of which nothing else is in place yet"
        )?;
    }
    if let Some(not_after) = not_after {
        writeln!(out, "until     {not_after}")?;
    }
    Ok(())
}

fn document(path: &Path) -> Result<Vec<u8>, Fault> {
    let not_there = || std::io::Error::other(format!("`{}` is not there", path.display()));
    let bytes = files::read(path)?.ok_or_else(not_there)?;
    armor::read(&bytes).ok_or_else(|| Fault::NotADocument {
        path: path.display().to_string(),
    })
}

fn nexus_id(text: &str) -> Result<[u8; 32], String> {
    let mut id = [0_u8; 32];
    match base16ct::mixed::decode(text, &mut id) {
        Ok(bytes) if bytes.len() == 32 => Ok(id),
        _ => Err("expected 64 hex digits".to_owned()),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
