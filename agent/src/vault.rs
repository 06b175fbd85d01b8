//! Leases and the keys that open them: in locked memory, for as long as they last, and nowhere else.
//!
//! Time is boot time, counted from the sending of the request. The vault refuses what has ended even where nobody told it to
//! wipe.

use crate::boot::Boot;
use crate::sys::Locked;
use assay_api::id::{LeaseId, ResultId};
use std::collections::BTreeMap;
use std::io;
use zeroize::Zeroizing;

/// The most that leases may take together, in bytes: well under the locked memory that the unit grants.
const LIMIT: usize = 6 * 1024 * 1024;
/// Locked memory goes by pages.
const PAGE: usize = 4096;

/// What is held.
#[derive(Debug, Default)]
pub struct Vault {
    leases: BTreeMap<LeaseId, Held>,
    /// The key of the proof under way: nobody has judged it yet.
    next_key: Option<Locked>,
    /// The key of the last good proof.
    key: Option<(ResultId, Locked)>,
}

#[derive(Debug)]
struct Held {
    name: String,
    version: u32,
    ends: Boot,
    secret: Locked,
}

/// A lease without its secret, for status.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeaseInfo {
    /// Id.
    pub id: String,
    /// Name of the secret.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Seconds that it lasts.
    pub ends_in: u64,
}

/// The vault could not take it.
#[derive(Debug, thiserror::Error)]
pub enum VaultFault {
    /// Too much.
    #[error("the vault is full: withdraw secrets that this dpu does not need")]
    Full,
    /// No locked memory.
    #[error("memory could not be locked ({0}): raise LimitMEMLOCK of the unit")]
    Memory(#[from] io::Error),
}

impl VaultFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full => "vault.full",
            Self::Memory(_) => "vault.memory",
        }
    }
}

impl Vault {
    /// Nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a lease. It stands in for those of the same name that are no newer and last no longer, which are wiped.
    ///
    /// # Errors
    /// [`VaultFault`]; the vault stays as it was.
    pub fn put(
        &mut self,
        lease: LeaseId,
        name: String,
        version: u32,
        ends: Boot,
        secret: &[u8],
    ) -> Result<(), VaultFault> {
        let pages = |held: usize| held.div_ceil(PAGE).max(1).saturating_mul(PAGE);
        let replaces = |id: &LeaseId, held: &Held| {
            *id == lease || (held.name == name && held.version <= version && held.ends <= ends)
        };
        let taken: usize = self
            .leases
            .iter()
            .filter(|(id, held)| !replaces(id, held))
            .map(|(_, held)| pages(held.secret.expose().len()))
            .sum();
        if taken.saturating_add(pages(secret.len())) > LIMIT {
            return Err(VaultFault::Full);
        }
        let secret = Locked::copy_of(secret)?;
        self.leases.retain(|id, held| !replaces(id, held));
        let held = Held {
            name,
            version,
            ends,
            secret,
        };
        self.leases.insert(lease, held);
        Ok(())
    }

    /// The secret of that name with the highest version that lasts.
    #[must_use]
    pub fn secret(&self, name: &str, now: Boot) -> Option<&[u8]> {
        self.leases
            .values()
            .filter(|held| held.name == name && now < held.ends)
            .max_by_key(|held| (held.version, held.ends))
            .map(|held| held.secret.expose())
    }

    /// Whether this lease is held.
    #[must_use]
    pub fn holds(&self, lease: &LeaseId) -> bool {
        self.leases.contains_key(lease)
    }

    /// What is held and lasts, without secrets.
    #[must_use]
    pub fn list(&self, now: Boot) -> Vec<LeaseInfo> {
        self.leases
            .iter()
            .filter(|(_, held)| now < held.ends)
            .map(|(id, held)| LeaseInfo {
                id: id.to_string(),
                name: held.name.clone(),
                version: held.version,
                ends_in: held.ends.since(now).as_secs(),
            })
            .collect()
    }

    /// Wipes these.
    pub fn wipe(&mut self, leases: &[LeaseId]) {
        for lease in leases {
            self.leases.remove(lease);
        }
    }

    /// Wipes what has ended.
    pub fn expire(&mut self, now: Boot) {
        self.leases.retain(|_, held| now < held.ends);
    }

    /// Wipes every lease and every key.
    pub fn wipe_all(&mut self) {
        *self = Self::default();
    }

    /// Makes a fresh HPKE key for one proof, from 32 random bytes: its public part (X25519).
    ///
    /// # Errors
    /// [`VaultFault::Memory`].
    pub fn new_key(&mut self, random: &Zeroizing<[u8; 32]>) -> Result<[u8; 32], VaultFault> {
        let (private, public) = assay_api::seal::key_pair(random);
        self.next_key = Some(Locked::copy_of(private.as_slice())?);
        Ok(public)
    }

