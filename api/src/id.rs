//! Names of things: parsed once, at the door, and never bare strings after that.
//!
//! An id is a prefix that says its kind and 26 lower-case base32 characters (RFC 4648 alphabet, 16 random bytes, no
//! padding), made by the nexus and never reused: `d-b3v5...`.

use core::fmt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A string is not the id it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind} id: expected `{prefix}` and 26 characters of a-z and 2-7")]
pub struct NotAnId {
    /// What was expected, as a person says it.
    pub kind: &'static str,
    /// The prefix of that kind.
    pub prefix: &'static str,
    /// What was given, cut at 64 characters.
    pub given: String,
}

macro_rules! ids {
    ($( $(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The prefix of this kind of id.
            pub const PREFIX: &'static str = $prefix;

            /// From 16 fresh random bytes.
            #[must_use]
            pub fn from_random(bytes: &[u8; 16]) -> Self {
                Self(format!(concat!($prefix, "{}"), encode(bytes)).into_boxed_str())
            }

            /// Reads an id.
            ///
            /// # Errors
            /// [`NotAnId`] where the prefix, the length or a character is wrong.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                match text.strip_prefix($prefix) {
                    Some(tail) if well_formed(tail) => Ok(Self(text.into())),
                    _ => Err(NotAnId { kind: $kind, prefix: $prefix, given: text.chars().take(64).collect() }),
                }
            }

            /// The id as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    )* };
}

ids! {
    /// A tenant.
    TenantId = "t-", "tenant";
    /// A person: an administrator or an operator.
    OperatorId = "op-", "operator";
    /// A request key of a person or of a device.
    KeyId = "k-", "key";
    /// A DPU, for good: it outlives keys and re-imaging.
    DeviceId = "d-", "dpu";
    /// A claim: the right of one DPU to enrol.
    ClaimId = "c-", "claim";
    /// An invite: the right of one person to join.
    InviteId = "i-", "invite";
    /// A host behind a DPU. Never reused, since certificates name it.
    HostId = "h-", "host";
    /// An explicit, expiring grant.
    GrantId = "g-", "grant";
    /// An SSH certificate authority: one user key and one host key, each with a successor while it rotates.
    SshCaId = "ca-", "ssh ca";
    /// An Attestation Result.
    ResultId = "r-", "result";
    /// A demand that a DPU prove itself now.
    DemandId = "dm-", "demand";
    /// A set of Reference Values.
    ReferenceId = "rv-", "reference value set";
    /// A secret kept for a DPU.
    SecretId = "s-", "secret";
    /// A lease of a released credential.
    LeaseId = "l-", "lease";
    /// A force bypass: one use, ten minutes.
    BypassId = "b-", "bypass";
    /// A challenge given to somebody who joins.
    ChallengeId = "ch-", "challenge";
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 16 bytes as 26 base32 characters; the first carries three bits.
fn encode(bytes: &[u8; 16]) -> String {
    let mut bits = u128::from_be_bytes(*bytes);
    let mut out = ['a'; 26];
    for slot in out.iter_mut().rev() {
        let low = usize::try_from(bits & 31).unwrap_or(0);
        *slot = ALPHABET.get(low).copied().map_or('a', char::from);
        bits >>= 5;
    }
    out.iter().collect()
}

/// The first character carries three bits only, so that one value has one spelling.
fn well_formed(tail: &str) -> bool {
    tail.len() == 26
        && tail.bytes().all(|b| ALPHABET.contains(&b))
        && tail
            .bytes()
            .next()
            .is_some_and(|b| (b'a'..=b'h').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_has_one_spelling() {
        let id = HostId::from_random(&[0xff; 16]);
        assert_eq!(id.as_str(), "h-h7777777777777777777777777");
        assert_eq!(HostId::parse(id.as_str()), Ok(id));
        assert!(HostId::parse("h-i7777777777777777777777777").is_err());
        assert!(HostId::parse("d-h7777777777777777777777777").is_err());
        assert!(HostId::parse("h-h777777777777777777777777").is_err());
        assert!(HostId::parse("h-h777777777777777777777777A").is_err());
        assert_eq!(
            HostId::from_random(&[0; 16]).as_str(),
            "h-aaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
    }
}
