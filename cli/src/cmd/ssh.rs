//! The ssh client's side of trust: which hosts are what they say, in files of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;
use serde::Serialize;

use crate::app::Cx;
use crate::fault::{Exit, Fault};
use crate::files::{self, Mode};
use crate::out::{self, Format};
use crate::session::Session;

/// How a KRL begins (PROTOCOL.krl of OpenSSH).
const KRL_MAGIC: &[u8] = b"SSHKRL\n\0";
const KNOWN_HOSTS: &str = "known_hosts";
const REVOKED: &str = "revoked_host_keys";

/// What can be done for the ssh client.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the CA's lines for known_hosts and the list of revoked host keys; print what belongs into ssh_config.
    Trust {
        /// SSH CA, by name or id.
        #[arg(long, value_name = "CA")]
        ca: String,
        /// Where the two files go; a directory of assay's own where absent.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Go on and refresh the files as often as the nexus says, until interrupted.
        #[arg(long)]
        refresh: bool,
    },
}

#[derive(Serialize)]
struct Written {
    known_hosts: String,
    revoked_host_keys: String,
    refresh_in: u32,
    ssh_config: String,
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    let Command::Trust { ca, dir, refresh } = command;
    let session = Session::open(cx).await?;
    let dir = match dir {
        Some(dir) => dir,
        None => {
            let id = session
                .call::<call::show_ssh_ca>(Some(&ca), &Empty {})
                .await?
                .id;
            cx.home.ssh_dir(id.as_str())
        }
    };
    files::private_dir(&dir)?;
    let dir = std::path::absolute(&dir)
        .map_err(|e| Fault::new("file.write", format!("`{}` is no path: {e}", dir.display())))?;
    let mut first = true;
    let mut pause = 30;
    loop {
        let every = match update(&session, &ca, &dir).await {
            Ok(written) => {
                if first {
                    show(cx, &written)?;
                }
                first = false;
                pause = written.refresh_in.min(30);
                written.refresh_in
            }
            // Once it runs it goes on: the files stay as they were.
            Err(fault) if refresh && !first && fault.retryable => {
                cx.out.warn(&format!("not refreshed: {fault}"));
                pause
            }
            Err(fault) => return Err(fault),
        };
        if !refresh {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(u64::from(every.clamp(5, 86_400)))).await;
    }
}

async fn update(session: &Session, ca: &str, dir: &Path) -> Result<Written, Fault> {
    let trust = session.call::<call::ssh_trust>(Some(ca), &Empty {}).await?;
    let patterns = check(&trust)?;
    let (known, revoked) = (dir.join(KNOWN_HOSTS), dir.join(REVOKED));
    // The list of what is revoked first: with it missing, ssh refuses every host key.
    files::replace(&revoked, &trust.revoked_host_keys.0, Mode::Public)?;
    let lines: String = trust.known_hosts.iter().map(|l| format!("{l}\n")).collect();
    files::replace(&known, lines.as_bytes(), Mode::Public)?;
    Ok(Written {
        ssh_config: config(&patterns, &known, &revoked),
        known_hosts: known.display().to_string(),
        revoked_host_keys: revoked.display().to_string(),
        refresh_in: trust.refresh_in,
    })
}

fn show(cx: &Cx, written: &Written) -> Result<(), Fault> {
    if written.ssh_config.is_empty() {
        cx.out.warn("no host has a certificate of this ssh ca yet: there is nothing to put into ~/.ssh/config");
    }
    if cx.out.format == Format::Table {
        cx.out.note(
            "written; put these lines into ~/.ssh/config, above what matches the same hosts:",
        );
        out::print(&written.ssh_config)
    } else {
        cx.out.raw("", written)
    }
}

