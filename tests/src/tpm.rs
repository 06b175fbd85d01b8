//! A real TPM in software.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;
use crate::wait::{self, secs};
use crate::{ports, programs};

/// What a [`SwTpm`] needs of the system.
pub const NEEDS: &[&str] = &["swtpm", "swtpm_setup", "tpm2_pcrextend"];

/// A swtpm with an EK certificate, on two neighbouring loopback ports.
#[derive(Debug)]
pub struct SwTpm {
    dir: TempDir,
    port: u16,
    process: Option<Process>,
}

impl SwTpm {
    /// Makes one and starts it.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("assay-tpm.")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        let d = dir.path().display();
        let files = [
            (
                "options",
                "--platform-manufacturer Assay\n--platform-version 1\n--platform-model test\n"
                    .to_owned(),
            ),
            (
                "localca.conf",
                format!(
                    "statedir = {d}\nsigningkey = {d}/signkey.pem\nissuercert = {d}/issuercert.pem\ncertserial = {d}/certserial\n"
                ),
            ),
            (
                "setup.conf",
                format!(
                    "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {d}/localca.conf\n\
                     create_certs_tool_options = {d}/options\n"
                ),
            ),
        ];
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let setup = programs::find("swtpm_setup").unwrap();
        let (state, config) = (format!("{d}/state"), format!("{d}/setup.conf"));
        programs::must(
            &setup,
            &[
                "--tpm2",
                "--tpmstate",
                &state,
                "--config",
                &config,
                "--create-ek-cert",
                "--ecc",
                "--pcr-banks",
                "sha256",
                "--overwrite",
            ],
        );
        let mut tpm = Self {
            dir,
            port: ports::free(2),
            process: None,
        };
        tpm.on();
        tpm
    }

    /// Power on.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn on(&mut self) {
        let mut command = Command::new(programs::find("swtpm").unwrap());
        command
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args([
                "--tpmstate".to_owned(),
                format!("dir={}/state", self.dir.path().display()),
                "--server".to_owned(),
                format!("type=tcp,port={},bindaddr=127.0.0.1", self.port),
                "--ctrl".to_owned(),
                format!("type=tcp,port={},bindaddr=127.0.0.1", self.port + 1),
            ]);
        let process = Process::start("swtpm", command, &self.log());
        // The control port only: a connection to the other would keep the TPM busy.
        let control = ("127.0.0.1", self.port + 1);
        let listens = || std::net::TcpStream::connect(control).is_ok();
        wait::until("swtpm listens", secs(15), listens, || process.tail());
        self.process = Some(process);
    }

    /// Power off.
    pub fn off(&mut self) {
        self.process = None;
    }

    /// The TCTI by which the agent reaches it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// Extends a PCR, as another boot component would. Whoever holds the TPM must have let go of it: it serves one at a time.
    ///
    /// # Panics
    /// Where the TPM does not.
    pub fn extend(&self, pcr: u8) {
        let done = Command::new(programs::find("tpm2_pcrextend").unwrap())
            .arg(format!("{pcr}:sha256={}", "ab".repeat(32)))
            .env("TPM2TOOLS_TCTI", self.tcti())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}
