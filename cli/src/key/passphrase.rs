//! Where passphrases come from: a file that `ASSAY_PASSPHRASE_FILE` names, or a person at a terminal. Never an argument.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::fault::{Exit, Fault};
use crate::{files, prompt};

/// The longest passphrase, in bytes.
const LIMIT: usize = 1024;
/// The shortest that a new key may have, in characters.
const SHORTEST: usize = 8;

/// The passphrase of a key that there is.
pub(super) fn ask(path: &std::path::Path) -> Result<Zeroizing<String>, Fault> {
    if let Some(found) = from_file()? {
        return Ok(found);
    }
    if !prompt::is_interactive() {
        return Err(nobody(&format!("`{}` needs a passphrase", path.display())));
    }
    prompt::secret(&format!("passphrase of {}: ", path.display()))
}

/// The passphrase of a new key: asked for twice.
pub(super) fn ask_new() -> Result<Zeroizing<String>, Fault> {
    if let Some(found) = from_file()? {
        return long_enough(found);
    }
    if !prompt::is_interactive() {
        return Err(nobody("a new key needs a passphrase"));
    }
    let first = long_enough(prompt::secret("passphrase for your new key: ")?)?;
    let second = prompt::secret("once more: ")?;
    if *first == *second {
        Ok(first)
    } else {
        Err(Fault::new(
            "key.passphrase",
            "the two are not the same; nothing was done",
        ))
    }
}

fn from_file() -> Result<Option<Zeroizing<String>>, Fault> {
    let Some(path) = std::env::var_os("ASSAY_PASSPHRASE_FILE").filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    let bytes = files::read_private(&PathBuf::from(path), LIMIT)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Fault::new(
            "key.passphrase",
            "the file that ASSAY_PASSPHRASE_FILE names is not UTF-8",
        )
    })?;
    Ok(Some(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    )))
}

fn long_enough(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, Fault> {
    if passphrase.chars().count() < SHORTEST {
        let message = format!("the passphrase has fewer than {SHORTEST} characters");
        return Err(Fault::new("key.passphrase", message).hint("four random words are a good one"));
    }
    Ok(passphrase)
}

fn nobody(what: &str) -> Fault {
    Fault::new("key.passphrase", format!("{what}, and there is no terminal to ask at"))
        .exit(Exit::Authentication)
        .hint("name a file of mode 0600 that holds it in ASSAY_PASSPHRASE_FILE, or use a key in ssh-agent (`--agent`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_passphrase_is_refused() {
        assert!(long_enough(Zeroizing::new("seven77".into())).is_err());
        assert!(long_enough(Zeroizing::new("eight888".into())).is_ok());
    }
}
