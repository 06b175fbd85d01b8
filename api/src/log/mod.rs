//! The formats of the audit log: entry, hash chain, Merkle tree, checkpoint, export, and the verifier that needs nothing else.
//!
//! Two structures lie over the same bytes. The chain tells which entry was touched; the tree, whose root is in a
//! checkpoint signed by a key outside the database, tells that one was, and lets anybody who holds an old head check that
//! the log they see now grew out of it (design section 10, invariant I8).

mod checkpoint;
mod entry;
mod export;
pub mod tree;
mod verify;

pub use checkpoint::{
    Checkpoint, Head, LogKey, MAX_CHECKPOINT, NoteFault, UncheckedCheckpoint, sign_checkpoint,
};
pub use entry::{Actor, ActorKind, Decision, Entry, EntryFault, MAX_ENTRY};
pub use export::{ExportFault, Item, MAX_LINE, checkpoint_line, entry_line, parse_line};
pub use tree::{BadFrontier, Frontier, Hash, Subtree};
pub use verify::{Broken, Fault, Report, Valid, extends_head, verify_log};

/// What the chain hash of the first entry is chained to.
pub const GENESIS: Hash = [0; 32];

/// The chain hash of an entry: SHA-256(lp("assay/log/1") lp(chain hash before) lp(entry bytes)).
#[must_use]
pub fn chain_hash(before: &Hash, entry: &[u8]) -> Hash {
    crate::lp::digest(&[b"assay/log/1", before, entry])
}

/// The growing end of a log: what whoever appends must remember, and all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd {
    chain: Hash,
    frontier: Frontier,
}

/// What an append gives the store to keep beside the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The index the entry now has.
    pub index: u64,
    /// Its chain hash.
    pub chain: Hash,
    /// The subtrees that it completed, its own leaf first; for [`tree::Subtrees`].
    pub subtrees: Vec<Subtree>,
}

impl Default for LogEnd {
    fn default() -> Self {
        Self {
            chain: GENESIS,
            frontier: Frontier::default(),
        }
    }
}

impl LogEnd {
    /// How many entries there are, which is the index of the next.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The chain hash of the last entry, or [`GENESIS`].
    #[must_use]
    pub const fn chain(&self) -> &Hash {
        &self.chain
    }

    /// The tree's root over all entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The head to put into a checkpoint.
    #[must_use]
    pub fn head(&self, origin: &str) -> Head {
        Head {
            origin: origin.to_owned(),
            size: self.size(),
            root: self.root(),
        }
    }

    /// Appends the bytes of an entry.
    pub fn append(&mut self, entry: &[u8]) -> Appended {
        let index = self.size();
        self.chain = chain_hash(&self.chain, entry);
        Appended {
            index,
            chain: self.chain,
            subtrees: self.frontier.append(tree::leaf_hash(entry)),
        }
    }

    /// For storage: the chain hash, then the frontier.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.chain.to_vec();
        out.extend(self.frontier.to_bytes());
        out
    }

    /// What [`LogEnd::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadFrontier`] where the length does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadFrontier> {
        let (chain, rest) = bytes.split_first_chunk::<32>().ok_or(BadFrontier)?;
        Ok(Self {
            chain: *chain,
            frontier: Frontier::from_bytes(rest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_hash_is_the_one_the_design_gives() {
        use sha2::{Digest, Sha256};
        let mut bytes = b"\0\0\0\x0bassay/log/1\0\0\0\x20".to_vec();
        bytes.extend(GENESIS);
        bytes.extend(b"\0\0\0\x02{}");
        assert_eq!(
            chain_hash(&GENESIS, b"{}"),
            <Hash>::from(Sha256::digest(bytes))
        );
    }

    #[test]
    fn the_end_survives_storage() {
        let mut end = LogEnd::default();
        for i in 0..11_u8 {
            assert_eq!(end.append(&[i]).index, u64::from(i));
            assert_eq!(LogEnd::from_bytes(&end.to_bytes()).unwrap(), end);
        }
        assert!(LogEnd::from_bytes(&end.to_bytes()[1..]).is_err());
    }
}
