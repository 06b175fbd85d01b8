//! The configuration file.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `host.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where keys, pairing and what is installed are kept; made with mode 0700.
    #[serde(default = "state")]
    pub state: PathBuf,
    /// The way to the DPU's agent.
    #[serde(default)]
    pub dpu: Dpu,
    /// The sshd that is looked after.
    #[serde(default)]
    pub sshd: Sshd,
}

/// The way to the DPU's agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dpu {
    /// `tcp:ADDRESS:PORT` (of tmfifo or of the physical function) or `unix:PATH`; absent where the pairing says it.
    pub address: Option<crate::link::Address>,
}

/// The sshd that is looked after, and the programs that do it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sshd {
    /// Its program; absolute, as sshd itself demands for a reload.
    pub program: PathBuf,
    /// The ssh client, for the trial login.
    pub ssh: PathBuf,
    /// ssh-keygen, to read revocation lists back.
    pub ssh_keygen: PathBuf,
    /// Its main configuration file.
    pub config: PathBuf,
    /// Our drop-in; used where the main file includes it, else the main file gets an `Include` line of ours.
    pub drop_in: PathBuf,
    /// What is ours: CA keys, revocation list, principals, host certificate. Only root may write there or above.
    pub directory: PathBuf,
    /// Its host public key, which the host certificate is for.
    pub host_key: PathBuf,
    /// Where the trial login connects to: a loopback address.
    pub address: std::net::IpAddr,
    /// And the port.
    pub port: u16,
    /// How it is reloaded; where empty, SIGHUP to the process of its `PidFile`.
    pub reload: Vec<String>,
}

impl Default for Sshd {
    fn default() -> Self {
        Self {
            program: "/usr/sbin/sshd".into(),
            ssh: "/usr/bin/ssh".into(),
            ssh_keygen: "/usr/bin/ssh-keygen".into(),
            config: "/etc/ssh/sshd_config".into(),
            drop_in: "/etc/ssh/sshd_config.d/00-assay.conf".into(),
            directory: "/etc/ssh/assay".into(),
            host_key: "/etc/ssh/ssh_host_ed25519_key.pub".into(),
            address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            port: 22,
            reload: Vec::new(),
        }
    }
}

fn state() -> PathBuf {
    "/var/lib/assay-host".into()
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// It can't be read.
    #[error("can't read the configuration")]
    Read(#[source] std::io::Error),
    /// It is no configuration of ours.
    #[error("the configuration does not parse: {0}")]
    Parse(String),
    /// A path that sshd could take for something else.
    #[error("`{path}` ({key}) must be absolute and made of letters, digits and `._-/` alone")]
    Path {
        /// The key.
        key: &'static str,
        /// What it says.
        path: String,
    },
    /// The trial login is for loopback.
    #[error("`sshd.address` is `{0}`: the trial login connects to a loopback address only")]
    Address(std::net::IpAddr),
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigFault`].
    pub fn parse(text: &str) -> Result<Self, ConfigFault> {
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigFault::Parse(error.to_string()))?;
        let s = &config.sshd;
        for (key, path) in [
            ("state", &config.state),
            ("sshd.program", &s.program),
            ("sshd.ssh", &s.ssh),
            ("sshd.ssh_keygen", &s.ssh_keygen),
            ("sshd.config", &s.config),
            ("sshd.drop_in", &s.drop_in),
            ("sshd.directory", &s.directory),
            ("sshd.host_key", &s.host_key),
        ] {
            plain(key, path)?;
        }
        if !s.address.is_loopback() {
            return Err(ConfigFault::Address(s.address));
        }
        Ok(config)
    }

    /// Reads a configuration file; where it is not there, the defaults stand.
    ///
    /// # Errors
    /// [`ConfigFault`].
    pub fn load(path: &Path) -> Result<Self, ConfigFault> {
        let bytes = crate::files::read(path).map_err(ConfigFault::Read)?;
        let text = String::from_utf8(bytes.unwrap_or_default())
            .map_err(|_bad| ConfigFault::Parse("it is not UTF-8".to_owned()))?;
        Self::parse(&text)
    }
}

// sshd splits at spaces, expands `%` and reads quotes; none of them is in a path of ours.
fn plain(key: &'static str, path: &Path) -> Result<(), ConfigFault> {
    let text = path.to_str().unwrap_or_default();
    let good = text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'));
    if good {
        Ok(())
    } else {
        Err(ConfigFault::Path {
            key,
            path: path.display().to_string(),
        })
    }
}
