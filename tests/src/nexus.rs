//! A nexus of one's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_api::htu::Htu;
use assay_api::token::{Token, TokenKind};
use assay_client::{Client, Settings};
use assay_tls::Pins;
use tempfile::TempDir;

use crate::process::{Process, tail};
use crate::wait::{self, secs};
use crate::{person, ports, programs};

/// How a nexus is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a verdict is fresh.
    pub stale_after: String,
    /// How long hosts keep what they have while the nexus is away.
    pub outage_grace: String,
    /// What it writes to its log: a level.
    pub log: String,
    /// More lines of the configuration.
    pub extra: String,
    /// Where the state is; a folder of its own where absent.
    pub data: Option<PathBuf>,
    /// Shell words before the program, such as a limit.
    pub before: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stale_after: "60s".into(),
            outage_grace: "1h".into(),
            log: "debug".into(),
            extra: String::new(),
            data: None,
            before: None,
        }
    }
}

/// A nexus in a folder of its own, on a port of its own.
#[derive(Debug)]
pub struct Nexus {
    dir: TempDir,
    data: PathBuf,
    url: Htu,
    port: u16,
    before: Option<String>,
    process: Option<Process>,
    token: String,
    pin: [u8; 32],
}

impl Nexus {
    /// A running one; verdicts are fresh for a minute.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// A running one.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let mut nexus = Self::prepared(options);
        nexus.up();
        nexus
    }

    /// One that is set up and does not run.
    ///
    /// # Panics
    /// Where files can't be made.
    #[must_use]
    pub fn prepared(options: Options) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("assay-nexus.")
            .tempdir()
            .unwrap();
        let data = options.data.unwrap_or_else(|| dir.path().join("data"));
        let port = ports::free(1);
        let url = Htu::parse(&format!("https://localhost:{port}/")).unwrap();
        let config = format!(
            "data_dir = \"{}\"\nlisten = [\"127.0.0.1:{port}\"]\npublic_urls = [\"https://localhost:{port}\"]\nstale_after = \"{}\"\n\
             outage_grace = \"{}\"\nlog = \"{}\"\n{}\n",
            data.display(),
            options.stale_after,
            options.outage_grace,
            options.log,
            options.extra
        );
        fs::write(dir.path().join("nexus.toml"), config).unwrap();
        Self {
            dir,
            data,
            url,
            port,
            before: options.before,
            process: None,
            token: String::new(),
            pin: [0; 32],
        }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not come up within 30 s.
    pub fn up(&mut self) {
        self.spawn();
        if self.token.is_empty() {
            let file = self.bootstrap_file();
            let read = || {
                fs::read_to_string(&file)
                    .ok()
                    .filter(|text| text.trim().len() > 60)
            };
            let text = self.wait_for("it writes the bootstrap token", read);
            let text = text.trim().to_owned();
            self.pin = *Token::parse(&text, TokenKind::Bootstrap)
                .unwrap()
                .root_pin();
            self.token = text;
        }
        let client = self.client();
        self.wait_for("it answers", || {
            person::block_on(
                client.call::<assay_api::routes::call::health>(None, &assay_api::types::Empty {}),
            )
            .ok()
        });
    }

    /// Starts the program and looks no further.
    pub fn spawn(&mut self) {
        let program = programs::ours("assay-nexus");
        let mut command = match &self.before {
            None => Command::new(&program),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(format!("{before}; exec \"$0\" \"$@\""))
                    .arg(&program);
                shell
            }
        };
        command.arg("serve").arg("--config").arg(self.config_file());
        self.process = Some(Process::start("assay-nexus", command, &self.log()));
    }

    fn wait_for<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let log = self.log();
        let process = self.process.as_mut().unwrap();
        wait::for_some(
            what,
            secs(30),
            || {
                let ended = process.ended();
                assert!(
                    ended.is_none(),
                    "the nexus ended ({ended:?}): {}",
                    process.tail()
                );
                ready()
            },
            || tail("assay-nexus", &log),
        )
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// Where it does not end well.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let status = process.stop();
            assert!(
                status.success(),
                "the nexus ended with {status}: {}",
                self.tail()
            );
        }
    }

    /// The process, where it runs.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &Htu {
        &self.url
    }

    /// Its port on loopback.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The nexus id.
    #[must_use]
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// The bootstrap token, as its file had it at the first start.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where its state is.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the bootstrap token is.
    #[must_use]
    pub fn bootstrap_file(&self) -> PathBuf {
        self.data.join("bootstrap.token")
    }

    /// Its configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("nexus.toml")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// All that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        tail("assay-nexus", &self.log())
    }

    /// A client without a key.
    #[must_use]
    pub fn client(&self) -> Client {
        let pins = Pins {
            current: self.pin,
            next: None,
        };
        Client::new(Settings::new(self.url.clone(), pins, None)).unwrap()
    }
}
