//! Keys in files, as OpenSSH writes them: encrypted with bcrypt and AES-256, mode 0600.

use std::path::Path;

use assay_api::signer::Ed25519Signer;
use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};
use ssh_key::{Cipher, Kdf, LineEnding};
use zeroize::Zeroizing;

use super::passphrase;
use crate::fault::{Exit, Fault};
use crate::files::{self, Mode};

/// The longest key file, in bytes.
const LIMIT: usize = 16 * 1024;
/// Rounds of bcrypt: ssh-keygen's own number is 24 since OpenSSH 10.
const ROUNDS: u32 = 24;

/// Whether a new key file is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Under a passphrase.
    Passphrase,
    /// Not at all: for automation, where whoever reads the file is the person.
    Plain,
}

/// Opens a key file. Asks for its passphrase where it has one.
///
/// # Errors
/// `file.*`, `key.file`, `key.kind`, `key.passphrase`.
pub(crate) fn load(path: &Path, kid: Option<String>) -> Result<Ed25519Signer, Fault> {
    let bytes = files::read_private(path, LIMIT)?;
    let key = PrivateKey::from_openssh(bytes.as_slice()).map_err(|_| {
        Fault::new(
            "key.file",
            format!("`{}` is no OpenSSH private key", path.display()),
        )
    })?;
    let key = if key.is_encrypted() {
        let passphrase = passphrase::ask(path)?;
        key.decrypt(passphrase.as_bytes()).map_err(|_| {
            Fault::new(
                "key.passphrase",
                format!("this is not the passphrase of `{}`", path.display()),
            )
            .exit(Exit::Authentication)
        })?
    } else {
        key
    };
    let KeypairData::Ed25519(pair) = key.key_data() else {
        return Err(Fault::new(
            "key.kind",
            format!("`{}` is no Ed25519 key", path.display()),
        )
        .hint("`ssh-keygen -t ed25519` makes one"));
    };
    let seed = Zeroizing::new(pair.private.to_bytes());
    Ok(Ed25519Signer::from_seed(&seed, kid))
}

/// Opens a key file, or makes one where there is none.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_or_make(
    path: &Path,
    secrecy: Secrecy,
    comment: &str,
) -> Result<Ed25519Signer, Fault> {
    if path.exists() {
        return load(path, None);
    }
    let passphrase = match secrecy {
        Secrecy::Passphrase => Some(passphrase::ask_new()?),
        Secrecy::Plain => None,
    };
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        files::private_dir(dir)?;
    }
    let seed = Zeroizing::new(random::<32>()?);
    let text = encode(&seed, passphrase.as_deref().map(String::as_str), comment)?;
    files::create(path, text.as_bytes(), Mode::Private)?;
    Ok(Ed25519Signer::from_seed(&seed, None))
}

fn encode(
    seed: &[u8; 32],
    passphrase: Option<&str>,
    comment: &str,
) -> Result<Zeroizing<String>, Fault> {
    let failed =
        |e: ssh_key::Error| Fault::new("key.file", format!("the key can't be written: {e}"));
    let pair = Ed25519Keypair::from_seed(seed);
    let plain = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(failed)?;
    let key = match passphrase {
        None => plain,
        Some(passphrase) => {
            let kdf = Kdf::Bcrypt {
                salt: random::<16>()?.to_vec(),
                rounds: ROUNDS,
            };
            let check = u32::from_be_bytes(random::<4>()?);
            plain
                .encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase)
                .map_err(failed)?
        }
    };
    key.to_openssh(LineEnding::LF).map_err(failed)
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Fault::new("random", format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_api::signer::RequestSigner;

    #[test]
    fn a_key_is_made_once_and_opened_after_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/lab");
        let made = load_or_make(&path, Secrecy::Plain, "ada").unwrap();
        let again = load_or_make(&path, Secrecy::Plain, "ada").unwrap();
        assert_eq!(made.jwk().thumbprint(), again.jwk().thumbprint());
        assert_eq!(load(&path, Some("k-1".into())).unwrap().kid(), Some("k-1"));
    }

    #[test]
    fn ssh_keygen_opens_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        for passphrase in [None, Some("four random words")] {
            let path = dir.path().join(if passphrase.is_some() {
                "locked"
            } else {
                "open"
            });
            let text = encode(&[9; 32], passphrase, "ada@lab").unwrap();
            files::create(&path, text.as_bytes(), Mode::Private).unwrap();
            let out = std::process::Command::new("ssh-keygen")
                .args(["-y", "-P", passphrase.unwrap_or(""), "-f"])
                .arg(&path)
                .output()
                .unwrap();
            assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stderr)
            );
            let line = String::from_utf8(out.stdout).unwrap();
            let public = ssh_key::PublicKey::from_openssh(line.trim()).unwrap();
            assert_eq!(
                public.key_data().ed25519().unwrap().0,
                Ed25519Keypair::from_seed(&[9; 32]).public.0
            );
        }
        let locked = std::fs::read_to_string(dir.path().join("locked")).unwrap();
        let key = PrivateKey::from_openssh(&locked).unwrap();
        assert!(key.is_encrypted() && key.decrypt("four random word").is_err());
    }

    #[test]
    fn other_kinds_of_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ecdsa");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        assert_eq!(load(&path, None).unwrap_err().code.as_ref(), "key.kind");
        std::fs::write(&path, "not a key").unwrap();
        assert_eq!(load(&path, None).unwrap_err().code.as_ref(), "key.file");
    }
}
