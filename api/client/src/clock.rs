//! The time of proofs: this machine's clock with its error taken out, as the pinned nexus's `Date` shows it.
//!
//! A DPU may boot in 1970. The first answer tells; after that the difference is kept, and looked at again when the nexus
//! says that a proof's time is wrong.

use assay_attest::time::Timestamp;

/// A clock that runs on. How right it is does not matter.
pub trait LocalClock: Send + Sync {
    /// Its time.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl LocalClock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// By how much the local clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    Ahead(u64),
    Behind(u64),
}

/// Under this many milliseconds nothing is corrected: `Date` is cut to seconds, and answers take time.
const TOLERANCE: u64 = 2_000;

impl Offset {
    /// From the local time when an answer came and the server's time in it.
    pub(crate) fn of(local: Timestamp, server: Timestamp) -> Self {
        match local.millis_since(server) {
            Some(ahead) if ahead > TOLERANCE => Self::Ahead(ahead),
            Some(_) => Self::Ahead(0),
            None => {
                let behind = server.millis_since(local).unwrap_or(0);
                Self::Behind(if behind > TOLERANCE { behind } else { 0 })
            }
        }
    }

    /// The server's time for a local time.
    pub(crate) const fn correct(self, local: Timestamp) -> Timestamp {
        match self {
            Self::Ahead(ms) => local.minus_millis(ms),
            Self::Behind(ms) => local.plus_millis(ms),
        }
    }
}

/// Reads an HTTP date (RFC 9110, 5.6.7, IMF-fixdate).
pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    if !text.ends_with(" GMT") || text.len() != 29 {
        return None;
    }
    let time = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    u64::try_from(time.as_second())
        .ok()
        .map(Timestamp::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_clock_is_taken_out_and_noise_is_not() {
        let at = Timestamp::from_secs;
        for (local, server, corrected) in [
            (0, 1_000_000, 1_000_000),
            (2_000_000, 1_000_000, 1_000_000),
            (1_000_001, 1_000_000, 1_000_001),
        ] {
            assert_eq!(
                Offset::of(at(local), at(server)).correct(at(local)),
                at(corrected)
            );
        }
    }

    #[test]
    fn dates_are_read_in_their_one_form() {
        assert_eq!(
            parse_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Timestamp::from_secs(784_111_777))
        );
        for bad in [
            "",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1960 08:49:37 GMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
