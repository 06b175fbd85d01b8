//! Verifying a log offline: its bytes, its checkpoints, its key, and heads that somebody else kept.
//!
//! Without a head from elsewhere a log can only be "valid to its own head": whoever holds the signing key, or an old
//! backup, can cut or rewrite it. With one, both are found (invariant I8).

use super::checkpoint::{Checkpoint, Head, LogKey, NoteFault};
use super::entry::{EntryFault, Place};
use super::export::{ExportFault, Item};
use super::tree::{Hash, extends};
use super::{LogEnd, chain_hash};
use assay_attest::time::Timestamp;

/// What came of verifying a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Nothing is wrong with it.
    Valid(Valid),
    /// Something is, and this is the first.
    Broken(Broken),
}

/// A log that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Its head: that of its last checkpoint, which covers every entry.
    pub head: Head,
    /// How many checkpoints were checked.
    pub checkpoints: u64,
    /// The size of the largest head from elsewhere that it was held against; `None` where there was none, so that
    /// rollback and fork are not excluded.
    pub held_against: Option<u64>,
}

/// Where and how a log is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken at entry {index}: {fault}")]
pub struct Broken {
    /// The first entry that is not as it was, as near as can be told.
    pub index: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The entry does not give the chain hash beside it.
    #[error("the entry or its chain hash was edited")]
    Edited,
    /// Entries are missing before this one.
    #[error("entries are missing: entry {found} stands here")]
    Removed {
        /// The index of the entry that stands here.
        found: u64,
    },
    /// The entry that belongs here stands elsewhere.
    #[error("entries were reordered: entry {found} stands here")]
    Reordered {
        /// The index of the entry that stands here.
        found: u64,
    },
    /// The entry is older than the one before it.
    #[error("the entry is older than the one before it")]
    Time,
    /// The entry can't be read.
    #[error(transparent)]
    Entry(EntryFault),
    /// The line can't be read.
    #[error(transparent)]
    Line(ExportFault),
    /// The end is missing: a checkpoint covers more entries than there are.
    #[error("the end was cut off: a checkpoint covers {covered} entries")]
    Truncated {
        /// How many entries the checkpoint covers.
        covered: u64,
    },
    /// The entries from here on are under no checkpoint.
    #[error("no checkpoint covers the log from here on")]
    Unsigned,
    /// A checkpoint stands after entries that it does not cover.
    #[error("the checkpoint for {covered} entries stands in the wrong place")]
    CheckpointOrder {
        /// How many entries the checkpoint covers.
        covered: u64,
    },
    /// The entries give another root than the checkpoint was signed for: somebody rewrote entries and chain.
    #[error(
        "an entry from here to {last} was rewritten: the signed root of {covered} entries is another"
    )]
    Root {
        /// How many entries the checkpoint covers.
        covered: u64,
        /// The last entry that may be the rewritten one.
        last: u64,
    },
    /// A checkpoint can't be trusted.
    #[error(transparent)]
    Checkpoint(NoteFault),
    /// A head from elsewhere has another root for the same size: two histories.
    #[error(
        "the log was forked: a head kept elsewhere has another root for its first {size} entries"
    )]
    Forked {
        /// The size of that head.
        size: u64,
    },
    /// A head from elsewhere is ahead of the log.
    #[error("the log was rolled back: a head kept elsewhere has {size} entries")]
    RolledBack {
        /// The size of that head.
        size: u64,
    },
    /// A head from elsewhere is of another log.
    #[error("a head kept elsewhere belongs to another log")]
    OtherLog,
}

impl Fault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Edited => "log.edited",
            Self::Removed { .. } => "log.removed",
            Self::Reordered { .. } => "log.reordered",
            Self::Time => "log.time",
            Self::Entry(fault) => fault.code(),
            Self::Line(_) => "log.line",
            Self::Truncated { .. } => "log.truncated",
            Self::Unsigned => "log.unsigned",
            Self::CheckpointOrder { .. } => "log.checkpoint_order",
            Self::Root { .. } => "log.root",
            Self::Checkpoint(fault) => fault.code(),
            Self::Forked { .. } => "log.forked",
            Self::RolledBack { .. } => "log.rolled_back",
            Self::OtherLog => "log.other",
        }
    }
}

/// Verifies a log from its first entry on: each entry's place, time and chain hash, each checkpoint's signature and root,
/// that a checkpoint covers the last entry, and that the log contains every head of `heads`.
///
/// # Errors
/// Only what the source of the items says: then nothing could be found out. A broken log is a [`Report`].
pub fn verify_log<I, E>(items: I, key: &LogKey, heads: &[Head]) -> Result<Report, E>
where
    I: IntoIterator<Item = Result<Item, E>>,
{
    let mut items = items.into_iter();
    let mut heads: Vec<&Head> = heads.iter().collect();
    heads.sort_unstable_by_key(|h| h.size);
    if heads.iter().any(|h| h.origin != key.origin()) {
        return Ok(Report::Broken(Broken {
            index: 0,
            fault: Fault::OtherLog,
        }));
    }
    let held_against = heads.last().map(|h| h.size);
    let mut walk = Walk {
        key,
        heads,
        end: LogEnd::default(),
        time: None,
        signed: None,
        checkpoints: 0,
        held: 0,
    };
    if let Err(broken) = walk.hold() {
        return Ok(Report::Broken(broken));
    }
    while let Some(item) = items.next() {
        let Err(mut broken) = walk.step(&item?) else {
            continue;
        };
        broken.fault = name_the_gap(broken.fault, broken.index, &mut items)?;
        return Ok(Report::Broken(broken));
    }
    Ok(match walk.finish() {
        Ok((head, checkpoints)) => Report::Valid(Valid {
            head,
            checkpoints,
            held_against,
        }),
        Err(broken) => Report::Broken(broken),
    })
}

