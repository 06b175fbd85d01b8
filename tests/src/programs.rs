//! Where the programs are: those of this build beside the test, those of the system where Debian puts them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of this workspace: from the folders in `ASSAY_PROGRAMS` (with colons between), else from the target directory that
/// the test runs from.
///
/// # Panics
/// Where it is not built.
#[must_use]
pub fn ours(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let named = std::env::var_os("ASSAY_PROGRAMS").unwrap_or_default();
    let mut all = std::env::split_paths(&named)
        .chain(exe.ancestors().skip(1).take(3).map(Path::to_path_buf))
        .map(|dir| dir.join(name));
    let found = all.find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not built: run `cargo build --workspace` first"))
}

/// Whether these programs of the system are there, and the right to use them. What is missing is a printed skip, and with `CI`
/// set a failure.
///
/// # Panics
/// In CI, where one is missing.
#[must_use]
pub fn has(needed: &[&str]) -> bool {
    let there = |name: &&&str| !find(name).is_some_and(|path| path.is_file());
    let missing: Vec<_> = needed.iter().filter(there).collect();
    if missing.is_empty() {
        return true;
    }
    let why = format!("skipped: {missing:?} missing");
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("{why}");
    false
}

/// A program of the system.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    dirs.into_iter()
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
}

/// Runs a program to its end, without input.
///
/// # Panics
/// Where it can't be started.
pub fn run(program: &Path, args: &[&str]) -> Output {
    let ran = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    ran.unwrap_or_else(|e| panic!("`{}`: {e}", program.display()))
}

/// What a program printed, if it ended with 0.
///
/// # Panics
/// Where it did not.
pub fn must(program: &Path, args: &[&str]) -> String {
    let ran = run(program, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        ran.status.success(),
        "{} {args:?}: {}\n{}{}",
        program.display(),
        ran.status,
        text(&ran.stdout),
        text(&ran.stderr)
    );
    text(&ran.stdout)
}

/// Whether this test may do what only root may.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
