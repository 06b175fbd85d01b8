//! A log in a file: JSON Lines, each entry with its exact bytes, each checkpoint after the entries it covers.
//!
//! ```text
//! {"chain":"<chain hash, 64 lower-case hex digits>","entry":<the entry's bytes>}
//! {"checkpoint":"<the signed note as a JSON string>"}
//! ```
//! Every line is JSON for `jq`. The entry's bytes are cut out by place, never parsed and written again.

use super::entry::MAX_ENTRY;
use super::tree::Hash;

/// The most that one line may take, in bytes, without its line break.
pub const MAX_LINE: usize = MAX_ENTRY + 1024;

const BEFORE_CHAIN: &[u8] = b"{\"chain\":\"";
const BEFORE_ENTRY: &[u8] = b"\",\"entry\":";
const AFTER: &[u8] = b"}";

/// One line of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An entry.
    Entry {
        /// The bytes that are hashed.
        bytes: Vec<u8>,
        /// The chain hash that is stored beside them.
        chain: Hash,
    },
    /// A checkpoint: the text of the note, unchecked.
    Checkpoint(String),
    /// A line that is neither. It breaks the log.
    Unreadable(ExportFault),
}

impl Item {
    /// What a line of an export holds; see [`parse_line`].
    #[must_use]
    pub fn of_line(line: &[u8]) -> Self {
        parse_line(line).unwrap_or_else(Self::Unreadable)
    }
}

/// A line is not one of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this line is not one of an audit log's export: {0}")]
pub struct ExportFault(pub(crate) &'static str);

/// The line of an entry, without line break.
#[must_use]
pub fn entry_line(bytes: &[u8], chain: &Hash) -> Vec<u8> {
    [
        BEFORE_CHAIN,
        base16ct::lower::encode_string(chain).as_bytes(),
        BEFORE_ENTRY,
        bytes,
        AFTER,
    ]
    .concat()
}

/// The line of a checkpoint, without line break.
#[must_use]
pub fn checkpoint_line(text: &str) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        checkpoint: &'a str,
    }
    // INVARIANT: a struct of one string always serialises; an empty line would be refused when read.
    serde_json::to_vec(&Line { checkpoint: text }).unwrap_or_default()
}

/// Reads one line, without its line break.
///
/// # Errors
/// [`ExportFault`].
pub fn parse_line(line: &[u8]) -> Result<Item, ExportFault> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        checkpoint: String,
    }
    if line.len() > MAX_LINE {
        return Err(ExportFault("it is too long"));
    }
    if let Some(rest) = line.strip_prefix(BEFORE_CHAIN) {
        let (hex, rest) = rest
            .split_first_chunk::<64>()
            .ok_or(ExportFault("its chain hash is cut"))?;
        let mut chain = [0; 32];
        base16ct::lower::decode(hex, &mut chain)
            .map_err(|_| ExportFault("its chain hash is not hexadecimal"))?;
        let bytes = rest
            .strip_prefix(BEFORE_ENTRY)
            .and_then(|r| r.strip_suffix(AFTER));
        let bytes = bytes.ok_or(ExportFault("its entry is not where it must be"))?;
        return Ok(Item::Entry {
            bytes: bytes.to_vec(),
            chain,
        });
    }
    let line = serde_json::from_slice::<Line>(line)
        .map_err(|_| ExportFault("it is neither entry nor checkpoint"))?;
    Ok(Item::Checkpoint(line.checkpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_come_back_as_they_were(bytes in prop::collection::vec(any::<u8>(), 0..300), chain in any::<Hash>()) {
            let line = entry_line(&bytes, &chain);
            prop_assert_eq!(parse_line(&line).unwrap(), Item::Entry { bytes, chain });
        }

        #[test]
        fn any_note_comes_back_as_it_was(text in ".{0,200}") {
            prop_assert_eq!(parse_line(&checkpoint_line(&text)).unwrap(), Item::Checkpoint(text));
        }

        #[test]
        fn never_panics(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_line(&line);
        }
    }

    #[test]
    fn a_line_is_json() {
        let value: serde_json::Value =
            serde_json::from_slice(&entry_line(b"{\"index\":0}", &[0xab; 32])).unwrap();
        assert_eq!(value["entry"]["index"], 0);
        assert!(value["chain"].as_str().unwrap().starts_with("abab"));
    }
}
