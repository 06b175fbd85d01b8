//! The person's key: an OpenSSH file or one in ssh-agent, Ed25519 in both. It signs; it is never sent.

mod agent;
mod file;
mod passphrase;

use std::sync::Arc;

use assay_api::id::KeyId;
use assay_api::signer::RequestSigner;

use crate::fault::Fault;
use crate::home::KeyPlace;

pub(crate) use agent::AgentKey;
pub(crate) use file::{Secrecy, load, load_or_make};

/// Opens the key of a context. Asks for the passphrase where the file has one.
///
/// # Errors
/// Those of the file, the passphrase or the agent.
pub(crate) fn open(place: &KeyPlace, kid: &KeyId) -> Result<Arc<dyn RequestSigner>, Fault> {
    let kid = Some(kid.to_string());
    Ok(match place {
        KeyPlace::File(path) => Arc::new(load(path, kid)?),
        KeyPlace::Agent(fingerprint) => Arc::new(AgentKey::find(fingerprint, kid)?),
    })
}
