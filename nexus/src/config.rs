//! What the configuration file says, as parsed types. Nothing else reads it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use assay_api::htu::Htu;
use serde::Deserialize;

use crate::anchors::AnchorFile;
use crate::http::server::Limits;
use crate::http::tls::Source;

/// The configuration of a nexus.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database and, unless `master_key` says otherwise, the master key are.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The URLs by which clients reach this nexus, https; never empty, the first one for tokens.
    pub public_urls: Vec<Htu>,
    /// How long a verdict is fresh, from its nonce's issue, in milliseconds; at least a minute.
    pub stale_after: u64,
    /// How long a host keeps what it has beyond `fresh_until` when the nexus is away, in milliseconds.
    pub outage_grace: u64,
    /// The file of the master key.
    pub master_key: PathBuf,
    /// An operator's own policies.
    pub policy_dir: Option<PathBuf>,
    /// The audit log's name at the first start.
    pub log_origin: String,
    /// The least level of what is logged.
    pub log: Level,
    /// Whose certificate is served.
    pub tls: Source,
    /// The roots that evidence may end in, beside those that are always pinned.
    pub anchors: Vec<AnchorFile>,
    /// How many connections there may be.
    pub limits: Limits,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed.
    Error,
    /// And what may fail soon.
    Warn,
    /// And what happens rarely.
    #[default]
    Info,
    /// And every refusal.
    Debug,
}

