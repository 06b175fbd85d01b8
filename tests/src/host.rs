//! A host behind a DPU: an sshd and assay-host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::agent::Agent;
use crate::process::{Process, tail};
use crate::sshd::Sshd;
use crate::{programs, ssh};

/// A host.
#[derive(Debug)]
pub struct Host {
    name: String,
    process: Option<Process>,
    /// Its sshd.
    pub sshd: Sshd,
}

impl Host {
    /// An sshd, and assay-host set up to reach this agent; nothing is paired yet.
    ///
    /// # Panics
    /// Where files can't be made.
    #[must_use]
    pub fn new(name: &str, agent: &Agent) -> Self {
        let sshd = Sshd::start();
        let d = sshd.dir().display();
        let config = format!(
            "state = \"{d}/state\"\n[dpu]\naddress = \"unix:{}\"\n[sshd]\nconfig = \"{d}/sshd_config\"\n\
             drop_in = \"{d}/drop/00-assay.conf\"\ndirectory = \"{d}/assay\"\nhost_key = \"{d}/host_key.pub\"\n\
             address = \"127.0.0.1\"\nport = {}\n",
            agent.hosts_socket().display(),
            sshd.port()
        );
        fs::write(sshd.at("host.toml"), config).unwrap();
        Self {
            name: name.to_owned(),
            process: None,
            sshd,
        }
    }

    /// `assay-host init`: the pairing request.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn init(&self) -> Vec<u8> {
        let done = self.ask(&["init", "--login", &ssh::me()]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Base64UrlUnpadded::decode_vec(String::from_utf8(done.stdout).unwrap().trim()).unwrap()
    }

    /// `assay-host pair`.
    ///
    /// # Panics
    /// Where the file can't be written.
    #[must_use]
    pub fn pair(&self, pairing: &[u8], nexus_id: &[u8; 32]) -> Output {
        fs::write(self.sshd.at("pairing"), pairing).unwrap();
        let hex: String = nexus_id.iter().map(|b| format!("{b:02x}")).collect();
        self.ask(&[
            "pair",
            "--nexus-id",
            &hex,
            &self.sshd.at("pairing").display().to_string(),
        ])
    }

    /// `assay-host run`.
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

    /// A sub-command, to its end.
    ///
    /// # Panics
    /// Where it can't be started.
    #[must_use]
    pub fn ask(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// The end of its logs.
    #[must_use]
    pub fn tail(&self) -> String {
        format!("{}{}", tail(&self.name, &self.log()), self.sshd.tail())
    }

    fn command(&self) -> Command {
        let mut command = confined(&programs::ours("assay-host"));
        command.arg("--config").arg(self.sshd.at("host.toml"));
        command
    }

    fn log(&self) -> PathBuf {
        self.sshd.at("assay-host.log")
    }
}

/// As the unit starts it: root without a capability, and no way to get one.
fn confined(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let sets = ["bounding-set", "inh-caps", "ambient-caps"].map(|set| format!("--{set}=-all"));
    command.args(sets).arg("--no-new-privs").arg(program);
    command
}
