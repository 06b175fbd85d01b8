//! The agent's configuration: one TOML file, every key known.

use crate::source::dice::SoftwareRoot;
use crate::source::redfish::Bmc;
use crate::source::table::Settings;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `/etc/assay/agent.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// State directory: 0700, made where it is missing.
    #[serde(default = "state")]
    pub state: PathBuf,
    /// Unix socket for `assay-agent status`, `secret` and `wipe`; 0600.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// A claim to enrol with at the first start; removed once it is spent.
    #[serde(default)]
    pub claim_file: Option<PathBuf>,
    /// Serial number of this machine; absent: what DMI says.
    #[serde(default)]
    pub serial: Option<String>,
    /// Hardware model; absent: what DMI says.
    #[serde(default)]
    pub model: Option<String>,
    /// Least level of what is logged: `error`, `warn`, `info`, `debug`.
    #[serde(default = "log")]
    pub log: String,
    /// The TPM; leave the table out on a machine without one.
    #[serde(default)]
    pub tpm: Option<Tpm>,
    /// The logs that go with a proof.
    #[serde(default)]
    pub logs: Logs,
    /// The lab's software DICE. It proves nothing about hardware.
    #[serde(default)]
    pub software_dice: Option<SoftwareRoot>,
    /// The DPU's management controller, through which its hardware roots of trust are asked.
    #[serde(default)]
    pub bmc: Option<Bmc>,
    /// The channel to hosts.
    #[serde(default)]
    pub hosts: Hosts,
}

/// The TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tpm {
    /// TCTI: `device:/dev/tpmrm0`, or a software TPM's `swtpm:host=127.0.0.1,port=2321`.
    pub tcti: String,
}

/// The logs that go with a proof. What is sent once should be sent always: the nexus sees where a log is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// The firmware's event log: `/sys/kernel/security/tpm0/binary_bios_measurements`.
    #[serde(default)]
    pub uefi: Option<PathBuf>,
    /// The IMA list: `/sys/kernel/security/ima/binary_runtime_measurements`.
    #[serde(default)]
    pub ima: Option<PathBuf>,
}

/// The channel to hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// Where assay-host may connect: `tcp:ADDRESS:PORT`, `unix:PATH`. Only keys of approved pairings get in.
    pub listen: Vec<String>,
}

fn state() -> PathBuf {
    "/var/lib/assay-agent".into()
}

fn socket() -> PathBuf {
    "/run/assay-agent/agent.sock".into()
}

fn log() -> String {
    "info".into()
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("`{path}` can't be read ({why}): name another with --config")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// The file is not what it should be.
    #[error("`{path}`: {why}")]
    Content {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = || path.display().to_string();
        let fault = |why: String| ConfigError::File { path: name(), why };
        let bytes = crate::files::read(path, 256 * 1024)
            .map_err(|e| fault(e.to_string()))?
            .ok_or_else(|| fault("there is no such file".into()))?;
        let content = |why: String| ConfigError::Content { path: name(), why };
        let text = String::from_utf8(bytes).map_err(|e| content(e.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|e| content(e.to_string()))?;
        config.check().map_err(content)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.log.parse::<tracing::Level>().is_err() {
            return Err(format!(
                "`log` is `{}`: write error, warn, info or debug",
                self.log
            ));
        }
        for at in &self.hosts.listen {
            crate::deliver::table::way_of(at).ok_or_else(|| {
                format!("`{at}` in `hosts.listen` is neither tcp:ADDRESS:PORT nor unix:PATH")
            })?;
        }
        Ok(())
    }

    /// What the roots of trust are opened with.
    #[must_use]
    pub fn sources(&self) -> Settings {
        Settings {
            state: self.state.clone(),
            tcti: self.tpm.as_ref().map(|tpm| tpm.tcti.clone()),
            uefi_log: self.logs.uefi.clone(),
            ima_log: self.logs.ima.clone(),
            software_dice: self.software_dice.clone(),
            bmc: self.bmc.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn sample() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml")
    }

    #[test]
    fn the_sample_loads_and_names_every_key() {
        let config = Config::load(&sample()).unwrap();
        assert_eq!(config.state, state());
        assert_eq!(config.socket, socket());
        assert!(config.tpm.is_some() && !config.hosts.listen.is_empty());
        let text = std::fs::read_to_string(sample()).unwrap();
        let full = Config {
            claim_file: Some("x".into()),
            serial: Some("x".into()),
            model: Some("x".into()),
            logs: Logs {
                uefi: Some("x".into()),
                ima: Some("x".into()),
            },
            software_dice: Some(SoftwareRoot {
                uds: "x".into(),
                certificates: "x".into(),
                firmware: ["x".into(), "x".into()],
            }),
            ..config
        };
        let all: toml::Table = toml::from_str(&toml::to_string(&full).unwrap()).unwrap();
        let mut keys: BTreeSet<&str> = all.keys().map(String::as_str).collect();
        keys.extend(
            all.values()
                .filter_map(|v| v.as_table())
                .flat_map(|t| t.keys().map(String::as_str)),
        );
        for key in keys {
            assert!(text.contains(key), "the sample does not name `{key}`");
        }
    }

    #[test]
    fn unknown_keys_and_values_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        for bad in [
            "nexus = \"x\"",
            "log = \"loud\"",
            "[hosts]\nlisten = [\"carrier:pigeon\"]",
            "[tpm]",
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(Config::load(&path).is_err(), "{bad}");
        }
        std::fs::write(&path, "").unwrap();
        assert!(Config::load(&path).is_ok());
        assert!(Config::load(&dir.path().join("none")).is_err());
    }
}
