//! Keys in ssh-agent: two messages of its protocol (draft-ietf-sshm-ssh-agent, sections 3.5 and 3.6), bounded.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use assay_api::jose::Jwk;
use assay_api::signer::{RequestSigner, SignFailed};
use ssh_key::{HashAlg, PublicKey};

use crate::fault::{Exit, Fault};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// The longest answer that is read, in bytes: OpenSSH's own limit.
const LIMIT: usize = 256 * 1024;
/// The most keys that are looked at.
const MAX_KEYS: u32 = 256;
/// A person may have to touch a token or confirm at a screen.
const PATIENCE: Duration = Duration::from_secs(60);
const ED25519: &[u8] = b"ssh-ed25519";

/// An Ed25519 key that ssh-agent holds.
pub(crate) struct AgentKey {
    socket: PathBuf,
    blob: Vec<u8>,
    fingerprint: String,
    jwk: Jwk,
    kid: Option<String>,
}

impl AgentKey {
    /// Looks a key up by its fingerprint (`SHA256:...`), or by its comment.
    ///
    /// # Errors
    /// `agent.*`.
    pub(crate) fn find(wanted: &str, kid: Option<String>) -> Result<Self, Fault> {
        let socket = std::env::var_os("SSH_AUTH_SOCK")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
            .ok_or_else(|| {
                Fault::new(
                    "agent.none",
                    "there is no ssh-agent: SSH_AUTH_SOCK is not set",
                )
                .exit(Exit::Authentication)
                .hint("start one with `eval $(ssh-agent)` and `ssh-add`")
            })?;
        let failed = |why: String| {
            Fault::new(
                "agent.failed",
                format!("ssh-agent did not answer as it should: {why}"),
            )
            .exit(Exit::Authentication)
        };
        let answer = exchange(&socket, &[REQUEST_IDENTITIES]).map_err(failed)?;
        let keys = identities(&answer)
            .ok_or_else(|| failed("its list of keys can't be read".to_owned()))?;
        let mut found = keys
            .into_iter()
            .filter(|(key, comment)| fingerprint(key) == wanted || comment == wanted);
        match (found.next(), found.next()) {
            (Some((key, _)), None) => Self::of(socket, &key, kid),
            (None, _) => Err(Fault::new(
                "agent.no_key",
                format!("ssh-agent has no key `{wanted}`"),
            )
            .exit(Exit::Authentication)
            .hint("`ssh-add -l` lists what it has; name a key by its fingerprint or comment")),
            (Some(_), Some(_)) => Err(Fault::new(
                "agent.ambiguous",
                format!("ssh-agent has several keys `{wanted}`"),
            )
            .exit(Exit::Authentication)
            .hint("name it by its fingerprint (`ssh-add -l`)")),
        }
    }

    fn of(socket: PathBuf, key: &PublicKey, kid: Option<String>) -> Result<Self, Fault> {
        let Some(ed25519) = key.key_data().ed25519() else {
            return Err(
                Fault::new("key.kind", "this key in ssh-agent is no Ed25519 key")
                    .hint("`ssh-keygen -t ed25519` makes one"),
            );
        };
        Ok(Self {
            socket,
            blob: key
                .to_bytes()
                .map_err(|e| Fault::new("agent.failed", format!("the key can't be named: {e}")))?,
            fingerprint: fingerprint(key),
            jwk: Jwk::ed25519(ed25519.0),
            kid,
        })
    }

    /// Its fingerprint, as `ssh-add -l` shows it.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl RequestSigner for AgentKey {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed> {
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &self.blob);
        put(&mut request, message);
        request.extend([0; 4]);
        let answer = exchange(&self.socket, &request).map_err(SignFailed)?;
        signature(&answer)
            .ok_or_else(|| SignFailed("ssh-agent refused, or its answer can't be read".to_owned()))
    }
}

impl std::fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// One request, one answer.
fn exchange(socket: &PathBuf, request: &[u8]) -> Result<Vec<u8>, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut stream = UnixStream::connect(socket).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    let mut out = Vec::with_capacity(request.len().saturating_add(4));
    put(&mut out, request);
    stream.write_all(&out).map_err(text)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(text)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 || length > LIMIT {
        return Err(format!("its answer has {length} bytes"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).map_err(text)?;
    Ok(answer)
}

/// The keys in an answer that this program can read, with their comments.
fn identities(answer: &[u8]) -> Option<Vec<(PublicKey, String)>> {
    let (kind, rest) = answer.split_first()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_be_bytes(*count);
    if *kind != IDENTITIES_ANSWER || count > MAX_KEYS {
        return None;
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = take(&mut rest)?;
        let comment = take(&mut rest)?;
        if let Ok(key) = PublicKey::from_bytes(blob) {
            keys.push((key, String::from_utf8_lossy(comment).into_owned()));
        }
    }
    rest.is_empty().then_some(keys)
}

fn signature(answer: &[u8]) -> Option<[u8; 64]> {
    let (kind, mut rest) = answer.split_first()?;
    let mut blob = take(&mut rest)?;
    let algorithm = take(&mut blob)?;
    let signature = take(&mut blob)?;
    let whole =
        *kind == SIGN_RESPONSE && rest.is_empty() && blob.is_empty() && algorithm == ED25519;
    if whole {
        signature.try_into().ok()
    } else {
        None
    }
}

/// A string of the protocol: four bytes of length, then that many.
fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    let (bytes, rest) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *from = rest;
    Some(bytes)
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(parts: &[&[u8]], kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        for part in parts {
            put(&mut out, part);
        }
        out
    }

    #[test]
    fn a_signature_is_taken_only_whole_and_of_its_kind() {
        let mut blob = Vec::new();
        put(&mut blob, ED25519);
        put(&mut blob, &[7; 64]);
        let good = answer(&[&blob], SIGN_RESPONSE);
        assert_eq!(signature(&good), Some([7; 64]));
        for cut in 0..good.len() {
            assert_eq!(signature(&good[..cut]), None, "{cut}");
        }
        assert_eq!(signature(&[&good[..], &[0]].concat()), None);
        assert_eq!(signature(&answer(&[&blob], IDENTITIES_ANSWER)), None);
        let mut short = Vec::new();
        put(&mut short, ED25519);
        put(&mut short, &[7; 63]);
        assert_eq!(signature(&answer(&[&short], SIGN_RESPONSE)), None);
        assert_eq!(signature(&[5]), None);
    }

    #[test]
    fn a_list_of_keys_is_bounded_and_whole() {
        assert!(
            identities(&[IDENTITIES_ANSWER, 0, 0, 0, 0])
                .unwrap()
                .is_empty()
        );
        assert!(identities(&[IDENTITIES_ANSWER, 0, 0, 0, 1]).is_none());
        assert!(identities(&[IDENTITIES_ANSWER, 0xff, 0xff, 0xff, 0xff]).is_none());
        assert!(identities(&[IDENTITIES_ANSWER, 0, 0, 0, 0, 9]).is_none());
        // A key of a kind that is not known here is passed over.
        let mut unknown = vec![IDENTITIES_ANSWER, 0, 0, 0, 1];
        put(&mut unknown, b"junk");
        put(&mut unknown, b"comment");
        assert!(identities(&unknown).unwrap().is_empty());
    }
}
