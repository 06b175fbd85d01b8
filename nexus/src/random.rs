//! Where chance comes from. Handed down from `main`; nothing else in the nexus asks the system for random bytes.

use std::sync::Mutex;
use std::sync::PoisonError;

use sha2::{Digest, Sha256};

/// The system gave no random bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandom(pub String);

/// A source of bytes that nobody can guess.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`NoRandom`]; nothing may be made then.
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom>;
}

impl dyn Random + '_ {
    /// `N` fresh bytes: `app.random.bytes::<16>()?` for an id.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoRandom> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom> {
        getrandom::fill(out).map_err(|e| NoRandom(e.to_string()))
    }
}

/// The same bytes for the same seed, for tests.
#[derive(Debug)]
pub struct SeededRandom(Mutex<(u64, u64)>);

impl SeededRandom {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new((seed, 0)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in out.chunks_mut(32) {
            state.1 = state.1.wrapping_add(1);
            let hash: [u8; 32] =
                Sha256::digest([state.0.to_be_bytes(), state.1.to_be_bytes()].concat()).into();
            for (to, from) in chunk.iter_mut().zip(hash) {
                *to = from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_the_system_another_each_time() {
        let first: [[u8; 16]; 2] = {
            let random: &dyn Random = &SeededRandom::new(7);
            [random.bytes().unwrap(), random.bytes().unwrap()]
        };
        assert_ne!(first[0], first[1]);
        let again: &dyn Random = &SeededRandom::new(7);
        assert_eq!(again.bytes::<16>().unwrap(), first[0]);
        let os: &dyn Random = &OsRandom;
        assert_ne!(os.bytes::<32>().unwrap(), os.bytes::<32>().unwrap());
    }
}