/// Every line is a CA's and nothing else, and the list of revoked keys is one: a broken one would shut every host out.
/// Gives the host patterns.
fn check(trust: &SshTrust) -> Result<Vec<String>, Fault> {
    let wrong = |why: &str| {
        Fault::new("ssh.trust", format!("the nexus answered with something else than was asked for: {why}; nothing was written")).exit(Exit::Authentication)
    };
    if !trust.revoked_host_keys.0.starts_with(KRL_MAGIC) {
        return Err(wrong("its list of revoked keys is none"));
    }
    let mut patterns: Vec<String> = Vec::new();
    for line in &trust.known_hosts {
        let mut words = line.split(' ');
        let (marker, pattern) = (words.next(), words.next());
        let key = words.collect::<Vec<_>>().join(" ");
        let (Some("@cert-authority"), Some(pattern)) = (marker, pattern) else {
            return Err(wrong("a line for known_hosts is no CA's"));
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-*?,!_:[]".contains(&b);
        if pattern.is_empty()
            || !pattern.bytes().all(plain)
            || ssh_key::PublicKey::from_openssh(&key).is_err()
            || line.chars().any(char::is_control)
        {
            return Err(wrong("a line for known_hosts can't be read"));
        }
        // known_hosts names a host at another port in brackets; ssh_config knows it by its name alone.
        for one in pattern.split(',') {
            let one = one
                .strip_prefix('[')
                .and_then(|p| p.split_once(']'))
                .map_or(one, |(name, _)| name);
            if !patterns.iter().any(|p| p == one) {
                patterns.push(one.to_owned());
            }
        }
    }
    Ok(patterns)
}

fn config(patterns: &[String], known: &Path, revoked: &Path) -> String {
    if patterns.is_empty() {
        return String::new();
    }
    format!(
        "Host {}\n    UserKnownHostsFile {} ~/.ssh/known_hosts\n    RevokedHostKeys {}\n",
        patterns.join(" "),
        quoted(known),
        quoted(revoked)
    )
}

/// As ssh_config wants a path: quoted where it has spaces, `%` doubled.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    if text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn trust(line: &str) -> SshTrust {
        SshTrust {
            known_hosts: vec![line.to_owned()],
            revoked_host_keys: B64([KRL_MAGIC, &[0; 40]].concat()),
            refresh_in: 60,
        }
    }

    #[test]
    fn only_lines_of_a_ca_are_taken() {
        let good = trust(&format!(
            "@cert-authority gpu-a.example,[gpu-a.example]:*,*.lab {KEY}"
        ));
        assert_eq!(check(&good).unwrap(), ["gpu-a.example", "*.lab"]);
        for bad in [
            format!("gpu-a.example {KEY}"),
            format!("@revoked gpu-a.example {KEY}"),
            "@cert-authority gpu-a.example ssh-ed25519 AAAA".to_owned(),
            format!("@cert-authority a\n* {KEY}"),
            format!("@cert-authority  {KEY}"),
            format!("@cert-authority a {KEY} x\n* {KEY}"),
        ] {
            assert!(check(&trust(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_or_broken_list_of_revoked_keys_is_not_written() {
        for bad in [&b""[..], b"SSHKRL\n", b"garbage!"] {
            let mut trust = trust(&format!("@cert-authority a {KEY}"));
            trust.revoked_host_keys = B64(bad.to_vec());
            assert!(check(&trust).is_err());
        }
    }

    #[test]
    fn ssh_takes_the_lines_that_are_printed() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("a b");
        std::fs::create_dir(&at).unwrap();
        let file = dir.path().join("config");
        let text = config(
            &["gpu-a.example".into()],
            &at.join(KNOWN_HOSTS),
            &at.join(REVOKED),
        );
        std::fs::write(&file, text).unwrap();
        let out = std::process::Command::new("ssh")
            .arg("-G")
            .arg("-F")
            .arg(&file)
            .arg("gpu-a.example")
            .output()
            .unwrap();
        let shown = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(
            shown.contains(&format!("revokedhostkeys {}", at.join(REVOKED).display())),
            "{shown}"
        );
    }
}
