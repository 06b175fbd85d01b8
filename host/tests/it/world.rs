//! A private sshd on a loopback port, and whoever plays the nexus: ssh-keygen.

use assay_api::id::HostId;
use assay_attest::time::Timestamp;
use assay_host::config::Sshd;
use assay_host::login::Login;
use assay_host::run::{Ran, run};
use assay_host::sshd::{Fault, Installer, Outcome, Record, Trial, Trust};
use ssh_key::{Certificate, PublicKey};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The parts that no test can do without; with CI set, doing without is a failure.
pub(crate) fn ready() -> bool {
    let tools = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"];
    let missing: Vec<&str> = tools
        .into_iter()
        .filter(|t| !Path::new(t).exists())
        .collect();
    let root = nix::unistd::geteuid().is_root();
    if missing.is_empty() && root {
        return true;
    }
    let why = format!("skipped: root is needed (is: {root}), and {missing:?} missing");
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("{why}");
    false
}

pub(crate) struct World {
    // Under /run: sshd's StrictModes refuses what lies under a directory that all may write to.
    pub(crate) dir: tempfile::TempDir,
    pub(crate) sshd: Sshd,
    pub(crate) host: HostId,
    server: Option<Child>,
    serial: u64,
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn in_secs(secs: u64) -> Timestamp {
    now().plus_millis(secs * 1000)
}

impl World {
    /// A running sshd whose main file begins with an `Include` of its drop-in directory, then has `extra`.
    pub(crate) fn new(extra: &str) -> Self {
        let world = Self::stopped("Include {dir}/sshd_config.d/*.conf\n", extra);
        world.started()
    }

    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    pub(crate) fn stopped(head: &str, extra: &str) -> Self {
        fs::create_dir_all("/run/sshd").unwrap();
        let dir = tempfile::Builder::new()
            .prefix("assay-host-test.")
            .tempdir_in("/run")
            .unwrap();
        let at = dir.path().to_path_buf();
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at.join("sshd_config.d")).unwrap();
        fs::create_dir(at.join("state")).unwrap();
        for key in [
            "sshd_key",
            "ca",
            "host_ca",
            "foreign",
            "local",
            "user",
            "state/trial_key",
        ] {
            keygen(&[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "",
                "-f",
                path(&at.join(key)),
            ]);
        }
        fs::copy(at.join("local.pub"), at.join("authorized_keys")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let d = at.display();
        let config = format!(
            "{head}# the operator's own\nPort {port}\nListenAddress 127.0.0.1\nHostKey {d}/sshd_key\nPidFile {d}/pid\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             AuthorizedKeysFile {d}/authorized_keys\n{extra}"
        );
        fs::write(at.join("sshd_config"), config.replace("{dir}", path(&at))).unwrap();
        let sshd = Sshd {
            config: at.join("sshd_config"),
            drop_in: at.join("sshd_config.d/00-assay.conf"),
            directory: at.join("assay"),
            host_key: at.join("sshd_key.pub"),
            port,
            ..Sshd::default()
        };
        Self {
            dir,
            sshd,
            host: HostId::from_random(&[7; 16]),
            server: None,
            serial: 100,
        }
    }

