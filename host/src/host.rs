//! What the commands do: make keys, pin a pairing, install, tell, purge.

use crate::Clock;
use crate::config::Config;
use crate::fault::Fault;
use crate::files;
use crate::keys::{HostKey, KeyFiles, bare_line};
use crate::login::Login;
use crate::manifest;
use crate::record::Record;
use crate::sshd::{self, Installer, Outcome};
use assay_api::checks::SoftwareChecks;
use assay_api::pairing::{Pairing, PairingRequest};
use assay_api::signed::{Unverified, Verified, sign_document};
use ssh_key::PublicKey;
use std::convert::Infallible;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// This host.
#[derive(Debug)]
pub struct Host {
    config: Config,
    clock: Clock,
}

/// What was done with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its sequence.
    pub sequence: u64,
    /// What it came to.
    pub outcome: Outcome,
}

impl Host {
    /// As configured.
    #[must_use]
    pub const fn new(config: Config, clock: Clock) -> Self {
        Self { config, clock }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The time, as this host's clock has it.
    #[must_use]
    pub fn now(&self) -> assay_attest::time::Timestamp {
        (self.clock)()
    }

    /// Makes the keys from fresh random bytes and gives the pairing request, signed by the host key.
    ///
    /// # Errors
    /// [`Fault::AlreadyInit`] unless `force`; with it, an old pairing is forgotten. The record of installed manifests stays:
    /// a new host id makes it void.
    pub fn init(
        &self,
        logins: &[Login],
        force: bool,
        random: &Zeroizing<[u8; 64]>,
    ) -> Result<Vec<u8>, Fault> {
        let keys = self.key_files();
        files::directory(&self.config.state, 0o700)?;
        if keys.exist() && !force {
            return Err(Fault::AlreadyInit);
        }
        let path = &self.config.sshd.host_key;
        let line = std::fs::read_to_string(path).map_err(|error| files::at(path, error))?;
        let sshd_key = PublicKey::from_openssh(line.trim()).map_err(|error| Fault::Damaged {
            path: path.display().to_string(),
            why: error.to_string(),
        })?;
        let sshd_host_key = bare_line(&sshd_key)?;
        files::remove(&self.pairing_path())?;
        let (key, trial_key) = keys.make(random)?;
        let request = PairingRequest {
            host_key: key.public(),
            sshd_host_key,
            trial_key,
            logins: logins.iter().map(Login::to_string).collect(),
        };
        let signed = sign_document(&request, &request.host_key, |message| {
            Ok::<_, Infallible>(key.sign(message))
        })?;
        files::replace(&self.request_path(), &signed, 0o600)?;
        Ok(signed)
    }

    /// The request that [`Host::init`] made.
    ///
    /// # Errors
    /// [`Fault::NotInit`].
    pub fn request(&self) -> Result<Verified<PairingRequest>, Fault> {
        let bytes = files::read(&self.request_path())?.ok_or(Fault::NotInit)?;
        Ok(Unverified::<PairingRequest>::parse(&bytes)?.verify(&SoftwareChecks)?)
    }

    /// Pins a pairing that root brought by hand. The same one may come again; another needs new keys.
    ///
    /// # Errors
    /// [`Fault::OtherNexus`] where `nexus` is given and is not its; [`Fault::AlreadyPaired`].
    pub fn pair(&self, bytes: &[u8], nexus: Option<[u8; 32]>) -> Result<Verified<Pairing>, Fault> {
        let own = self.request()?;
        let pairing =
            Unverified::<Pairing>::parse(bytes)?.accept_by_hand(own.content(), &SoftwareChecks)?;
        let found = pairing.content().nexus_id;
        if let Some(expected) = nexus
            && expected != found
        {
            return Err(Fault::OtherNexus {
                found: hex(&found),
                expected: hex(&expected),
            });
        }
        if let Some(old) = files::read(&self.pairing_path())? {
            let old = Unverified::<Pairing>::parse(&old)?;
            let (old, new) = (old.claimed(), pairing.content());
            let same = old.host_id == new.host_id
                && old.delivery_keys == new.delivery_keys
                && old.nexus_id == new.nexus_id;
            if !same {
                return Err(Fault::AlreadyPaired);
            }
        }
        files::replace(&self.pairing_path(), bytes, 0o600)?;
        Ok(pairing)
    }

    /// The pinned pairing.
    ///
    /// # Errors
    /// [`Fault::NotPaired`]; where the file no longer fits this host's keys, as [`Host::pair`].
    pub fn pairing(&self) -> Result<Verified<Pairing>, Fault> {
        let own = self.request()?;
        let bytes = files::read(&self.pairing_path())?.ok_or(Fault::NotPaired)?;
        Ok(Unverified::<Pairing>::parse(&bytes)?.accept_by_hand(own.content(), &SoftwareChecks)?)
    }

    /// The host key.
    ///
    /// # Errors
    /// [`Fault::NotInit`], [`Fault::Key`].
    pub fn key(&self) -> Result<HostKey, Fault> {
        self.key_files().read()?.ok_or(Fault::NotInit)
    }

    /// What was last in force for this pairing; `None` where nothing was.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn record(&self, pairing: &Pairing) -> Result<Option<Record>, Fault> {
        Record::read(&self.record_path(pairing))
    }

