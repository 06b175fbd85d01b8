//! Words: times as people say them, and other people's text made harmless.

use std::fmt::Write as _;

use assay_api::types::Time;

/// Text that others wrote, without anything that a terminal would obey or that would turn its reading around.
#[must_use]
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_bidi(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same, but for the ends of lines, which stay.
#[must_use]
pub(crate) fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    lines.join("\n")
}

/// JSON with all such characters written as escapes (RFC 8259, section 7): they stand in strings only.
#[must_use]
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || is_bidi(c)) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Paragraphs, parted by an empty line, with lines of at most 100 characters where words allow it.
#[must_use]
pub(crate) fn paragraphs(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut width = 0usize;
        for word in paragraph.split_whitespace() {
            let long = word.chars().count();
            if width > 0 && width.saturating_add(long) >= WIDTH {
                out.push('\n');
                width = 0;
            } else if width > 0 {
                out.push(' ');
                width = width.saturating_add(1);
            }
            out.push_str(&clean(word));
            width = width.saturating_add(long);
        }
        out.push('\n');
    }
    out
}

/// A point in time and how far it is: `2026-11-22 21:00:05Z (in 7h 59m)`.
#[must_use]
pub(crate) fn until(time: Time, now: Time) -> String {
    let (at, now) = (time.0.as_secs(), now.0.as_secs());
    let far = if at >= now {
        format!("in {}", span(at.saturating_sub(now)))
    } else {
        format!("{} ago", span(now.saturating_sub(at)))
    };
    format!("{} ({far})", short(time))
}

/// How long ago, for tables.
#[must_use]
pub(crate) fn ago(time: Option<Time>, now: Time) -> String {
    let Some(time) = time else {
        return "never".to_owned();
    };
    match now.0.as_secs().checked_sub(time.0.as_secs()) {
        Some(0) => "now".to_owned(),
        Some(past) => format!("{} ago", span(past)),
        None => format!(
            "in {}",
            span(time.0.as_secs().saturating_sub(now.0.as_secs()))
        ),
    }
}

/// A point in time to the second.
#[must_use]
pub(crate) fn short(time: Time) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{}Z", whole.replacen('T', " ", 1)),
        None => text,
    }
}

/// Seconds as people say them: the two largest units.
#[must_use]
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_attest::time::Timestamp;

    fn at(seconds: u64) -> Time {
        Time(Timestamp::from_secs(seconds))
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        assert_eq!(span(0), "0s");
        assert_eq!(span(59), "59s");
        assert_eq!(span(3_600), "1h");
        assert_eq!(span(3_661), "1h 1m");
        assert_eq!(span(90_061), "1d 1h");
        assert_eq!(until(at(3_600), at(0)), "1970-01-01 01:00:00Z (in 1h)");
        assert_eq!(until(at(0), at(61)), "1970-01-01 00:00:00Z (1m 1s ago)");
        assert_eq!(ago(Some(at(5)), at(65)), "1m ago");
        assert_eq!(ago(Some(at(65)), at(5)), "in 1m");
        assert_eq!(ago(Some(at(5)), at(5)), "now");
        assert_eq!(ago(None, at(5)), "never");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(clean("ok \u{e9} \u{4e16}"), "ok \u{e9} \u{4e16}");
        for bad in ["\x1b[31m", "\r", "\u{9b}1m", "\u{202e}", "\u{7f}", "\n"] {
            assert!(
                clean(bad).is_ascii() && !clean(bad).chars().any(char::is_control),
                "{bad:?}"
            );
        }
    }
}
