//! Running the system's own programs: sshd, ssh, ssh-keygen.
//!
//! Every call has a deadline and a bound on what it may print; the environment is our own.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
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
    let (tell, told) = mpsc::channel();
    reader(0, child.stdout.take(), tell.clone());
    reader(1, child.stderr.take(), tell);
    let deadline = Instant::now() + limit;
    let timed_out = |child: &mut Child| {
        child.kill()?;
        child.wait()?;
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} seconds", limit.as_secs()),
        ))
    };
    let mut said = [None, None];
    let mut left = deadline;
    // A program that closes its pipes is about to end: that is waited for, rather than looked for now and then.
    while said.iter().any(Option::is_none) {
        match told.recv_timeout(left.saturating_duration_since(Instant::now()).min(LOOK)) {
            Ok((which, bytes)) => {
                if let Some(slot) = said.get_mut(which) {
                    *slot = Some(bytes?);
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("reading its output failed"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < left => {
                // It may have left something running that holds its pipes.
                if child.try_wait()?.is_some() {
                    left = left.min(Instant::now() + LEFT_OVER);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => break,
        }
    }
    let mut nap = Duration::from_micros(100);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            return timed_out(&mut child);
        }
        thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    };
    let [stdout, stderr] = said.map(Option::unwrap_or_default);
    Ok(Ran {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// How often it is looked whether a program has ended that keeps its pipes open.
const LOOK: Duration = Duration::from_millis(200);
/// How long its output is waited for once it has ended.
const LEFT_OVER: Duration = Duration::from_secs(1);

type Output = (usize, io::Result<Vec<u8>>);

fn reader<R: Read + Send + 'static>(which: usize, from: Option<R>, tell: mpsc::Sender<Output>) {
    thread::spawn(move || {
        let read = || {
            let mut bytes = Vec::new();
            if let Some(mut from) = from {
                from.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes)?;
                // Drained, so that a talkative program is not stuck on a full pipe.
                io::copy(&mut from, &mut io::sink())?;
            }
            Ok(bytes)
        };
        // Nobody listens any more: it took too long.
        let _late = tell.send((which, read()));
    });
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
        // What it left running has its pipes, and is not waited for to its end.
        let begin = Instant::now();
        let script = ["-c", "sleep 20 & echo out"];
        let ran = run(Path::new("/bin/sh"), &script, Duration::from_secs(15)).unwrap();
        assert_eq!(ran.code, Some(0));
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
