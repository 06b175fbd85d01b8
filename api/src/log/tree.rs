//! The Merkle tree over the entries (RFC 6962, section 2.1; proofs as RFC 9162, sections 2.1.3 and 2.1.4 check them).
//!
//! Whoever appends holds a [`Frontier`]; whoever proves holds the roots of complete subtrees ([`Subtrees`]), which never
//! change once they are there, so a proof costs a few reads and not the whole log.

use sha2::{Digest, Sha256};

/// A SHA-256 digest: a leaf, a node or a root.
pub type Hash = [u8; 32];

/// The longest proof that a tree of 2^64 leaves can need; longer ones are refused unread.
pub const MAX_PROOF: usize = 64;

/// The hash of a leaf: SHA-256(0x00 || entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new_with_prefix([0])
        .chain_update(entry)
        .finalize()
        .into()
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root of one complete subtree: leaves `index << level` up to `(index + 1) << level`, not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Height over the leaves; 0 is a leaf itself.
    pub level: u8,
    /// Place in its level, counted from the left.
    pub index: u64,
    /// Its root.
    pub hash: Hash,
}

/// The right edge of a growing tree: one root per complete subtree, largest first. All that appending needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

/// Stored bytes are no frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored frontier of the log is damaged: its length does not fit its size")]
pub struct BadFrontier;

impl Frontier {
    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and returns the subtrees that it completed, the leaf itself first.
    pub fn append(&mut self, leaf: Hash) -> Vec<Subtree> {
        let mut done = vec![Subtree {
            level: 0,
            index: self.size,
            hash: leaf,
        }];
        let mut hash = leaf;
        for level in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
            let level = u8::try_from(level.saturating_add(1)).unwrap_or(u8::MAX);
            done.push(Subtree {
                level,
                index: self.size >> level,
                hash,
            });
        }
        self.roots.push(hash);
        self.size = self.size.saturating_add(1);
        done
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut right = self.roots.iter().rev();
        let Some(last) = right.next() else {
            return empty_root();
        };
        right.fold(*last, |hash, left| node_hash(left, &hash))
    }

    /// For storage: the size (8 bytes, big-endian), then the roots, largest subtree first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.size.to_be_bytes().to_vec();
        out.extend(self.roots.iter().flatten());
        out
    }

    /// What [`Frontier::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadFrontier`] unless there is exactly one root for each bit set in the size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadFrontier> {
        let (size, rest) = bytes.split_first_chunk::<8>().ok_or(BadFrontier)?;
        let (roots, tail) = rest.as_chunks::<32>();
        let size = u64::from_be_bytes(*size);
        if !tail.is_empty() || u32::try_from(roots.len()).ok() != Some(size.count_ones()) {
            return Err(BadFrontier);
        }
        Ok(Self {
            size,
            roots: roots.to_vec(),
        })
    }
}

/// Where the roots of complete subtrees are kept: [`Frontier::append`] hands them out once, the keeper keeps them.
pub trait Subtrees {
    /// Why a root could not be read.
    type Failed;

    /// The root of the complete subtree at this level and place.
    ///
    /// # Errors
    /// Where it can't be read, or is not there.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Failed>;
}

/// All subtrees of a tree in memory: for tests and for small logs.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    levels: Vec<Vec<Hash>>,
}

/// The subtree asked for is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log holds no complete subtree {level}/{index}")]
pub struct NoSubtree {
    level: u8,
    index: u64,
}

impl InMemory {
    /// Takes what an append completed.
    pub fn keep(&mut self, done: &[Subtree]) {
        for subtree in done {
            let level = usize::from(subtree.level);
            if self.levels.len() <= level {
                self.levels.resize(level.saturating_add(1), Vec::new());
            }
            if let Some(row) = self.levels.get_mut(level) {
                row.push(subtree.hash);
            }
        }
    }
}

impl Subtrees for InMemory {
    type Failed = NoSubtree;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, NoSubtree> {
        let row = self.levels.get(usize::from(level));
        let place = usize::try_from(index).ok();
        row.zip(place)
            .and_then(|(row, i)| row.get(i))
            .copied()
            .ok_or(NoSubtree { level, index })
    }
}

/// The largest power of two below `n`, as an exponent; `n` is at least 2.
const fn split(n: u64) -> u32 {
    63 - (n - 1).leading_zeros()
}

/// MTH(D[lo:hi]); `lo` is a multiple of the largest power of two in `hi - lo`, as all ranges that RFC 6962 forms are.
fn range_root<S: Subtrees + ?Sized>(tree: &S, lo: u64, hi: u64) -> Result<Hash, S::Failed> {
    let n = hi.saturating_sub(lo);
    if n == 0 {
        return Ok(empty_root());
    }
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        return tree.subtree(u8::try_from(level).unwrap_or(u8::MAX), lo >> level);
    }
    let middle = lo.saturating_add(1 << split(n));
    Ok(node_hash(
        &range_root(tree, lo, middle)?,
        &range_root(tree, middle, hi)?,
    ))
}

/// The root over the first `size` leaves.
///
/// # Errors
/// Where a subtree can't be read.
pub fn root_at<S: Subtrees + ?Sized>(tree: &S, size: u64) -> Result<Hash, S::Failed> {
    range_root(tree, 0, size)
}

/// The audit path of leaf `index` in the tree of `size` leaves: PATH(m, D\[n\]) of RFC 6962, 2.1.1, leaf's side first.
/// Empty where `index` is not below `size`.
///
/// # Errors
/// Where a subtree can't be read.
pub fn inclusion_proof<S: Subtrees + ?Sized>(
    tree: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Failed> {
    let (mut lo, mut hi) = (0, if index < size { size } else { 0 });
    let mut path = Vec::new();
    while hi.saturating_sub(lo) > 1 {
        let middle = lo + (1 << split(hi - lo));
        if index < middle {
            path.push(range_root(tree, middle, hi)?);
            hi = middle;
        } else {
            path.push(range_root(tree, lo, middle)?);
            lo = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves: PROOF(m, D\[n\]) of RFC 6962, 2.1.2.
/// Empty where `old` is 0 or not below `new`.
///
/// # Errors
/// Where a subtree can't be read.
pub fn consistency_proof<S: Subtrees + ?Sized>(
    tree: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, S::Failed> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let (mut lo, mut hi, mut whole) = (0, new, true);
    let mut path = Vec::new();
    while hi != old {
        let middle = lo + (1 << split(hi - lo));
        if old <= middle {
            path.push(range_root(tree, middle, hi)?);
            hi = middle;
        } else {
            path.push(range_root(tree, lo, middle)?);
            lo = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range_root(tree, lo, hi)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree of `size` leaves with this root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves with `new_root` begins with the tree of `old` leaves with
/// `old_root` (RFC 9162, 2.1.4.2). Every tree begins with the empty one; a proof that is not needed must be empty.
#[must_use]
pub fn extends(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    if old > new {
        return false;
    }
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let Some((first, rest)) = proof.split_first() else {
            return false;
        };
        (first, rest)
    };
    let (mut node, mut last) = (old - 1, new - 1);
    let skip = node.trailing_ones();
    node >>= skip;
    last >>= skip;
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
