//! The only list of ways to be reached.

use super::{Listen, Way};
use std::io;

/// Every way.
pub const WAYS: &[&dyn Way] = &[&super::tcp::Tcp, &super::unix::Unix];

/// The way of an address with scheme, and the address without.
#[must_use]
pub fn way_of(at: &str) -> Option<(&'static dyn Way, &str)> {
    let (scheme, at) = at.split_once(':')?;
    WAYS.iter()
        .copied()
        .find(|way| way.scheme() == scheme && way.fits(at))
        .map(|way| (way, at))
}

/// Listens at an address with scheme.
///
/// # Errors
/// [`io::Error`].
pub async fn listen(at: &str) -> io::Result<Box<dyn Listen>> {
    let (way, at) = way_of(at).ok_or_else(|| io::Error::other(format!("`{at}` is no address")))?;
    way.listen(at).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn schemes_are_unique_and_addresses_are_read() {
        let mut seen = BTreeSet::new();
        assert!(WAYS.iter().all(|way| seen.insert(way.scheme())));
        for good in ["tcp:192.168.100.2:7443", "tcp:[::1]:1", "unix:/run/x"] {
            assert!(way_of(good).is_some(), "{good}");
        }
        for bad in ["tcp:host:1", "tcp:1.2.3.4", "unix:x", "vsock:1", "x", ""] {
            assert!(way_of(bad).is_none(), "{bad}");
        }
    }
}
