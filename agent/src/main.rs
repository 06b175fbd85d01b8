//! `assay-agent`: the Attester on a DPU.

use assay_agent::config::Config;
use assay_agent::enrol;
use assay_agent::local::{self, Ask, AskError, Report};
use assay_agent::source::roots::Roots;
use assay_agent::state::State;
use assay_agent::sys;
use clap::{Parser, Subcommand, ValueEnum};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CONFIG: &str = "/etc/assay/agent.toml";
/// What `sysexits.h` calls EX_USAGE.
const USAGE: u8 = 64;

/// Proves this DPU to the nexus and holds what it may have.
#[derive(Debug, Parser)]
#[command(name = "assay-agent", version, about)]
struct Line {
    /// Configuration file
    #[arg(long, global = true, default_value = CONFIG)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent (systemd does this)
    Run,
    /// Enrol this DPU with a claim from `assay dpu claim`
    Enrol {
        /// File with the claim, 0600; removed once the claim is spent
        #[arg(long)]
        claim_file: Option<PathBuf>,
    },
    /// Show how this DPU stands
    Status {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Write a secret that this DPU holds to standard output
    Secret {
        /// Its name
        name: String,
    },
    /// Wipe every lease that this DPU holds; what is still granted comes back with the next proof
    Wipe,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What went wrong, and what a script should see.
struct Failure {
    code: String,
    text: String,
    exit: u8,
}

impl Failure {
    fn new(code: &str, text: &impl ToString) -> Self {
        Self {
            code: code.to_owned(),
            text: text.to_string(),
            exit: exit_of(code),
        }
    }
}

/// The exit codes of design section 11.
fn exit_of(code: &str) -> u8 {
    match code {
        "state.not_enrolled" | "secret.none" => 4,
        "request.rate" => 5,
        "config" => USAGE,
        _ if code.starts_with("auth.") || code.starts_with("token.") => 2,
        _ if code.starts_with("attestation.") || code.starts_with("evidence.") => 3,
        _ => 1,
    }
}

fn main() -> ExitCode {
    #[expect(
        unsafe_code,
        reason = "sets an environment variable before a second thread exists"
    )]
    // SAFETY: this is the first thing that the only thread does.
    let hardened = unsafe { sys::harden() };
    if let Err(error) = hardened {
        eprintln!("assay-agent: this process could not be kept out of core dumps: {error}");
        return ExitCode::FAILURE;
    }
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let wanted = error.use_stderr();
            drop(error.print());
            return ExitCode::from(if wanted { USAGE } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_stack_size(512 * 1024)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("assay-agent: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = tokio::task::LocalSet::new().block_on(&runtime, command(line));
    // A call that hangs must not keep the process from ending.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("assay-agent: {} [{}]", failure.text, failure.code);
            ExitCode::from(failure.exit)
        }
    }
}

async fn command(line: Line) -> Result<(), Failure> {
    let config = Config::load(&line.config).map_err(|e| Failure::new("config", &e))?;
    match line.command {
        Command::Run => {
            log_to_stderr(&config);
            assay_agent::run::run(config)
                .await
                .map_err(|e| Failure::new(e.code(), &e))
        }
        Command::Enrol { claim_file } => {
            log_to_stderr(&config);
            let claim_file = claim_file.or_else(|| config.claim_file.clone());
            let Some(claim_file) = claim_file else {
                return Err(Failure::new(
                    "config",
                    &"name the claim's file: --claim-file FILE, or `claim_file` in the configuration",
                ));
            };
            enrol_now(&config, &claim_file).await
        }
        Command::Status { output } => status(&config.socket, output).await,
        Command::Secret { name } => {
            let secret = ask(&config.socket, &Ask::Secret { name }).await?;
            let mut out = io::stdout().lock();
            out.write_all(secret.expose())
                .and_then(|()| out.flush())
                .map_err(|e| Failure::new("output", &e))
        }
        Command::Wipe => ask(&config.socket, &Ask::Wipe).await.map(|_| ()),
    }
}

async fn enrol_now(config: &Config, claim_file: &Path) -> Result<(), Failure> {
    let state = State::open(&config.state).map_err(|e| Failure::new(e.code(), &e))?;
    // Before anything is made or asked: is there a claim at all?
    enrol::read_claim(claim_file).map_err(|e| Failure::new(e.code(), &e))?;
    let roots = Roots::open(config.sources()).map_err(|e| Failure::new(e.code(), &e))?;
    let outcome = enrol::enrol(config, &state, &roots, claim_file)
        .await
        .map_err(|e| Failure::new(e.code(), &e))?;
    let identity = outcome.identity;
    println!(
        "enrolled as {} ({}), {}; first verdict: {}",
        identity.name, identity.device_id, outcome.lifecycle, outcome.verdict
    );
    for reason in outcome.reasons {
        println!("  {reason}");
    }
    if outcome.lifecycle == "pending" {
        println!(
            "an admin must confirm it: assay dpu confirm {}",
            identity.device_id
        );
    }
    Ok(())
}

async fn ask(socket: &Path, ask: &Ask) -> Result<sys::Locked, Failure> {
    local::ask(socket, ask).await.map_err(|error| match &error {
        AskError::No { code, .. } => Failure::new(code, &error),
        AskError::Away { .. } => Failure::new("agent.away", &error),
    })
}

async fn status(socket: &Path, output: Output) -> Result<(), Failure> {
    let answer = ask(socket, &Ask::Status).await?;
    let report: Report =
        serde_json::from_slice(answer.expose()).map_err(|e| Failure::new("local.malformed", &e))?;
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&report)
            .map_err(|e| Failure::new("local.malformed", &e))?,
        Output::Table => table(&report),
    };
    println!("{text}");
    Ok(())
}

fn table(report: &Report) -> String {
    let mut out = Vec::new();
    let mut row = |name: &str, value: &str| out.push(format!("{name:<12} {value}"));
    if !report.device.is_empty() {
        row("dpu", &format!("{} ({})", report.name, report.device));
        row("nexus", &report.nexus);
    }
    let mut state = report.state.clone();
    if let Some(seconds) = report.fresh_for {
        state.push_str(&format!(", fresh for {seconds} s"));
    }
    for reason in &report.reasons {
        state.push_str(&format!(", {reason}"));
    }
    row("state", &state);
    if let Some(size) = report.audit_size {
        row("audit log", &format!("{size} entries seen"));
    }
    for host in &report.hosts {
        let connected = if host.connected { "connected" } else { "away" };
        row(
            "host",
            &format!(
                "{} {connected}, installed {}, newest {}",
                host.host, host.installed, host.newest
            ),
        );
    }
    for lease in &report.leases {
        row(
            "lease",
            &format!(
                "{} v{}, {} s left",
                lease.name, lease.version, lease.ends_in
            ),
        );
    }
    for fault in &report.faults {
        row(
            "fault",
            &format!("{}: {} [{}]", fault.what, fault.detail, fault.code),
        );
    }
    for warning in &report.warnings {
        row("warning", warning);
    }
    out.join("\n")
}

/// JSON for machines, plain lines for a terminal; never colours, which a hostile text could abuse.
fn log_to_stderr(config: &Config) {
    let level = config.log.parse().unwrap_or(tracing::Level::INFO);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(io::stderr);
    let set = if io::stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    if let Err(error) = set {
        eprintln!("assay-agent: no log: {error}");
    }
}
