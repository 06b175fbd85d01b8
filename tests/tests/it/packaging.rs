//! What is installed beside the programs: units, man pages, configurations, the recipe for `cross`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_tests::programs;

/// The programs that run as services.
const SERVICES: [&str; 3] = ["assay-agent", "assay-host", "assay-nexus"];

fn at(path: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.parent().unwrap().join(path)
}

fn unit(program: &str) -> String {
    fs::read_to_string(at(&format!("systemd/{program}.service"))).unwrap()
}

/// The unit as it would be installed, but with the program that was built.
fn installed(dir: &Path, program: &str) -> PathBuf {
    let built = programs::ours(program).display().to_string();
    let text = unit(program).replace(&format!("/usr/bin/{program}"), &built);
    let path = dir.join(format!("{program}.service"));
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_units_expose_little() {
    if !programs::has(&["systemd-analyze"]) {
        return;
    }
    let exposure = |path: &Path, tenths: u32| {
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={tenths}"))
            .arg(path)
            .output()
            .unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    for (program, tenths) in [("assay-agent", 16), ("assay-host", 20), ("assay-nexus", 12)] {
        let path = installed(dir.path(), program);
        let found = exposure(&path, tenths);
        let table = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(found.status.success(), "{program}: {table}");
        // The measure itself can fail: the same unit without its sandbox does.
        let open = fs::read_to_string(&path)
            .unwrap()
            .replace("ProtectSystem=strict", "");
        fs::write(&path, open).unwrap();
        assert!(!exposure(&path, tenths).status.success(), "{program}");
    }
}

/// `--long` options and sub-commands of a program, over all levels of its help.
fn words_of_help(
    program: &Path,
    path: &[String],
    options: &mut BTreeSet<String>,
    commands: &mut BTreeSet<String>,
) {
    let mut args = path.to_vec();
    args.push("--help".to_owned());
    let said = programs::run(
        program,
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let text = String::from_utf8(said.stdout).unwrap();
    let mut section = "";
    for line in text.lines() {
        match line {
            "Commands:" | "Options:" | "Arguments:" => section = line,
            _ if section == "Options:" => {
                let long = line.split_whitespace().find(|word| word.starts_with("--"));
                let name = |word: &str| word.trim_end_matches([',', '.']).to_owned();
                if line.trim_start().starts_with('-') {
                    options.extend(long.map(name));
                }
            }
            _ if section == "Commands:" && line.starts_with("  ") && !line.starts_with("   ") => {
                let name = line.split_whitespace().next().unwrap().to_owned();
                if name != "help" {
                    let mut deeper = path.to_vec();
                    deeper.push(name.clone());
                    words_of_help(program, &deeper, options, commands);
                    commands.insert(name);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn each_man_page_says_what_its_program_takes_and_no_more() {
    for program in SERVICES {
        let (mut options, mut commands) = (BTreeSet::new(), BTreeSet::new());
        words_of_help(&programs::ours(program), &[], &mut options, &mut commands);
        assert!(options.len() >= 3 && commands.len() >= 3, "{program}");

        let page = fs::read_to_string(at(&format!("packaging/man/{program}.8"))).unwrap();
        let page = page.replace("\\-", "-");
        let said: BTreeSet<String> = page
            .split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
            .filter(|word| word.starts_with("--"))
            .map(str::to_owned)
            .collect();
        assert_eq!(said, options, "{program}");
        let entries: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".B "))
            .flat_map(|line| line.split(' ').take(2))
            .collect();
        for command in commands {
            assert!(entries.contains(command.as_str()), "{program} {command}");
        }
    }
}

#[test]
fn the_recipe_for_cross_names_what_is_there() {
    let recipe: toml::Table = fs::read_to_string(at("cross.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let target = &recipe["target"]["aarch64-unknown-linux-gnu"];
    let file = target["dockerfile"]["file"].as_str().unwrap();
    let image = fs::read_to_string(at(file)).unwrap();
    // BlueField's image is Ubuntu 22.04: what is built against a newer libc does not start there.
    assert!(image.contains("FROM ubuntu:22.04"));
    let arguments = target["dockerfile"]["build-args"].as_table().unwrap();
    for name in arguments.keys() {
        assert!(image.contains(&format!("ARG {name}")), "{name}");
    }
}
