//! `assay-nexus`: the control plane's program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_api::log::{Actor, ActorKind};
use assay_nexus::anchors;
use assay_nexus::app::App;
use assay_nexus::clock::SystemClock;
use assay_nexus::config::{Config, Level};
use assay_nexus::keys::forbid_dumps;
use assay_nexus::random::OsRandom;
use assay_nexus::store::{EntryDraft, Store};
use assay_nexus::{bootstrap, serve, start};
use clap::{Parser, Subcommand};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Releases credentials only to machines that prove, now, what they are.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        default_value = "/etc/assay/nexus.toml",
        env = "ASSAY_NEXUS_CONFIG"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until SIGTERM.
    Serve,
    /// Check configuration and policies, and change nothing.
    Check,
    /// The last admin's key is lost: make one token for another. Needs the nexus stopped; stands in the audit log.
    Recover {
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
    /// The machine's clock.
    #[command(subcommand)]
    Clock(Clock),
}

#[derive(Debug, Subcommand)]
enum Clock {
    /// Vouch for the clock as it stands, so that releases open again. Needs the nexus stopped; stands in the audit log.
    Accept {
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            let _ = wrong.print();
            return if wrong.use_stderr() {
                ExitCode::from(64)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("assay-nexus: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    forbid_dumps().context("core dumps can't be forbidden")?;
    let config = Config::read(&arguments.config)?;
    log_to_stderr(config.log);
    match &arguments.command {
        Command::Serve => serve_until_told(config),
        Command::Check => {
            start::policies(&config)?;
            anchors::load(&config.anchors)?;
            println!("configuration and policies are good");
            Ok(())
        }
        Command::Recover { reason } => {
            let entry = local("operator.recover", reason)?;
            let app = start::app(config.clone(), open(&config)?, Arc::new(OsRandom))?;
            let path = bootstrap::recover(&app, entry)?;
            println!("one token, one hour: {}", path.display());
            Ok(())
        }
        Command::Clock(Clock::Accept { reason }) => {
            let store = open(&config)?;
            store.accept_clock_blocking(local("clock.accept", reason)?)?;
            println!("the clock is accepted as it stands");
            Ok(())
        }
    }
}

/// An entry by the administrator at this machine.
fn local(event: &str, reason: &str) -> anyhow::Result<EntryDraft> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "this is for root at the machine of the nexus"
    );
    anyhow::ensure!(
        (1..=512).contains(&reason.trim().chars().count()),
        "give a reason of 1 to 512 characters"
    );
    let actor = Actor {
        kind: ActorKind::System,
        id: "root".into(),
        kid: None,
    };
    Ok(EntryDraft::new(event, actor).reason(reason.trim()))
}

fn open(config: &Config) -> anyhow::Result<Store> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Ok(start::open_store(
        config,
        credentials.as_deref(),
        Arc::new(SystemClock),
    )?)
}

fn serve_until_told(config: Config) -> anyhow::Result<()> {
    let app = Arc::new(start::app(
        config.clone(),
        open(&config)?,
        Arc::new(OsRandom),
    )?);
    if let Some(path) = bootstrap::ensure(&app)? {
        // For whoever starts it by hand; the token itself is in the file only.
        eprintln!(
            "no admin yet: within an hour run `assay bootstrap {}`",
            path.display()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(until_told(app))
}

async fn until_told(app: Arc<App>) -> anyhow::Result<()> {
    let (teller, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        let _ = teller.send(true);
    });
    let watchdog = tokio::spawn(watchdog(app.clone()));
    let served = serve::serve(app, stop, |addresses| {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let status = format!("listening on {}", addresses.join(", "));
        tracing::info!(addresses = addresses.join(" "), "ready");
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    })
    .await;
    watchdog.abort();
    Ok(served?)
}

/// Tells systemd that the nexus lives, as long as runtime and store answer.
async fn watchdog(app: Arc<App>) {
    let Some(every) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((every / 2).max(Duration::from_millis(500)));
    loop {
        ticks.tick().await;
        match app.store.read_now(|r| r.audit().size()) {
            Ok(_) => tell(&[NotifyState::Watchdog]),
            Err(fault) => tracing::error!(code = fault.code(), "the store does not answer"),
        }
    }
}

/// Outside systemd there is nobody to tell.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// JSON, a line each, on stderr.
fn log_to_stderr(level: Level) {
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .json()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .init();
}
