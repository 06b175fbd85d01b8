//! Help, completions, man pages.

use crate::support::{Person, golden};

/// Every command that help lists, with all above it: `dpu`, `dpu claim`, ...
fn walk(person: &Person, path: &[&str], out: &mut Vec<(Vec<String>, String)>) {
    let mut args = path.to_vec();
    args.push("--help");
    let text = person.run(&args).ok();
    out.push((path.iter().map(|p| (*p).to_owned()).collect(), text.clone()));
    let listed = text.lines().skip_while(|l| *l != "Commands:").skip(1);
    for line in listed.take_while(|l| !l.is_empty()) {
        // A long description goes on further to the right.
        let Some(name) = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')) else {
            continue;
        };
        let mut inner = path.to_vec();
        inner.push(name.split(' ').next().unwrap());
        walk(person, &inner, out);
    }
}

#[test]
fn every_command_says_what_it_is_for_and_shows_an_example() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    walk(&Person::at(dir.path(), "nobody"), &[], &mut all);
    assert!(all.len() > 60, "{}", all.len());
    let mut text = String::new();
    for (path, help) in &all {
        let name = format!("assay {}", path.join(" "));
        let is_group = help.contains("\nCommands:\n");
        assert!(
            is_group || help.contains("\nExample:\n  assay "),
            "{name} has no example"
        );
        // Clap leaves the line of usage as long as it is.
        let wide = help.lines().find(|l| {
            !l.starts_with("Usage:") && !l.starts_with("  assay") && l.chars().count() > 100
        });
        assert_eq!(wide, None, "{name} is too wide");
        // The common options are the same everywhere: once is enough.
        let own = match help.split_once("\nCommon options:\n") {
            Some((before, common)) if !path.is_empty() => {
                let after = common.split_once("\n\n").map_or("", |(_, after)| after);
                format!("{before}\n{after}")
            }
            _ => help.clone(),
        };
        text.push_str(&format!("=== {}\n{}\n", name.trim(), own.trim_end()));
    }
    golden("help.txt", &text);
}

#[test]
fn completions_are_made_for_each_shell() {
    let dir = tempfile::tempdir().unwrap();
    let person = Person::at(dir.path(), "nobody");
    for shell in ["bash", "zsh", "fish"] {
        let text = person.run(&["completions", shell]).ok();
        assert!(
            text.contains("quarantine") && text.contains("ssh-ca"),
            "{shell}"
        );
    }
    let file = dir.path().join("assay.bash");
    std::fs::write(&file, person.run(&["completions", "bash"]).ok()).unwrap();
    let checked = std::process::Command::new("bash")
        .arg("-n")
        .arg(&file)
        .status()
        .unwrap();
    assert!(checked.success());
}

#[test]
fn man_pages_are_made_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("man1");
    let person = Person::at(dir.path(), "nobody");
    person.run(&["man", man.to_str().unwrap()]).ok();
    for page in [
        "assay.1",
        "assay-dpu-claim.1",
        "assay-ssh-ca-rotate-retire.1",
        "assay-audit-verify.1",
    ] {
        let text = std::fs::read_to_string(man.join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
        assert!(page == "assay.1" || text.contains("Example:"), "{page}");
    }
}
