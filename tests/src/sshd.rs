//! A private sshd on loopback, for this user only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, tail};
use crate::wait::{self, secs};
use crate::{ports, programs};

/// What a [`Sshd`] needs of the system.
pub const NEEDS: &[&str] = &["sshd", "ssh", "ssh-keygen"];

/// A running sshd with keys and configuration of its own.
#[derive(Debug)]
pub struct Sshd {
    dir: TempDir,
    port: u16,
    process: Process,
}

impl Sshd {
    /// Starts one. `local.pub` of its folder may log in by key.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn start() -> Self {
        // StrictModes refuses what lies below a folder that all may write to.
        let mut builder = tempfile::Builder::new();
        builder.prefix("assay-sshd.");
        let dir = if programs::is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
            builder.tempdir_in("/run").unwrap()
        } else {
            builder.tempdir().unwrap()
        };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("drop")).unwrap();
        let keygen = programs::find("ssh-keygen").unwrap();
        for key in ["host_key", "local"] {
            let path = dir.path().join(key).display().to_string();
            programs::must(
                &keygen,
                &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &path],
            );
        }
        let port = ports::free(1);
        let d = dir.path().display();
        let strict = if programs::is_root() { "yes" } else { "no" };
        let config = format!(
            "Include {d}/drop/*.conf\nPort {port}\nListenAddress 127.0.0.1\nHostKey {d}/host_key\nPidFile {d}/sshd.pid\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             AuthorizedKeysFile {d}/local.pub\nStrictModes {strict}\n"
        );
        fs::write(dir.path().join("sshd_config"), config).unwrap();
        let mut command = Command::new(programs::find("sshd").unwrap());
        command
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"));
        let log = dir.path().join("log");
        let process = Process::start("sshd", command, &log);
        let pid = dir.path().join("sshd.pid");
        wait::until(
            "sshd writes its pid",
            secs(15),
            || pid.is_file(),
            || tail("sshd", &log),
        );
        Self { dir, port, process }
    }

    /// Its port on loopback.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A file of its folder.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}
