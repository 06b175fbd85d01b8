//! Who the nexus is on the wire: an X.509 root made at first start and sealed in the store, short leaves under it; or the
//! operator's own chain and key.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use assay_api::htu::Htu;
use assay_attest::time::Timestamp;
use assay_tls::{CertFault, CertKey, LeafSlot, Names, Pins, Validity};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::keys::KeyFault;
use crate::random::{NoRandom, Random};
use crate::store::signing_key::{self, KeyAlgorithm, KeyState, SigningKey};
use crate::store::{EntryDraft, Store, StoreFault};

/// What the root is called among the signing keys.
const PURPOSE: &str = "tls-root";

/// How long a root counts: twenty years.
const ROOT_LIFE: u64 = 20 * 365 * 86_400_000;

/// How long a leaf counts: seven days. It is replaced at half.
const LEAF_LIFE: u64 = 7 * 86_400_000;

/// How long before its making a leaf counts, for peers whose clock is behind.
const EARLIER: u64 = 3_600_000;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The root's key.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A certificate.
    #[error(transparent)]
    Cert(#[from] CertFault),
    /// Chance.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// rustls.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// The operator's files.
    #[error("the tls file `{path}` can't be used: {why}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        why: String,
    },
    /// Another root than at the start: clients pin it, and everything that was signed names it.
    #[error(
        "the tls chain now ends in another root: clients pin the root; restart the nexus if that is meant"
    )]
    OtherRoot,
    /// A chain without its root: clients pin the root's key, so it must be sent.
    #[error(
        "the tls chain `{path}` holds no root after the leaf: add the root certificate at its end"
    )]
    NoRoot {
        /// The file.
        path: String,
    },
}

/// Where chain and key come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made by the nexus.
    Own,
    /// Files of the operator: PEM, leaf first, root last; and the leaf's key, PKCS#8 or SEC1.
    Files {
        /// The chain.
        chain: std::path::PathBuf,
        /// The key.
        key: std::path::PathBuf,
    },
}

/// The nexus's identity, and the leaf that new connections get.
#[derive(Debug)]
pub struct Identity {
    slot: Arc<LeafSlot>,
    source: Source,
    names: Names,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    pins: Pins,
    renew_at: Timestamp,
}

/// One chain, ready to serve.
struct Chain {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    state: State,
}

impl Identity {
    /// Opens or makes the identity for the hosts of these URLs.
    ///
    /// # Errors
    /// [`TlsFault`].
    pub fn open(
        store: &Store,
        random: &dyn Random,
        urls: &[Htu],
        source: Source,
    ) -> Result<Self, TlsFault> {
        let names = Names::parse(urls.iter().map(host))?;
        if matches!(source, Source::Own) {
            ensure_root(store)?;
        }
        let Chain { chain, key, state } = make(store, random, &names, &source)?;
        Ok(Self {
            slot: LeafSlot::new(chain, key)?,
            source,
            names,
            state: Mutex::new(state),
        })
    }

    /// SHA-256 of the root's SubjectPublicKeyInfo: the nexus id.
    #[must_use]
    pub fn nexus_id(&self) -> [u8; 32] {
        self.pins().current
    }

    /// The current root and the next, where one is announced.
    #[must_use]
    pub fn pins(&self) -> Pins {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pins
    }

    /// The slot that the server takes its leaf from.
    #[must_use]
    pub fn slot(&self) -> Arc<LeafSlot> {
        self.slot.clone()
    }

    /// Replaces the leaf where it is time. Connections that stand keep theirs.
    ///
    /// # Errors
    /// [`TlsFault`]; then the old leaf stays.
    pub fn renew(&self, store: &Store, random: &dyn Random) -> Result<bool, TlsFault> {
        let now = store.clock().now();
        if now
            < self
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .renew_at
        {
            return Ok(false);
        }
        let Chain { chain, key, state } = make(store, random, &self.names, &self.source)?;
        if state.pins.current != self.nexus_id() {
            return Err(TlsFault::OtherRoot);
        }
        self.slot.replace(chain, key)?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(true)
    }
}

/// The host of a URL, without its port.
fn host(url: &Htu) -> &str {
    let authority = url.authority();
    match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((address, _)) => address,
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    }
}

fn ensure_root(store: &Store) -> Result<(), StoreFault> {
    if store
        .read_now(|r| signing_key::active(r, "", PURPOSE))?
        .is_some()
    {
        return Ok(());
    }
    store.write_blocking(|tx| {
        tx.change(EntryDraft::system("tls.root", "tls"), |c| {
            signing_key::ensure(c, "", PURPOSE, KeyAlgorithm::P256).map(drop)
        })
    })
}

fn make(
    store: &Store,
    random: &dyn Random,
    names: &Names,
    source: &Source,
) -> Result<Chain, TlsFault> {
    match source {
        Source::Own => own(store, random, names),
        Source::Files { chain, key } => files(store.clock().now(), chain, key),
    }
}

