//! Which files the trust becomes.

use super::Fault;
use super::scan::{Foreign, Scan};
use super::trial::line;
use super::trust::Trust;
use crate::config::Sshd;
use crate::files;
use crate::login::Login;
use assay_attest::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a file is for; it decides the order of writing, and what a change of it calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Read at each login. Comes first: `RevokedKeys` naming a file that is not there locks every key out.
    Krl,
    /// Read at each login.
    Ca,
    /// Read at each login.
    Principals,
    /// Read at start and reload.
    HostCertificate,
    /// Read at start and reload.
    Directive,
    /// Our own record.
    State,
}

impl Role {
    /// The running sshd takes no notice before a reload.
    pub(crate) const fn needs_reload(self) -> bool {
        matches!(self, Self::HostCertificate | Self::Directive)
    }
}

/// One file as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) role: Role,
    pub(crate) path: PathBuf,
    /// `None`: not there.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) mode: u32,
}

/// Where our things are.
#[derive(Clone, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) sshd: &'a Sshd,
    /// The main file, links followed.
    pub(crate) main: PathBuf,
    pub(crate) krl: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) principals: PathBuf,
    pub(crate) host_certificate: PathBuf,
    /// The directives, where the main file had to get an `Include` line.
    pub(crate) own_conf: PathBuf,
}

impl<'a> Places<'a> {
    pub(crate) fn new(sshd: &'a Sshd) -> Result<Self, Fault> {
        let dir = &sshd.directory;
        Ok(Self {
            sshd,
            main: files::real(&sshd.config)?,
            krl: dir.join("revoked.krl"),
            ca: dir.join("user_ca.pub"),
            principals: dir.join("principals"),
            host_certificate: dir.join("host-cert.pub"),
            own_conf: dir.join("sshd.conf"),
        })
    }

    /// What goes before the main file's own bytes.
    pub(crate) fn include(&self) -> String {
        format!(
            "# assay-host: the next line is its own, `assay-host purge` takes both away.\nInclude {}\n",
            self.own_conf.display()
        )
    }

    /// The principals files that are there now.
    pub(crate) fn principals_there(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.principals) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::at(&self.principals, error)),
        };
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }

    /// `expiry-time` and all.
    pub(crate) fn principals_pattern(&self) -> String {
        format!("{}/%u", self.principals.display())
    }
}

/// All files, in the order in which they are written.
pub(crate) fn wanted(
    places: &Places<'_>,
    trust: &Trust,
    scan: &Scan,
    foreign: &Foreign,
) -> Result<Vec<Wanted>, Fault> {
    let mut wanted = vec![
        Wanted {
            role: Role::Krl,
            path: places.krl.clone(),
            bytes: Some(trust.krl.clone()),
            mode: 0o644,
        },
        Wanted {
            role: Role::Ca,
            path: places.ca.clone(),
            bytes: Some(ca_file(trust, foreign)?.into_bytes()),
            mode: 0o644,
        },
    ];
    wanted.extend(principals(places, trust, foreign)?);
    let certificate = trust.host_certificate.as_ref().map(line).transpose()?;
    wanted.push(Wanted {
        role: Role::HostCertificate,
        path: places.host_certificate.clone(),
        bytes: certificate.map(String::into_bytes),
        mode: 0o644,
    });
    wanted.extend(directives(places, trust, scan)?);
    Ok(wanted)
}

