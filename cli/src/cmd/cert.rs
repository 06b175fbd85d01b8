//! SSH certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_api::routes::call;
use assay_api::types::*;
use clap::Subcommand;
use serde::Serialize;
use ssh_key::{Algorithm, EcdsaCurve, PublicKey};

use super::words::{BypassArg, ReasonArg, TenantArg, idempotency_key, joined, span};
use crate::app::Cx;
use crate::clock;
use crate::fault::{Exit, Fault};
use crate::files::{self, Mode};
use crate::out::{Row, until};
use crate::session::Session;
use crate::wait::{self, WaitArg};

/// The longest public key file, in bytes.
const LIMIT: usize = 16 * 1024;

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign a user certificate for named hosts; it is written beside the key.
    Sign(SignArgs),
    /// List certificates.
    List(TenantArg),
    /// Revoke a certificate: every host and client is told. Never gated.
    Revoke {
        /// The certificate's id, as `assay cert list` shows it.
        certificate: String,
        #[command(flatten)]
        why: ReasonArg,
    },
}

/// Sign a user certificate.
#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// SSH CA, by name or id.
    #[arg(long, value_name = "CA")]
    ca: String,
    /// Hosts that it opens, by name or id.
    #[arg(long, value_name = "HOST", required = true, value_delimiter = ',')]
    host: Vec<String>,
    /// Logins that it opens there.
    #[arg(long, value_name = "LOGIN", required = true, value_delimiter = ',')]
    login: Vec<String>,
    /// How long it lasts, at most 8h; the most that is allowed where absent.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    lifetime: Option<Duration>,
    /// Write the certificate here; KEYFILE-cert.pub where absent, which is where ssh looks for it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArg,
    #[command(flatten)]
    bypass: BypassArg,
    /// The public key (Ed25519 or ECDSA P-256). The private key is never read.
    #[arg(value_name = "KEYFILE.pub")]
    key: PathBuf,
}

impl Row for CertificateInfo {
    const HEAD: &'static [&'static str] = &["ID", "KIND", "STATE", "PRINCIPALS", "UNTIL", "KEY ID"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.kind.clone(),
            self.state.clone(),
            joined(&self.principals),
            until(self.valid_before, clock::now()),
            self.key_id.clone(),
        ]
    }
}

/// A certificate and where it was put.
#[derive(Serialize)]
struct Signed<'a> {
    certificate_file: String,
    #[serde(flatten)]
    certificate: &'a Certificate,
}

pub(super) async fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    match command {
        Command::Sign(args) => sign(cx, args).await,
        Command::List(arg) => {
            let session = Session::open(cx).await?;
            cx.out.list(
                &session
                    .all::<call::list_certificates>(arg.tenant.as_deref())
                    .await?,
            )
        }
        Command::Revoke { certificate, why } => {
            cx.confirm(
                &format!("revoke certificate `{certificate}` for good"),
                &certificate,
            )?;
            let session = Session::open(cx).await?;
            let info = session
                .call::<call::revoke_certificate>(Some(&certificate), &why.body())
                .await?;
            cx.out
                .done(&format!("certificate {} is {}", info.id, info.state), &info)
        }
    }
}

async fn sign(cx: &Cx, args: SignArgs) -> Result<(), Fault> {
    let bypass = args.bypass.reason()?;
    let lifetime = args
        .lifetime
        .map(|l| {
            u32::try_from(l.as_secs()).map_err(|_| Fault::usage("a certificate lasts at most 8h"))
        })
        .transpose()?;
    let (key, line) = read_public(&args.key)?;
    let place = args.out.clone().unwrap_or_else(|| beside(&args.key));
    let session = Session::open(cx).await?;
    let ask = CertificateAsk {
        public_key: line,
        hosts: args.host.clone(),
        logins: args.login.clone(),
        lifetime,
        idempotency_key: idempotency_key()?,
    };
    let certificate = wait::release(
        cx,
        &session,
        args.wait.deadline(),
        async || devices(&session, &args.host).await,
        async || {
            session
                .release::<call::sign_certificate>(Some(&args.ca), &ask, bypass)
                .await
        },
    )
    .await?;
    check(&certificate, &key)?;
    files::replace(
        &place,
        format!("{}\n", certificate.certificate.trim_end()).as_bytes(),
        Mode::Public,
    )?;
    if let Some(bypass) = &certificate.bypass_id {
        cx.out.warn(&format!(
            "the gate was bypassed: {bypass} is in the audit log"
        ));
    }
    cx.out.done(
        &format!(
            "{} opens {} as {} until {}; certificate {}",
            place.display(),
            joined(&args.host),
            joined(&args.login),
            until(certificate.info.valid_before, clock::now()),
            certificate.info.id,
        ),
        &Signed {
            certificate_file: place.display().to_string(),
            certificate: &certificate,
        },
    )
}

