//! The house rules that a machine can hold: who may lean on whom, what is tested, what is in the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_tests::programs;

/// Who may lean on whom (ARCHITECTURE.md, "Floors"): package, and the packages of the house that it may name. Tests of a package
/// may also name those in the last column.
const EDGES: &[(&str, &[&str], &[&str])] = &[
    ("assay-attest", &[], &["assay-checks"]),
    ("assay-checks", &["assay-attest"], &[]),
    ("assay-api", &["assay-attest"], &["assay-checks"]),
    ("assay-tls", &["assay-api", "assay-attest"], &[]),
    (
        "assay-client",
        &["assay-api", "assay-attest", "assay-tls"],
        &[],
    ),
    (
        "assay-nexus",
        &["assay-api", "assay-attest", "assay-checks", "assay-tls"],
        &["assay-client"],
    ),
    (
        "assay-agent",
        &["assay-api", "assay-attest", "assay-client", "assay-tls"],
        &["assay-checks"],
    ),
    (
        "assay-host",
        &["assay-api", "assay-attest", "assay-tls"],
        &[],
    ),
    (
        "assay-cli",
        &[
            "assay-api",
            "assay-attest",
            "assay-checks",
            "assay-client",
            "assay-tls",
        ],
        &["assay-nexus"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn cargo(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// Every tracked file. Outside of a clone there is nothing to look at.
fn tracked() -> Vec<PathBuf> {
    let git = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    let Some(git) = git.ok().filter(|git| git.status.success()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI runs in a clone, with git"
        );
        println!("skipped: no clone");
        return Vec::new();
    };
    let names = String::from_utf8(git.stdout).unwrap();
    let files = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| root().join(name));
    files.filter(|path| path.is_file()).collect()
}

fn tracked_text() -> Vec<(PathBuf, String)> {
    tracked()
        .into_iter()
        .filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text)))
        .collect()
}

#[test]
fn crates_lean_only_where_the_plan_says() {
    let all: serde_json::Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--offline",
        "--locked",
        "--no-deps",
        "--format-version",
        "1",
    ]))
    .unwrap();
    let mut seen = BTreeSet::new();
    for package in all["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "assay-tests" {
            continue;
        }
        let (_, normal, in_tests) = EDGES
            .iter()
            .find(|(n, ..)| *n == name)
            .unwrap_or_else(|| panic!("`{name}` has no row in EDGES"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if on.starts_with("assay-") {
                let allowed =
                    normal.contains(&on) || dependency["kind"] == "dev" && in_tests.contains(&on);
                assert!(allowed, "`{name}` may not lean on `{on}`");
            }
        }
    }
    let rows: BTreeSet<String> = EDGES.iter().map(|(n, ..)| (*n).to_owned()).collect();
    assert_eq!(seen, rows, "a row without a package");
}

#[test]
fn the_pure_floors_link_no_runtime_no_tls_no_database() {
    let foreign = [
        "tokio",
        "hyper",
        "axum",
        "rustls",
        "rusqlite",
        "reqwest",
        "aws-lc-rs",
        "aws-lc-sys",
        "libsqlite3-sys",
    ];
    for package in ["assay-attest", "assay-api"] {
        let tree = cargo(&[
            "tree",
            "--offline",
            "--locked",
            "-p",
            package,
            "-e",
            "normal",
            "--prefix",
            "none",
        ]);
        let linked: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(linked.contains(&"sha2"), "this is the tree of {package}");
        for name in foreign {
            assert!(!linked.contains(&name), "{package} links {name}");
        }
    }
}

/// ARCHITECTURE.md promises it: each invariant has tests named after it.
#[test]
fn every_invariant_has_a_test_of_its_name() {
    let mut tests: BTreeMap<u32, usize> = BTreeMap::new();
    let files = tracked_text();
    for (path, text) in &files {
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        for line in text.lines() {
            let name = line
                .trim_start()
                .trim_start_matches("async ")
                .strip_prefix("fn i");
            let number = name
                .and_then(|name| name.split_once('_'))
                .and_then(|(n, _)| n.parse().ok());
            if let Some(number) = number {
                *tests.entry(number).or_default() += 1;
            }
        }
    }
    let missing: Vec<u32> = (1..=14).filter(|n| !tests.contains_key(n)).collect();
    assert!(
        files.is_empty() || missing.is_empty(),
        "no test is named after invariants {missing:?}; there are {tests:?}"
    );
}

#[test]
fn nothing_in_the_tree_names_the_machine_it_was_made_on() {
    // Spelled apart, so that this file is not found by itself.
    let paths = [
        ["/wo", "rk/"],
        ["/tmp/", "wt/"],
        ["/tmp/", "tgt"],
        ["/ro", "ot/."],
        ["/ho", "me/"],
    ]
    .map(|p| p.concat());
    for (path, text) in tracked_text() {
        for (number, line) in text.lines().enumerate() {
            let found = paths.iter().find(|p| line.contains(p.as_str()));
            assert!(found.is_none(), "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn sources_are_short_enough_to_read() {
    for (path, text) in tracked_text() {
        if path.extension().is_some_and(|e| e == "rs") {
            let lines = text.lines().count();
            assert!(
                lines <= 700,
                "{} has {lines} lines: one idea each",
                path.display()
            );
        }
    }
}

/// As the units stand, but for the programs, which are not installed here.
#[test]
fn units_verify_without_a_word() {
    if !programs::has(&["systemd-analyze"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec!["verify".to_owned(), "--man=no".to_owned()];
    for entry in fs::read_dir(root().join("systemd")).unwrap() {
        let unit = entry.unwrap().path();
        if unit.extension().is_some_and(|e| e == "service") {
            let text = fs::read_to_string(&unit).unwrap();
            let lines = text
                .lines()
                .map(|line| match line.strip_prefix("ExecStart=") {
                    Some(_) => "ExecStart=/bin/true",
                    None => line,
                });
            let copy = dir.path().join(unit.file_name().unwrap());
            fs::write(&copy, lines.collect::<Vec<_>>().join("\n")).unwrap();
            args.push(copy.display().to_string());
        }
    }
    assert!(args.len() >= 5, "three units");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = programs::run(&programs::find("systemd-analyze").unwrap(), &args);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.trim().is_empty(), "{said}");
}

/// Each unit starts the program with the file that the package installs.
#[test]
fn units_start_programs_that_are_there() {
    for (unit, program) in [
        ("assay-nexus", "assay-nexus serve"),
        ("assay-agent", "assay-agent run"),
        ("assay-host", "assay-host run"),
    ] {
        let text = fs::read_to_string(root().join(format!("systemd/{unit}.service"))).unwrap();
        let start = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        assert!(
            start.starts_with(&format!("/usr/bin/{program} --config ")),
            "{start}"
        );
    }
}

#[test]
fn sample_configurations_load() {
    let at = |name: &str| root().join("packaging").join(name);
    assay_nexus::config::Config::read(&at("nexus.toml")).unwrap();
    assay_agent::config::Config::load(&at("agent.toml")).unwrap();
    assert!(
        at("host.toml").is_file(),
        "an absent file would load as the defaults"
    );
    assay_host::config::Config::load(&at("host.toml")).unwrap();
}