/// The root's key, and the pin of the next one.
fn own(store: &Store, random: &dyn Random, names: &Names) -> Result<Chain, TlsFault> {
    let keys = store.read_now(|r| signing_key::published(r, "", PURPOSE))?;
    let active = keys.iter().find(|k| k.state == KeyState::Active);
    let active = active.ok_or_else(|| StoreFault::NoRow {
        table: "signing_key",
        key: PURPOSE.into(),
    })?;
    let root_key = private(store, active)?;
    let (root, current) = root(&root_key, active.created)?;
    let next = keys.iter().find(|k| k.state == KeyState::Prepared);
    let next = next
        .map(|k| private(store, k).and_then(|key| Ok(assay_tls::spki_pin(&key.spki()?))))
        .transpose()?;
    let key = leaf_key(random)?;
    let now = store.clock().now();
    let validity = Validity {
        not_before: now.minus_millis(EARLIER),
        not_after: now.plus_millis(LEAF_LIFE),
    };
    let leaf = assay_tls::leaf(&root, &root_key, &key, names, random.bytes()?, validity)?;
    let state = State {
        pins: Pins { current, next },
        renew_at: now.plus_millis(LEAF_LIFE / 2),
    };
    Ok(Chain {
        chain: vec![leaf, root],
        key: key.to_rustls()?,
        state,
    })
}

/// The root certificate: the same key always gives the same one, so none is stored.
fn root(key: &CertKey, made: Timestamp) -> Result<(CertificateDer<'static>, [u8; 32]), TlsFault> {
    let spki = key.spki()?;
    let hash: [u8; 32] = Sha256::digest(&spki).into();
    let serial = hash.first_chunk::<16>().copied().unwrap_or_default();
    let validity = Validity {
        not_before: made.minus_millis(EARLIER),
        not_after: made.plus_millis(ROOT_LIFE),
    };
    Ok((
        assay_tls::root(key, serial, validity)?,
        assay_tls::spki_pin(&spki),
    ))
}

fn private(store: &Store, key: &SigningKey) -> Result<CertKey, TlsFault> {
    Ok(CertKey::from_pkcs8(&key.private(store.keys().at_rest())?)?)
}

/// A random scalar fits but for one in 2^32.
fn leaf_key(random: &dyn Random) -> Result<CertKey, TlsFault> {
    let mut last = CertFault::Key;
    for _ in 0..8 {
        match CertKey::p256(&random.bytes()?) {
            Ok(key) => return Ok(key),
            Err(fault) => last = fault,
        }
    }
    Err(last.into())
}

fn files(now: Timestamp, chain_path: &Path, key_path: &Path) -> Result<Chain, TlsFault> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| TlsFault::File {
        path: path.display().to_string(),
        why: why.to_string(),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain_path)
        .map_err(|e| wrong(chain_path, &e))?
        .collect();
    let chain = chain.map_err(|e| wrong(chain_path, &e))?;
    let current = assay_tls::root_of_chain(&chain).map_err(|_| TlsFault::NoRoot {
        path: chain_path.display().to_string(),
    })?;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|e| wrong(key_path, &e))?;
    // Read again every hour: the operator's tool renews the files when it will.
    let state = State {
        pins: Pins {
            current,
            next: None,
        },
        renew_at: now.plus_millis(3_600_000),
    };
    Ok(Chain { chain, key, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::store::testing::Scratch;

    fn urls() -> Vec<Htu> {
        [
            "https://nexus.example:7443",
            "https://[::1]:7443",
            "https://127.0.0.1",
        ]
        .map(|u| Htu::parse(u).unwrap())
        .into()
    }

    #[test]
    fn the_root_outlives_starts_and_leaves_do_not() {
        let scratch = Scratch::new();
        let random = SeededRandom::new(1);
        let first = {
            let store = scratch.open();
            let identity = Identity::open(&store, &random, &urls(), Source::Own).unwrap();
            assert!(!identity.renew(&store, &random).unwrap());
            scratch.clock.advance(LEAF_LIFE / 2);
            assert!(identity.renew(&store, &random).unwrap());
            identity.nexus_id()
        };
        let store = scratch.open();
        assert_eq!(
            Identity::open(&store, &random, &urls(), Source::Own)
                .unwrap()
                .nexus_id(),
            first
        );
    }

    #[test]
    fn the_same_key_gives_the_same_root() {
        let key = CertKey::p256(&[7; 32]).unwrap();
        let made = Timestamp::from_secs(1_767_225_600);
        assert_eq!(root(&key, made).unwrap(), root(&key, made).unwrap());
    }

    #[test]
    fn hosts_come_without_ports() {
        let hosts: Vec<String> = urls().iter().map(|u| host(u).to_owned()).collect();
        assert_eq!(hosts, ["nexus.example", "::1", "127.0.0.1"]);
    }
}