    pub(crate) fn start(&mut self) {
        let child = Command::new(&self.sshd.program)
            .args([
                "-D",
                "-f",
                path(&self.sshd.config),
                "-E",
                path(&self.at("log")),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(child);
        for _ in 0..500 {
            if self.at("pid").exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sshd did not start: {}", self.log());
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.server.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            let _gone = fs::remove_file(self.at("pid"));
        }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    pub(crate) fn installer(&self) -> Installer<'_> {
        let state = self.dir.path().join("state");
        // Leaked by the test alone: the installer borrows its paths.
        let state: &'static Path = Box::leak(state.into_boxed_path());
        Installer::open(&self.sshd, state, state.join("trial_key")).unwrap()
    }

    pub(crate) fn record(&self, text: &str) -> Record {
        Record {
            path: self.at("state/installed"),
            bytes: text.as_bytes().to_vec(),
            floor: None,
        }
    }

    pub(crate) fn install(&self, trust: &Trust) -> Result<Outcome, Fault> {
        self.installer().install(trust, self.record("1"), now())
    }

    /// What the nexus would send: a CA, a list that revokes the second trial certificate and `revoked`, a host certificate.
    pub(crate) fn trust(&mut self, logins: &[&str], lasts: u64, revoked: &[&Path]) -> Trust {
        let principal = format!("{}@{}", logins[0], self.host);
        let trial = [
            "-O",
            "clear",
            "-O",
            "force-command=/bin/true",
            "-O",
            "source-address=127.0.0.0/8,::1/128",
        ];
        let good = self.certify("ca", "state/trial_key", &principal, "+5m", &trial);
        let bad = self.certify("ca", "state/trial_key", &principal, "+5m", &trial);
        let mut all = vec![bad.as_path()];
        all.extend(revoked);
        let krl = self.krl(&all);
        Trust {
            host: self.host.clone(),
            logins: logins.iter().map(|l| Login::parse(l).unwrap()).collect(),
            user_ca: vec![public(&self.at("ca.pub"))],
            krl,
            host_certificate: Some(self.host_certificate()),
            not_after: in_secs(lasts),
            trial: Some(Trial {
                login: Login::parse(logins[0]).unwrap(),
                certificate: certificate(&good),
                revoked: certificate(&bad),
            }),
        }
    }

    pub(crate) fn krl(&self, revoked: &[&Path]) -> Vec<u8> {
        let out = self.at("made.krl");
        let mut args = vec!["-q", "-k", "-f", path(&out)];
        args.extend(revoked.iter().map(|p| path(p)));
        keygen(&args);
        fs::read(&out).unwrap()
    }

    pub(crate) fn host_certificate(&mut self) -> Certificate {
        let made = self.certify("host_ca", "sshd_key", "a.example", "+1d", &["-h"]);
        certificate(&made)
    }

    /// A certificate by ssh-keygen; gives the path of a file of its own.
    pub(crate) fn certify(
        &mut self,
        ca: &str,
        key: &str,
        principals: &str,
        until: &str,
        extra: &[&str],
    ) -> PathBuf {
        self.serial += 1;
        let copy = self.at(&format!("cert{}", self.serial));
        fs::copy(self.at(&format!("{key}.pub")), copy.with_extension("pub")).unwrap();
        let serial = self.serial.to_string();
        let validity = format!("-1m:{until}");
        let (ca, public) = (self.at(ca), copy.with_extension("pub"));
        let mut args = vec![
            "-q",
            "-s",
            path(&ca),
            "-I",
            "test",
            "-n",
            principals,
            "-V",
            &validity,
            "-z",
            &serial,
        ];
        args.extend(extra);
        args.push(path(&public));
        keygen(&args);
        let made = self.at(&format!("cert{serial}-cert.pub"));
        assert!(made.exists());
        made
    }

    /// A user certificate for this host's root.
    pub(crate) fn user_certificate(&mut self, ca: &str) -> PathBuf {
        let principal = format!("root@{}", self.host);
        self.certify(ca, "user", &principal, "+1h", &[])
    }

    /// Logs in as root with a key, and a certificate or none.
    pub(crate) fn ssh(&self, key: &str, cert: Option<&Path>) -> Ran {
        let known = self.at("known_hosts");
        let host_key = fs::read_to_string(self.at("sshd_key.pub")).unwrap();
        fs::write(&known, format!("h {host_key}")).unwrap();
        let identity = self.at(&format!("{key}.use"));
        fs::copy(self.at(key), &identity).unwrap();
        fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
        let beside = self.at(&format!("{key}.use-cert.pub"));
        let _old = fs::remove_file(&beside);
        if let Some(cert) = cert {
            fs::copy(cert, &beside).unwrap();
        }
        let mut args: Vec<String> = ["-F", "none", "-n", "-T"].map(str::to_owned).into();
        for option in [
            format!("UserKnownHostsFile={}", known.display()),
            format!("IdentityFile={}", identity.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "HostKeyAlias=h".to_owned(),
            "HostKeyAlgorithms=ssh-ed25519".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "BatchMode=yes".to_owned(),
        ] {
            args.extend(["-o".to_owned(), option]);
        }
        let port = self.sshd.port.to_string();
        args.extend(["-p", &port, "-l", "root", "127.0.0.1", "echo in"].map(str::to_owned));
        // While sshd takes up a reload nobody listens for a moment.
        for _ in 0..100 {
            let ran = run(&self.sshd.ssh, &args, Duration::from_secs(30)).unwrap();
            let away = [
                "Connection refused",
                "Connection reset",
                "Connection closed by",
            ];
            if !away.iter().any(|text| ran.stderr.contains(text)) {
                return ran;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd stays away: {}", self.log())
    }

    pub(crate) fn opens(&self, cert: &Path) -> bool {
        opened(&self.ssh("user", Some(cert)), &self.log())
    }

    pub(crate) fn local_key_opens(&self) -> bool {
        opened(&self.ssh("local", None), &self.log())
    }

    /// Everything that an installation may change, byte for byte, with modes.
    pub(crate) fn picture(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut picture = BTreeMap::new();
        let mut todo = vec![self.at("sshd_config.d"), self.at("assay")];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    todo.push(path);
                } else {
                    picture.insert(path.clone(), one(&path));
                }
            }
        }
        picture.insert(self.at("sshd_config"), one(&self.at("sshd_config")));
        for entry in fs::read_dir(self.at("state")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("installed") {
                picture.insert(path.clone(), one(&path));
            }
        }
        picture
    }
}

fn one(path: &Path) -> (u32, Vec<u8>) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    (mode, fs::read(path).unwrap())
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.server {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn opened(ran: &Ran, log: &str) -> bool {
    match ran.code {
        Some(0) => {
            assert_eq!(ran.stdout, "in\n");
            true
        }
        Some(255) if ran.stderr.contains("Permission denied") => false,
        _ => panic!("{ran:?}\n{log}"),
    }
}

pub(crate) fn keygen(args: &[&str]) {
    let ran = run(
        Path::new("/usr/bin/ssh-keygen"),
        args,
        Duration::from_secs(10),
    )
    .unwrap();
    assert!(ran.ok(), "{args:?}: {ran:?}");
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn public(path: &Path) -> PublicKey {
    PublicKey::from_openssh(fs::read_to_string(path).unwrap().trim()).unwrap()
}

pub(crate) fn certificate(path: &Path) -> Certificate {
    Certificate::from_openssh(fs::read_to_string(path).unwrap().trim()).unwrap()
}
