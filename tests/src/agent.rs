//! An agent on its DPU: a TPM, a folder, the program.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use assay_agent::local::Report;
use tempfile::TempDir;

use crate::process::{Process, tail};
use crate::programs;
use crate::tpm::SwTpm;
use crate::wait::{self, secs};

/// An agent with a software TPM.
#[derive(Debug)]
pub struct Agent {
    dir: TempDir,
    name: String,
    process: Option<Process>,
    /// Its TPM.
    pub tpm: SwTpm,
}

impl Agent {
    /// Sets one up, with a claim; it does not run yet.
    ///
    /// # Panics
    /// Where files can't be made.
    #[must_use]
    pub fn new(name: &str, serial: &str, claim: &str) -> Self {
        let tpm = SwTpm::start();
        let agent = Self {
            dir: dir(),
            name: name.to_owned(),
            process: None,
            tpm,
        };
        agent.put_claim(claim);
        let d = agent.dir.path().display();
        agent.configure(&format!(
            "state = \"{d}/state\"\nsocket = \"{d}/agent.sock\"\nclaim_file = \"{d}/claim\"\nserial = \"{serial}\"\nmodel = \"test\"\n\
             log = \"debug\"\n[tpm]\ntcti = \"{}\"\n[hosts]\nlisten = [\"unix:{d}/hosts.sock\"]\n",
            agent.tpm.tcti()
        ));
        agent
    }

    /// Replaces its configuration.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    /// Its configuration as it is.
    ///
    /// # Panics
    /// Where it can't be read.
    #[must_use]
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    /// Puts a claim where the agent looks for one.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn put_claim(&self, claim: &str) {
        let path = self.dir.path().join("claim");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .unwrap();
        file.write_all(claim.as_bytes()).unwrap();
    }

    /// `assay-agent run`.
    pub fn up(&mut self) {
        let mut command = self.command();
        command.arg("run");
        self.process = Some(Process::start(&self.name, command, &self.log()));
    }

    /// SIGTERM.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// The process, where it runs.
    ///
    /// # Panics
    /// Where it does not.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// A sub-command, to its end.
    ///
    /// # Panics
    /// Where it can't be started.
    #[must_use]
    pub fn ask(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// What the running agent says of itself.
    #[must_use]
    pub fn status(&self) -> Option<Report> {
        let said = self.ask(&["status", "-o", "json"]);
        serde_json::from_slice(&said.stdout).ok()
    }

    /// A secret that the running agent holds.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let said = self.ask(&["secret", name]);
        said.status.success().then_some(said.stdout)
    }

    /// Waits until it says that its last proof is good.
    ///
    /// # Panics
    /// Past half a minute.
    pub fn await_state(&self, state: &str) {
        let what = format!("{} is {state}", self.name);
        wait::until(
            &what,
            secs(30),
            || self.status().is_some_and(|s| s.state == state),
            || format!("{:?}\n{}", self.status(), self.tail()),
        );
    }

    /// The last audit head that it has seen: a signed checkpoint.
    #[must_use]
    pub fn head_file(&self) -> Option<PathBuf> {
        let state = self.dir.path().join("state");
        let head = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().contains("head"))
        };
        fs::read_dir(state)
            .ok()?
            .flatten()
            .map(|e| e.path())
            .find(head)
    }

    /// Where hosts connect.
    #[must_use]
    pub fn hosts_socket(&self) -> PathBuf {
        self.dir.path().join("hosts.sock")
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.name, &self.log())
    }

    /// All that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(programs::ours("assay-agent"));
        command.arg("--config").arg(self.config());
        command
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

fn dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("assay-agent.")
        .tempdir()
        .unwrap()
}
