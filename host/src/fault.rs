//! What can go wrong, in one type with stable codes.

use crate::config::ConfigFault;
use crate::keys::KeyFault;
use crate::login::NotALogin;
use crate::manifest::ManifestFault;
use crate::sshd;
use assay_api::signed::SignedFault;

/// Why the host side did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// A login name.
    #[error(transparent)]
    Login(#[from] NotALogin),
    /// The host's own keys.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A signed document.
    #[error(transparent)]
    Signed(#[from] SignedFault),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    /// sshd.
    #[error(transparent)]
    Sshd(#[from] sshd::Fault),
    /// A file of our own.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file of our own does not read.
    #[error(
        "`{path}` is damaged: {why}; restore it from a backup, or pair this host anew (`assay-host init --force`)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// There are keys already.
    #[error(
        "this host has keys already: `--force` makes new ones, and the host must then be paired anew"
    )]
    AlreadyInit,
    /// There are no keys yet.
    #[error("this host has no keys yet: run `assay-host init --login LOGIN` first")]
    NotInit,
    /// There is no pairing yet.
    #[error(
        "this host is not paired: have `assay host pair` sign the request of `assay-host init`, then run `assay-host pair FILE`"
    )]
    NotPaired,
    /// Other keys are pinned.
    #[error(
        "this host is paired already, with other keys or as another host: run `assay-host init --force` to begin anew"
    )]
    AlreadyPaired,
    /// The pairing is by another nexus than was expected.
    #[error(
        "the pairing is by nexus `{found}`, and not by `{expected}`: do not use it before you know why"
    )]
    OtherNexus {
        /// What the pairing says, hex.
        found: String,
        /// What was given, hex.
        expected: String,
    },
    /// A file that was given is no document.
    #[error("`{path}` holds no signed document: give the file as it was made")]
    NotADocument {
        /// The file.
        path: String,
    },
    /// No way to the DPU.
    #[error(
        "where the DPU's agent listens is not known: set `dpu.address` to `tcp:ADDRESS:PORT` or `unix:PATH`"
    )]
    NoAddress,
}

impl Fault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "host.config",
            Self::Login(_) => "host.login",
            Self::Key(fault) => fault.code(),
            Self::Signed(fault) => fault.code(),
            Self::Manifest(fault) => fault.code(),
            Self::Sshd(fault) => fault.code(),
            Self::Io(_) => "host.io",
            Self::Damaged { .. } => "host.damaged",
            Self::AlreadyInit => "host.already_init",
            Self::NotInit => "host.not_init",
            Self::NotPaired => "host.not_paired",
            Self::AlreadyPaired => "host.already_paired",
            Self::OtherNexus { .. } => "host.other_nexus",
            Self::NotADocument { .. } => "host.not_a_document",
            Self::NoAddress => "host.no_address",
        }
    }
}
