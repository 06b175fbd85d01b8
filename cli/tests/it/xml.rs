//! Who reads XML: the command line alone, and with code of its own.

use std::process::Command;

fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-p",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn no_xml_parser_is_linked_into_the_nexus_nor_any_other_program() {
    for package in ["assay-nexus", "assay-agent", "assay-host"] {
        let linked = tree(package);
        assert!(
            linked.iter().any(|name| name == "assay-attest"),
            "the tree is {package}'s"
        );
        // The one reader of XML there is lives in the command line's own crate.
        let readers: Vec<&String> = linked
            .iter()
            .filter(|name| name.contains("xml") || *name == "assay-cli")
            .collect();
        assert!(readers.is_empty(), "{package} links {readers:?}");
    }
    let own = tree("assay-cli");
    assert!(!own.iter().any(|name| name.contains("xml")));
}
