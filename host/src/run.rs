//! Running the system's own programs: sshd, ssh, ssh-keygen.
//!
//! Every call has a deadline and a bound on what it may print; the environment is our own.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output, at most 1 MiB.
    pub stdout: String,
    /// Standard error, at most 1 MiB.
    pub stderr: String,
}

impl Ran {
    /// It ended with 0.
    #[must_use]
    pub const fn ok(&self) -> bool {
        matches!(self.code, Some(0))
    }

    /// The last of what it complained about, for a person: printable, at most 300 characters.
    #[must_use]
    pub fn complaint(&self) -> String {
        let text = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let text: String = lines
            .join("; ")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let skip = text.chars().count().saturating_sub(300);
        text.chars().skip(skip).collect()
    }
}

const MAX_OUTPUT: u64 = 1 << 20;

/// Runs a program to its end, or kills it at the deadline.
///
/// # Errors
/// Where it can't be started, or [`io::ErrorKind::TimedOut`].
pub fn run<S: AsRef<OsStr>>(program: &Path, args: &[S], limit: Duration) -> io::Result<Ran> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = reader(child.stdout.take());
    let err = reader(child.stderr.take());
    let deadline = Instant::now() + limit;
    let mut nap = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} seconds", limit.as_secs()),
            ));
        }
        thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    };
    Ok(Ran {
        code: status.code(),
        stdout: collect(out)?,
        stderr: collect(err)?,
    })
}

type Reader = thread::JoinHandle<io::Result<Vec<u8>>>;

fn reader<R: Read + Send + 'static>(from: Option<R>) -> Reader {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            from.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes)?;
            // Drained, so that a talkative program is not stuck on a full pipe.
            io::copy(&mut from, &mut io::sink())?;
        }
        Ok(bytes)
    })
}

fn collect(handle: Reader) -> io::Result<String> {
    let bytes = handle
        .join()
        .map_err(|_panic| io::Error::other("reading its output failed"))??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_run_with_our_environment_and_killed_at_the_deadline() {
        let ran = run(
            Path::new("/bin/sh"),
            &["-c", "echo out; echo err >&2; env | sort; exit 3"],
            Duration::from_secs(5),
        )
        .unwrap();
        assert_eq!(ran.code, Some(3));
        assert!(ran.stdout.starts_with("out\nLC_ALL=C\n"), "{}", ran.stdout);
        assert_eq!(ran.complaint(), "err");
        let slow = run(Path::new("/bin/sleep"), &["5"], Duration::from_millis(50));
        assert_eq!(slow.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