fn ca_file(trust: &Trust, foreign: &Foreign) -> Result<String, Fault> {
    let mut text = String::from("# Written by assay-host.\n");
    for key in &trust.user_ca {
        text.push_str(key.to_openssh().map_err(io::Error::other)?.trim_end());
        text.push('\n');
    }
    if let Some(path) = &foreign.ca {
        let theirs = files::read(path)
            .ok()
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Fault::ForeignCa {
                path: path.display().to_string(),
            })?;
        let _ = writeln!(text, "# From {}:", path.display());
        for line in theirs.lines().filter(|line| !line.trim().is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

fn principals(places: &Places<'_>, trust: &Trust, foreign: &Foreign) -> Result<Vec<Wanted>, Fault> {
    let mut all: BTreeMap<PathBuf, Option<Vec<u8>>> = places
        .principals_there()?
        .into_iter()
        .map(|path| (path, None))
        .collect();
    let expiry = expiry_time(trust.not_after)?;
    for login in &trust.logins {
        let mut text = format!("expiry-time=\"{expiry}\" {}\n", trust.principal(login));
        if foreign.ca.is_some() {
            // Another CA names bare logins; ours never signs one.
            let _ = writeln!(text, "{login}");
        }
        all.insert(
            places.principals.join(login.as_str()),
            Some(text.into_bytes()),
        );
    }
    let file = |(path, bytes)| Wanted {
        role: Role::Principals,
        path,
        bytes,
        mode: 0o644,
    };
    Ok(all.into_iter().map(file).collect())
}

fn directives(places: &Places<'_>, trust: &Trust, scan: &Scan) -> Result<Vec<Wanted>, Fault> {
    let text = conf(places, &trust.logins, trust.host_certificate.is_some()).into_bytes();
    let drop_in = &places.sshd.drop_in;
    let can_drop_in = scan.reaches_drop_in && drop_in.parent().is_some_and(Path::is_dir);
    let (here, gone) = if can_drop_in {
        (drop_in, &places.own_conf)
    } else {
        (&places.own_conf, drop_in)
    };
    let file = |path: &Path, bytes| Wanted {
        role: Role::Directive,
        path: path.to_path_buf(),
        bytes,
        mode: 0o644,
    };
    let main = files::read(&places.main)?.unwrap_or_default();
    let bare = strip(places, &main);
    let main_wanted = if can_drop_in {
        bare.to_vec()
    } else {
        [places.include().as_bytes(), bare].concat()
    };
    Ok(vec![
        file(here, Some(text)),
        Wanted {
            mode: files::mode_of(&places.main, 0o644),
            ..file(&places.main, Some(main_wanted))
        },
        file(gone, None),
    ])
}

/// The main file without our lines.
pub(crate) fn strip<'b>(places: &Places<'_>, main: &'b [u8]) -> &'b [u8] {
    main.strip_prefix(places.include().as_bytes())
        .unwrap_or(main)
}

fn conf(places: &Places<'_>, logins: &BTreeSet<Login>, certificate: bool) -> String {
    let mut text =
        String::from("# Written by assay-host; do not edit. `assay-host purge` takes it away.\n");
    if certificate {
        let _ = writeln!(
            text,
            "HostCertificate {}",
            places.host_certificate.display()
        );
    }
    if !logins.is_empty() {
        // In a block of its own, which comes first: other logins are left as they are, and later blocks can't hide it.
        let names: Vec<&str> = logins.iter().map(Login::as_str).collect();
        let _ = writeln!(text, "Match User {}", names.join(","));
        let _ = writeln!(text, "    RevokedKeys {}", places.krl.display());
        let _ = writeln!(text, "    TrustedUserCAKeys {}", places.ca.display());
        let _ = writeln!(
            text,
            "    AuthorizedPrincipalsFile {}",
            places.principals_pattern()
        );
    }
    text
}

/// `YYYYMMDDHHMMSSZ`, rounded down (sshd(8), `expiry-time`).
fn expiry_time(at: Timestamp) -> Result<String, Fault> {
    let secs = i64::try_from(at.as_secs()).map_err(io::Error::other)?;
    let time = jiff::Timestamp::from_second(secs).map_err(io::Error::other)?;
    Ok(time.strftime("%Y%m%d%H%M%SZ").to_string())
}

/// Whether two principals files differ in nothing but when they end.
pub(crate) fn same_but_for_expiry(a: &[u8], b: &[u8]) -> bool {
    let bare = |bytes: &[u8]| -> Option<Vec<String>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines = text
            .lines()
            .map(|line| match line.strip_prefix("expiry-time=\"") {
                Some(rest) => rest
                    .split_once("Z\" ")
                    .filter(|(time, _)| {
                        time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit())
                    })
                    .map(|(_, principal)| format!("expiry {principal}")),
                None => Some(line.to_owned()),
            });
        lines.collect()
    };
    bare(a).is_some_and(|a| bare(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_sshd_reads_it() {
        let at = Timestamp::from_millis(1_795_340_291_999);
        assert_eq!(expiry_time(at).unwrap(), "20261122093811Z");
        assert!(expiry_time(Timestamp::MAX).is_err());
    }

    #[test]
    fn only_the_expiry_may_differ() {
        let a = b"expiry-time=\"20260101000000Z\" root@h\nroot\n";
        let b = b"expiry-time=\"20270101000000Z\" root@h\nroot\n";
        assert!(same_but_for_expiry(a, b));
        for other in [
            &b"expiry-time=\"20270101000000Z\" root@i\nroot\n"[..],
            b"expiry-time=\"20270101000000Z\" root@h\n",
            b"root@h\nroot\n",
            b"expiry-time=\"2027Z\" root@h\nroot\n",
        ] {
            assert!(!same_but_for_expiry(a, other));
        }
    }
}
