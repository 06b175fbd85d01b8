//! What `assay` keeps between two calls: contexts (a nexus, its pins, who one is there), keys, and the last audit head of
//! each. `$ASSAY_HOME`, else `$XDG_CONFIG_HOME/assay`, else `~/.config/assay`; mode 0700.

mod context;

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::fault::{Exit, Fault};
use crate::files::{self, Mode};

#[cfg(test)]
pub(crate) use context::example;
pub(crate) use context::{Context, Hex32, KeyPlace};

/// The most that a file of ours may hold, in bytes.
const LIMIT: usize = 64 * 1024;

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// Which context counts where none is named.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
}

impl Home {
    /// The place that the arguments and the environment give.
    ///
    /// # Errors
    /// `home.unknown`.
    pub(crate) fn find(given: Option<PathBuf>) -> Result<Self, Fault> {
        let from = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        given
            .or_else(|| from("ASSAY_HOME"))
            .or_else(|| from("XDG_CONFIG_HOME").map(|d| d.join("assay")))
            .or_else(|| from("HOME").map(|d| d.join(".config/assay")))
            .map(Self)
            .ok_or_else(|| {
                Fault::new(
                    "home.unknown",
                    "there is no place to keep contexts and keys",
                )
                .hint("set ASSAY_HOME to a directory of yours")
            })
    }

    /// The names of all contexts, sorted.
    ///
    /// # Errors
    /// Never but where the directory can't be read.
    pub(crate) fn names(&self) -> Result<Vec<String>, Fault> {
        let dir = match std::fs::read_dir(self.0.join("contexts")) {
            Ok(dir) => dir,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => {
                return Err(Fault::new(
                    "file.read",
                    format!("the contexts can't be read: {e}"),
                ));
            }
        };
        let mut names: Vec<String> = dir
            .filter_map(Result::ok)
            .filter_map(|e| e.file_name().into_string().ok())
            .filter_map(|n| n.strip_suffix(".toml").map(str::to_owned))
            .filter(|n| is_name(n))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The context that is meant: the one named, else the current one.
    ///
    /// # Errors
    /// `context.missing`, `context.name`.
    pub(crate) fn pick(&self, named: Option<&str>) -> Result<String, Fault> {
        let join = "ask an admin for an invite, then `assay join TOKENFILE`; on a new nexus `assay bootstrap TOKENFILE`";
        if let Some(name) = named {
            check_name(name)?;
            if self.context_path(name).exists() {
                return Ok(name.to_owned());
            }
            let known = self.names()?.join("`, `");
            let fault = Fault::new("context.missing", format!("there is no context `{name}`"));
            return Err(if known.is_empty() {
                fault.hint(join)
            } else {
                fault.hint(format!("there are: `{known}`"))
            });
        }
        match self.config()?.current {
            Some(name) if self.context_path(&name).exists() => Ok(name),
            _ => match self.names()?.as_slice() {
                [only] => Ok(only.clone()),
                [] => {
                    Err(Fault::new("context.missing", "you have not joined a nexus yet").hint(join))
                }
                many => Err(Fault::new(
                    "context.missing",
                    "several contexts, and none is the current one",
                )
                .hint(format!(
                    "`assay context use NAME`, or `--context NAME`, of: `{}`",
                    many.join("`, `")
                ))),
            },
        }
    }

    /// Reads a context.
    ///
    /// # Errors
    /// `context.broken`, or that of the file.
    pub(crate) fn load(&self, name: &str) -> Result<Context, Fault> {
        let path = self.context_path(name);
        let bytes = files::read(&path, LIMIT)?;
        parse_toml(&path, &bytes)
    }

    /// Writes a context; `new` refuses to replace one.
    ///
    /// # Errors
    /// `context.exists`, or that of the file.
    pub(crate) fn save(&self, name: &str, context: &Context, new: bool) -> Result<(), Fault> {
        check_name(name)?;
        files::private_dir(&self.0.join("contexts"))?;
        let text = to_toml(context)?;
        let path = self.context_path(name);
        if new {
            files::create(&path, text.as_bytes(), Mode::Private).map_err(|f| match &*f.code {
                "file.exists" => exists(name),
                _ => f,
            })
        } else {
            files::replace(&path, text.as_bytes(), Mode::Private)
        }
    }

    /// Refuses a name that is taken or no name.
    ///
    /// # Errors
    /// `context.exists`, `context.name`.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), Fault> {
        check_name(name)?;
        if self.context_path(name).exists() {
            return Err(exists(name));
        }
        Ok(())
    }

