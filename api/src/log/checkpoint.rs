//! The signed head of a log: a C2SP tlog-checkpoint in a C2SP signed note, so that any witness of that kind can cosign it.
//!
//! ```text
//! <origin>
//! <size in decimal>
//! <root hash in base64>
//!
//! — <key name> <base64 of key id (4 bytes) and Ed25519 signature (64 bytes)>
//! ```
//! No extension lines. The key's name is the log's origin, as tlog-checkpoint recommends.

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::tree::Hash;

/// The most that a checkpoint may take, in bytes: a body, our signature and a few cosignatures.
pub const MAX_CHECKPOINT: usize = 8 * 1024;
const MAX_SIGNATURES: usize = 16;
const MAX_NAME: usize = 128;
/// The signed-note type of an Ed25519 key.
const ED25519: u8 = 1;

/// The state of a log: this many entries, with this root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Which log: the name in the first line of its checkpoints.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them (RFC 6962).
    pub root: Hash,
}

/// The public key of a log and its name, which is also the log's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: VerifyingKey,
    id: [u8; 4],
}

/// Why a checkpoint or a log key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Not a key in the form `name+hash+base64`.
    #[error("this is not a log key; it reads `name+hash+key`, as `assay audit key` prints it")]
    Key,
    /// Not a checkpoint.
    #[error("this is not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Over [`MAX_CHECKPOINT`].
    #[error("a checkpoint is over its limit of {MAX_CHECKPOINT} bytes")]
    TooLarge,
    /// The checkpoint of another log.
    #[error("the checkpoint belongs to another log")]
    Origin,
    /// No signature by this key.
    #[error("the checkpoint is not signed by the log's key")]
    Unsigned,
    /// A signature that says it is by this key, and is not.
    #[error("the checkpoint's signature does not verify")]
    Signature,
}

impl NoteFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key => "log.key",
            Self::Malformed(_) => "log.checkpoint_malformed",
            Self::TooLarge => "log.checkpoint_too_large",
            Self::Origin => "log.origin",
            Self::Unsigned => "log.checkpoint_unsigned",
            Self::Signature => "log.checkpoint_signature",
        }
    }
}

impl LogKey {
    /// Names a key. The name has 1 to 128 printable ASCII characters, no `+` and no space.
    ///
    /// # Errors
    /// [`NoteFault::Key`] for another name, or bytes that are no strong Ed25519 key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, NoteFault> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| NoteFault::Key)?;
        if !is_name(name) || key.is_weak() {
            return Err(NoteFault::Key);
        }
        let mut hash = Sha256::new_with_prefix(name.as_bytes());
        hash.update([b'\n', ED25519]);
        hash.update(key.as_bytes());
        let [a, b, c, d, ..] = <Hash>::from(hash.finalize());
        Ok(Self {
            name: name.to_owned(),
            key,
            id: [a, b, c, d],
        })
    }

    /// Reads a verifier key as C2SP signed-note writes it: `name+hash+base64(0x01 || key)`.
    ///
    /// # Errors
    /// [`NoteFault::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        let (name, rest) = text.split_once('+').ok_or(NoteFault::Key)?;
        let (id, key) = rest.split_once('+').ok_or(NoteFault::Key)?;
        let bytes = Base64::decode_vec(key).map_err(|_| NoteFault::Key)?;
        let [kind, key @ ..] = <[u8; 33]>::try_from(bytes).map_err(|_| NoteFault::Key)?;
        let made = Self::new(name, &key)?;
        if kind != ED25519 || id != base16ct::lower::encode_string(&made.id) {
            return Err(NoteFault::Key);
        }
        Ok(made)
    }

    /// The name, which is the log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend(self.key.as_bytes());
        write!(
            f,
            "{}+{}+{}",
            self.name,
            base16ct::lower::encode_string(&self.id),
            Base64::encode_string(&bytes)
        )
    }
}

impl Head {
    /// The note's text, which is what is signed.
    fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            Base64::encode_string(&self.root)
        )
    }
}

/// A checkpoint whose signature has been checked, or just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    head: Head,
    text: String,
}

