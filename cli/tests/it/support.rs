//! Running the binary with nothing of this machine's own in its environment, and golden files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output of a run that must have gone well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The same as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Standard error of a run that must have ended with this code.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr
    }
}

/// A person at a machine: a home of their own.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) home: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

impl Person {
    pub(crate) fn at(dir: &Path, name: &str) -> Self {
        Self {
            home: dir.join(name),
            env: Vec::new(),
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().display().to_string();
        self.env.push((name.to_owned(), value));
        self
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        use std::io::Write;
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("COLUMNS", "100")
            .env("USER", "ada")
            .env("ASSAY_HOME", &self.home)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that refuses early does not read.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let out = child.wait_with_output().unwrap();
        Ran {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
        }
    }
}

impl Person {
    /// Runs at a terminal: each answer is typed when its question has appeared. Gives the exit code and all that the
    /// terminal showed.
    pub(crate) fn at_terminal(&self, args: &[&str], dialogue: &[(&str, &str)]) -> (i32, String) {
        use std::io::{Read, Write};
        let command = std::iter::once(env!("CARGO_BIN_EXE_assay"))
            .chain(args.iter().copied())
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" ");
        let mut child = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("TERM", "dumb")
            .env("ASSAY_HOME", &self.home)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (teller, shown) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let _ = teller.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
        });
        let (mut transcript, mut from) = (String::new(), 0);
        for (question, answer) in dialogue {
            while !transcript[from..].contains(question) {
                match shown.recv_timeout(std::time::Duration::from_secs(30)) {
                    Ok(text) => transcript.push_str(&text),
                    Err(_) => panic!("`{question}` was not asked: {transcript}"),
                }
            }
            from = transcript.len();
            stdin.write_all(answer.as_bytes()).unwrap();
            stdin.flush().unwrap();
        }
        let code = child.wait().unwrap().code().unwrap_or(-1);
        reader.join().unwrap();
        transcript.extend(shown.try_iter());
        (code, transcript)
    }
}

/// Holds text against `tests/golden/NAME`; `ASSAY_BLESS=1` writes it.
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known != text {
        let at = known
            .lines()
            .zip(text.lines())
            .position(|(a, b)| a != b)
            .unwrap_or_else(|| known.lines().count().min(text.lines().count()));
        panic!(
            "{name} is not as it was, from line {} on (ASSAY_BLESS=1 takes it as it is):\n- {}\n+ {}",
            at + 1,
            known.lines().nth(at).unwrap_or("(end)"),
            text.lines().nth(at).unwrap_or("(end)")
        );
    }
}
