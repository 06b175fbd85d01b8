//! A real swtpm for a test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A software TPM with an EK certificate, on two free loopback ports; ends with the test.
pub(crate) struct SwTpm {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl SwTpm {
    /// `None`, with a printed line, where swtpm is not installed; never so in CI.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["--create-ek-cert"])
    }

    pub(crate) fn start_with(setup: &[&str]) -> Option<Self> {
        if Command::new("swtpm").arg("--version").output().is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must have swtpm: apt-get install swtpm swtpm-tools"
            );
            println!("skipped: swtpm is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(
            at("localca.conf"),
            format!(
                "statedir = {d}\nsigningkey = {d}/signkey.pem\nissuercert = {d}/issuercert.pem\ncertserial = {d}/certserial\n",
                d = dir.path().display()
            ),
        )
        .unwrap();
        std::fs::write(
            at("setup.conf"),
            format!(
                "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = /etc/swtpm-localca.options\n",
                at("localca.conf")
            ),
        )
        .unwrap();
        let made = Command::new("swtpm_setup")
            .args(["--tpm2", "--overwrite", "--pcr-banks", "sha256,sha384"])
            .args(["--tpmstate", &state.display().to_string()])
            .args(["--config", &at("setup.conf")])
            .args(setup)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_ports();
        let child = Self::spawn(&state, port);
        let tpm = Self { child, port, dir };
        tpm.await_port();
        Some(tpm)
    }

    fn spawn(state: &Path, port: u16) -> Child {
        Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", state.display())])
            .args([
                "--server",
                &format!("type=tcp,port={port},bindaddr=127.0.0.1"),
            ])
            .args([
                "--ctrl",
                &format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn await_port(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        // The control port only: a connection to the other one would keep the TPM busy.
        while std::net::TcpStream::connect(("127.0.0.1", self.port + 1)).is_err() {
            assert!(Instant::now() < until, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Off, as if the device were missing.
    pub(crate) fn off(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Off and on again: a TPM reset.
    pub(crate) fn restart(&mut self) {
        self.off();
        self.child = Self::spawn(&self.dir.path().join("state"), self.port);
        self.await_port();
    }

    pub(crate) fn tool(&self, args: &[&str]) {
        let done = Command::new(args[0])
            .args(&args[1..])
            .env("TPM2TOOLS_TCTI", self.tcti())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    pub(crate) fn extend(&self, pcr: u8) {
        self.tool(&[
            "tpm2_pcrextend",
            &format!("{pcr}:sha256={}", "ab".repeat(32)),
        ]);
    }
}

impl Drop for SwTpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two neighbouring ports that nobody listens on; tests of one process don't get the same pair.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 9_000).unwrap();
    loop {
        let port = base + 2 * NEXT.fetch_add(1, Ordering::Relaxed);
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
    }
}
