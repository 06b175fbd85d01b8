//! Verifying an exported log: offline, read-only, with exit codes of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assay_api::log::{Checkpoint, Head, Item, LogKey, MAX_LINE, Report, verify_log};
use serde::Serialize;

use super::audit::HEAD_LIMIT;
use crate::app::Cx;
use crate::fault::{Exit, Fault};
use crate::files;
use crate::out::Card;

/// Verify an exported log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The export; `-` reads standard input.
    file: PathBuf,
    /// The log's key (`name+hash+key`, as `assay audit key` shows it), or a file that holds it.
    #[arg(long, value_name = "KEY")]
    key: String,
    /// A head that somebody else kept (an agent, a colleague): excludes that the log was rolled back or forked since.
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
}

/// What came of it.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Outcome {
    Valid {
        origin: String,
        entries: u64,
        root: String,
        checkpoints: u64,
        /// The size of the largest head from elsewhere that it was held against.
        held_against: Option<u64>,
        rollback_excluded: bool,
        message: String,
    },
    Broken {
        index: u64,
        code: String,
        message: String,
    },
}

impl Card for Outcome {
    fn lines(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Valid {
                origin,
                entries,
                root,
                checkpoints,
                message,
                ..
            } => vec![
                ("valid", message.clone()),
                ("log", origin.clone()),
                ("entries", entries.to_string()),
                ("checkpoints", checkpoints.to_string()),
                ("root", root.clone()),
            ],
            Self::Broken {
                index,
                code,
                message,
            } => {
                vec![
                    ("broken", message.clone()),
                    ("entry", index.to_string()),
                    ("code", code.clone()),
                ]
            }
        }
    }
}

/// 0 valid, 1 broken, 2 could not check: in every output mode.
pub(super) fn run(cx: &Cx, args: &Args) -> Result<u8, Fault> {
    // Whatever goes wrong from here on means that nothing was found out.
    let report = check(args).map_err(|f| f.exit(Exit::Authentication))?;
    let (outcome, code) = match report {
        Report::Valid(valid) => {
            let message = valid.held_against.map_or_else(
                || "valid to its own head, rollback not excluded".to_owned(),
                |size| {
                    format!("valid, and it extends every head given, the largest of {size} entries")
                },
            );
            let outcome = Outcome::Valid {
                origin: valid.head.origin,
                entries: valid.head.size,
                root: base16ct::lower::encode_string(&valid.head.root),
                checkpoints: valid.checkpoints,
                held_against: valid.held_against,
                rollback_excluded: valid.held_against.is_some(),
                message,
            };
            (outcome, 0)
        }
        Report::Broken(broken) => {
            let outcome = Outcome::Broken {
                index: broken.index,
                code: broken.fault.code().to_owned(),
                message: broken.to_string(),
            };
            (outcome, 1)
        }
    };
    cx.out
        .card(&outcome)
        .map_err(|f| f.exit(Exit::Authentication))?;
    Ok(code)
}

fn check(args: &Args) -> Result<Report, Fault> {
    let key = key(&args.key)?;
    let heads = args
        .head
        .iter()
        .map(|path| head(path, &key))
        .collect::<Result<Vec<_>, _>>()?;
    let unreadable = |e: io::Error| {
        Fault::new(
            "file.read",
            format!("`{}` can't be read: {e}", args.file.display()),
        )
    };
    let input: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).map_err(unreadable)?)
    };
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let lines = std::iter::from_fn(|| line(&mut input).transpose());
    verify_log(lines.map(|l| l.map(|l| Item::of_line(&l))), &key, &heads).map_err(unreadable)
}

/// The next line, cut off where it is longer than any line of an export may be. `None` at the end.
fn line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_LINE)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    input.by_ref().take(most).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Some(bytes))
}

/// A key as text, or in a file.
fn key(given: &str) -> Result<LogKey, Fault> {
    let text = if given.contains('+') && !Path::new(given).exists() {
        given.to_owned()
    } else {
        let bytes = files::read(Path::new(given), HEAD_LIMIT)?;
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    LogKey::parse(&text).map_err(|e| Fault::new(e.code(), e.to_string()))
}

fn head(path: &Path, key: &LogKey) -> Result<Head, Fault> {
    let bytes = files::read(path, HEAD_LIMIT)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Checkpoint::verify(text, key)
        .map(|c| c.head().clone())
        .map_err(|e| {
            Fault::new(
                e.code(),
                format!("the head in `{}` can't be used: {e}", path.display()),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_last_needs_no_break() {
        let mut input = &b"one\n\ntwo"[..];
        let mut next = || line(&mut input).unwrap();
        assert_eq!(next().unwrap(), b"one");
        assert_eq!(next().unwrap(), b"");
        assert_eq!(next().unwrap(), b"two");
        assert_eq!(next(), None);
        let long = vec![b'x'; MAX_LINE * 3];
        let mut input = long.as_slice();
        assert!(line(&mut input).unwrap().unwrap().len() <= MAX_LINE + 2);
    }
}
