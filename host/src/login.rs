//! The logins that Assay manages.

use std::fmt;

/// A login name: 1 to 32 characters of a-z, 0-9, `_` and `-`, the first a letter or `_`.
///
/// It becomes a file name, a pattern of `Match User` and a principal, so nothing with a meaning there may be in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Login(Box<str>);

/// A string is no login that can be managed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a login that can be managed: 1 to 32 characters of a-z, 0-9, `_`, `-`, a letter or `_` first"
)]
pub struct NotALogin {
    given: String,
}

impl Login {
    /// Reads a login name.
    ///
    /// # Errors
    /// [`NotALogin`].
    pub fn parse(text: &str) -> Result<Self, NotALogin> {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if first && rest && text.len() <= 32 {
            Ok(Self(text.into()))
        } else {
            Err(NotALogin {
                given: text.chars().take(64).collect(),
            })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Login {
    type Err = NotALogin;

    fn from_str(text: &str) -> Result<Self, NotALogin> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_with_a_meaning_elsewhere_is_a_login() {
        for good in ["root", "_apt", "ab-c_1", &"a".repeat(32)] {
            assert_eq!(Login::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "Root",
            "a b",
            "*",
            "!root",
            "a,b",
            "../x",
            "a/b",
            "a@b",
            ".a",
            "-a",
            "1a",
            "a\n",
            "%u",
            &"a".repeat(33),
        ] {
            assert!(Login::parse(bad).is_err(), "{bad:?}");
        }
    }
}