/// The DPUs in front of these hosts, each once.
async fn devices(session: &Session, hosts: &[String]) -> Result<Vec<String>, Fault> {
    let mut devices: Vec<String> = Vec::new();
    for host in hosts {
        let host = session
            .call::<call::show_host>(Some(host), &Empty {})
            .await?;
        let device = host.device_id.to_string();
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    Ok(devices)
}

/// The public key in a file, and its line. Refuses a private key before anything of it is looked at.
fn read_public(path: &Path) -> Result<(PublicKey, String), Fault> {
    let hint = "`ssh-keygen -t ed25519 -f FILE` makes a pair; give FILE.pub here";
    let bytes = files::read(path, LIMIT).map_err(|f| f.hint(hint))?;
    let no_key = || {
        Fault::new(
            "cert.public_key",
            format!("`{}` is no OpenSSH public key", path.display()),
        )
        .hint(hint)
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| no_key())?.trim();
    if text.starts_with("-----BEGIN") {
        return Err(Fault::new(
            "cert.public_key",
            format!("`{}` is a private key", path.display()),
        )
        .hint("give the .pub file beside it"));
    }
    let key = PublicKey::from_openssh(text).map_err(|_| no_key())?;
    let known = matches!(
        key.algorithm(),
        Algorithm::Ed25519
            | Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256
            }
    );
    if !known {
        return Err(Fault::new(
            "cert.key_kind",
            format!(
                "`{}` is neither an Ed25519 nor an ECDSA P-256 key",
                path.display()
            ),
        )
        .hint(hint));
    }
    // Without the comment: it is nobody's business.
    let line = PublicKey::new(key.key_data().clone(), "")
        .to_openssh()
        .map_err(|_| no_key())?;
    Ok((key, line.trim_end().to_owned()))
}

/// What came must be a certificate for the key that was sent.
fn check(certificate: &Certificate, key: &PublicKey) -> Result<(), Fault> {
    let wrong = |why: &str| {
        Fault::new("cert.wrong", format!("the nexus answered with something else than was asked for: {why}; nothing was written")).exit(Exit::Authentication)
    };
    let text = certificate.certificate.trim();
    if text.lines().count() != 1 {
        return Err(wrong("it is no certificate line"));
    }
    let parsed =
        ssh_key::Certificate::from_openssh(text).map_err(|_| wrong("it is no certificate"))?;
    if parsed.public_key() != key.key_data() {
        return Err(wrong("it is for another key"));
    }
    if !parsed.cert_type().is_user() {
        return Err(wrong("it is no user certificate"));
    }
    Ok(())
}

/// `id_ed25519.pub` -> `id_ed25519-cert.pub`.
fn beside(key: &Path) -> PathBuf {
    let name = key.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".pub").unwrap_or(&name);
    key.with_file_name(format!("{stem}-cert.pub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_goes_where_ssh_looks_for_it() {
        assert_eq!(
            beside(Path::new("/a/id_ed25519.pub")),
            Path::new("/a/id_ed25519-cert.pub")
        );
        assert_eq!(beside(Path::new("key")), Path::new("key-cert.pub"));
    }

    #[test]
    fn only_public_keys_of_two_kinds_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, args: &[&str]| {
            let path = dir.path().join(name);
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-C", "me@home"])
                .args(args)
                .arg("-f")
                .arg(&path)
                .status()
                .unwrap();
            assert!(made.success());
            path
        };
        let ed = make("ed", &["-t", "ed25519"]);
        let (_, line) = read_public(&ed.with_extension("pub")).unwrap();
        assert!(line.starts_with("ssh-ed25519 AAAA") && !line.contains("me@home"));
        assert!(
            read_public(&ed)
                .unwrap_err()
                .message
                .contains("private key")
        );
        let ec = make("ec", &["-t", "ecdsa", "-b", "256"]);
        assert!(read_public(&ec.with_extension("pub")).is_ok());
        for (name, args) in [
            ("p384", ["-t", "ecdsa", "-b", "384"]),
            ("rsa", ["-t", "rsa", "-b", "2048"]),
        ] {
            let path = make(name, &args).with_extension("pub");
            assert_eq!(
                read_public(&path).unwrap_err().code.as_ref(),
                "cert.key_kind"
            );
        }
        assert_eq!(
            read_public(&dir.path().join("none.pub")).unwrap_err().code,
            "file.read".into()
        );
    }

    #[test]
    fn a_certificate_for_another_key_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            let done = std::process::Command::new("ssh-keygen")
                .current_dir(dir.path())
                .arg("-q")
                .args(args)
                .status()
                .unwrap();
            assert!(done.success());
        };
        run(&["-t", "ed25519", "-N", "", "-f", "ca"]);
        run(&["-t", "ed25519", "-N", "", "-f", "mine"]);
        run(&["-t", "ed25519", "-N", "", "-f", "other"]);
        run(&["-s", "ca", "-I", "x", "-n", "root@h", "mine.pub"]);
        run(&["-s", "ca", "-I", "x", "-h", "-n", "host", "other.pub"]);
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (mine, _) = read_public(&dir.path().join("mine.pub")).unwrap();
        let (other, _) = read_public(&dir.path().join("other.pub")).unwrap();
        let answer = |line: String| {
            Certificate {
            info: serde_json::from_value(serde_json::json!({
                "id": "ca-aaaaaaaaaaaaaaaaaaaaaaaaaa.1", "tenant_id": "t-aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "ssh_ca_id": "ca-aaaaaaaaaaaaaaaaaaaaaaaaaa", "serial": 1, "kind": "user", "key_id": "x",
                "principals": [], "hosts": [], "valid_after": "2026-01-01T00:00:00Z",
                "valid_before": "2026-01-01T08:00:00Z", "state": "valid"
            }))
            .unwrap(),
            certificate: line,
            bypass_id: None,
        }
        };
        let good = text("mine-cert.pub");
        assert!(check(&answer(good.clone()), &mine).is_ok());
        assert!(check(&answer(good.clone()), &other).is_err());
        assert!(
            check(&answer(text("other-cert.pub")), &other).is_err(),
            "a host certificate is no user certificate"
        );
        assert!(check(&answer(format!("{good}{good}")), &mine).is_err());
        assert!(check(&answer("ssh-ed25519 AAAA".into()), &mine).is_err());
    }
}