    /// Checks a manifest and installs it.
    ///
    /// # Errors
    /// [`Fault`]; sshd and the record are as before.
    pub fn install(&self, bytes: &[u8]) -> Result<Done, Fault> {
        let pairing = self.pairing()?;
        let pairing = pairing.content();
        // From here on nobody else changes sshd or the record, and what a crash left is mended.
        let installer = self.installer()?;
        let last = self.record(pairing)?;
        let now = self.now();
        let checked = manifest::check(bytes, pairing, last.as_ref(), now)?;
        let floor = last
            .filter(|last| !last.is_purged())
            .map(|last| last.under(&checked.record).to_bytes());
        let record = sshd::Record {
            path: self.record_path(pairing),
            bytes: checked.record.to_bytes()?,
            floor: floor.transpose()?,
        };
        let outcome = installer.install(&checked.trust, record, now)?;
        Ok(Done {
            sequence: checked.record.sequence,
            outcome,
        })
    }

    /// Whether what was installed is still so, as sshd says.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn in_force(&self, pairing: &Pairing, record: &Record) -> Result<bool, Fault> {
        let Some(bytes) = record.manifest() else {
            return Ok(false);
        };
        let trust = manifest::recorded(&bytes, pairing)?;
        let newer_list = record.newer_list().is_some();
        Ok(sshd::holds(&self.config.sshd, &trust, newer_list)?)
    }

    /// Takes up an interrupted installation. Says whether there was one.
    ///
    /// # Errors
    /// [`Fault::Sshd`].
    pub fn recover(&self) -> Result<bool, Fault> {
        Ok(self.installer()?.recovered())
    }

    /// Takes everything of ours out of sshd. Keys, pairing and the last sequence stay.
    ///
    /// # Errors
    /// [`Fault`]; it can be repeated.
    pub fn purge(&self) -> Result<(), Fault> {
        let installer = self.installer()?;
        let record = match self.pairing() {
            Ok(pairing) => {
                let path = self.record_path(pairing.content());
                Record::read(&path)?.map(|record| (path, record.purged()))
            }
            Err(Fault::NotInit | Fault::NotPaired) => None,
            Err(other) => return Err(other),
        };
        let record = match record {
            Some((path, record)) => Some(sshd::Record {
                path,
                bytes: record.to_bytes()?,
                floor: None,
            }),
            None => None,
        };
        Ok(installer.purge(record)?)
    }

    fn installer(&self) -> Result<Installer<'_>, Fault> {
        let trial = self.key_files().trial().clone();
        let (sshd, state) = (&self.config.sshd, &self.config.state);
        Ok(Installer::open(sshd, state, trial)?)
    }

    fn key_files(&self) -> KeyFiles {
        KeyFiles::in_dir(&self.config.state)
    }

    fn request_path(&self) -> PathBuf {
        self.config.state.join("request.cose")
    }

    fn pairing_path(&self) -> PathBuf {
        self.config.state.join("pairing.cose")
    }

    /// One for each host id: a host that is paired anew begins at its own sequence, and an old one's is not forgotten.
    fn record_path(&self, pairing: &Pairing) -> PathBuf {
        self.config
            .state
            .join(format!("installed-{}.json", pairing.host_id))
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
