//! A child process with its log. It ends with its value.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says is appended to `log`.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("`{name}` does not start: {e}"));
        Self {
            child,
            name: name.to_owned(),
            log: log.to_path_buf(),
        }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.name, &self.log)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL, as a power cut.
    pub fn kill(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }

    /// SIGTERM, and how it then ended.
    ///
    /// # Panics
    /// Where it does not end within 20 s.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        wait::for_some(
            &format!("{} ends", self.name),
            Duration::from_secs(20),
            || self.child.try_wait().unwrap(),
            || tail(&self.name, &self.log),
        )
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let _ended_already = kill(Pid::from_raw(id), signal);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// Where it goes on for longer than `most`.
    pub fn wait(&mut self, most: Duration) -> ExitStatus {
        let (name, log) = (self.name.clone(), self.log.clone());
        wait::for_some(
            &format!("{name} ends by itself"),
            most,
            || self.ended(),
            || tail(&name, &log),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, headed by whose it is.
#[must_use]
pub fn tail(name: &str, log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(25)..];
    format!("--- {name}\n{}\n", last.join("\n"))
}