/// The configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// The file can't be read.
    #[error("the configuration `{path}` can't be read: {why}")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system says.
        why: String,
    },
    /// It is no TOML, or has a key that is not known or of a wrong type.
    #[error("the configuration is wrong: {0}")]
    Syntax(String),
    /// A value is not acceptable.
    #[error("`{key}` in the configuration is not acceptable: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// Why not.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: PathBuf,
    listen: Vec<String>,
    public_urls: Vec<String>,
    stale_after: Option<String>,
    outage_grace: Option<String>,
    master_key: Option<PathBuf>,
    policy_dir: Option<PathBuf>,
    log_origin: Option<String>,
    #[serde(default)]
    log: Level,
    tls: Option<Tls>,
    #[serde(default)]
    anchors: Vec<AnchorFile>,
    #[serde(default)]
    limits: FileLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    chain: PathBuf,
    key: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    connections: Option<usize>,
    connections_per_address: Option<usize>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub fn read(path: &Path) -> Result<Self, BadConfig> {
        let text = std::fs::read_to_string(path).map_err(|e| BadConfig::Unreadable {
            path: path.display().to_string(),
            why: e.to_string(),
        })?;
        Self::parse(&text)
    }

    /// Reads its text.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub fn parse(text: &str) -> Result<Self, BadConfig> {
        let file: File = toml::from_str(text)
            .map_err(|e| BadConfig::Syntax(e.to_string().trim().replace('\n', " ")))?;
        let listen = file
            .listen
            .iter()
            .map(|l| {
                l.parse()
                    .map_err(|_| value("listen", format!("`{l}` is no address with a port")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let public_urls = file
            .public_urls
            .iter()
            .map(|u| url(u))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = public_urls.first() else {
            return Err(value("public_urls", "name at least one".into()));
        };
        if listen.is_empty() {
            return Err(value("listen", "name at least one address".into()));
        }
        let log_origin = file
            .log_origin
            .unwrap_or_else(|| format!("{}/assay", first.authority()));
        let stale_after = duration("stale_after", file.stale_after.as_deref(), 15 * MINUTE)?;
        if stale_after < MINUTE {
            return Err(value("stale_after", "it is at least a minute".into()));
        }
        let master_key = file
            .master_key
            .unwrap_or_else(|| file.data_dir.join("master-key"));
        let limits = Limits {
            connections: file.limits.connections.unwrap_or(4096).max(1),
            per_address: file.limits.connections_per_address.unwrap_or(1024).max(1),
        };
        Ok(Self {
            data_dir: file.data_dir,
            listen,
            public_urls,
            stale_after,
            outage_grace: duration(
                "outage_grace",
                file.outage_grace.as_deref(),
                24 * 60 * MINUTE,
            )?,
            master_key,
            policy_dir: file.policy_dir,
            log_origin,
            log: file.log,
            tls: file.tls.map_or(Source::Own, |t| Source::Files {
                chain: t.chain,
                key: t.key,
            }),
            anchors: file.anchors,
            limits,
        })
    }

    /// The URL that tokens carry.
    #[must_use]
    pub fn public_url(&self) -> Option<&Htu> {
        self.public_urls.first()
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("nexus.db")
    }

    /// Where the bootstrap token is put.
    #[must_use]
    pub fn bootstrap_file(&self) -> PathBuf {
        self.data_dir.join("bootstrap.token")
    }
}

const MINUTE: u64 = 60_000;

fn value(key: &'static str, why: String) -> BadConfig {
    BadConfig::Value { key, why }
}

fn url(text: &str) -> Result<Htu, BadConfig> {
    let url = Htu::parse(text).map_err(|e| value("public_urls", format!("`{text}`: {e}")))?;
    if url.is_https() && url.path() == "/" {
        Ok(url)
    } else {
        Err(value(
            "public_urls",
            format!("`{text}` must be https and without a path"),
        ))
    }
}

/// `90s`, `15m`, `24h`, `7d`.
fn duration(key: &'static str, text: Option<&str>, usual: u64) -> Result<u64, BadConfig> {
    let Some(text) = text else { return Ok(usual) };
    let wrong = || {
        value(
            key,
            format!("`{text}` is no time: write it as 90s, 15m, 24h or 7d"),
        )
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits) {
        Some("s") => 1000,
        Some("m") => MINUTE,
        Some("h") => 60 * MINUTE,
        Some("d") => 24 * 60 * MINUTE,
        _ => return Err(wrong()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|n| *n > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../packaging/nexus.toml");

    #[test]
    fn the_sample_loads() {
        let config = Config::parse(SAMPLE).unwrap();
        assert_eq!(
            (config.stale_after, config.outage_grace),
            (15 * MINUTE, 24 * 60 * MINUTE)
        );
        assert_eq!(config.log_origin, "nexus.example:7443/assay");
    }

    /// With every example taken out of its comment it still loads, and so names only keys that there are; and each key that
    /// there is stands in it.
    #[test]
    fn the_sample_names_every_key() {
        let is_key = |line: &str| {
            line.starts_with('[')
                || line
                    .split_once(" = ")
                    .is_some_and(|(k, _)| !k.contains(' '))
        };
        let full: Vec<&str> = SAMPLE
            .lines()
            .map(|l| l.strip_prefix("# ").filter(|l| is_key(l)).unwrap_or(l))
            .collect();
        let config = Config::parse(&full.join("\n")).unwrap();
        assert!(matches!(config.tls, Source::Files { .. }));
        let no_such = toml::from_str::<File>("x = 1").err().unwrap().to_string();
        let keys = no_such.split('`').skip(3).step_by(2);
        for key in keys.chain([
            "chain",
            "key",
            "for",
            "by",
            "file",
            "connections",
            "connections_per_address",
        ]) {
            let named = |line: &&str| {
                line.starts_with(&format!("{key} = "))
                    || *line == format!("[{key}]")
                    || *line == format!("[[{key}]]")
            };
            assert!(full.iter().any(named), "`{key}` is not in the sample");
        }
    }

    #[test]
    fn what_is_not_acceptable_is_said() {
        let base = "data_dir='/d'\nlisten=['127.0.0.1:0']\npublic_urls=['https://h:1']\n";
        assert!(Config::parse(base).is_ok());
        for bad in [
            "nope=1",
            "stale_after='59s'",
            "stale_after='15'",
            "outage_grace='1y'",
            "[limits]\nx=1",
            "log='loud'",
        ] {
            assert!(Config::parse(&format!("{base}{bad}")).is_err(), "{bad}");
        }
        for (from, to) in [
            ("https://h:1", "http://h:1"),
            ("https://h:1", "https://h/x"),
            ("['https://h:1']", "[]"),
            ("127.0.0.1:0", "localhost"),
        ] {
            assert!(Config::parse(&base.replace(from, to)).is_err(), "{to}");
        }
    }
}
