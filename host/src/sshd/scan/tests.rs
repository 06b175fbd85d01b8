use super::*;

fn scan(dir: &Path, main: &str) -> Result<Scan, Fault> {
    std::fs::write(dir.join("main"), main).unwrap();
    let drop_in = dir.join("d/00-assay.conf");
    read(&dir.join("main"), &drop_in, &[&drop_in])
}

fn logins() -> BTreeSet<Login> {
    [Login::parse("root").unwrap()].into()
}

#[test]
fn words_are_read_as_sshd_reads_them() {
    assert_eq!(words("  Port 22 # no"), ["Port", "22"]);
    assert_eq!(words("Port=22"), ["Port", "22"]);
    assert_eq!(words("Port = 22"), ["Port", "22"]);
    assert_eq!(words("Banner \"/a b\""), ["Banner", "/a b"]);
    assert_eq!(words("SetEnv A=b"), ["SetEnv", "A=b"]);
    assert!(words("# all").is_empty());
    assert!(words("").is_empty());
}

#[test]
fn a_directive_is_found_with_file_line_and_block() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(
        dir.path().join("d/10.conf"),
        "# x\ntrustedusercakeys=/ca\nMatch Address 10.0.0.0/8\n  RevokedKeys none\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("d/00-assay.conf"), "RevokedKeys /mine\n").unwrap();
    let main = format!(
        "Include {}/d/*.conf\nAuthorizedPrincipalsFile none\n",
        dir.path().display()
    );
    let found = scan(dir.path(), &main).unwrap();
    assert!(found.reaches_drop_in);
    let lines: Vec<_> = found
        .found
        .iter()
        .map(|f| (f.directive, f.line, f.within.clone()))
        .collect();
    assert_eq!(
        lines,
        [
            ("TrustedUserCAKeys", 2, None),
            (
                "RevokedKeys",
                4,
                Some(vec!["Address 10.0.0.0/8".to_owned()])
            ),
            // A block ends with the file that it stands in.
            ("AuthorizedPrincipalsFile", 2, None),
        ]
    );
    assert_eq!(
        found.foreign(&logins()).unwrap_err().code(),
        "sshd.match_block"
    );
}

#[test]
fn what_others_set_is_merged_passed_over_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (main, expected) in [
        (
            "TrustedUserCAKeys /ca\nTrustedUserCAKeys /b\n",
            Ok(Some("/ca")),
        ),
        ("TrustedUserCAKeys none\nRevokedKeys none\n", Ok(None)),
        ("RevokedKeys /r\n", Err("sshd.foreign_revoked_keys")),
        (
            "AuthorizedPrincipalsFile /p\n",
            Err("sshd.foreign_principals"),
        ),
        (
            "authorizedprincipalscommand /p\n",
            Err("sshd.foreign_principals"),
        ),
        ("Match User git,ci\nAuthorizedPrincipalsFile /p\n", Ok(None)),
        (
            "Match User git,root\nAuthorizedPrincipalsFile /p\n",
            Err("sshd.match_block"),
        ),
        (
            "Match User *\nTrustedUserCAKeys none\n",
            Err("sshd.match_block"),
        ),
        (
            "Match User !root\nTrustedUserCAKeys none\n",
            Err("sshd.match_block"),
        ),
        ("Match all\nRevokedKeys none\n", Err("sshd.match_block")),
        ("Match User git Address 1.2.3.4\nRevokedKeys /r\n", Ok(None)),
        (
            "Match Address 1.2.3.4\nRevokedKeys /r\n",
            Err("sshd.match_block"),
        ),
        ("RevokedKeys\n", Err("sshd.config_unreadable")),
    ] {
        let got = scan(dir.path(), main).and_then(|s| s.foreign(&logins()));
        match (got, expected) {
            (Ok(foreign), Ok(ca)) => assert_eq!(foreign.ca, ca.map(PathBuf::from), "{main}"),
            (Err(fault), Err(code)) => assert_eq!(fault.code(), code, "{main}"),
            (got, _) => panic!("{main}: {got:?}"),
        }
    }
}

#[test]
fn an_include_inside_a_block_does_not_reach_us() {
    let dir = tempfile::tempdir().unwrap();
    let main = format!("Match User a\nInclude {}/d/*.conf\n", dir.path().display());
    assert!(!scan(dir.path(), &main).unwrap().reaches_drop_in);
    let circle = format!("Include {}/main\n", dir.path().display());
    assert_eq!(
        scan(dir.path(), &circle).unwrap_err().code(),
        "sshd.config_unreadable"
    );
}
