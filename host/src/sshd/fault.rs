//! Why sshd was not changed, or was put back.

use std::io;

/// Why an installation was refused, or undone. Whatever it is, sshd stands as it stood before, but for [`Fault::Rollback`].
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file operation failed.
    #[error("a file operation failed: {0}")]
    Io(#[from] io::Error),
    /// Another assay-host is at it.
    #[error("another assay-host is changing this sshd: wait for it to end")]
    Busy,
    /// A program could not be run.
    #[error("`{program}` could not be run: {why}")]
    Tool {
        /// Its path.
        program: String,
        /// Why.
        why: String,
    },
    /// sshd is older than 9.1.
    #[error(
        "this is OpenSSH `{found}`: 9.1 or newer is needed, since older ones do not read a UTC `expiry-time`"
    )]
    TooOld {
        /// The version.
        found: String,
    },
    /// The configuration holds what can't be followed.
    #[error("can't follow sshd's configuration at `{file}` line {line}: {why}")]
    Unreadable {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Why.
        why: &'static str,
    },
    /// A Match block sets one of our directives.
    #[error(
        "`{directive}` stands in a Match block at `{file}` line {line}, which could hide ours: take it out, or limit the block to `Match User` with logins that are not managed"
    )]
    MatchBlock {
        /// Directive.
        directive: &'static str,
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
    },
    /// Principals are already managed by somebody else.
    #[error(
        "`{directive}` is already set at `{file}` line {line}: two owners of principals can't be merged, take it out first"
    )]
    ForeignPrincipals {
        /// Directive.
        directive: &'static str,
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
    },
    /// A revocation list is already managed by somebody else.
    #[error(
        "`RevokedKeys` is already set at `{file}` line {line}: ours would hide it, take it out first"
    )]
    ForeignRevokedKeys {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
    },
    /// The other CA's file can't be merged.
    #[error(
        "`TrustedUserCAKeys` names `{path}`, which can't be read: mend or remove the directive first"
    )]
    ForeignCa {
        /// The file.
        path: String,
    },
    /// The revocation list is none.
    #[error("the revocation list is not valid: {why}")]
    Krl {
        /// Why.
        why: String,
    },
    /// What was written reads back as something else.
    #[error(
        "`{path}` reads back as something else than was written: is another program writing it?"
    )]
    ReadBack {
        /// The file.
        path: String,
    },
    /// The trial certificates do not prove what they should.
    #[error("the manifest's trial is not usable: {why}")]
    TrialUnfit {
        /// Why.
        why: String,
    },
    /// `sshd -t` refuses.
    #[error("`sshd -t` refuses the configuration: {why}")]
    ConfigTest {
        /// Its complaint.
        why: String,
    },
    /// A directive of ours is not in force.
    #[error(
        "for login `{login}` sshd's `{directive}` is `{found}` and not `{wanted}`: an earlier line or a Match block hides ours, see `sshd -T -C user={login}`"
    )]
    NotEffective {
        /// Login.
        login: String,
        /// Directive, as `sshd -T` prints it.
        directive: &'static str,
        /// What it should be.
        wanted: String,
        /// What is in force.
        found: String,
    },
    /// No sshd answers.
    #[error("no sshd answers at `{at}`: {why}; is `sshd.port` right, and is it running?")]
    NotRunning {
        /// Address and port.
        at: String,
        /// Why.
        why: String,
    },
    /// The reload failed.
    #[error("sshd could not be reloaded: {why}")]
    Reload {
        /// Why.
        why: String,
    },
    /// The trial login was refused.
    #[error("the trial login as `{login}` was refused: {why}; sshd's own log says more")]
    Trial {
        /// Login.
        login: String,
        /// What ssh said.
        why: String,
    },
    /// A revoked certificate was let in.
    #[error("sshd let the revoked trial certificate in as `{login}`")]
    RevokedAccepted {
        /// Login.
        login: String,
    },
    /// The revoked certificate was refused, but not for that.
    #[error("whether the revoked trial certificate is refused could not be found out: {why}")]
    RevokedUnclear {
        /// What ssh said.
        why: String,
    },
    /// `not_after` has passed.
    #[error("the manifest ended at `{not_after}`")]
    Expired {
        /// When.
        not_after: String,
    },
    /// The journal of an interrupted installation can't be read.
    #[error(
        "the journal of an interrupted installation is damaged: {why}; compare sshd's configuration by hand, then remove the journal"
    )]
    Journal {
        /// Why.
        why: String,
    },
    /// What was before could not be restored in full.
    #[error("{cause}; and putting things back failed: {why}; it is tried again at the next start")]
    Rollback {
        /// What went wrong first.
        cause: String,
        /// What went wrong then.
        why: String,
    },
}

impl Fault {
    /// The files are as they should be and sshd takes them: what failed came after.
    #[must_use]
    pub(crate) const fn leaves_files_sound(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. }
                | Self::Reload { .. }
                | Self::Trial { .. }
                | Self::RevokedAccepted { .. }
                | Self::RevokedUnclear { .. }
                | Self::NotEffective { .. }
                | Self::Tool { .. }
        )
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "sshd.io",
            Self::Busy => "sshd.busy",
            Self::Tool { .. } => "sshd.tool",
            Self::TooOld { .. } => "sshd.too_old",
            Self::Unreadable { .. } => "sshd.config_unreadable",
            Self::MatchBlock { .. } => "sshd.match_block",
            Self::ForeignPrincipals { .. } => "sshd.foreign_principals",
            Self::ForeignRevokedKeys { .. } => "sshd.foreign_revoked_keys",
            Self::ForeignCa { .. } => "sshd.foreign_ca",
            Self::Krl { .. } => "sshd.krl_invalid",
            Self::ReadBack { .. } => "sshd.read_back",
            Self::TrialUnfit { .. } => "sshd.trial_unfit",
            Self::ConfigTest { .. } => "sshd.config_test",
            Self::NotEffective { .. } => "sshd.not_effective",
            Self::NotRunning { .. } => "sshd.not_running",
            Self::Reload { .. } => "sshd.reload",
            Self::Trial { .. } => "sshd.trial_refused",
            Self::RevokedAccepted { .. } => "sshd.revoked_accepted",
            Self::RevokedUnclear { .. } => "sshd.revoked_unclear",
            Self::Expired { .. } => "sshd.expired",
            Self::Journal { .. } => "sshd.journal",
            Self::Rollback { .. } => "sshd.rollback",
        }
    }
}
