//! Small things that people write, parsed once: reasons, names, logins, pages.

use std::num::NonZeroU32;

use crate::problem::{Fault, Problem};

/// A reason for the audit log: 1 to 512 characters, no control characters, not only white space.
///
/// # Errors
/// [`Fault::Value`].
pub(crate) fn reason(text: &str) -> Result<String, Problem> {
    words("`reason`", text, 512)
}

/// Free words of 1 to `max` characters without control characters, trimmed.
///
/// # Errors
/// [`Fault::Value`].
pub(crate) fn words(what: &'static str, text: &str, max: usize) -> Result<String, Problem> {
    let text = text.trim();
    let why = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.chars().count() > max {
        format!("it has over {max} characters")
    } else if text.chars().any(char::is_control) {
        "it has control characters".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    Err(Fault::Value { what, why }.into())
}

/// A name that also stands in paths: 1 to 63 characters of a-z, 0-9 and `-`, beginning and ending with a letter or digit, and
/// not of the form of an id.
///
/// # Errors
/// [`Fault::Value`].
pub(crate) fn name(what: &'static str, text: &str) -> Result<String, Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends =
        text.bytes().next().is_some_and(plain) && text.bytes().next_back().is_some_and(plain);
    let inside = text.bytes().all(|b| plain(b) || b == b'-');
    let id_like = text
        .split_once('-')
        .is_some_and(|(_, tail)| tail.len() == 26);
    if ends && inside && text.len() <= 63 && !id_like {
        return Ok(text.to_owned());
    }
    let why =
        "write 1 to 63 characters of a-z, 0-9 and `-`, beginning and ending with a letter or digit"
            .to_owned();
    Err(Fault::Value { what, why }.into())
}

/// A login: 1 to 32 characters as Linux has them. No wildcard is one.
///
/// # Errors
/// [`Fault::Value`].
pub(crate) fn login(text: &str) -> Result<String, Problem> {
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let rest = |b: u8| first(b) || b.is_ascii_digit() || b == b'-' || b == b'.';
    if (1..=32).contains(&text.len())
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(rest)
    {
        return Ok(text.to_owned());
    }
    let why = format!(
        "`{}` is no login: write a-z, 0-9, `_`, `-`, `.`, no wildcard",
        text.escape_default()
    );
    Err(Fault::Value {
        what: "a login",
        why: why.chars().take(160).collect(),
    }
    .into())
}

/// How many rows a page has: 1 to 500; 100 where nothing is said.
///
/// # Errors
/// [`Fault::Value`].
pub(crate) fn limit(asked: Option<u32>) -> Result<NonZeroU32, Problem> {
    let why = || "write 1 to 500".to_owned();
    match NonZeroU32::new(asked.unwrap_or(100)) {
        Some(limit) if limit.get() <= 500 => Ok(limit),
        _ => Err(Fault::Value {
            what: "`limit`",
            why: why(),
        }
        .into()),
    }
}

/// Where the page after this one starts: only a full page has a next.
pub(crate) fn next<T>(page: &[T], limit: NonZeroU32, key: impl Fn(&T) -> String) -> Option<String> {
    let full = u32::try_from(page.len()).is_ok_and(|n| n >= limit.get());
    page.last().filter(|_| full).map(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_taken_for_ids() {
        for good in ["a", "acme", "gpu-7", "0-0", "a-b-c"] {
            assert_eq!(name("n", good).unwrap(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a b",
            "a/b",
            "..",
            "*",
            "t-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            &"a".repeat(64),
        ] {
            assert!(name("n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_wildcard_is_a_login() {
        for good in ["root", "_svc", "a.b-c", "ubuntu"] {
            assert!(login(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "a*",
            "Root",
            "-x",
            "a,b",
            "a@h",
            "a b",
            "a\n",
            &"a".repeat(33),
        ] {
            assert!(login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reasons_and_limits_have_bounds() {
        assert_eq!(reason(" left us ").unwrap(), "left us");
        assert!(
            reason("  ").is_err() && reason("a\nb").is_err() && reason(&"x".repeat(513)).is_err()
        );
        assert_eq!(limit(None).unwrap().get(), 100);
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err());
    }
}