    /// The proof under way was good: its key opens what is released under that result. The key before is wiped.
    pub fn keep_key(&mut self, result: ResultId) {
        self.key = self.next_key.take().map(|key| (result, key));
    }

    /// The proof under way came to nothing.
    pub fn drop_key(&mut self) {
        self.next_key = None;
    }

    /// The private key that opens what was released under `result`.
    #[must_use]
    pub fn key(&self, result: &ResultId) -> Option<Zeroizing<[u8; 32]>> {
        let (_, key) = self.key.as_ref().filter(|(of, _)| of == result)?;
        key.expose().try_into().ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: u8) -> LeaseId {
        LeaseId::from_random(&[n; 16])
    }

    fn at(millis: u64) -> Boot {
        Boot::from_millis(millis)
    }

    #[test]
    fn a_secret_lasts_to_its_end_and_not_a_millisecond_longer() {
        let mut vault = Vault::new();
        vault
            .put(lease(1), "db".into(), 1, at(100), b"one")
            .unwrap();
        vault.put(lease(2), "db".into(), 2, at(50), b"two").unwrap();
        assert_eq!(vault.secret("db", at(49)), Some(&b"two"[..]));
        assert_eq!(vault.secret("db", at(50)), Some(&b"one"[..]));
        assert_eq!(vault.secret("db", at(100)), None, "even unwiped");
        assert_eq!(vault.secret("other", at(0)), None);
        assert_eq!(vault.list(at(60)).len(), 1);
        vault.expire(at(60));
        assert!(!vault.holds(&lease(2)) && vault.holds(&lease(1)));
    }

    #[test]
    fn i10_a_wipe_leaves_no_lease_and_no_key() {
        let mut vault = Vault::new();
        vault
            .put(lease(1), "db".into(), 1, Boot::NEVER, b"one")
            .unwrap();
        let result = ResultId::from_random(&[1; 16]);
        vault.new_key(&Zeroizing::new([7; 32])).unwrap();
        vault.keep_key(result.clone());
        assert!(vault.key(&result).is_some());
        vault.new_key(&Zeroizing::new([8; 32])).unwrap();
        vault.wipe_all();
        assert_eq!(vault.secret("db", at(0)), None);
        assert!(vault.key(&result).is_none());
        vault.keep_key(result.clone());
        assert!(vault.key(&result).is_none(), "nor the key under way");
    }

    #[test]
    fn a_key_opens_what_was_released_under_its_own_result() {
        let mut vault = Vault::new();
        let (one, two) = (
            ResultId::from_random(&[1; 16]),
            ResultId::from_random(&[2; 16]),
        );
        let public = vault.new_key(&Zeroizing::new([7; 32])).unwrap();
        vault.keep_key(one.clone());
        assert!(vault.key(&two).is_none());
        let again = assay_api::seal::key_pair(&Zeroizing::new([7; 32]));
        assert_eq!((vault.key(&one).unwrap(), public), again);
        vault.new_key(&Zeroizing::new([8; 32])).unwrap();
        assert!(vault.key(&one).is_some(), "until the next is judged");
        vault.keep_key(two.clone());
        assert!(vault.key(&one).is_none() && vault.key(&two).is_some());
    }

    #[test]
    fn it_is_bounded() {
        let mut vault = Vault::new();
        let big = vec![7; 64 * 1024];
        let mut taken = 0u8;
        while vault
            .put(lease(taken), format!("x{taken}"), 1, Boot::NEVER, &big)
            .is_ok()
        {
            taken += 1;
            assert!(taken < 200, "no bound");
        }
        assert_eq!(usize::from(taken), LIMIT / big.len());
        vault
            .put(lease(0), "x0".into(), 2, Boot::NEVER, &big)
            .unwrap();
    }

    #[test]
    fn a_renewal_stands_in_for_what_it_renews() {
        let mut vault = Vault::new();
        let put = |vault: &mut Vault, id, version, ends| {
            vault.put(lease(id), "db".into(), version, at(ends), b"x")
        };
        put(&mut vault, 1, 1, 100).unwrap();
        put(&mut vault, 2, 1, 200).unwrap();
        assert!(!vault.holds(&lease(1)) && vault.holds(&lease(2)));
        put(&mut vault, 3, 2, 150).unwrap();
        assert!(vault.holds(&lease(2)), "it lasts longer");
        put(&mut vault, 4, 1, 300).unwrap();
        assert!(vault.holds(&lease(3)), "it is newer");
        assert!(!vault.holds(&lease(2)));
    }

    #[test]
    fn i7_debug_shows_no_secret() {
        let mut vault = Vault::new();
        vault
            .put(lease(1), "db".into(), 1, Boot::NEVER, b"hunter22")
            .unwrap();
        vault.new_key(&Zeroizing::new([0xa5; 32])).unwrap();
        let shown = format!("{vault:?}");
        assert!(
            !shown.contains("hunter") && !shown.contains("104, 117") && !shown.contains("165"),
            "{shown}"
        );
    }
}
