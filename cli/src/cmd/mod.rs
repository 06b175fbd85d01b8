//! The commands, one file for each noun. Each file has its arguments, what it does with them, and how its answers look.

mod audit;
mod audit_export;
mod audit_verify;
mod cert;
mod claim;
mod context;
mod demand;
mod dpu;
mod evidence;
mod grant;
mod host;
mod inventory;
mod invite;
mod join;
mod key;
mod man;
mod manifest;
mod operator;
mod push;
mod reasons;
mod reference;
mod secret;
mod ssh;
mod ssh_ca;
mod status;
pub(crate) mod table;
mod tenant;
mod words;

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::Cx;
use crate::fault::Fault;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Become the first super:admin of a new nexus, with its bootstrap token.
    Bootstrap(join::Args),
    /// Join a nexus with an invite.
    Join(join::Args),
    /// Show who you are to the nexus.
    Whoami,
    /// Choose between several nexuses or identities.
    #[command(subcommand)]
    Context(context::Command),
    /// Create and list tenants.
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Invite people.
    #[command(subcommand)]
    Invite(invite::Command),
    /// List, show, suspend people.
    #[command(subcommand)]
    Operator(operator::Command),
    /// Revoke the key of a person.
    #[command(subcommand)]
    Key(key::Command),
    /// Grant logins on hosts to people.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Claim, confirm, watch, remove DPUs.
    #[command(subcommand)]
    Dpu(dpu::Command),
    /// Show the state of a DPU: what its last proof said, in words, and what to do.
    Status(status::Args),
    /// Pair hosts with the DPUs in front of them.
    #[command(subcommand)]
    Host(host::Command),
    /// Take Reference Values from a machine known to be good.
    #[command(subcommand)]
    Reference(reference::Command),
    /// Create and rotate SSH certificate authorities.
    #[command(subcommand)]
    SshCa(ssh_ca::Command),
    /// Push an SSH CA to the hosts behind a DPU.
    Push(push::PushArgs),
    /// Withdraw an SSH CA from the hosts behind a DPU.
    Withdraw(push::WithdrawArgs),
    /// Sign, list, revoke SSH certificates.
    #[command(subcommand)]
    Cert(cert::Command),
    /// Give this machine's ssh client its side of the trust.
    #[command(subcommand)]
    Ssh(ssh::Command),
    /// Keep secrets for DPUs.
    #[command(subcommand)]
    Secret(secret::Command),
    /// Read, follow, export, verify the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Read and verify artefacts of attestation, offline.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one for each command.
    Man {
        /// Where to; made where it is not there.
        dir: PathBuf,
    },
    /// Print the version of this program and, where there is a context, of the nexus.
    Version,
}

impl Command {
    /// Whether it reads no context and asks no nexus.
    #[must_use]
    pub(crate) const fn is_offline(&self) -> bool {
        matches!(
            self,
            Self::Evidence(_) | Self::Completions { .. } | Self::Man { .. }
        )
    }
}

/// Does it, and says how the process ends.
///
/// # Errors
/// Whatever went wrong.
pub(crate) async fn run(cx: &Cx, command: Command) -> Result<u8, Fault> {
    match command {
        Command::Bootstrap(args) => join::bootstrap(cx, args).await,
        Command::Join(args) => join::join(cx, args).await,
        Command::Whoami => words::whoami(cx).await,
        Command::Context(command) => context::run(cx, command),
        Command::Tenant(command) => tenant::run(cx, command).await,
        Command::Invite(command) => invite::run(cx, command).await,
        Command::Operator(command) => operator::run(cx, command).await,
        Command::Key(command) => key::run(cx, command).await,
        Command::Grant(command) => grant::run(cx, command).await,
        Command::Dpu(command) => dpu::run(cx, command).await,
        Command::Status(args) => status::run(cx, args).await,
        Command::Host(command) => host::run(cx, command).await,
        Command::Reference(command) => reference::run(cx, command).await,
        Command::SshCa(command) => ssh_ca::run(cx, command).await,
        Command::Push(args) => push::push(cx, args).await,
        Command::Withdraw(args) => push::withdraw(cx, args).await,
        Command::Cert(command) => cert::run(cx, command).await,
        Command::Ssh(command) => ssh::run(cx, command).await,
        Command::Secret(command) => secret::run(cx, command).await,
        Command::Audit(audit::Command::Verify(args)) => return audit_verify::run(cx, &args),
        Command::Audit(command) => audit::run(cx, command).await,
        Command::Evidence(command) => return evidence::run(cx, command),
        Command::Completions { shell } => man::completions(shell),
        Command::Man { dir } => man::pages(cx, &dir),
        Command::Version => words::version(cx).await,
    }
    .map(|()| 0)
}