/// Whether a head that a server shows now grew out of the last one seen: for agents, hosts and CLIs.
///
/// # Errors
/// [`Fault::OtherLog`], [`Fault::RolledBack`], [`Fault::Forked`]: keep the old head, and tell somebody.
pub fn extends_head(last: &Head, next: &Head, proof: &[Hash]) -> Result<(), Fault> {
    if last.origin != next.origin {
        return Err(Fault::OtherLog);
    }
    if next.size < last.size {
        return Err(Fault::RolledBack { size: last.size });
    }
    if !extends(last.size, &last.root, next.size, &next.root, proof) {
        return Err(Fault::Forked { size: last.size });
    }
    Ok(())
}

struct Walk<'a> {
    key: &'a LogKey,
    /// Heads from elsewhere, smallest first.
    heads: Vec<&'a Head>,
    end: LogEnd,
    time: Option<Timestamp>,
    signed: Option<Head>,
    checkpoints: u64,
    /// The size up to which the log is known to be as somebody else saw it.
    held: u64,
}

impl Walk<'_> {
    fn step(&mut self, item: &Item) -> Result<(), Broken> {
        let index = self.end.size();
        let broken = |fault| Broken { index, fault };
        match item {
            Item::Entry { bytes, chain } => {
                let place = Place::parse(bytes).map_err(|f| broken(Fault::Entry(f)))?;
                if place.index != index {
                    return Err(broken(Fault::Removed { found: place.index }));
                }
                if chain_hash(self.end.chain(), bytes) != *chain {
                    return Err(broken(Fault::Edited));
                }
                if self.time.is_some_and(|before| place.time_ms < before) {
                    return Err(broken(Fault::Time));
                }
                self.time = Some(place.time_ms);
                self.end.append(bytes);
                self.hold()
            }
            Item::Checkpoint(text) => self.checkpoint(text),
            Item::Unreadable(fault) => Err(broken(Fault::Line(*fault))),
        }
    }

    fn checkpoint(&mut self, text: &str) -> Result<(), Broken> {
        let index = self.end.size();
        let checkpoint = Checkpoint::verify(text, self.key).map_err(|f| Broken {
            index,
            fault: Fault::Checkpoint(f),
        })?;
        let head = checkpoint.head();
        let covered = head.size;
        if covered > index {
            return Err(Broken {
                index,
                fault: Fault::Truncated { covered },
            });
        }
        if covered < index {
            return Err(Broken {
                index,
                fault: Fault::CheckpointOrder { covered },
            });
        }
        if head.root != self.end.root() {
            let first = self.signed.as_ref().map_or(0, |h| h.size).max(self.held);
            return Err(Broken {
                index: first,
                fault: Fault::Root {
                    covered,
                    last: covered.saturating_sub(1),
                },
            });
        }
        self.signed = Some(head.clone());
        self.checkpoints = self.checkpoints.saturating_add(1);
        Ok(())
    }

    /// Holds the log against every head from elsewhere of the size just reached.
    fn hold(&mut self) -> Result<(), Broken> {
        let size = self.end.size();
        let here = self.heads.iter().filter(|h| h.size == size).count();
        if here == 0 {
            return Ok(());
        }
        let root = self.end.root();
        if self.heads.iter().any(|h| h.size == size && h.root != root) {
            return Err(Broken {
                index: self.held,
                fault: Fault::Forked { size },
            });
        }
        self.held = size;
        self.heads.retain(|h| h.size != size);
        Ok(())
    }

    fn finish(self) -> Result<(Head, u64), Broken> {
        let index = self.end.size();
        if let Some(head) = self.heads.last() {
            return Err(Broken {
                index,
                fault: Fault::RolledBack { size: head.size },
            });
        }
        match self.signed {
            Some(head) if head.size == index => Ok((head, self.checkpoints)),
            signed => Err(Broken {
                index: signed.map_or(0, |h| h.size),
                fault: Fault::Unsigned,
            }),
        }
    }
}

/// Tells removed from reordered, and cut off from removed, by what comes after the gap.
fn name_the_gap<E>(
    fault: Fault,
    index: u64,
    rest: &mut impl Iterator<Item = Result<Item, E>>,
) -> Result<Fault, E> {
    match fault {
        Fault::Removed { found } if found < index => Ok(Fault::Reordered { found }),
        Fault::Removed { found } => {
            for item in rest {
                if matches!(item?, Item::Entry { bytes, .. } if Place::parse(&bytes).is_ok_and(|p| p.index == index))
                {
                    return Ok(Fault::Reordered { found });
                }
            }
            Ok(Fault::Removed { found })
        }
        Fault::Truncated { covered } => {
            for item in rest {
                let Item::Entry { bytes, .. } = item? else {
                    continue;
                };
                let Ok(place) = Place::parse(&bytes) else {
                    continue;
                };
                return Ok(if place.index == index {
                    Fault::CheckpointOrder { covered }
                } else {
                    Fault::Removed { found: place.index }
                });
            }
            Ok(Fault::Truncated { covered })
        }
        other => Ok(other),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