impl Checkpoint {
    /// What was signed.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The whole note, as stored and sent.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// [`UncheckedCheckpoint::parse`] and [`UncheckedCheckpoint::verify`] in one.
    ///
    /// # Errors
    /// [`NoteFault`] of either.
    pub fn verify(text: &str, key: &LogKey) -> Result<Self, NoteFault> {
        UncheckedCheckpoint::parse(text)?.verify(key)
    }
}

/// Signs a head; `sign` makes the 64-byte Ed25519 signature over what it is given, by the key that `key` names.
///
/// # Errors
/// What `sign` says, or [`NoteFault`] where the head is another log's, or the signature is not by that key.
pub fn sign_checkpoint<E: From<NoteFault>>(
    head: Head,
    key: &LogKey,
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Checkpoint, E> {
    let body = head.body();
    let signature = sign(body.as_bytes())?;
    let mut bytes = key.id.to_vec();
    bytes.extend(signature);
    let text = format!(
        "{body}\n\u{2014} {} {}\n",
        key.name,
        Base64::encode_string(&bytes)
    );
    Ok(Checkpoint::verify(&text, key)?)
}

/// A checkpoint of the right shape, whose signature nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncheckedCheckpoint {
    head: Head,
    text: String,
    body: usize,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl UncheckedCheckpoint {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteFault::TooLarge`], [`NoteFault::Malformed`].
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        use NoteFault::Malformed;
        if text.len() > MAX_CHECKPOINT {
            return Err(NoteFault::TooLarge);
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Malformed("it holds control characters"));
        }
        let (body, rest) = text
            .split_once("\n\n")
            .ok_or(Malformed("it has no signature part"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(Malformed(
                "it has other than the three lines origin, size and root",
            ));
        };
        if !is_name(origin) {
            return Err(Malformed("its origin is no key name"));
        }
        let number = size.parse::<u64>().ok().filter(|n| n.to_string() == size);
        let number = number.ok_or(Malformed("its size is no plain decimal number"))?;
        let mut hash = [0; 32];
        match Base64::decode(root, &mut hash) {
            Ok(bytes) if bytes.len() == 32 => {}
            _ => return Err(Malformed("its root is not 32 bytes in base64")),
        }
        let rest = rest
            .strip_suffix('\n')
            .ok_or(Malformed("it does not end in a line break"))?;
        let signatures = rest
            .split('\n')
            .map(signature_line)
            .collect::<Option<Vec<_>>>();
        let signatures = signatures.filter(|s| s.len() <= MAX_SIGNATURES);
        Ok(Self {
            head: Head {
                origin: origin.to_owned(),
                size: number,
                root: hash,
            },
            body: body.len().saturating_add(1),
            signatures: signatures.ok_or(Malformed(
                "its signature lines are not as a signed note has them",
            ))?,
            text: text.to_owned(),
        })
    }

    /// What it says. Nobody has vouched for it.
    #[must_use]
    pub const fn claimed(&self) -> &Head {
        &self.head
    }

    /// Checks the signature of the log's key; signatures of keys that are not ours say nothing.
    ///
    /// # Errors
    /// [`NoteFault::Origin`], [`NoteFault::Unsigned`], [`NoteFault::Signature`].
    pub fn verify(self, key: &LogKey) -> Result<Checkpoint, NoteFault> {
        if self.head.origin != key.name {
            return Err(NoteFault::Origin);
        }
        let body = self
            .text
            .get(..self.body)
            .ok_or(NoteFault::Malformed("its body is cut"))?;
        let mut ours = self
            .signatures
            .iter()
            .filter(|s| s.name == key.name && s.id == key.id)
            .peekable();
        if ours.peek().is_none() {
            return Err(NoteFault::Unsigned);
        }
        for signature in ours {
            let signature =
                Signature::from_slice(&signature.bytes).map_err(|_| NoteFault::Signature)?;
            key.key
                .verify_strict(body.as_bytes(), &signature)
                .map_err(|_| NoteFault::Signature)?;
        }
        Ok(Checkpoint {
            head: self.head,
            text: self.text,
        })
    }
}

/// `— name base64(id || signature)`.
fn signature_line(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = Base64::decode_vec(encoded).ok()?;
    let (id, rest) = bytes.split_first_chunk::<4>()?;
    is_name(name).then(|| NoteSignature {
        name: name.to_owned(),
        id: *id,
        bytes: rest.to_vec(),
    })
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
