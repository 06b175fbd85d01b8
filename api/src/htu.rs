//! HTTP targets as DPoP compares them: RFC 9449, 4.3, with the normalisation of RFC 3986, 6.2.2 and 6.2.3.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest URL that is looked at, in bytes.
pub const MAX_URL: usize = 2048;

/// A target without query and fragment, normalised: scheme and host in lower case, no default port, no dot segments,
/// `%HH` in upper case and unreserved characters plain. `%2F` stays what it is. ASCII only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Htu {
    text: String,
    /// Where the path begins.
    path: usize,
}

/// Not an absolute http or https URL of the accepted shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https URL: {0}")]
pub struct BadUrl(&'static str);

impl Htu {
    /// Reads a URL; query and fragment are cut off (RFC 9449, 4.3, item 9).
    ///
    /// # Errors
    /// [`BadUrl`]: too long, another scheme, user information, a host that is no ASCII name or address, a wrong port, or a
    /// path with characters that no path has.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        if url.len() > MAX_URL {
            return Err(BadUrl("it is too long"));
        }
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(BadUrl("its scheme is another")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut text = format!("{scheme}://{}", authority_of(authority, default_port)?);
        let start = text.len();
        text.push_str(&path_of(path)?);
        Ok(Self { text, path: start })
    }

    /// The target of `path` under this URL, whose own path is a prefix: how a server says what it expects.
    ///
    /// # Errors
    /// [`BadUrl`] where `path` does not begin with `/` or is none.
    pub fn join(&self, path: &str) -> Result<Self, BadUrl> {
        if !path.starts_with('/') {
            return Err(BadUrl("a path begins with `/`"));
        }
        let base = self.text.strip_suffix('/').unwrap_or(&self.text);
        Self::parse(&format!("{base}{path}"))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, at least `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or("/")
    }

    /// Scheme, host and port, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    /// Host and, where it is not the default, port.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.origin()
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }
}

impl fmt::Display for Htu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn authority_of(authority: &str, default_port: u16) -> Result<String, BadUrl> {
    if authority.contains('@') {
        return Err(BadUrl("it names a user"));
    }
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest
            .split_once(']')
            .ok_or(BadUrl("its address has no end"))?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| BadUrl("its address is no IPv6 address"))?;
        let port = if after.is_empty() {
            None
        } else {
            Some(after.strip_prefix(':').ok_or(BadUrl("its port is none"))?)
        };
        (format!("[{address}]"), port)
    } else {
        let (host, port) = authority
            .split_once(':')
            .map_or((authority, None), |(h, p)| (h, Some(p)));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return Err(BadUrl("its host is no name or address in ASCII"));
        }
        (host.to_ascii_lowercase(), port)
    };
    let Some(port) = port.filter(|p| !p.is_empty()) else {
        return Ok(host);
    };
    let number = port
        .parse::<u16>()
        .ok()
        .filter(|n| *n != 0 && port.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(number) if number == default_port => Ok(host),
        Some(number) => Ok(format!("{host}:{number}")),
        None => Err(BadUrl("its port is none")),
    }
}

/// Percent-normalises, then removes dot segments (RFC 3986, 5.2.4).
fn path_of(path: &str) -> Result<String, BadUrl> {
    let mut bytes = path.bytes();
    let mut text = String::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || {
                bytes
                    .next()
                    .and_then(|b| char::from(b).to_digit(16))
                    .and_then(|d| u8::try_from(d).ok())
            };
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(BadUrl("a `%` has no two digits"));
            };
            let decoded = high << 4 | low;
            if is_unreserved(decoded) {
                text.push(char::from(decoded));
            } else {
                text.push_str(&format!("%{decoded:02X}"));
            }
        } else if is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            return Err(BadUrl("its path has a character that no path has"));
        }
    }
    Ok(without_dot_segments(&text))
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn without_dot_segments(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            _ => out.push(segment),
        }
    }
    format!("/{}", out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_target_has_one_spelling() {
        for (url, same) in [
            (
                "https://server.example.com/token",
                "https://server.example.com/token",
            ),
            (
                "HTTPS://Server.EXAMPLE.com:443/token?a=b#c",
                "https://server.example.com/token",
            ),
            ("https://server.example.com", "https://server.example.com/"),
            (
                "https://server.example.com?x=/y",
                "https://server.example.com/",
            ),
            (
                "https://server.example.com:/a",
                "https://server.example.com/a",
            ),
            ("http://h:80/", "http://h/"),
            ("http://h:443/", "http://h:443/"),
            ("https://h/a/./b/../c", "https://h/a/c"),
            ("https://h/../../a/..", "https://h/"),
            ("https://h/a/b/.", "https://h/a/b/"),
            ("https://h/%7euser/%2f/%3a", "https://h/~user/%2F/%3A"),
            ("https://h/%2e%2e/a", "https://h/a"),
            ("https://h/a//b", "https://h/a//b"),
            (
                "https://[2001:DB8:0::1]:8443/x",
                "https://[2001:db8::1]:8443/x",
            ),
        ] {
            assert_eq!(Htu::parse(url).unwrap().as_str(), same, "{url}");
        }
    }

    #[test]
    fn what_is_no_target() {
        for bad in [
            "",
            "server.example.com/token",
            "ftp://h/",
            "https:///token",
            "https://user@h/",
            "https://h@evil/",
            "https://h\u{fc}/",
            "https://h:0/",
            "https://h:65536/",
            "https://h:+443/",
            "https://h:44x/",
            "https://[::1/",
            "https://[::1]x/",
            "https://h/a b",
            "https://h/a\\b",
            "https://h/%2",
            "https://h/%zz",
            "https://h/\u{e9}",
            "https://h\n/",
        ] {
            assert!(Htu::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Htu::parse(&format!("https://h/{}", "a".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn a_prefix_is_kept_when_joining() {
        let base = Htu::parse("https://h/assay/").unwrap();
        assert_eq!(
            base.join("/v1/hosts").unwrap().as_str(),
            "https://h/assay/v1/hosts"
        );
        assert_eq!(
            Htu::parse("https://h:1")
                .unwrap()
                .join("/v1")
                .unwrap()
                .as_str(),
            "https://h:1/v1"
        );
        assert!(base.join("v1").is_err());
        assert_eq!(
            (base.origin(), base.path(), base.authority()),
            ("https://h", "/assay/", "h")
        );
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(path in "[/a-c.%2eEfF~-]{0,30}", host in "[a-zA-Z0-9.]{1,12}") {
            if let Ok(once) = Htu::parse(&format!("https://{host}/{path}")) {
                prop_assert_eq!(&Htu::parse(once.as_str()).unwrap(), &once);
            }
        }

        #[test]
        fn never_panics(url in "\\PC{0,60}", tail in "\\PC{0,60}") {
            let _ = Htu::parse(&url);
            let _ = Htu::parse(&format!("https://{tail}"));
        }
    }
}
