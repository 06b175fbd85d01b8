//! This crate does no I/O, reads no clock and has no randomness: held by what it links and by what it names.

use std::path::Path;
use std::process::Command;

const FORBIDDEN_CRATES: [&str; 10] = [
    "tokio",
    "rustls",
    "aws-lc-rs",
    "aws-lc-sys",
    "rusqlite",
    "libsqlite3-sys",
    "getrandom",
    "reqwest",
    "hyper",
    "libc",
];

#[test]
fn links_nothing_that_does_io_or_takes_chance() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "assay-attest",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let linked: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(linked.contains(&"coset"), "the tree is this crate's");
    for forbidden in FORBIDDEN_CRATES {
        assert!(!linked.contains(&forbidden), "`{forbidden}` is linked");
    }
}

#[test]
fn names_no_clock_no_file_no_socket() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 20);
    for (path, text) in sources {
        for forbidden in [
            "std::time",
            "std::fs",
            "std::net",
            "std::env",
            "SystemTime",
            "Instant::now",
        ] {
            assert!(!text.contains(forbidden), "{path} names {forbidden}");
        }
    }
    let root = include_str!("../../src/lib.rs");
    assert!(root.contains("#![no_std]") && root.contains("#![forbid(unsafe_code)]"));
}

fn sources(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    found
}