    /// Makes a context the current one.
    ///
    /// # Errors
    /// That of the file.
    pub(crate) fn set_current(&self, name: &str) -> Result<(), Fault> {
        files::private_dir(&self.0)?;
        let config = Config {
            current: Some(name.to_owned()),
        };
        files::replace(
            &self.0.join("config.toml"),
            to_toml(&config)?.as_bytes(),
            Mode::Private,
        )
    }

    /// The current context's name, as it is written down.
    ///
    /// # Errors
    /// That of the file.
    pub(crate) fn current(&self) -> Result<Option<String>, Fault> {
        Ok(self.config()?.current)
    }

    /// Where a new key of this name goes.
    #[must_use]
    pub(crate) fn key_path(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(name)
    }

    /// Where the last audit head of a context is kept: a signed checkpoint, as `assay audit verify --head` takes it.
    #[must_use]
    pub(crate) fn head_path(&self, name: &str) -> PathBuf {
        self.0.join("contexts").join(format!("{name}.head"))
    }

    /// Where the files for the ssh client go.
    #[must_use]
    pub(crate) fn ssh_dir(&self, ca: &str) -> PathBuf {
        self.0.join("ssh").join(ca)
    }

    /// Keeps other calls of `assay` from changing the same context until it is dropped.
    ///
    /// # Errors
    /// `file.write`.
    pub(crate) fn lock(&self) -> Result<Flock<File>, Fault> {
        files::private_dir(&self.0)?;
        let path = self.0.join("lock");
        let failed = |e: &dyn std::fmt::Display| {
            Fault::new(
                "file.write",
                format!("`{}` can't be locked: {e}", path.display()),
            )
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| failed(&e))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| failed(&e))
    }

    fn context_path(&self, name: &str) -> PathBuf {
        self.0.join("contexts").join(format!("{name}.toml"))
    }

    fn config(&self) -> Result<Config, Fault> {
        let path = self.0.join("config.toml");
        if !path.exists() {
            return Ok(Config::default());
        }
        let bytes = files::read(&path, LIMIT)?;
        parse_toml(&path, &bytes)
    }
}

fn exists(name: &str) -> Fault {
    Fault::new(
        "context.exists",
        format!("there is a context `{name}` already"),
    )
    .hint("name another one: `--context NAME`")
}

fn check_name(name: &str) -> Result<(), Fault> {
    if is_name(name) {
        Ok(())
    } else {
        Err(
            Fault::new("context.name", format!("`{name}` is no name for a context"))
                .hint("1 to 63 characters of a-z, 0-9, `-` and `.`, not beginning with `.`")
                .exit(Exit::Usage),
        )
    }
}

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

fn parse_toml<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Fault> {
    let broken = |why: &str| {
        Fault::new(
            "context.broken",
            format!("`{}` can't be understood: {why}", path.display()),
        )
        .hint("mend it by hand, or remove it and join anew")
    };
    let text = std::str::from_utf8(bytes).map_err(|_| broken("it is not text"))?;
    toml::from_str(text).map_err(|e| broken(e.message()))
}

fn to_toml(value: &impl Serialize) -> Result<String, Fault> {
    toml::to_string(value)
        .map_err(|e| Fault::new("context.broken", format!("it can't be written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_kept_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("deep/assay"));
        assert_eq!(
            home.pick(None).unwrap_err().code.as_ref(),
            "context.missing"
        );
        let context = example();
        home.save("lab", &context, true).unwrap();
        assert_eq!(home.load("lab").unwrap(), context);
        assert_eq!(
            home.save("lab", &context, true).unwrap_err().code,
            "context.exists".into()
        );
        assert_eq!(
            home.check_free("lab").unwrap_err().code.as_ref(),
            "context.exists"
        );
        // The only one counts without being named.
        assert_eq!(home.pick(None).unwrap(), "lab");
        home.save("prod", &context, true).unwrap();
        assert_eq!(
            home.pick(None).unwrap_err().code.as_ref(),
            "context.missing"
        );
        home.set_current("prod").unwrap();
        assert_eq!(home.pick(None).unwrap(), "prod");
        assert_eq!(home.pick(Some("lab")).unwrap(), "lab");
        assert_eq!(home.names().unwrap(), ["lab", "prod"]);
        let hint = home.pick(Some("lib")).unwrap_err().hint.unwrap();
        assert!(hint.contains("`lab`, `prod`"), "{hint}");
    }

    #[test]
    fn a_name_is_no_path() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "A",
            "a b",
            "-x",
            &"a".repeat(64),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("nexus.example-1").is_ok());
    }
}
