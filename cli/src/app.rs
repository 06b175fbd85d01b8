//! The whole program but for `main`: arguments in, exit code out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, FromArgMatches, Parser};

use crate::cmd::{self, Command};
use crate::fault::{Exit, Fault};
use crate::home::Home;
use crate::out::{Format, Out};
use crate::prompt;

/// Hand out credentials only to machines that prove, now, what they are.
#[derive(Debug, Parser)]
#[command(
    name = "assay",
    version,
    about,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_version_flag = true,
    after_help = "Exit codes: 0 ok, 1 error, 2 authentication, 3 attestation, 4 not found, 5 rate limited, 64 usage.\n\
                  Files: $ASSAY_HOME, else ~/.config/assay: contexts, keys, the last audit head of each nexus."
)]
pub(crate) struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Global {
    /// How answers are written: table, json or yaml.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table, hide_possible_values = true)]
    pub(crate) output: Format,
    /// The nexus and identity to use, as `assay context list` shows them; $ASSAY_CONTEXT where absent.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Where contexts and keys are kept; $ASSAY_HOME where absent.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Give the nexus this many seconds for an answer.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
    /// Don't ask for a confirmation.
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// No remarks, no progress.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print the version.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub(crate) version: Option<bool>,
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Cx {
    /// Where answers go.
    pub(crate) out: Out,
    /// Contexts and keys.
    pub(crate) home: Home,
    /// The context that was named.
    pub(crate) context: Option<String>,
    /// How long the nexus may take.
    pub(crate) timeout: Duration,
    /// Confirmed beforehand.
    pub(crate) yes: bool,
}

impl Cx {
    /// Has a person confirm what can't be undone, unless it was confirmed beforehand.
    ///
    /// # Errors
    /// `cli.not_confirmed`.
    pub(crate) fn confirm(&self, what: &str, word: &str) -> Result<(), Fault> {
        if self.yes {
            Ok(())
        } else {
            prompt::confirm(what, word)
        }
    }
}

/// The command line as data: with the examples of each command, for help, completions and man pages.
#[must_use]
pub(crate) fn command() -> clap::Command {
    cmd::table::with_examples(<Cli as clap::CommandFactory>::command())
}

/// Runs the program and says how it ends.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = command()
        .try_get_matches_from(&args)
        .and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&args, &error),
    };
    let out = Out {
        format: cli.global.output,
        quiet: cli.global.quiet,
    };
    match start(cli, out) {
        Ok(code) => code,
        // The reader of our output went away: it has what it wanted.
        Err(fault) if &*fault.code == "output.closed" => 0,
        Err(fault) => {
            out.fault(&fault);
            fault.exit.code()
        }
    }
}

fn start(cli: Cli, out: Out) -> Result<u8, Fault> {
    let cx = Cx {
        out,
        home: match Home::find(cli.global.home) {
            // What stays on this machine and reads no context needs no home.
            Err(_) if cli.command.is_offline() => Home::find(Some(PathBuf::from(".")))?,
            found => found?,
        },
        context: cli.global.context.or_else(|| {
            std::env::var("ASSAY_CONTEXT")
                .ok()
                .filter(|c| !c.is_empty())
        }),
        timeout: Duration::from_secs(cli.global.timeout),
        yes: cli.global.yes,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::new("runtime", format!("the program can't start: {e}")))?
        .block_on(cmd::run(&cx, cli.command))
}

/// A command line that clap did not take: help and version are no failures.
fn refuse(args: &[OsString], error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    let wants_json = args.windows(2).any(
        |w| matches!(w, [a, b] if (a == "-o" || a == "--output") && (b == "json" || b == "yaml")),
    ) || args
        .iter()
        .any(|a| a == "-ojson" || a == "--output=json" || a == "-oyaml" || a == "--output=yaml");
    if wants_json {
        let text = error.to_string();
        let said: Vec<&str> = text
            .lines()
            .take_while(|l| !l.is_empty())
            .map(str::trim)
            .collect();
        let message = said.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        Out {
            format: Format::Json,
            quiet: true,
        }
        .fault(&Fault::usage(message).hint("see `--help` of the command"));
    } else {
        let _ = error.print();
    }
    Exit::Usage.code()
}
