//! What sshd and ssh-keygen say of themselves, of a configuration and of a revocation list.

use super::Fault;
use crate::config::Sshd;
use crate::login::Login;
use crate::run::{Ran, run};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs one of the configured programs.
pub(crate) fn tool<S: AsRef<OsStr>>(program: &Path, args: &[S]) -> Result<Ran, Fault> {
    run(program, args, LIMIT).map_err(|error| Fault::Tool {
        program: program.display().to_string(),
        why: error.to_string(),
    })
}

/// Asks two things side by side: most of the time of an installation is spent in programs that start and end.
pub(crate) fn both<A: Send, B>(
    a: impl FnOnce() -> Result<A, Fault> + Send,
    b: impl FnOnce() -> Result<B, Fault>,
) -> (Result<A, Fault>, Result<B, Fault>) {
    std::thread::scope(|threads| {
        let a = threads.spawn(a);
        let b = b();
        let gone = |_panic| Err(std::io::Error::other("a thread has gone").into());
        (a.join().unwrap_or_else(gone), b)
    })
}

/// Refuses an sshd that does not read UTC in `expiry-time` (OpenSSH 9.1 release notes).
pub(crate) fn check_version(sshd: &Sshd) -> Result<(), Fault> {
    let ran = tool(&sshd.program, &["-V"])?;
    let said = format!("{} {}", ran.stderr, ran.stdout);
    match version(&said) {
        Some(found) if found >= (9, 1) => Ok(()),
        Some((major, minor)) => Err(Fault::TooOld {
            found: format!("{major}.{minor}"),
        }),
        None => Err(Fault::TooOld {
            found: "of unknown version".to_owned(),
        }),
    }
}

fn version(said: &str) -> Option<(u32, u32)> {
    let (_, tail) = said.split_once("OpenSSH_")?;
    let (major, tail) = tail.split_once('.')?;
    let end = tail
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(tail.len());
    Some((major.parse().ok()?, tail.get(..end)?.parse().ok()?))
}

/// `sshd -t`.
pub(crate) fn config_test(sshd: &Sshd) -> Result<(), Fault> {
    let ran = tool(
        &sshd.program,
        &[OsStr::new("-t"), OsStr::new("-f"), sshd.config.as_os_str()],
    )?;
    if ran.ok() {
        Ok(())
    } else {
        Err(Fault::ConfigTest {
            why: ran.complaint(),
        })
    }
}

/// What is in force, as `sshd -T` prints it.
#[derive(Debug)]
pub(crate) struct Effective(Vec<(String, String)>);

impl Effective {
    /// Asks for a login that comes from loopback, or for the settings outside of Match blocks.
    pub(crate) fn of(sshd: &Sshd, login: Option<&Login>) -> Result<Self, Fault> {
        let mut args = vec!["-T".to_owned(), "-f".to_owned()];
        args.push(sshd.config.display().to_string());
        if let Some(login) = login {
            let (at, port) = (sshd.address, sshd.port);
            args.push("-C".to_owned());
            args.push(format!(
                "user={login},host=localhost,addr={at},laddr={at},lport={port}"
            ));
        }
        let ran = tool(&sshd.program, &args)?;
        if !ran.ok() {
            return Err(Fault::ConfigTest {
                why: ran.complaint(),
            });
        }
        let lines = ran.stdout.lines();
        let pair = |line: &str| match line.split_once(' ') {
            Some((key, value)) => (key.to_owned(), value.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        };
        Ok(Self(lines.map(pair).collect()))
    }

    /// The first value of a key.
    pub(crate) fn first<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// Where sshd writes its process id; `None` where it does not.
    pub(crate) fn pid_file(&self) -> Option<PathBuf> {
        self.first("pidfile")
            .filter(|path| *path != "none")
            .map(PathBuf::from)
    }
}

/// Whether ssh-keygen reads a file as a revocation list.
pub(crate) fn krl_reads(sshd: &Sshd, krl: &Path) -> Result<(), Fault> {
    let ran = tool(
        &sshd.ssh_keygen,
        &[
            OsStr::new("-Q"),
            OsStr::new("-l"),
            OsStr::new("-f"),
            krl.as_os_str(),
        ],
    )?;
    if ran.ok() && ran.stdout.contains("KRL version") {
        Ok(())
    } else {
        Err(Fault::Krl {
            why: ran.complaint(),
        })
    }
}

/// Whether a list revokes what is in a file of a public key or certificate.
pub(crate) fn krl_revokes(sshd: &Sshd, krl: &Path, key: &Path) -> Result<bool, Fault> {
    let ran = tool(
        &sshd.ssh_keygen,
        &[
            OsStr::new("-Q"),
            OsStr::new("-f"),
            krl.as_os_str(),
            key.as_os_str(),
        ],
    )?;
    let said = ran.stdout.trim_end();
    match (ran.code, said.ends_with(": ok"), said.ends_with("REVOKED")) {
        (Some(0), true, false) => Ok(false),
        (Some(1), false, true) => Ok(true),
        _ => Err(Fault::Krl {
            why: ran.complaint(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_out_of_what_sshd_says() {
        assert_eq!(version("OpenSSH_9.2, OpenSSL 3.0.19"), Some((9, 2)));
        assert_eq!(
            version("unknown option -- V\nOpenSSH_8.9p1 Ubuntu"),
            Some((8, 9))
        );
        assert_eq!(version("OpenSSH_10.0p2"), Some((10, 0)));
        assert!(version("dropbear").is_none());
    }
}
