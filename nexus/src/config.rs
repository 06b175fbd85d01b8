//! What the configuration file and the flags say, as parsed types. Nothing else reads either.

use std::path::PathBuf;

use assay_api::htu::Htu;

/// The configuration of a nexus.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database and, unless `master_key` says otherwise, the master key are.
    pub data_dir: PathBuf,
    /// The URLs by which clients reach this nexus, https, the first one for tokens.
    pub public_urls: Vec<Htu>,
    /// How long a verdict is fresh, from its nonce's issue, in milliseconds; at least a minute.
    pub stale_after: u64,
    /// How long a host keeps what it has beyond `fresh_until` when the nexus is away, in milliseconds.
    pub outage_grace: u64,
}

impl Config {
    /// The URL that tokens carry.
    ///
    /// # Panics
    /// Never: a configuration without a URL is refused when it is read.
    #[must_use]
    pub fn public_url(&self) -> Option<&Htu> {
        self.public_urls.first()
    }
}
